"""Pods whose volume moves with them from node to node; beside them a driver that attaches it, and the agents of the
nodes that mount it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from navarch.base.clock import rfc3339
from navarch.base.errors import Conflict, NotFound
from navarch.kinds import NODE, PERSISTENTVOLUME, PERSISTENTVOLUMECLAIM, POD, VOLUMEATTACHMENT
from navarch.kinds.kind import Kind
from navarch.objects.value import Document, dig
from navarch.testing.ledger import over
from navarch.testing.scenes_upkeep import TICK_S, complaint, waited
from navarch.testing.user import LIMITS, User

DRIVER = "disks.example.com"
OURS = "navarch.dev/simulated=true"


def _title(volume: str) -> str:
    return f"kubernetes.io/csi/{DRIVER}^{volume}"


async def _patched(user: User, kind: Kind, name: str, patch: Document, subresource: str = "") -> Document:
    """As it is afterwards; {} when it went away."""
    try:
        found = await user.client.patch(kind, "", name, patch, subresource=subresource)
    except (NotFound, Conflict):
        return {}
    return found.document()


async def _attach(user: User) -> None:
    """What an external attacher does, until cancelled: some of it at once, some later, and some not at first."""
    while True:
        await user.clock.sleep(TICK_S)
        for found in (await user.client.list(VOLUMEATTACHMENT)).items:
            if user.chance(0.4):
                continue
            if found.terminating:
                await _patched(user, VOLUMEATTACHMENT, found.name, {"metadata": {"finalizers": None}})
            elif not found.view.status.attached and user.chance(0.2):
                error = {"message": "the disk is busy", "time": rfc3339(user.clock.now())}
                await _patched(user, VOLUMEATTACHMENT, found.name, {"status": {"attachError": error}}, "status")
            elif not found.view.status.attached:
                held = {"metadata": {"finalizers": [f"external-attacher/{DRIVER}"]}}
                if await _patched(user, VOLUMEATTACHMENT, found.name, held):
                    done = {"status": {"attached": True, "attachError": None}}
                    await _patched(user, VOLUMEATTACHMENT, found.name, done, "status")


class _Agents:
    """What the agents of all nodes do with volumes: say that they use one, wait until it is promised, mount it, and
    unmount it some time after its pods went. A node that is not ready does nothing."""

    def __init__(self, user: User) -> None:
        self._user = user
        self.mounted: dict[str, set[str]] = {}

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._user.clock.sleep(TICK_S)
            wanted: dict[str, set[str]] = {}
            for pod in (await self._user.client.list(POD, self._user.namespace, labels=f"app={self._user.name}")).items:
                if pod.glance.node and not pod.glance.terminal:
                    wanted.setdefault(pod.glance.node, set()).update(map(_title, _claims(pod.document())))
            for node in (await self._user.client.list(NODE, labels=OURS)).items:
                if node.view.ready:
                    await self._look_at(node.name, node.view.status.volumes_in_use, wanted.get(node.name, set()))

    async def _look_at(self, name: str, said: tuple[str, ...], wanted: set[str]) -> None:
        mounted = self.mounted.setdefault(name, set())
        for title in sorted(mounted - wanted):
            if self._user.chance(0.5):
                mounted.discard(title)
        used = sorted(mounted | wanted)
        if not used and not said:
            return
        node = await _patched(self._user, NODE, name, {"status": {"volumesInUse": used}}, "status")
        promised = {one["name"] for one in dig(node, "status", "volumesAttached", default=())}
        mounted |= wanted & promised


def _claims(pod: Document) -> Iterator[str]:
    for volume in dig(pod, "spec", "volumes", default=()):
        if "persistentVolumeClaim" in volume:
            yield volume["persistentVolumeClaim"]["claimName"]


async def attachment(user: User) -> None:
    """Pods of one claim, or of two, come and go on all nodes."""
    nodes = sorted(node.name for node in (await user.client.list(NODE, labels=OURS)).items)
    modes = ["ReadWriteOnce", *user.pick([], ["ReadWriteMany"])]
    claims = [f"{user.name}-{mode.lower()}" for mode in modes]
    for claim, mode in zip(claims, modes, strict=True):
        await _volume(user, claim, mode)
    agents = _Agents(user)
    async with asyncio.TaskGroup() as group:
        beside = [group.create_task(_attach(user)), group.create_task(agents.run())]
        for number in range(7):
            await user.pause()
            if user.chance(0.6):
                await _pod(user, f"{user.name}-{number}", user.pick(*claims), user.pick(*nodes))
            else:
                await user.remove_a_pod()
        await _cleared(user)
        await _pod(user, user.name, claims[0], user.pick(*nodes))
        await _mounted(user, agents, claims[0])
        await _cleared(user)
        for task in beside:
            task.cancel()


async def _volume(user: User, name: str, mode: str) -> None:
    spec: Document = {"accessModes": [mode], "storageClassName": user.name}
    disk = {"capacity": {"storage": "1Gi"}, "csi": {"driver": DRIVER, "volumeHandle": name}}
    await user.make(PERSISTENTVOLUME, name, {"spec": {**spec, **disk}})
    asked = {"resources": {"requests": {"storage": "1Gi"}}, "volumeName": name}
    await user.make(PERSISTENTVOLUMECLAIM, name, {"spec": {**spec, **asked}})


async def _pod(user: User, name: str, claim: str, node: str) -> None:
    spec = {
        "nodeSelector": {"kubernetes.io/hostname": node},
        "containers": [{"name": "main", "image": "web:v1", "resources": LIMITS}],
        "terminationGracePeriodSeconds": 2,
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": claim}}],
    }
    await user.make(POD, name, {"spec": spec}, labels=user.labels)
    del user.expected[POD.name, user.namespace, name]  # its node may be lost


async def _cleared(user: User) -> None:
    """No pod is left, and nothing attached."""
    for name in await user.pods():
        await user.remove(POD, name, None)

    async def done() -> bool:
        return not (await user.client.list(VOLUMEATTACHMENT)).items and not await user.pods()

    if not await waited(user, done):
        user.expect(complaint("volumes were still attached that no pod used"))


async def _mounted(user: User, agents: _Agents, claim: str) -> None:
    """The last pod has its volume, if it was not lost meanwhile."""

    async def done() -> bool:
        try:
            pod = (await user.client.get(POD, user.namespace, user.name)).document()
        except NotFound:
            return True
        return over(pod) or _title(claim) in agents.mounted.get(dig(pod, "spec", "nodeName", default=""), ())

    if not await waited(user, done):
        user.expect(complaint(f"pod {user.name} waited for its volume"))
