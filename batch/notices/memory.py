"""What people were told already: it makes a notice of a finding, or keeps still. No I/O but its one file."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import orjson

from batch.notices.finding import HOUR_S, Finding, Notice, Severity

MOST_AN_HOUR = 20  # notices: more are a flood that nobody reads, and Telegram and Slack cut off


@dataclass(slots=True)
class Trouble:
    """Bad news that has not ended.

    Attributes:
        severity: The gravest that was told.
        title: Of the last notice.
        since_s: Begin, epoch seconds.
        told_s: When the last notice of it was made, epoch seconds.
        kept: Findings since then of which nothing was said.
    """

    severity: Severity
    title: str
    since_s: int
    told_s: int
    kept: int = 0


@dataclass(slots=True)
class Memory:
    """The troubles by subject, and when the notices of the last hour were made.

    It lies in one small file of the state folder, so that a run at night knows that the last one failed.
    Processes at the same time each write it whole: at worst something is said twice. What it holds of later
    than now is of a clock that was ahead and is right again: it keeps no news back.
    """

    path: Path
    now: Callable[[], float] = time.time
    troubles: dict[str, Trouble] = field(default_factory=dict)
    made_s: list[int] = field(default_factory=list)
    n_dropped: int = 0

    @classmethod
    def read(cls, path: Path, now: Callable[[], float] = time.time) -> "Memory":
        """Read the file; one that is missing or broken remembers nothing."""
        memory = cls(path, now)
        with suppress(OSError, ValueError, TypeError, AttributeError, KeyError):
            kept = orjson.loads(path.read_bytes())
            memory.troubles = {subject: Trouble(**one) for subject, one in kept["troubles"].items()}
            memory.made_s = [int(at) for at in kept["made_s"]]
        return memory

    def take(self, finding: Finding) -> Notice | None:
        """Note a finding, and return the notice that people get of it; None: nothing new, or a flood."""
        now_s = int(self.now())
        notice = self._worsen(finding, now_s) if finding.severity != "info" else self._mend(finding, now_s)
        if notice is not None:
            self.made_s = [at for at in self.made_s if now_s - HOUR_S < at <= now_s]
            if len(self.made_s) >= MOST_AN_HOUR:
                self.n_dropped += 1
                notice = None
            else:
                self.made_s.append(now_s)
                notice, self.n_dropped = _tell_dropped(notice, self.n_dropped), 0
        self._save()
        return notice

    def _worsen(self, finding: Finding, now_s: int) -> Notice | None:
        known = self.troubles.get(finding.subject)
        if known and 0 <= now_s - known.told_s < finding.again_s and known.severity == finding.severity:
            known.kept += 1
            return None
        again = f" ({known.kept} more since {_clock(known.told_s)})" if known and known.kept else ""
        self.troubles[finding.subject] = Trouble(
            finding.severity, finding.title, known.since_s if known else now_s, now_s
        )
        return Notice(finding.severity, finding.title, _text(finding.reason + again, finding.command))

    def _mend(self, finding: Finding, now_s: int) -> Notice | None:
        over = self.troubles.pop(finding.subject, None)
        if over is None:
            text = _text(finding.reason, finding.command)
            return None if finding.quiet else Notice("info", finding.title, text, is_good=True)
        lasted_h = max(now_s - over.since_s, 0) / HOUR_S
        reason = f"over after {lasted_h:.1f} h: {over.title}. {finding.reason}"
        title, text = f"recovered: {finding.title}", _text(reason, finding.command)
        return Notice(over.severity, title, text, is_good=True)

    def _save(self) -> None:
        kept = {"troubles": {name: asdict(one) for name, one in self.troubles.items()}, "made_s": self.made_s}
        with suppress(OSError):  # a full disk is told of by the run itself
            self.path.parent.mkdir(parents=True, exist_ok=True)
            beside = self.path.with_suffix(".new")
            beside.write_bytes(orjson.dumps(kept))
            beside.replace(self.path)


def _text(reason: str, command: str) -> str:
    return f"{reason}\n\nLook further: {command}"


def _tell_dropped(notice: Notice, n: int) -> Notice:
    if not n:
        return notice
    said = f"{notice.text}\n({n} notices before this one were left out: more than {MOST_AN_HOUR} an hour)"
    return replace(notice, text=said)


def _clock(at_s: int) -> str:
    return time.strftime("%H:%M UTC", time.gmtime(at_s))
