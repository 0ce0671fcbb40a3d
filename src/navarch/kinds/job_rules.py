"""Rules of Jobs, alone and in a CronJob; those of their policies stand in `job_policies`, of their status in
`job_status_rules`.

Source: https://kubernetes.io/docs/concepts/workloads/controllers/job/
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from navarch.base.errors import Cause
from navarch.kinds.job_policies import failure_policy, replacement, success_policy
from navarch.kinds.rules import IMMUTABLE, Faults, domain_prefixed, without_empty_lists
from navarch.kinds.workload import counts, selects, template
from navarch.objects import condition, names
from navarch.objects.selector import check_document, from_document
from navarch.objects.value import Document, dig

CONTROLLER_UID = "batch.kubernetes.io/controller-uid"
JOB_NAME = "batch.kubernetes.io/job-name"
INDEXED_MAX = 100_000
MANY_COMPLETIONS_MAX = 10_000
"""Of parallelism and of failed indexes, where completions are above `INDEXED_MAX` and limited index by index."""
MODES = ("NonIndexed", "Indexed")
INDEXED_ONLY = "requires indexed completion mode"
COUNTS = (
    "parallelism",
    "completions",
    "activeDeadlineSeconds",
    "backoffLimit",
    "ttlSecondsAfterFinished",
    "backoffLimitPerIndex",
    "maxFailedIndexes",
)
FIXED = ("completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy")
PLACED_BY = ("nodeSelector", "tolerations", "schedulingGates")
"""Of the pods' spec, besides node affinity: may change while a Job is suspended and none of its pods is there."""


def rules(new: Document, old: Document | None) -> Iterable[Cause]:
    faults = Faults()
    spec: Document = new.get("spec") or {}
    was: Document = (old or {}).get("spec") or {}
    if old is not None and spec == was:
        return ()
    if not spec.get("manualSelector") and spec.get("selector") is not None:
        _generated(faults, new, spec, was if old is not None else None)
    job_spec(faults, spec, "spec")
    if spec.get("selector") is None:
        faults.required("spec.selector")
    else:
        faults.causes.extend(check_document(spec["selector"], "spec.selector"))
        if not selects(spec["selector"], spec):
            labels = dig(spec, "template", "metadata", "labels", default={})
            faults.invalid("spec.template.metadata.labels", labels, "`selector` does not match template `labels`")
    _hostnames(faults, new, spec)
    if old is not None:
        _update(faults, spec, was, old)
    return faults.causes


def _generated(faults: Faults, new: Document, spec: Document, was: Document | None) -> None:
    """A Job that selects its pods by its own uid labels them so; one made before the newer labels goes on without."""
    uid, name = dig(new, "metadata", "uid", default=""), dig(new, "metadata", "name", default="")
    if not uid:
        faults.required("metadata.uid")
    expected = {"controller-uid": uid, "job-name": name}
    prefixed = {CONTROLLER_UID: uid, JOB_NAME: name}
    if was is None or prefixed.keys() <= dig(was, "template", "metadata", "labels", default={}).keys():
        expected |= prefixed
    labels: Document = dig(spec, "template", "metadata", "labels", default={})
    for key, value in expected.items():
        field, detail = f"spec.template.metadata.labels[{key}]", f"must be '{value}'"
        if key not in labels:
            faults.required(field, detail)
        elif labels[key] != value:
            faults.invalid(field, labels, detail)
    if not any(check_document(spec["selector"], "")) and not from_document(spec["selector"]).matches(expected):
        faults.invalid("spec.selector", spec["selector"], "`selector` not auto-generated")


def _hostnames(faults: Faults, new: Document, spec: Document) -> None:
    """Each pod of an Indexed Job is called by the Job's name and its index."""
    completions = spec.get("completions") or 0
    if spec.get("completionMode") == "Indexed" and completions > 0:
        name = dig(new, "metadata", "name", default="")
        longest = f"{name}-{completions - 1}"
        if names.dns_label(longest):
            faults.invalid("metadata.name", name, f"will not able to create pod with invalid DNS label: {longest}")


def job_spec(faults: Faults, spec: Document, path: str) -> None:
    """What holds wherever a Job's spec stands."""
    counts(faults, spec, path, *COUNTS)
    if "maxFailedIndexes" in spec and "backoffLimitPerIndex" not in spec:
        faults.required(f"{path}.backoffLimitPerIndex", "when maxFailedIndexes is specified")
    if (manager := spec.get("managedBy")) is not None:
        domain_prefixed(faults, manager, f"{path}.managedBy")
        if len(manager) > names.LABEL_MAX:
            faults.too_long(f"{path}.managedBy", names.LABEL_MAX)
    mode = spec.get("completionMode")
    if mode is not None and mode not in MODES:
        faults.unsupported(f"{path}.completionMode", mode, MODES)
    if mode == "Indexed":
        _indexed(faults, spec, path)
    elif mode in (None, "NonIndexed"):
        for field in ("backoffLimitPerIndex", "maxFailedIndexes"):
            if field in spec:
                faults.invalid(f"{path}.{field}", spec[field], INDEXED_ONLY)
    if "podFailurePolicy" in spec:
        failure_policy(faults, spec["podFailurePolicy"], spec, f"{path}.podFailurePolicy")
    if "successPolicy" in spec:
        if mode == "Indexed":
            success_policy(faults, spec["successPolicy"], spec.get("completions") or 0, f"{path}.successPolicy")
        else:
            faults.invalid(f"{path}.successPolicy", spec["successPolicy"], INDEXED_ONLY)
    replacement(faults, spec, f"{path}.podReplacementPolicy")
    template(faults, spec.get("template") or {}, f"{path}.template")
    _restart(faults, spec, f"{path}.template.spec.restartPolicy")


def _restart(faults: Faults, spec: Document, field: str) -> None:
    policy = dig(spec, "template", "spec", "restartPolicy", default="")
    if policy in ("", "Always"):
        faults.required(field, 'valid values: "OnFailure", "Never"')
    elif policy not in ("OnFailure", "Never"):
        faults.unsupported(field, policy, ("OnFailure", "Never"))
    elif "podFailurePolicy" in spec and policy != "Never":
        faults.invalid(field, policy, 'only "Never" is supported when podFailurePolicy is specified')


def _indexed(faults: Faults, spec: Document, path: str) -> None:
    completions, failed = spec.get("completions"), spec.get("maxFailedIndexes")
    parallel = spec.get("parallelism", 0)
    if completions is None:
        faults.required(f"{path}.completions", "when completion mode is Indexed")
    if parallel > INDEXED_MAX:
        detail = f"must be less than or equal to {INDEXED_MAX} when completion mode is Indexed"
        faults.invalid(f"{path}.parallelism", parallel, detail)
    if failed is not None:
        if completions is not None and failed > completions:
            faults.invalid(f"{path}.maxFailedIndexes", failed, "must be less than or equal to completions")
        if failed > INDEXED_MAX:
            faults.invalid(f"{path}.maxFailedIndexes", failed, f"must be less than or equal to {INDEXED_MAX}")
    if completions is None or completions <= INDEXED_MAX or "backoffLimitPerIndex" not in spec:
        return
    detail = (
        f"must be less than or equal to {MANY_COMPLETIONS_MAX} when completions are above {INDEXED_MAX} "
        "and used with backoff limit per index"
    )
    if failed is None:
        faults.required(f"{path}.maxFailedIndexes", f"must be specified when completions is above {INDEXED_MAX}")
    if parallel > MANY_COMPLETIONS_MAX:
        faults.invalid(f"{path}.parallelism", parallel, detail)
    if failed is not None and failed > MANY_COMPLETIONS_MAX:
        faults.invalid(f"{path}.maxFailedIndexes", failed, detail)


def _update(faults: Faults, spec: Document, was: Document, old: Document) -> None:
    completions = spec.get("completions")
    if completions != was.get("completions"):
        if spec.get("completionMode") != "Indexed":
            faults.invalid("spec.completions", completions, IMMUTABLE)
        elif completions is not None and completions != spec.get("parallelism"):
            detail = "can only be modified in tandem with spec.parallelism"
            faults.invalid("spec.completions", completions, detail)
    faults.immutable("spec.selector", spec.get("selector"), was.get("selector"))
    _template_update(faults, spec.get("template") or {}, was.get("template") or {}, old)
    for field in FIXED:
        faults.immutable(f"spec.{field}", spec.get(field), was.get(field))


def _template_update(faults: Faults, new: Document, was: Document, old: Document) -> None:
    """Templates are fixed. While a Job is suspended and has no pods, what says where they run, how they are labelled
    and what they are given may change."""
    if new == was:
        return
    pods = new.get("spec") or {}
    new, was = without_empty_lists(new), without_empty_lists(was)
    if new == was:
        return
    never_ran = dig(old, "status", "startTime") is None or condition.is_true(old, "Suspended")
    if not (dig(old, "spec", "suspend") and never_ran and not dig(old, "status", "active", default=0)):
        faults.invalid("spec.template", new, IMMUTABLE)
        return
    if _metadata_but(new, "labels", "annotations") != _metadata_but(was, "labels", "annotations"):
        faults.invalid("spec.template", new, IMMUTABLE)
    now, before = new.get("spec") or {}, was.get("spec") or {}
    if _fixed(now) != _fixed(before) or not _same_containers(now, before):
        faults.invalid("spec.template.spec", pods, IMMUTABLE)


def _metadata_but(found: Document, *fields: str) -> Document:
    return {key: value for key, value in (found.get("metadata") or {}).items() if key not in fields}


def _fixed(pods: Document) -> Document:
    """A pod spec without what says where the pods run, and without its containers."""
    left = (*PLACED_BY, "affinity", "containers", "initContainers")
    found = {key: value for key, value in pods.items() if key not in left}
    if others := {key: value for key, value in (pods.get("affinity") or {}).items() if key != "nodeAffinity"}:
        found["affinity"] = others
    return found


def _same_containers(new: Document, was: Document) -> bool:
    """Whether containers differ in their resources alone."""

    def bare(pods: Document) -> list[Any]:
        return [
            {key: value for key, value in container.items() if key != "resources"}
            for field in ("containers", "initContainers")
            for container in pods.get(field) or ()
        ]

    return bare(new) == bare(was)
