"""Webhooks that are asked about writes: a real HTTPS server that answers, and what becomes of the objects."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
from conformance_api import APPLY, JSON_PATCH, MERGE, Api, names
from conformance_specs import spec
from hook_server import HookServer

PREFIX = "[sig-api-machinery] AdmissionWebhook [Privileged:ClusterAdmin] "
REGISTRATION = "/apis/admissionregistration.k8s.io/v1"
MUTATING = f"{REGISTRATION}/mutatingwebhookconfigurations"
VALIDATING = f"{REGISTRATION}/validatingwebhookconfigurations"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"

Request = dict[str, Any]
Answer = dict[str, Any]


@pytest.fixture(scope="module")
def server() -> Iterator[HookServer]:
    with HookServer(("127.0.0.1", "e2e-test-webhook.hooks.svc")) as running:
        running.answers |= {
            "/always-deny": lambda _: no("this webhook denies all requests"),
            "/pods": _pods,
            "/configmaps": _configmaps,
            "/crd": lambda _: no("the crd contains unwanted label"),
            "/custom-resource": _custom_resource,
            "/mutating-configmaps": _mutate_configmap,
            "/mutating-pods": _add_container,
            "/mutating-custom-resource": lambda asked: patched(_stages(asked, "data")),
            "/pods/attach": lambda asked: (
                no("attaching to pod 'to-be-attached-pod' is not allowed")
                if asked["name"] == "to-be-attached-pod"
                else YES
            ),
            "/add-label": lambda _: patched([{"op": "add", "path": "/metadata/labels/hooked", "value": "yes"}]),
        }
        running.raw["/always-allow-delay-5s"] = lambda found: (running.released.wait(20), None)[1]
        yield running


YES: Answer = {"allowed": True}


def no(why: str) -> Answer:
    return {"allowed": False, "status": {"message": why}}


def patched(operations: list[dict[str, Any]]) -> Answer:
    if not operations:
        return YES
    text = base64.b64encode(json.dumps(operations).encode()).decode()
    return {"allowed": True, "patchType": "JSONPatch", "patch": text}


def _pods(asked: Request) -> Answer:
    if any("webhook-disallow" in one["name"] for one in asked["object"]["spec"]["containers"]):
        return no("the pod contains unwanted container name")
    return YES


def _configmaps(asked: Request) -> Answer:
    found = (asked["object"] or asked["oldObject"]).get("data") or {}
    return no("the configmap contains unwanted key and value") if found.get("webhook-e2e-test") == "disallow" else YES


def _custom_resource(asked: Request) -> Answer:
    found = (asked["oldObject"] if asked["operation"] == "DELETE" else asked["object"]).get("data") or {}
    return no("the custom resource contains unwanted data") if found.get("webhook-e2e-test") == "disallow" else YES


def _stages(asked: Request, field: str) -> list[dict[str, Any]]:
    data = asked["object"].get(field) or {}
    made = []
    if data.get("mutation-start") == "yes":
        made.append({"op": "add", "path": f"/{field}/mutation-stage-1", "value": "yes"})
    if data.get("mutation-stage-1") == "yes":
        made.append({"op": "add", "path": f"/{field}/mutation-stage-2", "value": "yes"})
    return made


def _mutate_configmap(asked: Request) -> Answer:
    return patched(_stages(asked, "data"))


def _add_container(asked: Request) -> Answer:
    added = {"image": "pause", "name": "webhook-added-init-container", "resources": {}}
    return patched([{"op": "add", "path": "/spec/initContainers", "value": [added]}])


def rule(resources: str, *operations: str, group: str = "", version: str = "v1") -> dict[str, Any]:
    return {
        "operations": list(operations) or ["CREATE"],
        "apiGroups": [group],
        "apiVersions": [version],
        "resources": [resources],
    }


class Hooks:
    """Configurations for the time of one test, all of them for its namespace alone."""

    def __init__(self, api: Api, ns: str, server: HookServer) -> None:
        self.api = api
        self.ns = ns
        self.server = server
        self.made: list[str] = []
        api.patch(f"/api/v1/namespaces/{ns}", {"metadata": {"labels": {ns: "true"}}})

    def hook(self, path: str, *rules: dict[str, Any], name: str = "", **different: Any) -> dict[str, Any]:
        found = {
            "name": name or f"{path.strip('/').replace('/', '-')}.k8s.io",
            "clientConfig": self.server.client(path),
            "rules": list(rules),
            "sideEffects": "None",
            "admissionReviewVersions": ["v1", "v1beta1"],
            "namespaceSelector": {"matchLabels": {self.ns: "true"}},
            **different,
        }
        return {key: value for key, value in found.items() if value is not None}

    def make(self, collection: str, *hooks: dict[str, Any], name: str = "", **metadata: Any) -> dict[str, Any]:
        name = name or f"{self.ns}-{len(self.made)}"
        made: dict[str, Any] = self.api.post(
            collection, {"metadata": {"name": name, **metadata}, "webhooks": list(hooks)}
        )
        self.made.append(f"{collection}/{name}")
        return made

    def end(self) -> None:
        for path in self.made:
            self.api.send("DELETE", path)


@pytest.fixture
def hooks(api: Api, ns: str, server: HookServer) -> Iterator[Hooks]:
    found = Hooks(api, ns, server)
    yield found
    found.end()


def configmaps(ns: str, name: str = "") -> str:
    return f"/api/v1/namespaces/{ns}/configmaps" + (f"/{name}" if name else "")


def configmap(name: str, **data: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "data": {key.replace("_", "-"): value for key, value in data.items()}}


def pod(name: str, container: str = "main", **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, **metadata}, "spec": {"containers": [{"name": container, "image": "pause"}]}}


def definition(ns: str, *versions: dict[str, Any], **labels: str) -> dict[str, Any]:
    group = f"{ns}.example.com"
    names_ = {"plural": "e2e-tests", "singular": "e2e-test", "kind": "E2eTest", "listKind": "E2eTestList"}
    return {
        "metadata": {"name": f"e2e-tests.{group}", "labels": labels},
        "spec": {"group": group, "scope": "Namespaced", "names": names_, "versions": list(versions)},
    }


def version(name: str, *, storage: bool = True, fields: tuple[str, ...] = (), open_: bool = True) -> dict[str, Any]:
    data = (
        {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        if open_
        else {"type": "object", "properties": {field: {"type": "string"} for field in fields}}
    )
    schema = {"openAPIV3Schema": {"type": "object", "properties": {"data": data}}}
    return {"name": name, "served": True, "storage": storage, "schema": schema}


def custom(api: Api, document: dict[str, Any]) -> str:
    """Defines it; where its objects of the first version are, with `{}` for the namespace."""
    api.post(CRDS, document)
    where = f"{CRDS}/{document['metadata']['name']}"
    api.when(where, lambda found: any(one["type"] == "Established" for one in found["status"].get("conditions", ())))
    spec_ = document["spec"]
    return f"/apis/{spec_['group']}/{spec_['versions'][0]['name']}/namespaces/{{}}/{spec_['names']['plural']}"


def started(group: str, name: str) -> dict[str, Any]:
    data = {"mutation-start": "yes"}
    return {"apiVersion": f"{group}/v1", "kind": "E2eTest", "metadata": {"name": name}, "data": data}


@spec(PREFIX + "should include webhook resources in discovery documents")
def test_discovery_names_the_resources(api: Api) -> None:
    groups = {group["name"]: group for group in api.get("/apis")["groups"]}
    found = groups["admissionregistration.k8s.io"]
    assert "v1" in [one["version"] for one in found["versions"]]
    assert api.get("/apis/admissionregistration.k8s.io")["name"] == "admissionregistration.k8s.io"
    resources = [one["name"] for one in api.get(REGISTRATION)["resources"]]
    assert {"mutatingwebhookconfigurations", "validatingwebhookconfigurations"} <= set(resources)


@spec(PREFIX + "should be able to deny pod and configmap creation")
def test_pods_and_configmaps_are_denied(api: Api, ns: str, hooks: Hooks) -> None:
    hooks.make(
        VALIDATING,
        hooks.hook("/pods", rule("pods"), name="deny-unwanted-pod-container-name-and-label.k8s.io"),
        hooks.hook(
            "/configmaps", rule("configmaps", "CREATE", "UPDATE", "DELETE"), name="deny-unwanted-configmap-data.k8s.io"
        ),
        hooks.hook(
            "/always-allow-delay-5s",
            rule("pods"),
            name="slow.k8s.io",
            timeoutSeconds=1,
            objectSelector={"matchLabels": {"hang": "yes"}},
        ),
    )
    denied = api.send("POST", f"/api/v1/namespaces/{ns}/pods", pod("disallowed-pod", "webhook-disallow"))
    assert (denied.status, denied.message) == (
        400,
        'admission webhook "deny-unwanted-pod-container-name-and-label.k8s.io" denied the request: '
        "the pod contains unwanted container name",
    )
    hung = api.send("POST", f"/api/v1/namespaces/{ns}/pods", pod("hanging", labels={"hang": "yes"}))
    assert hung.status == 500
    assert "context deadline exceeded" in hung.message
    denied = api.send("POST", configmaps(ns), configmap("bad", webhook_e2e_test="disallow"))
    assert "the configmap contains unwanted key and value" in denied.message
    api.post(configmaps(ns), configmap("good", admit="this"))
    found = api.get(configmaps(ns, "good"))
    changed = {**found, "data": {"webhook-e2e-test": "disallow"}}
    assert "unwanted key and value" in api.send("PUT", configmaps(ns, "good"), changed).message
    merge = json.dumps({"data": {"webhook-e2e-test": "disallow"}}).encode()
    assert "unwanted key" in api.send("PATCH", configmaps(ns, "good"), merge, content_type=MERGE).message
    applied = json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "data": {"webhook-e2e-test": "disallow"}}).encode()
    answer = api.send("PATCH", f"{configmaps(ns, 'good')}?fieldManager=me&force=true", applied, content_type=APPLY)
    assert "unwanted key" in answer.message
    assert "data" in api.get(configmaps(ns, "good"))
    api.post("/api/v1/namespaces", {"metadata": {"name": f"{ns}-exempt"}})
    api.post(configmaps(f"{ns}-exempt"), configmap("bad", webhook_e2e_test="disallow"))


@spec(PREFIX + "should be able to deny attaching pod")
def test_attaching_is_denied(api: Api, ns: str, hooks: Hooks, server: HookServer) -> None:
    hooks.make(VALIDATING, hooks.hook("/pods/attach", rule("pods/attach", "CONNECT"), name="deny-attaching-pod.k8s.io"))
    api.post(f"/api/v1/namespaces/{ns}/pods", pod("to-be-attached-pod", "container1"))
    where = f"/api/v1/namespaces/{ns}/pods/to-be-attached-pod/attach?container=container1&stdin=true&stdout=true"
    denied = api.send("POST", where)
    assert "attaching to pod 'to-be-attached-pod' is not allowed" in denied.message
    asked = server.reviews("/pods/attach")[-1]
    assert asked["kind"] == {"group": "", "version": "v1", "kind": "PodAttachOptions"}
    assert (asked["operation"], asked["subResource"], asked["object"]["container"]) == (
        "CONNECT",
        "attach",
        "container1",
    )


@spec(PREFIX + "should be able to deny custom resource creation, update and deletion")
def test_custom_resources_are_denied(api: Api, ns: str, hooks: Hooks) -> None:
    where = custom(api, definition(ns, version("v1"))).format(ns)
    kind = {"apiVersion": f"{ns}.example.com/v1", "kind": "E2eTest"}
    hooks.make(
        VALIDATING,
        hooks.hook(
            "/custom-resource",
            rule("e2e-tests", "CREATE", "UPDATE", "DELETE", group=f"{ns}.example.com"),
            name="deny-unwanted-custom-resource-data.k8s.io",
        ),
    )
    bad = {**kind, "metadata": {"name": "bad"}, "data": {"webhook-e2e-test": "disallow"}}
    assert "the custom resource contains unwanted data" in api.send("POST", where, bad).message
    good = api.post(where, {**kind, "metadata": {"name": "good"}, "data": {"k": "v"}})
    good["data"] = {"webhook-e2e-test": "disallow"}
    assert "unwanted data" in api.send("PUT", f"{where}/good", good).message
    hooks.end()
    api.patch(f"{where}/good", {"data": {"webhook-e2e-test": "disallow"}})
    hooks.make(
        VALIDATING,
        hooks.hook("/custom-resource", rule("e2e-tests", "DELETE", group=f"{ns}.example.com")),
        name=f"{ns}-d",
    )
    assert "unwanted data" in api.send("DELETE", f"{where}/good").message
    assert "unwanted data" in api.send("DELETE", where).message
    api.patch(f"{where}/good", {"data": {"webhook-e2e-test": "allow"}})
    api.delete(f"{where}/good")


@spec(PREFIX + "should unconditionally reject operations on fail closed webhook")
def test_a_webhook_that_cannot_be_asked_fails_closed(api: Api, ns: str, hooks: Hooks, server: HookServer) -> None:
    strange = {"url": server.client("/configmaps")["url"]}
    hooks.make(VALIDATING, hooks.hook("/x", rule("configmaps"), name="fail-closed.k8s.io", clientConfig=strange))
    answer = api.send("POST", configmaps(ns), configmap("foo"))
    assert (answer.status, answer.reason) == (500, "InternalError")
    assert answer.message == (
        'Internal error occurred: failed calling webhook "fail-closed.k8s.io": failed to call webhook: Post '
        f'"{strange["url"]}?timeout=10s": tls: failed to verify certificate: x509: '
        "certificate signed by unknown authority"
    )


@spec(PREFIX + "should mutate configmap")
def test_a_configmap_is_mutated_by_two_in_order(api: Api, ns: str, hooks: Hooks) -> None:
    one = hooks.hook("/mutating-configmaps", rule("configmaps"), name="adding-configmap-data-stage-1.k8s.io")
    two = hooks.hook("/mutating-configmaps", rule("configmaps"), name="adding-configmap-data-stage-2.k8s.io")
    hooks.make(MUTATING, one, two)
    found = api.post(configmaps(ns), configmap("to-be-mutated", mutation_start="yes"))
    assert found["data"] == {"mutation-start": "yes", "mutation-stage-1": "yes", "mutation-stage-2": "yes"}
    assert api.get(configmaps(ns, "to-be-mutated"))["data"] == found["data"]


@spec(PREFIX + "should mutate pod and apply defaults after mutation")
def test_a_pod_is_mutated_and_defaulted_again(api: Api, ns: str, hooks: Hooks) -> None:
    hooks.make(MUTATING, hooks.hook("/mutating-pods", rule("pods"), name="adding-init-container.k8s.io"))
    made = api.post(f"/api/v1/namespaces/{ns}/pods", pod("webhook-to-be-mutated"))
    (added,) = made["spec"]["initContainers"]
    assert added["name"] == "webhook-added-init-container"
    assert added["terminationMessagePolicy"] == "File"
    assert added["volumeMounts"], "plugins that ran before see what was added"


@spec(PREFIX + "should not be able to mutate or prevent deletion of webhook configuration objects")
def test_configurations_are_not_intercepted(api: Api, ns: str, hooks: Hooks) -> None:
    every = rule("*", "*", group="admissionregistration.k8s.io", version="*")
    whole: dict[str, Any] = {"namespaceSelector": None}
    hooks.make(VALIDATING, hooks.hook("/always-deny", every, **whole))
    hooks.make(MUTATING, hooks.hook("/add-label", every, **whole))
    empty = hooks.make(VALIDATING, name=f"{ns}-dummy", labels={"own": "label"})
    assert empty["metadata"]["labels"] == {"own": "label"}
    api.delete(f"{VALIDATING}/{ns}-dummy")
    hooks.make(MUTATING, name=f"{ns}-dummy")
    api.delete(f"{MUTATING}/{ns}-dummy")


@spec(PREFIX + "should mutate custom resource")
def test_a_custom_resource_is_mutated(api: Api, ns: str, hooks: Hooks) -> None:
    where = custom(api, definition(ns, version("v1"))).format(ns)
    group = f"{ns}.example.com"
    one, two = (
        hooks.hook("/mutating-custom-resource", rule("e2e-tests", group=group), name=f"mutate-{stage}.k8s.io")
        for stage in (1, 2)
    )
    hooks.make(MUTATING, one, two)
    made = api.post(
        where,
        {"apiVersion": f"{group}/v1", "kind": "E2eTest", "metadata": {"name": "a"}, "data": {"mutation-start": "yes"}},
    )
    assert made["data"] == {"mutation-start": "yes", "mutation-stage-1": "yes", "mutation-stage-2": "yes"}


@spec(PREFIX + "should mutate custom resource with pruning")
def test_what_a_webhook_adds_is_pruned(api: Api, ns: str, hooks: Hooks) -> None:
    fields = ("mutation-start", "mutation-stage-1")
    where = custom(api, definition(ns, version("v1", fields=fields, open_=False))).format(ns)
    group = f"{ns}.example.com"
    one, two = (
        hooks.hook("/mutating-custom-resource", rule("e2e-tests", group=group), name=f"mutate-{stage}.k8s.io")
        for stage in (1, 2)
    )
    hooks.make(MUTATING, one, two)
    made = api.post(
        where,
        {"apiVersion": f"{group}/v1", "kind": "E2eTest", "metadata": {"name": "a"}, "data": {"mutation-start": "yes"}},
    )
    assert made["data"] == {"mutation-start": "yes", "mutation-stage-1": "yes"}


@spec(PREFIX + "should mutate custom resource with different stored version")
def test_a_custom_resource_is_mutated_while_its_storage_moves(api: Api, ns: str, hooks: Hooks) -> None:
    made = definition(ns, version("v1"), version("v2", storage=False))
    where = custom(api, made).format(ns)
    group = f"{ns}.example.com"
    hooks.make(
        MUTATING,
        hooks.hook(
            "/mutating-custom-resource", rule("e2e-tests", "CREATE", "UPDATE", group=group), name="m.k8s.io.k8s"
        ),
    )
    old = {
        "apiVersion": f"{group}/v1",
        "kind": "E2eTest",
        "metadata": {"name": "old"},
        "data": {"mutation-start": "yes"},
    }
    assert "mutation-stage-1" in api.post(where, old)["data"]
    versions = [version("v1", storage=False), version("v2")]
    api.patch(f"{CRDS}/{made['metadata']['name']}", {"spec": {"versions": versions}})
    change = json.dumps([{"op": "add", "path": "/data/dummy", "value": "x"}]).encode()
    found = api.ask("PATCH", f"{where}/old".replace("/v1/", "/v2/"), change, content_type=JSON_PATCH)
    assert found["data"] == {
        "mutation-start": "yes",
        "mutation-stage-1": "yes",
        "mutation-stage-2": "yes",
        "dummy": "x",
    }
    assert found["apiVersion"] == f"{group}/v2"


@spec(PREFIX + "should deny crd creation")
def test_a_definition_is_denied(api: Api, ns: str, hooks: Hooks) -> None:
    chosen = {"matchExpressions": [{"key": "webhook-e2e-test", "operator": "In", "values": ["webhook-disallow"]}]}
    denies = hooks.hook(
        "/crd",
        rule("*", group="apiextensions.k8s.io", version="*"),
        name="deny-crd-with-unwanted-label.k8s.io",
        objectSelector=chosen,
        namespaceSelector=None,
    )
    hooks.make(VALIDATING, denies)
    denied = api.send("POST", CRDS, definition(ns, version("v1"), **{"webhook-e2e-test": "webhook-disallow"}))
    assert "the crd contains unwanted label" in denied.message
    assert api.send("GET", f"{CRDS}/e2e-tests.{ns}.example.com").status == 404


@spec(PREFIX + "should honor timeout")
def test_timeouts_are_kept(api: Api, ns: str, hooks: Hooks) -> None:
    slow = hooks.hook("/always-allow-delay-5s", rule("configmaps"), name="slow.k8s.io", timeoutSeconds=1)
    hooks.make(VALIDATING, slow)
    answer = api.send("POST", configmaps(ns), configmap("slow"))
    assert answer.status == 500
    assert "/always-allow-delay-5s?timeout=1s" in answer.message
    assert "context deadline exceeded" in answer.message
    hooks.end()
    hooks.make(VALIDATING, {**slow, "failurePolicy": "Ignore"}, name=f"{ns}-ignored")
    assert api.send("POST", configmaps(ns), configmap("ignored")).status == 201
    hooks.end()
    defaulted = hooks.hook("/always-allow-delay-5s", rule("none-such"), name="slow.k8s.io")
    made = hooks.make(VALIDATING, defaulted, name=f"{ns}-default")
    assert made["webhooks"][0]["timeoutSeconds"] == 10


@pytest.mark.parametrize(
    ("collection", "path"), [(VALIDATING, "/configmaps"), (MUTATING, "/mutating-configmaps")], ids=["val", "mut"]
)
@spec(PREFIX + "patching/updating a validating webhook should work")
@spec(PREFIX + "patching/updating a mutating webhook should work")
def test_a_changed_configuration_is_followed(api: Api, ns: str, hooks: Hooks, collection: str, path: str) -> None:
    def affected(name: str) -> bool:
        key = "webhook-e2e-test" if collection == VALIDATING else "mutation-start"
        value = "disallow" if collection == VALIDATING else "yes"
        answer = api.send("POST", configmaps(ns), {"metadata": {"name": name}, "data": {key: value}})
        return answer.status == 400 if collection == VALIDATING else "mutation-stage-1" in answer.json["data"]

    made = hooks.make(collection, hooks.hook(path, rule("configmaps"), name="changing.k8s.io.k8s"))
    where = f"{collection}/{made['metadata']['name']}"
    assert affected("one")
    made["webhooks"][0]["rules"][0]["operations"] = ["UPDATE"]
    api.put(where, made)
    assert not affected("two")
    patch = [{"op": "replace", "path": "/webhooks/0/rules/0/operations", "value": ["CREATE"]}]
    api.ask("PATCH", where, json.dumps(patch).encode(), content_type=JSON_PATCH)
    assert affected("three")


@pytest.mark.parametrize(("collection", "path"), [(VALIDATING, "/configmaps"), (MUTATING, "/mutating-configmaps")])
@spec(PREFIX + "listing validating webhooks should work")
@spec(PREFIX + "listing mutating webhooks should work")
def test_configurations_are_listed_and_deleted_together(
    api: Api, ns: str, hooks: Hooks, collection: str, path: str
) -> None:
    for number in range(3):
        hook = hooks.hook(path, rule("configmaps"), name=f"listed-{number}.k8s.io")
        hooks.make(collection, hook, name=f"{ns}-{number}", labels={"e2e-list": ns})
    chosen = f"{collection}?labelSelector=e2e-list%3D{ns}"
    assert names(api.get(chosen)) == [f"{ns}-{number}" for number in range(3)]
    data = {"webhook-e2e-test": "disallow", "mutation-start": "yes"}
    answer = api.send("POST", configmaps(ns), {"metadata": {"name": "affected"}, "data": data})
    assert answer.status == 400 if collection == VALIDATING else "mutation-stage-1" in answer.json["data"]
    api.ask("DELETE", chosen)
    assert names(api.get(chosen)) == []
    found = api.post(configmaps(ns), {"metadata": {"name": "left-alone"}, "data": data})
    assert found["data"] == data


CONDITIONS = [{"name": "expression-1", "expression": "object.metadata.namespace == 'production'"}]


@pytest.mark.parametrize("collection", [VALIDATING, MUTATING])
@spec(PREFIX + "should be able to create and update validating webhook configurations with match conditions")
@spec(PREFIX + "should be able to create and update mutating webhook configurations with match conditions")
def test_match_conditions_are_kept(api: Api, ns: str, hooks: Hooks, collection: str) -> None:
    made = hooks.make(
        collection, hooks.hook("/configmaps", rule("configmaps"), name="c.k8s.io.k8s", matchConditions=CONDITIONS)
    )
    assert made["webhooks"][0]["matchConditions"] == CONDITIONS
    more = [*CONDITIONS, {"name": "expression-2", "expression": "object.metadata.name == 'x'"}]
    made["webhooks"][0]["matchConditions"] = more
    where = f"{collection}/{made['metadata']['name']}"
    assert api.put(where, made)["webhooks"][0]["matchConditions"] == more
    assert api.get(where)["webhooks"][0]["matchConditions"] == more


@pytest.mark.parametrize("collection", [VALIDATING, MUTATING])
@spec(PREFIX + "should reject validating webhook configurations with invalid match conditions")
@spec(PREFIX + "should reject mutating webhook configurations with invalid match conditions")
def test_match_conditions_that_are_none_are_refused(api: Api, ns: str, hooks: Hooks, collection: str) -> None:
    broken = [{"name": "invalid-expression", "expression": "... [] bad expression"}]
    hook = hooks.hook("/configmaps", rule("configmaps"), name="c.k8s.io.k8s", matchConditions=broken)
    answer = api.send("POST", collection, {"metadata": {"name": f"{ns}-bad"}, "webhooks": [hook]})
    assert answer.status == 422
    assert "compilation failed" in answer.message


@spec(PREFIX + "should mutate everything except 'skip-me' configmaps")
def test_conditions_choose_what_is_mutated(api: Api, ns: str, hooks: Hooks) -> None:
    conditions = [{"name": "skip-me", "expression": "object.metadata.name != 'skip-me'"}]
    hook = hooks.hook("/mutating-configmaps", rule("configmaps"), name="m.k8s.io.k8s", matchConditions=conditions)
    hooks.make(MUTATING, hook)
    assert "mutation-stage-1" in api.post(configmaps(ns), configmap("all", mutation_start="yes"))["data"]
    assert "mutation-stage-1" not in api.post(configmaps(ns), configmap("skip-me", mutation_start="yes"))["data"]
