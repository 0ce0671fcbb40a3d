"""Who sends, and what address and port it is sent to: the two ends of a question, found among the objects. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from navarch.app.nettrace.question import SOMEBODY, SOMEBODY_IPV6, End, Question
from navarch.app.nettrace.steps import BadQuestion, listed
from navarch.app.nettrace.world import World
from navarch.kinds.pod.view import Pod
from navarch.kinds.service import Service, ServicePort
from navarch.proxy.addresses import IPV4, within
from navarch.proxy.trace import own_address


@dataclass(frozen=True, slots=True)
class Sender:
    """node: "" for one outside the cluster, and for a pod that has none yet. local: it speaks from the node's own
    network. pod: None for others. missing: why it cannot send anything."""

    who: str
    address: str = ""
    node: str = ""
    local: bool = False
    pod: Pod | None = None
    missing: str = ""


@dataclass(frozen=True, slots=True)
class Port:
    number: int
    protocol: str

    def __str__(self) -> str:
        return f"{self.number}/{self.protocol}"


def sender(world: World, end: End) -> Sender:
    """Raises: BadQuestion."""
    if end.kind == "world":
        for network, whose in ((world.cluster_cidr, "pods"), (world.service_cidr, "services")):
            if network and within(end.name, network):
                raise BadQuestion(f"{end.name} is an address of the cluster's {whose}: say pod/NAME instead of world")
        if end.name != SOMEBODY:
            return Sender(f"somebody outside, at {end.name}", end.name)
        address = SOMEBODY if world.family is IPV4 else SOMEBODY_IPV6
        return Sender(f"somebody outside, at {address}; another with world:ADDRESS", address)
    if end.kind == "node":
        return _node(world, end.name)
    pod = find_pod(world, end)
    who = f"pod {end.namespace}/{end.name}"
    node = pod.spec.node_name
    if not node:
        return Sender(who, pod=pod, missing=f"{who} waits for a node: it has no network yet")
    if node not in world.known_nodes:
        return Sender(who, pod=pod, node=node, missing=f"node {node} of {who} has no address or no range for pods yet")
    if pod.terminal:
        return Sender(who, pod=pod, node=node, missing=f"{who} has ended: phase {pod.status.phase}")
    if pod.spec.host_network:
        return Sender(f"{who}, on the network of its node", own_address(world.known_nodes[node]), node, True, pod)
    address = address_of(world, pod)
    if not address:
        return Sender(who, pod=pod, node=node, missing=f"{who} has {_no_address(world, pod)}: phase {pod.status.phase}")
    return Sender(who, address, node, False, pod)


def addresses_of(pod: Pod) -> Sequence[str]:
    return (pod.status.pod_ip, *(each.ip for each in pod.status.pod_ips))


def address_of(world: World, pod: Pod) -> str:
    """ "" while it has none."""
    return next(iter(world.family.those(addresses_of(pod))), "")


def _no_address(world: World, pod: Pod) -> str:
    return f"no address of {world.family.name}" if pod.status.pod_ip else "no address yet"


def find_pod(world: World, end: End) -> Pod:
    """Raises: BadQuestion."""
    found = world.pods.get((end.namespace, end.name))
    if found is None:
        there = [name for space, name in world.pods if space == end.namespace]
        raise _unknown(f"pod {end.name!r} in namespace {end.namespace}", end.name, there)
    pod: Pod = found.view
    return pod


def find_service(world: World, end: End) -> Service:
    """Raises: BadQuestion."""
    found = world.services.get((end.namespace, end.name))
    if found is None:
        there = [name for space, name in world.services if space == end.namespace]
        raise _unknown(f"service {end.name!r} in namespace {end.namespace}", end.name, there)
    service: Service = found.view
    return service


def node_address(world: World, name: str) -> str:
    """Raises: BadQuestion."""
    if name not in world.nodes:
        raise _unknown(f"node {name!r}", name, list(world.nodes))
    if name not in world.known_nodes:
        raise BadQuestion(f"node {name!r} has not said its address, or has no range of addresses for pods yet")
    if not world.known_nodes[name].addresses:
        raise BadQuestion(f"node {name!r} has no address of {world.family.name}")
    return world.known_nodes[name].addresses[0]


def service_port(question: Question, name: str, ports: Sequence[ServicePort]) -> Port:
    """The one that is asked for, which need not be one of the service's. Raises: BadQuestion."""
    named = [each for each in ports if question.port in ("", each.name, str(each.port))]
    found = [each for each in named if question.protocol in ("", each.protocol.lower())]
    if question.port and not question.port.isdecimal() and not found:
        raise BadQuestion(f"service {name} has no port {question.port!r}; it has {_shown(ports)}")
    if not question.port and len(found) > 1:
        raise BadQuestion(f"service {name} has several ports ({_shown(ports)}): say which with --port")
    if found:
        first = min(found, key=lambda each: each.protocol != "TCP")
        return Port(first.port, first.protocol.lower())
    if question.port:
        return Port(int(question.port), question.protocol or "tcp")
    raise BadQuestion(f"service {name} has no {question.protocol or 'such'} port; it has {_shown(ports)}")


def pod_port(question: Question, name: str, pod: Pod) -> Port:
    """Raises: BadQuestion."""
    ports = {
        Port(each.container_port, each.protocol.lower()): each.name
        for container in (*pod.spec.containers, *pod.spec.init_containers)
        for each in container.ports
        if question.protocol in ("", each.protocol.lower())
    }
    if question.port.isdecimal():
        return Port(int(question.port), question.protocol or _protocol(ports, int(question.port)))
    shown = ", ".join(f"{called or each.number} {each}" for each, called in ports.items()) or "none"
    found = [each for each, called in ports.items() if question.port in ("", called)]
    if question.port and not found:
        raise BadQuestion(f"{name} declares no port {question.port!r} (it declares {shown}): say a number with --port")
    if len(found) != 1:
        problem = "several ports" if found else "no port"
        raise BadQuestion(f"{name} declares {problem} ({shown}): say which with --port")
    return found[0]


def plain_port(question: Question, where: str) -> Port:
    """Of an address that no pod and no service has. Raises: BadQuestion."""
    if not question.port.isdecimal():
        raise BadQuestion(f"which port of {where}? Say a number with --port")
    return Port(int(question.port), question.protocol or "tcp")


def _node(world: World, name: str) -> Sender:
    return Sender(f"node {name} itself", node_address(world, name), name, True)


def _protocol(ports: Iterable[Port], number: int) -> str:
    return next((each.protocol for each in ports if each.number == number), "tcp")


def _shown(ports: Sequence[ServicePort]) -> str:
    return ", ".join(f"{each.name} {each.port}/{each.protocol.lower()}".strip() for each in ports) or "none"


def _unknown(what: str, name: str, there: list[str]) -> BadQuestion:
    like = sorted(each for each in there if each.startswith(name)) or sorted(there)
    return BadQuestion(f"there is no {what}" + (f"; there are {listed(like)}" if like else ", nor any other"))
