"""APIService: a group and version that another server answers for.

Source: https://kubernetes.io/docs/concepts/extend-kubernetes/api-extension/apiserver-aggregation/
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from navarch.base.errors import Cause
from navarch.kinds.kind import Column, Kind
from navarch.kinds.rules import Faults
from navarch.objects import names
from navarch.objects.value import Document, Draft, dig

GROUP_PRIORITY_MAX = 20_000
VERSION_PRIORITY_MAX = 1_000
STATUSES = ("True", "False", "Unknown")


def default(draft: Draft) -> None:
    if draft.has("spec", "service"):
        draft.default(443, "spec", "service", "port")


def prepare(draft: Draft, old: Document | None) -> None:
    """What no other server answers for is always there."""
    if old is not None:
        return
    draft.set({}, "status")
    if not draft.has("spec", "service"):
        local = {
            "type": "Available",
            "status": "True",
            "reason": "Local",
            "message": "Local APIServices are always available",
        }
        draft.set([{**local, "lastTransitionTime": draft.get("metadata", "creationTimestamp")}], "status", "conditions")


def rules(new: Document, old: Document | None) -> Iterable[Cause]:
    faults = Faults()
    spec: Document = new.get("spec") or {}
    group, version = spec.get("group", ""), spec.get("version", "")
    name = dig(new, "metadata", "name", default="")
    wanted = f"{version}.{group}"
    if name != wanted and not names.path_segment(name):
        faults.invalid("metadata.name", name, f'must be `spec.version+"."+spec.group`: "{wanted}"')
    if group:
        faults.checked("spec.group", group, names.dns_subdomain(group))
    elif version != "v1":
        faults.required("spec.group", "only v1 may have an empty group and it better be legacy kube")
    faults.checked("spec.version", version, names.dns_label_1035(version))
    for field, most in (("groupPriorityMinimum", GROUP_PRIORITY_MAX), ("versionPriority", VERSION_PRIORITY_MAX)):
        if not 0 < spec.get(field, 0) <= most:
            faults.invalid(f"spec.{field}", spec.get(field, 0), f"must be positive and less than {most}")
    _backend(faults, spec)
    return faults.causes


def _backend(faults: Faults, spec: Document) -> None:
    service, bundle = spec.get("service"), spec.get("caBundle")
    if service is None:
        if bundle:
            shown = f"{len(bundle) * 3 // 4 - bundle.count('=')} bytes"
            faults.invalid("spec.caBundle", shown, "local APIServices may not have a caBundle")
        if spec.get("insecureSkipTLSVerify"):
            faults.invalid("spec.insecureSkipTLSVerify", True, "local APIServices may not have insecureSkipTLSVerify")
        return
    for field in ("namespace", "name"):
        if not service.get(field):
            faults.required(f"spec.service.{field}")
    port = service.get("port", 0)
    if messages := names.port(port):
        faults.invalid("spec.service.port", port, f"port is not valid: {messages[0]}")
    if spec.get("insecureSkipTLSVerify") and bundle:
        faults.invalid("spec.insecureSkipTLSVerify", True, "may not be true if caBundle is present")


def status_rules(new: Document, old: Document | None) -> Iterable[Cause]:
    faults = Faults()
    for index, condition in enumerate(dig(new, "status", "conditions", default=())):
        if condition.get("status") not in STATUSES:
            faults.unsupported(f"status.conditions[{index}].status", condition.get("status", ""), STATUSES)
    return faults.causes


def _service(found: Document, now: datetime) -> str:
    service = dig(found, "spec", "service")
    return "Local" if service is None else f"{service.get('namespace', '')}/{service.get('name', '')}"


def _available(found: Document, now: datetime) -> str:
    conditions = dig(found, "status", "conditions", default=())
    known = next((one for one in conditions if one.get("type") == "Available"), None)
    if known is None:
        return "Unknown"
    status = str(known.get("status", ""))
    return status if status == "True" else f"{status} ({known.get('reason', '')})"


APISERVICE = Kind(
    group="apiregistration.k8s.io",
    version="v1",
    name="APIService",
    plural="apiservices",
    categories=("api-extensions",),
    namespaced=False,
    default=default,
    rules=rules,
    prepare=prepare,
    name_rule=names.path_segment,
    subresources=("status",),
    subresource_rules={"status": status_rules},
    counts_generation=False,
    columns=(
        Column("Service", _service, description="Who answers for it."),
        Column("Available", _available, description="Whether it answers."),
    ),
)
