"""The `authorizer` of expressions: what the user who writes, or a service account, may do.

Who decides is handed in; here is only how expressions put their question, and how they read the answer.

Source: https://kubernetes.io/docs/reference/using-api/cel/#kubernetes-authorizer-library
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from navarch.cel.library import text
from navarch.cel.program import Function, Run
from navarch.cel.values import Fault
from navarch.objects import names

COST = 35_000
"""Of one question: a tenth of Kubernetes', as the budgets are."""


@dataclass(frozen=True, slots=True)
class Question:
    """account: (namespace, name) of the service account that is asked about, None for whoever writes."""

    verb: str = ""
    path: str = ""
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    fields: str = ""
    labels: str = ""
    account: tuple[str, str] | None = None


Decide = Callable[[Question], tuple[bool, str]]
"""Whether it is allowed, and why (not)."""


class Authorizer:
    """fields: `requestResource`, the check that begins with what the request is about."""

    __slots__ = ("account", "decide", "fields")
    cel_type = "kubernetes.authorization.Authorizer"

    def __init__(self, decide: Decide, about: Question, account: tuple[str, str] | None = None) -> None:
        self.decide = decide
        self.account = account
        self.fields: Mapping[str, Any] = {"requestResource": ResourceCheck(decide, about)}


@dataclass(frozen=True, slots=True)
class PathCheck:
    cel_type = "kubernetes.authorization.PathCheck"
    decide: Decide
    about: Question


@dataclass(frozen=True, slots=True)
class GroupCheck:
    cel_type = "kubernetes.authorization.GroupCheck"
    decide: Decide
    about: Question


@dataclass(frozen=True, slots=True)
class ResourceCheck:
    cel_type = "kubernetes.authorization.ResourceCheck"
    decide: Decide
    about: Question


@dataclass(frozen=True, slots=True)
class Decision:
    cel_type = "kubernetes.authorization.Decision"
    allowed: bool
    reason: str
    error: str = field(default="")


def _of(type_: type, value: Any) -> Any:
    if not isinstance(value, type_):
        raise Fault("no such overload")
    return value


def _path(run: Run, target: Any, path: str) -> PathCheck:
    found = _of(Authorizer, target)
    if not text(path):
        raise Fault("path must not be empty")
    return PathCheck(found.decide, Question(path=path, account=found.account))


def _group(run: Run, target: Any, group: str) -> GroupCheck:
    found = _of(Authorizer, target)
    return GroupCheck(found.decide, Question(group=text(group), account=found.account))


def _service_account(run: Run, target: Any, namespace: str, name: str) -> Authorizer:
    found = _of(Authorizer, target)
    if names.dns_label(text(namespace)):
        raise Fault("Invalid service account namespace")
    if names.dns_subdomain(text(name)):
        raise Fault("Invalid service account name")
    return Authorizer(found.decide, found.fields["requestResource"].about, (namespace, name))


def _resource(run: Run, target: Any, resource: str) -> ResourceCheck:
    found = _of(GroupCheck, target)
    return ResourceCheck(found.decide, replace(found.about, resource=text(resource)))


def _with(part: str) -> Function:
    def function(run: Run, target: Any, value: str) -> ResourceCheck:
        found = _of(ResourceCheck, target)
        return ResourceCheck(found.decide, replace(found.about, **{part: text(value)}))

    return function


def _check(run: Run, target: Any, verb: str) -> Decision:
    if not isinstance(target, PathCheck | ResourceCheck):
        raise Fault("no such overload")
    run.pay(COST)
    return Decision(*target.decide(replace(target.about, verb=text(verb))))


METHODS: Mapping[str, Function] = {
    "path": _path,
    "group": _group,
    "serviceAccount": _service_account,
    "resource": _resource,
    "subresource": _with("subresource"),
    "namespace": _with("namespace"),
    "name": _with("name"),
    "fieldSelector": _with("fields"),
    "labelSelector": _with("labels"),
    "check": _check,
    "allowed": lambda run, found: _of(Decision, found).allowed,
    "reason": lambda run, found: _of(Decision, found).reason,
    "errored": lambda run, found: bool(_of(Decision, found).error),
    "error": lambda run, found: _of(Decision, found).error,
}
