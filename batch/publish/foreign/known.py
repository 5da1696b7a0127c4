"""What is known beside the lists: posts, their texts and users' segments, from what is current or a table."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd
import pyarrow as pa

from api.contract.codec import decode
from api.contract.manifest import WINDOWS, Manifest
from api.contract.window import Window, decode_window
from batch.arrays import Ints
from batch.data.columns import POST_ID, POSTS, TEXT, TOPIC, VALID_FROM, VALID_TO
from batch.data.ids import as_texts
from batch.data.mapping import TimeForm
from batch.data.tables.location import SourceError
from batch.data.validation.entities import Key, gather, posts_frame
from batch.data.validation.ids import Ids
from batch.data.validation.rejects import Rejects
from batch.data.validation.windows import find_wrong_windows, refuse_unlikely_windows
from batch.data.windows import Windows
from batch.progress import Advance
from batch.publish.foreign.shapes import POST, find_column
from batch.publish.foreign.source import Source
from batch.publish.post_ids import read_post_ids
from batch.publish.store import GenerationStore
from batch.store import read

DEFAULT = "default"  # the variant whose posts and segments count where ours has nothing yet
TEXTS = ("text", "title", "name", "description")
WINDOWS_CALLED = {VALID_FROM: ("validfrom",), VALID_TO: ("validto",)}
TOPICS = ("topic", "category", "genre")
CHUNK = 500  # posts a round trip, half a megabyte
USERS = 5000  # segments between two calls of progress


@dataclass(frozen=True, slots=True)
class Base:
    """What is current: it knows the posts, their texts and the users' segments.

    Attributes:
        manifest: Of what is served under the variant, or else under `default`.
        is_own: Whether it is served under the variant itself.
    """

    manifest: Manifest
    is_own: bool


@dataclass(frozen=True, slots=True)
class BasePosts:
    """The posts of what is current, most popular first.

    Attributes:
        marks: int64 (posts,). Of their ids.
        shown: Each as the API answers it, JSON.
        windows: When they may be shown.
    """

    marks: Ints
    shown: list[bytes]
    windows: Windows


def find_base(store: GenerationStore, variant: str) -> Base | None:
    """Return what is current under the variant, else under `default`; None where nothing is."""
    for name in dict.fromkeys((variant, DEFAULT)):
        number, _ = store.read_served(name)
        manifest = None if number is None else store.manifest(number)
        if manifest is not None:
            return Base(manifest, is_own=name == variant)
    return None


def read_base_posts(store: GenerationStore, base: Base, ids: Ids) -> BasePosts:
    """Read the posts of what is current; their ids are learnt."""
    number = base.manifest.generation
    numbers = decode(read.value(store.client, store.keys.catalogue(number)))
    posts, shown = read_post_ids(store, base.manifest), list[bytes]()
    told = read.fields(store.client, store.keys.windows(number)) if WINDOWS in base.manifest.needs else {}
    own = {int(post): decode_window(text) for post, text in told.items()}
    for low in range(0, len(numbers), CHUNK):
        some = list(map(str, numbers[low : low + CHUNK]))
        found = store.client.hmget(store.keys.posts(number), some)
        shown += [read.narrow(text or b"{}") for text in found]
    spelled = [posts.spelled.get(post, str(post)) for post in numbers]
    windows = Windows.of_sides([own.get(post, Window()) for post in numbers])
    return BasePosts(ids.parse(as_texts(spelled)).value, shown, windows)


def read_segments(
    store: GenerationStore, base: Base | None, users: Sequence[str], advance: Advance
) -> list[str | None]:
    """Return each user's segment in what is current; None for who has none there.

    Args:
        store: Holds it.
        base: What is current, if anything is.
        users: Canonical ids.
        advance: Told how many more users are done.
    """
    if base is None or not base.manifest.segments:
        return [None] * len(users)
    found: list[str | None] = []
    for low in range(0, len(users), USERS):
        found += store.segments(base.manifest, users[low : low + USERS])
        advance(len(users[low : low + USERS]))
    return found


def read_items(source: Source, ids: Ids, folder: Path) -> tuple[Ints, pd.DataFrame, dict[str, int]]:
    """Read the table of posts: an id, and a text, a topic and a window where it has them.

    Args:
        source: The table.
        ids: Those of posts; what kind they are is decided by it where it is not known yet.
        folder: Takes the file of rows that are left out, while they are counted.

    Returns:
        Marks of the posts int64 (posts,); post_id (the codes, ascending), topic, text and windows, as facts
        have them; and how many rows were left out, by reason.

    Raises:
        SourceError: It has no column of ids, or no row.
        UnlikelyTimes: Numbers of its windows cannot be times.
    """
    named = {POST_ID: find_column(source.names, POST), TEXT: find_column(source.names, TEXTS)}
    named[TOPIC] = find_column(source.names, TOPICS)
    named |= {name: find_column(source.names, words) for name, words in WINDOWS_CALLED.items()}
    if not named[POST_ID]:
        raise SourceError(
            f"{source.where} has no column of a post (it has {', '.join(source.names) or 'nothing'}): "
            "call it post_id or item_id"
        )
    there = {ours: theirs for ours, theirs in named.items() if theirs}
    batches = (
        pa.record_batch(batch.columns, names=list(there)) for batch in source.batches(list(there.values()))
    )
    with Rejects(folder / "items.jsonl", most_rows=0) as rejects:
        key, wrong = Key(POST_ID, named[POST_ID]), partial(find_wrong_windows, form=TimeForm())
        rows = gather(POSTS, key, batches, ids, rejects, typed=source.typed, find_wrong=wrong)
    if not len(rows.ids):
        raise SourceError(f"{source.where} holds no post: there is nothing that lists could hold")
    refuse_unlikely_windows(rows.batches, TimeForm())
    frame = posts_frame(rows.ids, rows, [name for name in there if name != POST_ID])
    return rows.marks, frame, rejects.by_reason()
