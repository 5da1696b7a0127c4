"""Which log events are news, and what they mean: event and fields in, findings out."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from api.address import hide_passwords
from batch.notices.finding import HOUR_S, Finding, Severity
from batch.settings import Settings

Fields = Mapping[str, Any]

DAY_S = 24 * HOUR_S
NEAR = 0.9  # of a bound: the next night may pass it


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules under some limits.

    Attributes:
        stale_s: Age above which what is served, or its newest fact, is stale, seconds; 0: never.
        memory_mb: What this process may hold, MiB; None: unbounded.
        variant: What runs publish under where an event does not say so.
    """

    stale_s: int
    memory_mb: int | None
    variant: str

    @classmethod
    def of(cls, settings: Settings, memory_mb: int | None) -> "Rules":
        """Take the limits from the settings."""
        return cls(settings.stale_h * HOUR_S, memory_mb, settings.variant)

    def read(self, event: str, fields: Fields) -> Iterator[Finding]:
        """Give what an event says; nothing for most."""
        if event in _RULES:
            yield from _RULES[event](self, fields)


def _on_done(rules: Rules, fields: Fields) -> Iterator[Finding]:
    kind, variant, generation = _named(rules, fields)
    says = f"Generation {generation} of {variant} took {fields.get('took_s', 0.0):,.0f} s"
    if "rows_read" in fields:
        read, rejected = (sum(fields[name].values()) for name in ("rows_read", "rows_rejected"))
        says += f": {fields['lists_written']:,} lists of {read:,} rows, {rejected:,} of them rejected"
    says += f"{_quality(fields.get('metrics', {}))}."
    command = f"almanac generations show {generation}"
    is_whole = kind == "full" or not fields.get("incremental", True)
    yield _good(f"{kind} {variant}", f"{kind} run finished", says, command, quiet=not is_whole)
    if kind == "full":  # it does what a refresh would
        yield _good(f"refresh {variant}", "full run finished", says, command)
        yield _good(f"slots {variant}", "full run finished", says, command)


def _on_failed(rules: Rules, fields: Fields) -> Iterator[Finding]:
    kind, variant, _ = _named(rules, fields)
    outcome, code = fields.get("outcome", "failed"), fields.get("exit_code")
    coded = "" if code is None else f" (exit code {code})"
    says = f"{fields.get('why') or 'it does not say why'}{coded}; what was served is served on."
    command = f"almanac runs show {fields['run']}" if fields.get("run") else "almanac generations list"
    severity: Severity = "error" if outcome in ("failed", "lost") else "warning"  # somebody stopped it
    yield _bad(f"{kind} {variant}", severity, f"{kind} run {outcome}", says, command, HOUR_S)


def _on_missed(rules: Rules, fields: Fields) -> Iterator[Finding]:
    if fields["job"] == "refresh":  # a full run takes its time away, each night
        return
    slots = fields["slots"]
    more = "" if len(slots) == 1 else f" and {len(slots) - 1} more"
    says = f"No {fields['job']} run stands for {slots[-1]}{more}: {fields['why']}."
    subject = f"slots {rules.variant}"
    yield _bad(subject, "warning", "scheduled times were missed", says, "almanac runs list", HOUR_S)


def _on_job_failed(_rules: Rules, fields: Fields) -> Iterator[Finding]:
    says = f"What the scheduler does beside runs, {fields['job']}, ended with an error: {fields['why']}."
    title = f"the scheduler's {fields['job']} failed"
    yield _bad(f"job {fields['job']}", "error", title, says, "almanac runs list", HOUR_S)


def _on_drain_failed(_rules: Rules, fields: Fields) -> Iterator[Finding]:
    says = f"Live events wait in the store, which grows by them: {fields['why']}."
    yield _bad("drain", "warning", "live events are not drained", says, "almanac plan", HOUR_S)


def _on_drain_resumed(_rules: Rules, _fields: Fields) -> Iterator[Finding]:
    yield _good("drain", "live events are drained", "What had waited is kept.", "almanac plan")


def _on_judged(_rules: Rules, fields: Fields) -> Iterator[Finding]:
    generation, outcome, mode = (fields.get(name) for name in ("generation", "outcome", "mode"))
    command = f"almanac generations show {generation}"
    if outcome == "proceed":
        yield _good("gate", "the gate is content", f"Generation {generation}: every check holds.", command)
    elif mode == "on":
        says = f"Generation {generation} is not served ({outcome}): {fields.get('why')}."
        yield _bad("gate", "error", "the gate held a generation back", says, command, 0)
    else:
        says = f"Generation {generation} is served all the same (ALMANAC_GATE=warn): {fields.get('why')}."
        yield _bad("gate", "warning", "the gate doubts a generation", says, command, HOUR_S)


def _on_watched(rules: Rules, fields: Fields) -> Iterator[Finding]:
    generation, variant = fields["generation"], fields["variant"]
    ages = {
        "publication": (fields["publication_age_s"], "was made current", "almanac generations list"),
        "facts": (fields["fact_age_s"], "has its newest fact of", f"almanac generations show {generation}"),
    }
    for what, (age_s, verb, command) in ages.items() if rules.stale_s else ():
        says = f"Generation {generation} of {variant} {verb} {age_s / HOUR_S:,.0f} h ago"
        if age_s > rules.stale_s:
            bound = f"; ALMANAC_STALE_H allows {rules.stale_s // HOUR_S}."
            yield _bad(f"{what} {variant}", "warning", f"stale {what}", says + bound, command, DAY_S)
        else:
            yield _good(f"{what} {variant}", f"fresh {what}", f"{says}.", command)
    yield from _on_life(fields)
    yield from _on_store_memory(fields)


def _on_life(fields: Fields) -> Iterator[Finding]:
    left_s, life_s, variant = fields["list_left_s"], fields["list_life_s"], fields["variant"]
    if left_s is None:  # they have no end
        return
    says = f"Users' lists of generation {fields['generation']} ({variant}) end in {left_s / HOUR_S:,.0f} h"
    command = "almanac generations list"
    if left_s < life_s / 4:
        says += "; then everyone gets popular posts. Make a run succeed."
        yield _bad(f"life {variant}", "error", "lists about to expire", says, command, DAY_S)
    else:
        yield _good(f"life {variant}", "lists live", f"{says}.", command)


def _on_store_memory(fields: Fields) -> Iterator[Finding]:
    used, bound = fields.get("store_used_mb"), fields.get("store_bound_mb")
    if used is None or not bound:
        return
    says = f"The store holds {used:,} of {bound:,} MiB"
    if used > NEAR * bound:
        says += "; full, it refuses events and runs. Raise maxmemory or lower ALMANAC_GENERATIONS_KEPT."
        yield _bad("store memory", "warning", "store memory near its bound", says, "almanac plan", DAY_S)
    else:
        yield _good("store memory", "store memory", f"{says}.", "almanac plan")


def _on_stage(rules: Rules, fields: Fields) -> Iterator[Finding]:
    peak, bound = fields.get("peak_mb"), rules.memory_mb
    if peak is None or not bound or peak <= NEAR * bound:
        return
    says = (
        f"Stage {fields.get('stage')} took the batch to {peak:,} of {bound:,} MiB; beyond it the system kills"
        " it. Give it more, or lower ALMANAC_MEMORY_MB or ALMANAC_TRAIN_ROWS."
    )
    yield _bad("batch memory", "warning", "batch memory near its bound", says, "almanac plan", DAY_S)


_RULES: dict[str, Callable[[Rules, Fields], Iterator[Finding]]] = {
    "run.done": _on_done,
    "run.failed": _on_failed,
    "run.lost": _on_failed,
    "slot.missed": _on_missed,
    "job.failed": _on_job_failed,
    "drain.failed": _on_drain_failed,
    "drain.resumed": _on_drain_resumed,
    "generation.judged": _on_judged,
    "generation.watched": _on_watched,
    "stage.done": _on_stage,
}
EVENTS = frozenset(_RULES)


def _named(rules: Rules, fields: Fields) -> tuple[str, str, Any]:
    return fields.get("kind", "full"), fields.get("variant", rules.variant), fields.get("generation")


def _good(subject: str, title: str, reason: str, command: str, *, quiet: bool = True) -> Finding:
    return Finding(subject, "info", title, hide_passwords(reason), command, quiet=quiet)


def _bad(subject: str, severity: Severity, title: str, reason: str, command: str, again_s: int) -> Finding:
    return Finding(subject, severity, title, hide_passwords(reason), command, again_s)


def _quality(metrics: Mapping[str, float]) -> str:
    rate = metrics.get("hitrate_at_5")
    return (
        "" if rate is None else f"; HitRate@5 {rate:.3f} on {metrics.get('test_sessions', 0):,.0f} sessions"
    )
