"""The inspector as an ASGI app: who is let in, which page stands where, and what each error looks like."""

import asyncio
import gzip
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass
from hmac import compare_digest
from typing import Any
from urllib.parse import parse_qsl

import orjson
import redis
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from api.contract.facets import NotFiltered
from batch.data.tables.location import SourceError
from batch.errors import describe
from batch.inspector import asked, reads
from batch.inspector.acts import act
from batch.inspector.desk import Desk
from batch.inspector.door import SESSION_S, Door, Session
from batch.inspector.guard import Guard
from batch.inspector.refused import Refused
from batch.inspector.render import STATIC, TEXTS, TWIN, render
from batch.inspector.runs import follow_run
from batch.publish.ledger.ledger import NothingServed
from batch.publish.replay.kept import GenerationLost
from batch.store.connection import StoreFailed

LONGEST_FORM = 65_536  # bytes
LIVE_S = 1.0  # between two looks at a run that is followed
Read = Callable[[Desk, Request], Mapping[str, Any]]
Form = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Inspector:
    """Makes the routes of one app."""

    desk: Desk
    door: Door
    cookie: str

    def app(self, hosts: Iterable[str]) -> ASGIApp:
        """Return the app; `hosts` are the names that browsers may call it by."""
        routes = [
            Route("/static/{name}", _static),
            Route("/enter", self._enter_by_link, methods=["GET"]),
            Route("/enter", self._enter_by_token, methods=["POST"]),
            Route("/leave", self._change(self._leave), methods=["POST"]),
            Route("/", self._page("feed", reads.read_feed)),
            *self._pair("/feed", "feed", reads.read_feed),
            Route("/feed/random", self._page("", reads.read_feed_of_random)),
            *self._pair("/post", "post", reads.read_post),
            *self._pair("/why", "why", reads.read_why),
            *self._pair("/generations", "generations", reads.read_generations),
            *self._pair("/generation", "generation", reads.read_generation),
            *self._pair("/diff", "diff", reads.read_diff),
            *self._pair("/confirm", "confirm", reads.read_confirm),
            *self._pair("/runs", "runs", reads.read_runs),
            *self._pair("/run", "run", reads.read_run),
            *self._pair("/data", "data", reads.read_data),
            *self._pair("/experiments", "experiments", reads.read_experiments),
            *self._pair("/experiment", "experiment", reads.read_experiment),
            Route("/run/live", self._follow),
            Route("/act", self._change(self._act), methods=["POST"]),
        ]
        # Outside of Starlette's own layers, so that the answer to a bug is guarded too.
        return Guard(Starlette(routes=routes, exception_handlers={404: self._lost}), hosts)

    def _pair(self, path: str, page: str, read: Read) -> list[Route]:
        """Return the routes of a page and of its twin, which must be found first."""
        return [Route(path + TWIN, self._page(page, read)), Route(path, self._page(page, read))]

    def _page(self, page: str, read: Read) -> Callable[[Request], Any]:
        """Return what answers a page that changes nothing."""

        def endpoint(request: Request) -> Response:
            session = self._find(request)
            if session is None and not self._brings_token(request):
                return render(request, "enter", {"error": TEXTS["enter"]["needed"]}, status=401)
            try:
                return render(request, page, read(self.desk, request), session)
            except reads.Redirect as exc:
                return RedirectResponse(exc.to, 303)
            except Exception as exc:
                return self._say(request, exc, session)

        return endpoint

    def _change(self, act: Callable[[Session, Form], str]) -> Callable[[Request], Any]:
        """Return what answers a form that changes something; `act` returns where to go afterwards."""

        async def endpoint(request: Request) -> Response:
            session = self._find(request)
            if session is None:
                return render(request, "enter", {"error": TEXTS["enter"]["needed"]}, status=401)
            try:
                form = await _read_form(request)
                _check_form(request, form, session)
                return RedirectResponse(await run_in_threadpool(act, session, form), 303)
            except Exception as exc:
                return self._say(request, exc, session)

        return endpoint

    def _enter_by_link(self, request: Request) -> Response:
        session = self.door.enter_by_link(request.query_params.get("code", ""))
        if session is None:
            return render(request, "enter", {"error": TEXTS["enter"]["bad_link"]}, status=403)
        return self._let_in(session)

    async def _enter_by_token(self, request: Request) -> Response:
        try:
            token = (await _read_form(request)).get("token", "").strip()
        except Refused as exc:
            return render(request, "enter", {"error": str(exc)}, status=400)
        session = self.door.enter_by_token(token) if _is_from_here(request) else None
        if session is None:
            return render(request, "enter", {"error": TEXTS["enter"]["bad_token"]}, status=403)
        return self._let_in(session)

    def _let_in(self, session: Session) -> Response:
        response = RedirectResponse("/", 303)
        response.set_cookie(self.cookie, session.key, max_age=SESSION_S, httponly=True, samesite="strict")
        return response

    async def _follow(self, request: Request) -> Response:
        """Answer with what changes of a run, each second, until it has ended or its reader has left."""
        if self._find(request) is None:
            return Response("", 401)
        try:
            number = asked.read_number(request.query_params, "number")
            first = await run_in_threadpool(follow_run, self.desk, number)
        except (LookupError, ValueError) as exc:
            return Response(str(exc), 404, media_type="text/plain")

        async def events() -> AsyncIterator[bytes]:
            told = first
            yield b"data: %s\n\n" % orjson.dumps(told)
            while told["is_on"] and self._find(request) and not await request.is_disconnected():
                await asyncio.sleep(LIVE_S)
                told = await run_in_threadpool(follow_run, self.desk, number)
                yield b"data: %s\n\n" % orjson.dumps(told)

        return StreamingResponse(events(), media_type="text/event-stream")

    def _act(self, session: Session, form: Form) -> str:
        return act(self.desk, form, session.who)

    def _leave(self, session: Session, _: Form) -> str:
        self.door.leave(session)
        return "/"

    def _lost(self, request: Request, _: Exception) -> Response:
        values = {"title": TEXTS["errors"]["unknown"], "error": TEXTS["errors"]["no_page"], "status": 404}
        return render(request, "error", values, self._find(request), 404)

    def _find(self, request: Request) -> Session | None:
        return self.door.find(request.cookies.get(self.cookie, ""))

    def _brings_token(self, request: Request) -> bool:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and self.door.is_admin(token.strip())

    def _say(self, request: Request, exc: Exception, session: Session | None) -> Response:
        """Return the page of an error; one that is a bug of ours goes on, to the log."""
        if isinstance(exc, redis.RedisError):
            exc = StoreFailed(self.desk.url, exc)
        for kinds, status, title in _ERRORS:
            if isinstance(exc, kinds):
                values = {
                    "title": TEXTS["errors"][title],
                    "error": describe(exc, self.desk.settings.state_dir),
                    "status": status,
                }
                return render(request, "error", values, session, status)
        raise exc


_ERRORS: tuple[tuple[tuple[type[Exception], ...], int, str], ...] = (
    ((Refused,), 403, "refused"),
    ((NothingServed,), 503, "nothing"),
    ((GenerationLost,), 410, "gone"),
    ((NotFiltered,), 422, "invalid"),
    ((LookupError,), 404, "unknown"),
    ((SourceError,), 503, "database"),
    ((ValueError,), 422, "invalid"),
    ((StoreFailed,), 503, "store"),
    ((sqlite3.Error, OSError), 503, "folder"),
)


def _static(request: Request) -> Response:
    """Answer with a file, packed where the browser can; pages, which hold secrets, are not packed."""
    found = STATIC.get(request.path_params["name"])
    if found is None:
        return Response("", 404)
    if "gzip" not in request.headers.get("accept-encoding", ""):
        return Response(found[0], media_type=found[1])
    return Response(
        gzip.compress(found[0], mtime=0), media_type=found[1], headers={"Content-Encoding": "gzip"}
    )


def _is_from_here(request: Request) -> bool:
    """Say whether a form was sent by a page of ours; browsers say so, other clients say nothing."""
    return request.headers.get("sec-fetch-site", "same-origin") in ("same-origin", "none")


def _check_form(request: Request, form: Form, session: Session) -> None:
    """Make sure that a form is of a page of the session's.

    Raises:
        Refused: It is not.
    """
    if not compare_digest(form.get("csrf", "").encode(), session.csrf.encode()) or not _is_from_here(request):
        raise Refused(TEXTS["errors"]["csrf"])


async def _read_form(request: Request) -> Form:
    """Read a form's fields.

    Raises:
        Refused: It is longer than any of ours.
    """
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > LONGEST_FORM:
            raise Refused(TEXTS["errors"]["long"])
    return dict(parse_qsl(body.decode(errors="replace"), keep_blank_values=True))
