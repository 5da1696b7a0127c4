"""What a feed's page is asked to show. Pure."""

from dataclasses import dataclass
from urllib.parse import quote, urlencode

from api.contract.facets import Filter
from api.contract.ids import split_ids


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be shown.

    Attributes:
        user_id: Whose feed.
        at_s: When, epoch seconds.
        limit: Posts of it.
        variant: Under which name it is served.
        beside: Another variant, or a generation's number, to show next to it; empty: none.
        generation: Shown whatever is served; None: the one that answers the time.
        filters: `topic`, `not_topic`, `filter` and `exclude` with their values, as requests have them.
    """

    user_id: str
    at_s: int
    limit: int
    variant: str
    beside: str = ""
    generation: int | None = None
    filters: tuple[tuple[str, str], ...] = ()

    @property
    def wanted(self) -> Filter | None:
        """Return what is wanted of posts; None where it is all."""
        any_of = [f"topic={value}" for name, value in self.filters if name == "topic"]
        any_of += [value for name, value in self.filters if name == "filter"]
        return Filter.of(any_of, [f"topic={value}" for name, value in self.filters if name == "not_topic"])

    @property
    def excluded(self) -> list[str]:
        """Return the ids of posts that are not wanted.

        Raises:
            ValueError: One of them can be no id.
        """
        return [post for name, value in self.filters if name == "exclude" for post in split_ids(value)]

    @property
    def fields(self) -> list[tuple[str, str]]:
        """Return all but the time as an address has it, so that a link to another time asks the same."""
        asked = {"user": self.user_id, "limit": str(self.limit), "variant": self.variant}
        also = {"beside": self.beside, "generation": str(self.generation or "")}
        return [*asked.items(), *((name, value) for name, value in also.items() if value), *self.filters]

    @property
    def query(self) -> str:
        """Return them as text, percent-encoded."""
        return urlencode(self.fields, quote_via=quote)

    def about(self, generation: int | None, variant: str) -> str:
        """Return the query of a page about one post of the feed that such a generation or variant has."""
        asked = {"user": self.user_id, "limit": self.limit, "variant": variant}
        if generation is not None:
            asked["generation"] = generation
        return urlencode(asked, quote_via=quote)
