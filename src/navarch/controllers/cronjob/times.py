"""When a schedule fires, in a time zone: the next time after a moment, the latest up to one. Pure.

A schedule fires in every minute whose local fields it names, as the cron of Kubernetes does: a time that a clock skips
in spring is skipped, one that it shows twice in autumn fires twice.

Source: https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/#time-zones
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from navarch.objects.cron import Schedule

FARTHEST_YEARS = 5
"""A schedule that does not fire for so long (31 February) never does."""
_MINUTE = timedelta(minutes=1)


def next_time(schedule: Schedule, zone: ZoneInfo, after: datetime) -> datetime | None:
    """The first time later than `after`, in UTC; None where it never fires."""
    if schedule.every_s:
        return after.replace(microsecond=0) + timedelta(seconds=int(schedule.every_s))
    moment = after.astimezone(UTC).replace(second=0, microsecond=0) + _MINUTE
    last_year = moment.year + FARTHEST_YEARS
    while moment.year <= last_year:
        later = _skip(schedule, moment.astimezone(zone), moment)
        if later == moment:
            return moment
        moment = max(later, moment + _MINUTE)
    return None


def _skip(schedule: Schedule, local: datetime, moment: datetime) -> datetime:
    """`moment` where it fits, else a later one before which none does. local: the same, as clocks there show it."""
    if local.month not in schedule.months:
        first = local.replace(day=1, hour=0, minute=0, fold=0)
        following = first.replace(year=first.year + first.month // 12, month=first.month % 12 + 1)
        return following.astimezone(UTC)
    if not _is_day(schedule, local):
        day = local.replace(hour=0, minute=0, tzinfo=None, fold=0) + timedelta(days=1)
        return day.replace(tzinfo=local.tzinfo).astimezone(UTC)
    if local.hour not in schedule.hours:
        return moment + (60 - local.minute) * _MINUTE
    later = [minute for minute in schedule.minutes if minute >= local.minute]
    return moment + (min(later, default=60) - local.minute) * _MINUTE


def _is_day(schedule: Schedule, local: datetime) -> bool:
    """Where both fields name days, either will do."""
    by_day, by_weekday = local.day in schedule.days, local.isoweekday() % 7 in schedule.weekdays
    return (by_day and by_weekday) if schedule.any_day or schedule.any_weekday else (by_day or by_weekday)


def latest_time(schedule: Schedule, zone: ZoneInfo, after: datetime, now: datetime) -> tuple[datetime, int] | None:
    """The last time later than `after` and not later than `now`, and about how often it fired in between."""
    first = next_time(schedule, zone, after)
    if first is None or first > now:
        return None
    second = next_time(schedule, zone, first)
    if second is None or second > now:
        return first, 1
    missed = int((now - first) / (second - first)) + 1
    if schedule.every_s:
        return first + timedelta(seconds=int(schedule.every_s)) * (missed - 1), missed
    return _last(schedule, zone, first, now), missed


def _last(schedule: Schedule, zone: ZoneInfo, first: datetime, now: datetime) -> datetime:
    """Look back further and further until there is one, then forward to the last."""
    span, found = _MINUTE, first
    while now - span > first:
        candidate = next_time(schedule, zone, now - span)
        if candidate is not None and candidate <= now:
            found = candidate
            break
        span *= 4
    while (later := next_time(schedule, zone, found)) is not None and later <= now:
        found = later
    return found
