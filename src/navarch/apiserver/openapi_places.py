"""The paths of OpenAPI documents that are no resources: discovery, the version, the keys of tokens."""

from __future__ import annotations

from collections.abc import Iterable

from navarch.apiserver.openapi_paths import META, PROTOBUF, TEXTS, titled, words
from navarch.apiserver.openapi_schemas import PREFIXES, Form
from navarch.kinds.kind import Kind
from navarch.objects.value import Document

VERSION_INFO = "io.k8s.apimachinery.pkg.version.Info"
JSON = ("application/json",)
ALL_TEXTS = (*TEXTS, PROTOBUF)


def place_of(kind: Kind) -> str:
    """`api/v1`, `apis/apps/v1`: the document of version 3 that the kind is described in."""
    return f"apis/{kind.api_version}" if kind.group else f"api/{kind.version}"


def places(kinds: Iterable[Kind]) -> list[str]:
    """The documents of version 3: one for each path below which something is served."""
    found = {".well-known/openid-configuration": None, "api": None, "apis": None}
    for kind in kinds:
        if kind.group:
            found[f"apis/{kind.group}"] = None
        found[place_of(kind)] = None
    return sorted((*found, "openid/v1/jwks", "version"))


def place_paths(place: str, form: Form) -> dict[str, Document]:
    """The one path at that place itself, with what it answers."""
    parts = place.split("/")
    match parts:
        case [".well-known", _]:
            found = _read("WellKnown", "getServiceAccountIssuerOpenIDConfiguration", "", JSON, form)
        case ["openid", *_]:
            media = ("application/jwk-set+json",)
            found = _read("openid", "getServiceAccountIssuerOpenIDKeyset", "", media, form)
        case ["version"]:
            found = _read("version", "getCodeVersion", VERSION_INFO, JSON, form, JSON)
        case ["api"]:
            found = _read("core", "getCoreAPIVersions", f"{META}APIVersions", ALL_TEXTS, form, ALL_TEXTS)
        case ["apis"]:
            found = _read("apis", "getAPIVersions", f"{META}APIGroupList", ALL_TEXTS, form, ALL_TEXTS)
        case ["apis", group]:
            name = f"get{titled(words(group))}APIGroup"
            found = _read(words(group), name, f"{META}APIGroup", ALL_TEXTS, form, ALL_TEXTS)
        case _:
            group, version = ("", parts[1]) if len(parts) == 2 else (parts[1], parts[2])
            name = f"get{titled(words(group))}{titled(version)}APIResources"
            tag = f"{words(group)}_{version}"
            found = _read(tag, name, f"{META}APIResourceList", ALL_TEXTS, form, ALL_TEXTS)
    return {f"/{place}/": {"get": found}}


def _read(
    tag: str, name: str, answer: str, media: tuple[str, ...], form: Form, taken: tuple[str, ...] = ()
) -> Document:
    schema = {"$ref": PREFIXES[form] + answer} if answer else {"type": "string"}
    told = {"schema": schema} if form == "v2" else {"content": {type_: {"schema": schema} for type_ in media}}
    found: Document = {
        "description": WHAT[answer.rpartition(".")[2]],
        "operationId": name,
        "tags": [tag],
        "responses": {"200": {"description": "OK", **told}, "401": {"description": "Unauthorized"}},
    }
    if form == "v2":
        found |= {"produces": list(media), "schemes": ["https"]}
        if taken:
            found["consumes"] = list(taken)
    return found


WHAT = {
    "": "how tokens of service accounts are checked",
    "APIGroup": "get information of a group",
    "APIGroupList": "get available API versions",
    "APIResourceList": "get available resources",
    "APIVersions": "get available API versions",
    "Info": "get the version information for this server",
}
