"""MovieLens as recbole's wheel brings it becomes our three tables."""

from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from batch.data import movielens
from batch.data.load import read_facts
from batch.data.mapping import Mapping
from batch.data.read import read
from batch.data.tables.location import SourceError
from batch.data.validation.rejects import Limits
from batch.settings import Settings

FILES = {
    "inter": "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
    "196\t242\t3\t881250949\n186\t302\t4\t891717742\n186\t242\t5\t891717700\n",
    "item": "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
    '242\tKolya\t1996\tComedy\n302\tL.A. "Confidential"\t1997\tCrime Film-Noir\n',
    "user": "user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token\n"
    "186\t39\tF\texecutive\t00000\n196\t49\tM\twriter\t55105\n",
}


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    for suffix, text in FILES.items():
        (tmp_path / f"ml-100k.{suffix}").write_text(text)
    return tmp_path


def test_ratings_become_views_and_four_stars_likes(wheel: Path) -> None:
    movielens.write_tables(wheel, wheel / "facts")

    facts = read(
        str(wheel / "facts"),
        mapping=Mapping(),
        rejects=wheel / "rejects.jsonl",
        limits=Limits(0, 0, 0, 0),
        now_s=2**33,
    )

    assert facts.user_ids.tolist() == [186, 196]
    assert facts.posts["topic"].tolist() == ["Comedy", "Crime"]
    assert facts.posts["text"].tolist() == ["Kolya. Comedy", 'L.A. "Confidential". Crime Film-Noir']
    assert facts.users["occupation"].tolist() == ["executive", "writer"]
    assert facts.time.tolist() == [881250949, 891717700, 891717742]
    np.testing.assert_array_equal(facts.target, [0, 1, 1])
    assert facts.views.all()


def test_who_reads_while_another_process_writes_the_same_tables_has_whole_ones(wheel: Path) -> None:
    movielens.write_tables(wheel, wheel / "facts")
    paths = sorted((wheel / "facts").iterdir())

    with ExitStack() as stack:
        opened = [stack.enter_context(path.open("rb")) for path in paths]
        (wheel / "ml-100k.inter").write_text(FILES["inter"].partition("\n")[0] + "\n")
        movielens.write_tables(wheel, wheel / "facts")

        assert [len(pd.read_parquet(file)) for file in opened] == [3, 2, 2]
    assert [len(pd.read_parquet(path)) for path in paths] == [0, 2, 2]
    assert sorted((wheel / "facts").iterdir()) == paths


def test_a_missing_file_is_named(wheel: Path) -> None:
    (wheel / "ml-100k.item").unlink()

    with pytest.raises(SourceError, match=r"no .*ml-100k\.item"):
        movielens.write_tables(wheel, wheel / "facts")


def test_without_recbole_its_installation_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(movielens, "find_spec", lambda _name: None)

    with pytest.raises(SourceError, match="pip install --no-deps recbole"):
        read_facts(Settings(state_dir=tmp_path), "ml-100k", lambda _: None)
