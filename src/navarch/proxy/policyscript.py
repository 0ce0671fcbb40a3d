"""`Isolation` as text for `nft`: one chain for each profile, sets of addresses and ports that it names. Pure.

A packet of a connection that is known passes. Any other one is looked up by its ends: a pod that is isolated leads to
the chain of its profile, which returns for what is let through and drops the rest. Pods come and go as elements of
sets alone; a changed policy is a chain rewritten in one transaction, so that every packet meets the old or the new.
"""

from __future__ import annotations

from collections.abc import Iterator

from navarch.proxy.addresses import IPV6, Family
from navarch.proxy.isolation import Allow, Direction, Isolation
from navarch.proxy.rules import Node

NEIGHBOURS = "icmpv6 type 133-137"
"""How hosts on a link of IPv6 find each other and their routers, and are told of better ways."""
BRIDGE = "check/bridge"
OTHER_END: dict[Direction, str] = {"ingress": "saddr", "egress": "daddr"}


def always(family: Family) -> Iterator[str]:
    """What passes whatever is said: without it nobody on the bridge would be found any more."""
    if family is IPV6:
        yield f"{NEIGHBOURS} accept"


def forwarding(node: Node) -> Iterator[str]:
    """What every forwarded packet meets. Its destination was replaced before, its sender will be after."""
    ip = node.family.word
    if _bars(node):
        yield f"jump {BRIDGE}"
    yield "ct state established,related accept"
    yield f"{ip} saddr . {ip} daddr @isolated-selves accept"
    yield f"{ip} saddr vmap @isolated-egress"
    yield f"{ip} daddr vmap @isolated-ingress"


def named(node: Node) -> tuple[str, ...]:
    """Chains that `forwarding` names."""
    return (BRIDGE,) if _bars(node) else ()


def bar_ipv6(bridge: str, table: str) -> str:
    """Where pods have no address of IPv6 but the one that their interface makes up for itself, they would reach each
    other by it past all policies. A table of its own, for some kernels have no IPv6 at all. Where pods have addresses
    of IPv6 this table is that family's, and the chain `BRIDGE` in it bars what is not among these."""
    name = f"ip6 {table}"
    return "".join(
        f"{line}\n"
        for line in (
            f"add table {name}",
            f"delete table {name}",
            f"add table {name}",
            f"add chain {name} hook/forward {{ type filter hook forward priority filter; policy accept; }}",
            f'add rule {name} hook/forward iifname "{bridge}" oifname "{bridge}" drop',
        )
    )


def let_ipv6(table: str) -> str:
    return f"add table ip6 {table}\ndelete table ip6 {table}\n"


def chains(isolation: Isolation, node: Node) -> dict[str, tuple[str, ...]]:
    made = {
        name: (
            *dict.fromkeys(_allow(each, OTHER_END[found.direction], node.family) for each in found.allows),
            "drop",
        )
        for name, found in isolation.profiles.items()
    }
    if _bars(node):
        made[BRIDGE] = tuple(_bar(node)) if isolation.profiles else ()
    return made


def sets(isolation: Isolation, family: Family) -> dict[str, str]:
    peers, ports = f"type {family.type};", f"type {family.type} . inet_proto . inet_service;"
    return {**dict.fromkeys(isolation.peers, peers), **dict.fromkeys(isolation.ports, ports)}


def elements(isolation: Isolation) -> dict[str, dict[str, str]]:
    found = {
        "isolated-ingress": {address: f" : jump {profile}" for address, profile in isolation.ingress.items()},
        "isolated-egress": {address: f" : jump {profile}" for address, profile in isolation.egress.items()},
        "isolated-selves": {
            f"{address} . {address}": "" for address in (isolation.ingress.keys() | isolation.egress.keys())
        },
    }
    found.update((name, dict.fromkeys(sorted(addresses), "")) for name, addresses in isolation.peers.items())
    for name, ports in isolation.ports.items():
        found[name] = {f"{each.address} . {each.protocol} . {each.port}": "" for each in sorted(ports)}
    return found


def _bars(node: Node) -> bool:
    return node.family is IPV6 and node.bridge != ""


def _bar(node: Node) -> Iterator[str]:
    """From one pod's interface to another's by addresses that no policy speaks of."""
    across = f'iifname "{node.bridge}" oifname "{node.bridge}"'
    yield f"{across} ip6 saddr != {node.pod_cidr} drop"
    yield f"{across} ip6 daddr != {node.pod_cidr} drop"


def _allow(allow: Allow, other_end: str, family: Family) -> str:
    words: list[str] = []
    ip = family.word
    if allow.peers:
        words.append(f"{ip} {other_end} @{allow.peers}")
    if allow.block:
        if allow.block != family.everywhere:
            words.append(f"{ip} {other_end} {allow.block}")
        words += [f"{ip} {other_end} != {each}" for each in allow.without]
    if allow.named:
        words.append(f"{ip} daddr . meta l4proto . th dport @{allow.named}")
    elif allow.protocol:
        words.append(f"meta l4proto {allow.protocol}")
    if allow.first:
        ports = str(allow.first) if allow.first == allow.last else f"{allow.first}-{allow.last}"
        words.append(f"th dport {ports}")
    return " ".join((*words, "return"))
