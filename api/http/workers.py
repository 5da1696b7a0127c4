"""Several processes that serve one address: started, watched, replaced one after another.

Each listens by itself, and the system shares new connections out among those that do (SO_REUSEPORT): one that
were handed to all would give most of a crowd to whoever wakes up first.
"""

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from tempfile import TemporaryDirectory

from api.http.server import CannotListen, bind
from api.settings import Settings

log = logging.getLogger(__name__)

COMMAND = [sys.executable, "-m", "api.worker"]
LOOK_S = 0.1  # between two looks at whether a worker has ended
START_S = 60.0  # that a worker may take until it serves
AGAIN_S = 1.0  # before a worker is started in the place of one that could not start
END_S = 15.0  # that a worker may take to end; it cuts its clients off sooner


@dataclass(eq=False)
class _Worker:
    """A process, and the end of a pipe on which it says that it serves."""

    process: "subprocess.Popen[bytes]"
    ready: int
    began: float = field(default_factory=time.monotonic)
    is_ready: bool = False

    def has_ended(self) -> bool:
        """Say whether it has ended."""
        return self.process.poll() is not None

    def has_started(self) -> bool:
        """Say whether it has come to serve, or will never."""
        return self.serves() or self.has_ended()

    def serves(self) -> bool:
        """Say whether it serves, or has served."""
        if not self.is_ready:
            with suppress(BlockingIOError):
                self.is_ready = os.read(self.ready, 1) == b"1"
        return self.is_ready

    def close(self) -> None:
        """End it at once if it still runs."""
        if not self.has_ended():
            self.process.kill()
        self.process.wait()
        os.close(self.ready)


class Workers:
    """As many workers as are wanted, until a signal ends them.

    SIGTERM and SIGINT are passed on to all of them, a second one too. SIGHUP replaces one after another, each
    once its successor serves: so a new version of the code comes in.
    """

    def __init__(self, n: int, port: int, folder: Path) -> None:
        """Start none yet; `folder` is what they share."""
        self._n = n
        self._command = [*COMMAND, str(port), str(folder), str(os.getpid())]
        self._asked: SimpleQueue[int] = SimpleQueue()
        self._is_ending = False

    def run(self) -> int:
        """Serve until told to stop.

        Returns:
            The exit code: 0, or that of the first worker if it could not start.
        """
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda told, _: self._asked.put(told))
        workers = [self._start()]
        try:
            # The first one alone: what keeps all of them from starting is then said once.
            self._wait(workers[0].has_started, workers, START_S)
            if not workers[0].serves() and not self._is_ending:
                return workers[0].process.poll() or 1
            workers += [self._start() for _ in range(0 if self._is_ending else self._n - 1)]
            log.info("workers.started", extra={"pids": [one.process.pid for one in workers]})
            while not self._is_ending:
                self._keep_up(workers)
            self._wait(lambda: all(one.has_ended() for one in workers), workers, END_S)
            return 0
        finally:
            for worker in workers:
                worker.close()

    def _start(self) -> _Worker:
        told, ready = os.pipe()
        try:
            # In a session of its own, so that a terminal's Ctrl-C comes once: from us.
            process = subprocess.Popen([*self._command, str(ready)], pass_fds=[ready], start_new_session=True)  # noqa: S603 - our own command
        finally:
            os.close(ready)
        os.set_blocking(told, False)
        return _Worker(process, told)

    def _hear(self, workers: list[_Worker]) -> bool:
        """Wait a little for a signal, and say whether it is that to replace the workers; pass others on."""
        with suppress(Empty):
            told = self._asked.get(timeout=LOOK_S)
            if told == signal.SIGHUP:
                return True
            self._is_ending = True
            for worker in workers:
                worker.process.send_signal(told)
        return False

    def _keep_up(self, workers: list[_Worker]) -> None:
        """Replace whoever has ended; when asked to, all of them in turns."""
        if self._hear(workers):
            self._replace_all(workers)
        for place, worker in enumerate(workers):
            is_early = not worker.serves() and time.monotonic() < worker.began + AGAIN_S
            if self._is_ending or not worker.has_ended() or is_early:
                continue
            why = {"pid": worker.process.pid, "exit_code": worker.process.returncode}
            log.error("worker.ended", extra=why)
            worker.close()
            workers[place] = self._start()

    def _replace_all(self, workers: list[_Worker]) -> None:
        """Put a new worker in the place of each; if one cannot start, the rest stay as they are."""
        for place, before in enumerate(workers):
            after = self._start()
            self._wait(after.has_started, [*workers, after], START_S)
            if not after.serves():
                after.close()
                if not self._is_ending:
                    why = {"pid": after.process.pid, "exit_code": after.process.returncode}
                    log.error("workers.kept", extra=why)
                return
            workers[place] = after
            before.process.terminate()
            self._wait(before.has_ended, [*workers, before], END_S)
            before.close()
        log.info("workers.replaced", extra={"pids": [one.process.pid for one in workers]})

    def _wait(self, until: Callable[[], bool], workers: list[_Worker], seconds: float) -> bool:
        """Wait for something, hearing signals; the first that asks for a stop ends the wait."""
        give_up, was_ending = time.monotonic() + seconds, self._is_ending
        while not until() and time.monotonic() < give_up and self._is_ending == was_ending:
            self._hear(workers)
        return until()


def supervise(settings: Settings) -> int:
    """Serve the address of the settings by several processes until told to stop.

    Returns:
        The exit code: 0, or that of a worker which could not start.

    Raises:
        CannotListen: Nobody may listen there.
    """
    host, port = settings.host, settings.port
    with ExitStack() as stack:
        with bind(host, port) as alone:  # another server's port is another's, though it would share it
            try:
                alone.listen()
            except OSError as exc:
                raise CannotListen(host, port, exc) from exc
            port = int(alone.getsockname()[1])
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="almanac-workers-")))
        return Workers(settings.workers, port, folder).run()
