"""Who comes when, and what a judge of answers notices."""

from datetime import UTC, datetime
from io import StringIO

import numpy as np
import pytest
from rich.console import Console

from batch.simulate import effects
from tests.bench.traffic import run
from tests.bench.traffic.figures import draw, figures
from tests.bench.traffic.judge import Answer, Chain, Judge
from tests.bench.traffic.visits import Visit, most_at_once, visits

DAY_S = 86_400
MIDNIGHT_S = int(datetime(2021, 12, 20, tzinfo=UTC).timestamp())


def drawn(n_users: int = 3000, begin_s: int = MIDNIGHT_S, end_s: int = MIDNIGHT_S + DAY_S) -> list[Visit]:
    """Draw the visits of a day."""
    return visits(range(1, 1 + n_users), begin_s, end_s, np.random.default_rng(7))


def answer(*posts: int, at_s: int = 100, generation: int = 1, named: int = 1, **said: str) -> Answer:
    """Return user 5's answer of as many posts as were asked for; a post reads as its generation says."""
    read = [(post, 1000 * named + post) for post in posts]
    return Answer(5, at_s, len(posts), read, generation, named, said.get("degraded", ""), said.get("why", ""))


def wrong(judge: Judge) -> dict[str, int]:
    """Return what a judge found."""
    return {kind: n for kind, n in judge.wrong.items() if n}


def test_a_day_has_the_sessions_hours_and_likes_of_the_made_world() -> None:
    day = drawn()

    begins = np.array([visit.views_s[0] - MIDNIGHT_S for visit in day])
    lengths = np.array([len(visit.views_s) for visit in day])
    gaps = np.concatenate([np.diff(visit.views_s) for visit in day])
    likes = np.concatenate([visit.liked for visit in day])
    assert len(day) / 3000 == pytest.approx(np.mean(effects.SESSION_CHANCE), rel=0.15)
    assert effects.FIRST_START_S <= begins.min() <= begins.max() < effects.LAST_START_S
    assert lengths.max() == effects.EARLY_VIEWS[1] + effects.LATE_VIEWS[1]
    assert (gaps.min(), gaps.max()) == effects.VIEW_GAP_S
    assert likes.mean() == pytest.approx(effects.LIKE_RATE, rel=0.25)
    assert len({visit.user_id for visit in day}) == len(day)


def test_visits_are_drawn_again_from_the_same_seed_and_begin_in_order() -> None:
    begins = [visit.views_s[0] for visit in drawn()]

    assert drawn() == drawn()
    assert begins == sorted(begins)


def test_who_is_there_at_the_begin_goes_on_and_all_stop_at_the_end() -> None:
    begin_s, end_s = MIDNIGHT_S + 12 * 3600, MIDNIGHT_S + 13 * 3600

    whole = {visit.user_id: visit.views_s for visit in drawn()}
    hour = drawn(begin_s=begin_s, end_s=end_s)

    assert any(whole[visit.user_id][0] < begin_s for visit in hour)
    assert any(whole[visit.user_id][-1] >= end_s for visit in hour)
    for visit in hour:
        assert visit.views_s == [at_s for at_s in whole[visit.user_id] if begin_s <= at_s < end_s]
    assert 0 < most_at_once(hour) < len(hour)


def test_a_time_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(ValueError, match="end_s=5 must be after begin_s=5"):
        visits([1], 5, 5, np.random.default_rng(0))


def test_right_answers_are_not_blamed() -> None:
    judge, chain = Judge(taken_down={9}), Chain()

    judge.saw(5, 3, 101)
    judge.saw(6, 2, 50)
    judge.read(answer(1, 2, 3), judge.taken_down())
    judge.read(answer(1, 2), judge.taken_down(), chain)
    judge.read(answer(3, 4), judge.taken_down(), chain)
    judge.read(answer(3, at_s=102, degraded="store"), judge.taken_down())
    judge.read(answer(1, 2, generation=2, named=2), judge.taken_down())

    assert wrong(judge) == {}


def test_a_post_seen_by_the_time_asked_is_noticed_but_for_an_answer_from_memory() -> None:
    judge = Judge()
    judge.saw(5, 3, 100)
    judge.saw(5, 3, 200)  # the first time counts

    judge.read(answer(1, 3), ())
    judge.read(answer(3, degraded="value"), ())
    judge.read(answer(3, degraded="generation"), ())

    assert wrong(judge) == {"seen": 2}
    assert judge.told[0] == "seen: user 5 at 100, generation 1: [3] of [1, 3]"


def test_a_takedown_counts_from_the_request_after_it() -> None:
    judge = Judge()
    before = judge.taken_down()
    judge.took_down(3)

    judge.read(answer(3), before)
    assert wrong(judge) == {}
    judge.read(answer(3, degraded="store"), judge.taken_down())

    assert wrong(judge) == {"taken_down": 1}


def test_a_post_twice_in_an_answer_or_on_two_pages_is_noticed() -> None:
    judge, chain = Judge(), Chain()

    judge.read(answer(1, 1), ())
    judge.read(answer(1, 2), (), chain)
    judge.read(answer(2, 3), (), chain)

    assert wrong(judge) == {"duplicate": 2}


def test_posts_of_another_generation_are_noticed_by_header_body_chain_and_text() -> None:
    judge, chain = Judge(), Chain()

    judge.read(answer(1, generation=1, named=2), ())
    judge.read(answer(1), (), chain)
    judge.read(answer(2, generation=2, named=2), (), chain)
    judge.read(Answer(5, 100, 1, [(1, 2001)], 1, 1), ())

    assert wrong(judge) == {"foreign": 3}


def test_too_few_posts_are_noticed_unless_the_answer_says_so() -> None:
    judge = Judge()

    judge.read(Answer(5, 100, 2, [(1, 1)], 1, 1), ())
    judge.read(Answer(5, 100, 2, [(1, 1)], 1, 1, underfill="seen"), ())

    assert wrong(judge) == {"short": 1}


def test_figures_count_all_but_200_as_failures() -> None:
    heard = {
        "took_ms": {"GET /b": [1.0, 2.0, 3.0], "GET /a": [5.0]},
        "statuses": {"GET /b": {"200": 2, "0": 1}, "GET /a": {"503": 1}},
        "hours": {"23": 3, "0": 1},
        "wrong": {"seen": 2},
        **{name: {} for name in ("did", "rungs", "degraded", "events", "told")},
        "takedowns": 0,
        "took_s": 2.0,
        "cpu_s": 0.5,
    }

    found = figures(heard)

    assert list(found["routes"]) == ["GET /a", "GET /b"]  # type: ignore[call-overload]
    assert found["all"] == {
        "requests": 4,
        "failures": 2,
        "statuses": {"0": 1, "200": 2, "503": 1},
        "p50_ms": 2.5,
        "p95_ms": 4.7,
        "p99_ms": 4.94,
    }
    assert (found["requests_per_s"], found["n_wrong"], found["generator_cpu"]) == (2.0, 2, 0.25)


def test_the_table_names_routes_statuses_and_what_was_wrong_in_eighty_columns() -> None:
    took_ms = {"DELETE /posts/{post_id}/takedown": [1.0], "GET /users/{user_id}/feed": [2.0] * 12_000}
    heard = {
        "took_ms": took_ms,
        "statuses": {route: {"200": len(took)} for route, took in took_ms.items()},
        **{name: {} for name in ("did", "rungs", "degraded", "events", "hours")},
        "wrong": {"seen": 1, "short": 0},
        "told": ["seen: user 5 at 100, generation 1: [3] of [1, 3]"],
        "takedowns": 1,
        "took_s": 60.0,
        "cpu_s": 6.0,
    }
    console = Console(width=80, record=True, file=StringIO())

    draw(console, figures(heard))

    drawn = console.export_text()
    assert "DELETE /posts/{post_id}/takedown         1         0    1.00    1.00    1.00" in drawn
    assert "all                                 12,001         0    2.00    2.00    2.00" in drawn
    assert "statuses          200 12,001" in drawn
    assert "wrong seen: user 5 at 100, generation 1: [3] of [1, 3]" in drawn


def test_without_locust_one_sentence_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)

    with pytest.raises(LookupError, match=r"needs locust, .*: pip install 'almanac-feed\[load\]'"):
        run.run(run.Target("http://127.0.0.1:9", "", range(10), as_of_s=0), seconds=1, speed=1)


def test_events_without_a_token_and_traffic_of_the_future_are_refused() -> None:
    target = run.Target("http://127.0.0.1:9", "", range(10), as_of_s=0)

    with pytest.raises(ValueError, match="events need a token of scope write"):
        run.running(target.url, "", range(10))
    with pytest.raises(LookupError, match=r"127\.0\.0\.1:9/ready does not answer"):
        run.running(target.url, "", range(10), tells=False)
    with pytest.raises(ValueError, match="2100-01-01T00:00 on end in the future"):
        run.run(target, seconds=1, speed=1, at_s=int(datetime(2100, 1, 1, tzinfo=UTC).timestamp()))
