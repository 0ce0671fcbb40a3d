"""What the scheduler believes of devices, while the API and what it hears of it are apart."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from navarch.kinds import DEVICECLASS, POD, RESOURCECLAIM, RESOURCESLICE
from navarch.kinds.object import Object
from navarch.scheduler.devices.stock import Given, Stock
from navarch.scheduler.facts import NodeFacts, PodFacts, pod_facts
from navarch.scheduler.views import NodeSpec

NOW = datetime(2030, 1, 1, tzinfo=UTC)
HERE = NodeFacts("here", {"zone": "a"}, NodeSpec(), {}, {})
NAMES = ("a", "b", "c")


def slice_of(*devices: dict[str, Any], name: str = "s", **spec: Any) -> Object:
    pool = {"name": "here", "generation": 1, "resourceSliceCount": 1}
    document = {"driver": "gpu.example.com", "nodeName": "here", "pool": pool, "devices": list(devices), **spec}
    return Object.of(RESOURCESLICE, {"metadata": {"name": name, "uid": name}, "spec": document})


def device_class(name: str = "gpu", **spec: Any) -> Object:
    return Object.of(DEVICECLASS, {"metadata": {"name": name}, "spec": spec})


def claim(name: str, *requests: dict[str, Any], uid: str = "", revision: int = 1, **more: Any) -> Object:
    metadata = {"name": name, "namespace": "default", "uid": uid or name, "resourceVersion": str(revision)}
    asked = list(requests) or [{"name": "gpu", "exactly": {"deviceClassName": "gpu"}}]
    document = {"metadata": metadata, "spec": {"devices": {"requests": asked, **more.pop("devices", {})}}, **more}
    return Object.of(RESOURCECLAIM, document)


def pod(name: str, *claims: str) -> PodFacts:
    named = [{"name": one, "resourceClaimName": one} for one in claims or (name,)]
    spec = {"containers": [{"name": "main", "image": "i"}], "resourceClaims": named}
    return pod_facts(Object.of(POD, {"metadata": {"name": name, "namespace": "default", "uid": name}, "spec": spec}))


def stocked(*found: Object) -> Stock:
    stock = Stock()
    for one in (device_class(), *found):
        stock.add(one)
    return stock


def chosen(stock: Stock, facts: PodFacts, node: NodeFacts = HERE) -> tuple[Given, ...]:
    return stock.given(facts, node, NOW, iter(f"id-{number}" for number in range(9)).__next__)


class Api:
    """The truth, and the events that were not heard yet. Writes say what they expect."""

    def __init__(self, stock: Stock) -> None:
        self.stock = stock
        self.revision = 1
        self.claims = {name: claim(name) for name in NAMES}
        self.unheard: list[tuple[Object | None, Object | None]] = []
        self.flying: dict[str, tuple[Given, ...]] = {}
        self.uids = 0
        for one in self.claims.values():
            stock.add(one)

    def write(self, name: str, uid: str, allocation: Any) -> Object:
        self.revision += 1
        status = {"allocation": allocation} if allocation is not None else {}
        old, self.claims[name] = self.claims.get(name), claim(name, uid=uid, revision=self.revision, status=status)
        self.unheard.append((old, self.claims[name]))
        return self.claims[name]

    def allocation(self, name: str) -> Any:
        return self.claims[name].document().get("status", {}).get("allocation")

    # -- what may happen

    def decide(self, name: str) -> None:
        facts = pod(name)
        known = self.stock.claims[("default", name)]
        if name in self.flying or self.stock.trouble(facts) or known.shape.status.allocation is not None:
            return
        if not isinstance(self.stock.answers([known])(HERE), str):
            self.flying[name] = chosen(self.stock, facts)
            self.stock.promise(name, self.flying[name])

    def carry_out(self, name: str, answered: bool) -> None:
        """answered: whether the scheduler hears that it was written."""
        for one in self.flying.get(name, ()):
            there = self.claims[name]
            if there.revision != one.claim.revision or there.uid != one.claim.uid:
                self.undo(name)
                return
            self.write(name, there.uid, None)  # the finalizer
            written = self.write(name, there.uid, one.allocation)
            if answered:
                self.stock.kept(written)
                self.flying.pop(name, None)

    def undo(self, name: str) -> None:
        for one in (given := self.flying.pop(name, ())):
            there = self.claims[name]
            if there.uid == one.claim.uid and self.allocation(name) == one.allocation:
                self.write(name, there.uid, None)
        self.stock.unpromise(given)

    def free(self, name: str) -> None:
        if self.allocation(name) is not None and name not in self.flying:
            self.write(name, self.claims[name].uid, None)

    def again(self, name: str) -> None:
        """Deleted and made anew, once it has nothing."""
        if self.allocation(name) is None:
            self.uids += 1
            self.write(name, f"{name}-{self.uids}", None)

    def hear(self, name: str) -> None:
        if self.unheard:
            _, new = self.unheard.pop(0)
            if new is not None:
                self.stock.add(new)

    def relist(self, name: str) -> None:
        """All is heard as it is by now; what was between is never heard."""
        self.unheard.clear()
        for one in self.claims.values():
            self.stock.add(one)


STEPS = {
    "decide": Api.decide,
    "write": lambda api, name: api.carry_out(name, True),
    "lose": lambda api, name: api.carry_out(name, False),
    "undo": Api.undo,
    "free": Api.free,
    "again": Api.again,
    "hear": Api.hear,
    "relist": Api.relist,
}


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(sorted(STEPS)), st.sampled_from(NAMES)), min_size=20, max_size=60))
def test_no_device_is_two_claims_whatever_is_heard_late(steps: list[tuple[str, str]]) -> None:
    api = Api(stocked(slice_of({"name": "x"}, {"name": "y"})))
    for step, name in steps:
        STEPS[step](api, name)
        held = [one["device"] for each in NAMES if (has := api.allocation(each)) for one in has["devices"]["results"]]
        assert len(set(held)) == len(held), (step, name)
    for name in NAMES:
        api.undo(name)
    while api.unheard:
        api.hear("")
    assert not api.stock.promised, "all is known in the end"
    truth = sum(api.allocation(name) is not None for name in NAMES)
    assert sum(api.stock.use.held.values()) == truth


def test_devices_are_had_where_their_slice_says() -> None:
    there = NodeFacts("there", {"zone": "b"}, NodeSpec(), {}, {})
    zone = {"nodeSelectorTerms": [{"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}]}
    for spec, ours, theirs in (
        ({}, True, False),
        ({"nodeName": "", "allNodes": True}, True, True),
        ({"nodeName": "", "nodeSelector": zone}, True, False),
    ):
        stock = stocked(slice_of({"name": "x"}, **spec), claim("a"))
        ask = stock.answers([stock.claims["default", "a"]])
        assert (not isinstance(ask(HERE), str), not isinstance(ask(there), str)) == (ours, theirs)
    each = slice_of(
        {"name": "x", "nodeName": "there"},
        {"name": "y", "nodeSelector": zone},
        {"name": "z", "allNodes": True},
        nodeName="",
        perDeviceNodeSelection=True,
    )
    stock = stocked(each)
    assert [d.id.name for offer in stock.inventory.offers(HERE) for d in offer.devices] == ["y", "z"]
    assert [d.id.name for offer in stock.inventory.offers(there) for d in offer.devices] == ["x", "z"]


def test_an_allocation_says_for_which_nodes_it_is() -> None:
    zone = {"nodeSelectorTerms": [{"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}]}
    only = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["here"]}]}
    for spec, selector in (
        ({"nodeName": "", "allNodes": True}, None),
        ({"nodeName": "", "nodeSelector": zone}, zone),
        ({}, {"nodeSelectorTerms": [only]}),
    ):
        stock = stocked(slice_of({"name": "x"}, {"name": "y"}, **spec), claim("a"))
        (one,) = chosen(stock, pod("a"))
        assert one.allocation is not None
        assert one.allocation.get("nodeSelector") == selector
    bound = stocked(slice_of({"name": "x", "bindsToNode": True}, nodeName="", allNodes=True), claim("a"))
    assert "matchFields" in str(chosen(bound, pod("a"))[0].allocation)


def test_configuration_of_class_and_claim_goes_along_with_the_requests_it_is_for() -> None:
    def opaque(text: str) -> dict[str, Any]:
        return {"opaque": {"driver": "gpu.example.com", "parameters": {"is": text}}}

    big = {"name": "big", "deviceClassName": "gpu", "count": 9}
    small = {"name": "small", "deviceClassName": "gpu"}
    requests = (
        {"name": "one", "firstAvailable": [big, small]},
        {"name": "two", "exactly": {"deviceClassName": "gpu", "adminAccess": True, "tolerations": [{"key": "k"}]}},
        {"name": "three", "exactly": {"deviceClassName": "plain"}},
    )
    config = [
        {**opaque("all")},
        {"requests": ["one/small"], **opaque("small")},
        {"requests": ["one/big"], **opaque("big")},
        {"requests": ["two"], **opaque("two")},
    ]
    devices = slice_of(*({"name": name} for name in "xyz"))
    stock = stocked(devices, device_class("plain"), claim("a", *requests, devices={"config": config}))
    stock.add(device_class("gpu", config=[opaque("class")]))
    (one,) = chosen(stock, pod("a"))
    assert one.allocation is not None
    results = one.allocation["devices"]["results"]
    assert [(each["request"], each["device"]) for each in results] == [("one/small", "x"), ("two", "y"), ("three", "z")]
    assert (results[1]["adminAccess"], results[1]["tolerations"]) == (True, [{"key": "k"}])
    assert one.allocation["devices"]["config"] == [
        {"source": "FromClass", "requests": ["one/small", "two"], **opaque("class")},
        {"source": "FromClaim", **opaque("all")},
        {"source": "FromClaim", "requests": ["one/small"], **opaque("small")},
        {"source": "FromClaim", "requests": ["two"], **opaque("two")},
    ]
    assert one.allocation["allocationTimestamp"] == "2030-01-01T00:00:00Z"


def test_a_share_of_a_device_says_what_it_consumes() -> None:
    shared = {"name": "x", "allowMultipleAllocations": True, "capacity": {"memory": {"value": "8Gi"}}}
    asked = {"name": "gpu", "exactly": {"deviceClassName": "gpu", "capacity": {"requests": {"memory": "3Gi"}}}}
    stock = stocked(slice_of(shared), *(claim(name, asked) for name in NAMES))
    for name in ("a", "b"):
        (one,) = chosen(stock, pod(name))
        assert one.allocation is not None
        (result,) = one.allocation["devices"]["results"]
        assert (result["shareID"], result["consumedCapacity"]) == ("id-0", {"memory": "3Gi"})
        stock.promise(name, (one,))
    assert stock.answers([stock.claims["default", "c"]])(HERE) == "cannot allocate all claims"
    stock.unpromise((one,))
    assert stock.answers([stock.claims["default", "c"]])(HERE) != "cannot allocate all claims"


def test_one_claim_named_twice_is_one_claim() -> None:
    stock = stocked(slice_of({"name": "x"}), claim("a"))
    facts = pod("p", "a", "a")
    assert len(stock.of(facts)) == 1
    assert len(chosen(stock, facts)) == 1
