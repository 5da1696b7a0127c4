"""Two stages: whose candidates are ranked, what the ranker is told, and that each ranker learns from it."""

import logging
from dataclasses import replace

import numpy as np
import pytest

from batch.data.facts import Facts
from batch.features import asof
from batch.learn.baselines.interactions import Interactions
from batch.learn.baselines.named import find_baseline
from batch.learn.baselines.twostage import FirstStage, gather
from batch.learn.stages import Aim, Stages
from tests.facts import BEGIN_S, DAY_S, facts_of

N_USERS, N_POSTS, DAYS = 40, 120, 30
STAGES = Stages(("item_knn_cosine", "popular"), 15)


@pytest.fixture(scope="module")
def chosen() -> Interactions:
    """Give what users chose: even ones even posts, odd ones odd ones, two a day and none twice."""
    rng = np.random.default_rng(4)
    events = []
    for user in range(N_USERS):
        own = rng.permutation(np.arange(user % 2, N_POSTS, 2))
        events += [
            (user, int(post), BEGIN_S + place // 2 * DAY_S + user, 0, 1)
            for place, post in enumerate(own[: 2 * DAYS - 10])
        ]
    facts: Facts = replace(facts_of(events, N_USERS, N_POSTS), shown="choices")
    return Interactions(facts, asof.describe(facts, 1), seed=1, threads=1, stages=STAGES)


def test_candidates_are_the_best_of_each_peer_that_the_user_did_not_take(chosen: Interactions) -> None:
    users, first = np.array([3, 8]), FirstStage.fit(chosen)
    taken = chosen.views()[users].toarray() > 0

    row, post, told = first.tell(users)

    for place, user in enumerate(users.tolist()):
        wanted = set[int]()
        for name in STAGES.candidates:
            peer = find_baseline(name)
            assert peer
            best = peer.fit(chosen).lists(np.array([user]), N_POSTS)[0]
            wanted |= set(best[~taken[place][best]][: STAGES.per_user].tolist())
        assert set(post[row == place].tolist()) == wanted
    names = [column.name for column in first.columns]
    assert told.shape == (len(row), len(names))
    assert told[:, names.index("n_likes")].tolist() == [chosen.likes()[users[k]].nnz for k in row]
    ranks = told[row == 0, names.index("rank_popular")]
    assert sorted(ranks[ranks <= STAGES.per_user]) == list(range(1, STAGES.per_user + 1))


def test_the_last_week_says_which_candidates_were_liked_and_nothing_of_it_is_told(
    chosen: Interactions,
) -> None:
    rows, facts = gather(chosen), chosen.facts
    begin_s = facts.as_of_s - 7 * DAY_S
    before = FirstStage.fit(replace(chosen, facts=facts.until(begin_s)))
    week = facts.between(begin_s + 1, facts.as_of_s + 1)

    for user in (3, 8):
        _, post, told = before.tell(np.array([user]))
        np.testing.assert_array_equal(rows.x[rows.user == user], told)
        liked = np.isin(post, week.post[week.user == user])
        assert 0 < liked.sum() < len(liked)
        np.testing.assert_array_equal(rows.y[rows.user == user] == 1, liked)


@pytest.mark.parametrize("aim", ["classification", "lambdarank"])
@pytest.mark.parametrize("name", ["two_stage", "two_stage_xgboost", "two_stage_catboost"])
def test_every_ranker_learns_by_either_aim_and_popular_posts_follow(
    chosen: Interactions, name: str, aim: Aim, caplog: pytest.LogCaptureFixture
) -> None:
    for package in ("xgboost", "catboost"):
        if name.endswith(package):
            pytest.importorskip(package, reason="`make test-zoo` brings it")
    caplog.set_level(logging.INFO)
    baseline = find_baseline(name)
    assert baseline
    users = np.array([2, 3])

    fitted = baseline.fit(replace(chosen, stages=replace(STAGES, aim=aim)))

    lists = fitted.lists(users, N_POSTS)
    first = lists[:, :8]
    assert (first % 2 == users[:, None] % 2).mean() > 0.9
    rest = lists[0, len(FirstStage.fit(chosen).tell(users[:1])[1]) :]
    assert (np.diff(chosen.rates()[rest]) <= 0).all()
    (said,) = (vars(record) for record in caplog.records if record.msg == "ranker.fitted")
    assert (said["aim"], said["rows"]) == (aim, len(gather(chosen).y))


@pytest.mark.parametrize("names", [(), ("als", "nobody"), ("two_stage",)])
def test_who_cannot_give_candidates_is_named(chosen: Interactions, names: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=rf"candidates by {names[-1] if names else 'nobody'}: give one"):
        FirstStage.fit(replace(chosen, stages=Stages(names)))
