"""The crew: nine pods in three namespaces, and a pod on the network of each node, that answer each other and ask each
other as they are told. Each has a program within, which a `kubectl exec` that stays holds the strings of: what it sends
is sent by the pod, over the pod's own network, and how it is told does not depend on that network."""

from __future__ import annotations

import json
import os
import select
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from real_cluster import PYTHON, Kubectl, pod
from shared_cluster import Node

PROGRAM = Path(__file__).with_name("member.py").read_text()
SPACES, LETTERS = "xyz", "abc"
PREFIX = "crew-"
"""A namespace is called `x` here and `crew-x` in the cluster."""
ANSWER_S = 90.0
PATIENCE_S = 60.0
"""How long a busy machine may take to do what takes it milliseconds."""
WAIT_S = 3.0


class Probe(NamedTuple):
    """One question, as `member.py` takes it."""

    kind: str
    host: str
    port: int = 0
    more: str = ""
    wait_s: float = WAIT_S
    come: int = 1
    patience_s: float = PATIENCE_S

    @property
    def once(self) -> Probe:
        return self._replace(come=-1)


class Said(NamedTuple):
    """text: "" for no answer, and then `why`."""

    text: str
    why: str
    tries: int

    @property
    def name(self) -> str:
        """Of the member that answered."""
        return str(json.loads(self.text)["name"]) if self.text else ""

    @property
    def peer(self) -> str:
        """Whom it saw."""
        return str(json.loads(self.text)["peer"]) if self.text else ""


def http(host: str, port: int = 8080, path: str = "", **more: Any) -> Probe:
    return Probe("http", host, port, path, **more)


def udp(host: str, port: int = 8080, more: str = "", **rest: Any) -> Probe:
    return Probe("udp", host, port, more, **rest)


def names(name: str, **more: Any) -> Probe:
    return Probe("names", name, **more)


@dataclass
class Member:
    """name: `x/a`, or `node/1` for the one on the network of the first node. address: its pod's."""

    name: str
    kubectl: Kubectl
    node: Node
    address: str = ""
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    _read: bytes = b""

    @property
    def pod(self) -> str:
        space, _, letter = self.name.partition("/")
        return f"node-{letter}" if space == "node" else letter

    def tell(self, probes: Sequence[Probe]) -> None:
        """Begins the program anew if its node or the way to it was lost meanwhile."""
        if self._process is None or self._process.poll() is not None:
            words = self.kubectl.command("exec", "-i", self.pod, "--", "python3.11", "-c", PROGRAM, "probe")
            pipe = subprocess.PIPE
            self._process = subprocess.Popen(words, stdin=pipe, stdout=pipe, env=self.kubectl.environment)
            self._read = b""
        assert self._process.stdin
        self._process.stdin.write(json.dumps(probes).encode() + b"\n")
        self._process.stdin.flush()

    def hear(self) -> list[Said]:
        assert self._process
        assert self._process.stdout
        deadline = time.monotonic() + ANSWER_S
        while b"\n" not in self._read:
            left = deadline - time.monotonic()
            ready = left > 0 and select.select([self._process.stdout], [], [], left)[0]
            piece = os.read(self._process.stdout.fileno(), 1 << 20) if ready else b""
            if not piece:
                self.end()
                raise AssertionError(f"the program in pod {self.name} does not answer")
            self._read += piece
        line, _, self._read = self._read.partition(b"\n")
        return [Said(*one) for one in json.loads(line)]

    def end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


@dataclass
class Crew:
    members: Mapping[str, Member]
    nodes: Sequence[Node]
    kubeconfig: Path

    def kubectl(self, space: str = "x") -> Kubectl:
        return Kubectl(self.kubeconfig, PREFIX + space)

    @property
    def pods(self) -> list[Member]:
        """The nine."""
        return [each for each in self.members.values() if not each.name.startswith("node/")]

    @property
    def three(self) -> list[str]:
        """Three pods of one namespace, each on another node."""
        return [f"x/{letter}" for letter in LETTERS]

    @property
    def hosts(self) -> list[str]:
        """Those on the networks of the nodes."""
        return [name for name in self.members if name.startswith("node/")]

    @property
    def everywhere(self) -> list[str]:
        """A pod on each node, and each node."""
        return [*self.three, *self.hosts]

    def address(self, name: str) -> str:
        return self.members[name].address

    def ask(self, asked: Mapping[str, Sequence[Probe]]) -> dict[str, list[Said]]:
        """By who asks, in the order of what they ask. All of them at once."""
        for name, probes in asked.items():
            self.members[name].tell(probes)
        return {name: self.members[name].hear() for name in asked}

    def each(self, who: Sequence[str], *probes: Probe) -> dict[str, list[Said]]:
        """The same of several."""
        return self.ask(dict.fromkeys(who, probes))

    def close(self) -> None:
        for each in self.members.values():
            each.end()


def place(space: int, letter: int) -> int:
    """The place of a pod's node in the list of nodes: pods of one namespace, and those of one letter, are apart."""
    return (space + letter) % 3


def _manifest(member: Member) -> dict[str, Any]:
    space, _, letter = member.name.partition("/")
    inside = {"NAME": member.name, "TCP": "80 81 8080 8081", "UDP": "53 80 81 8080 8081"}
    more: dict[str, Any] = {"hostname": letter, "subdomain": "crew"}
    ports = [
        {"name": f"serve-{number}-{protocol.lower()}", "containerPort": number, "protocol": protocol}
        for number in (80, 81)
        for protocol in ("TCP", "UDP", "SCTP")
    ]
    if space == "node":
        inside = {"NAME": member.name, "TCP": "28083", "UDP": "28083", "ADDRESS": member.node.address}
        more = {"hostNetwork": True, "dnsPolicy": "ClusterFirstWithHostNet"}
        ports = []
    listening = {"tcpSocket": {"port": 28083 if space == "node" else 8080}, "periodSeconds": 1}
    return pod(
        member.pod,
        ["python3.11", "-c", PROGRAM, "serve"],
        image=PYTHON,
        env=[{"name": name, "value": value} for name, value in inside.items()],
        labels={"pod": letter, "crew": "node" if space == "node" else "member"},
        ports=ports,
        readinessProbe=listening,
        securityContext={"runAsUser": 0},
        nodeName=member.node.name,
        tolerations=[{"operator": "Exists"}],  # others lose nodes on purpose
        **more,
    )


@contextmanager
def crew(kubeconfig: Path, nodes: Sequence[Node]) -> Iterator[Crew]:
    """All of them Ready, with their programs begun; their namespaces are deleted at the end."""
    everywhere = Kubectl(kubeconfig)
    members = {}
    for space_number, space in enumerate(SPACES):
        for number, letter in enumerate(LETTERS):
            kubectl = Kubectl(kubeconfig, PREFIX + space)
            members[f"{space}/{letter}"] = Member(f"{space}/{letter}", kubectl, nodes[place(space_number, number)])
    for number, node in enumerate(nodes, 1):
        members[f"node/{number}"] = Member(f"node/{number}", Kubectl(kubeconfig, f"{PREFIX}x"), node)
    spaces = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": PREFIX + space, "labels": {"ns": space}}}
        for space in SPACES
    ]
    headless = {"clusterIP": "None", "selector": {"crew": "member"}, "ports": [{"port": 8080}]}
    subdomain = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "crew"}, "spec": headless}
    found = Crew(members, nodes, kubeconfig)
    try:
        everywhere.apply(*spaces)
        for space in SPACES:
            found.kubectl(space)("wait", "--for=create", "serviceaccount/default", "--timeout=100s")
            own = [_manifest(each) for each in members.values() if each.kubectl.namespace == PREFIX + space]
            found.kubectl(space).apply(subdomain, *own)
        for space in SPACES:
            found.kubectl(space)("wait", "pods", "--all", "--for=condition=Ready", "--timeout=140s")
            listed = json.loads(found.kubectl(space)("get", "pods", "-o", "json"))["items"]
            addresses = {one["metadata"]["name"]: one["status"]["podIP"] for one in listed}
            for member in members.values():
                if member.kubectl.namespace == PREFIX + space:
                    member.address = addresses[member.pod]
        found.ask(dict.fromkeys(members, ()))
        yield found
    finally:
        found.close()
        everywhere("delete", "namespace", *(PREFIX + space for space in SPACES), "--wait=false", "--ignore-not-found")
