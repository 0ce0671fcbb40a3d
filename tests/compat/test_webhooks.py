"""Webhooks as operators know them: rounds, dry runs, deletions, subresources; and servers that misbehave."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hook_server import Handler, HookServer

import navarch
from navarch.testing.cluster import RunningCluster

sys.path.insert(0, str(Path(__file__).parent / "conformance"))

from conformance_api import Api

REGISTRATION = "/apis/admissionregistration.k8s.io/v1"
MUTATING = f"{REGISTRATION}/mutatingwebhookconfigurations"
VALIDATING = f"{REGISTRATION}/validatingwebhookconfigurations"
MAPS = "/api/v1/namespaces/default/configmaps"
Request = dict[str, Any]
Reviewed = Callable[[Request], dict[str, Any]]
YES = {"allowed": True}


@pytest.fixture(scope="module")
def cluster() -> Iterator[RunningCluster]:
    with navarch.Cluster(nodes=1) as running:
        yield running


@pytest.fixture(scope="module")
def api(cluster: RunningCluster) -> Api:
    return Api(cluster.kubeconfig)


@pytest.fixture
def server() -> Iterator[HookServer]:
    with HookServer() as running:
        yield running


class Hooks:
    """Configurations of one test."""

    def __init__(self, api: Api, server: HookServer) -> None:
        self.api, self.server = api, server
        self.made: list[str] = []

    def add(
        self,
        collection: str,
        name: str,
        answer: Reviewed | None = None,
        *,
        resources: tuple[str, ...] = ("configmaps",),
        operations: tuple[str, ...] = ("CREATE", "UPDATE"),
        group: str = "",
        **different: Any,
    ) -> None:
        path = f"/{name}"
        if answer is not None:
            self.server.answers[path] = answer
        rule = {"operations": operations, "apiGroups": [group], "apiVersions": ["v1"], "resources": resources}
        hook = {
            "name": f"{name}.hooks.test",
            "clientConfig": self.server.client(path),
            "rules": [rule],
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            **different,
        }
        self.api.post(collection, {"metadata": {"name": name}, "webhooks": [hook]})
        self.made.append(f"{collection}/{name}")


@pytest.fixture
def hooks(api: Api, server: HookServer) -> Iterator[Hooks]:
    found = Hooks(api, server)
    yield found
    for path in found.made:
        api.send("DELETE", path)


def patched(*operations: dict[str, Any]) -> dict[str, Any]:
    text = base64.b64encode(json.dumps(list(operations)).encode()).decode()
    return {"allowed": True, "patchType": "JSONPatch", "patch": text}


def named(name: str, **data: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "data": data}


def label(key: str) -> Reviewed:
    def answer(asked: Request) -> dict[str, Any]:
        labels = asked["object"]["metadata"].get("labels") or {}
        return patched({"op": "add", "path": "/metadata/labels", "value": {**labels, key: "yes"}})

    return answer


def test_who_saw_it_before_another_changed_it_is_asked_again(api: Api, hooks: Hooks, server: HookServer) -> None:
    hooks.add(MUTATING, "a-first", label("first"), reinvocationPolicy="IfNeeded")
    hooks.add(MUTATING, "b-second", label("second"))
    made = api.post(MAPS, named("rounds"))
    assert made["metadata"]["labels"] == {"first": "yes", "second": "yes"}
    assert [one.path for one in server.asked] == ["/a-first", "/b-second", "/a-first"]
    assert server.reviews("/a-first")[1]["object"]["metadata"]["labels"] == {"first": "yes", "second": "yes"}


def test_what_a_webhook_is_told(api: Api, hooks: Hooks, server: HookServer) -> None:
    hooks.add(MUTATING, "changes", lambda _: YES)
    hooks.add(VALIDATING, "looks", lambda _: {**YES, "warnings": ["mind the gap"]})
    made = api.send("POST", MAPS, {"metadata": {"generateName": "made-"}, "data": {"a": "1"}})
    assert made.warnings == ('299 - "mind the gap"',)
    before, after = server.reviews("/changes")[0], server.reviews("/looks")[0]
    assert (before["name"], after["name"]) == ("", made.json["metadata"]["name"])
    assert "uid" not in before["object"]["metadata"]
    assert after["object"]["metadata"]["uid"] == made.json["metadata"]["uid"]
    assert (before["operation"], before["oldObject"], before["dryRun"]) == ("CREATE", None, False)
    assert before["userInfo"]["username"] == "kubernetes-admin"
    api.patch(f"{MAPS}/{made.json['metadata']['name']}", {"data": {"a": "2"}})
    changed = server.reviews("/looks")[1]
    assert (changed["oldObject"]["data"], changed["object"]["data"]) == ({"a": "1"}, {"a": "2"})
    assert server.asked[0].query == {"timeout": "10s"}


def test_a_write_that_changes_nothing_is_asked_about_too(api: Api, hooks: Hooks) -> None:
    api.post(MAPS, named("same", a="1"))
    hooks.add(VALIDATING, "frozen", lambda _: {"allowed": False, "status": {"code": 403, "reason": "Forbidden"}})
    answer = api.send("PUT", f"{MAPS}/same", api.get(f"{MAPS}/same"))
    assert (answer.status, answer.reason) == (403, "Forbidden")
    assert answer.message == 'admission webhook "frozen.hooks.test" denied the request: Forbidden'


def test_dry_runs_reach_only_those_that_do_nothing_else(api: Api, hooks: Hooks, server: HookServer) -> None:
    hooks.add(MUTATING, "adds", label("dry"))
    made = api.post(f"{MAPS}?dryRun=All", named("dry"))
    assert made["metadata"]["labels"] == {"dry": "yes"}
    assert server.asked[0].review["request"]["dryRun"] is True
    assert api.send("GET", f"{MAPS}/dry").status == 404


def test_deletions_are_asked_about(api: Api, hooks: Hooks, server: HookServer) -> None:
    api.post(MAPS, named("kept"))
    hooks.add(VALIDATING, "keeps", lambda _: {"allowed": False, "status": {"message": "stay"}}, operations=("DELETE",))
    answer = api.send("DELETE", f"{MAPS}/kept")
    assert "stay" in answer.message
    asked = server.reviews("/keeps")[0]
    assert (asked["operation"], asked["object"], asked["oldObject"]["metadata"]["name"]) == ("DELETE", None, "kept")
    assert asked["options"]["kind"] == "DeleteOptions"
    assert api.get(f"{MAPS}/kept")


def test_subresources_are_asked_about_as_what_they_are(
    api: Api, cluster: RunningCluster, hooks: Hooks, server: HookServer
) -> None:
    no = {"allowed": False, "status": {"message": "not that many"}}
    hooks.add(
        VALIDATING,
        "scales",
        lambda asked: no if asked["object"]["spec"]["replicas"] > 3 else YES,
        resources=("deployments/scale",),
        group="apps",
    )
    hooks.add(VALIDATING, "evicts", lambda _: no, resources=("pods/eviction", "pods/binding"), operations=("CREATE",))
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "pause"}]}}
    spec = {"replicas": 0, "selector": {"matchLabels": labels}, "template": template}
    where = "/apis/apps/v1/namespaces/default/deployments"
    api.post(where, {"metadata": {"name": "web"}, "spec": spec})
    scale = {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "web"}, "spec": {"replicas": 5}}
    assert "not that many" in api.send("PUT", f"{where}/web/scale", scale).message
    asked = server.reviews("/scales")[0]
    assert asked["kind"] == {"group": "autoscaling", "version": "v1", "kind": "Scale"}
    assert asked["object"]["kind"] == "Scale"
    api.patch(where + "/web", {"spec": {"replicas": 4}})
    pod = {
        "metadata": {"name": "held"},
        "spec": {"containers": [{"name": "c", "image": "pause"}], "nodeName": "node-0"},
    }
    api.post("/api/v1/namespaces/default/pods", pod)
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "held"}}
    assert "not that many" in api.send("POST", "/api/v1/namespaces/default/pods/held/eviction", eviction).message
    asked_as = {one["subResource"]: one["object"]["kind"] for one in server.reviews("/evicts")}
    assert asked_as["eviction"] == "Eviction"
    assert asked_as.get("binding", "Binding") == "Binding", "the scheduler's decisions are asked about too"
    assert api.get("/api/v1/namespaces/default/pods/held")


def test_a_webhook_may_read_and_write_the_object_it_is_asked_about(
    api: Api, cluster: RunningCluster, hooks: Hooks
) -> None:
    api.post(MAPS, named("contended", count="0"))
    other = Api(cluster.kubeconfig)
    written: list[int] = []

    def meddles(asked: Request) -> dict[str, Any]:
        if "meddled" not in asked["object"]["data"]:
            written.append(other.send("PATCH", f"{MAPS}/contended", b'{"data":{"meddled":"yes"}}', **MERGE).status)
        return YES

    hooks.add(VALIDATING, "meddles", meddles, operations=("UPDATE",))
    found = api.patch(f"{MAPS}/contended", {"data": {"count": "1"}})
    assert written == [200]
    assert found["data"] == {"count": "1", "meddled": "yes"}, "the change was made again on what was written meanwhile"


MERGE = {"content_type": "application/merge-patch+json"}


def _hangs(found: Handler) -> None:
    found.server.owner.released.wait(20)


def _closes(found: Handler) -> None:
    found.close_connection = True
    found.connection.close()


MISBEHAVING: dict[str, tuple[Callable[[Handler], None], str]] = {
    "hangs": (_hangs, "context deadline exceeded"),
    "closes": (_closes, "failed to call webhook: Post"),
    "fails": (lambda found: found.send(500, b"boom", "text/plain"), 'an error on the server (\\"boom\\")'),
    "redirects": (lambda found: found.send(302, b"", Location="/elsewhere"), "status code 302"),
    "html": (lambda found: found.send(200, b"<html>", "text/html"), "invalid character '<'"),
    "empty": (lambda found: found.send(200, b""), "0-length response with status code: 200"),
    "huge": (lambda found: found.send(200, b" " * (9 << 20)), "the answer is larger than"),
    "deep": (lambda found: found.send(200, b"[" * 100_000), "json parse error"),
    "no-review": (lambda found: found.send(200, b'{"kind":"List","apiVersion":"v1"}'), "webhook response was absent"),
}


@pytest.mark.parametrize("name", MISBEHAVING)
def test_servers_that_misbehave_fail_closed_and_open(api: Api, hooks: Hooks, server: HookServer, name: str) -> None:
    server.raw[f"/{name}"], why = MISBEHAVING[name]
    hooks.add(VALIDATING, name, timeoutSeconds=1)
    answer = api.send("POST", MAPS, named(f"closed-{name}"))
    assert (answer.status, answer.reason) == (500, "InternalError")
    assert answer.message.startswith(f'Internal error occurred: failed calling webhook "{name}.hooks.test": ')
    assert why in json.dumps(answer.message).replace("\\\\", "\\") or why in answer.message
    assert api.send("GET", "/livez").status == 200
    api.patch(
        f"{VALIDATING}/{name}",
        {"webhooks": [{"name": f"{name}.hooks.test", "failurePolicy": "Ignore"}]},
        "application/strategic-merge-patch+json",
    )
    assert api.send("POST", MAPS, named(f"open-{name}")).status == 201


@pytest.mark.parametrize(
    ("operation", "why"),
    [
        ({"op": "remove", "path": "/nowhere"}, "missing"),
        ({"op": "replace", "path": "/data", "value": 3}, "unmarshal"),
        ({"op": "replace", "path": "/kind", "value": "Secret"}, "kind"),
        ({"op": "explode", "path": "/data"}, "explode"),
    ],
)
def test_patches_that_make_no_sense_are_errors_of_the_server(
    api: Api, hooks: Hooks, operation: dict[str, Any], why: str
) -> None:
    hooks.add(MUTATING, "breaks", lambda _: patched(operation), failurePolicy="Ignore")
    answer = api.send("POST", MAPS, named("broken", a="1"))
    assert answer.status == 500
    assert why in answer.message
    assert api.send("GET", f"{MAPS}/broken").status == 404


def test_what_a_webhook_may_not_write_stays_and_rules_hold_afterwards(api: Api, hooks: Hooks) -> None:
    hooks.add(
        MUTATING,
        "forges",
        lambda asked: patched(
            {"op": "add", "path": "/metadata/uid", "value": "forged"},
            {"op": "add", "path": "/metadata/resourceVersion", "value": "1"},
            {"op": "add", "path": "/metadata/labels", "value": {"a b": "c"}},
            {"op": "add", "path": "/unknown", "value": {"a": 1}},
        ),
    )
    answer = api.send("POST", MAPS, named("forged"))
    assert answer.status == 422
    assert "metadata.labels" in answer.message
    assert "uid" not in answer.message


def test_a_generation_counts_what_a_webhook_changed(api: Api, hooks: Hooks) -> None:
    labels = {"app": "counted"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "pause"}]}}
    where = "/apis/apps/v1/namespaces/default/deployments"
    made = {
        "metadata": {"name": "counted"},
        "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": template},
    }
    api.post(where, made)
    pause = patched({"op": "add", "path": "/spec/paused", "value": True})
    hooks.add(MUTATING, "pauses", lambda _: pause, resources=("deployments",), group="apps", operations=("UPDATE",))
    found = api.patch(f"{where}/counted", {"metadata": {"annotations": {"x": "y"}}})
    assert (found["spec"]["paused"], found["metadata"]["generation"]) == (True, 2)


def test_calls_are_counted_under_the_names_that_dashboards_know(api: Api, hooks: Hooks) -> None:
    hooks.add(VALIDATING, "counted", lambda _: {"allowed": False, "status": {"code": 403}})
    api.send("POST", MAPS, named("counted"))
    metrics = api.send("GET", "/metrics").body.decode()
    labels = 'name="counted.hooks.test",operation="CREATE"'
    for line in (
        "apiserver_admission_webhook_admission_duration_seconds_count{",
        "apiserver_admission_webhook_rejection_count{",
        "apiserver_admission_webhook_request_total{",
    ):
        assert any(one.startswith(line) and "counted.hooks.test" in one for one in metrics.splitlines()), (line, labels)
