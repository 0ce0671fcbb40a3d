"""What discovery says of subresources: which kind each takes and which verbs.

Source: the published discovery and OpenAPI documents of v1.36.
"""

from __future__ import annotations

from dataclasses import dataclass

from navarch.kinds.kind import Kind

WRITE = ("get", "patch", "update")
CONNECT = ("create", "get")
PROXY = ("create", "delete", "get", "patch", "update")


@dataclass(frozen=True, slots=True)
class Subresource:
    """group, version, kind: of the documents that it takes and gives; empty group and version for those of the API
    version that the resource itself is served under."""

    name: str
    kind: str
    verbs: tuple[str, ...]
    group: str = ""
    version: str = ""


def subresource(kind: Kind, name: str) -> Subresource:
    """Raises: KeyError, when `kind` has no such subresource."""
    if name not in kind.subresources:
        raise KeyError(f"{kind.plural} have no subresource {name!r}")
    match name:
        case "scale":
            return Subresource(name, "Scale", WRITE, "autoscaling", "v1")
        case "exec" | "attach" | "portforward":
            option = {"exec": "PodExecOptions", "attach": "PodAttachOptions", "portforward": "PodPortForwardOptions"}
            return Subresource(name, option[name], CONNECT)
        case "proxy":
            return Subresource(name, f"{kind.name}ProxyOptions", PROXY)
        case "log":
            return Subresource(name, kind.name, ("get",))
        case "binding":
            return Subresource(name, "Binding", ("create",))
        case "eviction":
            return Subresource(name, "Eviction", ("create",), "policy", "v1")
        case "token":
            return Subresource(name, "TokenRequest", ("create",), "authentication.k8s.io", "v1")
        case "finalize":
            return Subresource(name, kind.name, ("update",))
        case _:
            return Subresource(name, kind.name, WRITE)
