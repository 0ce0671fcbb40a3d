"""What the server says about itself: version, groups, resources, and the forms of asking for them."""

from __future__ import annotations

import pytest
from conformance_api import Api
from conformance_specs import spec

V2 = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
V2BETA1 = "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList"
SERVED = {
    "": {"pods", "services", "configmaps", "namespaces", "nodes", "secrets", "serviceaccounts", "events", "endpoints"},
    "apps": {"deployments", "replicasets", "controllerrevisions"},
    "authentication.k8s.io": {"tokenreviews", "selfsubjectreviews"},
    "authorization.k8s.io": {"subjectaccessreviews", "selfsubjectaccessreviews"},
    "coordination.k8s.io": {"leases"},
    "discovery.k8s.io": {"endpointslices"},
    "events.k8s.io": {"events"},
    "policy": {"poddisruptionbudgets"},
    "rbac.authorization.k8s.io": {"roles", "clusterroles", "rolebindings", "clusterrolebindings"},
    "scheduling.k8s.io": {"priorityclasses"},
    "storage.k8s.io": {"storageclasses"},
}


@spec("[sig-api-machinery] server version should find the server version")
def test_version(api: Api) -> None:
    found = api.get("/version")
    assert (found["major"], found["minor"]) == ("1", "36")
    assert found["gitVersion"].startswith("v1.36.")
    assert {"gitCommit", "gitTreeState", "buildDate", "goVersion", "compiler", "platform"} <= set(found)


@spec("[sig-api-machinery] Discovery should validate PreferredVersion for each APIGroup")
def test_preferred_versions(api: Api) -> None:
    groups = api.get("/apis")
    assert groups["kind"] == "APIGroupList"
    assert {group["name"] for group in groups["groups"]} >= set(SERVED) - {""}
    for group in groups["groups"]:
        alone = api.get(f"/apis/{group['name']}")
        assert alone["kind"] == "APIGroup"
        assert alone["preferredVersion"] == group["preferredVersion"]
        assert group["preferredVersion"] in group["versions"]
        assert alone["preferredVersion"]["groupVersion"].startswith(f"{group['name']}/")


@spec("[sig-api-machinery] Discovery should locate the groupVersion and a resource within each APIGroup")
def test_resources_of_each_group(api: Api) -> None:
    for group, wanted in SERVED.items():
        path = f"/apis/{group}/v1" if group else "/api/v1"
        listed = api.get(path)
        assert (listed["kind"], listed["groupVersion"]) == ("APIResourceList", f"{group}/v1".lstrip("/"))
        found = {resource["name"]: resource for resource in listed["resources"]}
        assert wanted <= set(found)
        for name, resource in found.items():
            assert resource["kind"]
            assert resource["verbs"]
            assert ("/" in name) or resource["singularName"], name


@spec("[sig-api-machinery] AggregatedDiscovery should support aggregated discovery interface")
@spec("[sig-api-machinery] AggregatedDiscovery should support raw aggregated discovery endpoint Accept headers")
def test_aggregated(api: Api) -> None:
    for path in ("/api", "/apis"):
        answer = api.send("GET", path, accept=V2)
        assert answer.headers["content-type"].replace(" ", "") == V2
        assert (answer.json["kind"], answer.json["apiVersion"]) == ("APIGroupDiscoveryList", "apidiscovery.k8s.io/v2")
        etag = answer.headers["etag"]
        assert api.send("GET", path, accept=V2, if_none_match=etag).status == 304
        both = api.send("GET", path, accept=f"{V2BETA1},{V2},application/json")
        assert both.json["kind"] == "APIGroupDiscoveryList"
        plain = api.send("GET", path, accept="application/json").json["kind"]
        assert plain == ("APIVersions" if path == "/api" else "APIGroupList")
    groups = {group["metadata"].get("name", ""): group for group in api.get("/apis", accept=V2)["items"]}
    assert set(groups) >= set(SERVED) - {""}
    resources = {resource["resource"]: resource for resource in groups["apps"]["versions"][0]["resources"]}
    deployments = resources["deployments"]
    assert deployments["scope"] == "Namespaced"
    assert deployments["responseKind"] == {"group": "", "version": "", "kind": "Deployment"}
    assert {"scale", "status"} == {one["subresource"] for one in deployments["subresources"]}
    core = api.get("/api", accept=V2)["items"][0]["versions"][0]["resources"]
    assert {one["resource"] for one in core} >= SERVED[""]


@spec(
    "[sig-auth] ServiceAccounts ServiceAccountIssuerDiscovery should support OIDC discovery of service account issuer"
)
def test_issuer(api: Api) -> None:
    provider = api.get("/.well-known/openid-configuration")
    assert provider["issuer"].startswith("https://")
    assert provider["jwks_uri"].endswith("/openid/v1/jwks")
    assert {"issuer", "jwks_uri", "response_types_supported", "subject_types_supported"} <= set(provider)
    keys = api.get("/openid/v1/jwks")["keys"]
    assert all({"kty", "use", "kid", "alg"} <= set(key) for key in keys)
    assert keys[0]["alg"] in provider["id_token_signing_alg_values_supported"]
    token = api.post("/api/v1/namespaces/default/serviceaccounts/default/token", {"spec": {}})["status"]["token"]
    anybody = api.with_token(token)
    assert anybody.get("/.well-known/openid-configuration") == provider, "every service account may read it"
    claims = _claims(token)
    assert claims["iss"] == provider["issuer"]


def _claims(token: str) -> dict[str, str]:
    import base64
    import json

    part = token.split(".")[1]
    found: dict[str, str] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return found


@pytest.mark.parametrize("path", ["/openapi/v2", "/openapi/v3", "/openapi/v3/api/v1", "/openapi/v3/apis/apps/v1"])
def test_openapi(api: Api, path: str) -> None:
    found = api.get(path, accept="application/json")
    assert found["paths"]
    answer = api.send("GET", path)
    etag = answer.headers.get("etag")
    if etag:
        assert api.send("GET", path, if_none_match=etag).status == 304


def test_every_listed_resource_answers(api: Api) -> None:
    """What discovery says can be listed can be; what it says can be done to a collection is."""
    for group, versions in [("", ["v1"])] + [
        (group["name"], [one["version"] for one in group["versions"]]) for group in api.get("/apis")["groups"]
    ]:
        for version in versions:
            root = f"/apis/{group}/{version}" if group else f"/api/{version}"
            for resource in api.get(root)["resources"]:
                if "/" in resource["name"] or "list" not in resource["verbs"]:
                    continue
                listed = api.get(f"{root}/{resource['name']}?limit=1")
                assert listed["kind"] == f"{resource['kind']}List"
                assert listed["apiVersion"] == f"{group}/{version}".lstrip("/")
                if resource["namespaced"]:
                    assert api.get(f"{root}/namespaces/none/{resource['name']}")["items"] == []
