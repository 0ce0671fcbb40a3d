"""From a request's method and path to what is asked of which resource.

Pure, and knows no kinds: whether a resource exists is found out later, so that one who may not ask is not told.

Source: https://kubernetes.io/docs/reference/using-api/api-concepts/ (Resource URIs)
"""

from __future__ import annotations

from navarch.apiserver.call import Attributes, Call, User
from navarch.wire.message import Request

VERBS = {"GET": "get", "HEAD": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
NAMESPACE_SUBRESOURCES = ("status", "finalize")
LONG_RUNNING = frozenset(("log", "exec", "attach", "portforward", "proxy"))
TRUE = ("1", "t", "T", "TRUE", "true", "True", "")


def parse(request: Request, user: User) -> Call:
    """Paths that name no resource give a call whose verb is the method in lower case."""
    path = request.path
    if path[:1] == "/" and path[-1:] != "/" and "//" not in path and "/proxy" not in path:
        parts = path[1:].split("/")
    else:
        parts = _segments(path)
    call = Call(request, user, request.method.lower(), path)
    count = len(parts)
    if count > 2 and parts[0] == "api":
        call.version, rest = parts[1], parts[2:]
    elif count > 3 and parts[0] == "apis":
        call.group, call.version, rest = parts[1], parts[2], parts[3:]
    else:
        return call
    verb = VERBS.get(request.method)
    if verb is None:
        if request.method != "OPTIONS":
            return call
        verb = ""  # no rule but one for all verbs allows it
    watching = rest[0] == "watch" and len(rest) > 1
    if watching:  # the old form of a watch, which has its own prefix
        rest = rest[1:]
    call.is_resource = True
    call.verb = verb
    _place(call, rest)
    if watching:
        call.verb = "watch"
    if call.name:
        return call
    if verb == "get" and not watching:
        call.verb = "watch" if request.query and _flag(request, "watch") else "list"
    elif verb == "delete" and not watching:
        call.verb = "deletecollection"
    if request.query and call.verb in ("list", "watch", "deletecollection"):
        call.name = named_by(request.param("fieldSelector"))
    return call


def _segments(path: str) -> list[str]:
    """The parts of a path, [] for one that names nothing since a part of it is empty. What is proxied may have any."""
    parts = path.removeprefix("/").split("/")
    if not parts[-1]:
        parts.pop()  # a slash at the end says nothing
    named = parts[: parts.index("proxy")] if "proxy" in parts else parts
    return [] if "" in named else parts


def _place(call: Call, rest: list[str]) -> None:
    """Read namespace, resource, name and subresource. No subresource but a proxy has anything behind it: what stands
    there is read as part of a name that no subresource has."""
    if rest[0] == "namespaces" and len(rest) > 1:
        call.namespace = rest[1]
        if len(rest) > 2 and rest[2] not in NAMESPACE_SUBRESOURCES:
            rest = rest[2:]
    call.resource = rest[0]
    call.name = rest[1] if len(rest) > 1 else ""
    call.subresource = "" if len(rest) < 3 else rest[2] if rest[2] == "proxy" else "/".join(rest[2:])


def named_by(field_selector: str) -> str:
    """The one name that a field selector asks for, "" if it may match others.

    A list or a watch of one object by name needs the right to that object alone.
    """
    for term in field_selector.split(","):
        key, separator, value = term.partition("=")
        if separator and key == "metadata.name":
            return value.removeprefix("=")
    return ""


def _flag(request: Request, name: str) -> bool:
    values = request.params(name)
    return bool(values) and values[0] in TRUE


def attributes(call: Call) -> Attributes:
    """What the authorizer is asked about."""
    if not call.is_resource:
        return Attributes(call.user, call.verb, path=call.path, is_resource=False)
    return Attributes(
        call.user,
        call.verb,
        call.group,
        call.version,
        call.resource,
        call.subresource,
        call.namespace,
        call.name,
        call.path,
        fields=call.request.param("fieldSelector") if call.verb in ("list", "watch", "deletecollection") else "",
    )


def long_running(call: Call) -> bool:
    """Whether the answer may take as long as the client likes: such calls hold no seat in the limit."""
    return call.verb == "watch" or call.subresource in LONG_RUNNING


def tail(call: Call) -> str:
    """What follows the subresource in the path, with its leading slash: what a proxied service is asked."""
    found = call.path.split(f"/{call.resource}/{call.name}/{call.subresource}", 1)
    return found[1] if len(found) == 2 else ""


def parse_accept(accept: str) -> list[tuple[str, dict[str, str]]]:
    """Media types in the client's order of preference, each with its parameters; nothing means anything.

    Of the same weight, those that are named come before those that are not."""
    found = []
    for position, term in enumerate(accept.split(",")):
        media, *rest = (part.strip() for part in term.split(";"))
        parameters = {name.strip(): value.strip(' "') for name, _, value in (part.partition("=") for part in rest)}
        try:
            weight = float(parameters.pop("q", "1"))
        except ValueError:
            weight = 0.0
        media = media or "*/*"
        found.append((-weight, media.count("*"), position, media, parameters))
    return [(media, parameters) for *_, media, parameters in sorted(found, key=lambda entry: entry[:3])]
