"""The manifests of deploy/ keep their promises: Kubernetes accepts them, images and settings are ours."""

import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from api.main import create_app
from api.settings import Settings as ApiSettings
from batch.settings import Settings

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "deploy").glob("*.yaml"))
RESOURCES: list[dict[str, Any]] = [
    resource for path in FILES for resource in yaml.safe_load_all(path.read_text(encoding="utf-8"))
]
SECRETS = {"redis-url-api", "redis-url-batch", "database-url", "tokens"}


def find_pods() -> dict[str, dict[str, Any]]:
    """Return the pods that the manifests make, by the name of what makes them."""
    pods = {}
    for resource in RESOURCES:
        spec = resource["spec"]
        spec = spec.get("jobTemplate", {}).get("spec", spec)
        if "template" in spec:
            pods[resource["metadata"]["name"]] = spec["template"]["spec"]
    return pods


PODS = find_pods()


@pytest.mark.parametrize(
    "resource", RESOURCES, ids=lambda found: f"{found['kind']}-{found['metadata']['name']}"
)
def test_kubernetes_accepts_it_without_a_field_that_it_does_not_know(resource: dict[str, Any]) -> None:
    kubernetes_validate.validate(resource, kubernetes_validate.latest_version(), strict=True)  # or it raises


@pytest.mark.parametrize("name", PODS)
def test_a_pod_is_unprivileged_read_only_and_limited(name: str) -> None:
    pod = PODS[name]
    (container,) = pod["containers"]
    room = container["image"].removeprefix("almanac-")
    (uid,) = re.findall(
        r"^USER (\d+)$", (ROOT / room / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE
    )

    assert pod["securityContext"]["runAsUser"] == pod["securityContext"]["fsGroup"] == int(uid)
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["automountServiceAccountToken"] is False
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["resources"]["limits"]["memory"]
    assert {mount["mountPath"] for mount in container["volumeMounts"]} == {"/var/lib/almanac", "/tmp"}


@pytest.mark.parametrize("name", PODS)
def test_every_variable_is_a_setting_and_every_secret_comes_from_outside(name: str) -> None:
    (container,) = PODS[name]["containers"]
    fields = (ApiSettings if container["image"] == "almanac-api" else Settings).model_fields
    given = {variable["name"]: variable for variable in container["env"]}

    assert {found.removeprefix("ALMANAC_").lower() for found in given} <= set(fields)
    for variable in given.values():
        if re.search("URL|TOKENS|PASSWORD", variable["name"]):
            assert variable["valueFrom"]["secretKeyRef"]["key"] in SECRETS


def test_probes_ask_for_what_the_api_has() -> None:
    (container,) = PODS["almanac-api"]["containers"]
    asked = {
        kind: container[kind]["httpGet"]["path"]
        for kind in ("livenessProbe", "readinessProbe", "startupProbe")
    }

    assert asked == {"livenessProbe": "/health", "readinessProbe": "/ready", "startupProbe": "/health"}
    assert set(asked.values()) <= set(create_app().openapi()["paths"])


def test_the_service_and_the_budget_find_the_pods_of_the_deployment() -> None:
    by_kind = {resource["kind"]: resource for resource in RESOURCES}
    labels = by_kind["Deployment"]["spec"]["template"]["metadata"]["labels"]

    assert by_kind["Service"]["spec"]["selector"].items() <= labels.items()
    assert by_kind["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert by_kind["Deployment"]["spec"]["selector"]["matchLabels"].items() <= labels.items()
