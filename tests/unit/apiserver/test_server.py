"""The chain and the pages, over a real core."""

from __future__ import annotations

import asyncio
import gzip
import json
from pathlib import Path
from typing import Any

import orjson
import pytest
from server_driver import ADMIN, NOBODY, Served, peer, served

from navarch.apiserver.bootstrap import Place, bootstrap
from navarch.apiserver.discovery import Discovery
from navarch.apiserver.fairness.gate import Seats
from navarch.apiserver.openapi import OpenApi
from navarch.kinds.metrics import METERED
from navarch.kinds.registry import DEFAULT
from navarch.wire.message import Peer, Request

REFERENCE = Path("/work/shared/reference")
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
JANE = peer("jane", "devs")


def reference(name: str) -> Any:
    path = REFERENCE / name
    if not path.exists():
        pytest.skip(f"{path} is not here")
    return json.loads(gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes())


def test_who_is_nobody_is_told_so() -> None:
    async def scenario(server: Served) -> None:
        for path in ("/api", "/api/v1/pods", "/metrics", "/", "/openapi/v3"):
            status, found = await server.ask("GET", path, NOBODY)
            assert (status, found["reason"], found["message"]) == (401, "Unauthorized", "Unauthorized"), path
        assert (await server.ask("POST", "/version", NOBODY))[0] == 401
        for path in ("/healthz", "/livez", "/readyz", "/version"):
            assert (await server.send("GET", path, NOBODY)).status == 200, path
        assert (await server.ask("GET", "/api/v1/pods", NOBODY, authorization="Bearer nonsense"))[0] == 401
        assert (await server.ask("GET", "/api/v1/pods", NOBODY, authorization="Basic YTpi"))[0] == 401

    served(scenario)


def test_somebody_may_do_what_roles_say() -> None:
    async def scenario(server: Served) -> None:
        status, found = await server.ask("GET", "/api/v1/namespaces/default/pods", JANE)
        assert status == 403
        assert found["message"] == (
            'pods is forbidden: User "jane" cannot list resource "pods" in API group "" in the namespace "default"'
        )
        assert (found["reason"], found["details"]) == ("Forbidden", {"kind": "pods"})
        assert (await server.ask("GET", "/api", JANE))[0] == 200
        status, found = await server.ask("GET", "/metrics", JANE)
        assert (status, found["message"]) == (403, 'forbidden: User "jane" cannot get path "/metrics"')
        assert (await server.ask("GET", "/api/v1/pods"))[0] == 200
        socket = Peer(local=True)
        assert (await server.ask("GET", "/api/v1/pods", socket))[0] == 200
        assert (await server.ask("GET", "/apis/apps/v1/nonsense"))[0] == 404
        assert (await server.ask("GET", "/nonsense"))[0] == 404
        assert (await server.ask("POST", "/version"))[0] == 405

    served(scenario)


def test_speaking_for_somebody_else() -> None:
    async def scenario(server: Served) -> None:
        status, found = await server.ask("GET", "/api/v1/pods", impersonate_user="bob")
        assert (status, "bob" in found["message"]) == (403, True)
        who = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
        headers = {"impersonate_user": "bob", "impersonate_group": "a, b", "impersonate_extra-k%2fx": "v"}
        status, found = await server.ask("POST", path, ADMIN, who, **headers)
        assert status == 201
        info = found["status"]["userInfo"]
        assert info == {"username": "bob", "groups": ["a", "b", "system:authenticated"], "extra": {"k/x": ["v"]}}
        status, found = await server.ask("POST", path, ADMIN, who, impersonate_user="system:serviceaccount:a:b")
        assert "system:serviceaccounts:a" in found["status"]["userInfo"]["groups"]
        status, found = await server.ask("POST", path, JANE, who, impersonate_user="bob")
        assert status == 403
        assert 'cannot impersonate resource "users"' in found["message"]
        assert (await server.ask("POST", path, ADMIN, who, impersonate_group="a"))[0] == 400

    served(scenario)


def test_health_pages() -> None:
    async def scenario(server: Served) -> None:
        ok = await server.send("GET", "/readyz?verbose", NOBODY)
        names = ("ping", "log", "etcd", "informer-sync", "shutdown", "store", "poststarthook/rbac/bootstrap-roles")
        assert bytes(ok.body).decode() == "".join(f"[+]{name} ok\n" for name in names) + "readyz check passed\n"  # type: ignore[arg-type]
        for name in names:
            assert (await server.send("GET", f"/readyz/{name}")).body == b"ok"
        assert (await server.send("GET", "/readyz/none")).status == 404
        server.broken = "no room on the disk"
        bad = await server.send("GET", "/readyz", NOBODY)
        assert bad.status == 500
        assert b"[-]store failed: reason withheld\n" in bytes(bad.body)  # type: ignore[arg-type]
        assert bytes(bad.body).endswith(b"readyz check failed\n")  # type: ignore[arg-type]
        why = await server.send("GET", "/readyz/store")
        assert (why.status, why.body) == (500, b"internal server error: no room on the disk\n")
        assert (await server.send("GET", "/readyz/store", NOBODY)).status == 401
        without = await server.send("GET", "/readyz?verbose&exclude=store&exclude=nonsense")
        assert without.status == 200
        assert b"[+]store excluded: ok\nwarn" not in bytes(without.body)  # type: ignore[arg-type]
        assert b'cannot be excluded: no matches for "nonsense"' in bytes(without.body)  # type: ignore[arg-type]
        assert (await server.send("GET", "/livez")).status == 200
        roles = "/apis/rbac.authorization.k8s.io/v1/clusterroles"
        assert (await server.ask("DELETE", roles))[0] == 200
        assert (await server.send("GET", "/livez")).status == 200, "a restart would not help"
        slis = bytes((await server.send("GET", "/metrics/slis")).body).decode()  # type: ignore[arg-type]
        assert 'kubernetes_healthcheck{name="store",type="readyz"} 0.0' in slis
        assert 'kubernetes_healthchecks_total{name="ping",status="success",type="livez"} 2.0' in slis

    served(scenario)


def test_a_server_that_stops_is_not_ready_and_lives() -> None:
    async def scenario(server: Served) -> None:
        server.broken = ""
        server.api.draining = True
        assert (await server.send("GET", "/readyz/shutdown")).status == 500
        assert (await server.send("GET", "/readyz", NOBODY)).status == 500
        assert (await server.send("GET", "/livez", NOBODY)).status == 200
        assert (await server.ask("GET", "/api/v1/pods"))[0] == 200

    served(scenario)


def test_metrics_count_requests() -> None:
    async def scenario(server: Served) -> None:
        await server.ask("GET", "/api/v1/namespaces/default/pods", JANE)
        page = bytes((await server.send("GET", "/metrics")).body).decode()  # type: ignore[arg-type]
        refused = (
            'code="403",component="apiserver",dry_run="",group="",resource="pods",scope="namespace",subresource=""'
        )
        assert f'apiserver_request_total{{{refused},verb="LIST",version="v1"}} 1.0' in page
        assert 'apiserver_current_inflight_requests{request_kind="readOnly"} 1.0' in page
        for number in range(20):
            await server.ask("GET", f"/apis/x{number}/v1/things{number}", JANE)
        page = bytes((await server.send("GET", "/metrics")).body).decode()  # type: ignore[arg-type]
        assert "things" not in page
        modern = await server.send("GET", "/metrics", accept="application/openmetrics-text;version=1.0.0,*/*;q=0.1")
        assert bytes(modern.body).endswith(b"# EOF\n")  # type: ignore[arg-type]

    served(scenario)


def test_a_bug_is_a_500_and_counted() -> None:
    async def scenario(server: Served) -> None:
        async def broken(call: object) -> None:
            raise KeyError("bug")

        server.core.handle = broken  # type: ignore[method-assign,assignment]
        status, found = await server.ask("GET", "/api/v1/pods")
        assert (status, found["reason"]) == (500, "InternalError")
        assert "bug" not in found["message"]

    served(scenario)


def test_grants_are_checked_on_the_way() -> None:
    async def scenario(server: Served) -> None:
        group = "rbac.authorization.k8s.io"
        path = f"/apis/{group}/v1/namespaces/default/rolebindings"
        document = {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": {"name": "jane", "namespace": "default"},
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "admin"},
            "subjects": [{"apiGroup": group, "kind": "User", "name": "jane"}],
        }
        assert (await server.ask("POST", path, ADMIN, document))[0] == 201
        document["metadata"] = {"name": "mine"}
        assert (await server.ask("POST", path, JANE, document))[0] == 201
        document["roleRef"] = {"apiGroup": group, "kind": "ClusterRole", "name": "cluster-admin"}
        document["metadata"] = {"name": "more"}
        status, found = await server.ask("POST", path, JANE, document)
        assert (status, "attempting to grant RBAC permissions" in found["message"]) == (403, True)

    served(scenario)


def test_the_cluster_begins_with_its_own_objects_and_keeps_additions() -> None:
    place = Place("10.96.0.1", ("192.0.2.1",), 6443, "PEM")

    async def scenario(server: Served) -> None:
        for name in ("default", "kube-system", "kube-public", "kube-node-lease"):
            assert (await server.ask("GET", f"/api/v1/namespaces/{name}"))[0] == 200
        service = (await server.ask("GET", "/api/v1/namespaces/default/services/kubernetes"))[1]
        assert service["spec"]["clusterIP"] == "10.96.0.1"
        slices = (await server.ask("GET", "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"))[1]
        assert slices["items"][0]["endpoints"][0]["addresses"] == ["192.0.2.1"]
        revision = server.core.revision
        await bootstrap(server.client, place)
        assert server.core.revision == revision, "nothing changed, so nothing is written"
        path = "/apis/rbac.authorization.k8s.io/v1/clusterroles/system:basic-user"
        role = (await server.ask("GET", path))[1]
        mine = {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}
        role["rules"] = [mine, *role["rules"][1:]]
        assert (await server.ask("PUT", path, ADMIN, role))[0] == 200
        await bootstrap(server.client, Place("10.96.0.1", ("192.0.2.2",), 6443, "PEM"))
        rules = (await server.ask("GET", path))[1]["rules"]
        assert mine in rules
        assert any("selfsubjectaccessreviews" in rule["resources"] for rule in rules)
        slices = (await server.ask("GET", "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"))[1]
        assert slices["items"][0]["endpoints"][0]["addresses"] == ["192.0.2.2"]

    served(scenario, place)


def get(page: Discovery | OpenApi, path: str, **headers: str) -> Any:
    sent = {key.replace("_", "-"): value for key, value in headers.items()}
    response = page.answer(Request("GET", path.partition("?")[0], path, sent))
    assert isinstance(response.body, bytes)
    return response


def test_aggregated_discovery_is_that_of_kubernetes() -> None:
    theirs = {
        (group["metadata"].get("name", ""), version["version"], entry["resource"]): entry
        for group in reference("discovery-aggregated.json")["items"]
        for version in group["versions"]
        for entry in version["resources"]
    }
    response = get(Discovery(DEFAULT), "/apis", accept=AGGREGATED)
    assert dict(response.headers)["Content-Type"].endswith("as=APIGroupDiscoveryList")
    found = orjson.loads(response.body)
    for group in found["items"]:
        for version in group["versions"]:
            for entry in version["resources"]:
                key = (group["metadata"]["name"], version["version"], entry["resource"])
                wanted = theirs[key]
                for field in ("scope", "singularResource", "verbs", "shortNames", "categories"):
                    assert entry.get(field) == wanted.get(field), (key, field)
                inner = {one["subresource"]: one["verbs"] for one in entry.get("subresources", ())}
                assert inner == {one["subresource"]: one["verbs"] for one in wanted.get("subresources", ())}, key


def test_discovery_has_tags_and_a_plain_form() -> None:
    discovery = Discovery(DEFAULT)
    tag = dict(get(discovery, "/api", accept=AGGREGATED).headers)["ETag"]
    assert get(discovery, "/api", accept=AGGREGATED, if_none_match=tag).status == 304
    assert orjson.loads(get(discovery, "/api").body)["versions"] == ["v1"]
    names = [entry["name"] for entry in orjson.loads(get(discovery, "/api/v1").body)["resources"]]
    assert "pods" in names
    assert "pods/exec" in names
    assert orjson.loads(get(discovery, "/apis/apps").body)["preferredVersion"]["groupVersion"] == "apps/v1"
    plain = orjson.loads(get(discovery, "/apis/apps/v1").body)
    scale = next(entry for entry in plain["resources"] if entry["name"] == "deployments/scale")
    assert (scale["group"], scale["kind"]) == ("autoscaling", "Scale")


def _operations(item: dict[str, Any]) -> dict[str, Any]:
    return {
        method: (one["operationId"], one.get("x-kubernetes-action"), one.get("x-kubernetes-group-version-kind"))
        for method, one in item.items()
        if method != "parameters"
    }


def test_openapi_v2_is_that_of_kubernetes() -> None:
    theirs = reference("openapi-v2.json.gz")
    ours = orjson.loads(get(OpenApi(DEFAULT), "/openapi/v2").body)
    for name, definition in ours["definitions"].items():
        wanted = theirs["definitions"][name]
        assert {**definition, "description": 0} == {**wanted, "description": 0}, name
    for path, item in ours["paths"].items():
        assert _operations(item) == _operations(theirs["paths"][path]), path


def test_openapi_v3_is_complete_and_addressed_by_content() -> None:
    openapi = OpenApi(DEFAULT.with_kinds(*METERED))
    index = orjson.loads(get(openapi, "/openapi/v3").body)["paths"]
    assert {"api/v1", "apis/apps/v1", "apis/metrics.k8s.io/v1beta1"} <= index.keys()
    for entry in index.values():
        document = orjson.loads(get(openapi, entry["serverRelativeURL"].partition("?")[0]).body)
        known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}

        def references(value: Any) -> set[str]:
            if isinstance(value, dict):
                own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
                return own.union(*map(references, value.values())) if value else own
            return set().union(*map(references, value)) if isinstance(value, list) and value else set()

        assert references(document) <= known
    packed = get(openapi, index["apis/apps/v1"]["serverRelativeURL"], accept_encoding="gzip")
    assert gzip.decompress(packed.body).startswith(b'{"openapi":"3.0.0"')
    patch = orjson.loads(gzip.decompress(packed.body))["paths"][
        "/apis/apps/v1/namespaces/{namespace}/deployments/{name}"
    ]
    assert {"dryRun", "fieldValidation"} <= {entry["name"] for entry in patch["patch"]["parameters"]}
    assert get(openapi, "/openapi/v3/apis/apps/v1").headers != packed.headers


def test_too_many_at_once_are_told_to_come_again() -> None:
    async def scenario(server: Served) -> None:
        server.api.gate.settings = Seats(total=1, wait_s=0.1)
        gate = asyncio.Event()
        handle = server.core.handle

        async def slow(call: Any) -> Any:
            if call.verb == "create":
                await gate.wait()
            return await handle(call)

        server.core.handle = slow  # type: ignore[method-assign]
        async with asyncio.TaskGroup() as group:
            path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
            body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
            first = group.create_task(server.ask("POST", path, JANE, body))
            await asyncio.sleep(0)
            response = await server.send("POST", path, JANE, body)
            assert response.status == 429
            assert dict(response.headers)["Retry-After"] == "1"
            assert (await server.send("GET", "/api/v1/pods")).status == 200, "administrators are never in the queue"
            gate.set()
            assert (await first)[0] == 201

    served(scenario)


def test_what_one_may_do_is_remembered_until_the_rules_change() -> None:
    async def scenario(server: Served) -> None:
        jane, path = peer("jane", "devs"), "/api/v1/namespaces/default/configmaps/x"
        subject = {"kind": "User", "name": "jane", "apiGroup": "rbac.authorization.k8s.io"}
        binding: dict[str, Any] = {
            "metadata": {"name": "jane"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
            "subjects": [subject],
        }
        bindings = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
        for _ in range(2):
            for _ in range(2):
                assert (await server.ask("GET", path, jane))[0] == 403
            assert (await server.ask("POST", bindings, body=binding))[0] == 201
            for _ in range(2):
                assert (await server.ask("GET", path, jane))[0] == 404
                assert (await server.ask("DELETE", path, jane))[0] == 403
                assert (await server.ask("GET", path.replace("configmaps", "secrets"), jane))[0] == 403
            assert (await server.ask("DELETE", f"{bindings}/jane"))[0] == 200

    served(scenario)


def test_what_depends_on_a_name_is_not_remembered_for_others() -> None:
    async def scenario(server: Served) -> None:
        rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/default"
        rule = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"], "resourceNames": ["mine"]}
        assert (await server.ask("POST", f"{rbac}/roles", body={"metadata": {"name": "r"}, "rules": [rule]}))[0] == 201
        binding = {
            "metadata": {"name": "b"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"},
            "subjects": [{"kind": "Group", "name": "devs", "apiGroup": "rbac.authorization.k8s.io"}],
        }
        assert (await server.ask("POST", f"{rbac}/rolebindings", body=binding))[0] == 201
        jane, node = peer("jane", "devs"), peer("system:node:n1", "system:nodes")
        leases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
        for _ in range(2):
            assert (await server.ask("GET", "/api/v1/namespaces/default/configmaps/mine", jane))[0] == 404
            assert (await server.ask("GET", "/api/v1/namespaces/default/configmaps/other", jane))[0] == 403
            assert (await server.ask("GET", f"{leases}/n1", node))[0] == 404
            assert (await server.ask("GET", f"{leases}/n2", node))[0] == 403

    served(scenario)


def test_calls_are_judged_by_the_schemas_that_there_are_now() -> None:
    async def scenario(server: Served) -> None:
        path = "/api/v1/namespaces/default/configmaps"
        uid = "X-Kubernetes-PF-FlowSchema-UID"
        before = dict((await server.send("GET", path, JANE)).headers)[uid]
        spec = {
            "priorityLevelConfiguration": {"name": "exempt"},
            "matchingPrecedence": 2,
            "rules": [
                {
                    "subjects": [{"kind": "User", "user": {"name": "jane"}}],
                    "resourceRules": [
                        {"verbs": ["list"], "apiGroups": [""], "resources": ["configmaps"], "namespaces": ["default"]}
                    ],
                }
            ],
        }
        schemas = "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas"
        status, made = await server.ask("POST", schemas, body={"metadata": {"name": "a-first"}, "spec": spec})
        assert status == 201
        after = dict((await server.send("GET", path, JANE)).headers)[uid]
        assert (after, after != before) == (made["metadata"]["uid"], True)
        assert (await server.ask("DELETE", f"{schemas}/a-first"))[0] == 200
        assert dict((await server.send("GET", path, JANE)).headers)[uid] == before

    served(scenario)
