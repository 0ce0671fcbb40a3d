"""A made-up cluster of a few nodes with the probe pods of a check on them, and what probes come to in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from trace_scenery import doc, node, pod, world

from navarch.app.netcheck.kernel import Kernel
from navarch.app.netcheck.plan import Actor, Cast, Gate
from navarch.app.netcheck.probes import Hop, Probe, Result
from navarch.app.nettrace.world import World

SPACE = "check"


def nodes(count: int) -> list[str]:
    return [f"n{number}" for number in range(count)]


def cast(count: int = 3) -> Cast:
    names = nodes(count)
    return Cast(
        SPACE,
        {name: Actor(name, f"{SPACE}/first-{at}", f"10.244.{at}.100") for at, name in enumerate(names)},
        {name: Actor(name, f"{SPACE}/second-{at}", f"10.244.{at}.101") for at, name in enumerate(names)},
        {name: Gate(f"node-{at}", f"10.96.1.{at}", 30000 + at) for at, name in enumerate(names)},
        dict.fromkeys(names, 40000),
        dict.fromkeys(names, 10250),
    )


def cluster(count: int = 3, *more: dict[str, Any]) -> World:
    """With the API server outside, and a shop of three pods on the first two nodes."""
    api = doc(
        "Service", "kubernetes", "default", spec={"clusterIP": "10.96.0.1", "ports": [{"port": 443, "protocol": "TCP"}]}
    )
    dns = doc("Service", "kube-dns", "kube-system", spec={"clusterIP": "10.96.0.10", "ports": [{"port": 53}]})
    labels = {"kubernetes.io/service-name": "kubernetes"}
    behind = {"addressType": "IPv4", "endpoints": [{"addresses": ["198.51.100.1"]}], "ports": [{"port": 6443}]}
    actors = [actor for role in (cast(count).first, cast(count).second) for actor in role.values()]
    pods = [pod(each.name.partition("/")[2], each.address, each.node) for each in actors]
    return world(
        *(node(name, at) for at, name in enumerate(nodes(max(count, 2)))),
        api,
        dns,
        doc("EndpointSlice", "kubernetes", "default", labels, **behind),
        *({**each, "metadata": {**each["metadata"], "namespace": SPACE}} for each in pods),
        *more,
    )


def results(probes: Iterable[Probe], broken: Iterable[Hop]) -> list[tuple[Probe, Result]]:
    """Each probe as it ends where these hops do not work."""
    bad = set(broken)
    return [(probe, _failed(probe) if bad & set(probe.hops) else _fine(probe)) for probe in probes]


def _fine(probe: Probe) -> Result:
    return Result("timeout") if probe.dropped else Result(seen=probe.expect)


def _failed(probe: Probe) -> Result:
    return Result() if probe.dropped else Result("timeout")


def link(name: str, index: int, *addresses: str, up: bool = True, **parts: Any) -> dict[str, Any]:
    found = [{"local": address} for address in addresses]
    return {"ifname": name, "ifindex": index, "flags": ["UP"] if up else [], "addr_info": found, **parts}


def sound_state(at: int, count: int = 3) -> dict[str, Any]:
    """What the kernel of a node has where nothing is wrong; its own first pod has been asked about."""
    own, names = cast(count), nodes(count)
    first = own.first[names[at]]
    others = [other for other in range(count) if other != at]
    inner = link("eth0", 2, first.address, link_index=7, address="02:00:00:00:00:aa")
    return {
        "links": [
            link("eth0", 2, f"192.0.2.{10 + at}"),
            link("navarch0", 3, f"10.244.{at}.1"),
            link("veth7", 7, master="navarch0"),
        ],
        "neighbours": [{"dst": first.address, "dev": "navarch0", "lladdr": "02:00:00:00:00:aa", "state": ["STALE"]}],
        "forwards": [],
        "routes": {f"10.244.{other}.100": {"dev": "eth0", "gateway": f"192.0.2.{10 + other}"} for other in others},
        "settings": {"net/ipv4/ip_forward": "1"},
        "unforwarded": [],
        "rules": [],
        "missing": [],
        "pods": {first.name: {"links": [inner], "routes": [{"dst": "default"}]}},
    }


def kernels(states: Mapping[int, Mapping[str, Any]] = {}, count: int = 3) -> dict[str, Kernel]:
    """states: in the place of sound ones."""
    return {name: Kernel(states.get(at, sound_state(at, count))) for at, name in enumerate(nodes(count))}


def rule_table(hook: str, text: str, *statements: Mapping[str, Any], name: str = "theirs") -> dict[str, Any]:
    """A table of somebody's with one chain and one rule."""
    chain = {"family": "ip", "table": name, "name": "c", "hook": hook, "policy": "accept"}
    rule = {"family": "ip", "table": name, "chain": "c", "handle": 4, "expr": list(statements)}
    return {
        "family": "ip",
        "name": name,
        "content": {"nftables": [{"chain": chain}, {"rule": rule}]},
        "text": f"table ip {name} {{\n chain c {{\n  {text} # handle 4\n }}\n}}\n",
    }


def match(protocol: str, field: str, right: Any, op: str = "==") -> dict[str, Any]:
    return {"match": {"op": op, "left": {"payload": {"protocol": protocol, "field": field}}, "right": right}}


def texts(found: Sequence[Any]) -> str:
    return "\n".join(f"{each.hops[0].kind} {each.node}: {each.text} | {each.remedy}" for each in found)
