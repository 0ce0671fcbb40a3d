"""Act: tells the API server what was decided, a binding, a refusal, or a preemption, and users by events."""

from __future__ import annotations

from navarch.base.clock import Clock
from navarch.base.errors import NotFound
from navarch.client.client import Client
from navarch.client.events import Recorder
from navarch.kinds import PERSISTENTVOLUME, PERSISTENTVOLUMECLAIM, POD
from navarch.kinds.object import Object
from navarch.kinds.storage_match import SELECTED_NODE, taking
from navarch.objects import condition
from navarch.objects.patch import merge_patch
from navarch.objects.value import Document, dig
from navarch.scheduler.disks import Needs
from navarch.scheduler.preempt import Preemption

NAME = "default-scheduler"


class Actor:
    """Every method may raise `ApiError` and `Retryable`, and may be tried again."""

    def __init__(self, client: Client, clock: Clock, recorder: Recorder) -> None:
        self._client = client
        self._clock = clock
        self._recorder = recorder

    async def bind(self, pod: Object, node: str) -> None:
        binding: Document = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"namespace": pod.namespace, "name": pod.name, "uid": pod.uid},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        }
        await self._client.post(POD, pod.namespace, pod.name, "binding", binding)
        message = f"Successfully assigned {pod.namespace}/{pod.name} to {node}"
        self._recorder.event(pod, "Normal", "Scheduled", message, action="Binding")

    async def prepare(self, needs: Needs) -> None:
        """Give claims the volumes chosen for them, and say on the others where theirs are to be made."""
        for volume, claim in needs.given:
            await self._client.update(PERSISTENTVOLUME, merge_patch(volume.document(), taking(volume, claim)))
        for claim in needs.asked:
            chosen = {"metadata": {"annotations": {SELECTED_NODE: needs.node}}}
            await self._client.update(PERSISTENTVOLUMECLAIM, merge_patch(claim.document(), chosen))

    async def refuse(self, pod: Object, message: str, nominated: str = "") -> None:
        """Say why the pod waits; `nominated`: the node where room is being made for it."""
        self._recorder.event(pod, "Warning", "FailedScheduling", message, action="Scheduling")
        document = pod.document()
        said = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
        before = dig(document, "status", "conditions", default=[])
        conditions = condition.set(before, said, self._clock.now())
        same_place = dig(document, "status", "nominatedNodeName", default="") == nominated
        if conditions == before and (same_place or not nominated):
            return
        changed = condition.get(conditions, "PodScheduled")
        status: Document = {"conditions": [changed]}
        if nominated:
            status["nominatedNodeName"] = nominated
        patch = {"metadata": {"uid": pod.uid}, "status": status}
        await self._client.patch(POD, pod.namespace, pod.name, patch, type="strategic", subresource="status")

    async def preempt(self, pod: Object, preemption: Preemption) -> None:
        """Ask the victims to go; those that are gone or going already are left alone."""
        said = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "PreemptionByScheduler",
            "message": f"{NAME}: preempting to accommodate a higher priority pod",
        }
        for victim in preemption.victims:
            if victim.terminating:
                continue
            try:
                found = await self._client.get(POD, victim.namespace, victim.name)
                if found.uid != victim.uid:
                    continue
                conditions = dig(found.document(), "status", "conditions", default=[])
                mark = condition.get(condition.set(conditions, said, self._clock.now()), "DisruptionTarget")
                patch = {"metadata": {"uid": victim.uid}, "status": {"conditions": [mark]}}
                await self._client.patch(POD, *victim.key, patch, type="strategic", subresource="status")
                await self._client.delete(POD, *victim.key, uid=victim.uid)
            except NotFound:
                continue
            message = f"Preempted by pod {pod.uid} on node {preemption.node}"
            self._recorder.event(found, "Normal", "Preempted", message, action="Preempting")
