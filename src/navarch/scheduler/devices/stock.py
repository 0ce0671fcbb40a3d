"""All that the table knows of devices: claims, classes, what drivers publish, what is taken and what is promised.

A promise is an allocation that was decided and is being written: its devices count as taken from then on, until the
claim itself is seen to have them or the promise is taken back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

import msgspec

from navarch.kinds.object import Object
from navarch.objects.value import Document
from navarch.scheduler.devices.allocation import NewId, allocation
from navarch.scheduler.devices.pools import Inventory, Slice, sliced
from navarch.scheduler.devices.search import Asking, Found, Pick, search
from navarch.scheduler.devices.shapes import Allocation, ClaimShape, ClassShape, SliceShape
from navarch.scheduler.devices.use import Use
from navarch.scheduler.facts import NodeFacts, PodFacts

RESERVED_MAX = 256
REMEMBERED = 256
"""Sorts of claims of which the search's answers are kept, for each node."""

_allocation = msgspec.json.Decoder(Allocation).decode
_encode = msgspec.json.Encoder(order="deterministic").encode


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """A claim. asked: what it wants, as bytes: equal for claims of one template."""

    found: Object
    shape: ClaimShape
    asked: bytes

    @property
    def name(self) -> str:
        return f"{self.found.namespace}/{self.found.name}"


@dataclass(slots=True)
class Promise:
    """revision: of the write; 0 while it is under way."""

    pod: str
    allocation: Allocation
    revision: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Given:
    """What a pod's claim is to be given. allocation: None where it has its devices, and is only reserved."""

    claim: Object
    allocation: Document | None


class _Answer(NamedTuple):
    """own, wide: `Inventory.changes` of the node and of all, when it was found."""

    node: NodeFacts
    own: int
    wide: int
    found: Found | str


@dataclass(slots=True)
class Stock:
    claims: dict[tuple[str, str], Known] = field(default_factory=dict)
    classes: dict[str, ClassShape] = field(default_factory=dict)
    slices: dict[str, Slice] = field(default_factory=dict)
    inventory: Inventory = field(default_factory=Inventory)
    use: Use = field(default_factory=Use)
    promised: dict[str, Promise] = field(default_factory=dict)
    _answers: dict[tuple[bytes, ...], dict[str, _Answer]] = field(default_factory=dict)

    # -- told by informers

    def add(self, found: Object) -> None:
        """A claim, a class or a slice, new or changed."""
        match found.kind.name:
            case "DeviceClass":
                self.classes[found.name] = found.as_view(ClassShape)
                self._answers.clear()
            case "ResourceSlice":
                self.remove(found)
                shape: SliceShape = found.as_view(SliceShape)
                one = self.slices[found.name] = sliced(found.name, shape)
                self.inventory.add(one)
            case _:
                self._claim(found)

    def remove(self, found: Object) -> None:
        match found.kind.name:
            case "DeviceClass":
                self.classes.pop(found.name, None)
                self._answers.clear()
            case "ResourceSlice":
                if known := self.slices.pop(found.name, None):
                    self.inventory.remove(known)
            case _:
                self.claims.pop(found.key, None)
                self.promised.pop(found.uid, None)
                self._use(found.uid, None)

    def _claim(self, found: Object) -> None:
        before = self.claims.get(found.key)
        if before is not None and before.found.uid != found.uid:
            self.remove(before.found)
        shape: ClaimShape = found.as_view(ClaimShape)
        self.claims[found.key] = Known(found, shape, _encode(shape.spec))
        promise = self.promised.get(found.uid)
        if promise is not None and shape.status.allocation is None and not 0 < promise.revision <= found.revision:
            return
        self.promised.pop(found.uid, None)
        self._use(found.uid, shape.status.allocation)

    def _use(self, uid: str, has: Allocation | None) -> None:
        for pool in self.use.set(uid, () if has is None else has.devices.results):
            self.inventory.touch(pool)

    # -- of a pod's claims

    def of(self, pod: PodFacts) -> list[Known]:
        names = dict.fromkeys(one.claim for one in pod.device_claims)
        found = (self.claims.get((pod.namespace, name)) for name in names)
        return [claim for claim in found if claim is not None]

    def unmade(self, pod: PodFacts) -> bool:
        """Whether a claim is still to be made for it."""
        return any(
            one.own and (not one.claim or (pod.namespace, one.claim) not in self.claims) for one in pod.device_claims
        )

    def trouble(self, pod: PodFacts) -> str:
        """Why the pod can go nowhere, as Kubernetes says it; "" when its claims do not stand in its way."""
        for one in pod.device_claims:
            if not one.claim:
                return f'pod "{pod.namespace}/{pod.name}": ResourceClaim not created yet'
            claim = self.claims.get((pod.namespace, one.claim))
            if claim is None:
                return f'resourceclaim.resource.k8s.io "{one.claim}" not found'
            if claim.found.terminating:
                return f'resourceclaim "{one.claim}" is being deleted'
            owner = claim.found.controller
            if one.own and (owner is None or owner.uid != pod.uid):
                return (
                    f"ResourceClaim {claim.name} was not created for pod {pod.namespace}/{pod.name} (pod is not owner)"
                )
            if said := self._busy(claim, pod) or self._classless(claim):
                return said
        return ""

    def _busy(self, claim: Known, pod: PodFacts) -> str:
        users = claim.shape.status.reserved_for
        if len(users) >= RESERVED_MAX and all(user.uid != pod.uid for user in users):
            return "resourceclaim in use"
        if claim.found.uid in self.promised:
            return f"resource claim {claim.name} is in the process of being allocated"
        return ""

    def _classless(self, claim: Known) -> str:
        if claim.shape.status.allocation is not None:
            return ""
        for request in claim.shape.spec.devices.requests:
            for asked in request.ways:
                if asked.device_class_name not in self.classes:
                    name = asked.device_class_name
                    return f"request {request.label(asked)}: device class {name} does not exist"
        return ""

    def idle(self, pod: PodFacts) -> Iterator[Known]:
        """Its claims that have devices and no other user."""
        for claim in self.of(pod):
            users = claim.shape.status.reserved_for
            has = claim.shape.status.allocation is not None and claim.found.uid not in self.promised
            if has and all(user.uid == pod.uid for user in users) and not claim.found.terminating:
                yield claim

    # -- the choice

    def answers(self, claims: Sequence[Known]) -> Callable[[NodeFacts], Found | str]:
        """Of a node, devices for all `claims`, of which none has any; or why there are none.

        An answer is remembered until something of the node, or of the pools near it, changes.
        """
        key = tuple(claim.asked for claim in claims)
        if key not in self._answers and len(self._answers) >= REMEMBERED:
            self._answers.clear()
        known = self._answers.setdefault(key, {})
        asked = [Asking(claim.name, claim.shape.spec.devices) for claim in claims]
        changes = self.inventory.changes
        wide = changes.get("", 0)

        def answer(node: NodeFacts) -> Found | str:
            own, before = changes.get(node.name, 0), known.get(node.name)
            if before is not None and before.node is node and before.own == own and before.wide == wide:
                return before.found
            found = search(self.inventory.offers(node), asked, self.classes, self.use)
            if not isinstance(found, str) or not found.startswith("claim "):
                known[node.name] = _Answer(node, own, wide, found)
            return found

        return answer

    def given(self, pod: PodFacts, node: NodeFacts, now: datetime, new_id: NewId) -> tuple[Given, ...]:
        """What is to be written before the pod is bound to a node that the filter let through."""
        open = [claim for claim in self.of(pod) if claim.shape.status.allocation is None]
        found = self.answers(open)(node) if open else ()
        if isinstance(found, str):
            raise RuntimeError(f"a node was chosen where {pod.namespace}/{pod.name} has no devices: {found}")
        picked: dict[str, tuple[Pick, ...]] = {claim.found.uid: picks for claim, picks in zip(open, found, strict=True)}
        given: list[Given] = []
        for claim in self.of(pod):
            picks = picked.get(claim.found.uid)
            if picks is not None:
                document, wanted = claim.found.document(), claim.shape.spec.devices
                made = allocation(document, wanted, picks, self.classes, node.name, now, new_id)
                given.append(Given(claim.found, made))
            elif all(user.uid != pod.uid for user in claim.shape.status.reserved_for):
                given.append(Given(claim.found, None))
        return tuple(given)

    # -- promises

    def promise(self, pod: str, given: Sequence[Given]) -> None:
        """pod: its uid."""
        for one in given:
            if one.allocation is not None:
                made = self.promised[one.claim.uid] = Promise(pod, _allocation(_encode(one.allocation)))
                self._use(one.claim.uid, made.allocation)

    def kept(self, claim: Object) -> None:
        """The allocation is written. claim: as it is since then."""
        promise = self.promised.get(claim.uid)
        if promise is None:
            return
        promise.revision = claim.revision
        known = self.claims.get(claim.key)
        if known is not None and known.found.uid == claim.uid and known.found.revision >= claim.revision:
            del self.promised[claim.uid]
            self._use(claim.uid, known.shape.status.allocation)

    def unpromise(self, given: Sequence[Given], *, written: bool = True) -> None:
        """What was promised is not to be, and is known not to stand in the claims. written: also what was written."""
        for one in given:
            promise = self.promised.get(one.claim.uid)
            if promise is not None and promise.revision and not written:
                continue
            if self.promised.pop(one.claim.uid, None) is not None:
                known = self.claims.get(one.claim.key)
                same = known is not None and known.found.uid == one.claim.uid
                self._use(one.claim.uid, known.shape.status.allocation if same and known is not None else None)
