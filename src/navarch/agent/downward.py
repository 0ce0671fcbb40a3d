"""What a pod may ask about itself: the fields and resources of the downward API, as text.

Source: https://kubernetes.io/docs/concepts/workloads/pods/downward-api/
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil

from navarch.kinds.pod import Pod
from navarch.kinds.podspec.container import Container, FieldSelector, ResourceFieldSelector
from navarch.kinds.view import Quantity
from navarch.objects import quantity

_SUBSCRIPT = re.compile(r"^(metadata\.(?:labels|annotations))\['(.*)'\]$")


class Unanswerable(Exception):
    """The pod asks for something that does not exist, or not yet."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is known of a pod besides its document. allocatable: of the node, by resource name."""

    node_name: str
    node_ips: tuple[str, ...] = ()
    pod_ips: tuple[str, ...] = ()
    allocatable: Mapping[str, Quantity] = field(default_factory=dict)


def field_value(pod: Pod, selector: FieldSelector, around: Surroundings) -> str:
    """Raises: Unanswerable."""
    path = selector.field_path
    meta = pod.metadata
    if match := _SUBSCRIPT.match(path):
        listed = meta.labels if match[1] == "metadata.labels" else meta.annotations
        return listed.get(match[2], "")
    plain = {
        "metadata.name": meta.name,
        "metadata.namespace": meta.namespace,
        "metadata.uid": meta.uid,
        "spec.nodeName": around.node_name,
        "spec.serviceAccountName": pod.spec.service_account_name,
        "status.hostIP": around.node_ips[0] if around.node_ips else "",
        "status.hostIPs": ",".join(around.node_ips),
        "status.podIP": around.pod_ips[0] if around.pod_ips else "",
        "status.podIPs": ",".join(around.pod_ips),
    }
    if path in plain:
        return plain[path]
    if path in ("metadata.labels", "metadata.annotations"):
        listed = meta.labels if path == "metadata.labels" else meta.annotations
        return "\n".join(f"{key}={_quoted(listed[key])}" for key in sorted(listed))
    raise Unanswerable(f"unsupported fieldPath: {path}")


def _quoted(value: str) -> str:
    for plain, escaped in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\t", "\\t"), ("\r", "\\r")):
        value = value.replace(plain, escaped)
    return f'"{value}"'


def resource_value(pod: Pod, selector: ResourceFieldSelector, around: Surroundings, container: str = "") -> str:
    """A limit or request, divided by the divisor and rounded up; a limit that is not set is the node's allocatable.

    Raises:
        Unanswerable: no such container or resource.
    """
    name = selector.container_name or container
    found = next((one for one in (*pod.spec.containers, *pod.spec.init_containers) if one.name == name), None)
    if found is None:
        raise Unanswerable(f"container {name} not found")
    kind, _, resource = selector.resource.partition(".")
    if kind not in ("limits", "requests") or not resource:
        raise Unanswerable(f"unsupported container resource : {selector.resource}")
    amount = _amount(found, kind, resource, around)
    divisor = quantity.parse(selector.divisor) if selector.divisor not in ("", "0", 0) else Fraction(1)
    return str(ceil(amount / divisor))


def _amount(container: Container, kind: str, resource: str, around: Surroundings) -> Fraction:
    limits, requests = container.resources.limits, container.resources.requests
    listed = limits if kind == "limits" else requests
    if resource in listed:
        return quantity.parse(listed[resource])
    if kind == "limits" or resource in limits:
        return quantity.parse(limits.get(resource, around.allocatable.get(resource, 0)))
    return Fraction(0)
