"""Addresses and node ports of Services: kept where they were, taken where asked for, picked where nothing is said.

Source: https://kubernetes.io/docs/concepts/services-networking/service/#type-nodeport (and the sections around it)
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from ipaddress import ip_network
from typing import Any

import orjson

from navarch.apiserver import refusals
from navarch.apiserver.addressbook import ALLOCATOR, MANAGED, is_of
from navarch.apiserver.admission.families import settle, stays_as_it_is
from navarch.apiserver.admission.review import Review
from navarch.apiserver.allocate import ADDRESSES, NODE_PORTS, Addresses, Full, Pool, Ports, Taken
from navarch.apiserver.state import State
from navarch.base.errors import Cause, Internal
from navarch.kinds import IPADDRESS, SERVICE, SERVICECIDR
from navarch.kinds.kind import Kind
from navarch.kinds.object import Object
from navarch.objects.value import Document, Draft, dig
from navarch.store.store import Change

HEADLESS = "None"
FENCE = "services"
"""Behind which the servers that share a store hand out numbers, one after another."""
FAMILIES = {4: "IPv4", 6: "IPv6"}
LEAST = {4: 2, 6: 1}
"""Addresses of a network that nobody is given: its own, and of IPv4 the one for all."""
WITH_PORTS = ("NodePort", "LoadBalancer")


class Allocation:
    """What Services hold; follows the store. networks: one of each family that the cluster has, parted by commas."""

    def __init__(self, state: State, networks: str = ADDRESSES, node_ports: tuple[int, int] = NODE_PORTS) -> None:
        self._state = state
        found = (Addresses(network, state.ids) for network in networks.split(","))
        self._first = {addresses.family: addresses for addresses in found}
        self.ports = Ports(*node_ports, state.ids)
        self._more: dict[str, Addresses] = {}
        """Networks that ServiceCIDR objects add, by their own texts."""
        self._held: dict[str, frozenset[tuple[str, int]]] = {}
        state.listeners.append(self._changed)
        state.loaded.append(self._repair)

    def _pool(self, what: str) -> Pool:
        if what in self._more:
            return self._more[what].pool
        return self._first[what].pool if what in self._first else self.ports.pool

    def _networks(self) -> Iterator[tuple[str, Addresses]]:
        """Every network, under the name of its pool, in the order in which addresses are picked."""
        yield from self._first.items()
        yield from self._more.items()

    def _places(self, address: str) -> list[tuple[str, int]]:
        """Where the address stands: in each of the networks that have it."""
        found = ((what, network.number(address)) for what, network in self._networks())
        return [(what, number) for what, number in found if number is not None]

    def _numbers(self, spec: Document) -> frozenset[tuple[str, int]]:
        """(network | port, number in its pool), of what lies in our ranges."""
        found: set[tuple[str, int]] = set()
        for address in (spec.get("clusterIP"), *(spec.get("clusterIPs") or ())):
            if address:
                found.update(self._places(address))
        for port in (spec.get("healthCheckNodePort"), *(p.get("nodePort") for p in spec.get("ports") or ())):
            if port and (number := self.ports.number(port)) is not None:
                found.add(("port", number))
        return frozenset(found)

    def _repair(self) -> None:
        """Fill the pools from what is stored."""
        self._more = self._added()
        services = self._state.list(SERVICE)
        self._held = {one.uid: self._numbers(one.document().get("spec") or {}) for one in services}
        for what in (*self._first, *self._more, "port"):
            self._pool(what).reset((n, uid) for uid, held in self._held.items() for w, n in held if w == what)

    def _added(self) -> dict[str, Addresses]:
        """Networks of the cluster's families that are there to stay."""
        found: dict[str, Addresses] = {}
        for one in self._state.list(SERVICECIDR):
            for text in dig(one.document(), "spec", "cidrs", default=()):
                network = ip_network(text)
                stays = one.view.metadata.deletion_timestamp is None
                first = self._first.get(FAMILIES[network.version])
                more = first is not None and network != first.network
                if stays and more and network.num_addresses > LEAST[network.version]:
                    found[text] = self._more.get(text) or Addresses(text, self._state.ids)
        return found

    def _extend(self) -> None:
        """Networks came or went. Pools that stay keep what is reserved for writes that are on their way."""
        before, self._more = self._more, self._added()
        if self._more.keys() == before.keys():
            return
        services = self._state.list(SERVICE)
        self._held = {one.uid: self._numbers(one.document().get("spec") or {}) for one in services}
        for what in self._more.keys() - before.keys():
            self._pool(what).reset((n, uid) for uid, held in self._held.items() for w, n in held if w == what)

    def _changed(self, kind: Kind, change: Change) -> None:
        if kind is SERVICECIDR:
            self._extend()
        if kind is not SERVICE:
            return
        if change.value is None:
            if change.previous is not None:
                self._release(Object(kind, change.previous.value).uid, frozenset())
            return
        found = Object(kind, change.value)
        numbers = self._numbers(found.document().get("spec") or {})
        for what, number in sorted(numbers):
            if (
                self._pool(what).holder(number) not in self._held
            ):  # free, or reserved for a write that now cannot be made
                self._pool(what).give_to(number, found.uid)
        self._release(found.uid, numbers)

    def _release(self, uid: str, kept: frozenset[tuple[str, int]]) -> None:
        for what, number in self._held.pop(uid, frozenset()) - kept:
            self._pool(what).give_back(number, uid)
        if kept:
            self._held[uid] = kept

    # What admission does.

    def mutate(self, review: Review) -> None:
        """Raises: Invalid, Internal (a pool is full)."""
        if not review.is_on("services") or review.intent.verb == "delete":
            return
        draft, old = review.draft, review.old
        _keep_allocated(draft, old)
        asked = {**draft.document, "spec": {**draft.get("spec", default={})}}
        causes = [*self._address(review), *self._node_ports(review)]
        if causes:
            review.give_back()
            told = list(SERVICE.rules(asked, old))  # nothing is allocated for what is wrong in itself
            raise refusals.invalid(SERVICE, review.intent.name, told or causes)

    def _take(self, review: Review, what: str, number: int, spared: frozenset[tuple[str, int]]) -> None:
        """Raises: Taken."""
        uid = review.draft.get("metadata", "uid")
        pool = self._pool(what)
        if pool.take(number, uid) and (what, number) not in spared:
            review.fences.add(FENCE)
            review.undo.append(lambda: pool.give_back(number, uid))

    def _free_port(self, review: Review) -> int:
        """Raises: Internal."""
        uid = review.draft.get("metadata", "uid")
        pool = self.ports.pool
        try:
            number = pool.pick(uid)
        except Full:
            raise Internal("failed to allocate a nodePort: range is full") from None
        review.fences.add(FENCE)
        review.undo.append(lambda: pool.give_back(number, uid))
        return self.ports.port(number)

    def _free_address(self, review: Review, family: str) -> str:
        """Of the first network that has one. Raises: Internal."""
        uid = review.draft.get("metadata", "uid")
        for _, network in self._networks():
            if network.family != family:
                continue
            skipped: list[int] = []
            try:
                while True:
                    number = network.pool.pick(uid)
                    address = network.address(number)
                    if self._is_unclaimed(review, address) and self._is_free(address, uid):
                        break
                    skipped.append(number)
            except Full:
                continue
            finally:
                for one in skipped:
                    network.pool.give_back(one, uid)
            for place, other in self._places(address):
                self._take(review, place, other, frozenset())
            review.fences.add(FENCE)
            review.undo.append(partial(network.pool.give_back, number, uid))
            return address
        raise Internal("failed to allocate a serviceIP: range is full")

    def _is_free(self, address: str, uid: str) -> bool:
        """In every network that has it."""
        return all(self._pool(what).holder(number) in (None, uid) for what, number in self._places(address))

    def _is_unclaimed(self, review: Review, address: str) -> bool:
        """Whether no IPAddress says that something else has it."""
        found = self._state.get(IPADDRESS, "", address)
        if found is None or found.labels.get(MANAGED) == ALLOCATOR:
            return True  # ours follow the Services, sooner or later
        return is_of(found, (review.namespace, review.intent.name))

    def _check_unclaimed(self, review: Review, address: str) -> None:
        """Raises: Taken."""
        if not self._is_unclaimed(review, address):
            raise Taken(address)

    def _address(self, review: Review) -> list[Cause]:
        """What is wrong with the addresses that are asked for; takes them, and picks those that are not."""
        draft, was = review.draft, dig(review.old, "spec", default={})
        if draft.get("spec", "type") == "ExternalName":
            for field in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
                draft.remove("spec", field)
            return []
        if (single := draft.get("spec", "clusterIP")) and not draft.get("spec", "clusterIPs"):
            draft.set([single], "spec", "clusterIPs")
        if was and stays_as_it_is(draft.get("spec"), was):
            return []
        if wrong := settle(draft, review.old, tuple(self._first)):
            return list(wrong)
        if single == HEADLESS:
            return []
        addresses: list[str] = list(draft.get("spec", "clusterIPs") or ())
        families: list[str] = draft.get("spec", "ipFamilies")
        held = [] if was.get("type") == "ExternalName" else was.get("clusterIPs") or []
        more = not held or (len(families) > len(was.get("ipFamilies") or held) and addresses[:1] == held[:1])
        if not more:
            return []  # the rules say what may not change
        addresses += [""] * (len(families) - len(addresses))
        for index, family in enumerate(families):
            if not addresses[index]:
                addresses[index] = self._free_address(review, family)
            elif addresses[index] not in held and (why := self._given_address(review, addresses[index], family)):
                return [_refused(addresses, addresses[index], why)]
        draft.set(addresses[0], "spec", "clusterIP")
        draft.set(addresses, "spec", "clusterIPs")
        return []

    def _given_address(self, review: Review, address: str, family: str) -> str:
        """Take the one that is asked for; why it cannot be had, "" if it can."""
        places = self._places(address)
        if not places:
            valid = f"The range of valid IPs is {self._first[family].network}"
            return f"the provided IP ({address}) is not in the valid range. {valid}"
        try:
            self._check_unclaimed(review, address)
            for what, number in places:
                self._take(review, what, number, frozenset())
        except Taken:
            return "provided IP is already allocated"
        return ""

    def _node_ports(self, review: Review) -> list[Cause]:
        draft = review.draft
        type_ = draft.get("spec", "type")
        if type_ not in WITH_PORTS:
            return []
        causes: list[Cause] = []
        shared: dict[tuple[Any, ...], int] = {}
        had = self._numbers(dig(review.old, "spec", default={}))
        for i in draft.each("spec", "ports"):
            wanted = draft.get("spec", "ports", i, "nodePort")
            if wanted:
                causes.extend(self._given(review, wanted, f"spec.ports[{i}].nodePort", had))
                shared[draft.get("spec", "ports", i, "port"), draft.get("spec", "ports", i, "protocol")] = wanted
        if causes or (type_ == "LoadBalancer" and draft.get("spec", "allocateLoadBalancerNodePorts") is False):
            return causes
        for i in draft.each("spec", "ports"):
            if not draft.get("spec", "ports", i, "nodePort"):
                port, protocol = draft.get("spec", "ports", i, "port"), draft.get("spec", "ports", i, "protocol")
                twin = next((n for (p, q), n in shared.items() if p == port and q != protocol), None)
                number = twin or self._free_port(review)
                shared[port, protocol] = number
                draft.set(number, "spec", "ports", i, "nodePort")
        return self._health_check(review, had)

    def _health_check(self, review: Review, had: frozenset[tuple[str, int]]) -> list[Cause]:
        draft = review.draft
        local = draft.get("spec", "externalTrafficPolicy") == "Local" and draft.get("spec", "type") == "LoadBalancer"
        wanted = draft.get("spec", "healthCheckNodePort")
        if not local:
            if wanted:
                draft.remove("spec", "healthCheckNodePort")
            return []
        if wanted:
            return list(self._given(review, wanted, "spec.healthCheckNodePort", had))
        draft.set(self._free_port(review), "spec", "healthCheckNodePort")
        return []

    def _given(self, review: Review, port: int, at: str, had: frozenset[tuple[str, int]]) -> list[Cause]:
        number = self.ports.number(port)
        if number is None:
            valid = f"{self.ports.low}-{self.ports.high}"
            why = f"provided port is not in the valid range. The range of valid ports is {valid}"
            return [Cause("FieldValueInvalid", f"Invalid value: {port}: {why}", at)]
        try:
            self._take(review, "port", number, had)
        except Taken:
            return [Cause("FieldValueInvalid", f"Invalid value: {port}: provided port is already allocated", at)]
        return []


def _refused(addresses: list[str], address: str, why: str) -> Cause:
    message = f"Invalid value: {orjson.dumps(addresses).decode()}: failed to allocate IP {address}: {why}"
    return Cause("FieldValueInvalid", message, "spec.clusterIPs")


def _keep_allocated(draft: Draft, old: Document | None) -> None:
    """What was allocated before stays where the writer leaves it out, and goes where the type has no use for it."""
    type_ = draft.get("spec", "type")
    if old is None:
        return
    was = old.get("spec") or {}
    if type_ != "ExternalName" and was.get("type") != "ExternalName":
        if not draft.get("spec", "clusterIP") and not draft.get("spec", "clusterIPs"):
            for field in ("clusterIP", "clusterIPs"):
                if was.get(field):
                    draft.set(was[field], "spec", field)
        elif draft.get("spec", "clusterIP") != was.get("clusterIP") and draft.get("spec", "clusterIPs") == was.get(
            "clusterIPs"
        ):
            draft.remove("spec", "clusterIPs")
    ports = {(p.get("protocol"), p.get("port")): p.get("nodePort") for p in was.get("ports") or ()}
    for i in draft.each("spec", "ports"):
        port = draft.get("spec", "ports", i)
        before = ports.get((port.get("protocol"), port.get("port")))
        if type_ in WITH_PORTS and before and not port.get("nodePort"):
            draft.set(before, "spec", "ports", i, "nodePort")
        elif type_ not in WITH_PORTS and before and port.get("nodePort") == before:
            draft.remove("spec", "ports", i, "nodePort")
    if type_ not in WITH_PORTS and was.get("type") in WITH_PORTS:
        for field in ("externalTrafficPolicy", "healthCheckNodePort", "allocateLoadBalancerNodePorts"):
            if draft.get("spec", field) == was.get(field):
                draft.remove("spec", field)
    elif was.get("healthCheckNodePort"):
        draft.default(was["healthCheckNodePort"], "spec", "healthCheckNodePort")
