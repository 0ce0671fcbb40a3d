"""Streams into pods and proxies as admission sees them: a CONNECT of options, before anything is connected.

What the options mean to the stream is `streams`' business.

Source: https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#request
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from navarch.apiserver.call import Call
from navarch.apiserver.context import Context
from navarch.apiserver.options import Intent
from navarch.apiserver.pod_options import flag
from navarch.apiserver.prepare import posted
from navarch.apiserver.rewriting import sub_path
from navarch.apiserver.routes import tail
from navarch.kinds.kind import Kind
from navarch.objects.value import Document

FLAGS = ("stdin", "stdout", "stderr", "tty")


def _options(name: str) -> Kind:
    return Kind(group="", version="v1", name=name, plural="", verbs=())


OPTIONS: Mapping[tuple[str, str], Kind] = {
    ("pods", "exec"): _options("PodExecOptions"),
    ("pods", "attach"): _options("PodAttachOptions"),
    ("pods", "portforward"): _options("PodPortForwardOptions"),
    ("pods", "proxy"): _options("PodProxyOptions"),
    ("services", "proxy"): _options("ServiceProxyOptions"),
    ("nodes", "proxy"): _options("NodeProxyOptions"),
}
"""(plural, subresource) -> the kind of what a client asks there."""


def connects(call: Call) -> bool:
    return not call.group and (call.resource, call.subresource) in OPTIONS


async def connect(context: Context, call: Call) -> None:
    """Ask admission. Raises: ApiError."""
    kind = context.state.kinds.resource(call.group, call.version, call.resource)
    if kind is None:
        return
    body = OPTIONS[call.resource, call.subresource]
    intent = Intent(
        kind, call.user, "connect", call.namespace, call.name, call.subresource, "", False, "Ignore", call.warnings
    )
    await posted(context.state, context.plugins, intent, body, document(body, call))


def document(body: Kind, call: Call) -> Document:
    """What the query asks for, as the kind of its options has it."""
    request = call.request
    found: dict[str, Any] = {"kind": body.name, "apiVersion": "v1"}
    if call.subresource == "portforward":
        ports = [int(one) for text in request.params("ports") for one in text.split(",") if one.isdigit()]
        return {**found, "ports": ports} if ports else found
    if call.subresource == "proxy":
        path = sub_path(tail(call))
        return {**found, "path": path} if path else found
    found |= {name: True for name in FLAGS if flag(request, name)}
    if container := request.param("container"):
        found["container"] = container
    if commands := request.params("command"):
        found["command"] = commands
    return found
