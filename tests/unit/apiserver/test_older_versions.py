"""Beta versions of stored kinds, kinds that are beta themselves, and what is told of the control plane."""

from __future__ import annotations

from typing import Any

import pytest
from api_driver import Api, Refused, run

from navarch.kinds import CLUSTERTRUSTBUNDLE, DEVICETAINTRULE, LEASECANDIDATE
from navarch.kinds.kind import Kind
from navarch.kinds.older import (
    RESOURCECLAIM_V1BETA1,
    RESOURCECLAIMTEMPLATE_V1BETA1,
    RESOURCESLICE_V1BETA1,
    older,
)
from navarch.kinds.registry import DEFAULT

CLAIMS = "/apis/resource.k8s.io/{}/namespaces/default/resourceclaims"
CIDRS = "/apis/networking.k8s.io/{}/servicecidrs"
EXACT = {"deviceClassName": "gpu", "count": 2, "allocationMode": "ExactCount"}


def test_a_claim_is_one_object_in_three_versions() -> None:
    async def test(api: Api) -> None:
        watching = await api.watch(f"{CLAIMS.format('v1beta1')}?watch=true")
        spec = {"devices": {"requests": [{"name": "one", "deviceClassName": "gpu", "count": 2}]}}
        made = await api.post(CLAIMS.format("v1beta1"), {"metadata": {"name": "mine"}, "spec": spec})
        assert api.warnings == ["resource.k8s.io/v1beta1 ResourceClaim is deprecated in v1.35+, unavailable in v1.38+"]
        assert made["apiVersion"] == "resource.k8s.io/v1beta1"
        assert made["spec"]["devices"]["requests"] == [{"name": "one", **EXACT}]
        newest = await api.get(f"{CLAIMS.format('v1')}/mine")
        assert newest["metadata"]["uid"] == made["metadata"]["uid"]
        assert newest["spec"]["devices"]["requests"] == [{"name": "one", "exactly": EXACT}]
        middle = await api.get(f"{CLAIMS.format('v1beta2')}/mine")
        assert middle["spec"] == newest["spec"]
        event = await watching.event()
        assert (event["type"], event["object"]["spec"]) == ("ADDED", made["spec"])
        labelled = await api.merge(f"{CLAIMS.format('v1beta1')}/mine", {"metadata": {"labels": {"a": "b"}}})
        assert labelled["spec"] == made["spec"]
        changed = [{"name": "one", "deviceClassName": "other"}]
        with pytest.raises(Refused) as refused:
            await api.merge(f"{CLAIMS.format('v1beta1')}/mine", {"spec": {"devices": {"requests": changed}}})
        assert refused.value.code == 422
        await api.delete(f"{CLAIMS.format('v1beta2')}/mine")
        assert (await api.get(CLAIMS.format("v1")))["items"] == []

    run(test)


def test_the_older_version_of_a_network_differs_in_nothing_else() -> None:
    async def test(api: Api) -> None:
        made = await api.post(
            CIDRS.format("v1beta1"), {"metadata": {"name": "more"}, "spec": {"cidrs": ["10.9.0.0/24"]}}
        )
        assert made["apiVersion"] == "networking.k8s.io/v1beta1"
        assert (await api.get(f"{CIDRS.format('v1')}/more"))["spec"] == made["spec"]
        listed = await api.get(CIDRS.format("v1beta1"))
        assert listed["kind"] == "ServiceCIDRList"
        assert {one["apiVersion"] for one in listed["items"]} <= {"networking.k8s.io/v1beta1"}

    run(test)


NESTED = [
    (RESOURCECLAIM_V1BETA1, {"spec": {"devices": {"requests": [{"name": "a", **EXACT}]}}}),
    (RESOURCECLAIM_V1BETA1, {"spec": {"devices": {"requests": [{"name": "a", "firstAvailable": [{"name": "b"}]}]}}}),
    (RESOURCECLAIM_V1BETA1, {"spec": {"devices": {}}}),
    (RESOURCECLAIM_V1BETA1, {"metadata": {"name": "x"}}),
    (RESOURCECLAIMTEMPLATE_V1BETA1, {"spec": {"spec": {"devices": {"requests": [{"name": "a", **EXACT}]}}}}),
    (RESOURCESLICE_V1BETA1, {"spec": {"devices": [{"name": "d", "basic": {"attributes": {"a": {"int": 1}}}}]}}),
    (RESOURCESLICE_V1BETA1, {"spec": {"devices": [{"name": "d", "basic": {}}]}}),
]


@pytest.mark.parametrize(("kind", "document"), NESTED)
def test_what_was_nested_otherwise_comes_back_as_it_was(kind: Kind, document: dict[str, Any]) -> None:
    assert kind.to_stored is not None
    assert kind.from_stored is not None
    whole = {"apiVersion": kind.api_version, "kind": kind.name, **document}
    before = repr(whole)
    stored = kind.to_stored(whole)
    assert stored["apiVersion"] == "resource.k8s.io/v1"
    assert "basic" not in repr(stored)
    assert kind.from_stored(stored) == whole
    assert repr(whole) == before, "neither touches what it is given"


def test_an_older_face_that_nobody_deprecates_warns_nobody() -> None:
    assert older(LEASECANDIDATE, "v1alpha2", None).deprecated == ""


def test_the_parts_of_the_control_plane_say_how_they_are() -> None:
    async def test(api: Api) -> None:
        api.core.component("scheduler", lambda: "it does not run any more")
        found = await api.get("/api/v1/componentstatuses")
        assert (found["kind"], [one["metadata"]["name"] for one in found["items"]]) == (
            "ComponentStatusList",
            ["etcd-0", "scheduler"],
        )
        assert api.warnings == ["v1 ComponentStatus is deprecated in v1.19+"]
        assert found["items"][0]["conditions"] == [{"type": "Healthy", "status": "True", "message": "ok"}]
        table = await api.get("/api/v1/componentstatuses", accept="application/json;as=Table;v=v1;g=meta.k8s.io")
        assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Status", "Message", "Error"]
        assert [row["cells"] for row in table["rows"]] == [
            ["etcd-0", "Healthy", "ok", ""],
            ["scheduler", "Unhealthy", "", "it does not run any more"],
        ]
        one = await api.get("/api/v1/componentstatuses/scheduler")
        assert one["conditions"][0]["status"] == "False"
        chosen = await api.get("/api/v1/componentstatuses?fieldSelector=metadata.name%3Detcd-0")
        assert len(chosen["items"]) == 1
        for method, path, code in (
            ("GET", "/api/v1/componentstatuses/nothing", 404),
            ("DELETE", "/api/v1/componentstatuses/scheduler", 405),
            ("POST", "/api/v1/componentstatuses", 405),
            ("GET", "/api/v1/componentstatuses/scheduler/status", 404),
        ):
            with pytest.raises(Refused) as refused:
                await api.ask(method, path, {} if method == "POST" else None)
            assert refused.value.code == code, (method, path)

    run(test)


def test_what_is_only_told_is_not_stored() -> None:
    assert "ComponentStatus" not in {kind.name for kind in DEFAULT.stored()}


GOOD = {"leaseName": "l", "binaryVersion": "1.36.0", "emulationVersion": "1.35.0", "strategy": "OldestEmulationVersion"}
TAINT = {"key": "a.example.com/b", "effect": "NoSchedule"}
BAD = [
    (LEASECANDIDATE, {**GOOD, "leaseName": ""}, "spec.leaseName", "Required value"),
    (LEASECANDIDATE, {**GOOD, "binaryVersion": "1.36"}, "spec.binaryVersion", "must be a valid semantic version"),
    (LEASECANDIDATE, {**GOOD, "emulationVersion": "1.37.0"}, "spec.binaryVersion", "greater than or equal to"),
    (LEASECANDIDATE, {**GOOD, "emulationVersion": ""}, "spec.emulationVersion", "must be specified when"),
    (
        LEASECANDIDATE,
        {**GOOD, "strategy": "Newest"},
        "spec.strategy.strategy",
        'supported values: "OldestEmulationVersion"',
    ),
    (LEASECANDIDATE, {**GOOD, "strategy": ""}, "spec.strategy", "Required value"),
    (DEVICETAINTRULE, {"taint": {**TAINT, "effect": "Never"}}, "spec.taint.effect", "Unsupported value"),
    (DEVICETAINTRULE, {"taint": {**TAINT, "key": "a b"}}, "spec.taint.key", "name part must consist of"),
    (DEVICETAINTRULE, {"taint": TAINT, "deviceSelector": {"driver": "A_B"}}, "spec.deviceSelector.driver", "RFC 1123"),
    (CLUSTERTRUSTBUNDLE, {"trustBundle": ""}, "spec.trustBundle", "at least one trust anchor must be provided"),
    (CLUSTERTRUSTBUNDLE, {"signerName": "a.com/b", "trustBundle": ""}, "metadata.name", "with prefix a.com:b:"),
    (
        CLUSTERTRUSTBUNDLE,
        {"trustBundle": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"},
        "spec.trustBundle",
        "entry 0 does not parse as X.509",
    ),
    (
        CLUSTERTRUSTBUNDLE,
        {"trustBundle": "-----BEGIN RSA KEY-----\nAAAA\n-----END RSA KEY-----"},
        "spec.trustBundle",
        "entry 0 has bad block type: RSA KEY",
    ),
]


@pytest.mark.parametrize(("kind", "spec", "field", "told"), BAD)
def test_bad_objects_of_beta_kinds(kind: Kind, spec: dict[str, Any], field: str, told: str) -> None:
    found = list(kind.rules({"metadata": {"name": "x"}, "spec": spec}, None))
    assert [one for one in found if one.field == field and told in one.message], found


def test_a_candidate_keeps_its_lease() -> None:
    [cause] = LEASECANDIDATE.rules({"spec": {**GOOD, "leaseName": "other"}}, {"spec": GOOD})
    assert (cause.field, cause.message) == ("spec.leaseName", 'Invalid value: "other": field is immutable')
