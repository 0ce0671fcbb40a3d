"""Rules of a Job's policies: which failures count, when it has succeeded, when a pod is replaced; and of the indexes
that they and its status name.

Source: https://kubernetes.io/docs/concepts/workloads/controllers/job/#pod-failure-policy and #success-policy
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from navarch.kinds.rules import Faults, shown
from navarch.objects import names
from navarch.objects.value import Document, dig

REPLACEMENTS = ("Failed", "TerminatingOrFailed")
ACTIONS = ("Count", "FailIndex", "FailJob", "Ignore")
EXIT_OPERATORS = ("In", "NotIn")
CONDITION_STATUSES = ("False", "True", "Unknown")
FAILURE_RULES_MAX = 20
SUCCESS_RULES_MAX = 20
EXIT_CODES_MAX = 255
CONDITIONS_MAX = 20
INDEXES_MAX_BYTES = 64 * 1024
_INTEGER = re.compile(r"[+-]?[0-9]+")


class BadIndexes(ValueError):
    """The text names no indexes; the message says why."""


def indexes(text: str, completions: int) -> list[tuple[int, int]]:
    """The first and last index of each run in `0,2-4`, in order. completions: what every index is below.

    Raises: BadIndexes.
    """
    found: list[tuple[int, int]] = []
    for run in text.split(",") if text else ():
        first, last = _run(run, completions)
        if found and found[-1][1] >= first:
            raise BadIndexes(f"non-increasing order, previous: {found[-1][1]}, current: {first}")
        found.append((first, last))
    return found


def _run(text: str, completions: int) -> tuple[int, int]:
    ends = text.split("-")
    if len(ends) > 2:
        raise BadIndexes(
            f"the fragment {shown(text)} violates the requirement that an index interval can have at most two parts "
            "separated by '-'"
        )
    first = _index(ends[0], completions)
    last = _index(ends[-1], completions)
    if len(ends) == 2 and first >= last:
        raise BadIndexes(f"non-increasing order, previous: {first}, current: {last}")
    return first, last


def _index(text: str, completions: int) -> int:
    if not _INTEGER.fullmatch(text):
        raise BadIndexes(f"cannot convert string to integer for index: {shown(text)}")
    if int(text) >= completions:
        raise BadIndexes(f"too large index: {shown(text)}")
    return int(text)


def _valid(values: tuple[str, ...]) -> str:
    return f"valid values: [{' '.join(shown(value) for value in values)}]"


def _one_of(faults: Faults, field: str, value: str, supported: tuple[str, ...]) -> None:
    if not value:
        faults.required(field, _valid(supported))
    elif value not in supported:
        faults.unsupported(field, value, supported)


def replacement(faults: Faults, spec: Document, path: str) -> None:
    policy = spec.get("podReplacementPolicy")
    if policy is None:
        return
    supported = ("Failed",) if "podFailurePolicy" in spec else REPLACEMENTS
    if policy not in supported:
        faults.unsupported(path, policy, supported)


def failure_policy(faults: Faults, policy: Document, spec: Document, path: str) -> None:
    """spec: the Job's, which the policy must fit."""
    found = policy.get("rules") or []
    if len(found) > FAILURE_RULES_MAX:
        faults.too_many(f"{path}.rules", len(found), FAILURE_RULES_MAX)
    containers = {
        one.get("name")
        for field in ("containers", "initContainers")
        for one in dig(spec, "template", "spec", field, default=())
    }
    for index, rule in enumerate(found):
        _failure_rule(faults, rule, "backoffLimitPerIndex" in spec, containers, f"{path}.rules[{index}]")


def _failure_rule(faults: Faults, rule: Document, by_index: bool, containers: Collection[Any], path: str) -> None:
    action, conditions = rule.get("action", ""), rule.get("onPodConditions") or ()
    if action == "FailIndex":
        if not by_index:
            faults.invalid(f"{path}.action", action, "requires the backoffLimitPerIndex to be set")
    else:
        _one_of(faults, f"{path}.action", action, ACTIONS)
    if "onExitCodes" in rule:
        _exit_codes(faults, rule["onExitCodes"], containers, f"{path}.onExitCodes")
    if len(conditions) > CONDITIONS_MAX:
        faults.too_many(f"{path}.onPodConditions", len(conditions), CONDITIONS_MAX)
    for number, pattern in enumerate(conditions):
        at = f"{path}.onPodConditions[{number}]"
        faults.checked(f"{at}.type", pattern.get("type", ""), names.qualified_name(pattern.get("type", "")))
        _one_of(faults, f"{at}.status", pattern.get("status", ""), CONDITION_STATUSES)
    if "onExitCodes" in rule and conditions:
        faults.invalid_unshown(path, "specifying both OnExitCodes and OnPodConditions is not supported")
    if "onExitCodes" not in rule and not conditions:
        faults.invalid_unshown(path, "specifying one of OnExitCodes and OnPodConditions is required")


def _exit_codes(faults: Faults, found: Document, containers: Collection[Any], path: str) -> None:
    operator, values = found.get("operator", ""), found.get("values") or []
    _one_of(faults, f"{path}.operator", operator, EXIT_OPERATORS)
    if (name := found.get("containerName")) is not None and name not in containers:
        detail = "must be one of the container or initContainer names in the pod template"
        faults.invalid(f"{path}.containerName", name, detail)
    if not values:
        faults.invalid(f"{path}.values", values, "at least one value is required")
    elif len(values) > EXIT_CODES_MAX:
        faults.too_many(f"{path}.values", len(values), EXIT_CODES_MAX)
    seen: set[int] = set()
    for index, value in enumerate(values):
        if operator == "In" and value == 0:
            faults.invalid(f"{path}.values[{index}]", value, "must not be 0 for the In operator")
        if value in seen:
            faults.duplicate(f"{path}.values[{index}]", value)
        seen.add(value)
    if values != sorted(values):
        faults.invalid(f"{path}.values", values, "must be ordered")


def success_policy(faults: Faults, policy: Document, completions: int, path: str) -> None:
    found = policy.get("rules") or []
    if not found:
        detail = "at least one rules must be specified when the successPolicy is specified"
        faults.required(f"{path}.rules", detail)
    if len(found) > SUCCESS_RULES_MAX:
        faults.too_many(f"{path}.rules", len(found), SUCCESS_RULES_MAX)
    for index, rule in enumerate(found):
        _success_rule(faults, rule, completions, f"{path}.rules[{index}]")


def _success_rule(faults: Faults, rule: Document, completions: int, path: str) -> None:
    count, text = rule.get("succeededCount"), rule.get("succeededIndexes")
    if count is None and text is None:
        faults.required(path, "at least one of succeededCount or succeededIndexes must be specified")
    total = 0
    if text is not None:
        if len(text) > INDEXES_MAX_BYTES:
            faults.too_long(f"{path}.succeededIndexes", INDEXES_MAX_BYTES)
        try:
            total = sum(last - first + 1 for first, last in indexes(text, completions))
        except BadIndexes as error:
            faults.invalid(f"{path}.succeededIndexes", text, f"error parsing succeededIndexes: {error}")
    if count is None:
        return
    faults.not_negative(f"{path}.succeededCount", count)
    if count > completions:
        detail = f"must be less than or equal to {completions} (the number of specified completions)"
        faults.invalid(f"{path}.succeededCount", count, detail)
    if text is not None and count > total:
        detail = (
            f"must be less than or equal to {total} (the number of indexes in the specified succeededIndexes field)"
        )
        faults.invalid(f"{path}.succeededCount", count, detail)
