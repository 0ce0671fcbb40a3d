"""Rules of Jobs and CronJobs, one by one: a document that breaks it, and the field, the reason and the words."""

from __future__ import annotations

import re
from typing import Any

import pytest

from navarch.kinds import CRONJOB, JOB
from navarch.kinds.job_policies import BadIndexes, indexes
from navarch.kinds.kind import Kind
from navarch.objects.patch import merge_patch
from navarch.objects.value import Draft

Document = dict[str, Any]
Expected = tuple[str, str, str]
"""Field, the end of the reason, a part of the message."""

CONTAINER = {"name": "a", "image": "a:1", "resources": {"requests": {"cpu": "1"}}}
PODS: Document = {"spec": {"containers": [CONTAINER], "restartPolicy": "Never"}}
INDEXED: Document = {"completionMode": "Indexed", "completions": 5, "parallelism": 5}
BY_INDEX: Document = {**INDEXED, "backoffLimitPerIndex": 1}


def made(kind: Kind, spec: Document, old: Document | None = None, name: str = "x", **more: Any) -> Document:
    """As it comes to the rules."""
    draft = Draft({"apiVersion": kind.api_version, "kind": kind.name, "metadata": {"name": name, "uid": "u-1"}})
    draft.document.update({"spec": spec, **more})
    if kind.prepare:
        kind.prepare(draft, old)
    kind.default(draft)
    return draft.document


def told(kind: Kind, new: Document, old: Document | None = None) -> list[Expected]:
    return [(cause.field, cause.reason.removeprefix("FieldValue"), cause.message) for cause in kind.rules(new, old)]


def check(found: list[Expected], *expected: Expected) -> None:
    assert len(found) == len(expected), found
    for (field, reason, message), (at, why, words) in zip(found, expected, strict=True):
        assert (field, reason) == (at, why)
        assert words in message


def job(**spec: Any) -> Document:
    return made(JOB, {"template": PODS, **spec})


def failing(*rules: Document) -> Document:
    return {"podFailurePolicy": {"rules": list(rules)}}


def exits(**more: Any) -> Document:
    return {"action": "Count", "onExitCodes": {"operator": "In", "values": [1, 2], **more}}


def succeeding(*rules: Document, **spec: Any) -> Document:
    return {**INDEXED, "successPolicy": {"rules": list(rules)}, **spec}


COUNT_AT = "spec.successPolicy.rules[0].succeededCount"
INDEXES_AT = "spec.successPolicy.rules[0].succeededIndexes"


@pytest.mark.parametrize(
    "spec",
    [
        {},
        BY_INDEX,
        {**BY_INDEX, "maxFailedIndexes": 5},
        {**failing(exits(), {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]})},
        {**BY_INDEX, **failing({**exits(containerName="a"), "action": "FailIndex"})},
        succeeding({"succeededIndexes": "0-2,4", "succeededCount": 4}),
        {"managedBy": "acme.io/batch"},
        {"podReplacementPolicy": "Failed", "ttlSecondsAfterFinished": 0},
    ],
)
def test_good_jobs(spec: Document) -> None:
    assert told(JOB, job(**spec)) == []


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({field: -1}, [(f"spec.{field}", "Invalid", "must be greater than or equal to 0")])
        for field in ("parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished")
    ]
    + [
        ({**BY_INDEX, "backoffLimitPerIndex": -1}, [("spec.backoffLimitPerIndex", "Invalid", "equal to 0")]),
        ({**BY_INDEX, "maxFailedIndexes": -1}, [("spec.maxFailedIndexes", "Invalid", "equal to 0")]),
        (
            {**INDEXED, "maxFailedIndexes": 1},
            [("spec.backoffLimitPerIndex", "Required", "when maxFailedIndexes is specified")],
        ),
        ({"managedBy": "acme"}, [("spec.managedBy", "Invalid", "must be a domain-prefixed path")]),
        ({"managedBy": f"a.io/{'b' * 60}"}, [("spec.managedBy", "TooLong", "may not be more than 63 bytes")]),
        (
            {"completionMode": "Random"},
            [("spec.completionMode", "NotSupported", 'supported values: "NonIndexed", "Indexed"')],
        ),
        ({"completionMode": "Indexed"}, []),
        (
            {"completionMode": "Indexed", "parallelism": 1},
            [("spec.completions", "Required", "when completion mode is Indexed")],
        ),
        (
            {**INDEXED, "parallelism": 100_001},
            [("spec.parallelism", "Invalid", "must be less than or equal to 100000 when completion mode is Indexed")],
        ),
        (
            {**BY_INDEX, "maxFailedIndexes": 6},
            [("spec.maxFailedIndexes", "Invalid", "must be less than or equal to completions")],
        ),
        (
            {**BY_INDEX, "maxFailedIndexes": 100_001},
            [
                ("spec.maxFailedIndexes", "Invalid", "must be less than or equal to completions"),
                ("spec.maxFailedIndexes", "Invalid", "must be less than or equal to 100000"),
            ],
        ),
        (
            {**BY_INDEX, "completions": 100_001},
            [("spec.maxFailedIndexes", "Required", "must be specified when completions is above 100000")],
        ),
        (
            {**BY_INDEX, "completions": 100_001, "parallelism": 10_001, "maxFailedIndexes": 10_001},
            [
                ("spec.parallelism", "Invalid", "10000 when completions are above 100000 and used with backoff limit"),
                ("spec.maxFailedIndexes", "Invalid", "10000 when completions are above 100000 and used with"),
            ],
        ),
        (
            {"backoffLimitPerIndex": 1, "maxFailedIndexes": 1},
            [
                ("spec.backoffLimitPerIndex", "Invalid", "requires indexed completion mode"),
                ("spec.maxFailedIndexes", "Invalid", "requires indexed completion mode"),
            ],
        ),
        (
            {"podReplacementPolicy": "Never"},
            [("spec.podReplacementPolicy", "NotSupported", 'supported values: "Failed", "TerminatingOrFailed"')],
        ),
        (
            {**failing(exits()), "podReplacementPolicy": "TerminatingOrFailed"},
            [("spec.podReplacementPolicy", "NotSupported", 'supported values: "Failed"')],
        ),
    ],
)
def test_numbers_and_modes(spec: Document, expected: list[Expected]) -> None:
    check(told(JOB, job(**spec)), *expected)


@pytest.mark.parametrize(
    ("policy", "reason", "words"),
    [
        ("", "Required", 'valid values: "OnFailure", "Never"'),
        ("Always", "Required", 'valid values: "OnFailure", "Never"'),
        ("OnFailure", "Invalid", 'only "Never" is supported when podFailurePolicy is specified'),
    ],
)
def test_pods_are_not_started_anew_forever(policy: str, reason: str, words: str) -> None:
    template = {"spec": {"containers": [CONTAINER], **({"restartPolicy": policy} if policy else {})}}
    found = told(JOB, job(template=template, **failing(exits())))
    check(found, ("spec.template.spec.restartPolicy", reason, words))


RULE = "spec.podFailurePolicy.rules[0]"


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (
            {**exits(), "action": ""},
            [(f"{RULE}.action", "Required", 'valid values: ["Count" "FailIndex" "FailJob" "Ignore"]')],
        ),
        (
            {**exits(), "action": "Retry"},
            [(f"{RULE}.action", "NotSupported", 'supported values: "Count", "FailIndex", "FailJob", "Ignore"')],
        ),
        (
            {**exits(), "action": "FailIndex"},
            [(f"{RULE}.action", "Invalid", "requires the backoffLimitPerIndex to be set")],
        ),
        (
            {"action": "Count"},
            [(RULE, "Invalid", "Invalid value: specifying one of OnExitCodes and")],
        ),
        (
            {**exits(), "onPodConditions": [{"type": "A"}]},
            [(RULE, "Invalid", "Invalid value: specifying both OnExitCodes and OnPodConditions is not supported")],
        ),
        (exits(operator=""), [(f"{RULE}.onExitCodes.operator", "Required", 'valid values: ["In" "NotIn"]')]),
        (exits(operator="Is"), [(f"{RULE}.onExitCodes.operator", "NotSupported", 'supported values: "In", "NotIn"')]),
        (
            exits(containerName="b"),
            [
                (
                    f"{RULE}.onExitCodes.containerName",
                    "Invalid",
                    "must be one of the container or initContainer names in the pod template",
                )
            ],
        ),
        (exits(values=[]), [(f"{RULE}.onExitCodes.values", "Invalid", "at least one value is required")]),
        (
            exits(values=list(range(1, 257))),
            [(f"{RULE}.onExitCodes.values", "TooMany", "256: must have at most 255 items")],
        ),
        (exits(values=[0]), [(f"{RULE}.onExitCodes.values[0]", "Invalid", "must not be 0 for the In operator")]),
        (
            exits(values=[2, 1, 2]),
            [
                (f"{RULE}.onExitCodes.values[2]", "Duplicate", "Duplicate value: 2"),
                (f"{RULE}.onExitCodes.values", "Invalid", "must be ordered"),
            ],
        ),
        (
            {"action": "Count", "onPodConditions": [{"type": "a b", "status": "Maybe"}]},
            [
                (f"{RULE}.onPodConditions[0].type", "Invalid", "name part must consist of alphanumeric characters"),
                (f"{RULE}.onPodConditions[0].status", "NotSupported", 'supported values: "False", "True", "Unknown"'),
            ],
        ),
        (
            {"action": "Count", "onPodConditions": [{"type": f"t{n}"} for n in range(21)]},
            [(f"{RULE}.onPodConditions", "TooMany", "21: must have at most 20 items")],
        ),
    ],
)
def test_failure_policies(rule: Document, expected: list[Expected]) -> None:
    check(told(JOB, job(**failing(rule))), *expected)


def test_a_failure_policy_has_twenty_rules_at_most() -> None:
    check(told(JOB, job(**failing(*[exits()] * 21))), ("spec.podFailurePolicy.rules", "TooMany", "at most 20 items"))


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (
            {"successPolicy": {"rules": [{"succeededCount": 1}]}},
            [("spec.successPolicy", "Invalid", "requires indexed completion mode")],
        ),
        (
            succeeding(),
            [("spec.successPolicy.rules", "Required", "at least one rules must be specified when the successPolicy")],
        ),
        (succeeding(*[{"succeededCount": 1}] * 21), [("spec.successPolicy.rules", "TooMany", "at most 20 items")]),
        (
            succeeding({}),
            [("spec.successPolicy.rules[0]", "Required", "at least one of succeededCount or succeededIndexes must be")],
        ),
        (succeeding({"succeededCount": -1}), [(COUNT_AT, "Invalid", "must be greater than or equal to 0")]),
        (
            succeeding({"succeededCount": 6}),
            [(COUNT_AT, "Invalid", "must be less than or equal to 5 (the number of specified completions)")],
        ),
        (
            succeeding({"succeededIndexes": "0-1", "succeededCount": 3}),
            [(COUNT_AT, "Invalid", "equal to 2 (the number of indexes in the specified succeededIndexes field)")],
        ),
        (
            succeeding({"succeededIndexes": "1,1"}),
            [(INDEXES_AT, "Invalid", "error parsing succeededIndexes: non-increasing order, previous: 1, current: 1")],
        ),
        (
            succeeding({"succeededIndexes": ",".join(str(n) for n in range(20_000))}, completions=20_000),
            [(INDEXES_AT, "TooLong", "may not be more than 65536 bytes")],
        ),
    ],
)
def test_success_policies(spec: Document, expected: list[Expected]) -> None:
    check(told(JOB, job(**spec)), *expected)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("5", 'too large index: "5"'),
        ("0-5", 'too large index: "5"'),
        ("a", 'cannot convert string to integer for index: "a"'),
        ("0-", 'cannot convert string to integer for index: ""'),
        ("3-1", "non-increasing order, previous: 3, current: 1"),
        ("0-3,2", "non-increasing order, previous: 3, current: 2"),
        ("0-1-2", "can have at most two parts separated by '-'"),
    ],
)
def test_indexes_that_are_none(text: str, message: str) -> None:
    with pytest.raises(BadIndexes, match=re.escape(message)):
        indexes(text, 5)


def test_indexes() -> None:
    assert indexes("", 5) == []
    assert indexes("0,2-4", 5) == [(0, 0), (2, 4)]


@pytest.mark.parametrize(
    ("labels", "key", "reason"),
    [
        ({"controller-uid": "other"}, "controller-uid", "Invalid"),
        ({"job-name": "other"}, "job-name", "Invalid"),
        ({"batch.kubernetes.io/job-name": "other"}, "batch.kubernetes.io/job-name", "Invalid"),
    ],
)
def test_generated_labels_say_whose_the_pods_are(labels: Document, key: str, reason: str) -> None:
    found = told(JOB, job(template={**PODS, "metadata": {"labels": labels}}))
    value = "u-1" if key == "controller-uid" else "x"
    check(found, (f"spec.template.metadata.labels[{key}]", reason, f"must be '{value}'"))


def test_a_generated_selector_is_the_jobs_own() -> None:
    found = told(JOB, job(selector={"matchLabels": {"batch.kubernetes.io/controller-uid": "other"}}))
    check(
        found,
        ("spec.selector", "Invalid", "`selector` not auto-generated"),
        ("spec.template.metadata.labels", "Invalid", "`selector` does not match template `labels`"),
    )
    old = job(suspend=True)
    bare = merge_patch(old, {"spec": {"template": {"metadata": {"labels": {"job-name": None}}}}})
    check(told(JOB, bare, old), ("spec.template.metadata.labels[job-name]", "Required", "must be 'x'"))


def test_the_name_of_an_indexed_job_leaves_room_for_indexes() -> None:
    name = "a" * 61
    assert told(JOB, made(JOB, {"template": PODS, **INDEXED, "completions": 10}, name=name)) == []
    new = made(JOB, {"template": PODS, **INDEXED, "completions": 11}, name=name)
    words = f"will not able to create pod with invalid DNS label: {name}-10"
    check(told(JOB, new), ("metadata.name", "Invalid", words))


@pytest.mark.parametrize(
    ("was", "change", "expected"),
    [
        ({}, {"parallelism": 3, "activeDeadlineSeconds": 3, "suspend": True, "backoffLimit": 1}, []),
        ({}, {"completions": 3}, [("spec.completions", "Invalid", "field is immutable")]),
        (
            INDEXED,
            {"completions": 6},
            [("spec.completions", "Invalid", "modified in tandem with spec.parallelism")],
        ),
        (INDEXED, {"completions": 6, "parallelism": 6}, []),
        ({}, {"template": {"spec": {"hostNetwork": True}}}, [("spec.template", "Invalid", "field is immutable")]),
        ({}, {"template": {"spec": {"nodeSelector": {"a": "b"}}}}, [("spec.template", "Invalid", "immutable")]),
        ({}, {"template": {"spec": {"volumes": []}}}, []),
        (
            {"podReplacementPolicy": "Failed"},
            failing(exits()),
            [("spec.podFailurePolicy", "Invalid", "field is immutable")],
        ),
        (BY_INDEX, {"backoffLimitPerIndex": 2}, [("spec.backoffLimitPerIndex", "Invalid", "field is immutable")]),
        ({}, {"managedBy": "a.io/b"}, [("spec.managedBy", "Invalid", "field is immutable")]),
        (
            succeeding({"succeededCount": 1}),
            {"successPolicy": {"rules": [{"succeededCount": 2}]}},
            [("spec.successPolicy", "Invalid", "field is immutable")],
        ),
    ],
)
def test_updates(was: Document, change: Document, expected: list[Expected]) -> None:
    old = job(**was)
    check(told(JOB, merge_patch(old, {"spec": change}), old), *expected)


SUSPENDED = {"suspend": True}
STARTED = {"startTime": "2026-01-01T00:00:00Z"}
NOTED = {**STARTED, "conditions": [{"type": "Suspended", "status": "True"}]}
FIXED = [("spec.template", "Invalid", "field is immutable")]
SPEC_FIXED = [("spec.template.spec", "Invalid", "field is immutable")]


@pytest.mark.parametrize(
    ("status", "pods", "expected"),
    [
        ({}, {"spec": {"nodeSelector": {"a": "b"}, "tolerations": [{"operator": "Exists"}]}}, []),
        ({}, {"spec": {"schedulingGates": [{"name": "a.io/b"}]}, "metadata": {"labels": {"new": "1"}}}, []),
        ({}, {"spec": {"affinity": {"nodeAffinity": {}}}, "metadata": {"annotations": {"new": "1"}}}, []),
        ({}, {"spec": {"affinity": {"podAffinity": {}}}}, SPEC_FIXED),
        ({}, {"spec": {"containers": [{**CONTAINER, "resources": {"requests": {"cpu": "2"}}}]}}, []),
        ({}, {"spec": {"containers": [{**CONTAINER, "image": "b:1"}]}}, SPEC_FIXED),
        ({}, {"spec": {"hostNetwork": True}}, SPEC_FIXED),
        (STARTED, {"spec": {"nodeSelector": {"a": "b"}}}, FIXED),
        (NOTED, {"spec": {"nodeSelector": {"a": "b"}}}, []),
        ({**NOTED, "active": 1}, {"spec": {"nodeSelector": {"a": "b"}}}, FIXED),
    ],
)
def test_where_pods_run_may_change_while_there_are_none(
    status: Document, pods: Document, expected: list[Expected]
) -> None:
    old = {**job(**SUSPENDED), "status": status}
    check(told(JOB, made(JOB, merge_patch(old["spec"], {"template": pods}), old), old), *expected)


def cron(**spec: Any) -> Document:
    return made(CRONJOB, {"schedule": "0 * * * *", "jobTemplate": {"spec": {"template": PODS}}, **spec})


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"timeZone": "Europe/Berlin"}, []),
        ({"schedule": ""}, [("spec.schedule", "Required", "Required value")]),
        ({"schedule": "* * *"}, [("spec.schedule", "Invalid", "expected exactly 5 fields, found 3")]),
        (
            {"schedule": "TZ=UTC 0 * * * *"},
            [("spec.schedule", "Invalid", "cannot use TZ or CRON_TZ in schedule, use timeZone field instead")],
        ),
        ({"timeZone": ""}, [("spec.timeZone", "Invalid", "timeZone must be nil or non-empty string")]),
        ({"timeZone": "Local"}, [("spec.timeZone", "Invalid", "timeZone must be an explicit time zone as defined in")]),
        ({"timeZone": "Europe/../UTC"}, [("spec.timeZone", "Invalid", "unknown time zone Europe/../UTC")]),
        ({"timeZone": "Europe/Fifteen-letters"}, [("spec.timeZone", "Invalid", "unknown time zone")]),
        ({"timeZone": "-Europe/Berlin"}, [("spec.timeZone", "Invalid", "unknown time zone -Europe/Berlin")]),
        ({"timeZone": "No/Where"}, [("spec.timeZone", "Invalid", "unknown time zone No/Where")]),
        (
            {"concurrencyPolicy": "Queue"},
            [("spec.concurrencyPolicy", "NotSupported", 'supported values: "Allow", "Forbid", "Replace"')],
        ),
        (
            {"startingDeadlineSeconds": -1, "successfulJobsHistoryLimit": -1, "failedJobsHistoryLimit": -1},
            [
                ("spec.startingDeadlineSeconds", "Invalid", "must be greater than or equal to 0"),
                ("spec.successfulJobsHistoryLimit", "Invalid", "must be greater than or equal to 0"),
                ("spec.failedJobsHistoryLimit", "Invalid", "must be greater than or equal to 0"),
            ],
        ),
        (
            {"jobTemplate": {"spec": {"template": PODS, "selector": {"matchLabels": {"a": "b"}}}}},
            [("spec.jobTemplate.spec.selector", "Invalid", "`selector` will be auto-generated")],
        ),
        (
            {"jobTemplate": {"spec": {"template": PODS, "manualSelector": True}}},
            [("spec.jobTemplate.spec.manualSelector", "NotSupported", 'supported values: "nil", "false"')],
        ),
        (
            {"jobTemplate": {"spec": {"template": PODS, "backoffLimit": -1}}},
            [("spec.jobTemplate.spec.backoffLimit", "Invalid", "must be greater than or equal to 0")],
        ),
    ],
)
def test_cron_jobs(spec: Document, expected: list[Expected]) -> None:
    check(told(CRONJOB, cron(**spec)), *expected)


def test_a_schedule_that_had_its_time_zone_may_keep_it() -> None:
    old = cron(schedule="CRON_TZ=UTC 0 * * * *")
    assert told(CRONJOB, cron(schedule="CRON_TZ=UTC 1 * * * *"), old) == []
    both = cron(schedule="CRON_TZ=UTC 1 * * * *", timeZone="Europe/Berlin")
    words = "cannot use both timeZone field and TZ or CRON_TZ in schedule"
    check(told(CRONJOB, both, old), ("spec.schedule", "Invalid", words))
    strange = cron(timeZone="No/Where")
    assert told(CRONJOB, cron(timeZone="No/Where", suspend=True), strange) == []
