"""Which of a place's tables are ours, and which of their columns: by usual names, else by values. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from batch.data.columns import EMBEDDINGS, FEED, POSTS, USERS
from batch.data.look.names import Meaning, fits_table, plain, rank
from batch.data.look.sample import Sample
from batch.data.look.values import Values, describe

LEAST_DIMENSIONS = 8  # of embeddings: fewer numbers are something else
MOST_KINDS = 30  # of events, that a column of actions has
_BY_NAME = "its name is usual for it"
_OF: dict[str, tuple[Meaning, ...]] = {
    FEED: ("user", "item", "timestamp", "clock", "action", "target", "rating"),
    USERS: ("user",),
    POSTS: ("item", "text", "topic"),
    EMBEDDINGS: ("item",),
}


@dataclass(frozen=True, slots=True)
class Found:
    """A table of theirs that is one of ours.

    Attributes:
        table: Our name.
        sample: Theirs.
        why: What tells it.
        columns: What its columns mean: theirs and why.
    """

    table: str
    sample: Sample
    why: str
    columns: dict[Meaning, tuple[str, str]] = field(default_factory=dict)


def guess_tables(samples: Sequence[Sample]) -> list[Found]:
    """Return ours among their tables, the feed first; each of ours is there at most once."""
    found: list[Found] = []
    left = list(samples)
    for table in (FEED, USERS, POSTS, EMBEDDINGS):
        fitting = [one for one in (_fit(table, sample) for sample in left) if one]
        if fitting:
            best = max(fitting, key=_merit)
            found.append(best)
            left.remove(best.sample)
    return found


def _merit(found: Found) -> tuple[bool, bool, int, int]:
    """Return what of several tables tells the one that is meant: a usual name, values, columns, rows."""
    titled = fits_table(found.sample.name, found.table) or found.sample.name == found.table
    return found.sample.name == found.table, titled, len(found.columns), found.sample.rows.num_rows


def _fit(table: str, sample: Sample) -> Found | None:
    values = {name: describe(sample.rows.column(name)) for name in sample.rows.column_names}
    columns = _by_name(table, sample, values) if sample.named else _by_values(table, sample, values)
    n_numbers = sum(one.is_number for one in values.values()) - 1
    embeds = n_numbers >= max(LEAST_DIMENSIONS, len(values) - 2)
    has = set(columns)
    if sample.name == table and columns:
        return Found(table, sample, "it has our name", columns)
    if table == FEED and {"user", "item", "timestamp"} <= has:
        return Found(table, sample, "it has users, items and times", columns)
    if table == USERS and "user" in has and not _means(sample, "item"):
        return Found(table, sample, "it has users and no items", columns)
    if table == POSTS and "item" in has and not embeds and not _means(sample, "user"):
        return Found(table, sample, "it has items and no users", columns)
    if table == EMBEDDINGS and "item" in has and embeds:
        return Found(table, sample, f"it has items and {n_numbers} numbers of each", columns)
    return None


def _means(sample: Sample, meaning: Meaning) -> bool:
    return sample.named and any(rank(name, meaning) >= 0 for name in sample.rows.column_names)


def _by_name(table: str, sample: Sample, values: dict[str, Values]) -> dict[Meaning, tuple[str, str]]:
    """Return what columns mean by their names; of two that fit, the more usual name."""
    columns: dict[Meaning, tuple[str, str]] = {}
    taken: set[str] = set()
    for meaning in _OF[table]:
        ranked = [(rank(name, meaning), name) for name in values if name not in taken]
        fitting = sorted(
            (place, name) for place, name in ranked if place >= 0 and _may_be(meaning, values[name])
        )
        if fitting:
            columns[meaning] = fitting[0][1], _BY_NAME
            taken.add(fitting[0][1])
    key: Meaning = "user" if table == USERS else "item"
    alone = next((name for name in values if plain(name) == "id"), "")
    if table != FEED and key not in columns and alone and fits_table(sample.name, table):
        columns[key] = alone, "the table's name says whose id it is"
    if table == POSTS and "text" not in columns:
        columns |= _longest_text(values, {name for name, _ in columns.values()})
    return columns


def _may_be(meaning: Meaning, values: Values) -> bool:
    """Tell whether a column's values can have a meaning that its name has."""
    if meaning == "rating":
        return values.is_number
    if meaning == "target":
        return values.n_distinct <= 3  # yes and no, and a stray word
    if meaning == "clock":
        return values.is_clock
    if meaning == "timestamp":
        return values.is_time or not (values.is_number or values.is_clock)
    if meaning == "action":
        return values.n_distinct <= MOST_KINDS
    return True


def _by_values(table: str, sample: Sample, values: dict[str, Values]) -> dict[Meaning, tuple[str, str]]:
    """Return what columns without names mean: by the order in which such files have them, and by values."""
    names = list(values)
    if table in (USERS, POSTS):
        if not fits_table(sample.name, table) or fits_table(sample.name, FEED):
            return {}
        key: Meaning = "user" if table == USERS else "item"
        columns: dict[Meaning, tuple[str, str]] = {key: (names[0], "it comes first")}
        return columns | (_longest_text(values, {names[0]}) if table == POSTS else {})
    times = [name for name in names if values[name].is_time]
    if table != FEED or not times:
        return {}
    rest = [name for name in names if name != times[-1]]
    found: dict[Meaning, tuple[str, str]] = {"timestamp": (times[-1], "its values are times")}
    few = [name for name in rest[2:] if values[name].n_distinct <= MOST_KINDS]
    if len(rest) > 1:
        why = "such files have users first, then items"
        found |= {"user": (rest[0], why), "item": (rest[1], why)}
    action = next((name for name in few if not values[name].is_number), "")
    stars = next((name for name in few if values[name].is_number and values[name].most <= 10), "")
    if action:
        found["action"] = action, f"it has {values[action].n_distinct} words"
    elif stars:
        found["rating"] = stars, f"it has numbers up to {values[stars].most:g}"
    return found


def _longest_text(values: dict[str, Values], taken: set[str]) -> dict[Meaning, tuple[str, str]]:
    """Return the column of the longest texts, and as topic that of the fewest."""
    texts = [
        name for name, one in values.items() if name not in taken and not one.is_number and one.length > 0
    ]
    if not texts:
        return {}
    longest = max(texts, key=lambda name: values[name].n_distinct * values[name].length)
    found: dict[Meaning, tuple[str, str]] = {"text": (longest, "its texts differ most and are the longest")}
    others = [name for name in texts if name != longest]
    if others:
        fewest = min(others, key=lambda name: values[name].n_distinct)
        found["topic"] = fewest, "it has the fewest different texts"
    return found
