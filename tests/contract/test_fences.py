"""The fences between rooms hold: a breach of each is seeded in a copy, and import-linter names every one."""

import ast
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
CONTRACTS = {contract["id"]: contract for contract in PYPROJECT["tool"]["importlinter"]["contracts"]}

CLOCKS = {"datetime.now", "datetime.utcnow", "datetime.today", "date.today", "pd.Timestamp.now"}

# Contract to the imports that breach it: the importing module, what it must not import.
BREACHES = {
    "batch-flow": [("batch.score.ranked", "batch.learn.split"), ("batch.data.facts", "batch.jobs.stop")],
    "truth-apart": [("batch.publish.fill", "batch.simulate.truth")],
    "api-flow": [("api.log", "api.errors")],
    "contract-flow": [("api.contract.codec", "api.contract.manifest")],
    "api-free-of-batch": [
        ("api.routes.health", "pandas"),
        ("api.schemas.value", "lightgbm"),
        ("api.store.events", "sqlalchemy"),
        ("api.auth", "batch.settings"),
    ],
    "batch-uses-pure-api": [("batch.data.read", "api.store.cache"), ("batch.data.facts", "api.client")],
    "client-apart": [("api.client", "redis"), ("api.calls", "api.routes.feed")],
    "contract-pure": [
        ("api.contract.codec", "redis"),
        ("api.contract.buckets", "time"),
        ("api.contract.profile", "pydantic"),
    ],
    "feed-pure": [("api.feed", name) for name in ("pandas", "redis", "lightgbm", "logging", "os")],
    "core-pure": [
        ("batch.features.tally", "redis"),
        ("batch.features.text", "urllib"),
        ("batch.learn.factors.factor_table", "sqlalchemy"),
        ("batch.learn.factors.factor_table", "time"),
        ("batch.score.ranked", "logging"),
        ("batch.score.ranked", "os"),
    ],
}


@pytest.fixture(scope="module")
def complaints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Seed all breaches in one copy and return what import-linter says, by the contract's name."""
    copy = tmp_path_factory.mktemp("breached")
    for name in ("api", "batch"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", copy)
    for module, imported in [breach for breaches in BREACHES.values() for breach in breaches]:
        path = copy / f"{module.replace('.', '/')}.py"
        path.write_text(path.read_text() + f"\nimport {imported}\n")
    code = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    # `-I` and the copy as working folder: the installed checkout must not stand in for the copy.
    command = [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(copy)!r}); {code}"]
    ended = subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False)
    assert ended.returncode == 1, ended.stdout + ended.stderr
    _, _, broken = ended.stdout.partition("Broken contracts")
    words = " ".join(broken.replace("-\n", " ").split())
    starts = sorted((words.find(str(c["name"])), key) for key, c in CONTRACTS.items())
    ends = [start for start, _ in starts[1:]] + [len(words)]
    return {key: words[start:end] for (start, key), end in zip(starts, ends, strict=True) if start >= 0}


@pytest.mark.parametrize("contract", CONTRACTS)
def test_a_breach_of_every_contract_is_caught_and_named(contract: str, complaints: dict[str, str]) -> None:
    seeded = BREACHES[contract]

    missed = [f"{a} -> {b}" for a, b in seeded if f"{a} -> {b} (l." not in complaints.get(contract, "")]

    assert not missed


def test_the_contract_may_import_no_package_but_orjson() -> None:
    forbidden = set(CONTRACTS["contract-pure"]["forbidden_modules"])

    assert _third_party("api") | _third_party("batch") <= forbidden | {"orjson"}


def test_the_api_may_import_no_package_that_only_the_batch_installs() -> None:
    forbidden = set(CONTRACTS["api-free-of-batch"]["forbidden_modules"])

    assert _third_party("batch") - _third_party("api") <= forbidden


@pytest.mark.parametrize(
    ("module", "without"),
    [
        ("api.main", ("httpx2",)),
        ("batch.__main__", ("httpx2",)),
        (
            "api.client",
            ("fastapi", "hiredis", "prometheus_client", "redis", "starlette", "uvicorn", "uvloop"),
        ),
    ],
)
def test_neither_side_of_a_connection_installs_what_the_other_needs(
    module: str, without: tuple[str, ...]
) -> None:
    absent = f"import sys; sys.modules.update(dict.fromkeys({without!r})); import {module}"

    done = subprocess.run(
        [sys.executable, "-c", absent], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr


def test_the_core_asks_no_clock() -> None:
    core = [
        ROOT / "api/contract",
        ROOT / "batch/features",
        ROOT / "batch/learn/factors",
        ROOT / "batch/score",
    ]
    files = [path for folder in core for path in folder.rglob("*.py")] + [
        ROOT / "api" / name for name in ("found.py", "feed.py", "similar.py")
    ]

    asked = [f"{path.name}:{line}" for path in files for line in _clock_calls(path)]

    assert len(files) > 20
    assert not asked


def _third_party(package: str) -> set[str]:
    names = {name for path in (ROOT / package).rglob("*.py") for name in _imported(path)}
    return names - set(sys.stdlib_module_names) - {"api", "batch"}


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.split(".")[0]


def _clock_calls(path: Path) -> Iterator[int]:
    """Yield the lines that ask `datetime` for the present: the module itself is allowed, its clock is not."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and ast.unparse(node) in CLOCKS:
            yield node.lineno
