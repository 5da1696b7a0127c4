"""`almanac experiments report | plan` and `almanac ope`, from files to what they print."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

pytest.importorskip("tea_tasting", reason="the extra `experiments` brings it")

from batch.__main__ import run_command
from batch.data.write import write
from batch.simulate.config import WorldConfig
from batch.simulate.feed import tables
from tests.bench.statistics.users import make_users

DATA = next(
    (above / "shared" / "data" for above in Path(__file__).parents if (above / "shared" / "data").is_dir()),
    None,
)
real_rows = pytest.mark.skipif(DATA is None, reason="the real rows do not lie in a folder shared/data above")


def say(capsys: pytest.CaptureFixture[str], *arguments: str, exit_code: int = 0) -> dict[str, object]:
    """Run a command with --json and return its last line."""
    assert run_command([*arguments, "--json"]) == exit_code
    found: dict[str, object] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return found


def users(path: Path, lost: int = 0, lift: float = 0.2) -> str:
    """Write an experiment of 2,000 users, some of the last arm's lost, and return the file's name."""
    rng = np.random.default_rng(11)
    arms = [make_users(1_000, rng), make_users(1_000, rng, lift)]
    kept = [1_000, 1_000 - lost]
    columns = {
        name: np.concatenate([arm[name][:n] for arm, n in zip(arms, kept, strict=True)]) for name in arms[0]
    }
    table = pa.table({"user_id": np.arange(sum(kept)), "exp_group": np.repeat(["1", "2"], kept), **columns})
    if path.suffix == ".csv":
        pa_csv.write_csv(table, path)
    else:
        pq.write_table(table, path)
    return str(path)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_report_of_a_table_finds_the_lift(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], suffix: str
) -> None:
    page = tmp_path / "verdict.html"
    table = users(tmp_path / f"users.{suffix}")
    found = say(capsys, "experiments", "report", "--table", table, "--arm", "exp_group", "--html", str(page))

    says = {reading["metric"]: reading["says"] for reading in found["readings"]}  # type: ignore[attr-defined]
    assert says["likes/views"] == "higher"
    assert says["views a user"] == "not clear"
    assert "likes/views is higher in 2" in page.read_text("utf-8")


def test_a_terminal_shows_every_test(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        run_command(["experiments", "report", "--table", users(tmp_path / "u.csv"), "--arm", "exp_group"])
        == 0
    )

    printed = capsys.readouterr().out
    for test in ("cuped", "welch", "delta", "mann whitney", "bootstrap", "always valid"):
        assert test in printed


def test_a_report_of_an_arm_that_lost_users_stops(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = users(tmp_path / "users.csv", lost=200)
    found = say(capsys, "experiments", "report", "--table", table, "--arm", "exp_group", exit_code=3)
    planned = ("--arm", "exp_group", "--shares", "50,40")

    assert found["readings"] == []
    assert say(capsys, "experiments", "report", "--table", table, *planned)["readings"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--table", "none.csv"), "there is no file none.csv"),
        (("--table", "users.csv"), "there is no column 'arm'"),
        (
            ("--table", "users.csv", "--arm", "exp_group", "--shares", "half"),
            "--shares 'half' are no numbers",
        ),
        (("--table", "empty.csv"), "has no row"),
    ],
)
def test_what_cannot_be_judged_is_one_sentence(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    users(tmp_path / "users.csv")
    (tmp_path / "empty.csv").write_text("arm,views\n")

    assert run_command(["experiments", "report", *arguments]) in (2, 3)
    assert said in capsys.readouterr().err


def test_a_plan_of_a_table_says_how_many_users_it_takes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = users(tmp_path / "users.parquet", lift=0.0)
    found = say(capsys, "experiments", "plan", "--table", table, "--arm", "exp_group", "--lift", "2")

    needed = {need["metric"]: need["users_needed"] for need in found["needs"]}  # type: ignore[attr-defined]
    assert needed["likes/views"] < needed["likes a user"]


def test_a_plan_of_facts_says_how_many_days_it_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ALMANAC_STATE_DIR", str(tmp_path / "state"))
    write(str(tmp_path / "facts"), tables(WorldConfig(200, 150, 3)), replace=True)
    found = say(capsys, "experiments", "plan", "--data", str(tmp_path / "facts"), "--lift", "30")

    days = {need["days"] for need in found["needs"]}  # type: ignore[attr-defined]
    assert {1, 7, 28} <= days
    assert found["days"]["views a user"] in days  # type: ignore[index]


def test_another_policy_is_estimated_from_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(2)
    first = rng.random(2_000) < 0.5
    columns = {"clicked": (rng.random(2_000) < np.where(first, 0.4, 0.2)).astype(int)}
    columns |= {"p": np.full(2_000, 0.5), "q": np.where(first, 0.8, 0.2), "visitor": np.arange(2_000) // 2}
    pa_csv.write_csv(pa.table(columns), tmp_path / "log.csv")
    names = ("--reward", "clicked", "--propensity", "p", "--target", "q", "--user", "visitor")
    found = say(capsys, "ope", "--table", str(tmp_path / "log.csv"), *names)

    for estimate in found["estimates"]:  # type: ignore[attr-defined]
        assert estimate["low"] < 0.8 * 0.4 + 0.2 * 0.2 < estimate["high"]
    assert found["notes"] == ["no model_reward and no model_value: without the doubly robust estimate"]


@real_rows
def test_the_real_a_a_table_shows_nothing_and_the_a_b_table_fewer_likes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert DATA is not None
    tables_of = {name: str(DATA / "karpov_feed_ab" / f"{name}_test.parquet") for name in ("aa", "ab")}
    names = ("--arm", "exp_group", "--control", "1")
    same = say(capsys, "experiments", "report", "--table", tables_of["aa"], *names, "--aa")
    new = say(capsys, "experiments", "report", "--table", tables_of["ab"], *names)

    assert {reading["says"] for reading in same["readings"]} == {"not clear"}  # type: ignore[attr-defined]
    says = {reading["metric"]: reading["says"] for reading in new["readings"]}  # type: ignore[attr-defined]
    assert says["likes/views"] == says["likes a user"] == "lower"
    assert says["views a user"] == "not clear"


@real_rows
def test_the_real_log_hardly_counts_for_a_uniform_policy_and_is_told_on_wish(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert DATA is not None
    log = str(DATA / "open_bandit" / "bts_all.parquet")
    names = ("--reward", "click", "--propensity", "propensity_score", "--target", "0.0125")
    refused = say(capsys, "ope", "--table", log, *names, exit_code=3)
    told = say(capsys, "ope", "--table", log, *names, "--anyway")

    assert refused["estimates"] == []
    assert refused["effective_size"] == pytest.approx(340.378, abs=0.001)
    clicks = pq.read_table(DATA / "open_bandit" / "random_all.parquet")["click"].to_numpy().mean()
    for estimate in told["estimates"]:  # type: ignore[attr-defined]
        assert estimate["low"] < clicks < estimate["high"]
