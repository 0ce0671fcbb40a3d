"""The claims of a pod's volumes: whether they are bound, and to what.

Source: https://kubernetes.io/docs/concepts/storage/persistent-volumes/
Source: https://kubernetes.io/docs/concepts/storage/ephemeral-volumes/#generic-ephemeral-volumes
"""

from __future__ import annotations

from navarch.agent.volumes.maker import Bound, MountFailure
from navarch.base.errors import NotFound
from navarch.client.client import Client
from navarch.kinds import PERSISTENTVOLUME, PERSISTENTVOLUMECLAIM
from navarch.kinds.pod import Pod
from navarch.kinds.podspec.volumes import Volume
from navarch.objects.value import Document, dig


class Claims:
    def __init__(self, client: Client) -> None:
        self._client = client

    async def bound(self, pod: Pod, volume: Volume) -> Bound | None:
        """What the volume's claim is bound to; None when the volume has no claim.

        Raises: MountFailure, when the pod cannot use the claim (yet); ApiError."""
        claimed = volume.persistent_volume_claim
        if claimed is None and volume.ephemeral is None:
            return None
        namespace = pod.metadata.namespace
        name = claimed.claim_name if claimed is not None else f"{pod.metadata.name}-{volume.name}"
        try:
            claim = (await self._client.get(PERSISTENTVOLUMECLAIM, namespace, name)).document()
        except NotFound as error:
            raise MountFailure(volume.name, f'persistentvolumeclaim "{name}" not found') from error
        if problem := unusable(pod, claim, ephemeral=claimed is None):
            raise MountFailure(volume.name, problem)
        target = dig(claim, "spec", "volumeName")
        try:
            found = (await self._client.get(PERSISTENTVOLUME, "", target)).document()
        except NotFound as error:
            raise MountFailure(volume.name, f'persistentvolume "{target}" not found') from error
        if problem := mismatch(claim, found):
            raise MountFailure(volume.name, problem)
        return Bound(claim, found)


def unusable(pod: Pod, claim: Document, *, ephemeral: bool) -> str:
    """Why the pod cannot use the claim; "" when it can. ephemeral: the claim was made for one pod alone. Pure."""
    meta, spec = claim["metadata"], claim.get("spec") or {}
    name = f"{meta.get('namespace', '')}/{meta['name']}"
    if ephemeral and not _owns(pod, claim):
        return f"PVC {name} was not created for pod {pod.metadata.namespace}/{pod.metadata.name} (pod is not owner)"
    if "deletionTimestamp" in meta and pod.status.start_time is None:
        return f"can't start pod because PVC {name} is being deleted"
    phase, bound = dig(claim, "status", "phase", default=""), spec.get("volumeName", "")
    if phase != "Bound" or not bound:
        return f'PVC {name} has non-bound phase ("{phase}") or empty pvc.Spec.VolumeName ("{bound}")'
    return ""


def _owns(pod: Pod, claim: Document) -> bool:
    owners = claim["metadata"].get("ownerReferences") or ()
    return any(owner.get("controller") and owner["uid"] == pod.metadata.uid for owner in owners)


def mismatch(claim: Document, volume: Document) -> str:
    """Why the claim's volume is not the claim's; "" when both name each other. Pure."""
    name, reference = volume["metadata"]["name"], dig(volume, "spec", "claimRef")
    if reference is None:
        return f'found PV object "{name}" but it has a nil pv.Spec.ClaimRef indicating it is not yet bound to the claim'
    wanted, uid = claim["metadata"]["uid"], reference.get("uid", "")
    if uid != wanted:
        return f'found PV object "{name}" but its pv.Spec.ClaimRef.UID "{uid}" does not point to claim.UID "{wanted}"'
    return ""
