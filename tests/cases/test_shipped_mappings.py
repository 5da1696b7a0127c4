"""The mappings that ship read a small piece of each data set in its original's form."""

import gzip
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from batch.data.columns import VIEW
from batch.data.cut import as_they_stood
from batch.data.facts import Facts
from batch.data.load import read_facts
from batch.settings import Settings

LATIN = "Misérables, Les (1995)"


def read(folder: Path, mapping: str, files: dict[str, str | bytes]) -> Facts:
    """Write the files and read them by a mapping that ships; no row may be lost."""
    for name, text in files.items():
        (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    settings = Settings(state_dir=folder / "state", mapping=mapping, max_rejected_share=0.0)
    return read_facts(settings, str(folder), lambda _n: None)


def rows(facts: Facts) -> list[tuple[Any, Any, int]]:
    """Return user, post and target of each view, in order of time, ids as the tables spell them."""
    users = facts.user_names.column(facts.users["user_id"].to_numpy()).to_pylist()
    posts = facts.post_names.column(facts.posts["post_id"].to_numpy()).to_pylist()
    views = np.flatnonzero(facts.action == VIEW)
    return [(users[facts.user[k]], posts[facts.post[k]], int(facts.target[k])) for k in views]


def test_movielens_100k(tmp_path: Path) -> None:
    flags = "|".join(["0"] * 19)
    facts = read(
        tmp_path,
        "movielens-100k",
        {
            "u.data": "196\t242\t3\t881250949\n186\t302\t4\t881250950\n196\t302\t5\t881250951\n",
            "u.item": f"242|Kolya (1996)|24-Jan-1997||http://x?a|{flags}\n302|{LATIN}|01-Jan-1995|||{flags}\n".encode(
                "latin-1"
            ),
            "u.user": "196|49|M|writer|55105\n186|39|F|executive|00000\n",
        },
    )

    assert rows(facts) == [(196, 242, 0), (186, 302, 1), (196, 302, 1)]
    assert facts.posts["text"].tolist() == ["Kolya (1996)", LATIN]
    assert facts.users.drop(columns="user_id").to_dict("list") == {
        "age": [39.0, 49.0],
        "gender": ["F", "M"],
        "occupation": ["executive", "writer"],
    }
    assert facts.shown == "choices"


def test_movielens_1m(tmp_path: Path) -> None:
    facts = read(
        tmp_path,
        "movielens-1m",
        {
            "ratings.dat": "1::1193::5::978300760\n2::661::3::978300761\n",
            "movies.dat": f"1193::{LATIN}::Drama|Musical\n661::James: the Peach::Animation\n".encode(
                "latin-1"
            ),
            "users.dat": "1::F::1::10::48067\n2::M::56::16::70072\n",
        },
    )

    assert rows(facts) == [(1, 1193, 1), (2, 661, 0)]
    assert facts.posts["topic"].tolist() == ["Animation", "Drama"]
    assert facts.posts["more_topics"].tolist() == [None, "Musical"]
    assert facts.posts["text"].tolist() == ["James: the Peach", LATIN]
    assert facts.users["gender"].tolist() == ["F", "M"]
    assert facts.users["occupation"].tolist() == [10.0, 16.0]


def test_movielens_20m(tmp_path: Path) -> None:
    facts = read(
        tmp_path,
        "movielens-20m",
        {
            "ratings.csv": "userId,movieId,rating,timestamp\n1,2,3.5,1112486027\n1,29,4.0,1112484676\n",
            "movies.csv": 'movieId,title,genres\n2,"Jumanji, or so (1995)",Adventure|Children\n'
            "29,Lost (1995),(no genres listed)\n",
            "links.csv": "movieId,imdbId,tmdbId\n2,0113497,8844\n",
        },
    )

    assert rows(facts) == [(1, 29, 1), (1, 2, 0)]
    assert facts.posts["topic"].tolist() == ["Adventure", None]
    assert facts.posts["text"].tolist() == ["Jumanji, or so (1995)", "Lost (1995)"]


def test_kion(tmp_path: Path) -> None:
    facts = read(
        tmp_path,
        "kion",
        {
            "interactions.csv": "user_id,item_id,last_watch_dt,total_dur,watched_pct\n"
            "176549,9506,2021-05-11,4250,72.0\n699317,1659,2021-05-29,8317,49.0\n656683,9506,2021-05-30,10,\n",
            "items.csv": "item_id,content_type,title,title_orig,release_year,genres,description\n"
            '9506,film,Поговори с ней,Hable con ella,2002.0,"драмы, зарубежные","Мелодрама, легенда"\n'
            "1659,film,Голые перцы,,2014.0,комедии,\n",
            "users.csv": "user_id,age,income,sex,kids_flg\n176549,age_25_34,income_60_90,М,1\n699317,,,,0\n",
        },
    )

    assert rows(facts) == [(176549, 9506, 1), (699317, 1659, 0), (656683, 9506, 0)]
    assert facts.posts["topic"].tolist() == ["комедии", "драмы"]
    assert facts.posts["more_topics"].tolist() == [None, "зарубежные"]
    assert facts.posts["text"].tolist() == [None, "Мелодрама, легенда"]
    assert facts.users["age"].tolist() == ["age_25_34", None, None]


def test_mind(tmp_path: Path) -> None:
    facts = read(
        tmp_path,
        "mind",
        {
            "behaviors.tsv": "1\tU13740\t11/11/2019 9:05:58 AM\tN55189 N42782\tN55689-1 N35729-0\n"
            "2\tU91836\t11/12/2019 6:11:30 PM\t\tN35729-0\n",
            "news.tsv": 'N55689\tsports\tfootball_nfl\tCharles "Rogers\tHe\thttps://x\t[]\t[]\n'
            "N35729\tnews\tnewsus\tPorsche\t\thttps://y\t[]\t[]\n",
        },
    )

    assert set(rows(facts)[:2]) == {("U13740", "N55689", 1), ("U13740", "N35729", 0)}
    assert rows(facts)[2:] == [("U91836", "N35729", 0)]
    assert facts.time[-1] == datetime(2019, 11, 12, 18, 11, 30, tzinfo=UTC).timestamp()
    titles = dict(zip(facts.posts["topic"], facts.posts["text"], strict=True))
    assert titles == {"sports": 'Charles "Rogers', "news": "Porsche"}
    assert facts.shown == "impressions"


def test_hm(tmp_path: Path) -> None:
    customers = ["000058a12d5b43e67d225668fa1f8d618c13dc232df0cad8ffe7ad4a1091e318", "00" * 32]
    facts = read(
        tmp_path,
        "hm",
        {
            "transactions_train.csv": "t_dat,customer_id,article_id,price,sales_channel_id\n"
            f"2018-09-20,{customers[0]},0663713001,0.05,2\n2018-09-21,{customers[1]},0541518023,0.03,1\n",
            "articles.csv": "article_id,product_code,prod_name,product_group_name,detail_desc\n"
            '0663713001,0663713,Atlanta,Underwear,"Push-up, lace"\n0541518023,0541518,Rae,Swimwear,\n',
            "customers.csv": "customer_id,FN,Active,club_member_status,fashion_news_frequency,age"
            ",postal_code\n"
            f"{customers[0]},1.0,1.0,ACTIVE,Regularly,24.0,52043\n{customers[1]},,,,NONE,49.0,2973a\n",
        },
    )

    assert rows(facts) == [(customers[0], "0663713001", 1), (customers[1], "0541518023", 1)]
    assert sorted(facts.posts["topic"]) == ["Swimwear", "Underwear"]
    assert sorted(facts.users["age"]) == [24.0, 49.0]
    assert "postal_code" not in facts.users
    assert facts.shown == "choices"


def test_rees46(tmp_path: Path) -> None:
    head = "event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session\n"
    facts = read(
        tmp_path,
        "rees46",
        {
            "2019-Oct.csv": f"{head}2019-10-01 00:00:00 UTC,view,44600062,21038,,shiseido,35.79,541312140,a\n"
            "2019-10-01 00:00:09 UTC,cart,44600062,21038,,shiseido,35.79,541312140,a\n",
            "2019-Nov.csv.gz": gzip.compress(
                f"{head}2019-11-01 00:00:00 UTC,view,1003461,20530,a.b,xiaomi,489.07,520088904,b\n".encode()
            ),
        },
    )

    assert rows(facts) == [(541312140, 44600062, 1), (520088904, 1003461, 0)]
    assert facts.time[0] == datetime(2019, 10, 1, tzinfo=UTC).timestamp()
    assert facts.shown == "choices"


SHOP = {
    "events.csv": "timestamp,visitorid,event,itemid,transactionid\n1433221332117,257597,view,355908,\n"
    "1433221400000,257597,addtocart,355908,\n1433224214164,992329,view,248676,\n"
    "1433224300000,992329,transaction,248676,4000\n1433224400000,992329,view,9,\n",
    "item_properties_part1.csv": "timestamp,itemid,property,value\n1435460400000,355908,categoryid,1338\n"
    "1441508400000,355908,888,1116713 960601 n277.200\n1439089200000,248676,categoryid,77\n",
    "item_properties_part2.csv": "timestamp,itemid,property,value\n1433041200000,355908,categoryid,209\n"
    "1442113200000,248676,categoryid,1016\n1433041200000,5,categoryid,1016\n",
    "category_tree.csv": "categoryid,parentid\n1338,1278\n1278,140\n140,\n1016,213\n213,1016\n",
}


def test_retailrocket_with_properties_and_the_tree_of_categories(tmp_path: Path) -> None:
    facts = read(tmp_path, "retailrocket", dict(SHOP))

    assert rows(facts) == [(257597, 355908, 1), (992329, 248676, 0), (992329, 9, 0)]
    topics = facts.posts.set_index("post_id")[["topic", "more_topics"]].apply(tuple, axis=1).to_dict()
    assert topics == {
        5: ("213", "1016"),
        9: (None, None),
        248676: ("213", "1016"),
        355908: ("140", "1278 1338"),
    }
    assert facts.report.ignored == {"transaction": 1}
    assert facts.report.read["post_properties"] == 6


@pytest.mark.parametrize("as_of_s", [1433041200, 1433224214, 1433224400, 1435460400, 1442113200])
def test_properties_of_a_time_are_those_of_the_rows_there_were_by_then(tmp_path: Path, as_of_s: int) -> None:
    def by_then(text: str) -> str:
        first, *lines = text.splitlines()
        timed = first.startswith("timestamp")
        kept = [line for line in lines if not timed or int(line.split(",")[0]) // 1000 <= as_of_s]
        return "\n".join([first, *kept, ""])

    for name in ("whole", "early"):
        (tmp_path / name).mkdir()
    whole = read(tmp_path / "whole", "retailrocket", dict(SHOP))
    early = read(tmp_path / "early", "retailrocket", {name: by_then(text) for name, text in SHOP.items()})

    stood = as_they_stood(whole, as_of_s, 86_400)

    pd.testing.assert_frame_equal(stood.posts, early.posts)
    assert rows(stood) == rows(early)
    assert stood.versions is None


def test_retailrocket_events_alone_are_read_as_ever(tmp_path: Path) -> None:
    facts = read(tmp_path, "retailrocket", {"events.csv": SHOP["events.csv"]})

    assert rows(facts) == [(257597, 355908, 1), (992329, 248676, 0), (992329, 9, 0)]
    assert facts.posts["topic"].isna().all()


def test_properties_without_times_count_in_their_order_and_a_tree_serves_a_table_of_posts(
    tmp_path: Path,
) -> None:
    mapping = tmp_path / "m.toml"
    mapping.write_text('[properties]\ntext = "title"\n')
    feed = "timestamp,user_id,post_id\n2021-12-01,1,7\n2021-12-02,1,8\n"
    said = "post_id,property,value\n7,title,old\n8,title,eight\n7,title,new\n7,price,3\n"

    by_rows = read(tmp_path, str(mapping), {"feed_data.csv": feed, "post_properties.csv": said})
    (tmp_path / "post_properties.csv").unlink()
    by_table = read(
        tmp_path,
        "",
        {"post_text_df.csv": "post_id,topic\n7,tea\n8,tin\n", "topic_tree.csv": "topic,parent\ntea,drinks\n"},
    )

    assert by_rows.posts["text"].tolist() == ["new", "eight"]
    assert by_table.posts["topic"].tolist() == ["drinks", "tin"]
    assert by_table.posts["more_topics"].tolist() == ["tea", None]
