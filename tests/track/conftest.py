"""A real MLflow server on SQLite, from an environment of its own; without it these tests are skipped."""

import importlib.util
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients import await_answer
from tests.conftest import free_port

PROGRAM = Path(os.environ.get("MLFLOW_PROGRAM") or Path(__file__).parents[2] / ".mlflow/bin/mlflow")


@pytest.fixture(scope="session", autouse=True)
def mlflow_program() -> Path:
    """Give the server's program."""
    if not PROGRAM.is_file() or importlib.util.find_spec("mlflow") is None:
        pytest.skip("needs MLflow's client here and its server in .mlflow: `make test-zoo` brings both")
    return PROGRAM


@pytest.fixture(scope="module")
def server(mlflow_program: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the address of a server that keeps its files, too, and has nothing of other modules."""
    folder, port = tmp_path_factory.mktemp("mlflow"), free_port()
    command = [str(mlflow_program), "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    places = [
        "--backend-store-uri",
        f"sqlite:///{folder}/mlflow.db",
        "--artifacts-destination",
        str(folder / "files"),
    ]
    env = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "PYTHONPATH": ""}
    env["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"  # nine processes more
    with (folder / "server.log").open("wb") as out:
        process = subprocess.Popen(
            [*command, *places], env=env, stdout=out, stderr=out, start_new_session=True
        )
        try:
            await_answer(f"http://127.0.0.1:{port}/health", 240.0)
            yield f"http://127.0.0.1:{port}"
        finally:
            os.killpg(process.pid, signal.SIGKILL)  # its workers, too
            process.wait()
