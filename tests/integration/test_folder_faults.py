"""Folders that are read-only, full, or no folders: one sentence, the right exit code, no traceback."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from batch.cli.output import keep_traceback
from batch.errors import exit_code_of
from batch.runs.runs import Runs
from batch.store.connection import StoreFailed, open_store
from batch.store.embedded.attach import attach
from batch.store.embedded.files import Files
from batch.store.wait import wait_until
from tests.forked import program
from tests.webhook import webhook

pytestmark = pytest.mark.integration


@contextmanager
def small_disk(folder: Path, options: str) -> Iterator[Path]:
    """Mount a disk of its own, or skip: that takes root."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"a disk of its own cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """Give a folder that nobody can write, root included."""
    with small_disk(tmp_path / "disk", "ro") as folder:
        yield folder


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Path]:
    """Give a folder in which there is no room left."""
    with small_disk(tmp_path / "disk", "size=64k") as folder:
        fill = ["dd", "if=/dev/zero", f"of={folder / 'ballast'}"]
        assert "No space left" in subprocess.run(fill, capture_output=True, text=True, check=False).stderr
        yield folder


def refusal(state_dir: Path, *arguments: str, **settings: str) -> tuple[int, str]:
    """Run a command; return its exit code and the one line that it wrote to stderr."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ALMANAC_")}
    done = subprocess.run(
        [*program(), *arguments],
        env={**clean, "ALMANAC_STATE_DIR": str(state_dir), **settings},
        capture_output=True,
        text=True,
        check=False,
    )
    (line,) = done.stderr.splitlines()
    return done.returncode, line


def test_a_read_only_state_folder_is_one_sentence(read_only: Path) -> None:
    state = read_only / "state"

    for arguments, place in (
        (["generations", "list"], state),
        (["tokens", "add", "--scope", "read"], state),
        (["store"], state),
    ):
        code, said = refusal(state, *arguments)

        assert code == 2
        assert said == (
            f"error: cannot write {place}: Read-only file system; runs keep what they need in {state} "
            "(ALMANAC_STATE_DIR)"
        )


def test_a_file_in_the_place_of_the_state_folder_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")

    code, said = refusal(tmp_path / "state", "store")

    assert code == 2
    assert said.startswith(f"error: cannot write {tmp_path / 'state'}")


def test_a_full_disk_is_one_sentence(full: Path) -> None:
    code, said = refusal(full, "tokens", "add", "--scope", "read")

    assert code == 2
    assert "No space left on device" in said
    assert str(full) in said


def test_facts_that_find_no_room_are_refused_and_nothing_of_them_stays(full: Path, tmp_path: Path) -> None:
    target = full / "facts"

    code, said = refusal(tmp_path, "simulate", "--users", "50", "--posts", "200", "--to", str(target))

    assert code == 3
    assert said == f"error: cannot write to {target}: No space left on device; give a folder with room"
    assert not list(target.rglob("*"))


def test_an_embedded_store_on_a_full_disk_does_not_start(full: Path) -> None:
    code, said = refusal(full, "generations", "list")

    assert code == 4
    assert said == f"error: the store in {full}/store did not start: no room is left there"


def test_an_embedded_store_whose_disk_fills_up_refuses_and_is_named(tmp_path: Path) -> None:
    def fill(url: str) -> None:
        with open_store(url) as client:
            for number in range(100):
                client.set(f"a{number}", bytes(100_000))

    with small_disk(tmp_path / "disk", "size=4m") as disk:
        with attach(disk) as store, pytest.raises(StoreFailed, match="No space left on device") as failed:
            fill(store.url)
        wait_until(lambda: not Files(disk).address.exists(), 30)

    assert exit_code_of(failed.value) == 4
    assert store.url in str(failed.value)


@pytest.mark.slow
def test_a_run_whose_disk_fills_up_ends_with_its_sentence(tmp_path: Path, valkey_url: str) -> None:
    facts = str(tmp_path / "facts")
    refused = {"ALMANAC_REDIS_URL": valkey_url, "ALMANAC_N_TREES": "10", "ALMANAC_N_BUCKETS": "3"}
    subprocess.run(
        [*program(), "simulate", "--users", "40", "--posts", "200", "--to", facts],
        env={**os.environ, "ALMANAC_STATE_DIR": str(tmp_path)},
        check=True,
    )
    with (
        webhook() as hook,
        small_disk(tmp_path / "disk", "size=300k") as disk,
    ):  # for its record, not its facts
        told = {**refused, "ALMANAC_NOTICES": hook.url}
        code, said = refusal(disk, "run", "--data", facts, "--no-evaluate", **told)
        (run,) = Runs(disk).recent()

    assert code == 2
    assert "No space left on device" in said
    assert (run.outcome, f"error: {run.why}") == ("failed", said)
    (notice,) = hook.of_runs()
    assert (notice["title"], notice["type"]) == ("Almanac: full run failed", "failure")
    assert notice["message"].startswith(f"{run.why} (exit code 2); what was served is served on.")


def test_a_bugs_traceback_finds_a_place_where_the_state_folder_cannot_be_written(read_only: Path) -> None:
    place = keep_traceback("Traceback", read_only)

    assert place.read_text() == "Traceback"
    assert not place.is_relative_to(read_only)
