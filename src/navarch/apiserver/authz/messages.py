"""How a refusal is worded: clients and people look for these sentences."""

from __future__ import annotations

from navarch.apiserver.call import Attributes
from navarch.base.errors import Forbidden


def refused(asked: Attributes, reason: str = "") -> Forbidden:
    """`pods is forbidden: User "x" cannot list resource "pods" in API group "" in the namespace "y"`."""
    user = asked.user.name
    if not asked.is_resource:
        said = f'User "{user}" cannot {asked.verb} path "{asked.path}"'
        return Forbidden(f"forbidden: {said}" + (f": {reason}" if reason else ""))
    resource = f"{asked.resource}/{asked.subresource}" if asked.subresource else asked.resource
    where = f'in the namespace "{asked.namespace}"' if asked.namespace else "at the cluster scope"
    said = f'User "{user}" cannot {asked.verb} resource "{resource}" in API group "{asked.group}" {where}'
    if reason:
        said += f": {reason}"
    plural = f"{asked.resource}.{asked.group}" if asked.group else asked.resource
    what = f'{plural} "{asked.name}" is forbidden' if asked.name else f"{plural} is forbidden"
    return Forbidden(f"{what}: {said}", group=asked.group, kind=asked.resource, name=asked.name)
