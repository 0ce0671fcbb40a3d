"""EndpointSlices and Endpoints say where a Service's traffic goes, and change as little as they can."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.controllers.endpoints import endpointslice, legacy, mirroring, slices
from navarch.controllers.endpoints.endpointslice import MANAGER, Observed
from navarch.controllers.endpoints.targets import Behind
from navarch.controllers.plan import Create, Delete, Patch
from navarch.kinds import ENDPOINTS, ENDPOINTSLICE, SERVICE
from navarch.kinds.endpointslice import MANAGED_BY_LABEL, SERVICE_LABEL
from navarch.kinds.object import Object
from tests.unit.conftest import merged
from tests.unit.controllers.conftest import NOW, Make

LABELS = {SERVICE_LABEL: "web", MANAGED_BY_LABEL: MANAGER}
ZONES = {"n1": "a", "n2": ""}


def service(make: Make, labels: dict[str, str] | None = None, **spec: Any) -> Object:
    spec = {
        "selector": {"app": "web"},
        "clusterIP": "10.0.0.1",
        "ipFamilies": ["IPv4"],
        "ports": [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": 8080}],
        **spec,
    }
    return make.object(SERVICE, "web", metadata={"labels": labels or {}}, spec=spec)


class Room:
    """Applies what a plan for slices says."""

    def __init__(self, make: Make) -> None:
        self.make = make
        self.slices: dict[str, Object] = {}
        self.writes = 0

    def follow(self, behind: Behind) -> int:
        """How many writes it took."""
        found = endpointslice.plan(Observed(behind, list(self.slices.values())), NOW)
        for action in found.actions:
            self.apply(action)
        assert endpointslice.plan(Observed(behind, list(self.slices.values())), NOW).actions == ()
        return len(found.actions)

    def apply(self, action: Any) -> None:
        self.writes += 1
        if isinstance(action, Create):
            name = f"s{self.writes}"
            document = action.document
            assert document["metadata"]["generateName"] == "web-"
            metadata = {key: value for key, value in document["metadata"].items() if key != "generateName"}
            parts = {key: document[key] for key in ("addressType", "endpoints", "ports")}
            self.slices[name] = self.make.object(ENDPOINTSLICE, name, metadata=metadata, **parts)
        elif isinstance(action, Delete):
            del self.slices[action.object.name]
        else:
            assert isinstance(action, Patch)
            document = merged(action.object.document(), action.changes)
            self.slices[action.object.name] = Object.of(ENDPOINTSLICE, document)

    def endpoints(self) -> list[dict[str, Any]]:
        return [endpoint for found in self.slices.values() for endpoint in found.document()["endpoints"]]


def test_an_endpoint_says_all_about_its_pod(make: Make) -> None:
    room = Room(make)
    pod = make.pod("a", ip="10.1.0.1")
    assert room.follow(Behind(service(make, {"team": "x"}), [pod], ZONES)) == 1
    (found,) = room.slices.values()
    document = found.document()
    assert document["metadata"]["labels"] == {**LABELS, "team": "x"}
    assert document["metadata"]["ownerReferences"][0]["kind"] == "Service"
    assert document["ports"] == [{"name": "http", "port": 8080, "protocol": "TCP"}]
    assert document["endpoints"] == [
        {
            "addresses": ["10.1.0.1"],
            "conditions": {"ready": True, "serving": True, "terminating": False},
            "targetRef": {"kind": "Pod", "namespace": "default", "name": "a", "uid": "uid-a"},
            "nodeName": "n1",
            "zone": "a",
        }
    ]


@pytest.mark.parametrize(
    ("shape", "publish", "wanted"),
    [
        ({}, False, (True, True, False)),
        ({"ready_s": None}, False, (False, False, False)),
        ({"deleting": True}, False, (False, True, True)),
        ({"deleting": True, "ready_s": None}, False, (False, False, True)),
        ({"ready_s": None}, True, (True, False, False)),
        ({"phase": "Succeeded"}, False, None),
        ({"phase": "Failed"}, True, None),
        ({"ip": ""}, False, None),
        ({"node": "gone"}, False, None),
        ({"node": "gone"}, True, (True, True, False)),
    ],
)
def test_conditions(make: Make, shape: dict[str, Any], publish: bool, wanted: tuple[bool, bool, bool] | None) -> None:
    room = Room(make)
    pod = make.pod("a", **{"ip": "10.1.0.1", **shape})
    room.follow(Behind(service(make, publishNotReadyAddresses=publish), [pod], ZONES))
    found = [tuple(endpoint["conditions"].values()) for endpoint in room.endpoints()]
    assert found == ([wanted] if wanted else [])


def test_no_endpoints_leave_one_slice_without_ports(make: Make) -> None:
    room = Room(make)
    pod = make.pod("a", ip="10.1.0.1")
    room.follow(Behind(service(make), [], ZONES))
    assert [found.document()["ports"] for found in room.slices.values()] == [[]]
    room.follow(Behind(service(make), [pod], ZONES))
    assert [len(found.document()["ports"]) for found in room.slices.values()] == [1]
    room.follow(Behind(service(make), [], ZONES))
    assert len(room.slices) == 1


def test_named_ports_may_differ_between_pods(make: Make) -> None:
    def pod(name: str, port: int) -> Object:
        document = make.pod(name, ip=f"10.1.0.{port % 100}").document()
        document["spec"]["containers"][0]["ports"] = [{"name": "www", "containerPort": port}]
        return Object.of(make.pod(name).kind, document)

    room = Room(make)
    ports = [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": "www"}]
    other = make.pod("without", ip="10.1.0.9")
    room.follow(Behind(service(make, ports=ports), [pod("a", 8080), pod("b", 9091), other], ZONES))
    found = {tuple(port["port"] for port in one.document()["ports"]): one for one in room.slices.values()}
    assert set(found) == {(8080,), (9091,), ()}
    assert {e["targetRef"]["name"] for e in found[(8080,)].document()["endpoints"]} == {"a"}


def test_both_families_have_their_slices(make: Make) -> None:
    document = make.pod("a", ip="10.1.0.1").document()
    document["status"]["podIPs"] = [{"ip": "10.1.0.1"}, {"ip": "fd00::1"}]
    room = Room(make)
    pod = Object.of(make.pod("a").kind, document)
    room.follow(Behind(service(make, ipFamilies=["IPv4", "IPv6"]), [pod], ZONES))
    types = {found.document()["addressType"]: found.document()["endpoints"] for found in room.slices.values()}
    assert {key: value[0]["addresses"] for key, value in types.items()} == {"IPv4": ["10.1.0.1"], "IPv6": ["fd00::1"]}


def test_headless_services_are_marked_and_pods_keep_their_hostnames(make: Make) -> None:
    document = make.pod("a", ip="10.1.0.1").document()
    document["spec"] |= {"hostname": "db-0", "subdomain": "web"}
    room = Room(make)
    pod = Object.of(make.pod("a").kind, document)
    room.follow(Behind(service(make, clusterIP="None", ports=[]), [pod], ZONES))
    (found,) = room.slices.values()
    assert found.labels["service.kubernetes.io/headless"] == ""
    assert found.document()["endpoints"][0]["hostname"] == "db-0"
    assert found.document()["ports"] == []


def test_hints_for_traffic_that_stays_near(make: Make) -> None:
    room = Room(make)
    pod = make.pod("a", ip="10.1.0.1")
    room.follow(Behind(service(make, trafficDistribution="PreferSameZone"), [pod], ZONES))
    assert room.endpoints()[0]["hints"] == {"forZones": [{"name": "a"}]}


pods = st.dictionaries(st.integers(0, 400), st.sampled_from(["ready", "unready", "leaving"]), max_size=320)


def behind(make: Make, found: dict[int, str]) -> Behind:
    shapes: dict[str, dict[str, Any]] = {"ready": {}, "unready": {"ready_s": None}, "leaving": {"deleting": True}}
    made = [
        make.pod(f"p{n}", ip=f"10.1.{n // 250}.{n % 250 + 1}", **shapes[state]) for n, state in sorted(found.items())
    ]
    return Behind(service(make), made, ZONES)


@given(st.lists(pods, min_size=1, max_size=4))
def test_any_history_leads_to_the_wanted_endpoints(history: list[dict[int, str]]) -> None:
    make = Make()
    room = Room(make)
    before: dict[int, str] = {}
    for now in history:
        writes = room.follow(behind(make, now))
        found = room.endpoints()
        assert sorted(e["targetRef"]["name"] for e in found) == sorted(f"p{n}" for n in now)
        assert all(len(one.document()["endpoints"]) <= slices.LARGEST for one in room.slices.values())
        touched = sum(before.get(n) != now.get(n) for n in before | now)
        assert writes <= touched + 2, "no more writes than changes (and a placeholder)"
        before = now


def test_one_new_pod_costs_one_write_and_moves_nobody(make: Make) -> None:
    room = Room(make)
    room.follow(behind(make, dict.fromkeys(range(250), "ready")))
    before = {name: one.document()["endpoints"] for name, one in room.slices.items()}
    assert sorted(map(len, before.values())) == [50, 100, 100]
    assert room.follow(behind(make, dict.fromkeys(range(251), "ready"))) == 1
    for name, endpoints in before.items():
        assert room.slices[name].document()["endpoints"][: len(endpoints)] == endpoints


def subsets(make: Make, found: list[Object], **spec: Any) -> list[dict[str, Any]]:
    made = legacy.plan(legacy.Observed(Behind(service(make, **spec), found, ZONES), None), NOW)
    (create,) = made.actions
    assert isinstance(create, Create)
    result: list[dict[str, Any]] = create.document.get("subsets", [])
    return result


def test_endpoints_hold_ready_and_unready_addresses(make: Make) -> None:
    found = [
        make.pod("b", ip="10.1.0.2"),
        make.pod("a", ip="10.1.0.1"),
        make.pod("c", ip="10.1.0.3", ready_s=None),
        make.pod("d", ip="10.1.0.4", deleting=True),
        make.pod("e", ip="10.1.0.5", phase="Failed"),
    ]
    (subset,) = subsets(make, found)
    assert [address["ip"] for address in subset["addresses"]] == ["10.1.0.1", "10.1.0.2"]
    assert [address["ip"] for address in subset["notReadyAddresses"]] == ["10.1.0.3"]
    assert subset["ports"] == [{"name": "http", "port": 8080, "protocol": "TCP"}]
    (subset,) = subsets(make, found, publishNotReadyAddresses=True)
    assert len(subset["addresses"]) == 4
    assert subsets(make, []) == []


def test_endpoints_are_cut_off_at_a_thousand(make: Make) -> None:
    found = [
        make.pod(f"p{n}", ip=f"10.1.{n // 200}.{n % 200 + 1}", ready_s=None if n < 300 else 9) for n in range(1100)
    ]
    plan = legacy.plan(legacy.Observed(Behind(service(make), found, ZONES), None), NOW)
    (create,) = plan.actions
    assert isinstance(create, Create)
    (subset,) = create.document["subsets"]
    assert (len(subset["addresses"]), len(subset["notReadyAddresses"])) == (800, 200)
    assert create.document["metadata"]["annotations"] == {"endpoints.kubernetes.io/over-capacity": "truncated"}


def test_endpoints_that_are_right_are_left_alone_and_leftovers_go(make: Make) -> None:
    seen = Behind(service(make), [make.pod("a", ip="10.1.0.1")], ZONES)
    (create,) = legacy.plan(legacy.Observed(seen, None), NOW).actions
    assert isinstance(create, Create)
    document = create.document
    existing = make.object(ENDPOINTS, "web", metadata=document["metadata"], subsets=document["subsets"])
    assert legacy.plan(legacy.Observed(seen, existing), NOW).actions == ()
    assert legacy.plan(legacy.Observed(None, existing), NOW).actions == (Delete(existing),)
    (patch,) = legacy.plan(legacy.Observed(Behind(service(make), [], ZONES), existing), NOW).actions
    assert isinstance(patch, Patch)
    assert patch.changes == {"subsets": None}


def test_hand_written_endpoints_are_mirrored(make: Make) -> None:
    given_subsets = [
        {"addresses": [{"ip": "192.0.2.9"}, {"ip": "fd00::9"}], "ports": [{"port": 80, "protocol": "TCP"}]}
    ]
    source = make.object(ENDPOINTS, "web", metadata={"labels": {"x": "y"}}, subsets=given_subsets)
    found = mirroring.plan(mirroring.Observed(source, []), NOW)
    made = {a.document["addressType"]: a.document for a in found.actions if isinstance(a, Create)}
    assert made["IPv4"]["endpoints"] == [{"addresses": ["192.0.2.9"], "conditions": {"ready": True}}]
    assert made["IPv6"]["endpoints"][0]["addresses"] == ["fd00::9"]
    assert made["IPv4"]["metadata"]["labels"] == {"x": "y", SERVICE_LABEL: "web", MANAGED_BY_LABEL: mirroring.MANAGER}
    existing = make.object(ENDPOINTSLICE, "s", addressType="IPv4", endpoints=[], ports=[])
    assert mirroring.plan(mirroring.Observed(None, [existing]), NOW).actions == (Delete(existing),)
