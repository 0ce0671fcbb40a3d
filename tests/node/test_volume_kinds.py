"""Volumes of every kind in real containers: memory, devices, file systems, parts, mounts that spread, and refusals.

All pods of this module are made at once on one node; each test reads what its pod has said or is told.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from navarch.agent.volumes import kernel
from navarch.base.clock import SeededIds, SystemClock
from navarch.base.pki import Authority
from navarch.kinds import CLUSTERTRUSTBUNDLE, CONFIGMAP, EVENT, PERSISTENTVOLUME, PERSISTENTVOLUMECLAIM, POD
from navarch.objects.value import Document
from tests.node.test_agent_containers import FOREVER, Node, node, nothing_left, shell
from tests.unit.agent import cluster

__all__ = ["node"]

pytestmark = pytest.mark.node

GROUP = 2000
MIB = 1 << 20
Run = Callable[[Callable[[Node], Any]], None]


def loops(file: Path) -> list[str]:
    said = subprocess.run(["losetup", "-j", str(file), "-n", "-O", "NAME"], capture_output=True, text=True, check=True)
    return said.stdout.split()


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A block device without a file system."""
    file = tmp_path_factory.mktemp("disks") / "disk"
    with file.open("wb") as made:
        made.truncate(16 * MIB)
    command = ["losetup", "--find", "--show", str(file)]
    device = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    yield device
    subprocess.run(["losetup", "--detach", device], check=True)


async def claim(at: Node, name: str, path: str, mode: str = "Filesystem", owner: Any = None, **local: Any) -> Document:
    """A bound claim to a `local` volume; returns a pod's volume of it."""
    spec = {"capacity": {"storage": "1Mi"}, "accessModes": ["ReadWriteOnce"], "volumeMode": mode}
    place = {"key": "kubernetes.io/hostname", "operator": "In", "values": [cluster.NODE]}
    affinity = {"required": {"nodeSelectorTerms": [{"matchExpressions": [place]}]}}
    request = {"resources": {"requests": {"storage": "1Mi"}}, "volumeName": f"pv-{name}", "storageClassName": ""}
    meta = {"name": name, "namespace": "default", **({"ownerReferences": [owner]} if owner else {})}
    claimed: Document = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta}
    claimed["spec"] = {"accessModes": ["ReadWriteOnce"], "volumeMode": mode, **request}
    made = await at.client.create(PERSISTENTVOLUMECLAIM, claimed)
    reference = {"kind": "PersistentVolumeClaim", "name": name, "namespace": "default", "uid": made.uid}
    source = {"local": {"path": path, **local}, "nodeAffinity": affinity, "claimRef": reference, "storageClassName": ""}
    volume = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": f"pv-{name}"}}
    await at.client.create(PERSISTENTVOLUME, {**volume, "spec": {**spec, **source}})
    status = {"status": {"phase": "Bound"}}
    await at.client.patch(PERSISTENTVOLUMECLAIM, "default", name, status, subresource="status")
    return {"persistentVolumeClaim": {"claimName": name}}


async def said(at: Node, name: str, uid: str, container: str = "main") -> list[str]:
    """What the container printed until its pod had ended well; the pod goes then."""
    over = ("Succeeded", "Failed")
    found = await at.world.until(name, lambda pod: pod["status"].get("phase") in over)
    log = at.world.config.paths.pod_logs("default", name, uid) / container / "0.log"
    lines = [line.split(" ", 3)[3] for line in log.read_text().splitlines()]
    assert found["status"]["phase"] == "Succeeded", (lines, found["status"])
    return lines


async def once(
    at: Node, name: str, line: str, volumes: Any, mounts: Any = (), more: Any = None, **spec: Any
) -> list[str]:
    container = shell(line, volumeMounts=list(mounts), **(more or {}))
    made = await at.world.create_pod(name, container, restartPolicy="Never", volumes=volumes, **spec)
    lines = await said(at, name, made.uid)
    await at.client.delete(POD, "default", name, grace_s=0)
    await nothing_left(at, name, made.uid)
    return lines


async def told(at: Node, name: str, text: str) -> None:
    """Until an event about the pod says so."""
    async with asyncio.timeout(60):
        while True:
            events = [one.document() for one in (await at.client.list(EVENT, "default")).items]
            messages = [one["message"] for one in events if one["involvedObject"]["name"] == name]
            if any(text in message for message in messages):
                return
            await asyncio.sleep(0.1)


def test_memory_is_bounded_by_the_volume_and_by_the_pod(node: Run) -> None:
    async def scenario(at: Node) -> None:
        volumes = [
            {"name": "small", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
            {"name": "large", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}},
        ]
        mounts = [{"name": name, "mountPath": f"/{name}"} for name in ("small", "large")]
        line = "for v in small large; do df -k /$v | tail -n 1 | (read _ size _; echo $size); done"
        limits = {"resources": {"limits": {"memory": "24Mi"}}}
        assert await once(at, "memory", line, volumes, mounts, limits) == ["1024", str(24 * 1024)]

    node(scenario)


def test_parts_are_named_by_variables_and_open_to_the_containers_user(node: Run) -> None:
    async def scenario(at: Node) -> None:
        env = [{"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]
        mounts = [
            {"name": "v", "mountPath": "/part", "subPathExpr": "logs/$(NAME)"},
            {"name": "v", "mountPath": "/all"},
        ]
        line = "echo mine > /part/f; cat /all/logs/parts-of/f; stat -c '%a %g' /all/logs/parts-of"
        more = {"env": env, "securityContext": {"runAsUser": 1000}}
        context = {"fsGroup": GROUP}
        found = await once(at, "parts-of", line, [{"name": "v", "emptyDir": {}}], mounts, more, securityContext=context)
        assert found == ["mine", f"2777 {GROUP}"]

    node(scenario)


def test_a_device_gets_a_file_system_and_keeps_what_is_written(node: Run, disk: str) -> None:
    async def scenario(at: Node) -> None:
        volume = await claim(at, "formatted", disk, fsType="ext4")
        mounts = [{"name": "v", "mountPath": "/v"}]
        context = {"runAsUser": 1000, "fsGroup": GROUP, "fsGroupChangePolicy": "OnRootMismatch"}
        line = "stat -f -c %T /v; stat -c '%a %g' /v; echo kept >> /v/f; cat /v/f; stat -c %g /v/f"
        for number, kept in ((1, ["kept"]), (2, ["kept", "kept"])):
            lines = await once(
                at, f"disk-{number}", line, [{"name": "v", **volume}], mounts, None, securityContext=context
            )
            assert lines == ["ext2/ext3", f"2775 {GROUP}", *kept, str(GROUP)]

    node(scenario)


def test_a_device_is_handed_over_as_it_is_and_a_file_becomes_one(node: Run, tmp_path: Path) -> None:
    async def scenario(at: Node) -> None:
        file = tmp_path / "raw"
        file.write_bytes(b"written before\n".ljust(MIB, b"\0"))
        volume = await claim(at, "raw", str(file), "Block")
        more = {"volumeDevices": [{"name": "v", "devicePath": "/dev/disk"}]}
        line = "head -n 1 /dev/disk; echo later | dd of=/dev/disk conv=notrunc 2>/dev/null; head -c 6 /dev/disk"
        assert await once(at, "raw", line, [{"name": "v", **volume}], (), more) == ["written before", "later"]
        assert loops(file) == [], "nobody uses it any more"
        assert file.read_bytes().startswith(b"later\nn before\n")

    node(scenario)


def test_a_directory_of_the_node_is_given_to_the_pods_group(node: Run, tmp_path: Path) -> None:
    async def scenario(at: Node) -> None:
        (tmp_path / "old").write_text("old\n")
        (tmp_path / "old").chmod(0o600)
        volume = await claim(at, "folder", str(tmp_path))
        context = {"runAsUser": 1000, "fsGroup": GROUP}
        mounts = [{"name": "v", "mountPath": "/v"}]
        lines = await once(at, "folder", "cat /v/old", [{"name": "v", **volume}], mounts, None, securityContext=context)
        assert lines == ["old"]

    node(scenario)


def test_a_claim_of_a_pods_own_must_be_the_pods(node: Run, tmp_path: Path) -> None:
    async def scenario(at: Node) -> None:
        template = {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}}
        volumes = [{"name": "own", "ephemeral": {"volumeClaimTemplate": template}}]
        mounts = [{"name": "own", "mountPath": "/v"}]
        (tmp_path / "f").write_text("own\n")
        made = await at.world.create_pod(
            "short", shell("cat /v/f", volumeMounts=mounts), restartPolicy="Never", volumes=volumes
        )
        await told(at, "short", 'persistentvolumeclaim "short-own" not found')
        owner = {"apiVersion": "v1", "kind": "Pod", "name": "short", "uid": made.uid, "controller": True}
        await claim(at, "short-own", str(tmp_path), owner=owner)
        assert await said(at, "short", made.uid) == ["own"]
        await at.client.delete(POD, "default", "short", grace_s=0)
        await nothing_left(at, "short", made.uid)

    node(scenario)


def test_certificates_of_bundles_are_files_that_follow(node: Run) -> None:
    async def scenario(at: Node) -> None:
        ids = SeededIds(7)
        texts = [Authority.create(name, SystemClock(), ids).pair.certificate.decode() for name in ("one", "two")]
        signer = "example.com/ca"
        for name, text, more in (("plain", texts[0], {}), ("example.com:ca:x", texts[1], {"signerName": signer})):
            meta = {"name": name, "labels": {"live": "yes"}}
            await at.client.create(CLUSTERTRUSTBUNDLE, {"metadata": meta, "spec": {"trustBundle": text, **more}})
        chosen = {"signerName": signer, "labelSelector": {"matchLabels": {"live": "yes"}}}
        sources = [
            {"clusterTrustBundle": {"name": "plain", "path": "plain.pem"}},
            {"clusterTrustBundle": {**chosen, "path": "signer.pem"}},
            {"clusterTrustBundle": {"name": "none", "path": "none.pem", "optional": True}},
        ]
        volumes = [{"name": "ca", "projected": {"sources": sources}}]
        line = "until test -s /ca/none.pem; do sleep 0.05; done; wc -c /ca/*.pem"
        mounts = [{"name": "ca", "mountPath": "/ca"}]
        made = await at.world.create_pod(
            "trusting", shell(line, volumeMounts=mounts), restartPolicy="Never", volumes=volumes
        )
        await at.world.until("trusting", cluster.ready)
        late = {"metadata": {"name": "none"}, "spec": {"trustBundle": texts[0]}}
        await at.client.create(CLUSTERTRUSTBUNDLE, late)
        sizes = [int(one.split()[0]) for one in await said(at, "trusting", made.uid)]
        assert sizes[:3] == [len(texts[0]), len(texts[0]), len(texts[1])]
        await at.client.delete(POD, "default", "trusting", grace_s=0)

    node(scenario)


def test_mounts_spread_as_the_pod_says(node: Run, tmp_path: Path) -> None:
    """Of a privileged container into another one of its pod, and of the node into a container."""

    async def scenario(at: Node) -> None:
        host = tmp_path / "host"
        (host / "late").mkdir(parents=True)
        kernel.bind(str(host), host)
        kernel.share(host)
        volumes: list[Document] = [
            {"name": "shared", "emptyDir": {}},
            {"name": "host", "hostPath": {"path": str(host), "type": "Directory"}},
        ]
        both = {"name": "shared", "mountPath": "/s", "mountPropagation": "Bidirectional"}
        line = "mkdir -p /s/m && mount -t tmpfs none /s/m && echo spread >/s/m/f; " + FOREVER
        giver = shell(line, "giver", securityContext={"privileged": True}, volumeMounts=[both])
        mounts = [
            {"name": "shared", "mountPath": "/s", "mountPropagation": "HostToContainer"},
            {"name": "shared", "mountPath": "/closed"},
            {"name": "host", "mountPath": "/h", "mountPropagation": "HostToContainer"},
        ]
        line = "until test -f /s/m/f && test -f /h/late/f; do sleep 0.05; done; cat /s/m/f /h/late/f; ls /closed/m"
        taker = shell(line, "taker", volumeMounts=mounts)
        try:
            made = await at.world.create_pod("spreading", taker, giver, restartPolicy="Never", volumes=volumes)
            running = {"taker", "giver"}

            def started(pod: Document) -> bool:
                states = pod["status"].get("containerStatuses") or ()
                return {one["name"] for one in states if "running" in one["state"]} >= running

            await at.world.until("spreading", started)
            kernel.mount_tmpfs(host / "late", MIB)
            (host / "late" / "f").write_text("from the node\n")

            def taken(pod: Document) -> bool:
                return "terminated" in cluster.container(pod, "taker")["state"]

            await at.world.until("spreading", taken)
            log = at.world.config.paths.pod_logs("default", "spreading", made.uid) / "taker" / "0.log"
            lines = [line.split(" ", 3)[3] for line in log.read_text().splitlines()]
            assert lines == ["spread", "from the node"]
            await at.client.delete(POD, "default", "spreading", grace_s=0)
            await nothing_left(at, "spreading", made.uid)
        finally:
            for point in kernel.mounts_below(host):
                kernel.unmount(point)

    node(scenario)


REFUSED: tuple[tuple[str, Document, Document, str], ...] = (
    (
        "picture",
        {"image": {"reference": "busybox:1"}},
        {},
        "image volumes are not supported with",
    ),
    ("remote", {"nfs": {"server": "192.0.2.1", "path": "/x"}}, {}, "cannot mount 192.0.2.1:/x: this node's kernel"),
    ("wrong-dir", {"hostPath": {"path": "/etc/passwd", "type": "Directory"}}, {}, "/etc/passwd is not a directory"),
    ("wrong-file", {"hostPath": {"path": "/etc", "type": "File"}}, {}, "/etc is not a file"),
    ("wrong-socket", {"hostPath": {"path": "/etc", "type": "Socket"}}, {}, "/etc is not a socket file"),
    ("wrong-char", {"hostPath": {"path": "/etc", "type": "CharDevice"}}, {}, "/etc is not a character device"),
    ("wrong-block", {"hostPath": {"path": "/dev/null", "type": "BlockDevice"}}, {}, "/dev/null is not a block device"),
    (
        "deep",
        {"emptyDir": {}},
        {"readOnly": True, "recursiveReadOnly": "Enabled"},
        'volume "v" requested recursive read-only mode, but it is not supported by the runtime',
    ),
    ("out", {"hostPath": {"path": "/dev"}}, {"subPath": "fd"}, "a link leads out of it"),
    ("nameless", {"emptyDir": {}}, {"subPathExpr": "$(NOBODY)"}, "missing value for NOBODY"),
)


def waits_for(text: str, pod: Document) -> bool:
    said = (one["state"].get("waiting", {}) for one in pod["status"].get("containerStatuses", []))
    return any(one.get("reason") == "CreateContainerConfigError" and text in one["message"] for one in said)


def test_what_this_node_cannot_do_is_refused_with_the_reason(node: Run) -> None:
    """containerd 1.6 knows neither image volumes nor recursive read-only mounts; this kernel may lack NFS."""

    async def scenario(at: Node) -> None:
        wanted = [one for one in REFUSED if one[0] != "remote" or not kernel.known("nfs")]
        for name, volume, mount, _ in wanted:
            container = shell("true", volumeMounts=[{"name": "v", "mountPath": "/v", **mount}])
            await at.world.create_pod(name, container, restartPolicy="Never", volumes=[{"name": "v", **volume}])
        for name, volume, mount, text in wanted:
            await told(at, name, text)
            if mount or "emptyDir" in volume:  # said of the container too, by a write of its own
                await at.world.until(name, partial(waits_for, text))
            assert (await at.world.pod(name))["status"]["phase"] == "Pending", name
        for name, *_ in wanted:
            await at.client.delete(POD, "default", name, grace_s=0)
        for name, *_ in wanted:
            await at.world.until_gone(name)

    node(scenario)


def test_an_agent_that_starts_again_finds_its_volumes_as_they_were(node: Run) -> None:
    async def scenario(at: Node) -> None:
        made = {"metadata": {"name": "word", "namespace": "default"}, "data": {"word": "old"}}
        await at.client.create(CONFIGMAP, {"apiVersion": "v1", "kind": "ConfigMap", **made})
        volumes = [
            {"name": "memory", "emptyDir": {"medium": "Memory"}},
            {"name": "all", "projected": {"sources": [{"configMap": {"name": "word"}}]}},
        ]
        recursive = {"readOnly": True, "recursiveReadOnly": "IfPossible"}
        mounts = [
            {"name": "memory", "mountPath": "/m"},
            {"name": "memory", "mountPath": "/part", "subPath": "a", **recursive},
            {"name": "all", "mountPath": "/all"},
        ]
        line = f"echo kept >/m/f; {FOREVER}"
        pod = await at.world.create_pod("lasting", shell(line, volumeMounts=mounts), volumes=volumes)
        found = await at.world.until("lasting", cluster.ready)
        shown = {one["mountPath"]: one for one in cluster.container(found)["volumeMounts"]}
        assert shown["/part"]["recursiveReadOnly"] == "Disabled"
        assert "recursiveReadOnly" not in shown["/m"]
        place = at.world.config.paths.pod(pod.uid)
        before = kernel.mounts_below(place)
        assert len(before) == 3
        await at.stop()
        await at.client.patch(CONFIGMAP, "default", "word", {"data": {"word": "new"}})
        at.start()
        container = cluster.container(found)["containerID"].rpartition("/")[2]
        seen = b""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(60):
                while seen != b"kept\nnew":
                    command = ["sh", "-c", "cat /m/f /all/word"]
                    seen = (await at.machine.runtime.exec_sync(container, command, 10)).stdout
                    await asyncio.sleep(0.05)
        assert seen == b"kept\nnew"
        assert kernel.mounts_below(place) == before
        await at.client.delete(POD, "default", "lasting", grace_s=0)
        await nothing_left(at, "lasting", pod.uid)
        assert kernel.mounts_below(place) == []

    node(scenario)


def test_pages_of_a_size_are_mounted(tmp_path: Path) -> None:
    """A pod needs a node that has such pages; the mount does not."""
    place = tmp_path / "pages"
    place.mkdir()
    kernel.mount_hugetlbfs(place, 2 * MIB)
    try:
        assert kernel.mounted_at(place)
        assert place.stat().st_mode & 0o777 == 0o777
        assert any(f" {place} hugetlbfs " in f" {line}" for line in Path("/proc/mounts").read_text().splitlines())
    finally:
        kernel.unmount(place)
    assert not kernel.mounted_at(place)
