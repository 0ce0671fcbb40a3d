"""`Isolation` as text for `nft`: one chain for each profile, sets of addresses and ports that it names. Pure.

A packet of a connection that is known passes. Any other one is looked up by its ends: a pod that is isolated leads to
the chain of its profile, which returns for what is let through and drops the rest. Pods come and go as elements of
sets alone; a changed policy is a chain rewritten in one transaction, so that every packet meets the old or the new.
"""

from __future__ import annotations

from collections.abc import Iterator

from navarch.proxy.isolation import Allow, Direction, Isolation

PEERS = "type ipv4_addr;"
PORTS = "type ipv4_addr . inet_proto . inet_service;"
EVERYWHERE = "0.0.0.0/0"
OTHER_END: dict[Direction, str] = {"ingress": "saddr", "egress": "daddr"}


def forwarding() -> Iterator[str]:
    """What every forwarded packet meets. Its destination was replaced before, its sender will be after."""
    yield "ct state established,related accept"
    yield "ip saddr . ip daddr @isolated-selves accept"
    yield "ip saddr vmap @isolated-egress"
    yield "ip daddr vmap @isolated-ingress"


def bar_ipv6(bridge: str, table: str) -> str:
    """Pods have no address of IPv6 but the one that their interface makes up for itself, by which they would reach each
    other past all policies. A table of its own, for some kernels have no IPv6 at all."""
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


def chains(isolation: Isolation) -> dict[str, tuple[str, ...]]:
    return {
        name: (*dict.fromkeys(_allow(each, OTHER_END[found.direction]) for each in found.allows), "drop")
        for name, found in isolation.profiles.items()
    }


def sets(isolation: Isolation) -> dict[str, str]:
    return {**dict.fromkeys(isolation.peers, PEERS), **dict.fromkeys(isolation.ports, PORTS)}


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


def _allow(allow: Allow, other_end: str) -> str:
    words: list[str] = []
    if allow.peers:
        words.append(f"ip {other_end} @{allow.peers}")
    if allow.block:
        if allow.block != EVERYWHERE:
            words.append(f"ip {other_end} {allow.block}")
        words += [f"ip {other_end} != {each}" for each in allow.without]
    if allow.named:
        words.append(f"ip daddr . meta l4proto . th dport @{allow.named}")
    elif allow.protocol:
        words.append(f"meta l4proto {allow.protocol}")
    if allow.first:
        ports = str(allow.first) if allow.first == allow.last else f"{allow.first}-{allow.last}"
        words.append(f"th dport {ports}")
    return " ".join((*words, "return"))
