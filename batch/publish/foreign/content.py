"""What stands beside somebody else's lists in their generation. Pure."""

import numpy as np
import orjson
import pandas as pd

from batch.arrays import Floats
from batch.data.columns import TOPIC
from batch.data.seen import SeenTimes
from batch.publish.facets import find_facets
from batch.publish.foreign.check import Checked
from batch.publish.foreign.posts import rank_posts
from batch.publish.generation import GenerationContent, Rows
from batch.settings import Settings

MODEL = "lists"  # where our own have a model's fingerprint


def make_content(settings: Settings, checked: Checked, as_of_s: int) -> GenerationContent:
    """Return everything but the lists: popular, segments and catalogue are made from how the lists stand.

    Seen sets are none: those of the store stay as they are.
    """
    posts, arranged, n_buckets = checked.posts, checked.arranged, checked.horizon.n_buckets

    horizon = checked.horizon
    offered = np.ones(len(posts.codes), np.bool_)
    if posts.windows is not None:
        offered = posts.windows.touch(horizon.start_s, horizon.end_s)

    def best(gain: Floats) -> Rows:
        return np.tile(rank_posts(gain * offered, posts.turn, arranged.depth), (n_buckets, 1))

    nothing = SeenTimes.none(len(checked.users.codes))
    catalogue = np.lexsort((posts.turn, -arranged.gain)).astype(np.int32)
    catalogue = catalogue[offered[catalogue]]
    by = tuple(name for name in settings.filter_columns if name == TOPIC)  # all that is known of such posts
    topics = pd.DataFrame({TOPIC: [orjson.loads(shown)["topic"] for shown in posts.shown]})
    return GenerationContent(
        variant=settings.variant,
        as_of_s=as_of_s,
        horizon=horizon,
        depth=arranged.depth,
        seen_policy=settings.seen_policy,
        model=MODEL,
        features=(),
        segment_by=checked.base.manifest.segment_by if checked.segments and checked.base else (),
        user_ids=checked.users.codes,
        post_ids=posts.codes,
        posts=posts.shown,
        popular=best(arranged.gain),
        segments={name: best(gain) for name, gain in zip(checked.segments, arranged.of_segment, strict=True)},
        segment_of=checked.users.segment_of,
        catalogue=catalogue,
        views=nothing,
        likes=nothing,
        user_names=checked.users.names,
        post_names=posts.names,
        holds_seen=True,
        filter_by=by,
        facets=find_facets(topics, by, catalogue),
        windows=posts.windows,
    )
