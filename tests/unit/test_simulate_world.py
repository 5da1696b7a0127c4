"""The stream of a world's tables: its schema, its order, and that the seed alone decides it."""

import tracemalloc
from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from batch.simulate.config import Regime, WorldConfig
from batch.simulate.feed import facts, tables
from batch.simulate.posts import N_CLUSTERS, N_FACTORS, TOPICS, catalogue
from batch.simulate.texts import post_table, read_language

REGIMES: tuple[Regime, ...] = ("gaussian", "typed", "moving")
WEEK = {"n_posts": 400, "start": date(2021, 11, 1), "end": date(2021, 11, 8)}


def collected(config: WorldConfig, chunk_rows: int = 1_000_000) -> dict[str, pa.Table]:
    parts: dict[str, list[pa.Table]] = {}
    for name, table in tables(config, chunk_rows):
        parts.setdefault(name, []).append(table)
    return {name: pa.concat_tables(held) for name, held in parts.items()}


def week(**values: Any) -> WorldConfig:
    return WorldConfig(**{"n_users": 700, **WEEK, **values})


@pytest.fixture(scope="module", params=REGIMES)
def world(request: pytest.FixtureRequest) -> dict[str, pa.Table]:
    return collected(WorldConfig(n_users=600, regime=request.param))


def columns(feed: pa.Table) -> tuple[npt.NDArray[Any], ...]:
    at_s = feed["timestamp"].to_numpy().astype("datetime64[s]").astype(np.int64)
    names = ("user_id", "post_id", "action", "target")
    return (at_s, *(feed[name].to_numpy(zero_copy_only=False) for name in names))


def test_the_tables_have_the_schema_of_startml_and_in_a_moving_world_births(
    world: dict[str, pa.Table],
) -> None:
    text, whole = pa.string(), pa.int64()

    profile = [
        ("user_id", whole),
        ("gender", whole),
        ("age", whole),
        ("country", text),
        ("city", text),
        ("exp_group", whole),
        ("os", text),
        ("source", text),
    ]
    event = [
        ("timestamp", pa.timestamp("us")),
        ("user_id", whole),
        ("post_id", whole),
        ("action", text),
        ("target", pa.int8()),
    ]

    assert list(world) == ["user_data", "post_text_df", "feed_data"]
    assert world["user_data"].schema == pa.schema(profile)
    post, window = [("post_id", whole), ("text", text), ("topic", text)], pa.timestamp("us")
    moving = [*post, ("valid_from", window), ("valid_to", window)]
    assert world["post_text_df"].schema in (pa.schema(post), pa.schema(moving))
    assert world["feed_data"].schema == pa.schema(event)
    names = ("valid_from", "valid_to")
    columns = {
        name: of for table in world.values() for name, of in zip(table.column_names, table, strict=True)
    }
    assert all(of.null_count == 0 for name, of in columns.items() if name not in names)


def test_a_view_has_target_one_exactly_when_a_like_of_the_same_post_follows(
    world: dict[str, pa.Table],
) -> None:
    at_s, user, post, action, target = columns(world["feed_data"])

    view, like = action == "view", action == "like"
    followed = np.append((user[1:] == user[:-1]) & (post[1:] == post[:-1]) & like[1:], False)
    lag = np.append(np.diff(at_s), 0)

    assert np.all(view | like)
    assert np.array_equal(target == 1, view & followed)
    assert lag[target == 1].min() >= 8
    assert lag[target == 1].max() <= 177
    assert np.count_nonzero(like) == np.count_nonzero(target)


def test_the_feed_is_ordered_by_user_and_time_and_lies_in_the_waking_hours(
    world: dict[str, pa.Table],
) -> None:
    at_s, user, *_ = columns(world["feed_data"])

    same_user = user[1:] == user[:-1]
    hours = set((at_s // 3600 % 24).tolist())

    assert np.all(np.diff(user) >= 0)
    assert np.all(np.diff(at_s)[same_user] > 0)
    assert hours == set(range(6, 24))
    assert at_s.min() // 86_400 == WorldConfig().start_s // 86_400
    assert at_s.max() < WorldConfig().end_s


def test_no_session_shows_a_post_twice_and_some_posts_are_never_shown(world: dict[str, pa.Table]) -> None:
    at_s, user, post, action, _ = columns(world["feed_data"])
    view = action == "view"
    at_s, user, post = at_s[view], user[view], post[view]

    session = np.cumsum(np.append(True, (user[1:] != user[:-1]) | (np.diff(at_s) > 1800)))
    pairs = np.unique(np.stack([session, post]), axis=1)

    assert pairs.shape[1] == len(post)
    assert world["post_text_df"].num_rows == 7_023
    assert 192 <= 7_023 - len(np.unique(post)) <= 192 + 5


def test_ids_lie_where_the_original_has_them(world: dict[str, pa.Table]) -> None:
    user_ids = world["user_data"]["user_id"].to_numpy()
    posts = world["post_text_df"].to_pandas()

    bounds = posts.groupby("topic")["post_id"].agg(["min", "max", "count"])

    assert np.all(np.diff(user_ids) > 0)
    assert user_ids[0] >= 200
    assert user_ids[-1] <= 168_552
    assert posts["post_id"].is_monotonic_increasing
    for name, topic in TOPICS.items():
        low, high, count = bounds.loc[name]
        assert (topic.first_id <= low, high <= topic.last_id, count) == (True, True, topic.n_posts)


@pytest.mark.parametrize("regime", REGIMES)
def test_the_rows_do_not_depend_on_the_size_of_a_chunk(regime: Regime) -> None:
    config = week(n_users=1_300, regime=regime)

    small, large = collected(config, chunk_rows=1), collected(config, chunk_rows=10**9)

    assert len(list(tables(config, chunk_rows=1))) > len(list(tables(config, chunk_rows=10**9))) == 3
    assert all(small[name].equals(large[name]) for name in large)


@pytest.mark.parametrize("regime", REGIMES)
def test_the_seed_decides_every_row(regime: Regime) -> None:
    first, again, other = (collected(week(seed=seed, regime=regime)) for seed in (3, 3, 4))

    assert all(first[name].equals(again[name]) for name in first)
    assert not any(first[name].equals(other[name]) for name in first)


def test_memory_does_not_grow_with_the_number_of_users() -> None:
    def peak(n_users: int) -> int:
        stream = tables(week(n_users=n_users), chunk_rows=20_000)
        for name, _ in stream:
            if name == "feed_data":
                break  # users, posts and the truth are held from here on
        arrow = pa.total_allocated_bytes()
        tracemalloc.start()
        highest = 0
        for _, chunk in stream:
            assert len(chunk) < 20_000 + 60_000
            highest = max(highest, pa.total_allocated_bytes() - arrow)
        highest += tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return highest

    assert peak(8_192) < 1.3 * peak(2_048)


def test_the_stream_is_lazy() -> None:
    stream = tables(WorldConfig(n_users=1_000_000))

    assert next(stream)[1].num_rows == 1_000_000
    stream.close()  # type: ignore[attr-defined]


def test_facts_of_a_world_hold_its_rows_in_order_of_time() -> None:
    config = week()
    feed = collected(config)["feed_data"]

    held = facts(config)

    assert len(held.time) == feed.num_rows == held.report.read["feed_data"]
    assert np.all(np.diff(held.time) >= 0)
    assert held.user_ids[held.user].sum() == feed["user_id"].to_numpy().sum()
    assert held.post_ids[held.post].sum() == feed["post_id"].to_numpy().sum()
    assert held.likes.sum() == held.target.sum() == feed["target"].to_numpy().astype(int).sum()
    assert held.target[held.likes].sum() == 0


def test_texts_tell_topics_apart_and_have_their_lengths(world: dict[str, pa.Table]) -> None:
    posts = world["post_text_df"].to_pandas()

    length = posts["text"].str.len().groupby(posts["topic"]).mean()

    assert posts["text"].is_unique
    assert 110 < length["covid"] < 160  # real rows: 132
    assert 1_600 < length["business"] < 2_400  # 1,976
    assert 1_500 < length["entertainment"] < 2_300  # 1,886


def test_texts_may_be_cut_short_and_stay_whole_sentences() -> None:
    config = WorldConfig(1, 200, most_words=30)

    texts = post_table(config, catalogue(config))["text"].to_pylist()

    assert 20 < max(len(text.split()) for text in texts) <= 30
    assert {text[-1] for text in texts} <= set(".?")


def test_posts_read_like_sentences_of_words_of_their_topic(world: dict[str, pa.Table]) -> None:
    posts = world["post_text_df"].to_pandas()

    sentences = posts["text"].str.findall(r"[^.?]+[.?]").explode().str.strip()
    covid, sport = (posts["text"][posts["topic"] == topic].str.lower() for topic in ("covid", "sport"))

    assert sentences.str.fullmatch(r"[A-Z][a-z]*([,:]? [a-z]+)+[.?]").all()
    assert covid.str.contains(r"\b(?:virus|pandemic|lockdown|mask|vaccine)\b").mean() > 0.5
    assert not sport.str.contains(r"\b(?:virus|pandemic|lockdown|mask|vaccine)\b").any()


def test_every_word_belongs_to_one_list_and_every_cluster_has_words() -> None:
    language = read_language()
    words = language.spelled[: language.list_start[-1]]

    assert len(set(words)) == len(words)
    assert len(language.list_start) - 1 == 2 + len(TOPICS) + N_CLUSTERS + 2 * N_FACTORS
    assert np.diff(language.list_start).min() >= 8


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"n_users": 0}, "n_users=0"),
        ({"n_posts": 10}, "n_posts=10"),
        ({"seed": -1}, "seed=-1"),
        ({"regime": "flat"}, "regime='flat'"),
        ({"taste": -0.5}, "taste=-0.5"),
        ({"taste": float("nan")}, "taste=nan"),
        ({"end": date(2021, 10, 1)}, "end=2021-10-01"),
    ],
)
def test_what_no_world_can_be_made_from_is_refused(values: dict[str, Any], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        WorldConfig(**values)


@pytest.mark.parametrize("config", [WorldConfig(), week(regime="typed", taste=0.5, seed=9)])
def test_a_configuration_survives_json(config: WorldConfig) -> None:
    assert WorldConfig.from_json(config.to_json()) == config


@pytest.mark.parametrize("text", ["", "[7]", "7", '{"users": 3}', '{"start": "soon"}', '{"start": 7}'])
def test_json_that_describes_no_world_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"does not describe a world|isoformat"):
        WorldConfig.from_json(text)


def test_a_world_may_outgrow_the_original() -> None:
    held = facts(week(n_users=600, n_posts=15_000))

    assert len(held.post_ids) == len(np.unique(held.post_ids)) == 15_000
    assert set(held.posts["topic"]) == set(TOPICS)
