"""Whether a write is one that a policy or a webhook asks for: its rules, its selectors.

Here is only the matching: what is done about a write that matches is for those to say who asked.

Source: https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#matching-requests-rules
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from navarch.apiserver import refusals
from navarch.apiserver.admission.request import namespace_of, operation, written
from navarch.apiserver.admission.review import Review
from navarch.kinds import NAMESPACE
from navarch.kinds.kind import Kind
from navarch.objects import selector
from navarch.objects.selector import Selector
from navarch.objects.value import Document, dig

GROUP = "admissionregistration.k8s.io"
EXEMPT = frozenset(
    (
        "validatingwebhookconfigurations",
        "mutatingwebhookconfigurations",
        "validatingadmissionpolicies",
        "validatingadmissionpolicybindings",
        "mutatingadmissionpolicies",
        "mutatingadmissionpolicybindings",
    )
)
"""What admission is configured with is never refused by what it is configured with."""


def exempt(review: Review) -> bool:
    kind = review.intent.kind
    return kind.plural in EXEMPT and kind.group == GROUP


@dataclass(frozen=True, slots=True)
class Rule:
    """resources: (plural, subresource), each of which may be `*`. names: none for every name."""

    operations: frozenset[str]
    groups: frozenset[str]
    versions: frozenset[str]
    resources: frozenset[tuple[str, str]]
    scope: str
    names: frozenset[str]

    @classmethod
    def of(cls, document: Document) -> Rule:
        resources = (one.partition("/") for one in document.get("resources") or ())
        return cls(
            frozenset(document.get("operations") or ()),
            frozenset(document.get("apiGroups") or ()),
            frozenset(document.get("apiVersions") or ()),
            frozenset((plural, subresource) for plural, _, subresource in resources),
            document.get("scope") or "*",
            frozenset(document.get("resourceNames") or ()),
        )

    def matches(self, review: Review, kind: Kind) -> bool:
        """Whether the write, taken as one to `kind`, is among these."""
        intent = review.intent
        if not _among(operation(review), self.operations) or not _among(kind.group, self.groups):
            return False
        if not _among(kind.version, self.versions):
            return False
        if self.scope != "*" and (self.scope == "Namespaced") != kind.namespaced:
            return False
        if not any(
            plural in ("*", kind.plural) and below in ("*", intent.subresource) for plural, below in self.resources
        ):
            return False
        return not self.names or intent.name in self.names


def _among(value: str, chosen: frozenset[str]) -> bool:
    return "*" in chosen or value in chosen


@dataclass(frozen=True, slots=True)
class Constraints:
    """rules: none match everything. exact: a write to another version or group of the same objects is no match."""

    rules: tuple[Rule, ...]
    excluded: tuple[Rule, ...]
    exact: bool
    namespaces: Selector
    objects: Selector

    @classmethod
    def of(cls, document: Document) -> Constraints:
        """document: `matchConstraints`, `matchResources`, or a webhook."""
        rules = document.get("resourceRules") or document.get("rules") or ()
        return cls(
            tuple(map(Rule.of, rules)),
            tuple(map(Rule.of, document.get("excludeResourceRules") or ())),
            document.get("matchPolicy") == "Exact",
            selector.from_document(document.get("namespaceSelector") or {}),
            selector.from_document(document.get("objectSelector") or {}),
        )

    def match(self, review: Review) -> Kind | None:
        """The kind as which the write matches: what is asked about it is asked in that version. None: no match.

        Raises: NotFound, where labels of a namespace are asked for that is not there.
        """
        if self.excluded and self._kind(review, self.excluded) is not None:
            return None
        kind = self.kind_of(review)
        if kind is None or not self._object_fits(review) or not self._namespace_fits(review):
            return None
        return kind

    def kind_of(self, review: Review) -> Kind | None:
        """As which kind the rules ask for the write, whatever its selectors say."""
        return self._kind(review, self.rules) if self.rules else review.intent.shown

    def _kind(self, review: Review, rules: Sequence[Rule]) -> Kind | None:
        shown = review.intent.shown
        if any(rule.matches(review, shown) for rule in rules):
            return shown
        if self.exact:
            return None
        others = [kind for kind in review.state.kinds.faces(review.intent.kind) if kind is not shown]
        return next((kind for rule in rules for kind in others if rule.matches(review, kind)), None)

    def _object_fits(self, review: Review) -> bool:
        if self.objects.everything:
            return True
        return any(self.objects.matches(_labels(one)) for one in written(review) if one is not None)

    def _namespace_fits(self, review: Review) -> bool:
        if self.namespaces.everything:
            return True
        name = namespace_of(review)
        if not name:
            return True
        new, _ = written(review)
        if review.intent.kind is NAMESPACE and not review.intent.subresource and new is not None:
            return self.namespaces.matches(_labels(new))
        found = review.state.get(NAMESPACE, "", name)
        if found is None:
            raise refusals.not_found(NAMESPACE, name)
        return self.namespaces.matches(found.labels)


def _labels(document: Document) -> Mapping[str, str]:
    return dig(document, "metadata", "labels", default={})  # type: ignore[no-any-return]
