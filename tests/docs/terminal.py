"""A person's terminal: one bash in an empty folder, which runs what a page shows and fills in what it must.

A page names a port, a store, a prefix and a user as they were when it was written. Here they are what this
run printed last. A command that stays up runs on beside the next ones, as in a second terminal; `stop` in it
is Ctrl-C in all of those.
"""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from tests.conftest import free_port
from tests.docs.forms import has_form
from tests.docs.pages import ROOT, Block, commands, session, why_not
from tests.forked import program

WAIT_S = 240.0  # of one command, on a machine that does other things too
CLOSE_S = 20.0  # of what a terminal that is closed has told to stop
SMALL = {"ALMANAC_N_TREES": "10", "ALMANAC_DEPTH": "20"}
# What stays up until Ctrl-C, and what it prints once it is up.
STAYS = {
    "serve": "api.started",
    "schedule": "schedule.started",
    "store": "redis://",
    "demo": "your own data:",
    "inspect --web": "/enter?code=",
}
_STAYING = re.compile(rf"^(?:\w+=(?:'[^']*'|\S+) )*almanac ({'|'.join(STAYS)})\b(?!.*--once)")
# What a page names, and where a run prints its own.
LEARNED = {
    r"redis://127\.0\.0\.1:(?!6379)\d+/0": r"redis://127\.0\.0\.1:\d+/0",
    r"almanac-demo-[0-9a-f]{8}": r"almanac-demo-[0-9a-f]{8}",
    r"(?<=[?&]id=)\d+|(?<=--user )\d+|(?<=users/)\d+|(?<=inspect )\d+|(?<=\{)\d+(?=\})": r"(?<=[?&]id=)\d+",
}
_SCRIPTS = {
    "python": 'exec "{python}" "$@"',
    "almanac": '[ "$1" = redis ] && [ ! -p /dev/stdout ] && shift && set -- redis --no-raw "$@"\n'
    'exec {almanac} "$@"',
    # A page shows what a terminal shows; ours is a file.
    "redis-cli": '[ -p /dev/stdout ] || set -- --no-raw "$@"\nexec {redis_cli} "$@"',
    "activate": 'PATH="{bin}:$PATH"',
}


class Failed(AssertionError):
    """A command of a page did not do what the page says."""


class Terminal:
    """One bash in a folder of its own, with `almanac`, `python` and `redis-cli` on its path."""

    def __init__(self, folder: Path, servers: Mapping[str, str]) -> None:
        """Start the shell; `servers` has URLs by the patterns of those that a page names."""
        self.folder, self.servers = folder, servers
        self.port, self.proxy_port = free_port(), free_port()
        self.learned: dict[str, str] = {}
        self._n_started, self._wait_s = 0, WAIT_S
        folder.mkdir(parents=True)
        bin_folder = folder.parent / "bin"
        bin_folder.mkdir()
        redis_cli = shutil.which("redis-cli") or shutil.which("valkey-cli") or f"{bin_folder}/almanac redis"
        for name, script in _SCRIPTS.items():
            text = script.format(
                python=sys.executable, almanac=shlex.join(program()), redis_cli=redis_cli, bin=bin_folder
            )
            (bin_folder / name).write_text(f"#!/bin/bash\n{text}\n")
            (bin_folder / name).chmod(0o755)
        (folder / ".venv").mkdir()
        (folder / ".venv" / "bin").symlink_to(bin_folder)
        clean = {name: value for name, value in os.environ.items() if not name.startswith("ALMANAC_")}
        env = {**clean, **SMALL, "ALMANAC_PORT": str(self.port), "HOME": str(folder), "PYTHONPATH": str(ROOT)}
        env |= {"PATH": f"{bin_folder}:{clean['PATH']}", "COLUMNS": "120"}
        env.pop("PYTHONDONTWRITEBYTECODE", None)
        self.shell = subprocess.Popen(
            ["bash"], cwd=folder, env=env, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, text=True, start_new_session=True,
        )  # fmt: skip
        self._out = folder.parent / "out"
        self._tell("set -m\nstop() { kill -INT $(jobs -p | sed s/^/-/); wait; }\n")

    def __enter__(self) -> "Terminal":
        """Give the terminal."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, at: TracebackType | None
    ) -> None:
        """Press Ctrl-C in all that still runs, and close the terminal; what runs on is killed."""
        self._wait_s = CLOSE_S
        with suppress(Failed):
            self.run("stop")
        assert self.shell.stdin is not None
        self.shell.stdin.close()
        self.shell.kill()
        self.shell.wait()
        for left in self.processes():
            with suppress(ProcessLookupError):
                os.kill(left, signal.SIGKILL)

    def processes(self) -> set[int]:
        """Return the processes that work in the terminal's folder or name it, the shell itself left out."""
        found = set()
        for process in Path("/proc").glob("[0-9]*"):
            try:
                command, at = (process / "cmdline").read_bytes(), (process / "cwd").resolve()
            except OSError:  # it has ended meanwhile
                continue
            if str(self.folder).encode() in command or self.folder in (at, *at.parents):
                found.add(int(process.name))
        return found - {self.shell.pid}

    def run_blocks(self, blocks: Sequence[Block]) -> None:
        """Run all blocks that are run here, one after another, and compare what they print.

        Raises:
            Failed: A command did not end well, or printed what has not the form of what the page shows.
        """
        for block, after in zip(blocks, [*blocks[1:], None], strict=True):
            if (block.is_run or "file" in block.marks) and not why_not(block):
                printed = self._run_block(block)
                if after is not None and after.is_output:
                    _compare(block, block.text, printed, after.text)

    def run(self, command: str, where: str = "") -> str:
        """Run a command as it stands on the page, and return what it printed to stdout."""
        filled = self.fill(command)
        stays = _STAYING.match(filled)
        printed = self._start(filled, STAYS[stays[1]], where) if stays else self._finish(filled, where)
        for pattern in LEARNED.values():
            if found := re.search(pattern, printed):
                self.learned[pattern] = found[0]
        return printed

    def run_python(self, text: str, where: str = "") -> str:
        """Run a program as it stands on the page, and return what it printed to stdout."""
        script = self.folder.parent / "block.py"
        script.write_text(self.fill(text))
        return self.run(f"python {script}", where)

    def fill(self, text: str) -> str:
        """Put this run's port, servers, prefix and user in the place of those that a page names."""
        for named, learned in LEARNED.items():
            if learned in self.learned:
                text = re.sub(named, self.learned[learned], text)
        for named, url in self.servers.items():
            text = re.sub(named, url, text)
        for named, port in (("127.0.0.1:8000", self.port), ("127.0.0.1:8080", self.proxy_port)):
            text = text.replace(named, f"127.0.0.1:{port}")
        return text

    def _run_block(self, block: Block) -> str:
        """Run one block and return what its last command printed."""
        printed = self._run_all(block, block.marks.get("run first", ""))
        if "file" in block.marks:
            file = self.folder / block.marks["file"]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(self.fill(block.text))
        elif "run instead" in block.marks:
            printed = self._run_all(block, block.marks["run instead"])
        elif block.language == "python":
            printed = self.run_python(block.text, f"{block}")
        elif block.language == "console":
            for command, shown in session(block.text):
                printed = self.run(command, f"{block}")
                _compare(block, command, printed, shown)
        else:
            printed = self._run_all(block, block.text)
        return printed

    def _run_all(self, block: Block, text: str) -> str:
        printed = ""
        for command in commands(text):
            printed = self.run(command, f"{block}")
        return printed

    def _finish(self, command: str, where: str) -> str:
        """Run a command to its end."""
        done = self._out.with_name("done")
        done.unlink(missing_ok=True)
        out, err = self._out, self._out.with_name("err")
        self._tell(f"{{ {command}\n}} </dev/null >{out} 2>{err}; echo $? >{done}.new; mv {done}.new {done}\n")
        self._await(done.exists, command, where)
        printed = out.read_text(errors="replace")
        if done.read_text().strip() != "0":
            raise Failed(f"{where}: {command}\nended with {done.read_text()}{printed}\n{err.read_text()}")
        return printed

    def _start(self, command: str, ready: str, where: str) -> str:
        """Start a command that stays up, and return once it is."""
        self._n_started += 1
        log, group = self._out.with_name(f"up-{self._n_started}"), self._out.with_name("group")
        group.unlink(missing_ok=True)
        log.touch()  # the shell says the command's number before the command itself has opened it
        self._tell(
            f"{{ {command}\n}} </dev/null >{log} 2>&1 &\necho $! >{group}.new; mv {group}.new {group}\n"
        )
        self._await(group.exists, command, where)
        number = int(group.read_text())
        self._await(lambda: ready in log.read_text() or not _lives(number), command, where)
        if ready not in log.read_text():
            raise Failed(f"{where}: {command}\nended:\n{log.read_text()}")
        return log.read_text()

    def _await(self, holds: Callable[[], bool], command: str, where: str) -> None:
        give_up = time.monotonic() + self._wait_s
        while not holds():
            if time.monotonic() > give_up or self.shell.poll() is not None:
                raise Failed(
                    f"{where}: {command}\nis not done after {self._wait_s:.0f} s, or ended the shell"
                )
            time.sleep(0.02)

    def _tell(self, text: str) -> None:
        assert self.shell.stdin is not None
        self.shell.stdin.write(text)
        self.shell.stdin.flush()


def _lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def _compare(block: Block, command: str, printed: str, shown: str) -> None:
    if not has_form(printed, shown):
        raise Failed(f"{block}: {command}\nprinted:\n{printed}\nwhere the page shows:\n{shown}")
