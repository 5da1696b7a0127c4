"""The example DAG: it is Python, and what its tasks send makes a night of a real API and scheduler.

Airflow itself is not installed here: what is told to it are the last lines, which are left out.
"""

import ast
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
import redis

from tests.clients import first_token, running
from tests.integration.test_runs_asked import scheduler

pytestmark = pytest.mark.integration
__all__ = ["scheduler"]
FILE = Path(__file__).parents[2] / "docs" / "courses" / "almanac_night.py"


@pytest.fixture
def run_stage() -> Callable[[str], None]:
    """Return the function that the DAG's tasks call."""
    tree = ast.parse(FILE.read_text("utf-8"))
    compile(tree, str(FILE), "exec")
    tree.body = [
        part
        for part in tree.body
        if not isinstance(part, ast.Expr)
        and getattr(part, "module", None) != "airflow.sdk"
        and not getattr(part, "decorator_list", None)
    ]
    names: dict[str, Any] = {}
    exec(compile(tree, str(FILE), "exec"), names)
    found: Callable[[str], None] = names["run_stage"]
    return found


def test_its_stages_make_a_night_and_one_that_fails_says_why(
    run_stage: Callable[[str], None],
    scheduler: "subprocess.Popen[str]",
    valkey_url: str,
    store: redis.Redis,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "api").mkdir()
    with running(valkey_url, tmp_path / "api") as url:
        token = first_token(tmp_path / "api", "admin")["Authorization"].removeprefix("Bearer ")
        monkeypatch.setenv("ALMANAC_URL", url)
        monkeypatch.setenv("ALMANAC_TOKEN", token)

        with pytest.raises(RuntimeError, match="infer failed: "):  # nothing has been read and learnt
            run_stage("infer")
        for stage in ("preprocess", "train", "infer"):
            run_stage(stage)
        ready = httpx2.get(f"{url}/ready").json()

        monkeypatch.setenv("ALMANAC_TOKEN", "none")
        with pytest.raises(OSError, match="401"):
            run_stage("infer")

    assert ready["generation"] == 1
