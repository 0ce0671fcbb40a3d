"""StatefulSets, DaemonSets, Jobs and CronJobs: what is filled in, what is refused, how they are shown."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from navarch.kinds import CRONJOB, DAEMONSET, JOB, STATEFULSET
from navarch.kinds.kind import Kind
from navarch.objects.value import Draft

Document = dict[str, Any]
NOW = datetime(2026, 1, 1, tzinfo=UTC)
CONTAINER = {"name": "a", "image": "a:1"}
TEMPLATE: Document = {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [CONTAINER]}}
RUN_ONCE: Document = {"spec": {"containers": [CONTAINER], "restartPolicy": "Never"}}


def complete(kind: Kind, spec: Document, old: Document | None = None) -> Document:
    """As it comes to the rules."""
    document = {"apiVersion": kind.api_version, "kind": kind.name, "spec": spec}
    draft = Draft({**document, "metadata": {"name": "x", "uid": "u-1"}})
    if kind.prepare:
        kind.prepare(draft, old)
    kind.default(draft)
    return draft.document


def causes(kind: Kind, spec: Document, old: Document | None = None) -> list[tuple[str, str]]:
    before = complete(kind, old) if old is not None else None
    return [(cause.field, cause.message) for cause in kind.rules(complete(kind, spec, before), before)]


def replicated(**spec: Any) -> Document:
    return {"selector": {"matchLabels": {"app": "a"}}, "template": TEMPLATE, **spec}


def job(**spec: Any) -> Document:
    return {"template": RUN_ONCE, **spec}


def cron(**spec: Any) -> Document:
    return {"schedule": "0 * * * *", "jobTemplate": {"spec": job()}, **spec}


def test_a_stateful_set_is_filled_in() -> None:
    claim = {"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"]}}
    found = complete(STATEFULSET, replicated(volumeClaimTemplates=[claim]))
    spec = found["spec"]
    assert found["status"] == {"replicas": 0, "availableReplicas": 0}
    assert spec["updateStrategy"] == {"type": "RollingUpdate", "rollingUpdate": {"partition": 0, "maxUnavailable": 1}}
    assert spec["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": "Retain", "whenScaled": "Retain"}
    assert spec["volumeClaimTemplates"][0]["kind"] == "PersistentVolumeClaim"
    assert spec["volumeClaimTemplates"][0]["status"] == {"phase": "Pending"}
    assert (spec["replicas"], spec["podManagementPolicy"]) == (1, "OrderedReady")


def test_a_daemon_set_counts_its_templates() -> None:
    first = complete(DAEMONSET, replicated())
    key = "deprecated.daemonset.template.generation"
    assert first["metadata"]["annotations"][key] == "1"
    assert first["status"]["desiredNumberScheduled"] == 0
    same = complete(DAEMONSET, replicated(minReadySeconds=3), first)
    assert same["metadata"]["annotations"][key] == "1"
    changed = {**TEMPLATE, "spec": {"containers": [{"name": "a", "image": "a:2"}]}}
    assert complete(DAEMONSET, replicated(template=changed), first)["metadata"]["annotations"][key] == "2"


def test_a_job_selects_its_own_pods() -> None:
    found = complete(JOB, job())
    spec = found["spec"]
    assert spec["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": "u-1"}}
    assert spec["template"]["metadata"]["labels"]["job-name"] == "x"
    assert found["metadata"]["labels"] == spec["template"]["metadata"]["labels"]
    assert (spec["completions"], spec["parallelism"], spec["backoffLimit"]) == (1, 1, 6)
    assert spec["podReplacementPolicy"] == "TerminatingOrFailed"
    assert "completions" not in complete(JOB, job(parallelism=2))["spec"]
    own = complete(JOB, job(manualSelector=True, selector={"matchLabels": {"a": "b"}}))
    assert own["spec"]["selector"] == {"matchLabels": {"a": "b"}}


def test_good_ones_have_no_faults() -> None:
    failure = {"rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}]}
    indexed = {"completionMode": "Indexed", "completions": 3, "backoffLimitPerIndex": 1}
    good = [
        (STATEFULSET, replicated(updateStrategy={"type": "OnDelete"})),
        (DAEMONSET, replicated(updateStrategy={"rollingUpdate": {"maxUnavailable": 0, "maxSurge": "10%"}})),
        (JOB, job()),
        (JOB, job(podFailurePolicy=failure, managedBy="acme.io/foo")),
        (JOB, job(**indexed, successPolicy={"rules": [{"succeededCount": 2}]})),
        (CRONJOB, cron(timeZone="Europe/Vienna")),
        (CRONJOB, cron(schedule="@hourly")),
    ]
    assert [(kind, found) for kind, spec in good if (found := causes(kind, spec))] == []


@pytest.mark.parametrize(
    ("kind", "spec", "field", "message"),
    [
        (
            STATEFULSET,
            replicated(selector={}),
            "spec.selector",
            "Invalid value: {}: empty selector is invalid for statefulset",
        ),
        (
            STATEFULSET,
            replicated(podManagementPolicy="Any"),
            "spec.podManagementPolicy",
            "Invalid value: \"Any\": must be 'OrderedReady' or 'Parallel'",
        ),
        (
            STATEFULSET,
            replicated(updateStrategy={"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0}}),
            "spec.updateStrategy.rollingUpdate.maxUnavailable",
            "Invalid value: 0: cannot be 0",
        ),
        (
            STATEFULSET,
            replicated(persistentVolumeClaimRetentionPolicy={"whenScaled": "Keep"}),
            "spec.persistentVolumeClaimRetentionPolicy.whenScaled",
            'Unsupported value: "Keep": supported values: "Retain", "Delete"',
        ),
        (
            DAEMONSET,
            {"template": TEMPLATE},
            "spec.template.metadata.labels",
            'Invalid value: {"app":"a"}: `selector` does not match template `labels`',
        ),
        (
            DAEMONSET,
            replicated(updateStrategy={"rollingUpdate": {"maxSurge": 1}}),
            "spec.updateStrategy.rollingUpdate.maxSurge",
            "Invalid value: 1: may not be set when maxUnavailable is non-zero",
        ),
        (
            DAEMONSET,
            replicated(template={**TEMPLATE, "spec": {**TEMPLATE["spec"], "activeDeadlineSeconds": 5}}),
            "spec.template.spec.activeDeadlineSeconds",
            "Forbidden: activeDeadlineSeconds in DaemonSet is not Supported",
        ),
        (
            JOB,
            job(template={"spec": {"containers": [CONTAINER]}}),
            "spec.template.spec.restartPolicy",
            'Required value: valid values: "OnFailure", "Never"',
        ),
        (JOB, job(completionMode="Indexed"), "", ""),
        (
            JOB,
            job(completionMode="Indexed", parallelism=1),
            "spec.completions",
            "Required value: when completion mode is Indexed",
        ),
        (
            JOB,
            job(backoffLimitPerIndex=1),
            "spec.backoffLimitPerIndex",
            "Invalid value: 1: requires indexed completion mode",
        ),
        (
            JOB,
            job(podFailurePolicy={"rules": [{"action": "Count", "onExitCodes": {"operator": "In", "values": [0]}}]}),
            "spec.podFailurePolicy.rules[0].onExitCodes.values[0]",
            "Invalid value: 0: must not be 0 for the In operator",
        ),
        (
            JOB,
            job(selector={"matchLabels": {"batch.kubernetes.io/controller-uid": "other"}}),
            "spec.selector",
            'Invalid value: {"matchLabels":{"batch.kubernetes.io/controller-uid":"other"}}: '
            "`selector` not auto-generated",
        ),
        (CRONJOB, cron(schedule=""), "spec.schedule", "Required value"),
        (
            CRONJOB,
            cron(schedule="TZ=UTC 0 * * * *"),
            "spec.schedule",
            'Invalid value: "TZ=UTC 0 * * * *": cannot use TZ or CRON_TZ in schedule, use timeZone field instead',
        ),
        (
            CRONJOB,
            cron(timeZone="Nowhere/At"),
            "spec.timeZone",
            'Invalid value: "Nowhere/At": unknown time zone Nowhere/At',
        ),
        (CRONJOB, cron(timeZone="../etc"), "spec.timeZone", 'Invalid value: "../etc": unknown time zone ../etc'),
        (
            CRONJOB,
            cron(concurrencyPolicy="Some"),
            "spec.concurrencyPolicy",
            'Unsupported value: "Some": supported values: "Allow", "Forbid", "Replace"',
        ),
        (
            CRONJOB,
            cron(jobTemplate={"spec": job(manualSelector=True)}),
            "spec.jobTemplate.spec.manualSelector",
            'Unsupported value: true: supported values: "nil", "false"',
        ),
    ],
)
def test_broken_rules(kind: Kind, spec: Document, field: str, message: str) -> None:
    found = causes(kind, spec)
    assert found[0] == (field, message) if field else not found


@pytest.mark.parametrize(
    ("kind", "before", "after", "field"),
    [
        (STATEFULSET, replicated(), replicated(serviceName="other"), "spec"),
        (STATEFULSET, replicated(), replicated(replicas=3, minReadySeconds=2), None),
        (DAEMONSET, replicated(), replicated(selector={"matchLabels": {"app": "a", "b": "c"}}), "spec.selector"),
        (JOB, job(), job(template={"spec": {**RUN_ONCE["spec"], "hostNetwork": True}}), "spec.template"),
        (JOB, job(), job(completions=4), "spec.completions"),
        (JOB, job(), job(parallelism=0, completions=1), None),
        (JOB, job(suspend=True), job(template={"spec": {**RUN_ONCE["spec"], "nodeSelector": {"a": "b"}}}), None),
        (JOB, job(), job(template={"spec": {**RUN_ONCE["spec"], "nodeSelector": {"a": "b"}}}), "spec.template"),
        (JOB, job(), job(completionMode="Indexed", completions=1), "spec.completionMode"),
        (JOB, job(), job(managedBy="a.b/c"), "spec.managedBy"),
        (CRONJOB, cron(), cron(schedule="@daily", suspend=True), None),
    ],
)
def test_what_an_update_may_change(kind: Kind, before: Document, after: Document, field: str | None) -> None:
    if kind is JOB:  # what was generated at creation comes back with an update
        made = complete(JOB, before)["spec"]
        labels = made["template"]["metadata"]
        after = {**after, "selector": made["selector"], "template": {**after["template"], "metadata": labels}}
    found = causes(kind, after, before)
    assert [where for where, _ in found[:1]] == ([field] if field else [])


def test_names_of_cron_jobs_leave_room_for_their_jobs() -> None:
    document = {**complete(CRONJOB, cron()), "metadata": {"name": "a" * 53}}
    assert [cause.message for cause in CRONJOB.rules(document, None)] == [
        f'Invalid value: "{"a" * 53}": must be no more than 52 characters'
    ]


def cells(kind: Kind, document: Document) -> list[Any]:
    return [column.source(document, NOW) for column in kind.columns if callable(column.source) and not column.priority]


def test_jobs_show_how_they_fare() -> None:
    found = complete(JOB, job(completions=3))
    assert cells(JOB, found) == ["Running", "0/3", ""]
    status: Document = {"startTime": "2025-12-31T23:59:00Z", "succeeded": 2}
    assert cells(JOB, {**found, "status": status}) == ["Running", "2/3", "60s"]
    done = {"type": "Complete", "status": "True"}
    ended = {**status, "succeeded": 3, "completionTime": "2025-12-31T23:59:30Z", "conditions": [done]}
    assert cells(JOB, {**found, "status": ended}) == ["Complete", "3/3", "30s"]
    assert cells(JOB, {**complete(JOB, job(parallelism=2)), "status": {}}) == ["Running", "0/1 of 2", ""]


def test_other_cells() -> None:
    assert cells(STATEFULSET, complete(STATEFULSET, replicated(replicas=2))) == ["0/2"]
    assert cells(DAEMONSET, complete(DAEMONSET, replicated())) == [0, 0, 0, 0, 0, "<none>"]
    assert cells(CRONJOB, complete(CRONJOB, cron())) == ["<none>", "False", 0, "<none>"]
