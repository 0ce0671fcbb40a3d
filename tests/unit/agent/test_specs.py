"""From a pod to what the runtime is told: resources, rights and identities."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from navarch.agent.config import AgentConfig, Paths
from navarch.agent.crimessages import resources_message
from navarch.agent.resources import Terms, cpu_quota_us, cpu_shares, of_container, oom_score, pod_total, qos_class
from navarch.agent.runtime import DnsSettings, Image, RuntimeFailure, SELinux
from navarch.agent.specs import Confinement, Prepared, container_spec, find_container, sandbox_spec, security
from navarch.kinds.pod import Pod
from tests.unit.agent.pods import UID, pod

CONFIG = AgentConfig("n1", ("192.0.2.7",), Paths(Path("/a"), Path("/l")))
ROOT = Image("sha256:i", ("app:1",))
NUMERIC = Image("sha256:i", ("app:1",), uid=1000)
NAMED = Image("sha256:i", ("app:1",), username="app")


def limited(**resources: Any) -> Pod:
    return pod({"name": "main", "image": "app:1", "resources": resources})


@pytest.mark.parametrize(
    ("resources", "kind"),
    [
        ({}, "BestEffort"),
        ({"requests": {"cpu": "0"}}, "BestEffort"),
        ({"requests": {"cpu": "1"}}, "Burstable"),
        ({"limits": {"cpu": "1"}}, "Burstable"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}}, "Guaranteed"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}}, "Burstable"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1000m", "memory": "1024Mi"}}, "Guaranteed"),
    ],
)
def test_quality_of_service(resources: Any, kind: str) -> None:
    assert qos_class(limited(**resources)) == kind


def test_what_the_kernel_is_told() -> None:
    found = limited(requests={"cpu": "250m", "memory": "1Gi"}, limits={"cpu": "500m", "memory": "2Gi"})
    told = of_container(found, found.spec.containers[0], Terms(4 << 30))
    assert (told.cpu_shares, told.cpu_quota_us, told.cpu_period_us) == (256, 50_000, 100_000)
    assert (told.memory_limit_bytes, told.oom_score_adj) == (2 << 30, 750)
    assert (cpu_shares(0), cpu_shares(10**9), cpu_quota_us(0), cpu_quota_us(1)) == (2, 262144, 0, 1000)


def test_who_is_killed_first() -> None:
    def score(**resources: Any) -> int:
        found = limited(**resources)
        return oom_score(found, found.spec.containers[0], 4 << 30)

    assert score() == 1000
    assert score(limits={"cpu": "1", "memory": "1Gi"}) == -997
    assert score(requests={"memory": "4Gi"}) == 3
    assert score(requests={"cpu": "1"}) == 999


def test_a_pod_needs_what_its_worst_moment_needs() -> None:
    def one(name: str, cpu: str, **more: Any) -> Any:
        return {"name": name, "image": "a", "resources": {"requests": {"cpu": cpu}, "limits": {"cpu": cpu}}, **more}

    inits = [one("s", "100m", restartPolicy="Always"), one("i", "700m")]
    found = pod(one("a", "200m"), one("b", "300m"), initContainers=inits)
    assert pod_total(found, "cpu", limits=False) == 800
    assert pod_total(pod(one("a", "1"), initContainers=inits), "cpu", limits=False) == 1100
    assert pod_total(pod(one("a", "1"), {"name": "b", "image": "a"}), "cpu", limits=True) == 0


def test_what_the_pod_as_a_whole_asks_for_stands_above_its_containers() -> None:
    one = {"name": "a", "image": "a", "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}}}
    whole = {"requests": {"cpu": "1", "memory": "1280Mi"}, "limits": {"cpu": "2", "memory": "2Gi"}}
    found = pod(one, {"name": "b", "image": "a"}, resources=whole, overhead={"cpu": "50m"})
    assert pod_total(found, "cpu", limits=False) == 1050
    assert pod_total(found, "cpu", limits=True) == 2050
    assert pod_total(found, "memory", limits=True) == (2 << 30) * 1000
    assert qos_class(found) == "Burstable"
    first, second = found.spec.containers
    assert oom_score(found, first, 4 << 30) == 1000 - 1000 * (256 + 512) // 4096
    assert oom_score(found, second, 4 << 30) == 1000 - 1000 * 512 // 4096


def test_what_the_node_adds_to_a_containers_resources() -> None:
    found = limited(limits={"cpu": "1", "memory": "1Gi", "hugepages-2Mi": "4Mi"})
    terms = Terms(4 << 30, cpus="1-2", quota=False, kills_together=True, pagesizes=(1 << 30, 2 << 20))
    told = of_container(found, found.spec.containers[0], terms)
    assert (told.cpu_quota_us, told.cpuset_cpus, told.kills_together) == (0, "1-2", True)
    assert told.hugepages == (("1GB", 0), ("2MB", 4 << 20))
    message = resources_message(told)
    assert (message.cpuset_cpus, dict(message.unified)) == ("1-2", {"memory.oom.group": "1"})
    assert [(limit.page_size, limit.limit) for limit in message.hugepage_limits] == [("1GB", 0), ("2MB", 4 << 20)]
    assert not resources_message(of_container(found, found.spec.containers[0], Terms())).unified


def test_rights_of_a_container_come_before_those_of_the_pod() -> None:
    own = {"runAsUser": 7, "capabilities": {"add": ["NET_ADMIN"], "drop": ["ALL"]}, "allowPrivilegeEscalation": False}
    shared = {"runAsUser": 5, "runAsGroup": 6, "fsGroup": 9, "supplementalGroups": [8]}
    found = pod({"name": "main", "image": "a", "securityContext": own}, securityContext=shared)
    rights = security(found, found.spec.containers[0], ROOT)
    assert (rights.user, rights.group, rights.supplemental_groups) == (7, 6, (9, 8))
    assert (rights.add_capabilities, rights.drop_capabilities) == (("NET_ADMIN",), ("ALL",))
    assert rights.no_new_privileges
    assert rights.seccomp == "Unconfined"


def test_labels_of_selinux_are_the_containers_own_or_the_pods() -> None:
    own = {"name": "main", "image": "a", "securityContext": {"seLinuxOptions": {"level": "s0:c1"}}}
    found = pod(own, {"name": "b", "image": "a"}, securityContext={"seLinuxOptions": {"type": "t", "user": "u"}})
    main, other = found.spec.containers
    assert security(found, main, ROOT).selinux == SELinux(level="s0:c1")
    assert security(found, other, ROOT).selinux == SELinux(type="t", user="u")
    assert sandbox_spec(found, 0, CONFIG, "", DnsSettings()).security.selinux == SELinux(type="t", user="u")
    assert security(pod(), pod().spec.containers[0], ROOT).selinux is None


def test_kernel_parameters_and_the_handler_reach_the_sandbox() -> None:
    found = pod(securityContext={"sysctls": [{"name": "net/ipv4/tcp_syncookies", "value": "0"}]})
    spec = sandbox_spec(found, 0, CONFIG, "", DnsSettings(), "kata")
    assert (spec.runtime_handler, spec.sysctls) == ("kata", {"net.ipv4.tcp_syncookies": "0"})


def test_profiles() -> None:
    def seccomp(default: bool = False, **context: Any) -> str:
        found = pod({"name": "main", "image": "a", "securityContext": context})
        return security(found, found.spec.containers[0], ROOT, Confinement(Path("/p"), default)).seccomp

    assert seccomp(seccompProfile={"type": "RuntimeDefault"}) == "RuntimeDefault"
    assert seccomp(seccompProfile={"type": "Localhost", "localhostProfile": "p.json"}) == "Localhost:/p/p.json"
    assert seccomp(True) == "RuntimeDefault"
    assert seccomp(True, seccompProfile={"type": "Unconfined"}) == "Unconfined"
    assert seccomp(True, privileged=True) == "Unconfined"
    assert seccomp(privileged=True, seccompProfile={"type": "RuntimeDefault"}) == "Unconfined"


@pytest.mark.parametrize(
    ("context", "image", "message"),
    [
        ({"runAsNonRoot": True}, ROOT, "container has runAsNonRoot and image will run as root"),
        ({"runAsNonRoot": True}, NAMED, "container has runAsNonRoot and image has non-numeric user (app)"),
        ({"runAsNonRoot": True, "runAsUser": 0}, NUMERIC, "container's runAsUser breaks non-root policy"),
        ({"runAsNonRoot": True}, Image("i", (), uid=0), "container has runAsNonRoot and image will run as root"),
        ({"runAsNonRoot": True}, NUMERIC, ""),
        ({"runAsNonRoot": True, "runAsUser": 1}, ROOT, ""),
        ({}, ROOT, ""),
    ],
)
def test_root_is_refused_where_it_is_forbidden(context: Any, image: Image, message: str) -> None:
    found = pod({"name": "main", "image": "a", "securityContext": context})
    if not message:
        security(found, found.spec.containers[0], image)
        return
    with pytest.raises(RuntimeFailure) as caught:
        security(found, found.spec.containers[0], image)
    assert str(caught.value).startswith(message)
    assert caught.value.reason == "CreateContainerConfigError"


def test_commands_refer_to_the_environment() -> None:
    found = pod({"name": "main", "image": "a:1", "command": ["$(A)"], "args": ["$$(A)", "$(B)"]})
    spec = container_spec(found, found.spec.containers[0], 3, 20, Prepared(ROOT, (("A", "1"),), ()))
    assert (spec.command, spec.args) == (("1",), ("$(A)", "$(B)"))
    assert (spec.attempt, spec.log_path, spec.image) == (3, "main/3.log", "sha256:i")
    assert spec.annotations["navarch.dev/restart-delay-s"] == "20"
    assert spec.labels["io.kubernetes.pod.uid"] == UID


def test_a_sandbox_carries_the_names_of_its_pod() -> None:
    found = pod(meta={"labels": {"app": "x"}}, shareProcessNamespace=True, hostname="box")
    spec = sandbox_spec(found, 2, CONFIG, "/kubepods/podx", DnsSettings())
    assert (spec.attempt, spec.hostname, spec.shared_pid, spec.cgroup_parent) == (2, "box", True, "/kubepods/podx")
    assert spec.labels == {
        "app": "x",
        "io.kubernetes.pod.name": "web",
        "io.kubernetes.pod.namespace": "default",
        "io.kubernetes.pod.uid": UID,
    }
    assert spec.log_directory == f"/l/default_web_{UID}"
    assert sandbox_spec(pod(hostNetwork=True), 0, CONFIG, "", DnsSettings()).hostname == ""


def test_an_unknown_container_is_named() -> None:
    with pytest.raises(KeyError, match="default/web has no container 'x'"):
        find_container(pod(), "x")
