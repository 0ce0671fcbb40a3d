"""Match conditions: expressions that say whether a policy or a webhook is asked about a write at all.

One that is false decides, whatever the others say; where none is and some cannot be evaluated, the failure policy does.

Source: https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#matching-requests-matchconditions
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from navarch.apiserver.admission import request
from navarch.apiserver.admission.expressions import Expression, Spending
from navarch.apiserver.admission.review import Review
from navarch.apiserver.call import Attributes, Authorizer, User
from navarch.cel.authorizer import Authorizer as Asked
from navarch.cel.authorizer import Question
from navarch.cel.values import Fault, OverBudget
from navarch.kinds.kind import Kind
from navarch.objects.value import Document

BUDGET = 250_000
"""Of all the conditions together: a tenth of Kubernetes', whose engine is quicker."""


class Undecided(Exception):
    """Conditions could not be evaluated, and their failure policy refuses what it does not know."""


def compiled(documents: Iterable[Document]) -> tuple[Expression, ...]:
    """documents: `matchConditions`."""
    return tuple(Expression.of(one.get("expression", ""), one.get("name", "")) for one in documents)


def bound(review: Review, kind: Kind, authorizer: Authorizer | None = None) -> dict[str, Any]:
    """The values of `object`, `oldObject`, `request`, `namespaceObject` (null) and `authorizer`.

    authorizer: None allows everything.
    """
    new, old = request.written(review)
    sub = review.intent.subresource
    return {
        "object": request.shown(kind, new, sub),
        "oldObject": request.shown(kind, old, sub),
        "request": request.admission_request(review, kind),
        "namespaceObject": None,
        "authorizer": asked_of(review, kind, authorizer),
    }


def asked_of(review: Review, kind: Kind, authorizer: Authorizer | None) -> Asked:
    """What expressions know as `authorizer`: it speaks of the user who writes."""
    intent = review.intent

    def decide(question: Question) -> tuple[bool, str]:
        if authorizer is None:
            return True, ""
        found = authorizer.decide(
            Attributes(
                intent.user if question.account is None else _account(*question.account),
                question.verb,
                question.group,
                "*" if question.resource else "",
                question.resource,
                question.subresource,
                question.namespace,
                question.name,
                question.path,
                not question.path,
                question.fields,
            )
        )
        return found.allowed, found.reason

    about = Question(
        group=kind.group,
        resource=kind.plural,
        subresource=intent.subresource,
        namespace=request.namespace_of(review),
        name=intent.name,
    )
    return Asked(decide, about)


def _account(namespace: str, name: str) -> User:
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")
    return User(f"system:serviceaccount:{namespace}:{name}", groups=groups)


def match(conditions: Iterable[Expression], names: Mapping[str, Any], fails: bool) -> bool:
    """Whether all of them hold. fails: the failure policy is Fail; a write of which it is not known is no match else.

    Raises: Undecided.
    """
    spending, wrong = Spending(BUDGET), []
    for one in conditions:
        try:
            found = spending.run(one, names)
        except OverBudget as spent:
            wrong.append(str(spent))
            break
        except Fault as fault:
            wrong.append(str(fault))
            continue
        if found is False:
            return False
        if found is not True:
            wrong.append(f"expression '{one.text}' resulted in error: it is no bool")
    if wrong and fails:
        raise Undecided(wrong[0] if len(wrong) == 1 else f"[{', '.join(dict.fromkeys(wrong))}]")
    return not wrong
