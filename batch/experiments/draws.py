"""Posts that were drawn for places of an experiment's answers, and what came of each. Pure."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pyarrow as pa

from batch.arrays import AnyInts, Floats, Ints, Ints32
from batch.data.kinds import KINDS
from batch.experiments.acts import Acts, Span, find_hits
from batch.experiments.off_policy import Log
from batch.experiments.outcomes import read_numbers
from batch.experiments.people import People

POST, USER, TARGET = "post_id", "user_id", "target"


@dataclass(frozen=True, slots=True)
class Draws:
    """Drawn posts, a row each, in any order.

    Attributes:
        user_id: text (draws,). The user's id, as the client said it.
        user: int32 (draws,). Row of the user.
        post: int64 (draws,). Mark of the post.
        post_id: text (draws,). Its id.
        time: int64 (draws,). Epoch seconds at which it was answered.
        bucket: int64 (draws,). Begin of the bucket that answered.
        propensity: float64 (draws,), below 1. The chance that it had of its place, given those before.
    """

    user_id: pa.Array
    user: Ints32
    post: Ints
    post_id: pa.Array
    time: Ints
    bucket: Ints
    propensity: Floats

    def once(self, span: Span) -> "Draws":
        """Return each draw of a span once, by time: a bucket answers a user by one draw again and again."""
        rows = pd.DataFrame({"user": self.user, "bucket": self.bucket, "post": self.post, "time": self.time})
        rows = rows[(rows["time"] >= span.start_s) & (rows["time"] < span.end_s)]
        rows = rows.sort_values("time", kind="stable").drop_duplicates(["user", "bucket", "post"])
        kept = rows.index.to_numpy()
        columns = ("user", "post", "time", "bucket", "propensity")
        taken = {name: getattr(self, name)[kept] for name in columns}
        ids = {name: getattr(self, name).take(pa.array(kept)) for name in ("user_id", "post_id")}
        return replace(self, **taken, **ids)


def reward_draws(draws: Draws, acts: Acts, span: Span, within_s: int) -> Floats:
    """Return 1 for each draw, by time, whose user then did more than view the post, in time; else 0."""
    shown = pd.DataFrame({"time": draws.time, "user": draws.user, "post": draws.post})
    chosen = (acts.kind != KINDS.index("view")) & (acts.time < span.end_s)
    is_hit = find_hits(shown.assign(answer=np.arange(len(shown))), acts, chosen, within_s, len(shown))
    return is_hit.astype(np.float64)


def weigh_draws(draws: Draws, policy: pa.Table, people: People) -> Floats:
    """Return with what probability another policy would have drawn each post there; 0 for what it leaves out.

    Args:
        draws: What was drawn.
        policy: Columns `post_id`, `target`, and where it differs by user `user_id`.
        people: Who know the users of the draws.

    Raises:
        ValueError: A column is missing, or a post, for a user, has two rows.
    """
    if missing := [name for name in (POST, TARGET) if name not in policy.column_names]:
        raise ValueError(f"the policy has no column {missing[0]!r} (it has {', '.join(policy.column_names)})")
    keys: dict[str, AnyInts] = {"post": people.marks(policy[POST].combine_chunks())}
    if USER in policy.column_names:
        keys["user"] = people.rows(policy[USER].combine_chunks())
    told = pd.DataFrame({**keys, TARGET: read_numbers(policy, TARGET)})
    if told.duplicated(list(keys)).any():
        first = policy[POST][int(told.duplicated(list(keys)).to_numpy().argmax())].as_py()
        raise ValueError(f"post {first} has two rows in the policy: write one probability for each")
    shown = pd.DataFrame({"post": draws.post, "user": draws.user})
    found = shown.merge(told, how="left", on=list(keys))
    return np.asarray(found[TARGET].fillna(0.0), np.float64)


def as_log(draws: Draws, reward: Floats, target: Floats) -> Log:
    """Return the draws as a log, in which a user's belong together."""
    return Log(reward, draws.propensity, target, user=draws.user.astype(np.int64))


def as_table(draws: Draws, reward: Floats, target: Floats) -> pa.Table:
    """Return the draws as a table, which `almanac ope --table` reads."""
    return pa.table(
        {
            USER: draws.user_id,
            "time": draws.time,
            POST: draws.post_id,
            "propensity": draws.propensity,
            "reward": reward,
            TARGET: target,
        }
    )
