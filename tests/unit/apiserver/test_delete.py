"""Deletion: at once, gracefully, with finalizers, by collection."""

from __future__ import annotations

import pytest
from api_driver import CONFIGMAPS, PODS, Api, Refused, a_pod, config, run


def test_an_object_without_finalizers_goes_at_once() -> None:
    async def test(api: Api) -> None:
        made = await api.post(CONFIGMAPS, config())
        status = await api.delete(f"{CONFIGMAPS}/one")
        assert status["status"] == "Success"
        assert status["details"] == {"name": "one", "kind": "configmaps", "uid": made["metadata"]["uid"]}
        with pytest.raises(Refused, match="not found"):
            await api.delete(f"{CONFIGMAPS}/one")

    run(test)


def test_finalizers_hold_an_object_until_the_last_is_gone() -> None:
    async def test(api: Api) -> None:
        body = config()
        body["metadata"]["finalizers"] = ["example.com/a", "example.com/b"]
        await api.post(CONFIGMAPS, body)
        left = await api.delete(f"{CONFIGMAPS}/one")
        assert left["metadata"]["deletionTimestamp"] == "2026-01-02T03:04:05Z"
        assert left["metadata"]["deletionGracePeriodSeconds"] == 0
        again = await api.delete(f"{CONFIGMAPS}/one")
        assert again == left
        with pytest.raises(Refused, match="no new finalizers can be added"):
            await api.merge(f"{CONFIGMAPS}/one", {"metadata": {"finalizers": ["example.com/c"]}})
        undone = await api.merge(f"{CONFIGMAPS}/one", {"metadata": {"deletionTimestamp": None}})
        assert undone["metadata"]["deletionTimestamp"]
        await api.merge(f"{CONFIGMAPS}/one", {"metadata": {"finalizers": ["example.com/b"]}})
        await api.get(f"{CONFIGMAPS}/one")
        last = await api.merge(f"{CONFIGMAPS}/one", {"metadata": {"finalizers": None}})
        with pytest.raises(Refused, match="not found"):
            await api.get(f"{CONFIGMAPS}/one")
        listed = await api.get(CONFIGMAPS)
        assert last["metadata"]["resourceVersion"] == listed["metadata"]["resourceVersion"], "that of its deletion"

    run(test)


def test_what_is_deleted_is_told_as_of_its_deletion() -> None:
    """Whoever deleted it can wait until a watch has come so far."""

    async def test(api: Api) -> None:
        await api.post(PODS, a_pod("one"))
        gone = await api.delete(f"{PODS}/one")
        listed = await api.get(PODS)
        assert gone["metadata"]["resourceVersion"] == listed["metadata"]["resourceVersion"]

    run(test)


@pytest.mark.parametrize(("policy", "finalizer"), [("Foreground", "foregroundDeletion"), ("Orphan", "orphan")])
def test_propagation_policies_leave_their_finalizer(policy: str, finalizer: str) -> None:
    async def test(api: Api) -> None:
        await api.post(CONFIGMAPS, config())
        left = await api.delete(f"{CONFIGMAPS}/one", {"propagationPolicy": policy})
        assert left["metadata"]["finalizers"] == [finalizer]
        gone = await api.delete(f"{CONFIGMAPS}/one?propagationPolicy=Background")
        assert gone["status"] == "Success"

    run(test)


def test_replication_controllers_orphan_by_default() -> None:
    async def test(api: Api) -> None:
        controllers = "/api/v1/namespaces/default/replicationcontrollers"
        template = {"metadata": {"labels": {"a": "b"}}, "spec": a_pod()["spec"]}
        await api.post(
            controllers, {"metadata": {"name": "rc"}, "spec": {"selector": {"a": "b"}, "template": template}}
        )
        left = await api.delete(f"{controllers}/rc")
        assert left["metadata"]["finalizers"] == ["orphan"]

    run(test)


def test_preconditions() -> None:
    async def test(api: Api) -> None:
        made = await api.post(CONFIGMAPS, config())
        for wrong in ({"uid": "other"}, {"resourceVersion": "1"}):
            with pytest.raises(Refused, match="Precondition failed") as refused:
                await api.delete(f"{CONFIGMAPS}/one", {"preconditions": wrong})
            assert refused.value.code == 409
        right = {key: made["metadata"][key] for key in ("uid", "resourceVersion")}
        await api.delete(f"{CONFIGMAPS}/one", {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": right})

    run(test)


async def bound(api: Api, **spec: object) -> None:
    await api.post(PODS, a_pod(**spec))
    await api.post(f"{PODS}/web/binding", {"target": {"kind": "Node", "name": "n1"}})


def test_a_running_pod_is_given_time() -> None:
    async def test(api: Api) -> None:
        await bound(api)
        left = await api.delete(f"{PODS}/web")
        assert left["metadata"]["deletionGracePeriodSeconds"] == 30
        assert left["metadata"]["deletionTimestamp"] == "2026-01-02T03:04:35Z"
        assert left["metadata"]["generation"] == 2
        api.clock.turn(5)
        assert await api.delete(f"{PODS}/web", {"gracePeriodSeconds": 60}) == left  # never longer
        shorter = await api.delete(f"{PODS}/web?gracePeriodSeconds=10")
        assert shorter["metadata"]["deletionTimestamp"] == "2026-01-02T03:04:15Z"
        gone = await api.delete(f"{PODS}/web?gracePeriodSeconds=0")
        assert gone["kind"] == "Pod"
        with pytest.raises(Refused, match="not found"):
            await api.get(f"{PODS}/web")

    run(test)


def test_a_pod_that_nobody_runs_goes_at_once() -> None:
    async def test(api: Api) -> None:
        await api.post(PODS, a_pod())
        await api.delete(f"{PODS}/web", {"gracePeriodSeconds": 30})
        with pytest.raises(Refused, match="not found"):
            await api.get(f"{PODS}/web")

    run(test)


def test_a_pod_with_finalizers_outlives_its_grace() -> None:
    async def test(api: Api) -> None:
        body = a_pod()
        body["metadata"]["finalizers"] = ["example.com/a"]
        await api.post(PODS, body)
        await api.post(f"{PODS}/web/binding", {"target": {"name": "n1"}})
        await api.delete(f"{PODS}/web")
        left = await api.delete(f"{PODS}/web?gracePeriodSeconds=0")
        assert left["metadata"]["deletionGracePeriodSeconds"] == 0
        await api.merge(f"{PODS}/web", {"metadata": {"finalizers": None}})
        with pytest.raises(Refused, match="not found"):
            await api.get(f"{PODS}/web")

    run(test)


def test_a_collection_is_deleted_by_its_selector() -> None:
    async def test(api: Api) -> None:
        for name, app in (("a", "x"), ("b", "x"), ("c", "y")):
            body = config(name)
            body["metadata"]["labels"] = {"app": app}
            await api.post(CONFIGMAPS, body)
        deleted = await api.delete(f"{CONFIGMAPS}?labelSelector=app%3Dx")
        assert deleted["kind"] == "ConfigMapList"
        assert [i["metadata"]["name"] for i in (await api.get(CONFIGMAPS))["items"]] == ["c"]

    run(test)


def test_a_namespace_waits_for_its_finalizer() -> None:
    async def test(api: Api) -> None:
        left = await api.delete("/api/v1/namespaces/work")
        assert left["status"]["phase"] == "Terminating"
        assert left["metadata"]["deletionTimestamp"]
        with pytest.raises(Refused, match="because it is being terminated") as refused:
            await api.post("/api/v1/namespaces/work/configmaps", config())
        assert refused.value.code == 403
        assert refused.value.causes[0]["reason"] == "NamespaceTerminating"
        await api.put("/api/v1/namespaces/work/finalize", {**left, "spec": {"finalizers": []}})
        with pytest.raises(Refused, match="not found"):
            await api.get("/api/v1/namespaces/work")

    run(test, namespaces=("default", "work"))


def test_some_namespaces_never_go() -> None:
    async def test(api: Api) -> None:
        with pytest.raises(Refused, match="this namespace may not be deleted") as refused:
            await api.delete("/api/v1/namespaces/default")
        assert refused.value.code == 403

    run(test)


@pytest.mark.parametrize(
    "options",
    [
        {"propagationPolicy": "Sideways"},
        {"propagationPolicy": "Orphan", "orphanDependents": True},
        {"gracePeriodSeconds": "soon"},
        {"kind": "Pod"},
    ],
)
def test_bad_options_change_nothing(options: dict[str, object]) -> None:
    async def test(api: Api) -> None:
        await api.post(CONFIGMAPS, config())
        with pytest.raises(Refused) as refused:
            await api.delete(f"{CONFIGMAPS}/one", options)
        assert refused.value.code in (400, 422)
        await api.get(f"{CONFIGMAPS}/one")

    run(test)
