"""Which probes there are to send, and which hops each of them crosses. Pure.

A probe that arrives clears every hop that it crossed, so each crosses as few as can be, and hops are named as finely as
they can break: a direction of a route, one service at one node.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import ip_address, ip_network

from navarch.app.netcheck.probes import Hook, Hop, Leg, Probe
from navarch.app.nettrace.ends import address_of
from navarch.app.nettrace.world import DNS, World
from navarch.dns.run import PORT as DNS_PORT
from navarch.kinds.pod.view import Pod
from navarch.net.plan import PORT as TUNNEL_PORT
from navarch.proxy.addresses import IPV4, Family, family_of, first_of, joined

OPEN_PORT, BARRED_PORT = 8080, 8081
"""At every probe pod; the policy lets nobody to the second."""
WITHIN_S, SOON_S, DENIED_S = 2.0, 1.5, 1.0
KUBERNETES = ("default", "kubernetes")
PINGS_MOST = 200


@dataclass(frozen=True, slots=True)
class Actor:
    """A probe pod. name: with its namespace."""

    node: str
    name: str
    address: str


@dataclass(frozen=True, slots=True)
class Gate:
    """The service of one node's probe pod."""

    name: str
    address: str
    node_port: int


@dataclass(frozen=True)
class Cast:
    """What was set up, by node. first: sends, and is behind `gates`. second: is the one that the policy isolates.

    host_ports: at which each node's own network answers; 0 where it could not. headless: the name of the service of
    all first pods. agents: the port of each node's agent.
    """

    namespace: str
    first: Mapping[str, Actor]
    second: Mapping[str, Actor]
    gates: Mapping[str, Gate]
    host_ports: Mapping[str, int] = field(default_factory=dict)
    agents: Mapping[str, int] = field(default_factory=dict)
    headless: str = "all"


def plan(world: World, cast: Cast, *, outside: Sequence[str] = ()) -> list[Probe]:
    """Every path between the nodes of the cast. outside: what pods shall reach: `address:port`, or names."""
    made = _Plan(world, cast)
    probes = [
        *made.own_pods(),
        *made.pods(),
        *made.services(),
        *made.names(),
        *made.out(),
        *made.into(),
        *made.sizes(),
        *made.policy(),
        *made.outside(outside),
    ]
    return [of_family(probe, world.family) for probe in probes]


def of_family(probe: Probe, family: Family) -> Probe:
    """With its hops as those of that family."""
    if family is IPV4:
        return probe
    hops = tuple(hop._replace(family=family.name) for hop in probe.hops)
    return replace(probe, to=f"{probe.to} ({family.name})", hops=hops)


class Ways:
    """The hops between two places, and the packets that a probe is at each kernel's hooks."""

    def __init__(self, world: World) -> None:
        self._world = world

    def address(self, node: str) -> str:
        """ "" for a node that has none of this family, though its pods have."""
        return next(iter(self._world.known_nodes[node].addresses), "")

    def gateway(self, node: str) -> str:
        return first_of(self._world.known_nodes[node].pod_cidr)

    def leave(self, node: str, pod: str) -> tuple[Hop, ...]:
        """From a pod into its node."""
        return (Hop("pod link", node, pod), Hop("bridge", node), Hop("gateway", node))

    def between(self, here: str, there: str, *, both: bool) -> tuple[Hop, ...]:
        """From one node to the pods of another. both: and answers to pods of the first."""
        back = (Hop("route", there, here),) if both else ()
        return (Hop("node link", here), Hop("route", here, there), *back, Hop("node link", there))

    def pods(self, here: str, source: str, there: str, target: str) -> tuple[Hop, ...]:
        if here == there:
            return (Hop("pod link", here, source), Hop("bridge", here), Hop("pod link", here, target))
        return (
            *self.leave(here, source),
            Hop("forwarding", here),
            *self.between(here, there, both=True),
            Hop("forwarding", there),
            *reversed(self.leave(there, target)),
        )

    def legs(self, here: str, there: str, source: str, address: str, protocol: str, port: int) -> tuple[Leg, ...]:
        """Of a packet from a pod of one node to a pod of another, or of the same."""
        words = (source, address, protocol, port)
        crossed = tuple(Leg(node, hook, *words) for node in dict.fromkeys((here, there)) for hook in _CROSSED)
        return crossed if here == there else (*crossed, *self.tunnelled(here, there))

    def tunnelled(self, here: str, there: str) -> tuple[Leg, ...]:
        """The same packet, and the one that answers it, as the nodes send them to each other in VXLAN."""
        outer = Ways(self._world.of(self._world.families[0]))
        if self._world.mode == "direct":
            return ()
        ends = ((here, there), (there, here))
        return tuple(
            leg
            for one, other in ends
            for words in [(outer.address(one), outer.address(other), "udp", TUNNEL_PORT)]
            for leg in (Leg(one, "output", *words), Leg(other, "prerouting", *words), Leg(other, "input", *words))
        )

    def to_node(self, node: str, source: str, address: str, protocol: str, port: int) -> tuple[Leg, ...]:
        """What arrives at the node itself."""
        return tuple(Leg(node, hook, source, address, protocol, port) for hook in _ARRIVING)


_ARRIVING: tuple[Hook, ...] = ("prerouting", "input")
_CROSSED: tuple[Hook, ...] = ("prerouting", "forward", "postrouting")


class _Plan:
    def __init__(self, world: World, cast: Cast) -> None:
        self._world = world
        self._cast = cast
        self._ways = Ways(world)
        self._nodes = sorted(cast.first)

    def own_pods(self) -> Iterator[Probe]:
        """Every pod of the cluster is asked by its own node whether it is there."""
        for node in self._nodes:
            here = [key for key, pod in self._world.pods.items() if pod.view.spec.node_name == node]
            pods = [key for key in here if pings(self._world, self._world.pods[key].view)]
            for key in pods[:PINGS_MOST]:
                name, address = "/".join(key), address_of(self._world, self._world.pods[key].view)
                hops = tuple(reversed(self._ways.leave(node, name)))
                yield Probe(
                    "node to its own pods", node, "", f"pod {name}", _ask("ping", address, 0, SOON_S), hops,
                    (Leg(node, "output", self._ways.gateway(node), address, "icmp", 0),),
                )  # fmt: skip

    def pods(self) -> Iterator[Probe]:
        for here in self._nodes:
            source, near = self._cast.second[here], self._cast.first[here]
            for kind in ("tcp", "udp"):
                yield self._direct("pod to pod on the same node", source, near, kind)
            for there in self._others(here):
                for kind in ("tcp", "udp"):
                    yield self._direct(
                        "pod to pod on another node", self._cast.first[here], self._cast.first[there], kind
                    )

    def _direct(self, group: str, source: Actor, target: Actor, kind: str) -> Probe:
        hops = self._ways.pods(source.node, source.name, target.node, target.name)
        legs = self._ways.legs(source.node, target.node, source.address, target.address, kind, OPEN_PORT)
        ask = _ask(kind, target.address, OPEN_PORT)
        return Probe(group, source.node, source.name, f"{_pod(target)} ({kind})", ask, hops, legs)

    def services(self) -> Iterator[Probe]:
        """Of each node's pod, from each node's pod; from itself as well, which has to come back by another way."""
        for here in self._nodes:
            for there in self._nodes:
                source, gate = self._cast.first[here], self._cast.gates[there]
                for kind in ("tcp", "udp"):
                    yield self._by_service(source, self._cast.first[there], gate, kind)
            yield self._by_service(self._cast.second[here], self._cast.first[here], self._cast.gates[here], "tcp")

    def _by_service(self, source: Actor, target: Actor, gate: Gate, kind: str) -> Probe:
        here, service = source.node, f"{self._cast.namespace}/{gate.name} ({kind})"
        hops = (*self._service(here, service), *self._ways.pods(here, source.name, target.node, target.name))
        legs = self._ways.legs(here, target.node, source.address, target.address, kind, OPEN_PORT)
        before = Leg(here, "prerouting", source.address, gate.address, kind, OPEN_PORT)
        ask = _ask(kind, gate.address, OPEN_PORT)
        to = f"service of {_pod(target)} at {gate.address} ({kind})"
        return Probe("pod to service address", here, source.name, to, ask, hops, (before, *legs))

    def _service(self, node: str, service: str) -> tuple[Hop, ...]:
        return (Hop("service rules", node), Hop("service", node, service))

    def names(self) -> Iterator[Probe]:
        world, dns = self._world, self._dns_address()
        space, domain = self._cast.namespace, world.domain
        api = world.services.get(KUBERNETES)
        wanted = {f"{self._cast.headless}.{space}.svc.{domain}": _joined(a.address for a in self._cast.first.values())}
        wanted |= {f"{gate.name}.{space}.svc.{domain}": gate.address for gate in self._cast.gates.values()}
        if api is not None and (address := self._service_address(KUBERNETES)):
            wanted[f"kubernetes.default.svc.{domain}"] = address
        for node in self._nodes:
            server = (Hop("DNS", node),)
            here = self._ways.gateway(node)
            arriving = self._ways.to_node(node, here, here, "udp", DNS_PORT)
            own = Probe(
                "name to address", node, "", f"the node's DNS server at {joined(here, DNS_PORT)}",
                _question(here, DNS_PORT, f"kubernetes.default.svc.{domain}"), server,
                (Leg(node, "output", here, here, "udp", DNS_PORT), *arriving),
            )  # fmt: skip
            yield own
            for actor in (self._cast.first[node], self._cast.second[node]):
                legs = self._ways.to_node(node, actor.address, here, "udp", DNS_PORT)
                leave = self._ways.leave(node, actor.name)
                yield Probe(
                    "name to address", node, actor.name, f"the node's DNS server at {joined(here, DNS_PORT)}",
                    _question(here, DNS_PORT, f"kubernetes.default.svc.{domain}"), (*leave, *server), legs,
                )  # fmt: skip
                if not dns:
                    continue
                asked = Leg(node, "prerouting", actor.address, dns, "udp", 53)
                hops = (*leave, *self._service(node, "/".join(DNS)), *server)
                for name, answer in wanted.items():
                    ask = _question(dns, 53, name)
                    yield Probe("name to address", node, actor.name, name, ask, hops, (asked, *legs), answer)
                if actor is self._cast.first[node]:
                    yield from self._forwarded(actor, dns, hops)

    def _forwarded(self, actor: Actor, dns: str, hops: tuple[Hop, ...]) -> Iterator[Probe]:
        """Those that the cluster was told of; the servers of a node's own resolv.conf are left alone."""
        found = self._world.forwarding
        for domain, servers in found.stubs.items():
            hop = Hop("upstream DNS", "", f"{domain} by {_servers(servers)}")
            ask = _question(dns, 53, domain, "SOA")
            yield Probe("name of others to address", actor.node, actor.name, domain, ask, (*hops, hop))
        if found.upstreams:
            hop = Hop("upstream DNS", "", f"all other names by {_servers(found.upstreams)}")
            ask = _question(dns, 53, ".", "SOA")
            yield Probe("name of others to address", actor.node, actor.name, "the root of names", ask, (*hops, hop))

    def _dns_address(self) -> str:
        return self._service_address(DNS)

    def _service_address(self, key: tuple[str, str]) -> str:
        """ "" for a service that has none of this family, or is not there."""
        found = self._world.services.get(key)
        spec = found.view.spec if found else None
        return next(iter(self._world.family.those((spec.cluster_ip, *spec.cluster_ips))), "") if spec else ""

    def out(self) -> Iterator[Probe]:
        for here in self._nodes:
            source = self._cast.first[here]
            leave = self._ways.leave(here, source.name)
            for there in [here, *self._others(here)]:
                yield from self._to_node(source, leave, there)
            yield from self._api(source, leave)

    def _to_node(self, source: Actor, leave: tuple[Hop, ...], there: str) -> Iterator[Probe]:
        here, address = source.node, self._ways.address(there)
        if not address or not self._ways.address(here):
            return  # nodes need no address of the second family: their pods have a way all the same
        hops, seen = leave, source.address
        if there != here:
            hops = (*leave, Hop("forwarding", here), Hop("node link", here), Hop("node link", there))
            seen = self._ways.address(here)
        out = (
            Leg(here, "prerouting", source.address, address, "tcp", 0),
            Leg(here, "postrouting", source.address, address, "tcp", 0),
        )
        if port := self._cast.agents.get(there, 0):
            legs = (*out, *self._ways.to_node(there, seen, address, "tcp", port))
            ask = _ask("tcp", address, port, reads=False)
            to = f"agent of node {there} at {joined(address, port)}"
            yield Probe("pod out", here, source.name, to, ask, (*hops, Hop("agent", there)), legs)
        port = self._cast.host_ports.get(there, 0)
        if there != here and port:
            more = (Hop("host ports", there), Hop("masquerade", here))
            legs = (*out, *self._ways.to_node(there, seen, address, "tcp", port))
            to, own = f"node {there}, under an address of {here}", self._world.cluster_cidr
            yield Probe("pod out", here, source.name, to, _ask("tcp", address, port), (*hops, *more), legs, hidden=own)

    def _api(self, source: Actor, leave: tuple[Hop, ...]) -> Iterator[Probe]:
        here, found = source.node, self._world.services.get(KUBERNETES)
        address = self._service_address(KUBERNETES)
        if found is None or not address:
            return
        port = next((p.port for p in found.view.spec.ports), 443)
        behind = [a for part in self._world.slices.get(KUBERNETES, ()) for e in part.endpoints for a in e.addresses]
        away = [node for each in behind if (node := self._world.node_at(each)) != here]
        hops = [*leave, *self._service(here, "/".join(KUBERNETES)), Hop("API server", "")]
        if away and len(away) == len(behind):
            hops += [Hop("forwarding", here), Hop("node link", here)]
            hops += [Hop("node link", away[0])] if len(away) == 1 and away[0] else []
        legs = (Leg(here, "prerouting", source.address, address, "tcp", port),)
        to = f"the API server at {joined(address, port)}"
        yield Probe("pod out", here, source.name, to, _ask("tcp", address, port, reads=False), tuple(hops), legs)

    def into(self) -> Iterator[Probe]:
        for here in self._nodes:
            for there in self._others(here):
                yield from self._from_node(here, there)

    def _from_node(self, here: str, there: str) -> Iterator[Probe]:
        source, address = self._ways.address(here), self._ways.address(there)
        if not source or not address:
            return
        links = (Hop("node link", here), Hop("node link", there))
        target, gate = self._cast.first[there], self._cast.gates[there]
        inside = (Hop("forwarding", there), *reversed(self._ways.leave(there, target.name)))
        hops = (*self._ways.between(here, there, both=False), *inside)
        legs = (
            Leg(here, "output", source, target.address, "tcp", OPEN_PORT),
            *(Leg(there, hook, source, target.address, "tcp", OPEN_PORT) for hook in _CROSSED),
            *self._ways.tunnelled(here, there),
        )
        ask = _ask("tcp", target.address, OPEN_PORT)
        yield Probe("node to pod on another node", here, "", _pod(target), ask, hops, legs)
        if gate.node_port and self._opens_node_ports(there):
            name = f"{self._cast.namespace}/{gate.name} (tcp)"
            way = (*links, Hop("node port", there), *self._service(there, name), *inside)
            legs = (
                Leg(there, "prerouting", source, address, "tcp", gate.node_port),
                *(Leg(there, hook, source, target.address, "tcp", OPEN_PORT) for hook in _CROSSED[1:]),
            )
            to, ask = f"{joined(address, gate.node_port)} of node {there}", _ask("tcp", address, gate.node_port)
            yield Probe("node port, from another node", here, "", to, ask, way, legs)
        if port := self._cast.host_ports.get(there, 0):
            legs = self._ways.to_node(there, source, address, "tcp", port)
            to, ask = f"node {there} at {joined(address, port)}", _ask("tcp", address, port)
            yield Probe("pod out", here, "", to, ask, (*links, Hop("host ports", there)), legs)

    def _opens_node_ports(self, node: str) -> bool:
        """Whether node ports answer at the node's own address, by the cluster's setting."""
        networks = self._world.known_nodes[node].node_port_networks
        own = ip_address(self._ways.address(node))
        return not networks or any(own in ip_network(each) for each in networks)

    def sizes(self) -> Iterator[Probe]:
        for here in self._nodes:
            for there in self._nodes:
                source = self._cast.second[here] if here == there else self._cast.first[here]
                target = self._cast.first[there]
                hops = self._ways.pods(here, source.name, there, target.name)
                if here != there:
                    hops += (Hop("MTU of a node", here), Hop("MTU of a node", there))
                pair = sorted((here, there))
                ask = _ask("mtu", target.address, OPEN_PORT, 0.8) | {"device": "eth0"}
                legs = self._ways.legs(here, there, source.address, target.address, "udp", OPEN_PORT)
                hops += (Hop("MTU", pair[0], pair[1]),)
                yield Probe("largest packet that must pass", here, source.name, _pod(target), ask, hops, legs)

    def policy(self) -> Iterator[Probe]:
        for there in self._nodes:
            target = self._cast.second[there]
            held = Hop("policy", there, "allows"), Hop("policy", there, "denies")
            for here in self._nodes:
                source = self._cast.first[here]
                hops = (*self._ways.pods(here, source.name, there, target.name), held[0])
                legs = self._ways.legs(here, there, source.address, target.address, "tcp", OPEN_PORT)
                ask = _ask("tcp", target.address, OPEN_PORT)
                to = _pod(target)
                yield Probe("what a policy allows", here, source.name, f"{to}:{OPEN_PORT}", ask, hops, legs)
                ask = _ask("tcp", target.address, BARRED_PORT, DENIED_S)
                to = f"{to}:{BARRED_PORT}"
                yield Probe("what a policy denies", here, source.name, to, ask, (held[1],), dropped=True)
            near = tuple(reversed(self._ways.leave(there, target.name)))
            ask, to = _ask("tcp", target.address, BARRED_PORT), f"{_pod(target)}:{BARRED_PORT}"
            yield Probe("what a policy allows", there, "", to, ask, (*near, held[0]))

    def outside(self, wanted: Sequence[str]) -> Iterator[Probe]:
        dns = self._dns_address()
        for node in self._nodes:
            source = self._cast.first[node]
            leave = self._ways.leave(node, source.name)
            for each in wanted:
                host, _, port = each.rpartition(":") if ":" in each else ("", "", "")
                hop = Hop("outside", node, each)
                way: tuple[Hop, ...] = (Hop("forwarding", node),)
                ask = _ask("tcp", host, int(port or 0), reads=False)
                if not host:
                    way = (*self._service(node, "/".join(DNS)), Hop("DNS", node))
                    ask = _question(dns, 53, each)
                yield Probe("pod out", node, source.name, each, ask, (*leave, *way, hop))

    def _others(self, node: str) -> list[str]:
        return [each for each in self._nodes if each != node]


def pings(world: World, pod: Pod) -> bool:
    """Whether it must answer its node: it has a network of its own, and is not on its way out."""
    leaving = pod.metadata.deletion_timestamp is not None
    return pod.status.phase == "Running" and not leaving and not pod.spec.host_network and address_of(world, pod) != ""


def _ask(kind: str, address: str, port: int, within_s: float = WITHIN_S, *, reads: bool = True) -> dict[str, object]:
    return {"kind": kind, "address": address, "port": port, "within_s": within_s, "reads": reads}


def _question(server: str, port: int, name: str, type_: str = "") -> dict[str, object]:
    kind = type_ or ("A" if family_of(server) is IPV4 else "AAAA")
    return {"kind": "dns", "address": server, "port": port, "name": name, "type": kind, "within_s": WITHIN_S}


def _pod(actor: Actor) -> str:
    return f"pod {actor.name.partition('/')[2]} on {actor.node}"


def _joined(addresses: Iterator[str]) -> str:
    return " ".join(sorted(addresses))


def _servers(servers: Sequence[tuple[str, int]]) -> str:
    return ", ".join(address if port == 53 else f"{address}:{port}" for address, port in servers)
