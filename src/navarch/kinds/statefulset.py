"""StatefulSet: pods with names, volumes and an order of their own.

Source: https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/stateful-set-v1/
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from navarch.base.errors import Cause
from navarch.kinds import warnings, workload_status
from navarch.kinds.kind import AGE, Column, Kind
from navarch.kinds.podspec.defaults import default_template
from navarch.kinds.printing import container_images, container_names
from navarch.kinds.rules import Faults, int_or_percent, same_but, share
from navarch.kinds.statefulset_view import StatefulSet
from navarch.kinds.workload import counts, selector_and_template
from navarch.objects import names
from navarch.objects.value import Document, Draft, dig

POD_ORDERS = ("OrderedReady", "Parallel")
CLAIM_POLICIES = ("Retain", "Delete")
MAY_CHANGE = (
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
)


def default(draft: Draft) -> None:
    default_template(draft, "spec", "template")
    draft.default("OrderedReady", "spec", "podManagementPolicy")
    draft.default("RollingUpdate", "spec", "updateStrategy", "type")
    if draft.get("spec", "updateStrategy", "type") == "RollingUpdate":
        draft.default(0, "spec", "updateStrategy", "rollingUpdate", "partition")
        draft.default(1, "spec", "updateStrategy", "rollingUpdate", "maxUnavailable")
    for event in ("whenDeleted", "whenScaled"):
        draft.default("Retain", "spec", "persistentVolumeClaimRetentionPolicy", event)
    draft.default(1, "spec", "replicas")
    draft.default(10, "spec", "revisionHistoryLimit")
    for index in draft.each("spec", "volumeClaimTemplates"):
        claim = ("spec", "volumeClaimTemplates", index)
        draft.default("v1", *claim, "apiVersion")
        draft.default("PersistentVolumeClaim", *claim, "kind")
        draft.default("Filesystem", *claim, "spec", "volumeMode")
        draft.default("Pending", *claim, "status", "phase")


def prepare(draft: Draft, old: Document | None) -> None:
    if old is None:
        draft.set({"replicas": 0, "availableReplicas": 0}, "status")


def _with_claims(spec: Document) -> Document:
    """With a volume for each claim template: that is what containers may mount."""
    pod = dig(spec, "template", "spec", default={})
    present = {volume.get("name") for volume in pod.get("volumes") or ()}
    claims = [dig(claim, "metadata", "name") for claim in spec.get("volumeClaimTemplates") or ()]
    more = [{"name": name, "emptyDir": {}} for name in claims if name and name not in present]
    if not more:
        return spec
    volumes = [*(pod.get("volumes") or ()), *more]
    return {**spec, "template": {**(spec.get("template") or {}), "spec": {**pod, "volumes": volumes}}}


def rules(new: Document, old: Document | None) -> Iterable[Cause]:
    faults = Faults()
    spec: Document = new.get("spec") or {}
    was: Document = (old or {}).get("spec") or {}
    if old is not None and spec == was:
        return ()
    order = spec.get("podManagementPolicy", "")
    if not order:
        faults.required("spec.podManagementPolicy")
    elif order not in POD_ORDERS:
        faults.invalid("spec.podManagementPolicy", order, "must be 'OrderedReady' or 'Parallel'")
    _strategy(faults, spec.get("updateStrategy") or {}, "spec.updateStrategy")
    for event in ("whenDeleted", "whenScaled"):
        policy = dig(spec, "persistentVolumeClaimRetentionPolicy", event)
        if policy not in CLAIM_POLICIES:
            faults.unsupported(f"spec.persistentVolumeClaimRetentionPolicy.{event}", policy or "", CLAIM_POLICIES)
    counts(faults, spec, "spec", "replicas", "minReadySeconds")
    counts(faults, spec.get("ordinals") or {}, "spec.ordinals", "start")
    if spec.get("revisionHistoryLimit") != was.get("revisionHistoryLimit"):
        counts(faults, spec, "spec", "revisionHistoryLimit")
    if old is None and (service := spec.get("serviceName")):
        faults.checked("spec.serviceName", service, names.dns_label(service))
    selector_and_template(faults, _with_claims(spec), "spec", "statefulset", "StatefulSet")
    if old is not None and not same_but(spec, was, *MAY_CHANGE):
        listed = ", ".join(f"'{field}'" for field in MAY_CHANGE[:-1])
        detail = f"updates to statefulset spec for fields other than {listed} and '{MAY_CHANGE[-1]}' are forbidden"
        faults.forbidden("spec", detail)
    return faults.causes


def _strategy(faults: Faults, strategy: Document, path: str) -> None:
    rolling = strategy.get("rollingUpdate")
    match strategy.get("type", ""):
        case "":
            faults.required(path)
        case "OnDelete":
            if rolling is not None:
                faults.invalid(f"{path}.rollingUpdate", rolling, "only allowed for updateStrategy 'RollingUpdate'")
        case "RollingUpdate":
            rolling = rolling or {}
            counts(faults, rolling, f"{path}.rollingUpdate", "partition")
            if "maxUnavailable" in rolling:
                most = rolling["maxUnavailable"]
                int_or_percent(faults, most, f"{path}.rollingUpdate.maxUnavailable")
                if share(most) == 0:
                    faults.invalid(f"{path}.rollingUpdate.maxUnavailable", most, "cannot be 0")
        case _:
            faults.invalid(path, strategy, "must be 'RollingUpdate' or 'OnDelete'")


def _ready(found: Document, now: datetime) -> str:
    ready = dig(found, "status", "readyReplicas", default=0)
    return f"{ready}/{dig(found, 'spec', 'replicas', default=0)}"


STATEFULSET = Kind(
    group="apps",
    version="v1",
    name="StatefulSet",
    plural="statefulsets",
    short=("sts",),
    categories=("all",),
    view=StatefulSet,
    default=default,
    rules=rules,
    warn=warnings.stateful_set,
    name_rule=names.dns_label,
    prepare=prepare,
    subresources=("scale", "status"),
    subresource_rules={"status": workload_status.statefulset},
    columns=(
        Column("Ready", _ready, description="How many pods are ready, of how many."),
        AGE,
        Column("Containers", container_names, priority=1, description="The names of the template's containers."),
        Column("Images", container_images, priority=1, description="Their images."),
    ),
    age=False,
    scale=(".spec.replicas", ".status.replicas", ".spec.selector"),
)
