"""The authorizers of a server, in order: masters, nodes, roles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from navarch.apiserver.authz.node import NodeAuthorizer
from navarch.apiserver.authz.rbac import Rbac
from navarch.apiserver.authz.roles import NODE_RULES
from navarch.apiserver.call import Attributes, Decision, Reads, User
from navarch.kinds.rbac import PolicyRule

MASTERS = "system:masters"
EVERYTHING = (
    PolicyRule(verbs=("*",), api_groups=("*",), resources=("*",)),
    PolicyRule(verbs=("*",), non_resource_urls=("*",)),
)
ALLOWED = Decision(True, always=True)


class RulesAuthorizer(Protocol):
    """An authorizer that can also tell which rules users and roles have."""

    def decide(self, attributes: Attributes) -> Decision: ...

    def rules_of(self, user: User, namespace: str) -> Sequence[PolicyRule]: ...

    def role_rules(self, namespace: str, kind: str, name: str) -> Sequence[PolicyRule] | None: ...


class Authorizers:
    """The first that has an opinion decides; there is no way around them."""

    rbac: Rbac
    _nodes: NodeAuthorizer

    def __init__(self, reads: Reads | None = None) -> None:
        """reads: None when they are not there yet: the core that has them is made with its authorizer. Until
        `read_from` says where to read, only masters may do anything."""
        self._ready = False
        if reads is not None:
            self.read_from(reads)

    def read_from(self, reads: Reads) -> None:
        self.rbac = Rbac(reads)
        self._nodes = NodeAuthorizer(reads, NODE_RULES)
        self._ready = True

    def decide(self, attributes: Attributes) -> Decision:
        if MASTERS in attributes.user.groups:
            return ALLOWED
        if not self._ready:
            return Decision(False, "the server has not read its roles yet")
        of_node = self._nodes.decide(attributes)
        if of_node is not None and of_node.allowed:
            return of_node
        by_role = self.rbac.decide(attributes)
        if by_role.allowed or of_node is None:
            return by_role
        return of_node

    def role_rules(self, namespace: str, kind: str, name: str) -> Sequence[PolicyRule] | None:
        """The rules of a role; None when there is no such role."""
        return self.rbac.role_rules(namespace, kind, name)

    def rules_of(self, user: User, namespace: str) -> Sequence[PolicyRule]:
        """What the user holds by roles; masters hold everything."""
        return EVERYTHING if MASTERS in user.groups else self.rbac.rules_of(user, namespace)
