"""Which families a Service is of, and that its addresses follow: on clusters of one family and of two."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from api_driver import Api, Refused, run
from hypothesis import given
from hypothesis import strategies as st

from navarch.apiserver.admission.families import settle
from navarch.apiserver.allocate import Addresses
from navarch.base.clock import SeededIds
from navarch.objects.value import Draft
from navarch.store.memory import MemoryStore

SERVICES = "/api/v1/namespaces/default/services"
BOTH = "10.96.0.0/16,fd00:10:96::/112"
SIX = "fd00:10:96::/112"
FOUR, OTHER = "IPv4", "IPv6"


def service(name: str = "web", **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"ports": [{"port": 80}], "selector": {"app": "web"}, **spec}}


def families_of(addresses: list[str]) -> list[str]:
    return [f"IPv{ipaddress.ip_address(one).version}" for one in addresses]


@pytest.mark.parametrize(
    ("networks", "asked", "families", "policy"),
    [
        (BOTH, {}, [FOUR], "SingleStack"),
        (BOTH, {"ipFamilies": [OTHER]}, [OTHER], "SingleStack"),
        (BOTH, {"ipFamilyPolicy": "PreferDualStack"}, [FOUR, OTHER], "PreferDualStack"),
        (BOTH, {"ipFamilyPolicy": "RequireDualStack"}, [FOUR, OTHER], "RequireDualStack"),
        (BOTH, {"ipFamilyPolicy": "RequireDualStack", "ipFamilies": [OTHER]}, [OTHER, FOUR], "RequireDualStack"),
        (BOTH, {"ipFamilyPolicy": "PreferDualStack", "ipFamilies": [OTHER, FOUR]}, [OTHER, FOUR], "PreferDualStack"),
        (BOTH, {"clusterIP": "fd00:10:96::77"}, [OTHER], "SingleStack"),
        (
            BOTH,
            {"clusterIP": "10.96.0.7", "clusterIPs": ["10.96.0.7"], "ipFamilyPolicy": "PreferDualStack"},
            [FOUR, OTHER],
            "PreferDualStack",
        ),
        (f"{SIX},10.96.0.0/16", {}, [OTHER], "SingleStack"),
        (f"{SIX},10.96.0.0/16", {"ipFamilyPolicy": "PreferDualStack"}, [OTHER, FOUR], "PreferDualStack"),
        (SIX, {}, [OTHER], "SingleStack"),
        (SIX, {"ipFamilyPolicy": "PreferDualStack"}, [OTHER], "PreferDualStack"),
        ("10.96.0.0/16", {"ipFamilyPolicy": "PreferDualStack"}, [FOUR], "PreferDualStack"),
    ],
)
def test_a_service_is_of_the_families_it_asks_for(
    networks: str, asked: dict[str, Any], families: list[str], policy: str
) -> None:
    async def test(api: Api) -> None:
        spec = (await api.post(SERVICES, service(**asked)))["spec"]
        assert (spec["ipFamilies"], spec["ipFamilyPolicy"]) == (families, policy)
        assert families_of(spec["clusterIPs"]) == families
        assert spec["clusterIP"] == spec["clusterIPs"][0] == asked.get("clusterIP", spec["clusterIP"])
        for address in spec["clusterIPs"]:
            networks_of = map(ipaddress.ip_network, networks.split(","))
            assert any(ipaddress.ip_address(address) in one for one in networks_of)

    run(test, networks=networks)


@pytest.mark.parametrize(
    ("networks", "asked", "field", "message"),
    [
        (
            "10.96.0.0/16",
            {"ipFamilyPolicy": "RequireDualStack"},
            "spec.ipFamilyPolicy",
            "not configured for dual-stack",
        ),
        ("10.96.0.0/16", {"ipFamilies": [OTHER]}, "spec.ipFamilies[0]", "not configured on this cluster"),
        (SIX, {"ipFamilies": [FOUR]}, "spec.ipFamilies[0]", "not configured on this cluster"),
        (
            "10.96.0.0/16",
            {"clusterIP": "fd00:10:96::7"},
            "spec.clusterIPs[0]",
            'Invalid value: ["fd00:10:96::7"]: IPv6 is not configured on this cluster',
        ),
        (
            BOTH,
            {"ipFamilies": [FOUR, OTHER]},
            "spec.ipFamilyPolicy",
            "must be 'RequireDualStack' or 'PreferDualStack' when multiple IP families are specified",
        ),
        (
            BOTH,
            {"clusterIP": "10.96.0.7", "clusterIPs": ["10.96.0.7", "fd00:10:96::7"]},
            "spec.ipFamilyPolicy",
            "must be 'RequireDualStack' or 'PreferDualStack' when multiple cluster IPs are specified",
        ),
        (
            BOTH,
            {"clusterIP": "10.96.0.7", "ipFamilies": [OTHER]},
            "spec.clusterIPs[0]",
            "expected an IPv6 value as indicated by `ipFamilies[0]`",
        ),
        (BOTH, {"clusterIPs": ["10.96.0.7"]}, "spec.clusterIPs", "must be empty when `clusterIP` is not specified"),
        (
            BOTH,
            {
                "clusterIP": "10.96.0.7",
                "clusterIPs": ["10.96.0.7", "10.96.0.8"],
                "ipFamilyPolicy": "PreferDualStack",
            },
            "spec.clusterIPs",
            "may specify no more than one IP for each IP family",
        ),
        (
            BOTH,
            {
                "clusterIP": "10.96.0.7",
                "clusterIPs": ["10.96.0.7", "fd01::7"],
                "ipFamilyPolicy": "RequireDualStack",
            },
            "spec.clusterIPs",
            "failed to allocate IP fd01::7: the provided IP (fd01::7) is not in the valid range. "
            "The range of valid IPs is fd00:10:96::/112",
        ),
    ],
)
def test_what_cannot_be_had_is_refused_and_holds_nothing(
    networks: str, asked: dict[str, Any], field: str, message: str
) -> None:
    async def test(api: Api) -> None:
        with pytest.raises(Refused) as refused:
            await api.post(SERVICES, service(**asked))
        assert (refused.value.code, [one["field"] for one in refused.value.causes]) == (422, [field])
        assert message in refused.value.causes[0]["message"]
        if "," in networks:  # nothing of it is held
            both = {"clusterIP": "10.96.0.7", "clusterIPs": ["10.96.0.7", "fd00:10:96::7"]}
            await api.post(SERVICES, service("after", **both, ipFamilyPolicy="RequireDualStack"))

    run(test, networks=networks)


def test_a_service_gets_a_second_family_and_gives_it_up() -> None:
    async def test(api: Api) -> None:
        first = (await api.post(SERVICES, service()))["spec"]
        more = (await api.merge(f"{SERVICES}/web", {"spec": {"ipFamilyPolicy": "PreferDualStack"}}))["spec"]
        assert (more["ipFamilies"], more["clusterIPs"][0]) == ([FOUR, OTHER], first["clusterIP"])
        second = more["clusterIPs"][1]
        taken = service("other", clusterIP=second)
        with pytest.raises(Refused, match="provided IP is already allocated"):
            await api.post(SERVICES, taken)
        # who writes the whole of it anew, and says nothing of families, changes none
        kept = (await api.put(f"{SERVICES}/web", service(ports=[{"port": 81}])))["spec"]
        assert [kept[one] for one in ("clusterIPs", "ipFamilies")] == [
            more[one] for one in ("clusterIPs", "ipFamilies")
        ]
        with pytest.raises(Refused) as refused:
            await api.merge(f"{SERVICES}/web", {"spec": {"clusterIPs": [first["clusterIP"]]}})
        assert "must be set to 'SingleStack' when releasing the secondary clusterIP" in refused.value.message
        less = (await api.merge(f"{SERVICES}/web", {"spec": {"ipFamilyPolicy": "SingleStack"}}))["spec"]
        assert (less["ipFamilies"], less["clusterIPs"]) == ([FOUR], [first["clusterIP"]])
        await api.post(SERVICES, taken)

    run(test, networks=BOTH)


def test_a_second_address_may_be_chosen() -> None:
    async def test(api: Api) -> None:
        first = (await api.post(SERVICES, service()))["spec"]["clusterIP"]
        chosen = {"ipFamilyPolicy": "RequireDualStack", "clusterIPs": [first, "fd00:10:96::42"]}
        await api.merge(f"{SERVICES}/web", {"spec": chosen})
        with pytest.raises(Refused, match="may not change once set"):
            await api.merge(f"{SERVICES}/web", {"spec": {"clusterIPs": [first, "fd00:10:96::43"]}})
        with pytest.raises(Refused, match="may not change once set"):
            await api.merge(f"{SERVICES}/web", {"spec": {"ipFamilies": [OTHER, FOUR]}})
        renamed = {"type": "ExternalName", "externalName": "example.com", "selector": None}
        assert "ipFamilies" not in (await api.merge(f"{SERVICES}/web", {"spec": renamed}))["spec"]
        await api.post(SERVICES, service("next", clusterIP="fd00:10:96::42"))

    run(test, networks=BOTH)


def test_headless_services() -> None:
    async def test(api: Api) -> None:
        chosen = (await api.post(SERVICES, service(clusterIP="None")))["spec"]
        assert (chosen["ipFamilies"], chosen["ipFamilyPolicy"], chosen["clusterIPs"]) == (
            [FOUR],
            "SingleStack",
            ["None"],
        )
        both = {"spec": {"ipFamilyPolicy": "PreferDualStack"}}
        assert (await api.merge(f"{SERVICES}/web", both))["spec"]["ipFamilies"] == [FOUR, OTHER]
        free = (await api.post(SERVICES, service("free", clusterIP="None", selector=None)))["spec"]
        assert (free["ipFamilies"], free["ipFamilyPolicy"]) == ([FOUR, OTHER], "RequireDualStack")

    run(test, networks=BOTH)


def test_the_network_of_the_cluster_is_an_object_and_each_family_can_have_another() -> None:
    async def test(api: Api) -> None:
        spec = {"cidrs": ["fd00:10:97::/120"]}
        await api.post("/apis/networking.k8s.io/v1/servicecidrs", {"metadata": {"name": "more"}, "spec": spec})
        chosen = (await api.post(SERVICES, service(clusterIP="fd00:10:97::ff")))["spec"]
        assert chosen["ipFamilies"] == [OTHER], "the last one is no broadcast address"

    run(test, networks=BOTH)


def test_a_cluster_that_gets_a_second_family_changes_no_service() -> None:
    spec = {"type": "ClusterIP", "clusterIP": "10.96.0.9", "clusterIPs": ["10.96.0.9"]}
    spec |= {"ipFamilies": [FOUR], "ipFamilyPolicy": "PreferDualStack", "ports": [{"port": 80}]}

    async def before(api: Api) -> None:
        await api.post(SERVICES, {"metadata": {"name": "web"}, "spec": spec})
        assert (await api.merge(f"{SERVICES}/web", {"metadata": {"labels": {"a": "b"}}}))["spec"]["clusterIPs"] == [
            "10.96.0.9"
        ]

    async def after(api: Api) -> None:
        kept = await api.merge(f"{SERVICES}/web", {"metadata": {"labels": {"a": "c"}}})
        assert (kept["spec"]["clusterIPs"], kept["spec"]["ipFamilies"]) == (["10.96.0.9"], [FOUR])
        more = await api.merge(f"{SERVICES}/web", {"spec": {"ipFamilyPolicy": "RequireDualStack"}})
        assert families_of(more["spec"]["clusterIPs"]) == [FOUR, OTHER]

    store = MemoryStore()
    run(before, store=store)
    run(after, store=store, networks=BOTH, namespaces=())


LISTS = st.sampled_from([[], [FOUR], [OTHER], [FOUR, OTHER], [OTHER, FOUR]])


@given(
    LISTS.filter(bool),
    LISTS,
    st.sampled_from([None, "SingleStack", "PreferDualStack", "RequireDualStack"]),
    st.booleans(),
    st.booleans(),
)
def test_whatever_is_let_through_is_whole(
    configured: list[str], asked: list[str], policy: str | None, headless: bool, chosen: bool
) -> None:
    spec: dict[str, Any] = {"type": "ClusterIP"}
    if asked:
        spec["ipFamilies"] = asked
    if policy:
        spec["ipFamilyPolicy"] = policy
    if headless:
        spec |= {"clusterIP": "None", "clusterIPs": ["None"]}
    if chosen:
        spec["selector"] = {"a": "b"}
    draft = Draft({"spec": spec})
    if settle(draft, None, tuple(configured)):
        return
    families, kept = draft.get("spec", "ipFamilies"), draft.get("spec", "ipFamilyPolicy")
    assert families[: len(asked)] == asked
    assert len(families) == len(set(families)) > 0
    free = headless and not chosen
    assert free or set(families) <= set(configured)
    assert (len(families) == 2) == (kept != "SingleStack" and (free or len(configured) == 2))


@given(st.sampled_from(["10.96.0.0/28", "fd00::/124", "fd00:1:2:3::/64"]), st.integers(0, 2**64))
def test_numbers_and_addresses_are_each_others_inverse(network: str, number: int) -> None:
    pool = Addresses(network, SeededIds(1))
    whole = ipaddress.ip_network(network)
    usable = whole.num_addresses - (2 if whole.version == 4 else 1)
    number %= usable
    address = pool.address(number)
    assert pool.number(address) == number
    assert address not in (str(whole[0]), str(whole[-1]) if whole.version == 4 else "")
    assert Addresses("10.0.0.0/8", SeededIds(1)).number("::a00:1") is None
