"""Field ownership as clients see it: who is recorded, and server-side apply."""

from __future__ import annotations

from typing import Any

import pytest
from api_driver import CONFIGMAPS, PODS, Api, Refused, a_pod, config, run

DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"


def owners(found: dict[str, Any]) -> dict[tuple[str, str, str], Any]:
    return {
        (e["manager"], e["operation"], e.get("subresource", "")): e["fieldsV1"]
        for e in found["metadata"].get("managedFields", [])
    }


def deployment(**spec: Any) -> dict[str, Any]:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "main", "image": "i:1"}]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template, **spec},
    }


def test_writers_are_recorded_with_what_they_wrote() -> None:
    async def test(api: Api) -> None:
        made = await api.post(f"{CONFIGMAPS}?fieldManager=maker", config(x="1"))
        (entry,) = made["metadata"]["managedFields"]
        assert entry == {
            "manager": "maker",
            "operation": "Update",
            "apiVersion": "v1",
            "time": "2026-01-02T03:04:05Z",
            "fieldsType": "FieldsV1",
            "fieldsV1": {"f:data": {".": {}, "f:x": {}}},
        }
        api.clock.turn(60)
        changed = await api.merge(f"{CONFIGMAPS}/one?fieldManager=other", {"data": {"x": "2", "y": "3"}})
        assert owners(changed) == {
            ("maker", "Update", ""): {"f:data": {}},
            ("other", "Update", ""): {"f:data": {"f:x": {}, "f:y": {}}},
        }

    run(test)


def test_the_program_is_the_manager_of_who_says_nothing() -> None:
    async def test(api: Api) -> None:
        made = await api.post(CONFIGMAPS, config(x="1"))
        assert made["metadata"]["managedFields"][0]["manager"] == "tests"
        with pytest.raises(Refused):
            await api.post(f"{CONFIGMAPS}?fieldManager={'m' * 129}", config("two"))

    run(test)


def test_status_is_owned_apart_and_what_admission_adds_by_nobody() -> None:
    async def test(api: Api) -> None:
        await api.post(f"{PODS}?fieldManager=maker", a_pod())
        found = await api.merge(f"{PODS}/web/status?fieldManager=agent", {"status": {"phase": "Running"}})
        by = owners(found)
        assert by[("agent", "Update", "status")] == {"f:status": {"f:phase": {}}}
        assert "f:status" not in by[("maker", "Update", "")]
        assert "f:volumes" not in by[("maker", "Update", "")]["f:spec"]
        assert "f:serviceAccountName" not in by[("maker", "Update", "")]["f:spec"]

    run(test)


def test_apply_makes_changes_and_takes_away() -> None:
    async def test(api: Api) -> None:
        made = await api.apply(f"{DEPLOYMENTS}/web", deployment(replicas=2, minReadySeconds=5))
        assert made["spec"]["replicas"] == 2
        assert made["spec"]["progressDeadlineSeconds"] == 600
        (key,) = owners(made)
        assert key == ("me", "Apply", "")
        assert "f:progressDeadlineSeconds" not in owners(made)[key]["f:spec"]
        before = api.store.revision
        assert await api.apply(f"{DEPLOYMENTS}/web", deployment(replicas=2, minReadySeconds=5)) == made
        assert api.store.revision == before
        less = await api.apply(f"{DEPLOYMENTS}/web", deployment(replicas=3))
        assert less["spec"]["replicas"] == 3
        assert less["spec"].get("minReadySeconds") in (None, 0)
        assert less["metadata"]["generation"] == 2

    run(test)


def test_what_another_manager_owns_is_disputed_unless_forced() -> None:
    async def test(api: Api) -> None:
        await api.apply(f"{DEPLOYMENTS}/web", deployment(replicas=2), manager="first")
        with pytest.raises(Refused, match=r"conflict with \"first\": \.spec\.replicas") as refused:
            await api.apply(f"{DEPLOYMENTS}/web", deployment(replicas=4), manager="second")
        assert refused.value.code == 409
        assert refused.value.causes == [
            {"reason": "FieldManagerConflict", "message": 'conflict with "first"', "field": ".spec.replicas"}
        ]
        forced = await api.apply(f"{DEPLOYMENTS}/web", deployment(replicas=4), manager="second", force=True)
        assert forced["spec"]["replicas"] == 4
        assert "f:replicas" not in owners(forced)[("first", "Apply", "")]["f:spec"]

    run(test)


def test_scaling_takes_replicas_over() -> None:
    async def test(api: Api) -> None:
        await api.apply(f"{DEPLOYMENTS}/web", deployment(replicas=2), manager="first")
        await api.merge(f"{DEPLOYMENTS}/web/scale?fieldManager=scaler", {"spec": {"replicas": 5}})
        found = await api.get(f"{DEPLOYMENTS}/web")
        assert owners(found)[("scaler", "Update", "scale")] == {"f:spec": {"f:replicas": {}}}
        with pytest.raises(Refused, match='conflict with "scaler"'):
            await api.apply(f"{DEPLOYMENTS}/web", deployment(replicas=2), manager="first")
        assert (await api.apply(f"{DEPLOYMENTS}/web", deployment(), manager="first"))["spec"]["replicas"] == 5

    run(test)


def test_apply_of_status() -> None:
    async def test(api: Api) -> None:
        await api.post(PODS, a_pod())
        body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}, "status": {"phase": "Running"}}
        found = await api.apply(f"{PODS}/web/status", body, manager="agent")
        assert found["status"]["phase"] == "Running"
        assert owners(found)[("agent", "Apply", "status")] == {"f:status": {"f:phase": {}}}

    run(test)


def test_apply_needs_a_manager_and_a_document_that_fits() -> None:
    async def test(api: Api) -> None:
        apply = "application/apply-patch+yaml"
        with pytest.raises(Refused, match="fieldManager: Required value: is required for apply patch"):
            await api.ask("PATCH", f"{CONFIGMAPS}/one", config(), apply)
        with pytest.raises(Refused, match="force: Forbidden: may not be specified for non-apply patch"):
            await api.merge(f"{CONFIGMAPS}/one?force=true", {})
        with pytest.raises(Refused, match="does not match the name on the URL"):
            await api.apply(f"{CONFIGMAPS}/two", config())
        owned = config()
        owned["metadata"]["managedFields"] = [{"manager": "x", "operation": "Apply"}]
        with pytest.raises(Refused, match="managedFields must be nil"):
            await api.apply(f"{CONFIGMAPS}/one", owned)
        with pytest.raises(Refused, match="line 2"):
            await api.ask("PATCH", f"{CONFIGMAPS}/one?fieldManager=x", b"a: [", apply)
        text = b"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: one\ndata:\n  x: '1'\n"
        made = await api.ask("PATCH", f"{CONFIGMAPS}/one?fieldManager=x", text, apply)
        assert made["data"] == {"x": "1"}

    run(test)
