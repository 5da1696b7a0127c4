"""What the gate says: one outcome, and every check with its value, its limit and a sentence."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

Outcome = Literal["proceed", "wait", "abort", "quarantine"]
# Incomplete: not worth looking at. Wrong: never served. The rest a person may decide.
ORDER: tuple[Outcome, ...] = ("proceed", "wait", "quarantine", "abort")


@dataclass(frozen=True, slots=True)
class Check:
    """One question and its answer.

    Attributes:
        name: What was asked.
        outcome: What this check alone would do; `proceed` where it holds or could not be asked.
        says: One sentence with the numbers.
        value: What was measured; None where it could not be.
        limit: What `value` is held against.
        setting: Name of the limit among `thresholds`; empty where it is none of them.
    """

    name: str
    outcome: Outcome
    says: str
    value: float | None = None
    limit: float | None = None
    setting: str = ""


def check_checksums(n: int, n_bad: int) -> Check:
    """Say how many of some shards, read back, have the checksum of what was written."""
    says = f"{n - n_bad} of {n} shards read back from the store have the checksum of what was written"
    return Check("checksum", "abort" if n_bad else "proceed", says, float(n_bad), 0.0)


def check_model(n: int, n_bad: int) -> Check:
    """Say how many of some lists, scored again, are what the stored model gives."""
    says = f"{n - n_bad} of {n} lists are what the stored model gives, place by place"
    return Check("model", "quarantine" if n_bad else "proceed", says, float(n_bad), 0.0)


@dataclass(frozen=True, slots=True)
class Report:
    """All checks; the gravest outcome is the report's."""

    checks: tuple[Check, ...]
    live: int | None = None
    outcome: Outcome = field(init=False)
    why: str = field(init=False)

    def __post_init__(self) -> None:
        """Sum up."""
        outcome = max((check.outcome for check in self.checks), key=ORDER.index, default="proceed")
        object.__setattr__(self, "outcome", outcome)
        stopping = [check.says for check in self.stopped_by] or ["every check holds"]
        object.__setattr__(self, "why", "; ".join(stopping))

    @property
    def stopped_by(self) -> Sequence[Check]:
        """Return the checks that do not hold, gravest first."""
        stopping = [check for check in self.checks if check.outcome != "proceed"]
        return sorted(stopping, key=lambda check: -ORDER.index(check.outcome))
