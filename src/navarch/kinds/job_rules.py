"""Rules of Jobs, alone and in a CronJob.

Source: https://kubernetes.io/docs/concepts/workloads/controllers/job/
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from navarch.base.errors import Cause
from navarch.kinds.rules import Faults, domain_prefixed
from navarch.kinds.workload import counts, selects, template
from navarch.objects import names
from navarch.objects.selector import check_document
from navarch.objects.value import Document, dig

CONTROLLER_UID = "batch.kubernetes.io/controller-uid"
INDEXED_MAX = 100_000
MODES = ("NonIndexed", "Indexed")
REPLACEMENTS = ("Failed", "TerminatingOrFailed")
ACTIONS = ("Count", "FailIndex", "FailJob", "Ignore")
EXIT_OPERATORS = ("In", "NotIn")
CONDITION_STATUSES = ("False", "True", "Unknown")
FAILURE_RULES_MAX = 20
SUCCESS_RULES_MAX = 20
EXIT_CODES_MAX = 255
COUNTS = (
    "parallelism",
    "completions",
    "activeDeadlineSeconds",
    "backoffLimit",
    "ttlSecondsAfterFinished",
    "backoffLimitPerIndex",
    "maxFailedIndexes",
)
FIXED = ("selector", "completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy")
WHILE_SUSPENDED = ("nodeSelector", "tolerations", "affinity", "schedulingGates")
"""Of the pods' spec: may change while a Job is suspended that never ran."""


def rules(new: Document, old: Document | None) -> Iterable[Cause]:
    faults = Faults()
    spec: Document = new.get("spec") or {}
    was: Document = (old or {}).get("spec") or {}
    if old is not None and spec == was:
        return ()
    uid = dig(new, "metadata", "uid", default="")
    if old is None and not spec.get("manualSelector"):
        if dig(spec, "selector", "matchLabels", default={}).get(CONTROLLER_UID, uid) != uid:
            faults.invalid("spec.selector", spec["selector"], "`selector` not auto-generated")
        labels = dig(spec, "template", "metadata", "labels", default={})
        if labels.get(CONTROLLER_UID, uid) != uid:
            faults.invalid("spec.template.metadata.labels", labels, f"must be '{uid}'")
    if spec.get("selector") is None:
        faults.required("spec.selector")
    else:
        faults.causes.extend(check_document(spec["selector"], "spec.selector"))
        if not selects(spec["selector"], spec):
            labels = dig(spec, "template", "metadata", "labels", default={})
            faults.invalid("spec.template.metadata.labels", labels, "`selector` does not match template `labels`")
    job_spec(faults, spec, "spec")
    if old is not None:
        _update(faults, spec, was, old)
    return faults.causes


def job_spec(faults: Faults, spec: Document, path: str) -> None:
    """What holds wherever a Job's spec stands."""
    counts(faults, spec, path, *COUNTS)
    indexed = spec.get("completionMode") == "Indexed"
    if (mode := spec.get("completionMode")) is not None and mode not in MODES:
        faults.unsupported(f"{path}.completionMode", mode, MODES)
    if indexed:
        _indexed(faults, spec, path)
    if not indexed and "backoffLimitPerIndex" in spec:
        detail = "requires indexed completion mode"
        faults.invalid(f"{path}.backoffLimitPerIndex", spec["backoffLimitPerIndex"], detail)
    if "maxFailedIndexes" in spec and "backoffLimitPerIndex" not in spec:
        faults.required(f"{path}.backoffLimitPerIndex", "when maxFailedIndexes is specified")
    restart = dig(spec, "template", "spec", "restartPolicy", default="")
    if failure := spec.get("podFailurePolicy"):
        _failure_policy(faults, failure, spec, f"{path}.podFailurePolicy")
        if restart != "Never":
            detail = 'only "Never" is supported when podFailurePolicy is specified'
            faults.invalid(f"{path}.template.spec.restartPolicy", restart, detail)
    if success := spec.get("successPolicy"):
        _success_policy(faults, success, spec, f"{path}.successPolicy")
    _replacement(faults, spec, f"{path}.podReplacementPolicy")
    if (manager := spec.get("managedBy")) is not None:
        domain_prefixed(faults, manager, f"{path}.managedBy")
        if len(manager) > names.LABEL_MAX:
            faults.too_long(f"{path}.managedBy", names.LABEL_MAX)
    template(faults, spec.get("template") or {}, f"{path}.template")
    if restart == "Always":
        faults.required(f"{path}.template.spec.restartPolicy", 'valid values: "OnFailure", "Never"')
    elif restart not in ("OnFailure", "Never"):
        faults.unsupported(f"{path}.template.spec.restartPolicy", restart, ("OnFailure", "Never"))


def _indexed(faults: Faults, spec: Document, path: str) -> None:
    completions, failed = spec.get("completions"), spec.get("maxFailedIndexes")
    if completions is None:
        faults.required(f"{path}.completions", "when completion mode is Indexed")
    if spec.get("parallelism", 0) > INDEXED_MAX:
        detail = f"must be less than or equal to {INDEXED_MAX} when completion mode is Indexed"
        faults.invalid(f"{path}.parallelism", spec["parallelism"], detail)
    if completions is None or "backoffLimitPerIndex" not in spec:
        return
    if failed is not None and failed > completions:
        faults.invalid(f"{path}.maxFailedIndexes", failed, "must be less than or equal to completions")
    if completions > INDEXED_MAX and failed is None:
        faults.required(f"{path}.maxFailedIndexes", f"must be specified when completions is above {INDEXED_MAX}")


def _replacement(faults: Faults, spec: Document, path: str) -> None:
    policy = spec.get("podReplacementPolicy")
    if policy is None:
        return
    supported = ("Failed",) if "podFailurePolicy" in spec else REPLACEMENTS
    if policy not in supported:
        faults.unsupported(path, policy, supported)


def _failure_policy(faults: Faults, policy: Document, spec: Document, path: str) -> None:
    found = policy.get("rules") or []
    if len(found) > FAILURE_RULES_MAX:
        faults.too_many(f"{path}.rules", len(found), FAILURE_RULES_MAX)
    containers = {
        one.get("name")
        for field in ("containers", "initContainers")
        for one in dig(spec, "template", "spec", field, default=())
    }
    for index, rule in enumerate(found):
        where = f"{path}.rules[{index}]"
        action = rule.get("action", "")
        if action == "FailIndex" and "backoffLimitPerIndex" not in spec:
            detail = "requires the backoffLimitPerIndex to be set"
            faults.invalid(f"{where}.action", action, detail)
        faults.one_of(f"{where}.action", action, ACTIONS)
        if "onExitCodes" in rule and rule.get("onPodConditions"):
            faults.invalid(where, rule, "specifying both OnExitCodes and OnPodConditions is not supported")
        elif "onExitCodes" not in rule and not rule.get("onPodConditions"):
            faults.invalid(where, rule, "specifying one of OnExitCodes and OnPodConditions is required")
        if "onExitCodes" in rule:
            _exit_codes(faults, rule["onExitCodes"], containers, f"{where}.onExitCodes")
        for number, pattern in enumerate(rule.get("onPodConditions") or ()):
            at = f"{where}.onPodConditions[{number}]"
            faults.checked(f"{at}.type", pattern.get("type", ""), names.qualified_name(pattern.get("type", "")))
            faults.one_of(f"{at}.status", pattern.get("status"), CONDITION_STATUSES)


def _exit_codes(faults: Faults, found: Document, containers: set[Any], path: str) -> None:
    operator, values = found.get("operator", ""), found.get("values") or []
    faults.one_of(f"{path}.operator", operator, EXIT_OPERATORS)
    if (name := found.get("containerName")) is not None and name not in containers:
        faults.invalid(f"{path}.containerName", name, "must be one of the container or initContainer names in the pod")
    if not values:
        faults.invalid(f"{path}.values", values, "at least one value is required")
    elif len(values) > EXIT_CODES_MAX:
        faults.too_many(f"{path}.values", len(values), EXIT_CODES_MAX)
    for index, value in enumerate(values):
        if value in values[:index]:
            faults.duplicate(f"{path}.values[{index}]", value)
        if operator == "In" and value == 0:
            faults.invalid(f"{path}.values[{index}]", value, "must not be 0 for the In operator")
    if values != sorted(values):
        faults.invalid(f"{path}.values", values, "must be ordered")


def _success_policy(faults: Faults, policy: Document, spec: Document, path: str) -> None:
    found = policy.get("rules") or []
    if spec.get("completionMode") != "Indexed":
        faults.invalid(path, policy, "requires indexed completion mode")
        return
    if not found:
        faults.required(f"{path}.rules", "must specify at least one rules")
    if len(found) > SUCCESS_RULES_MAX:
        faults.too_many(f"{path}.rules", len(found), SUCCESS_RULES_MAX)
    for index, rule in enumerate(found):
        where = f"{path}.rules[{index}]"
        count, completions = rule.get("succeededCount"), spec.get("completions") or 0
        if count is None and "succeededIndexes" not in rule:
            faults.required(where, "must specify succeededCount or succeededIndexes")
        if count is not None:
            faults.not_negative(f"{where}.succeededCount", count)
            if count > completions:
                detail = f"must be less than or equal to {completions} (the number of specified completions)"
                faults.invalid(f"{where}.succeededCount", count, detail)


def _update(faults: Faults, spec: Document, was: Document, old: Document) -> None:
    elastic = spec.get("completionMode") == "Indexed" and spec.get("completions") == spec.get("parallelism")
    if not elastic:
        faults.immutable("spec.completions", spec.get("completions"), was.get("completions"))
    for field in FIXED:
        faults.immutable(f"spec.{field}", spec.get(field), was.get(field))
    new_template, old_template = spec.get("template"), was.get("template")
    if was.get("suspend") and dig(old, "status", "startTime") is None:
        new_template, old_template = _placed_elsewhere(new_template), _placed_elsewhere(old_template)
    if new_template != old_template:
        faults.immutable("spec.template", spec.get("template"), was.get("template"))


def _placed_elsewhere(found: Any) -> Any:
    """A template without what says where its pods run and what labels they bear."""
    metadata, spec = dig(found, "metadata", default={}), dig(found, "spec", default={})
    return (
        {key: value for key, value in metadata.items() if key not in ("labels", "annotations")},
        {key: value for key, value in spec.items() if key not in WHILE_SUSPENDED},
    )
