"""What writes must pass beyond their kind's rules, and what they are given on the way."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from api_driver import CONFIGMAPS, PODS, Api, Refused, a_pod, config, run

from navarch.apiserver.call import User
from navarch.base.errors import Forbidden

ACCOUNTS = "/api/v1/namespaces/default/serviceaccounts"
CLASSES = "/apis/scheduling.k8s.io/v1/priorityclasses"
LIMITS = "/api/v1/namespaces/default/limitranges"
CLAIMS = "/api/v1/namespaces/default/persistentvolumeclaims"
QUOTAS = "/api/v1/namespaces/default/resourcequotas"


def test_a_pod_gets_an_account_and_its_token() -> None:
    async def test(api: Api) -> None:
        spec = (await api.post(PODS, a_pod(initContainers=[{"name": "first", "image": "i:1"}])))["spec"]
        assert spec["serviceAccountName"] == spec["serviceAccount"] == "default"
        (volume,) = spec["volumes"]
        assert volume["name"].startswith("kube-api-access-")
        assert [next(iter(source)) for source in volume["projected"]["sources"]] == [
            "serviceAccountToken",
            "configMap",
            "downwardAPI",
        ]
        mount = {
            "name": volume["name"],
            "readOnly": True,
            "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
        }
        assert spec["containers"][0]["volumeMounts"] == spec["initContainers"][0]["volumeMounts"] == [mount]

    run(test)


def test_a_pod_or_its_account_may_do_without_a_token() -> None:
    async def test(api: Api) -> None:
        assert "volumes" not in (await api.post(PODS, a_pod("a", automountServiceAccountToken=False)))["spec"]
        await api.post(ACCOUNTS, {"metadata": {"name": "plain"}, "automountServiceAccountToken": False})
        assert "volumes" not in (await api.post(PODS, a_pod("b", serviceAccountName="plain")))["spec"]
        wanted = a_pod("c", serviceAccountName="plain", automountServiceAccountToken=True)
        assert "volumes" in (await api.post(PODS, wanted))["spec"]

    run(test)


def test_an_account_lends_its_pull_secrets() -> None:
    async def test(api: Api) -> None:
        await api.merge(f"{ACCOUNTS}/default", {"imagePullSecrets": [{"name": "s"}]})
        assert (await api.post(PODS, a_pod()))["spec"]["imagePullSecrets"] == [{"name": "s"}]

    run(test)


def test_an_account_that_is_not_there_is_named() -> None:
    async def test(api: Api) -> None:
        with pytest.raises(Refused, match='serviceaccount "ghost" not found') as refused:
            await api.post(PODS, a_pod(serviceAccountName="ghost"))
        assert refused.value.code == 403

    run(test)


def test_the_default_account_of_a_new_namespace_is_waited_for() -> None:
    async def test(api: Api) -> None:
        await api.post("/api/v1/namespaces", {"metadata": {"name": "new"}})
        pods = "/api/v1/namespaces/new/pods"
        with pytest.raises(Refused, match='serviceaccount "default" not found') as refused:
            await api.post(pods, a_pod())
        assert refused.value.code == 403

        async def later() -> None:
            await asyncio.sleep(0)
            await api.post("/api/v1/namespaces/new/serviceaccounts", {"metadata": {"name": "default"}})

        async with asyncio.TaskGroup() as group:
            made = group.create_task(api.post(pods, a_pod()))
            group.create_task(later())
        assert made.result()["spec"]["serviceAccountName"] == "default"

    run(test)


def test_priorities_come_from_classes() -> None:
    async def test(api: Api) -> None:
        assert (await api.post(PODS, a_pod("a")))["spec"]["priority"] == 0
        await api.post(CLASSES, {"metadata": {"name": "high"}, "value": 1000, "preemptionPolicy": "Never"})
        spec = (await api.post(PODS, a_pod("b", priorityClassName="high")))["spec"]
        assert (spec["priority"], spec["preemptionPolicy"]) == (1000, "Never")
        await api.post(CLASSES, {"metadata": {"name": "usual"}, "value": 5, "globalDefault": True})
        spec = (await api.post(PODS, a_pod("c")))["spec"]
        assert (spec["priority"], spec["priorityClassName"]) == (5, "usual")
        critical = a_pod("d", priorityClassName="system-node-critical")
        assert (await api.post(PODS, critical))["spec"]["priority"] == 2000001000
        with pytest.raises(Refused, match="no PriorityClass with name ghost was found") as refused:
            await api.post(PODS, a_pod("e", priorityClassName="ghost"))
        assert refused.value.code == 403
        with pytest.raises(Refused, match="the integer value of priority"):
            await api.post(PODS, a_pod("f", priorityClassName="high", priority=7))

    run(test)


def test_pods_bear_a_lost_node_for_ten_seconds() -> None:
    async def test(api: Api) -> None:
        own = {
            "key": "node.kubernetes.io/not-ready",
            "operator": "Exists",
            "effect": "NoExecute",
            "tolerationSeconds": 9,
        }
        found = (await api.post(PODS, a_pod(tolerations=[own])))["spec"]["tolerations"]
        assert found[0] == own
        assert [(t["key"], t["tolerationSeconds"]) for t in found[1:]] == [("node.kubernetes.io/unreachable", 10)]

    run(test)


def limit(**item: Any) -> dict[str, Any]:
    return {"metadata": {"name": "l"}, "spec": {"limits": [{"type": "Container", **item}]}}


def test_limit_ranges_fill_in_and_refuse() -> None:
    async def test(api: Api) -> None:
        item = limit(default={"cpu": "500m"}, defaultRequest={"cpu": "100m"}, max={"cpu": "1"}, min={"cpu": "50m"})
        await api.post(LIMITS, item)
        made = await api.post(PODS, a_pod())
        assert made["spec"]["containers"][0]["resources"] == {"limits": {"cpu": "500m"}, "requests": {"cpu": "100m"}}
        annotation = made["metadata"]["annotations"]["kubernetes.io/limit-ranger"]
        assert annotation == "LimitRanger plugin set: cpu limit for container main; cpu request for container main"
        large = a_pod("b")
        large["spec"]["containers"][0]["resources"] = {"limits": {"cpu": "2"}, "requests": {"cpu": "10m"}}
        with pytest.raises(Refused, match="maximum cpu usage per Container is 1, but limit is 2") as refused:
            await api.post(PODS, large)
        assert refused.value.code == 403
        assert "minimum cpu usage per Container is 50m, but request is 10m" in refused.value.message

    run(test)


def test_claims_have_bounds() -> None:
    async def test(api: Api) -> None:
        item = {"type": "PersistentVolumeClaim", "min": {"storage": "1Gi"}, "max": {"storage": "5Gi"}}
        await api.post(LIMITS, {"metadata": {"name": "l"}, "spec": {"limits": [item]}})

        async def claim(name: str, size: str) -> None:
            spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}
            await api.post(CLAIMS, {"metadata": {"name": name}, "spec": spec})

        await claim("a", "1Gi")
        await claim("b", "5Gi")
        with pytest.raises(Refused, match="minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 1Mi"):
            await claim("c", "1Mi")
        with pytest.raises(Refused, match="maximum storage usage per PersistentVolumeClaim is 5Gi, but request is 6Gi"):
            await claim("c", "6Gi")
        await api.merge(f"{LIMITS}/l", {"spec": {"limits": [{**item, "max": {"storage": "2Gi"}}]}})
        with pytest.raises(Refused, match="maximum storage usage per PersistentVolumeClaim is 2Gi, but request is 5Gi"):
            await api.merge(f"{CLAIMS}/b", {"metadata": {"labels": {"x": "y"}}})

    run(test)


def sized(cpu: str, limit: str = "") -> dict[str, Any]:
    return {"requests": {"cpu": cpu}, "limits": {"cpu": limit or cpu}}


def a_sized_pod(name: str, *containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    made = [{"name": f"c{i}", "image": "i:1", "resources": one} for i, one in enumerate(containers)]
    return {"metadata": {"name": name}, "spec": {"containers": made, **spec}}


def test_a_pod_is_bounded_as_a_whole() -> None:
    """With its init containers and sidecars, also where not every container says something."""

    async def test(api: Api) -> None:
        item = {"type": "Pod", "min": {"cpu": "100m"}, "max": {"cpu": "1"}}
        await api.post(LIMITS, {"metadata": {"name": "l"}, "spec": {"limits": [item]}})
        await api.post(PODS, a_sized_pod("a", sized("600m"), {}))
        first = {"name": "first", "image": "i:1", "resources": sized("1100m")}
        with pytest.raises(Refused, match="maximum cpu usage per Pod is 1, but limit is 1100m"):
            await api.post(PODS, a_sized_pod("b", sized("600m"), initContainers=[first]))
        sidecar = {"name": "beside", "image": "i:1", "resources": sized("500m"), "restartPolicy": "Always"}
        with pytest.raises(Refused, match="maximum cpu usage per Pod is 1, but limit is 1100m"):
            await api.post(PODS, a_sized_pod("b", sized("600m"), initContainers=[sidecar]))
        with pytest.raises(Refused, match="maximum cpu usage per Pod is 1, but limit is 2"):
            await api.post(PODS, a_sized_pod("b", {}, resources=sized("1", "2")))
        with pytest.raises(Refused, match=r"minimum cpu usage per Pod is 100m\.  No request is specified"):
            await api.post(PODS, a_sized_pod("b", {}))

    run(test)


def test_a_pod_that_is_resized_stays_within_bounds() -> None:
    async def test(api: Api) -> None:
        await api.post(LIMITS, limit(max={"cpu": "1"}))
        await api.post(PODS, a_sized_pod("a", sized("600m")))
        await api.merge(f"{PODS}/a", {"metadata": {"labels": {"x": "y"}}})
        larger = {"spec": {"containers": [{"name": "c0", "resources": sized("2")}]}}
        with pytest.raises(Refused, match="maximum cpu usage per Container is 1, but limit is 2"):
            await api.strategic(f"{PODS}/a/resize", larger)

    run(test)


def test_the_ratio_of_limits_to_requests() -> None:
    async def test(api: Api) -> None:
        await api.post(LIMITS, limit(maxLimitRequestRatio={"cpu": "2"}))
        pod = a_pod()
        pod["spec"]["containers"][0]["resources"] = {"limits": {"cpu": "3"}, "requests": {"cpu": "1"}}
        with pytest.raises(Refused, match=r"ratio per Container is 2, but provided ratio is 3\.0"):
            await api.post(PODS, pod)
        with pytest.raises(Refused, match="but no request is specified"):
            await api.post(PODS, a_pod())
        pod["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "1"}}
        with pytest.raises(Refused, match="but no limit is specified or limit is 0"):
            await api.post(PODS, pod)

    run(test)


def test_quotas_bound_what_a_namespace_holds() -> None:
    async def test(api: Api) -> None:
        hard = {"pods": "2", "requests.cpu": "1", "count/configmaps": "1"}
        await api.post(QUOTAS, {"metadata": {"name": "q"}, "spec": {"hard": hard}})
        await api.post(CONFIGMAPS, config("a"))
        with pytest.raises(Refused, match="exceeded quota: q, requested: count/configmaps=1") as refused:
            await api.post(CONFIGMAPS, config("b"))
        assert refused.value.code == 403
        with pytest.raises(Refused, match=r"failed quota: q: must specify requests\.cpu"):
            await api.post(PODS, a_pod())
        pod = a_pod()
        pod["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "600m"}}
        await api.post(PODS, pod)
        pod["metadata"]["name"] = "two"
        with pytest.raises(
            Refused, match=r"requested: requests\.cpu=600m, used: requests\.cpu=600m, limited: requests"
        ):
            await api.post(PODS, pod)

    run(test)


NODE = User("system:node:n1", groups=("system:nodes", "system:authenticated"))
NODES = "/api/v1/nodes"


def test_a_node_changes_only_itself_and_not_what_it_is() -> None:
    async def test(api: Api) -> None:
        await api.post(NODES, {"metadata": {"name": "n2"}})
        api.user = NODE
        await api.post(NODES, {"metadata": {"name": "n1", "labels": {"kubernetes.io/hostname": "n1", "mine": "x"}}})
        for wrong, said in (
            (api.post(NODES, {"metadata": {"name": "n3"}}), "is not allowed to modify node"),
            (api.merge(f"{NODES}/n2", {"metadata": {"labels": {"a": "b"}}}), "is not allowed to modify node"),
            (api.merge(f"{NODES}/n1", {"spec": {"taints": [{"key": "k", "effect": "NoSchedule"}]}}), "modify taints"),
            (
                api.merge(f"{NODES}/n1", {"metadata": {"labels": {"node-restriction.kubernetes.io/a": "b"}}}),
                "modify labels: node-restriction.kubernetes.io/a",
            ),
            (api.post(PODS, a_pod(nodeName="n1")), "can only create mirror pods"),
        ):
            with pytest.raises(Refused, match=said) as refused:
                await wrong
            assert refused.value.code == 403
        await api.merge(f"{NODES}/n1/status", {"status": {"phase": "Running"}})

    run(test)


def test_grants_are_checked_by_who_knows() -> None:
    async def test(api: Api) -> None:
        def refuse(user: User, kind: Any, new: Any, old: Any) -> None:
            if kind.name == "Role":
                raise Forbidden(f"{user.name} may not")

        api.core.check_grants(refuse)
        with pytest.raises(Refused, match="admin may not"):
            await api.post("/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles", {"metadata": {"name": "r"}})

    run(test)


def test_creates_at_one_time_do_not_overshoot_a_quota() -> None:
    async def test(api: Api) -> None:
        await api.post(QUOTAS, {"metadata": {"name": "q"}, "spec": {"hard": {"count/secrets": "3"}}})
        secrets = CONFIGMAPS.replace("configmaps", "secrets")
        made = await asyncio.gather(
            *(api.post(secrets, {"metadata": {"name": f"s{number}"}}) for number in range(10)), return_exceptions=True
        )
        assert sum(isinstance(one, dict) for one in made) == 3
        assert len((await api.get(secrets))["items"]) == 3
        await api.delete(f"{secrets}/{next(one['metadata']['name'] for one in made if isinstance(one, dict))}")
        await api.post(f"{secrets}?dryRun=All", {"metadata": {"name": "tried"}})
        await api.post(secrets, {"metadata": {"name": "again"}})

    run(test)


def test_a_taint_that_evicts_says_since_when() -> None:
    async def test(api: Api) -> None:
        await api.post("/api/v1/nodes", {"metadata": {"name": "n"}})
        evicting = {"key": "a", "value": "b", "effect": "NoExecute"}
        other = {"key": "c", "effect": "NoSchedule"}
        first = await api.merge("/api/v1/nodes/n", {"spec": {"taints": [evicting, other]}})
        began = first["spec"]["taints"][0]["timeAdded"]
        assert "timeAdded" not in first["spec"]["taints"][1]
        api.clock.turn(5)
        again = await api.merge("/api/v1/nodes/n", {"spec": {"taints": [evicting]}})
        assert again["spec"]["taints"] == [{**evicting, "timeAdded": began}]
        changed = await api.merge("/api/v1/nodes/n", {"spec": {"taints": [{**evicting, "value": "z"}]}})
        assert changed["spec"]["taints"][0]["timeAdded"] > began

    run(test)


def test_a_runtime_class_says_what_pods_of_it_cost_and_where_they_run() -> None:
    async def test(api: Api) -> None:
        with pytest.raises(Refused, match='pod rejected: RuntimeClass "fast" not found') as refused:
            await api.post(PODS, a_pod(runtimeClassName="fast"))
        assert refused.value.code == 403
        toleration = {"key": "fast", "operator": "Exists"}
        body = {
            "metadata": {"name": "fast"},
            "handler": "fast",
            "overhead": {"podFixed": {"cpu": "100m"}},
            "scheduling": {"nodeSelector": {"fast": "yes"}, "tolerations": [toleration]},
        }
        await api.post("/apis/node.k8s.io/v1/runtimeclasses", body)
        spec = (await api.post(PODS, a_pod("a", runtimeClassName="fast", nodeSelector={"a": "b"})))["spec"]
        assert spec["overhead"] == {"cpu": "100m"}
        assert spec["nodeSelector"] == {"a": "b", "fast": "yes"}
        assert toleration in spec["tolerations"]
        await api.post(PODS, a_pod("b", runtimeClassName="fast", overhead={"cpu": "0.1"}))
        for wrong, why in (
            ({"runtimeClassName": "fast", "overhead": {"cpu": "1"}}, "doesn't match"),
            ({"overhead": {"cpu": "1"}}, "without corresponding RuntimeClass"),
            ({"runtimeClassName": "fast", "nodeSelector": {"fast": "no"}}, "conflict: runtimeClass"),
        ):
            with pytest.raises(Refused, match=why):
                await api.post(PODS, a_pod("c", **wrong))

    run(test)
