"""Rules of a Job's status, one by one: what was, what is written, and what is said of it."""

from __future__ import annotations

from typing import Any

import pytest

from navarch.kinds import JOB

Document = dict[str, Any]
START = {"startTime": "2026-01-01T00:00:00Z"}
END = {"completionTime": "2026-01-01T01:00:00Z"}
AT = "status.conditions"


def holding(*types: str, **status: Any) -> Document:
    return {**status, "conditions": [{"type": type_, "status": "True"} for type_ in types]}


MET = holding("SuccessCriteriaMet", **START)
COMPLETE = holding("SuccessCriteriaMet", "Complete", **START, **END)
FAILED = holding("FailureTarget", "Failed", **START)


def told(new: Document, old: Document, spec: Document) -> list[tuple[str, str, str]]:
    job: Document = {"metadata": {"name": "x"}, "spec": {"completions": 5, "parallelism": 2, **spec}}
    causes = JOB.subresource_rules["status"]({**job, "status": new}, {**job, "status": old})
    return [(cause.field, cause.reason.removeprefix("FieldValue"), cause.message) for cause in causes]


INDEXED: Document = {"completionMode": "Indexed"}
BY_INDEX: Document = {**INDEXED, "backoffLimitPerIndex": 1}


@pytest.mark.parametrize(
    ("spec", "old", "new"),
    [
        ({}, {}, {**START, "active": 2, "ready": 1, "terminating": 0}),
        ({}, MET, COMPLETE),
        ({}, holding("FailureTarget", **START), FAILED),
        ({}, {**START, "active": 1}, {"conditions": [{"type": "Suspended", "status": "True"}], **START}),
        ({"suspend": True}, START, {}),
        ({"suspend": True, "completions": 0}, {}, holding("SuccessCriteriaMet", "Complete", **END)),
        ({**INDEXED, "completions": 2}, {"succeeded": 5}, {"succeeded": 2}),
        (BY_INDEX, {}, {"completedIndexes": "0,2-3", "failedIndexes": "1,4"}),
        ({}, {**COMPLETE, "completedIndexes": "9"}, {**COMPLETE, "completedIndexes": "9", "succeeded": 1}),
    ],
)
def test_ways_that_a_job_goes(spec: Document, old: Document, new: Document) -> None:
    assert told(new, old, spec) == []


def test_resuming_sets_the_start_anew() -> None:
    old = holding("Suspended", **START)
    new = {"conditions": [{"type": "Suspended", "status": "False"}], "startTime": "2026-01-02T00:00:00Z"}
    assert told(new, old, {}) == []


@pytest.mark.parametrize(
    ("spec", "old", "new", "field", "reason", "words"),
    [
        ({}, {}, {field: -1}, f"status.{field}", "Invalid", "must be greater than or equal to 0")
        for field in ("active", "ready", "terminating")
    ]
    + [
        (
            {},
            {},
            {"uncountedTerminatedPods": {"succeeded": [""]}},
            "status.uncountedTerminatedPods.succeeded[0]",
            "Invalid",
            "must not be empty",
        ),
        (
            {},
            {},
            {"uncountedTerminatedPods": {"succeeded": ["a"], "failed": ["a"]}},
            "status.uncountedTerminatedPods.failed[0]",
            "Duplicate",
            '"a"',
        ),
        (
            {},
            START,
            holding("SuccessCriteriaMet", "Complete", **START),
            "status.completionTime",
            "Required",
            "required",
        ),
        ({}, START, {**START, **END}, "status.completionTime", "Invalid", "cannot set completionTime when there is no"),
        (
            {},
            MET,
            {**COMPLETE, "completionTime": "2025-01-01T00:00:00Z"},
            "status.completionTime",
            "Invalid",
            "completionTime cannot be set before startTime",
        ),
        ({}, {}, holding("FailureTarget", "Failed"), "status.startTime", "Required", "required for finished job"),
        ({}, START, holding("Failed", **START), AT, "Invalid", "Failed=True condition without the FailureTarget=true"),
        ({}, START, holding("Complete", **START, **END), AT, "Invalid", "Complete=True condition without the Success"),
        (
            {},
            START,
            holding("FailureTarget", "SuccessCriteriaMet", **START),
            AT,
            "Invalid",
            "Met=True and FailureTarget",
        ),
        ({}, START, {**FAILED, "active": 1}, "status.active", "Invalid", "active>0 is invalid for finished job"),
        ({}, START, {**FAILED, "terminating": 1}, "status.terminating", "Invalid", "terminating>0 is invalid"),
        (
            {},
            START,
            {**FAILED, "uncountedTerminatedPods": {"failed": ["a"]}},
            "status.uncountedTerminatedPods",
            "Invalid",
            "uncountedTerminatedPods needs to be empty for finished job",
        ),
        ({}, {}, {"ready": 2, "active": 1}, "status.ready", "Invalid", "cannot set more ready pods than active"),
        ({}, {}, {"completedIndexes": "0"}, "status.completedIndexes", "Invalid", "non-indexed completion mode"),
        (
            INDEXED,
            {},
            {"completedIndexes": "5"},
            "status.completedIndexes",
            "Invalid",
            'completedIndexes: too large index: "5"',
        ),
        (
            BY_INDEX,
            {},
            {"failedIndexes": "a"},
            "status.failedIndexes",
            "Invalid",
            "parsing failedIndexes: cannot",
        ),
        (INDEXED, {}, {"failedIndexes": ""}, "status.failedIndexes", "Invalid", "non-null failedIndexes"),
        (
            BY_INDEX,
            {},
            {"completedIndexes": "0-2", "failedIndexes": "2"},
            "status.failedIndexes",
            "Invalid",
            "failedIndexes and completedIndexes overlap at index: 2",
        ),
        ({}, {"failed": 2}, {"failed": 1}, "status.failed", "Invalid", "cannot decrease the failed counter"),
        (
            {},
            {"succeeded": 2},
            {},
            "status.succeeded",
            "Invalid",
            "Invalid value: 0: cannot decrease the succeeded counter",
        ),
        (
            {},
            COMPLETE,
            {**COMPLETE, "completionTime": "2026-01-01T02:00:00Z"},
            "status.completionTime",
            "Invalid",
            "field is immutable",
        ),
        ({}, START, {}, "status.startTime", "Required", "cannot be removed for unsuspended"),
        ({}, MET, START, AT, "Invalid", "cannot disable the SuccessCriteriaMet=True condition"),
        ({}, holding("FailureTarget", **START), START, AT, "Invalid", "disable the terminal FailureTarget"),
        (
            {},
            holding("Complete", **START, **END),
            COMPLETE,
            AT,
            "Invalid",
            "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions",
        ),
    ],
)
def test_ways_that_no_job_goes(
    spec: Document, old: Document, new: Document, field: str, reason: str, words: str
) -> None:
    found = told(new, old, spec)
    assert [(at, why) for at, why, _ in found] == [(field, reason)], found
    assert words in found[0][2]


def test_conditions_that_exclude_each_other() -> None:
    both = holding("SuccessCriteriaMet", "FailureTarget", "Complete", "Failed", **START, **END)
    messages = [message for _, _, message in told(both, START, {})]
    assert messages == [
        "Invalid value: cannot set Complete=True and Failed=true conditions",
        "Invalid value: cannot set Complete=True and FailureTarget=true conditions",
        "Invalid value: cannot set SuccessCriteriaMet=True and Failed=true conditions",
        "Invalid value: cannot set SuccessCriteriaMet=True and FailureTarget=true conditions",
    ]
    policy = {**INDEXED, "successPolicy": {"rules": [{"succeededCount": 1}]}}
    messages = [message for _, _, message in told(holding("Complete", **START, **END), START, policy)]
    assert messages[-1].endswith("cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True")


def test_what_was_wrong_before_does_not_stand_in_the_way() -> None:
    old = holding("Complete", active=1, completedIndexes="9")
    assert told({**old, "succeeded": 1}, old, {}) == []
