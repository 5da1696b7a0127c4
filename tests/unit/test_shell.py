import io
import json
import logging
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import redis
from rich.console import Console

from batch.__main__ import run_command
from batch.cli.draw.demo import compare_lists, draw_demo
from batch.cli.output import as_table, keep_traceback, print_error, print_json
from batch.data.tables.location import SourceError
from batch.data.validation.rejects import TooManyRejected
from batch.errors import exit_code_of
from batch.jobs.demo import DemoResult, Feed
from batch.jobs.refresh.writer import BaseGone, ListsGone
from batch.progress import Progress
from batch.publish.writer import GateClosed
from batch.store.embedded.attach import StoreNotStarted
from batch.store.embedded.binary import ServerMissing
from batch.store.lease import LeaseLost, LeaseTaken
from batch.store.server import StoreUnfit


def test_without_a_terminal_a_step_is_one_log_line_with_its_seconds(caplog: pytest.LogCaptureFixture) -> None:
    progress = Progress()

    with caplog.at_level(logging.INFO), progress.step("read", 2) as advance:
        advance(2)

    (record,) = caplog.records
    assert record.getMessage() == "stage.done"
    said = vars(record)
    assert (said["stage"], said["rows"]) == ("read", 2)
    assert said["peak_mb"] > 10
    assert progress.seconds["read"] >= 0


def test_on_a_terminal_every_phase_has_a_bar_that_ends_full() -> None:
    drawn = io.StringIO()
    progress = Progress(Console(file=drawn, force_terminal=True, width=100))

    with progress.step("describe"):
        pass
    with progress.phases("publish") as show:
        show("lists", 3, 10)
        show("seen", 5, 5)

    shown = drawn.getvalue()
    assert "read the posts' texts" in shown
    assert "10/10" in shown
    assert "5/5" in shown


def test_a_step_that_fails_is_not_counted_as_done() -> None:
    progress = Progress()

    with pytest.raises(ValueError, match="broken"), progress.step("train"):
        raise ValueError("broken")

    assert "train" not in progress.seconds


def test_the_rest_of_a_run_is_told_at_the_pace_of_the_steps_before() -> None:
    progress = Progress()
    progress.expect({"read": 1.0, "train": 4.0, "publish": 5.0})

    before = progress.rest_s()
    progress.seconds["read"] = 2.0  # twice as slow as expected
    after = progress.rest_s()
    progress.seconds.update(train=8.0, publish=10.0)

    assert before is None
    assert after == 18.0
    assert progress.rest_s() == 0.0


def test_the_demo_fits_two_screens_and_compares_in_one_line() -> None:
    drawn = io.StringIO()
    feeds = [
        Feed(
            user,
            f"2021-12-30 {hour}:00:00",
            "own",
            [{"id": k, "topic": "tech", "text": "word " * 90} for k in range(5)],
        )
        for user in (1, 2, 3)
        for hour in ("09", "20")
    ]
    shares = {"almanac": 0.7349, "oracle": 0.84, "popular": 0.69, "random": 0.58}
    shown = DemoResult(
        {"metrics": {}}, "state", "store", feeds, shares, "http://api", {"the list": "redis-cli"}
    )

    draw_demo(Console(file=drawn, width=100), shown)
    lines = drawn.getvalue().splitlines()

    assert len(lines) <= 48
    assert sum("feed of user" in line for line in lines) == 3
    assert any(line.endswith("random 58%, popular 69%, Almanac 73%, the best possible 84%") for line in lines)
    assert max(len(line) for line in lines) <= 100
    assert sum(line.split()[1:3] == ["tech", "word"] for line in lines if line[:1] == " ") == 15
    real = replace(
        shown,
        run={"metrics": {"hitrate_at_5": 0.71, "hitrate_at_5_popular": 0.524}},
        expected_hitrate_at_5={},
    )
    assert compare_lists(real).endswith("held a like, last week: popular 52%, Almanac 71%")


def test_a_result_is_one_json_line_where_nan_is_null(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"auc": float("nan"), "rows": {"feed": 3}, "place": Path("here")})

    assert json.loads(capsys.readouterr().out) == {"auc": None, "rows": {"feed": 3}, "place": "here"}


def test_an_error_is_said_on_stderr_and_as_json_where_asked(capsys: pytest.CaptureFixture[str]) -> None:
    assert print_error("ALMANAC_DEPTH=0 must be 1..500", json=True, exit_code=2) == 2

    said = capsys.readouterr()
    assert said.err == "error: ALMANAC_DEPTH=0 must be 1..500\n"
    assert json.loads(said.out) == {"error": "ALMANAC_DEPTH=0 must be 1..500", "exit_code": 2}


def test_nested_names_are_dotted_and_missing_figures_left_out() -> None:
    drawn = io.StringIO()

    Console(file=drawn, width=80).print(as_table({"rows": {"feed": 3}, "auc": float("nan"), "hit": 0.61291}))

    assert drawn.getvalue().split() == ["rows.feed", "3", "hit", "0.6129"]


def test_a_bugs_traceback_is_kept_where_the_sentence_says(tmp_path: Path) -> None:
    assert keep_traceback("Traceback …", tmp_path / "new").read_text() == "Traceback …"


@pytest.mark.parametrize(
    ("kinds", "exit_code"),
    [
        ([RuntimeError, AssertionError, OSError], 1),
        ([ValueError, LookupError, KeyError, FileNotFoundError], 2),
        ([SourceError, TooManyRejected], 3),
        ([StoreUnfit, ListsGone, ServerMissing, StoreNotStarted], 4),
        ([redis.RedisError, redis.ConnectionError], 4),
        ([LeaseTaken, LeaseLost, BaseGone], 5),
        ([GateClosed], 6),
    ],
)
def test_an_error_brings_its_exit_code(kinds: list[type[Exception]], exit_code: int) -> None:
    assert [exit_code_of(kind.__new__(kind)) for kind in kinds] == [exit_code] * len(kinds)


def test_the_help_loads_nothing_that_computes() -> None:
    heavy = ["lightgbm", "numba", "numpy", "pandas", "pyarrow", "pydantic", "redis", "sklearn", "sqlalchemy"]
    code = f"import sys, batch.__main__; print([name for name in {heavy} if name in sys.modules])"

    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert ran.stdout.strip() == "[]"


def test_what_computes_is_told_of_threads_before_it_is_loaded() -> None:
    code = """
import sys, batch.__main__
sys.argv = ["almanac", "--help"]
try:
    batch.__main__.main()
except SystemExit:
    import numpy, threadpoolctl
    print([pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"])
"""
    bare = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}

    ran = subprocess.run([sys.executable, "-c", code], env=bare, capture_output=True, text=True, check=True)

    assert set(json.loads(ran.stdout.splitlines()[-1])) <= {1}


def test_the_list_of_tokens_is_a_table_without_their_hashes(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["tokens", "list"]) == 0
    assert capsys.readouterr().out.split() == ["tokens", "none"]
    for scope, name in (("read", "shop"), ("admin", "ann")):
        run_command(["tokens", "add", "--scope", scope, "--name", name])
    capsys.readouterr()

    assert run_command(["tokens", "list"]) == 0

    shown = capsys.readouterr().out
    lines = [line.split() for line in shown.splitlines()]
    assert lines[0][:4] == ["tokens", "token_id", "name", "scope"]
    assert [line[1:3] for line in lines[1:3]] == [["shop", "read"], ["ann", "admin"]]
    assert "{" not in shown
    assert "sha256" not in shown
