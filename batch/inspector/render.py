"""Values into pages: Jinja with everything escaped; the same values as JSON at the page's `.json` twin."""

import tomllib
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import jinja2
import orjson
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from batch.inspector.door import Session
from batch.inspector.picture import lay_out
from batch.inspector.tables import missing_tables, percent, place, rate_tables, spread_tables

_HERE = files("batch.inspector")
TEXTS: Mapping[str, Any] = tomllib.loads((_HERE / "texts.toml").read_text("utf-8"))
STATIC = {
    name: ((_HERE / "static" / name).read_bytes(), kind)
    for name, kind in (
        ("style.css", "text/css; charset=utf-8"),
        ("live.js", "text/javascript; charset=utf-8"),
        ("icon.svg", "image/svg+xml"),
    )
}
TWIN = ".json"


def say_span(seconds: float) -> str:
    """Return how long a time is in words, in minutes up to an hour, in hours up to three days.

    >>> say_span(90), say_span(5400), say_span(864_000)
    ('2 minutes', '1.5 hours', '10.0 days')
    """
    hours = seconds / 3600
    if hours < 1:
        return str(TEXTS["spans"]["minutes"].format(n=f"{hours * 60:.0f}"))
    unit, n = ("hours", hours) if hours < 72 else ("days", hours / 24)
    return str(TEXTS["spans"][unit].format(n=f"{n:,.1f}"))


_jinja = jinja2.Environment(
    loader=jinja2.FunctionLoader(lambda name: (_HERE / "pages" / name).read_text("utf-8")),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_jinja.globals["t"] = TEXTS
_jinja.globals["lay_out"] = lay_out
_jinja.filters["span"] = say_span
_jinja.filters["clock"] = lambda at: "–" if at is None else str(at)[:16].replace("T", " ")
_jinja.filters["as_json"] = lambda value: orjson.dumps(value, default=str).decode()
for draw in (percent, place, rate_tables, spread_tables, missing_tables):
    _jinja.filters[draw.__name__] = draw


def render_file(page: str, values: Mapping[str, Any]) -> str:
    """Return a page that stands alone: its style is inside, and it loads nothing."""
    return _jinja.get_template(f"{page}.html").render(v=values, style=STATIC["style.css"][0].decode())


def render(
    request: Request,
    page: str,
    values: Mapping[str, Any],
    session: Session | None = None,
    status: int = 200,
) -> Response:
    """Return a page, or where its twin was asked for, its values as JSON."""
    if request.url.path.endswith(TWIN):
        body = orjson.dumps(values, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS, default=str)
        return Response(body, status, media_type="application/json")
    query = f"?{request.url.query}" if request.url.query else ""
    twin = (request.url.path.rstrip("/") or "/feed") + TWIN + query
    text = _jinja.get_template(f"{page}.html").render(
        v=values,
        page=page,
        twin=twin,
        again=request.url.path + query if request.method == "GET" else "",
        csrf=session.csrf if session else "",
        is_in=session is not None,
    )
    return HTMLResponse(text, status)
