"""Which pods stand behind a Service, on which of their ports, and in what state: what EndpointSlices and Endpoints are
both made from.

Source: https://kubernetes.io/docs/concepts/services-networking/service/
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from navarch.controllers.controller import Cache
from navarch.kinds import NODE, POD, SERVICE
from navarch.kinds.object import Object
from navarch.kinds.pod import Pod
from navarch.kinds.service import Service, ServicePort
from navarch.objects.value import Document

SELECTED_BY = "selected-by"
ZONE_LABEL = "topology.kubernetes.io/zone"
HEADLESS_LABEL = "service.kubernetes.io/headless"


@dataclass(frozen=True, slots=True)
class Behind:
    """A Service and what its selector selects. zones: of the nodes that there are, "" where a node has none."""

    service: Object
    pods: Sequence[Object]
    zones: Mapping[str, str]


def selector_index(service: Object) -> Iterable[str]:
    """By the first pair of its selector, so that a pod finds the Services that may select it."""
    selector = service.view.spec.selector
    if not selector:
        return ()
    key = min(selector)
    return (f"{service.namespace}/{key}={selector[key]}",)


def service_keys(cache: Cache, pod: Object) -> Iterable[Hashable]:
    """The Services that select a pod; SERVICE needs the index `SELECTED_BY`."""
    labels = pod.labels.items()
    for key, value in labels:
        for service in cache[SERVICE].by(SELECTED_BY, f"{pod.namespace}/{key}={value}"):
            if service.view.spec.selector.items() <= labels:
                yield service.key


def node_keys(cache: Cache, node: Object) -> Iterable[Hashable]:
    """The Services that have a pod on a node; POD needs the index `node`."""
    for pod in cache[POD].by("node", node.name):
        yield from service_keys(cache, pod)


def zone_changed(old: Object, new: Object) -> bool:
    return old.labels.get(ZONE_LABEL) != new.labels.get(ZONE_LABEL)


def node_index(pod: Object) -> Iterable[str]:
    name = pod.glance.node
    return (name,) if name else ()


def pod_matters(old: Object, new: Object) -> bool:
    """Whether anything changed that endpoints say about a pod."""
    if old.labels != new.labels or old.terminating != new.terminating:
        return True
    if old.glance.node != new.glance.node or old.glance.phase != new.glance.phase:
        return True
    a, b = old.view, new.view
    return bool(a.ready != b.ready or a.status.pod_ips != b.status.pod_ips or a.status.pod_ip != b.status.pod_ip)


def observe(cache: Cache, key: tuple[str, str]) -> Behind | None:
    """None for Services that choose their endpoints otherwise (no selector, an external name) and for none at all."""
    service = cache[SERVICE].get(*key)
    if service is None or not service.view.spec.selector or service.view.spec.type == "ExternalName":
        return None
    wanted = service.view.spec.selector.items()
    pods = [pod for pod in _candidates(cache, service) if wanted <= pod.labels.items()]
    zones = {}
    for name in dict.fromkeys(pod.view.spec.node_name for pod in pods):
        node = cache[NODE].get("", name)
        if node is not None:
            zones[name] = node.labels.get(ZONE_LABEL, "")
    return Behind(service, pods, zones)


def label_index(pod: Object) -> Iterable[str]:
    """By each label in its namespace."""
    return [f"{pod.namespace}/{key}={value}" for key, value in pod.labels.items()]


def _candidates(cache: Cache, service: Object) -> Sequence[Object]:
    """Pods with the rarest pair of the selector."""
    pairs = [f"{service.namespace}/{key}={value}" for key, value in service.view.spec.selector.items()]
    rarest = min(pairs, key=lambda pair: cache[POD].count("label", pair))
    return cache[POD].by("label", rarest)


def pod_port(pod: Pod, port: ServicePort) -> int | None:
    """The number that the Service's port comes to on this pod; None where the pod has no port of that name."""
    target = port.target_port if port.target_port not in (None, 0, "") else port.port
    if isinstance(target, int):
        return target
    sidecars = (container for container in pod.spec.init_containers if container.restart_policy == "Always")
    for container in (*pod.spec.containers, *sidecars):
        for found in container.ports:
            if found.name == target and found.protocol == port.protocol:
                return found.container_port
    return None


def ports_of(pod: Pod, service: Service) -> tuple[ServicePort, ...]:
    """The Service's ports as they are on this pod, with `port` the pod's own number."""
    found = []
    for port in service.spec.ports:
        number = pod_port(pod, port)
        if number is not None:
            found.append(
                ServicePort(port=number, name=port.name, protocol=port.protocol, app_protocol=port.app_protocol)
            )
    return tuple(found)


def addresses(pod: Pod) -> Sequence[str]:
    """All IP addresses, the first one first."""
    if pod.status.pod_ips:
        return [address.ip for address in pod.status.pod_ips if address.ip]
    return [pod.status.pod_ip] if pod.status.pod_ip else []


def family(address: str) -> str:
    return "IPv6" if ":" in address else "IPv4"


def address_types(service: Service) -> Sequence[str]:
    """The families that the Service is of, its first one first."""
    if service.spec.ip_families:
        return service.spec.ip_families
    if service.spec.cluster_ip and not service.headless:
        return (family(service.spec.cluster_ip),)
    return ("IPv4",)


def ready_changed(pod: Pod) -> datetime | None:
    """When it last became ready, or ceased to be."""
    condition = pod.status.condition("Ready")
    return condition.last_transition_time if condition is not None else None


def target_ref(pod: Object) -> Document:
    return {"kind": "Pod", "namespace": pod.namespace, "name": pod.name, "uid": pod.uid}


def hostname(pod: Pod, service: Object) -> str:
    """What the pod is called under a headless Service's name."""
    return pod.spec.hostname if pod.spec.hostname and pod.spec.subdomain == service.name else ""


def port_document(port: ServicePort) -> Document:
    found: Document = {"name": port.name, "port": port.port, "protocol": port.protocol}
    return {**found, "appProtocol": port.app_protocol} if port.app_protocol else found
