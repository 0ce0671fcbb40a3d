"""From the thing that was named to the addresses and ports that packets for it carry. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from navarch.app.nettrace import ends, naming
from navarch.app.nettrace.ends import Port, Sender
from navarch.app.nettrace.question import Question
from navarch.app.nettrace.standing import unready
from navarch.app.nettrace.steps import Step, listed
from navarch.app.nettrace.world import DNS, World
from navarch.kinds.service import Service
from navarch.proxy.addresses import family_of, within
from navarch.proxy.trace import Packet, own_address, trace

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Destination:
    """entry: the node at which it enters the cluster, for a packet from outside."""

    address: str
    port: Port
    entry: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """Without destinations the last step says why."""

    steps: tuple[Step, ...] = ()
    destinations: tuple[Destination, ...] = ()


def find(world: World, question: Question, sender: Sender) -> Found:
    """Raises: BadQuestion."""
    target = question.target
    match target.kind:
        case "pod":
            return _pod(world, question, sender)
        case "node":
            found = _at(world, sender, ends.node_address(world, target.name), ends.plain_port(question, target.name))
            return Found((), (found,))
        case "service":
            ends.find_service(world, target)
            return _service(world, question, sender, (target.namespace, target.name))
        case "name":
            return _name(world, question, sender)
        case _:
            return Found((), (_at(world, sender, target.name, _port_of(world, question, target.name)),))


def _pod(world: World, question: Question, sender: Sender) -> Found:
    target, pod = question.target, ends.find_pod(world, question.target)
    who = f"pod {target.namespace}/{target.name}"
    port = ends.pod_port(question, who, pod)
    node = pod.spec.node_name
    if pod.spec.host_network and node in world.known_nodes and not pod.terminal:
        return Found((), (_at(world, sender, own_address(world.known_nodes[node]), port),))
    address = ends.address_of(world, pod)
    if pod.terminal or not address:
        other = pod.status.pod_ip and not pod.terminal
        text = f"{who} has no address" + (f" of {world.family.name}" if other else f": {unready(pod)}")
        remedy = f"see why: kubectl describe pod {target.name} -n {target.namespace}"
        return Found((Step("receiver", node, "stops", text, remedy),))
    return Found((), (_at(world, sender, address, port),))


def _service(world: World, question: Question, sender: Sender, key: Key) -> Found:
    name, service = "/".join(key), world.services[key].view
    spec = service.spec
    if spec.type == "ExternalName":
        text = f"service {name} is another name for {spec.external_name}, which others answer"
        remedy = f"trace to the address that {spec.external_name} has"
        return Found((Step("service", "", "unsure", text, remedy),))
    if service.headless:
        return _headless(world, question, sender, key)
    port = ends.service_port(question, name, spec.ports)
    if sender.node:
        address = next(iter(world.family.those((spec.cluster_ip, *spec.cluster_ips))), "")
        if not address:
            text = f"service {name} has no address of {world.family.name}"
            remedy = f"see which it has: kubectl describe service {key[1]} -n {key[0]}"
            return Found((Step("service", "", "stops", text, remedy),))
        return Found((), (Destination(address, port),))
    return _from_outside(world, sender, service, name, port)


def _headless(world: World, question: Question, sender: Sender, key: Key) -> Found:
    name = "/".join(key)
    addresses = _ready_addresses(world, key)
    if not addresses:
        text = f"service {name} is headless, and none of its endpoints is ready: its name has no answer"
        remedy = f"see why its pods are not ready: kubectl describe endpointslices -n {key[0]}"
        return Found((Step("service", "", "stops", text, remedy),))
    port, note = _headless_port(world, question, key)
    text = f"service {name} is headless: its name leads to {len(addresses)} pods themselves"
    steps = (Step("service", "", "passes", text + note),)
    return Found(steps, tuple(_at(world, sender, each, port) for each in addresses))


def _headless_port(world: World, question: Question, key: Key) -> tuple[Port, str]:
    """No port is translated: what is asked for is what pods get."""
    targets = {
        (one.name, one.protocol): one.port
        for part in world.slices.get(key, ())
        for one in part.ports
        if one.port is not None
    }
    spec = world.services[key].view.spec
    asked = ends.service_port(question, "/".join(key), spec.ports)
    own = next((p for p in spec.ports if (p.port, p.protocol.lower()) == (asked.number, asked.protocol)), None)
    target = targets.get((own.name, own.protocol)) if own else None
    if target is None or target == asked.number:
        return asked, ""
    if question.port.isdecimal():
        return asked, f"; its pods listen on {target}, and {asked.number} is not translated to that"
    return Port(target, asked.protocol), f", on port {target}"


def _from_outside(world: World, sender: Sender, service: Service, name: str, port: Port) -> Found:
    spec = service.spec
    balanced = [each.ip for each in service.status.load_balancer.ingress]
    for address in world.family.those((*balanced, *spec.external_ips)):
        return Found((), (_at(world, sender, address, port),))
    own = next((p for p in spec.ports if (p.port, p.protocol.lower()) == (port.number, port.protocol)), None)
    if own is None or not own.node_port:
        text = f"service {name} has no address for the outside: it is of type {spec.type}"
        remedy = "make it a NodePort or a LoadBalancer, or put an Ingress in front of it"
        return Found((Step("service", "", "stops", text, remedy),))
    gate = Port(own.node_port, port.protocol)
    where = [_at(world, sender, node.addresses[0], gate) for node in world.known_nodes.values() if node.addresses]
    arriving = [each for each in where if _arrives(world, each.entry, sender, each)]
    return Found((), tuple((arriving or where)[:1]))


def _at(world: World, sender: Sender, address: str, port: Port) -> Destination:
    """With the node where it comes in, for a sender outside: the one that has the address, or one that takes it."""
    to = Destination(address, port)
    if sender.node:
        return to
    if owner := world.node_at(address):
        return Destination(address, port, owner)
    taking = [name for name in world.known_nodes if _arrives(world, name, sender, to)]
    return Destination(address, port, next(iter(taking or world.known_nodes), ""))


def _arrives(world: World, node: str, sender: Sender, to: Destination) -> bool:
    return trace(world.rules(node), Packet(sender.address, to.address, to.port.protocol, to.port.number)).pool != ""


def _port_of(world: World, question: Question, address: str) -> Port:
    for (namespace, name), found in world.services.items():
        spec = found.view.spec
        if address in (spec.cluster_ip, *spec.cluster_ips):
            return ends.service_port(question, f"{namespace}/{name}", spec.ports)
    if pod := world.pod_at(address):
        return ends.pod_port(question, f"pod {pod.namespace}/{pod.name}", pod.view)
    return ends.plain_port(question, address)


def _name(world: World, question: Question, sender: Sender) -> Found:
    name = question.target.name
    if sender.pod is None:
        text = (
            f"{sender.who.partition(',')[0]} does not ask the cluster's DNS, so what {name} is there is not known here"
        )
        return Found((Step("name", "", "unsure", text, "say service/NAME or an address instead"),))
    alias = next((each.ip for each in sender.pod.spec.host_aliases if name in each.hostnames), "")
    if alias and world.family.proper(alias):
        step = Step("name", sender.node, "passes", f"{name} is {alias}, by the pod's hostAliases")
        return Found((step,), (Destination(alias, _port_of(world, question, alias)),))
    resolver = naming.resolver_of(sender.pod, world.domain, naming.cluster_dns(world))
    if not resolver.asks_cluster:
        text = f"the pod asks other servers than the cluster's DNS (dnsPolicy {sender.pod.spec.dns_policy}"
        text += ", on its node's network)" if sender.local else ")"
        remedy = "set dnsPolicy: ClusterFirstWithHostNet" if sender.local else "set dnsPolicy: ClusterFirst"
        return Found((Step("name", sender.node, "unsure", text, f"{remedy}, if it should know names of the cluster"),))
    if (stop := _no_way_to_dns(world, question, sender)) is not None:
        return Found((stop,))
    return _resolved(world, question, sender, naming.resolve(world, resolver, name))


def _resolved(world: World, question: Question, sender: Sender, answer: naming.Resolution) -> Found:
    name, here = question.target.name, sender.node
    if answer.elsewhere and not _surely_ours(world, answer.elsewhere):
        servers = [f"{address}:{port}" for address, port in world.forwarding.servers(answer.elsewhere, ())]
        whom = listed(servers) if servers else "the servers of the node's own resolv.conf"
        text = f"{answer.elsewhere} is no name of the cluster: {whom} would be asked"
        return Found((Step("name", here, "unsure", text, "trace to the address that they answer with"),))
    if not answer.addresses:
        text = f"there is no such name as {name}: no answer to {listed(list(answer.tried))}"
        remedy = "see what services there are: kubectl get services -A; those of other namespaces are NAME.NAMESPACE"
        return Found((Step("name", here, "stops", text, remedy),))
    tried = f", as nobody is called {listed(list(answer.tried))}" if answer.tried else ""
    text = f"{name} is {answer.name}{tried}: {listed(list(answer.addresses))}"
    steps: tuple[Step, ...] = (Step("name", here, "passes", text),)
    key = _service_named(world, answer.name)
    if key is not None and world.services[key].view.headless:
        port, note = _headless_port(world, question, key)
        if note:
            steps += (Step("service", "", "passes", f"service {'/'.join(key)} is headless{note}"),)
        return Found(steps, tuple(Destination(each, port) for each in answer.addresses))
    return Found(steps, tuple(Destination(each, _port_of(world, question, each)) for each in answer.addresses))


def _surely_ours(world: World, name: str) -> bool:
    """Others are asked for it too, but it was meant as a service's: it has no dot, or a namespace behind its last."""
    _, dot, last = name.rpartition(".")
    return not world.forwarding.servers(name, ()) and (not dot or any(space.name == last for space in world.namespaces))


def _service_named(world: World, name: str) -> Key | None:
    labels = name.removesuffix(f".svc.{world.domain}").split(".")
    key = (labels[-1], labels[-2]) if len(labels) > 1 else ("", "")
    return key if key in world.services else None


def _no_way_to_dns(world: World, question: Question, sender: Sender) -> Step | None:
    """The question itself is a packet, of the family that the cluster's DNS is told to pods in."""
    address = naming.cluster_dns(world)
    if DNS not in world.services or not family_of(address).proper(address):
        return None
    world = world.of(family_of(address))
    sender = ends.sender(world, question.source)
    if sender.missing:
        return None
    found = trace(world.rules(sender.node), Packet(sender.address, address, "udp", 53, sender.local))
    if found.fate == "arrives":
        return None
    verdicts = [each for arrival in found.arrivals for each in arrival.verdicts if not each.passes]
    if verdicts:
        text = f"{sender.who} may not ask the cluster's DNS: {listed(verdicts[0].policies)} isolate what it sends"
        return Step("name", sender.node, "stops", text, f"allow it UDP and TCP 53 to service {'/'.join(DNS)}")
    text = f"the cluster's DNS cannot be asked: nobody stands behind service {'/'.join(DNS)}"
    return Step("name", sender.node, "stops", text, f"kubectl describe service {DNS[1]} -n {DNS[0]}")


def _ready_addresses(world: World, key: Key) -> Sequence[str]:
    found = {
        address: None
        for part in world.slices.get(key, ())
        for endpoint in part.endpoints
        if endpoint.ready
        for address in world.family.those(endpoint.addresses)
    }
    return tuple(found)


def in_cluster(world: World, address: str) -> bool:
    """Whether it is of the cluster's own addresses, which nobody outside has a way to."""
    networks = [each for each in (world.cluster_cidr, world.service_cidr) if each]
    return any(within(address, each) for each in networks)
