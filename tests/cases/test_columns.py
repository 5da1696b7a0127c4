"""Columns as people's tables have them: any name, lists, infinities, embeddings of every form."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from batch.data.facts import Facts
from batch.data.mapping import Mapping
from batch.data.seen import SeenPosts
from batch.data.tables.location import SourceError
from batch.data.write import tables_of, write
from batch.features import asof, profile, text
from batch.features.signatures import find
from batch.jobs.refresh.digests import compare, digest_inputs
from batch.learn import loader
from batch.learn.recipe import Recipe
from batch.learn.train import train
from batch.publish.facets import find_facets
from batch.publish.gate.stats import columns
from batch.score.engine import score
from batch.score.predict import score_by_predict
from tests.data_rows import assert_equal_facts, csv, parquet, read_all, tables
from tests.facts import even_likes_even

RECIPE = Recipe(30, 10**6, 3600, n_trees=5, n_leaves=7, seed=1, threads=1)
STRANGE = [
    "возраст, лет", "tags[0]", "a:b", 'the "q"', "os type", "os_type", "line\nbreak", "tab\there",
    "{x}", "🙂", "", " ", "Column_1", "position", "knn", "topic", "hour", "user_lift", "user_data.topic",
]  # fmt: skip


def facts_with(names: list[str]) -> Facts:
    """Give a world in which even users like even posts, and every profile column tells who is even."""
    facts = even_likes_even(n_users=40, days=14)
    numbers = pd.DataFrame({name: (facts.users.index + at) % 2 for at, name in enumerate(names)})
    return replace(facts, users=pd.concat([facts.users[["user_id"]], numbers], axis=1))


def test_a_profile_column_of_any_name_is_learned_from_scored_by_and_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("IS_LMS", raising=False)
    facts = facts_with(STRANGE)
    statics = asof.describe(facts, seed=1)
    found = train(facts, statics, facts.as_of_s, RECIPE)
    model = found.model

    names = [feature.name for feature in model.features]
    shown = [f"user_data.{name}" if name in ("hour", "user_lift") else name for name in STRANGE]
    shown[STRANGE.index("topic")] = "user_data.user_data.topic"  # another column is user_data.topic
    assert names[: len(STRANGE)] == shown
    assert len(set(names)) == len(names)
    held = {"os_type", "position", "knn", *(name for name in shown if name.startswith("user_data."))}
    inside = [name if name in held else f"Column_{at}" for at, name in enumerate(shown)]
    assert model.booster().feature_name() == [*inside, *names[len(STRANGE) :]]

    counts = asof.start_tally(facts, statics).advance(facts.as_of_s)
    sides = asof.make_sides(facts, statics, counts, np.array([facts.as_of_s // 3600 * 3600]))
    assert set(columns(sides, np.arange(40))) == set(names)
    everyone, dense = SeenPosts.none(40), model.factors.dense
    (block,) = score(model.text, sides, everyone, 5, dense=dense)
    (exact,) = score_by_predict(model.booster(), sides, everyone, 5, dense=dense)
    np.testing.assert_array_equal(block.posts, exact.posts)

    loaded = loader.load_models(model.save(tmp_path))
    by_name = pd.DataFrame(found.rows.x, columns=names)[names[::-1]]
    np.testing.assert_array_equal(loaded.predict_proba(by_name), loaded.predict_proba(found.rows.x))


def test_a_models_text_holds_ordinary_names_as_they_are() -> None:
    facts = facts_with(["age", "os_type", "exp.group-2", "город"])
    statics = asof.describe(facts, seed=1)

    model = train(facts, statics, facts.as_of_s, RECIPE).model

    assert model.booster().feature_name() == [feature.name for feature in model.features]
    assert [feature.name for feature in model.features][:4] == ["age", "os_type", "exp.group-2", "город"]


def users_of(**columns: Any) -> dict[str, pa.Table]:
    """Give a feed, and a table of its first users with these profile columns."""
    n = len(next(iter(columns.values())))
    return {
        "feed_data": tables()["feed_data"],
        "user_data": pa.table({"user_id": range(1, n + 1), **columns}),
    }


@pytest.mark.parametrize(
    "hobbies",
    [
        pa.array([["Noir", "Drama"], ["Drama"], [], None]),
        pa.array([["Noir", "Drama", None], ["Drama"], [""], None], pa.large_list(pa.string())),
        pa.array([[" Noir", "Drama", "Drama "], ["Drama"], [], None]).cast(
            pa.list_(pa.dictionary(pa.int8(), pa.string()))
        ),
    ],
    ids=["lists", "large lists", "lists of dictionaries"],
)
def test_a_list_in_a_profile_becomes_an_indicator_for_each_value(tmp_path: Path, hobbies: pa.Array) -> None:
    facts = read_all(parquet(tmp_path / "in", users_of(hobbies=hobbies)), tmp_path)

    found = profile.encode(facts.users[facts.users["user_id"] <= 4])

    assert [feature.name for feature in found.features] == ["hobbies=Drama", "hobbies=Noir"]
    np.testing.assert_array_equal(found.values, [[1, 1], [1, 0], [0, 0], [np.nan, np.nan]])


@pytest.mark.parametrize("put", [csv, parquet])
def test_text_is_a_list_where_the_mapping_says_what_separates_it(
    tmp_path: Path, put: Callable[..., str]
) -> None:
    likes = pa.array(["Noir | Drama", "Drama", "", None])
    mapping = Mapping.from_toml(
        {"columns": {"user_data": {"hobbies": {"column": "likes, all", "split": "|"}}}}
    )

    facts = read_all(put(tmp_path / "in", users_of(**{"likes, all": likes})), tmp_path, mapping=mapping)

    assert facts.users["hobbies"][:2].tolist() == [("Noir", "Drama"), ("Drama",)]
    assert profile.encode(facts.users).codes == {"hobbies": ["Drama", "Noir"]}


def test_rare_values_of_lists_share_one_indicator() -> None:
    often = [("often", f"v{k}") for k in range(profile.MAX_INDICATORS)]
    users = pd.DataFrame({"user_id": range(len(often)), "x": pd.Series(often, dtype=object)})

    found = profile.encode(users)

    assert [feature.name for feature in found.features][-2:] == ["x=v8", "x=others"]
    assert found.values.sum(axis=0).tolist() == [32.0, *[1.0] * 32]
    assert np.flatnonzero(found.values[:, -1]).tolist() == [9]  # v9, the last of them as texts


def test_lists_are_profiles_values_wherever_these_are_used(tmp_path: Path) -> None:
    hobbies = [("Noir", "Drama") if k % 2 else ("Drama",) for k in range(40)]
    facts = even_likes_even(n_users=40, days=14)
    facts = replace(facts, users=facts.users[["user_id"]].assign(hobbies=pd.Series(hobbies, dtype=object)))
    moved = facts.users.assign(hobbies=pd.Series([("Opera",), *hobbies[1:]], dtype=object))

    statics = asof.describe(facts, seed=1)
    write(str(tmp_path / "folder"), tables_of(facts))
    write(f"sqlite:///{tmp_path / 'facts.db'}", tables_of(facts))
    split = Mapping.from_toml({"columns": {"user_data": {"hobbies": {"split": "|"}}}})
    before, now = digest_inputs(facts), digest_inputs(replace(facts, users=moved))

    assert {"hobbies=Drama", "hobbies=Noir"} < {feature.name for feature in statics.features}
    assert find(facts.users, most=5).bins["hobbies"] == ["Drama", "Noir|Drama"]
    assert profile.segments(facts.users, ("hobbies",))[0] == ("hobbies=Drama", "hobbies=Noir|Drama")
    assert compare(before, now).users.tolist() == [True, *[False] * 39]
    for again in (
        read_all(str(tmp_path / "folder"), tmp_path),
        read_all(f"sqlite:///{tmp_path / 'facts.db'}", tmp_path, mapping=split),
    ):
        pd.testing.assert_frame_equal(again.users, facts.users)


@pytest.mark.parametrize("put", [csv, parquet])
def test_the_first_of_several_topics_is_the_posts_and_the_others_count_as_words(
    tmp_path: Path, put: Callable[..., str]
) -> None:
    genres = ["Noir|Drama", "Noir|Sci-Fi|Drama", "Comedy", "Comedy|Drama"]
    rows = {"post_text_df": pa.table({"post_id": [10, 20, 30, 40], "genres": genres})}
    rows["feed_data"] = tables()["feed_data"]
    mapping = {"columns": {"post_text_df": {"topic": {"column": "genres", "split": "|"}}}}

    facts = read_all(put(tmp_path / "in", rows), tmp_path, mapping=Mapping.from_toml(mapping))

    assert facts.posts["topic"].tolist() == ["Noir", "Noir", "Comedy", "Comedy"]
    assert facts.posts["more_topics"].tolist() == ["Drama", "Sci-Fi Drama", None, "Drama"]
    assert facts.posts["text"].isna().all()
    told = asof.describe(facts, seed=1).texts
    assert told.map.topics == ("Comedy", "Noir")
    one_more = replace(facts, posts=facts.posts.assign(more_topics=["Drama", "Drama", None, "Drama"]))
    assert compare(digest_inputs(facts), digest_inputs(one_more)).posts.tolist() == [
        False,
        True,
        False,
        False,
    ]
    write(str(tmp_path / "again"), tables_of(facts))
    assert_equal_facts(read_all(str(tmp_path / "again"), tmp_path), facts)


@pytest.mark.parametrize("put", [csv, parquet])
def test_columns_to_filter_by_are_kept_and_each_value_of_a_list_counts(
    tmp_path: Path, put: Callable[..., str]
) -> None:
    rows = {
        "post_text_df": pa.table(
            {
                "post_id": [10, 20, 30, 40],
                "genres": ["Noir|Sci Fi", "Noir", None, " Sci Fi | Noir|"],
                "maker": ["acme", "b=c", None, "acme"],
                "sold": [True, False, None, True],
                "sizes": ["s,m", "m", "", None],
            }
        ),
        "feed_data": tables()["feed_data"],
    }
    mapping = Mapping.from_toml(
        {
            "columns": {
                "post_text_df": {
                    "topic": {"column": "genres", "split": "|"},
                    "brand": "maker",
                    "sizes": {"split": ","},
                }
            }
        },
        ("brand", "sold", "sizes"),
    )
    by, order = ("topic", "brand", "sold", "sizes"), np.array([3, 2, 1, 0], np.int32)

    facts = read_all(put(tmp_path / "in", rows), tmp_path, mapping=mapping)

    found = find_facets(facts.posts, by, order)
    assert {facet: posts.tolist() for facet, posts in found.items()} == {
        "brand=acme": [3, 0],
        "brand=b=c": [1],
        "sizes=m": [1, 0],
        "sizes=s": [0],
        "sold=false": [1],
        "sold=true": [3, 0],
        "topic=Noir": [3, 1, 0],
        "topic=Sci Fi": [3, 0],
    }
    further = Mapping.from_toml(
        {"columns": {"post_text_df": {"sizes": {"split": "|"}}}}, ("brand", "sold", "sizes")
    )
    for location in (str(tmp_path / "again"), f"sqlite:///{tmp_path / 'facts.db'}"):
        write(location, tables_of(facts))
        again = read_all(location, tmp_path, mapping=further)
        assert find_facets(again.posts, by, order).keys() == found.keys()
        pd.testing.assert_frame_equal(again.posts, facts.posts)


def test_a_column_to_filter_by_that_posts_lack_is_named(tmp_path: Path) -> None:
    posts = pa.table({"post_id": [10], "topic": ["a"]})
    for rows in ({"post_text_df": posts}, {}):
        location = parquet(tmp_path / f"in{len(rows)}", {**rows, "feed_data": tables()["feed_data"]})
        with pytest.raises(SourceError, match=r"no column 'brand'.*: name it"):
            read_all(location, tmp_path, mapping=Mapping(post_columns=("brand",)))


def test_topics_beside_the_text_are_among_the_words_that_posts_are_placed_by() -> None:
    texts = [f"word{k % 3} all" for k in range(12)]
    more = ["tag" if k % 2 else None for k in range(12)]
    posts = pd.DataFrame({"post_id": range(12), "topic": "a", "text": texts, "more_topics": more})

    plain, tagged = (
        text.describe(frame, None, seed=1) for frame in (posts.drop(columns="more_topics"), posts)
    )

    assert set(tagged.map.words) - set(plain.map.words) == {"tag"}
    placed = text.place(posts.tail(2), None, tagged.map)
    np.testing.assert_allclose(placed.space, tagged.space[-2:], atol=1e-5)
    np.testing.assert_array_equal(tagged.length, plain.length)


@pytest.mark.parametrize("put", [csv, parquet])
def test_infinite_numbers_of_a_profile_are_missing_and_counted(
    tmp_path: Path, put: Callable[..., str]
) -> None:
    rows = users_of(income=[1.5, np.inf, -np.inf, None], big=[1e300, 2.0, 3.0, 4.0], age=[1, 2, 3, 4])

    facts = read_all(put(tmp_path / "in", rows), tmp_path)

    assert facts.report.infinite == {"income": 2, "big": 1}
    assert facts.users["income"][:4].fillna(-1).tolist() == [1.5, -1, -1, -1]
    assert facts.users["big"][:4].fillna(-1).tolist() == [-1, 2, 3, 4]
    assert np.isfinite(profile.encode(facts.users[:4]).values).sum() == 1 + 3 + 4


def test_records_maps_and_lists_of_lists_count_as_their_text(tmp_path: Path) -> None:
    rows = users_of(
        record=pa.array([{"a": 1}, {"a": 1}, {"a": 2}, None]),
        pairs=pa.array([[("k", 1)], [], None, None], pa.map_(pa.string(), pa.int64())),
        deep=pa.array([[["a", "b"], ["c"]], [["c"]], [], None]),
    )

    facts = read_all(parquet(tmp_path / "in", rows), tmp_path)

    assert facts.users["record"][:4].tolist() == ["{'a': 1}", "{'a': 1}", "{'a': 2}", None]
    assert facts.users["deep"][:4].tolist() == [("a b", "c"), ("c",), (), None]
    assert len(profile.encode(facts.users).features) == 1 + 1 + 2


NUMBERS = [[0.5, 2.0], [-1.5, 1e-3], [3.0, 0.0]]


@pytest.mark.parametrize(
    "embedding",
    [
        pa.array(NUMBERS),
        pa.array(NUMBERS, pa.list_(pa.float32(), 2)),
        pa.array([["0.5", "2"], ["-1.5", "0.001"], ["3", "0"]]),
        ["[0.5, 2.0]", "[-1.5, 0.001]", "[3.0, 0.0]"],
        ["0.5 2", " -1.5  1e-3\n", "3 0"],
        ["0.5,2,", "-1.5,.001", "3,0"],
        ["0.5;2", "-1.5;1E-3", "3;0"],
        ["[0.5\n 2.]", "[-1.5  0.001]", "[3. 0.]"],
        ["{0.5,2}", "{-1.5,0.001}", "{3,0}"],
    ],
    ids=str,
)
def test_an_embedding_is_a_list_of_numbers_or_a_text_of_them(tmp_path: Path, embedding: Any) -> None:
    rows = tables() | {"post_embeddings": pa.table({"post_id": [10, 20, 40], "vector": embedding})}

    facts = read_all(parquet(tmp_path / "in", rows), tmp_path)

    assert facts.embeddings is not None
    np.testing.assert_array_equal(facts.embeddings[[0, 1, 3]], np.array(NUMBERS, np.float32))
    assert (facts.report.posts_without_embedding, facts.report.broken_embeddings) == (1, 0)


@pytest.mark.parametrize(
    "broken",
    [[[0.5, np.inf], [0.5, None], None], ["[0.5, inf]", "0.5 nan", ""], [[1e39, 0], [np.nan, 1], []]],
)
def test_a_post_whose_embedding_is_broken_has_none_and_is_counted(tmp_path: Path, broken: Any) -> None:
    sound = "[1, 2]" if isinstance(broken[0], str) else [1.0, 2.0]
    rows = tables() | {"post_embeddings": pa.table({"post_id": [10, 20, 30, 40], "v": [*broken, sound]})}

    facts = read_all(parquet(tmp_path / "in", rows), tmp_path)

    assert facts.embeddings is not None
    assert np.isnan(facts.embeddings).all(axis=1).tolist() == [True, True, True, False]
    assert (facts.report.posts_without_embedding, facts.report.broken_embeddings) == (3, 2)


@pytest.mark.parametrize(
    ("column", "says"),
    [
        (["0.5 2", "0.5", "1 2"], "its lists have 2 numbers and 1"),
        (["a.npy", "b.npy", "a.npy"], "'a.npy'"),
        ([{"x": 1}, {"x": 2}, {"x": 3}], "no numbers are in struct<x: int64>"),
    ],
)
def test_an_embedding_that_cannot_be_parsed_is_refused_by_name(
    tmp_path: Path, column: list[Any], says: str
) -> None:
    table = pa.table({"post_id": [10, 20, 40], "e0": [1.0, 2.0, 3.0], "vector": column})
    location = parquet(tmp_path / "in", tables() | {"post_embeddings": table})

    with pytest.raises(SourceError, match=f"post_embeddings has a column 'vector'.*{re.escape(says)}"):
        read_all(location, tmp_path)

    kept = Mapping.from_toml({"embeddings": {"columns": ["e0"]}})
    facts = read_all(location, tmp_path, mapping=kept)
    assert facts.embeddings is not None
    assert facts.embeddings[[0, 1, 3]].tolist() == [[1.0], [2.0], [3.0]]


def test_embeddings_of_no_post_leave_the_texts_to_compare_posts_by(tmp_path: Path) -> None:
    for table in ({"post_id": [77], "e0": [1.0]}, {"post_id": [10]}, {"post_id": [10], "e0": [np.nan]}):
        rows = tables() | {"post_embeddings": pa.table(table)}

        facts = read_all(parquet(tmp_path / "in", rows), tmp_path)

        assert facts.embeddings is None
        assert facts.report.posts_without_embedding == 4


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        ({"columns": {"user_data": {"hobbies": {"split": ""}}}}, "columns.user_data.hobbies.split = ''"),
        ({"columns": {"user_data": {"hobbies": {"column": "x"}}}}, "columns.user_data.hobbies.split = None"),
        ({"columns": {"post_text_df": {"topic": {"by": "|"}}}}, "'by'"),
        ({"columns": {"post_embeddings": {"post_id": {"split": "|"}}}}, "columns.post_embeddings.post_id"),
        ({"embeddings": {"columns": "e0"}}, "embeddings.columns = 'e0'"),
        ({"embeddings": {"keep": ["e0"]}}, "'keep'"),
    ],
)
def test_a_wrong_key_of_lists_or_embeddings_is_refused_by_name(raw: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        Mapping.from_toml(raw)


def test_a_column_called_as_ours_gives_way_to_the_one_that_the_mapping_names(tmp_path: Path) -> None:
    users = pa.table({"id": [3, 5, 9], "user_id": ["x", "y", "z"], "age": [1, 2, 3], "years": [4, 5, 6]})
    mapping = {"columns": {"user_data": {"user_id": "id", "age": "years", "again": "years"}}}
    location = parquet(tmp_path / "in", tables() | {"user_data": users})

    facts = read_all(location, tmp_path, mapping=Mapping.from_toml(mapping))

    assert facts.users.columns.tolist() == ["user_id", "age", "again"]
    assert facts.users.set_index("user_id").loc[[3, 5, 9], "age"].tolist() == [4, 5, 6]
    assert facts.report.columns_ignored == {"user_data": ["user_id", "age"]}


@pytest.mark.parametrize(
    "values",
    [
        pa.array([b"ab", b"\xff\xff", None], pa.binary(2)),
        pa.array([[b"\xff"], None, [b"a"]]),
        pa.array(["a", None, "b"], pa.string_view()),
        pa.array([2**64 - 1, None, 0], pa.uint64()),
        pa.array([timedelta(1), None, timedelta(2)]),
        pa.array([date(2021, 1, 1), None, date(1, 1, 1)]),
        pa.array([Decimal("1e20"), None, Decimal("1.5")], pa.decimal128(38, 2)),
        pa.array([[None], None, []], pa.list_(pa.null())),
        pa.nulls(3),
    ],
    ids=lambda values: str(values.type),
)
def test_a_profile_column_of_any_type_is_read_and_described(tmp_path: Path, values: pa.Array) -> None:
    rows = tables() | {"user_data": pa.table({"user_id": [3, 5, 9], "x": values})}

    facts = read_all(parquet(tmp_path / "in", rows), tmp_path)

    found = profile.encode(facts.users)
    assert not np.isinf(found.values).any()
    assert find(facts.users, most=5).of_user.tolist() == [-1] * 4  # too few for a list of their own


def test_embeddings_of_posts_alike_and_of_a_single_post_are_described() -> None:
    posts = pd.DataFrame({"post_id": [1, 2, 3], "topic": ["a", "a", "b"], "text": None})

    for vectors in ([[1, 2], [1, 2], [1, 2]], [[1, 2], [np.nan] * 2, [np.nan] * 2]):
        found = text.describe(posts, np.array(vectors, np.float32), seed=1)

        assert np.nan_to_num(found.space).tolist() == np.zeros(found.space.shape).tolist()
