"""Webhooks as they are configured: compiled once for each change of the configurations, in the order they are asked.

Whether one is asked about a write is said here and by `matching`; asking is `webhooks`' business.

Source: https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from navarch.apiserver.admission.conditions import compiled
from navarch.apiserver.admission.expressions import Expression
from navarch.apiserver.admission.matching import Constraints, exempt
from navarch.apiserver.admission.request import operation
from navarch.apiserver.admission.review import Review
from navarch.apiserver.call import Reads
from navarch.kinds.kind import Kind
from navarch.kinds.object import Object
from navarch.objects.value import Document

KNOWN_REVIEWS = ("v1", "v1beta1")
DRY = ("None", "NoneOnDryRun")
TIMEOUT_S = 10
WRITES_REMEMBERED = 4096


@dataclass(frozen=True, slots=True)
class Hook:
    """uid: tells it from every other. dry: it may be asked about dry runs. fails: a write of which it could not be
    asked is refused. review: the version of AdmissionReview that it understands."""

    uid: tuple[str, int]
    name: str
    client: Document
    constraints: Constraints
    conditions: tuple[Expression, ...]
    fails: bool
    timeout_s: int
    dry: bool
    review: str
    reinvoked: bool

    @classmethod
    def of(cls, configuration: str, index: int, document: Document) -> Hook:
        understood = [one for one in document.get("admissionReviewVersions") or () if one in KNOWN_REVIEWS]
        return cls(
            (configuration, index),
            document.get("name", ""),
            document.get("clientConfig") or {},
            Constraints.of(document),
            compiled(document.get("matchConditions") or ()),
            document.get("failurePolicy") != "Ignore",
            document.get("timeoutSeconds") or TIMEOUT_S,
            document.get("sideEffects") in DRY,
            understood[0] if understood else KNOWN_REVIEWS[0],
            document.get("reinvocationPolicy") == "IfNeeded",
        )


def configured(found: Iterable[Object]) -> tuple[Hook, ...]:
    """All webhooks of configurations: by the configurations' names, and in each as they stand."""
    return tuple(
        Hook.of(one.name, index, hook)
        for one in sorted(found, key=lambda one: one.name)
        for index, hook in enumerate(one.document().get("webhooks") or ())
    )


class Hooks:
    """The webhooks of one kind of configuration. `changed` says that the configurations did."""

    def __init__(self, reads: Reads, kind: Kind) -> None:
        self._reads = reads
        self._kind = kind
        self._all: tuple[Hook, ...] = ()
        self._by_write: dict[tuple[Kind, str, str], tuple[Hook, ...]] = {}
        self._known = False

    def changed(self) -> None:
        self._known = False

    def place(self, hook: Hook) -> int:
        """Where it stands among all."""
        return next((index for index, one in enumerate(self._all) if one.uid == hook.uid), 0)

    def of(self, review: Review) -> Sequence[Hook]:
        """Those whose rules ask for writes like this one; selectors and conditions may still say no."""
        if not self._known:
            self._all = configured(self._reads.list(self._kind))
            self._by_write = {}
            self._known = True
        if not self._all:
            return ()
        write = (review.intent.shown, review.intent.subresource, operation(review))
        found = self._by_write.get(write)
        if found is None:
            if len(self._by_write) >= WRITES_REMEMBERED:
                self._by_write.clear()
            asked = () if exempt(review) else self._all
            found = tuple(hook for hook in asked if hook.constraints.rules and hook.constraints.kind_of(review))
            self._by_write[write] = found
        return found
