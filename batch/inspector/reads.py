"""What each page of the inspector shows: a request's parameters to the page's values."""

import random
from typing import Any
from urllib.parse import quote, urlencode

from starlette.requests import Request

from batch.inspector import asked, posts
from batch.inspector.acts import describe_act
from batch.inspector.data import show_data
from batch.inspector.desk import Desk
from batch.inspector.experiments import list_experiments, show_experiment
from batch.inspector.feed import show_feed
from batch.inspector.generations import compare_generations, list_generations, show_generation
from batch.inspector.people import draw_user
from batch.inspector.runs import list_runs, show_run
from batch.inspector.why import show_why


class Redirect(Exception):
    """The page is at another address."""

    def __init__(self, to: str) -> None:
        """Name it."""
        super().__init__(to)
        self.to = to


def read_feed(desk: Desk, request: Request) -> dict[str, Any]:
    wish = asked.read_wish(request.query_params, desk.settings.variant, desk.now())
    manifest = desk.store.current(desk.settings.variant)
    found = show_feed(desk, wish) if wish.user_id else None
    return {"segments": list(manifest.segments), "served": asked.describe(manifest), "feed": found}


def read_feed_of_random(desk: Desk, request: Request) -> dict[str, Any]:
    query = request.query_params
    variant = query.get("variant") or desk.settings.variant
    views = query.get("views", "")
    user = draw_user(desk, variant, query.get("segment", ""), views, random.SystemRandom())
    own = ("user", "segment", "views")
    kept = [(name, value) for name, value in query.multi_items() if value and name not in own]
    raise Redirect(f"/feed?{urlencode([('user', user), *kept], quote_via=quote)}")


def read_post(desk: Desk, request: Request) -> dict[str, Any]:
    query = request.query_params
    return posts.read_post(desk, asked.read_number(query, "generation"), query.get("id", ""))


def read_why(desk: Desk, request: Request) -> dict[str, Any]:
    query = request.query_params
    asked.read_id(query, "user")
    wish = asked.read_wish(query, desk.settings.variant, desk.now())
    return show_why(desk, wish, asked.read_id(query, "post"))


def read_generations(desk: Desk, _: Request) -> dict[str, Any]:
    return list_generations(desk)


def read_generation(desk: Desk, request: Request) -> dict[str, Any]:
    return show_generation(desk, asked.read_number(request.query_params, "number"))


def read_diff(desk: Desk, request: Request) -> dict[str, Any]:
    query = request.query_params
    a, b = asked.read_number(query, "a"), asked.read_number(query, "b")
    return compare_generations(desk, a, b, query.get("user", "").strip() or None)


def read_runs(desk: Desk, _: Request) -> dict[str, Any]:
    return list_runs(desk)


def read_run(desk: Desk, request: Request) -> dict[str, Any]:
    return show_run(desk, asked.read_number(request.query_params, "number"))


def read_data(desk: Desk, request: Request) -> dict[str, Any]:
    query = request.query_params
    return show_data(desk, asked.read_number(query, "run") if query.get("run", "").strip() else None)


def read_experiments(desk: Desk, _: Request) -> dict[str, Any]:
    return list_experiments(desk)


def read_experiment(desk: Desk, request: Request) -> dict[str, Any]:
    query = request.query_params
    return show_experiment(
        desk,
        query.get("name", ""),
        is_judged=bool(query.get("verdict")),
        is_followed=bool(query.get("looks")),
    )


def read_confirm(desk: Desk, request: Request) -> dict[str, Any]:
    return describe_act(desk, request.query_params)
