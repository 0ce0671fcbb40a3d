"""StatefulSets and DaemonSets: pods in order and by name, one for each node, and how both change."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from conformance_api import STRATEGIC, Api, names
from conformance_objects import replicas, template
from conformance_specs import spec
from conformance_workloads import APPS, CORE, check_scale, check_status, complete, pods_of, running

import navarch
from navarch.testing.cluster import RunningCluster

SET = "[sig-apps] StatefulSet Basic StatefulSet functionality [StatefulSetBasic] "
DAEMON = "[sig-apps] Daemon set [Serial] "
GATE = "example.com/healthy"
"""Of the pods of `gated` sets: their tests say by this condition which of them are healthy."""


@pytest.fixture(scope="module")
def library() -> Iterator[RunningCluster]:
    behaviours = [navarch.Behaviour(image="broken:*", image_error="ErrImagePull")]
    with navarch.Cluster(nodes=3, behaviours=behaviours) as running:
        yield running


def stateful(name: str, count: int, *, gated: bool = False, **more: Any) -> dict[str, Any]:
    body = replicas(name, count, image="web:1")
    body["spec"] |= {"serviceName": "headless", **more}
    if gated:
        body["spec"]["template"]["spec"]["readinessGates"] = [{"conditionType": GATE}]
    return body


def say(api: Api, ns: str, name: str, healthy: bool) -> None:
    api.when(f"{CORE.format(ns)}/pods/{name}", lambda one: one["status"].get("phase") == "Running")
    said = {"type": GATE, "status": "True" if healthy else "False"}
    api.patch(f"{CORE.format(ns)}/pods/{name}/status", {"status": {"conditions": [said]}}, STRATEGIC)


def roll(api: Api, ns: str, image: str) -> tuple[Any, list[str]]:
    """The set with all its pods of that image, and the names of those that went, in order."""
    path = f"{APPS.format(ns)}/statefulsets/ss"
    with api.watch(f"{CORE.format(ns)}/pods?watch=1") as events:
        set_image(api, path, image)
        found = api.when(path, lambda one: settled(one, 3) and set(images(api, ns).values()) == {image})
        return found, [events.until("DELETED")["metadata"]["name"] for _ in range(3)]


def again(api: Api, ns: str, name: str) -> None:
    """Delete a pod and wait for the one that comes in its place."""
    path = f"{CORE.format(ns)}/pods/{name}"
    uid = api.get(path)["metadata"]["uid"]
    api.delete(path)
    api.when(path, lambda one: one["metadata"]["uid"] != uid and running(one))


def phase(api: Api, ns: str, partition: int) -> dict[str, str]:
    """The images of the pods once those from `partition` on are new."""
    path = f"{APPS.format(ns)}/statefulsets/ss"
    api.patch(path, {"spec": {"updateStrategy": {"rollingUpdate": {"partition": partition}}}})
    expected = {f"ss-{n}": "web:2" if n >= partition else "web:1" for n in range(3)}
    api.when(path, lambda one: one["status"].get("readyReplicas") == 3 and images(api, ns) == expected)
    return expected


def members(api: Api, ns: str) -> list[str]:
    return sorted(names({"items": pods_of(api, ns)}))


def images(api: Api, ns: str) -> dict[str, str]:
    return {one["metadata"]["name"]: one["spec"]["containers"][0]["image"] for one in pods_of(api, ns)}


def set_image(api: Api, path: str, image: str) -> None:
    container = {"name": "main", "image": image}
    api.patch(path, {"spec": {"template": {"spec": {"containers": [container]}}}}, STRATEGIC)


def settled(found: Any, count: int) -> bool:
    status = found["status"]
    return bool(complete(count)(found) and status["currentRevision"] == status["updateRevision"])


@spec(SET + "Scaling should happen in predictable order and halt if any stateful pod is unhealthy [Slow]")
def test_one_after_another_and_only_when_all_are_well(api: Api, ns: str, library: RunningCluster) -> None:
    path = f"{APPS.format(ns)}/statefulsets/ss"
    with api.watch(f"{CORE.format(ns)}/pods?watch=1") as events:
        api.post(f"{APPS.format(ns)}/statefulsets", stateful("ss", 3, gated=True))
        for name in ("ss-0", "ss-1", "ss-2"):
            api.when(f"{CORE.format(ns)}/pods/{name}", lambda one: one["status"].get("phase") == "Running")
            library.clock.advance(seconds=5)
            assert members(api, ns)[-1] == name, "nothing comes before it is ready"
            say(api, ns, name, True)
        api.when(path, complete(3))
        added = [events.until("ADDED")["metadata"]["name"] for _ in range(3)]
        assert added == ["ss-0", "ss-1", "ss-2"]
    for name in members(api, ns):
        say(api, ns, name, False)
    api.when(path, lambda one: not one["status"].get("readyReplicas"))
    api.patch(path, {"spec": {"replicas": 0}})
    library.clock.advance(seconds=5)
    assert members(api, ns) == ["ss-0", "ss-1", "ss-2"], "nothing goes while those before it are not well"
    with api.watch(f"{CORE.format(ns)}/pods?watch=1") as events:
        for name in ("ss-0", "ss-1"):
            say(api, ns, name, True)
        api.until(lambda: not pods_of(api, ns))
        assert [events.until("DELETED")["metadata"]["name"] for _ in range(3)] == ["ss-2", "ss-1", "ss-0"]


@spec(SET + "Burst scaling should run to completion even with unhealthy pods [Slow]")
def test_all_at_once_however_they_are(api: Api, ns: str) -> None:
    path = f"{APPS.format(ns)}/statefulsets/ss"
    api.post(f"{APPS.format(ns)}/statefulsets", stateful("ss", 1, gated=True, podManagementPolicy="Parallel"))
    api.when(f"{CORE.format(ns)}/pods/ss-0", lambda one: one["status"].get("phase") == "Running")
    api.patch(path, {"spec": {"replicas": 3}})
    api.until(lambda: members(api, ns) == ["ss-0", "ss-1", "ss-2"], "all of them, none of them ready")
    for name in members(api, ns):
        say(api, ns, name, True)
    api.when(path, complete(3))
    say(api, ns, "ss-1", False)
    api.patch(path, {"spec": {"replicas": 0}})
    api.until(lambda: not pods_of(api, ns))
    api.when(path, lambda one: one["status"].get("replicas") == 0)


@spec(SET + "should perform rolling updates and roll backs of template modifications")
def test_the_newest_first_and_back_again(api: Api, ns: str) -> None:
    path = f"{APPS.format(ns)}/statefulsets/ss"
    api.post(f"{APPS.format(ns)}/statefulsets", stateful("ss", 3))
    before = api.when(path, lambda one: settled(one, 3))["status"]["currentRevision"]
    for image, known in (("web:2", False), ("web:1", True)):
        found, gone = roll(api, ns, image)
        assert gone == ["ss-2", "ss-1", "ss-0"]
        assert (found["status"]["currentRevision"] == before) == known
        revisions = {one["metadata"]["labels"]["controller-revision-hash"] for one in pods_of(api, ns)}
        assert revisions == {found["status"]["currentRevision"]}


@spec(SET + "should perform canary updates and phased rolling updates of template modifications")
def test_a_part_at_a_time(api: Api, ns: str) -> None:
    path = f"{APPS.format(ns)}/statefulsets/ss"
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"partition": 3}}
    api.post(f"{APPS.format(ns)}/statefulsets", stateful("ss", 3, updateStrategy=strategy))
    first = api.when(path, complete(3))["status"]["currentRevision"]
    set_image(api, path, "web:2")
    second = api.when(path, lambda one: one["status"]["updateRevision"] != first)["status"]["updateRevision"]
    assert set(images(api, ns).values()) == {"web:1"}
    for partition in (2, 1, 0):
        expected = phase(api, ns, partition)
        if partition == 2:
            again(api, ns, "ss-0")
            again(api, ns, "ss-2")
            assert images(api, ns) == expected, "each comes back as it was"
    assert api.when(path, lambda one: settled(one, 3))["status"]["currentRevision"] == second


@spec(SET + "should have a working scale subresource")
def test_scale_of_a_statefulset(api: Api, ns: str) -> None:
    api.post(f"{APPS.format(ns)}/statefulsets", stateful("scaled", 1))
    check_scale(api, f"{APPS.format(ns)}/statefulsets/scaled")


@spec(SET + "should validate Statefulset Status endpoints")
def test_status_of_a_statefulset(api: Api, ns: str) -> None:
    api.post(f"{APPS.format(ns)}/statefulsets", stateful("s", 1))
    check_status(api, f"{APPS.format(ns)}/statefulsets/s")


@spec(SET + "should list, patch and delete a collection of StatefulSets")
def test_a_collection_of_statefulsets(api: Api, ns: str) -> None:
    at = f"{APPS.format(ns)}/statefulsets"
    api.post(at, stateful("test-ss", 1))
    api.when(f"{at}/test-ss", complete(1))
    patch = {"metadata": {"labels": {"test-ss": ns}}, "spec": {"replicas": 2}}
    assert api.patch(f"{at}/test-ss", patch)["metadata"]["labels"]["test-ss"] == ns
    set_image(api, f"{at}/test-ss", "web:2")
    api.when(f"{at}/test-ss", lambda one: settled(one, 2))
    assert set(images(api, ns).values()) == {"web:2"}
    assert names(api.get(f"/apis/apps/v1/statefulsets?labelSelector=test-ss%3D{ns}")) == ["test-ss"]
    api.delete(f"{at}?labelSelector=test-ss%3D{ns}")
    api.until(lambda: not api.get(at)["items"] and not pods_of(api, ns))


# -- one for each node


def daemon(name: str, image: str = "web:1", **more: Any) -> dict[str, Any]:
    labels = {"daemon": name}
    body = {"selector": {"matchLabels": labels}, "template": template(labels, image), **more}
    return {"metadata": {"name": name, "labels": labels}, "spec": body}


def everywhere(found: Any, count: int = 3) -> bool:
    status = found["status"]
    return (
        status.get("observedGeneration") == found["metadata"]["generation"]
        and status["desiredNumberScheduled"] == count
        and status.get("numberAvailable", 0) == status.get("updatedNumberScheduled", 0) == count
    )


def hosts(api: Api, ns: str) -> list[str]:
    return sorted(one["spec"]["nodeName"] for one in pods_of(api, ns))


@spec(DAEMON + "should run and stop simple daemon")
def test_a_daemon_on_each_node(api: Api, ns: str) -> None:
    at = f"{APPS.format(ns)}/daemonsets"
    api.post(at, daemon("simple"))
    api.when(f"{at}/simple", everywhere)
    assert hosts(api, ns) == sorted(names(api.get("/api/v1/nodes")))
    victim = members(api, ns)[0]
    api.delete(f"{CORE.format(ns)}/pods/{victim}")
    api.until(lambda: victim not in members(api, ns) and sum(map(running, pods_of(api, ns))) == 3, "a new one")
    assert hosts(api, ns) == sorted(names(api.get("/api/v1/nodes")))


@spec(DAEMON + "should run and stop complex daemon")
def test_a_daemon_where_a_label_is(api: Api, ns: str) -> None:
    at, label = f"{APPS.format(ns)}/daemonsets", f"color-{ns}"
    body = daemon("complex")
    body["spec"]["template"]["spec"]["nodeSelector"] = {label: "blue"}
    api.post(at, body)
    api.when(f"{at}/complex", lambda one: one["status"].get("observedGeneration") == 1)
    assert pods_of(api, ns) == []
    node = names(api.get("/api/v1/nodes"))[1]
    api.patch(f"/api/v1/nodes/{node}", {"metadata": {"labels": {label: "blue"}}})
    api.when(f"{at}/complex", lambda one: everywhere(one, 1))
    assert hosts(api, ns) == [node]
    api.patch(f"/api/v1/nodes/{node}", {"metadata": {"labels": {label: "green"}}})
    api.until(lambda: not pods_of(api, ns), "it to go")
    change = {"template": {"spec": {"nodeSelector": {label: "green"}}}, "updateStrategy": {"type": "RollingUpdate"}}
    api.patch(f"{at}/complex", {"spec": change})
    api.when(f"{at}/complex", lambda one: everywhere(one, 1))
    assert hosts(api, ns) == [node]


@spec(DAEMON + "should retry creating failed daemon pods")
def test_a_failed_daemon_is_made_again(api: Api, ns: str) -> None:
    at = f"{APPS.format(ns)}/daemonsets"
    api.post(at, daemon("failing"))
    api.when(f"{at}/failing", everywhere)
    victim = members(api, ns)[0]
    api.patch(f"{CORE.format(ns)}/pods/{victim}/status", {"status": {"phase": "Failed"}})
    api.gone(f"{CORE.format(ns)}/pods/{victim}")
    api.until(lambda: sum(map(running, pods_of(api, ns))) == 3, "a new one")


@spec(DAEMON + "should update pod when spec was updated and update strategy is RollingUpdate")
def test_daemons_are_renewed(api: Api, ns: str) -> None:
    at = f"{APPS.format(ns)}/daemonsets"
    api.post(at, daemon("rolling", updateStrategy={"type": "RollingUpdate"}))
    first = api.when(f"{at}/rolling", everywhere)["metadata"]["generation"]
    set_image(api, f"{at}/rolling", "web:2")
    found = api.when(f"{at}/rolling", everywhere)
    assert found["metadata"]["generation"] == first + 1
    assert set(images(api, ns).values()) == {"web:2"}
    revisions = sorted(one["revision"] for one in api.get(f"{APPS.format(ns)}/controllerrevisions")["items"])
    assert revisions == [1, 2]


@spec(DAEMON + "should rollback without unnecessary restarts")
def test_going_back_leaves_alone_what_never_left(api: Api, ns: str) -> None:
    at = f"{APPS.format(ns)}/daemonsets"
    api.post(at, daemon("back", updateStrategy={"type": "RollingUpdate"}))
    api.when(f"{at}/back", everywhere)
    before = {one["metadata"]["name"] for one in pods_of(api, ns)}
    set_image(api, f"{at}/back", "broken:1")
    api.until(lambda: "broken:1" in images(api, ns).values(), "the first of the new ones")
    kept = {name for name, image in images(api, ns).items() if image == "web:1"}
    assert kept < before
    assert len(kept) == 2
    set_image(api, f"{at}/back", "web:1")
    api.when(f"{at}/back", everywhere)
    after = images(api, ns)
    assert set(after.values()) == {"web:1"}
    assert kept <= set(after), "they were not made again"


@spec(DAEMON + "should verify changes to a daemon set status")
def test_status_of_a_daemonset(api: Api, ns: str) -> None:
    at = f"{APPS.format(ns)}/daemonsets"
    api.post(at, daemon("told"))
    api.when(f"{at}/told", everywhere)
    check_status(api, f"{at}/told", everywhere)


@spec(DAEMON + "should list and delete a collection of DaemonSets")
def test_a_collection_of_daemonsets(api: Api, ns: str) -> None:
    at = f"{APPS.format(ns)}/daemonsets"
    api.post(at, daemon(f"many-{ns}"))
    api.when(f"{at}/many-{ns}", everywhere)
    assert names(api.get(f"/apis/apps/v1/daemonsets?labelSelector=daemon%3Dmany-{ns}")) == [f"many-{ns}"]
    api.delete(f"{at}?labelSelector=daemon%3Dmany-{ns}")
    api.until(lambda: not api.get(at)["items"] and not pods_of(api, ns))
