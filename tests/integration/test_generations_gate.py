"""The gate on nights of a made world: good ones pass, spoilt ones are stopped, each for its own reason."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import redis

from batch.data.facts import Facts
from batch.features import asof
from batch.features.tally import Tally
from batch.publish.gate.report import Report
from batch.publish.ledger.entries import entries
from batch.publish.ledger.promotion import NotServable, promote, rollback
from batch.publish.writer import GateClosed
from batch.score.ranked import RankedBlock
from tests.content import generations
from tests.integration.test_publish import generations_with_keys
from tests.nights import KEYS, Night, compute, night, publish_night

pytestmark = pytest.mark.integration
# With less than three weeks to weigh the parts on, their weights still jump from night to night.
GOOD_FROM = 21
FIRST, NEXT = 22, 23
N_GOOD = 20 if os.environ.get("ALMANAC_CHAOS") else 3  # the other tests compute the last two of three too


@pytest.fixture
def live(store: redis.Redis, tmp_path: Path) -> redis.Redis:
    """Give a store that serves one good night."""
    publish_night(store, tmp_path, night(FIRST))
    return store


def stopped(
    store: redis.Redis,
    folder: Path,
    spoilt: Night,
    blocks: Iterator[RankedBlock] | None = None,
    *,
    inputs: bool = True,
) -> Report:
    """Publish a spoilt night and return the report that stopped it; what was served must be served on."""
    before = generations(store).read_served("default")
    with pytest.raises(GateClosed) as closed:
        publish_night(store, folder, spoilt, blocks, inputs=inputs)
    assert generations(store).read_served("default") == before
    return closed.value.report


def reasons(report: Report) -> set[str]:
    """Return the names of the checks that do not hold."""
    return {check.name for check in report.stopped_by}


def shuffled(run: Night) -> Iterator[RankedBlock]:
    """Rank by chance: every list holds unseen posts in an order that has nothing to do with the scores."""
    rng = np.random.default_rng(1)
    n_posts = len(run.content.post_ids)
    for block in run.blocks():
        posts = block.posts.copy()
        for u in range(len(posts)):
            unseen = np.setdiff1d(np.arange(n_posts), run.inputs.left_out.of(block.first + u))
            for b in range(posts.shape[1]):
                posts[u, b] = rng.permutation(unseen)[: posts.shape[2]]
        yield RankedBlock(block.first, posts, block.scores)


class Leaky(Tally):
    """Counts every fact at once, those after as_of and the label itself included."""

    def advance(self, to_s: int) -> Tally:
        """Count to the end, whatever was asked for."""
        return super().advance(max(to_s, self.at_s, int(self._facts.time[-1])))


@pytest.mark.timeout(1200)  # twenty nights in make chaos
def test_good_nights_in_a_row_all_pass(store: redis.Redis, tmp_path: Path) -> None:
    for day in range(GOOD_FROM, GOOD_FROM + N_GOOD):
        manifest = publish_night(store, tmp_path, night(day))

        assert manifest.gate is not None
        assert manifest.gate["outcome"] == "proceed"
        assert generations(store).read_served("default")[0] == manifest.generation
        asked = [check for check in manifest.gate["checks"] if check["value"] is not None]
        assert len(asked) == (11 if day == GOOD_FROM else 18)
    assert generations_with_keys(store) == {manifest.generation - 1, manifest.generation}


def test_shuffled_scores_are_not_what_the_model_gives(live: redis.Redis, tmp_path: Path) -> None:
    report = stopped(live, tmp_path, night(NEXT), shuffled(night(NEXT)))

    assert report.outcome == "quarantine"
    assert report.stopped_by[0].name == "model"
    assert "0 of 32 lists are what the stored model gives" in report.why
    assert reasons(report) <= {"model", "churn", "topics"}


def test_without_kept_inputs_shuffled_lists_have_nothing_in_common_with_the_live_ones(
    live: redis.Redis, tmp_path: Path
) -> None:
    report = stopped(live, tmp_path, night(NEXT), shuffled(night(NEXT)), inputs=False)

    assert report.outcome == "wait"
    assert "churn" in reasons(report)


def test_a_feature_that_knows_the_label_is_too_good_to_be_true(
    live: redis.Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def leaky(facts: Facts, known: asof.Statics) -> Tally:
        return Leaky(facts, known.texts.cluster, len(known.texts.topic_of_cluster))

    monkeypatch.setattr(asof, "start_tally", leaky)
    report = stopped(live, tmp_path, compute(NEXT))

    assert report.outcome == "quarantine"
    assert report.stopped_by[0].name == "leak"
    assert "a leak sooner than a success" in report.why


def test_half_of_the_users_missing_aborts_and_leaves_no_key(live: redis.Redis, tmp_path: Path) -> None:
    users = np.arange(0, 1000, 2)

    report = stopped(live, tmp_path, night(NEXT).of(users))

    assert report.outcome == "abort"
    assert report.stopped_by[0].name == "users"
    assert "500 users have lists, 1,000 in live 1" in report.why
    assert generations_with_keys(live) == {1}
    assert [path.name for path in tmp_path.iterdir()] == ["1"]
    assert [known.state for known in entries(generations(live))] == ["current", "retired"]


def test_users_without_lists_abort_as_well(live: redis.Redis, tmp_path: Path) -> None:
    def halved() -> Iterator[RankedBlock]:
        for block in night(NEXT).blocks():
            posts, scores = block.posts.copy(), block.scores.copy()
            posts[::2], scores[::2] = -1, np.nan
            yield RankedBlock(block.first, posts, scores)

    report = stopped(live, tmp_path, night(NEXT), halved())

    assert report.outcome == "abort"
    assert {"empty lists", "short lists"} <= reasons(report)


def test_a_model_that_gives_everyone_the_same_list_is_quarantined(live: redis.Redis, tmp_path: Path) -> None:
    report = stopped(live, tmp_path, compute(NEXT, for_all=True))

    assert report.outcome == "quarantine"
    assert report.stopped_by[0].name == "same order"
    assert "100% of pairs of users have the posts they share in one order" in report.why
    with pytest.raises(NotServable, match="generation 2 was not let through by the gate"):
        promote(generations(live), 2, 0)
    assert generations_with_keys(live) == {1, 2}  # there to look at
    publish_night(live, tmp_path, night(NEXT))
    assert generations_with_keys(live) == {1, 3}


def test_swapped_columns_are_told_from_drift(live: redis.Redis, tmp_path: Path) -> None:
    report = stopped(live, tmp_path, night(NEXT).with_swapped("age", "exp_group"))

    assert report.outcome == "quarantine"
    assert {"inputs", "trained range"} <= reasons(report) <= {"inputs", "trained range", "scores"}
    assert "age looks like exp_group, exp_group looks like age" in report.why


def test_columns_swapped_in_the_first_generation_lie_outside_their_training(
    store: redis.Redis, tmp_path: Path
) -> None:
    with pytest.raises(GateClosed, match=r"outside its training, at most \(.*exp_group") as closed:
        publish_night(store, tmp_path, night(FIRST).with_swapped("age", "exp_group"))

    assert reasons(closed.value.report) == {"trained range"}
    assert generations(store).read_served("default") == (None, None)


def test_what_a_person_may_decide_waits_until_it_is_forced(
    live: redis.Redis, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    worse = replace(night(NEXT).content, metrics={**night(NEXT).content.metrics, "hitrate_at_5": 0.2})

    report = stopped(live, tmp_path, Night(worse, night(NEXT).inputs))

    assert report.outcome == "wait"
    rivals = "popularity", "popularity of late", "item kNN", "live 1"
    assert reasons(report) == {f"metric against {rival}" for rival in rivals}
    assert live.hget(KEYS.states(), "2") == b"sealed"
    promote(generations(live), 2, 0, force=True)
    assert generations(live).read_served("default") == (2, 1)
    assert "gate.overridden" in [record.message for record in caplog.records]


def test_in_the_mode_warn_the_report_is_kept_and_nothing_is_held_back(
    live: redis.Redis, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    worse = replace(night(NEXT).content, metrics={**night(NEXT).content.metrics, "hitrate_at_5": 0.2})

    manifest = publish_night(live, tmp_path, Night(worse, night(NEXT).inputs), gate="warn")

    assert generations(live).read_served("default") == (2, 1)
    assert manifest.gate is not None
    assert (manifest.gate["outcome"], manifest.gate["mode"]) == ("wait", "warn")
    (judged,) = [record for record in caplog.records if record.message == "generation.judged"]
    assert (judged.outcome, judged.mode) == ("wait", "warn")  # type: ignore[attr-defined]
    rollback(generations(live), "default", 0)
    assert promote(generations(live), 2, 1).generation == 2  # nobody has to force what was only warned of
    assert "gate.overridden" not in [record.message for record in caplog.records]


def test_even_what_the_gate_would_clear_is_served_in_the_mode_warn(live: redis.Redis, tmp_path: Path) -> None:
    half = night(NEXT).of(np.arange(0, 1000, 2))

    manifest = publish_night(live, tmp_path, half, gate="warn")

    assert generations(live).read_served("default") == (2, 1)
    assert manifest.gate is not None
    assert manifest.gate["outcome"] == "abort"


def test_a_report_from_before_there_were_modes_holds_back(live: redis.Redis, tmp_path: Path) -> None:
    doubted = replace(night(NEXT).content, metrics={**night(NEXT).content.metrics, "hitrate_at_5": 0.2})
    stopped_by = stopped(live, tmp_path, Night(doubted, night(NEXT).inputs))
    assert stopped_by.outcome == "wait"
    manifest = generations(live).need_manifest(2)
    assert manifest.gate is not None
    old = {name: value for name, value in manifest.gate.items() if name != "mode"}
    live.set(KEYS.manifest(2), replace(manifest, gate=old).to_json())

    with pytest.raises(NotServable, match="was not let through by the gate"):
        promote(generations(live), 2, 0)
