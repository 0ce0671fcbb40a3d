"""What the server serves, told to clients: groups, versions, resources, plain and aggregated.

Made of the kinds and kept as bytes; the digest is the ETag, so a client that knows it already is sent nothing.

Source: https://kubernetes.io/docs/concepts/overview/kubernetes-api/#discovery-api
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from navarch.apiserver.aggregation import services
from navarch.apiserver.aggregation.remote import Remote, Told
from navarch.apiserver.routes import parse_accept
from navarch.base.errors import NotAcceptable, NotFound
from navarch.kinds.custom import priority
from navarch.kinds.kind import Kind
from navarch.objects.value import Document
from navarch.wire.message import Request, Response

AGGREGATED = "apidiscovery.k8s.io"
ACCEPTED = ("v2", "v2beta1")

STORAGE_HASH_BYTES = 8

CONNECT = ("create", "get")
PROXIED = ("create", "delete", "get", "patch", "update")
OBJECT_VERBS = ("get", "patch", "update")

SUBRESOURCES: dict[tuple[str, str], tuple[str, str, str, tuple[str, ...]]] = {
    ("pods", "attach"): ("", "v1", "PodAttachOptions", CONNECT),
    ("pods", "exec"): ("", "v1", "PodExecOptions", CONNECT),
    ("pods", "portforward"): ("", "v1", "PodPortForwardOptions", CONNECT),
    ("pods", "proxy"): ("", "v1", "PodProxyOptions", PROXIED),
    ("pods", "binding"): ("", "v1", "Binding", ("create",)),
    ("pods", "eviction"): ("policy", "v1", "Eviction", ("create",)),
    ("pods", "log"): ("", "v1", "Pod", ("get",)),
    ("nodes", "proxy"): ("", "v1", "NodeProxyOptions", PROXIED),
    ("services", "proxy"): ("", "v1", "ServiceProxyOptions", PROXIED),
    ("serviceaccounts", "token"): ("authentication.k8s.io", "v1", "TokenRequest", ("create",)),
    ("namespaces", "finalize"): ("", "v1", "Namespace", ("update",)),
}
"""Subresources that are no view of their object: what is sent to them, and the verbs. `status` and `scale` are
the rule; `connected` says which others each kind has even if it does not name them."""

CONNECTED: dict[str, tuple[str, ...]] = {
    "pods": ("attach", "exec", "log", "portforward", "proxy"),
    "nodes": ("proxy",),
    "services": ("proxy",),
    "serviceaccounts": ("token",),
}
"""What the server answers itself, by streams and tokens, for kinds of the core group."""

RETURNED_WHEN_DELETED = frozenset(
    (
        "persistentvolumeclaims",
        "persistentvolumes",
        "pods",
        "podtemplates",
        "resourcequotas",
        "serviceaccounts",
        "services",
        "csidrivers.storage.k8s.io",
        "csinodes.storage.k8s.io",
        "storageclasses.storage.k8s.io",
        "volumeattachments.storage.k8s.io",
        "volumeattributesclasses.storage.k8s.io",
        "deviceclasses.resource.k8s.io",
        "devicetaintrules.resource.k8s.io",
        "resourceclaims.resource.k8s.io",
        "resourceclaimtemplates.resource.k8s.io",
        "resourceslices.resource.k8s.io",
    )
)
"""Resources whose deletion answers with the object, not with a Status."""


def subresources(kind: Kind) -> tuple[str, ...]:
    """All subresources that are served for a kind, in order."""
    more = CONNECTED.get(kind.plural, ()) if not kind.group else ()
    return tuple(sorted({*kind.subresources, *more}))


def _subresource(kind: Kind, name: str) -> tuple[str, str, str, tuple[str, ...]]:
    """Group, version and kind of what it takes, and its verbs."""
    if name == "scale":
        return ("autoscaling", "v1", "Scale", OBJECT_VERBS)
    return SUBRESOURCES.get((kind.plural, name), (kind.group, kind.version, kind.name, OBJECT_VERBS))


class Discovery:
    """The answers for one set of kinds; make it anew when the kinds change."""

    def __init__(self, kinds: Iterable[Kind], remote: Sequence[tuple[Remote, Told]] = ()) -> None:
        """remote: the groups and versions that other servers answer for."""
        self._groups: dict[str, dict[str, list[Kind]]] = {}
        for kind in kinds:
            self._groups.setdefault(kind.group, {}).setdefault(kind.version, []).append(kind)
        for versions in self._groups.values():
            for served in versions.values():
                served.sort(key=lambda kind: kind.plural)
        self._told = {(one.group, one.version): told for one, told in remote}
        if remote:
            self._groups = _ordered(self._groups, [one for one, _ in remote])
        self._pages: dict[str, tuple[bytes, str]] = {}

    def answer(self, request: Request) -> Response:
        """Raises: NotFound, NotAcceptable."""
        parts = request.path.strip("/").split("/")
        form = self._form(request) if len(parts) == 1 else ""
        host = request.headers.get("host", "") if parts == ["api"] else ""
        key = f"{form} {'/'.join(parts)}"
        page = self._pages.get(key) if form or not host else None
        if page is None:
            body = orjson.dumps(self._document(parts, form, host))
            page = (body, f'"{hashlib.sha256(body).hexdigest().upper()}"')
            if form or not host:  # names that clients choose are not remembered
                self._pages[key] = page
        body, etag = page
        if not form:
            return Response(200, (("Content-Type", "application/json"),), body)
        headers = (
            ("Content-Type", f"application/json;g={AGGREGATED};v={form};as=APIGroupDiscoveryList"),
            ("ETag", etag),
            ("Vary", "Accept"),
            ("Cache-Control", "public"),
        )
        if request.headers.get("if-none-match") == etag:
            return Response(304, headers)
        return Response(200, headers, body)

    def _form(self, request: Request) -> str:
        """The version of the aggregated form that the client wants; "" for the plain form.

        Raises:
            NotAcceptable: it takes neither JSON nor anything.
        """
        for media, parameters in parse_accept(request.headers.get("accept", "")):
            if media not in ("application/json", "*/*", "application/*"):
                continue
            if parameters.get("as") == "APIGroupDiscoveryList" and parameters.get("g") == AGGREGATED:
                if parameters.get("v") in ACCEPTED:
                    return parameters["v"]
            elif "as" not in parameters:
                return ""
        raise NotAcceptable("only the following media types are accepted: application/json")

    def _document(self, parts: list[str], form: str, host: str) -> Document:
        root, rest = parts[0], parts[1:]
        groups = {name: versions for name, versions in self._groups.items() if (root == "api") == (not name)}
        if not rest:
            if form:
                return self._aggregated(groups, form)
            return self._versions(groups, host) if root == "api" else self._group_list(groups)
        if root == "apis" and rest[0] in groups:
            if len(rest) == 1:
                return {"kind": "APIGroup", "apiVersion": "v1", **_group(rest[0], groups[rest[0]])}
            if len(rest) == 2 and rest[1] in groups[rest[0]]:
                return _resource_list(f"{rest[0]}/{rest[1]}", groups[rest[0]][rest[1]])
        if root == "api" and len(rest) == 1 and rest[0] in groups.get("", {}):
            return _resource_list(rest[0], groups[""][rest[0]])
        raise NotFound("the server could not find the requested resource")

    def _versions(self, groups: dict[str, dict[str, list[Kind]]], host: str) -> Document:
        """host: as the client calls the server, which is how it reaches it."""
        address = {"clientCIDR": "0.0.0.0/0", "serverAddress": host}
        return {
            "kind": "APIVersions",
            "versions": list(groups.get("", {})),
            "serverAddressByClientCIDRs": [address] if host else [],
        }

    def _group_list(self, groups: dict[str, dict[str, list[Kind]]]) -> Document:
        found = [_group(name, versions) for name, versions in groups.items()]
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": found}

    def _aggregated(self, groups: dict[str, dict[str, list[Kind]]], form: str) -> Document:
        items = [
            {
                "metadata": {"name": name} if name else {},
                "versions": [
                    _foreign(version, self._told[name, version])
                    if (name, version) in self._told
                    else {
                        "version": version,
                        "resources": [_resource(kind) for kind in served],
                        "freshness": "Current",
                    }
                    for version, served in versions.items()
                ],
            }
            for name, versions in groups.items()
        ]
        return {
            "kind": "APIGroupDiscoveryList",
            "apiVersion": f"{AGGREGATED}/{form}",
            "metadata": {},
            "items": items,
        }


def _ordered(groups: dict[str, dict[str, list[Kind]]], remote: Iterable[Remote]) -> dict[str, dict[str, list[Kind]]]:
    """With those of other servers, all where their priorities put them; what nobody gave one stays in its order."""
    places = {
        (group, version): services.priority_of(group, version)
        for group, versions in groups.items()
        for version in versions
    }
    places |= {(one.group, one.version): (one.group_priority, one.version_priority) for one in remote}
    least: dict[str, int] = {}
    for (group, _), (place, _) in places.items():
        least[group] = max(least.get(group, 0), place)
    names = list(dict.fromkeys((*groups, *(group for group, _ in places))))
    names.sort(key=lambda name: -least[name])
    found: dict[str, dict[str, list[Kind]]] = {}
    for name in names:
        versions = [version for group, version in places if group == name]
        versions.sort(key=lambda version: (-places[name, version][1], priority(version)))
        found[name] = {version: groups.get(name, {}).get(version, []) for version in versions}
    return found


def _foreign(version: str, told: Told) -> Document:
    """A version that another server answers for, in the aggregated form."""
    found: Document = {"version": version, "freshness": "Current" if told.fresh else "Stale"}
    return {**found, "resources": list(told.resources)} if told.resources else found


def _group(name: str, versions: Iterable[str]) -> Document:
    found = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": found, "preferredVersion": found[0]}


def _scope(kind: Kind) -> str:
    return "Namespaced" if kind.namespaced else "Cluster"


def _responded(kind: Kind, taken: Sequence[Any]) -> Document:
    """taken: group, version and kind of what is answered. Of built-in kinds, what is of the resource's own version
    does not name it."""
    group, version, name = taken
    own = (group, version) == (kind.group, kind.version) and not kind.custom
    return {"group": "" if own else group, "version": "" if own else version, "kind": name}


def _resource(kind: Kind) -> Document:
    """In the aggregated form."""
    found: dict[str, Any] = {
        "resource": kind.plural,
        "responseKind": _responded(kind, (kind.group, kind.version, kind.name)),
        "scope": _scope(kind),
        "singularResource": kind.one,
        "verbs": list(kind.verbs or ("create",)),
    }
    if kind.short:
        found["shortNames"] = list(kind.short)
    if kind.categories:
        found["categories"] = list(kind.categories)
    inner = []
    for name in subresources(kind):
        *taken, verbs = _subresource(kind, name)
        inner.append({"subresource": name, "responseKind": _responded(kind, taken), "verbs": list(verbs)})
    if inner:
        found["subresources"] = inner
    return found


def storage_version_hash(kind: Kind) -> str:
    """It changes with the version that objects are stored as."""
    digest = hashlib.sha256(f"{kind.group}/{kind.version}/{kind.name}".encode()).digest()
    return base64.b64encode(digest[:STORAGE_HASH_BYTES]).decode()


def _resource_list(group_version: str, served: Iterable[Kind]) -> Document:
    """In the plain form, in which subresources stand beside their resources."""
    resources: list[Document] = []
    for kind in served:
        entry: Document = {
            "name": kind.plural,
            "singularName": kind.one,
            "namespaced": kind.namespaced,
            "kind": kind.name,
            "verbs": list(kind.verbs or ("create",)),
        }
        if kind.short:
            entry["shortNames"] = list(kind.short)
        if kind.categories:
            entry["categories"] = list(kind.categories)
        if kind.verbs not in ((), ("create",)):
            entry["storageVersionHash"] = storage_version_hash(kind.stored_as or kind)
        resources.append(entry)
        for name in subresources(kind):
            group, version, taken, verbs = _subresource(kind, name)
            inner: Document = {
                "name": f"{kind.plural}/{name}",
                "singularName": "",
                "namespaced": kind.namespaced,
                "kind": taken,
                "verbs": list(verbs),
            }
            if (group, version) != (kind.group, kind.version):
                inner |= {"group": group, "version": version}
            resources.append(inner)
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": resources}
