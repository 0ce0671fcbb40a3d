"""Scale, binding and eviction."""

from __future__ import annotations

from typing import Any

import pytest
from api_driver import PODS, Api, Refused, a_pod, run

from navarch.apiserver import eviction
from navarch.base.errors import ApiError
from navarch.objects.value import Draft

DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
BUDGETS = "/apis/policy/v1/namespaces/default/poddisruptionbudgets"


async def deployed(api: Api, replicas: int = 3) -> None:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": a_pod()["spec"]}
    spec = {"replicas": replicas, "selector": {"matchLabels": {"a": "b"}}, "template": template}
    await api.post(DEPLOYMENTS, {"metadata": {"name": "web"}, "spec": spec})


def test_scale_shows_and_changes_replicas() -> None:
    async def test(api: Api) -> None:
        await deployed(api)
        scale = await api.get(f"{DEPLOYMENTS}/web/scale")
        assert (scale["apiVersion"], scale["kind"]) == ("autoscaling/v1", "Scale")
        assert scale["spec"] == {"replicas": 3}
        assert scale["status"] == {"replicas": 0, "selector": "a=b"}
        put = await api.put(f"{DEPLOYMENTS}/web/scale", {**scale, "spec": {"replicas": 5}})
        assert put["spec"] == {"replicas": 5}
        with pytest.raises(Refused, match="the object has been modified"):
            await api.put(f"{DEPLOYMENTS}/web/scale", {**scale, "spec": {"replicas": 6}})
        patched = await api.merge(f"{DEPLOYMENTS}/web/scale", {"spec": {"replicas": 0}})
        assert patched["spec"] == {"replicas": 0}
        found = await api.get(f"{DEPLOYMENTS}/web")
        assert found["spec"]["replicas"] == 0
        assert found["metadata"]["generation"] == 3

    run(test)


def test_a_scale_is_shown_as_a_table() -> None:
    async def test(api: Api) -> None:
        await deployed(api)
        table = await api.get(f"{DEPLOYMENTS}/web/scale", accept="application/json;as=Table;v=v1;g=meta.k8s.io")
        assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Desired", "Available", "Age"]
        assert table["rows"][0]["cells"][:3] == ["web", 3, 0]

    run(test)


def test_a_negative_scale_is_refused() -> None:
    async def test(api: Api) -> None:
        await deployed(api)
        with pytest.raises(Refused, match="must be greater than or equal to 0") as refused:
            await api.merge(f"{DEPLOYMENTS}/web/scale", {"spec": {"replicas": -1}})
        assert refused.value.causes[0]["field"] == "spec.replicas"

    run(test)


def test_a_pod_is_bound_once() -> None:
    async def test(api: Api) -> None:
        await api.post(PODS, a_pod())
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": "web", "annotations": {"why": "fits"}},
            "target": {"kind": "Node", "name": "n1"},
        }
        status = await api.post(f"{PODS}/web/binding", binding)
        assert status["status"] == "Success"
        pod = await api.get(f"{PODS}/web")
        assert pod["spec"]["nodeName"] == "n1"
        assert pod["metadata"]["annotations"]["why"] == "fits"
        assert pod["status"]["conditions"] == [
            {"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-01-02T03:04:05Z"}
        ]
        with pytest.raises(Refused, match='pod web is already assigned to node "n1"') as refused:
            await api.post(f"{PODS}/web/binding", binding)
        assert refused.value.code == 409
        assert [
            i["metadata"]["name"] for i in (await api.get(f"{PODS}?fieldSelector=spec.nodeName%3Dn1"))["items"]
        ] == ["web"]

    run(test)


@pytest.mark.parametrize(
    ("binding", "said"),
    [
        ({"target": {"kind": "Node"}}, "target.name: Required value"),
        ({"target": {"kind": "Pod", "name": "n"}}, "target.kind: Unsupported value"),
        ({"target": {"name": "n"}, "metadata": {"uid": "other"}}, "UID in precondition"),
    ],
)
def test_bindings_that_make_no_sense(binding: dict, said: str) -> None:
    async def test(api: Api) -> None:
        await api.post(PODS, a_pod())
        with pytest.raises(Refused, match=said):
            await api.post(f"{PODS}/web/binding", binding)
        assert "nodeName" not in (await api.get(f"{PODS}/web"))["spec"]

    run(test)


async def running(api: Api, name: str = "web", ready: str = "True") -> None:
    await api.post(PODS, a_pod(name))
    await api.post(f"{PODS}/{name}/binding", {"target": {"name": "n1"}})
    status = {"phase": "Running", "conditions": [{"type": "Ready", "status": ready}]}
    await api.merge(f"{PODS}/{name}/status", {"status": status})


async def budget(api: Api, allowed: int, name: str = "b", observed: int = 1, **spec: object) -> None:
    wanted = {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}, **spec}
    await api.post(BUDGETS, {"metadata": {"name": name}, "spec": wanted})
    status = {
        "disruptionsAllowed": allowed,
        "observedGeneration": observed,
        "currentHealthy": 1 + allowed,
        "desiredHealthy": 1,
        "expectedPods": 2,
    }
    await api.merge(f"{BUDGETS}/{name}/status", {"status": status})


EVICTION = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "web"}}


def test_an_eviction_spends_the_budget() -> None:
    async def test(api: Api) -> None:
        await running(api)
        await running(api, "two")
        await budget(api, 1)
        assert (await api.post(f"{PODS}/web/eviction", EVICTION))["status"] == "Success"
        assert (await api.get(f"{PODS}/web"))["metadata"]["deletionTimestamp"]
        status = (await api.get(f"{BUDGETS}/b"))["status"]
        assert status["disruptionsAllowed"] == 0
        assert status["disruptedPods"] == {"web": "2026-01-02T03:04:05Z"}
        with pytest.raises(Refused, match="would violate the pod's disruption budget") as refused:
            await api.post(f"{PODS}/two/eviction", {"metadata": {"name": "two"}})
        assert refused.value.code == 429
        assert refused.value.causes[0]["reason"] == "DisruptionBudget"
        assert refused.value.causes[0]["message"] == "The disruption budget b does not allow evicting pods currently"
        assert "deletionTimestamp" not in (await api.get(f"{PODS}/two"))["metadata"]

    run(test)


def test_a_pod_that_gets_ready_while_it_is_evicted_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    marked = eviction._mark

    def and_ready(draft: Draft, state: Any) -> None:
        """As if its node had written just before."""
        marked(draft, state)
        conditions = [{"type": "Ready", "status": "True"}, *draft.get("status", "conditions")]
        draft.set(conditions, "status", "conditions")

    async def test(api: Api) -> None:
        await running(api, ready="False")
        await budget(api, 0)
        with monkeypatch.context() as patched:
            patched.setattr(eviction, "_mark", and_ready)
            with pytest.raises(Refused, match="would violate the pod's disruption budget"):
                await api.post(f"{PODS}/web/eviction", EVICTION)
        assert "deletionTimestamp" not in (await api.get(f"{PODS}/web"))["metadata"]
        await api.merge(f"{PODS}/web/status", {"status": {"conditions": [{"type": "Ready", "status": "False"}]}})
        assert (await api.post(f"{PODS}/web/eviction", EVICTION))["status"] == "Success"

    run(test)


def test_a_budget_that_nobody_looked_at_yet_refuses() -> None:
    async def test(api: Api) -> None:
        await running(api)
        await budget(api, 1, observed=0)
        with pytest.raises(Refused) as refused:
            await api.post(f"{PODS}/web/eviction", EVICTION)
        assert "still being processed" in refused.value.causes[0]["message"]
        assert refused.value.status["details"]["retryAfterSeconds"] == 10

    run(test)


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        ({"currentHealthy": 1}, 429, "The disruption budget b needs 1 healthy pods and has 1 currently"),
        (
            {
                "conditions": [
                    {"type": "DisruptionAllowed", "status": "False", "reason": "SyncFailed", "message": "odd"}
                ]
            },
            429,
            "The disruption budget b does not allow evicting pods currently because it failed sync: odd",
        ),
        ({"disruptionsAllowed": -1}, 403, 'poddisruptionbudget.policy "b" is forbidden: pdb disruptions allowed is'),
        (
            {"disruptionsAllowed": 1, "disruptedPods": {f"p{n}": "2026-01-01T00:00:00Z" for n in range(2001)}},
            403,
            "DisruptedPods map too big - too many evictions not confirmed by PDB controller",
        ),
    ],
)
def test_why_a_budget_lets_nobody_go(status: dict[str, Any], code: int, words: str) -> None:
    draft = Draft({"metadata": {"name": "b"}, "status": {"desiredHealthy": 1, "currentHealthy": 2, **status}})
    with pytest.raises(ApiError) as refused:
        eviction.spend(draft, "web", "2026-01-02T03:04:05Z")
    assert refused.value.code == code
    assert words in (refused.value.causes[0].message if code == 429 else refused.value.message)


def test_two_budgets_are_one_too_many() -> None:
    async def test(api: Api) -> None:
        await running(api)
        await budget(api, 1)
        await budget(api, 1, "c")
        with pytest.raises(Refused, match="more than one PodDisruptionBudget") as refused:
            await api.post(f"{PODS}/web/eviction", EVICTION)
        assert refused.value.code == 500

    run(test)


def test_pods_that_disrupt_nothing_need_no_budget() -> None:
    async def test(api: Api) -> None:
        await api.post(PODS, a_pod())
        await budget(api, 0)
        await api.post(f"{PODS}/web/eviction", EVICTION)
        with pytest.raises(Refused, match="not found"):
            await api.get(f"{PODS}/web")
        await running(api, "sick", ready="False")
        await api.merge(f"{BUDGETS}/b", {"spec": {"unhealthyPodEvictionPolicy": "AlwaysAllow"}})
        await api.post(f"{PODS}/sick/eviction", {})

    run(test)


def test_a_dry_eviction_changes_nothing() -> None:
    async def test(api: Api) -> None:
        await running(api)
        await budget(api, 1)
        before = api.store.revision
        await api.post(f"{PODS}/web/eviction?dryRun=All", EVICTION)
        assert api.store.revision == before

    run(test)


def test_an_eviction_of_nothing() -> None:
    async def test(api: Api) -> None:
        with pytest.raises(Refused, match='pods "web" not found'):
            await api.post(f"{PODS}/web/eviction", EVICTION)
        with pytest.raises(Refused, match="name in URL does not match"):
            await api.post(f"{PODS}/other/eviction", EVICTION)

    run(test)


def test_a_binding_may_be_posted_by_itself() -> None:
    async def test(api: Api) -> None:
        await api.post(PODS, a_pod())
        bindings = "/api/v1/namespaces/default/bindings"
        await api.post(bindings, {"metadata": {"name": "web"}, "target": {"kind": "Node", "name": "n1"}})
        assert (await api.get(f"{PODS}/web"))["spec"]["nodeName"] == "n1"
        with pytest.raises(Refused, match='pods "ghost" not found'):
            await api.post(bindings, {"metadata": {"name": "ghost"}, "target": {"kind": "Node", "name": "n1"}})

    run(test)
