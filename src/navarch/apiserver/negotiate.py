"""Which form a client is answered in: the first of its Accept header's media types that there is an answer in.

Only chooses. How objects, lists and events are written in a form is `render`'s and `reply`'s affair, and how bodies are
read `bodies`'.

Source: https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-representations
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

from navarch.apiserver.routes import parse_accept
from navarch.base.errors import NotAcceptable
from navarch.wire.message import Request

JSON = "application/json"
YAML = "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"
OFFERED = (JSON, YAML, PROTOBUF)
STREAMED = (JSON, PROTOBUF)
PRETTY_AGENTS = ("curl", "Wget", "Mozilla/")
TRUE = ("1", "t", "T", "TRUE", "true", "True")
META_GROUP = "meta.k8s.io"
META_VERSION = "meta.k8s.io/v1"
SHOWN_AS = ("Table", "PartialObjectMetadata", "PartialObjectMetadataList")


@dataclass(frozen=True, slots=True)
class Form:
    """How the client wants it. as_: "", Table, PartialObjectMetadata or PartialObjectMetadataList. meta: the version of
    what it is shown as. pretty: of JSON, with line breaks."""

    type: str = JSON
    as_: str = ""
    meta: str = META_VERSION
    pretty: bool = False


def form_of(request: Request, *, packs: bool = True, shown_as: bool = True, watch: bool = False) -> Form:
    """packs: the objects have a form in protobuf. shown_as: they may be shown as tables and metadata.

    Raises: NotAcceptable.
    """
    headers = request.headers
    found = _chosen_by(headers.get("accept", ""), headers.get("user-agent", ""), packs, shown_as, watch)
    if found is None:
        offered = [f"{type_};stream=watch" for type_ in STREAMED] if watch else OFFERED
        raise NotAcceptable(f"only the following media types are accepted: {', '.join(offered)}")
    return _settled(request, found) if request.query else found


def form_of_error(request: Request) -> Form:
    """What a Status is written in: JSON where the client takes nothing else that we have."""
    headers = request.headers
    accept, agent = headers.get("accept", ""), headers.get("user-agent", "")
    found = _chosen_by(accept, agent, True, False, False) or Form(pretty=agent.startswith(PRETTY_AGENTS))
    return _settled(request, found) if request.query else found


def _settled(request: Request, found: Form) -> Form:
    """With what is asked for elsewhere: by the query, and by being a person's tool."""
    asked = request.param("pretty")
    pretty = asked in TRUE if asked else found.pretty
    return found if pretty == found.pretty else replace(found, pretty=pretty)


@lru_cache(maxsize=512)
def _chosen_by(accept: str, agent: str, packs: bool, shown_as: bool, watch: bool) -> Form | None:
    found = _chosen(accept, packs, shown_as, watch)
    if found is not None and not found.pretty and agent.startswith(PRETTY_AGENTS):
        return replace(found, pretty=True)
    return found


@lru_cache(maxsize=256)
def _chosen(accept: str, packs: bool, shown_as: bool, watch: bool) -> Form | None:
    for media, params in parse_accept(accept):
        for type_ in OFFERED:
            if media not in (type_, "application/*", "*/*"):
                continue
            if params.get("stream") and (params["stream"] != "watch" or type_ == YAML):
                continue
            pretty = params.get("pretty") == "1"
            if not {"as", "g", "v"} & params.keys():
                if type_ != PROTOBUF or packs:
                    return None if watch and type_ not in STREAMED else Form(type_, "", META_VERSION, pretty)
            elif shown_as and _is_shown(type_, params):
                if watch and type_ not in STREAMED:
                    return None
                return Form(type_, params["as"], f"{META_GROUP}/{params['v']}", pretty)
    return None


def _is_shown(type_: str, params: dict[str, str]) -> bool:
    """Tables are nothing that protobuf has a message for; in its beta, neither is metadata."""
    if params.get("g") != META_GROUP or params.get("v") not in ("v1", "v1beta1"):
        return False
    as_ = params.get("as")
    return as_ in SHOWN_AS and (type_ != PROTOBUF or (as_ != "Table" and params["v"] == "v1"))
