"""When a line of crontab(5) is due, as a trigger of APScheduler, whose weekdays count from Monday."""

import re
from calendar import month_abbr
from datetime import UTC
from zoneinfo import ZoneInfo

from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.combining import OrTrigger
from apscheduler.triggers.cron import CronTrigger

from batch.jobs.zoned import Zoned

NAMED = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
MONTHS = {name.lower(): str(number) for number, name in enumerate(month_abbr) if name}
DAYS = re.compile(r"(?:\*|(?P<first>[a-z]+|[0-9])(?:-(?P<last>[a-z]+|[0-9]))?)(?:/(?P<step>[1-9]))?")


def read_cron(expression: str, zone: str = "UTC") -> BaseTrigger:
    """Return the trigger of five fields on the clocks of a zone, or of a name like `@daily`.

    Where both a day of the month and a weekday are told, either is enough, as crontab(5) has it.
    An expression whose hours begin with `*` is one of every hour; `Zoned` says what that means.

    Raises:
        ValueError: It is no such expression.
    """
    fields = NAMED.get(expression.strip().lower(), expression).split()
    if len(fields) != 5:
        raise ValueError(f"it needs five fields, not {len(fields)}, or to be one of {', '.join(NAMED)}")
    minute, hour, day, month, weekday = fields
    month = re.sub("[a-z]+", lambda name: MONTHS.get(name[0], name[0]), month.lower())
    at = {"minute": minute, "hour": hour, "month": month, "timezone": UTC}
    weekdays = expand_weekdays(weekday)
    if day.startswith("*") or weekday.startswith("*"):
        wall: BaseTrigger = CronTrigger(day=day, day_of_week=weekdays, **at)
    else:
        wall = OrTrigger([CronTrigger(day=day, **at), CronTrigger(day_of_week=weekdays, **at)])
    return Zoned(wall, ZoneInfo(zone), every_hour=hour.startswith("*"))


def expand_weekdays(field: str) -> str:
    """Return the names of the weekdays that a field of crontab(5) tells, in which 0 and 7 are Sunday.

    Raises:
        ValueError: It tells none.

    >>> expand_weekdays("1-5/2,7"), expand_weekdays("fri-sun"), expand_weekdays("*")
    ('sun,mon,wed,fri', 'sun,fri,sat', '*')
    """
    days = {day % 7 for part in field.lower().split(",") for day in _days_of(part)}
    return "*" if len(days) == 7 else ",".join(WEEKDAYS[day] for day in sorted(days))


def _days_of(part: str) -> range:
    found = DAYS.fullmatch(part)
    if found is None:
        raise ValueError(f"{part!r} is no weekday; they are 0 to 7 and sun to sat")
    first, last, step = found.groups()
    begin = _day_of(first) if first else 0
    end = _day_of(last) if last else begin if first and not step else 6
    if end == 0 and begin:
        end = 7  # a range may end on Sunday by any of its names
    if end < begin:
        raise ValueError(f"the weekdays {part!r} end before they begin")
    return range(begin, end + 1, int(step or 1))


def _day_of(word: str) -> int:
    if word in WEEKDAYS:
        return WEEKDAYS.index(word)
    if not word.isdigit() or int(word) > 7:
        raise ValueError(f"{word!r} is no weekday; they are 0 to 7 and sun to sat")
    return int(word)
