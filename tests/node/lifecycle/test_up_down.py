"""`up` and `down` on this machine: what they leave, what they leave alone, and what survives a crash."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
from pathlib import Path

import pytest
import yaml
from real_cluster import CACHE, Kubectl, kill, navarch, pod, until

from navarch.agent.imagefile import File, ImageConfig, write_archive
from navarch.app import cni

pytestmark = pytest.mark.node

OTHERS = {
    "apiVersion": "v1",
    "kind": "Config",
    "clusters": [{"name": "elsewhere", "cluster": {"server": "https://192.0.2.9:6443"}}],
    "users": [{"name": "me", "user": {"token": "secret"}}],
    "contexts": [{"name": "elsewhere", "context": {"cluster": "elsewhere", "user": "me", "namespace": "mine"}}],
    "current-context": "elsewhere",
    "preferences": {"colors": True},
}


SETTINGS = ("net/ipv4/ip_forward", "net/ipv4/conf/all/forwarding", "vm/dirty_bytes", "vm/dirty_ratio")
OURS = re.compile(r"/var/lib/navarch|/run/navarch")


def output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True).stdout


def traces() -> dict[str, object]:
    """Everything that a cluster could leave on a machine."""
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    processes = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if OURS.search(words):
            processes.append(words)
    return {
        "mounts": sorted(point for point in mounts if OURS.search(point) or "/netns" in point),
        "namespaces": sorted(os.listdir("/run/netns")) if Path("/run/netns").exists() else [],
        "interfaces": sorted(name for _, name in socket.if_nameindex()),
        "tables": output("nft", "list", "tables"),
        "chains": output("iptables-save"),
        "routes": output("ip", "route"),
        "groups": sorted(str(path) for path in Path("/sys/fs/cgroup").glob("**/navarch")),
        "processes": sorted(processes),
        "files": sorted(
            str(path)
            for folder in ("/var/lib", "/run", "/etc/cni", "/var/lib/cni", "/opt")
            for path in Path(folder).glob("*navarch*")
        ),
        "results": sorted(str(path) for path in Path("/var/lib/cni").glob("**/*")),
        "settings": [Path("/proc/sys", name).read_text() for name in SETTINGS],
    }


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("image") / "image.tar"
    files = {"bin/busybox": File(Path("/bin/busybox").read_bytes(), mode=0o755), "bin/sh": File(link="/bin/busybox")}
    write_archive(path, ["navarch.test/small:1"], [files], ImageConfig(command=["sh"]))
    return path


def start(environment: dict[str, str], image: Path) -> Kubectl:
    """A cluster with pods of several kinds, a service, and a port of the host."""
    up = navarch("up", environment=environment)
    assert up.returncode == 0, up.stdout + up.stderr
    assert navarch("image", "import", str(image), environment=environment).returncode == 0
    kubectl = Kubectl(Path(environment["KUBECONFIG"]))
    sleeping = "trap 'exit 0' TERM; busybox sleep 100000 & wait"
    volumes = [{"name": "memory", "emptyDir": {"medium": "Memory"}}, {"name": "disk", "emptyDir": {}}]
    mounts = [{"name": volume["name"], "mountPath": f"/{volume['name']}"} for volume in volumes]
    ports = [{"containerPort": 80, "hostPort": 28099}]
    made = {"image": "navarch.test/small:1"}
    until("an account", lambda: kubectl.run("get", "serviceaccount", "default").returncode == 0)
    kubectl.apply(
        pod("plain", sleeping, **made, volumes=volumes, volumeMounts=mounts, ports=ports),
        pod("host", sleeping, **made, hostNetwork=True),
        pod("ended", "true", **made, restartPolicy="Never"),
    )
    kubectl("expose", "pod", "plain", "--port=80", "--type=NodePort")
    kubectl.ready("plain", "host")
    return kubectl


def test_down_leaves_the_machine_as_it_was(environment: dict[str, str], image: Path) -> None:
    cni.RESULTS.mkdir(parents=True, exist_ok=True)  # as another program may have left it, empty
    if not traces()["namespaces"]:
        output("umount", str(cni.NAMESPACES))  # as on a machine that never had one
    before = traces()
    start(environment, image)
    output("ip", "netns", "add", "navarch-test")  # which must not hide those of pods from whoever takes them away
    output("ip", "netns", "delete", "navarch-test")
    during = traces()
    assert all(during[name] != before[name] for name in ("mounts", "interfaces", "tables", "processes", "files"))
    down = navarch("down", environment=environment)
    assert down.returncode == 0, down.stdout + down.stderr
    assert traces() == before
    assert not Path(environment["KUBECONFIG"]).exists()
    again = navarch("down", environment=environment)
    assert (again.returncode, again.stdout) == (0, "There is no cluster on this machine.\n")


def test_down_cleans_up_after_everything_was_killed(environment: dict[str, str], image: Path) -> None:
    for directory in (cni.RESULTS, cni.RESULTS.parent):
        with contextlib.suppress(OSError):  # it is not there, or holds what is another program's
            directory.rmdir()
    before = traces()
    start(environment, image)
    kill("supervisor", "agent", "server", "containerd")
    down = navarch("down", environment=environment)
    assert down.returncode == 0, down.stdout + down.stderr
    assert traces() == before


def test_down_cleans_up_after_the_shims_were_killed_as_well(environment: dict[str, str], image: Path) -> None:
    before = traces()
    start(environment, image)
    kill("supervisor", "agent", "server", "containerd")
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        words = entry.read_bytes().split(b"\0")
        if b"containerd-shim" in words[0] and any(b"/var/lib/navarch/" in word for word in words):
            os.kill(int(entry.parent.name), signal.SIGKILL)
    down = navarch("down", environment=environment)
    assert down.returncode == 0, down.stdout + down.stderr
    assert traces() == before


def test_a_cluster_comes_back_after_everything_was_killed(environment: dict[str, str], image: Path) -> None:
    kubectl = start(environment, image)
    kubectl("create", "configmap", "kept", "--from-literal=word=here")
    before = kubectl.status("plain")["containerID"]
    kill("supervisor", "agent", "server", "containerd")
    assert navarch("status").returncode == 1
    up = navarch("up", environment=environment)
    assert up.returncode == 0, up.stdout + up.stderr
    assert kubectl.get("configmap", "kept")["data"] == {"word": "here"}
    kubectl.ready("plain")
    assert kubectl.status("plain")["containerID"] == before
    assert kubectl.status("plain")["restartCount"] == 0


def test_the_contexts_of_others_stay_and_come_back(environment: dict[str, str]) -> None:
    path = Path(environment["KUBECONFIG"])
    path.write_text(yaml.safe_dump(OTHERS))
    path.chmod(0o600)
    assert navarch("up", environment=environment).returncode == 0
    during = yaml.safe_load(path.read_text())
    assert [entry["name"] for entry in during["contexts"]] == ["elsewhere", "navarch"]
    assert during["current-context"] == "navarch"
    assert during["users"][0] == OTHERS["users"][0]
    assert path.stat().st_mode & 0o777 == 0o600
    printed = yaml.safe_load(navarch("kubeconfig", environment=environment).stdout)
    assert [entry["name"] for entry in printed["contexts"]] == ["navarch"]
    assert navarch("down", environment=environment).returncode == 0
    assert yaml.safe_load(path.read_text()) == OTHERS


def test_a_kubeconfig_that_is_none_is_left_alone(environment: dict[str, str]) -> None:
    path = Path(environment["KUBECONFIG"])
    path.write_text("clusters: [\n")
    up = navarch("up", environment=environment)
    assert up.returncode == 1
    assert f"{path} is no YAML" in up.stderr
    assert path.read_text() == "clusters: [\n"


@pytest.mark.parametrize(("port", "option"), [(6443, "--api-port 6444"), (10250, "--agent-port 10251")])
def test_a_port_that_another_program_has_is_named(environment: dict[str, str], port: int, option: str) -> None:
    with socket.create_server(("0.0.0.0", port)):
        up = navarch("up", environment=environment)
    assert up.returncode == 1
    assert f"port {port} is in use by" in up.stderr
    assert f"(pid {os.getpid()})" in up.stderr
    assert f"navarch up {option}" in up.stderr
    assert not list(Path("/run").glob("navarch/*.json")), "something was started"


def test_other_ports_and_names_can_be_chosen(environment: dict[str, str]) -> None:
    with socket.create_server(("0.0.0.0", 6443)):
        words = ("--api-port", "7443", "--agent-port", "11250", "--node-name", "one")
        up = navarch("up", "-o", "json", *words, environment=environment)
        assert up.returncode == 0, up.stderr
        found = json.loads(up.stdout)
    assert found["addresses"]["api"] == "https://127.0.0.1:7443"
    assert [node["name"] for node in found["nodes"]] == ["one"]
    kubectl = Kubectl(Path(environment["KUBECONFIG"]))
    assert "one" in kubectl("get", "nodes")
    CACHE.mkdir(exist_ok=True)
