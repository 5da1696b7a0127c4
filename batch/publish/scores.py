"""The scores of one list, as its generation's files keep them: the store has the order alone."""

from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from api.contract.manifest import Manifest
from batch.publish.folder import GenerationFolder
from batch.publish.names import load_names


def read_scores(
    folder: GenerationFolder, manifest: Manifest, user_id: str, bucket_s: int
) -> dict[str, float]:
    """Return a user's list of a bucket with its scores: canonical ids of posts, best first.

    Empty where the files are gone, as those of old generations are, or hold no such list. Where refreshes
    have written a user's lists again, the newest counts.

    Args:
        folder: The generation's.
        manifest: The generation's.
        user_id: In canonical form.
        bucket_s: Start of the bucket, epoch seconds.
    """
    users, posts = load_names(folder, manifest)
    code = users.code_of(user_id)
    wanted = [("user_id", "==", code), ("bucket", "==", bucket_s)]
    files = [
        *sorted(folder.path.glob("changed-*.parquet"), reverse=True),
        *folder.path.glob("lists-*.parquet"),
    ]
    for path in files:
        least, most = _find_users(path, path.stat().st_mtime_ns)
        if not least <= code <= most:
            continue
        found = pq.read_table(path, columns=["posts", "scores"], filters=wanted)
        if len(found):
            names = posts.canonical(np.array(found["posts"][0].as_py(), np.int64))
            return dict(zip(names, found["scores"][0].as_py(), strict=True))
    return {}


@lru_cache(maxsize=1024)
def _find_users(path: Path, _changed_ns: int) -> tuple[int, int]:
    """Return the least and the greatest code of a file's users; read once as long as the file stays."""
    file = pq.read_metadata(path)
    groups = [file.row_group(number).column(0).statistics for number in range(file.num_row_groups)]
    return min((one.min for one in groups), default=1), max((one.max for one in groups), default=0)
