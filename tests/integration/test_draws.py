"""`almanac ope NAME`: drawn places out of the store's stream and what came of them, up to an estimate."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pytest
import redis

pytest.importorskip("tea_tasting", reason="the extra `experiments` brings it")

from api.contract.event import Event
from api.contract.experiment import Arm, Experiment
from api.contract.exposure import FIELD, Exposure, pack
from api.contract.keys import Keys
from batch.__main__ import run_command
from batch.experiments.commands import ope_table
from batch.experiments.registry import create, start
from batch.jobs.draws import NoDraws, evaluate_draws
from batch.progress import SILENT
from batch.settings import Settings
from tests.world import World

pytestmark = pytest.mark.integration

KEYS, NOW_S, N_USERS = Keys(), 1_700_003_600, 300
AB = Experiment("ab", "ab", (Arm("a", "default", 50), Arm("b", "other", 50)))


def started(store: redis.Redis) -> None:
    """Publish for both arms, and let the experiment run for an hour."""
    for generation, arm in enumerate(AB.arms, 1):
        World(generation, variant=arm.variant).publish(store).promote(store)
    create(store, KEYS, AB, "ann", NOW_S - 3_600)
    start(store, KEYS, "ab", "ann", NOW_S - 3_600)


def answered(store: redis.Redis) -> tuple[list[int], list[int]]:
    """Draw one of two new posts for each user on the second place, and let some like it; return both."""
    rng = np.random.default_rng(5)
    drawn = [int(post) for post in rng.choice([5, 6], N_USERS, p=[0.7, 0.3])]
    liked = [int(one) for one in rng.random(N_USERS) < np.where(np.array(drawn) == 5, 0.2, 0.6)]
    records, at_ms = [], (NOW_S - 1_000) * 1000
    for user, (post, likes) in enumerate(zip(drawn, liked, strict=True), 1):
        chances = [1.0, 0.7 if post == 5 else 0.3]
        one = Exposure("ab", str(user), "a", 0, at_ms, 1, 0, "own", "r", [1, post], chances)
        records += [one, one._replace(accepted_ms=at_ms + 5_000), one._replace(propensities=(), bucket_s=9)]
        for what in ("view", "like")[: 1 + likes]:
            event = Event(f"{user}-{what}", str(user), str(post), what, NOW_S - 900, NOW_S - 900)
            store.xadd(KEYS.events(), event.to_fields())  # type: ignore[arg-type]  # a dict of texts is one
    for begin in range(0, len(records), 100):
        store.xadd(KEYS.exposures(), {FIELD: pack(records[begin : begin + 100])})
    return drawn, liked


def test_another_policy_is_estimated_from_what_was_drawn_each_draw_once(
    store: redis.Redis, tmp_path: Path
) -> None:
    started(store)
    drawn, liked = answered(store)
    settings = Settings(state_dir=tmp_path, exposures_days=0)
    pa_csv.write_csv(pa.table({"post_id": [5, 6], "target": [0.4, 0.6]}), tmp_path / "policy.csv")
    policy, out = tmp_path / "policy.csv", tmp_path / "draws.csv"

    found = evaluate_draws(settings, store, "ab", SILENT, NOW_S, policy=policy, out=out)

    weights = [0.4 / 0.7 if post == 5 else 0.6 / 0.3 for post in drawn]
    earned = [weight * one for weight, one in zip(weights, liked, strict=True)]
    assert found.n_records == N_USERS
    assert found.logged == pytest.approx(sum(liked) / N_USERS)
    ips, snips = found.estimates
    assert ips.value == pytest.approx(sum(earned) / N_USERS)
    assert snips.value == pytest.approx(sum(earned) / sum(weights))
    assert snips.low < 0.4 * 0.2 + 0.6 * 0.6 < snips.high
    names = {name: name for name in ("reward", "propensity", "target")}
    again = ope_table(out, names, {}, user="user_id")
    assert [one.high for one in again.estimates] == pytest.approx([one.high for one in found.estimates])


def test_without_a_policy_what_drew_is_estimated_itself(store: redis.Redis, tmp_path: Path) -> None:
    started(store)
    _, liked = answered(store)

    found = evaluate_draws(Settings(state_dir=tmp_path, exposures_days=0), store, "ab", SILENT, NOW_S)

    assert found.estimates[0].value == pytest.approx(sum(liked) / N_USERS)
    assert found.effective_size == pytest.approx(N_USERS)


def test_an_experiment_in_which_nothing_was_drawn_says_so(store: redis.Redis, tmp_path: Path) -> None:
    started(store)

    with pytest.raises(NoDraws, match="'ab' has 0 drawn places: set ALMANAC_EXPLORE"):
        evaluate_draws(Settings(state_dir=tmp_path), store, "ab", SILENT, NOW_S)


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"post_id": [5, 6]}, "the policy has no column 'target'"),
        ({"post_id": [5, 5], "target": [0.4, 0.6]}, "post 5 has two rows in the policy"),
        ({"post_id": [5, 6], "target": [0.4, 1.6]}, "it must be a probability"),
    ],
)
def test_a_policy_that_is_none_is_refused(
    store: redis.Redis, tmp_path: Path, columns: dict[str, list[float]], said: str
) -> None:
    started(store)
    answered(store)
    pa_csv.write_csv(pa.table(columns), tmp_path / "policy.csv")

    settings = Settings(state_dir=tmp_path, exposures_days=0)
    with pytest.raises(ValueError, match=said):
        evaluate_draws(settings, store, "ab", SILENT, NOW_S, policy=tmp_path / "policy.csv")


def test_neither_an_experiment_nor_a_table_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["ope"]) == 2
    assert "give the name of an experiment" in capsys.readouterr().err
