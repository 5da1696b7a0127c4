"""A dry run over other people's folders: what is taken for what, and a mapping that reads them at once.

Each folder has the form of a public data set, with a few made rows.
"""

import io
import json
import os
import random
import sqlite3
import subprocess
import tomllib
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from batch.cli.draw.look import draw_look
from batch.data.facts import Facts
from batch.data.look.look import Looked, look
from batch.data.mapping import Mapping
from batch.data.tables.location import SourceError
from batch.data.validation.rejects import Limits
from batch.settings import Settings
from tests.data_rows import NOW_S, read_all
from tests.forked import program

N_USERS, N_ITEMS, N_EVENTS = 30, 40, 600
START_S = 1_640_000_000
WORDS = "silver lamp river coffee window engine forest planet".split()  # noqa: SIM905 - easier to read


def events(seed: int = 7) -> list[tuple[int, int, int, int]]:
    """Give (user, item, stars, seconds), no pair of user and item twice."""
    draw = random.Random(seed)
    pairs = draw.sample([(user, item) for user in range(N_USERS) for item in range(N_ITEMS)], N_EVENTS)
    return [
        (100 + user, 7000 + item, 1 + (user + item) % 5, START_S + 613 * k)
        for k, (user, item) in enumerate(pairs)
    ]


def title(item: int) -> str:
    """Give a title of four words."""
    return " ".join(WORDS[item * k % 8] for k in (1, 3, 5, 7)) + f" {item}"


def movielens_1m(folder: Path) -> None:
    """Write ratings.dat, movies.dat and users.dat: `::`, no names, latin-1."""
    lines = {
        "ratings": [f"{user}::{item}::{stars}::{s}" for user, item, stars, s in events()],
        "movies": [
            f"{7000 + n}::Café {title(n)} ({1960 + n})::{['Drama', 'Comedy|War', 'Action|Sci-Fi'][n % 3]}"
            for n in range(N_ITEMS)
        ],
        "users": [f"{100 + n}::{'FM'[n % 2]}::{18 + n % 7}::{n % 9}::{n:05d}" for n in range(N_USERS)],
    }
    for name, rows in lines.items():
        (folder / f"{name}.dat").write_text("\n".join(rows) + "\n", "latin-1")


def movielens_20m(folder: Path) -> None:
    """Write ratings.csv and movies.csv, with names in camel case, and files that are none of ours."""
    rated = pd.DataFrame(events(), columns=["userId", "movieId", "rating", "timestamp"])
    rated.to_csv(folder / "ratings.csv", index=False)
    films = {
        "movieId": [7000 + n for n in range(N_ITEMS)],
        "title": [f"{title(n)}, the ({n})" for n in range(N_ITEMS)],
        "genres": ["Comedy|War", "Drama"] * (N_ITEMS // 2),
    }
    pd.DataFrame(films).to_csv(folder / "movies.csv", index=False)
    links = {"movieId": films["movieId"], "imdbId": range(N_ITEMS), "tmdbId": range(N_ITEMS)}
    pd.DataFrame(links).to_csv(folder / "links.csv", index=False)
    (folder / "README.txt").write_text("Summary\n=======\n")


def retailrocket(folder: Path) -> None:
    """Write events.csv of a shop, in milliseconds, and its category tree."""
    kinds = ["view", "view", "view", "addtocart", "transaction"]
    rows = [
        [s * 1000, user, kinds[k % 5], item, k if k % 5 == 4 else None]
        for k, (user, item, _, s) in enumerate(events())
    ]
    names = ["timestamp", "visitorid", "event", "itemid", "transactionid"]
    pd.DataFrame(rows, columns=names).astype({"transactionid": "Int64"}).to_csv(
        folder / "events.csv", index=False
    )
    tree = {"categoryid": range(9), "parentid": [None, *range(8)]}
    pd.DataFrame(tree).to_csv(folder / "category_tree.csv", index=False)


def kion(folder: Path) -> None:
    """Write interactions.csv of a cinema, with days and how much was watched, users.csv and items.csv."""
    rows = [
        [user, item, str(np.datetime64(s, "s").astype("datetime64[D]")), 60 * stars, 20.0 * stars]
        for user, item, stars, s in events()
    ]
    names = ["user_id", "item_id", "last_watch_dt", "total_dur", "watched_pct"]
    pd.DataFrame(rows, columns=names).to_csv(folder / "interactions.csv", index=False)
    users = {
        "user_id": [100 + n for n in range(N_USERS)],
        "age": ["age_25_34", None] * 15,
        "kids_flg": [0, 1] * 15,
    }
    pd.DataFrame(users).to_csv(folder / "users.csv")
    items = {
        "item_id": [7000 + n for n in range(N_ITEMS)],
        "content_type": ["film", "series"] * 20,
        "title": [title(n) for n in range(N_ITEMS)],
        "genres": ["драмы, комедии", "боевики"] * 20,
    }
    pd.DataFrame(items).to_csv(folder / "items.csv", index=False, sep=";")


def clothes(folder: Path) -> None:
    """Write H&M's transactions_train.csv, articles.csv with zeros in front, and customers.csv with hashes."""
    customers = [f"{n:032x}" for n in range(N_USERS)]
    rows = [
        [
            str(np.datetime64(s, "s").astype("datetime64[D]")),
            customers[user - 100],
            f"0{item}0{k % 7}",
            0.02,
            1,
        ]
        for k, (user, item, _, s) in enumerate(events())
    ]
    names = ["t_dat", "customer_id", "article_id", "price", "sales_channel_id"]
    pd.DataFrame(rows, columns=names).to_csv(folder / "transactions_train.csv", index=False)
    articles = {
        "article_id": [f"0{7000 + n}0{k}" for n in range(N_ITEMS) for k in range(7)],
        "prod_name": [title(n) for n in range(N_ITEMS) for _ in range(7)],
        "product_group_name": ["Garment", "Shoes"] * (N_ITEMS * 7 // 2),
    }
    pd.DataFrame(articles).to_csv(folder / "articles.csv", index=False)
    people = {"customer_id": customers, "age": [20.0 + n for n in range(N_USERS)]}
    pd.DataFrame(people).to_csv(folder / "customers.csv", index=False)


def taobao(folder: Path) -> None:
    """Write UserBehavior.csv, without names."""
    kinds = ["pv", "pv", "pv", "fav", "buy"]
    lines = [f"{user},{item},{item % 9},{kinds[k % 5]},{s}" for k, (user, item, _, s) in enumerate(events())]
    (folder / "UserBehavior.csv").write_text("\n".join(lines) + "\n")


def reviews(folder: Path) -> None:
    """Write Amazon's reviews as JSON lines, packed."""
    lines = [
        json.dumps(
            {"reviewerID": f"A{user}Z", "asin": f"B00{item}", "overall": float(stars), "unixReviewTime": s}
        )
        for user, item, stars, s in events()
    ]
    (folder / "reviews_Books.json").write_text("\n".join(lines) + "\n")


N_STARS = {least: sum(stars >= least for _, _, stars, _ in events()) for least in (3, 4)}
# What writes the form, which tables are found, how many views are liked.
FORMS = {
    "movielens_1m": (movielens_1m, {"feed_data", "user_data", "post_text_df"}, N_STARS[4]),
    "movielens_20m": (movielens_20m, {"feed_data", "post_text_df"}, N_STARS[4]),
    "retailrocket": (retailrocket, {"feed_data"}, 240),
    "kion": (kion, {"feed_data", "user_data", "post_text_df"}, N_STARS[3]),
    "clothes": (clothes, {"feed_data", "user_data", "post_text_df"}, N_EVENTS),
    "taobao": (taobao, {"feed_data"}, 240),
    "reviews": (reviews, {"feed_data"}, N_STARS[4]),
}


def look_at(location: Path | str, mapping: Mapping | None = None) -> Looked:
    """Look as the command does, by the settings' own limits."""
    rejects = Path(str(location).removeprefix("sqlite:///")).with_name("rejects.jsonl")
    return look(str(location), mapping, rejects=rejects, limits=Limits.of(Settings()), now_s=NOW_S)


def read_guessed(folder: Path, to: Path, looked: Looked) -> Facts:
    """Read a folder by the mapping that was guessed, none of its rows rejected."""
    return read_all(str(folder), to, mapping=Mapping.from_toml(tomllib.loads(looked.mapping)), share=0.0)


@pytest.mark.parametrize("form", FORMS)
def test_a_public_data_set_is_read_by_the_mapping_that_is_guessed(tmp_path: Path, form: str) -> None:
    write, tables, n_liked = FORMS[form]
    folder = tmp_path / "data"
    folder.mkdir()
    write(folder)

    looked = look_at(folder)
    facts = read_guessed(folder, tmp_path, looked)

    assert looked.problem == ""
    assert {table["ours"] for table in looked.tables} == tables
    assert all(len(table["rows"]) == 5 for table in looked.tables)
    assert looked.report == facts.report
    assert facts.report.rejected == {}
    assert facts.report.read["feed_data"] == N_EVENTS
    assert len(facts.user_ids) == N_USERS
    assert (int(facts.views.sum()), int(facts.target.sum())) == (N_EVENTS, n_liked)
    assert facts.report.time_units_guessed == {}
    assert START_S - 86_400 <= facts.time[0] <= START_S
    assert facts.shown == "choices"


def test_a_guess_says_what_it_goes_by(tmp_path: Path) -> None:
    retailrocket(tmp_path)

    looked = look_at(tmp_path)

    (table,) = looked.tables
    assert (table["theirs"], table["why"]) == ("events.csv", "it has users, items and times")
    assert table["columns"][0] == {
        "ours": "user_id",
        "theirs": "visitorid",
        "why": "its name is usual for it",
    }
    assert table["rows"][0]["user_id"] == str(events()[0][0])
    assert looked.not_taken == {"category_tree": "no columns of ours"}
    assert 'unit = "ms"' in looked.mapping
    assert 'like = ["addtocart", "transaction"]  # rows looked at: addtocart 120, transaction 120' in (
        looked.mapping
    )


def test_genres_with_bars_are_lists_and_latin_1_is_found(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    movielens_1m(folder)

    looked = look_at(folder)
    posts = read_guessed(folder, tmp_path, looked).posts

    assert 'topic = { column = "topic", split = "|" }' in looked.mapping
    assert 'encoding = "latin-1"' in looked.mapping
    assert posts["text"][0] == f"Café {title(0)} (1960)"


def test_a_database_is_looked_at_as_a_folder_is(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/shop.db"
    frame = pd.DataFrame(events(), columns=["customer", "sku", "stars", "created_at"])
    with closing(sqlite3.connect(tmp_path / "shop.db")) as connection:
        frame.to_sql("reviews", connection)  # with its index
        pd.DataFrame({"id": range(100, 130), "age": range(30)}).to_sql("customers", connection, index=False)

    looked = look_at(url)
    facts = read_all(url, tmp_path, mapping=Mapping.from_toml(tomllib.loads(looked.mapping)), share=0.0)

    assert [(table["ours"], table["theirs"]) for table in looked.tables] == [
        ("feed_data", "reviews"),
        ("user_data", "customers"),
    ]
    assert facts.users["age"].tolist() == list(range(30))
    assert int(facts.target.sum()) == N_STARS[4]


def test_what_would_be_rejected_is_counted(tmp_path: Path) -> None:
    movielens_20m(tmp_path)
    with (tmp_path / "ratings.csv").open("a") as file:
        file.write("1,7000,5\n1,7000,5,never\n1,9999,5,1640000000\n")

    looked = look_at(tmp_path)

    assert looked.report is not None
    assert looked.report.rejected == {"unreadable_row": 1, "unreadable_time": 1, "unknown_post": 1}


def test_a_date_and_a_clock_apart_are_joined_and_formats_found(tmp_path: Path) -> None:
    rows = [
        f"{user};{item};{1 + k % 28:02d}.12.2021;07:{k % 60:02d}"
        for k, (user, item, _, _) in enumerate(events())
    ]
    (tmp_path / "log.csv").write_text("user;product;date;time\n" + "\n".join(rows) + "\n")

    apart = look_at(tmp_path)
    assert 'timestamp = ["date", "time"]' in apart.mapping

    (tmp_path / "log.csv").write_text(
        "\n".join(["user;product;date", *(r.replace(";07:", " 07:") for r in rows)])
    )
    joined = look_at(tmp_path)
    assert "[columns.feed_data]" in joined.mapping
    for looked in (apart, joined):
        assert 'format = "%d.%m.%Y %H:%M"' in looked.mapping
        assert looked.problem == ""
        assert looked.report is not None
        assert looked.report.rejected == {}


def test_what_an_import_would_refuse_is_a_problem_and_counted(tmp_path: Path) -> None:
    movielens_20m(tmp_path)
    with (tmp_path / "ratings.csv").open("a") as file:
        file.write("1,7000,5,never\n" * 60)

    looked = look_at(tmp_path)

    assert looked.problem.startswith("9.09% of 660 event rows were rejected")
    assert looked.report is not None
    assert looked.report.rejected == {"unreadable_time": 60}


def test_a_place_without_a_feed_says_so_and_shows_what_it_has(tmp_path: Path) -> None:
    (tmp_path / "users.csv").write_text("id,age\n1,2\n")

    looked = look_at(tmp_path)

    assert [table["ours"] for table in looked.tables] == ["user_data"]
    assert looked.report is None
    assert looked.problem == (
        f"no table of {tmp_path} has users, items and times by names that are usual: name them under "
        "[columns.feed_data] in the mapping file"
    )
    with pytest.raises(SourceError, match="no folder"):
        look_at(tmp_path / "nowhere")


def test_a_mapping_that_is_given_is_shown_and_not_guessed(tmp_path: Path) -> None:
    taobao(tmp_path)
    mapping = Mapping.from_toml(
        {
            "tables": {"feed_data": "UserBehavior"},
            "columns": {"feed_data": {"user_id": "f0", "post_id": "f1", "action": "f3", "timestamp": "f4"}},
            "events": {"view": ["pv"], "like": ["fav"]},
        }
    )

    looked = look_at(tmp_path, mapping)

    assert looked.mapping == ""
    assert [(table["ours"], table["theirs"]) for table in looked.tables] == [("feed_data", "UserBehavior")]
    assert looked.tables[0]["rows"][0]["action"] == "pv"
    assert looked.report is not None
    assert looked.report.ignored == {"buy": 120}


def almanac(folder: Path, *arguments: str, **settings: str) -> tuple[int, dict[str, Any]]:
    """Run a command with --json in a state folder of its own; return exit code and result."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ALMANAC_")}
    done = subprocess.run(
        [*program(), *arguments, "--json"],
        env={**clean, "ALMANAC_STATE_DIR": str(folder / "state"), **settings},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, json.loads(done.stdout.splitlines()[-1])


@pytest.mark.integration
@pytest.mark.slow
@pytest.mark.parametrize("form", ["movielens_1m", "retailrocket"])
def test_a_run_reads_by_the_mapping_that_a_dry_run_wrote(tmp_path: Path, form: str, valkey_url: str) -> None:
    data, mapping = tmp_path / "data", str(tmp_path / "mine.toml")
    data.mkdir()
    FORMS[form][0](data)

    code, looked = almanac(tmp_path, "import", str(data), "--write-mapping", mapping)

    assert (code, looked["problem"]) == (0, "")
    assert Path(mapping).read_text() == looked["mapping"]
    assert not (tmp_path / "state" / "facts.db").exists()
    small = {"ALMANAC_N_TREES": "10", "ALMANAC_N_BUCKETS": "3", "ALMANAC_REDIS_URL": valkey_url}
    code, ran = almanac(tmp_path, "run", "--data", str(data), "--mapping", mapping, "--no-evaluate", **small)
    assert (code, ran["users"], ran["posts"]) == (0, N_USERS, N_ITEMS)
    assert ran["rows_read"]["feed_data"] == N_EVENTS
    assert ran["rows_rejected"] == {}
    code, refused = almanac(tmp_path, "import", str(data), "--write-mapping", mapping)
    assert code == 2
    assert "is there already" in refused["error"]


def test_a_terminal_shows_the_mapping_line_by_line(tmp_path: Path) -> None:
    retailrocket(tmp_path)
    looked = look_at(tmp_path)
    console = Console(record=True, width=60, file=io.StringIO())

    draw_look(console, looked)

    shown = console.export_text()
    assert looked.mapping in shown
    assert "feed_data = events.csv" in shown
    assert "category_tree  no columns of ours" in shown
