"""Times as the clocks of a zone show them: the one place where an hour of users' day comes from."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from batch.arrays import Ints


def local_s(time: Ints, zone: str) -> Ints:
    """Return for each moment the seconds at which clocks of UTC show what the zone's clocks show then.

    Each has the offset of its own day, summer time included.

    Args:
        time: int64 (moments,). Epoch seconds.
        zone: IANA name; empty is UTC, whose times come back as they are.

    >>> local_s(np.array([0, 1_625_097_600]), "Europe/Berlin") - np.array([0, 1_625_097_600])
    array([3600, 7200])
    """
    if not zone:
        return time
    moments = pa.array(time).cast(pa.timestamp("s")).cast(pa.timestamp("s", zone))
    return np.array(pc.local_timestamp(moments).cast(pa.int64()), np.int64)
