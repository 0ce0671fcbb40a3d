"""CronJobs start one Job for each time, in the right minute of the right zone, and keep to their policies."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from navarch.base.clock import rfc3339
from navarch.controllers.cronjob import Observed, plan
from navarch.controllers.cronjob.plan import SCHEDULED
from navarch.controllers.cronjob.times import latest_time, next_time
from navarch.controllers.plan import Create, Delete, Event, Plan, Status
from navarch.kinds import CRONJOB, JOB
from navarch.kinds.object import Object
from navarch.objects.cron import Schedule, parse
from tests.unit.controllers.conftest import NOW, Make, ago

BERLIN, NEW_YORK, LORD_HOWE = ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York"), ZoneInfo("Australia/Lord_Howe")
UTC_ZONE = ZoneInfo("UTC")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


@pytest.mark.parametrize(
    ("schedule", "zone", "after", "wanted"),
    [
        ("* * * * *", UTC_ZONE, "2030-01-01T12:00:00+00:00", "2030-01-01T12:01:00+00:00"),
        ("* * * * *", UTC_ZONE, "2030-01-01T12:00:59+00:00", "2030-01-01T12:01:00+00:00"),
        ("@hourly", UTC_ZONE, "2030-01-01T12:00:00+00:00", "2030-01-01T13:00:00+00:00"),
        ("@yearly", UTC_ZONE, "2030-01-01T00:00:00+00:00", "2031-01-01T00:00:00+00:00"),
        ("@weekly", UTC_ZONE, "2030-01-01T00:00:00+00:00", "2030-01-06T00:00:00+00:00"),
        ("*/15 9-17 * * mon-fri", UTC_ZONE, "2030-01-04T17:45:00+00:00", "2030-01-07T09:00:00+00:00"),
        ("0 0 13 * 5", UTC_ZONE, "2030-01-01T00:00:00+00:00", "2030-01-04T00:00:00+00:00"),
        ("0 0 */2 * 5", UTC_ZONE, "2030-01-01T00:00:00+00:00", "2030-01-03T00:00:00+00:00"),
        ("0 0 29 2 *", UTC_ZONE, "2030-01-01T00:00:00+00:00", "2032-02-29T00:00:00+00:00"),
        ("30 12 * * *", BERLIN, "2030-07-01T00:00:00+00:00", "2030-07-01T12:30:00+02:00"),
        ("30 2 * * *", BERLIN, "2030-03-30T12:00:00+01:00", "2030-04-01T02:30:00+02:00"),
        ("30 2 * * *", BERLIN, "2030-10-27T02:30:00+02:00", "2030-10-27T02:30:00+01:00"),
        ("0 0 * * *", NEW_YORK, "2030-11-03T01:00:00-05:00", "2030-11-04T00:00:00-05:00"),
        ("45 1 * * *", LORD_HOWE, "2030-04-06T12:00:00+11:00", "2030-04-07T01:45:00+11:00"),
        ("@every 90m", UTC_ZONE, "2030-01-01T12:00:00.5+00:00", "2030-01-01T13:30:00+00:00"),
    ],
)
def test_the_next_time(schedule: str, zone: ZoneInfo, after: str, wanted: str) -> None:
    assert next_time(parse(schedule), zone, at(after)) == at(wanted)


def test_a_day_that_does_not_exist_never_comes() -> None:
    assert next_time(parse("59 23 31 2 *"), UTC_ZONE, NOW) is None
    assert latest_time(parse("59 23 31 2 *"), UTC_ZONE, NOW, NOW + timedelta(days=900)) is None


def fires(schedule: Schedule, zone: ZoneInfo, moment: datetime) -> bool:
    """What a schedule means, minute by minute."""
    local = moment.astimezone(zone)
    day, weekday = local.day in schedule.days, local.isoweekday() % 7 in schedule.weekdays
    right_day = (day and weekday) if schedule.any_day or schedule.any_weekday else (day or weekday)
    on = local.month in schedule.months and local.hour in schedule.hours and local.minute in schedule.minutes
    return on and right_day


def field(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    ranges = st.tuples(number, number).map(lambda pair: f"{min(pair)}-{max(pair)}")
    steps = st.integers(1, 20).map(lambda step: f"*/{step}")
    return st.one_of(
        st.just("*"),
        number.map(str),
        ranges,
        steps,
        st.lists(number, min_size=2).map(lambda ns: ",".join(map(str, ns))),
    )


SCHEDULES = st.tuples(field(0, 59), field(0, 23), field(1, 31), st.just("*"), field(0, 6)).map(" ".join)
ZONES = st.sampled_from([UTC_ZONE, BERLIN, NEW_YORK, LORD_HOWE, ZoneInfo("Africa/Cairo"), ZoneInfo("Asia/Kathmandu")])
STARTS = st.sampled_from(
    ["2030-01-01", "2030-03-30", "2030-03-09", "2030-10-26", "2030-11-02", "2030-04-06", "2030-10-05", "2030-04-25"]
)


@settings(max_examples=120, deadline=None)
@given(SCHEDULES, ZONES, STARTS, st.integers(0, 86400))
def test_it_fires_in_the_minutes_that_it_names_and_in_no_others(
    text: str, zone: ZoneInfo, day: str, seconds: int
) -> None:
    schedule = parse(text)
    start = at(f"{day}T00:00:00+00:00") + timedelta(seconds=seconds)
    end = start + timedelta(days=2)
    moment = start.replace(second=0) + timedelta(minutes=1)
    wanted = []
    while moment <= end:
        if fires(schedule, zone, moment):
            wanted.append(moment)
        moment += timedelta(minutes=1)
    found = []
    following = next_time(schedule, zone, start)
    while following is not None and following <= end and len(found) <= 60:
        found.append(following)
        following = next_time(schedule, zone, following)
    assert found == wanted[: len(found)]
    assert len(found) == len(wanted) or len(found) > 60
    latest = latest_time(schedule, zone, start, end)
    assert (latest[0] if latest else None) == (wanted[-1] if wanted else None)


def cronjob(
    make: Make, schedule: str = "0 * * * *", status: Any = None, created_s: float = 1800, **spec: Any
) -> Object:
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"template": {"spec": {}}}}
    return make.object(
        CRONJOB,
        "tick",
        metadata={"creationTimestamp": ago(created_s)},
        spec={"schedule": schedule, "jobTemplate": template, **spec},
        status=status or {},
    )


def child(
    make: Make, owner: Object, name: str, over: str = "", started_s: float = 60, scheduled: bool = True
) -> Object:
    notes = {SCHEDULED: "x"} if scheduled else {}
    status: dict[str, Any] = {"startTime": ago(started_s)}
    if over:
        status["conditions"] = [{"type": over, "status": "True", "lastTransitionTime": ago(1)}]
    if over == "Complete":
        status["completionTime"] = ago(1)
    metadata = {"ownerReferences": make.owner(owner), "annotations": notes}
    return make.object(JOB, name, metadata=metadata, spec={}, status=status)


def reference(job: Object) -> dict[str, str]:
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "name": job.name,
        "namespace": "default",
        "uid": job.uid,
        "resourceVersion": str(job.revision),
    }


def look(owner: Object, *jobs: Object, now: datetime = NOW, known: frozenset[str] = frozenset()) -> Plan:
    return plan(Observed(owner, jobs, known), now)


def made(found: Plan) -> list[dict[str, Any]]:
    return [action.document for action in found.actions if isinstance(action, Create)]


def deleted(found: Plan) -> list[str]:
    return [action.object.name for action in found.actions if isinstance(action, Delete)]


def told(found: Plan) -> list[str]:
    return [action.reason for action in found.actions if isinstance(action, Event)]


def status_of(found: Plan) -> dict[str, Any]:
    assert isinstance(found.status, Status)
    return found.status.status


MINUTES = int(NOW.timestamp()) // 60


def test_on_time_a_job_is_made(make: Make) -> None:
    owner = cronjob(make, timeZone="Europe/Berlin")
    found = look(owner)
    (job,) = made(found)
    assert job["metadata"] == {
        "name": f"tick-{MINUTES}",
        "namespace": "default",
        "labels": {"app": "web"},
        "annotations": {SCHEDULED: "2030-01-01T13:00:00+01:00"},
        "ownerReferences": make.owner(owner),
    }
    assert status_of(found) == {"lastScheduleTime": rfc3339(NOW)}
    assert found.requeue_after_s == 3600
    assert found.failed is not None
    (refused,) = found.failed([])
    assert isinstance(refused, Status)
    assert refused.status == {}, "so that it is tried again"


def test_before_its_time_it_waits(make: Make) -> None:
    found = look(cronjob(make), now=NOW - timedelta(seconds=90))
    assert made(found) == []
    assert found.requeue_after_s == 90


def test_one_time_makes_one_job(make: Make) -> None:
    owner = cronjob(make)
    job = child(make, owner, f"tick-{MINUTES}")
    found = look(owner, job)
    assert made(found) == []
    assert status_of(found) == {"active": [reference(job)], "lastScheduleTime": rfc3339(NOW)}
    assert made(look(cronjob(make, status={"lastScheduleTime": rfc3339(NOW)}))) == []


def test_of_many_missed_times_the_last_is_made_good(make: Make) -> None:
    owner = cronjob(make, "*/10 * * * *", created_s=86400)
    found = look(owner, now=NOW + timedelta(minutes=5))
    assert [job["metadata"]["name"] for job in made(found)] == [f"tick-{MINUTES}"]
    assert told(found) == ["TooManyMissedTimes"]


def test_what_is_too_late_is_left(make: Make) -> None:
    owner = cronjob(make, startingDeadlineSeconds=120)
    assert made(look(owner, now=NOW + timedelta(seconds=119)))
    found = look(owner, now=NOW + timedelta(seconds=121))
    assert made(found) == []
    assert found.requeue_after_s == 3600 - 121


def test_a_suspended_one_starts_nothing_and_waits_for_nothing(make: Make) -> None:
    found = look(cronjob(make, suspend=True))
    assert found.actions == ()
    assert found.requeue_after_s is None


@pytest.mark.parametrize("policy", ["Allow", "Forbid", "Replace"])
def test_policies_when_the_one_before_still_runs(make: Make, policy: str) -> None:
    first = child(make, cronjob(make), "tick-1")
    status = {"active": [reference(first)], "lastScheduleTime": ago(3600)}
    found = look(cronjob(make, status=status, concurrencyPolicy=policy), first)
    assert bool(made(found)) == (policy != "Forbid")
    assert deleted(found) == (["tick-1"] if policy == "Replace" else [])
    assert told(found) == (["JobAlreadyActive"] if policy == "Forbid" else [])
    assert status_of(found).get("active", []) == ([] if policy == "Replace" else [reference(first)])
    assert status_of(found)["lastScheduleTime"] == (ago(3600) if policy == "Forbid" else ago(0))


def test_ends_are_noted(make: Make) -> None:
    well, badly = child(make, cronjob(make), "a", "Complete"), child(make, cronjob(make), "b", "Failed")
    status = {"active": [reference(well), reference(badly)], "lastScheduleTime": ago(0)}
    found = look(cronjob(make, status=status), well, badly)
    assert status_of(found) == {"lastScheduleTime": ago(0), "lastSuccessfulTime": ago(1)}
    texts = [action.message for action in found.actions if isinstance(action, Event)]
    assert texts == ["Saw completed job: a, condition: Complete", "Saw completed job: b, condition: Failed"]


def test_missing_and_strange_jobs_are_told_of(make: Make) -> None:
    gone, stranger = child(make, cronjob(make), "gone"), child(make, cronjob(make), "by-hand", scheduled=False)
    owner = cronjob(make, status={"active": [reference(gone)], "lastScheduleTime": ago(0)})
    found = look(owner, stranger)
    assert told(found) == ["UnexpectedJob", "MissingJob"]
    assert "active" not in status_of(found)
    kept = look(owner, known=frozenset({gone.uid}))
    assert status_of(kept)["active"] == [reference(gone)]


def test_only_so_many_finished_ones_are_kept(make: Make) -> None:
    owner = cronjob(make, status={"lastScheduleTime": ago(0)}, successfulJobsHistoryLimit=2, failedJobsHistoryLimit=0)
    jobs = [child(make, owner, f"w{number}", "Complete", started_s=number * 60) for number in range(4)]
    jobs += [child(make, owner, "b", "Failed"), child(make, owner, "running")]
    assert sorted(deleted(look(owner, *jobs))) == ["b", "w2", "w3"]


def test_finished_jobs_that_never_began_are_the_last_to_be_forgotten(make: Make) -> None:
    owner = cronjob(make, status={"lastScheduleTime": ago(0)}, successfulJobsHistoryLimit=1)
    document = child(make, owner, "a", "Complete").document()
    del document["status"]["startTime"]
    jobs = [Object.of(JOB, document), child(make, owner, "b", "Complete")]
    assert deleted(look(owner, *jobs)) == ["b"]


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({"schedule": "61 * * * *"}, "UnparseableSchedule"),
        ({"timeZone": "Nowhere/Land"}, "UnknownTimeZone"),
        ({"timeZone": "Nowhere/Land", "suspend": True}, "UnknownTimeZone"),
        ({"schedule": "59 23 31 2 *"}, "InvalidSchedule"),
    ],
)
def test_what_makes_no_sense_is_told_of(make: Make, spec: dict[str, Any], reason: str) -> None:
    found = look(cronjob(make, **spec))
    assert told(found) == [reason]
    assert found.requeue_after_s is None
    assert made(found) == []


def test_what_is_said_of_zones_and_impossible_days(make: Make) -> None:
    def texts(found: Plan) -> list[str]:
        return [action.message for action in found.actions if isinstance(action, Event)]

    assert texts(look(cronjob(make, timeZone="Nowhere/Land"))) == [
        'invalid timeZone: "Nowhere/Land": unknown time zone Nowhere/Land'
    ]
    assert texts(look(cronjob(make, "0 0 30 2 *"))) == [
        "invalid schedule: 0 0 30 2 * : time difference between two schedules is less than 1 second"
    ]
    zoned = look(cronjob(make, "TZ=Europe/Berlin 0 * * * *"))
    assert told(zoned) == ["UnsupportedSchedule"]
    assert len(made(zoned)) == 1
    nowhere = look(cronjob(make, "CRON_TZ=No/Where 0 * * * *"))
    assert told(nowhere) == ["UnsupportedSchedule", "UnparseableSchedule"]
    assert texts(nowhere)[1].endswith("provided bad location No/Where: unknown time zone No/Where")


def test_every_so_often_counts_from_the_last_time(make: Make) -> None:
    owner = cronjob(make, "@every 25m", created_s=1800)
    found = look(owner)
    assert status_of(found)["lastScheduleTime"] == ago(300)
    assert found.requeue_after_s == 1200


def test_one_that_is_being_deleted_starts_nothing(make: Make) -> None:
    document = cronjob(make).document()
    document["metadata"]["deletionTimestamp"] = ago(1)
    assert look(Object.of(CRONJOB, document)).actions == ()


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(["Allow", "Forbid", "Replace"]),
    st.lists(st.tuples(st.integers(0, 300), st.sampled_from(["", "Complete", "Failed"]), st.booleans()), max_size=6),
    st.sampled_from([None, 0, 30, 600, 7200]),
    st.integers(0, 20000),
    st.booleans(),
)
def test_what_may_never_happen(
    policy: str, shapes: list[tuple[int, str, bool]], deadline_s: int | None, since_s: int, suspend: bool
) -> None:
    """Never two Jobs of one time, never one beside another where that is forbidden, never one that is too late."""
    make = Make()
    spec: dict[str, Any] = {"concurrencyPolicy": policy, "suspend": suspend}
    if deadline_s is not None:
        spec["startingDeadlineSeconds"] = deadline_s
    bare = cronjob(make, "*/7 * * * *", created_s=since_s)
    names = {f"tick-{MINUTES - back}": (over, listed) for back, over, listed in shapes}
    jobs = {name: child(make, bare, name, over) for name, (over, _) in names.items()}
    active = [reference(jobs[name]) for name, (_, listed) in names.items() if listed]
    owner = cronjob(make, "*/7 * * * *", status={"active": active} if active else {}, created_s=since_s, **spec)
    found = look(owner, *jobs.values())
    created = [document["metadata"]["name"] for document in made(found)]
    running = {name for name, (over, _) in names.items() if not over}
    assert len(created) <= (0 if suspend else 1)
    assert not set(created) & set(names), "one time, one Job"
    if created and policy == "Forbid":
        assert not running
    if created and policy == "Replace":
        assert running <= set(deleted(found))
    for name in created:
        due = datetime.fromtimestamp(int(name.removeprefix("tick-")) * 60, UTC)
        assert due <= NOW
        assert deadline_s is None or NOW - due <= timedelta(seconds=deadline_s)
    assert len(deleted(found)) == len(set(deleted(found)))
