"""Profiles of unknown users: how they are named, who is like them, and what the model makes of them."""

import numpy as np
import pandas as pd
import pytest

from api.contract.profile import BadProfile, Bins, segment, signature
from batch.features import asof
from batch.features.population import Population, cell_side, user_side
from batch.features.profile import encode
from batch.features.signatures import bins_of, find, typical
from batch.features.tally import UserCounts
from batch.jobs.assemble import score_profiles
from batch.learn.factors.cold_start import shared_factors
from batch.learn.recipe import Recipe
from batch.learn.train import train
from batch.score.predict import best, raw_scores
from batch.settings import Settings
from tests.facts import even_likes_even

BINS: Bins = {"age": [20.0, 40.0], "city": ["Moscow", "Perm"], "os": ["iOS"]}


def people(n: int = 200, seed: int = 0) -> pd.DataFrame:
    """Draw users with an age, a city and a system, some of them unknown."""
    rng = np.random.default_rng(seed)
    age = rng.integers(14, 80, n).astype(np.float64)
    age[rng.random(n) < 0.2] = np.nan
    city = rng.choice(np.array(["Moscow", "Perm", "Omsk", None], object), n, p=[0.6, 0.2, 0.1, 0.1])
    return pd.DataFrame({"user_id": np.arange(n), "age": age, "city": city, "os": rng.integers(0, 2, n)})


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({}, "_._._"),
        ({"age": "19.9", "city": "Moscow", "os": "iOS"}, "0.0.0"),
        ({"age": "20", "city": "Perm", "os": "BeOS"}, "1.1.1"),
        ({"age": "1e2", "city": "moscow"}, "2.2._"),
        ({"age": "40.0", "planet": "Mars"}, "2._._"),
    ],
)
def test_a_profile_is_named_by_its_bins(fields: dict[str, str], wanted: str) -> None:
    assert signature(BINS, fields) == wanted


@pytest.mark.parametrize("age", ["old", "", "nan", "inf", "2O"])
def test_a_number_that_is_none_is_refused_by_name_and_value(age: str) -> None:
    with pytest.raises(BadProfile, match=f"profile=age='{age}' is not a number"):
        signature(BINS, {"age": age})


def test_a_segment_needs_all_its_columns() -> None:
    assert segment(("os", "city"), {"city": "Perm", "os": "1.0"}) == "os=1,city=Perm"
    assert segment(("os", "city"), {"city": "Perm"}) is None
    assert segment((), {"city": "Perm"}) is None


def test_the_batch_names_its_users_as_the_api_would() -> None:
    users = people()

    found = find(users, most=1000)

    for row, number in enumerate(found.of_user.tolist()):
        told = {name: str(users[name][row]) for name in ("age", "city", "os") if pd.notna(users[name][row])}
        wanted = signature(found.bins, told)
        assert (found.names[number] if number >= 0 else wanted) == wanted
        assert number >= 0 or wanted not in found.names


def test_the_most_frequent_profiles_are_kept_and_no_more_than_a_tenth_of_the_users() -> None:
    users = people(300)

    found, few = find(users, most=1000), find(users, most=5)

    counts = np.bincount(found.of_user[found.of_user >= 0])
    assert len(found.names) == len(counts) == 30
    assert (np.diff(counts) <= 0).all()
    assert few.names == found.names[:5]
    assert find(users, most=0).names == find(users.head(9), most=5).names == ()


def test_a_user_without_any_profile_makes_no_profile() -> None:
    users = pd.DataFrame({"user_id": range(40), "os": [None] * 30 + ["iOS"] * 10})

    assert find(users, most=9).names == ("0",)
    assert find(users[["user_id"]], most=9).names == ()
    assert bins_of(pd.Series([None, None])) == []


def test_rare_values_are_not_told_apart() -> None:
    cities = pd.Series(["Moscow"] * 90 + ["Perm"] * 9 + ["Omsk"])

    assert bins_of(cities) == ["Moscow", "Perm"]
    assert len(bins_of(pd.Series([f"c{k % 20}" for k in range(200)]))) == 7


def test_a_typical_profile_has_the_commonest_code_and_the_median() -> None:
    users = pd.DataFrame({"user_id": range(50), "os": ["iOS"] * 50, "age": np.arange(50) / 2 + 20.25})
    users.loc[0, "age"] = np.nan
    profiles, found = encode(users), find(users, most=5)

    values = typical(profiles, found)

    for number, row in enumerate(values):
        own = profiles.values[found.of_user == number]
        np.testing.assert_allclose(row, [0.0, np.median(own[:, 1])])


def test_groups_that_differ_keep_their_own_factors_and_those_by_chance_do_not() -> None:
    rng = np.random.default_rng(3)
    group, y = np.repeat(np.arange(20), 50), rng.normal(size=(30, 2))
    centres = rng.normal(size=(20, 2)) * 3

    apart = shared_factors(centres[group] + rng.normal(size=(1000, 2)), y, group, 20)
    alike = shared_factors(rng.normal([5.0, -2.0], size=(1000, 2)), y, group, 20)

    assert np.abs(apart - centres).max() < 0.6
    assert np.abs(alike - [5.0, -2.0]).max() < 0.15
    np.testing.assert_array_equal(shared_factors(np.ones((3, 2)), y, np.full(3, -1), 2), np.ones((2, 2)))


def test_an_unknown_user_has_the_features_of_one_without_an_event() -> None:
    facts = even_likes_even(n_users=20, n_posts=30)
    facts = facts.select(facts.user != 7)
    known = asof.describe(facts, 1)
    counts = asof.start_tally(facts, known).advance(facts.as_of_s)
    sides = asof.make_sides(facts, known, counts, np.array([0], np.int64))

    cold = asof.make_cold_sides(sides, known, counts, known.profiles.values[7:8])

    np.testing.assert_array_equal(cold.user[0], sides.user[7])
    np.testing.assert_array_equal(cold.user_group[:, 0], sides.user_group[:, 7])
    nobody, common = UserCounts.none(3, counts.n_groups, 0), Population.of(counts, known.texts)
    assert user_side(nobody, common).shape == (3, 4)
    assert cell_side(nobody, known.texts.topic_of_cluster, common).shape == (3, 3, counts.n_groups)


def test_a_profiles_list_is_what_lightgbm_says_of_its_typical_user() -> None:
    facts = even_likes_even(n_users=40, n_posts=30)
    known = asof.describe(facts, 1)
    model = train(facts, known, facts.as_of_s, Recipe(30, 10**6, 3600, 10, 7, seed=1, threads=1)).model
    counts = asof.start_tally(facts, known).advance(facts.as_of_s)
    sides = asof.make_sides(facts, known, counts, np.array([facts.as_of_s // 3600 * 3600], np.int64))

    bins, lists = score_profiles(Settings(threads=1), facts, known, counts, model, sides, depth=10)

    assert set(lists) == {"0", "1"}
    assert bins == {"gender": ["0", "1"]}
    signatures = find(facts.users, 9)
    cold = asof.make_cold_sides(sides, known, counts, typical(known.profiles, signatures))
    x, y = model.factors.dense
    shared = shared_factors(x, y, signatures.of_user, 2)
    scores = raw_scores(model.booster(), cold, np.arange(2), 0, (shared, y))
    for k, name in enumerate(signatures.names):
        np.testing.assert_array_equal(lists[name][0], best(scores[k], np.empty(0, np.int32), 10)[0])
    odd = {bins["gender"][int(name)]: (rows[0] % 2).mean() for name, rows in lists.items()}
    assert odd["0"] < odd["1"]
