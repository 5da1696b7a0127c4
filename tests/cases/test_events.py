"""A feed says in many ways what was seen, chosen and liked: each is read as the same, or named.

Six weeks of 24 users, each with sessions of ten posts, of which even users like even posts and odd ones odd.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from batch.data.columns import LIKE, VIEW
from batch.data.facts import Facts
from batch.data.mapping import Mapping
from batch.data.validation.feed import NoEvents
from batch.data.validation.rejects import TooManyRejected
from batch.features import asof
from batch.learn.ranker import Ranker
from batch.learn.recipe import Recipe
from batch.learn.train import train
from tests.data_rows import csv, parquet, read_all

BEGIN_S, DAY_S = 1_633_046_400, 86_400
N_USERS, N_POSTS, N_SESSIONS, N_SHOWN = 24, 40, 6, 10
RECIPE = Recipe(train_days=60, train_rows=10**6, width_s=3600, n_trees=5, n_leaves=7, seed=1, threads=1)
HOUR = pa.scalar(3600, pa.duration("s"))
CHOICES = 'shown = "choices"\n'


def views() -> pa.Table:
    """Give what each user saw, and `liked` 0 or 1; the wish is met in four of five cases."""
    rng = np.random.default_rng(7)
    rows = []
    for user in range(N_USERS):
        for session in range(N_SESSIONS):
            at_s = BEGIN_S + (7 * session + user % 7) * DAY_S + 3600 * user
            for place, post in enumerate(rng.choice(N_POSTS, N_SHOWN, replace=False)):
                liked = int((user % 2 == post % 2) == (rng.random() < 0.8))
                rows.append((at_s + 20 * place, user, int(post), liked))
    columns = dict(zip(("timestamp", "user_id", "post_id", "liked"), zip(*rows, strict=True), strict=True))
    at = pa.array(columns["timestamp"]).cast(pa.timestamp("s"))
    return pa.table({**columns, "timestamp": at, "liked": pa.array(columns["liked"], pa.int8())})


VIEWS = views()
LIKED = VIEWS.filter(pc.equal(VIEWS["liked"], 1))
N, N_LIKED = VIEWS.num_rows, LIKED.num_rows
PLAIN = VIEWS.drop_columns("liked")


def with_columns(table: pa.Table, **columns: Any) -> pa.Table:
    """Add columns; a single value is every row's."""
    for name, values in columns.items():
        table = table.append_column(
            name, pa.array([values] * len(table) if isinstance(values, str) else values)
        )
    return table


def read_feed(folder: Path, feed: pa.Table, toml: str = "", **more: pa.Table) -> Facts:
    """Read a feed as CSV and as Parquet, with the limits that settings have; both must say the same."""
    path = folder / "mapping.toml"
    path.write_text(toml)
    rows = {"feed_data": feed, **more}
    typed, text = (
        read_all(put(folder / put.__name__, rows), folder, mapping=Mapping.load(path), share=0.05)
        for put in (parquet, csv)
    )
    np.testing.assert_array_equal(typed.target, text.target)
    assert typed.report == text.report
    assert typed.shown == text.shown
    return typed


def model_of(facts: Facts) -> Ranker:
    return train(facts, asof.describe(facts, 1), facts.as_of_s, RECIPE).model


def counts(facts: Facts) -> tuple[int, int, int]:
    """Return views, those liked, and likes."""
    return int(facts.views.sum()), int(facts.target.sum()), int(facts.likes.sum())


def stars(liked: pa.ChunkedArray) -> list[int]:
    return [4 + k % 2 if like else 1 + k % 3 for k, like in enumerate(liked.to_pylist())]


@pytest.mark.parametrize(
    "words",
    [
        ("0", "1"), ("False", "True"), ("false ", " TRUE"), ("f", "t"), ("no", "Yes"), ("N", "Y"),
        ("0.0", "1.0"), (False, True), (0.0, 1.0),
    ],
    ids=str,
)  # fmt: skip
def test_a_target_is_a_number_a_truth_value_or_a_word(tmp_path: Path, words: tuple[Any, Any]) -> None:
    target = [words[liked] for liked in VIEWS["liked"].to_pylist()]

    facts = read_feed(tmp_path, with_columns(PLAIN, action="view", target=target))

    assert counts(facts) == (N, N_LIKED, 0)
    assert facts.report.rejected == {}


def test_a_target_of_other_words_is_shown_with_the_key_that_helps(tmp_path: Path) -> None:
    target = ["loved" if liked else "meh" for liked in VIEWS["liked"].to_pylist()]
    feed = with_columns(PLAIN, action="view", target=target)

    with pytest.raises(TooManyRejected) as refused:
        read_feed(tmp_path, feed)

    assert f"{N} bad_target (target '{target[0]}' of a view is neither a yes nor a no: set [events]" in str(
        refused.value
    )
    facts = read_feed(tmp_path, feed, '[events]\nlike = { column = "target", among = ["Loved"] }')
    assert counts(facts) == (N, N_LIKED, 0)


@pytest.mark.parametrize(
    "toml",
    [
        '[events]\nlike = { column = "stars", at_least = 4 }',
        '[events]\nlike = { column = "stars", among = [4, 5] }',
        'shown = "choices"\n[events]\nlike = { column = "stars", at_least = 3.5 }',
        '[columns.feed_data]\naction = "stars"\n[events]\nview = ["1", "2", "3"]\nlike = ["4", "5"]',
        '[columns.feed_data]\naction = "stars"\n[events]\nview = [1, 2, 3]\nlike = [4, 5]',
        '[columns.feed_data]\naction = "stars"\n[events]\nview = ["1.0", "2.0", 3.0]\nlike = ["4.0", "5"]',
    ],
)
@pytest.mark.parametrize("kind", [pa.int8(), pa.float64()])
def test_stars_are_views_and_the_best_of_them_liked(tmp_path: Path, toml: str, kind: pa.DataType) -> None:
    feed = with_columns(PLAIN, stars=pa.array(stars(VIEWS["liked"])).cast(kind))

    facts = read_feed(tmp_path, feed, toml)

    assert counts(facts)[:2] == (N, N_LIKED)
    assert facts.report.rejected == {}
    assert model_of(facts).factors.x.shape[0] == N_USERS


def test_a_number_that_is_missing_is_no_like_and_one_that_is_none_is_rejected(tmp_path: Path) -> None:
    watched = ["100", "", "12.5", "most of it", *["0"] * (N - 4)]

    facts = read_feed(
        tmp_path,
        with_columns(PLAIN, percent=watched),
        '[events]\nlike = { column = "percent", at_least = 90 }',
    )

    assert counts(facts) == (N - 1, 1, 0)
    assert facts.report.rejected == {"bad_target": 1}


def test_a_target_of_ones_and_nothing_is_read_as_the_message_says(tmp_path: Path) -> None:
    target = [1 if liked else None for liked in VIEWS["liked"].to_pylist()]
    feed = with_columns(PLAIN, action="view", target=pa.array(target, pa.float64()))

    with pytest.raises(TooManyRejected, match="by which a missing one is a no"):
        read_feed(tmp_path, feed)

    facts = read_feed(tmp_path, feed, '[events]\nview = ["view"]\nlike = { column = "target", at_least = 1 }')
    assert counts(facts) == (N, N_LIKED, 0)


def test_a_like_may_say_that_it_is_one(tmp_path: Path) -> None:
    feed = with_columns(PLAIN.slice(0, 2), action=["view", "like"], target=[1, 1])

    facts = read_feed(tmp_path, feed)

    assert facts.target.tolist() == [1, 0]
    assert facts.report.rejected == {}


def test_without_an_action_every_row_is_a_choice_and_trains_a_model(tmp_path: Path) -> None:
    facts = read_feed(tmp_path, PLAIN)

    assert facts.shown == "choices"
    assert counts(facts) == (N, N, 0)
    even = model_of(facts).factors
    assert np.isfinite(even.x @ even.y.T).all()


def test_without_an_action_a_target_says_what_is_liked(tmp_path: Path) -> None:
    facts = read_feed(tmp_path, PLAIN.append_column("target", VIEWS["liked"]))

    assert facts.shown == "impressions"
    assert counts(facts) == (N, N_LIKED, 0)


def test_a_mapping_that_names_events_needs_their_column(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"feed_data in .* has no column 'action' \(it has timestamp"):
        read_feed(tmp_path, PLAIN, '[events]\nview = ["open"]')


@pytest.mark.parametrize(
    ("feed", "toml"),
    [
        (with_columns(LIKED.drop_columns("liked"), action="like"), CHOICES),
        (with_columns(LIKED.drop_columns("liked"), action="view", target=[0] * N_LIKED), CHOICES),
        (with_columns(LIKED.drop_columns("liked"), action="buy"), CHOICES + '[events]\nview = ["buy"]'),
        (with_columns(LIKED.drop_columns("liked"), action="buy"), CHOICES + '[events]\nlike = ["buy"]'),
        (LIKED.drop_columns("liked"), CHOICES),
    ],
    ids=["likes", "views", "bought as view", "bought as like", "rows"],
)
def test_choices_alone_are_the_yes_and_train_our_model(tmp_path: Path, feed: pa.Table, toml: str) -> None:
    facts = read_feed(tmp_path, feed, toml)

    assert counts(facts)[:2] == (N_LIKED, N_LIKED)
    factors = model_of(facts).factors
    scores = factors.x @ factors.y.T
    scores[facts.user, facts.post] = np.nan
    alike = (np.arange(N_USERS)[:, None] + np.arange(N_POSTS)) % 2 == 0
    assert np.nanmean(scores[alike]) > np.nanmean(scores[~alike])


@pytest.mark.parametrize(
    ("feed", "way_out"),
    [
        (
            with_columns(PLAIN, action="view", target=[0] * N),
            'shown = "choices" there; --variant popular needs',
        ),
        (with_columns(PLAIN, action="view"), "name it as like under [events] in a mapping file"),
        (
            with_columns(PLAIN, action="view", target=[1] * N),
            "all are liked, so users chose these posts: set shown",
        ),
        (
            with_columns(PLAIN, action="like"),
            'all are liked, so users chose these posts: set shown = "choices"',
        ),
        (with_columns(PLAIN, action="like", target=pa.nulls(N, pa.int8())), 'set shown = "choices"'),
    ],
    ids=["no likes", "no target", "all liked", "likes", "likes without target"],
)
def test_facts_of_one_kind_name_the_way_out(tmp_path: Path, feed: pa.Table, way_out: str) -> None:
    facts = read_feed(tmp_path, feed)

    with pytest.raises(ValueError, match="cannot train a ranker") as refused:
        model_of(facts)

    assert way_out in str(refused.value)


def test_stars_given_twice_are_two_views_and_the_first_is_none_the_more_liked(tmp_path: Path) -> None:
    toml = CHOICES + '[columns.feed_data]\naction = "stars"\n[events]\nview = [1, 2, 3]\nlike = [4, 5]'
    again = VIEWS.slice(0, 4).set_column(0, "timestamp", pc.add(VIEWS["timestamp"].slice(0, 4), HOUR))
    feed = pa.concat_tables([VIEWS, again]).drop_columns("liked")
    given = [*stars(VIEWS["liked"]), 5, 5, 5, 5]

    facts = read_feed(tmp_path, with_columns(feed, stars=given), toml)

    assert counts(facts) == (N + 4, N_LIKED + 4, N_LIKED + 4)


def test_a_like_without_a_view_is_a_view_too(tmp_path: Path) -> None:
    at = [BEGIN_S, BEGIN_S + 60, BEGIN_S + 60, BEGIN_S + 90, BEGIN_S + 3 * DAY_S]
    feed = pa.table(
        {
            "timestamp": pa.array(at).cast(pa.timestamp("s")),
            "user_id": [1, 1, 2, 2, 1],
            "post_id": [7, 7, 7, 7, 7],
            "action": ["view", "like", "like", "like", "like"],
        }
    )

    facts = read_feed(tmp_path, feed)

    columns = (facts.user, facts.time - BEGIN_S, facts.action, facts.target)
    assert list(zip(*(column.tolist() for column in columns), strict=True)) == [
        (0, 0, VIEW, 1),
        (0, 60, LIKE, 0),
        (1, 60, VIEW, 1),
        (1, 60, LIKE, 0),
        (1, 90, LIKE, 0),
        (0, 3 * DAY_S, VIEW, 1),  # the view of three days before is too old to be this like's
        (0, 3 * DAY_S, LIKE, 0),
    ]


def test_a_like_without_a_view_stays_one_where_targets_say_what_was_seen(tmp_path: Path) -> None:
    feed = with_columns(PLAIN.slice(0, 2), action=["view", "like"], target=[0, 0])

    assert counts(read_feed(tmp_path, feed)) == (1, 0, 1)


@pytest.mark.parametrize("names", [("View ", "Like "), ("VIEW", " like"), ("view", "LIKE")])
def test_event_names_are_told_apart_by_neither_case_nor_blanks(
    tmp_path: Path, names: tuple[str, str]
) -> None:
    action = [names[liked] for liked in VIEWS["liked"].to_pylist()]

    for toml in ("", '[events]\nview = ["VIEW"]\nlike = ["Like"]'):
        facts = read_feed(tmp_path, with_columns(PLAIN, action=action), toml)

        assert facts.likes.sum() == N_LIKED
        assert facts.report.rejected == facts.report.ignored == {}


def test_unknown_events_are_named_with_their_rows(tmp_path: Path) -> None:
    action = ["click" if liked else "pv" for liked in VIEWS["liked"].to_pylist()]
    feed, n_pv = with_columns(PLAIN, action=action), N - N_LIKED
    found = sorted([("click", N_LIKED), ("pv", n_pv)], key=lambda one: -one[1])
    told = ", ".join(f"'{name}' in {n} rows" for name, n in found)

    with pytest.raises(TooManyRejected) as refused:
        read_feed(tmp_path, feed)
    with pytest.raises(NoEvents) as none:
        read_feed(tmp_path, feed, '[events]\nview = ["open"]')

    assert f"{N} unknown_action ({told}: name them as view or like under [events]" in str(refused.value)
    assert f"column 'action' has {told}; name them as view or like under [events]" in str(none.value)
    assert none.value.exit_code == 3
    assert read_feed(tmp_path, feed, '[events]\nview = ["pv"]').report.ignored == {"click": N_LIKED}


def test_events_of_countless_names_are_counted_within_bounds(tmp_path: Path) -> None:
    action = ["view"] * 5 + [f"e{k}" for k in range(N - 5)]

    facts = read_feed(tmp_path, with_columns(PLAIN, action=action), '[events]\nview = ["view"]')

    assert len(facts.report.ignored) == 101
    assert facts.report.ignored["(others)"] == N - 5 - 100


def test_kinds_weigh_as_the_mapping_says(tmp_path: Path) -> None:
    toml = CHOICES + (
        '[events]\nview = ["view"]\nlike = ["cart", "purchase"]\n'
        "weights = { view = 0.5, cart = 2, Purchase = 9 }"
    )
    feed = pa.table(
        {
            "timestamp": pa.array([BEGIN_S, BEGIN_S + 60, BEGIN_S + 60, BEGIN_S + 60]).cast(
                pa.timestamp("s")
            ),
            "user_id": [1, 1, 1, 2],
            "post_id": [7, 7, 7, 7],
            "action": ["view", "purchase", "cart", "cart"],
        }
    )

    facts = read_feed(tmp_path, feed, toml)

    assert facts.weight is not None
    assert facts.weight.dtype == np.float32
    assert list(zip(facts.action.tolist(), facts.weight.tolist(), strict=True)) == [
        (VIEW, 0.5),
        (LIKE, 9.0),  # of two likes at one second the heavier
        (VIEW, 0.0),  # the view that a cart implies
        (LIKE, 2.0),
    ]
    assert facts.until(BEGIN_S).weight == pytest.approx([0.5])


def test_what_weighs_more_is_ranked_higher(tmp_path: Path) -> None:
    kinds = ["purchase" if post % 2 else "cart" for post in VIEWS["post_id"].to_pylist()]
    feed = with_columns(PLAIN, action=kinds)
    events = CHOICES + '[events]\nlike = ["cart", "purchase"]\n'

    alike, heavier = (
        read_feed(tmp_path, feed, events + weights) for weights in ("", "weights = { purchase = 20 }")
    )

    odd = np.arange(N_POSTS) % 2 == 1
    gaps = []
    for facts in (alike, heavier):
        factors = model_of(facts).factors
        scores = (factors.x @ factors.y.T).mean(axis=0)
        gaps.append(scores[odd].mean() - scores[~odd].mean())
    assert gaps[1] > gaps[0] + 0.05


def test_the_page_s_mappings_of_events_read_what_they_show(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "settings.md").read_text("utf-8")
    kinds, cells = re.findall(r"```toml\n(.*?)```", page.partition("### Events\n")[2], re.DOTALL)[:2]
    shop = with_columns(PLAIN.slice(0, 4), action=["view", "cart", "purchase", "scroll"])
    news = PLAIN.slice(0, 1).rename_columns(["time", "user_id", "impressions"])
    news = news.set_column(2, "impressions", pa.array(["55689-1 35729-0"]))

    bought, clicked = read_feed(tmp_path, shop, kinds), read_feed(tmp_path, news, cells)

    assert bought.weight is not None
    assert sorted(bought.weight[bought.weight > 0].tolist()) == pytest.approx([0.1, 3, 10])
    assert bought.report.ignored == {"scroll": 1}
    assert clicked.target.tolist() == [0, 1]


def impressions(mark: bool) -> pa.Table:
    """Give a row a session: its user, its time, the posts of it in one cell."""
    cells: dict[tuple[Any, ...], list[str]] = {}
    for at, user, post, liked in zip(*VIEWS.to_pydict().values(), strict=True):
        session = (at.replace(minute=0, second=0), user)
        cells.setdefault(session, []).append(f"{post}-{liked}" if mark else f"{post}")
    at, user = zip(*cells, strict=True)
    return pa.table(
        {"timestamp": at, "user_id": user, "post_id": [" ".join(cell) for cell in cells.values()]}
    )


def test_a_cell_of_posts_and_what_was_clicked_becomes_events(tmp_path: Path) -> None:
    facts = read_feed(tmp_path, impressions(mark=True), '[events]\nsplit = " "\nmark = "-"')

    assert facts.shown == "impressions"
    assert counts(facts) == (N, N_LIKED, 0)
    assert facts.report.read["feed_data"] == N_USERS * N_SESSIONS
    assert facts.report.rejected == {}


def test_a_cell_of_posts_that_nothing_takes_apart_is_shown_with_the_key_that_helps(tmp_path: Path) -> None:
    news = pa.table({"post_id": [f"N{k}" for k in range(9)]})
    feed = PLAIN.slice(0, 1).set_column(2, "post_id", pa.array(["N1-0 N2-1"]))

    with pytest.raises(TooManyRejected, match=r"has no post N1-0 N2-1: set post_id .* or split = "):
        read_feed(tmp_path, feed, post_text_df=news)


def test_a_cell_without_posts_is_a_bad_row_and_blanks_are_none(tmp_path: Path) -> None:
    cells = pa.array([" 3-0  5-1 ", "", *["7-0"] * 40])
    feed = PLAIN.slice(0, 42).set_column(2, "post_id", cells)

    facts = read_feed(tmp_path, feed, '[events]\nsplit = " "\nmark = "-"')

    assert counts(facts) == (42, 1, 0)
    assert facts.report.rejected == {"missing_post": 1}


def test_a_list_of_posts_and_one_of_what_was_clicked_become_events(tmp_path: Path) -> None:
    cells = impressions(mark=True)["post_id"].to_pylist()
    shown = [[int(cell.split("-")[0]) for cell in row.split()] for row in cells]
    clicked = [[int(cell.split("-")[0]) for cell in row.split() if cell.endswith("1")] for row in cells]
    lists = impressions(mark=True).set_column(2, "post_id", pa.array(shown)).append_column(
        "target", pa.array(clicked)
    )  # fmt: skip
    texts = impressions(mark=True)
    for name, values in (("post_id", shown), ("target", clicked)):
        column = pa.array([";".join(map(str, row)) for row in values])
        texts = texts.drop_columns(name) if name in texts.column_names else texts
        texts = texts.append_column(name, column)

    typed = read_all(parquet(tmp_path / "lists", {"feed_data": lists}), tmp_path, share=0.0)

    assert counts(typed) == (N, N_LIKED, 0)
    assert counts(read_feed(tmp_path, texts, '[events]\nsplit = ";"')) == (N, N_LIKED, 0)
