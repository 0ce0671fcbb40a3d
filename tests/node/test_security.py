"""What containers may do, on a real runtime: rights, profiles, namespaces, what is refused, and how they begin anew.

All pods are made at once; each test looks at its own.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from navarch.agent.imagefile import File, ImageConfig, write_archive
from navarch.agent.kubelet import KubeletConfig
from navarch.kinds import EVENT, POD, RUNTIMECLASS
from tests.compat.conformance.conformance_specs import spec
from tests.node.test_agent_containers import FOREVER, Node, node
from tests.node.test_container_specs import Specs, container, pod, shell
from tests.unit.agent import cluster

__all__ = ["node"]
pytestmark = pytest.mark.node

Document = dict[str, Any]
MEDDLING = "navarch.test/meddling:1"
"""An image with a label that addresses the runtime."""
BLOCKS_MKDIR = {
    "defaultAction": "SCMP_ACT_ALLOW",
    "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}],
}
STATUS = "grep -E 'Seccomp:|CapEff' /proc/self/status | sed 's/\\t//'"


def may(name: str, line: str, **context: Any) -> Document:
    return pod(name, shell(line, securityContext=context))


def local(name: str, profile: str) -> Document:
    chosen = {"type": "Localhost", "localhostProfile": profile}
    return may(name, "mkdir /d 2>/dev/null || echo refused", seccompProfile=chosen)


def anew() -> list[Document]:
    """The first run of `asks` ends with 88, after which all of the pod is to run again."""
    rule = {"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [88]}}
    line = "echo x >>/v/f; [ $(wc -l </v/f) = 1 ] && exit 88; " + FOREVER
    own = {"volumeMounts": [{"name": "v", "mountPath": "/v"}], "restartPolicy": "Never", "restartPolicyRules": [rule]}
    return [shell(line, "asks", **own), shell(FOREVER, "other", restartPolicy="Never")]


def pods() -> list[Document]:
    caps = {"capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN", "CHOWN"]}}
    sick = {"exec": {"command": ["false"]}, "periodSeconds": 1, "failureThreshold": 1}
    groups = {"runAsUser": 1000, "runAsGroup": 2000, "supplementalGroups": [3000], "fsGroup": 4000}
    return [
        may("caps", STATUS, **caps),
        may("confined", STATUS, seccompProfile={"type": "RuntimeDefault"}, **caps),
        may("privileged", "hostname other && hostname; head -c1 /proc/interrupts | wc -c", privileged=True),
        may("masked", "head -c1 /proc/interrupts | wc -c; touch /proc/sys/x 2>/dev/null || echo refused"),
        pod("groups", shell("id -u; id -g; id -G"), securityContext=groups),
        pod("sees-host", shell(f"ls -d /proc/{os.getpid()}"), hostPID=True),
        pod("on-host", shell("hostname"), hostNetwork=True, hostIPC=True),
        local("local", "own/mkdir.json"),
        local("missing", "none.json"),
        pod("meddling", {"name": "main", "image": MEDDLING, "command": ["/bin/sh"]}),
        pod("descriptors", shell("pwd", workingDir="/proc/self/fd/8")),
        pod("mapped", shell("true"), hostUsers=False),
        pod("unhandled", shell("true"), runtimeClassName="odd"),
        pod("handled", shell("echo yes"), runtimeClassName="plain"),
        pod("strict", shell("true"), securityContext={"supplementalGroupsPolicy": "Strict"}),
        pod("anew", *anew(), volumes=[{"name": "v", "emptyDir": {}}]),
        pod("ever-sick", shell(FOREVER, livenessProbe=sick), restartPolicy="Always"),
    ]


@pytest.fixture(scope="module")
def secured(node: Callable[..., None]) -> Specs:
    async def scenario(at: Node) -> None:
        await at.stop()
        folder = at.machine.directory / "manifests"
        folder.mkdir()
        (folder / "static.json").write_text(json.dumps(pod("static", shell(FOREVER), restartPolicy="Always")))
        kubelet = KubeletConfig(max_container_restart_period_s=1, static_pod_path=str(folder))
        at.world.config = replace(at.world.config, kubelet=kubelet)
        at.start()
        busybox = File(Path("/bin/busybox").read_bytes(), mode=0o755)
        config = ImageConfig(command=["/bin/sh"], labels={"containerd.io/restart.loguri": "binary:///bin/sh"})
        files = {"bin/busybox": busybox, "bin/sh": File(link="/bin/busybox")}
        write_archive(at.machine.directory / "meddling.tar", [MEDDLING], [files], config)
        await at.machine.runtime.import_image(at.machine.directory / "meddling.tar")
        profiles = at.world.config.paths.seccomp / "own"
        profiles.mkdir(parents=True)
        (profiles / "mkdir.json").write_text(json.dumps(BLOCKS_MKDIR))
        for name, handler in (("odd", "odd"), ("plain", "runc")):
            made = {"kind": "RuntimeClass", "metadata": {"name": name}, "handler": handler}
            await at.client.create(RUNTIMECLASS, {"apiVersion": "node.k8s.io/v1", **made})
        for one in pods():
            for part in one["spec"]["containers"]:
                part["imagePullPolicy"] = "IfNotPresent"
            await at.client.create(POD, one)

    node(scenario)
    return Specs(node, [], Path("/"))


def waiting(specs: Specs, name: str) -> Document:
    found = specs.status(name, lambda one: "message" in container(one).get("state", {}).get("waiting", {}))
    state: Document = container(found)["state"]["waiting"]
    return state


def told(specs: Specs, name: str, reason: str) -> str:
    """The message of an event about the pod."""
    found: list[str] = []

    async def scenario(at: Node) -> None:
        for _ in range(600):
            for item in (await at.client.list(EVENT, "default")).items:
                event = item.document()
                if event["involvedObject"]["name"] == name and event["reason"] == reason:
                    found.append(event["message"])
                    return
            await at.machine.clock.sleep(0.1)

    specs.run(scenario)
    assert found, f"no event {reason} about {name}"
    return found[0]


def test_capabilities_and_profiles(secured: Specs) -> None:
    assert secured.text("caps") == ["CapEff:0000000000001001", "Seccomp:0"]
    assert secured.text("confined") == ["CapEff:0000000000001001", "Seccomp:2"]
    assert secured.text("local") == ["refused"]
    missing = waiting(secured, "missing")
    assert "none.json" in missing["message"]
    assert missing["reason"] == "CreateContainerError"


def test_privileges_and_what_is_hidden_without(secured: Specs) -> None:
    assert secured.text("privileged") == ["other", "1"]
    assert secured.text("masked") == ["0", "refused"]


def test_users_and_groups(secured: Specs) -> None:
    *who, groups = secured.text("groups")
    assert (who, sorted(groups.split())) == (["1000", "2000"], ["2000", "3000", "4000"])


def test_the_hosts_namespaces(secured: Specs) -> None:
    assert secured.text("sees-host") == [f"/proc/{os.getpid()}"]
    assert secured.text("on-host") == [os.uname().nodename]


def test_images_and_folders_that_lead_out_are_refused(secured: Specs) -> None:
    assert "'containerd.io/restart.loguri' addresses the container runtime" in waiting(secured, "meddling")["message"]
    found = waiting(secured, "descriptors")
    assert found["reason"] == "CreateContainerConfigError"
    assert "goes through a file descriptor" in found["message"]


def test_what_the_runtime_cannot_do_is_refused(secured: Specs) -> None:
    assert "runtime does not support user namespaces" in told(secured, "mapped", "FailedCreatePodSandBox")
    assert 'no runtime for "odd" is configured' in told(secured, "unhandled", "FailedCreatePodSandBox")
    assert secured.text("handled") == ["yes"]
    found = secured.status("strict", lambda one: one["status"].get("phase") == "Failed")
    assert found["status"]["reason"] == "SupplementalGroupsPolicyNotSupported"
    assert found["spec"]["nodeName"] == cluster.NODE


def test_an_end_restarts_all_containers(secured: Specs) -> None:
    found = secured.status("anew", lambda one: container(one, "other").get("restartCount") and cluster.ready(one))
    assert container(found, "asks")["restartCount"] == 1
    assert container(found, "asks")["lastState"]["terminated"]["exitCode"] == 88
    assert "running" in container(found, "other")["state"]


@spec("[sig-node] Probing container should have monotonically increasing restart count [NodeConformance]")
def test_restarts_are_counted_one_by_one(secured: Specs) -> None:
    counts = [0]
    while counts[-1] < 5:
        found = secured.status("ever-sick", lambda one: container(one).get("restartCount", 0) > counts[-1])
        counts.append(container(found)["restartCount"])
    assert counts == sorted(counts)


def test_a_static_pod_runs_and_its_mirror_comes_back(secured: Specs) -> None:
    name = f"static-{cluster.NODE}"
    shown = secured.status(name, cluster.ready)
    secured.delete_now(name)
    again = secured.status(name, lambda one: cluster.ready(one) and one["metadata"]["uid"] != shown["metadata"]["uid"])
    assert container(again)["containerID"] == container(shown)["containerID"]
    assert secured.inside(name, "echo $PPID").strip() == "0"
