"""A client of the inspector on the tests' store, signed in or not; its clock stands where it is put."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from api.tokens import FILE, TokenRegistry
from batch.inspector.app import Inspector
from batch.inspector.desk import Desk
from batch.inspector.door import Door
from batch.settings import Settings
from batch.store.connection import connect
from tests.clients import NOW_S

COOKIE = "almanac_inspector_0"


@dataclass
class Clock:
    """A clock that a test sets."""

    now_s: float = NOW_S

    def __call__(self) -> float:
        """Return the time."""
        return self.now_s


@dataclass
class Inspected:
    """The inspector of a test: a client, who lets in, and the clock."""

    client: TestClient
    door: Door
    clock: Clock

    def enter(self) -> "Inspected":
        """Sign in by a link."""
        assert self.client.get(f"/enter?code={self.door.make_link()}").status_code == 303
        return self

    def read(self, path: str, status: int = 200, **query: Any) -> Any:
        """Return the values of a page, from its twin; the page itself must answer alike."""
        page = self.client.get(path, params=query)
        twin = self.client.get(f"{path}.json", params=query)
        assert (page.status_code, twin.status_code) == (status, status), page.text
        assert page.headers["content-type"].startswith("text/html")
        return twin.json()

    def text(self, path: str, **query: Any) -> str:
        """Return a page."""
        return self.client.get(path, params=query).text

    @property
    def csrf(self) -> str:
        """Return what forms must bring."""
        key = self.client.cookies[COOKIE]
        session = self.door.find(key)
        assert session is not None
        return session.csrf

    def post(self, path: str, **fields: Any) -> Any:
        """Send a form as its page does."""
        return self.client.post(path, data={"csrf": self.csrf, **fields})


@contextmanager
def inspecting(url: str, state_dir: Path, **settings: Any) -> Iterator[Inspected]:
    """Give the inspector of a store; nobody is signed in yet."""
    clock = Clock()
    with connect(url, 5.0) as client:
        door = Door(TokenRegistry(state_dir / FILE), clock)
        made = Settings(redis_url=url, state_dir=state_dir, **settings)
        app = Inspector(Desk(made, url, client, clock), door, COOKIE).app(["testserver", "127.0.0.1"])
        with TestClient(app, follow_redirects=False) as opened:
            yield Inspected(opened, door, clock)
