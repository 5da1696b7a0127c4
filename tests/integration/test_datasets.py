"""Other data sets, a small piece each, the whole way: their own files → facts → model → exact lists."""

import json
import os
import subprocess
from importlib.util import find_spec
from pathlib import Path

import lightgbm as lgb
import numpy as np
import pytest

from batch.data.columns import VIEW
from batch.data.facts import Facts
from batch.data.load import read_facts
from batch.features import asof
from batch.jobs.assemble import Publication, assemble_publication
from batch.learn.ranker import Ranker
from batch.learn.recipe import Recipe
from batch.learn.train import train
from batch.settings import Settings
from tests.forked import program

DEPTH, DAY_S = 20, 86_400
BEGIN_S = 1_457_913_600  # 2016-03-14, when Deskdrop begins
HEAD = "timestamp,eventType,contentId,personId,sessionId,userAgent,userRegion,userCountry"


def settings(folder: Path, mapping: str) -> Settings:
    return Settings(
        state_dir=folder, mapping=mapping, depth=DEPTH, n_buckets=2, n_trees=20, n_leaves=7, threads=1
    )


def made(facts: Facts, how: Settings) -> tuple[Ranker, Publication, np.ndarray, np.ndarray]:
    """Return the model, what is published beside its lists, and the lists with their scores."""
    known = asof.describe(facts, how.seed)
    model = train(facts, known, facts.as_of_s, Recipe.of(how)).model
    tonight = assemble_publication(how, facts, known, model, facts.as_of_s)
    blocks = list(tonight.lists)
    posts, scores = (
        np.concatenate([getattr(block, name) for block in blocks]) for name in ("posts", "scores")
    )
    return model, tonight, posts, scores


def assert_exact(
    facts: Facts, model: Ranker, tonight: Publication, posts: np.ndarray, scores: np.ndarray
) -> None:
    """Check some users' lists against LightGBM's own predict and the factors over all untaken posts."""
    sides, booster = tonight.inputs.sides, lgb.Booster(model_str=model.text)
    every = np.arange(len(facts.posts))
    for user in range(0, len(facts.users), max(1, len(facts.users) // 7)):
        taken = facts.post[facts.user == user]
        assert not set(posts[user].ravel().tolist()) & set(taken.tolist())
        rows = sides.rows(np.full(len(every), user), every, np.zeros(len(every), np.int64))
        whole = np.asarray(booster.predict(rows, raw_score=True)) + model.factors.y @ model.factors.x[user]
        whole[taken] = -np.inf
        best = np.argsort(-whole, kind="stable")[:DEPTH]
        np.testing.assert_allclose(np.sort(scores[user, 0]), np.sort(whole[best]), rtol=0, atol=1e-9)


def deskdrop(folder: Path, n_people: int = 40, n_articles: int = 90, days: int = 30) -> Path:
    """Write interactions as Kaggle's file has them: half the people read even articles, half odd ones."""
    rng, folder = np.random.default_rng(5), folder / "deskdrop"
    people = rng.integers(-(2**62), 2**62, n_people)
    articles = np.sort(rng.integers(-(2**62), 2**62, n_articles))
    lines = [HEAD]
    for day in range(days):
        for person, person_id in enumerate(people.tolist()):
            article = 2 * int(rng.integers(0, n_articles // 2)) + person % 2
            at_s = BEGIN_S + day * DAY_S + 300 * person
            events = ["VIEW", *(["LIKE"] if rng.random() < 0.4 else []), *(["FOLLOW"] if person == 3 else [])]
            lines += [
                f"{at_s + 20 * k},{event},{articles[article]},{person_id},{day * 100 + person},,SP,BR"
                for k, event in enumerate(events)
            ]
    folder.mkdir()
    (folder / "users_interactions.csv").write_text("\n".join(lines) + "\n")
    return folder


def test_deskdrop_opens_become_choices_and_lists_of_unopened_articles(tmp_path: Path) -> None:
    facts = read_facts(
        Settings(state_dir=tmp_path, mapping="deskdrop", max_rejected_share=0.0),
        str(deskdrop(tmp_path)),
        lambda _n: None,
    )
    assert facts.shown == "choices"
    assert (len(facts.users), len(facts.posts)) == (40, 90)
    assert facts.report.ignored == {"FOLLOW": 30}
    assert 0.3 < facts.target[facts.action == VIEW].mean() < 0.6
    assert facts.posts["text"].isna().all()

    model, tonight, posts, scores = made(facts, settings(tmp_path, "deskdrop"))

    assert_exact(facts, model, tonight, posts, scores)
    assert model.metrics["weight_liked_together"] + model.metrics["weight_liked_beside"] > 0
    articles = np.argsort([int(article) for article in facts.post_names.spelled(facts.post_ids)])
    odd = np.argsort(articles) % 2  # of each row's article among the articles
    people = np.arange(len(facts.users))
    own = np.array([np.median(odd[facts.post[facts.user == person]]) for person in people])
    assert (odd[posts[:, 0, :5]] == own[:, None]).mean() > 0.8


def test_compare_asks_everybody_for_unseen_posts_and_shows_a_table_or_json(tmp_path: Path) -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ALMANAC_")}
    small = {"ALMANAC_STATE_DIR": str(tmp_path), "ALMANAC_N_TREES": "5", "ALMANAC_THREADS": "1"}
    asked = ["compare", "--unseen", "--cuts", "2", "--peers", "random,popular", "--mapping", "deskdrop"]
    command = [*program(), *asked, "--data", str(deskdrop(tmp_path))]

    table, machine = (
        subprocess.run([*command, *more], env={**clean, **small}, capture_output=True, text=True, check=True)
        for more in ([], ["--json"])
    )

    found = json.loads(machine.stdout.splitlines()[-1])
    rows = [row for row in found["results"] if row["segment"] == "all" and row["metric"] == "ndcg_achievable"]
    assert {row["model"] for row in rows} == {"almanac", "popular", "random"}
    best = max((row for row in rows if not row["against"]), key=lambda row: float(row["value"]))
    assert best["model"] == "almanac"
    assert found["n_lists"] <= 2 * found["n_users"] == 80
    (ahead,) = [row for row in rows if row["against"] == "popular"]
    assert ahead["low"] < ahead["high"]
    both = subprocess.run([*command, "--likes-only"], env={**clean, **small}, capture_output=True, text=True)
    assert both.returncode == 2
    assert "leave --world, --unseen and --protocol out" in both.stderr
    for word in ("2 cut-offs", "ndcg@10", "recall@10", "almanac", "popular", "random"):
        assert word in table.stdout + table.stderr


@pytest.mark.skipif(
    find_spec("recbole") is None, reason="MovieLens comes with recbole's wheel: pip install --no-deps recbole"
)
def test_movielens_ratings_become_choices_and_lists_of_unrated_films(tmp_path: Path) -> None:
    everything = read_facts(Settings(state_dir=tmp_path), "ml-100k", lambda _n: None)
    assert (len(everything.users), len(everything.posts), len(everything.time)) == (943, 1682, 100_000)
    facts = everything.until(int(everything.time[12_000]))

    model, tonight, posts, scores = made(facts, settings(tmp_path, "ml-100k"))

    assert facts.shown == "choices"
    assert posts.shape == (943, 2, DEPTH)
    assert_exact(facts, model, tonight, posts, scores)
    assert model.metrics["weight_liked_by_many_lately"] > 0
    popular = np.bincount(facts.post[facts.target == 1], minlength=len(facts.posts))
    assert popular[posts[:, 0, :10]].mean() > 5 * popular.mean()
