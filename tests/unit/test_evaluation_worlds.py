"""Contests in made worlds: what the truth says of lists, and how worlds are summed up."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from batch.cli.draw import compared, results
from batch.data.write import write
from batch.evaluate.commands import compare, compare_in_worlds
from batch.evaluate.results import Report
from batch.evaluate.worlds import World, measure, play, play_all, summarize_worlds, world_configs
from batch.learn.recipe import Recipe
from batch.progress import Silent
from batch.settings import Settings
from batch.simulate.config import WorldConfig
from batch.simulate.feed import tables

RECIPE = Recipe(60, 20_000, 3600, n_trees=10, n_leaves=7, seed=1, threads=1)
NAMES = ("random", "popular", "user_topic")
COST = {("fit_s", 0): 1.0, ("rank_s", 0): 2.0, ("memory_mb", 0): 3.0}
LINES = {"random": 0.4, "oracle": 0.8, "attainable": 0.7, "popular": 0.5, "almanac": 0.64}


def world_of(regime: str, seed: int, taste: float, **hit: float) -> World:
    """Return a world in which everybody asked has the same chances."""
    costs = {name: COST for name in hit if name not in ("oracle", "attainable")}
    lists = measure({name: np.full(10, value) for name, value in hit.items()}, costs)
    return World(WorldConfig(10, 100, seed, regime, taste), lists)  # type: ignore[arg-type]


def values(found: Report) -> pd.Series:
    """Return figures by segment, model, against and metric."""
    return found.results.set_index(["segment", "model", "against", "metric"])["value"]


@pytest.fixture(scope="module")
def typed() -> World:
    return play(WorldConfig(150, 200, 1, "typed"), RECIPE, NAMES)


def hits(world: World) -> dict[str, np.ndarray]:
    return {name: of["expected_hitrate", 5].parts for name, of in world.lists.models.items()}


def test_no_list_is_better_than_the_oracles(typed: World) -> None:
    for name, hit in hits(typed).items():
        assert hit.shape == (150,)
        assert (hit <= hits(typed)["oracle"] + 1e-9).all(), name


def test_who_learns_stands_between_random_and_oracle(typed: World) -> None:
    mean = {name: hit.mean() for name, hit in hits(typed).items()}

    assert mean["random"] < mean["popular"] < mean["almanac"] < mean["oracle"]
    assert mean["random"] < mean["attainable"]
    assert set(typed.lists.totals) == {"random", "popular", "user_topic", "almanac"}


def test_worlds_are_summed_on_the_oracles_scale() -> None:
    halved = {"random": 0.4, "oracle": 0.6, "popular": 0.5, "almanac": 0.51}
    worlds = [world_of("gaussian", 1, 1.0, **LINES, bm25=0.55), world_of("gaussian", 1, 0.5, **halved)]

    found = summarize_worlds(worlds, seed=1)

    assert found.about["normalized_hitrate_at_5"] == pytest.approx(0.6)
    assert found.about["attainable_ratio"] == pytest.approx(0.8)
    assert found.about["attainable_ratio_interval"] == pytest.approx((0.8, 0.8))
    assert (found.about["best_peer"], found.about["best_peer_normalized"]) == ("bm25", pytest.approx(0.375))
    figure = values(found)
    assert figure["all", "almanac", "bm25", "normalized"] == pytest.approx(0.225)
    assert figure["gaussian, taste halved", "almanac", "popular", "normalized"] == pytest.approx(0.05)
    assert figure["gaussian 1", "almanac", "", "attainable_ratio"] == pytest.approx(0.8)
    assert figure["gaussian", "bm25", "", "memory_mb"] == 3.0


def test_a_peer_that_took_no_part_in_every_world_is_not_pooled() -> None:
    worlds = [world_of("typed", 1, 1.0, **LINES, als=0.6), world_of("typed", 2, 1.0, **LINES)]

    found = summarize_worlds(worlds, seed=1)

    assert found.about["best_peer"] == "popular"


def test_halved_taste_comes_last_and_asks_only_who_is_popular() -> None:
    configs = world_configs(150, 200, 1, "gaussian")

    found = list(play_all(configs, RECIPE, ("user_topic",), workers=1))

    assert [(world.config.taste, set(world.lists.totals)) for world in found] == [
        (1.0, {"user_topic", "almanac"}),
        (0.5, {"random", "popular", "popular_recent", "almanac"}),
    ]
    assert "attainable" not in found[1].lists.models


def test_each_seed_has_a_world_of_each_regime_and_the_first_three_one_of_halved_taste() -> None:
    found = [(config.seed, config.regime, config.taste) for config in world_configs(50, 100, 4)]

    regimes = ("gaussian", "typed")
    full = [(seed, regime, 1.0) for seed in (1, 2, 3, 4) for regime in regimes]
    assert found == [*full, *((seed, regime, 0.5) for seed in (1, 2, 3) for regime in regimes)]


def test_a_moving_world_is_played_where_it_is_named() -> None:
    found = [(config.seed, config.regime, config.taste) for config in world_configs(50, 100, 1, "moving")]

    assert found == [(1, "moving", 1.0), (1, "moving", 0.5)]


def test_a_regime_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="regime='flat' must be gaussian or typed or moving"):
        world_configs(50, 100, 1, "flat")


def test_a_strange_peer_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="svd: no peer"):
        compare_in_worlds(Settings(), [], ("svd",), 1, Silent())


def test_a_folder_of_facts_is_compared_and_drawn(tmp_path: Path) -> None:
    config = WorldConfig(n_users=60, n_posts=150, seed=3)
    write(str(tmp_path / "facts"), tables(config), replace=True)
    settings = Settings(state_dir=tmp_path, n_trees=5, threads=1)

    found = compare(settings, str(tmp_path / "facts"), None, 1, ("popular",), Silent())

    with (tmp_path / "out.txt").open("w") as file:
        console = Console(record=True, width=140, file=file)
        compared.draw_shown(console, found)
    assert set(found.results["model"]) == {"almanac", "popular", "as_shown", "random"}
    text = console.export_text()
    assert "sessions" in text
    assert "popular" in text


def test_a_verdict_is_drawn_as_table_and_plot(typed: World, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the extra `plot` brings it")
    found = summarize_worlds([typed], seed=1)

    with (tmp_path / "out.txt").open("w") as file:
        console = Console(record=True, width=140, file=file)
        compared.draw_worlds(console, found)
    results.plot(found, tmp_path / "found.svg")

    text = console.export_text()
    assert "of what is attainable" in text
    assert "user_topic" in text
    assert (tmp_path / "found.svg").read_text().startswith("<?xml")
