"""Evaluation of tables as they are read: with something missing, and with the truth of the world they are."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from batch.cli.draw.results import draw_evaluation
from batch.data.write import write
from batch.evaluate.commands import evaluate, find_truth
from batch.progress import Progress
from batch.settings import Settings
from batch.simulate.config import WorldConfig
from batch.simulate.feed import facts as made_facts
from batch.simulate.feed import tables

WORLD = WorldConfig(n_users=25, n_posts=600, seed=3)


def settings_at(folder: Path) -> Settings:
    return Settings(state_dir=folder, n_trees=3, threads=1)


@pytest.mark.parametrize(
    ("missing", "texts"),
    [
        ("users", "texts"),
        ("posts", "topics"),
        ("text", "topics"),
        ("topic", "texts"),
        ("embeddings", "embeddings"),
    ],
)
def test_profiles_texts_or_embeddings_may_be_missing(tmp_path: Path, missing: str, texts: str) -> None:
    write(str(tmp_path / "facts"), tables(WORLD))
    folder, rng = tmp_path / "facts", np.random.default_rng(1)
    if missing == "users":
        (folder / "user_data.parquet").unlink()
    elif missing == "posts":
        (folder / "post_text_df.parquet").unlink()
    elif missing == "embeddings":  # of half of the posts
        ids = pd.read_parquet(folder / "post_text_df.parquet")["post_id"].to_numpy()[::2]
        columns = {f"e{k}": rng.normal(size=len(ids)) for k in range(4)}
        pd.DataFrame({"post_id": ids, **columns}).to_parquet(folder / "post_embeddings.parquet")
    else:
        posts = pd.read_parquet(folder / "post_text_df.parquet")
        posts.assign(**{missing: None}).to_parquet(folder / "post_text_df.parquet")

    found = evaluate(settings_at(tmp_path), str(folder), None, 1, 0.1, Progress())

    assert found.about["data"]["texts"] == texts
    assert found.about["data"]["users_without_profile"] == (25 if missing == "users" else 0)
    rows = found.results.set_index(["protocol", "segment", "model", "against", "metric", "k"]).sort_index()
    assert ("none" in rows.loc["shown"].index) == (missing == "users")
    assert np.isfinite(rows.loc[("all_posts", "all", "almanac", "", "diversity", 10), "value"])
    assert found.about["cold"].keys() == {"share_of_posts", "share_of_likes"}
    draw_evaluation(Console(width=160, quiet=True), found)


def test_the_truth_is_told_of_its_own_world_only(tmp_path: Path) -> None:
    settings, made = settings_at(tmp_path), made_facts(WORLD)
    assert find_truth(settings, made) is None

    (tmp_path / "world.json").write_text(WORLD.to_json())

    truth = find_truth(settings, made)
    assert truth is not None
    assert 0 < truth(made.user_ids[:1], made.post_ids[:1], made.time[:1])[0] < 1
    assert find_truth(settings, made_facts(replace(WORLD, seed=4))) is None
    assert find_truth(settings, made_facts(replace(WORLD, n_users=26))) is None


def test_without_a_first_day_the_last_weeks_are_tested(tmp_path: Path) -> None:
    write(str(tmp_path / "facts"), tables(WORLD))

    one, two = (
        evaluate(settings_at(tmp_path), str(tmp_path / "facts"), None, weeks, 0.0, Progress()).about[
            "origins"
        ]
        for weeks in (1, 2)
    )

    assert [origin["test_to"] for origin in two] == [one[0]["test_from"], one[0]["test_to"]]


def test_each_kind_of_like_that_the_mapping_names_has_a_figure_or_is_left_out_by_name(tmp_path: Path) -> None:
    write(str(tmp_path / "facts"), tables(WORLD))
    path = tmp_path / "facts" / "feed_data.parquet"
    feed = pd.read_parquet(path)
    odd = feed["post_id"] % 2 == 1
    feed.assign(action=feed["action"].mask((feed["action"] == "like") & odd, "cart")).to_parquet(path)
    (tmp_path / "shop.toml").write_text('[events]\nview = ["view"]\nlike = ["like", "cart", "purchase"]\n')
    settings = Settings(state_dir=tmp_path, n_trees=3, threads=1, mapping=str(tmp_path / "shop.toml"))

    found = evaluate(settings, str(tmp_path / "facts"), None, 1, 0.0, Progress())
    with (console := Console(width=200)).capture() as drawn:
        draw_evaluation(console, found)

    kinds, shown = found.about["kinds"], drawn.get()
    whole = found.results[found.results["metric"] == "hitrate_cart"]
    assert {kind: n > 0 for kind, n in kinds.items()} == {"like": True, "cart": True, "purchase": False}
    assert {"almanac", "popular", "random"} <= set(whole["model"])
    assert [words in shown for words in ("cart@5", "left out: purchase")] == [True, True]
