"""Nobody grants what they do not hold: checked on every write of a role or a binding.

Source: https://kubernetes.io/docs/reference/access-authn-authz/rbac/#privilege-escalation-prevention-and-bootstrapping
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

import msgspec

from navarch.apiserver import refusals
from navarch.apiserver.authz.authorizer import MASTERS, RulesAuthorizer
from navarch.apiserver.authz.rules import quoted, told, uncovered
from navarch.apiserver.call import Attributes, User
from navarch.base.errors import Forbidden
from navarch.kinds.certificates import DECIDED
from navarch.kinds.certificates import GROUP as CERTIFICATES
from navarch.kinds.kind import Kind
from navarch.kinds.rbac import GROUP, ClusterRole, PolicyRule, RoleBinding
from navarch.objects.value import Document, dig

ROLES = ("Role", "ClusterRole")
BINDINGS = ("RoleBinding", "ClusterRoleBinding")


def check(authorizer: RulesAuthorizer, user: User, kind: Kind, new: Document, old: Document | None) -> None:
    """For every create and update of RBAC's kinds, after it was defaulted, and for every decision about a certificate;
    other kinds pass.

    Raises:
        Forbidden: the role or the binding would give more than `user` holds, or `user` may not decide for the signer.
    """
    if kind.group not in (GROUP, CERTIFICATES) or MASTERS in user.groups:
        return
    if kind.group == CERTIFICATES:
        _check_signer(authorizer, user, kind, new, old or {})
        return
    if kind.name in ROLES:
        _check_role(authorizer, user, kind, new, old)
    elif kind.name in BINDINGS:
        _check_binding(authorizer, user, kind, new, old)


def _check_signer(authorizer: RulesAuthorizer, user: User, kind: Kind, new: Document, old: Document) -> None:
    """Who approves, signs, says that nothing can be signed, or vouches for a signer's certificates must be allowed that
    for the signer, beside the write itself."""
    signer = dig(new, "spec", "signerName", default="")
    if kind.name == "ClusterTrustBundle":
        if signer and new.get("spec") != old.get("spec") and not _may_sign(authorizer, user, "attest", signer):
            _refuse_signer(kind, new, f'user not permitted to attest for signerName "{signer}"')
        return
    status, was = new.get("status") or {}, old.get("status") or {}
    decided = [_decisions(found) for found in (status, was)]
    for verb, changed in (
        ("approve", decided[0] != decided[1]),
        ("sign", any(_undecided(status, field) != _undecided(was, field) for field in ("certificate", "conditions"))),
    ):
        if changed and not _may_sign(authorizer, user, verb, signer):
            _refuse_signer(kind, new, f'user not permitted to {verb} requests with signerName "{signer}"')


def _decisions(status: Document) -> list[Document]:
    return [one for one in status.get("conditions") or () if one.get("type") in DECIDED]


def _undecided(status: Document, field: str) -> object:
    """What is the signer's to write: not the decisions."""
    found = status.get(field)
    return [one for one in found or () if one.get("type") not in DECIDED] if field == "conditions" else found


def _refuse_signer(kind: Kind, new: Document, why: str) -> NoReturn:
    raise refusals.forbidden(kind, dig(new, "metadata", "name", default=""), why)


def _may_sign(authorizer: RulesAuthorizer, user: User, verb: str, signer: str) -> bool:
    """By its name, or by that of all signers of its domain."""
    for name in (signer, f"{signer.partition('/')[0]}/*"):
        attributes = Attributes(user, verb, group=CERTIFICATES, version="*", resource="signers", name=name)
        if authorizer.decide(attributes).allowed:
            return True
    return False


def _check_role(authorizer: RulesAuthorizer, user: User, kind: Kind, new: Document, old: Document | None) -> None:
    same = ("rules", "aggregationRule")
    if old is not None and all(new.get(key) == old.get(key) for key in same):
        return
    namespace, name = _place(new)
    if _may(authorizer, user, "escalate", kind.plural, namespace, name):
        return
    role = msgspec.convert(new, ClusterRole)
    if role.aggregation_rule is not None:
        everything = PolicyRule(verbs=("*",), api_groups=("*",), resources=("*",))
        _refuse(authorizer, user, kind, namespace, name, (everything,))
    _refuse(authorizer, user, kind, namespace, name, role.rules)


def _check_binding(authorizer: RulesAuthorizer, user: User, kind: Kind, new: Document, old: Document | None) -> None:
    if old is not None and new.get("roleRef") == old.get("roleRef") and new.get("subjects") == old.get("subjects"):
        return
    namespace, name = _place(new)
    role = msgspec.convert(new, RoleBinding).role_ref
    plural = "clusterroles" if role.kind == "ClusterRole" else "roles"
    if _may(authorizer, user, "bind", plural, namespace, role.name):
        return
    rules = authorizer.role_rules(namespace, role.kind, role.name)
    if rules is None:
        raise _forbidden(kind, name, f'{plural}.{GROUP} "{role.name}" not found')
    _refuse(authorizer, user, kind, namespace, name, rules)


def _place(document: Document) -> tuple[str, str]:
    metadata = document.get("metadata") or {}
    return metadata.get("namespace", ""), metadata.get("name", "")


def _may(authorizer: RulesAuthorizer, user: User, verb: str, plural: str, namespace: str, name: str) -> bool:
    return authorizer.decide(Attributes(user, verb, GROUP, "v1", plural, "", namespace, name)).allowed


def _refuse(
    authorizer: RulesAuthorizer, user: User, kind: Kind, namespace: str, name: str, rules: Sequence[PolicyRule]
) -> None:
    missing = uncovered(authorizer.rules_of(user, namespace), rules)
    if missing:
        groups = " ".join(quoted(group) for group in user.groups)
        lines = "\n".join(told(rule) for rule in missing)
        raise _forbidden(
            kind,
            name,
            f'user "{user.name}" (groups=[{groups}]) is attempting to grant RBAC permissions not currently held:\n'
            f"{lines}",
        )


def _forbidden(kind: Kind, name: str, why: str) -> Forbidden:
    message = f'{kind.resource} "{name}" is forbidden: {why}'
    return Forbidden(message, group=kind.group, kind=kind.plural, name=name)
