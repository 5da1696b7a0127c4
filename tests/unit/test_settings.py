from dataclasses import fields
from pathlib import Path

import pytest

from api.settings import Settings as ApiSettings
from batch.settings import Settings


def test_without_any_variable_every_setting_has_its_default() -> None:
    assert Settings.from_env({}) == Settings()


def test_an_empty_variable_is_as_good_as_none() -> None:
    assert Settings.from_env({"ALMANAC_DEPTH": ""}).depth == 50


def test_a_variable_is_read_as_its_settings_kind() -> None:
    found = Settings.from_env(
        {"ALMANAC_DEPTH": "20", "ALMANAC_STATE_DIR": "here", "ALMANAC_MAX_REJECTED_SHARE": ".5"}
    )

    assert (found.depth, found.state_dir, found.max_rejected_share) == (20, Path("here"), 0.5)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("ALMANAC_DEPTH", "0", r"ALMANAC_DEPTH=0 must be 1\.\.500"),
        ("ALMANAC_DEPTH", "many", r"ALMANAC_DEPTH='many' is not a number"),
        ("ALMANAC_SEEN_POLICY", "some", "ALMANAC_SEEN_POLICY=some must be views, likes or none"),
        ("ALMANAC_BUCKET_WIDTH_S", "7000", "ALMANAC_BUCKET_WIDTH_S=7000 must be a divisor of 86400"),
        ("ALMANAC_N_LEAVES", "256", r"ALMANAC_N_LEAVES=256 must be 2\.\.255"),
        ("ALMANAC_VARIANT", "a b", "ALMANAC_VARIANT=a b must be 1 to 64 letters, digits"),
    ],
)
def test_a_bad_value_names_the_variable_and_the_value(name: str, value: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Settings.from_env({name: value})


@pytest.mark.parametrize("settings", [Settings(), ApiSettings()])
def test_every_setting_stands_in_the_settings_page_with_its_default(settings: Settings | ApiSettings) -> None:
    page = Path("docs/settings.md").read_text()

    for spec in fields(settings):
        row = f"| `ALMANAC_{spec.name.upper()}` | `{spec.default}` | {spec.metadata['doc']} |"
        assert row in page, row
