"""What is particular about kinds on their way through the server: versions, subresources, what it fills in itself."""

from __future__ import annotations

import base64

import pytest
from api_driver import START, Api, Refused, run
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from server_driver import Served, peer, served

from navarch.apiserver.call import User
from navarch.base.clock import rfc3339

V1 = "/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers"
V2 = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers"
JOBS = "/apis/batch/v1/namespaces/default/jobs"
SETS = "/apis/apps/v1/namespaces/default/statefulsets"
DAEMONS = "/apis/apps/v1/namespaces/default/daemonsets"
REQUESTS = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
SLICES = "/apis/resource.k8s.io/v1/resourceslices"
TARGET = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
POD = {"containers": [{"name": "a", "image": "a:1"}]}
TEMPLATE = {"metadata": {"labels": {"a": "b"}}, "spec": POD}
SELECTED = {"selector": {"matchLabels": {"a": "b"}}, "template": TEMPLATE}


def pem_request() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "sample")])
    made = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return base64.b64encode(made.public_bytes(serialization.Encoding.PEM)).decode()


def wanted(**spec: object) -> dict[str, object]:
    whole = {"request": pem_request(), "signerName": "example.com/one", "usages": ["client auth"], **spec}
    return {"metadata": {"name": "mine"}, "spec": whole}


def test_an_autoscaler_is_one_object_in_two_versions() -> None:
    async def test(api: Api) -> None:
        watching = await api.watch(f"{V2}?watch=true")
        spec = {"scaleTargetRef": TARGET, "maxReplicas": 5, "targetCPUUtilizationPercentage": 70}
        made = await api.post(V1, {"metadata": {"name": "web"}, "spec": spec})
        assert made["apiVersion"] == "autoscaling/v1"
        newer = await api.get(f"{V2}/web")
        assert newer["metadata"]["uid"] == made["metadata"]["uid"]
        assert newer["spec"]["metrics"][0]["resource"]["target"] == {"type": "Utilization", "averageUtilization": 70}
        metric = {
            "type": "Pods",
            "pods": {"metric": {"name": "q"}, "target": {"type": "AverageValue", "averageValue": 1}},
        }
        await api.json_patch(f"{V2}/web", [{"op": "add", "path": "/spec/metrics/-", "value": metric}])
        await api.merge(f"{V1}/web", {"spec": {"targetCPUUtilizationPercentage": 50}})
        newer = await api.get(f"{V2}/web")
        assert [one["type"] for one in newer["spec"]["metrics"]] == ["Resource", "Pods"]
        assert newer["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"] == 50
        assert "annotations" not in newer["metadata"]
        applied = await api.apply(
            f"{V1}/web",
            {"apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler", "spec": {**spec, "maxReplicas": 9}},
            force=True,
        )
        assert applied["spec"]["maxReplicas"] == 9
        event = await watching.event()
        assert (event["type"], event["object"]["apiVersion"]) == ("ADDED", "autoscaling/v2")
        listed = await api.get(V1)
        assert [item["spec"]["targetCPUUtilizationPercentage"] for item in listed["items"]] == [70]
        await watching.close()

    run(test)


def test_annotations_of_the_wrong_shape_are_no_error_of_the_server() -> None:
    async def test(api: Api) -> None:
        metadata = {"name": "web", "annotations": {"autoscaling.alpha.kubernetes.io/metrics": '[{"type":7}]'}}
        await api.post(V1, {"metadata": metadata, "spec": {"scaleTargetRef": TARGET, "maxReplicas": 5}})
        found = await api.get(f"{V2}/web")
        assert [one["type"] for one in found["spec"]["metrics"]] == ["Resource"]

    run(test)


def test_a_job_is_made_to_select_its_own_pods() -> None:
    async def test(api: Api) -> None:
        template = {"spec": {**POD, "restartPolicy": "Never"}}
        made = await api.post(JOBS, {"metadata": {"generateName": "once-"}, "spec": {"template": template}})
        uid, name = made["metadata"]["uid"], made["metadata"]["name"]
        assert made["spec"]["selector"]["matchLabels"] == {"batch.kubernetes.io/controller-uid": uid}
        assert made["spec"]["template"]["metadata"]["labels"]["batch.kubernetes.io/job-name"] == name
        with pytest.raises(Refused, match=r"spec.template.*field is immutable"):
            await api.json_patch(
                f"{JOBS}/{name}", [{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "b"}]
            )
        await api.merge(f"{JOBS}/{name}", {"spec": {"suspend": True}})
        await api.merge(f"{JOBS}/{name}/status", {"status": {"succeeded": 1}})
        assert len((await api.get(f"{JOBS}?fieldSelector=status.successful%3D1"))["items"]) == 1
        assert (await api.get(f"{JOBS}?fieldSelector=status.successful%3D0"))["items"] == []

    run(test)


def test_sets_scale_and_count_their_templates() -> None:
    async def test(api: Api) -> None:
        await api.post(SETS, {"metadata": {"name": "db"}, "spec": {**SELECTED, "serviceName": "db"}})
        assert (await api.merge(f"{SETS}/db/scale", {"spec": {"replicas": 3}}))["spec"] == {"replicas": 3}
        with pytest.raises(Refused, match="updates to statefulset spec for fields other than 'replicas'"):
            await api.merge(f"{SETS}/db", {"spec": {"podManagementPolicy": "Parallel"}})
        await api.post(DAEMONS, {"metadata": {"name": "log"}, "spec": SELECTED})
        await api.merge(f"{DAEMONS}/log", {"metadata": {"labels": {"x": "y"}}})
        changed = {"template": {"spec": {"terminationGracePeriodSeconds": 5}}}
        found = await api.merge(f"{DAEMONS}/log", {"spec": changed})
        key = "deprecated.daemonset.template.generation"
        assert (found["metadata"]["annotations"][key], found["metadata"]["generation"]) == ("2", 2)

    run(test)


def test_slices_are_selected_by_driver_and_node() -> None:
    async def test(api: Api) -> None:
        for name, node in (("a", "one"), ("b", "two")):
            spec = {"driver": "gpu.example.com", "nodeName": node, "pool": {"name": node, "resourceSliceCount": 1}}
            spec["pool"]["generation"] = 1
            await api.post(SLICES, {"metadata": {"name": name}, "spec": spec})
        found = await api.get(f"{SLICES}?fieldSelector=spec.nodeName%3Dtwo,spec.driver%3Dgpu.example.com")
        assert [item["metadata"]["name"] for item in found["items"]] == ["b"]

    run(test)


def test_who_asks_for_a_certificate_is_written_down() -> None:
    async def test(api: Api) -> None:
        api.user = User("jane", "u-1", ("dev", "system:authenticated"), {"scope": ("all",)})
        made = await api.post(REQUESTS, wanted(username="root", groups=["system:masters"]))
        spec = made["spec"]
        assert (spec["username"], spec["uid"], spec["groups"]) == ("jane", "u-1", ["dev", "system:authenticated"])
        assert spec["extra"] == {"scope": ["all"]}
        patched = await api.merge(
            f"{REQUESTS}/mine", {"spec": {"username": "root"}, "metadata": {"labels": {"a": "b"}}}
        )
        assert patched["spec"]["username"] == "jane"
        assert patched["metadata"]["labels"] == {"a": "b"}

    run(test)


def test_approving_and_signing_are_apart() -> None:
    async def test(api: Api) -> None:
        await api.post(REQUESTS, wanted())
        approved = {"type": "Approved", "status": "True", "reason": "Known", "message": "mine"}
        both = {"conditions": [approved], "certificate": base64.b64encode(b"x").decode()}
        found = await api.merge(f"{REQUESTS}/mine/approval", {"status": both, "spec": {"username": "root"}})
        assert "certificate" not in found["status"]
        assert found["spec"]["username"] == "admin"
        condition = found["status"]["conditions"][0]
        assert condition["lastUpdateTime"] == condition["lastTransitionTime"] == rfc3339(START)
        denied = {**approved, "type": "Denied"}
        with pytest.raises(Refused, match="may not add a condition of type"):  # a signer does not decide
            await api.merge(f"{REQUESTS}/mine/status", {"status": {"conditions": [approved, denied]}})
        failed = {**approved, "type": "Failed"}
        noted = {"status": {"conditions": [{**approved, "message": "other"}, failed]}}
        signed = await api.merge(f"{REQUESTS}/mine/status", noted)
        assert [(one["type"], one["message"]) for one in signed["status"]["conditions"]] == [
            ("Approved", "mine"),
            ("Failed", "mine"),
        ]
        with pytest.raises(Refused, match="mutually exclusive"):
            await api.merge(f"{REQUESTS}/mine/approval", {"status": {"conditions": [approved, denied]}})
        with pytest.raises(Refused, match="may not remove a condition of type"):
            await api.merge(f"{REQUESTS}/mine/approval", {"status": {"conditions": []}})
        with pytest.raises(Refused, match="must contain at least one CERTIFICATE PEM block"):
            await api.merge(f"{REQUESTS}/mine/status", {"status": {"certificate": both["certificate"]}})
        assert (await api.get(f"{REQUESTS}?fieldSelector=spec.signerName%3Dexample.com/two"))["items"] == []

    run(test)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"request": base64.b64encode(b"nonsense").decode()}, "PEM block type must be CERTIFICATE REQUEST"),
        ({"signerName": "one"}, "must be a fully qualified domain and path"),
        ({"signerName": "kubernetes.io/legacy-unknown"}, "not allowed via this API version"),
        ({"usages": ["world domination"]}, "Unsupported value"),
        ({"expirationSeconds": 5}, "may not specify a duration less than 600 seconds"),
    ],
)
def test_requests_that_cannot_be_signed_are_refused(spec: dict[str, object], message: str) -> None:
    async def test(api: Api) -> None:
        with pytest.raises(Refused, match=message):
            await api.post(REQUESTS, wanted(**spec))

    run(test)


def test_deciding_needs_the_permission_for_the_signer() -> None:
    async def scenario(server: Served) -> None:
        rules = [{"apiGroups": ["certificates.k8s.io"], "resources": ["*"], "verbs": ["create", "get", "patch"]}]
        api_group = "rbac.authorization.k8s.io"
        roles = f"/apis/{api_group}/v1/clusterroles"
        await server.ask("POST", roles, body={"metadata": {"name": "writes"}, "rules": rules})
        reference = {"apiGroup": api_group, "kind": "ClusterRole", "name": "writes"}
        subjects = [{"apiGroup": api_group, "kind": "User", "name": "jane"}]
        bound = {"metadata": {"name": "writes"}, "roleRef": reference, "subjects": subjects}
        await server.ask("POST", f"/apis/{api_group}/v1/clusterrolebindings", body=bound)
        jane, merge = peer("jane"), {"content_type": "application/merge-patch+json"}
        status, _ = await server.ask("POST", REQUESTS, jane, wanted())
        assert status == 201
        approval = {"status": {"conditions": [{"type": "Approved", "status": "True"}]}}
        status, refused = await server.ask("PATCH", f"{REQUESTS}/mine/approval", jane, approval, **merge)
        assert status == 403
        assert 'user not permitted to approve requests with signerName "example.com/one"' in refused["message"]
        status, _ = await server.ask("PATCH", f"{REQUESTS}/mine", jane, {"metadata": {"labels": {"a": "b"}}}, **merge)
        assert status == 200
        more = {"apiGroups": ["certificates.k8s.io"], "resources": ["signers"], "verbs": ["approve"]}
        more |= {"resourceNames": ["example.com/*"]}
        await server.ask("PATCH", f"{roles}/writes", body={"rules": [*rules, more]}, **merge)
        status, found = await server.ask("PATCH", f"{REQUESTS}/mine/approval", jane, approval, **merge)
        assert (status, found["status"]["conditions"][0]["type"]) == (200, "Approved")

    served(scenario)
