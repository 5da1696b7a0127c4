"""A forked program is to its starter what a program of its own is: output, exit code, signals."""

import signal
import socket
import subprocess
from collections.abc import Iterator

import pytest

from batch.store.wait import wait_until
from tests.conftest import free_port
from tests.forked import program


@pytest.fixture
def server() -> Iterator[tuple["subprocess.Popen[str]", int]]:
    """Start Python's own server of files, which runs until it is told to stop; give it and its port."""
    command = [*program("http.server"), str(port := free_port()), "--bind", "127.0.0.1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as running:
        assert wait_until(lambda: is_open(port), 30)
        yield running, port
        running.kill()


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, -signal.SIGTERM), (signal.SIGKILL, -9)]
)
def test_a_signal_is_the_programs(
    server: tuple["subprocess.Popen[str]", int], number: int, code: int
) -> None:
    running, port = server

    running.send_signal(number)
    said, _ = running.communicate(timeout=30)

    assert running.returncode == code
    assert ("Keyboard interrupt" in said) == (number == signal.SIGINT)
    assert wait_until(lambda: not is_open(port), 30)


def test_arguments_input_output_and_exit_code_are_its_own() -> None:
    asked = {"capture_output": True, "text": True, "check": False}

    good = subprocess.run([*program("json.tool"), "--compact"], input='{"a":\n1}', **asked)  # type: ignore[call-overload]
    bad = subprocess.run([*program(), "nonsense"], **asked)  # type: ignore[call-overload]

    assert (good.returncode, good.stdout, good.stderr) == (0, '{"a":1}\n', "")
    assert (bad.returncode, bad.stdout) == (2, "")
    assert bad.stderr == "error: No such command 'nonsense'.\n"
