"""A cluster of `navarch up` that many tests share, with the tests' images on each of its nodes; and its nodes, where
there are several: each a network namespace with a containerd and an agent of its own, whose link can be cut.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import node_settings
from containerd_fixture import missing
from real_cluster import CACHE, IMAGE, ROOT, Kubectl, navarch, one_cluster, until

from navarch.agent.imagefile import File, Folder, ImageConfig, write_archive
from navarch.app import lan, supervisor
from navarch.app.debian import build_root
from navarch.app.layout import Layout, load_settings
from navarch.app.sample import build_images

APPLETS = ("httpd", "pidof", "timeout")


def write_shell_image(target: Path) -> None:
    """A shell with the usual commands, a web server, and the C library that resolves names."""
    more = {f"bin/{name}": File(link="/bin/busybox") for name in APPLETS}
    more["www/index.html"] = File(b"hello\n")
    write_archive(target, [IMAGE], [Folder(build_root(["libc6"], CACHE)), more], ImageConfig(command=["sh"]))


@contextmanager
def brought_up(directory: Path, *words: str) -> Iterator[Path]:
    """The kubeconfig of a cluster's administrator. directory: empty, for its files. words: more, to `navarch up`."""
    assert not missing(), missing()
    path = directory / "kubeconfig"
    busybox = directory / "busybox.tar"
    write_shell_image(busybox)
    archives = [
        archive
        for archive in build_images(ROOT / "examples" / "voyage", CACHE, print)
        if archive.name.startswith("api-")
    ]
    with one_cluster():
        try:
            settings = str(node_settings.write(directory))
            up = navarch("up", "--kubelet-config", settings, *words, environment={"KUBECONFIG": str(path)})
            assert up.returncode == 0, up.stdout + up.stderr
            for archive in (busybox, *archives):
                done = navarch("image", "import", str(archive))
                assert done.returncode == 0, done.stderr
            yield path
        finally:
            down = navarch("down", environment={"KUBECONFIG": str(path)})
        assert down.returncode == 0, down.stdout + down.stderr


@contextmanager
def own_namespace(kubeconfig: Path, module: str) -> Iterator[Kubectl]:
    """kubectl in a namespace that is named for a module of tests, and deleted after its last."""
    name = re.sub(r"[^a-z0-9]+", "-", module.rpartition(".")[2].lower()).strip("-")
    found = Kubectl(kubeconfig, name)
    found("create", "namespace", name)
    found("wait", "--for=create", "serviceaccount/default", "--timeout=100s")
    yield found
    found("delete", "namespace", name, "--wait=false")


@dataclass(frozen=True)
class Node:
    """A machine of the cluster. number: 1 is the machine itself, where the server is; the others are namespaces.

    inside: what a command is begun with that runs in its network. cable: its link's end on the machine, "" for 1.
    """

    number: int
    name: str
    address: str
    layout: Layout
    inside: tuple[str, ...] = ()
    cable: str = ""

    def run(self, *words: str, timeout_s: float = 60.0) -> str:
        """Standard output of a command in the node's network, which must succeed."""
        done = subprocess.run([*self.inside, *words], capture_output=True, text=True, timeout=timeout_s)
        assert done.returncode == 0, f"{' '.join(words)} on {self.name}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def cut(self, *, silently: bool = False) -> None:
        """Take its link away. silently: it stays up at both ends, and carries nothing."""
        assert self.cable, f"{self.name} has no link to cut"
        self._link("nomaster") if silently else self._link("down")

    def heal(self) -> None:
        self._link("master", lan.BRIDGE, "up")

    def _link(self, *words: str) -> None:
        subprocess.run(["ip", "link", "set", self.cable, *words], check=True, timeout=30)

    def pid(self, process: str = "agent") -> int:
        """process: as the node's supervisor names it. 0 while it does not run."""
        return int(supervisor.read_state(self.layout.supervisor_state).get(process, {}).get("pid", 0))

    def kill(self, process: str = "agent") -> int:
        """By SIGKILL; its supervisor starts it again. Returns the id that it had."""
        pid = self.pid(process)
        assert pid > 0, f"no {process} runs on {self.name}"
        os.kill(pid, signal.SIGKILL)
        return pid

    def back(self, killed: int, process: str = "agent") -> None:
        """Returns once the supervisor has started another process than the one that was killed."""
        until(f"the {process} of {self.name}", lambda: self.pid(process) not in (0, killed))


def nodes_of_the_machine() -> Sequence[Node]:
    """In the order of their numbers."""
    layout = Layout()
    settings = load_settings(layout)
    assert settings
    first = Node(1, settings.node_name, settings.node_ip, layout)
    hosts = lan.present(layout, settings)
    return [first, *(Node(one.number, one.name, one.address, one.layout, one.inside, one.cable) for one in hosts)]


def ready_nodes(kubectl: Kubectl) -> set[str]:
    found = json.loads(kubectl("get", "nodes", "-o", "json"))["items"]
    return {
        node["metadata"]["name"]
        for node in found
        if any(one["type"] == "Ready" and one["status"] == "True" for one in node["status"]["conditions"])
    }
