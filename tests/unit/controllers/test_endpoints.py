"""EndpointSlices and Endpoints say where a Service's traffic goes, and change as little as they can."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.controllers.endpoints import endpointslice, legacy, mirroring, slices
from navarch.controllers.endpoints import subsets as layout
from navarch.controllers.endpoints.endpointslice import MANAGER, Observed
from navarch.controllers.endpoints.targets import Behind
from navarch.controllers.plan import Create, Delete, Event, Patch
from navarch.kinds import ENDPOINTS, ENDPOINTSLICE, SERVICE
from navarch.kinds.endpointslice import MANAGED_BY_LABEL, SERVICE_LABEL
from navarch.kinds.object import Object
from tests.unit.conftest import merged
from tests.unit.controllers.conftest import NOW, Make, ago

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
        self.told: list[Event] = []

    def follow(self, behind: Behind) -> int:
        """How many writes it took."""
        found = endpointslice.plan(Observed(behind, list(self.slices.values())), NOW)
        writes = [action for action in found.actions if not isinstance(action, Event)]
        self.told = [action for action in found.actions if isinstance(action, Event)]
        for action in writes:
            self.apply(action)
        assert endpointslice.plan(Observed(behind, list(self.slices.values())), NOW).actions == ()
        return len(writes)

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


def test_no_endpoints_leave_one_slice_without_ports_and_it_is_used_again(make: Make) -> None:
    room = Room(make)
    pod = make.pod("a", ip="10.1.0.1")
    room.follow(Behind(service(make), [], ZONES))
    (name,) = room.slices
    for found in ([], [pod], []):
        assert room.follow(Behind(service(make), found, ZONES)) <= 1
        assert [len(one.document()["ports"]) for one in room.slices.values()] == [len(found)]
        assert list(room.slices) == [name], "one write, and who knows the slice by name still does"


def test_slices_of_a_service_that_had_the_name_before_are_not_taken_over(make: Make) -> None:
    room = Room(make)
    pod = make.pod("a", ip="10.1.0.1")
    room.follow(Behind(service(make), [pod], ZONES))
    (old,) = room.slices.values()
    again = make.object(SERVICE, "web", metadata={"uid": "another"}, spec=service(make).document()["spec"])
    create, delete = endpointslice.plan(Observed(Behind(again, [pod], ZONES), [old]), NOW).actions
    assert isinstance(create, Create)
    assert create.document["metadata"]["ownerReferences"][0]["uid"] == "another"
    assert isinstance(delete, Delete)
    assert delete.object is old


def test_slices_say_since_when_what_brought_the_last_change_was_so(make: Make) -> None:
    def triggered() -> str | None:
        (found,) = room.slices.values()
        stamp: str | None = found.document()["metadata"].get("annotations", {}).get(slices.TRIGGER_TIME)
        return stamp

    room = Room(make)
    first, second = make.pod("a", ip="10.1.0.1", ready_s=50), make.pod("b", ip="10.1.0.2", ready_s=20)
    room.follow(Behind(service(make), [first], ZONES))
    assert triggered() == ago(3600), "there was no slice yet: since there is the Service"
    room.follow(Behind(service(make), [first, second], ZONES))
    assert triggered() == ago(20)
    room.follow(Behind(service(make), [first, make.pod("b", ip="10.1.0.2", ready_s=None, created_s=7)], ZONES))
    assert triggered() == ago(7)
    room.follow(Behind(service(make), [first], ZONES))
    assert triggered() is None, "nobody knows since when a pod is gone"


def test_what_is_refused_and_who_is_left_out_is_told(make: Make) -> None:
    room = Room(make)
    seen = Behind(service(make), [make.pod("a", ip="10.1.0.1"), make.pod("b", ip="10.1.0.2", node="x")], ZONES)
    create = endpointslice.plan(Observed(seen), NOW).actions[0]
    assert isinstance(create, Create)
    assert create.refused is not None
    start = "Error updating Endpoint Slices for Service default/web: "
    assert create.refused.message == start + "failed to create EndpointSlice for Service default/web: {error}"
    room.follow(seen)
    (event,) = room.told
    assert (event.reason, event.type) == ("FailedToUpdateEndpointSlices", "Warning")
    assert event.message == start + "skipping Pod b for Service default/web: Node x Not Found"


def test_a_service_on_its_way_out_gets_no_new_slices_but_true_ones(make: Make) -> None:
    room = Room(make)
    pod = make.pod("a", ip="10.1.0.1")
    room.follow(Behind(service(make), [pod], ZONES))
    going = make.object(SERVICE, "web", metadata={"deletionTimestamp": ago(1)}, spec=service(make).document()["spec"])
    unready = make.pod("a", ip="10.1.0.1", ready_s=None)
    room.follow(Behind(going, [unready], ZONES))
    assert room.endpoints()[0]["conditions"]["ready"] is False
    assert endpointslice.plan(Observed(Behind(going, [unready], ZONES)), NOW).actions == ()


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
    assert create.document["metadata"]["annotations"]["endpoints.kubernetes.io/over-capacity"] == "truncated"


def some(ready: int, unready: int) -> dict[str, Any]:
    return {"addresses": [{"ip": "r"}] * ready, "notReadyAddresses": [{"ip": "u"}] * unready}


@pytest.mark.parametrize(
    ("given_sizes", "wanted_sizes"),
    [
        ([(600, 0), (400, 0)], [(600, 0), (400, 0)]),
        ([(900, 50), (900, 50)], [(500, 0), (500, 0)]),
        ([(300, 600), (300, 300)], [(300, 267), (300, 133)]),
        ([(1000, 0), (0, 500)], [(1000, 0)]),
    ],
)
def test_what_is_cut_off_is_cut_from_all_subsets(
    given_sizes: list[tuple[int, int]], wanted_sizes: list[tuple[int, int]]
) -> None:
    kept, cut = legacy.truncated([some(*sizes) for sizes in given_sizes])
    assert [(len(one.get("addresses", ())), len(one.get("notReadyAddresses", ()))) for one in kept] == wanted_sizes
    assert cut == (given_sizes != wanted_sizes)


def test_endpoints_stand_in_one_subset_for_all_the_ports_they_share(make: Make) -> None:
    def pod(name: str, ip: str, **ports: int) -> Object:
        document = make.pod(name, ip=ip).document()
        document["spec"]["containers"][0]["ports"] = [{"name": k, "containerPort": v} for k, v in ports.items()]
        return Object.of(make.pod(name).kind, document)

    found = [pod("a", "10.1.0.1", www=80, adm=81), pod("b", "10.1.0.2", www=80)]
    ports = [{"name": name, "port": 1, "targetPort": name, "protocol": "TCP"} for name in ("www", "adm")]
    by_port = {
        one["ports"][0]["name"]: [a["ip"] for a in one["addresses"]] for one in subsets(make, found, ports=ports)
    }
    assert by_port == {"www": ["10.1.0.1", "10.1.0.2"], "adm": ["10.1.0.1"]}
    (both,) = subsets(make, found[:1], ports=ports)
    assert [port["port"] for port in both["ports"]] == [81, 80]
    (unnamed,) = subsets(make, found, ports=[{"port": 80, "protocol": "TCP"}])
    assert unnamed["ports"] == [{"port": 80, "protocol": "TCP"}]


rows = st.lists(
    st.tuples(st.sets(st.integers(1, 4)), st.sets(st.integers(1, 4)), st.sets(st.sampled_from([80, 81, 82]))),
    max_size=5,
)


@given(rows)
def test_one_layout_says_of_every_port_what_was_said(found: list[tuple[set[int], set[int], set[int]]]) -> None:
    def said(given_subsets: list[dict[str, Any]]) -> dict[Any, bool]:
        states: dict[Any, bool] = {}
        for subset in given_subsets:
            for port in [one["port"] for one in subset.get("ports", ())] or [None]:
                for kind in ("addresses", "notReadyAddresses"):
                    for address in subset.get(kind, ()):
                        key = (address["ip"], port)
                        states[key] = kind == "addresses" and states.get(key, True)
        return states

    before = [
        {
            "addresses": [{"ip": f"192.0.2.{n}"} for n in ready],
            "notReadyAddresses": [{"ip": f"192.0.2.{n}"} for n in unready],
            "ports": [{"port": n, "protocol": "TCP"} for n in ports],
        }
        for ready, unready, ports in found
    ]
    after = layout.repacked(before)
    assert said(after) == said(before)
    assert layout.repacked(after[::-1]) == after
    places = [
        (a["ip"], p["port"]) for one in after for k in one if k != "ports" for a in one[k] for p in one.get("ports", ())
    ]
    assert len(places) == len(set(places))


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
    assert patch.changes == {"subsets": None, "metadata": {"annotations": {slices.TRIGGER_TIME: None}}}


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


def mirror(source: Object, *existing: Object) -> tuple[Any, ...]:
    return mirroring.plan(mirroring.Observed(source, existing), NOW).actions


def hand_written(make: Make, *ips: str, **metadata: Any) -> Object:
    found = [{"addresses": [{"ip": ip} for ip in ips], "ports": [{"port": 80, "protocol": "TCP"}]}]
    return make.object(ENDPOINTS, "web", metadata=metadata, subsets=found)


def test_annotations_are_mirrored_but_those_of_tools(make: Make) -> None:
    tools = {slices.TRIGGER_TIME: ago(1), "kubectl.kubernetes.io/last-applied-configuration": "{}"}
    (create,) = mirror(hand_written(make, "192.0.2.1", annotations={"a": "b", **tools}))
    assert create.document["metadata"]["annotations"] == {"a": "b"}
    parts = {key: create.document[key] for key in ("addressType", "endpoints", "ports")}
    metadata = {key: value for key, value in create.document["metadata"].items() if key != "generateName"}
    made = make.object(ENDPOINTSLICE, "s", metadata=metadata, **parts)
    assert mirror(hand_written(make, "192.0.2.1", annotations={"a": "b", **tools}), made) == ()
    (patch,) = mirror(hand_written(make, "192.0.2.1", annotations={"c": "d"}), made)
    assert patch.changes == {"metadata": {"annotations": {"a": None, "c": "d"}}}
    assert patch.refused is None


def test_a_mirror_is_one_slice_of_at_most_a_thousand(make: Make) -> None:
    create, event = mirror(hand_written(make, *(f"10.1.{n // 250}.{n % 250 + 1}" for n in range(1003))))
    assert len(create.document["endpoints"]) == 1000
    assert (event.reason, event.type) == ("TooManyAddressesToMirror", "Warning")
    assert event.message == (
        "A max of 1000 addresses can be mirrored to EndpointSlices per Endpoints subset. 3 addresses were skipped"
    )


def test_many_slices_of_one_mirror_become_one(make: Make) -> None:
    source = hand_written(make, "192.0.2.1", "192.0.2.2", "192.0.2.3")
    (create,) = mirror(source)
    metadata = {key: value for key, value in create.document["metadata"].items() if key != "generateName"}
    parts = {key: create.document[key] for key in ("addressType", "ports")}
    halves = [
        make.object(
            ENDPOINTSLICE, f"s{n}", metadata=metadata, endpoints=create.document["endpoints"][n : n + 1], **parts
        )
        for n in range(2)
    ]
    patch, delete = mirror(source, *halves)
    assert patch.object is halves[0]
    assert len(patch.changes["endpoints"]) == 3
    assert delete == Delete(halves[1])


def test_endpoints_go_with_their_service_whoever_wrote_them(make: Make) -> None:
    endpoints, gone = hand_written(make, "192.0.2.1"), service(make)

    class Informer:
        def __init__(self, *found: Object) -> None:
            self.found = {one.key: one for one in found}

        def get(self, *key: str) -> Object | None:
            return self.found.get((key[0], key[1]))

    cache = {ENDPOINTS: Informer(endpoints), SERVICE: Informer()}
    made: Any = legacy.controller(None)  # type: ignore[arg-type]
    assert made.observe(cache, endpoints.key) is None, "nobody knows of a Service: they stay"
    keys = next(watch.keys for watch in made.watches if watch.kind is SERVICE)
    assert list(keys(cache, gone)) == [gone.key]
    assert made.plan(made.observe(cache, gone.key), NOW).actions == (Delete(endpoints),)


def test_a_refused_endpoints_object_is_told_of_by_what_was_tried(make: Make) -> None:
    seen = Behind(service(make), [make.pod("a", ip="10.1.0.1", ready_s=9)], ZONES)
    (create,) = legacy.plan(legacy.Observed(seen, None), NOW).actions
    assert isinstance(create, Create)
    assert create.refused is not None
    assert create.refused.message == "Failed to create endpoint for service default/web: {error}"
    existing = make.object(ENDPOINTS, "web", metadata=create.document["metadata"])
    (patch,) = legacy.plan(legacy.Observed(seen, existing), NOW).actions
    assert isinstance(patch, Patch)
    assert patch.refused is not None
    assert patch.refused.message == "Failed to update endpoint default/web: {error}"
    assert patch.changes["metadata"] == {"annotations": {slices.TRIGGER_TIME: ago(9)}}
