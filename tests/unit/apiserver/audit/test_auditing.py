"""What the audit log says of requests that a whole server answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import pytest
import yaml
from server_driver import ADMIN, NOBODY, FakeTunnel, Served, peer, served

from navarch.apiserver.audit.auditor import Auditor
from navarch.apiserver.audit.event import Entry, rendered, source_ips
from navarch.apiserver.audit.policy import parse
from navarch.base.clock import SeededIds
from navarch.wire.message import Peer, Request

CONFIGMAPS = "/api/v1/namespaces/default/configmaps"
JANE = peer("jane", "devs")


class Sink:
    def __init__(self, room: int = 1000) -> None:
        self.entries: list[Entry] = []
        self.room = room

    def put(self, entry: Entry) -> bool:
        if len(self.entries) >= self.room:
            return False
        self.entries.append(entry)
        return True

    def events(self) -> list[Any]:
        found = [orjson.loads(rendered(entry)) for entry in self.entries]
        self.entries.clear()
        return found


def audited(*rules: dict[str, Any], room: int = 1000, **more: Any) -> Callable[[Served], Sink]:
    document = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": list(rules), **more}

    def on(server: Served) -> Sink:
        sink = Sink(room)
        policy = parse(yaml.safe_dump(document).encode())
        server.api.audit_by(
            Auditor(policy, sink, server.clock, SeededIds(7), server.core.kinds, server.api.audit_counts)
        )
        return sink

    return on


def play(on: Callable[[Served], Sink], scenario: Callable[[Served, Sink], Awaitable[None]]) -> None:
    async def run(server: Served) -> None:
        await scenario(server, on(server))

    served(run)


def test_a_write_is_told_of_when_it_comes_and_when_it_is_answered() -> None:
    async def scenario(server: Served, sink: Sink) -> None:
        body = {"metadata": {"name": "one"}, "data": {"a": "b"}}
        await server.send("POST", f"{CONFIGMAPS}?fieldManager=me", ADMIN, body, user_agent="kubectl/1", audit_id="x-1")
        received, complete = sink.events()
        user = received.pop("user")
        assert (user["username"], user["groups"]) == ("admin", ["system:masters", "system:authenticated"])
        assert user["extra"]["authentication.kubernetes.io/credential-id"][0].startswith("X509SHA256=")
        assert received == {
            "kind": "Event",
            "apiVersion": "audit.k8s.io/v1",
            "level": "Metadata",
            "auditID": "x-1",
            "stage": "RequestReceived",
            "requestURI": f"{CONFIGMAPS}?fieldManager=me",
            "verb": "create",
            "userAgent": "kubectl/1",
            "objectRef": {"resource": "configmaps", "namespace": "default", "apiVersion": "v1"},
            "requestReceivedTimestamp": "2026-01-02T03:04:05.000000Z",
            "stageTimestamp": "2026-01-02T03:04:05.000000Z",
        }
        assert complete["stage"] == "ResponseComplete"
        assert complete["objectRef"] == {**received["objectRef"], "name": "one"}
        assert complete["responseStatus"] == {"metadata": {}, "code": 201}
        assert complete["annotations"]["authorization.k8s.io/decision"] == "allow"
        assert "requestObject" not in complete
        assert "responseObject" not in complete

    play(audited({"level": "Metadata"}), scenario)


@pytest.mark.parametrize("level", ["Request", "RequestResponse"])
def test_objects_are_told_as_far_as_the_level_asks(level: str) -> None:
    async def scenario(server: Served, sink: Sink) -> None:
        await server.send("POST", CONFIGMAPS, ADMIN, {"metadata": {"name": "one"}, "data": {"a": "b"}})
        patch = {"data": {"c": "d"}}
        await server.send("PATCH", f"{CONFIGMAPS}/one", ADMIN, patch, content_type="application/merge-patch+json")
        await server.send("GET", CONFIGMAPS, ADMIN)
        made, patched, listed = sink.events()
        assert made["requestObject"]["data"] == {"a": "b"}
        assert patched["requestObject"] == patch
        assert "requestObject" not in listed
        if level == "Request":
            assert not any("responseObject" in one for one in (made, patched, listed))
            return
        assert made["responseObject"]["metadata"]["uid"]
        assert "managedFields" not in made["responseObject"]["metadata"]
        assert patched["responseObject"]["data"] == {"a": "b", "c": "d"}
        assert any(one["metadata"]["name"] == "one" for one in listed["responseObject"]["items"])
        assert not any("managedFields" in one["metadata"] for one in listed["responseObject"]["items"])

    play(audited({"level": level}, omitStages=["RequestReceived"], omitManagedFields=True), scenario)


def test_refusals_say_why() -> None:
    async def scenario(server: Served, sink: Sink) -> None:
        await server.send("GET", f"{CONFIGMAPS}/none", JANE)
        await server.send("GET", f"{CONFIGMAPS}/none", ADMIN)
        await server.send("POST", CONFIGMAPS, ADMIN, b"{")
        forbidden, missing, bad = sink.events()
        assert forbidden["annotations"]["authorization.k8s.io/decision"] == "forbid"
        status = forbidden["responseStatus"]
        assert (status["code"], status["reason"], status["status"]) == (403, "Forbidden", "Failure")
        assert missing["responseStatus"]["details"]["name"] == "none"
        assert (bad["responseStatus"]["code"], "requestObject" in bad) == (400, False)

    play(audited({"level": "Request"}, omitStages=["RequestReceived"]), scenario)


def test_who_could_not_be_told_and_who_speaks_for_another() -> None:
    async def scenario(server: Served, sink: Sink) -> None:
        await server.send("GET", CONFIGMAPS, NOBODY, authorization="Bearer nonsense")
        (failed,) = sink.events()
        assert (failed["user"], failed["stage"], failed["responseStatus"]["code"]) == ({}, "ResponseStarted", 401)
        assert failed["sourceIPs"] == ["192.0.2.7"]
        await server.send("GET", CONFIGMAPS, ADMIN, impersonate_user="jane", impersonate_group="system:masters")
        (told,) = sink.events()
        assert told["user"]["username"] == "admin"
        assert told["impersonatedUser"]["username"] == "jane"
        await server.send("GET", CONFIGMAPS, JANE, impersonate_user="admin")
        (refused,) = sink.events()
        assert (refused["responseStatus"]["code"], "impersonatedUser" in refused) == (403, False)

    play(audited({"level": "Metadata"}, omitStages=["RequestReceived"]), scenario)


def test_a_watch_is_told_of_when_it_begins_and_when_it_ends() -> None:
    async def scenario(server: Served, sink: Sink) -> None:
        response = await server.send("GET", f"{CONFIGMAPS}?watch=1", ADMIN)
        assert [one["stage"] for one in sink.events()] == ["RequestReceived", "ResponseStarted"]
        assert not isinstance(response.body, bytes)
        await response.body.aclose()  # type: ignore[attr-defined]
        await response.body.aclose()  # type: ignore[attr-defined]
        (ended,) = sink.events()
        assert (ended["stage"], ended["verb"], ended["responseStatus"]["code"]) == ("ResponseComplete", "watch", 200)
        assert "responseObject" not in ended

    play(audited({"level": "RequestResponse"}), scenario)


def test_a_stream_to_a_node_is_told_of_when_it_is_opened() -> None:
    async def scenario(server: Served, sink: Sink) -> None:
        near = FakeTunnel()
        await server.send(
            "POST", "/api/v1/nodes/none/proxy/x", ADMIN, near=near, connection="Upgrade", upgrade="websocket"
        )
        events = sink.events()
        assert events[-1]["objectRef"] == {
            "resource": "nodes",
            "name": "none",
            "apiVersion": "v1",
            "subresource": "proxy",
        }
        assert "requestObject" not in events[-1]

    play(audited({"level": "RequestResponse"}), scenario)


def test_what_is_not_to_be_recorded_is_not() -> None:
    async def scenario(server: Served, sink: Sink) -> None:
        await server.send("GET", "/version", ADMIN)
        await server.send("GET", CONFIGMAPS, ADMIN)
        assert sink.events() == []
        assert server.api.audit_counts.levels.value("None") == 2

    play(audited({"level": "None"}), scenario)


def test_what_finds_no_room_is_counted() -> None:
    async def scenario(server: Served, sink: Sink) -> None:
        await server.send("GET", CONFIGMAPS, ADMIN)
        assert len(sink.entries) == 1
        assert server.api.audit_counts.lost.value("log") == 1

    play(audited({"level": "Metadata"}, room=1), scenario)


def test_pod_security_and_old_versions_are_noted() -> None:
    async def scenario(server: Served, sink: Sink) -> None:
        label = {"pod-security.kubernetes.io/audit": "restricted"}
        await server.send("POST", "/api/v1/namespaces", ADMIN, {"metadata": {"name": "strict", "labels": label}})
        account = {"metadata": {"name": "default"}}
        await server.send("POST", "/api/v1/namespaces/strict/serviceaccounts", ADMIN, account)
        sink.events()
        pod = {"metadata": {"name": "web"}, "spec": {"containers": [{"name": "main", "image": "i"}]}}
        assert (await server.ask("POST", "/api/v1/namespaces/strict/pods", ADMIN, pod))[0] == 201
        (made,) = sink.events()
        noted = made["annotations"]
        assert noted["pod-security.kubernetes.io/enforce-policy"] == "privileged:latest"
        assert noted["pod-security.kubernetes.io/audit-violations"].startswith(
            'would violate PodSecurity "restricted:latest": '
        )
        await server.send("GET", "/apis/networking.k8s.io/v1beta1/servicecidrs", ADMIN)
        (old,) = sink.events()
        assert old["annotations"]["k8s.io/deprecated"] == "true"
        assert old["annotations"]["k8s.io/removed-release"] == "1.37"

    play(audited({"level": "Metadata"}, omitStages=["RequestReceived"]), scenario)


def test_where_a_request_came_from() -> None:
    def said(peer: str, **headers: str) -> list[str]:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return source_ips(Request("GET", "/", "/", sent, peer=Peer(host=peer)))

    assert said("192.0.2.1") == ["192.0.2.1"]
    assert said("192.0.2.1", x_forwarded_for="10.0.0.1, 10.0.0.2") == ["10.0.0.1", "10.0.0.2", "192.0.2.1"]
    assert said("192.0.2.1", x_forwarded_for="192.0.2.1", x_real_ip="10.0.0.9") == [
        "192.0.2.1",
        "10.0.0.9",
        "192.0.2.1",
    ]
    assert said("", x_forwarded_for='"; evil') == []


def test_policies_note_what_they_find() -> None:
    admission = "/apis/admissionregistration.k8s.io/v1"
    rules = [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}]
    policy = {
        "metadata": {"name": "small"},
        "spec": {
            "matchConstraints": {"resourceRules": rules},
            "validations": [{"expression": "object.data.size() < 2", "message": "too many"}],
            "auditAnnotations": [{"key": "size", "valueExpression": "'has ' + string(object.data.size())"}],
        },
    }

    def binding(name: str) -> dict[str, Any]:
        return {"metadata": {"name": name}, "spec": {"policyName": "small", "validationActions": ["Audit"]}}

    async def scenario(server: Served, sink: Sink) -> None:
        assert (await server.ask("POST", f"{admission}/validatingadmissionpolicies", ADMIN, policy))[0] == 201
        for name in ("first", "second"):
            url = f"{admission}/validatingadmissionpolicybindings"
            assert (await server.ask("POST", url, ADMIN, binding(name)))[0] == 201
        sink.events()
        body = {"metadata": {"name": "one"}, "data": {"a": "b", "c": "d"}}
        assert (await server.ask("POST", CONFIGMAPS, ADMIN, body))[0] == 201
        (made,) = sink.events()
        assert made["annotations"]["small/size"] == "has 2"
        (failure,) = orjson.loads(made["annotations"]["validation.policy.admission.k8s.io/validation_failure"])
        assert failure == {
            "message": "too many",
            "policy": "small",
            "binding": "first",
            "expressionIndex": "0",
            "validationActions": ["Audit"],
        }

    play(audited({"level": "Metadata"}, omitStages=["RequestReceived"]), scenario)
