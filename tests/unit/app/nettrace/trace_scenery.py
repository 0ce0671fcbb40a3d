"""A small cluster of documents: two nodes, a service with its pods on both, whoever asks it."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address
from typing import Any

import orjson

from navarch.app.nettrace.explain import explain
from navarch.app.nettrace.question import question
from navarch.app.nettrace.steps import Explanation
from navarch.app.nettrace.world import World, world_of
from navarch.kinds import CONFIGMAP, ENDPOINTSLICE, NAMESPACE, NETWORKPOLICY, NODE, POD, SERVICE, SERVICECIDR
from navarch.kinds.object import Object

KINDS = {
    kind.name: kind for kind in (CONFIGMAP, ENDPOINTSLICE, NAMESPACE, NETWORKPOLICY, NODE, POD, SERVICE, SERVICECIDR)
}
READY = [{"type": "Ready", "status": "True"}]
NOT_READY = [{"type": "Ready", "status": "False", "reason": "ContainersNotReady", "message": "probe failed"}]
HTTP = [{"name": "http", "port": 8080, "protocol": "TCP"}]


def doc(kind: str, name: str, namespace: str = "", labels: Any = None, **parts: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace, "labels": labels or {}}
    return {"kind": kind, "metadata": {key: value for key, value in metadata.items() if value}, **parts}


def node(name: str, number: int, *, cidr: str = "", ready: bool = True, zone: str = "") -> dict[str, Any]:
    return doc(
        "Node",
        name,
        labels={"topology.kubernetes.io/zone": zone} if zone else {},
        spec={"podCIDR": cidr or f"10.244.{number}.0/24"},
        status={
            "addresses": [{"type": "InternalIP", "address": f"192.0.2.{10 + number}"}],
            "conditions": READY if ready else [{"type": "Ready", "status": "Unknown", "message": "it fell silent"}],
        },
    )


def pod(name: str, ip: str, where: str, *, ports: Any = (), phase: str = "Running", **spec: Any) -> dict[str, Any]:
    container = {"name": "main", "image": "x", "ports": list(ports)}
    status = {"phase": phase, "podIP": ip, "conditions": READY if phase == "Running" else NOT_READY}
    spec = {"containers": [container], "nodeName": where, **spec}
    return doc("Pod", name, "shop", {"app": name.partition("-")[0]}, spec=spec, status=status)


def service(name: str, **spec: Any) -> dict[str, Any]:
    ports = [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": "http"}]
    return doc(
        "Service", name, "shop", spec={"clusterIP": "10.96.0.7", "selector": {"app": "web"}, "ports": ports, **spec}
    )


def endpoint(name: str, ip: str, where: str, **conditions: bool) -> dict[str, Any]:
    reference = {"kind": "Pod", "namespace": "shop", "name": name}
    ready = {"ready": True, **conditions}
    return {"addresses": [ip], "nodeName": where, "targetRef": reference, "conditions": ready}


def slice_of(name: str, *endpoints: Any, ports: Any = HTTP) -> dict[str, Any]:
    labels = {"kubernetes.io/service-name": name}
    parts = {"addressType": "IPv4", "endpoints": list(endpoints), "ports": ports}
    return doc("EndpointSlice", f"{name}-1", "shop", labels, **parts)


WEB_PORT = [{"name": "http", "containerPort": 8080}]
PODS = [
    pod("front", "10.244.0.5", "n0"),
    pod("web-a", "10.244.0.6", "n0", ports=WEB_PORT),
    pod("web-b", "10.244.1.6", "n1", ports=WEB_PORT),
]
BOTH = [endpoint("web-a", "10.244.0.6", "n0"), endpoint("web-b", "10.244.1.6", "n1")]
BASE = [
    node("n0", 0),
    node("n1", 1),
    doc("Namespace", "shop"),
    doc("ServiceCIDR", "kubernetes", spec={"cidrs": ["10.96.0.0/16"]}),
    doc("ConfigMap", "navarch-config", "kube-system", data={"clusterCIDR": "10.244.0.0/16"}),
    *PODS,
    service("web"),
    slice_of("web", *BOTH),
]


def world(*more: dict[str, Any], base: Iterable[dict[str, Any]] = BASE) -> World:
    """`more` in the place of what has the same kind and name."""
    found = {(each["kind"], each["metadata"]["name"]): each for each in (*base, *more)}
    return world_of(Object(KINDS[each["kind"]], orjson.dumps(each)) for each in found.values())


def ask(words: str, *more: dict[str, Any], port: str = "", protocol: str = "") -> Explanation:
    source, target = words.split()
    return explain(world(*more), question(source, target, port=port, protocol=protocol, namespace="shop"))


def policy(name: str, app: str, **spec: Any) -> dict[str, Any]:
    return doc("NetworkPolicy", name, "shop", spec={"podSelector": {"matchLabels": {"app": app}}, **spec})


def six(address: str) -> str:
    """An address of a pod in IPv6, in its one proper form: 10.244.1.6 has fd00:10:244:1::6."""
    network, host = address.split(".")[2:]
    return str(ip_address(f"fd00:10:244:{network}::{host}"))


def both_service(**spec: Any) -> dict[str, Any]:
    return service("web", clusterIPs=["10.96.0.7", "fd00:10:96::7"], **spec)


def of_both() -> list[dict[str, Any]]:
    """The same cluster, in which everybody has an address of each family."""
    nodes, pods = [], []
    for number in range(2):
        made = node(f"n{number}", number)
        made["spec"]["podCIDRs"] = [made["spec"]["podCIDR"], f"fd00:10:244:{number}::/64"]
        made["status"]["addresses"].append({"type": "InternalIP", "address": f"2001:db8:2::{10 + number}"})
        nodes.append(made)
    for each in PODS:
        address = each["status"]["podIP"]
        status = {**each["status"], "podIPs": [{"ip": address}, {"ip": six(address)}]}
        pods.append({**each, "status": status})
    slices = slice_of("web", *({**each, "addresses": [six(each["addresses"][0])]} for each in BOTH))
    slices["metadata"]["name"] = "web-six"
    slices["addressType"] = "IPv6"
    networks = doc("ServiceCIDR", "kubernetes", spec={"cidrs": ["10.96.0.0/16", "fd00:10:96::/112"]})
    config = {"clusterCIDR": "10.244.0.0/16,fd00:10:244::/48"}
    return [
        *nodes,
        *pods,
        both_service(),
        slices,
        networks,
        doc("ConfigMap", "navarch-config", "kube-system", data=config),
    ]


def ask_both(words: str, *more: dict[str, Any], family: str = "") -> Explanation:
    source, target = words.split()
    return explain(world(*of_both(), *more), question(source, target, namespace="shop", family=family))
