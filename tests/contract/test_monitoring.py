"""The files of the monitoring profile: rules that fire when they should, a dashboard, and their page."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from batch.metrics import describe

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs/monitoring"
PAGE = (ROOT / "docs/monitoring.md").read_text(encoding="utf-8")
DASHBOARD: dict[str, Any] = json.loads((FOLDER / "grafana/dashboards/almanac.json").read_bytes())
RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((FOLDER / "alerts.yml").read_bytes())["groups"]
    for rule in group["rules"]
]
WEEK = 7 * 24 * 3600
BATCH, API = '{instance="b",job="almanac-batch"', '{instance="a",job="almanac-api"'
# A healthy hour of one batch and one API, a sample a minute; times count from the test's begin.
WELL = {
    f"up{BATCH}}}": "1",
    f"up{API}}}": "1",
    f'almanac_batch_run_ended_timestamp_seconds{BATCH},kind="full",outcome="done"}}': "0",
    f'almanac_batch_run_ended_timestamp_seconds{BATCH},kind="full",outcome="failed"}}': "-86400",
    f'almanac_batch_running{BATCH},kind="full"}}': "0",
    f'almanac_batch_run_begun_timestamp_seconds{BATCH},kind="full"}}': "-86400",
    f'almanac_batch_rows_read{BATCH},table="feed_data"}}': "1000",
    f'almanac_batch_rows_rejected{BATCH},reason="missing_time"}}': "50",
    f"process_resident_memory_bytes{BATCH}}}": "900",
    f'almanac_batch_stage_peak_bytes{BATCH},stage="read"}}': "900",
    f"almanac_batch_memory_bound_bytes{BATCH}}}": "1000",
    f'almanac_batch_notices_total{BATCH},outcome="failed"}}': "3",
    f"almanac_batch_stale_after_seconds{BATCH}}}": "129600",
    f'almanac_batch_promoted_timestamp_seconds{BATCH},variant="default"}}': "0",
    f'almanac_batch_as_of_timestamp_seconds{BATCH},variant="default"}}': "0",
    f'almanac_batch_lists_expire_timestamp_seconds{BATCH},variant="default"}}': str(2 * WEEK),
    f"almanac_batch_lists_life_seconds{BATCH}}}": str(2 * WEEK),
    f"almanac_batch_gate_doubts{BATCH}}}": "0",
    f'almanac_batch_quality{BATCH},bound="value"}}': "0.50",
    f'almanac_batch_quality{BATCH},bound="high"}}': "0.52",
    f'almanac_batch_generation{BATCH},variant="default"}}': "7",
    f'almanac_generation{API},variant="default"}}': "7",
    f"almanac_store_up{API}}}": "1",
    f"almanac_batch_store_up{BATCH}}}": "1",
    f"almanac_batch_store_used_bytes{BATCH}}}": "900",
    f"almanac_batch_store_bound_bytes{BATCH}}}": "1000",
    f'almanac_requests_total{API},route="/feed",rung="own",status="200"}}': "0+1000x75",
    f'almanac_requests_total{API},route="/feed",rung="popular",status="200"}}': "0+900x75",
    f'almanac_requests_total{API},route="/feed",rung="",status="500"}}': "0+10x75",
    f'almanac_degraded_total{API},lacking="store"}}': "0+10x75",
    f'almanac_lookup_seconds_bucket{API},le="0.05"}}': "0+1000x75",
    f'almanac_lookup_seconds_bucket{API},le="0.1"}}': "0+1000x75",
    f'almanac_lookup_seconds_bucket{API},le="+Inf"}}': "0+1000x75",
}
# Alert to what is otherwise when it fires; the first series that fits the beginning of a name is meant.
ILL = {
    "AlmanacBatchDown": {f"up{BATCH}": "0"},
    "AlmanacApiDown": {f"up{API}": "0"},
    "AlmanacRunFailed": {'almanac_batch_run_ended_timestamp_seconds{instance="b",job="almanac-batch",'
                         'kind="full",outcome="failed"': "60"},
    "AlmanacRunTooLong": {"almanac_batch_running": "1"},
    "AlmanacRowsRejected": {"almanac_batch_rows_rejected": "51"},
    "AlmanacBatchMemory": {"almanac_batch_stage_peak_bytes": "901"},
    "AlmanacNoticesFail": {"almanac_batch_notices_total": "3x50 4x25"},
    "AlmanacPublicationStale": {"almanac_batch_promoted": "-130000"},
    "AlmanacFactsStale": {"almanac_batch_as_of": "-130000"},
    "AlmanacListsExpire": {"almanac_batch_lists_expire": str(WEEK // 2 + 3600)},
    "AlmanacGateDoubts": {"almanac_batch_gate_doubts": "1"},
    "AlmanacQualityFell": {
        'almanac_batch_quality{instance="b",job="almanac-batch",bound="high"': "0.52x60 0.47x15",
        'almanac_batch_quality{instance="b",job="almanac-batch",bound="value"': "0.50x60 0.45x15",
    },
    "AlmanacApiBehind": {"almanac_generation": "6"},
    "AlmanacStoreDown": {"almanac_store_up": "0"},
    "AlmanacStoreMemory": {"almanac_batch_store_used": "901"},
    "AlmanacErrors": {f'almanac_requests_total{API},route="/feed",rung="",': "0+30x75"},
    "AlmanacDegraded": {"almanac_degraded": "0+30x75"},
    "AlmanacNotPersonal": {f'almanac_requests_total{API},route="/feed",rung="popular"': "0+1100x75"},
    "AlmanacLookupsSlow": {f'almanac_lookup_seconds_bucket{API},le="0.05"': "0+980x75"},
}  # fmt: skip


def series(changed: dict[str, str]) -> list[dict[str, str]]:
    """Return the input of a test of promtool's: 75 minutes of the healthy day with other values."""
    values = dict(WELL)
    for start, value in changed.items():
        name = next(name for name in values if name.startswith(start))
        values[name] = value
    return [
        {"series": name, "values": value if "x" in value else f"{value}x75"} for name, value in values.items()
    ]


def test_every_alert_has_a_reason_a_severity_a_sentence_and_a_place_in_the_page() -> None:
    lines = (FOLDER / "alerts.yml").read_text(encoding="utf-8").split("- alert: ")[1:]
    explained = dict(re.findall(r"^### `(Almanac\w+)`\n((?:.|\n)*?)(?=^#|\Z)", PAGE, re.MULTILINE))

    assert list(explained) == [rule["alert"] for rule in RULES]
    for rule, text in zip(RULES, lines, strict=True):
        assert "# " in text, f"{rule['alert']}: no reason"
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert set(rule["annotations"]) == {"summary", "look"}
        assert "**Means**" in explained[rule["alert"]]
        assert "**Do**" in explained[rule["alert"]]


def test_every_metric_of_the_batch_stands_in_the_page_and_no_other() -> None:
    listed = set(re.findall(r"^\| `(almanac_batch_[a-z_]+(?:\{[a-z,]+\})?)` \| \S", PAGE, re.MULTILINE))

    assert listed == describe()


def test_grafana_finds_what_the_dashboard_is_made_of() -> None:
    (source,) = yaml.safe_load((FOLDER / "grafana/provisioning/datasources/almanac.yml").read_bytes())[
        "datasources"
    ]
    panels = DASHBOARD["panels"]
    drawn = [panel for panel in panels if panel["type"] != "row"]
    cells = [
        (x, y)
        for panel in panels
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]

    assert len({panel["id"] for panel in panels}) == len(panels)
    assert {panel["type"] for panel in panels} == {"row", "stat", "timeseries", "bargauge"}
    assert len(set(cells)) == len(cells), "two panels lie over one another"
    assert max(x for x, _ in cells) < 24
    assert all(panel["datasource"]["uid"] == source["uid"] for panel in drawn)
    for panel in drawn:
        references = [target["refId"] for target in panel["targets"]]
        assert len(set(references)) == len(references) > 0
        assert panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"]


@pytest.fixture(scope="module")
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is not on the PATH: Debian's package prometheus brings it")
    return found


def test_promtool_accepts_configuration_and_rules(promtool: str, tmp_path: Path) -> None:
    config = (FOLDER / "prometheus.yml").read_text(encoding="utf-8")
    (tmp_path / "token").write_text("t")
    (tmp_path / "prometheus.yml").write_text(config.replace("/run/secrets/metrics_token", "token"))
    shutil.copy(FOLDER / "alerts.yml", tmp_path)

    read = subprocess.run(
        [promtool, "check", "config", tmp_path / "prometheus.yml"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert read.returncode == 0, read.stdout + read.stderr
    assert f"{len(RULES)} rules found" in read.stdout


def test_each_alert_fires_when_it_should_and_none_on_a_healthy_day(promtool: str, tmp_path: Path) -> None:
    shutil.copy(FOLDER / "alerts.yml", tmp_path)
    assert sorted(ILL) == sorted(rule["alert"] for rule in RULES)
    healthy = {"interval": "1m", "input_series": series({}), "promql_expr_test": [none_fires()]}
    sick = [
        {"interval": "1m", "input_series": series(changed), "promql_expr_test": [fires(alert)]}
        for alert, changed in ILL.items()
    ]
    tests = {"rule_files": ["alerts.yml"], "evaluation_interval": "1m", "tests": [healthy, *sick]}
    (tmp_path / "tests.yml").write_text(yaml.safe_dump(tests))

    ran = subprocess.run(
        [promtool, "test", "rules", tmp_path / "tests.yml"], capture_output=True, text=True, check=False
    )

    assert ran.returncode == 0, ran.stdout + ran.stderr


def none_fires() -> dict[str, Any]:
    return {"expr": 'count(ALERTS{alertstate="firing"})', "eval_time": "70m", "exp_samples": []}


def fires(alert: str) -> dict[str, Any]:
    """Return the expectation that this alert fires, and none but it."""
    one = [{"labels": f'{{alertname="{alert}"}}', "value": 1}]
    return {
        "expr": 'count by (alertname) (ALERTS{alertstate="firing"})',
        "eval_time": "70m",
        "exp_samples": one,
    }
