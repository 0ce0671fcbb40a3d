"""Addresses and node ports of Services are unique, kept, and free again when a Service goes."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from api_driver import Api, Refused, an_api, run
from hypothesis import given
from hypothesis import strategies as st

from navarch.apiserver.allocate import Full, Pool, Taken
from navarch.base.clock import SeededIds
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
