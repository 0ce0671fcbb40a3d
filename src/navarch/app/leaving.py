"""Leaving: a joined machine's pods are moved elsewhere, its Node is deleted, and nothing of the cluster stays on it.

All of it is asked as the node itself, which may do that much and no more. Pods of DaemonSets stay to the end, since
they would only come back.

Source: https://kubernetes.io/docs/tasks/administer-cluster/safely-drain-node/
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from navarch.app import enrolment, identity, machine, teardown
from navarch.app.layout import Layout, Settings
from navarch.app.machine import Say, Step
from navarch.app.provision import NotProvisioned
from navarch.base.clock import Clock, SystemClock
from navarch.base.errors import ApiError, NotFound, Retryable, TooMany
from navarch.client.client import Client
from navarch.client.http import HttpClient
from navarch.kinds import NODE, POD
from navarch.kinds.object import Object
from navarch.objects.value import dig

MIRROR = "kubernetes.io/config.mirror"
LOOK_S = 0.5
AGAIN_S = 2.0


def moves(pod: Object) -> bool:
    """Whether a pod is to be evicted: none that has ended, that its node made itself, or that belongs to all nodes."""
    owner = pod.controller
    if MIRROR in (dig(pod.document(), "metadata", "annotations") or {}):
        return False
    if dig(pod.document(), "status", "phase") in ("Succeeded", "Failed"):
        return False
    return owner is None or owner.kind != "DaemonSet"


async def drain(client: Client, node: str, clock: Clock, say: Say, patience_s: float) -> None:
    """Evict what runs on a node that takes nothing new, and wait until it is gone.

    Raises:
        NotProvisioned: something is still there after `patience_s`; the message names it and why.
    """
    deadline, why, asked_at = clock.monotonic() + patience_s, dict[str, str](), dict[str, float]()
    while left := [pod for pod in (await client.list(POD, fields=f"spec.nodeName={node}")).items if moves(pod)]:
        say(f"{len(left)} pods left")
        if clock.monotonic() > deadline:
            named = "; ".join(f"{pod.namespace}/{pod.name}: {why.get(pod.uid) or 'it is ending'}" for pod in left)
            raise NotProvisioned(
                f"pods are still here after {patience_s:.0f} s ({named}); `navarch leave --now` leaves all the same"
            )
        for pod in left:
            if (
                pod.view.metadata.deletion_timestamp is None
                and clock.monotonic() - asked_at.get(pod.uid, -AGAIN_S) >= AGAIN_S
            ):
                asked_at[pod.uid] = clock.monotonic()
                why[pod.uid] = await evict(client, pod)
        await clock.sleep(LOOK_S)


async def evict(client: Client, pod: Object) -> str:
    """Why not yet; "" when it goes. Raises: ApiError, Retryable."""
    metadata = {"name": pod.name, "namespace": pod.namespace}
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata}
    try:
        await client.post(POD, pod.namespace, pod.name, "eviction", body)
    except NotFound:
        return ""
    except TooMany as error:
        return error.message
    return ""


def steps(layout: Layout, settings: Settings, *, now: bool, patience_s: float) -> list[Step]:
    """now: nothing is moved first, and the cluster need not be there."""
    clock, name = SystemClock(), settings.node_name

    def as_node(act: Callable[[Client], Awaitable[object]]) -> None:
        async def play() -> None:
            who = identity.load_node(layout)
            async with HttpClient(enrolment.node_target(settings, who), "navarch-leave") as client:
                await act(client)

        try:
            asyncio.run(play())
        except (ApiError, Retryable) as error:
            raise NotProvisioned(
                f"{settings.server} does not help: {error}; `navarch leave --now` leaves without"
            ) from error

    def cordon(say: Say) -> None:
        as_node(lambda client: client.patch(NODE, "", name, {"spec": {"unschedulable": True}}))

    def move(say: Say) -> None:
        as_node(lambda client: drain(client, name, clock, say, patience_s))

    def forget(say: Say) -> None:
        try:
            as_node(lambda client: _delete(client, name))
        except NotProvisioned as error:
            if not now:
                raise
            say(str(error))

    def stop(say: Say) -> None:
        machine.stop_supervisor(layout, children=False)
        machine.stop_child(layout, "agent")

    moved = [Step("Node takes no more pods", cordon, "Cordoning the node"), Step("Pods moved", move, "Moving pods")]
    return [
        *([] if now else moved),
        Step("Agent stopped", stop, "Stopping the agent"),
        Step("Node deleted", forget, "Deleting the node"),
        *teardown.machine_steps(layout, settings),
    ]


def began(layout: Layout) -> bool:
    """Whether this machine began to join and did not come to an end of it."""
    return (layout.pki / "ca.crt").exists() and not (layout.pki / "ca.key").exists()


def steps_of_none(layout: Layout) -> list[Step]:
    """What a machine does that has only begun to join."""
    return teardown.machine_steps(layout, None)


async def _delete(client: Client, name: str) -> None:
    try:
        await client.delete(NODE, "", name)
    except NotFound:
        return
