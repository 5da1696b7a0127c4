"""What a log event says of one thing, and the notice that becomes of it."""

from dataclasses import dataclass
from typing import Literal

Severity = Literal["info", "warning", "error"]
SEVERITIES: tuple[Severity, ...] = ("info", "warning", "error")  # gravest last

HOUR_S = 3600


@dataclass(frozen=True, slots=True)
class Finding:
    """How a thing stands, by one event.

    Attributes:
        subject: What it is about; a later finding of the same subject takes the place of this one.
        severity: How grave it is; `info` is good news.
        title: A few words, for the head of a notice.
        reason: A sentence with the figures.
        command: What to call to look further.
        again_s: Bad news of the same subject is not said again sooner, seconds.
        quiet: Good news that is worth a notice only where bad news went before.
    """

    subject: str
    severity: Severity
    title: str
    reason: str
    command: str
    again_s: int = HOUR_S
    quiet: bool = False


@dataclass(frozen=True, slots=True)
class Notice:
    """What people get.

    Attributes:
        severity: Who hears of it: addresses of this severity or a lower one.
        title: Its head.
        text: The reason, what was left out before it, and the command to look further.
        is_good: Something ended well, or is well again.
    """

    severity: Severity
    title: str
    text: str
    is_good: bool = False
