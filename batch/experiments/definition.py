"""An experiment as people define it: a TOML file, checked before anything is kept."""

import tomllib
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

from api.contract.buckets import epoch
from api.contract.experiment import ROUTES, Arm, Experiment
from api.contract.ids import canonical, check_id
from batch.data.toml import refuse_unknown, take_list, take_section, take_text

KEYS = ("name", "salt", "arms", "start", "end", "forced", "response", "routes", "sample_percent")
ARM_KEYS = ("name", "variant", "share")


def read_definition(path: Path) -> Experiment:
    """Read a definition: a draft, whatever its times.

    Raises:
        ValueError: There is no such file, it is no TOML, or says what no experiment can be.
    """
    try:
        text = path.read_text("utf-8")
    except OSError as exc:
        raise ValueError(f"no definition {str(path)!r}: {exc.strerror}; give a TOML file") from exc
    try:
        return parse_definition(tomllib.loads(text))
    except ValueError as exc:  # tomllib's errors are ValueErrors too
        raise ValueError(f"definition {path}: {exc}") from exc


def parse_definition(raw: dict[str, Any]) -> Experiment:
    """Check and freeze a parsed TOML document.

    Raises:
        ValueError: A key or value is none that an experiment has.
    """
    refuse_unknown("key", raw, KEYS)
    name = take_text("name", raw.get("name"))
    end = raw.get("end")
    return Experiment(
        name=name,
        salt=take_text("salt", raw.get("salt", name)),
        arms=tuple([_parse_arm(arm) for arm in take_list("arms", raw.get("arms", []))]),
        start_s=_parse_time("start", raw["start"]) if "start" in raw else 0,
        end_s=None if end is None else _parse_time("end", end),
        forced={
            canonical(check_id(user), "numbers"): take_text(f"forced.{user}", arm)
            for user, arm in take_section(raw, "forced").items()
        },
        response=raw.get("response", "plain"),
        routes=tuple(take_list("routes", raw.get("routes", [*ROUTES]))),
        sample_percent=raw.get("sample_percent", 100),
    )


def _parse_arm(raw: object) -> Arm:
    if not isinstance(raw, dict):
        raise ValueError(f"arms has {raw!r}: write each arm as a section [[arms]]")  # noqa: TRY004 - one error type
    refuse_unknown("key of an arm", raw, ARM_KEYS)
    lacking = [name for name in ARM_KEYS if name not in raw]
    if lacking:
        raise ValueError(f"an arm lacks {', '.join(lacking)}: it has name, variant and share")
    return Arm(**raw)


def _parse_time(where: str, value: object) -> int:
    """Return epoch seconds; a time without a zone is UTC, a day is its midnight."""
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime.combine(value, time(), UTC)
    if not isinstance(value, datetime):
        raise ValueError(  # noqa: TRY004 - one error type
            f"{where} = {value!r} is no time: write it as 2021-12-25T00:00:00Z, without quotes"
        )
    return epoch(value)
