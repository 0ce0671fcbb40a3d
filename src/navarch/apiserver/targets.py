"""Which container, port or node a stream or a proxied request is meant for: pure, on objects that were read.

The words of the refusals are those of Kubernetes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address

from navarch.base.errors import BadRequest, Unavailable
from navarch.kinds.object import Object

SCHEMES = ("", "http", "https")


@dataclass(frozen=True, slots=True)
class Backend:
    """A port of a pod on a node. address: what the API says its address is."""

    node: str
    namespace: str
    pod: str
    scheme: str
    port: str
    address: str = ""

    @property
    def host(self) -> str:
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


def container_of(pod: Object, asked: str) -> str:
    """The container that is meant: the one asked for, or the only one.

    Raises:
        BadRequest: there is no such container, or several to choose from.
    """
    spec = pod.view.spec
    every = (*spec.init_containers, *spec.containers, *spec.ephemeral_containers)
    if asked:
        if asked in (one.name for one in every):
            return asked
        raise BadRequest(f"container {asked} is not valid for pod {pod.name}")
    if len(spec.containers) == 1:
        return str(spec.containers[0].name)
    names = " ".join(str(one.name) for one in every)
    raise BadRequest(f"a container name must be specified for pod {pod.name}, choose one of: [{names}]")


def node_of(pod: Object) -> str:
    """Raises: BadRequest: the pod runs nowhere yet."""
    node = str(pod.view.spec.node_name)
    if not node:
        raise BadRequest(f"pod {pod.name} does not have a host assigned")
    return node


def split_name(text: str, what: str) -> tuple[str, str, str]:
    """`[scheme:]name[:port]` as (scheme, name, port); scheme and port are "" when not given. what: for the message.

    Raises:
        BadRequest: it is none of these forms.
    """
    parts = text.split(":")
    if len(parts) <= 2:
        parts.insert(0, "")
    scheme, name, port = (*parts, "")[:3]
    if len(parts) > 3 or not name or scheme not in SCHEMES:
        raise BadRequest(f'invalid {what} request "{text}"')
    return scheme, name, port


def check_address(text: str) -> None:
    """Only what may be a machine or a pod elsewhere is proxied to; names are for who looks them up.

    Raises:
        BadRequest: it is a loopback, link-local, multicast or other special address.
    """
    try:
        found = ip_address(text)
    except ValueError:
        if text:
            return
        raise BadRequest("address not allowed") from None
    if found.is_loopback or found.is_link_local or found.is_multicast or found.is_unspecified or text == BROADCAST:
        raise BadRequest("address not allowed")


BROADCAST = "255.255.255.255"


def number(port: str) -> str:
    """Raises: BadRequest: no number of a port."""
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65_536):
        raise BadRequest(f'invalid port "{port}"')
    return port


def addresses(pod: Object) -> list[str]:
    """Those that the pod's status names, the first one first."""
    return [str(one["ip"]) for one in pod.document().get("status", {}).get("podIPs") or () if one.get("ip")]


def is_at(pod: Object | None, address: str) -> bool:
    """Whether an endpoint that says it is this pod is where the pod is: others' addresses are not proxied to."""
    return pod is not None and address in addresses(pod)


def pod_backend(pod: Object, scheme: str, port: str) -> Backend:
    """The port asked for, by number or by name; without one the first that a container names.

    Raises:
        BadRequest: no such port, an address that nobody is sent to, or the pod runs nowhere.
    """
    ports = [found for container in pod.view.spec.containers for found in container.ports]
    if not port:
        chosen = str(ports[0].container_port) if ports else "443" if scheme == "https" else "80"
    elif port.isdigit():
        chosen = number(port)
    else:
        chosen = next((str(found.container_port) for found in ports if found.name == port), "")
        if not chosen:
            raise BadRequest(f'pod {pod.name} has no port named "{port}"')
    address = next(iter(addresses(pod)), "")
    check_address(address)
    return Backend(node_of(pod), pod.namespace, pod.name, scheme or "http", chosen, address)


def service_port(service: Object, port: str) -> str:
    """The name of the service's port that is meant, by which slices know it; without one, the port without a name.

    Raises:
        Unavailable: the service has no port of that number.
    """
    if not port.isdigit():
        return port
    for found in service.view.spec.ports:
        if found.port == int(port):
            return str(found.name or "")
    raise Unavailable(f'no service port {port} found for service "{service.name}"')


def service_backends(slices: Iterable[Object], service: Object, scheme: str, port: str) -> list[Backend]:
    """The ready pods behind a service's port, in the order of its slices.

    Raises:
        Unavailable: the service has no such port.
    """
    name = service_port(service, port)
    found = []
    for entry in slices:
        if (entry.namespace, entry.view.service) != service.key:
            continue
        numbers = [one.port for one in entry.view.ports if (one.name or "") == name and one.port]
        for endpoint in entry.view.endpoints:
            target = endpoint.target_ref
            if numbers and target is not None and target.kind == "Pod" and endpoint.conditions.ready is not False:
                where = (endpoint.node_name, entry.namespace, target.name, scheme or "http", str(numbers[0]))
                found.append(Backend(*where, endpoint.addresses[0]))
    return found
