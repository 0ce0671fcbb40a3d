"""What the specs of all workloads ask: is it complete, what does it own, do `scale` and `status` work."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from conformance_api import Api

APPS = "/apis/apps/v1/namespaces/{}"
CORE = "/api/v1/namespaces/{}"


def pods_of(api: Api, ns: str, labels: str = "") -> list[Any]:
    found: list[Any] = api.get(f"{CORE.format(ns)}/pods?labelSelector={labels}")["items"]
    return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]


def complete(count: int) -> Any:
    def done(found: Any) -> bool:
        status = found["status"]
        return (
            status.get("observedGeneration", 0) >= found["metadata"]["generation"]
            and status.get("replicas", 0) == status.get("readyReplicas", 0) == count
            and status.get("updatedReplicas", count) == count
        )

    return done


def condition(found: Any, type_: str) -> Any:
    return next((one for one in found["status"].get("conditions", []) if one["type"] == type_), {})


def running(one: Any) -> bool:
    return one["status"].get("phase") == "Running" and condition(one, "Ready").get("status") == "True"


def check_scale(api: Api, path: str) -> None:
    found = api.when(f"{path}/scale", lambda one: one["status"]["replicas"] == 1)
    assert (found["kind"], found["apiVersion"], found["spec"]) == ("Scale", "autoscaling/v1", {"replicas": 1})
    assert found["status"]["selector"] == "name=scaled"
    found["spec"]["replicas"] = 2
    assert api.put(f"{path}/scale", {**found, "metadata": {"name": "scaled"}})["spec"]["replicas"] == 2
    assert api.get(path)["spec"]["replicas"] == 2
    assert api.send("PUT", f"{path}/scale", found).status == 409, "the Scale has the revision of the object"
    assert api.patch(f"{path}/scale", {"spec": {"replicas": 4}})["spec"]["replicas"] == 4
    assert api.get(path)["spec"]["replicas"] == 4
    api.when(path, complete(4))
    refused = api.send(
        "PATCH", f"{path}/scale", {"spec": {"replicas": -1}}, content_type="application/merge-patch+json"
    )
    assert (refused.status, refused.causes) == (422, [("spec.replicas", "FieldValueInvalid")])
    assert api.patch(f"{path}/scale?dryRun=All", {"spec": {"replicas": 9}})["spec"]["replicas"] == 9
    assert api.get(path)["spec"]["replicas"] == 4


def check_status(api: Api, path: str, ready: Callable[[Any], Any] | None = None) -> None:
    api.when(path, ready or complete(1))
    added = {"type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "Set from e2e test"}

    def update() -> bool:
        found = api.get(f"{path}/status")
        found["status"].setdefault("conditions", []).append(added)
        return api.send("PUT", f"{path}/status", found).status == 200

    kind = api.get(path)["kind"]
    assert kind == api.get(f"{path}/status")["kind"]
    with api.watch(f"{path.rpartition('/')[0]}?watch=1") as events:
        api.until(update)
        events.until("MODIFIED", holds=lambda one: condition(one, "StatusUpdate"))
        api.patch(f"{path}/status", {"status": {"conditions": [{"type": "StatusPatched", "status": "True"}]}})
        events.until("MODIFIED", holds=lambda one: condition(one, "StatusPatched"))
