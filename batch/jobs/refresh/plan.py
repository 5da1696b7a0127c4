"""What a refresh will publish: sides, posts left out and content, of frozen parts and of who has moved."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from api.contract.manifest import Manifest
from batch.arrays import Bools, Floats32, Ints, Ints32
from batch.data.columns import POST_ID, TOPIC
from batch.data.facts import Facts
from batch.data.rows import find_rows
from batch.data.seen import SeenPosts, earliest
from batch.data.windows import Windows
from batch.features.asof import UNSHOWN, post_side
from batch.features.population import cell_side, user_side
from batch.features.profile import segments, values
from batch.features.reception import receive_since
from batch.features.sides import Sides
from batch.features.text import place
from batch.jobs.refresh.digests import Changes
from batch.jobs.refresh.frozen import Frozen
from batch.jobs.refresh.own import count, events_of
from batch.learn.chosen import columns_of
from batch.learn.explore import NewPosts, Weighed
from batch.learn.factors.factor_table import fingerprint
from batch.learn.trend import follow_trend
from batch.publish.facets import find_facets
from batch.publish.generation import GenerationContent, Rows, choose_left_out, post_json
from batch.publish.proof.inputs import Inputs
from batch.score.caps import Caps
from batch.score.predict import Dense

RECEIVED = slice(2, 7)  # columns of the post side that say how a post has been received


@dataclass(frozen=True, slots=True)
class RefreshPlan:
    """A refresh before it is scored.

    Attributes:
        content: Everything but the lists; seen posts and likes of the moved users alone.
        inputs: What all users' lists follow from.
        moved: bool (users,). Users whose inputs differ.
        posts: int64. Rows of posts that are new, were edited or have another trend, ascending.
    """

    content: GenerationContent
    inputs: Inputs
    moved: Bools
    posts: Ints


def plan_refresh(
    manifest: Manifest, frozen: Frozen, before: Inputs, facts: Facts, changes: Changes
) -> RefreshPlan:
    """Bring the inputs up to date.

    Args:
        manifest: Of the generation that the refresh starts from.
        frozen: What stays.
        before: The inputs of that generation, of all its users.
        facts: As they are now.
        changes: Who has moved since.

    Raises:
        Unplaceable: A post is like none that the last full run knew.
    """
    untaken = _find_untaken(frozen, facts)
    post, group = _posts(frozen, before.sides, facts, changes, untaken)
    moved = changes.users | _find_regrouped(before.sides, facts, changes, group)
    events = events_of(facts, moved)
    sides = _sides(frozen, before.sides, facts, events, moved, post, group)
    views, likes = earliest(events, "views"), earliest(events, "likes")
    new = choose_left_out(manifest.seen_policy, views, likes)
    seen = _left_out(before, facts, moved, new)
    dense = _dense(before, frozen, sides)
    if dense is not None and untaken.any():
        y = follow_trend(dense[1], facts, untaken, frozen.scales, columns_of(manifest.metrics))
        dense = dense[0], y
    trending = _find_trending(before, sides, dense)
    met = changes.posts | trending
    caps = Caps.of(manifest.max_per_topic, facts.posts[TOPIC])
    windows = Windows.of(facts.posts)
    inputs = Inputs(before.model, sides, seen, dense, caps, windows)
    horizon, catalogue = manifest.horizon, _catalogue(frozen, facts)
    offered = np.ones(len(facts.posts), np.bool_)
    if windows is not None:
        offered = windows.touch(horizon.start_s, horizon.end_s)

    def rows(ids: Ints) -> Rows:
        return _take(find_rows(facts.post_ids, ids), offered)

    catalogue = catalogue[offered[catalogue]]
    same = not (changes.new_users.any() or changes.n_users_gone or changes.new_posts.any())
    same = same and not trending.any()
    return RefreshPlan(
        content=GenerationContent(
            variant=manifest.variant,
            as_of_s=facts.as_of_s,
            horizon=horizon,
            depth=manifest.depth,
            seen_policy=manifest.seen_policy,
            model=manifest.model if same else _fingerprint(inputs),
            features=manifest.features,
            segment_by=manifest.segment_by,
            user_ids=facts.user_ids,
            post_ids=facts.post_ids,
            posts=post_json(facts.posts, facts.post_names),
            popular=rows(frozen.popular),
            segments={name: rows(lists) for name, lists in frozen.segments.items()},
            segment_of=_segments(manifest, frozen, facts, None if met.any() else moved),
            catalogue=catalogue,
            views=views,
            likes=likes,
            profile=manifest.profile,
            profiles={name: rows(lists) for name, lists in frozen.profiles.items()},
            user_names=facts.user_names,
            post_names=facts.post_names,
            metrics=manifest.metrics,
            filter_by=manifest.filter_by,
            topic_depth=manifest.topic_depth,
            facets=find_facets(facts.posts, manifest.filter_by, catalogue),
            caps=caps,
            similar=_similar(frozen, facts, offered) if manifest.similar else None,
            windows=windows,
            explored=_explored(frozen, facts, offered),
        ),
        inputs=inputs,
        moved=moved,
        posts=np.flatnonzero(met),
    )


def _explored(frozen: Frozen, facts: Facts, offered: Bools) -> NewPosts | None:
    """Return what exploration places draw from: what the full run weighed, without posts that went."""
    if not frozen.n_places:
        return None
    weights = {}
    for name, (ids, weight) in frozen.weights.items():
        rows = find_rows(facts.post_ids, np.array(ids, np.int64))
        kept = (rows >= 0) & offered[rows]
        weights[name] = Weighed(rows[kept], np.array(weight)[kept])
    return NewPosts(frozen.n_places, frozen.n_new, weights)


def _find_untaken(frozen: Frozen, facts: Facts) -> Bools:
    """Return bool (posts,): posts that nobody had taken by the full run; none where a feed showed them."""
    if facts.shown != "choices":
        return np.zeros(len(facts.posts), np.bool_)
    return np.isin(facts.post_ids, frozen.untaken) | ~np.isin(facts.post_ids, frozen.post_ids)


def _posts(
    frozen: Frozen, before: Sides, facts: Facts, changes: Changes, untaken: Bools
) -> tuple[Floats32, Ints32]:
    """Return the post side and each post's group; what is new or described otherwise is placed anew.

    Of those that nobody had taken by the full run what users chose since says how they are received.
    """
    row = find_rows(before.post_ids, facts.post_ids)
    post, group = before.post[row], before.group[row]
    changed = np.flatnonzero(changes.described)
    if len(changed):
        vectors = None if facts.embeddings is None else facts.embeddings[changed]
        posts = facts.posts.iloc[changed].assign(
            **{POST_ID: facts.post_names.spelled(facts.post_ids[changed])}
        )
        texts = place(posts, vectors, frozen.texts)
        received = np.where(changes.new_posts[changed, None], np.array(UNSHOWN), post[changed, RECEIVED])
        post[changed], group[changed] = post_side(texts, received), texts.cluster
    if untaken.any():
        post[untaken, RECEIVED] = receive_since(facts, untaken, frozen.reception)
    return post, group


def _find_regrouped(before: Sides, facts: Facts, changes: Changes, group: Ints32) -> Bools:
    """Return bool (users,): users with events on a post that an edit has put into another group."""
    row = find_rows(before.post_ids, facts.post_ids)
    other = (row >= 0) & changes.described & (before.group[row] != group)
    found = np.zeros(len(facts.users), np.bool_)
    if other.any():
        found[facts.user[other[facts.post]]] = True
    return found


def _sides(
    frozen: Frozen, before: Sides, facts: Facts, events: Facts, moved: Bools, post: Floats32, group: Ints32
) -> Sides:
    """Return the sides, in which only moved users and changed posts have other values than before."""
    users, n_groups = np.flatnonzero(moved), before.user_group.shape[2]
    own = count(events, users, group, n_groups, frozen.as_of_s)
    row = find_rows(before.user_ids, facts.user_ids)
    user, cells = before.user[row], before.user_group[:, row]
    profiles = values(facts.users.iloc[users], frozen.codes)
    user[users] = np.column_stack([profiles, user_side(own, frozen.population)]).astype(np.float32)
    cells[:, users] = cell_side(own, frozen.texts.topic_of_cluster, frozen.population)
    return replace(
        before,
        user_ids=facts.user_ids,
        post_ids=facts.post_ids,
        user=user,
        post=post,
        user_group=cells,
        group=group,
    )


def _left_out(before: Inputs, facts: Facts, moved: Bools, new: SeenPosts) -> SeenPosts:
    """Return what lists leave out: of moved users `new`, of the others what they left out before."""
    old = before.left_out
    row = find_rows(before.sides.user_ids, facts.user_ids)
    old_posts = old.post
    if len(facts.posts) != len(before.sides.post_ids):
        at = find_rows(facts.post_ids, before.sides.post_ids)
        old_posts = at[old.post]
    start = np.concatenate([new.start, new.start[-1] + old.start[1:]])
    both = SeenPosts(start, np.concatenate([new.post, old_posts]))
    return both.of_users(np.where(moved, np.arange(new.n_users), new.n_users + row))


def _dense(before: Inputs, frozen: Frozen, now: Sides) -> Dense | None:
    """Return the factors as they were; a new user has everybody's, a new post those of its text cluster."""
    if before.dense is None:
        return None
    sides, (x, y) = before.sides, before.dense
    user, post = find_rows(sides.user_ids, now.user_ids), find_rows(sides.post_ids, now.post_ids)
    own = np.where(post[:, None] < 0, frozen.by_cluster[now.group], y[post])
    return np.where(user[:, None] < 0, frozen.everybody, x[user]), own


def _find_trending(before: Inputs, now: Sides, dense: Dense | None) -> Bools:
    """Return bool (posts,): posts that were there, and have other features or factors than they had."""
    row = find_rows(before.sides.post_ids, now.post_ids)
    was, found = before.sides.post[row], np.zeros(len(row), np.bool_)
    found |= ((was != now.post) & ~(np.isnan(was) & np.isnan(now.post))).any(axis=1)
    if before.dense is not None and dense is not None:
        found |= (before.dense[1][row] != dense[1]).any(axis=1)
    return found & (row >= 0)


def _fingerprint(inputs: Inputs) -> str:
    """Return the model's name: its factors have other rows than before."""
    if inputs.dense is None:
        return fingerprint(inputs.model)
    return fingerprint(inputs.model, [inputs.dense[0]], inputs.dense[1])


def _take(rows: Rows, offered: Bools) -> Rows:
    """Return rows of posts, -1 in the place of those that are not offered; -1 stays."""
    return np.where(offered[rows], rows, -1).astype(np.int32)


def _similar(frozen: Frozen, facts: Facts, offered: Bools) -> Rows:
    """Return each post's similar posts as they were; a post that came since has none until a full run."""
    now = np.append(find_rows(facts.post_ids, frozen.post_ids), -1)  # of -1 too
    before = np.vstack([frozen.similar, np.full((1, frozen.similar.shape[1]), -1, np.int32)])
    rows = _take(now[before[find_rows(frozen.post_ids, facts.post_ids)]], offered)
    rows[~offered] = -1
    return rows


def _segments(manifest: Manifest, frozen: Frozen, facts: Facts, moved: Bools | None) -> list[str | None]:
    """Return each user's segment; of the moved ones alone, where only they are written."""
    found: list[str | None] = [None] * len(facts.users)
    rows = np.arange(len(found)) if moved is None else np.flatnonzero(moved)
    names, numbers = segments(facts.users.iloc[rows], manifest.segment_by)
    for row, number in zip(rows.tolist(), numbers.tolist(), strict=True):
        if number >= 0 and names[number] in frozen.segments:
            found[row] = names[number]
    return found


def _catalogue(frozen: Frozen, facts: Facts) -> Rows:
    """Return all posts, best first; a post that nobody was shown is as good as the average."""
    row = find_rows(frozen.post_ids, facts.post_ids)
    scores: Any = np.where(row < 0, 1.0, frozen.post_scores[row])
    return np.argsort(-scores, kind="stable").astype(np.int32)
