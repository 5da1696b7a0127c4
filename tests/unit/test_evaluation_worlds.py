"""Contests in made worlds: what the truth says of lists, and how worlds are summed up."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from batch.cli.draw import comparison
from batch.data.write import write
from batch.evaluate.contest import Cost
from batch.evaluate.contests import on_facts, on_worlds
from batch.evaluate.worlds import Plan, World, contest, of_regime, verdict, worlds
from batch.learn.recipe import Recipe
from batch.settings import Settings
from batch.simulate.config import WorldConfig
from batch.simulate.feed import tables

RECIPE = Recipe(60, 20_000, 3600, n_trees=10, n_leaves=7, seed=1, threads=1)
PLAN = Plan(
    RECIPE, n_users=150, n_posts=200, seeds=(1,), n_asked=60, names=("random", "popular", "user_topic")
)


def played(regime: str, seed: int, taste: float, **hit: float) -> World:
    """Return a world in which everybody asked has the same chances."""
    world = World(WorldConfig(10, 100, seed, regime, taste))  # type: ignore[arg-type]
    for name, value in hit.items():
        world.hit[name] = np.full(10, value)
        world.costs[name] = Cost(1.0, 2.0, 3.0)
    return world


@pytest.fixture(scope="module")
def typed() -> World:
    return contest(WorldConfig(PLAN.n_users, PLAN.n_posts, 1, "typed"), PLAN, PLAN.names)


def test_no_list_is_better_than_the_oracles(typed: World) -> None:
    for name, hit in typed.hit.items():
        assert hit.shape == (60,)
        assert (hit <= typed.hit["oracle"] + 1e-9).all(), name


def test_who_learns_stands_between_random_and_oracle(typed: World) -> None:
    mean = {name: hit.mean() for name, hit in typed.hit.items()}

    assert mean["random"] < mean["popular"] < mean["almanac"] < mean["oracle"]
    assert mean["random"] < mean["attainable"]
    assert set(typed.costs) == {"random", "popular", "user_topic", "almanac"}


def test_worlds_are_summed_on_the_oracles_scale() -> None:
    lines = {"random": 0.4, "oracle": 0.8, "attainable": 0.7, "popular": 0.5, "bm25": 0.55, "almanac": 0.64}
    halved = {"random": 0.4, "oracle": 0.6, "popular": 0.5, "almanac": 0.51}

    found = verdict([played("gaussian", 1, 1.0, **lines), played("gaussian", 1, 0.5, **halved)], seed=1)

    assert found["normalized_hitrate_at_5"] == pytest.approx(0.6)
    assert found["attainable_ratio"] == pytest.approx(0.8)
    assert found["attainable_ratio_interval"] == pytest.approx((0.8, 0.8))
    assert (found["best_peer"], found["best_peer_normalized"]) == ("bm25", pytest.approx(0.375))
    assert found["ahead_of_best_peer"]["ahead"] == pytest.approx(0.225)
    assert found["taste_halved"]["gaussian"]["ahead"] == pytest.approx(0.05)
    assert list(found["regimes"]["gaussian"]["lines"])[:3] == ["oracle", "attainable", "almanac"]
    assert found["lines"]["bm25"]["memory_mb"] == 3.0


def test_a_peer_that_took_no_part_in_every_world_is_not_pooled() -> None:
    lines = {"random": 0.4, "oracle": 0.8, "attainable": 0.7, "popular": 0.5, "almanac": 0.64}

    found = verdict([played("typed", 1, 1.0, **lines, als=0.6), played("typed", 2, 1.0, **lines)], seed=1)

    assert found["best_peer"] == "popular"


def test_halved_taste_comes_last_and_asks_only_who_is_popular() -> None:
    plan = replace(PLAN, names=("user_topic",), regimes=("gaussian",))

    found = list(worlds(plan, workers=1))

    assert [(world.config.taste, set(world.costs)) for world in found] == [
        (1.0, {"user_topic", "almanac"}),
        (0.5, {"random", "popular", "almanac"}),
    ]
    assert "attainable" not in found[1].hit


def test_a_regime_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="regime='flat' must be gaussian or typed"):
        of_regime(PLAN, "flat")


def test_a_strange_peer_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="svd: no peer"):
        on_worlds(Settings(), 100, 100, 1, "", ("svd",), 1, lambda _: None)


def test_a_folder_of_facts_is_compared_and_drawn(tmp_path: Path) -> None:
    config = WorldConfig(n_users=60, n_posts=150, seed=3)
    write(str(tmp_path / "facts"), tables(config), replace=True)
    settings = Settings(state_dir=tmp_path, n_trees=5, threads=1)

    found = on_facts(settings, str(tmp_path / "facts"), None, 1, ("popular",))

    with (tmp_path / "out.txt").open("w") as file:
        console = Console(record=True, width=140, file=file)
        comparison.draw_facts(console, found)
    assert {line["name"] for line in found["standings"]} == {"almanac", "popular", "first5", "random_exact"}
    assert "sessions" in console.export_text()


def test_a_verdict_is_drawn_as_table_and_plot(typed: World, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the extra `plot` brings it")
    found = verdict([typed], seed=1)
    console = Console(record=True, width=120, file=(tmp_path / "out.txt").open("w"))

    comparison.draw_worlds(console, found)
    comparison.plot(found, tmp_path / "found.svg")

    said = console.export_text()
    assert "of what is attainable" in said
    assert "user_topic" in said
    console.file.close()
    drawn = (tmp_path / "found.svg").read_text()
    assert drawn.startswith("<?xml")
