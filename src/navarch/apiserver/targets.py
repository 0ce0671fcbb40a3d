"""Which container, port or node a stream or a proxied request is meant for: pure, on objects that were read.

The words of the refusals are those of Kubernetes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from navarch.base.errors import BadRequest, Unavailable
from navarch.kinds.object import Object

DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"


@dataclass(frozen=True, slots=True)
class Backend:
    """A port of a pod on a node."""

    node: str
    namespace: str
    pod: str
    scheme: str
    port: str


def container_of(pod: Object, asked: str) -> str:
    """The container that is meant: the one asked for, the annotated one, or the only one.

    Raises:
        BadRequest: there is no such container, or several to choose from.
    """
    spec = pod.view.spec
    names = [container.name for container in spec.containers]
    init = [container.name for container in spec.init_containers]
    ephemeral = [container.name for container in spec.ephemeral_containers]
    if asked:
        if asked in (*names, *init, *ephemeral):
            return asked
        raise BadRequest(f"container {asked} is not valid for pod {pod.name}")
    annotated = str(pod.view.metadata.annotations.get(DEFAULT_CONTAINER, ""))
    if annotated in names:
        return annotated
    if len(names) == 1:
        return str(names[0])
    message = f"a container name must be specified for pod {pod.name}, choose one of: [{' '.join(names)}]"
    for what, others in (("init", init), ("ephemeral", ephemeral)):
        if others:
            message += f" or one of the {what} containers: [{' '.join(others)}]"
    raise BadRequest(message)


def node_of(pod: Object) -> str:
    """Raises: BadRequest: the pod runs nowhere yet."""
    node = str(pod.view.spec.node_name)
    if not node:
        raise BadRequest(f"pod {pod.name} does not have a host assigned")
    return node


def split_name(text: str) -> tuple[str, str, str]:
    """`[scheme:]name[:port]` as (scheme, name, port); scheme and port are "" when not given.

    Raises:
        BadRequest: it is none of these forms.
    """
    parts = text.split(":")
    if len(parts) == 1:
        return "", parts[0], ""
    if len(parts) == 2:
        return "", parts[0], parts[1]
    if len(parts) == 3 and parts[0] in ("http", "https", ""):
        return parts[0], parts[1], parts[2]
    raise BadRequest(f'invalid request "{text}": the name must be [scheme:]name[:port]')


def pod_backend(pod: Object, scheme: str, port: str) -> Backend:
    """The port asked for, by number or by name; without one the first that a container names.

    Raises:
        BadRequest: no such port, or the pod runs nowhere.
    """
    ports = [found for container in pod.view.spec.containers for found in container.ports]
    if not port:
        number = str(ports[0].container_port) if ports else "443" if scheme == "https" else "80"
    elif port.isdigit():
        number = port
    else:
        number = next((str(found.container_port) for found in ports if found.name == port), "")
        if not number:
            raise BadRequest(f'pod {pod.name} has no port named "{port}"')
    return Backend(node_of(pod), pod.namespace, pod.name, scheme or "http", number)


def service_port(service: Object, port: str) -> str:
    """The name of the service's port that is meant ("" for one without a name), by which slices know it.

    Raises:
        Unavailable: the service has no such port.
    """
    for found in service.view.spec.ports:
        if not port or port in (found.name, str(found.port)):
            return str(found.name or "")
    raise Unavailable(f'no service port "{port}" found for service "{service.name}"')


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
                backend = Backend(endpoint.node_name, entry.namespace, target.name, scheme or "http", str(numbers[0]))
                found.append(backend)
    return found
