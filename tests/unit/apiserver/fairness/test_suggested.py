"""What clusters begin with, and the condition that says that a level is missing."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from server_driver import Served, peer, served

from navarch.apiserver.bootstrap import bootstrap
from navarch.apiserver.call import Attributes, User
from navarch.apiserver.fairness import suggested
from navarch.apiserver.fairness.dangling import plan
from navarch.apiserver.fairness.matching import level_of, matches, ordered, schema_of
from navarch.kinds import FLOWSCHEMA, PRIORITYLEVELCONFIGURATION

NOW = datetime(2026, 1, 1, tzinfo=UTC)
AUTHENTICATED = "system:authenticated"


MASTERS = ("system:masters", AUTHENTICATED)
ANYBODY = ("system:unauthenticated",)
NODES = ("system:nodes", AUTHENTICATED)
ACCOUNTS = ("system:serviceaccounts", AUTHENTICATED)
KNOWN = (AUTHENTICATED,)


@pytest.mark.parametrize(
    ("user", "groups", "asked", "schema"),
    [
        ("root", MASTERS, {"verb": "list", "resource": "pods"}, "exempt"),
        ("system:anonymous", ANYBODY, {"verb": "get", "path": "/livez"}, "probes"),
        ("system:anonymous", ANYBODY, {"verb": "get", "path": "/livez/etcd"}, "global-default"),
        ("system:node:a", NODES, {"verb": "patch", "resource": "nodes/status"}, "system-node-high"),
        ("system:node:a", NODES, {"verb": "get", "resource": "secrets"}, "system-nodes"),
        ("system:kube-scheduler", KNOWN, {"verb": "list", "resource": "pods"}, "kube-scheduler"),
        ("system:serviceaccount:a:b", ACCOUNTS, {"verb": "get", "resource": "pods"}, "service-accounts"),
        ("jane", KNOWN, {"verb": "get", "resource": "pods"}, "global-default"),
    ],
)
def test_who_is_judged_by_what(user: str, groups: tuple[str, ...], asked: dict[str, str], schema: str) -> None:
    order, _ = ordered(map(schema_of, suggested.schemas()), map(level_of, suggested.levels()))
    path = asked.get("path", "")
    resource, _, subresource = asked.get("resource", "").partition("/")
    who = User(user, groups=groups)
    call = Attributes(who, asked["verb"], resource=resource, subresource=subresource, path=path, is_resource=not path)
    if resource in ("pods", "secrets"):
        call = Attributes(who, asked["verb"], resource=resource, namespace="ns")
    assert next(one.name for one in order if matches(one, call)) == schema


def test_they_come_back_unless_somebody_wants_otherwise() -> None:
    async def scenario(server: Served) -> None:
        reads, client = server.core.reads, server.client
        assert {found.name for found in reads.list(PRIORITYLEVELCONFIGURATION)} >= {"exempt", "catch-all", "system"}
        for name, autoupdate in (("system-nodes", "false"), ("global-default", "true")):
            found = reads.get(FLOWSCHEMA, "", name)
            assert found is not None
            document: dict[str, Any] = found.document()
            document = {**document, "spec": {**document["spec"], "matchingPrecedence": 777}}
            notes = {suggested.AUTOUPDATE: autoupdate}
            document["metadata"] = {**document["metadata"], "annotations": notes}
            await client.update(FLOWSCHEMA, document)
        revision = server.core.revision
        await bootstrap(client)
        assert server.core.revision == revision + 1, "a start changes what differs and nothing else"

        def precedence(name: str) -> int:
            found = reads.get(FLOWSCHEMA, "", name)
            assert found is not None
            return int(found.document()["spec"]["matchingPrecedence"])

        assert [precedence(name) for name in ("system-nodes", "global-default")] == [777, 9900]
        jane = await server.send("GET", "/api/v1/namespaces/default/pods", peer("jane"))
        found = reads.get(FLOWSCHEMA, "", "global-default")
        assert found is not None
        assert dict(jane.headers)["X-Kubernetes-PF-FlowSchema-UID"] == found.uid

    served(scenario)


def test_dangling() -> None:
    schema: dict[str, Any] = {"spec": {"priorityLevelConfiguration": {"name": "l"}}}
    status = plan(schema, {"l"}, NOW)
    assert status is not None
    (condition,) = status["conditions"]
    assert (condition["type"], condition["status"], condition["reason"]) == ("Dangling", "False", "Found")
    assert condition["lastTransitionTime"] == "2026-01-01T00:00:00Z"
    later = NOW.replace(year=2027)
    assert plan({**schema, "status": status}, {"l"}, later) is None
    status = plan({**schema, "status": {**status, "other": 1}}, (), later)
    assert status is not None
    assert status["other"] == 1
    (condition,) = status["conditions"]
    assert (condition["status"], condition["reason"]) == ("True", "NotFound")
    assert condition["message"].endswith('named "l" but there is no such object')
    assert condition["lastTransitionTime"] == "2027-01-01T00:00:00Z"
