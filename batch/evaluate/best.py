"""Which of those who ranked is best, and how far ours is ahead of the others: one sentence."""

import pandas as pd

from batch.evaluate.own import OURS
from batch.evaluate.results import ALL, Metric
from batch.evaluate.sessions import AS_SHOWN


def tell_best(frame: pd.DataFrame, metric: Metric, segment: str = ALL) -> str:
    """Say who is best by a metric, and by how much ours is ahead of the best peer, or behind it.

    An old feed's order of its own sessions is nobody's ranking that could be published: it is said apart.

    Args:
        frame: Figures of one protocol; peers are those that ours is held against.
        metric: Its name and cut-off.
        segment: Whose lists.

    Returns:
        A sentence without an end; empty where ours has no figure.
    """
    name, k = metric
    rows = frame[(frame["segment"] == segment) & (frame["metric"] == name) & (frame["k"] == k)]
    values = rows[rows["against"] == ""].set_index("model")["value"]
    ahead = rows[(rows["model"] == OURS) & (rows["against"] != "")].set_index("against")
    by = f"{name}@{k}" if k else name
    if OURS not in values.index:
        return ""
    if ahead.index.isin([AS_SHOWN]).all():
        return f"{OURS} has {by} {values[OURS]:.3f}; nobody ranked beside it"
    shown = f"; the old feed's own order has {values[AS_SHOWN]:.3f}" if AS_SHOWN in values.index else ""
    peers = values[values.index.isin(ahead.index) & (values.index != AS_SHOWN)]
    peers = peers.sort_values(ascending=False, kind="stable")
    peer = str(peers.index[0])
    value, low, high = (float(ahead.loc[peer, column]) for column in ("value", "low", "high"))
    apart = "" if low > 0 or high < 0 else ", which does not tell them apart"
    if values[OURS] >= peers.iloc[0]:
        return (
            f"{OURS} is best by {by}, {values[OURS]:.3f}: ahead of the next, {peer}, "
            f"by {value:.3f} [{low:.3f}, {high:.3f}]{apart}{shown}"
        )
    return (
        f"{peer} is best by {by}, {peers.iloc[0]:.3f}: {OURS}, {values[OURS]:.3f}, is behind it "
        f"by {-value:.3f} [{-high:.3f}, {-low:.3f}]{apart}{shown}"
    )
