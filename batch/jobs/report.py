"""The verdict on an experiment of the store, top to bottom: its definition, a row a user, what that says."""

from collections.abc import Sequence
from dataclasses import replace

import redis

from api.contract.experiment import Experiment
from batch.experiments.comparisons import Terms
from batch.experiments.outcomes import make_outcomes
from batch.experiments.registry import find
from batch.experiments.verdict import Verdict, judge
from batch.jobs.outcomes import Outcome, find_facts, read_material
from batch.progress import Progress
from batch.settings import Settings


def report(
    settings: Settings,
    client: redis.Redis,
    name: str,
    terms: Terms,
    progress: Progress,
    now_s: int,
    *,
    data: str = "",
    control: str = "",
    kinds: Sequence[str] = (),
    is_aa: bool = False,
) -> Verdict:
    """Judge an experiment that runs or has ended, by its planned shares.

    Args:
        settings: Mapping, databases, prefix.
        client: Client of the store, replies as bytes.
        name: Of the experiment.
        terms: How arms are compared.
        progress: Where to show the steps.
        now_s: Epoch seconds.
        data: Where the facts lie; empty: as settings say, or nowhere, so that live events alone count.
        control: The arm to compare with; empty: the first.
        kinds: Columns to count; empty: all that there are.
        is_aa: Whether all arms were served the same.

    Raises:
        LookupError: There is no such experiment, or it has answered nobody.
        SourceError: The events' database or the facts cannot be read.
        ValueError: A kind or the control is none.
    """
    one = find(client, settings.keys, name)
    found = read_material(settings, client, find_facts(settings, data), one, progress, now_s).count()
    return judge_outcome(one, found, terms, control=control, kinds=kinds, is_aa=is_aa)


def judge_outcome(
    one: Experiment,
    found: Outcome,
    terms: Terms,
    *,
    control: str = "",
    kinds: Sequence[str] = (),
    is_aa: bool = False,
) -> Verdict:
    """Judge an experiment by what was counted; arguments as of `report`."""
    planned = {arm.name: arm.share for arm in one.arms}
    outcomes = make_outcomes(found.table, arms=list(planned), control=control, kinds=kinds)
    outcomes = replace(outcomes, left_out=(*found.left_out, *outcomes.left_out))
    return judge(outcomes, terms, shares=[planned[arm] for arm in outcomes.arms], is_aa=is_aa)
