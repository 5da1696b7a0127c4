"""A warm night: weights and trees of a training some nights before, and what they cannot stand for."""

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from batch.data.facts import Facts
from batch.features import asof
from batch.jobs.refresh.digests import digest_posts
from batch.jobs.warm import FOLDER, choose_start, keep_fit
from batch.learn.factors import estimate
from batch.learn.kept_fit import CannotRenew, KeptFit
from batch.learn.ranker import Ranker
from batch.learn.recipe import Recipe
from batch.learn.train import AGE, Training, renew, train
from batch.settings import Settings
from tests.facts import BEGIN_S, DAY_S, even_likes_even, facts_of, with_texts

DAYS = 12


def choices() -> Facts:
    """Return facts of users who choose posts themselves: even users even ones, one a day."""
    rng = np.random.default_rng(2)
    events = [
        (user, int(post), BEGIN_S + day * DAY_S + user * 60, 0, 1)
        for user in range(40)
        for day, post in enumerate(rng.choice(np.arange(user % 2, 60, 2), DAYS, replace=False))
    ]
    return replace(facts_of(events, 40, 60), shown="choices")


def embedded() -> Facts:
    facts = with_texts(even_likes_even(days=DAYS))
    rng = np.random.default_rng(3)
    return replace(facts, embeddings=rng.normal(size=(len(facts.posts), 6)).astype(np.float32))


def settings_of(folder: Path, nights: int = 7, n_trees: int = 8) -> Settings:
    return Settings(state_dir=folder, n_trees=n_trees, n_leaves=7, estimates_nights=nights, threads=1)


def fit(settings: Settings, facts: Facts) -> Training:
    """Train anew, and keep what it found."""
    start = choose_start(settings, facts, "here", anew=True)
    assert start.kept is None
    training = train(facts, start.statics, facts.as_of_s, Recipe.of(settings))
    keep_fit(settings, facts, "here", start.statics, training)
    return training


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Facts, Settings]:
    """Return facts, and settings whose folder keeps a fit of them."""
    facts, settings = even_likes_even(days=DAYS), settings_of(tmp_path_factory.mktemp("fitted"))
    fit(settings, facts)
    return facts, settings


def kept(settings: Settings) -> Path:
    return settings.state_dir / FOLDER / "default.npz"


def assert_equal(one: Ranker, other: Ranker) -> None:
    for field in fields(Ranker):
        if field.name != "factors":
            assert getattr(one, field.name) == getattr(other, field.name), field.name
    for field in fields(one.factors):
        mine, theirs = getattr(one.factors, field.name), getattr(other.factors, field.name)
        assert mine.tobytes() == theirs.tobytes(), field.name


@pytest.mark.parametrize("make", [lambda: even_likes_even(days=DAYS), choices, embedded])
def test_on_the_facts_of_the_fit_a_warm_model_is_that_fits_byte_for_byte(
    tmp_path: Path, make: Callable[[], Facts]
) -> None:
    facts, settings = make(), settings_of(tmp_path)
    cold = fit(settings, facts).model

    start = choose_start(settings, facts, "here", anew=False)

    assert start.kept is not None
    assert cold.metrics[AGE] == 0
    assert_equal(renew(start.kept, facts, start.statics, Recipe.of(settings)), cold)


def test_a_night_later_tastes_are_learnt_anew_and_weights_and_trees_stay(tmp_path: Path) -> None:
    facts, settings = even_likes_even(days=DAYS), settings_of(tmp_path)
    yesterday = facts.until(facts.as_of_s - DAY_S)
    cold = fit(settings, yesterday)

    start = choose_start(settings, facts, "here", anew=False)
    assert start.kept is not None
    warm = renew(start.kept, facts, start.statics, Recipe.of(settings))

    texts, estimates = asof.describe(facts, settings.seed).texts, cold.estimates
    now, _ = estimate.renew(facts, texts, facts.as_of_s, estimates.weights, settings.seed, estimates.begun)
    np.testing.assert_array_equal(warm.factors.x, now.x)
    np.testing.assert_array_equal(warm.factors.y, now.y)
    assert (warm.text, warm.parameters) == (cold.model.text, cold.model.parameters)
    assert (warm.as_of_s, warm.metrics[AGE]) == (facts.as_of_s, 1)
    assert warm.fingerprint != cold.model.fingerprint


def without_posts(facts: Facts, gone: list[int]) -> Facts:
    """Return facts that do not know some posts, given by row, nor their events."""
    stay = np.setdiff1d(np.arange(len(facts.posts)), gone)
    known = facts.select(np.isin(facts.post, stay))
    return replace(
        known,
        posts=facts.posts.iloc[stay].reset_index(drop=True),
        post=np.searchsorted(stay, known.post).astype(np.int32),
    )


@pytest.mark.parametrize("make", [lambda: even_likes_even(days=DAYS), choices])
def test_new_and_edited_posts_are_placed_among_the_others_which_stay_where_they_were(
    tmp_path: Path, make: Callable[[], Facts]
) -> None:
    facts, settings = make(), settings_of(tmp_path)
    before = without_posts(facts, [4, 9])
    described = fit(settings, before).model, asof.describe(before, settings.seed).texts
    facts.posts.loc[7, "text"] = "movie word1 word4 all"

    start = choose_start(settings, facts, "here", anew=False)
    assert start.kept is not None
    warm = renew(start.kept, facts, start.statics, Recipe.of(settings))

    texts, others = start.statics.texts, np.setdiff1d(np.arange(len(facts.posts)), [4, 7, 9])
    rows = others - (others > 4) - (others > 9)
    for name in ("topic", "cluster", "space", "length"):
        np.testing.assert_array_equal(getattr(texts, name)[others], getattr(described[1], name)[rows])
    alike = facts.posts.index[(facts.posts["text"] == facts.posts["text"][4]) & (facts.posts.index != 4)]
    assert texts.topic[4] == texts.topic[1]
    assert not len(alike) or np.allclose(texts.space[4], texts.space[alike[0]], atol=1e-4)
    assert texts.length[7] == len("movie word1 word4 all")
    assert len(warm.factors.post_ids) == len(facts.posts)
    even = facts.post_ids % 2 == facts.post_ids[4] % 2
    user = int(np.flatnonzero(np.arange(len(facts.users)) % 2 == 0)[0])
    liked = warm.factors.x[user] @ warm.factors.y.T
    assert liked[4] > np.median(liked[~even])  # the new post's own events tell for whom it is


def turn_one_bit(text: bytes) -> bytes:
    at = text.index(b"weights") + 20
    return text[:at] + bytes([text[at] ^ 1]) + text[at + 1 :]


CANNOT: dict[str, tuple[Callable[[Facts], Facts], dict[str, int], str]] = {
    "off": (lambda facts: facts, {"nights": 0}, "ALMANAC_ESTIMATES_NIGHTS is 0"),
    "settings": (lambda facts: facts, {"n_trees": 9}, "other settings than at the last fit"),
    "late": (
        lambda facts: replace(facts, time=facts.time + 3 * DAY_S),
        {"nights": 2},
        "the last fit is 3 days old, and 2 nights may go by it",
    ),
    "early": (lambda facts: replace(facts, time=facts.time - 60), {}, "the last fit is 0 days old"),
    "few": (lambda facts: facts.select(facts.user < 15), {}, "events, at the last fit"),
    "unliked": (
        lambda facts: replace(facts, target=np.zeros_like(facts.target)),
        {},
        "there are 0 likes, at the last fit",
    ),
    "choices": (lambda facts: replace(facts, shown="choices"), {}, "views are choices in zone UTC"),
    "zone": (lambda facts: replace(facts, zone="Europe/Berlin"), {}, "impressions in zone Europe/Berlin"),
    "column": (
        lambda facts: replace(facts, users=facts.users.assign(city="Ulm")),
        {},
        "profiles have the columns ['gender', 'city'], at the last fit ['gender']",
    ),
    "values": (
        lambda facts: replace(facts, users=facts.users.assign(gender=[("a",)] * len(facts.users))),
        {},
        "profile column 'gender' holds other values",
    ),
    "embeddings": (
        lambda facts: replace(facts, embeddings=np.ones((len(facts.posts), 2), np.float32)),
        {},
        "posts have embeddings now",
    ),
    "topic": (
        lambda facts: replace(facts, posts=facts.posts.assign(topic=["new", *facts.posts["topic"][1:]])),
        {},
        "post 1 has topic 'new' and a text, as none before it",
    ),
    "posts": (
        lambda facts: replace(facts, posts=facts.posts.assign(text="another word")),
        {},
        "30 of 30 posts are new since the last fit, or edited",
    ),
}


@pytest.mark.parametrize("what", CANNOT)
def test_a_night_is_cold_where_the_last_fit_cannot_stand_for_it(
    fitted: tuple[Facts, Settings], what: str, caplog: pytest.LogCaptureFixture
) -> None:
    facts, settings = fitted
    change, others, why = CANNOT[what]
    caplog.set_level("INFO")

    start = choose_start(settings_of(settings.state_dir, **others), change(facts), "here", anew=False)

    assert start.kept is None
    (record,) = [one for one in caplog.records if one.msg == "estimates.chosen"][-1:]
    assert record.__dict__["renewed"] is False
    assert why in record.__dict__["why"]


def test_a_night_is_cold_on_facts_from_elsewhere_and_where_it_is_asked_to_be(
    fitted: tuple[Facts, Settings],
) -> None:
    facts, settings = fitted

    assert choose_start(settings, facts, "elsewhere", anew=False).kept is None
    assert choose_start(settings, facts, "here", anew=True).kept is None
    assert choose_start(settings, facts, "here", anew=False).kept is not None


@pytest.mark.parametrize(
    "spoil", [lambda text: text[: len(text) // 2], lambda text: b"\0" + text[1:], turn_one_bit]
)
def test_a_spoilt_file_is_no_fit(
    tmp_path: Path, fitted: tuple[Facts, Settings], spoil: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "default.npz"
    path.write_bytes(spoil(kept(fitted[1]).read_bytes()))

    with pytest.raises(CannotRenew, match=r"the last fit, default\.npz, cannot be read"):
        KeptFit.load(path)


def test_where_no_fit_is_kept_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(CannotRenew, match="no fit is kept"):
        KeptFit.load(tmp_path / "default.npz")


def test_nothing_is_kept_where_it_is_switched_off_or_cannot_be(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    facts, off = even_likes_even(days=DAYS), settings_of(tmp_path, nights=0)
    fit(off, facts)
    assert not (tmp_path / FOLDER).exists()

    (tmp_path / FOLDER).write_text("no folder")
    fit(settings_of(tmp_path), facts)

    assert [record.msg for record in caplog.records] == ["estimates.unkept"]


def test_nothing_that_is_kept_tells_of_a_user_and_whose_facts_they_are_not_at_all(tmp_path: Path) -> None:
    facts = even_likes_even(days=DAYS)
    others = replace(facts, users=facts.users.assign(user_id=facts.users["user_id"] + 10**6))
    one, other = settings_of(tmp_path / "one"), settings_of(tmp_path / "other")

    fit(one, facts)
    fit(other, others)

    assert kept(one).read_bytes() == kept(other).read_bytes()
    with np.load(kept(one)) as arrays:
        assert len(facts.users) not in [n for name in arrays for n in arrays[name].shape]
    assert len(digest_posts(facts)) == len(facts.posts)
