"""The matrix of network policies: nine pods in three namespaces, and who of them should reach whom, case by case.

The cases are those of the upstream tests of network policy; what should happen is said for each by hand, and not by
the code under test.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec

from navarch.kinds.networkpolicy import NetworkPolicy
from navarch.proxy.addresses import IPV4, Family
from navarch.proxy.podfacts import PodFacts
from navarch.proxy.policy import Policies
from navarch.testing.lan import twin

SPACES, PODS = "xyz", "abc"
PORTS = (80, 81)
PROTOCOLS = ("tcp", "udp")
NAMES = tuple(f"{namespace}/{pod}" for namespace in SPACES for pod in PODS)
ADDRESSES = {name: f"10.244.0.{10 + number}" for number, name in enumerate(NAMES)}
NAMED_PORTS = tuple((f"serve-{port}-{protocol}", protocol, port) for port in PORTS for protocol in (*PROTOCOLS, "sctp"))


class Ask(NamedTuple):
    """One connection: who, whom, how."""

    source: str
    target: str
    port: int
    protocol: str

    @property
    def spaces(self) -> tuple[str, str]:
        return self.source[0], self.target[0]

    def to(self, names: str, *, but: str = "") -> bool:
        return _named(self.target, names) and not (but and _named(self.target, but))

    def by(self, names: str) -> bool:
        return _named(self.source, names)


def _named(name: str, names: str) -> bool:
    """names: of pods and of namespaces, such as `x/a y`."""
    return any(name == each or name[0] == each for each in names.split())


def asks() -> Iterator[Ask]:
    """Every connection of the matrix."""
    for source in NAMES:
        for target in NAMES:
            for port in PORTS:
                for protocol in PROTOCOLS:
                    yield Ask(source, target, port, protocol)


@dataclass(frozen=True)
class Case:
    """policies: by namespace and name. passes: of two different pods; a pod always reaches itself. labels: of
    namespaces and pods, beside those that they have."""

    name: str
    policies: Mapping[str, Any]
    passes: Callable[[Ask], bool]
    labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def expects(self, ask: Ask) -> bool:
        return ask.source == ask.target or self.passes(ask)

    def put_into(self, known: Policies, before: Case | None = None, family: Family = IPV4) -> None:
        """before: the case that `known` holds. family: its own; pods have addresses of both, networks are of this."""
        for name in SPACES:
            known.put_namespace(name, {"ns": name, **self.labels.get(name, {})})
        for name, address in ADDRESSES.items():
            namespace, pod = name.split("/")
            labels = {"pod": pod, **self.labels.get(name, {})}
            known.put_pod(namespace, pod, PodFacts(labels, (address, twin(address)), "n1", NAMED_PORTS))
        for name in before.policies if before else ():
            if name not in self.policies:
                known.put_policy(*name.split("/"), None)
        for name, spec in self.policies.items():
            said = spec if family is IPV4 else _in_ipv6(spec)
            known.put_policy(*name.split("/"), msgspec.convert({"spec": said}, NetworkPolicy))


def _in_ipv6(said: Any) -> Any:
    """With the twins of its networks."""
    if isinstance(said, Mapping):
        if "cidr" in said:
            return block(twin(said["cidr"]), *map(twin, said["except"]))["ipBlock"]
        return {key: _in_ipv6(value) for key, value in said.items()}
    return [_in_ipv6(each) for each in said] if isinstance(said, list) else said


def pod(*names: str) -> Any:
    if len(names) == 1:
        return {"podSelector": {"matchLabels": {"pod": names[0]}}}
    return {"podSelector": {"matchExpressions": [{"key": "pod", "operator": "In", "values": list(names)}]}}


def space(*names: str) -> Any:
    if len(names) == 1:
        return {"namespaceSelector": {"matchLabels": {"ns": names[0]}}}
    return {"namespaceSelector": {"matchExpressions": [{"key": "ns", "operator": "In", "values": list(names)}]}}


def block(cidr: str, *without: str) -> Any:
    return {"ipBlock": {"cidr": cidr, "except": list(without)}}


def port(number: int | str, protocol: str = "TCP", end: int = 0) -> Any:
    return {"port": number, "protocol": protocol, **({"endPort": end} if end else {})}


EVERY: Any = {"podSelector": {}}
ALL_SPACES: Any = {"namespaceSelector": {}}


def into(*peers: Any, of: Any = EVERY, ports: tuple[Any, ...] = ()) -> Any:
    """One rule of ingress; without peers and ports it lets everybody in."""
    rule = {key: list(value) for key, value in (("from", peers), ("ports", ports)) if value}
    return {**of, "policyTypes": ["Ingress"], "ingress": [rule]}


def out(*peers: Any, of: Any = EVERY, ports: tuple[Any, ...] = ()) -> Any:
    rule = {key: list(value) for key, value in (("to", peers), ("ports", ports)) if value}
    return {**of, "policyTypes": ["Egress"], "egress": [rule]}


NOBODY_IN: Any = {**EVERY, "policyTypes": ["Ingress"]}
NOBODY_OUT: Any = {**EVERY, "policyTypes": ["Egress"]}
NOBODY: Any = {**EVERY, "policyTypes": ["Ingress", "Egress"]}
TEAM: Any = {"namespaceSelector": {"matchLabels": {"team": "ops"}}}
A = pod("a")
SINGLE = {name: f"{address}/32" for name, address in ADDRESSES.items()}


def only(target: str, passes: Callable[[Ask], bool] = lambda ask: False) -> Callable[[Ask], bool]:
    """Everything passes but what is sent to `target`, of which only this does."""
    return lambda ask: not ask.to(target) or passes(ask)


def only_by(source: str, passes: Callable[[Ask], bool] = lambda ask: False) -> Callable[[Ask], bool]:
    return lambda ask: not ask.by(source) or passes(ask)


def on(*ways: tuple[int, str]) -> Callable[[Ask], bool]:
    return lambda ask: (ask.port, ask.protocol) in ways


def by(names: str) -> Callable[[Ask], bool]:
    return lambda ask: ask.by(names)


def to(names: str, but: str = "") -> Callable[[Ask], bool]:
    return lambda ask: ask.to(names, but=but)


def both(one: Callable[[Ask], bool], other: Callable[[Ask], bool]) -> Callable[[Ask], bool]:
    return lambda ask: one(ask) and other(ask)


def anybody(ask: Ask) -> bool:
    return True


NEW: Any = {"podSelector": {"matchLabels": {"new": "yes"}}}
NOT_X: Any = {"namespaceSelector": {"matchExpressions": [{"key": "ns", "operator": "NotIn", "values": ["x"]}]}}
TCP = on((80, "tcp"), (81, "tcp"))
UDP = on((80, "udp"), (81, "udp"))

CASES = (
    Case("no policy", {}, anybody),
    Case("default deny of ingress", {"x/p": NOBODY_IN}, only("x")),
    Case("default deny of all", {"x/p": NOBODY}, both(only("x"), only_by("x"))),
    Case("from pods of the namespace", {"x/p": into(EVERY, of=A)}, only("x/a", by("x"))),
    Case("to one target from everybody", {"x/p": into(of=A), "x/q": NOBODY_IN}, only("x", to("x/a"))),
    Case("from pods of all namespaces", {"x/p": into(ALL_SPACES, of=A)}, anybody),
    Case("from another namespace", {"x/p": into(space("y"), of=A)}, only("x/a", by("y"))),
    Case("pods by expression", {"x/p": into(pod("b", "c"), of=A)}, only("x/a", by("x/b x/c"))),
    Case("namespaces by expression", {"x/p": into(space("y", "z"), of=A)}, only("x/a", by("y z"))),
    Case("pods or namespaces", {"x/p": into(pod("b"), space("y"), of=A)}, only("x/a", by("x/b y"))),
    Case("pods and namespaces", {"x/p": into({**pod("b"), **space("y")}, of=A)}, only("x/a", by("y/b"))),
    Case(
        "many pods and many namespaces",
        {"x/p": into({**pod("b", "c"), **space("y", "z")}, of=A)},
        only("x/a", by("y/b y/c z/b z/c")),
    ),
    Case("any pod of one namespace", {"x/p": into({**EVERY, **space("y")}, of=A)}, only("x/a", by("y"))),
    Case("namespaces whose label is another", {"x/p": into(NOT_X, of=A)}, only("x/a", by("y z"))),
    Case(
        "on one port",
        {"x/p": into(space("x"), of=A, ports=(port(81),))},
        only("x/a", both(by("x"), on((81, "tcp")))),
    ),
    Case(
        "stacked: one port, then the other",
        {"x/p": into(of=A, ports=(port(80),)), "x/q": into(of=A, ports=(port(81),))},
        only("x/a", TCP),
    ),
    Case(
        "stacked: selectors that overlap",
        {"x/p": into(pod("b")), "x/q": into(space("y"), of=A)},
        only("x", lambda ask: ask.by("x/b") or (ask.to("x/a") and ask.by("y"))),
    ),
    Case("allow all", {"x/p": into()}, anybody),
    Case("allow all beside deny", {"x/p": into(), "x/q": NOBODY_IN}, anybody),
    Case("allow all out beside deny", {"x/p": out(), "x/q": NOBODY_OUT}, anybody),
    Case("on one named port", {"x/p": into(of=A, ports=(port("serve-80-tcp"),))}, only("x/a", on((80, "tcp")))),
    Case(
        "from a namespace on one named port",
        {"x/p": into(space("x"), of=A, ports=(port("serve-80-udp", "UDP"),))},
        only("x/a", both(by("x"), on((80, "udp")))),
    ),
    Case("a named port that nobody has", {"x/p": into(of=A, ports=(port("nothing"),))}, only("x/a")),
    Case("a named port of another protocol", {"x/p": into(of=A, ports=(port("serve-80-tcp", "UDP"),))}, only("x/a")),
    Case("out to one named port", {"x/p": out(of=A, ports=(port("serve-80-tcp"),))}, only_by("x/a", on((80, "tcp")))),
    Case("out to nobody", {"x/p": NOBODY_OUT}, only_by("x")),
    Case("out of one pod to nobody", {"x/p": {**A, "policyTypes": ["Egress"]}}, only_by("x/a")),
    Case("out to pods of the namespace", {"x/p": out(EVERY, of=A)}, only_by("x/a", to("x"))),
    Case("out to pods of another namespace", {"x/p": out({**pod("b"), **space("y")})}, only_by("x", to("y/b"))),
    Case(
        "in and out together",
        {"x/p": {**A, "ingress": [{"from": [pod("b")]}], "egress": [{"to": [space("y")]}]}},
        both(only("x/a", by("x/b")), only_by("x/a", to("y"))),
    ),
    Case(
        "both ends have a say",
        {"x/p": out(space("y")), "y/p": into(space("z"))},
        both(only_by("x", to("y")), only("y", by("z"))),
    ),
    Case("to a network", {"x/p": out(block("10.244.0.0/24"), of=A)}, anybody),
    Case(
        "to a network with an exception",
        {"x/p": out(block("10.244.0.0/24", SINGLE["y/b"]), of=A)},
        only_by("x/a", to("x y z", but="y/b")),
    ),
    Case(
        "an exception that another policy lets through",
        {"x/p": out(block("10.244.0.0/24", SINGLE["y/b"]), of=A), "x/q": out(block(SINGLE["y/b"]), of=A)},
        anybody,
    ),
    Case(
        "from two networks",
        {"x/p": into(block(SINGLE["z/c"]), block(SINGLE["y/a"]), of=A)},
        only("x/a", by("z/c y/a")),
    ),
    Case("a range of ports", {"x/p": into(of=A, ports=(port(80, end=81),))}, only("x/a", TCP)),
    Case("out to a range of ports", {"x/p": out(of=A, ports=(port(81, "UDP", 90),))}, only_by("x/a", on((81, "udp")))),
    Case("UDP is not TCP", {"x/p": into(of=A, ports=(port(80, "UDP"),))}, only("x/a", on((80, "udp")))),
    Case("SCTP is not TCP", {"x/p": into(of=A, ports=(port(80, "SCTP"),))}, only("x/a")),
    Case("any port of one protocol", {"x/p": into(of=A, ports=({"protocol": "UDP"},))}, only("x/a", UDP)),
    Case("isolated for SCTP alone", {"x/p": into(of=A, ports=({"protocol": "SCTP"},))}, only("x/a")),
    Case("a label of a namespace that is missing", {"x/p": into(TEAM, of=A)}, only("x/a")),
    Case(
        "a label of a namespace that came",
        {"x/p": into(TEAM, of=A)},
        only("x/a", by("y")),
        {"y": {"team": "ops"}},
    ),
    Case("a label of a pod that is missing", {"x/p": into(NEW, of=A)}, only("x/a")),
    Case("a label of a pod that came", {"x/p": into(NEW, of=A)}, only("x/a", by("x/b")), {"x/b": {"new": "yes"}}),
    Case("isolated by a label that came", {"x/p": NEW}, only("x/b"), {"x/b": {"new": "yes"}}),
    Case("a target that changed", {"x/p": into(space("y"), of=pod("b"))}, only("x/b", by("y"))),
    Case(
        "in all three namespaces",
        {f"{each}/p": into(EVERY) for each in SPACES},
        lambda ask: ask.spaces[0] == ask.spaces[1],
    ),
    Case("after they are deleted", {}, anybody),
)
