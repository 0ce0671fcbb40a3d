"""Where a claim's storage lies, for persistent volumes that are a directory of this node.

Source: https://kubernetes.io/docs/concepts/storage/persistent-volumes/
"""

from __future__ import annotations

from navarch.agent.volumes.payload import MountFailure
from navarch.base.errors import NotFound
from navarch.client.client import Client
from navarch.kinds import PERSISTENTVOLUME, PERSISTENTVOLUMECLAIM
from navarch.kinds.pod import Pod
from navarch.kinds.podspec.volumes import HostPathSource, Volume
from navarch.kinds.storage_local import PROVISIONER_NAME
from navarch.kinds.storage_match import PROVISIONED_BY
from navarch.objects.value import dig


class Claims:
    def __init__(self, client: Client) -> None:
        self._client = client

    async def path_of(self, pod: Pod, volume: Volume) -> tuple[HostPathSource, bool]:
        """And whether the folder is to be open to whichever user the pod's containers run as: where the cluster's own
        provisioner chose it.

        Raises: MountFailure, when the claim is not bound or its volume is of another type; ApiError."""
        claimed = volume.persistent_volume_claim
        name = claimed.claim_name if claimed is not None else f"{pod.metadata.name}-{volume.name}"
        try:
            claim = (await self._client.get(PERSISTENTVOLUMECLAIM, pod.metadata.namespace, name)).document()
        except NotFound as error:
            raise MountFailure(volume.name, f'persistentvolumeclaim "{name}" not found') from error
        bound = dig(claim, "spec", "volumeName", default="")
        if dig(claim, "status", "phase") != "Bound" or not bound:
            raise MountFailure(volume.name, f"PVC {pod.metadata.namespace}/{name} is not bound")
        source = (await self._client.get(PERSISTENTVOLUME, "", bound)).document()
        if path := dig(source, "spec", "hostPath", "path"):
            ours = dig(source, "metadata", "annotations", PROVISIONED_BY) == PROVISIONER_NAME
            kind = dig(source, "spec", "hostPath", "type", default="DirectoryOrCreate")
            return HostPathSource(path=path, type=kind), ours
        if path := dig(source, "spec", "local", "path"):
            return HostPathSource(path=path), False
        raise MountFailure(volume.name, f'the type of persistent volume "{bound}" is not supported on this node')
