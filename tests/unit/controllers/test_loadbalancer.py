"""Which Service gets which address, from a pool and from the nodes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.controllers.loadbalancer.plan import CLASS, PENDING, Observed, addresses_of, plan
from navarch.controllers.loadbalancer.pool import Pool, pool_of
from navarch.controllers.plan import Event, Plan, Status
from navarch.kinds import SERVICE
from navarch.kinds.object import Object
from tests.unit.controllers.conftest import NOW, Make

POOL, _ = pool_of({"addresses": "192.0.2.10-192.0.2.12, 2001:db8::10/127"})
OF_NODES = Pool(of_nodes=True)


def service(make: Make, name: str = "web", *, has: tuple[str, ...] = (), port: int = 80, **spec: Any) -> Object:
    filled = {"type": "LoadBalancer", "ipFamilies": ["IPv4"], "ports": [{"port": port, "protocol": "TCP"}], **spec}
    ingress = [{"ip": each, "ipMode": "VIP"} for each in has]
    return make.object(SERVICE, name, spec=filled, status={"loadBalancer": {"ingress": ingress} if ingress else {}})


def decided(*services: Object, pool: Pool | None = POOL, **more: Any) -> dict[str, Status]:
    found = plan(Observed(services, pool, **more), NOW)
    assert all(isinstance(each, Status) for each in found.actions)
    return {each.object.name: each for each in found.actions if isinstance(each, Status)}


def where(status: Status) -> list[str]:
    return [each["ip"] for each in status.status["loadBalancer"].get("ingress", [])]


def why(status: Status) -> str:
    [found] = [each for each in status.status["conditions"] if each["type"] == PENDING]
    return f"{found['reason']}: {found['message']}"


def test_a_service_gets_the_first_free_address_and_is_told(make: Make) -> None:
    has, new = service(make, "old", has=("192.0.2.10",)), service(make)
    found = decided(new, has)
    assert set(found) == {"web"}, "what has its address is not written"
    assert where(found["web"]) == ["192.0.2.11"]
    assert found["web"].status["loadBalancer"]["ingress"][0]["ipMode"] == "VIP"
    assert found["web"].done == Event(new, "IPAllocated", "Assigned IP 192.0.2.11")


def test_an_address_that_is_asked_for(make: Make) -> None:
    assert where(decided(service(make, loadBalancerIP="192.0.2.12"))["web"]) == ["192.0.2.12"]
    moved = decided(service(make, has=("192.0.2.10",), loadBalancerIP="192.0.2.12"))["web"]
    assert where(moved) == ["192.0.2.12"]
    others = decided(service(make, "old", has=("192.0.2.12",)), service(make, loadBalancerIP="192.0.2.12"))["web"]
    assert why(others) == "AddressTaken: another Service has 192.0.2.12"
    assert why(decided(service(make, loadBalancerIP="198.51.100.1"))["web"]).startswith("NotInPool: the pool has no")


def test_families(make: Make) -> None:
    both = ["IPv6", "IPv4"]
    assert where(decided(service(make, ipFamilies=both, ipFamilyPolicy="PreferDualStack"))["web"]) == [
        "2001:db8::10",
        "192.0.2.10",
    ]
    only4, _ = pool_of({"addresses": "192.0.2.10"})
    preferred = service(make, ipFamilies=both, ipFamilyPolicy="PreferDualStack")
    assert where(decided(preferred, pool=only4)["web"]) == ["192.0.2.10"]
    required = service(make, ipFamilies=both, ipFamilyPolicy="RequireDualStack")
    assert why(decided(required, pool=only4)["web"]) == "PoolExhausted: the pool has no IPv6 address left"


def test_a_pool_that_is_used_up_says_so_once_and_serves_who_waits_when_it_may(make: Make) -> None:
    small, _ = pool_of({"addresses": "192.0.2.10"})
    has, new = service(make, "old", has=("192.0.2.10",)), service(make)
    refused = decided(has, new, pool=small)["web"]
    assert refused.done is not None
    assert refused.done.type == "Warning"
    assert why(refused) == "PoolExhausted: the pool has no IPv4 address left"
    waiting = make.object(SERVICE, "web", spec=new.document()["spec"], status=refused.status)
    assert decided(has, waiting, pool=small) == {}, "it was told"
    given_now = decided(waiting, pool=small)["web"]
    assert where(given_now) == ["192.0.2.10"]
    assert "conditions" not in given_now.status


def test_whose_it_is_not(make: Make) -> None:
    assert decided(service(make, loadBalancerClass="example.com/cloud", has=("203.0.113.7",))) == {}
    ours = service(make, loadBalancerClass=CLASS)
    assert where(decided(ours)["web"]) == ["192.0.2.10"]
    assert plan(Observed([service(make)], None), NOW) == Plan()
    assert plan(Observed([service(make)], POOL, beginning=True), NOW).actions == ()
    left = service(make, has=("192.0.2.10",), type="ClusterIP")
    assert where(decided(left)["web"]) == []


def test_two_that_have_the_same_keep_it_once(make: Make) -> None:
    found = decided(service(make, "a", has=("192.0.2.10",)), service(make, "b", has=("192.0.2.10",)))
    assert set(found) == {"b"}
    assert where(found["b"]) == ["192.0.2.11"]


def test_what_another_is_to_give_up_is_given_once_it_has(make: Make) -> None:
    small, _ = pool_of({"addresses": "192.0.2.10"})
    leaving, waiting = service(make, "a", has=("192.0.2.10",), type="ClusterIP"), service(make, "b")
    found = decided(leaving, waiting, pool=small)
    assert where(found["a"]) == where(found["b"]) == []
    left = make.object(SERVICE, "a", spec=leaving.document()["spec"], status=found["a"].status)
    assert where(decided(left, waiting, pool=small)["b"]) == ["192.0.2.10"]


def test_addresses_that_left_the_pool_are_replaced(make: Make) -> None:
    assert where(decided(service(make, has=("198.51.100.9",)))["web"]) == ["192.0.2.10"]


NODES = {"a": ("192.0.2.1", "2001:db8::1"), "b": ("192.0.2.2",)}


def test_with_the_nodes_addresses_all_nodes_lead_there(make: Make) -> None:
    found = decided(service(make), pool=OF_NODES, nodes=NODES)["web"]
    assert where(found) == ["192.0.2.1", "192.0.2.2"]
    local = service(make, externalTrafficPolicy="Local")
    there = decided(local, pool=OF_NODES, nodes=NODES, local={local.key: frozenset("b")})["web"]
    assert where(there) == ["192.0.2.2"]
    nowhere = decided(local, pool=OF_NODES, nodes=NODES)["web"]
    assert why(nowhere).startswith("NoNode")


def test_a_port_of_the_nodes_is_had_once_and_never_their_own(make: Make) -> None:
    first, second = service(make, "a", has=("192.0.2.1", "192.0.2.2")), service(make, "b")
    found = decided(second, first, pool=OF_NODES, nodes=NODES)
    assert set(found) == {"b"}
    assert why(found["b"]) == "PortTaken: default/a has port 80/TCP of the nodes' addresses"
    own = decided(service(make, port=6443), pool=OF_NODES, nodes=NODES, reserved=frozenset({("TCP", 6443)}))["web"]
    assert why(own).startswith("PortTaken: the nodes themselves have")
    udp = service(make, ports=[{"port": 80, "protocol": "UDP"}])
    assert where(decided(first, udp, pool=OF_NODES, nodes=NODES)["web"])


@pytest.mark.parametrize(
    "word", ["192.0.2", "192.0.2.9-192.0.2.1", "192.0.2.1-2001:db8::1", "192.0.2.1/24", "x", "nodes"]
)
def test_parts_that_cannot_be_read_are_told_and_left_out(word: str) -> None:
    found, faults = pool_of({"addresses": f"192.0.2.1 {word}"})
    assert found is not None
    assert found.has("192.0.2.1", "IPv4")
    assert not found.has("192.0.2.2", "IPv4")
    assert len(faults) == 1
    assert repr(word) in faults[0]


def test_what_is_said_of_nobody_and_of_nodes() -> None:
    assert pool_of({}) == (None, [])
    assert pool_of({"addresses": " \n"}) == (None, [])
    assert pool_of({"addresses": "nodes\n"}) == (OF_NODES, [])


HELD = st.lists(st.sampled_from(["192.0.2.10", "192.0.2.11", "192.0.2.12", "198.51.100.1"]), max_size=1)


@given(
    st.lists(st.tuples(HELD, st.sampled_from(["", "", "192.0.2.11"])), max_size=6),
    st.lists(st.integers(0, 5), max_size=8),
)
def test_none_is_given_twice_none_is_taken_away_and_none_waits_beside_a_free_one(
    made: list[tuple[list[str], str]], order: list[int]
) -> None:
    """order: which write of a round comes first; the plan is made anew after each."""
    make = Make()
    services = [
        service(make, f"s{number}", has=tuple(has), **({"loadBalancerIP": wanted} if wanted else {}))
        for number, (has, wanted) in enumerate(made)
    ]
    first = {each.name: addresses_of(each) for each in services}
    for number in [*order, *[0] * 20]:
        found = decided(*services)
        if not found:
            break
        name = sorted(found)[number % len(found)]
        fresh = set(where(found[name])) - set(addresses_of(next(one for one in services if one.name == name)))
        assert not fresh.intersection(address for each in services for address in addresses_of(each))
        services = [
            make.object(SERVICE, name, spec=each.document()["spec"], status=found[name].status)
            if each.name == name
            else each
            for each in services
        ]
    assert decided(*services) == {}, "what was decided stays"
    given_out = [address for each in services for address in addresses_of(each)]
    assert len(given_out) == len(set(given_out))
    assert POOL is not None
    assert all(POOL.has(address, "IPv4") for address in given_out)
    for each in services:
        before, wanted = first[each.name], each.view.spec.load_balancer_ip
        alone = list(first.values()).count(before) == 1
        if before and alone and POOL.has(before[0], "IPv4") and wanted in ("", before[0]):
            assert addresses_of(each) == before
        if not addresses_of(each):
            assert wanted in given_out or (not wanted and len(given_out) == 3)
