"""Events, in both of their groups."""

from __future__ import annotations

from conformance_api import STRATEGIC, Api, names
from conformance_specs import spec

NEW = "/apis/events.k8s.io/v1"
OLD = "/api/v1"


def new_event(ns: str, name: str, label: str = "constant") -> dict[str, object]:
    return {
        "metadata": {"name": name, "labels": {"testevent-constant": label}},
        "regarding": {"namespace": ns, "kind": "Pod", "name": "p"},
        "eventTime": "2026-01-01T00:00:00.123456Z",
        "note": "This is a test event",
        "reason": "Test",
        "action": "Do",
        "type": "Normal",
        "reportingController": "test-controller",
        "reportingInstance": "test-node",
    }


@spec("[sig-instrumentation] Events API should ensure that an event can be fetched, patched, deleted, and listed")
def test_events_of_the_new_group(api: Api, ns: str) -> None:
    at = f"{NEW}/namespaces/{ns}/events"
    made = api.post(at, new_event(ns, "event-test"))
    assert (made["kind"], made["apiVersion"], made["note"]) == ("Event", "events.k8s.io/v1", "This is a test event")
    assert made["eventTime"] == "2026-01-01T00:00:00.123456Z"
    listed = api.get(f"{NEW}/events?labelSelector=testevent-constant%3Dconstant")
    assert "event-test" in names(listed)
    assert names(api.get(f"{at}?fieldSelector=reason%3DTest,regarding.name%3Dp")) == ["event-test"]
    old = api.get(f"{OLD}/namespaces/{ns}/events/event-test")
    assert (old["message"], old["involvedObject"]["name"]) == ("This is a test event", "p")
    series = {"series": {"count": 100, "lastObservedTime": "2026-01-01T00:01:00.000000Z"}}
    patched = api.patch(f"{at}/event-test", series, STRATEGIC)
    assert patched["series"]["count"] == 100
    patched["series"]["count"] = 105
    assert api.put(f"{at}/event-test", patched)["series"]["count"] == 105
    api.delete(f"{at}/event-test")
    assert names(api.get(at)) == []


@spec("[sig-instrumentation] Events API should delete a collection of events")
def test_collections_of_the_new_group(api: Api, ns: str) -> None:
    at = f"{NEW}/namespaces/{ns}/events"
    for name in ("test-event-1", "test-event-2", "test-event-3"):
        api.post(at, new_event(ns, name, "set"))
    api.delete(f"{at}?labelSelector=testevent-constant%3Dset")
    assert names(api.get(at)) == []


@spec("[sig-instrumentation] Events should manage the lifecycle of an event")
def test_events_of_the_old_group(api: Api, ns: str) -> None:
    at = f"{OLD}/namespaces/{ns}/events"
    body = {
        "metadata": {"name": "event-test", "labels": {"testevent-constant": "true"}},
        "involvedObject": {"namespace": ns, "kind": "Pod", "name": "p"},
        "message": "This is a test event",
        "reason": "Test",
        "type": "Normal",
        "count": 1,
    }
    api.post(at, body)
    listed = api.get(f"{OLD}/events?labelSelector=testevent-constant%3Dtrue")
    assert (ns, "event-test") in {(one["metadata"]["namespace"], one["metadata"]["name"]) for one in listed["items"]}
    patched = api.patch(f"{at}/event-test", {"message": "This is a test event - patched"}, STRATEGIC)
    assert patched["message"] == "This is a test event - patched"
    patched["series"] = {"count": 100, "lastObservedTime": "2026-01-01T00:01:00.000000Z"}
    assert api.put(f"{at}/event-test", patched)["series"]["count"] == 100
    assert names(api.get(f"{at}?fieldSelector=involvedObject.kind%3DPod,type%3DNormal")) == ["event-test"]
    api.delete(f"{at}/event-test")
    api.gone(f"{at}/event-test")


@spec("[sig-instrumentation] Events should delete a collection of events")
def test_collections_of_the_old_group(api: Api, ns: str) -> None:
    at = f"{OLD}/namespaces/{ns}/events"
    for name in ("test-event-1", "test-event-2", "test-event-3"):
        involved = {"namespace": ns, "kind": "Pod", "name": "p"}
        api.post(at, {"metadata": {"name": name, "labels": {"set": "yes"}}, "involvedObject": involved})
    with api.watch(f"{at}?watch=1&labelSelector=set") as events:
        events.take(3)
        api.delete(f"{at}?labelSelector=set%3Dyes")
        assert [type_ for type_, _ in events.take(3)] == ["DELETED"] * 3
    assert names(api.get(at)) == []


def test_events_of_others_are_refused(api: Api, ns: str) -> None:
    involved = {"namespace": "elsewhere", "kind": "Pod", "name": "p"}
    refused = api.send("POST", f"{OLD}/namespaces/{ns}/events", {"metadata": {"name": "e"}, "involvedObject": involved})
    assert (refused.status, refused.causes[0][0]) == (422, "involvedObject.namespace")
    bare = new_event(ns, "e")
    del bare["reportingController"]
    refused = api.send("POST", f"{NEW}/namespaces/{ns}/events", bare)
    assert refused.status == 422
    assert "reportingController" in [field for field, _ in refused.causes]
