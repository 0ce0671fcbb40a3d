"""An APIService that another server answers for, as the aggregator keeps it; and what of its state is to be said.

Pure: documents and answers in, conditions and discovery out.

Source: https://kubernetes.io/docs/reference/kubernetes-api/apiregistration/api-service-v1/
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from navarch.kinds.object import Object
from navarch.objects import condition
from navarch.objects.value import Document

AVAILABLE = "Available"
HTTPS_PORT = 443


@dataclass(frozen=True, slots=True)
class Remote:
    """bundle: base64 of PEM, "" for none. group_priority, version_priority: its places in discovery."""

    name: str
    uid: str
    group: str
    version: str
    namespace: str
    service: str
    port: int
    bundle: str = ""
    insecure: bool = False
    group_priority: int = 0
    version_priority: int = 0
    available: bool = False

    @property
    def path(self) -> str:
        return f"/apis/{self.group}/{self.version}"


def remote_of(document: Document) -> Remote | None:
    """None for one that this server answers itself."""
    spec = document["spec"]
    service = spec.get("service")
    if not service or not spec.get("group"):
        return None  # the core group is never another's: the cluster's own life hangs on it
    return Remote(
        name=document["metadata"]["name"],
        uid=document["metadata"]["uid"],
        group=spec["group"],
        version=spec["version"],
        namespace=service.get("namespace", ""),
        service=service.get("name", ""),
        port=service.get("port", HTTPS_PORT),
        bundle=spec.get("caBundle", ""),
        insecure=bool(spec.get("insecureSkipTLSVerify")),
        group_priority=spec.get("groupPriorityMinimum", 0),
        version_priority=spec.get("versionPriority", 0),
        available=condition.is_true(document, AVAILABLE),
    )


def told(status: str, reason: str, message: str) -> Document:
    return {"type": AVAILABLE, "status": status, "reason": reason, "message": message}


PASSED = told("True", "Passed", "all checks passed")


LOCAL = told("True", "Local", "Local APIServices are always available")


def failed(message: str) -> Document:
    return told("False", "FailedDiscoveryCheck", message)


def objections(remote: Remote, service: Object | None, slices: Sequence[Object]) -> Document | None:
    """Why it need not even be asked; None when it must be. slices: those of the service."""
    where = f'service/{remote.service} in "{remote.namespace}"'
    if service is None:
        return told("False", "ServiceNotFound", f"{where} is not present")
    spec = service.view.spec
    if spec.type != "ClusterIP":
        return None
    port = next((one for one in spec.ports if one.port == remote.port), None)
    if port is None:
        return told("False", "ServicePortError", f"{where} is not listening on port {remote.port}")
    if not slices:
        return told("False", "EndpointsNotFound", f"cannot find endpointslices for {where}")
    if not _has_ready(slices, str(port.name or "")):
        message = f'endpointslices for {where} have no addresses with port name "{port.name or ""}"'
        return told("False", "MissingEndpoints", message)
    return None


def _has_ready(slices: Iterable[Object], port: str) -> bool:
    for one in slices:
        if any((found.name or "") == port for found in one.view.ports) and any(
            endpoint.ready for endpoint in one.view.endpoints
        ):
            return True
    return False


@dataclass(frozen=True, slots=True)
class Told:
    """What a server says it serves, in the aggregated form. resources: of its last good answer."""

    resources: tuple[Document, ...] = ()
    fresh: bool = False


def resources_of(body: bytes, group: str, version: str) -> tuple[Document, ...] | None:
    """The aggregated form of a plain `APIResourceList`; None when it is none."""
    try:
        found = orjson.loads(body)
        return tuple(_aggregated(found["resources"] or (), group, version))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _aggregated(resources: Iterable[Any], group: str, version: str) -> Iterable[Document]:
    parents: dict[str, Document] = {}
    for entry in resources:
        name, _, subresource = entry["name"].partition("/")
        kind = {
            "group": entry.get("group") or group,
            "version": entry.get("version") or version,
            "kind": entry["kind"],
        }
        verbs = list(entry.get("verbs") or ())
        scope = "Namespaced" if entry.get("namespaced") else "Cluster"
        if subresource:
            parent = parents.setdefault(name, {"resource": name, "scope": scope, "verbs": []})
            inner = {"subresource": subresource, "responseKind": kind, "verbs": verbs}
            parent.setdefault("subresources", []).append(inner)
            continue
        found = parents.setdefault(name, {"resource": name})
        found |= {"responseKind": kind, "scope": scope, "verbs": verbs}
        found["singularResource"] = entry.get("singularName") or ""
        for key in ("shortNames", "categories"):
            if entry.get(key):
                found[key] = list(entry[key])
    return parents.values()
