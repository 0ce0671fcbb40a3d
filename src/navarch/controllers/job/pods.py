"""The pods of a Job: which failed, which index they have, what new ones look like and which of too many go.

Source: https://kubernetes.io/docs/concepts/workloads/controllers/job/
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from navarch.controllers.plan import Patch
from navarch.controllers.ranking import cheapest_first
from navarch.controllers.template import pod_of, template_of
from navarch.kinds.job_view import ExitCodes, FailurePolicy, Job
from navarch.kinds.object import Object
from navarch.kinds.pod import ContainerStatus, Pod
from navarch.objects.value import Document

TRACKING = "batch.kubernetes.io/job-tracking"
"""The finalizer of pods that are not counted yet."""
INDEX = "batch.kubernetes.io/job-completion-index"
FAILURES = "batch.kubernetes.io/job-index-failure-count"
IGNORED_FAILURES = "batch.kubernetes.io/job-index-ignored-failure-count"
INDEX_VARIABLE = "JOB_COMPLETION_INDEX"
LONGEST_BASE = 58


def tracked(pod: Object) -> bool:
    return TRACKING in pod.finalizers


def index_of(pod: Object, job: Job) -> int | None:
    """Its completion index; None where it has none that the Job has."""
    text = pod.view.metadata.annotations.get(INDEX, "")
    if not text.isdecimal():
        return None
    index = int(text)
    return index if job.spec.completions is not None and index < job.spec.completions else None


def replaces_failed_only(job: Job) -> bool:
    """Whether a pod on its way out is neither failed nor replaced before it has ended."""
    return job.spec.pod_replacement_policy == "Failed" or job.spec.pod_failure_policy is not None


def has_failed(pod: Object, job: Job) -> bool:
    view: Pod = pod.view
    if view.status.phase == "Failed":
        return True
    if replaces_failed_only(job):
        return False
    return view.terminating and view.status.phase != "Succeeded"


def finished_at(pod: Object) -> datetime | None:
    """When it ended: by its containers, else when it ceased to be ready, was told to go, or was made."""
    view: Pod = pod.view
    ends = [status.state.terminated for status in view.status.container_statuses]
    moments = [end.finished_at for end in ends if end is not None and end.finished_at is not None]
    if moments and len(moments) == len(ends):
        return max(moments)
    ready = view.status.condition("Ready")
    if ready is not None and ready.status == "False" and ready.last_transition_time is not None:
        return ready.last_transition_time
    if view.metadata.deletion_timestamp is not None:
        return view.metadata.deletion_timestamp - timedelta(seconds=view.metadata.deletion_grace_period_seconds or 0)
    return view.metadata.creation_timestamp


def verdict(pod: Object, policy: FailurePolicy | None) -> tuple[str, str, bool]:
    """What a policy makes of a failed pod: (action or "", why the Job fails or "", whether the failure counts)."""
    for number, rule in enumerate(policy.rules if policy is not None else ()):
        text = ""
        if rule.on_exit_codes is not None:
            ended = _with_exit_code(pod.view, rule.on_exit_codes)
            if ended is not None and ended.state.terminated is not None:
                code = ended.state.terminated.exit_code
                text = f"Container {ended.name} for pod {pod.namespace}/{pod.name} failed with exit code {code}"
        else:
            patterns = [(pattern.type, pattern.status) for pattern in rule.on_pod_conditions]
            held = next((c for c in pod.view.status.conditions if (c.type, c.status) in patterns), None)
            if held is not None:
                text = f"Pod {pod.namespace}/{pod.name} has condition {held.type}"
        if text:
            message = f"{text} matching {rule.action} rule at index {number}" if rule.action == "FailJob" else ""
            return rule.action, message, rule.action != "Ignore"
    return "", "", True


def _with_exit_code(pod: Pod, wanted: ExitCodes) -> ContainerStatus | None:
    """The first container that ended badly with a code that is meant."""
    for status in (*pod.status.container_statuses, *pod.status.init_container_statuses):
        ended = status.state.terminated
        if ended is None or ended.exit_code == 0 or wanted.container_name not in (None, status.name):
            continue
        if (ended.exit_code in wanted.values) == (wanted.operator == "In"):
            return status
    return None


def failures_of_index(pod: Object | None, annotation: str) -> int:
    text = pod.view.metadata.annotations.get(annotation, "") if pod is not None else ""
    return int(text) if text.isdecimal() else 0


def new_pods(job: Object, indexes: Sequence[int | None], replaced: dict[int, Object]) -> Iterable[Document]:
    """indexes: None for each pod without. replaced: by index, the failed pod that a new one comes for."""
    view: Job = job.view
    template = template_of(job)
    metadata = template.setdefault("metadata", {})
    metadata["finalizers"] = [*(f for f in metadata.get("finalizers", ()) if f != TRACKING), TRACKING]
    made = pod_of(job, template)
    if not view.indexed:
        return [made] * len(indexes)
    spec = made["spec"]
    for field in ("initContainers", "containers"):
        if spec.get(field):
            spec[field] = [_with_variable(container) for container in spec[field]]
    return [_indexed(job, made, index, replaced.get(index)) for index in indexes if index is not None]


def _with_variable(container: Document) -> Document:
    present = container.get("env") or []
    if any(variable.get("name") == INDEX_VARIABLE for variable in present):
        return container
    source = {"fieldRef": {"fieldPath": f"metadata.labels['{INDEX}']"}}
    return {**container, "env": [*present, {"name": INDEX_VARIABLE, "valueFrom": source}]}


def _indexed(job: Object, made: Document, index: int, replaced: Object | None) -> Document:
    view: Job = job.view
    given, text = made["metadata"], str(index)
    annotations = {**given.get("annotations", {}), INDEX: text}
    if view.spec.backoff_limit_per_index is not None:
        counts = _failure_counts(view, replaced)
        annotations[FAILURES] = str(counts[0])
        if counts[1]:
            annotations[IGNORED_FAILURES] = str(counts[1])
    metadata = {
        **given,
        "annotations": annotations,
        "labels": {**given.get("labels", {}), INDEX: text},
        "generateName": f"{job.name[: LONGEST_BASE - len(text) - 2]}-{text}-",
    }
    return {**made, "metadata": metadata, "spec": {**made["spec"], "hostname": f"{job.name}-{text}"}}


def _failure_counts(job: Job, replaced: Object | None) -> tuple[int, int]:
    """What the pod that comes after `replaced` carries: failures of its index that count, and that do not."""
    if replaced is None:
        return 0, 0
    counted, ignored = failures_of_index(replaced, FAILURES), failures_of_index(replaced, IGNORED_FAILURES)
    return (counted + 1, ignored) if verdict(replaced, job.spec.pod_failure_policy)[2] else (counted, ignored + 1)


def surplus(job: Job, active: Sequence[Object], at_least: int, now: datetime) -> list[Object]:
    """Active pods to delete: of an indexed Job those without an index of their own, then the cheapest."""
    if not job.indexed:
        return cheapest_first(active, (), now)[:at_least]
    seats: dict[int | None, list[Object]] = {}
    for pod in active:
        seats.setdefault(index_of(pod, job), []).append(pod)
    doomed = seats.pop(None, [])
    left: list[Object] = []
    for index in sorted(index for index in seats if index is not None):
        ranked = cheapest_first(seats[index], (), now)
        doomed += ranked[:-1]
        left.append(ranked[-1])
    if len(doomed) < at_least:
        doomed += cheapest_first(left, (), now)[: at_least - len(doomed)]
    return doomed


def untrack(pod: Object) -> Patch:
    left = [finalizer for finalizer in pod.view.metadata.finalizers if finalizer != TRACKING]
    return Patch(pod, {"metadata": {"finalizers": left or None}})
