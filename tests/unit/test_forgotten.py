"""Who is forgotten leaves no trace in facts, live events, rejected rows and saved models."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import orjson
import pytest

from api.contract.forgotten import tombstone
from batch.data.columns import LIKE, VIEW
from batch.data.facts import EVENT_COLUMNS
from batch.data.forgotten import Forgotten, drop_forgotten, drop_forgotten_live
from batch.data.ids import as_texts
from batch.data.live.events import LiveEvents
from batch.data.retired import Retired
from batch.data.validation.rejects import drop_rejects
from batch.learn.factors.factor_table import FACTORS, FactorTable, fingerprint
from batch.learn.ranker import ABOUT, Ranker, drop_users
from tests.facts import BEGIN_S, facts_of, with_texts

KEY = b"key"
EVENTS = [(u, p, BEGIN_S + 10 * u + p, VIEW, 0) for u in range(4) for p in range(3)]


def forgotten(*user_ids: str) -> Forgotten:
    """Return tombstones of users."""
    return Forgotten(KEY, frozenset(tombstone(KEY, user_id) for user_id in user_ids))


def test_facts_are_as_if_the_user_had_never_been() -> None:
    facts = replace(facts_of(EVENTS, 4, 3), weight=np.arange(12, dtype=np.float32))
    retired = Retired(np.array([1, 3, 3], np.int32), np.zeros(3, np.int32), np.arange(3), None, 1)
    facts = replace(facts, retired=retired)

    left = drop_forgotten(facts, forgotten("2", "99"))

    assert left.user_ids.tolist() == [1, 3, 4]
    assert left.report.forgotten == {"users": 1, "events": 3}
    others = facts.user != 1
    for name in (*EVENT_COLUMNS, "weight"):
        kept = getattr(facts, name)[others]
        wanted = np.where(kept > 1, kept - 1, kept) if name == "user" else kept
        assert getattr(left, name).tolist() == wanted.tolist(), name
    assert left.retired is not None
    assert left.retired.user.tolist() == [2, 2]
    assert drop_forgotten(facts, forgotten("99")) is facts
    assert drop_forgotten(facts, Forgotten()) is facts


def test_text_ids_are_forgotten_with_their_names() -> None:
    facts = with_texts(facts_of(EVENTS, 4, 3))
    user = facts.user_names.canonical(facts.user_ids)[1]

    left = drop_forgotten(facts, forgotten(user))

    assert user not in left.user_names.canonical(left.user_ids)
    assert len(left.user_names.codes) == len(facts.user_names.codes) - 1


def test_live_events_are_left_out_in_every_spelling() -> None:
    users = as_texts(["+7", "7", "007", "8"])
    n = np.zeros(4, np.int64)
    live = LiveEvents(users, users, n, n.astype(np.int8), n)

    assert drop_forgotten_live(live, forgotten("7"), "numbers").user.to_pylist() == ["8"]
    assert drop_forgotten_live(live, forgotten("7"), "text").user.to_pylist() == ["+7", "007", "8"]
    assert drop_forgotten_live(live, Forgotten(), "text") is live


def test_rejected_rows_of_a_user_go_and_those_of_a_post_called_alike_stay(tmp_path: Path) -> None:
    path = tmp_path / "rejects.jsonl"
    rows = [
        {"table": "feed_data", "reason": "bad_target", "row": {"user_id": 7, "post_id": 1}},
        {"table": "feed_data", "reason": "bad_target", "row": {"user_id": 7.0, "post_id": 1}},
        {"table": "feed_data", "reason": "unreadable_row", "row": {"file": "f.csv", "line": '1;"7";x'}},
        {"table": "feed_data", "reason": "bad_target", "row": {"user_id": 8, "post_id": 7}},
        {"table": "feed_data", "reason": "unreadable_row", "row": {"file": "f.csv", "line": "77;x"}},
        {"more": 3},
    ]
    path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))

    assert drop_rejects(path, lambda text: text == "7") == 3

    assert [orjson.loads(line) for line in path.read_bytes().splitlines()] == rows[3:]
    assert drop_rejects(tmp_path / "none", lambda _text: True) == 0
    assert [left.name for left in tmp_path.iterdir()] == ["rejects.jsonl"]


@pytest.mark.parametrize("killed", [False, True])
def test_a_saved_model_gets_the_name_of_what_is_left(tmp_path: Path, killed: bool) -> None:
    rng = np.random.default_rng(0)
    factors = FactorTable(
        np.array([3, 5, 9]), np.array([1, 2]), rng.random((3, 2)), rng.random((2, 2)), np.ones(3)
    )
    model = Ranker("trees", (), 0, {}, factors)
    folder = tmp_path / model.fingerprint
    model.save(folder)
    if killed:  # after the factors were written
        FactorTable(
            factors.user_ids[::2], factors.post_ids, factors.x[::2], factors.y, factors.level[::2]
        ).save(folder / FACTORS)

    assert drop_users(folder, np.array([5, 7])) == (not killed)

    name = fingerprint("trees", [factors.x[::2]], factors.y)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert FactorTable.load(tmp_path / name / FACTORS).user_ids.tolist() == [3, 9]
    assert orjson.loads((tmp_path / name / ABOUT).read_bytes())["fingerprint"] == name
    assert not drop_users(tmp_path / name, np.array([5]))
    assert not drop_users(tmp_path / "nothing", np.array([5]))


def test_likes_of_others_stay() -> None:
    facts = facts_of([(0, 0, BEGIN_S, VIEW, 1), (0, 0, BEGIN_S + 5, LIKE, 0), (1, 0, BEGIN_S, VIEW, 0)], 2, 1)

    assert drop_forgotten(facts, forgotten("2")).likes.sum() == 1
