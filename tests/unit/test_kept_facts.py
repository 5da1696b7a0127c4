"""Facts kept as files come back as they were, whatever they hold, and never when they are spoilt."""

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from batch.data.facts import Facts, Report
from batch.data.ids import IdNames
from batch.data.kept import FactsSpoilt, columns_of, read_facts, write_facts
from batch.data.mapped import MappedColumns, write_columns
from batch.data.retired import Retired
from batch.data.versions import PostVersions
from tests.facts import even_likes_even, with_texts


def assert_same(left: object, right: object, name: str) -> None:
    """Compare values and types of a part of facts, part by part."""
    assert type(left) is type(right), name
    if isinstance(left, pd.DataFrame):
        assert isinstance(right, pd.DataFrame)
        pd.testing.assert_frame_equal(left, right)
        assert [list(map(type, left[key])) for key in left] == [list(map(type, right[key])) for key in right]
    elif isinstance(left, np.ndarray):
        assert isinstance(right, np.ndarray)
        assert left.dtype == right.dtype, name
        np.testing.assert_array_equal(left, right, err_msg=name)
    elif isinstance(left, IdNames | Retired | PostVersions):
        for part in fields(left):
            assert_same(getattr(left, part.name), getattr(right, part.name), f"{name}.{part.name}")
    else:
        assert left == right, name


def rich() -> Facts:
    """Return facts of which every part is there."""
    facts = with_texts(even_likes_even())
    n_users, n_posts = len(facts.users), len(facts.posts)
    users = facts.users.assign(
        age=np.where(np.arange(n_users) % 3, 20.5, np.nan),
        city=pd.Series(["Ulm", None] * (n_users // 2), dtype=object),
        likes=pd.Series([("a", "b"), (), None, ("c", "d")] * (n_users // 4), dtype=object),
        nothing=pd.Series([None] * n_users, dtype=object),
    )
    some = np.arange(3, dtype=np.int32)
    return replace(
        facts,
        users=users,
        embeddings=np.linspace(0, 1, n_posts * 4, dtype=np.float32).reshape(n_posts, 4),
        weight=np.linspace(0, 1, len(facts.time), dtype=np.float32),
        report=Report(read={"feed_data": 7}, rejected={"duplicate_event": 1}, times_hint="late"),
        retired=Retired(some, some, some.astype(np.int64), None, 9),
        versions=PostVersions(some, some.astype(np.int64), facts.posts.iloc[:3].reset_index(drop=True)),
        zone="Europe/Berlin",
        kinds=[{"name": "cart", "rows": 3, "per_user": {"fence": 2.5}}],
    )


@pytest.mark.parametrize("made", [even_likes_even, rich])
def test_every_part_of_facts_comes_back_as_it_was(made: object, tmp_path: Path) -> None:
    assert callable(made)
    facts = made()

    digest = write_facts(facts, tmp_path / "kept")
    back = read_facts(tmp_path / "kept", digest)

    assert back.mapped is not None
    for part in fields(Facts):
        if part.name != "mapped":
            assert_same(getattr(facts, part.name), getattr(back, part.name), part.name)
    assert write_facts(back, tmp_path / "again") == digest


def test_rich_facts_leave_no_part_to_its_default() -> None:
    told = {"shown", "mapped"}  # the one has no other name here, the other says where columns lie
    plain = {part.name: part.default for part in fields(Facts) if part.name not in told}

    assert not [name for name, default in plain.items() if getattr(rich(), name) is default]


def test_events_that_lie_in_a_file_are_kept_by_a_link(tmp_path: Path) -> None:
    facts = even_likes_even()
    write_columns(tmp_path / "events.arrow", columns_of(facts))
    mapped = MappedColumns(tmp_path / "events.arrow")

    digest = write_facts(replace(facts, mapped=mapped), tmp_path / "kept")

    assert (tmp_path / "events.arrow").stat().st_nlink == 2
    assert digest == write_facts(facts, tmp_path / "again")
    np.testing.assert_array_equal(read_facts(tmp_path / "kept", digest).time, facts.time)


def test_facts_that_are_changed_on_disk_are_refused(tmp_path: Path) -> None:
    digest = write_facts(even_likes_even(), tmp_path / "kept")
    path = tmp_path / "kept" / "events.arrow"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)

    with pytest.raises(FactsSpoilt):
        read_facts(tmp_path / "kept", digest)


def test_writing_to_a_column_leaves_the_file_as_it_is(tmp_path: Path) -> None:
    facts = even_likes_even()
    digest = write_facts(facts, tmp_path / "kept")

    read_facts(tmp_path / "kept", digest).time[0] = 5

    np.testing.assert_array_equal(read_facts(tmp_path / "kept", digest).time, facts.time)


def test_facts_that_cannot_be_written_leave_nothing(tmp_path: Path) -> None:
    odd = even_likes_even()
    odd = replace(odd, users=odd.users.assign(odd=pd.Series([object()] * len(odd.users), dtype=object)))

    with pytest.raises((ValueError, TypeError)):
        write_facts(odd, tmp_path / "kept")

    assert list(tmp_path.iterdir()) == []
