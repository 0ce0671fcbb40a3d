"""What a check of the network is made of: hops, probes that cross them, what became of each, and what follows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any, Literal, NamedTuple

HopKind = Literal[
    "pod link",
    "bridge",
    "gateway",
    "forwarding",
    "node link",
    "route",
    "MTU of a node",
    "MTU",
    "service rules",
    "service",
    "node port",
    "masquerade",
    "DNS",
    "upstream DNS",
    "policy",
    "endpoint",
    "API server",
    "agent",
    "host ports",
    "outside",
    "asked",
]
"""bridge: the node's, between its own pods. gateway: between that bridge and the node. forwarding: by the node, between
its pods and everybody else. route: from one node to the pods of another, by whatever path. MTU: of such a path; `MTU of
a node`: of all that it has. host ports: ports of a node at which its own processes listen."""
GROUPS = (
    "node to its own pods",
    "pod to pod on the same node",
    "pod to pod on another node",
    "pod to service address",
    "name to address",
    "name of others to address",
    "pod out",
    "node to pod on another node",
    "node port, from another node",
    "largest packet that must pass",
    "what a policy allows",
    "what a policy denies",
    "endpoint of a service",
    "path that was asked for",
)
"""In the order in which they are told."""


class Hop(NamedTuple):
    """node: where it is, "" for nowhere. what: which one there: a pod, another node, a service. family: "" for IPv4, as
    the other family may work over the same hop."""

    kind: HopKind
    node: str
    what: str = ""
    family: str = ""


Hook = Literal["prerouting", "input", "forward", "output", "postrouting"]


class Leg(NamedTuple):
    """A packet of a probe, as it passes a hook of a node's kernel."""

    node: str
    hook: Hook
    source: str
    address: str
    protocol: str
    port: int


@dataclass(frozen=True, slots=True)
class Probe:
    """node: sends it, from `pod` (`namespace/name`), or from its own network if "". to: for people. ask: as the node's
    program wants it. hops: all that it needs; a probe that arrives shows that they work.

    expect: what the other side must see or answer: "" for anything. hidden: the network that it must not see the sender
    in, "" for none. dropped: it must not arrive.
    """

    group: str
    node: str
    pod: str
    to: str
    ask: Mapping[str, Any]
    hops: tuple[Hop, ...]
    legs: tuple[Leg, ...] = ()
    expect: str = ""
    hidden: str = ""
    dropped: bool = False

    @property
    def key(self) -> tuple[str, str, str, str]:
        """Of the same probe in another round."""
        return self.group, self.node, self.pod, f"{self.to} {self.ask.get('address')}"

    @property
    def sender(self) -> str:
        return f"pod {self.pod.partition('/')[2]} on {self.node}" if self.pod else f"node {self.node}"

    @property
    def line(self) -> str:
        return f"{self.sender} → {self.to}"


@dataclass(frozen=True, slots=True)
class Result:
    """error: "" for one that arrived. seen: what was answered. most_bytes: what passed where more did not."""

    error: str = ""
    seen: str = ""
    most_bytes: int = 0
    sent_bytes: int = 0

    @property
    def ok(self) -> bool:
        return not self.error


def result_of(answer: Mapping[str, Any]) -> Result:
    """From what the node's program said."""
    seen = answer.get("seen", "") or " ".join(answer.get("answers", ()))
    error = "" if answer.get("ok") else str(answer.get("error") or "no answer")
    if not error and (code := answer.get("code")):
        error = {2: "SERVFAIL", 3: "NXDOMAIN", 5: "REFUSED"}.get(code, f"code {code}")
    return Result(error, seen, int(answer.get("most_bytes", 0)), int(answer.get("bytes", 0)))


def well(probe: Probe, result: Result) -> bool:
    if probe.dropped:
        return not result.ok
    if not result.ok or (probe.hidden and _within(result.seen, probe.hidden)):
        return False
    return probe.expect in ("", result.seen)


def _within(address: str, network: str) -> bool:
    try:
        return ip_address(address) in ip_network(network)
    except ValueError:
        return False


class Clue(NamedTuple):
    """Why a hop does not work, and what to do. node: where that is. doubt: it may well be meant so."""

    node: str
    text: str
    remedy: str
    doubt: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """hops: those that the clue explains, the first one first. probes: those that fail by them. doubt: as in `Clue`."""

    hops: tuple[Hop, ...]
    node: str
    text: str
    remedy: str
    probes: tuple[str, ...] = ()
    doubt: bool = False

    def document(self) -> Mapping[str, Any]:
        hop = self.hops[0]
        return {
            "hop": hop.kind,
            "node": self.node,
            "what": hop.what,
            "family": hop.family or "IPv4",
            "cause": self.text,
            "remedy": self.remedy,
            "paths": list(self.probes),
        }


@dataclass(frozen=True, slots=True)
class Report:
    """results: by probe, in order. notes: what could not be tested, and why."""

    results: Sequence[tuple[Probe, Result]]
    findings: Sequence[Finding]
    notes: Sequence[str] = ()
    took_s: float = 0.0
    nodes: Sequence[str] = field(default_factory=tuple)

    @property
    def sound(self) -> bool:
        return not self.findings

    def document(self) -> Mapping[str, Any]:
        paths = [
            {
                "group": probe.group,
                "from": probe.sender,
                "to": probe.to,
                "ok": well(probe, result),
                "error": "it arrives" if probe.dropped and result.ok else result.error or _amiss(probe, result),
            }
            for probe, result in self.results
        ]
        return {
            "ok": self.sound,
            "nodes": list(self.nodes),
            "findings": [each.document() for each in self.findings],
            "paths": paths,
            "notes": list(self.notes),
            "seconds": round(self.took_s, 1),
        }


def _amiss(probe: Probe, result: Result) -> str:
    if well(probe, result):
        return ""
    if probe.hidden:
        return f"it comes from {result.seen}, the pod's own address"
    return f"{result.seen or 'nothing'} instead of {probe.expect}"


def told(probe: Probe, result: Result) -> str:
    """For people: what is wrong with it."""
    if probe.dropped:
        return "it arrives, and must not"
    if result.most_bytes and not result.ok:
        return f"packets of {result.sent_bytes} bytes are lost, {result.most_bytes} pass"
    return result.error or _amiss(probe, result)
