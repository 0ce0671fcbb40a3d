"""Volumes in real containers, as the conformance specs demand them: whose files, with what rights, and after changes.

All pods of this module are made at once; each test reads what its pod has said.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from navarch.kinds import CONFIGMAP, NAMESPACE, NODE, POD, SECRET
from navarch.kinds.kind import Kind
from tests.compat.conformance.conformance_specs import spec
from tests.node.test_agent_containers import IMAGE, Node, node
from tests.unit.agent import cluster

__all__ = ["node"]

pytestmark = pytest.mark.node

CONFIG = "[sig-storage] ConfigMap "
SECRETS = "[sig-storage] Secrets "
BOTH_CONFIG = "[sig-storage] Projected configMap "
BOTH_SECRET = "[sig-storage] Projected secret "
ABOUT = "[sig-storage] Downward API volume "
BOTH_ABOUT = "[sig-storage] Projected downwardAPI "
EMPTY = "[sig-storage] EmptyDir volumes "
WRAPPER = "[sig-storage] EmptyDir wrapper volumes "
SUBPATH = "[sig-storage] Subpath Atomic writer volumes should support subpaths with "
READ = "should be consumable from pods in volume"
ALL = " [NodeConformance]"
LINUX = " [LinuxOnly] [NodeConformance]"
COMBINED = "[sig-storage] Projected combined should project all components that make up the projection API [Projection]"
OTHER_NAMESPACE = (
    "should be able to mount in a volume regardless of a different secret existing with same name "
    "in different namespace"
)
ALLOCATABLE = "should provide node allocatable "

MAPS, FOLLOWERS = 50, 5
Document = dict[str, Any]


def object_of(name: str, namespace: str = "default", **content: Any) -> Document:
    return {"apiVersion": "v1", "metadata": {"name": name, "namespace": namespace}, **content}


def from_object(kind: str, name: str, **more: Any) -> Document:
    return {"configMap": {"name": name, **more}} if kind == "map" else {"secret": {"secretName": name, **more}}


def projected(kind: str, name: str, default_mode: int = 0o644, **more: Any) -> Document:
    source = {"configMap" if kind == "map" else "secret": {"name": name, **more}}
    return {"projected": {"defaultMode": default_mode, "sources": [source]}}


def about(items: list[Document], projected_: bool, **more: Any) -> Document:
    if projected_:
        return {"projected": {"sources": [{"downwardAPI": {"items": items}}], **more}}
    return {"downwardAPI": {"items": items, **more}}


def with_volumes(name: str, script: str, volumes: dict[str, Document], **more: Any) -> Document:
    """A pod that runs once. Every volume is mounted at /v/ and its name. more: of its container."""
    mounts = [{"name": each, "mountPath": f"/v/{each}"} for each in volumes]
    found = [{"name": each, **source} for each, source in volumes.items()]
    container = {"name": "main", "image": IMAGE, "command": ["sh", "-c", script], "volumeMounts": mounts, **more}
    spec = {"nodeName": cluster.NODE, "automountServiceAccountToken": False, "restartPolicy": "Never"}
    spec |= {"terminationGracePeriodSeconds": 0, "containers": [container], "volumes": found}
    return object_of(name, kind="Pod", spec=spec)


SHOW = 'for f in {}; do echo "$f $(stat -L -c "%a %u %g" $f) $(cat $f)"; done'
ITEM: Document = {"key": "data-2", "path": "path/to/data-2"}


def readings() -> Document:
    """Every way to mount a ConfigMap and a Secret, read by root."""
    volumes = {}
    for kind in ("map", "secret"):
        for way, make in (("plain", from_object), ("projected", projected)):
            mode = "default_mode" if way == "projected" else "defaultMode"
            at = f"{kind}-{way}"
            volumes[f"{at}-whole"] = make(kind, "known")
            volumes[f"{at}-again"] = make(kind, "known")
            volumes[f"{at}-mode"] = make(kind, "known", **{mode: 0o400})
            volumes[f"{at}-mapped"] = make(kind, "known", items=[ITEM])
            volumes[f"{at}-item-mode"] = make(kind, "known", items=[{**ITEM, "mode": 0o400}])
    script = SHOW.format("/v/*/data-1 /v/*/path/to/data-2")
    return with_volumes("readings", f"{script}; od -An -tx1 /v/map-plain-whole/bytes", volumes)


def as_somebody() -> Document:
    volumes = {
        "plain": from_object("map", "known"),
        "projected": projected("map", "known"),
        "plain-mapped": from_object("map", "known", items=[ITEM]),
        "projected-mapped": projected("map", "known", items=[ITEM]),
    }
    script = SHOW.format("/v/*/data-1 /v/*/path/to/data-2")
    return with_volumes("somebody", f"id -u; {script}", volumes, securityContext={"runAsUser": 1000})


def of_a_group() -> Document:
    volumes = {
        "plain": from_object("secret", "known", defaultMode=0o440),
        "projected": projected("secret", "known", 0o440),
    }
    found = with_volumes("group", SHOW.format("/v/*/data-1"), volumes)
    found["spec"]["securityContext"] = {"runAsUser": 1000, "fsGroup": 1001}
    return found


def surroundings() -> Document:
    def amount(container: str, resource: str) -> Document:
        divisor = {"divisor": "1m"} if resource.endswith("cpu") else {}
        return {
            "path": f"{container}-{resource}",
            "resourceFieldRef": {"containerName": container, "resource": resource, **divisor},
        }

    items = [
        {"path": "podname", "fieldRef": {"fieldPath": "metadata.name"}},
        {"path": "private", "mode": 0o400, "fieldRef": {"fieldPath": "metadata.name"}},
        *[amount("main", f"{kind}.{what}") for kind in ("limits", "requests") for what in ("cpu", "memory")],
        *[amount("free", f"limits.{what}") for what in ("cpu", "memory")],
    ]
    volumes = {}
    for way in ("plain", "projected"):
        volumes[way] = about(items, way == "projected")
        volumes[f"{way}-mode"] = about(items, way == "projected", defaultMode=0o400)
    resources = {"limits": {"cpu": "1250m", "memory": "64Mi"}, "requests": {"cpu": "250m", "memory": "32Mi"}}
    free = {"name": "free", "image": IMAGE, "command": ["true"]}
    script = SHOW.format("/v/*/*")
    found = with_volumes("surroundings", script, volumes, resources=resources)
    found["spec"]["containers"].append(free)
    return found


MODES = ("644", "666", "777")
MEDIA = ("default", "tmpfs")


def scratch() -> Document:
    """Files of three modes on two media, of root and of somebody else, in volumes of their own."""
    script = """
for v in /v/*; do
  m=${v##*-}
  case $m in (6*|7*) (umask 0; echo mounted >$v/f; chmod $m $v/f
    echo "$v $(stat -c %a $v) $(stat -f -c %T $v) $(stat -c '%a %u' $v/f) $(cat $v/f)");; esac
done
"""
    volumes: dict[str, Document] = {}
    for who in ("root", "other"):
        for medium in MEDIA:
            for mode in MODES:
                volumes[f"{who}-{medium}-{mode}"] = {"emptyDir": {"medium": "Memory"} if medium == "tmpfs" else {}}
    volumes["shared"] = {"emptyDir": {}}
    found = with_volumes("scratch", f"{script}echo hello >/v/shared/note", volumes)
    root = found["spec"]["containers"][0]
    every = root["volumeMounts"]
    root["volumeMounts"] = [mount for mount in every if not mount["name"].startswith("other")]
    reader = "until test -s /v/shared/note; do sleep 0.1; done; cat /v/shared/note"
    other = {
        "name": "other",
        "image": IMAGE,
        "securityContext": {"runAsUser": 1001},
        "command": ["sh", "-c", f"{script}{reader}"],
        "volumeMounts": [mount for mount in every if not mount["name"].startswith("root")],
    }
    found["spec"]["containers"].append(other)
    return found


def parts() -> Document:
    """One file of each kind of volume, and one in the place of a file that the image has."""
    name = {"path": "podname", "fieldRef": {"fieldPath": "metadata.name"}}
    volumes = {
        "map": from_object("map", "known"),
        "secret": from_object("secret", "known"),
        "about": about([name], False),
        "projected": projected("map", "known"),
    }
    found = with_volumes("parts", "cat /p/map; cat /p/secret; cat /p/about; cat /p/projected; cat /etc/passwd", volumes)
    found["spec"]["containers"][0]["volumeMounts"] = [
        {"name": "map", "mountPath": "/p/map", "subPath": "data-1"},
        {"name": "secret", "mountPath": "/p/secret", "subPath": "data-1"},
        {"name": "about", "mountPath": "/p/about", "subPath": "podname"},
        {"name": "projected", "mountPath": "/p/projected", "subPath": "data-1"},
        {"name": "map", "mountPath": "/etc/passwd", "subPath": "data-2"},
    ]
    return found


def together() -> Document:
    """Different kinds of volumes beside each other, and all that can be projected in one."""
    sources = [
        {"secret": {"name": "known", "items": [{"key": "data-1", "path": "of-secret"}]}},
        {"configMap": {"name": "known", "items": [{"key": "data-1", "path": "of-map"}]}},
        {"downwardAPI": {"items": [{"path": "podname", "fieldRef": {"fieldPath": "metadata.name"}}]}},
    ]
    volumes = {
        "secret": from_object("secret", "known"),
        "map": from_object("map", "known"),
        "all": {"projected": {"sources": sources}},
    }
    script = "cat /v/secret/data-1 /v/map/data-1 /v/all/of-secret /v/all/of-map /v/all/podname"
    return with_volumes("together", script, volumes)


def crowd() -> list[Document]:
    """Pods that all mount many ConfigMaps at the same time."""
    volumes = {f"c{n}": {"configMap": {"name": f"crowd-{n}"}} for n in range(MAPS)}
    return [with_volumes(f"crowd-{n}", "cat /v/*/data | sort -u; ls /v | wc -l", volumes) for n in range(FOLLOWERS)]


CHANGING = ("map-plain", "map-projected", "secret-plain", "secret-projected")


def follower() -> Document:
    volumes = {}
    for at in CHANGING:
        kind, _, way = at.partition("-")
        make = projected if way == "projected" else from_object
        for fate in ("deleted", "updated", "created"):
            volumes[f"{at}-{fate}"] = make(kind, fate, optional=True)
    items = [{"path": what, "fieldRef": {"fieldPath": f"metadata.{what}"}} for what in ("labels", "annotations")]
    volumes |= {"about-plain": about(items, False), "about-projected": about(items, True)}
    found = with_volumes("follower", "exec sleep 1000", volumes)
    found["metadata"] |= {"labels": {"key": "old"}, "annotations": {"builder": "bar"}}
    return found


async def make_sources(at: Node) -> None:
    elsewhere = "elsewhere"
    await at.client.create(NAMESPACE, {"apiVersion": "v1", "metadata": {"name": elsewhere}})
    values = {"data-1": "value-1\n", "data-2": "value-2\n"}
    secrets = {"data-1": "secret-1\n", "data-2": "secret-2\n"}
    await at.client.create(SECRET, object_of("known", elsewhere, kind="Secret", stringData={"data-1": "of others\n"}))
    await at.client.create(SECRET, object_of("known", kind="Secret", stringData=secrets))
    known = object_of("known", kind="ConfigMap", data=values, binaryData={"bytes": "3sr+uv/+"})
    await at.client.create(CONFIGMAP, known)
    for kind, field in FIELDS:
        for fate in ("deleted", "updated"):
            await at.client.create(kind, object_of(fate, kind=kind.name, **{field: {"data-1": f"{fate[0]}\n"}}))
    for number in range(MAPS):
        made = object_of(f"crowd-{number}", kind="ConfigMap", data={"data": "one of many\n"})
        await at.client.create(CONFIGMAP, made)


async def texts(at: Node, made: Document) -> dict[str, list[str]]:
    """What each container of a pod printed until all had ended well."""
    meta = made["metadata"]
    over = ("Succeeded", "Failed")
    found = await at.world.until(meta["name"], lambda pod: pod["status"].get("phase") in over)
    folder = at.world.config.paths.pod_logs("default", meta["name"], meta["uid"])
    printed = {}
    for container in found["spec"]["containers"]:
        lines = (folder / container["name"] / "0.log").read_text().splitlines()
        name = meta["name"] if container["name"] == "main" else f"{meta['name']}/{container['name']}"
        printed[name] = [line.split(" ", 3)[3] for line in lines]
    assert found["status"]["phase"] == "Succeeded", (printed, found["status"])
    return printed


@pytest.fixture(scope="module")
def said(node: Callable[..., None]) -> dict[str, list[str]]:
    """What each container printed: by the pod's name and the container's, or the pod's alone for `main`."""
    found: dict[str, list[str]] = {}

    async def scenario(at: Node) -> None:
        await make_sources(at)
        await at.client.create(POD, follower())
        once = [readings(), as_somebody(), of_a_group(), surroundings(), scratch(), parts(), together(), *crowd()]
        made = [(await at.client.create(POD, one)).document() for one in once]
        for one in made:
            found.update(await texts(at, one))
        node_object = (await at.client.get(NODE, "", cluster.NODE)).document()
        found["allocatable"] = [node_object["status"]["allocatable"][name] for name in ("cpu", "memory")]

    node(scenario)
    return found


@spec(CONFIG + READ + ALL)
@spec(CONFIG + READ + " with defaultMode set" + LINUX)
@spec(CONFIG + READ + " with mappings" + ALL)
@spec(CONFIG + READ + " with mappings and Item mode set" + LINUX)
@spec(CONFIG + "should be consumable in multiple volumes in the same pod" + ALL)
@spec(BOTH_CONFIG + READ + ALL)
@spec(BOTH_CONFIG + READ + " with defaultMode set" + LINUX)
@spec(BOTH_CONFIG + READ + " with mappings" + ALL)
@spec(BOTH_CONFIG + READ + " with mappings and Item mode set" + LINUX)
@spec(BOTH_CONFIG + "should be consumable in multiple volumes in the same pod" + ALL)
@spec(SECRETS + READ + ALL)
@spec(SECRETS + READ + " with defaultMode set" + LINUX)
@spec(SECRETS + READ + " with mappings" + ALL)
@spec(SECRETS + READ + " with mappings and Item Mode set" + LINUX)
@spec(SECRETS + "should be consumable in multiple volumes in a pod" + ALL)
@spec(SECRETS + OTHER_NAMESPACE + ALL)
@spec(BOTH_SECRET + READ + ALL)
@spec(BOTH_SECRET + READ + " with defaultMode set" + LINUX)
@spec(BOTH_SECRET + READ + " with mappings" + ALL)
@spec(BOTH_SECRET + READ + " with mappings and Item Mode set" + LINUX)
@spec(BOTH_SECRET + "should be consumable in multiple volumes in a pod" + ALL)
def test_maps_and_secrets_are_files_of_the_wanted_modes(said: dict[str, list[str]]) -> None:
    for kind, value in (("map", "value"), ("secret", "secret")):
        for way in ("plain", "projected"):
            at = f"/v/{kind}-{way}"
            expected = [
                f"{at}-again/data-1 644 0 0 {value}-1",
                f"{at}-mode/data-1 400 0 0 {value}-1",
                f"{at}-whole/data-1 644 0 0 {value}-1",
                f"{at}-item-mode/path/to/data-2 400 0 0 {value}-2",
                f"{at}-mapped/path/to/data-2 644 0 0 {value}-2",
            ]
            assert [line for line in said["readings"] if line.startswith(f"{at}-")] == expected


@spec(CONFIG + "binary data should be reflected in volume" + ALL)
def test_bytes_are_kept(said: dict[str, list[str]]) -> None:
    assert said["readings"][-1].split() == ["de", "ca", "fe", "ba", "ff", "fe"]


@spec(CONFIG + READ + " as non-root" + ALL)
@spec(CONFIG + READ + " with mappings as non-root" + ALL)
@spec(BOTH_CONFIG + READ + " as non-root" + ALL)
@spec(BOTH_CONFIG + READ + " with mappings as non-root" + ALL)
def test_others_than_root_read_them(said: dict[str, list[str]]) -> None:
    assert said["somebody"] == [
        "1000",
        "/v/plain/data-1 644 0 0 value-1",
        "/v/projected/data-1 644 0 0 value-1",
        "/v/plain-mapped/path/to/data-2 644 0 0 value-2",
        "/v/projected-mapped/path/to/data-2 644 0 0 value-2",
    ]


@spec(SECRETS + READ + " as non-root with defaultMode and fsGroup set" + LINUX)
@spec(BOTH_SECRET + READ + " as non-root with defaultMode and fsGroup set" + LINUX)
def test_a_group_reads_what_is_its_own(said: dict[str, list[str]]) -> None:
    assert said["group"] == [f"/v/{way}/data-1 440 0 1001 secret-1" for way in ("plain", "projected")]


@spec(ABOUT + "should provide podname only" + ALL)
@spec(ABOUT + "should set DefaultMode on files" + LINUX)
@spec(ABOUT + "should set mode on item file" + LINUX)
@spec(ABOUT + "should provide container's cpu limit" + ALL)
@spec(ABOUT + "should provide container's cpu request" + ALL)
@spec(ABOUT + "should provide container's memory limit" + ALL)
@spec(ABOUT + "should provide container's memory request" + ALL)
@spec(ABOUT + ALLOCATABLE + "(cpu) as default cpu limit if the limit is not set" + ALL)
@spec(ABOUT + ALLOCATABLE + "(memory) as default memory limit if the limit is not set" + ALL)
@spec(BOTH_ABOUT + "should provide podname only" + ALL)
@spec(BOTH_ABOUT + "should set DefaultMode on files" + LINUX)
@spec(BOTH_ABOUT + "should set mode on item file" + LINUX)
@spec(BOTH_ABOUT + "should provide container's cpu limit" + ALL)
@spec(BOTH_ABOUT + "should provide container's cpu request" + ALL)
@spec(BOTH_ABOUT + "should provide container's memory limit" + ALL)
@spec(BOTH_ABOUT + "should provide container's memory request" + ALL)
@spec(BOTH_ABOUT + ALLOCATABLE + "(cpu) as default cpu limit if the limit is not set" + ALL)
@spec(BOTH_ABOUT + ALLOCATABLE + "(memory) as default memory limit if the limit is not set" + ALL)
def test_a_pod_is_told_of_itself_in_files(said: dict[str, list[str]]) -> None:
    cpu, memory = int(float(said["allocatable"][0]) * 1000), int(said["allocatable"][1].removesuffix("Ki")) * 1024
    values = {
        "free-limits.cpu": cpu,
        "free-limits.memory": memory,
        "main-limits.cpu": 1250,
        "main-limits.memory": 64 << 20,
        "main-requests.cpu": 250,
        "main-requests.memory": 32 << 20,
        "podname": "surroundings",
        "private": "surroundings",
    }
    for way in ("plain", "projected"):
        for suffix, mode in (("", 644), ("-mode", 400)):
            expected = [
                f"/v/{way}{suffix}/{name} {400 if name == 'private' else mode} 0 0 {value}"
                for name, value in values.items()
            ]
            assert [line for line in said["surroundings"] if line.startswith(f"/v/{way}{suffix}/")] == expected


@spec(EMPTY + "volume on default medium should have the correct mode" + LINUX)
@spec(EMPTY + "volume on tmpfs should have the correct mode" + LINUX)
@spec(EMPTY + "should support (root,0644,default)" + LINUX)
@spec(EMPTY + "should support (root,0644,tmpfs)" + LINUX)
@spec(EMPTY + "should support (root,0666,default)" + LINUX)
@spec(EMPTY + "should support (root,0666,tmpfs)" + LINUX)
@spec(EMPTY + "should support (root,0777,default)" + LINUX)
@spec(EMPTY + "should support (root,0777,tmpfs)" + LINUX)
@spec(EMPTY + "should support (non-root,0644,default)" + LINUX)
@spec(EMPTY + "should support (non-root,0644,tmpfs)" + LINUX)
@spec(EMPTY + "should support (non-root,0666,default)" + LINUX)
@spec(EMPTY + "should support (non-root,0666,tmpfs)" + LINUX)
@spec(EMPTY + "should support (non-root,0777,default)" + LINUX)
@spec(EMPTY + "should support (non-root,0777,tmpfs)" + LINUX)
def test_empty_volumes_are_open_to_all_and_keep_modes(said: dict[str, list[str]]) -> None:
    for name, who, user in (("scratch", "root", 0), ("scratch/other", "other", 1001)):
        found = [line.split() for line in said[name] if line.startswith("/v/")]
        assert [line[0] for line in found] == [f"/v/{who}-{medium}-{mode}" for medium in MEDIA for mode in MODES]
        for path, mode, filesystem, *file in found:
            assert mode == "777"
            assert (filesystem == "tmpfs") == ("tmpfs" in path), (path, filesystem)
            assert file == [path.rpartition("-")[2], str(user), "mounted"]


@spec(EMPTY + "pod should support shared volumes between containers")
def test_containers_share_a_volume(said: dict[str, list[str]]) -> None:
    assert said["scratch/other"][-1] == "hello"


@spec(SUBPATH + "configmap pod")
@spec(SUBPATH + "configmap pod with mountPath of existing file")
@spec(SUBPATH + "secret pod")
@spec(SUBPATH + "downward pod")
@spec(SUBPATH + "projected pod")
def test_single_files_of_volumes_are_mounted(said: dict[str, list[str]]) -> None:
    """The first three end their line, the pod's name does not."""
    assert said["parts"] == ["value-1", "secret-1", "partsvalue-1", "value-2"]


@spec(WRAPPER + "should not conflict")
@spec(COMBINED + ALL)
def test_volumes_of_many_kinds_stand_beside_each_other(said: dict[str, list[str]]) -> None:
    assert said["together"] == ["secret-1", "value-1", "secret-1", "value-1", "together"]


@spec(WRAPPER + "should not cause race condition when used for configmaps [Serial]")
def test_many_maps_in_many_pods_at_once(said: dict[str, list[str]]) -> None:
    for number in range(FOLLOWERS):
        assert said[f"crowd-{number}"] == ["one of many", str(MAPS)]


@spec(CONFIG + "updates should be reflected in volume" + ALL)
@spec(CONFIG + "optional updates should be reflected in volume" + ALL)
@spec(BOTH_CONFIG + "updates should be reflected in volume" + ALL)
@spec(BOTH_CONFIG + "optional updates should be reflected in volume" + ALL)
@spec(SECRETS + "optional updates should be reflected in volume" + ALL)
@spec(BOTH_SECRET + "optional updates should be reflected in volume" + ALL)
@spec(ABOUT + "should update labels on modification" + ALL)
@spec(ABOUT + "should update annotations on modification" + ALL)
@spec(BOTH_ABOUT + "should update labels on modification" + ALL)
@spec(BOTH_ABOUT + "should update annotations on modification" + ALL)
def test_files_follow_what_they_are_made_of(said: dict[str, list[str]], node: Callable[..., None]) -> None:
    async def scenario(at: Node) -> None:
        found = await at.world.until("follower", cluster.ready)
        container = cluster.container(found)["containerID"].rpartition("/")[2]
        script = "grep -H . /v/*/data-* /v/*/labels 2>/dev/null; grep -H builder /v/*/annotations"

        async def files() -> list[str]:
            result = await at.machine.runtime.exec_sync(container, ["sh", "-c", script], 10)
            return sorted(result.stdout.decode().split())

        assert await files() == sorted(BEFORE + told("old", "bar"))
        for kind, field in FIELDS:
            await at.client.delete(kind, "default", "deleted")
            await at.client.patch(kind, "default", "updated", {field: {"data-1": "changed\n", "data-3": "more\n"}})
            await at.client.create(kind, object_of("created", kind=kind.name, **{field: {"data-1": "new\n"}}))
        change = {"metadata": {"labels": {"key": "new"}, "annotations": {"builder": "foo"}}}
        await at.client.patch(POD, "default", "follower", change)
        for _ in range(500):
            if (seen := await files()) == sorted(AFTER + told("new", "foo")):
                return
            await asyncio.sleep(0.2)
        raise AssertionError(f"the files did not follow: {seen}")

    node(scenario)


FIELDS: tuple[tuple[Kind, str], ...] = ((CONFIGMAP, "data"), (SECRET, "stringData"))
BEFORE = [f"/v/{at}-{fate}/data-1:{fate[0]}" for at in CHANGING for fate in ("deleted", "updated")]
AFTER = [
    f"/v/{at}-{line}"
    for at in CHANGING
    for line in ("created/data-1:new", "updated/data-1:changed", "updated/data-3:more")
]


def told(label: str, annotation: str) -> list[str]:
    found = (f'labels:key="{label}"', f'annotations:builder="{annotation}"')
    return [f"/v/about-{way}/{text}" for way in ("plain", "projected") for text in found]
