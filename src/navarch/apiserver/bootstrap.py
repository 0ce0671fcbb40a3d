"""What every cluster begins with: namespaces, roles, flow schemas, the service that leads to the API server.

Written at every start through a client, like everything else. What users added stays; what they took away from a
default role comes back, unless they set its `autoupdate` annotation to "false".

Source: https://kubernetes.io/docs/reference/access-authn-authz/rbac/#auto-reconciliation
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from navarch.apiserver.aggregation import services
from navarch.apiserver.aggregation.identity import published
from navarch.apiserver.allocate import ADDRESSES
from navarch.apiserver.authz import roles
from navarch.apiserver.fairness import suggested
from navarch.base.errors import AlreadyExists, ApiError, Conflict, NotFound, Retryable
from navarch.client.client import Client
from navarch.kinds import (
    ALL,
    APISERVICE,
    CLUSTERROLE,
    CLUSTERROLEBINDING,
    CONFIGMAP,
    ENDPOINTS,
    ENDPOINTSLICE,
    FLOWSCHEMA,
    NAMESPACE,
    PRIORITYCLASS,
    PRIORITYLEVELCONFIGURATION,
    ROLE,
    ROLEBINDING,
    SERVICE,
    SERVICECIDR,
    STORAGECLASS,
)
from navarch.kinds.kind import Kind
from navarch.kinds.object import Object
from navarch.kinds.storage_local import local_class
from navarch.objects.value import Document, dig

NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
AUTHENTICATION = "extension-apiserver-authentication"
ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Place:
    """Where the API server is reached from inside the cluster.

    service_ip: the address of the Service `kubernetes`. addresses, port: where the servers really listen.
    client_authority: the CA (PEM) of client certificates, published for servers that trust the same clients.
    front_proxy_authority: that of the certificate which is shown to them when a user's request is handed on.
    """

    service_ip: str
    addresses: tuple[str, ...]
    port: int
    client_authority: str = ""
    front_proxy_authority: str = ""


async def bootstrap(client: Client, place: Place | None = None, networks: str = ADDRESSES) -> None:
    """Bring the cluster's own objects into being. place: None where nobody reaches the server by network. networks: of
    Services, one of a family, parted by commas."""
    await ensure_namespaces(client)
    await ensure(client, PRIORITYCLASS, list(_priorities()))
    await ensure(client, PRIORITYLEVELCONFIGURATION, suggested.levels())
    await ensure(client, FLOWSCHEMA, suggested.schemas())
    await ensure(client, SERVICECIDR, [_networks(networks)])
    for kind, documents in (
        (CLUSTERROLE, roles.cluster_roles()),
        (ROLE, roles.roles()),
        (CLUSTERROLEBINDING, roles.cluster_role_bindings()),
        (ROLEBINDING, roles.role_bindings()),
    ):
        await ensure(client, kind, documents)
    await ensure(client, APISERVICE, services.built_in(ALL))
    if place is not None:
        await ensure_place(client, place)
        if place.client_authority:
            await ensure(client, CONFIGMAP, [_authentication(place)])


async def ensure_storage(client: Client) -> None:
    """The class of claims that name none; what became of it later is the users' affair."""
    await ensure(client, STORAGECLASS, [local_class()])


async def ensure_namespaces(client: Client) -> None:
    """Those that every cluster has."""
    await ensure(client, NAMESPACE, [_namespace(name) for name in NAMESPACES])


async def ensure_place(client: Client, place: Place) -> None:
    """The service that leads to the API server."""
    await ensure(client, SERVICE, [_service(place)])
    for kind, document in place_documents(place):
        await ensure(client, kind, [document])


def place_documents(place: Place) -> tuple[tuple[Kind, Document], ...]:
    """Where the service leads."""
    return (ENDPOINTS, _endpoints(place)), (ENDPOINTSLICE, _slice(place))


async def ensure(client: Client, kind: Kind, documents: Sequence[Document]) -> None:
    """Create what is missing and reconcile what differs, all at once: the store commits them together."""
    known = {found.key: found for found in (await client.list(kind)).items}
    try:
        async with asyncio.TaskGroup() as group:
            for document in documents:
                metadata = document["metadata"]
                found = known.get((metadata.get("namespace", ""), metadata["name"]))
                group.create_task(_ensure_one(client, kind, document, found))
    except* (ApiError, Retryable) as refused:
        several = refused
    else:
        return
    raise several.exceptions[0]  # one says enough, and who restores what was deleted catches single ones


async def _ensure_one(client: Client, kind: Kind, wanted: Document, found: Object | None) -> None:
    """Several servers may do the same at the same time: who comes second reads again."""
    for _ in range(ATTEMPTS):
        try:
            if found is None:
                await client.create(kind, wanted)
                return
            merged = reconciled(kind, found.document(), wanted)
            if merged is None:
                return
            if merged.get("roleRef") != dig(found.document(), "roleRef"):  # which cannot be changed
                await client.delete(kind, found.namespace, found.name, uid=found.uid)
                found = None
                continue
            await client.update(kind, merged)
            return
        except (AlreadyExists, Conflict, NotFound):
            found = await _again(client, kind, wanted)


async def _again(client: Client, kind: Kind, wanted: Document) -> Object | None:
    metadata = wanted["metadata"]
    try:
        return await client.get(kind, metadata.get("namespace", ""), metadata["name"])
    except NotFound:
        return None


def reconciled(kind: Kind, found: Document, wanted: Document) -> Document | None:
    """What is to be stored instead of `found`; None when it is good as it is."""
    if kind in (CLUSTERROLE, ROLE, CLUSTERROLEBINDING, ROLEBINDING):
        if dig(found, "metadata", "annotations", roles.AUTOUPDATE) == "false":
            return None
        merged = _merged_rbac(found, wanted)
    elif kind in (FLOWSCHEMA, PRIORITYLEVELCONFIGURATION):
        return suggested.kept(found, wanted)
    elif kind is APISERVICE:
        merged = {**found, "spec": wanted["spec"]} if services.managed(found) else found
    elif kind in (ENDPOINTS, ENDPOINTSLICE, CONFIGMAP):
        merged = {**found, **{key: value for key, value in wanted.items() if key != "metadata"}}
    else:
        return None
    return None if merged == found else merged


def _merged_rbac(found: Document, wanted: Document) -> Document:
    metadata = dict(found["metadata"])
    for key in ("labels", "annotations"):
        metadata[key] = {**(metadata.get(key) or {}), **wanted["metadata"].get(key, {})}
    merged = {**found, "metadata": metadata}
    for key in ("aggregationRule", "roleRef"):
        if key in wanted:
            merged[key] = wanted[key]
    for key in ("rules", "subjects"):
        if key in wanted:
            merged[key] = _united(found.get(key) or [], wanted[key])
    return merged


def _united(found: list[Any], wanted: Iterable[Any]) -> list[Any]:
    """`found`, and behind it what is missing of `wanted`."""
    return [*found, *(entry for entry in wanted if entry not in found)]


def _namespace(name: str) -> Document:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def _networks(networks: str) -> Document:
    """Those that Services are given addresses of from the beginning."""
    metadata = {"name": "kubernetes"}
    spec = {"cidrs": networks.split(",")}
    return {"apiVersion": SERVICECIDR.api_version, "kind": SERVICECIDR.name, "metadata": metadata, "spec": spec}


def _priorities() -> Iterable[Document]:
    for name, value, what in (
        ("system-cluster-critical", 2_000_000_000, "cluster"),
        ("system-node-critical", 2_000_001_000, "node"),
    ):
        yield {
            "apiVersion": "scheduling.k8s.io/v1",
            "kind": "PriorityClass",
            "metadata": {"name": name},
            "value": value,
            "description": f"Used for system critical pods that must run in the {what}.",
        }


def _own(kind: str, api_version: str = "v1") -> Document:
    """An object that belongs to the Service `kubernetes`, and that no controller makes."""
    labels = {"endpointslice.kubernetes.io/skip-mirror": "true"} if kind == "Endpoints" else {}
    if kind == "EndpointSlice":
        labels = {"kubernetes.io/service-name": "kubernetes"}
    if kind == "Service":
        labels = {"component": "apiserver", "provider": "kubernetes"}
    metadata = {"name": "kubernetes", "namespace": "default", "labels": labels}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata}


def _service(place: Place) -> Document:
    return {
        **_own("Service"),
        "spec": {
            "type": "ClusterIP",
            "clusterIP": place.service_ip,
            "clusterIPs": [place.service_ip],
            "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": place.port}],
        },
    }


def _endpoints(place: Place) -> Document:
    addresses = [{"ip": address} for address in sorted(place.addresses)]
    ports = [{"name": "https", "port": place.port, "protocol": "TCP"}]
    return {**_own("Endpoints"), "subsets": [{"addresses": addresses, "ports": ports}]}


def _slice(place: Place) -> Document:
    family = "IPv6" if ":" in place.addresses[0] else "IPv4"
    endpoints = [{"addresses": [address], "conditions": {"ready": True}} for address in sorted(place.addresses)]
    return {
        **_own("EndpointSlice", "discovery.k8s.io/v1"),
        "addressType": family,
        "endpoints": endpoints,
        "ports": [{"name": "https", "port": place.port, "protocol": "TCP"}],
    }


def _authentication(place: Place) -> Document:
    metadata = {"name": AUTHENTICATION, "namespace": "kube-system"}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata,
        "data": {
            "client-ca-file": place.client_authority,
            **(published(place.front_proxy_authority) if place.front_proxy_authority else {}),
        },
    }
