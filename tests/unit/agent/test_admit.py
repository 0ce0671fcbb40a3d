"""What a node refuses for good."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from navarch.agent.admit import Abilities, as_given, misfit, refusal
from navarch.agent.plan import outcome, plan
from navarch.agent.status import status_of
from navarch.agent.steps import CleanUp
from navarch.kinds.node import Node
from tests.unit.agent.pods import facts, instance, pod


def asking(name: str, **spec: Any) -> Any:
    return pod(securityContext={"sysctls": [{"name": name, "value": "1"}]}, **spec)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (asking("kernel.shm_rmid_forced"), ""),
        (asking("net/ipv4/tcp_syncookies"), ""),
        (asking("kernel.msgmax"), 'forbidden sysctl: "kernel.msgmax" not allowlisted'),
        (
            asking("net.ipv4.tcp_syncookies", hostNetwork=True),
            'forbidden sysctl: "net.ipv4.tcp_syncookies" not allowed with host net enabled',
        ),
        (
            asking("kernel.shm_rmid_forced", hostIPC=True),
            'forbidden sysctl: "kernel.shm_rmid_forced" not allowed with host ipc enabled',
        ),
        (pod(), ""),
    ],
)
def test_only_settings_that_stay_in_the_pod_are_taken(asked: Any, message: str) -> None:
    assert refusal(asked) == (("SysctlForbidden", message) if message else None)


def test_an_administrator_can_allow_more_settings() -> None:
    able = Abilities(unsafe_sysctls=("kernel.msg*", "net.core.somaxconn"))
    assert refusal(asking("kernel.msgmax"), able) is None
    assert refusal(asking("net.core.somaxconn"), able) is None
    assert refusal(asking("net.core.somaxconn2"), able) is not None
    message = 'forbidden sysctl: "net.core.somaxconn" not allowed with host net enabled'
    assert refusal(asking("net.core.somaxconn", hostNetwork=True), able) == ("SysctlForbidden", message)


def test_what_machine_and_runtime_cannot_do_is_refused() -> None:
    unable = Abilities(apparmor=False, strict_groups=False)
    strict = pod(securityContext={"supplementalGroupsPolicy": "Strict"})
    text = "SupplementalGroupsPolicy=Strict is not supported in this node"
    assert refusal(strict, unable) == ("SupplementalGroupsPolicyNotSupported", text)
    assert refusal(strict) is None
    assert refusal(pod(securityContext={"supplementalGroupsPolicy": "Merge"}), unable) is None
    for profile, refused in (("RuntimeDefault", True), ("Localhost", True), ("Unconfined", False)):
        context = {"appArmorProfile": {"type": profile}}
        for one in (pod(securityContext=context), pod({"name": "main", "image": "a", "securityContext": context})):
            found = refusal(one, unable)
            expected = ("AppArmor", "Cannot enforce AppArmor: AppArmor is not enabled on the host")
            assert found == (expected if refused else None)
            assert refusal(one) is None


def test_a_refused_pod_fails_at_once_and_is_never_started() -> None:
    refused = facts(boxes=(), refused=("SysctlForbidden", "no"))
    assert outcome(pod(), refused) == ("Failed", "SysctlForbidden", "Pod was rejected: no")
    assert plan(pod(), refused).steps == (CleanUp(),)
    status = status_of(pod(), {}, refused)
    assert (status["phase"], status["reason"], status["message"]) == (
        "Failed",
        "SysctlForbidden",
        "Pod was rejected: no",
    )


def test_a_pod_that_runs_already_is_not_refused_afterwards() -> None:
    assert outcome(pod(), facts(instance(), refused=("SysctlForbidden", "no"))) is None


ROOM = {"cpu": "2", "memory": "1Gi", "pods": "3"}
NODE = msgspec.convert({"metadata": {"name": "n1", "labels": {"disk": "ssd", "kubernetes.io/os": "linux"}}}, Node)


def tainted(effect: str) -> Node:
    spec = {"taints": [{"key": "away", "value": "", "effect": effect}]}
    return msgspec.convert({"metadata": {"name": "n1", "labels": {"disk": "ssd"}}, "spec": spec}, Node)


def at(port: int, ip: str = "", protocol: str = "TCP", **container: Any) -> Any:
    ports = [{"containerPort": 80, "hostPort": port, "hostIP": ip, "protocol": protocol}]
    return pod({"name": "main", "image": "a", "ports": ports, **container})


def sized(**requests: str) -> Any:
    return pod({"name": "main", "image": "a", "resources": {"requests": requests}})


def affine(name: str) -> Any:
    term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [name]}]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    return pod(affinity={"nodeAffinity": required})


PORTS = ("NodePorts", "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports")
LABELS = ("NodeAffinity", "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector")
TAINTS = ("TaintToleration", "Predicate TaintToleration failed: node(s) had untolerated taint(s)")


@pytest.mark.parametrize(
    ("asked", "node", "others", "refused"),
    [
        (at(80), NODE, [at(81), at(80, protocol="UDP")], None),
        (at(80), NODE, [at(80)], PORTS),
        (at(80, "10.0.0.1"), NODE, [at(80)], PORTS),
        (at(80, "10.0.0.1"), NODE, [at(80, "10.0.0.2")], None),
        (pod(nodeSelector={"disk": "ssd"}), NODE, [], None),
        (pod(nodeSelector={"disk": "tape"}), NODE, [], LABELS),
        (pod(nodeSelector={"disk": "tape"}), None, [], None),
        (affine("n1"), NODE, [], None),
        (affine("n2"), NODE, [], LABELS),
        (pod(), tainted("NoExecute"), [], TAINTS),
        (pod(), tainted("NoSchedule"), [], None),
        (pod(tolerations=[{"operator": "Exists"}]), tainted("NoExecute"), [], None),
        (
            pod(nodeSelector={"kubernetes.io/os": "windows"}),
            NODE,
            [],
            (
                "PodOSSelectorNodeLabelDoesNotMatch",
                "Failed to admit pod as the `kubernetes.io/os` label doesn't match node label",
            ),
        ),
        (sized(cpu="1500m"), NODE, [sized(cpu="500m")], None),
        (
            sized(cpu="1501m"),
            NODE,
            [sized(cpu="500m")],
            ("OutOfcpu", "Node didn't have enough resource: cpu, requested: 1501, used: 500, capacity: 2000"),
        ),
        (
            sized(memory="2Gi"),
            NODE,
            [],
            (
                "OutOfmemory",
                "Node didn't have enough resource: memory, requested: 2147483648, used: 0, capacity: 1073741824",
            ),
        ),
        (
            pod(),
            NODE,
            [pod(), pod(), pod()],
            ("OutOfpods", "Node didn't have enough resource: pods, requested: 1, used: 3, capacity: 3"),
        ),
        (sized(**{"example.com/elsewhere": "1"}), NODE, [], None),
    ],
)
def test_what_does_not_fit_beside_the_others_is_refused(
    asked: Any, node: Node | None, others: list[Any], refused: tuple[str, str] | None
) -> None:
    assert misfit(asked, node, others, ROOM) == refused


def test_what_was_asked_for_and_never_given_takes_no_room() -> None:
    waits = {"containerStatuses": [{"name": "main", "allocatedResources": {"cpu": "500m"}}]}
    other = sized(cpu="100")
    other = msgspec.structs.replace(other, status=msgspec.convert(waits, type(other.status)))
    assert misfit(sized(cpu="1"), NODE, [as_given(other)], ROOM) is None


def test_pods_of_other_systems_are_refused() -> None:
    refused = ("PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS")
    assert refusal(pod(os={"name": "windows"})) == refused
    assert refusal(pod(os={"name": "linux"})) is None
