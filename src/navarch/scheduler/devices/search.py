"""The search: one device after the other for one request after the other, back where it leads nowhere.

The first full solution is taken. Devices that differ in nothing but their names are tried once, and the search gives up
after `MOST_STEPS`. It walks on generators, one for each choice, so that its depth is not that of Python's stack.

Source: https://github.com/kubernetes/enhancements/tree/master/keps/sig-node/4381-dra-structured-parameters
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from navarch.objects import quantity
from navarch.scheduler.devices.constraints import Watched
from navarch.scheduler.devices.pools import Device, Offer, PoolId
from navarch.scheduler.devices.selectors import Unusable, select
from navarch.scheduler.devices.shapes import Asked, ClassShape, DeviceId, Request, Wanted
from navarch.scheduler.devices.use import Amounts, Use, consumed, counters_left
from navarch.scheduler.terms import tolerated

MOST_DEVICES = 32
"""Of one claim."""

MOST_STEPS = 50_000
"""Devices looked at: some tenths of a second."""

FORBIDDING = ("NoSchedule", "NoExecute")
CANNOT = "cannot allocate all claims"
TOO_LONG = "timed out trying to allocate devices"


class Asking(NamedTuple):
    """A claim without devices. name: with its namespace, as users are told."""

    name: str
    wanted: Wanted


class Pick(NamedTuple):
    """amounts: what is consumed of a device that several share; None for one that is not shared."""

    request: Request
    asked: Asked
    device: Device
    amounts: Amounts | None


Found = tuple[tuple[Pick, ...], ...]
"""For each claim, in their order."""


class _At(NamedTuple):
    """Where the search is. way: which alternative of the request; -1 while none is chosen. number: of the device
    within the request. start: devices before it were tried for the request already."""

    claim: int
    request: int = 0
    way: int = -1
    number: int = 0
    start: int = 0


@dataclass(slots=True)
class _Search:
    offers: Sequence[Offer]
    claims: Sequence[Asking]
    classes: Mapping[str, ClassShape]
    use: Use
    steps: int = 0
    picks: list[list[Pick]] = field(default_factory=list)
    watched: list[list[Watched]] = field(default_factory=list)
    taken: dict[DeviceId, list[int]] = field(default_factory=dict)
    shown: dict[DeviceId, list[int]] = field(default_factory=dict)
    shares: dict[DeviceId, list[Amounts]] = field(default_factory=dict)
    left: dict[PoolId, dict[str, Amounts]] = field(default_factory=dict)
    usable: list[tuple[Offer, Device]] = field(default_factory=list)
    everything: dict[tuple[int, int, int], list[tuple[Offer, Device]]] = field(default_factory=dict)

    def run(self) -> Found | None:
        """Raises: Unusable."""
        self.usable = [
            (offer, device)
            for offer in self.offers
            if not (offer.pool.incomplete or offer.pool.invalid)
            for device in offer.devices
        ]
        for number, claim in enumerate(self.claims):
            self.picks.append([])
            self.watched.append([Watched(one) for one in claim.wanted.constraints])
            fewest = sum(self._fewest(number, index) for index in range(len(claim.wanted.requests)))
            if fewest > MOST_DEVICES:
                most = f"exceeds the claim limit of {MOST_DEVICES}"
                raise Unusable(f"claim {claim.name}: number of requested devices {fewest} {most}")
        trail = [self._step(_At(0))]
        while trail:
            at = next(trail[-1], None)
            if at is None:
                trail.pop()
            elif at.claim == len(self.claims):
                return tuple(map(tuple, self.picks))
            else:
                trail.append(self._step(at))
        return None

    def _fewest(self, claim: int, index: int) -> int:
        """The number of devices that the request needs at least; finds out what "all" are."""
        request = self.claims[claim].wanted.requests[index]
        numbers: list[int] = []
        for way, asked in enumerate(request.ways):
            if asked.allocation_mode == "All":
                found = self.everything[claim, index, way] = self._all(claim, request, asked)
                numbers.append(len(found))
            else:
                numbers.append(asked.count)
        return min(numbers, default=0)

    def _all(self, claim: int, request: Request, asked: Asked) -> list[tuple[Offer, Device]]:
        found: list[tuple[Offer, Device]] = []
        for offer in self.offers:
            state = "currently being updated" if offer.pool.incomplete else "currently invalid"
            if offer.pool.incomplete or offer.pool.invalid:
                said = f"asks for all devices, but resource pool {offer.pool.id} is {state}"
                raise Unusable(f"claim {self.claims[claim].name}, request {asked.name or request.name}: {said}")
            for device in offer.devices:
                if self._selected(claim, asked, device) and self._room(asked, device) is not None:
                    found.append((offer, device))
        return found

    def _step(self, at: _At) -> Iterator[_At]:
        """Make one choice after the other at `at`; each is undone when the next is asked for."""
        self._spend()
        requests = self.claims[at.claim].wanted.requests
        if at.request == len(requests):
            yield _At(at.claim + 1)
            return
        request = requests[at.request]
        if at.way < 0:
            for way in range(len(request.ways)):
                yield at._replace(way=way)
            return
        asked = request.ways[at.way]
        fixed = self.everything.get((at.claim, at.request, at.way))
        wanted = asked.count if fixed is None else len(fixed)
        if not wanted or len(self.picks[at.claim]) + wanted - at.number > MOST_DEVICES:
            return
        if at.number == wanted:
            yield _At(at.claim, at.request + 1)
            return
        yield from self._each(at, request, asked, fixed)

    def _spend(self) -> None:
        self.steps += 1
        if self.steps > MOST_STEPS:
            raise Unusable(TOO_LONG)

    def _each(self, at: _At, request: Request, asked: Asked, fixed: list[tuple[Offer, Device]] | None) -> Iterator[_At]:
        failed: set[tuple[PoolId, bytes]] = set()
        if fixed is not None:
            candidates = range(at.number, at.number + 1)
        else:
            candidates = range(at.start, len(self.usable))
        for index in candidates:
            self._spend()
            offer, device = (self.usable if fixed is None else fixed)[index]
            if not self._free(at.claim, asked, device):
                continue
            like = (offer.pool.id, device.likeness)
            if like in failed or (fixed is None and not self._selected(at.claim, asked, device)):
                continue
            pick = self._take(at, offer, Pick(request, asked, device, None))
            if pick is None:
                continue
            yield at._replace(number=at.number + 1, start=index + 1)
            self._give_back(at, offer, pick)
            if pick.amounts is None:
                failed.add(like)

    def _selected(self, claim: int, asked: Asked, device: Device) -> bool:
        """Raises: Unusable."""
        if device.shape.binding_conditions:
            return False
        name = asked.device_class_name
        chosen = select(device, self.classes[name].spec.selectors, f"class {name}")
        return chosen and select(device, asked.selectors, f"claim {self.claims[claim].name}")

    def _free(self, claim: int, asked: Asked, device: Device) -> bool:
        if claim in self.shown.get(device.id, ()):
            return False
        taken = self.taken.get(device.id, ())
        if asked.admin_access:
            return claim not in taken
        return device.id not in self.use.held and not taken

    def _room(self, asked: Asked, device: Device) -> Amounts | None:
        """What would be consumed of the device; None where it is not to be had any more, or not like that."""
        capacity = device.shape.capacity
        amounts = consumed(asked.capacity.requests, capacity)
        if amounts is None:
            return None
        _, gone = self.use.shared.get(device.id, (0, {}))
        others = self.shares.get(device.id, ())
        for name, amount in amounts.items():
            total = amount + gone.get(name, 0) + sum(other.get(name, 0) for other in others)
            if total > quantity.nano(capacity[name].value):
                return None
        return amounts

    def _take(self, at: _At, offer: Offer, pick: Pick) -> Pick | None:
        """The pick, noted in all the books; None where something stands against it."""
        device, asked = pick.device, pick.asked
        amounts = self._room(asked, device)
        forbidding = (taint for taint in device.shape.taints if taint.effect in FORBIDDING)
        if amounts is None or not all(tolerated(asked.tolerations, taint) for taint in forbidding):
            return None
        if self._draws(pick) and not self._draw(offer, device):
            return None
        joined = [one for one in self.watched[at.claim] if one.covers(pick.request, asked)]
        for number, one in enumerate(joined):
            if not one.add(device):
                for before in joined[:number]:
                    before.drop()
                if self._draws(pick):
                    self._undraw(offer, device)
                return None
        if device.shape.allow_multiple_allocations:
            pick = pick._replace(amounts=amounts)
            self.shares.setdefault(device.id, []).append(amounts)
        else:
            (self.shown if asked.admin_access else self.taken).setdefault(device.id, []).append(at.claim)
        self.picks[at.claim].append(pick)
        return pick

    def _give_back(self, at: _At, offer: Offer, pick: Pick) -> None:
        device = pick.device
        self.picks[at.claim].pop()
        if pick.amounts is not None:
            self.shares[device.id].pop()
        else:
            (self.shown if pick.asked.admin_access else self.taken)[device.id].pop()
        for one in self.watched[at.claim]:
            if one.covers(pick.request, pick.asked):
                one.drop()
        if self._draws(pick):
            self._undraw(offer, device)

    def _draws(self, pick: Pick) -> bool:
        """Whether taking the device draws from counters: a shared one does when the first takes a part of it."""
        device = pick.device
        if not device.consumes or pick.asked.admin_access:
            return False
        return not (device.id in self.use.shared or self.shares.get(device.id))

    def _draw(self, offer: Offer, device: Device) -> bool:
        left = self.left.get(offer.pool.id)
        if left is None:
            left = self.left[offer.pool.id] = counters_left(offer.pool, self.use)
        if any(left.get(counters, {}).get(name, 0) < amount for counters, name, amount in device.consumes):
            return False
        self._undraw(offer, device, -1)
        return True

    def _undraw(self, offer: Offer, device: Device, sign: int = 1) -> None:
        left = self.left[offer.pool.id]
        for counters, name, amount in device.consumes:
            left[counters][name] += sign * amount


def search(
    offers: Sequence[Offer], claims: Sequence[Asking], classes: Mapping[str, ClassShape], use: Use
) -> Found | str:
    """Devices for all claims from what one node can have, or why there are none, in users' words.

    classes: all that the claims name.
    """
    try:
        found = _Search(offers, claims, classes, use).run()
    except Unusable as unusable:
        return str(unusable)
    if found is not None:
        return found
    invalid = any(offer.pool.invalid for offer in offers)
    return "invalid resource pools were encountered" if invalid else CANNOT
