"""Answers as rows of a table: one a user and rank."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import redis

from api.contract.ids import as_json
from api.contract.keys import Keys
from api.contract.manifest import Manifest
from api.feed import Answer
from api.found import Generation

TYPES = {"numbers": pa.int64(), "text": pa.string()}
SHOWN = ("text", "topic")  # of a post


def schema_of(manifest: Manifest, *, with_posts: bool) -> pa.Schema:
    """Return the columns; ids are int64 or strings, as JSON has them."""
    columns = {
        "user_id": TYPES[manifest.user_ids],
        "rank": pa.int32(),
        "post_id": TYPES[manifest.post_ids],
        "rung": pa.string(),
        "generation": pa.int64(),
    }
    return pa.schema({**columns, **(dict.fromkeys(SHOWN, pa.string()) if with_posts else {})})


class Rows:
    """Makes tables of answers of one generation."""

    def __init__(
        self,
        client: redis.Redis,
        keys: Keys,
        served: Generation,
        spelled: dict[str, str],
        *,
        with_posts: bool,
    ) -> None:
        """Read nothing yet; `spelled` says how users are called who are called otherwise than their keys."""
        self.schema = schema_of(served.manifest, with_posts=with_posts)
        self._client, self._key = client, keys.posts(served.manifest.generation)
        self._served, self._spelled, self._with_posts = served, spelled, with_posts
        self._ids: dict[int, int | str] = {}
        self._shown: dict[int, tuple[str, ...]] = {}

    def table(self, given: Sequence[Answer]) -> pa.Table:
        """Return a row for each post of each answer, best first, ranks from 1 on."""
        manifest = self._served.manifest
        sizes = [len(one.posts) for one in given]
        posts = [post for one in given for post in one.posts]
        self._ids |= {post: self._served.id_of(post) for post in {*posts} - self._ids.keys()}
        users = [
            as_json(self._spelled.get(one.found.user_id, one.found.user_id), manifest.user_ids)
            for one in given
        ]
        columns: dict[str, Any] = {
            "user_id": pa.array(users, TYPES[manifest.user_ids]).take(
                pa.array(np.repeat(range(len(given)), sizes))
            ),
            "rank": np.concatenate([np.arange(1, n + 1, dtype=np.int32) for n in [*sizes, 0]]),
            "post_id": [self._ids[post] for post in posts],
            "rung": np.repeat([one.rung for one in given], sizes),
            "generation": np.full(len(posts), manifest.generation),
        }
        if self._with_posts:
            self._read_shown(posts)
            columns |= {name: [self._shown[post][k] for post in posts] for k, name in enumerate(SHOWN)}
        return pa.table(columns, schema=self.schema)

    def _read_shown(self, posts: Sequence[int]) -> None:
        """Read the texts of posts that have not been met yet."""
        new = sorted({*posts} - self._shown.keys())
        if new:
            for post, text in zip(
                new, self._client.hmget(self._key, [str(post) for post in new]), strict=True
            ):
                post_json = orjson.loads(text) if text else {}
                self._shown[post] = tuple(str(post_json.get(name, "")) for name in SHOWN)
