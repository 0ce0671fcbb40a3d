"""`managedFields` of objects that are served in several versions: each entry says in which one its manager wrote."""

from __future__ import annotations

from typing import Any

import pytest
from api_driver import Api, Refused, run

SCALERS = "/apis/autoscaling/{}/namespaces/default/horizontalpodautoscalers"
CLAIMS = "/apis/resource.k8s.io/{}/namespaces/default/resourceclaims"
EVENTS = {"v1": "/api/v1/namespaces/default/events", "new": "/apis/events.k8s.io/v1/namespaces/default/events"}
TARGET = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}


def versions(found: dict[str, Any]) -> dict[tuple[str, str], Any]:
    return {(one["manager"], one["apiVersion"]): one["fieldsV1"] for one in found["metadata"]["managedFields"]}


def scaler(version: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": f"autoscaling/{version}",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "web"},
        "spec": {"scaleTargetRef": TARGET, "maxReplicas": 5, **spec},
    }


def test_an_entry_names_the_version_of_the_request_and_its_fields() -> None:
    async def test(api: Api) -> None:
        url = SCALERS.format("v1")
        made = await api.post(f"{url}?fieldManager=first", scaler("v1", targetCPUUtilizationPercentage=50))
        ((key, fields),) = versions(made).items()
        assert key == ("first", "autoscaling/v1")
        assert fields["f:spec"]["f:targetCPUUtilizationPercentage"] == {}
        newest = f"{SCALERS.format('v2')}/web"
        changed = await api.merge(f"{newest}?fieldManager=second", {"spec": {"maxReplicas": 7}})
        assert versions(changed)["second", "autoscaling/v2"] == {"f:spec": {"f:maxReplicas": {}}}
        left = versions(changed)["first", "autoscaling/v1"]["f:spec"]
        assert "f:maxReplicas" not in left
        assert "f:targetCPUUtilizationPercentage" in left

    run(test)


def test_apply_in_one_version_meets_what_is_owned_in_another() -> None:
    async def test(api: Api) -> None:
        older, newer = f"{SCALERS.format('v1')}/web", f"{SCALERS.format('v2')}/web"
        await api.apply(older, scaler("v1", targetCPUUtilizationPercentage=50), "first")
        metrics = [
            {
                "type": "Resource",
                "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60}},
            }
        ]
        with pytest.raises(Refused) as refused:
            await api.apply(newer, scaler("v2", metrics=metrics), "second")
        assert [one["field"] for one in refused.value.causes] == [".spec.targetCPUUtilizationPercentage"]
        moved = await api.apply(newer, scaler("v2", metrics=metrics), "first")
        assert set(versions(moved)) == {("first", "autoscaling/v2")}
        assert (await api.get(older))["spec"]["targetCPUUtilizationPercentage"] == 60
        back = await api.apply(older, scaler("v1", minReplicas=2), "first")
        assert set(versions(back)) == {("first", "autoscaling/v1")}
        assert back["spec"]["minReplicas"] == 2

    run(test)


def test_a_manager_has_an_entry_for_each_version_that_it_wrote_in() -> None:
    async def test(api: Api) -> None:
        requests = [{"name": "one", "deviceClassName": "gpu"}]
        claim = {"metadata": {"name": "mine"}, "spec": {"devices": {"requests": requests}}}
        made = await api.post(f"{CLAIMS.format('v1beta1')}?fieldManager=m", claim)
        ((key, fields),) = versions(made).items()
        assert key == ("m", "resource.k8s.io/v1beta1")
        later = await api.merge(f"{CLAIMS.format('v1')}/mine?fieldManager=m", {"metadata": {"labels": {"a": "b"}}})
        found = versions(later)
        assert set(found) == {("m", "resource.k8s.io/v1"), ("m", "resource.k8s.io/v1beta1")}
        assert found["m", "resource.k8s.io/v1beta1"] == fields

    run(test)


def test_events_are_owned_in_the_group_that_they_are_written_in() -> None:
    async def test(api: Api) -> None:
        event = {
            "metadata": {"name": "seen"},
            "reportingController": "c.example/me",
            "reportingInstance": "me-1",
            "action": "Looked",
            "reason": "Seen",
            "type": "Normal",
            "eventTime": "2026-01-02T03:04:05.000006Z",
            "note": "here",
            "regarding": {"kind": "Pod", "name": "p", "namespace": "default"},
        }
        made = await api.post(EVENTS["new"], event)
        ((key, fields),) = versions(made).items()
        assert key == ("tests", "events.k8s.io/v1")
        assert "f:note" in fields
        changed = await api.merge(f"{EVENTS['v1']}/seen?fieldManager=other", {"count": 3})
        assert versions(changed)["other", "v1"] == {"f:count": {}}
        assert ("tests", "events.k8s.io/v1") in versions(changed)

    run(test)
