"""What people can change from a page: each change says first what it will do, and is made only after that."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from api.contract.asked import PIPELINES, Pipeline
from api.contract.buckets import moment
from api.contract.ids import check_id
from api.contract.pin import PLACES, Pin
from batch.inspector import asked
from batch.inspector.desk import Desk
from batch.inspector.refused import Refused
from batch.inspector.render import TEXTS
from batch.jobs.asked import ask_for
from batch.publish.ledger.promotion import promote, quarantine, rollback
from batch.publish.pins import remove_pin, set_pin
from batch.publish.takedowns import put_back, take_down
from batch.runs.runs import RunEnded

Form = Mapping[str, str]
SAYS: Mapping[str, str] = TEXTS["acts"]


@dataclass(frozen=True, slots=True)
class Act:
    """A change: the fields that it takes, what it will change in words, and the change itself."""

    fields: tuple[str, ...]
    say: Callable[[Desk, Form], list[str]]
    do: Callable[[Desk, Form, str], object]  # the last: who does it
    page: str = "/generations"  # that shows what came of it


def describe_act(desk: Desk, form: Form) -> dict[str, Any]:
    """Return what a change would do, and what its form must hold.

    Raises:
        LookupError: There is no such change; ValueError: a field does not fit.
    """
    found = _find(form)
    return {
        "act": form["act"],
        "says": found.say(desk, form),
        "fields": {name: form.get(name, "").strip() for name in found.fields},
        "served": _served(desk, form),
    }


def act(desk: Desk, form: Form, who: str) -> str:
    """Make a change, noted with who makes it, and return the address of the page that shows it.

    Raises:
        Refused: Something else is served than when it was described.
        LookupError, ValueError: As `describe_act`, or it cannot be made.
    """
    found = _find(form)
    if form.get("served", "") != _served(desk, form):
        raise Refused(TEXTS["confirm"]["stale"])
    found.do(desk, form, who)
    return found.page


def _find(form: Form) -> Act:
    found = ACTS.get(form.get("act", ""))
    if found is None:
        raise LookupError(TEXTS["confirm"]["act"])
    return found


def _served(desk: Desk, form: Form) -> str:
    """Return what is served under the variant that a change is about, as a word of its form."""
    if ACTS[form["act"]].page != "/generations":
        return ""  # of no weight
    variant = _variant(desk, form)
    return f"{variant} {desk.store.read_served(variant)}"


def _variant(desk: Desk, form: Form) -> str:
    if form.get("act") in ("promote", "quarantine"):
        return desk.store.need_manifest(asked.read_number(form, "generation")).variant
    return form.get("variant", "").strip() or desk.settings.variant


def _facts(desk: Desk, form: Form) -> dict[str, Any]:
    variant = _variant(desk, form)
    current, previous = desk.store.read_served(variant)
    return {
        "variant": variant,
        "current": "none" if current is None else current,
        "previous": "none" if previous is None else previous,
    }


def _say_promote(desk: Desk, form: Form) -> list[str]:
    number, facts = asked.read_number(form, "generation"), _facts(desk, form)
    again = [SAYS["again"]] if facts["current"] == number else []
    return [SAYS["promote"].format(generation=number, **facts), *again]


def _say_rollback(desk: Desk, form: Form) -> list[str]:
    facts = _facts(desk, form)
    return [SAYS["rollback" if facts["previous"] != "none" else "nothing_before"].format(**facts)]


def _say_quarantine(desk: Desk, form: Form) -> list[str]:
    number, facts = asked.read_number(form, "generation"), _facts(desk, form)
    also = [SAYS["quarantine_current"].format(**facts)] if facts["current"] == number else []
    return [SAYS["quarantine"].format(generation=number), *also]


def _say_pin(_: Desk, form: Form) -> list[str]:
    pin = _read_pin(form)
    told = {
        "from": None if pin.from_s is None else moment(pin.from_s).isoformat(),
        "to": None if pin.to_s is None else moment(pin.to_s).isoformat(),
        "topic": pin.topic,
        "segment": pin.segment,
    }
    limits = [SAYS[f"limit_{name}"].format(value) for name, value in told.items() if value is not None]
    return [SAYS["pin"].format(post=_post(form), place=pin.place, limits="".join(limits))]


def _pipeline(form: Form) -> Pipeline:
    for pipeline in PIPELINES:
        if form.get("pipeline") == pipeline:
            return pipeline
    raise LookupError(SAYS["start_unknown"].format(pipeline=form.get("pipeline", "")[:40]))


def _say_cancel(desk: Desk, form: Form) -> list[str]:
    run = desk.runs.show(asked.read_number(form, "run"))
    if run.outcome is not None:
        raise RunEnded(f"run {run.number} has ended already ({run.outcome}): nothing is left to stop")
    return [SAYS["cancel"].format(run=run.number)]


def _say_of_post(name: str) -> Callable[[Desk, Form], list[str]]:
    return lambda _, form: [SAYS[name].format(post=_post(form))]


def _post(form: Form) -> str:
    return check_id(form.get("post", "").strip())


def _read_pin(form: Form) -> Pin:
    from_s, to_s = (asked.read_time(form, name, 0) if form.get(name) else None for name in ("from", "to"))
    place = asked.read_whole(form, "place", 1, PLACES[0], PLACES[-1])
    return Pin(place, from_s, to_s, form.get("topic") or None, form.get("segment") or None)


def _of_post(change: Callable[..., object]) -> Callable[[Desk, Form, str], object]:
    return lambda desk, form, who: change(
        desk.client, desk.keys, desk.settings.variant, _post(form), desk.now(), who
    )


ACTS: Mapping[str, Act] = {
    "promote": Act(
        ("generation",),
        _say_promote,
        lambda desk, form, who: promote(
            desk.store, asked.read_number(form, "generation"), int(desk.now()), who=who
        ),
    ),
    "rollback": Act(
        ("variant",),
        _say_rollback,
        lambda desk, form, who: rollback(desk.store, _variant(desk, form), int(desk.now()), who=who),
    ),
    "quarantine": Act(
        ("generation",),
        _say_quarantine,
        lambda desk, form, who: quarantine(
            desk.store, asked.read_number(form, "generation"), int(desk.now()), who=who
        ),
    ),
    "take_down": Act(("post",), _say_of_post("take_down"), _of_post(take_down)),
    "put_back": Act(("post",), _say_of_post("put_back"), _of_post(put_back)),
    "pin": Act(
        ("post", "place", "from", "to", "topic", "segment"),
        _say_pin,
        lambda desk, form, who: set_pin(
            desk.client, desk.keys, desk.settings.variant, _post(form), _read_pin(form), desk.now(), who
        ),
    ),
    "unpin": Act(("post",), _say_of_post("unpin"), _of_post(remove_pin)),
    "start": Act(
        ("pipeline",),
        lambda _, form: [SAYS["start"].format(pipeline=_pipeline(form))],
        lambda desk, form, _: ask_for(desk.client, desk.keys, _pipeline(form)),
        "/runs",
    ),
    "cancel": Act(
        ("run",),
        _say_cancel,
        lambda desk, form, who: desk.runs.ask_stop(
            asked.read_number(form, "run"), "cancelled", SAYS["cancelled"].format(who=who)
        ),
        "/runs",
    ),
}
