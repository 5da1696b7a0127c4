"""One of several processes of an address, as `api.main` starts it."""

import sys
from pathlib import Path

from api.http.seat import Seat
from api.main import run


def main() -> None:
    """Serve until told to stop, or until the process that started this one is gone.

    Raises:
        SystemExit: As `api.main`'s.
    """
    port, folder, parent, ready = sys.argv[1:]
    run(Seat(int(port), int(ready), Path(folder), int(parent)))


if __name__ == "__main__":
    main()
