"""What exploration places draw from: posts that few have seen, by their chance of being the best one."""

from functools import cache

import numpy as np
import pytest
from scipy.stats import beta

from api.contract.explore import EVERYBODY, UNKNOWN
from batch.arrays import Ints32
from batch.data.facts import Facts
from batch.features import asof
from batch.features.profile import segments
from batch.features.tally import Tally
from batch.learn import explore
from batch.learn.explore import Weighed, find_new, weigh_new_posts
from tests.facts import BEGIN_S, DAY_S, TOPICS, facts_of

N_POSTS, N_USERS = 30, 20
FRESH = {24: 0.0, 25: 1.0, 26: 1.0}  # posts of a few views, and the share of them that are likes


@cache
def world() -> tuple[Facts, asof.Statics, Tally]:
    """Make facts: old posts have 200 views, of sport (every third) most are likes; 27 to 29 have no view."""
    events, rng = [], np.random.default_rng(1)
    for post in range(27):
        for view in range(8 if post in FRESH else 200):
            rate = FRESH.get(post, 0.8 if post % 3 == 0 else 0.1)
            user = view % 2 if post == 26 else view % N_USERS
            liked = int(rng.random() < rate) if post != 26 else int(user == 0)
            events.append((user, post, BEGIN_S + view * 60 + post, 0, liked))
    facts = facts_of(events, N_USERS, N_POSTS)
    statics = asof.describe(facts, 1)
    return facts, statics, asof.start_tally(facts, statics).advance(BEGIN_S + DAY_S)


def weigh(floor: float = 0.1, seed: int = 1, new: Ints32 | None = None) -> dict[str, Weighed]:
    """Weigh the world's new posts for both genders; each has a popular post of its own, 3 and 6."""
    facts, statics, counts = world()
    names, segment = segments(facts.users, ("gender",))
    popular = [np.array([[post, -1]], np.int32) for post in (3, 6, 3)]
    found = find_new(counts, facts.post_place, 100, None) if new is None else new
    return weigh_new_posts(facts, counts, statics.texts, segment, names, popular, found, floor, seed)


def shares(weighed: Weighed) -> dict[int, float]:
    """Return each post's weight."""
    return dict(zip(weighed.post.tolist(), weighed.weight.tolist(), strict=True))


def test_new_are_posts_below_the_number_of_impressions_that_are_offered_the_newest_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    facts, _, counts = world()

    assert find_new(counts, facts.post_place, 100, None).tolist() == [24, 25, 26, 27, 28, 29]
    assert find_new(counts, facts.post_place, 8, None).tolist() == [27, 28, 29]
    assert find_new(counts, facts.post_place, 100, np.arange(N_POSTS) % 2 == 0).tolist() == [24, 26, 28]
    monkeypatch.setattr(explore, "MOST_NEW", 2)
    assert find_new(counts, facts.post_place, 100, None).tolist() == [28, 29]
    assert find_new(counts, -facts.post_place, 100, None).tolist() == [24, 25]


def test_weights_sum_to_one_none_is_below_the_floor_and_the_likeliest_comes_first() -> None:
    for floor in (0.05, 0.5, 1.0):
        for name, weighed in weigh(floor).items():
            assert weighed.weight.sum() == pytest.approx(1)
            assert weighed.weight.min() >= floor / len(weighed.post) * (1 - 1e-9), name
            assert (np.diff(weighed.weight) <= 0).all()


def test_what_was_liked_weighs_more_and_what_was_never_seen_weighs_as_its_topic_is_liked() -> None:
    found = shares(weigh()[EVERYBODY])

    assert TOPICS[24 % 3] == TOPICS[27 % 3] == "sport"
    assert found[25] > 3 * found[24]  # eight likes against none, though sport is liked
    assert found[27] > 3 * found[28]  # never seen both: sport is liked, tech is not


def test_a_segment_weighs_by_what_its_own_users_liked() -> None:
    found = weigh()

    assert shares(found["gender=0"])[26] > 1.5 * shares(found["gender=1"])[26]


def test_the_weights_are_the_chances_of_being_the_best_of_beta_distributions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of two posts the chance is an integral: of one's density times the other's distribution."""
    monkeypatch.setattr(explore, "N_DRAWS", 200_000)
    a, b = np.array([3.0, 8.0]), np.array([9.0, 14.0])
    x = np.linspace(0, 1, 20_001)
    exact = np.trapezoid(beta.pdf(x, a[0], b[0]) * beta.cdf(x, a[1], b[1]), x)

    assert explore._be_best(np.random.default_rng(1), a, b)[0] == pytest.approx(exact, abs=0.004)


def test_unknown_users_are_asked_by_what_segments_like_and_by_new_posts() -> None:
    found = shares(weigh()[UNKNOWN])

    assert found.keys() == {3, 6, 24, 25, 26, 27, 28, 29}
    alone = shares(weigh(new=np.empty(0, np.int32))[UNKNOWN])
    assert alone == {3: pytest.approx(0.5), 6: pytest.approx(0.5)}


def test_where_no_post_is_new_segments_have_no_weights() -> None:
    assert weigh(new=np.empty(0, np.int32)).keys() == {UNKNOWN}


def test_the_same_seed_gives_the_same_weights_and_another_one_others() -> None:
    one, same, other = (shares(weigh(seed=seed)[EVERYBODY]) for seed in (1, 1, 2))

    assert one == same
    assert one != other


def test_later_facts_do_not_count() -> None:
    facts, statics, _ = world()
    half_s = BEGIN_S + 100 * 60
    names, segment = segments(facts.users, ("gender",))
    lists = [np.array([[3]], np.int32)] * 3

    def at(some: Facts) -> dict[int, float]:
        counts = asof.start_tally(some, statics).advance(half_s)
        new = find_new(counts, some.post_place, 20, None)
        found = weigh_new_posts(some, counts, statics.texts, segment, names, lists, new, 0.1, 1)
        return shares(found["gender=0"])

    assert at(facts) == at(facts.until(half_s))
