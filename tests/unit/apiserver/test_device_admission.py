"""Since when devices are tainted, and who may have devices that others use."""

from __future__ import annotations

from typing import Any

import pytest
from api_driver import Api, Refused, run

RULES = "/apis/resource.k8s.io/v1beta2/devicetaintrules"
SLICES = "/apis/resource.k8s.io/v1/resourceslices"
CLAIMS = "/apis/resource.k8s.io/v1/namespaces/default/resourceclaims"
TEMPLATES = "/apis/resource.k8s.io/v1/namespaces/default/resourceclaimtemplates"
TAINT: dict[str, Any] = {"key": "a.io/b", "effect": "NoSchedule"}
ASKS: dict[str, Any] = {"devices": {"requests": [{"name": "a", "exactly": {"deviceClassName": "c"}}]}}
LABEL = "resource.kubernetes.io/admin-access"


def as_admin(spec: dict[str, Any]) -> dict[str, Any]:
    request = spec["devices"]["requests"][0]
    return {"devices": {"requests": [{**request, "exactly": {**request["exactly"], "adminAccess": True}}]}}


def test_taints_are_dated() -> None:
    async def test(api: Api) -> None:
        made = await api.post(RULES, {"metadata": {"name": "r"}, "spec": {"taint": TAINT}})
        since = made["spec"]["taint"]["timeAdded"]
        assert since == made["metadata"]["creationTimestamp"]
        api.clock.turn(60)
        kept = await api.merge(f"{RULES}/r", {"spec": {"taint": {"value": "v"}}})
        assert kept["spec"]["taint"]["timeAdded"] == since
        another = await api.merge(f"{RULES}/r", {"spec": {"taint": {"effect": "NoExecute"}}})
        assert another["spec"]["taint"]["timeAdded"] > since, "it is another taint now"
        given = "2020-01-01T00:00:00Z"
        told = await api.merge(f"{RULES}/r", {"spec": {"taint": {"effect": "None", "timeAdded": given}}})
        assert told["spec"]["taint"]["timeAdded"] == given
        pool = {"name": "p", "resourceSliceCount": 1, "generation": 1}
        spec = {"driver": "a.io", "pool": pool, "nodeName": "n", "devices": [{"name": "d", "taints": [TAINT]}]}
        made = await api.post(SLICES, {"metadata": {"name": "s"}, "spec": spec})
        assert made["spec"]["devices"][0]["taints"][0]["timeAdded"] == made["metadata"]["creationTimestamp"]

    run(test)


def test_devices_in_use_are_for_administrators() -> None:
    async def test(api: Api) -> None:
        told = "admin access to devices requires the `resource.kubernetes.io/admin-access: true` label"
        claim = {"metadata": {"name": "c"}, "spec": as_admin(ASKS)}
        template = {"metadata": {"name": "t"}, "spec": {"spec": as_admin(ASKS)}}
        with pytest.raises(Refused, match=told) as refused:
            await api.post(CLAIMS, claim)
        assert [cause["field"] for cause in refused.value.causes] == ["spec.devices.requests[0].exactly.adminAccess"]
        with pytest.raises(Refused, match=told):
            await api.post(TEMPLATES, template)
        await api.post(CLAIMS, {"metadata": {"name": "d"}, "spec": ASKS})
        result = {"request": "a", "driver": "a.io", "pool": "p", "device": "d", "adminAccess": True}
        granted = {"status": {"allocation": {"devices": {"results": [result]}}}}
        with pytest.raises(Refused, match=told):
            await api.merge(f"{CLAIMS}/d/status", granted)
        await api.merge("/api/v1/namespaces/default", {"metadata": {"labels": {LABEL: "true"}}})
        await api.post(CLAIMS, claim)
        await api.post(TEMPLATES, template)
        await api.merge(f"{CLAIMS}/d/status", granted)
        await api.merge("/api/v1/namespaces/default", {"metadata": {"labels": {LABEL: "false"}}})
        held = await api.merge(f"{CLAIMS}/d/status", {"metadata": {"labels": {"a": "b"}}})
        assert held["status"]["allocation"]["devices"]["results"] == [result], "what was granted stays"

    run(test)
