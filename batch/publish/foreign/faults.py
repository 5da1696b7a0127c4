"""What is wrong with somebody else's lists: counted, with an example each, and bounded. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from batch.settings import Settings

Fault = Literal[
    "unreadable_row",  # a line with more or fewer fields than columns, or that is no JSON object
    "missing_user",  # no user
    "missing_item",  # no item
    "unreadable_id",  # longer than 256 bytes, with control characters, or no number where ids are numbers
    "missing_score",  # no score, or NaN; no rank, where a rank orders the lists
    "bad_time",  # a valid_from that is missing or cannot be read
    "ragged_list",  # a list with more or fewer scores than items
    "unknown_item",  # neither among --items nor in what is current
    "duplicate",  # an item that stands in the user's list already, further up
    "broken_ranks",  # a list whose ranks are not 1, 2, 3, …
    "short_list",  # a list less than half as long as the longest; it is published all the same
    "absent_user",  # one who has a list in what is current under the variant, and none here
]
FAULTS: tuple[Fault, ...] = get_args(Fault)
OF: Mapping[Fault, str] = {
    "ragged_list": "lists",
    "broken_ranks": "lists",
    "short_list": "lists",
    "absent_user": "users",
}  # what else than rows is counted
SAYS: Mapping[Fault, str] = {
    "unreadable_row": "are no rows",
    "missing_user": "have no user",
    "missing_item": "have no item",
    "unreadable_id": "have an id that cannot be one",
    "missing_score": "have no score or rank",
    "bad_time": "have a valid_from that is no time",
    "ragged_list": "have more or fewer scores than items",
    "unknown_item": "have an item that is not known",
    "duplicate": "repeat an item of the same list",
    "broken_ranks": "have ranks that are not 1, 2, 3, …",
    "short_list": "are less than half as long as the longest",
    "absent_user": "have lists in what is served and none here",
}
REMEDIES: Mapping[Fault, str] = {
    "unreadable_id": "mend them, or allow text where ids are numbers with ALMANAC_IDS=text",
    "unknown_item": "give the table of all items with --items",
    "absent_user": "publish all users' lists, or under another --variant",
}
SETTING: Mapping[Fault, str] = {"short_list": "max_short_share", "absent_user": "max_absent_user_share"}
DEFAULT_SETTING = "max_rejected_share"


class ListsRefused(ValueError):
    """The lists have more faults of a kind than allowed; what is served did not change."""

    exit_code = 3


@dataclass(frozen=True, slots=True)
class Line:
    """A fault that was found.

    Attributes:
        fault: Which.
        n: How often.
        of: What is counted: rows, lists or users.
        share: Of all of these, 0..1.
        limit: Largest share that is published.
        setting: What says the limit.
        example: Where it was first found.
    """

    fault: Fault
    n: int
    of: str
    share: float
    limit: float
    setting: str
    example: str

    @property
    def sentence(self) -> str:
        """Say it, and what to do."""
        remedy = REMEDIES.get(self.fault, "mend them")
        return (
            f"{self.n:,} of the {self.of} ({self.share:.2%}) {SAYS[self.fault]}, such as {self.example}: "
            f"more than the {self.limit:.2%} allowed; {remedy}, or raise {self.setting}"
        )


class Faults:
    """Counts faults while lists are read and sorted."""

    def __init__(self) -> None:
        """Begin with none."""
        self.n: dict[Fault, int] = {}
        self._examples: dict[Fault, str] = {}

    def add(self, fault: Fault, n: int, example: str) -> None:
        """Count `n` more of a fault; the first example stays."""
        if n:
            self.n[fault] = self.n.get(fault, 0) + n
            self._examples.setdefault(fault, example)

    def report(self, settings: Settings, n_rows: int, n_lists: int, n_users: int) -> list[Line]:
        """Return a line a fault that was found.

        Args:
            settings: Give the limits.
            n_rows: Rows read.
            n_lists: Lists found, without ragged ones.
            n_users: Users with lists in what is current under the variant.
        """
        of = {"rows": n_rows, "lists": n_lists + self.n.get("ragged_list", 0), "users": n_users}
        return [self._line(fault, settings, of) for fault in FAULTS if fault in self.n]

    def _line(self, fault: Fault, settings: Settings, of: Mapping[str, int]) -> Line:
        n, what, setting = self.n[fault], OF.get(fault, "rows"), SETTING.get(fault, DEFAULT_SETTING)
        return Line(
            fault=fault,
            n=n,
            of=what,
            share=n / max(of[what], 1),
            limit=getattr(settings, setting),
            setting=f"ALMANAC_{setting.upper()}",
            example=self._examples[fault],
        )


def refusal(report: Sequence[Line]) -> str | None:
    """Return why lists are refused, a sentence of the first fault beyond its limit; None where none is."""
    return next((line.sentence for line in report if line.share > line.limit), None)
