"""Addresses and node ports of Services are unique, kept, and free again when a Service goes."""

from __future__ import annotations

import asyncio
import ipaddress
from typing import Any

import pytest
from api_driver import ADMIN, Api, HandClock, Refused, an_api, run
from hypothesis import given
from hypothesis import strategies as st

from navarch.apiserver.admission.review import Review
from navarch.apiserver.admission.services import Allocation
from navarch.apiserver.allocate import Addresses, Full, Pool, Taken
from navarch.apiserver.options import Intent
from navarch.apiserver.state import State
from navarch.base.clock import SeededIds
from navarch.base.errors import Internal
from navarch.kinds import SERVICE
from navarch.kinds.registry import DEFAULT
from navarch.objects.value import Draft
from navarch.store.memory import MemoryStore

SERVICES = "/api/v1/namespaces/default/services"


def service(name: str = "web", **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"ports": [{"port": 80}], "selector": {"app": "web"}, **spec}}


def test_a_service_gets_an_address_of_its_own() -> None:
    async def test(api: Api) -> None:
        found = [(await api.post(SERVICES, service(f"s{n}")))["spec"] for n in range(20)]
        addresses = {spec["clusterIP"] for spec in found}
        assert len(addresses) == 20
        assert all(ipaddress.ip_address(a) in ipaddress.ip_network("10.96.0.0/16") for a in addresses)
        assert found[0]["clusterIPs"] == [found[0]["clusterIP"]]
        assert (found[0]["ipFamilies"], found[0]["ipFamilyPolicy"]) == (["IPv4"], "SingleStack")

    run(test)


def test_a_chosen_address_is_given_once_and_again_when_it_is_free() -> None:
    async def test(api: Api) -> None:
        await api.post(SERVICES, service("dns", clusterIP="10.96.0.10"))
        with pytest.raises(Refused, match="provided IP is already allocated") as refused:
            await api.post(SERVICES, service("other", clusterIP="10.96.0.10"))
        assert refused.value.causes[0]["field"] == "spec.clusterIPs"
        assert refused.value.code == 422
        await api.delete(f"{SERVICES}/dns")
        await api.post(SERVICES, service("other", clusterIP="10.96.0.10"))

    run(test)


@pytest.mark.parametrize("address", ["192.0.2.1", "10.96.0.0", "10.96.255.255", "nonsense"])
def test_an_address_outside_the_range_is_refused(address: str) -> None:
    async def test(api: Api) -> None:
        with pytest.raises(Refused) as refused:
            await api.post(SERVICES, service(clusterIP=address))
        assert refused.value.code == 422

    run(test)


def test_node_ports() -> None:
    async def test(api: Api) -> None:
        ports = [{"name": "a", "port": 80, "nodePort": 30080}, {"name": "b", "port": 81}]
        made = await api.post(SERVICES, service(type="NodePort", ports=ports))
        first, second = (p["nodePort"] for p in made["spec"]["ports"])
        assert first == 30080
        assert 30000 <= second <= 32767
        with pytest.raises(Refused, match="provided port is already allocated") as refused:
            await api.post(SERVICES, service("b", type="NodePort", ports=[{"port": 80, "nodePort": 30080}]))
        assert refused.value.causes[0]["field"] == "spec.ports[0].nodePort"
        with pytest.raises(Refused, match="The range of valid ports is 30000-32767"):
            await api.post(SERVICES, service("b", type="NodePort", ports=[{"port": 80, "nodePort": 80}]))
        both = [{"name": "t", "port": 53, "protocol": "TCP"}, {"name": "u", "port": 53, "protocol": "UDP"}]
        dns = await api.post(SERVICES, service("dns", type="NodePort", ports=both))
        assert len({p["nodePort"] for p in dns["spec"]["ports"]}) == 1

    run(test)


def test_an_update_keeps_what_was_allocated() -> None:
    async def test(api: Api) -> None:
        made = await api.post(SERVICES, service(type="NodePort"))
        kept = await api.put(
            f"{SERVICES}/web", service(type="NodePort", ports=[{"name": "m", "port": 80}, {"name": "n", "port": 9}])
        )
        assert kept["spec"]["clusterIP"] == made["spec"]["clusterIP"]
        assert kept["spec"]["ports"][0]["nodePort"] == made["spec"]["ports"][0]["nodePort"]
        inner = await api.merge(f"{SERVICES}/web", {"spec": {"type": "ClusterIP"}})
        assert "nodePort" not in inner["spec"]["ports"][0]
        assert "externalTrafficPolicy" not in inner["spec"]
        port = made["spec"]["ports"][0]["nodePort"]
        await api.post(SERVICES, service("b", type="NodePort", ports=[{"port": 80, "nodePort": port}]))
        outer = {"spec": {"type": "ExternalName", "externalName": "example.com", "selector": None}}
        assert "clusterIP" not in (await api.merge(f"{SERVICES}/web", outer))["spec"]
        await api.post(SERVICES, service("c", clusterIP=made["spec"]["clusterIP"]))

    run(test)


@pytest.mark.parametrize("other", ["10.96.0.77", "192.0.2.1", "None"])
def test_an_address_may_not_be_changed(other: str) -> None:
    async def test(api: Api) -> None:
        made = await api.post(SERVICES, service())
        with pytest.raises(Refused) as refused:
            await api.strategic(f"{SERVICES}/web", {"spec": {"clusterIP": other}})
        assert [(c["field"], c["message"]) for c in refused.value.causes] == [
            ("spec.clusterIPs[0]", f'Invalid value: ["{other}"]: may not change once set')
        ]
        assert (await api.get(f"{SERVICES}/web"))["spec"] == made["spec"]

    run(test)


def test_a_headless_service_has_no_address() -> None:
    async def test(api: Api) -> None:
        spec = (await api.post(SERVICES, service(clusterIP="None")))["spec"]
        assert (spec["clusterIP"], spec["clusterIPs"]) == ("None", ["None"])

    run(test)


def test_what_fails_or_is_only_tried_gives_back_what_it_reserved() -> None:
    async def test(api: Api) -> None:
        await api.post(f"{SERVICES}?dryRun=All", service("a", clusterIP="10.96.0.10"))
        with pytest.raises(Refused):
            await api.post(
                SERVICES, service("b", clusterIP="10.96.0.10", type="NodePort", ports=[{"port": 1, "nodePort": 2}])
            )
        with pytest.raises(Refused):
            await api.post(SERVICES, service("UPPER", clusterIP="10.96.0.10"))
        await api.post(SERVICES, service("c", clusterIP="10.96.0.10"))

    run(test)


def test_a_new_start_knows_what_is_taken() -> None:
    store = MemoryStore()

    async def first(api: Api) -> None:
        await api.post(SERVICES, service("dns", clusterIP="10.96.0.10"))

    run(first, store=store)

    async def again(api: Api) -> None:
        with pytest.raises(Refused, match="already allocated"):
            await api.post(SERVICES, service("other", clusterIP="10.96.0.10"))

    run(again, store=store, namespaces=())
    assert an_api


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9), st.sampled_from("abc")), max_size=60))
def test_a_number_has_one_holder(steps: list[tuple[bool, int, str]]) -> None:
    pool = Pool(10, 3, SeededIds(1))
    holders: dict[int, str] = {}
    for takes, number, holder in steps:
        if takes:
            try:
                newly = pool.take(number, holder)
            except Taken:
                assert holders[number] != holder
            else:
                assert newly == (number not in holders)
                holders[number] = holder
        else:
            pool.give_back(number, holder)
            if holders.get(number) == holder:
                del holders[number]
    while len(holders) < 10:
        number = pool.pick("z")
        assert number not in holders
        holders[number] = "z"
    with pytest.raises(Full):
        pool.pick("z")


def test_picks_leave_the_low_numbers_to_people_while_they_can() -> None:
    pool = Pool(10, 3, SeededIds(1))
    assert all(pool.pick("a") >= 3 for _ in range(7))
    assert pool.pick("a") < 3


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"ipFamilies": ["IPv9"]}, "spec.ipFamilies[0]"),
        ({"ipFamilies": ["IPv6"]}, "spec.ipFamilies[0]"),
        ({"ipFamilyPolicy": "RequireDualStack"}, "spec.ipFamilyPolicy"),
        ({"ipFamilyPolicy": "Any"}, "spec.ipFamilyPolicy"),
        ({"clusterIP": "None", "selector": {"a": "b"}, "ipFamilies": ["IPv6"]}, "spec.ipFamilies[0]"),
    ],
)
def test_families_that_the_cluster_does_not_have(spec: dict[str, Any], field: str) -> None:
    async def test(api: Api) -> None:
        body = {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}], **spec}}
        with pytest.raises(Refused) as refused:
            await api.post(SERVICES, body)
        assert [cause["field"] for cause in refused.value.status["details"]["causes"]] == [field]
        free = {"ports": [{"port": 80}], "clusterIP": "None", "ipFamilies": ["IPv4", "IPv6"]}
        await api.post(SERVICES, {"metadata": {"name": "s"}, "spec": free})

    run(test)


ADDRESSES, NETWORKS = "/apis/networking.k8s.io/v1/ipaddresses", "/apis/networking.k8s.io/v1/servicecidrs"


async def settled(api: Api, wanted: dict[str, str]) -> None:
    """Waits for exactly these addresses to be held by these Services."""
    for _ in range(1_000):
        found = (await api.get(ADDRESSES))["items"]
        held = {one["metadata"]["name"]: one["spec"]["parentRef"]["name"] for one in found}
        if held == wanted:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"{held} is not {wanted}")


def test_each_address_of_a_service_is_an_object() -> None:
    async def test(api: Api) -> None:
        first = (await api.post(SERVICES, service("one")))["spec"]["clusterIP"]
        await api.post(SERVICES, service("none", clusterIP="None"))
        await settled(api, {first: "one"})
        found = await api.get(f"{ADDRESSES}/{first}")
        assert found["spec"] == {"parentRef": {"resource": "services", "namespace": "default", "name": "one"}}
        assert found["metadata"]["labels"] == {
            "ipaddress.kubernetes.io/ip-family": "IPv4",
            "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io",
        }
        await api.delete(f"{ADDRESSES}/{first}")  # what is missing comes back
        await settled(api, {first: "one"})
        second = (await api.post(SERVICES, service("two")))["spec"]["clusterIP"]
        await settled(api, {first: "one", second: "two"})
        await api.delete(f"{SERVICES}/one")
        await settled(api, {second: "two"})

    run(test)


def test_an_address_that_nobody_has_any_more_is_taken_away_and_a_wrong_one_is_set_right() -> None:
    async def test(api: Api) -> None:
        labels = {"ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io"}
        leaked = {"resource": "services", "namespace": "default", "name": "gone"}
        metadata = {"name": "10.96.7.7", "labels": labels}
        await api.post(ADDRESSES, {"metadata": metadata, "spec": {"parentRef": leaked}})
        await settled(api, {})
        await api.post(SERVICES, service("right", clusterIP="10.96.7.8"))
        await settled(api, {"10.96.7.8": "right"})

    run(test)


def test_an_address_that_somebody_holds_is_given_to_no_service() -> None:
    async def test(api: Api) -> None:
        mine = {"group": "example.com", "resource": "things", "name": "mine"}
        await api.post(ADDRESSES, {"metadata": {"name": "10.96.7.7"}, "spec": {"parentRef": mine}})
        with pytest.raises(Refused, match="provided IP is already allocated"):
            await api.post(SERVICES, service("a", clusterIP="10.96.7.7"))
        await api.post(SERVICES, service("b", clusterIP="10.96.7.8"))
        await settled(api, {"10.96.7.7": "mine", "10.96.7.8": "b"})

    run(test)


def test_a_second_network_is_used_when_it_is_asked_for() -> None:
    async def test(api: Api) -> None:
        with pytest.raises(Refused, match="not in the valid range"):
            await api.post(SERVICES, service("a", clusterIP="10.97.0.3"))
        await api.post(NETWORKS, {"metadata": {"name": "more"}, "spec": {"cidrs": ["10.97.0.0/29"]}})
        await api.post(SERVICES, service("a", clusterIP="10.97.0.3"))
        with pytest.raises(Refused, match="already allocated"):
            await api.post(SERVICES, service("b", clusterIP="10.97.0.3"))
        await api.delete(f"{NETWORKS}/more")
        with pytest.raises(Refused, match="not in the valid range"):
            await api.post(SERVICES, service("b", clusterIP="10.97.0.4"))
        assert (await api.get(f"{SERVICES}/a"))["spec"]["clusterIP"] == "10.97.0.3"

    run(test)


def test_a_second_network_is_used_when_the_first_is_full() -> None:
    ids, clock = SeededIds(1), HandClock()
    state = State(MemoryStore(), DEFAULT, clock, ids)
    first = Allocation(state, "10.96.0.0/30")
    first._more = {"10.96.0.0/29": Addresses("10.96.0.0/29", ids)}

    def made(number: int) -> str:
        draft = Draft({"metadata": {"uid": str(number)}, "spec": {"type": "ClusterIP"}})
        intent = Intent(SERVICE, ADMIN, "create", "default", f"s{number}", "", "", False, "strict", [])
        first.mutate(Review(intent, draft, None, state))
        return str(draft.get("spec", "clusterIP"))

    given = [made(number) for number in range(6)]
    assert sorted(given) == [f"10.96.0.{n}" for n in range(1, 7)], "each once, though the networks overlap"
    with pytest.raises(Internal, match="range is full"):
        made(7)
