"""NetworkPolicies, namespaces and pods, turned into the `Isolation` of one node's pods, in one address family.

Pure: it is told what came, changed and went, and answers with a value. Which pods a selector means is kept from one
answer to the next and corrected pod by pod, so that a change costs what it concerns. Who tells it, and when, is
`watch_policies`' business.

Pods on the node's own network are nobody's peer and are not isolated, as the documentation allows: their traffic is
the node's. What a node itself says to its pods is never stopped, nor what they say to it.

Source: https://kubernetes.io/docs/concepts/services-networking/network-policies/, KEP-2079 (ranges of ports)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import NamedTuple, TypeVar

from navarch.kinds.networkpolicy import NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort
from navarch.objects import selector
from navarch.objects.selector import EVERYTHING, Selector
from navarch.proxy.addresses import IPV4, Family
from navarch.proxy.isolation import FREE, Allow, Direction, Isolation, Port, Profile
from navarch.proxy.podfacts import PodFacts

Key = tuple[str, str]
"""Namespace and name."""


class _Peers(NamedTuple):
    """Pods: of one namespace, or of those whose labels are selected. name: of the set of their addresses."""

    name: str
    namespace: str
    namespaces: Selector | None
    pods: Selector


class _Rule(NamedTuple):
    """ways: those parts of `Allow` that are about ports; at least one."""

    peers: tuple[_Peers, ...]
    blocks: tuple[tuple[str, tuple[str, ...]], ...]
    anybody: bool
    ways: tuple[Allow, ...]


class _Policy(NamedTuple):
    name: str
    selector: Selector
    ingress: tuple[_Rule, ...] | None
    egress: tuple[_Rule, ...] | None


class Policies:
    """Everything known of one cluster, as one node sees it. family: addresses and networks of the other are none."""

    def __init__(self, node: str, family: Family = IPV4) -> None:
        self._node = node
        self._family = family
        self._policies: dict[str, dict[str, _Policy]] = {}
        self._namespaces: dict[str, Mapping[str, str]] = {}
        self._pods: dict[Key, PodFacts] = {}
        self._local: dict[str, dict[str, PodFacts]] = {}
        self._members: dict[str, tuple[_Peers, dict[str, int]]] = {}
        self._ports: dict[str, dict[Port, int]] = {}
        self._frozen: dict[str, frozenset[str]] = {}
        self._frozen_ports: dict[str, frozenset[Port]] = {}

    def __bool__(self) -> bool:
        """Whether there is any policy."""
        return bool(self._policies)

    def put_policy(self, namespace: str, name: str, found: NetworkPolicy | None) -> None:
        """None: it is gone."""
        read = _read(namespace, name, found, self._family) if found is not None else None
        there = self._policies.setdefault(namespace, {})
        there.pop(name, None)
        if read is not None:
            there[name] = read
        if not there:
            del self._policies[namespace]

    def put_namespace(self, name: str, labels: Mapping[str, str] | None) -> None:
        if self._namespaces.get(name) == labels:
            return
        if labels is None:
            self._namespaces.pop(name, None)
        else:
            self._namespaces[name] = dict(labels)
        # Counted afresh when it is asked for: labels of namespaces hardly ever change.
        for peers in [peers for peers, _ in self._members.values() if peers.namespaces is not None]:
            self._forget(peers.name)

    def put_pod(self, namespace: str, name: str, found: PodFacts | None) -> bool:
        """Whether that may change anything."""
        key = (namespace, name)
        # Who has an address is isolated, if only in the other family: what is barred there is barred for it as well.
        here = found is not None and found.node == self._node and bool(found.addresses)
        if found is not None:
            found = found._replace(addresses=self._family.those(found.addresses))
        old = self._pods.get(key)
        if old == found and here == (name in self._local.get(namespace, {})):
            return False
        for facts, step in ((old, -1), (found, 1)):
            if facts is not None:
                self._count(namespace, facts, step)
        local = self._local.setdefault(namespace, {})
        local.pop(name, None)
        if found is None:
            del self._pods[key]
        else:
            self._pods[key] = found
            if here:
                local[name] = found
        if not local:
            del self._local[namespace]
        return True

    def forget_pods(self) -> None:
        for namespace, name in list(self._pods):
            self.put_pod(namespace, name, None)

    def isolation(self) -> Isolation:
        isolated: dict[Direction, dict[str, str]] = {"ingress": {}, "egress": {}}
        profiles: dict[str, Profile] = {}
        peers: dict[str, _Peers] = {}
        for namespace, pods in self._local.items():
            policies = sorted(self._policies.get(namespace, {}).values())
            for pod in pods.values():
                mine = [each for each in policies if each.selector.matches(pod.labels)]
                for direction, addresses in isolated.items():
                    if profile := _profile(namespace, direction, mine, profiles, peers):
                        addresses.update(dict.fromkeys(pod.addresses, profile))
        if not profiles:
            self._drop_unused(FREE)
            return FREE
        named = {allow.named for profile in profiles.values() for allow in profile.allows if allow.named}
        made = Isolation(
            ingress=isolated["ingress"],
            egress=isolated["egress"],
            profiles=profiles,
            peers={name: self._addresses(each) for name, each in peers.items()},
            ports={name: self._ports_named(name) for name in named},
        )
        self._drop_unused(made)
        return made

    def _addresses(self, peers: _Peers) -> frozenset[str]:
        known = self._members.get(peers.name)
        if known is None:
            known = self._members[peers.name] = (peers, {})
            for (namespace, _), pod in self._pods.items():
                if self._means(peers, namespace, pod):
                    _tally(known[1], pod.addresses, 1)
        found = self._frozen.get(peers.name)
        if found is None:
            found = self._frozen[peers.name] = frozenset(known[1])
        return found

    def _ports_named(self, name: str) -> frozenset[Port]:
        members = self._ports.get(name)
        if members is None:
            members = self._ports[name] = {}
            for pod in self._pods.values():
                _tally(members, _ports(pod, name), 1)
        found = self._frozen_ports.get(name)
        if found is None:
            found = self._frozen_ports[name] = frozenset(members)
        return found

    def _count(self, namespace: str, pod: PodFacts, step: int) -> None:
        for peers, members in self._members.values():
            if self._means(peers, namespace, pod):
                _tally(members, pod.addresses, step)
                self._frozen.pop(peers.name, None)
        for name, ports in self._ports.items():
            if concerned := _ports(pod, name):
                _tally(ports, concerned, step)
                self._frozen_ports.pop(name, None)

    def _means(self, peers: _Peers, namespace: str, pod: PodFacts) -> bool:
        if peers.namespaces is None:
            if namespace != peers.namespace:
                return False
        else:
            labels = self._namespaces.get(namespace)
            if labels is None or not peers.namespaces.matches(labels):
                return False
        return peers.pods.matches(pod.labels)

    def _forget(self, name: str) -> None:
        del self._members[name]
        self._frozen.pop(name, None)

    def _drop_unused(self, made: Isolation) -> None:
        for name in self._members.keys() - made.peers.keys():
            self._forget(name)
        for name in self._ports.keys() - made.ports.keys():
            del self._ports[name]
            self._frozen_ports.pop(name, None)


Member = TypeVar("Member", str, Port)


def _tally(members: dict[Member, int], found: Iterable[Member], step: int) -> None:
    """Two pods may have one address for a moment: the second one has it still when the first is gone."""
    for each in found:
        left = members.get(each, 0) + step
        if left:
            members[each] = left
        else:
            del members[each]


def _ports(pod: PodFacts, name: str) -> tuple[Port, ...]:
    """name: of a set, `ports/<protocol>/<name>`. Of two ports of one name the first counts."""
    for called, protocol, number in pod.ports:
        if name == f"ports/{protocol}/{called}":
            return tuple(Port(address, protocol, number) for address in pod.addresses)
    return ()


def _profile(
    namespace: str,
    direction: Direction,
    policies: Iterable[_Policy],
    profiles: dict[str, Profile],
    peers: dict[str, _Peers],
) -> str:
    """The name of what these policies are together, made if it is new; "" when none of them isolates that way."""
    mine = [(each, rules) for each in policies if (rules := getattr(each, direction)) is not None]
    if not mine:
        return ""
    names = tuple(f"{namespace}/{each.name}" for each, _ in mine)
    name = f"{direction}/{_digest(*names)}"
    if name not in profiles:
        said: dict[Allow, list[str]] = {}
        for full, (_, rules) in zip(names, mine, strict=True):
            for rule in rules:
                peers.update((each.name, each) for each in rule.peers)
                for allow in _allows(rule):
                    said.setdefault(allow, []).append(full)
        allows = (
            Allow(tuple(dict.fromkeys(who)), a.peers, a.block, a.without, a.protocol, a.first, a.last, a.named)
            for a, who in said.items()
        )
        profiles[name] = Profile(name, direction, names, tuple(allows))
    return name


def _allows(rule: _Rule) -> Iterable[Allow]:
    for way in rule.ways:
        ports = (way.protocol, way.first, way.last, way.named)
        if rule.anybody:
            yield way
        yield from (Allow((), each.name, "", (), *ports) for each in rule.peers)
        yield from (Allow((), "", block, without, *ports) for block, without in rule.blocks)


def _read(namespace: str, name: str, found: NetworkPolicy, family: Family) -> _Policy:
    spec = found.spec
    types = spec.policy_types or (("Ingress", "Egress") if spec.egress else ("Ingress",))
    return _Policy(
        name,
        selector.from_view(spec.pod_selector),
        tuple(_rule(namespace, each.ports, each.from_, family) for each in spec.ingress)
        if "Ingress" in types
        else None,
        tuple(_rule(namespace, each.ports, each.to, family) for each in spec.egress) if "Egress" in types else None,
    )


def _rule(
    namespace: str, ports: tuple[NetworkPolicyPort, ...], peers: tuple[NetworkPolicyPeer, ...], family: Family
) -> _Rule:
    blocks = []
    for peer in peers:
        if peer.ip_block is not None and (whole := family.network(peer.ip_block.cidr)):
            parts = filter(None, map(family.network, peer.ip_block.except_))
            blocks.append((str(whole), tuple(str(each) for each in parts)))
    pods = (_peers(namespace, each) for each in peers if each.ip_block is None)
    return _Rule(tuple(pods), tuple(blocks), not peers, tuple(map(_way, ports)) or (Allow(),))


def _peers(namespace: str, peer: NetworkPolicyPeer) -> _Peers:
    pods = EVERYTHING if peer.pod_selector is None else selector.from_view(peer.pod_selector)
    if peer.namespace_selector is None:
        return _Peers(f"peers/{_digest(namespace, str(pods))}", namespace, None, pods)
    namespaces = selector.from_view(peer.namespace_selector)
    return _Peers(f"peers/{_digest('', str(namespaces), str(pods))}", "", namespaces, pods)


def _way(port: NetworkPolicyPort) -> Allow:
    protocol = port.protocol.lower()
    if isinstance(port.port, str):
        return Allow(protocol=protocol, named=f"ports/{protocol}/{port.port}")
    first = port.port or 0
    return Allow(protocol=protocol, first=first, last=port.end_port or first)


def _digest(*texts: str) -> str:
    return blake2b("\n".join(texts).encode(), digest_size=9).hexdigest()
