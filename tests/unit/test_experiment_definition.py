"""Definitions of experiments as people write them."""

import tomllib
from pathlib import Path

import pytest

from api.contract.experiment import Arm, Experiment
from batch.experiments.definition import parse_definition, read_definition

LEAST = """
name = "buttons"
[[arms]]
name = "old"
variant = "default"
share = 50
[[arms]]
name = "new"
variant = "text"
share = 50
"""
WHOLE = f"""
salt = "my_salt"
start = 2021-12-20T12:00:00+03:00
end = 2021-12-27
response = "ab"
routes = ["checker"]
sample_percent = 20
{LEAST}
[forced]
0200 = "new"
"ann smith" = "old"
"""
ARMS = (Arm("old", "default", 50), Arm("new", "text", 50))


def test_what_is_left_out_has_a_default_and_the_salt_is_the_name() -> None:
    assert parse_definition(tomllib.loads(LEAST)) == Experiment("buttons", "buttons", ARMS)


def test_all_that_can_be_said() -> None:
    assert parse_definition(tomllib.loads(WHOLE)) == Experiment(
        name="buttons",
        salt="my_salt",
        arms=ARMS,
        start_s=1_639_990_800,
        end_s=1_640_563_200,
        forced={"200": "new", "ann smith": "old"},
        response="ab",
        routes=("checker",),
        sample_percent=20,
    )


@pytest.mark.parametrize(
    ("was", "becomes", "why"),
    [
        ('name = "buttons"', "", "name = None must be a text in quotes"),
        ('name = "buttons"', 'nam = "buttons"', "unknown key: 'nam'"),
        ("share = 50", "share = 49", "the shares of the arms sum to 98: they must sum to 100"),
        ("share = 50", "shares = 50", "unknown key of an arm: 'shares'"),
        ('variant = "text"', "", "an arm lacks variant: it has name, variant and share"),
        ('name = "buttons"', 'name = "buttons"\nstart = "2021-12-20"', "start = '2021-12-20' is no time"),
        ('name = "buttons"', 'name = "buttons"\nroutes = "feed"', "routes = 'feed' must be a list"),
        ('name = "buttons"', 'name = "buttons"\nforced = 7', "forced = 7 must be a section"),
        (
            'name = "buttons"',
            'name = "buttons"\nresponse = ["ab"]',
            r"response=\['ab'\] is none of plain, ab",
        ),
        ("[[arms]]", "[[arm", "definition .*buttons.toml: "),
    ],
)
def test_a_bad_definition_is_one_sentence(tmp_path: Path, was: str, becomes: str, why: str) -> None:
    path = tmp_path / "buttons.toml"
    path.write_text(LEAST.replace(was, becomes))

    with pytest.raises(ValueError, match=why) as refused:
        read_definition(path)
    assert str(path) in str(refused.value)


def test_a_definition_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no definition .*gone\.toml': No such file"):
        read_definition(tmp_path / "gone.toml")
