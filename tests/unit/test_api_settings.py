"""The API's settings, and what importing it brings along."""

import subprocess
import sys
from pathlib import Path

import pytest

from api.settings import Settings

ROOT = Path(__file__).parents[2]
HEAVY = ["batch", "numpy", "pandas", "lightgbm", "sqlalchemy", "apscheduler", "pyarrow", "numba"]


def test_without_an_environment_every_setting_has_its_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ALMANAC_STATE_DIR")
    settings = Settings()

    assert settings.redis_url.get_secret_value() == ""
    assert (settings.prefix, settings.variant) == ("almanac", "default")
    assert settings.state_dir == Path(".almanac")


def test_settings_are_read_and_typed_and_empty_ones_keep_their_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ALMANAC_PORT", "9000")
    monkeypatch.setenv("ALMANAC_READ_TIMEOUT_S", "0.25")
    monkeypatch.setenv("ALMANAC_STATE_DIR", "/s")
    monkeypatch.setenv("ALMANAC_HOST", "")

    settings = Settings()

    assert (settings.port, settings.read_timeout_s, settings.state_dir) == (9000, 0.25, Path("/s"))
    assert settings.host == "127.0.0.1"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ALMANAC_PORT", "http"),
        ("ALMANAC_PORT", "65536"),
        ("ALMANAC_POOL_SIZE", "0"),
        ("ALMANAC_CONNECT_TIMEOUT_S", "0"),
        ("ALMANAC_READ_TIMEOUT_S", "nan"),
    ],
)
def test_a_bad_value_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(ValueError, match=f"{name}={value} must"):
        Settings()


def test_importing_the_api_brings_nothing_of_the_batch() -> None:
    code = f"import sys, api.main; print([name for name in {HEAVY} if name in sys.modules])"

    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert ran.stdout.strip() == "[]"


@pytest.mark.parametrize("value", ["feed", "/feed/", "/feed?a"])
def test_a_prefix_that_could_not_stand_before_a_path_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="ALMANAC_ROOT_PATH"):
        Settings(root_path=value)
