"""Traffic of a made world: who comes is drawn once, likes follow the truth, the load is bounded."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from batch.jobs.traffic import LOOKED_AT, Load, NotAsked, find_token, load_truth, play
from batch.progress import SILENT
from batch.simulate.config import WorldConfig
from batch.simulate.guests import Guests
from batch.simulate.truth import Truth

WORLD = WorldConfig(n_users=50, n_posts=120, seed=3)
TRUTH = Truth.from_config(WORLD)
AT_S = WORLD.end_s + 3600


def test_a_visit_is_the_same_whoever_plays_it_and_another_seed_has_others() -> None:
    one, again, other = (Guests.draw(TRUTH, 20, seed) for seed in (1, 1, 2))
    posts = TRUTH.post_ids[:5].tolist()

    def visits(guests: Guests, numbers: range) -> list[object]:
        who = {number: guests.who(number) for number in numbers}
        return [(user, guests.likes(number, user, posts, AT_S)) for number, user in sorted(who.items())]

    assert visits(one, range(30)) == visits(again, range(29, -1, -1))
    assert visits(one, range(30)) != visits(other, range(30))
    assert len(set(one.user_ids)) == 20
    assert set(one.user_ids) <= set(TRUTH.user_ids.tolist())
    assert Guests.draw(TRUTH, 999, 1).user_ids == TRUTH.user_ids.tolist()


def test_users_like_as_often_as_the_truth_says() -> None:
    guests, posts = Guests.draw(TRUTH, 50, 1), TRUTH.post_ids[:LOOKED_AT].tolist()
    user = guests.user_ids[7]

    liked = np.mean([guests.likes(visit, user, posts, AT_S) for visit in range(2000)], axis=0)

    chance = TRUTH.likely(user, np.array(posts), AT_S)
    assert np.abs(liked - chance).max() < 4 * np.sqrt(0.25 / 2000)


class Api(BaseHTTPRequestHandler):
    """Answers as an API does during an experiment whose arms go by the parity of users."""

    protocol_version = "HTTP/1.1"
    experiment, n_asked = "ab", 0
    told: ClassVar[list[dict[str, object]]] = []

    def do_GET(self) -> None:
        """Answer the first five posts, by the checker's route alone in the name of the experiment."""
        cls, user = type(self), int(self.path.partition("id=")[2].partition("&")[0] or 0)
        cls.n_asked += 1
        head = {"X-Almanac-Experiment": cls.experiment, "X-Almanac-Arm": "ab"[user % 2]} if user else {}
        posts = [{"id": post} for post in TRUTH.post_ids[:5].tolist()]
        self._answer({"exp_group": "test", "recommendations": posts}, head)

    def do_POST(self) -> None:
        """Take events."""
        events = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert self.headers["Authorization"] == "Bearer secret"
        type(self).told += events
        self._answer({"results": [{"status": "accepted"}] * len(events)}, {})

    def _answer(self, body: object, head: dict[str, str]) -> None:
        content = json.dumps(body).encode()
        self.send_response(200)
        for name, value in {**head, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def serving(handler: type[Api]) -> Iterator[str]:
    """Give the address of a server."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_it_asks_so_often_and_tells_what_was_seen_and_liked() -> None:
    class Own(Api):
        told: ClassVar[list[dict[str, object]]] = []

    guests = Guests.draw(TRUTH, 20, 1)
    with serving(Own) as url:
        played = play(guests, Load(url, "secret", "ab", per_s=500, seconds=60, visits=40), SILENT)

    likes = sum(played.likes.values())
    assert (played.visits, Own.n_asked) == (40, 41)
    assert sum(played.arms.values()) == 40
    assert sum(played.views.values()) == 200
    assert played.events == {"accepted": 200 + likes}
    assert all(played.seen[user] == {"ab"[user % 2]} for user in played.seen)
    assert len({event["id"] for event in Own.told}) == len(Own.told) == 200 + likes
    assert sum(event["action"] == "like" for event in Own.told) == likes > 0
    assert played.values()["users_in_several_arms"] == 0


def test_time_ends_it_however_slow_it_is() -> None:
    began = time.monotonic()
    with serving(Api) as url:
        played = play(Guests.draw(TRUTH, 5, 1), Load(url, "secret", "ab", per_s=20, seconds=0.5), SILENT)

    assert played.visits == 10
    assert time.monotonic() - began < 20


def test_an_experiment_that_does_not_answer_is_named_before_anything_is_played() -> None:
    with (
        serving(Api) as url,
        pytest.raises(NotAsked, match=r"'other' answers nothing at .*what does: ab, none"),
    ):
        play(Guests.draw(TRUTH, 5, 1), Load(url, "secret", "other", 20, 1), SILENT)
    with pytest.raises(NotAsked, match="does not answer"):
        play(Guests.draw(TRUTH, 5, 1), Load("http://127.0.0.1:1", "secret", "ab", 20, 1), SILENT)
    with pytest.raises(ValueError, match="is no address"):
        play(Guests.draw(TRUTH, 5, 1), Load("127.0.0.1:1", "secret", "ab", 20, 1), SILENT)


def test_without_a_world_or_a_token_it_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="almanac simulate"):
        load_truth(tmp_path)
    with pytest.raises(ValueError, match="--token"):
        find_token(tmp_path)

    (tmp_path / "world.json").write_text(WORLD.to_json())
    (tmp_path / "first-tokens.json").write_text('{"write": "w", "admin": "a"}')

    assert load_truth(tmp_path).config == WORLD
    assert find_token(tmp_path) == "w"
