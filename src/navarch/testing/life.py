"""What becomes of a simulated pod: its status at any moment, as a function of how long it has been on its node.

Pure, and without memory: whoever asks twice gets the same answer, so that nodes may be restarted and time may leap.

Source: https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from navarch.base.clock import rfc3339
from navarch.objects import condition
from navarch.objects.value import Document, dig
from navarch.testing.behaviour import Behaviour

FIRST_BACKOFF_S = 10.0
LONGEST_BACKOFF_S = 300.0
PULL_ERROR_S = 2.0
"""How long `ErrImagePull` shows before it is `ImagePullBackOff`."""

ROUNDING_S = 1e-6
"""Moments that are as near as this are one."""
KILLED = 137
LATE = "Pod was active on the node longer than the specified deadline"

NEVER = float("inf")

Choose = Callable[[Document, bool], Behaviour]
"""The behaviour of a container (its spec), and whether it is an init container."""


@dataclass(frozen=True, slots=True)
class Run:
    """A container at one moment. Times are seconds since the pod came to its node; change_s: when this ends to be so.

    state: "waiting", "running" or "terminated". ended: when the run before this one ended (None for the first).
    exit_reason, exit_message: of the runs that ended, when the behaviour says so.
    """

    state: str
    change_s: float
    reason: str = ""
    message: str = ""
    exit_code: int = 0
    restarts: int = 0
    started_s: float = 0.0
    finished_s: float = 0.0
    ready: bool = False
    ended: tuple[float, float, int] | None = None
    exit_reason: str = ""
    exit_message: str = ""

    @property
    def over(self) -> bool:
        """It ended and will not be started again."""
        return self.state == "terminated" and self.change_s == NEVER


def backoff_s(ended: int) -> float:
    """The wait before the next start when so many runs have ended: none at first, then doubling."""
    return 0.0 if ended < 2 else min(LONGEST_BACKOFF_S, FIRST_BACKOFF_S * 2.0 ** min(ended - 2, 10))


def run_at(how: Behaviour, now_s: float, from_s: float, restart: str, probe_delay_s: float = 0.0) -> Run:
    """The container at `now_s`, when it may start at `from_s`. restart: Always, OnFailure or Never."""
    run = _run_at(how, now_s, from_s, restart, probe_delay_s)
    if how.exit_reason or how.exit_message:
        return replace(run, exit_reason=how.exit_reason, exit_message=how.exit_message)
    return run


def _run_at(how: Behaviour, now_s: float, from_s: float, restart: str, probe_delay_s: float) -> Run:
    pulled_s = from_s + how.pull_s
    if now_s < pulled_s or (how.start_s and not how.image_error and now_s < pulled_s + how.start_s):
        return Run("waiting", pulled_s if now_s < pulled_s else pulled_s + how.start_s, "ContainerCreating")
    if how.image_error:
        return _without_image(how, now_s, pulled_s)
    started_s = pulled_s + how.start_s
    number = 0
    ended: tuple[float, float, int] | None = None
    while how.runs_s is not None and (how.times is None or number < how.times):
        finished_s = started_s + how.runs_s
        if now_s < finished_s:
            break
        number += 1
        ended = (started_s, finished_s, how.code(number - 1))
        final = restart == "Never" or (restart == "OnFailure" and ended[2] == 0)
        again_s = NEVER if final else finished_s + max(backoff_s(number), 0.0 if how.runs_s else 1.0)
        if now_s < again_s:
            return _between(number, ended, again_s)
        started_s = again_s
        skipped = _skipped(how, number, now_s - started_s)
        number += skipped
        started_s += skipped * (how.runs_s + LONGEST_BACKOFF_S)
    ready, ready_change_s = _readiness(how, now_s - started_s, probe_delay_s)
    last = how.runs_s is None or (how.times is not None and number >= how.times)
    end_s = NEVER if last or how.runs_s is None else started_s + how.runs_s
    return Run(
        "running",
        min(started_s + ready_change_s, end_s),
        restarts=number,
        started_s=started_s,
        ready=ready,
        ended=ended,
    )


def _skipped(how: Behaviour, number: int, left_s: float) -> int:
    """How many whole runs at the longest back-off fit into `left_s`, not counting the last, nor the last allowed."""
    if how.runs_s is None or backoff_s(number) < LONGEST_BACKOFF_S or number < len(how.exit_codes):
        return 0
    whole = max(0, int(left_s // (how.runs_s + LONGEST_BACKOFF_S)) - 1)
    return whole if how.times is None else min(whole, max(0, how.times - number - 1))


def _without_image(how: Behaviour, now_s: float, pulled_s: float) -> Run:
    if how.image_error == "ErrImagePull" and now_s >= pulled_s + PULL_ERROR_S:
        return Run("waiting", NEVER, "ImagePullBackOff", "Back-off pulling image")
    change_s = pulled_s + PULL_ERROR_S if how.image_error == "ErrImagePull" else NEVER
    return Run("waiting", change_s, how.image_error, "failed to pull and unpack image: not found")


def _between(number: int, ended: tuple[float, float, int], again_s: float) -> Run:
    reason = "Completed" if ended[2] == 0 else "Error"
    if again_s == NEVER or number < 2:
        return Run(
            "terminated",
            again_s,
            reason,
            exit_code=ended[2],
            restarts=number - 1,
            started_s=ended[0],
            finished_s=ended[1],
        )
    wait_s = int(backoff_s(number))
    message = f"back-off {wait_s}s restarting failed container"
    return Run("waiting", again_s, "CrashLoopBackOff", message, restarts=number - 1, ended=ended)


def _readiness(how: Behaviour, age_s: float, probe_delay_s: float) -> tuple[bool, float]:
    """Whether a run of that age is ready, and the age at which that changes."""
    if how.never_ready:
        return False, NEVER
    first_s = probe_delay_s if how.ready_s is None else how.ready_s
    if age_s < first_s:
        return False, first_s
    for begin_s, end_s in how.unready:
        if begin_s <= age_s < end_s:
            return False, end_s
    next_s = min((begin_s for begin_s, _ in how.unready if begin_s > age_s), default=NEVER)
    if how.flaps is None:
        return True, next_s
    up_s, down_s = how.flaps
    round_s = first_s + (age_s - first_s + ROUNDING_S) // (up_s + down_s) * (up_s + down_s)
    if age_s + ROUNDING_S < round_s + up_s:
        return True, min(next_s, round_s + up_s)
    return False, round_s + up_s + down_s


@dataclass(frozen=True, slots=True)
class Moment:
    """A pod's status, and when (in seconds since it came to its node) it will be another."""

    status: Document
    change_s: float


def live(pod: Document, choose: Choose, arrived: datetime, now: datetime, host_ip: str, pod_ip: str) -> Moment:
    """The status that a node reports for `pod`, its conditions included.

    arrived: when the node first saw the pod.
    """
    spec = pod["spec"]
    deadline_s = float(spec.get("activeDeadlineSeconds") or NEVER)
    now_s = min((now - arrived).total_seconds(), deadline_s)
    policy = spec.get("restartPolicy", "Always")
    init = spec.get("initContainers", ())
    init_runs, begin_s = _initialize(init, choose, now_s, policy)
    if begin_s is None:
        runs = [Run("waiting", NEVER, "PodInitializing") for _ in spec["containers"]]
    else:
        runs = [run_at(choose(c, False), now_s, begin_s, policy, _probe_delay(c)) for c in spec["containers"]]
    initialized = begin_s is not None
    late = now_s == deadline_s and not (initialized and all(run.over for run in runs))
    if late:
        runs = [_killed(run, now_s) for run in runs]
    stamp = _Stamp(arrived, "PodInitializing" if init else "ContainerCreating")
    status: Document = {
        "phase": "Failed" if late else _phase(runs, initialized, policy),
        "observedGeneration": dig(pod, "metadata", "generation", default=1),
        "hostIP": host_ip,
        "hostIPs": [{"ip": host_ip}],
        "podIP": pod_ip,
        "podIPs": [{"ip": pod_ip}],
        "startTime": rfc3339(arrived),
        "containerStatuses": [stamp.container(c, run) for c, run in zip(spec["containers"], runs, strict=True)],
    }
    if init:
        status["initContainerStatuses"] = [
            stamp.container(c, r, init=True) for c, r in zip(init, init_runs, strict=True)
        ]
    if late:
        status |= {
            "reason": "DeadlineExceeded",
            "message": "Pod was active on the node longer than the specified deadline",
        }
    if spec.get("ephemeralContainers"):
        status["ephemeralContainerStatuses"] = _ephemeral(pod, now)
    status["conditions"] = _conditions(pod, spec, runs, initialized, status["phase"], now)
    changes_s = [run.change_s for run in (*runs, *init_runs)]
    return Moment(status, NEVER if late else min((*changes_s, deadline_s)))


def _killed(run: Run, now_s: float) -> Run:
    """What a run comes to when its pod's time is up."""
    if run.state != "running":
        return replace(run, change_s=NEVER)
    return replace(
        run, state="terminated", change_s=NEVER, reason="Error", exit_code=137, finished_s=now_s, ready=False
    )


def _ephemeral(pod: Document, now: datetime) -> list[Document]:
    """They run from when they are first seen, as the status that is there says, for ever."""
    known = {one["name"]: one for one in dig(pod, "status", "ephemeralContainerStatuses", default=())}
    return [
        known.get(container["name"])
        or {
            "name": container["name"],
            "image": container.get("image", ""),
            "imageID": f"simulated://{container.get('image', '')}",
            "ready": False,
            "restartCount": 0,
            "state": {"running": {"startedAt": rfc3339(now)}},
            "lastState": {},
        }
        for container in pod["spec"]["ephemeralContainers"]
    ]


def _initialize(init: Sequence[Document], choose: Choose, now_s: float, policy: str) -> tuple[list[Run], float | None]:
    """The init containers, and when the last of them let the others start; None while that is not known."""
    found: list[Run] = []
    at_s: float | None = 0.0
    for container in init:
        if at_s is None:
            found.append(Run("waiting", NEVER, "PodInitializing"))
            continue
        run, at_s = _init_run(container, choose(container, True), now_s, at_s, policy)
        found.append(run)
    return found, at_s


def _init_run(container: Document, how: Behaviour, now_s: float, at_s: float, policy: str) -> tuple[Run, float | None]:
    """One init container that may start at `at_s`, and when the next may (None while that is not known)."""
    if container.get("restartPolicy") == "Always":
        run = run_at(how, now_s, at_s, "Always", _probe_delay(container))
        return run, run.started_s if run.state == "running" else None
    run = run_at(how, now_s, at_s, "Never" if policy == "Never" else "OnFailure")
    if how.never_succeeds or how.image_error or run.state == "waiting":
        return run, None
    if run.state == "running":
        if how.code(0) and how.runs_s is not None and how.times is not None and run.restarts >= how.times:
            return _succeeded(run), run.started_s
        return run, None
    return run, run.finished_s if run.exit_code == 0 else None


def _succeeded(run: Run) -> Run:
    return Run(
        "terminated",
        NEVER,
        "Completed",
        restarts=run.restarts,
        started_s=run.started_s,
        finished_s=run.started_s,
        ended=run.ended,
    )


def _probe_delay(container: Document) -> float:
    return float(dig(container, "readinessProbe", "initialDelaySeconds", default=0))


def _phase(runs: Sequence[Run], initialized: bool, policy: str) -> str:
    if not initialized or any(r.state == "waiting" and not r.restarts and r.ended is None for r in runs):
        return "Pending"
    if not all(run.over for run in runs):
        return "Running"
    return "Failed" if any(run.exit_code for run in runs) else "Succeeded"


def _conditions(
    pod: Document, spec: Document, runs: Sequence[Run], initialized: bool, phase: str, now: datetime
) -> list[condition.Condition]:
    unready = [c["name"] for c, run in zip(spec["containers"], runs, strict=True) if not run.ready]
    done = phase == "Succeeded"
    why: dict[str, Any] = {}
    if unready:
        why = {"reason": "ContainersNotReady", "message": f"containers with unready status: [{' '.join(unready)}]"}
    if phase in ("Succeeded", "Failed"):
        why = {"reason": "PodCompleted"} if done else {"reason": "PodFailed"}
    gates = [g["conditionType"] for g in spec.get("readinessGates", ())]
    known = dig(pod, "status", "conditions", default=[])
    closed = [g for g in gates if condition.status(known, g) != "True"]
    ready_why = why or ({"reason": "ReadinessGatesNotReady", "message": f"gates not open: {closed}"} if closed else {})
    started = any(run.state != "waiting" or run.restarts or run.ended for run in runs) or initialized
    found = list(known)
    for made in (
        {"type": "PodReadyToStartContainers", "status": _truth(started)},
        {"type": "Initialized", "status": _truth(initialized)}
        | ({} if initialized else {"reason": "ContainersNotInitialized"}),
        {"type": "Ready", "status": _truth(not unready and not closed), **ready_why},
        {"type": "ContainersReady", "status": _truth(not unready), **why},
    ):
        found = condition.set(found, made, now)
    return found


def _truth(value: bool) -> str:
    return "True" if value else "False"


class _Stamp:
    """Writes runs as container statuses, with moments instead of seconds. creating: why containers wait at first."""

    def __init__(self, arrived: datetime, creating: str) -> None:
        self._arrived = arrived
        self._creating = creating

    def _at(self, seconds: float) -> str:
        return rfc3339(self._arrived + timedelta(seconds=seconds))

    def _ended(self, span: tuple[float, float, int], run: Run) -> Document:
        reason = run.exit_reason or ("Completed" if span[2] == 0 else "Error")
        said = {"message": run.exit_message} if run.exit_message else {}
        times = {"startedAt": self._at(span[0]), "finishedAt": self._at(span[1])}
        return {"terminated": {"exitCode": span[2], "reason": reason, **said, **times}}

    def container(self, spec: Document, run: Run, *, init: bool = False) -> Document:
        state: Document
        if run.state == "waiting":
            reason = self._creating if run.reason == "ContainerCreating" else run.reason
            state = {"waiting": {"reason": reason} | ({"message": run.message} if run.message else {})}
        elif run.state == "running":
            state = {"running": {"startedAt": self._at(run.started_s)}}
        else:
            state = self._ended((run.started_s, run.finished_s, run.exit_code), run)
        image = spec.get("image", "")
        return {
            "name": spec["name"],
            "image": image,
            "imageID": "" if run.state == "waiting" and not run.restarts else f"simulated://{image}",
            "ready": run.ready if run.state == "running" else init and run.over and run.exit_code == 0,
            "started": run.state == "running",
            "restartCount": run.restarts,
            "state": state,
            "lastState": self._ended(run.ended, run) if run.ended else {},
        }


def stopped(pod: Document, now: datetime) -> Document:
    """The last status of a pod that was told to go: its containers ended by the signal, which is a failure for those
    that were to run to an end of their own."""
    was = pod.get("status", {})
    cut_short = pod.get("spec", {}).get("restartPolicy", "Always") != "Always"
    phase, code, reason = ("Failed", 143, "Error") if cut_short else ("Succeeded", 0, "Completed")
    moment = rfc3339(now)
    ended: list[Document] = []
    for status in was.get("containerStatuses", ()):
        state = status.get("state", {})
        if "running" in state:
            state = {"terminated": {"exitCode": code, "reason": reason, "finishedAt": moment, **state["running"]}}
        ended.append({**status, "ready": False, "started": False, "state": state})
    conditions = was.get("conditions", [])
    for name in ("Ready", "ContainersReady"):
        conditions = condition.set(
            conditions, {"type": name, "status": "False", "reason": "PodFailed" if cut_short else "PodCompleted"}, now
        )
    return {"phase": phase, "containerStatuses": ended, "conditions": conditions}
