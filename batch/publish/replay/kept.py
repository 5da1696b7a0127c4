"""A generation as it is kept, whichever place keeps it, and what it holds for a user at a time."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import orjson
import redis

from api.contract.codec import decode
from api.contract.explore import Exploration, decode_weights, read_places
from api.contract.facets import Facets
from api.contract.ids import FEATURE, as_json, canonical
from api.contract.keys import Keys
from api.contract.layout import ListLayout, OwnList
from api.contract.manifest import EXPLORE, WINDOWS
from api.contract.pin import Pins
from api.contract.window import Window, decode_window
from api.found import Generation, Lookup, Pointer, RankedLists
from batch.arrays import Ints
from batch.publish.backfilled import Backfilled, open_content, open_list
from batch.publish.generation import Rows
from batch.publish.ledger.ledger import Ledger
from batch.publish.post_ids import read_post_ids
from batch.store import read


class GenerationLost(LookupError):
    """The generation of a time is no longer kept anywhere."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A generation; `read_own` answers for a user's canonical id and a bucket's start."""

    shared: Generation
    read_own: Callable[[str, int], OwnList]

    def user_key(self, user_id: str) -> str:
        """Return a user's id as the generation's keys have it."""
        return canonical(user_id, self.shared.manifest.user_ids)

    def name_post(self, post_id: str) -> int | str:
        """Return a post's id as JSON has it, spelled as its table does if it is one of the generation's."""
        number = self.shared.number_of(post_id)
        if number is None or number not in self.shared.posts:
            return as_json(post_id, self.shared.manifest.post_ids)
        return self.shared.id_of(number)

    def look_up(
        self, user_id: str, at_s: int, hidden: frozenset[str], taken_down: frozenset[str], pins: Pins
    ) -> Lookup:
        """Return what it holds for a user at a time: all that `api.feed.answer` needs.

        Args:
            user_id: Who asks, in whatever spelling.
            at_s: The time asked for, epoch seconds.
            hidden: Canonical ids of posts that they have seen.
            taken_down: Canonical ids of posts that nobody may be answered.
            pins: What is pinned.
        """
        manifest = self.shared.manifest
        bucket_s = manifest.horizon.bucket_for(at_s)
        ranked, segment = self.read_own(self.user_key(user_id), bucket_s)
        down = self.shared.numbers_of(taken_down)
        posts = {number: text for number, text in self.shared.posts.items() if number not in down}
        return Lookup(
            user_id=str(user_id),
            at_s=at_s,
            bucket_s=bucket_s,
            pointer=Pointer(manifest.generation, manifest.created_at_s),
            generation=replace(self.shared, posts=posts),
            own=ranked,
            segment=segment,
            hidden=self.shared.numbers_of(hidden),
            sees_all=True,
            pins=self.shared.number_pins(pins),
        )


def from_store(client: redis.Redis, keys: Keys, number: int) -> Kept:
    """Read a sealed generation from the store.

    Raises:
        GenerationLost: It is not in the store.
    """
    ledger = Ledger(client, keys)
    manifest = ledger.manifest(number)
    if manifest is None or ledger.state(number) != "sealed":
        raise GenerationLost(
            f"generation {number} answered at that time and is no longer kept: "
            "raise ALMANAC_GENERATIONS_KEPT to replay further back"
        )
    catalogue = decode(read.value(client, keys.catalogue(number)))
    facets = read.fields(client, keys.facets(number)) if manifest.filter_by else {}
    windows = read.fields(client, keys.windows(number)) if WINDOWS in manifest.needs else {}
    posts, ids = [int(post) for post in client.hkeys(keys.posts(number))], read_post_ids(ledger, manifest)
    weights = read.fields(client, keys.explore(number)) if EXPLORE in manifest.needs else {}
    shared = Generation(
        manifest=manifest,
        posts={post: orjson.dumps({"id": ids.as_json(post)}) for post in posts},
        catalogue=catalogue,
        numbers={ids.id_of(post): post for post in posts} if FEATURE in manifest.needs else {},
        popular=_lists(read.fields(client, keys.popular(number))),
        segments={
            name: _lists(read.fields(client, keys.segment(number, name))) for name in manifest.segments
        },
        facets=Facets({facet.decode(): decode(text) for facet, text in facets.items()}, catalogue),
        windows={int(post): decode_window(text) for post, text in windows.items()},
        exploration=Exploration(
            read_places(manifest.explore),
            {name.decode(): decode_weights(text) for name, text in weights.items()},
        )
        if weights
        else None,
    )

    layout = ListLayout(manifest)

    def read_own(user_id: str, bucket_s: int) -> OwnList:
        asked = layout.ask(keys.list(user_id, number), bucket_s)
        return layout.read(client.execute_command(*asked), bucket_s)  # type: ignore[no-untyped-call]

    return Kept(shared, read_own)


def from_disk(made: Backfilled) -> Kept:
    """Read a generation made for the past from its folder; the store need not have it.

    Its posts' numbers are their codes, since no store has numbered them.
    """
    content, ranked = open_content(made), open_list(made)
    ids, starts = content.post_ids, content.horizon.starts
    catalogue = ids[content.catalogue].tolist()
    offered = np.flatnonzero(content.offered).tolist()
    segment_of = dict(zip(content.user_ids.tolist(), content.segment_of, strict=True))
    shared = Generation(
        manifest=replace(made.manifest, needs=(FEATURE,)),
        posts={int(ids[row]): content.posts[row] for row in offered},
        catalogue=catalogue,
        numbers=dict(zip(content.post_names.canonical(ids), ids.tolist(), strict=True)),
        popular=_ids(content.popular, ids, starts),
        segments={name: _ids(rows, ids, starts) for name, rows in content.segments.items()},
        facets=Facets({facet: ids[rows].tolist() for facet, rows in content.facets.items()}, catalogue),
        windows={int(ids[row]): Window(*sides) for row, sides in content.windowed.items()},
    )

    def read_own(user_id: str, bucket_s: int) -> OwnList:
        user = content.user_names.code_of(user_id)
        return ranked(user, bucket_s), segment_of.get(user)

    return Kept(shared, read_own)


def _ids(rows: Rows, post_ids: Ints, starts: Sequence[int]) -> RankedLists:
    return {
        start: post_ids[row[row >= 0]].tolist() for start, row in zip(starts, np.asarray(rows), strict=True)
    }


def _lists(fields: Mapping[bytes, bytes]) -> RankedLists:
    return {int(start): decode(ids) for start, ids in fields.items()}
