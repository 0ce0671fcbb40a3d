"""Gives claims volumes of a driver: what the external provisioner and resizer do beside a driver's controller.

    python provisioner.py --kubeconfig ~/.kube/config --endpoint /var/lib/disks/csi.sock

A claim of one of the driver's classes gets a volume, a volume whose claim has gone is deleted where its class says so,
and a volume grows when its claim asks for more. What is to be done is a function of the objects (`plan`); it is looked
at again whenever one of them changes.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc.aio

from navarch.base.clock import Clock, SystemClock
from navarch.base.errors import AlreadyExists, ApiError, NotFound, Retryable
from navarch.client.client import Client
from navarch.client.http import HttpClient
from navarch.client.informer import Informers
from navarch.client.target import read_kubeconfig
from navarch.kinds import PERSISTENTVOLUME, PERSISTENTVOLUMECLAIM, STORAGECLASS
from navarch.objects.quantity import compare, whole
from navarch.objects.value import Document, dig
from navarch.wire.cri import open_channel
from navarch.wire.csi import API, Access

ASKED = "volume.kubernetes.io/storage-provisioner"
MADE = "pv.kubernetes.io/provisioned-by"
CHOSEN = "volume.kubernetes.io/selected-node"
CALL_S = 60.0
RETRY_S = 2.0
ACCESS = {"ReadOnlyMany": Access.MULTI_NODE_READER_ONLY, "ReadWriteMany": Access.MULTI_NODE_MULTI_WRITER}


@dataclass(frozen=True)
class Provision:
    claim: Document
    storage_class: Document


@dataclass(frozen=True)
class Remove:
    volume: Document


@dataclass(frozen=True)
class Expand:
    claim: Document
    volume: Document


Step = Provision | Remove | Expand


def plan(
    driver: str, claims: Sequence[Document], volumes: Sequence[Document], classes: Sequence[Document]
) -> list[Step]:
    """Never raises."""
    there = {one["metadata"]["name"]: one for one in volumes}
    ours = {one["metadata"]["name"]: one for one in classes if one.get("provisioner") == driver}
    steps = [_for_claim(driver, claim, there, ours) for claim in claims]
    removed = [Remove(volume) for volume in volumes if _is_over(driver, volume)]
    return [*(step for step in steps if step is not None), *removed]


def _for_claim(
    driver: str, claim: Document, there: Mapping[str, Document], classes: Mapping[str, Document]
) -> Step | None:
    annotations, spec = claim["metadata"].get("annotations") or {}, claim["spec"]
    bound = there.get(spec.get("volumeName", ""))
    if bound is not None:
        lacks = compare(spec["resources"]["requests"]["storage"], bound["spec"]["capacity"]["storage"]) > 0
        return Expand(claim, bound) if lacks and dig(bound, "spec", "csi", "driver") == driver else None
    storage_class = classes.get(spec.get("storageClassName", ""))
    if storage_class is None or annotations.get(ASKED) != driver or name_of(claim) in there:
        return None
    waits = storage_class.get("volumeBindingMode") == "WaitForFirstConsumer" and CHOSEN not in annotations
    return None if waits else Provision(claim, storage_class)


def _is_over(driver: str, volume: Document) -> bool:
    """Whether its claim has gone, and nobody keeps it."""
    deletes = volume["spec"].get("persistentVolumeReclaimPolicy") == "Delete"
    released = dig(volume, "status", "phase") == "Released"
    return bool(deletes and released and dig(volume, "metadata", "annotations", MADE) == driver)


def name_of(claim: Document) -> str:
    return f"pvc-{claim['metadata']['uid']}"


def capability(claim: Document) -> Any:
    mode = ACCESS.get(claim["spec"]["accessModes"][0], Access.SINGLE_NODE_WRITER)
    if claim["spec"].get("volumeMode") == "Block":
        return API.make("VolumeCapability", block=API.make("BlockVolume"), access_mode={"mode": mode})
    return API.make("VolumeCapability", mount=API.make("MountVolume"), access_mode={"mode": mode})


def new_volume(driver: str, step: Provision, made: Any) -> Document:
    """The PersistentVolume for what the driver has made."""
    claim, meta, spec = step.claim, step.claim["metadata"], step.claim["spec"]
    reference = {"kind": "PersistentVolumeClaim", "namespace": meta["namespace"], "name": meta["name"]}
    source: Document = {"driver": driver, "volumeHandle": made.volume_id}
    if made.volume_context:
        source["volumeAttributes"] = dict(made.volume_context)
    found: Document = {
        "capacity": {"storage": str(made.capacity_bytes)},
        "accessModes": spec["accessModes"],
        "persistentVolumeReclaimPolicy": step.storage_class.get("reclaimPolicy", "Delete"),
        "storageClassName": step.storage_class["metadata"]["name"],
        "volumeMode": spec.get("volumeMode", "Filesystem"),
        "claimRef": {"apiVersion": "v1", **reference, "uid": meta["uid"]},
        "csi": source,
    }
    if made.accessible_topology:
        terms = [
            [{"key": key, "operator": "In", "values": [value]} for key, value in sorted(one.segments.items())]
            for one in made.accessible_topology
        ]
        found["nodeAffinity"] = {"required": {"nodeSelectorTerms": [{"matchExpressions": term} for term in terms]}}
    named = {"name": name_of(claim), "annotations": {MADE: driver}}
    return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": named, "spec": found}


class Provisioner:
    def __init__(self, client: Client, clock: Clock, endpoint: Path) -> None:
        self._client = client
        self._clock = clock
        self._endpoint = endpoint
        self._channel: Any = None
        self.driver = ""

    async def run(self) -> None:
        """Until cancelled."""
        self._channel = open_channel(self._endpoint)
        self.driver = (await self._call("Identity", "GetPluginInfo")).name
        informers, wake = Informers(self._client, self._clock), asyncio.Event()
        kinds = [informers.of(kind) for kind in (PERSISTENTVOLUMECLAIM, PERSISTENTVOLUME, STORAGECLASS)]
        for one in kinds:
            one.subscribe(lambda old, new: wake.set())
        async with asyncio.TaskGroup() as group:
            group.create_task(informers.run())
            await informers.synced()
            print(f"provisioning for {self.driver}", flush=True)
            while True:
                await wake.wait()
                wake.clear()
                for step in plan(self.driver, *([item.document() for item in one.list()] for one in kinds)):
                    if not await self._carry_out(step):
                        wake.set()
                        await self._clock.sleep(RETRY_S)

    async def _call(self, service: str, method: str, **fields: Any) -> Any:
        request = API.make(f"{method}Request", **fields)
        return await API.call(self._channel, service, method)(request, timeout=CALL_S)

    async def _carry_out(self, step: Step) -> bool:
        """Whether it worked; another time, it is done again from what is there then."""
        try:
            if isinstance(step, Provision):
                await self._provision(step)
            elif isinstance(step, Remove):
                await self._remove(step.volume)
            else:
                await self._expand(step)
        except AlreadyExists:  # the cache had not seen it yet
            return True
        except (grpc.aio.AioRpcError, ApiError, Retryable) as error:
            print(f"{type(step).__name__} failed: {error}", flush=True)
            return False
        return True

    async def _provision(self, step: Provision) -> None:
        size_bytes = whole(step.claim["spec"]["resources"]["requests"]["storage"])
        answer = await self._call(
            "Controller",
            "CreateVolume",
            name=name_of(step.claim),
            capacity_range=API.make("CapacityRange", required_bytes=size_bytes),
            volume_capabilities=[capability(step.claim)],
            parameters=step.storage_class.get("parameters") or {},
        )
        await self._client.create(PERSISTENTVOLUME, new_volume(self.driver, step, answer.volume))

    async def _remove(self, volume: Document) -> None:
        await self._call("Controller", "DeleteVolume", volume_id=volume["spec"]["csi"]["volumeHandle"])
        try:
            await self._client.delete(PERSISTENTVOLUME, "", volume["metadata"]["name"], uid=volume["metadata"]["uid"])
        except NotFound:
            return

    async def _expand(self, step: Expand) -> None:
        """The volume first, then the node's agent is told by the claim that there is something left for it."""
        size = step.claim["spec"]["resources"]["requests"]["storage"]
        answer = await self._call(
            "Controller",
            "ControllerExpandVolume",
            volume_id=step.volume["spec"]["csi"]["volumeHandle"],
            capacity_range=API.make("CapacityRange", required_bytes=whole(size)),
            volume_capability=capability(step.claim),
        )
        grown = {"spec": {"capacity": {"storage": size}}}
        await self._client.patch(PERSISTENTVOLUME, "", step.volume["metadata"]["name"], grown, type="merge")
        if answer.node_expansion_required:
            status: Document = {"conditions": [{"type": "FileSystemResizePending", "status": "True"}]}
        else:
            status = {"capacity": {"storage": size}}
        meta = step.claim["metadata"]
        await self._client.patch(
            PERSISTENTVOLUMECLAIM,
            meta["namespace"],
            meta["name"],
            {"status": status},
            type="merge",
            subresource="status",
        )


async def main() -> None:
    parser = argparse.ArgumentParser(description="Gives claims volumes of a storage driver.")
    parser.add_argument("--kubeconfig", type=Path, required=True, help="of somebody who may change volumes")
    parser.add_argument("--endpoint", type=Path, default=Path("/var/lib/disks/csi.sock"), help="the driver's socket")
    given = parser.parse_args()
    client = HttpClient(read_kubeconfig(given.kubeconfig), "csi-provisioner")
    try:
        await Provisioner(client, SystemClock(), given.endpoint).run()
    finally:
        await client.close()


if __name__ == "__main__":
    asyncio.run(main())
