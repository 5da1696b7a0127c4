"""What `almanac schedule` keeps up: the schedule, what is asked for over HTTP, the drain of live events."""

from functools import partial

from api.contract.asked import Pipeline
from batch.jobs.asked import AskedRuns
from batch.jobs.attempts import deadline
from batch.jobs.drain import Drain
from batch.jobs.night import run_full, run_part, run_refresh
from batch.jobs.schedule import Job, Schedule
from batch.progress import Progress
from batch.runs.record import Asked
from batch.runs.runs import Runs
from batch.settings import Settings
from batch.store.connection import connect, open_store

REPLY_S = 5.0  # of the store, for what asks again a second later


def keep_up(settings: Settings, url: str, location: str, progress: Progress, *, at_start: bool) -> None:
    """Run at the times of the schedule and when somebody asks, until SIGTERM.

    Args:
        settings: Of all runs.
        url: Of the store.
        location: Folder or URL of the facts.
        progress: Where to show the steps.
        at_start: Whether to run once before the first time.

    Raises:
        ValueError: An expression of the schedule is none.
        StoreFailed: The store does not answer at the start; later it is waited for.
    """
    runs, by_http = Runs(settings.state_dir), Asked("http")
    client = partial(open_store, url, progress)

    def full(asked: Asked) -> object:
        return run_full(settings, client, location, progress, asked)

    def refresh(asked: Asked) -> object:
        return run_refresh(settings, client, location, progress, asked, evaluated=False)

    def run_asked(pipeline: Pipeline) -> None:
        with deadline(schedule.stop_run, settings.deadline_h):
            match pipeline:
                case "full":
                    full(by_http)
                case "refresh":
                    refresh(by_http)
                case "infer":
                    run_full(settings, client, location, progress, by_http, begin="features")
                case _:
                    run_part(settings, client, location, progress, pipeline, by_http)

    jobs = [Job("full", "ALMANAC_SCHEDULE", settings.schedule, full, settings.zone)]
    if settings.refresh_schedule:
        when = ("ALMANAC_REFRESH_SCHEDULE", settings.refresh_schedule)
        jobs.append(Job("refresh", *when, refresh, settings.zone))
    schedule = Schedule(jobs, runs, settings.variant, settings.deadline_h)
    with client():
        pass  # a wrong URL is better said now than at night
    with connect(url, REPLY_S) as store:
        queue = AskedRuns(store, settings.keys, runs, run_asked, schedule.stopped)
        queue.begin = schedule.on_demand("asked", queue.work)
        if settings.drain_s:
            schedule.every(settings.drain_s, "drain", Drain(settings, store))
        schedule.catch_up(at_start=at_start)
        schedule.run_forever(queue.watch)
