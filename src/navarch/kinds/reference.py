"""Views of references from one object to another.

Source: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/object-reference/
"""

from __future__ import annotations

from navarch.kinds.view import View


class ObjectReference(View, frozen=True):
    kind: str = ""
    namespace: str = ""
    name: str = ""
    uid: str = ""
    api_version: str = ""
    resource_version: str = ""
    field_path: str = ""


class NamedReference(View, frozen=True):
    """Something by its kind and name in a known namespace (`roleRef`, `dataSource`, `claimRef`)."""

    kind: str = ""
    name: str = ""
    namespace: str = ""
    api_group: str = ""
