"""Containers of one pod that are given other resources at once, while they run."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from navarch.agent import resources as resources_of
from navarch.kinds import POD
from navarch.objects import quantity
from tests.compat.conformance.conformance_specs import spec
from tests.node.test_agent_containers import IMAGE, Node, node
from tests.unit.agent import cluster

__all__ = ["node"]
pytestmark = pytest.mark.node

Document = dict[str, Any]
RESIZE = "[sig-node] Pod InPlace Resize Container "
THREE = "[sig-node] Pod InPlace Resize Container guaranteed pods with multiple containers 3 containers - "
EXTENDED = "[sig-node] Pod InPlace Resize Container burstable pods - extended "
SINCE = " [MinimumKubeletVersion:1.34]"
BEFORE = ((100, 20), (100, 20), (100, 20))
"""Of each container the thousandths of a processor, and MiB."""


def guaranteed(cpu: int, memory: int) -> Document:
    amounts = {"cpu": f"{cpu}m", "memory": f"{memory}Mi"}
    return {"limits": amounts, "requests": amounts}


def container(number: int, resources: Document) -> Document:
    line = "trap 'exit 0' TERM; while true; do sleep 0.1; done"
    return {"name": f"c{number}", "image": IMAGE, "command": ["sh", "-c", line], "resources": resources}


async def check(at: Node, name: str, wanted: list[Document]) -> None:
    """The status and the kernel say of each container what is wanted of it, and none was started again."""

    def given(pod: Document) -> bool:
        statuses = sorted(pod["status"].get("containerStatuses", []), key=lambda one: str(one["name"]))
        return [one.get("resources") for one in statuses] == wanted

    found = await at.world.until(name, given)
    line = "cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes cpu/cpu.cfs_quota_us cpu/cpu.shares"
    for status, resources in zip(
        sorted(found["status"]["containerStatuses"], key=lambda one: str(one["name"])), wanted, strict=True
    ):
        assert status["restartCount"] == 0
        assert status.get("allocatedResources", {}) == resources.get("requests", {})
        identity = status["containerID"].rpartition("/")[2]
        answer = await at.machine.runtime.exec_sync(identity, ["sh", "-c", line], 5)
        memory, quota, shares = (int(word) for word in answer.stdout.split())
        limits = resources.get("limits", {})
        if "memory" in limits:
            assert memory == int(limits["memory"].removesuffix("Mi")) << 20
        assert quota == (resources_of.cpu_quota_us(quantity.milli(limits["cpu"])) if "cpu" in limits else -1)
        asked = resources.get("requests", {}).get("cpu", "0")
        assert shares == resources_of.cpu_shares(quantity.milli(asked))


async def resized(
    at: Node, name: str, before: list[Document], after: list[Document], *, replace: bool = False, back: bool = False
) -> None:
    """back: then as it was before."""
    await at.world.create_pod(name, *(container(number, one) for number, one in enumerate(before)))
    await at.world.until(name, cluster.ready)
    await check(at, name, before)
    for wanted in (after, before) if back else (after,):
        await resize(at, name, wanted, replace=replace)
        await check(at, name, wanted)
    await at.client.delete(POD, "default", name)
    await at.world.until_gone(name)


async def resize(at: Node, name: str, after: list[Document], *, replace: bool) -> None:
    if replace:
        document = copy.deepcopy((await at.client.get(POD, "default", name)).document())
        for one, resources in zip(document["spec"]["containers"], after, strict=True):
            one["resources"] = resources
        await at.client.update(POD, document, subresource="resize")
    else:
        changed = [{"name": f"c{number}", "resources": one} for number, one in enumerate(after)]
        patch = {"spec": {"containers": changed}}
        await at.client.patch(POD, "default", name, patch, type="strategic", subresource="resize")


@pytest.mark.parametrize(
    "after",
    [
        ((150, 30), (150, 30), (50, 15)),
        ((150, 30), (50, 15), (50, 15)),
        ((150, 20), (50, 30), (150, 30)),
    ],
    ids=["increase", "decrease", "mixed"],
)
@spec(THREE + "increase cpu & mem on c1, c2, decrease cpu & mem on c3 - net increase" + SINCE)
@spec(THREE + "increase cpu & mem on c1, decrease cpu & mem on c2, c3 - net decrease" + SINCE)
@spec(THREE + "increase: CPU (c1,c3), memory (c2, c3) ; decrease: CPU (c2)" + SINCE)
def test_three_at_once(node: Callable[..., None], after: tuple[tuple[int, int], ...], request: Any) -> None:
    name = request.node.callspec.id
    node(lambda at: resized(at, name, [guaranteed(*one) for one in BEFORE], [guaranteed(*one) for one in after]))


@spec(RESIZE + "resize pod via the replace endpoint" + SINCE)
def test_by_replacing(node: Callable[..., None]) -> None:
    node(lambda at: resized(at, "replaced", [guaranteed(100, 20)], [guaranteed(200, 30)], replace=True))


def burstable(requests: Document, limits: Document | None = None) -> Document:
    return {"requests": requests} | ({"limits": limits} if limits else {})


SIX_BEFORE = (
    burstable({"cpu": "20m"}),
    burstable({"memory": "20Mi"}),
    burstable({"cpu": "20m", "memory": "20Mi"}),
    burstable({"cpu": "20m"}),
    burstable({"memory": "20Mi"}),
    burstable({"cpu": "20m", "memory": "20Mi"}, {"cpu": "30m", "memory": "30Mi"}),
)
SIX_AFTER = (
    burstable({"cpu": "25m"}, {"cpu": "35m"}),
    burstable({"memory": "25Mi"}, {"memory": "35Mi"}),
    burstable({"cpu": "20m", "memory": "15Mi"}),
    burstable({"cpu": "15m", "memory": "20Mi"}),
    burstable({"cpu": "20m", "memory": "25Mi"}),
    burstable({"cpu": "25m", "memory": "15Mi"}, {"cpu": "35m", "memory": "25Mi"}),
)


@spec(EXTENDED + "6 containers - various operations performed (including adding limits and requests)" + SINCE)
def test_six_at_once_that_get_limits_and_requests(node: Callable[..., None]) -> None:
    """Limits where there were requests alone, requests of another resource besides, more and less."""
    node(lambda at: resized(at, "six", list(SIX_BEFORE), list(SIX_AFTER)))


@spec(EXTENDED + "resize with equivalents" + SINCE)
def test_amounts_that_come_to_the_same(node: Callable[..., None]) -> None:
    """The kernel has no smaller weight than two thousandths, and no smaller quota than ten; the status tells what was
    asked for all the same, there and back."""
    before, after = burstable({"cpu": "2m"}, {"cpu": "10m"}), burstable({"cpu": "1m"}, {"cpu": "5m"})
    node(lambda at: resized(at, "equivalents", [before], [after], back=True))
