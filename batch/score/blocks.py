"""Blocks of users scored with tables that grow as new masks appear; see docs/engine.md."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

import numpy as np
import numpy.typing as npt

from batch.arrays import Ints32
from batch.data.seen import SeenPosts
from batch.features.sides import Sides
from batch.score.caps import Caps
from batch.score.compiled import CompiledModel
from batch.score.depths import Depths, plan_depths
from batch.score.exact import rank
from batch.score.kernel import find_candidates
from batch.score.plan import Plan
from batch.score.ranked import RankedBlock
from batch.score.tables.masks import Codes, Words, encode, masks
from batch.score.tables.rows import NAME_WORDS, SEEN, Arena, find_rows, number_users
from batch.score.tables.sets import TILE
from batch.score.tables.simd import allocate_aligned
from batch.score.turns import Turns

LINE = 32  # uint16 in a cache line
ORDER_BY = 4  # features by which a block's users are sorted
MANY = 0.2  # of a batch's users: if so many need deeper candidates, the next ones get them at once
NO_TOPICS = np.empty(0, np.int32)


class Engine:
    """Scores blocks of users with tables that grow as new masks appear."""

    def __init__(
        self,
        compiled: CompiledModel,
        sides: Sides,
        seen: SeenPosts,
        depth: int,
        caps: Caps | None,
        turns: Turns,
        threads: int,
        memory_mb: int,
        reach: Ints32,
    ) -> None:
        """Plan the memory; see `engine.score` for the arguments, and `find_candidates` for `reach`."""
        self.compiled, self.sides, self.seen, self.depth, self.threads = compiled, sides, seen, depth, threads
        self.turns, self.reach = turns, reach
        self.caps, self.depths = caps, plan_depths(compiled.layout, depth, caps)
        self.first_depths = 0  # those that most users' lists can be made of, as far as is known
        n_kept = max(int(depths.most.sum()) + depths.cut for depths in self.depths)
        self.plan = Plan.of(memory_mb, compiled, len(sides.starts), depth, n_kept, threads)
        n_tiles, n_words = len(compiled.layout.group), compiled.post_masks.shape[2]
        n_names = max(self.plan.rows * NAME_WORDS, len(compiled.sets.tree)) * n_words
        self.arena = Arena(n_tiles, compiled.n_groups, self.plan.rows, n_names)
        self.scratch = SimpleQueue[_Scratch]()
        for _ in range(threads):
            self.scratch.put(_Scratch.of(n_tiles, self.plan.users_per_batch))

    def blocks(self) -> Iterator[RankedBlock]:
        """Yield the ranked lists of all users, block by block."""
        first, size, is_empty = 0, self.plan.users, True
        with ThreadPoolExecutor(self.threads) as pool:
            while first < len(self.sides.user_ids):
                n = min(size, len(self.sides.user_ids) - first)
                block = self._score_block(first, n, pool)
                if block is not None:
                    yield block
                    first, is_empty = first + n, False
                    continue
                size = n // 2 if is_empty else size  # one user always fits, see Plan
                self.arena.clear()
                is_empty = True

    def _score_block(self, first: int, n: int, pool: ThreadPoolExecutor) -> RankedBlock | None:
        """Score `n` users from row `first` on; None when the arena does not hold their rows."""
        factors, sides = self.compiled.factors, self.sides
        classes = encode(factors.sides["user"], sides.user[first : first + n])
        order = self._order(classes)
        parts = np.array_split(classes[order], self.threads)
        user_masks = np.concatenate(list(pool.map(lambda part: masks(factors, "user", part), parts)))
        of_group = np.moveaxis(sides.user_group[:, first : first + n, : self.compiled.n_groups], 0, 2)[order]
        n_rows = n * self.compiled.n_groups
        codes = encode(factors.sides["user_group"], of_group.reshape(n_rows, of_group.shape[2]))
        codes = np.ascontiguousarray(codes.reshape(of_group.shape).transpose(1, 2, 0))
        ids = self._find_rows(user_masks, codes, pool)
        if ids is None:
            return None
        block = RankedBlock(
            first,
            np.empty((n, len(sides.starts), self.depth), np.int32),
            np.empty((n, len(sides.starts), self.depth)),
        )
        batches = np.split(np.arange(n), range(self.plan.users_per_batch, n, self.plan.users_per_batch))
        list(pool.map(lambda who: self._rank_all(who, first + order, ids, user_masks, codes, block), batches))
        return block

    def _order(self, classes: Codes) -> npt.NDArray[np.int64]:
        """Sort users by the features that the trees test most, so that neighbours share rows."""
        tests = np.bincount(self.compiled.factors.sides["user"].column, minlength=classes.shape[1])
        by = np.argsort(tests, kind="stable")[-ORDER_BY:]
        return np.lexsort(classes[:, by].T).astype(np.int64) if len(by) else np.arange(len(classes))

    def _find_rows(
        self, user_masks: Words, codes: Codes, pool: ThreadPoolExecutor
    ) -> npt.NDArray[np.uint16] | None:
        """Return uint16 (groups, sets, users): every user's row in every set; None when they do not fit."""
        compiled, arena, sets = self.compiled, self.arena, self.compiled.sets
        terms, matter = compiled.factors.sides["user_group"], sets.matter
        numbers = np.empty((len(sets.layer), len(user_masks)), np.int32)
        hashed = 2 * 2 ** int(np.ceil(np.log2(len(user_masks))))

        def number(at: int) -> int:
            trees = sets.tree[sets.start[at] : sets.start[at + 1]]
            scratch = np.empty(hashed, np.int32)
            return int(number_users(user_masks, trees, matter[sets.layer[at]], scratch, numbers[at]))

        n_numbers = np.array(list(pool.map(number, range(len(numbers)))), np.int64)
        # An odd number of cache lines between sets: at a power of two their numbers share a few cache sets.
        stride = (len(user_masks) // LINE | 1) * LINE + 2 * LINE
        ids = np.empty((compiled.n_groups, len(numbers), stride), np.uint16)

        def find(group: int) -> bool:
            return bool(
                find_rows(
                    group, codes, user_masks, numbers, n_numbers,
                    compiled.class_of, compiled.tested, compiled.n_classes,
                    terms.start, terms.column, terms.offset, compiled.factors.bank,
                    compiled.open_leaves[group],
                    sets.start, sets.tree, sets.layer, sets.plus, sets.minus,
                    compiled.layout.tiles, compiled.masks_by_tile, compiled.units.leaves,
                    arena.rows, arena.hashed[group], arena.names[group], arena.name_at[group],
                    arena.set_of[group], arena.used, ids[group],
                )
            )  # fmt: skip

        return ids if all(list(pool.map(find, range(compiled.n_groups)))) else None

    def _rank_all(self, who: npt.NDArray[np.int64], *given: Any) -> None:
        """Write the lists of the users of one batch, going deeper for those of whom it takes that.

        Where that is many, the next batches begin as deep: which depths are tried first changes no list.
        """
        n, first = len(who), self.first_depths
        for at in range(first, len(self.depths)):
            who = self._rank(who, self.depths[at], *given)
            if len(who) > MANY * n:
                self.first_depths = max(self.first_depths, at + 1)
            if not len(who):
                return

    def _rank(
        self,
        who: npt.NDArray[np.int64],
        depths: Depths,
        origin: npt.NDArray[np.int64],
        ids: npt.NDArray[np.uint16],
        user_masks: Words,
        codes: Codes,
        block: RankedBlock,
    ) -> npt.NDArray[np.int64]:
        """Write the lists of the users of one batch, at places `who` of the block's order.

        Returns:
            Those of whom it is not sure that these depths were enough.
        """
        compiled, layout, caps, turns = self.compiled, self.compiled.layout, self.caps, self.turns
        terms = compiled.factors.sides["user_group"]
        found = np.zeros((len(who), len(layout.group)), np.uint64)
        floors = np.empty((len(who), len(self.sides.starts)), np.int32)
        scratch = self.scratch.get()
        try:
            find_candidates(
                who, ids, compiled.sets.of_layer, self.arena.rows, layout.group, origin, self.seen.start,
                self.seen.post, layout.place, depths.tiles, depths.slot, depths.start, depths.most,
                depths.cut, depths.is_enough, compiled.units.slack,
                turns.start, turns.place, turns.step, *compiled.dense_by_tile,
                self.reach, self._blank_scores(len(who), scratch), scratch.tops, found, floors,
            )  # fmt: skip
        finally:
            self.scratch.put(scratch)
        is_sure = np.empty(len(who), np.bool_)
        cap = (NO_TOPICS, 0, 0) if caps is None else (caps.topic, caps.most, caps.window)
        rank(
            who, found, user_masks, codes, terms.start, terms.column, terms.offset, compiled.factors.bank,
            compiled.post_masks, layout.post, layout.group, compiled.values, compiled.factors.values.shape[1],
            *compiled.dense, origin, block.first, compiled.sets.of_layer, *cap, turns.opened, turns.start,
            compiled.units.scores(floors), block.posts, block.scores, is_sure,
        )  # fmt: skip
        return who[~is_sure]

    def _blank_scores(self, n_users: int, scratch: "_Scratch") -> npt.NDArray[np.int32]:
        """Return int32 (tiles, users, TILE), contiguous: zeros, and `SEEN` at padding."""
        layout = self.compiled.layout
        shape = (len(layout.group), n_users, TILE)
        scores = scratch.scores[: int(np.prod(shape))].reshape(shape)
        scores[:] = 0
        padding = np.flatnonzero(layout.post < 0)
        scores[padding // TILE, :, padding % TILE] = SEEN
        return scores


@dataclass(frozen=True, slots=True)
class _Scratch:
    scores: npt.NDArray[np.int32]
    tops: npt.NDArray[np.int32]

    @classmethod
    def of(cls, n_tiles: int, users_per_batch: int) -> "_Scratch":
        return cls(
            allocate_aligned((n_tiles * users_per_batch * TILE,), np.int32),
            np.empty((users_per_batch, n_tiles), np.int32),
        )
