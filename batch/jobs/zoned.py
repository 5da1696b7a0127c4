"""Times of a clock on the wall as moments: what is due in the nights in which clocks are changed."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from apscheduler.triggers.base import BaseTrigger

TICK = timedelta(microseconds=1)


class Zoned(BaseTrigger):  # type: ignore[misc] # APScheduler has no types
    """The times of a trigger in UTC, read as times on the wall of a zone.

    Where clocks leave an hour out, what was due in it is due once, at the moment of the change; in one that
    comes twice, the first time only. A trigger of every hour is due by the moments themselves, as cron has
    it: in an hour that is left out never, in one that comes twice both times.
    """

    __slots__ = ("_every_hour", "_wall", "_zone")

    def __init__(self, wall: BaseTrigger, zone: ZoneInfo, *, every_hour: bool) -> None:
        """Take the trigger whose times in UTC are those on the wall."""
        self._wall, self._zone, self._every_hour = wall, zone, every_hour

    def __str__(self) -> str:
        """Show the trigger and the zone."""
        return f"{self._wall} {self._zone}"

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime | None:
        """Return the first moment from `now` on, or the first after the previous one; in UTC."""
        begin = (now if previous_fire_time is None else previous_fire_time + TICK).astimezone(UTC)
        return self._next_by_moments(begin) if self._every_hour else self._next_by_wall(begin)

    def _next_by_wall(self, begin: datetime) -> datetime | None:
        for shown in self._shown_from(self._wall_at(begin - TICK)):
            moment = self._first_moment(shown)
            if moment >= begin:
                return moment
        return None

    def _next_by_moments(self, begin: datetime) -> datetime | None:
        while True:
            offset = self._offset_at(begin)
            shown = next(self._shown_from(_as_utc(begin + offset)), None)
            if shown is None:
                return None
            moment = shown - offset
            if self._offset_at(moment) == offset:
                return moment
            begin = self._find_change(begin, moment)

    def _shown_from(self, shown: datetime) -> Iterator[datetime]:
        """Yield the times on the wall that are due from one on, as if they were in UTC."""
        last: datetime | None = None
        while (last := self._wall.get_next_fire_time(last, last or shown)) is not None:
            yield last

    def _first_moment(self, shown: datetime) -> datetime:
        """Return when the wall first shows a time or, where it never does, when it leaves it out."""
        moment = shown.replace(tzinfo=self._zone, fold=0).astimezone(UTC)
        if self._wall_at(moment) == shown:
            return moment
        return self._find_change(moment - timedelta(days=1), moment)

    def _find_change(self, before: datetime, after: datetime) -> datetime:
        """Return the first moment whose offset is no longer that of `before`, to the second."""
        offset = self._offset_at(before)
        low, high = int(before.timestamp()), -int(-after.timestamp() // 1)
        while high - low > 1:
            middle = (low + high) // 2
            if self._offset_at(datetime.fromtimestamp(middle, UTC)) == offset:
                low = middle
            else:
                high = middle
        return datetime.fromtimestamp(high, UTC)

    def _wall_at(self, moment: datetime) -> datetime:
        return _as_utc(moment + self._offset_at(moment))

    def _offset_at(self, moment: datetime) -> timedelta:
        return moment.astimezone(self._zone).utcoffset() or timedelta(0)


def _as_utc(shown: datetime) -> datetime:
    return shown.replace(tzinfo=UTC)
