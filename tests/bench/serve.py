"""What a feed costs to serve, in one run beside what it is compared with: ratios, latencies, CPU.

All apps run one worker each on the same store and give the same bytes; they take turns, so that whatever else
the machine does meets them all. Correctness is asserted before speed.
"""

import os
import platform
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import cast
from urllib.parse import parse_qs, urlsplit

import orjson
import redis

from api.contract.buckets import epoch
from api.contract.codec import decode
from api.contract.keys import Keys
from api.tokens import FILE, add_token
from batch.progress import Show, silent
from tests.bench import apps, explored, laid_out, lately, load, placed, rivals, stock, targets, ways
from tests.bench.apps import App
from tests.bench.load import Asked, Figures
from tests.bench.stock import GENERATION, Stock

RATE_PER_S = 1000
N_CHECKED = 300
READY_S = 60.0
PIECE = 1000  # keys weighed at a time
RIVALS = ("empty", "raw", "naive")


def run(
    *,
    sizes: Stock | None = None,
    connections: int = 32,
    seconds: float = 5.0,
    rounds: int = 5,
    limit: int = 5,
    with_ways: bool = True,
    progress: Show | None = None,
) -> dict[str, object]:
    """Measure, and return the figures by name; ratios are medians over the rounds.

    Args:
        sizes: What is in the store.
        connections: Kept connections at saturation.
        seconds: Length of each measurement.
        rounds: How often each app has its turn.
        limit: Posts an answer.
        with_ways: Whether the ways of serving that were tried are measured beside ours; needs git's history.
        progress: Told what is being done, how far, of how much.

    Raises:
        LoadFailed: An app did not answer, or not with 200.
        RuntimeError: An app did not start, or ours answered wrongly.
    """
    tell, sizes = progress or silent, sizes or Stock()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="almanac-bench-")))
        url = stack.enter_context(apps.store(folder))
        client = stack.enter_context(redis.Redis.from_url(url))
        began = time.perf_counter()
        stock.fill(client, Keys(), sizes, tell, explored.GENERATION, packed=laid_out.GENERATION)
        filled_s = time.perf_counter() - began
        _, token = add_token(folder / FILE, "read", "bench")  # so reads need it
        asking, users = targets.draw(sizes, limit), sizes.users(0, sizes.n_users)
        ours = stack.enter_context(apps.ours(folder, url, Asked(0, asking, token)))
        by_topic = replace(ours.asked, targets=targets.filter_by_topic(asking))
        for asked in (ours.asked, by_topic):
            _check(client, asked, sizes, limit)
        placed.begin(client)
        experiment = stack.enter_context(apps.ours(folder, url, ours.asked, experiments=True))
        _check(client, experiment.asked, sizes, limit, placed.find_generation)
        explored.begin(client, sizes)
        drawn = stack.enter_context(apps.ours(folder, url, ours.asked, variant=explored.VARIANT))
        explored.check(drawn.asked)
        laid_out.begin(client)
        packed = stack.enter_context(apps.ours(folder, url, ours.asked, variant=laid_out.VARIANT))
        _check(client, packed.asked, sizes, limit)
        of_now = replace(ours.asked, targets=targets.ask_now(asking))
        lately.begin(client, users)
        overlay = stack.enter_context(apps.ours(folder, url, of_now, experiments=True, overlay=True))
        lately.check(overlay.asked)
        answer = _remember(folder, ours.asked)
        running = {
            "ours": ours,
            "filter": App(by_topic, ours.pid),
            "experiment": experiment,
            "explored": drawn,
            "packed": packed,
            "now": App(replace(of_now, port=ours.asked.port), ours.pid),
            "overlay": overlay,
            **_start_others(stack, folder, url, answer, ours.asked, with_ways),
        }
        turns = []
        for done in range(rounds):
            turns.append(_turn(running, client, connections, seconds))
            tell("rounds", done + 1, rounds)
        paced = {
            name: [load.pace(app.asked, connections, seconds, RATE_PER_S) for _ in range(rounds)]
            for name, app in running.items()
            if name in ways.ITS_SERVER or name in ("experiment", "overlay")
        }
        return {
            **_speeds(turns, paced),
            "ways": {name: _way(name, turns, paced[name]) for name in ways.ITS_SERVER if with_ways},
            "experiment": {
                **_latencies(paced["experiment"], "at_1000_rps"),
                **_latencies([turn["experiment"].figures for turn in turns], "at_saturation"),
                **placed.count_records(experiment.asked),
            },
            "overlay": {
                **_latencies(paced["overlay"], "at_1000_rps"),
                **_latencies([turn["overlay"].figures for turn in turns], "at_saturation"),
            },
            "generator": load.GENERATOR,
            "connections": connections,
            "rounds": rounds,
            "seconds": seconds,
            "limit": limit,
            "answer_bytes": len(answer.read_bytes()),
            "sizes": {name: getattr(sizes, name) for name in Stock.__slots__},
            "store": str(client.info("server").get("valkey_version") or client.info()["redis_version"]),
            "store_bytes": int(client.info("memory")["used_memory"]),
            "store_bytes_of_lists": _weigh(client, [Keys().list(user, GENERATION) for user in users]),
            "store_bytes_of_packed_lists": _weigh(
                client, [Keys().list(user, laid_out.GENERATION) for user in users]
            ),
            "store_bytes_of_seen": _weigh(client, [Keys().seen(user) for user in users]),
            "fill_s": round(filled_s, 1),
            "machine": f"{os.cpu_count()} × {platform.machine()}, Python {platform.python_version()}",
        }


@dataclass(frozen=True, slots=True)
class _Turn:
    """What one app's turn gave; CPU in microseconds a request, NaN where the system does not tell."""

    figures: Figures
    api_us: float
    store_us: float


def _speeds(
    turns: list[dict[str, _Turn]], paced: Mapping[str, list[Figures]]
) -> dict[str, float | dict[str, float]]:
    """Return how fast all apps were: ours against the others, then each, medians over the rounds."""
    return {
        **_ratios(turns),
        "time_ratio_of_filter": _median(
            turn["ours"].figures.per_s / turn["filter"].figures.per_s for turn in turns
        ),
        "time_ratio_of_experiment": _median(
            turn["ours"].figures.per_s / turn["experiment"].figures.per_s for turn in turns
        ),
        "time_ratio_of_explored": _median(
            turn["ours"].figures.per_s / turn["explored"].figures.per_s for turn in turns
        ),
        "time_ratio_of_packed": _median(
            turn["ours"].figures.per_s / turn["packed"].figures.per_s for turn in turns
        ),
        "cpu_ratio_of_packed": _median(turn["packed"].api_us / turn["ours"].api_us for turn in turns),
        "store_cpu_ratio_of_packed": _median(
            turn["packed"].store_us / turn["ours"].store_us for turn in turns
        ),
        "time_ratio_of_overlay": _median(
            turn["now"].figures.per_s / turn["overlay"].figures.per_s for turn in turns
        ),
        "cpu_ratio_to_empty_fastapi": _median(turn["empty"].api_us / turn["ours"].api_us for turn in turns),
        **_latencies(paced["ours"], "at_1000_rps"),
        **_latencies([turn["ours"].figures for turn in turns], "at_saturation"),
        "cpu_us_per_request_api": _median(turn["ours"].api_us for turn in turns),
        "cpu_us_per_request_store": _median(turn["ours"].store_us for turn in turns),
        "requests_per_s": {name: _median(turn[name].figures.per_s for turn in turns) for name in turns[0]},
        "cpu_us_per_request": {name: _median(turn[name].api_us for turn in turns) for name in turns[0]},
    }


def _turn(
    running: Mapping[str, App],
    client: redis.Redis,
    connections: int,
    seconds: float,
) -> dict[str, _Turn]:
    """Saturate each app once."""
    turns = {}
    for name, app in running.items():
        api_s, store_s = apps.cpu_s(app.pid), _store_cpu_s(client)
        figures = load.saturate(app.asked, connections, seconds)
        api_us = 1e6 * (apps.cpu_s(app.pid) - api_s) / figures.n_requests
        turns[name] = _Turn(figures, api_us, 1e6 * (_store_cpu_s(client) - store_s) / figures.n_requests)
    return turns


def _start_others(
    stack: ExitStack, folder: Path, url: str, answer: Path, ours: Asked, with_ways: bool
) -> dict[str, App]:
    """Start all that ours is measured against."""
    env = {apps.STORE: url, rivals.ANSWER: str(answer)}
    running: dict[str, App] = {}

    def start(name: str, command: Sequence[str], asked: Asked, tree: Path | None = None) -> None:
        target = "/ready" if name in ways.TRIED else asked.targets[0]
        running[name] = stack.enter_context(apps.serve(name, command, env, folder, asked, target, tree))

    for name in RIVALS:
        start(name, ways.rival(name), ours if name == "naive" else replace(ours, targets=["/"]))
    if with_ways:
        tree = ways.unpack_before(folder)
        for name, command in ways.EMPTY.items():
            start(name, command, replace(ours, targets=["/"]))
        for name, command in ways.TRIED.items():
            start(name, command, ours, tree)
            if apps.get(running[name].asked, ours.targets[0])[1] != apps.get(ours, ours.targets[0])[1]:
                raise RuntimeError(f"{name} answers otherwise than ours")
    return running


def _way(name: str, turns: Sequence[Mapping[str, _Turn]], paced: Sequence[Figures]) -> dict[str, float]:
    """Return the figures by which the ways of serving were compared."""

    def ratio(rival: str) -> float:
        return _median(turn[name].figures.per_s / turn[rival].figures.per_s for turn in turns)

    return {
        "ratio_to_empty_fastapi": ratio("empty"),
        "ratio_to_empty_fastapi_on_its_server": ratio(ways.ITS_SERVER[name]),
        "requests_per_s": _median(turn[name].figures.per_s for turn in turns),
        "cpu_us_per_request": _median(turn[name].api_us for turn in turns),
        **_latencies(paced, "at_1000_rps"),
        "p99_ms_at_saturation": _median(turn[name].figures.p99_ms for turn in turns),
    }


def _ratios(turns: Sequence[Mapping[str, _Turn]]) -> dict[str, float]:
    names = {"empty": "empty_fastapi", "raw": "raw_asgi", "naive": "naive"}
    return {
        f"ratio_to_{names[rival]}": _median(
            turn["ours"].figures.per_s / turn[rival].figures.per_s for turn in turns
        )
        for rival in RIVALS
    }


def _latencies(figures: Sequence[Figures], when: str) -> dict[str, float]:
    return {
        f"p{name}_ms_{when}": _median(getattr(one, f"p{name}_ms") for one in figures)
        for name in ("50", "99", "999")
    }


def _median(values: Iterable[float]) -> float:
    return round(median(values), 3)


def _check(
    client: redis.Redis,
    ours: Asked,
    sizes: Stock,
    limit: int,
    find_generation: Callable[[str], int] = lambda _: GENERATION,
) -> None:
    """Compare answers with what stands in the store, looked up one by one; which generation is its user's.

    Raises:
        RuntimeError: One is wrong.
    """
    keys, horizon = Keys(), sizes.horizon
    spelled = cast("dict[bytes, bytes]", client.hgetall(keys.ids()))
    ids = {int(post): text.decode() for post, text in spelled.items()}
    taken_down = {member.decode() for member in cast("set[bytes]", client.smembers(keys.takedowns()))}
    for target in ours.targets[:N_CHECKED]:
        asked = parse_qs(urlsplit(target).query)
        user_id, at_s = asked["id"][0], epoch(datetime.fromisoformat(asked["time"][0]))
        ranked = client.hget(keys.list(user_id, find_generation(user_id)), str(horizon.bucket_for(at_s)))
        seen = cast("list[bytes]", client.zrangebyscore(keys.seen(user_id), "-inf", at_s))
        posts = [post for post in decode(cast("bytes", ranked)) if post not in set(map(int, seen))]
        if "topic" in asked:
            having = set(
                decode(cast("bytes", client.hget(keys.facets(GENERATION), f"topic={asked['topic'][0]}")))
            )
            posts = [post for post in posts if post in having]
        every = [ids.get(post, str(post)) for post in posts]
        wanted = [post_id for post_id in dict.fromkeys(every) if post_id not in taken_down][:limit]
        _, body = apps.get(ours, target)
        answered = [str(post["id"]) for post in orjson.loads(body)]
        if len(answered) != limit or answered[: len(wanted)] != wanted:
            raise RuntimeError(f"{target} was answered with {answered}, not {wanted}")


def _weigh(client: redis.Redis, keys: Sequence[str]) -> int:
    """Return what the values of keys take in the store, with all that belongs to them."""
    total = 0
    for low in range(0, len(keys), PIECE):
        pipe = client.pipeline(transaction=False)
        for key in keys[low : low + PIECE]:
            pipe.memory_usage(key, samples=0)
        total += sum(map(int, pipe.execute()))
    return total


def _remember(folder: Path, ours: Asked) -> Path:
    """Write one of our answers to where the rivals find it."""
    headers, body = apps.get(ours, ours.targets[0])
    kept = {name: value for name, value in headers.items() if name.startswith(("x-", "content-type"))}
    path = folder / "answer.json"
    path.write_bytes(orjson.dumps({"headers": kept, "body": body.decode()}))
    return path


def _store_cpu_s(client: redis.Redis) -> float:
    used = client.info("cpu")
    return float(used["used_cpu_user"]) + float(used["used_cpu_sys"])
