"""Pods that hold more on the disk than they may."""

from __future__ import annotations

from typing import Any

import pytest

from navarch.agent.eviction.limits import is_limited, over
from navarch.agent.eviction.ranking import CRITICAL_PRIORITY, Candidate, ContainerUse, Held, PodUse
from navarch.kinds.pod import Pod
from tests.unit.agent import pods

MIB = 1 << 20
WHOLE = "Pod ephemeral local storage usage exceeds the total limit of containers {}. "


def pod(*limits: str, volumes: Any = (), **more: Any) -> Pod:
    containers = []
    for number, limit in enumerate(limits or ("",)):
        resources = {"limits": {"ephemeral-storage": limit}} if limit else {}
        containers.append({"name": f"c{number}", "image": "app:1", "resources": resources})
    return pods.pod(*containers, volumes=list(volumes), **more)


def empty_dir(limit: str = "") -> dict[str, Any]:
    return {"name": "data", "emptyDir": {"sizeLimit": limit} if limit else {}}


def use(layers: tuple[int, ...] = (), logs: tuple[int, ...] = (), volume: int = 0) -> PodUse:
    sizes = zip(layers, logs or (0,) * len(layers), strict=True)
    held = {f"c{number}": ContainerUse(0, Held(a * MIB), Held(b * MIB)) for number, (a, b) in enumerate(sizes)}
    return PodUse(held, {"data": Held(volume * MIB)})


def told(one: Pod, used: PodUse | None) -> list[tuple[str, str]]:
    found = over([Candidate(one, used)])
    assert all(not item.disrupts and item.grace_s == 1 for item in found)
    return [(item.cause, item.message) for item in found]


@pytest.mark.parametrize(
    ("one", "used", "cause", "message"),
    [
        (
            pod(volumes=[empty_dir("10Mi")]),
            use(volume=11),
            "emptydirfs.limit",
            'Usage of EmptyDir volume "data" exceeds the limit "10Mi". ',
        ),
        (pod("10Mi", "20Mi"), use((9, 3), (0, 19)), "ephemeralpodfs.limit", WHOLE.format("30Mi")),
        (pod("10Mi", volumes=[empty_dir()]), use((1,), volume=10), "ephemeralpodfs.limit", WHOLE.format("10Mi")),
        (
            pod("10Mi", "100Mi"),
            use((9, 0), (2, 0)),
            "ephemeralcontainerfs.limit",
            'Container c0 exceeded its local ephemeral storage limit "10Mi". ',
        ),
    ],
)
def test_what_is_over_its_limit_goes(one: Pod, used: PodUse, cause: str, message: str) -> None:
    assert told(one, used) == [(cause, message)]


@pytest.mark.parametrize(
    ("one", "used"),
    [
        (pod(volumes=[empty_dir("10Mi")]), use(volume=10)),
        (pod(volumes=[empty_dir()]), use(volume=10_000)),
        (pod("10Mi"), use((9,), (1,))),
        (pod("10Mi"), None),
        (pod("10Mi", priority=CRITICAL_PRIORITY), use((99,))),
    ],
)
def test_what_keeps_to_its_limit_or_is_critical_stays(one: Pod, used: PodUse | None) -> None:
    assert told(one, used) == []


def test_one_reason_for_each_pod_and_the_volume_comes_first() -> None:
    found = told(pod("1Mi", volumes=[empty_dir("1Mi")]), use((50,), volume=50))
    assert [cause for cause, _ in found] == ["emptydirfs.limit"]


def test_only_pods_with_a_limit_are_measured() -> None:
    assert not is_limited(pod(volumes=[empty_dir()]))
    assert is_limited(pod(volumes=[empty_dir("1Gi")]))
    assert is_limited(pod("", "1Gi"))
    assert not is_limited(pod(volumes=[empty_dir("0")]))
