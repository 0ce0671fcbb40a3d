"""What `runc` is told of a host process."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.agent.process import bundle
from navarch.agent.process.bundle import CAPABILITIES, Facts, Surroundings
from navarch.agent.process.ground import ceiling
from navarch.agent.runtime import (
    ContainerSpec,
    DeviceMapping,
    DnsSettings,
    Mount,
    Resources,
    SandboxSpec,
    Security,
    SELinux,
)

AROUND = Surroundings(
    "/b/rootfs", "/pods/x", network="/n/net", ipc="/n/ipc", uts="/n/uts", shm="/n/shm", resolv="/n/resolv.conf"
)
POD = SandboxSpec("default", "web", "uid", hostname="web")
SPEC = ContainerSpec("main", "host", command=("sleep",), args=("1",), environment=(("A", "b"),))


def made(spec: ContainerSpec = SPEC, pod: SandboxSpec = POD, facts: Facts = Facts()) -> dict[str, Any]:
    return bundle.document(facts, AROUND, pod, spec)


def secured(**security: Any) -> ContainerSpec:
    return replace(SPEC, security=Security(**security))


def test_a_program_runs_with_its_arguments_and_environment_in_its_own_namespaces() -> None:
    found = made()
    process = found["process"]
    assert process["args"] == ["sleep", "1"]
    assert process["cwd"] == "/"
    assert process["env"] == [f"PATH={bundle.DEFAULT_PATH}", "HOSTNAME=web", "A=b"]
    assert found["hostname"] == "web"
    assert found["root"] == {"path": "/b/rootfs", "readonly": False}
    kinds = {one["type"]: one.get("path", "") for one in found["linux"]["namespaces"]}
    assert kinds == {"mount": "", "pid": "", "network": "/n/net", "ipc": "/n/ipc", "uts": "/n/uts"}
    assert found["linux"]["cgroupsPath"] == "/pods/x"
    assert "/proc/kcore" in found["linux"]["maskedPaths"]
    targets = [one["destination"] for one in found["mounts"]]
    assert targets.index("/dev") < targets.index("/dev/shm")
    assert "/etc/resolv.conf" in targets
    assert "/etc/hostname" not in targets


def test_what_a_pod_says_itself_wins_over_what_is_given() -> None:
    spec = replace(SPEC, environment=(("PATH", "/own"), ("HOSTNAME", "me")), working_dir="/srv", tty=True)
    process = made(spec)["process"]
    assert process["env"] == ["TERM=xterm", "PATH=/own", "HOSTNAME=me"]
    assert (process["cwd"], process["terminal"]) == ("/srv", True)


def test_namespaces_of_the_host_are_left_out() -> None:
    around = Surroundings("/b/rootfs", "/pods/x", shm="/dev/shm")
    pod = replace(POD, host_network=True, host_pid=True, host_ipc=True, hostname="")
    found = bundle.document(Facts(unified=True), around, pod, SPEC)
    assert [one["type"] for one in found["linux"]["namespaces"]] == ["mount", "cgroup"]
    assert "hostname" not in found
    assert "sysctl" not in found["linux"]
    more = made(pod=replace(POD, sysctls={"net.core.somaxconn": "9"}))["linux"]["sysctl"]
    assert more == {**bundle.OPEN_SYSCTLS, "net.core.somaxconn": "9"}


def test_a_container_joins_the_processes_of_another() -> None:
    namespaces = bundle.namespaces(Facts(), replace(AROUND, pid="/proc/7/ns/pid"), POD, Security())
    assert {"type": "pid", "path": "/proc/7/ns/pid"} in namespaces


def test_users_and_groups() -> None:
    facts = Facts(group=1000, groups=(27,))
    user = made(secured(user=1000, supplemental_groups=(5,)), facts=facts)["process"]["user"]
    assert user == {"uid": 1000, "gid": 1000, "additionalGids": [5, 27, 1000]}
    assert made(secured(user=7, group=8), facts=facts)["process"]["user"]["gid"] == 8


def test_limits_are_those_of_a_container() -> None:
    resources = Resources(
        cpu_shares=512,
        cpu_quota_us=50_000,
        cpu_period_us=100_000,
        memory_limit_bytes=1 << 20,
        oom_score_adj=-997,
        cpuset_cpus="0-1",
        hugepages=(("2MB", 4),),
        kills_together=True,
    )
    spec = replace(SPEC, resources=resources)
    found = made(spec, facts=Facts(least_oom_score=-5))
    limits = found["linux"]["resources"]
    assert limits["cpu"] == {"shares": 512, "quota": 50_000, "period": 100_000, "cpus": "0-1"}
    assert limits["memory"] == {"limit": 1 << 20}
    assert limits["hugepageLimits"] == [{"pageSize": "2MB", "limit": 4}]
    assert "unified" not in limits
    assert limits["devices"] == [{"allow": False, "access": "rwm"}]
    assert found["process"]["oomScoreAdj"] == -5
    assert made(spec, facts=Facts(unified=True))["linux"]["resources"]["unified"] == {"memory.oom.group": "1"}


def test_volumes_come_last_and_what_is_passed_on_decides_about_the_root() -> None:
    mounts = (
        Mount("/data", "/srv", readonly=True),
        Mount("/in", "/in", propagation="HostToContainer"),
        Mount("/out", "/out", propagation="Bidirectional"),
    )
    found = made(replace(SPEC, mounts=mounts))
    ways = [one["options"] for one in found["mounts"][-3:]]
    assert ways == [["rbind", "rprivate", "ro"], ["rbind", "rslave", "rw"], ["rbind", "rshared", "rw"]]
    assert found["linux"]["rootfsPropagation"] == "rshared"
    assert made(replace(SPEC, mounts=mounts[:2]))["linux"]["rootfsPropagation"] == "rslave"
    assert made()["linux"]["rootfsPropagation"] == "rprivate"


def test_the_privileged_have_the_hosts_devices_and_every_capability_there_is() -> None:
    found = made(secured(privileged=True), facts=Facts(ceiling=("CHOWN", "SYS_ADMIN"), hidden=("/var/lib/navarch",)))
    assert found["process"]["capabilities"]["bounding"] == ["CAP_CHOWN", "CAP_SYS_ADMIN"]
    assert found["linux"]["maskedPaths"] == ["/var/lib/navarch"]
    assert found["linux"]["resources"]["devices"] == [{"allow": True, "access": "rwm"}]
    assert next(one for one in found["mounts"] if one["destination"] == "/dev")["source"] == "/dev"


def test_devices_are_allowed_one_by_one() -> None:
    spec = replace(SPEC, devices=(DeviceMapping("/dev/x", "/dev/y", "rw"),))
    linux = made(spec, facts=Facts(devices={"/dev/x": ("c", 1, 3)}))["linux"]
    assert linux["resources"]["devices"][1] == {"allow": True, "type": "c", "major": 1, "minor": 3, "access": "rw"}
    assert linux["devices"][0]["path"] == "/dev/y"


@pytest.mark.parametrize(
    ("add", "drop", "held", "lacking"),
    [
        (("NET_ADMIN",), (), {"NET_ADMIN", "CHOWN"}, {"SYS_ADMIN"}),
        (("cap_sys_time",), ("ALL",), {"SYS_TIME"}, {"CHOWN"}),
        (("ALL",), ("SYS_ADMIN",), {"BPF", "CHOWN"}, {"SYS_ADMIN"}),
        ((), ("CHOWN",), {"KILL"}, {"CHOWN"}),
    ],
)
def test_capabilities(add: tuple[str, ...], drop: tuple[str, ...], held: set[str], lacking: set[str]) -> None:
    found = set(bundle.capabilities(Security(add_capabilities=add, drop_capabilities=drop)))
    assert held <= found
    assert not found & lacking


@given(st.sets(st.sampled_from(CAPABILITIES)), st.sets(st.sampled_from(CAPABILITIES)))
def test_what_is_dropped_is_never_held_and_what_is_added_besides_is(add: set[str], drop: set[str]) -> None:
    security = Security(add_capabilities=tuple(add), drop_capabilities=tuple(drop))
    assert set(bundle.capabilities(security)) == (set(bundle.GIVEN) | add) - drop


@given(st.sets(st.sampled_from(CAPABILITIES)))
def test_the_kernels_bits_are_read_by_their_place(names: set[str]) -> None:
    bits = sum(1 << CAPABILITIES.index(name) for name in names)
    assert set(ceiling(f"Name:\tx\nCapBnd:\t{bits:016x}\n")) == names


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        (replace(SPEC, command=(), args=()), "no command specified"),
        (secured(seccomp="RuntimeDefault"), "seccomp profile RuntimeDefault"),
        (secured(apparmor="RuntimeDefault"), "AppArmor profile RuntimeDefault"),
        (secured(selinux=SELinux(level="s0")), "SELinux"),
        (replace(SPEC, mounts=(Mount("/a", "/a", recursive=True),)), "recursively read-only"),
    ],
)
def test_what_cannot_be_had_is_refused_with_a_reason(spec: ContainerSpec, why: str) -> None:
    assert why in bundle.refused(spec)
    assert not bundle.refused(secured(seccomp="Localhost:/p.json", apparmor="Localhost:mine"))


def test_sandboxes_that_cannot_be_had_are_refused() -> None:
    assert "shareProcessNamespace" in bundle.refused_sandbox(replace(POD, shared_pid=True))
    assert "SELinux" in bundle.refused_sandbox(replace(POD, security=Security(selinux=SELinux())))
    assert not bundle.refused_sandbox(POD)


def test_profiles_are_handed_on() -> None:
    spec = secured(apparmor="Localhost:mine", no_new_privileges=True)
    found = made(spec, facts=Facts(seccomp={"defaultAction": "X"}))
    assert found["process"]["apparmorProfile"] == "mine"
    assert found["process"]["noNewPrivileges"] is True
    assert found["linux"]["seccomp"] == {"defaultAction": "X"}


def test_resolver_settings_are_written_as_resolvers_read_them() -> None:
    dns = DnsSettings(("10.96.0.10",), ("a.b", "c"), ("ndots:5",))
    assert bundle.resolver(dns) == "search a.b c\nnameserver 10.96.0.10\noptions ndots:5\n"
    assert bundle.resolver(DnsSettings()) == ""
