"""What network policies ask of a pod, read from its document without the rest: they ask it of every pod there is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from navarch.kinds.object import Object
from navarch.kinds.pod.view import TERMINAL_PHASES, HostAddress
from navarch.kinds.podspec.container import ContainerPort
from navarch.kinds.view import View
from navarch.proxy.addresses import proper


class PodFacts(NamedTuple):
    """addresses: of both families; none while it has none, when it is over, and on the node's own network. ports:
    (name, protocol, number) of those that have a name."""

    labels: Mapping[str, str]
    addresses: tuple[str, ...]
    node: str
    ports: tuple[tuple[str, str, int], ...] = ()


class _Container(View, frozen=True):
    ports: tuple[ContainerPort, ...] = ()
    restart_policy: str = ""


class _Spec(View, frozen=True):
    containers: tuple[_Container, ...] = ()
    init_containers: tuple[_Container, ...] = ()
    node_name: str = ""
    host_network: bool = False


class _Status(View, frozen=True):
    phase: str = "Pending"
    pod_ip: str = msgspec.field(default="", name="podIP")
    pod_ips: tuple[HostAddress, ...] = msgspec.field(default=(), name="podIPs")


class _Pod(View, frozen=True):
    spec: _Spec = _Spec()
    status: _Status = _Status()


_decoder = msgspec.json.Decoder(_Pod)


def facts(found: Object) -> PodFacts:
    pod = _decoder.decode(found.raw)
    return PodFacts(found.labels, _addresses(pod), pod.spec.node_name, _ports(pod.spec))


def _addresses(pod: _Pod) -> tuple[str, ...]:
    status = pod.status
    if pod.spec.host_network or status.phase in TERMINAL_PHASES:
        return ()
    every = (status.pod_ip, *(each.ip for each in status.pod_ips))
    return proper(every)


def _ports(spec: _Spec) -> tuple[tuple[str, str, int], ...]:
    lasting = [each for each in spec.init_containers if each.restart_policy == "Always"]
    return tuple(
        (port.name, port.protocol.lower(), port.container_port)
        for container in (*spec.containers, *lasting)
        for port in container.ports
        if port.name
    )
