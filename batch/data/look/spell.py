"""A guessed mapping as TOML that a person can mend: each line with its reason. Pure."""

from collections import Counter
from collections.abc import Iterator, Sequence

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from batch.data.columns import ACTIONS, FEED, POST_ID, USER_ID
from batch.data.look.guess import Found
from batch.data.look.names import LIKES, OURS, VIEWS, Meaning, plain
from batch.data.look.values import describe, find_form, threshold
from batch.data.validation.times import join_clock
from batch.data.validation.values import plain as as_text

_BARS = 0.3  # share of topics with a bar, from which on they are lists
_ENCODINGS = {"iso8859-1": "latin-1"}  # as people call it
_MOST_NAMED = 12  # of what is listed in a comment


def spell_mapping(found: Sequence[Found], place: str) -> str:
    """Return the TOML text of the mapping by which the tables found are read."""
    lines = [
        f"# Guessed by `almanac import --dry-run` from {_comment(place)}:",
        "# look it through, and mend what is wrong.",
        *_shown(found),
    ]
    in_database = [one for one in found if one.sample.form is None and one.sample.name != one.table]
    if in_database:
        lines += ["", "[tables]"]
        lines += [f"{one.table} = {_quote(one.sample.name)}  # {one.why}" for one in in_database]
    for one in found:
        lines += _table(one)
    for one in found:
        if one.table == FEED:
            lines += _events(one)
            lines += _time(one)
    return "\n".join(lines) + "\n"


def ours(found: Found, meaning: Meaning) -> str:
    """Return our name of what a column means; the column of ratings keeps its own."""
    if meaning == "rating":
        return found.columns[meaning][0] if found.sample.named else "rating"
    return OURS.get(meaning) or (USER_ID if meaning == "user" else POST_ID)


def _shown(found: Sequence[Found]) -> Iterator[str]:
    feed = next((one for one in found if one.table == FEED), None)
    if feed is None:
        return
    if "target" in feed.columns:
        yield 'shown = "impressions"  # a feed showed the item, and its target says whether it was liked'
    else:
        yield 'shown = "choices"  # the user took the item; "impressions" where a feed showed it'


def _table(found: Found) -> Iterator[str]:
    form = found.sample.form
    if form is not None:
        yield ""
        yield f"[files.{found.table}]  # {found.why}"
        yield f"path = {_quote(form.path)}"
        if form.separator:
            yield f"separator = {_quote(form.separator)}"
        if form.encoding:
            yield f"encoding = {_quote(_ENCODINGS.get(form.encoding, form.encoding))}"
    names = {column: (ours(found, meaning), why) for meaning, (column, why) in found.columns.items()}
    if not found.sample.named:
        header = [names.get(column, (column, ""))[0] for column in found.sample.rows.column_names]
        yield f"header = [{', '.join(map(_quote, header))}]"
        yield from (f"#   {name}: {why}" for name, why in names.values())
    lines = list(_columns(found))
    if lines:
        yield from ("", f"[columns.{found.table}]", *lines)


def _columns(found: Found) -> Iterator[str]:
    """Yield a line for each column that we call by another name, or that is made of two or taken apart."""
    for meaning, (column, why) in found.columns.items():
        name = ours(found, meaning)
        theirs = _quote(column if found.sample.named else name)
        if meaning == "topic" and _has_bars(found.sample.rows.column(column)):
            theirs = f'{{ column = {theirs}, split = "|" }}'
        if meaning == "timestamp" and "clock" in found.columns:
            theirs = f"[{theirs}, {_quote(found.columns['clock'][0])}]"
        if theirs != _quote(name) and meaning != "clock":
            yield f"{name} = {theirs}  # {why}"


def _events(feed: Found) -> Iterator[str]:
    if "action" in feed.columns:
        yield from _kinds(feed)
    elif "rating" in feed.columns and "target" not in feed.columns:
        column = ours(feed, "rating")
        values = feed.sample.rows.column(feed.columns["rating"][0])
        top = describe(values).most
        yield ""
        yield "[events]"
        where = f"{{ column = {_quote(column)}, at_least = {threshold(values):g} }}"
        yield f"like = {where}  # the largest is {top:g}"


def _kinds(feed: Found) -> Iterator[str]:
    column = as_text(feed.sample.rows.column(feed.columns["action"][0]).combine_chunks()).cast(pa.string())
    counts = Counter({e["values"]: e["counts"] for e in pc.value_counts(column).to_pylist() if e["values"]})
    if set(counts) <= set(ACTIONS):
        return
    like = [name for name in counts if plain(name) in LIKES]
    view = [name for name in counts if plain(name) in VIEWS]
    if not view and not like:
        view = [counts.most_common(1)[0][0]]
    other = [f"{_comment(name)} ({n})" for name, n in counts.most_common() if name not in (*view, *like)]
    yield ""
    yield "[events]"
    for action, names in (("view", view), ("like", like)):
        if names:
            told = ", ".join(f"{_comment(name)} {counts[name]}" for name in names)
            yield f"{action} = [{', '.join(map(_quote, names))}]  # rows looked at: {told}"
    if other:
        yield f"# not taken: {', '.join(other[:_MOST_NAMED])}"


def _time(feed: Found) -> Iterator[str]:
    if "timestamp" not in feed.columns:
        return
    column = feed.sample.rows.column(feed.columns["timestamp"][0]).combine_chunks()
    if "clock" in feed.columns:
        column = join_clock(column, feed.sample.rows.column(feed.columns["clock"][0]).combine_chunks())
    form = find_form(as_text(column))
    if form is None or not (form.unit or form.format):
        return
    yield ""
    yield "[time]"
    if form.unit:
        yield f'unit = "{form.unit}"  # of numbers since 1970, by their size'
    if form.format:
        yield f"format = {_quote(form.format)}  # fits nearly all; where day and month may be swapped, look"


def _has_bars(column: pa.ChunkedArray) -> bool:
    texts = as_text(column.combine_chunks())
    if not pa.types.is_string(texts.type):
        return False
    return (pc.mean(pc.match_substring(texts, "|").cast(pa.float64())).as_py() or 0.0) >= _BARS


def _quote(text: str) -> str:
    """Return a text as TOML has it, which takes JSON's escapes."""
    return orjson.dumps(text).decode().replace("\x7f", "\\u007f")


def _comment(text: str) -> str:
    """Return a text without line ends and other control characters, which a comment may not have."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
