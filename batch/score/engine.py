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
from batch.score import predict
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
    rows = None
    if opened is not None and opened.all():
        opened = None
    if opened is not None:  # what is closed throughout is not even laid out
        rows = np.flatnonzero(opened.any(axis=0))
        sides, seen, opened = sides.of_posts(rows), seen.of_posts(rows), opened[:, rows]
        dense = None if dense is None else (dense[0], dense[1][rows])
        caps = None if caps is None else caps.of_posts(rows)
    panels = Panels.of(sides, depth, memory_mb)
    asked = _Asked(model_text, sides, seen, depth, threads or N_CORES, memory_mb, dense, caps, opened)
    try:
        if caps is None and len(panels.posts) > 1:
            shape = len(sides.user_ids), len(sides.starts)
            blocks = score_by_panels(panels, *shape, depth, asked.score_panel)
            blocks = chain([next(blocks)], blocks)  # what compiling the first panel raises comes here
        else:
            blocks = asked.start().blocks()
    except UnfactorableModel:
        if on_unfactorable == "refuse":
            raise
        booster = lgb.Booster(model_str=model_text)
        blocks = predict.score_by_predict(
            booster, sides, seen, depth, dense=dense, caps=caps, opened=opened, threads=threads
        )
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

    def score_panel(
        self, rows: AnyInts, first: int, after: int, reached: Floats | None
    ) -> Iterator[RankedBlock]:
        """Score some users and posts, as `panels.Score` asks for it.

        Where posts open and close, a bucket's lists may be asked for less than those of the one before, so
        that nothing is left out by what they have reached.
        """
        users, dense = np.arange(first, after), self.dense
        part = replace(
            self,
            sides=self.sides.part(users).of_some_groups(rows),
            seen=self.seen.of_users(users).of_posts(rows),
            memory_mb=self.memory_mb - self.memory_mb // SHARE,
            dense=None if dense is None else (dense[0][users], dense[1][rows]),
            opened=None if self.opened is None else self.opened[:, rows],
        )
        return part.start(reached if self.opened is None else None).blocks()
