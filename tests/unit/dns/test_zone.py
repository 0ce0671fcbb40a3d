"""Names of services, endpoints and pods, as the specification of cluster DNS has them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.dns.zone import Answer, Entry, Port, Record, Zone, entry_of
from navarch.kinds.endpointslice import EndpointSlice
from navarch.kinds.service import Service

BASE = "default.svc.cluster.local"


def service(name: str = "web", **spec: Any) -> Service:
    spec = {"clusterIP": "10.96.0.5", "ports": [{"name": "http", "port": 80}]} | spec
    return msgspec.convert({"metadata": {"name": name, "namespace": "default"}, "spec": spec}, Service)


def slice_of(*endpoints: dict[str, Any], ports: Any = ({"name": "pg", "port": 5432},), **more: Any) -> EndpointSlice:
    return msgspec.convert({"endpoints": endpoints, "ports": ports} | more, EndpointSlice)


def zone(entry: Entry | None, name: str = "web") -> Zone:
    made = Zone()
    made.put("default", name, entry)
    return made


def found(zone_: Zone, name: str, kind: str = "A") -> Answer:
    answer = zone_.lookup(name, kind)
    assert answer is not None
    return answer


def values(answer: Answer) -> list[str | int]:
    return [record.data for record in answer.records]


HEADLESS = entry_of(
    service(clusterIP="None"),
    [
        slice_of({"addresses": ["10.244.0.5"], "hostname": "db-0"}, {"addresses": ["10.244.1.6"], "hostname": "db-1"}),
        slice_of({"addresses": ["10.244.1.7"]}, {"addresses": ["10.244.1.8"], "conditions": {"ready": False}}),
        slice_of({"addresses": ["fd00::7"], "hostname": "db-0"}, addressType="IPv6"),
        slice_of({"addresses": ["db.example"]}, addressType="FQDN"),
    ],
)


def test_a_service_has_its_cluster_address() -> None:
    there = zone(entry_of(service(), []))
    assert values(found(there, f"web.{BASE}")) == ["10.96.0.5"]
    assert found(there, f"web.{BASE}", "AAAA") == Answer(subject="default/web"), "no data, but the name is there"
    assert found(there, f"nope.{BASE}").code == "NXDOMAIN"
    assert found(there, "web.other.svc.cluster.local").code == "NXDOMAIN"
    assert found(there, f"more.web.{BASE}").code == "NXDOMAIN"


def test_both_families_of_a_service() -> None:
    there = zone(entry_of(service(clusterIPs=["10.96.0.5", "fd00::5"]), []))
    assert values(found(there, f"web.{BASE}")) == ["10.96.0.5"]
    assert values(found(there, f"web.{BASE}", "AAAA")) == ["fd00::5"]


def test_a_service_of_ipv6_alone() -> None:
    there = zone(entry_of(service(clusterIP="FD00:0::5", clusterIPs=["FD00:0::5"]), []))
    assert values(found(there, f"web.{BASE}", "AAAA")) == ["fd00::5"]
    assert found(there, f"web.{BASE}") == Answer(subject="default/web"), "no data, but the name is there"
    assert [(each.type, each.data) for each in found(there, f"_http._tcp.web.{BASE}", "SRV").extra] == [
        ("AAAA", "fd00::5")
    ]
    backwards = f"{'.'.join(reversed('fd000000000000000000000000000005'))}.ip6.arpa"
    assert values(found(there, backwards, "PTR")) == [f"web.{BASE}."]


def test_endpoints_of_ipv6_have_names() -> None:
    slices = [
        slice_of({"addresses": ["fd00:0:0::A"]}, {"addresses": ["fd00::b"], "hostname": "db"}, addressType="IPv6")
    ]
    there = zone(entry_of(service(clusterIP="None"), slices))
    assert values(found(there, f"web.{BASE}", "AAAA")) == ["fd00::a", "fd00::b"]
    assert found(there, f"web.{BASE}").records == ()
    assert values(found(there, f"fd00--a.web.{BASE}", "AAAA")) == ["fd00::a"]
    assert found(there, f"db.web.{BASE}") == Answer(subject="default/web")
    assert {each.target for each in found(there, f"_pg._tcp.web.{BASE}", "SRV").records} == {
        f"fd00--a.web.{BASE}.",
        f"db.web.{BASE}.",
    }
    assert values(found(there, "fd00--9.default.pod.cluster.local", "AAAA")) == ["fd00::9"]


def test_a_headless_service_has_the_addresses_of_its_ready_endpoints() -> None:
    there = zone(HEADLESS)
    assert values(found(there, f"web.{BASE}")) == ["10.244.0.5", "10.244.1.6", "10.244.1.7"]
    assert values(found(there, f"web.{BASE}", "AAAA")) == ["fd00::7"]
    assert values(found(there, f"db-0.web.{BASE}")) == ["10.244.0.5"]
    assert values(found(there, f"db-0.web.{BASE}", "AAAA")) == ["fd00::7"]
    assert values(found(there, f"10-244-1-7.web.{BASE}")) == ["10.244.1.7"]
    assert found(there, f"10-244-1-8.web.{BASE}").code == "NXDOMAIN"
    assert found(zone(entry_of(service(clusterIP="None"), [])), f"web.{BASE}").code == "NXDOMAIN"


def test_ports_of_a_service() -> None:
    there = zone(
        entry_of(service(ports=[{"name": "http", "port": 80}, {"name": "dns", "port": 53, "protocol": "UDP"}]), [])
    )
    answer = found(there, f"_http._tcp.web.{BASE}", "SRV")
    assert answer.records == (Record("SRV", 80, target=f"web.{BASE}.", weight=100),)
    assert answer.extra == (Record("A", "10.96.0.5", name=f"web.{BASE}."),)
    assert values(found(there, f"web.{BASE}", "SRV")) == [80, 53]
    assert found(there, f"_http._udp.web.{BASE}", "SRV").code == "NXDOMAIN"
    assert found(there, f"_http._tcp.web.{BASE}", "A") == Answer(subject="default/web")
    assert found(there, f"_tcp.web.{BASE}").code == "NOERROR"
    assert found(there, f"_sctp.web.{BASE}").code == "NXDOMAIN"


def test_ports_of_a_headless_service_lead_to_each_endpoint() -> None:
    answer = found(zone(HEADLESS), f"_pg._tcp.web.{BASE}", "SRV")
    assert {(record.data, record.target) for record in answer.records} == {
        (5432, f"db-0.web.{BASE}."),
        (5432, f"db-1.web.{BASE}."),
        (5432, f"10-244-1-7.web.{BASE}."),
    }
    assert Record("AAAA", "fd00::7", name=f"db-0.web.{BASE}.") in answer.extra


def test_an_external_name_is_an_alias_to_be_followed() -> None:
    there = zone(entry_of(service(type="ExternalName", clusterIP="", externalName="db.example.org"), []))
    answer = found(there, f"web.{BASE}")
    assert values(answer) == ["db.example.org."]
    assert answer.chase == "db.example.org."
    assert found(there, f"web.{BASE}", "CNAME").chase == ""


def test_addresses_lead_back_to_names() -> None:
    there = zone(entry_of(service(), []))
    assert values(found(there, "5.0.96.10.in-addr.arpa", "PTR")) == [f"web.{BASE}."]
    assert there.lookup("9.9.9.9.in-addr.arpa", "PTR") is None, "that is for others to say"
    headless = zone(HEADLESS)
    assert values(found(headless, "5.0.244.10.in-addr.arpa", "PTR")) == [f"db-0.web.{BASE}."]
    six = ".".join(reversed("fd000000000000000000000000000007")) + ".ip6.arpa"
    assert values(found(headless, six, "PTR")) == [f"db-0.web.{BASE}."]


@pytest.mark.parametrize(
    "name", ["5.in-addr.arpa", "x.0.96.10.in-addr.arpa", "in-addr.arpa", "1.ip6.arpa", "..ip6.arpa"]
)
def test_what_only_looks_like_an_address_is_passed_on(name: str) -> None:
    assert zone(entry_of(service(), [])).lookup(name, "PTR") is None


def test_pods_by_address() -> None:
    there = Zone()
    assert values(found(there, "10-244-0-5.default.pod.cluster.local")) == ["10.244.0.5"]
    assert found(there, "10-244-0-5.default.pod.cluster.local", "AAAA") == Answer()
    assert values(found(there, "fd00--5.default.pod.cluster.local", "AAAA")) == ["fd00::5"]
    assert found(there, "nonsense.default.pod.cluster.local").code == "NXDOMAIN"
    assert found(there, "1-2-3-400.default.pod.cluster.local").code == "NXDOMAIN"


def test_the_domain_itself() -> None:
    there = zone(entry_of(service(), []))
    there.put("kube-system", "kube-dns", entry_of(service("kube-dns", clusterIP="10.96.0.10"), []))
    assert values(found(there, "dns-version.cluster.local", "TXT")) == ["1.1.0"]
    assert values(found(there, "cluster.local", "NS")) == ["ns.dns.cluster.local."]
    assert found(there, "cluster.local", "SOA").records[0].type == "SOA"
    assert values(found(there, "ns.dns.cluster.local")) == ["10.96.0.10"]
    for name in ("cluster.local", "svc.cluster.local", "pod.cluster.local", BASE, "default.pod.cluster.local"):
        assert found(there, name).code == "NOERROR", name
    for name in ("nope.cluster.local", "nope.svc.cluster.local", "a.b.c.cluster.local"):
        assert found(there, name).code == "NXDOMAIN", name


@pytest.mark.parametrize("name", ["example.org", "xcluster.local", "local", "", "web.default.svc"])
def test_other_domains_are_not_ours(name: str) -> None:
    assert zone(entry_of(service(), [])).lookup(name, "A") is None


ENTRIES = st.one_of(
    st.none(),
    st.builds(
        lambda ip: Entry(addresses=(ip,), ports=(Port("p", "tcp", 1),)), st.sampled_from(["10.96.0.1", "10.96.0.2"])
    ),
    st.builds(
        lambda ips: Entry(headless=True, addresses=tuple(ips), hosts={f"h{ip[-1]}": (ip,) for ip in ips}),
        st.lists(st.sampled_from(["10.244.0.1", "10.244.0.2", "10.244.0.3"]), unique=True),
    ),
    st.just(Entry(external="x.example.")),
)
STEPS = st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("xy"), ENTRIES), max_size=8)
QUESTIONS = [
    *((f"{service}.{ns}.svc.cluster.local", kind) for service in "xy" for ns in "ab" for kind in ("A", "SRV")),
    *((f"h1.{service}.{ns}.svc.cluster.local", "A") for service in "xy" for ns in "ab"),
    *((f"{ns}.svc.cluster.local", "A") for ns in "ab"),
    *((f"{last}.0.{net}.10.in-addr.arpa", "PTR") for last in (1, 2, 3) for net in (96, 244)),
]


@given(STEPS)
def test_a_change_tells_every_answer_that_differs(steps: list[tuple[str, str, Entry | None]]) -> None:
    """What a cache keeps by subject is what the zone would say; made step by step or at once, zones are the same."""
    there = Zone()
    kept: dict[tuple[str, str], Answer | None] = {each: there.lookup(*each) for each in QUESTIONS}
    last: dict[tuple[str, str], Entry | None] = {}
    for namespace, name, entry in steps:
        last[namespace, name] = entry
        changed = there.put(namespace, name, entry)
        for each in QUESTIONS:
            now, was = there.lookup(*each), kept[each]
            if now != was and was is not None:
                assert was.subject in changed, each
            kept[each] = now
    fresh = Zone()
    for (namespace, name), entry in last.items():
        fresh.put(namespace, name, entry)
    for question in QUESTIONS:
        was, now = there.lookup(*question), fresh.lookup(*question)
        assert (was is None) == (now is None)
        assert was is None or now is None or (was.code, set(was.records)) == (now.code, set(now.records))
