"""What the API is measured against, each a whole app for uvicorn; all answer the same bytes.

    empty   a FastAPI endpoint without parameters that returns a ready response
    raw     the same in bare ASGI
    naive   the feed as one writes it first: typed parameters, one redis-py pipeline a request, models out

The environment names a file with the answer that `empty` and `raw` give, headers included.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, cast

import orjson
from fastapi import FastAPI, Query, Request, Response
from pydantic import BaseModel
from redis.asyncio import Redis

from api.contract.buckets import epoch
from api.contract.codec import decode
from api.contract.keys import Keys
from api.contract.manifest import Manifest

ANSWER, STORE = "ALMANAC_BENCH_ANSWER", "ALMANAC_REDIS_URL"

Pairs = list[tuple[bytes, bytes]]


class Post(BaseModel):
    """A post, as the naive route answers it."""

    id: int | str
    text: str
    topic: str


def empty() -> FastAPI:
    """Make the app with an endpoint that does nothing."""
    content, headers = _answer()
    shown = {name.decode(): value.decode() for name, value in headers}
    app = FastAPI()

    @app.get("/")
    async def nothing() -> Response:
        return Response(content, headers=shown)

    return app


def raw() -> Any:
    """Make the ASGI app that does nothing."""
    content, headers = _answer()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            for step in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{step}.complete"})
            return
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    return app


def naive() -> FastAPI:
    """Make the app that looks up by one pipeline a request."""
    keys = Keys()

    @asynccontextmanager
    async def opened(_: FastAPI) -> AsyncIterator[dict[str, Any]]:
        async with Redis.from_url(os.environ[STORE]) as client:
            number = int(await client.hget(keys.current("default"), "generation") or 0)
            manifest = Manifest.from_json(cast("bytes", await client.get(keys.manifest(number))))
            texts = await client.hgetall(keys.posts(number))
            posts = {int(post): Post(**orjson.loads(text)) for post, text in texts.items()}
            ids = await client.hgetall(keys.ids())
            numbers = {post_id: int(number) for number, post_id in ids.items()}
            yield {"client": client, "manifest": manifest, "posts": posts, "numbers": numbers}

    app = FastAPI(lifespan=opened)

    @app.get("/post/recommendations/")
    async def recommendations(
        request: Request, user_id: Annotated[str, Query(alias="id")], time: datetime, limit: int = 10
    ) -> list[Post]:
        state, at_s = request.state, epoch(time)
        manifest: Manifest = state.manifest
        pipe = state.client.pipeline(transaction=False)
        pipe.hget(keys.current("default"), "generation")
        pipe.smembers(keys.takedowns())
        pipe.hget(keys.list(user_id, manifest.generation), str(manifest.horizon.bucket_for(at_s)))
        pipe.zrangebyscore(keys.seen(user_id), f"({manifest.as_of_s}", at_s)
        _, taken_down, ranked, seen = await pipe.execute()
        down = {state.numbers[post] if post in state.numbers else int(post) for post in taken_down}
        hidden = {*down, *map(int, seen)}
        return [state.posts[post] for post in decode(ranked) if post not in hidden][:limit]

    return app


def _answer() -> tuple[bytes, Pairs]:
    """Read status line's companions and body as `serve.py` wrote them."""
    said = orjson.loads(Path(os.environ[ANSWER]).read_bytes())
    content = str(said["body"]).encode()
    headers = [(name.encode(), value.encode()) for name, value in said["headers"].items()]
    return content, [*headers, (b"content-length", b"%d" % len(content))]
