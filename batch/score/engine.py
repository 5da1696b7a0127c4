"""The scorer of a run: every user × every post × every bucket from tables, exactly; see docs/engine.md."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain
from typing import Literal

import lightgbm as lgb
import numba
import numpy as np

from batch.arrays import AnyInts, Bools, Floats
from batch.data.seen import SeenPosts
from batch.features.sides import Sides
from batch.score import predict, twins
from batch.score.blocks import Engine
from batch.score.caps import Caps
from batch.score.compiled import compile_model
from batch.score.panels import SHARE, Panels, score_by_panels, to_reach
from batch.score.predict import Dense, Progress
from batch.score.ranked import RankedBlock
from batch.score.tables.rows import LARGEST, UNSEEN_FLOOR
from batch.score.tables.trees import UnfactorableModel
from batch.score.turns import Turns

N_CORES = int(numba.get_num_threads())  # that this process may run on


def score(
    model_text: str,
    sides: Sides,
    seen: SeenPosts,
    depth: int,
    *,
    threads: int = 0,
    memory_mb: int = 2048,
    on_unfactorable: Literal["refuse", "predict"] = "refuse",
    dense: Dense | None = None,
    caps: Caps | None = None,
    opened: Bools | None = None,
    progress: Progress | None = None,
) -> Iterator[RankedBlock]:
    """Yield every user's exact lists, block by block, users ascending.

    Args:
        model_text: What `Booster.model_to_string` returns.
        sides: The features' values; their columns are the model's.
        seen: Posts that lists leave out.
        depth: Posts in a list.
        threads: Threads; 0: all cores.
        memory_mb: MiB that tables, blocks and scores may take, beside the arguments.
        on_unfactorable: Whether a model that cannot be split by side is refused, or scored by LightGBM.
        dense: Factors float64 (users, k) and (posts, k), whose product is added after the trees.
        caps: How many posts of a topic may stand close together; None: any number.
        opened: bool (buckets, posts). Which posts are candidates; None: all, in every bucket.
        progress: Called with the number of users done.

    Raises:
        UnfactorableModel: The model cannot be split by side; the message names what stands in the way.
        ValueError: The memory does not hold the tables of a single user; the message says how much does.
    """
    if len(sides.user_ids) == 0:
        return
    if opened is not None and opened.all():
        opened = None
    asked = _Asked(model_text, sides, seen, depth, threads or N_CORES, memory_mb, dense, caps, opened)
    rows: AnyInts | None = None
    if opened is not None:  # what is closed throughout is not even laid out
        offered = np.flatnonzero(opened.any(axis=0))
        asked, rows = asked.of_posts(offered), offered
    try:
        if opened is None and len(sides.post_ids) >= twins.FROM:
            needed = asked.find_needed()
            asked, rows = asked.of_posts(needed), needed
        panels = Panels.of(asked.sides, depth, memory_mb)
        if caps is None and len(panels.posts) > 1:
            shape = len(sides.user_ids), len(sides.starts)
            blocks = score_by_panels(panels, *shape, depth, asked.score_panel)
            blocks = chain([next(blocks)], blocks)  # what compiling the first one raises comes here
        else:
            blocks = asked.start().blocks()
    except UnfactorableModel:
        if on_unfactorable == "refuse":
            raise
        blocks = asked.predict(threads)
    for block in blocks:
        yield (
            block if rows is None else replace(block, posts=np.append(rows, -1)[block.posts].astype(np.int32))
        )
        if progress is not None:
            progress(len(block.posts))


@dataclass(frozen=True, slots=True)
class _Asked:
    """The arguments of `score`, of all users and posts or of some."""

    model_text: str
    sides: Sides
    seen: SeenPosts
    depth: int
    threads: int
    memory_mb: int
    dense: Dense | None
    caps: Caps | None
    opened: Bools | None

    def start(self, reached: Floats | None = None) -> Engine:
        """Lay out the tables of all users and posts; posts must reach float64 (users, buckets) `reached`.

        Raises:
            UnfactorableModel: What `compile_model` raises.
        """
        topic = None if self.caps is None else self.caps.topic
        compiled = compile_model(self.model_text, self.sides, self.dense, self.memory_mb, topic)
        turns = Turns.of(self.opened, compiled.layout, len(self.sides.starts))
        reach = (
            np.empty((0, 0), np.int32)
            if reached is None
            else to_reach(reached, compiled.units.size, UNSEEN_FLOOR, LARGEST)
        )
        return Engine(
            compiled, self.sides, self.seen, self.depth, self.caps, turns, self.threads, self.memory_mb, reach
        )

    def of_posts(self, rows: AnyInts) -> "_Asked":
        """Return what is asked of some posts, given by row number, ascending."""
        return replace(
            self,
            sides=self.sides.of_posts(rows),
            seen=self.seen.of_posts(rows),
            dense=None if self.dense is None else (self.dense[0], self.dense[1][rows]),
            caps=None if self.caps is None else self.caps.of_posts(rows),
            opened=None if self.opened is None else self.opened[:, rows],
        )

    def find_needed(self) -> AnyInts:
        """Return the rows of the posts that somebody's list may hold, ascending; see `twins`."""
        y = None if self.dense is None else self.dense[1]
        topic = None if self.caps is None else self.caps.topic
        n = self.depth + int(self.seen.sizes.max(initial=0))
        return np.flatnonzero(twins.find_needed(self.model_text, self.sides, y, topic, n))

    def predict(self, threads: int) -> Iterator[RankedBlock]:
        """Let LightGBM itself score."""
        booster, at = lgb.Booster(model_str=self.model_text), (self.sides, self.seen, self.depth)
        return predict.score_by_predict(
            booster, *at, dense=self.dense, caps=self.caps, opened=self.opened, threads=threads
        )

    def score_panel(
        self, rows: AnyInts, first: int, after: int, reached: Floats | None
    ) -> Iterator[RankedBlock]:
        """Score some users and posts, as `panels.Score` asks for it.

        Where posts open and close, a bucket's lists may be asked for less than those of the one before, so
        that nothing is left out by what they have reached.
        """
        users, part = np.arange(first, after), self.of_posts(rows)
        part = replace(
            part,
            sides=part.sides.part(users).of_own_groups(),
            seen=part.seen.of_users(users),
            memory_mb=self.memory_mb - self.memory_mb // SHARE,
            dense=None if part.dense is None else (part.dense[0][users], part.dense[1]),
        )
        return part.start(reached if self.opened is None else None).blocks()
