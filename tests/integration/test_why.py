"""`almanac inspect --why` on a published night: it says what was published, and what an oracle says."""

import json
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import pyarrow.parquet as pq
import pytest
import redis

from api.contract.codec import decode
from api.contract.manifest import Manifest
from batch.__main__ import run_command
from batch.jobs.why import find_why
from batch.publish.explain.why import Why
from batch.publish.publish import publish
from batch.score.predict import raw_scores
from batch.settings import Settings
from tests.content import blocks, config, content, generations, with_text_ids
from tests.nights import DEPTH, KEYS, night, publish_night
from tests.own_lists import read_own

pytestmark = pytest.mark.integration
FIRST = 22
ASKED = np.random.default_rng(4).integers(1_000, size=6).tolist()  # rows of users


@pytest.fixture
def live(store: redis.Redis, tmp_path: Path) -> Manifest:
    """Publish one night and return its manifest."""
    return publish_night(store, tmp_path / "generations", night(FIRST))


def why(store: redis.Redis, folder: Path, user: object, post: object, at_s: int) -> Why:
    return find_why(store, Settings(state_dir=folder), str(user), str(post), at_s)


def test_a_listed_posts_parts_add_up_to_its_published_score(
    store: redis.Redis, live: Manifest, tmp_path: Path
) -> None:
    lists = pq.read_table(next((tmp_path / "generations/1").glob("lists-*.parquet"))).to_pylist()

    for row in lists[:: len(lists) // 6]:
        start = row["bucket"]
        for place in (1, DEPTH):
            found = why(store, tmp_path, row["user_id"], row["posts"][place - 1], start + 60)
            assert (found.state, found.place, found.n_listed) == ("listed", place, DEPTH)
            assert found.parts is not None
            assert found.parts.scores[0] == pytest.approx(row["scores"][place - 1], abs=1e-9)
            assert found.lacking == ""
            assert not any(family == "estimate" for family, _ in found.parts.names)


def test_why_a_post_is_there_or_not_is_what_an_oracle_says(
    store: redis.Redis, live: Manifest, tmp_path: Path
) -> None:
    run, at_s, states = night(FIRST), live.start_s + 3600 + 5, set()
    inputs, views = run.inputs, run.content.views
    booster = lgb.Booster(model_str=inputs.model)
    for row in ASKED:
        user = int(run.content.user_ids[row])
        listed = decode(read_own(store, 1, user)[b"%d" % (live.start_s + 3600)])
        scores = raw_scores(booster, inputs.sides, np.array([row]), 1, inputs.dense)[0]
        saw = slice(*views.start[row : row + 2].tolist())
        seen = dict(zip(views.post[saw].tolist(), views.time[saw].tolist(), strict=True))
        order = [p for p in np.argsort(-scores, kind="stable").tolist() if p not in seen]
        for place in np.random.default_rng(row).integers(len(scores), size=12).tolist():
            post = int(inputs.sides.post_ids[place])
            found = why(store, tmp_path, user, post, at_s)
            states.add(found.state)
            if place in seen:
                assert (found.state, found.seen_s) == ("seen", seen[place])
            elif post in listed:
                assert (found.state, found.place) == ("listed", listed.index(post) + 1)
            else:
                assert found.state == "ranked"
                assert found.found is not None
                assert found.found.rank == order.index(place) + 1
                last = float(scores[order[DEPTH - 1]])
                assert found.found.lacks == pytest.approx(last - scores[place], abs=1e-9)
    assert states >= {"seen", "ranked"}


def test_what_is_down_or_unknown_is_said_first_and_so_is_who_has_no_list(
    store: redis.Redis, live: Manifest, tmp_path: Path
) -> None:
    user, at_s = int(night(FIRST).content.user_ids[3]), live.start_s
    first, second = decode(read_own(store, 1, user)[b"%d" % at_s])[:2]
    store.sadd(KEYS.takedowns(), str(first))

    assert why(store, tmp_path, user, first, at_s).state == "taken_down"
    assert why(store, tmp_path, user, 10**9, at_s).state == "unknown"
    stranger = why(store, tmp_path, 10**9, second, at_s)
    assert (stranger.state, stranger.parts) == ("no_list", None)
    assert "scored nothing for user 1000000000" in stranger.lacking


def test_without_inputs_there_is_a_place_and_the_reason_why_there_are_no_parts(
    store: redis.Redis, tmp_path: Path
) -> None:
    live = publish_night(store, tmp_path / "generations", night(FIRST), inputs=False)
    user = int(night(FIRST).content.user_ids[3])
    listed = decode(read_own(store, 1, user)[b"%d" % live.start_s])

    found = why(store, tmp_path, user, listed[4], live.start_s)

    assert (found.state, found.place, found.parts) == ("listed", 5, None)
    assert "without its inputs" in found.lacking


def test_ids_that_are_text_are_found_in_any_spelling(store: redis.Redis, tmp_path: Path) -> None:
    of = with_text_ids(content(0))
    publish(generations(store), of, blocks(of, 0), config(tmp_path / "generations"))
    row = int(np.argmax(np.diff(of.views.start)))
    user, spelled = of.user_names.spelled(of.user_ids)[row], of.post_names.spelled(of.post_ids)
    lists = np.concatenate([block.posts for block in blocks(of, 0)])
    first, saw = spelled[lists[row, 1, 0]], spelled[of.views.post[of.views.start[row]]]
    at_s = max(int(of.views.time.max()), of.horizon.starts[1])
    bucket_s = of.horizon.bucket_for(at_s)

    there, seen = (
        why(store, tmp_path, user, first, of.horizon.starts[1]),
        why(store, tmp_path, user, saw, at_s),
    )

    assert (there.state, there.place, there.post_id, there.user_id) == ("listed", 1, first, user)
    assert (seen.state, seen.post_id, seen.bucket_s) == ("seen", saw, bucket_s)
    assert seen.seen_s == of.views.time[of.views.start[row]]
    assert why(store, tmp_path, user, "nobody knows it", at_s).state == "unknown"


def test_the_command_tells_it_in_words_bars_and_json(
    store: redis.Redis,
    live: Manifest,
    valkey_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("ALMANAC_REDIS_URL", valkey_url)
    monkeypatch.setenv("ALMANAC_STATE_DIR", str(tmp_path))
    user = int(night(FIRST).content.user_ids[3])
    first = decode(read_own(store, 1, user)[b"%d" % live.start_s])[0]
    words = ["inspect", str(user), "--why", str(first), "--at", f"{night_time(live)}"]

    assert run_command(words) == 0
    drawn = capsys.readouterr().out
    assert run_command([*words, "--json"]) == 0
    told: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert run_command([*words, "--topic", "tech"]) == 2
    refused = capsys.readouterr().err

    assert f"post {first} stands at place 1 of {DEPTH} in the list of user {user}" in drawn
    assert "█" in drawn
    assert sum(part["value"] for part in told["parts"]) == pytest.approx(told["score"], abs=1e-9)
    assert (told["state"], told["place"], told["rank"]) == ("listed", 1, 1)
    assert "--why" in refused


def night_time(live: Manifest) -> str:
    """Return the begin of a generation's first bucket as the command takes it."""
    return str(np.datetime64(live.start_s, "s"))
