"""`Rules` as text for `nft -f`: the whole table, or only what changed. Pure.

Lookup is by verdict maps, so that a packet's way does not grow with the number of services. Two things keep
transactions small and fast: a chain has a name of its own and is rewritten only when it changed, and rules hold no
anonymous sets (the kernel names each by a scan of all of them: with those, 5,000 services took 6 s instead of 0.4).

Names contain a `/`, which keeps them apart from the language's own words. Each address family has a table of its own:
rules are of one family, and a cluster that has only one leaves the other's table away.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from navarch.proxy import policyscript
from navarch.proxy.addresses import IPV4, Family, joined
from navarch.proxy.isolation import Isolation
from navarch.proxy.joining import differing
from navarch.proxy.rules import Door, Front, Gate, Node, Part, Pool, Refusal, Rules, Target

MASQUERADE_MARK = 0x4000
"""A bit of the packet mark: the sender's address will be replaced by the node's."""

Chains = dict[str, tuple[str, ...]]
Elements = dict[str, dict[str, str]]

MAPS = {
    "fronts": "type {address} . inet_proto . inet_service : verdict;",
    "node-ports": "type inet_proto . inet_service : verdict;",
    "host-ports": "type inet_proto . inet_service : verdict;",
    "host-fronts": "type {address} . inet_proto . inet_service : verdict;",
    "refused": "type {address} . inet_proto . inet_service : verdict;",
    "refused-node-ports": "type inet_proto . inet_service : verdict;",
    "guards": "type {address} . inet_proto . inet_service : verdict;",
    "isolated-ingress": "type {address} : verdict;",
    "isolated-egress": "type {address} : verdict;",
}
SETS = {
    "cluster-ips": "type {address};",
    "balanced": "type {address};",
    "node-addresses": "type {address};",
    "hairpins": "type {address} . {address};",
    "isolated-selves": "type {address} . {address};",
}
NETWORKS = "type {address}; flags interval;"


def whole(rules: Rules, table: str) -> str:
    """Replaces the table of this name, whatever is in it."""
    family = rules.node.family
    name = f"{family.word} {table}"
    lines = [f"add table {name}", f"delete table {name}", f"add table {name}"]
    sets = {**SETS, "node-addresses": NETWORKS} if rules.node.node_port_networks else SETS
    lines += [f"add map {name} {each} {{ {what.format(address=family.type)} }}" for each, what in MAPS.items()]
    lines += [f"add set {name} {each} {{ {what.format(address=family.type)} }}" for each, what in sets.items()]
    lines += _skeleton(rules.node, name)
    content = _Content(rules.node)
    content.elements = _node_elements(rules)
    for part in rules.parts.values():
        content.add(part)
    content.isolate(rules.isolation)
    lines += _transaction(_Content(rules.node), content, name)
    return "".join(f"{line}\n" for line in lines)


def change(old: Rules, new: Rules, table: str) -> str:
    """From `old`, which is in force, to `new`; "" when nothing differs. The node's own facts must be the same."""
    name = f"{new.node.family.word} {table}"
    before, after = _Content(new.node), _Content(new.node)
    for key in differing(old.parts, new.parts):
        was, now = old.parts.get(key), new.parts.get(key)
        if was is now or was == now:
            continue
        before.add(was)
        after.add(now)
    if old.isolation is not new.isolation:
        before.isolate(old.isolation)
        after.isolate(new.isolation)
    before.elements["hairpins"] = _hairpins(old.hairpins - new.hairpins)
    after.elements["hairpins"] = _hairpins(new.hairpins - old.hairpins)
    before.elements["balanced"] = dict.fromkeys(sorted(old.balanced - new.balanced), "")
    after.elements["balanced"] = dict.fromkeys(sorted(new.balanced - old.balanced), "")
    return "".join(f"{line}\n" for line in _transaction(before, after, name))


def remove(table: str, family: Family = IPV4) -> str:
    return f"add table {family.word} {table}\ndelete table {family.word} {table}\n"


class _Content:
    """Chains, sets and elements of those parts that differ, before or after."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self.chains: Chains = {}
        self.sets: dict[str, str] = {}
        self.elements: Elements = {}

    def isolate(self, isolation: Isolation) -> None:
        self.chains.update(policyscript.chains(isolation, self._node))
        self.sets.update(policyscript.sets(isolation, self._node.family))
        self.elements.update(policyscript.elements(isolation))

    def add(self, part: Part | None) -> None:
        if part is None:
            return
        self.chains.update(_chains(part, self._node))
        self.sets.update(_affinity_sets(part, self._node.family))
        for each, content in _elements(part).items():
            self.elements.setdefault(each, {}).update(content)


def _transaction(before: _Content, after: _Content, name: str) -> Iterator[str]:
    """Nothing is named before it exists, nothing is deleted while something still names it."""
    yield from _add_sets({each: what for each, what in after.sets.items() if each not in before.sets}, name)
    for chain in after.chains.keys() - before.chains.keys():
        yield f"add chain {name} {chain}"
    for chain, content in after.chains.items():
        was = before.chains.get(chain)
        if was != content:
            if was:
                yield f"flush chain {name} {chain}"
            yield from (f"add rule {name} {chain} {rule}" for rule in content)
    for each in before.elements.keys() | after.elements.keys():
        old, new = before.elements.get(each, {}), after.elements.get(each, {})
        gone = {key: value for key, value in old.items() if new.get(key) != value}
        come = {key: value for key, value in new.items() if old.get(key) != value}
        yield from _element("delete", name, each, gone)
        yield from _element("add", name, each, come)
    dead = before.chains.keys() - after.chains.keys()
    yield from (f"flush chain {name} {chain}" for chain in dead)
    yield from (f"delete chain {name} {chain}" for chain in dead)
    yield from (f"delete set {name} {each}" for each in before.sets.keys() - after.sets.keys())


def _add_sets(sets: Mapping[str, str], name: str) -> Iterator[str]:
    return (f"add set {name} {each} {{ {what} }}" for each, what in sets.items())


def _element(verb: str, name: str, where: str, content: Mapping[str, str]) -> Iterator[str]:
    if content:
        yield f"{verb} element {name} {where} {{ {', '.join(key + value for key, value in content.items())} }}"


def _skeleton(node: Node, name: str) -> Iterator[str]:
    """The chains that every packet may meet, and their rules."""
    hooks = {
        "hook/guard-prerouting": ("filter", "prerouting", "dstnat - 10", tuple(_guarding(node.family))),
        "hook/guard-output": ("filter", "output", "-110", ("ct state new jump check/guards",)),
        "hook/nat-prerouting": ("nat", "prerouting", "dstnat", ("jump all/services",)),
        "hook/nat-output": ("nat", "output", "-100", ("jump all/services",)),
        "hook/input": ("filter", "input", "filter", ("ct state new jump check/refused",)),
        "hook/forward": ("filter", "forward", "filter", tuple(_forwarding(node))),
        "hook/output": ("filter", "output", "-90", ("ct state new jump check/refused",)),
        "hook/nat-postrouting": ("nat", "postrouting", "srcnat", tuple(_masquerading(node))),
    }
    chains: Chains = {
        "do/hide": (f"meta mark set meta mark | {MASQUERADE_MARK:#x}",),
        "do/reject": ("meta l4proto tcp reject with tcp reset", "reject"),
        "check/guards": (f"{node.family.word} daddr . meta l4proto . th dport vmap @guards",),
        "check/refused": tuple(_refusing(node)),
        "all/services": tuple(_services(node)),
        "all/host-ports": tuple(_host_ports(node)),
    }
    for chain in (*chains, *policyscript.named(node)):
        yield f"add chain {name} {chain}"
    for chain, (type_, hook, priority, content) in hooks.items():
        yield f"add chain {name} {chain} {{ type {type_} hook {hook} priority {priority}; policy accept; }}"
        chains[chain] = content
    yield from (f"add rule {name} {chain} {rule}" for chain, content in chains.items() for rule in content)


def _guarding(family: Family) -> Iterator[str]:
    # Host ports answer on loopback too, for which the bridge must let such addresses through; nobody else may use that.
    yield f"iifname != lo {family.word} daddr {family.loopback} drop"
    yield "ct state new jump check/guards"


def _forwarding(node: Node) -> Iterator[str]:
    yield from policyscript.always(node.family)
    # A packet that belongs to no connection is not translated back: the other side would see a stranger, and reset.
    yield f"ct state invalid {node.family.word} saddr {node.pod_cidr} drop"
    yield "ct state new jump check/refused"
    yield from policyscript.forwarding(node)


def _services(node: Node) -> Iterator[str]:
    ip = node.family.word
    strangers = "" if node.masquerade_all else f"{ip} saddr != {node.cluster_cidr} "
    yield f"{ip} daddr @cluster-ips {strangers}jump do/hide"
    yield f"{ip} daddr . meta l4proto . th dport vmap @fronts"
    yield f"{_to_the_node(node)} meta l4proto . th dport vmap @node-ports"
    # What is sent to loopback cannot leave it in IPv6, whatever address it is given.
    beyond = "" if node.family is IPV4 else f"{ip} daddr != {node.family.loopback} "
    yield f"{beyond}fib daddr type local jump all/host-ports"


def _host_ports(node: Node) -> Iterator[str]:
    yield f"{node.family.word} daddr . meta l4proto . th dport vmap @host-fronts"
    yield "meta l4proto . th dport vmap @host-ports"


def _to_the_node(node: Node) -> str:
    """What has an address on which node ports answer. Which of its networks the node is in, the kernel knows."""
    ip = node.family.word
    here = f"{ip} daddr != {node.family.loopback} fib daddr type local " if node.node_port_networks else ""
    return f"{here}{ip} daddr @node-addresses"


def _refusing(node: Node) -> Iterator[str]:
    ip = node.family.word
    yield f"{ip} daddr . meta l4proto . th dport vmap @refused"
    yield f"{_to_the_node(node)} meta l4proto . th dport vmap @refused-node-ports"
    yield f"{ip} daddr @cluster-ips goto do/reject"
    # Sent on, it would come back: every node leads it to the link on which this one answers for the address.
    yield f"{ip} daddr @balanced fib daddr type != local goto do/reject"
    if node.service_cidr:
        yield f"{ip} daddr {node.service_cidr} drop"


def _masquerading(node: Node) -> Iterator[str]:
    ip, pods = node.family.word, node.pod_cidr
    yield (
        f"meta mark & {MASQUERADE_MARK:#x} != 0 meta mark set meta mark ^ {MASQUERADE_MARK:#x} masquerade fully-random"
    )
    yield f"ct status dnat {ip} saddr . {ip} daddr @hairpins masquerade fully-random"
    yield f"ct status dnat {ip} saddr {node.family.loopback} oifname != lo masquerade fully-random"
    if not node.bridge_filtered:
        yield f"ct status dnat {ip} saddr {pods} {ip} daddr {pods} masquerade fully-random"
    if not node.hides_pods:
        return
    beyond = " ".join(f"{ip} daddr != {each}" for each in (node.cluster_cidr, *node.family.local))
    yield f"{ip} saddr {pods} {beyond} oifname != lo masquerade fully-random"


def _node_elements(rules: Rules) -> Elements:
    return {
        "node-addresses": dict.fromkeys(rules.node.node_port_networks or rules.node.addresses, ""),
        "hairpins": _hairpins(rules.hairpins),
        "balanced": dict.fromkeys(sorted(rules.balanced), ""),
    }


def _hairpins(addresses: Iterable[str]) -> dict[str, str]:
    return {f"{address} . {address}": "" for address in sorted(addresses)}


def _elements(part: Part) -> Elements:
    elements: Elements = {
        "fronts": {_front(front): f" : goto {way}" for front, way in part.fronts.items()},
        "node-ports": {_gate(gate): f" : goto {way}" for gate, way in part.node_ports.items()},
        "host-ports": {_gate(gate): f" : goto {way}" for gate, way in part.host_ports.items()},
        "host-fronts": {_front(front): f" : goto {way}" for front, way in part.host_fronts.items()},
        "refused": {_front(front): _refusal(how) for front, how in part.refused.items()},
        "refused-node-ports": {_gate(gate): _refusal(how) for gate, how in part.refused_node_ports.items()},
        "guards": {_front(front): f" : goto {_guard(front)}" for front in part.guards},
        "cluster-ips": dict.fromkeys(part.cluster_ips, ""),
    }
    return {name: content for name, content in elements.items() if content}


def _front(front: Front) -> str:
    return f"{front.address} . {front.protocol} . {front.port}"


def _gate(gate: Gate) -> str:
    return f"{gate.protocol} . {gate.port}"


def _refusal(how: Refusal) -> str:
    return " : drop" if how == "drop" else " : goto do/reject"


def _guard(front: Front) -> str:
    return f"guard/{_name(front.address)}/{front.protocol}/{front.port}"


def _name(address: str) -> str:
    """As part of a name, where no colon may stand."""
    return address.replace(":", "-")


def _chains(part: Part, node: Node) -> Chains:
    chains: Chains = {}
    ip = node.family.word
    for pool in part.pools:
        chains.update(_pool(pool, ip))
    for door in part.doors:
        chains[door.name] = tuple(_door(door, node))
    for front, ranges in part.guards.items():
        chains[_guard(front)] = (*(f"{ip} saddr {each} return" for each in ranges), "drop")
    return chains


def _door(door: Door, node: Node) -> Iterator[str]:
    if door.near:
        yield f"{node.family.word} saddr {node.cluster_cidr} goto {door.near}"
        yield "fib saddr type local jump do/hide"
        yield f"fib saddr type local goto {door.near}"
    if door.hidden:
        yield "jump do/hide"
    if door.pool:
        yield f"goto {door.pool}"


def _pool(pool: Pool, ip: str) -> Chains:
    last = len(pool.targets) - 1
    chances = [f"numgen random mod {last + 1 - at} 0 " if at < last else "" for at in range(last + 1)]
    if not pool.affinity_s:
        return {
            pool.name: tuple(
                f"meta l4proto {pool.protocol} {chance}{_dnat(target)}"
                for target, chance in zip(pool.targets, chances, strict=True)
            )
        }
    ways = [f"to/{pool.name}/{_name(target.address)}/{target.port}" for target in pool.targets]
    known = (
        f"{ip} saddr @{_affinity(pool, target)} goto {way}" for target, way in zip(pool.targets, ways, strict=True)
    )
    picked = (f"{chance}goto {way}" for way, chance in zip(ways, chances, strict=True))
    chains: Chains = {pool.name: (*known, *picked)}
    for target, way in zip(pool.targets, ways, strict=True):
        remember = f"update @{_affinity(pool, target)} {{ {ip} saddr }}"
        chains[way] = (remember, f"meta l4proto {pool.protocol} {_dnat(target)}")
    return chains


def _dnat(target: Target) -> str:
    return f"dnat to {joined(*target)}"


def _affinity(pool: Pool, target: Target) -> str:
    return f"seen/{pool.name}/{_name(target.address)}/{target.port}/{pool.affinity_s}"


def _affinity_sets(part: Part, family: Family) -> dict[str, str]:
    return {
        _affinity(pool, target): f"type {family.type}; flags dynamic,timeout; timeout {pool.affinity_s}s;"
        for pool in part.pools
        if pool.affinity_s
        for target in pool.targets
    }
