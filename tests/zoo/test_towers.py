"""DSSM: pairs that weigh nothing teach nothing."""

from dataclasses import replace

import numpy as np
import pytest

from batch.learn.baselines import towers
from batch.learn.baselines.interactions import Interactions
from batch.learn.baselines.named import find_baseline


def test_what_weighs_more_is_put_first(interactions: Interactions, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch", reason="`make test-zoo` brings torch")
    monkeypatch.setattr(towers, "STEPS", (60, 60))
    baseline, n_posts = find_baseline("dssm"), len(interactions.facts.posts)
    assert baseline
    early = np.where(interactions.facts.post < n_posts // 2, 1.0, 0.0).astype(np.float32)
    weighed = replace(interactions, facts=replace(interactions.facts, weight=early))

    some, every = (baseline.fit(one).lists(np.arange(40), 10) for one in (weighed, interactions))

    assert (some < n_posts // 2).mean() > 0.9
    assert (every < n_posts // 2).mean() < 0.7
