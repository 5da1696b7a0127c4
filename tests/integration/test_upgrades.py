"""Upgrades: the API of the release before over a new generation, and the new API over one of that release.

That release's code comes from the history of this checkout; where there is none, the tests say so and skip.
"""

import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
import redis

from tests import content
from tests.clients import await_answer, running
from tests.conftest import free_port

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
RELEASE = "501a6a8"  # the last commit whose manifests knew neither `needs` nor the gate's mode
TIME = "2021-12-24T15:30:00"  # in the horizon of `tests.content`


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Unpack the release before and return its folder."""
    packed = subprocess.run(["git", "archive", RELEASE], cwd=ROOT, capture_output=True, check=False)
    if packed.returncode:
        pytest.skip(f"no commit {RELEASE} in the history of this checkout")
    folder = tmp_path_factory.mktemp("release")
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        if hasattr(tarfile, "data_filter"):  # not before Python 3.11.4
            archive.extraction_filter = tarfile.data_filter
        archive.extractall(folder)
    return folder


@contextmanager
def old_api(old: Path, url: str, state_dir: Path) -> Iterator[str]:
    """Run the old API in a process of its own and give its address."""
    address = f"http://127.0.0.1:{(port := free_port())}"
    env = {**os.environ, "PYTHONPATH": str(old), "ALMANAC_REDIS_URL": url, "ALMANAC_PORT": str(port)}
    env["ALMANAC_STATE_DIR"] = str(state_dir)
    process = subprocess.Popen(
        [sys.executable, "-m", "api.main"], cwd=old, env=env, stdout=subprocess.DEVNULL
    )
    try:
        await_answer(f"{address}/health")
        yield address
    finally:
        process.terminate()
        process.wait(10)


def publish_old(old: Path, url: str, folder: Path, seed: int) -> None:
    """Let the old batch publish the content of a seed."""
    publisher = subprocess.run(
        [sys.executable, "-m", "tests.edition"],
        cwd=old,
        env={**os.environ, "PYTHONPATH": str(old), "NUMBA_DISABLE_JIT": "1"},  # for few lists
        input=f"{url}\t{folder}\t{seed}\t\n",
        capture_output=True,
        text=True,
        check=True,
    )
    assert publisher.stdout.split()[-1] == "0", publisher.stderr


def feed(address: str, user: int) -> tuple[list[int], str | None]:
    """Ask for a user's feed; return the posts and the generation that answered."""
    reply = httpx2.get(f"{address}/post/recommendations/", params={"id": user, "time": TIME, "limit": 3})
    assert reply.status_code == 200, reply.text
    return [post["id"] for post in reply.json()], reply.headers.get("x-almanac-generation")


def test_the_old_api_answers_from_a_new_generation_as_the_new_one_does(
    old: Path, store: redis.Redis, valkey_url: str, tmp_path: Path
) -> None:
    content.published(store, tmp_path / "generations")
    users = [1, 3, 5, 9_999]

    with old_api(old, valkey_url, tmp_path / "old") as address, running(valkey_url, tmp_path) as new:
        answers = [(feed(address, user), feed(new, user)) for user in users]

    assert all(before == after for before, after in answers)
    assert {generation for (_, generation), _ in answers} == {"1"}


def test_the_new_api_answers_from_an_old_generation_and_across_the_upgrade(
    old: Path, store: redis.Redis, valkey_url: str, tmp_path: Path
) -> None:
    folder = tmp_path / "generations"
    publish_old(old, valkey_url, folder, 0)

    with old_api(old, valkey_url, tmp_path / "old") as address, running(valkey_url, tmp_path) as new:
        answers = [(feed(address, user), feed(new, user)) for user in (1, 3, 9_999)]
        content.published(store, folder, 1)
        upgraded = feed(new, 1)

    assert all(before == after for before, after in answers)
    assert {generation for (_, generation), _ in answers} == {"1"}
    assert upgraded[1] == "2"
    assert not store.exists("almanac:1:learnt"), "what the old batch noted goes with the first new run"
