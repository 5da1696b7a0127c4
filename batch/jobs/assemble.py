"""Facts and settings to what is published: a model's lists, and what stands beside them."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from api.contract.buckets import Horizon
from api.contract.explore import read_places
from api.contract.profile import Bins
from batch.arrays import Floats
from batch.data.columns import TOPIC
from batch.data.facts import Facts
from batch.data.seen import SeenPosts, earliest
from batch.data.windows import Windows
from batch.features import asof, popularity
from batch.features.population import Population
from batch.features.profile import segments
from batch.features.reception import Reception
from batch.features.sides import Sides
from batch.features.signatures import find, typical
from batch.features.tally import Tally
from batch.learn.explore import NewPosts, find_new, weigh_new_posts
from batch.learn.factors.cold_start import shared_factors
from batch.learn.ranker import Ranker
from batch.learn.similar.similar import find_similar
from batch.memory import give_back
from batch.publish.facets import find_facets
from batch.publish.generation import GenerationContent, Rows, choose_left_out, post_json
from batch.publish.proof.inputs import Inputs
from batch.score.caps import Caps
from batch.score.engine import score
from batch.score.ranked import RankedBlock
from batch.settings import Settings


@dataclass(frozen=True, slots=True)
class Publication:
    """All that a publication of our own model takes.

    Attributes:
        content: What stands beside the lists.
        lists: All users' lists, block by block, scored from `inputs` as they are taken, once.
        inputs: All that scoring reads.
        population: What users' features take from all users.
        reception: What posts' features take from all posts.
        post_scores: float64 (posts,). What orders the catalogue.
    """

    content: GenerationContent
    lists: Iterator[RankedBlock]
    inputs: Inputs
    population: Population
    reception: Reception
    post_scores: Floats


def assemble_publication(
    settings: Settings, facts: Facts, statics: asof.Statics, model: Ranker, as_of_s: int
) -> Publication:
    """Lay out what a model scores as of a moment, and what is published beside its lists.

    Args:
        settings: Of the run.
        facts: Events up to `as_of_s`.
        statics: What does not change with time.
        model: A trained one.
        as_of_s: Epoch seconds; the horizon begins with its bucket.
    """
    counts = asof.start_tally(facts, statics).advance(as_of_s)
    facts.release()
    names = tuple(feature.name for feature in model.features)
    caps = Caps.of(settings.max_per_topic, facts.posts[TOPIC])
    own = assemble_content(settings, facts, counts, model.fingerprint, names, model.metrics, caps)
    own = add_similar(settings, facts, statics, own)
    own = add_explored(settings, facts, statics, counts, own)
    facts.release()
    sides = asof.make_sides(facts, statics, counts, np.array(own.horizon.starts, np.int64))
    bins, profiles = score_profiles(settings, facts, statics, counts, model, sides, own.depth, caps)
    own = replace(own, profile=bins, profiles=profiles, topic_depth=settings.topic_depth)
    give_back()
    seen = choose_left_out(own.seen_policy, own.views, own.likes)
    inputs = Inputs(model.text, sides, seen, model.factors.dense, caps, own.windows)
    lists = score_lists(settings, inputs, own.depth)
    population = Population.of(counts, statics.texts)
    return Publication(own, lists, inputs, population, Reception.of(counts), popularity.post_scores(counts))


def score_lists(settings: Settings, inputs: Inputs, depth: int) -> Iterator[RankedBlock]:
    """Score everything exactly, with the threads and the memory of the settings."""
    return score(
        inputs.model,
        inputs.sides,
        inputs.left_out,
        depth,
        threads=settings.threads,
        memory_mb=settings.memory_mb,
        dense=inputs.dense,
        caps=inputs.caps,
        opened=inputs.opened,
    )


def score_profiles(
    settings: Settings,
    facts: Facts,
    statics: asof.Statics,
    counts: Tally,
    model: Ranker,
    sides: Sides,
    depth: int,
    caps: Caps | None = None,
) -> tuple[Bins, dict[str, Rows]]:
    """Score the typical user of each frequent profile, without a history, against every post and bucket.

    Args:
        settings: Of the run.
        facts: Give the users.
        statics: What does not change with time.
        counts: What the features came from.
        model: What ranks.
        sides: Its features for the users there are.
        depth: Posts in a list.
        caps: How many posts of a topic may stand close together.

    Returns:
        How a profile becomes a signature; signature to int32 (buckets, depth), rows of posts, best first.
    """
    signatures = find(facts.users, settings.profiles)
    n = len(signatures.names)
    cold = asof.make_cold_sides(sides, statics, counts, typical(statics.profiles, signatures))
    x, y = model.factors.dense
    shared = shared_factors(x, y, signatures.of_user, n)
    nobody = Inputs(model.text, cold, SeenPosts.none(n), (shared, y), caps, Windows.of(facts.posts))
    blocks = score_lists(settings, nobody, depth)
    rows = [row for block in blocks for row in block.posts]
    return signatures.bins if n else {}, dict(zip(signatures.names, rows, strict=True))


def add_similar(
    settings: Settings, facts: Facts, statics: asof.Statics, content: GenerationContent
) -> GenerationContent:
    """Add each post's similar posts, from the facts up to the content's as_of, and what their text weighs."""
    if not settings.similar:
        return content
    past = facts.until(content.as_of_s)
    space, offered = statics.texts.space, content.offered if content.windows else None
    found = find_similar(past, space, settings.similar, settings.seed, offered)
    metrics = {**content.metrics, "similar_text_weight": found.text_weight}
    return replace(content, similar=found.posts, metrics=metrics)


def add_explored(
    settings: Settings, facts: Facts, statics: asof.Statics, counts: Tally, content: GenerationContent
) -> GenerationContent:
    """Add what exploration places draw from, if the settings want such places."""
    n_places = read_places(settings.explore)
    if not n_places:
        return content
    names, segment = segments(facts.users, content.segment_by)
    offered = None if content.windows is None else content.offered
    new = find_new(counts, facts.post_place, settings.explore_impressions, offered)
    weights = weigh_new_posts(
        facts,
        counts,
        statics.texts,
        segment,
        names,
        [*(content.segments[name] for name in names), content.popular],
        new,
        settings.explore_floor,
        settings.seed,
    )
    return replace(content, explored=NewPosts(n_places, len(new), weights))


def assemble_content(
    settings: Settings,
    facts: Facts,
    counts: Tally,
    model: str,
    features: tuple[str, ...] = (),
    metrics: dict[str, float] | None = None,
    caps: Caps | None = None,
) -> GenerationContent:
    """Return what is published beside the lists, as of the moment of the counts.

    Args:
        settings: Of the run.
        facts: Events up to `counts.at_s`, whose bucket begins the horizon.
        counts: Their tally.
        model: What makes the lists, for the manifest.
        features: Its columns, if it has any.
        metrics: What was measured of it.
        caps: How many posts of a topic may stand close together in popular lists.
    """
    horizon = Horizon.after(counts.at_s, settings.bucket_width_s, settings.n_buckets)
    by = tuple(name for name in settings.segment_by.split(",") if name in facts.users.columns)
    names, segment = segments(facts.users, by)
    depth = min(settings.depth, len(facts.posts))
    starts = np.array(horizon.starts, np.int64)
    windows = Windows.of(facts.posts)
    offered = None if windows is None else windows.touch(horizon.start_s, horizon.end_s)
    choose = None if caps is None else caps.top if offered is None else caps.of_posts(offered).top
    popular = popularity.rank(facts, counts, starts, segment, len(names), depth, choose, offered)
    return GenerationContent(
        variant=settings.variant,
        as_of_s=counts.at_s,
        horizon=horizon,
        depth=depth,
        seen_policy=settings.seen_policy,
        model=model,
        features=features,
        segment_by=by,
        user_ids=facts.user_ids,
        post_ids=facts.post_ids,
        posts=post_json(facts.posts, facts.post_names),
        popular=popular.buckets,
        segments=dict(zip(names, popular.segments, strict=True)),
        segment_of=[names[number] if number >= 0 else None for number in segment],
        catalogue=popular.catalogue,
        views=earliest(facts, "views"),
        likes=earliest(facts, "likes"),
        user_names=facts.user_names,
        post_names=facts.post_names,
        metrics=metrics or {},
        filter_by=settings.filter_columns,
        facets=find_facets(facts.posts, settings.filter_columns, popular.catalogue),
        caps=caps,
        windows=windows,
    )
