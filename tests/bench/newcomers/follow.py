"""A full run, then refreshes by what happens after it: the lists of each moment, and those of a run anew."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import redis

from api.contract.keys import Keys
from api.contract.manifest import Manifest
from batch.arrays import Bools, Ints
from batch.data.facts import Facts
from batch.features import asof
from batch.jobs.assemble import assemble_publication
from batch.jobs.refresh.refresh import refresh
from batch.learn.recency import learn_half_life, score_recent
from batch.learn.recipe import Recipe
from batch.learn.train import train
from batch.progress import SILENT
from batch.publish.export.answers import answer_all
from batch.publish.folder import GenerationFolder
from batch.publish.proof.inputs import INPUTS, Inputs, load
from batch.publish.replay.kept import from_store
from batch.publish.store import GenerationStore
from batch.score.engine import score
from batch.settings import Settings
from tests.bench.refresh import publish_first

HOUR_S = 3600
HOURS = (1, 6, 12, 18, 24)  # of refreshes after the run: each moves less than a fifth of the users
MEASURED = (1, 6, 24)  # hours after which lists are judged
K = 10
NO_POST = -1
ANSWERED = 20  # users whose answers are held against what was scored
Ranks = Callable[[Ints, Bools], Ints]  # users and candidates, bool (posts,), to posts int64 (users, K)


@dataclass(frozen=True, slots=True)
class Moment:
    """What is known at a moment, and who ranks then.

    Attributes:
        hours: After the full run.
        at_s: Epoch seconds.
        facts: As they are.
        new: bool (posts,). Posts that the full run did not know.
        ranks: Name to lists: `as_run` is the full run's, `refreshed` those of refreshes since, `anew` a full
            run's at this moment, `recent` by likes of late alone.
    """

    hours: int
    at_s: int
    facts: Facts
    new: Bools
    ranks: dict[str, Ranks]


def follow(
    settings: Settings, client: redis.Redis, known: Callable[[int], Facts], run_s: int
) -> Iterator[Moment]:
    """Run in full, refresh after each of `HOURS`, and yield the moments that are judged.

    Args:
        settings: Of the batch; a prefix without a generation.
        client: A store.
        known: Facts by the moment at which they are asked for, epoch seconds.
        run_s: Moment of the full run.

    Raises:
        AssertionError: A refresh does not know what came, or the store answers other lists.
    """
    base = known(run_s)
    generations = GenerationStore(client, Keys(settings.prefix))
    first = _inputs(settings, publish_first(settings, client, base)[0])
    for hours in HOURS:
        at_s = run_s + hours * HOUR_S
        facts = known(at_s)
        refresh(settings, client, facts, SILENT, now=lambda: int(time.time()))
        if hours not in MEASURED:
            continue
        manifest = generations.current(settings.variant)
        now = _inputs(settings, manifest)
        new = ~np.isin(facts.post_ids, base.post_ids)
        assert new.any(), f"no post came within {hours} hours"
        assert np.array_equal(now.sides.post_ids, facts.post_ids), "a refresh does not know what came"
        ranks = {
            "as_run": _lists(first, facts, at_s),
            "refreshed": _lists(now, facts, at_s),
            "anew": _lists(_run_anew(settings, facts, at_s), facts, at_s),
            "recent": _by_recency(facts, at_s),
        }
        moment = Moment(hours, at_s, facts, new, ranks)
        _check_answers(settings, client, manifest, moment)
        yield moment


def keep_posts(facts: Facts, there: Bools) -> Facts:
    """Return the facts with some posts only, bool (posts,), and the events on them."""
    row = np.cumsum(there) - 1
    kept = facts.select(there[facts.post])
    return replace(
        kept,
        posts=facts.posts[there].reset_index(drop=True),
        post=row[kept.post].astype(np.int32),
        post_came=None if facts.post_came is None else facts.post_came[there],
        embeddings=None if facts.embeddings is None else facts.embeddings[there],
    )


def hide_seen(facts: Facts, users: Ints, candidates: Bools) -> Bools:
    """Return bool (users, posts): candidates that each of the users, given by row, has not seen."""
    row = np.full(len(facts.users), -1)
    row[users] = np.arange(len(users))
    own = row[facts.user] >= 0
    open_to = np.tile(candidates, (len(users), 1))
    open_to[row[facts.user[own]], facts.post[own]] = False
    return open_to


def rank_scores(scores: np.ndarray, open_to: Bools) -> Ints:
    """Return each user's `K` best open posts, ties to the lower row; `NO_POST` where none is left.

    Args:
        scores: float64 (users, posts).
        open_to: bool (users, posts).
    """
    order = np.argsort(np.where(open_to, -scores, np.inf), axis=1, kind="stable")[:, :K]
    return np.where(np.take_along_axis(open_to, order, axis=1), order, NO_POST).astype(np.int64)


def _inputs(settings: Settings, manifest: Manifest) -> Inputs:
    folder = GenerationFolder.of(settings.state_dir / "generations", manifest.generation)
    return load(folder.inputs, None, manifest.checksums[INPUTS])


def _run_anew(settings: Settings, facts: Facts, at_s: int) -> Inputs:
    statics = asof.describe(facts, settings.seed)
    model = train(facts, statics, at_s, Recipe.of(settings)).model
    return assemble_publication(settings, facts, statics, model, at_s).inputs


def _lists(inputs: Inputs, facts: Facts, at_s: int) -> Ranks:
    """Return lists by what is scored for the bucket of a moment, without what was seen by then."""
    bucket = int(np.searchsorted(inputs.sides.starts, at_s, side="right")) - 1
    assert bucket >= 0, "the horizon begins later"
    post = np.searchsorted(facts.post_ids, inputs.sides.post_ids)

    def rank(users: Ints, candidates: Bools) -> Ints:
        own = inputs.left_out.of_users(users)
        sides = inputs.sides.part(users, np.array([bucket]))
        dense = None if inputs.dense is None else (inputs.dense[0][users], inputs.dense[1])
        seen = hide_seen(facts, users, np.ones(len(facts.posts), np.bool_))
        deep = min(len(post), K + int((~seen).sum(axis=1).max()))
        opened = candidates[post][None]
        out = np.full((len(users), K), NO_POST)
        if not opened.any():
            return out
        blocks = score(inputs.model, sides, own, deep, dense=dense, opened=opened, threads=1)
        for row, found in enumerate(found for block in blocks for found in block.posts[:, 0]):
            posts = post[found[found >= 0]]
            posts = posts[seen[row, posts]][:K]
            out[row, : len(posts)] = posts
        return out

    return rank


def _by_recency(facts: Facts, at_s: int) -> Ranks:
    scores = score_recent(facts, at_s, learn_half_life(facts, at_s))
    return lambda users, candidates: rank_scores(
        np.tile(scores, (len(users), 1)), hide_seen(facts, users, candidates)
    )


def _check_answers(settings: Settings, client: redis.Redis, manifest: Manifest, moment: Moment) -> None:
    """Hold what the store answers some users against the lists of the refresh.

    Raises:
        AssertionError: They differ.
    """
    keys, facts = Keys(settings.prefix), moment.facts
    users = np.unique(facts.user)[:ANSWERED].astype(np.int64)
    asked = [facts.user_names.spelled(facts.user_ids[[user]])[0] for user in users]
    served = from_store(client, keys, manifest.generation).shared
    answers = answer_all(client, keys, served, {}, [f"{user}" for user in asked], moment.at_s, K)
    lists = moment.ranks["refreshed"](users, np.ones(len(facts.posts), np.bool_))
    for own, answer in zip(lists, (one for some in answers for one in some), strict=True):
        ids = facts.post_names.spelled(facts.post_ids[own[own >= 0]])
        told = [f"{served.id_of(number)}" for number in answer.posts]
        assert told == [f"{post}" for post in ids], "the store has other lists"
