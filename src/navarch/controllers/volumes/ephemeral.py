"""The claims of generic ephemeral volumes: made for their pod, owned by it, gone with it.

Source: https://kubernetes.io/docs/concepts/storage/ephemeral-volumes/#generic-ephemeral-volumes
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from navarch.controllers.claims import controlled_by
from navarch.controllers.controller import Cache, Controller, Watch, new_owner_reference, own_key
from navarch.controllers.options import Setup
from navarch.controllers.plan import Action, Create, Event, Plan
from navarch.controllers.protection import claim_index
from navarch.kinds import PERSISTENTVOLUMECLAIM, POD
from navarch.kinds.object import Object
from navarch.objects.value import Document, dig

CLAIM = "claim"


@dataclass(frozen=True, slots=True)
class Observed:
    """claims: by name, those that exist of the ones that the pod needs."""

    pod: Object
    claims: Mapping[str, Object] = field(default_factory=dict)


def controller(setup: Setup) -> Controller[Observed]:
    return Controller(
        name="ephemeral-volume",
        watches=(
            Watch(POD, _needs, _unchanging, {CLAIM: claim_index}),
            Watch(PERSISTENTVOLUMECLAIM, _pods_of, _unchanging),
        ),
        observe=observe,
        plan=plan,
        component="ephemeral_volume",
        account="ephemeral-volume-controller",
    )


def _unchanging(old: Object, new: Object) -> bool:
    """A pod's volumes are what they were when it was made, and so is whose a claim is."""
    return False


def _pods_of(cache: Cache, claim: Object) -> Iterable[Hashable]:
    """Those whose own claim it is, or that it has the name of: once another's is gone, theirs can be made."""
    pods = cache[POD].by(CLAIM, f"{claim.namespace}/{claim.name}")
    return [key for pod in pods for key in _needs(cache, pod)]


def _needs(cache: Cache, pod: Object) -> Iterable[Hashable]:
    return own_key(cache, pod) if pod.glance.claims and b'"ephemeral":' in pod.raw else ()


def observe(cache: Cache, key: tuple[str, str]) -> Observed | None:
    pod = cache[POD].get(*key)
    if pod is None or pod.view.metadata.deletion_timestamp is not None or pod.view.terminal:
        return None
    names = [f"{pod.name}-{volume.name}" for volume in pod.view.spec.volumes if volume.ephemeral is not None]
    found = {name: cache[PERSISTENTVOLUMECLAIM].get(pod.namespace, name) for name in names}
    return Observed(pod, {name: claim for name, claim in found.items() if claim is not None})


def plan(observed: Observed, now: datetime) -> Plan:
    """Never raises."""
    pod, actions = observed.pod, list[Action]()
    for volume in dig(pod.document(), "spec", "volumes", default=()):
        template = dig(volume, "ephemeral", "volumeClaimTemplate")
        if template is None:
            continue
        name = f"{pod.name}-{volume['name']}"
        present = observed.claims.get(name)
        if present is None:
            message = f"ephemeral volume {volume['name']}: create PVC {name}: {{error}}"
            refused = Event(pod, "FailedBinding", message, "Warning")
            actions.append(Create(PERSISTENTVOLUMECLAIM, _claim(pod, name, template), refused=refused))
        elif not controlled_by(present, pod):
            where = f"{pod.namespace}/{name}"
            why = f"PVC {where} was not created for pod {pod.namespace}/{pod.name} (pod is not owner)"
            actions.append(Event(pod, "FailedBinding", f"ephemeral volume {volume['name']}: {why}", "Warning"))
    return Plan(tuple(actions))


def _claim(pod: Object, name: str, template: Document) -> Document:
    given: Document = template.get("metadata") or {}
    metadata: Document = {key: given[key] for key in ("labels", "annotations") if given.get(key)}
    owner = {**new_owner_reference(pod), "apiVersion": "v1", "kind": "Pod"}
    metadata |= {"name": name, "namespace": pod.namespace, "ownerReferences": [owner]}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": template["spec"]}
