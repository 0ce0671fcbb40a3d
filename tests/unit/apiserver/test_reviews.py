from __future__ import annotations

import base64
from typing import Any

import pytest
from server_driver import ADMIN, Served, peer, served

from navarch.base.errors import Unauthorized
from navarch.kinds import NODE, POD, SECRET, SERVICEACCOUNT, bootstraptoken
from navarch.wire.message import Peer

AUTHZ = "/apis/authorization.k8s.io/v1"
AUTHN = "/apis/authentication.k8s.io/v1"
JANE = peer("jane", "devs")
NODE_1 = peer("system:node:n1", "system:nodes")


def review(kind: str, group: str = "authorization.k8s.io", **spec: Any) -> dict[str, Any]:
    return {"apiVersion": f"{group}/v1", "kind": kind, "spec": spec}


def test_access_reviews() -> None:
    async def scenario(server: Served) -> None:
        attributes = {"verb": "list", "resource": "pods", "namespace": "default"}
        own = review("SelfSubjectAccessReview", resourceAttributes=attributes)
        status, found = await server.ask("POST", f"{AUTHZ}/selfsubjectaccessreviews", JANE, own)
        assert (status, found["status"]) == (201, {"allowed": False})
        assert found["spec"] == own["spec"]
        assert (await server.ask("POST", f"{AUTHZ}/selfsubjectaccessreviews", ADMIN, own))[1]["status"]["allowed"]
        other = review("SubjectAccessReview", user="jane", nonResourceAttributes={"verb": "get", "path": "/api"})
        assert (await server.ask("POST", f"{AUTHZ}/subjectaccessreviews", JANE, other))[0] == 403
        found = (await server.ask("POST", f"{AUTHZ}/subjectaccessreviews", ADMIN, other))[1]
        assert not found["status"]["allowed"], "jane's groups were not named"
        other["spec"]["groups"] = ["system:authenticated"]
        found = (await server.ask("POST", f"{AUTHZ}/subjectaccessreviews", ADMIN, other))[1]
        assert found["status"]["allowed"]
        local = review("LocalSubjectAccessReview", user="jane", resourceAttributes=attributes)
        path = f"{AUTHZ}/namespaces/default/localsubjectaccessreviews"
        assert (await server.ask("POST", path, ADMIN, local))[0] == 201
        path = f"{AUTHZ}/namespaces/kube-system/localsubjectaccessreviews"
        assert (await server.ask("POST", path, ADMIN, local))[0] == 400

    served(scenario)


def test_access_reviews_must_be_whole() -> None:
    async def scenario(server: Served) -> None:
        for spec, code in (
            ({"user": "x"}, 422),
            ({"user": "x", "resourceAttributes": {}, "nonResourceAttributes": {}}, 422),
            ({"resourceAttributes": {}}, 422),
            ({"user": 5, "resourceAttributes": {}}, 400),
        ):
            document = review("SubjectAccessReview", **spec)
            status, found = await server.ask("POST", f"{AUTHZ}/subjectaccessreviews", ADMIN, document)
            assert status == code, spec
            assert found["kind"] == "Status"
        assert (await server.ask("GET", f"{AUTHZ}/subjectaccessreviews"))[0] == 405

    served(scenario)


def test_rules_review() -> None:
    async def scenario(server: Served) -> None:
        path = f"{AUTHZ}/selfsubjectrulesreviews"
        found = (await server.ask("POST", path, JANE, review("SelfSubjectRulesReview", namespace="default")))[1]
        assert any("selfsubjectreviews" in rule["resources"] for rule in found["status"]["resourceRules"])
        assert any("/api" in rule["nonResourceURLs"] for rule in found["status"]["nonResourceRules"])
        found = (await server.ask("POST", path, ADMIN, review("SelfSubjectRulesReview", namespace="default")))[1]
        assert {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]} in found["status"]["resourceRules"]
        assert (await server.ask("POST", path, JANE, review("SelfSubjectRulesReview")))[0] == 400

    served(scenario)


async def account(server: Served) -> None:
    document = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot", "namespace": "default"}}
    await server.client.create(SERVICEACCOUNT, document)


def request(**spec: Any) -> dict[str, Any]:
    return review("TokenRequest", "authentication.k8s.io", **spec)


TOKEN = "/api/v1/namespaces/default/serviceaccounts/robot/token"


def test_tokens_are_requested_and_reviewed() -> None:
    async def scenario(server: Served) -> None:
        await account(server)
        status, found = await server.ask("POST", TOKEN, ADMIN, request(audiences=[], expirationSeconds=900))
        assert status == 201
        token = found["status"]["token"]
        assert found["status"]["expirationTimestamp"] == "2026-01-02T03:19:05Z"
        bearer = f"Bearer {token}"
        status, refused = await server.ask("GET", "/api/v1/pods", Peer(), authorization=bearer)
        assert (status, "system:serviceaccount:default:robot" in refused["message"]) == (403, True)
        asked = review("TokenReview", "authentication.k8s.io", token=token)
        said = (await server.ask("POST", f"{AUTHN}/tokenreviews", ADMIN, asked))[1]["status"]
        assert said["authenticated"]
        assert said["user"]["username"] == "system:serviceaccount:default:robot"
        asked["spec"]["token"] = "nonsense"
        said = (await server.ask("POST", f"{AUTHN}/tokenreviews", ADMIN, asked))[1]["status"]
        assert "authenticated" not in said
        assert said["error"]

    served(scenario)


def test_bootstrap_tokens_are_reviewed_too() -> None:
    async def scenario(server: Served) -> None:
        made = bootstraptoken.Token("abcdef", "0123456789abcdef", None, ("authentication",))
        await server.client.create(SECRET, bootstraptoken.secret_of(made))

        async def said(**spec: Any) -> dict[str, Any]:
            asked = review("TokenReview", "authentication.k8s.io", **spec)
            found: dict[str, Any] = (await server.ask("POST", f"{AUTHN}/tokenreviews", ADMIN, asked))[1]["status"]
            return found

        found = await said(token=made.text)
        assert found["authenticated"]
        assert found["user"]["username"] == "system:bootstrap:abcdef"
        assert "system:bootstrappers" in found["user"]["groups"]
        assert "authenticated" not in await said(token=made.text, audiences=["elsewhere"])
        assert "authenticated" not in await said(token="abcdef.0123456789abcdeg")

    served(scenario)


def test_token_requests_are_checked() -> None:
    async def scenario(server: Served) -> None:
        await account(server)
        for document, code in (
            (request(expirationSeconds=5), 422),
            (request(expirationSeconds=1 << 33), 422),
            (request(boundObjectRef={"kind": "Pod", "apiVersion": "v1", "name": "none"}), 404),
            (request(boundObjectRef={"kind": "Deployment", "apiVersion": "apps/v1", "name": "x"}), 400),
            (request(boundObjectRef={"kind": "Secret", "apiVersion": "v1", "name": "none"}), 404),
        ):
            assert (await server.ask("POST", TOKEN, ADMIN, document))[0] == code, document
        assert (await server.ask("POST", TOKEN.replace("robot", "none"), ADMIN, request()))[0] == 404
        assert (await server.ask("POST", TOKEN, JANE, request()))[0] == 403

    served(scenario)


def test_nodes_get_tokens_for_their_pods_alone() -> None:
    async def scenario(server: Served) -> None:
        await account(server)
        await server.client.create(NODE, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}})
        for name, node in (("mine", "n1"), ("theirs", "n2")):
            containers = [{"name": "c", "image": "i"}]
            spec = {"nodeName": node, "serviceAccountName": "robot", "containers": containers}
            metadata = {"name": name, "namespace": "default"}
            document = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
            await server.client.create(POD, document)

        def bound(name: str) -> dict[str, Any]:
            return request(boundObjectRef={"kind": "Pod", "apiVersion": "v1", "name": name})

        status, found = await server.ask("POST", TOKEN, NODE_1, bound("mine"))
        assert status == 201, found
        extra = server.tokens.check(found["status"]["token"])[0].extra
        assert extra["authentication.kubernetes.io/pod-name"] == ("mine",)
        assert extra["authentication.kubernetes.io/node-name"] == ("n1",)
        assert (await server.ask("POST", TOKEN, NODE_1, bound("theirs")))[0] == 403
        assert (await server.ask("POST", TOKEN, NODE_1, request()))[0] == 403
        wrong = bound("mine")
        wrong["spec"]["boundObjectRef"]["uid"] = "other"
        assert (await server.ask("POST", TOKEN, ADMIN, wrong))[0] == 409

    served(scenario)


def test_secrets_are_filled_with_a_token_of_the_account_that_they_name() -> None:
    async def scenario(server: Served) -> None:
        path = "/api/v1/namespaces/default/secrets"
        note = "kubernetes.io/service-account.name"
        body = {
            "metadata": {"name": "t", "annotations": {note: "default"}},
            "type": "kubernetes.io/service-account-token",
        }
        status, made = await server.ask("POST", path, ADMIN, body)
        assert status == 201
        token = base64.b64decode(made["data"]["token"]).decode()
        assert server.tokens.check(token)[0].name == "system:serviceaccount:default:default"
        assert made["metadata"]["annotations"]["kubernetes.io/service-account.uid"]
        status, kept = await server.ask("PUT", f"{path}/t", ADMIN, made)
        assert kept["data"] == made["data"], "what is there stays"
        status, other = await server.ask(
            "POST", path, ADMIN, {**body, "metadata": {"name": "u", "annotations": {note: "nobody"}}}
        )
        assert (status, other.get("data")) == (201, None)
        status, tried = await server.ask(
            "POST", f"{path}?dryRun=All", ADMIN, {**body, "metadata": {**body["metadata"], "name": "v"}}
        )
        with pytest.raises(Unauthorized):
            server.tokens.check(base64.b64decode(tried["data"]["token"]).decode())
        await server.ask("DELETE", f"{path}/t", ADMIN)
        with pytest.raises(Unauthorized):
            server.tokens.check(token)

    served(scenario)
