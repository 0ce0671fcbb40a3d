"""One request on its way through the chain: what was asked, by whom, of what.

Source: https://kubernetes.io/docs/reference/access-authn-authz/authorization/#request-verb-resource
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from navarch.apiserver.aside import Aside
from navarch.kinds import (
    CLUSTERROLE,
    CLUSTERROLEBINDING,
    FLOWSCHEMA,
    PRIORITYLEVELCONFIGURATION,
    ROLE,
    ROLEBINDING,
)
from navarch.kinds.kind import Kind
from navarch.kinds.object import Object
from navarch.objects.value import Document
from navarch.wire.message import Request


@dataclass(frozen=True, slots=True)
class User:
    """Who asks. extra: as in `authentication.k8s.io` (scopes, the pod that a token was bound to)."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def user_info(user: User) -> Document:
    """`authentication.k8s.io/v1.UserInfo`."""
    found: Document = {"username": user.name}
    if user.uid:
        found["uid"] = user.uid
    if user.groups:
        found["groups"] = list(user.groups)
    if user.extra:
        found["extra"] = {key: list(values) for key, values in user.extra.items()}
    return found


ANONYMOUS = User("system:anonymous", groups=("system:unauthenticated",))
ITSELF = User("system:apiserver", groups=("system:masters",))
"""The server's own loopback identity."""


@dataclass(slots=True)
class Call:
    """verb: create delete deletecollection get list patch update watch for resources, else the lower-case method.

    group, version, resource, subresource, namespace, name are "" where they do not apply; path is always there.
    warnings: texts for `Warning` headers, added to by anybody on the way. aside: where a large body is worked on.
    """

    request: Request
    user: User
    verb: str
    path: str
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    is_resource: bool = False
    warnings: list[str] = field(default_factory=list)
    aside: Aside | None = None


POLICIES = frozenset((ROLE, ROLEBINDING, CLUSTERROLE, CLUSTERROLEBINDING, FLOWSCHEMA, PRIORITYLEVELCONFIGURATION))
"""What says who may do what, and how much of it at once."""


class Reads(Protocol):
    """What authentication, authorization and admission may read: the watch cache, synchronously."""

    @property
    def policies(self) -> int:
        """Changes whenever an object of one of the kinds in `POLICIES` does: one number to look at for each request."""
        ...

    def get(self, kind: Kind, namespace: str, name: str) -> Object | None: ...

    def list(self, kind: Kind, namespace: str = "") -> Sequence[Object]:
        """All objects of the kind, in one namespace or (with "") in all, in key order."""
        ...

    def where(self, kind: Kind, *, labels: str = "", fields: str = "") -> Sequence[Object]:
        """The objects in all namespaces that selectors choose, found by index, in key order."""
        ...

    def version(self, kind: Kind) -> int:
        """Changes whenever any object of the kind does: what memos are keyed with."""
        ...


@dataclass(frozen=True, slots=True)
class Attributes:
    """What an authorizer decides about. fields: the field selector of a list or a watch, as text."""

    user: User
    verb: str
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""
    is_resource: bool = True
    fields: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """always: it holds for all names and field selectors, until `Reads.policies` changes."""

    allowed: bool
    reason: str = ""
    always: bool = False


class Authorizer(Protocol):
    def decide(self, attributes: Attributes) -> Decision:
        """Pure and synchronous: it reads caches only."""
        ...
