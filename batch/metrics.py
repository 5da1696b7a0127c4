"""What `almanac schedule` shows Prometheus: what the log has told of runs, stages and what is served."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector, start_http_server

from batch.publish.gate.interval import wilson
from batch.settings import Settings

Fields = Mapping[str, Any]

MIB = 2**20
CONFIDENCE = 0.95  # that the interval of the quality holds it
METRIC, SESSIONS = "hitrate_at_5", "test_sessions"

_GAUGES: dict[str, tuple[str, tuple[str, ...]]] = {
    "running": ("Whether a run goes on.", ("kind",)),
    "run_begun_timestamp_seconds": ("When the last run began.", ("kind",)),
    "run_ended_timestamp_seconds": ("When the last run with that outcome ended.", ("kind", "outcome")),
    "stage_seconds": ("Wall time of a stage when it last ended.", ("stage",)),
    "stage_cpu_seconds": ("CPU time of a stage, all threads.", ("stage",)),
    "stage_peak_bytes": ("Most memory the process had held by a stage's end.", ("stage",)),
    "stage_rows": ("What a stage counted: rows read, trees grown, users written.", ("stage",)),
    "rows_read": ("Rows that the last full run read.", ("table",)),
    "rows_rejected": ("Rows that it rejected.", ("reason",)),
    "lists": ("Lists that it wrote.", ()),
    "quality": ("HitRate@5 of the last evaluation, and the ends of its 95 % interval.", ("bound",)),
    "generation": ("The current generation.", ("variant",)),
    "as_of_timestamp_seconds": ("The newest fact of what is served.", ("variant",)),
    "promoted_timestamp_seconds": ("When what is served became current.", ("variant",)),
    "lists_expire_timestamp_seconds": ("When users' lists end.", ("variant",)),
    "lists_life_seconds": ("Life that lists are given.", ()),
    "stale_after_seconds": ("Age above which what is served is stale; 0: never.", ()),
    "store_up": ("Whether the store answered the last look.", ()),
    "store_used_bytes": ("What the store's data takes.", ()),
    "store_bound_bytes": ("What it may take; 0: no bound.", ()),
    "memory_bound_bytes": ("What the system lets the batch hold.", ()),
    "gate_doubts": ("Whether the gate doubted the last generation that it judged.", ()),
}
_COUNTERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "runs": ("Runs by how they ended.", ("kind", "outcome")),
    "judged": ("Generations by what the gate said.", ("outcome", "mode")),
    "notices": ("Notices to people by whether they were sent.", ("outcome",)),
    "log_events": ("Log lines of INFO and above.", ("level",)),
}


def describe() -> set[str]:
    """Return every metric with its labels, as its page lists it: `almanac_batch_rows_read{table}`."""
    listed = {**_GAUGES, **{f"{name}_total": one for name, one in _COUNTERS.items()}}
    return {
        f"almanac_batch_{name}" + (f"{{{','.join(labels)}}}" if labels else "")
        for name, (_, labels) in listed.items()
    }


class BatchMetrics(logging.Handler):
    """Keeps the metrics of this process by what is logged in it."""

    def __init__(self, settings: Settings, memory_mb: int | None) -> None:
        """Begin with what the settings and the system say."""
        super().__init__(logging.INFO)
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)  # its memory and CPU now
        self._gauges = {
            name: Gauge(f"almanac_batch_{name}", doc, labels, registry=self.registry)
            for name, (doc, labels) in _GAUGES.items()
        }
        self._counters = {
            name: Counter(f"almanac_batch_{name}", doc, labels, registry=self.registry)
            for name, (doc, labels) in _COUNTERS.items()
        }
        self._settings = settings
        self._set("stale_after_seconds", settings.stale_h * 3600)
        self._set("lists_life_seconds", settings.list_ttl_s)
        self._set("memory_bound_bytes", (memory_mb or 0) * MIB)
        for outcome in ("sent", "failed"):  # an increase is seen only where a count stood before
            self._counters["notices"].labels(outcome)

    def emit(self, record: logging.LogRecord) -> None:
        """Take over what an event tells; a fault here is printed as logging does, and ends no run."""
        self._counters["log_events"].labels(record.levelname).inc()
        take = _TAKES.get(record.getMessage())
        if take is not None:
            try:
                take(self, vars(record))
            except Exception:
                self.handleError(record)

    def _set(self, name: str, value: float | None, *labels: str) -> None:
        if value is not None:
            gauge = self._gauges[name]
            (gauge.labels(*labels) if labels else gauge).set(value)

    def _count(self, name: str, *labels: str) -> None:
        self._counters[name].labels(*labels).inc()

    def _take_begun(self, fields: Fields) -> None:
        self._set("running", 1, fields["kind"])
        self._set("run_begun_timestamp_seconds", fields["created"], fields["kind"])

    def _take_end(self, fields: Fields) -> None:
        kind, outcome = fields.get("kind", "full"), fields.get("outcome", "done")
        self._set("running", 0, kind)
        self._set("run_ended_timestamp_seconds", fields["created"], kind, outcome)
        self._count("runs", kind, outcome)

    def _take_done(self, fields: Fields) -> None:
        self._take_end(fields)
        if "rows_read" not in fields:  # as of a refresh
            return
        for name in ("rows_read", "rows_rejected"):
            self._gauges[name].clear()  # a reason that has ceased must not stay
            for what, n in fields[name].items():
                self._set(name, n, what)
        self._set("lists", fields["lists_written"])
        self._measure(fields["metrics"])

    def _measure(self, metrics: Mapping[str, float]) -> None:
        rate, n = metrics.get(METRIC), metrics.get(SESSIONS, 0.0)
        self._gauges["quality"].clear()
        if rate is None or not n:
            return
        low, high = wilson(rate, n, CONFIDENCE)
        for bound, value in (("value", rate), ("low", low), ("high", high)):
            self._set("quality", value, bound)

    def _take_stage(self, fields: Fields) -> None:
        stage = str(fields["stage"])
        self._set("stage_seconds", fields.get("seconds"), stage)
        self._set("stage_cpu_seconds", fields.get("cpu_s"), stage)
        self._set("stage_rows", fields.get("rows"), stage)
        peak = fields.get("peak_mb")
        self._set("stage_peak_bytes", None if peak is None else peak * MIB, stage)

    def _take_judged(self, fields: Fields) -> None:
        self._set("gate_doubts", float(fields["outcome"] != "proceed"))
        self._count("judged", fields["outcome"], fields["mode"])

    def _take_promoted(self, fields: Fields) -> None:
        self._set("generation", fields["generation"], fields["variant"])
        self._set("promoted_timestamp_seconds", fields["created"], fields["variant"])

    def _take_watched(self, fields: Fields) -> None:
        variant, left_s = fields["variant"], fields["list_left_s"]
        self._set("store_up", 1)
        self._set("generation", fields["generation"], variant)
        self._set("as_of_timestamp_seconds", fields["as_of_s"], variant)
        self._set("promoted_timestamp_seconds", fields["promoted_s"], variant)
        ends_s = None if left_s is None else fields["created"] + left_s
        self._set("lists_expire_timestamp_seconds", ends_s, variant)
        for what in ("used", "bound"):
            mib = fields[f"store_{what}_mb"]
            self._set(f"store_{what}_bytes", None if mib is None else mib * MIB)


_TAKES: dict[str, Callable[[BatchMetrics, Fields], None]] = {
    "run.begun": BatchMetrics._take_begun,
    "run.done": BatchMetrics._take_done,
    "run.failed": BatchMetrics._take_end,
    "run.lost": BatchMetrics._take_end,
    "stage.done": BatchMetrics._take_stage,
    "generation.judged": BatchMetrics._take_judged,
    "generation.promoted": BatchMetrics._take_promoted,
    "generation.rolled_back": BatchMetrics._take_promoted,
    "generation.watched": BatchMetrics._take_watched,
    "store.lost": lambda own, _fields: own._set("store_up", 0),
    "store.found": lambda own, _fields: own._set("store_up", 1),
    "notice.sent": lambda own, _fields: own._count("notices", "sent"),
    "notice.failed": lambda own, _fields: own._count("notices", "failed"),
}


@contextmanager
def scraped(metrics: BatchMetrics, host: str, port: int) -> Iterator[None]:
    """Show the metrics at `http://host:port/metrics` while the block runs.

    Raises:
        ValueError: The address cannot be had; the message names the settings.
    """
    try:
        server, thread = start_http_server(port, addr=host, registry=metrics.registry)
    except OSError as exc:
        raise ValueError(
            f"ALMANAC_METRICS_HOST={host} and ALMANAC_METRICS_PORT={port} cannot be had: "
            f"{exc.strerror or exc}; set ALMANAC_METRICS_PORT to a free port, or to 0 for no metrics"
        ) from exc
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5.0)
