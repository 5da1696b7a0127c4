"""How the memory that scoring may take is divided."""

from dataclasses import dataclass

import numpy as np

from batch.score.compiled import CompiledModel
from batch.score.tables.rows import NAME_WORDS

BLOCK = 8_192  # users of a yielded block, at most
USERS_PER_BATCH = 1_024  # users whose scores one thread holds at once, at most


@dataclass(frozen=True, slots=True)
class Plan:
    """How the memory is divided: users of a block, users of a batch, table rows a group."""

    users: int
    users_per_batch: int
    rows: int

    @classmethod
    def of(
        cls, memory_mb: int, compiled: CompiledModel, n_buckets: int, depth: int, n_kept: int, threads: int
    ) -> "Plan":
        """Give scratch up to an eighth of what is free, blocks of users up to a quarter, and tables the rest.

        `n_kept` is how many of a user's candidates are kept from bucket to bucket.

        Raises:
            ValueError: The rest does not hold the rows of a single user.
        """
        n_trees, n_words = compiled.post_masks.shape[1:]
        n_sets, n_groups, n_places = len(compiled.sets.layer), compiled.n_groups, len(compiled.layout.post)
        n_columns = compiled.class_of.shape[1]
        listed = 24 * n_buckets * depth  # posts and scores, of the block being made and of the one before
        of_user = 16 * n_trees * n_words + n_groups * (2 * n_sets + 8 * n_columns) + 4 * n_sets + listed
        of_batch_user = 4 * n_places + n_places // 8 + 1 + 4 * (n_kept + n_buckets)
        of_thread = 2 * 8 * n_places * n_buckets  # float64 scores, were every post a candidate
        of_row = 4 * n_places + n_groups * (8 * NAME_WORDS * n_words + 32)
        fixed = compiled.nbytes + of_thread * threads + 8 * n_groups * len(compiled.sets.tree) * n_words
        free = memory_mb * 2**20 - fixed
        users_per_batch = int(np.clip(free // 8 // threads // of_batch_user, 1, USERS_PER_BATCH))
        users = int(np.clip(free // 4 // of_user, 1, BLOCK))
        rows = (free - users * of_user - threads * users_per_batch * of_batch_user) // of_row
        if rows < n_sets + 2:
            least = fixed + of_user + threads * of_batch_user + (n_sets + 2) * of_row
            raise ValueError(
                f"memory_mb={memory_mb} does not hold the tables of one user; give {2 * least // 2**20 + 1}"
            )
        return cls(users, users_per_batch, min(rows, 2**16 - 1))
