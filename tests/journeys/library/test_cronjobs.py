"""CronJobs through the library, with the real kubectl and days that pass at once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import navarch

Kubectl = Callable[..., str]
WAYS = (navarch.Behaviour(image="quick", runs_s=5), navarch.Behaviour(image="slow", runs_s=5400))


def cronjob(schedule: str, image: str = "quick", **spec: Any) -> dict[str, Any]:
    pod = {"restartPolicy": "Never", "containers": [{"name": "main", "image": image}]}
    template = {"spec": {"template": {"spec": pod}}}
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "tick"},
        "spec": {"schedule": schedule, "jobTemplate": template, **spec},
    }


def jobs(c: Any) -> dict[str, datetime]:
    """When each Job was made."""
    return {job.name: job.view.metadata.creation_timestamp for job in c.client.list("jobs", "default").items}


def status(c: Any) -> dict[str, Any]:
    found: dict[str, Any] = c.client.get("cronjob", "default", "tick").document().get("status", {})
    return found


def until_half_past(c: Any) -> None:
    """A frozen clock stands at the moment when it was made: as good as on the hour, once in a while."""
    now = c.clock.now()
    c.clock.advance(seconds=(1800 - (now.minute * 60 + now.second)) % 3600)


def test_a_day_of_hours_fires_every_hour_on_the_second(kubectl: Kubectl) -> None:
    with navarch.Cluster(behaviours=WAYS, frozen=True) as c:
        kubectl(c.kubeconfig, "create", "cronjob", "tick", "--image=quick", "--schedule=0 * * * *")
        seen: dict[str, datetime] = {}
        for _ in range(24 * 4):
            c.clock.advance(minutes=15)
            seen |= jobs(c)
        assert len(seen) == 24
        assert {(made.minute, made.second) for made in seen.values()} == {(0, 0)}
        assert all(name == f"tick-{int(made.timestamp()) // 60}" for name, made in seen.items())
        assert len(jobs(c)) == 3, "the newest successful ones are kept"
        assert status(c)["lastSuccessfulTime"] > status(c)["lastScheduleTime"]
        row = kubectl(c.kubeconfig, "get", "cronjob", "tick", "--no-headers").split()
        assert row[-4:-2] != []
        assert "SawCompletedJob" in kubectl(c.kubeconfig, "describe", "cronjob", "tick")


def test_a_leap_of_a_day_misses_nothing() -> None:
    with navarch.Cluster(behaviours=WAYS, frozen=True) as c:
        c.apply(cronjob("0 */6 * * *", successfulJobsHistoryLimit=100))
        c.clock.advance(hours=24)
        assert sorted(made.hour for made in jobs(c).values()) == [0, 6, 12, 18]


def test_the_hours_of_a_zone() -> None:
    with navarch.Cluster(behaviours=WAYS, frozen=True) as c:
        c.apply(cronjob("30 9 * * *", timeZone="Asia/Kathmandu"))
        c.clock.advance(hours=24)
        (made,) = jobs(c).values()
        local = made.astimezone(ZoneInfo("Asia/Kathmandu"))
        assert (local.hour, local.minute, local.second) == (9, 30, 0)
        (job,) = c.client.list("jobs", "default").items
        stamp = job.view.metadata.annotations["batch.kubernetes.io/cronjob-scheduled-timestamp"]
        assert stamp == local.isoformat()


def test_policies_when_a_run_takes_longer_than_the_pause(kubectl: Kubectl) -> None:
    for policy, most in (("Allow", 2), ("Forbid", 1), ("Replace", 1)):
        with navarch.Cluster(behaviours=WAYS, frozen=True) as c:
            c.apply(cronjob("0 * * * *", "slow", concurrencyPolicy=policy))
            most_seen = done = 0
            for _ in range(10):
                c.clock.advance(minutes=30)
                most_seen = max(most_seen, len(status(c).get("active", ())))
                done = sum(job.view.finished is not None for job in c.client.list("jobs", "default").items)
            assert most_seen == most, policy
            assert (done > 0) == (policy != "Replace"), policy


def test_suspended_and_started_by_hand(kubectl: Kubectl) -> None:
    with navarch.Cluster(behaviours=WAYS, frozen=True) as c:
        until_half_past(c)
        c.apply(cronjob("0 * * * *", suspend=True))
        c.clock.advance(hours=5)
        assert jobs(c) == {}
        kubectl(c.kubeconfig, "create", "job", "by-hand", "--from=cronjob/tick")
        c.clock.advance(minutes=1)
        assert c.client.get("job", "default", "by-hand").view.finished.type == "Complete"
        kubectl(
            c.kubeconfig, "patch", "cronjob", "tick", "-p", '{"spec":{"suspend":false,"startingDeadlineSeconds":60}}'
        )
        c.clock.advance(hours=2)
        assert len([name for name in jobs(c) if name.startswith("tick-")]) == 2


def test_a_failing_one_keeps_its_last_failure_and_goes_with_all_its_jobs(kubectl: Kubectl) -> None:
    bad = navarch.Behaviour(image="quick", runs_s=1, exit_code=1)
    with navarch.Cluster(behaviours=[bad], frozen=True) as c:
        document = cronjob("0 * * * *")
        document["spec"]["jobTemplate"]["spec"]["backoffLimit"] = 0
        c.apply(document)
        c.clock.advance(hours=5, minutes=30)
        assert len(jobs(c)) == 1
        assert "lastSuccessfulTime" not in status(c)
        kubectl(c.kubeconfig, "delete", "cronjob", "tick", "--wait=false")
        c.clock.advance(minutes=5)
        assert jobs(c) == {}
        assert c.client.list("pods", "default").items == []
        assert c.clock.now().tzinfo == UTC
