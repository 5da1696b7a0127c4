"""A night whose shards Ray's workers write: it is prepared, told and sealed in this process.

What a shard reads comes from where it was prepared, a slice each; Ray carries orders, log lines and how far
each is, and says which worker died.
"""

import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

from api.contract.manifest import Manifest
from batch.errors import describe, exit_code_of
from batch.extras import require_extra
from batch.jobs.assemble import Publication
from batch.jobs.full import PublishBy
from batch.jobs.shards import prepare_by, seal_here, write_one
from batch.progress import SILENT, Advance, Progress
from batch.publish.publish import Keep
from batch.publish.sharded.ledger import Prepared, need_open
from batch.publish.store import GenerationStore
from batch.settings import Settings
from batch.store.connection import open_store, store_url

ENGINE = "ray"
ATTEMPTS = 4  # at a shard: a machine may go down twice, what kills every worker is no machine's fault
A_WORKER = 2  # shards, where nobody says how many: a lost one costs half of a worker's share
OBJECTS_MB = 100  # of Ray's object store, where it is ours: nothing large goes through it
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) - {"name", "levelno", "levelname", "created"}

log = logging.getLogger(__name__)


class ShardFailed(RuntimeError):
    """A shard cannot be written, or its workers died again and again."""

    def __init__(self, shard: int, why: str, exit_code: int = 5) -> None:
        """Name the shard; the exit code is that of what it met."""
        self.exit_code = exit_code
        super().__init__(
            f"shard {shard}: {why}; the others stay: once that is mended, give `almanac run --shard` for "
            "those that are missing, and `almanac seal`"
        )


@dataclass(frozen=True, slots=True)
class Order:
    """What a worker is told; it needs nothing else."""

    settings: Settings
    generation: int
    shard: int
    n_shards: int


def parse_engine(text: str) -> str:
    """Return the address in `ray` or `ray:<address>`; empty: Ray is started here, and stopped.

    Raises:
        ValueError: It names another engine.

    >>> parse_engine("ray"), parse_engine("ray:10.0.0.1:6379")
    ('', '10.0.0.1:6379')
    """
    engine, _, address = text.partition(":")
    if engine != ENGINE:
        raise ValueError(f"--on {text!r} is no engine: give ray, or ray:<address> of a cluster")
    return address


def publish_on_ray(address: str, n_shards: int, to: str) -> PublishBy:
    """Return what publishes by Ray's workers, for `night.run_full`.

    Args:
        address: Of a Ray cluster; empty: one is started here.
        n_shards: How many parts users are cut into; 0: `A_WORKER` for each worker.
        to: Where all machines find what is prepared; empty: the state folder.
    """
    require_extra("ray", "cluster")

    def publish_by(
        settings: Settings, generations: GenerationStore, tonight: Publication, keep: Keep, progress: Progress
    ) -> Manifest:
        threads = settings.threads or 1
        with _running(address) as ray, store_url(settings) as url:
            workers = max(int(ray.cluster_resources().get("CPU", 1)) // threads, 1)
            n_users = len(tonight.content.user_ids)
            cut = min(n_shards or A_WORKER * workers, max(n_users, 1))
            begun = prepare_by(cut, to)(settings, generations, tonight, keep, progress)
            prepared = need_open(generations, settings.variant, begun.generation)
            theirs = settings.replace(redis_url=url, threads=threads, state_dir=settings.state_dir.absolute())
            with progress.step("shards", prepared.n_users) as advance:
                _write_all(ray, theirs, prepared, advance)
        return seal_here(settings, generations, progress, prepared.generation)

    return publish_by


def _write_all(ray: Any, settings: Settings, prepared: Prepared, advance: Advance) -> None:
    """Let workers write all shards; one whose worker dies is ordered again, and no other.

    Raises:
        ShardFailed: One of them cannot be written.
    """
    task = ray.remote(num_cpus=settings.threads, max_retries=0, num_returns="streaming")(work)
    done = dict.fromkeys(range(1, prepared.n_shards + 1), 0)
    attempts, streams = dict.fromkeys(done, 0), dict[Any, int]()

    def order(shard: int) -> None:
        attempts[shard] += 1
        streams[task.remote(Order(settings, prepared.generation, shard, prepared.n_shards))] = shard

    for shard in done:
        order(shard)
    while streams:
        (stream,), _ = ray.wait(list(streams), num_returns=1)
        shard = streams[stream]
        try:
            kind, value = ray.get(next(stream))
        except StopIteration:
            del streams[stream]
        except ray.exceptions.RayError as exc:
            del streams[stream]
            why = str(exc).strip().partition("\n")[0]
            log.warning("shard.lost", extra={"shard": shard, "attempt": attempts[shard], "why": why})
            if attempts[shard] == ATTEMPTS:
                raise ShardFailed(shard, f"{ATTEMPTS} workers died at it ({why})") from exc
            advance(-done[shard])
            done[shard] = 0
            order(shard)
        else:
            done[shard] += _take(shard, kind, value, done[shard], advance)


def _take(shard: int, kind: str, value: Any, before: int, advance: Advance) -> int:
    """Do what a worker's word asks for; return how many more users it has written.

    Raises:
        ShardFailed: It has met an error.
    """
    if kind == "failed":
        raise ShardFailed(shard, *value)
    if kind == "begun":
        log.info("shard.begun", extra={"shard": shard, **value})
    elif kind == "log":
        logging.getLogger(value["name"]).handle(logging.makeLogRecord(value))
    else:
        advance(value - before)
        return int(value - before)
    return 0


def work(order: Order) -> Iterator[tuple[str, Any]]:
    """Write a shard, in a worker; yield what its driver is to know: log lines, users written, an error."""
    yield "begun", {"host": socket.gethostname(), "pid": os.getpid()}
    said: SimpleQueue[tuple[str, Any] | None] = SimpleQueue()
    thread = threading.Thread(target=_write, args=(order, said.put), daemon=True)
    thread.start()
    while (word := said.get()) is not None:
        yield word


def _write(order: Order, say: Callable[[tuple[str, Any] | None], None]) -> None:
    handler, root, settings = _Told(say), logging.getLogger(), order.settings
    root.addHandler(handler)
    root.setLevel(logging.INFO)

    def show(what: str, done: int, _total: int | None) -> None:
        if what == "lists":
            say(("users", done))

    try:
        with open_store(settings.redis_url.get_secret_value()) as client:
            generations = GenerationStore(client, settings.keys)
            shard = order.shard, order.n_shards
            written = write_one(settings, generations, shard, show, SILENT, generation=order.generation)
            say(("users", written.users))
    except Exception as exc:
        say(("failed", (describe(exc, settings.state_dir), exit_code_of(exc))))
    finally:
        root.removeHandler(handler)
        say(None)


class _Told(logging.Handler):
    """Hands log records on as values."""

    def __init__(self, say: Callable[[tuple[str, Any] | None], None]) -> None:
        super().__init__(logging.INFO)
        self._say = say

    def emit(self, record: logging.LogRecord) -> None:
        own = {
            name: value for name, value in vars(record).items() if name not in _STANDARD and name[0] != "_"
        }
        self._say(("log", {**own, "msg": record.getMessage()}))


@contextmanager
def _running(address: str) -> Iterator[Any]:
    """Give Ray, connected to a cluster, or to one of this machine that ends with the block."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nobody is told that it runs
    before, records = signal.getsignal(signal.SIGTERM), logging.getLogRecordFactory()
    import ray

    ours = {"object_store_memory": OBJECTS_MB * 2**20, "include_dashboard": False}
    how = {"address": address} if address else ours
    ray.init(log_to_driver=False, logging_level=logging.ERROR, **how)
    logging.setLogRecordFactory(records)  # Ray's adds a field of its own to every line
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, before)  # Ray's would end the run without its record
    try:
        yield ray
    finally:
        ray.shutdown()
