"""Records to a process of its own that tells them to MLflow; whatever becomes of it, nobody waits for long.

MLflow takes seconds of CPU to be imported, and waits for a server as it likes: not in a run's process.
"""

import logging
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import orjson

from api.address import hide_passwords
from batch.settings import Settings
from batch.tracking.record import Served, Tracked

log = logging.getLogger(__name__)

LONGEST_S = 120.0  # a large model over a slow line; a server that is away is given up within seconds
PREFIX = "mlflow:"
# What is set outside stands over these: `MLFLOW_TRACKING_USERNAME` and the like are read by MLflow itself.
_BOUNDS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}


def name_model(settings: Settings, variant: str) -> str:
    """Return the name under which a variant's models are registered."""
    return re.sub(r"[^\w.-]", "-", f"{settings.prefix}-{variant}")


def hand_over(settings: Settings, records: Sequence[Tracked | Served]) -> bool:
    """Tell records to the server or folder of ALMANAC_TRACKING; return whether they were taken.

    What fails is said by one warning, and never raised.
    """
    place = settings.tracking.get_secret_value().removeprefix(PREFIX)
    command = [sys.executable, "-W", "ignore", "-m", "batch.tracking.server"]
    try:
        asked = {"prefix": settings.prefix, **_address(place), "records": [one.to_json() for one in records]}
        done = subprocess.run(  # noqa: S603 - our own module
            command,
            input=orjson.dumps(asked),
            capture_output=True,
            timeout=LONGEST_S,
            env={**_BOUNDS, **os.environ},
            check=False,
        )
    except subprocess.TimeoutExpired:
        why = f"it took longer than {LONGEST_S:.0f} s"
    except OSError as exc:
        why = str(exc)
    else:
        if not done.returncode:
            log.info("tracking.told", extra={"n": len(records)})
            return True
        said = done.stderr.decode(errors="replace").strip().splitlines()
        why = said[-1] if said else f"its process ended with {done.returncode}"
    log.warning("tracking.failed", extra={"n": len(records), "why": hide_passwords(why)})
    return False


def _address(place: str) -> dict[str, str]:
    """Return MLflow's address of a server or of a folder's database, and where a folder keeps its files."""
    if "://" in place:
        return {"uri": place, "files": ""}
    folder = Path(place).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    return {"uri": f"sqlite:///{folder / 'mlflow.db'}", "files": (folder / "artifacts").as_uri()}
