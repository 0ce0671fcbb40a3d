"""`/openapi/v3` and `/openapi/v2`: the schema of what is served, for `kubectl explain`, validation and code generators.

Documents are made when they are first asked for and kept compressed, as nearly every client takes them.

Source: https://kubernetes.io/docs/concepts/overview/kubernetes-api/#openapi-interface-definition
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

import orjson

from navarch.apiserver import openapi_proto, openapi_schemas
from navarch.apiserver.aggregation.documents import Documents, merged
from navarch.apiserver.openapi_paths import Operations, definition, referenced
from navarch.apiserver.openapi_places import place_of, place_paths, places
from navarch.apiserver.openapi_schemas import Definitions, Form
from navarch.apiserver.routes import parse_accept
from navarch.apiserver.version import KUBERNETES
from navarch.base.errors import NotAcceptable, NotFound
from navarch.kinds.kind import Kind
from navarch.objects.value import Document
from navarch.wire.message import Request, Response

JSON = "application/json"
INFO = {"title": "Kubernetes", "version": f"v{KUBERNETES}"}
GZIP_LEVEL = 6
MEDIA = (JSON, "*/*", "application/*")
V3_PARTS = ("openapi", "v3")


class OpenApi:
    """The documents for one set of kinds; make it anew when the kinds change."""

    def __init__(self, kinds: Iterable[Kind], remote: Mapping[str, Documents] = MappingProxyType({})) -> None:
        """remote: by path (`apis/{group}/{version}`), what other servers publish of theirs."""
        self._remote = remote
        taken = {tuple(path.split("/")[1:]) for path in remote}
        self._kinds = tuple(kind for kind in kinds if (kind.group, kind.version) not in taken)
        self._pages: dict[str, bytes] = {}
        self._asked: set[str] = set()
        self._hash = ""
        self._digests: dict[str, str] = {}
        self._custom = {name: one for kind in self._kinds for name, one in (kind.published or {}).items()}

    def is_made(self, request: Request) -> bool:
        """Whether it was asked for before; if not, to answer takes as long as it takes to make a document."""
        return request.path in self._asked

    def answer(self, request: Request) -> Response:
        """May be called beside the loop. Raises: NotFound, NotAcceptable."""
        found = self._answer(request)
        self._asked.add(request.path)
        return found

    def _answer(self, request: Request) -> Response:
        parts = tuple(part for part in request.path.split("/") if part)
        if parts == V3_PARTS:
            _check_accept(request)
            return Response(200, (("Content-Type", JSON),), self._index())
        if parts == ("openapi", "v2"):
            if _wants_protobuf(request):
                return self._packed(request, "v2.pb", openapi_proto.CONTENT_TYPE, self._proto_v2)
            _check_accept(request)
            return self._page(request, "v2", "")
        place = "/".join(parts[2:])
        if parts[:2] == V3_PARTS and place in self._remote and self._remote[place].parts.made:
            _check_accept(request)
            return self._moved(request, place) or self._sent(request, place, JSON, self._remote[place].parts.made)
        if parts[:2] == V3_PARTS and place in places(self._kinds):
            _check_accept(request)
            return self._moved(request, place) or self._page(request, "v3", place)
        raise NotFound("the server could not find the requested resource")

    def _index(self) -> bytes:
        paths = {place: {"serverRelativeURL": self._address(place)} for place in places(self._kinds)}
        for path, one in self._remote.items():
            if one.v3 or one.parts.made:
                paths[path] = {"serverRelativeURL": one.v3 or self._address(path)}
        return orjson.dumps({"paths": paths})

    def _address(self, place: str) -> str:
        """It changes with the content, so that what lies there may be kept for ever."""
        return f"/openapi/v3/{place}?hash={self._digest(place)}"

    def _moved(self, request: Request, place: str) -> Response | None:
        """Whoever asks for a content that is no more is told where the present one is."""
        wanted = request.param("hash")
        if wanted and wanted != self._digest(place):
            return Response(301, (("Location", self._address(place)), ("Content-Type", "text/plain")))
        return None

    def _digest(self, place: str) -> str:
        """Of what the document is made of, so that it need not be made to know whether it changed."""
        if place in self._digests:
            return self._digests[place]
        if place in self._remote:
            return self._remote[place].parts.made_digest
        if not self._hash:
            self._hash = openapi_schemas.digest()
        chosen = [kind for kind in self._kinds if place.startswith("v2") or place_of(kind) == place]
        described = [
            (kind.api_version, kind.name, kind.plural, kind.verbs, kind.subresources, kind.published) for kind in chosen
        ]
        others = [one.parts.v2 for one in self._remote.values()] if place.startswith("v2") else []
        text = f"{self._hash} {INFO} {described} {place} {others}"
        found = self._digests[place] = hashlib.sha256(text.encode()).hexdigest().upper()
        return found

    def _page(self, request: Request, form: Form, place: str) -> Response:
        def make() -> bytes:
            return orjson.dumps(self._document_v3(place) if form == "v3" else self._document_v2())

        return self._packed(request, place or form, JSON, make)

    def _proto_v2(self) -> bytes:
        return openapi_proto.encode(self._document_v2())

    def _packed(self, request: Request, key: str, content_type: str, make: Callable[[], bytes]) -> Response:
        packed = self._pages.get(key)
        if packed is None:
            packer = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, 31)
            packed = self._pages[key] = packer.compress(make()) + packer.flush()
        return self._sent(request, key, content_type, packed)

    def _sent(self, request: Request, key: str, content_type: str, packed: bytes) -> Response:
        etag = f'"{self._digest(key)}"'
        headers = [("Content-Type", content_type), ("ETag", etag), ("Vary", "Accept-Encoding, Accept")]
        if request.param("hash"):  # the address changes with the content
            headers.append(("Cache-Control", "public, immutable, max-age=31536000"))
        if request.headers.get("if-none-match") == etag:
            return Response(304, headers)
        if "gzip" in request.headers.get("accept-encoding", ""):
            return Response(200, [*headers, ("Content-Encoding", "gzip")], packed)
        return Response(200, headers, zlib.decompress(packed, 31))

    def _document_v3(self, place: str) -> Document:
        kinds = [kind for kind in self._kinds if place_of(kind) == place]
        paths = place_paths(place, "v3")
        paths |= {path: item for kind in kinds for path, item in Operations(kind, "v3").paths()}
        wanted = {definition(kind) for kind in kinds} | referenced(paths)
        return {
            "openapi": "3.0.0",
            "info": INFO,
            "paths": paths,
            "components": {
                "schemas": Definitions(self._custom).closure(wanted, "v3"),
                "securitySchemes": {"BearerToken": _BEARER},
            },
        }

    def _document_v2(self) -> Document:
        paths = {path: item for place in places(self._kinds) for path, item in place_paths(place, "v2").items()}
        paths |= {path: item for kind in self._kinds for path, item in Operations(kind, "v2").paths()}
        wanted = {definition(kind) for kind in self._kinds} | referenced(paths)
        own = {
            "swagger": "2.0",
            "info": INFO,
            "paths": paths,
            "definitions": Definitions(self._custom).closure(wanted, "v2"),
            "securityDefinitions": {"BearerToken": _BEARER},
            "security": [{"BearerToken": []}],
        }
        return merged(own, [one.parts.v2 for one in self._remote.values() if one.parts.v2])


_BEARER: dict[str, Any] = {
    "type": "apiKey",
    "name": "authorization",
    "in": "header",
    "description": "Bearer Token authentication",
}


def _wants_protobuf(request: Request) -> bool:
    """Whether that is the first form of those that the client takes that is served."""
    taken = [media for media, _ in parse_accept(request.headers.get("accept", ""))]
    return next((media for media in taken if media in (*MEDIA, openapi_proto.MEDIA)), "") == openapi_proto.MEDIA


def _check_accept(request: Request) -> None:
    """Raises: NotAcceptable: the client takes only the protobuf form."""
    if not any(media in MEDIA for media, _ in parse_accept(request.headers.get("accept", ""))):
        raise NotAcceptable("only the following media types are accepted: application/json")
