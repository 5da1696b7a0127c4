"""Who was shown what in an experiment, and what they did then: counted into one row a user. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from batch.arrays import Bools, Ints, Ints8, Ints32
from batch.data.kinds import KINDS
from batch.experiments.people import NO_POST

FIRST = 5  # places of an answer that a hit may stand at


@dataclass(frozen=True, slots=True)
class Exposures:
    """The answers that an experiment gave, in any order.

    Attributes:
        user_ids: Of the users, each once; their places are rows.
        arms: The arms' names.
        user: int32 (answers,). Row of the user.
        arm: int8 (answers,). Place in `arms`.
        time: int64 (answers,). Epoch seconds at which each was asked for.
        posts: int64 (answers, FIRST). Marks of the first posts, best first; NO_POST past the last.
    """

    user_ids: Sequence[str]
    arms: Sequence[str]
    user: Ints32
    arm: Ints8
    time: Ints
    posts: Ints


@dataclass(frozen=True, slots=True)
class Acts:
    """What those users did, in any order, each act once.

    Attributes:
        user: int32 (acts,). Row of the user.
        post: int64 (acts,). Mark of the post.
        time: int64 (acts,). Epoch seconds.
        kind: int8 (acts,). Place in KINDS.
    """

    user: Ints32
    post: Ints
    time: Ints
    kind: Ints8


@dataclass(frozen=True, slots=True)
class Span:
    """When an experiment ran, `[start, end)`, epoch seconds; as long before it is the time for CUPED."""

    start_s: int
    end_s: int

    @property
    def pre_start_s(self) -> int:
        """Return when the time before begins."""
        return 2 * self.start_s - self.end_s


class Tabulated(NamedTuple):
    """One row a user, and how many users are left out since they were in several arms."""

    table: pa.Table
    n_mixed: int


def tabulate(exposures: Exposures, acts: Acts, kinds: Sequence[str], span: Span, within_s: int) -> Tabulated:
    """Count what each exposed user did in the experiment, and before it.

    Acts count from the user's first answer on. An answer is a hit where its user then did more than view one
    of its first five posts, at most `within_s` seconds later and before the end.

    Args:
        exposures: Of one experiment.
        acts: Of its users, the time before among them.
        kinds: Those of KINDS that are counted.
        span: When the experiment ran.
        within_s: How long after an answer its hit may come.

    Returns:
        Columns `user_id`, `arm`, `views` and so on of `kinds`, `pre_views` and so on where there were any,
        `answers`, `hits_5`, and where several kinds are more than a view `hits_5_like` and so on; in order
        of the users' rows.
    """
    n_users, asked = len(exposures.user_ids), _inside(exposures.time, span.start_s, span.end_s)
    user, arm, time = exposures.user[asked], exposures.arm[asked], exposures.time[asked]
    least, most = np.full(n_users, len(exposures.arms)), np.full(n_users, -1)
    first = np.full(n_users, span.end_s)
    np.minimum.at(least, user, arm)
    np.maximum.at(most, user, arm)
    np.minimum.at(first, user, time)
    since = _inside(acts.time, first[acts.user], span.end_s)
    before = _inside(acts.time, span.pre_start_s, span.start_s)
    of_kind = {kind: acts.kind == KINDS.index(kind) for kind in kinds}
    columns = {
        **{f"{kind}s": _count(acts.user[since & of_kind[kind]], n_users) for kind in kinds},
        **{f"pre_{kind}s": _count(acts.user[before & of_kind[kind]], n_users) for kind in kinds},
        "answers": _count(user, n_users),
    }
    shown, wanted = _lay_out(user, time, exposures.posts[asked]), [kind for kind in kinds if kind != "view"]
    for name, counted in {
        "": wanted,
        **({f"_{kind}": [kind] for kind in wanted} if wanted[1:] else {}),
    }.items():
        chosen = since & np.isin(acts.kind, [KINDS.index(kind) for kind in counted])
        is_hit = find_hits(shown, acts, chosen, within_s, len(user))
        columns[f"hits_{FIRST}{name}"] = _count(user[is_hit], n_users)
    stays = (most >= 0) & (least == most)
    table = pa.table(
        {
            "user_id": pa.array(exposures.user_ids, pa.string()),
            "arm": pa.array(exposures.arms, pa.string()).take(pa.array(np.maximum(most, 0))),
            **columns,
        }
    )
    table = table.filter(pa.array(stays))
    idle = [
        name for name in table.column_names if name.startswith("pre_") and not pc.sum(table[name]).as_py()
    ]
    return Tabulated(table.drop_columns(idle), int(np.count_nonzero(least < most)))


def find_hits(shown: pd.DataFrame, acts: Acts, chosen: Bools, within_s: int, n_answers: int) -> Bools:
    """Return bool (answers,): which have a post that one of the chosen acts follows.

    Args:
        shown: Columns `time`, ascending, `user`, `post`, and `answer`, 0 upwards.
        acts: Of the users.
        chosen: bool (acts,). Those that count.
        within_s: How long after an answer its act may come.
        n_answers: How many answers there are.
    """
    did = pd.DataFrame({"time": acts.time[chosen], "user": acts.user[chosen], "post": acts.post[chosen]})
    did = did.sort_values("time", kind="stable").assign(did=1)
    found = pd.merge_asof(shown, did, on="time", by=["user", "post"], direction="forward", tolerance=within_s)
    is_hit = np.zeros(n_answers, np.bool_)
    is_hit[found["answer"][found["did"].notna()]] = True
    return is_hit


def _inside(time: Ints, start_s: Ints | int, end_s: int) -> Bools:
    return np.asarray((time >= start_s) & (time < end_s), np.bool_)


def _count(user: Ints32, n_users: int) -> Ints:
    return np.bincount(user, minlength=n_users).astype(np.int64)


def _lay_out(user: Ints32, time: Ints, posts: Ints) -> pd.DataFrame:
    """Return a row for each of the first posts of answers, by time; `answer` says of which."""
    answer = np.repeat(np.arange(len(user)), posts.shape[1])
    rows = pd.DataFrame({"time": time[answer], "user": user[answer], "post": posts.ravel(), "answer": answer})
    return rows[rows["post"] != NO_POST].sort_values("time", kind="stable")
