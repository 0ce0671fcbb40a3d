"""Service accounts, their tokens, and questions about who may do what."""

from __future__ import annotations

import base64
import json
from typing import Any

from conformance_api import STRATEGIC, Api, names
from conformance_objects import pod
from conformance_specs import spec

AUTHN = "/apis/authentication.k8s.io/v1"
AUTHZ = "/apis/authorization.k8s.io/v1"
MOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"


def accounts(ns: str) -> str:
    return f"/api/v1/namespaces/{ns}/serviceaccounts"


def claims(token: str) -> Any:
    part = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def token_for(api: Api, ns: str, name: str = "default", **more: Any) -> str:
    found: str = api.post(f"{accounts(ns)}/{name}/token", {"spec": more})["status"]["token"]
    return found


@spec("[sig-auth] ServiceAccounts should run through the lifecycle of a ServiceAccount")
@spec("[sig-auth] ServiceAccounts should update a ServiceAccount")
def test_life_of_an_account(api: Api, ns: str) -> None:
    labels = {"test-serviceaccount-static": "true"}
    with api.watch(f"{accounts(ns)}?watch=1&labelSelector=test-serviceaccount-static%3Dtrue") as events:
        made = api.post(accounts(ns), {"metadata": {"name": "testserviceaccount", "labels": labels}})
        assert events.next()[0] == "ADDED"
        assert "automountServiceAccountToken" not in made
        patched = api.patch(f"{accounts(ns)}/testserviceaccount", {"automountServiceAccountToken": False}, STRATEGIC)
        assert patched["automountServiceAccountToken"] is False
        assert events.next()[0] == "MODIFIED"
        patched["automountServiceAccountToken"] = True
        assert api.put(f"{accounts(ns)}/testserviceaccount", patched)["automountServiceAccountToken"] is True
        assert events.next()[0] == "MODIFIED"
        listed = api.get("/api/v1/serviceaccounts?labelSelector=test-serviceaccount-static%3Dtrue")
        assert names(listed) == ["testserviceaccount"]
        api.delete(f"{accounts(ns)}?labelSelector=test-serviceaccount-static%3Dtrue")
        assert events.next()[0] == "DELETED"


@spec("[sig-auth] ServiceAccounts should guarantee kube-root-ca.crt exist in any namespace")
def test_the_authority_is_published(api: Api, ns: str) -> None:
    path = f"/api/v1/namespaces/{ns}/configmaps/kube-root-ca.crt"
    found = api.when(path, lambda one: one["data"].get("ca.crt"))
    right = found["data"]["ca.crt"]
    api.delete(path)
    api.when(path, lambda one: one["data"]["ca.crt"] == right)
    api.patch(path, {"data": {"ca.crt": ""}})
    api.when(path, lambda one: one["data"]["ca.crt"] == right)


@spec("[sig-auth] ServiceAccounts should create a serviceAccountToken and ensure a successful TokenReview")
def test_tokens_and_their_review(api: Api, ns: str) -> None:
    made = api.post(accounts(ns), {"metadata": {"name": "e2e"}})
    request = api.post(f"{accounts(ns)}/e2e/token", {"spec": {"expirationSeconds": 1800}})
    assert request["kind"] == "TokenRequest"
    token = request["status"]["token"]
    review = api.post(f"{AUTHN}/tokenreviews", {"spec": {"token": token}})
    assert (review["kind"], review["apiVersion"]) == ("TokenReview", "authentication.k8s.io/v1")
    status = review["status"]
    assert status["authenticated"] is True
    assert "error" not in status
    user = status["user"]
    assert user["username"] == f"system:serviceaccount:{ns}:e2e"
    assert user["uid"] == made["metadata"]["uid"]
    assert set(user["groups"]) == {"system:serviceaccounts", f"system:serviceaccounts:{ns}", "system:authenticated"}
    found = claims(token)
    assert found["exp"] - found["iat"] == 1800
    assert found["kubernetes.io"]["serviceaccount"] == {"name": "e2e", "uid": made["metadata"]["uid"]}
    api.delete(f"{accounts(ns)}/e2e")
    review = api.post(f"{AUTHN}/tokenreviews", {"spec": {"token": token}})
    assert not review["status"].get("authenticated")
    assert api.with_token(token).send("GET", "/api").status == 401


@spec("[sig-auth] ServiceAccounts should mount an API token into pods")
@spec("[sig-auth] ServiceAccounts should allow opting out of API token automount")
def test_what_pods_are_given(api: Api, ns: str) -> None:
    mounting = {"mount": True, "nomount": False, "default": None}
    for name, wanted in mounting.items():
        if name == "default":
            continue
        api.post(accounts(ns), {"metadata": {"name": name}, "automountServiceAccountToken": wanted})
    for account, by_account in mounting.items():
        for number, by_pod in enumerate((None, True, False)):
            spec_ = {"serviceAccountName": account} | (
                {} if by_pod is None else {"automountServiceAccountToken": by_pod}
            )
            made = api.post(f"/api/v1/namespaces/{ns}/pods?dryRun=All", pod(f"pod-{account}-{number}", **spec_))
            mounts = [one["mountPath"] for one in made["spec"]["containers"][0].get("volumeMounts", [])]
            expected = by_pod if by_pod is not None else by_account is not False
            assert (MOUNT in mounts) == expected, (account, by_pod)
            if expected:
                (volume,) = [one for one in made["spec"]["volumes"] if one["name"].startswith("kube-api-access-")]
                sources = volume["projected"]["sources"]
                assert [next(iter(source)) for source in sources] == ["serviceAccountToken", "configMap", "downwardAPI"]
                assert sources[0]["serviceAccountToken"]["expirationSeconds"] == 3607
                assert volume["projected"]["defaultMode"] == 420


@spec("[sig-auth] SubjectReview should support SubjectReview API operations")
def test_reviews_of_access(api: Api, ns: str) -> None:
    user = f"system:serviceaccount:{ns}:e2e"
    made = api.post(accounts(ns), {"metadata": {"name": "e2e"}})
    attributes = {"verb": "list", "resource": "configmaps", "version": "v1", "namespace": ns}
    whole = {
        "spec": {
            "resourceAttributes": {**attributes, "verb": "get"},
            "user": user,
            "groups": ["system:authenticated"],
            "uid": made["metadata"]["uid"],
        }
    }
    review = api.post(f"{AUTHZ}/subjectaccessreviews", whole)
    assert (review["kind"], review["status"]["allowed"]) == ("SubjectAccessReview", False)
    local = {"metadata": {"namespace": ns}, "spec": {"resourceAttributes": attributes, "user": user}}
    path = f"{AUTHZ}/namespaces/{ns}/localsubjectaccessreviews"
    review = api.post(path, local)
    assert (review["kind"], review["status"]["allowed"]) == ("LocalSubjectAccessReview", False)
    binding = {
        "metadata": {"name": "view"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [{"kind": "ServiceAccount", "name": "e2e", "namespace": ns}],
    }
    api.post(f"/apis/rbac.authorization.k8s.io/v1/namespaces/{ns}/rolebindings", binding)
    for target, body in ((f"{AUTHZ}/subjectaccessreviews", whole), (path, local)):
        status = api.post(target, body)["status"]
        assert status["allowed"] is True
        assert "view" in status["reason"]


def test_tokens_die_with_their_pod(api: Api, ns: str) -> None:
    pods = f"/api/v1/namespaces/{ns}/pods"
    made = api.post(pods, pod("bound"))
    bound = {"apiVersion": "v1", "kind": "Pod", "name": "bound", "uid": made["metadata"]["uid"]}
    api.when(f"{pods}/bound", lambda one: one["status"].get("phase") == "Running")
    token = token_for(api, ns, boundObjectRef=bound)
    holder = api.with_token(token)
    whoami = holder.post(f"{AUTHN}/selfsubjectreviews", {})["status"]["userInfo"]
    assert whoami["extra"]["authentication.kubernetes.io/pod-name"] == ["bound"]
    assert whoami["extra"]["authentication.kubernetes.io/node-name"]
    api.delete(f"{pods}/bound", {"gracePeriodSeconds": 0})
    api.gone(f"{pods}/bound")
    assert holder.send("POST", f"{AUTHN}/selfsubjectreviews", {}).status == 401
    api.post(pods, pod("bound"))
    assert holder.send("POST", f"{AUTHN}/selfsubjectreviews", {}).status == 401, "another pod of that name"
    stale = api.send("POST", f"{accounts(ns)}/default/token", {"spec": {"boundObjectRef": bound}})
    assert (stale.status, stale.reason) == (409, "Conflict")
    missing = {"apiVersion": "v1", "kind": "Pod", "name": "none"}
    assert api.send("POST", f"{accounts(ns)}/default/token", {"spec": {"boundObjectRef": missing}}).status == 404
    other = api.send(
        "POST", f"{accounts(ns)}/default/token", {"spec": {"boundObjectRef": {**missing, "kind": "Lease"}}}
    )
    assert other.status in (400, 422)


def test_tokens_for_others_are_not_ours(api: Api, ns: str) -> None:
    token = token_for(api, ns, audiences=["vault"])
    assert claims(token)["aud"] == ["vault"]
    assert api.with_token(token).send("GET", "/api").status == 401
    review = api.post(f"{AUTHN}/tokenreviews", {"spec": {"token": token, "audiences": ["vault", "other"]}})
    assert review["status"]["audiences"] == ["vault"]
    assert not api.post(f"{AUTHN}/tokenreviews", {"spec": {"token": token}})["status"].get("authenticated")
    for wrong in ("", "x", "a.b.c", token[:-4] + "AAAA", token + "x"):
        assert api.with_token(wrong or " ").send("GET", "/api").status == 401
    unsigned = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode() + "." + token.split(".")[1] + "."
    assert api.with_token(unsigned).send("GET", "/api").status == 401
    for seconds in (0, 599, 1 << 33):
        refused = api.send("POST", f"{accounts(ns)}/default/token", {"spec": {"expirationSeconds": seconds}})
        assert refused.status == 422, seconds


def test_nobody_is_told_nothing(api: Api) -> None:
    nobody = Api(api.kubeconfig, anonymous=True)
    for path in ("/api", "/apis", "/api/v1/pods", "/nonsense", "/openapi/v2", "/metrics", "/"):
        answer = nobody.send("GET", path)
        assert (answer.status, answer.reason) == (401, "Unauthorized"), path
    assert nobody.send("GET", "/healthz").status == 200
    assert nobody.send("GET", "/version").status == 200
    assert nobody.send("POST", "/api/v1/namespaces", {"metadata": {"name": "x"}}).status == 401


def test_a_new_account_may_do_nothing(api: Api, ns: str) -> None:
    account = api.with_token(token_for(api, ns))
    for method, path in (
        ("GET", "/api/v1/pods"),
        ("GET", f"/api/v1/namespaces/{ns}/secrets"),
        ("GET", "/api/v1/nodes"),
        ("DELETE", f"/api/v1/namespaces/{ns}/configmaps"),
        ("GET", "/metrics"),
        ("GET", "/apis/nonsense/v1/things"),
        ("GET", f"/api/v1/namespaces/{ns}/pods/none/log"),
        ("GET", "//api/v1/pods"),
    ):
        answer = account.send(method, path)
        assert (answer.status, answer.reason) == (403, "Forbidden"), path
    refused = account.send("GET", f"/api/v1/namespaces/{ns}/pods")
    assert refused.message == (
        f'pods is forbidden: User "system:serviceaccount:{ns}:default" cannot list resource "pods" in API group "" '
        f'in the namespace "{ns}"'
    )
    assert account.send("GET", "/api").status == 200, "discovery is for everybody"


def role(name: str, *rules: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"name": name}, "rules": list(rules)}


def rule(verbs: list[str], resources: list[str], group: str = "", **more: Any) -> dict[str, Any]:
    return {"apiGroups": [group], "resources": resources, "verbs": verbs, **more}


def bind(api: Api, ns: str, kind: str, name: str, user: str) -> dict[str, Any]:
    binding = {
        "metadata": {"name": f"{name}-{user}"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
    }
    found: dict[str, Any] = api.post(f"/apis/rbac.authorization.k8s.io/v1/namespaces/{ns}/rolebindings", binding)
    return found


def test_nobody_gives_what_they_do_not_hold(api: Api, ns: str) -> None:
    roles = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{ns}/roles"
    bindings = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{ns}/rolebindings"
    api.post(
        roles, role("own", rule(["get"], ["pods"]), rule(["*"], ["roles", "rolebindings"], "rbac.authorization.k8s.io"))
    )
    own = api.get(f"{roles}/own")
    own["rules"][1]["verbs"] = ["create", "get", "update", "patch"]
    api.put(f"{roles}/own", own)
    bind(api, ns, "Role", "own", "ann")
    ann = {"impersonate_user": "ann"}
    assert api.send("POST", roles, role("same", rule(["get"], ["pods"])), **ann).status == 201
    for more in (
        rule(["list"], ["pods"]),
        rule(["get"], ["secrets"]),
        rule(["*"], ["*"], "*"),
        rule(["get"], ["pods/log"]),
    ):
        refused = api.send("POST", roles, role("more", more), **ann)
        assert (refused.status, refused.reason) == (403, "Forbidden")
        assert "attempting to grant RBAC permissions not currently held" in refused.message
    patched = api.send("PATCH", f"{roles}/same", {"rules": [rule(["delete"], ["pods"])]}, content_type=STRATEGIC, **ann)
    assert patched.status == 403
    applied = api.send(
        "PATCH",
        f"{roles}/same?fieldManager=x&force=true",
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", **role("same", rule(["delete"], ["pods"]))},
        content_type="application/apply-patch+yaml",
        **ann,
    )
    assert applied.status == 403
    wanted = {
        "metadata": {"name": "grab"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "ann"}],
    }
    assert api.send("POST", bindings, wanted, **ann).status == 403
    api.post(
        roles, role("binder", rule(["bind"], ["clusterroles"], "rbac.authorization.k8s.io", resourceNames=["view"]))
    )
    bind(api, ns, "Role", "binder", "ann")
    assert api.send("POST", bindings, wanted, **ann).status == 403
    wanted["roleRef"]["name"] = "view"
    assert api.send("POST", bindings, wanted, **ann).status == 201
    api.post(roles, role("riser", rule(["escalate"], ["roles"], "rbac.authorization.k8s.io")))
    bind(api, ns, "Role", "riser", "ann")
    assert api.send("POST", roles, role("more", rule(["*"], ["*"], "*")), **ann).status == 201
    changed = api.get(f"{bindings}/grab")
    changed["roleRef"]["name"] = "edit"
    immutable = api.send("PUT", f"{bindings}/grab", changed)
    assert (immutable.status, immutable.causes) == (422, [("roleRef", "FieldValueInvalid")])


def test_speaking_for_others(api: Api, ns: str) -> None:
    who = api.send(
        "POST",
        f"{AUTHN}/selfsubjectreviews",
        {},
        impersonate_user="jane",
        impersonate_group="devs",
        impersonate_uid="42",
        impersonate_extra_scopes="view",
    )
    assert who.json["status"]["userInfo"] == {
        "username": "jane",
        "uid": "42",
        "groups": ["devs", "system:authenticated"],
        "extra": {"scopes": ["view"]},
    }
    token = token_for(api, ns)
    account = api.with_token(token)
    for headers in (
        {"impersonate_user": "kubernetes-admin"},
        {"impersonate_user": "x", "impersonate_group": "system:masters"},
        {"impersonate_user": f"system:serviceaccount:{ns}:default"},
    ):
        assert account.send("GET", "/api", **headers).status == 403, headers
    assert account.send("GET", "/api", impersonate_group="system:masters").status in (400, 403, 500)
    api.post(
        "/apis/rbac.authorization.k8s.io/v1/clusterroles",
        role(f"speaker-{ns}", rule(["impersonate"], ["users"], resourceNames=["jane"])),
    )
    api.post(
        "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
        {
            "metadata": {"name": f"speaker-{ns}"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": f"speaker-{ns}"},
            "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": ns}],
        },
    )
    assert account.send("GET", "/api", impersonate_user="jane").status == 200
    assert account.send("GET", "/api", impersonate_user="joe").status == 403
    assert account.send("GET", "/api", impersonate_user="jane", impersonate_group="devs").status == 403
    assert account.send("GET", "/api", impersonate_user="jane", impersonate_uid="1").status == 403


def test_nodes_see_what_their_pods_use(api: Api, ns: str) -> None:
    core = f"/api/v1/namespaces/{ns}"
    for name in ("used", "other"):
        api.post(f"{core}/secrets", {"metadata": {"name": name}, "stringData": {"k": "v"}})
        api.post(f"{core}/configmaps", {"metadata": {"name": name}, "data": {"k": "v"}})
    volumes = [{"name": "s", "secret": {"secretName": "used"}}, {"name": "c", "configMap": {"name": "used"}}]
    api.post(f"{core}/pods", pod("here", nodeName="node-0", volumes=volumes))
    api.post(f"{core}/pods", pod("there", nodeName="node-1"))
    node = {"impersonate_user": "system:node:node-0", "impersonate_group": "system:nodes"}

    def asked(method: str, path: str, body: Any = None, **headers: str) -> int:
        return api.send(method, path, body, **node, **headers).status

    assert asked("GET", f"{core}/secrets/used") == 200
    assert asked("GET", f"{core}/secrets/other") == 403
    assert asked("GET", f"{core}/secrets") == 403
    assert asked("GET", f"{core}/configmaps/used") == 200
    assert asked("GET", f"{core}/configmaps/other") == 403
    assert asked("GET", f"{core}/secrets?fieldSelector=metadata.name%3Dused") == 200
    assert asked("GET", "/api/v1/pods?fieldSelector=spec.nodeName%3Dnode-0") == 200
    assert asked("GET", "/api/v1/nodes/node-0") == 200
    merge = {"content_type": "application/merge-patch+json"}
    assert asked("PATCH", "/api/v1/nodes/node-0/status", {"status": {"phase": "Running"}}, **merge) == 200
    assert asked("PATCH", "/api/v1/nodes/node-1/status", {"status": {"phase": "Running"}}, **merge) == 403
    assert (
        asked("PATCH", "/api/v1/nodes/node-0", {"spec": {"taints": [{"key": "x", "effect": "NoSchedule"}]}}, **merge)
        == 403
    )
    assert asked("PATCH", f"{core}/pods/there/status", {"status": {"message": "x"}}, **merge) == 403
    assert asked("PATCH", f"{core}/pods/here", {"metadata": {"labels": {"x": "y"}}}, **merge) == 403
    assert asked("DELETE", f"{core}/pods/there") == 403
    token = {"spec": {"boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": "here"}}}
    assert asked("POST", f"{accounts(ns)}/default/token", {"spec": {}}) == 403
    assert asked("POST", f"{accounts(ns)}/default/token", token) in (201, 403)
    token["spec"]["boundObjectRef"]["name"] = "there"
    assert asked("POST", f"{accounts(ns)}/default/token", token) == 403
    leases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
    assert asked("PUT", f"{leases}/node-1", {"metadata": {"name": "node-1"}}) == 403
    mirrored = pod("forged", nodeName="node-0")
    assert asked("POST", f"{core}/pods", mirrored) == 403, "a node makes mirror pods only"
    api.delete(f"{core}/pods/here", {"gracePeriodSeconds": 0})
    api.gone(f"{core}/pods/here")
    assert asked("GET", f"{core}/secrets/used") == 403


def test_secrets_that_hold_a_token(api: Api, ns: str) -> None:
    body = {
        "metadata": {"name": "legacy", "annotations": {"kubernetes.io/service-account.name": "default"}},
        "type": "kubernetes.io/service-account-token",
    }
    path = f"/api/v1/namespaces/{ns}/secrets"
    api.post(path, body)
    found = api.when(f"{path}/legacy", lambda one: one.get("data", {}).get("token"))
    holder = api.with_token(base64.b64decode(found["data"]["token"]).decode())
    assert holder.send("GET", "/api").status == 200
    assert set(found["data"]) == {"token", "namespace", "ca.crt"}
    assert api.post(f"{AUTHN}/tokenreviews", {"spec": {"token": "x"}})["status"].get("authenticated") is None
    api.delete(f"{path}/legacy")
    assert holder.send("GET", "/api").status == 401
