"""All controllers together over the real core, with the scheduler and simulated nodes, in virtual time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from navarch.apiserver.call import User
from navarch.app.control_plane import ControlPlane, Settings
from navarch.base.clock import LoopClock, SeededIds
from navarch.base.errors import Conflict, NotFound, Retryable
from navarch.base.loop import SimulationLoop
from navarch.base.metrics import Registry
from navarch.base.pki import new_key
from navarch.client.client import Client
from navarch.client.informer import Informers
from navarch.controllers import Options
from navarch.kinds import (
    CLUSTERROLE,
    CONFIGMAP,
    CUSTOMRESOURCEDEFINITION,
    DEPLOYMENT,
    ENDPOINTS,
    ENDPOINTSLICE,
    EVENT,
    NAMESPACE,
    NODE,
    POD,
    PODDISRUPTIONBUDGET,
    REPLICASET,
    SERVICE,
    SERVICEACCOUNT,
    STATEFULSET,
)
from navarch.kinds.kind import Kind
from navarch.kinds.registry import DEFAULT
from navarch.store.memory import MemoryStore
from navarch.testing.behaviour import Behaviour
from navarch.testing.heartbeats import SimulatedHeartbeats
from navarch.testing.nodes import SimulatedNodes

ADMIN = User("admin", groups=("system:masters",))
SIGNING_KEY = new_key()


@dataclass
class Town:
    client: Client
    nodes: SimulatedNodes
    registry: Registry

    async def create(self, kind: Kind, name: str, namespace: str = "default", **parts: Any) -> None:
        metadata = {"name": name, **({"namespace": namespace} if kind.namespaced else {}), **parts.pop("metadata", {})}
        await self.client.create(
            kind, {"apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata, **parts}
        )

    async def list(self, kind: Kind, namespace: str = "default", **selectors: str) -> list[dict[str, Any]]:
        found = await self.client.list(kind, namespace if kind.namespaced else "", **selectors)  # type: ignore[arg-type]
        return [one.document() for one in found.items]

    async def get(self, kind: Kind, name: str, namespace: str = "default") -> dict[str, Any]:
        return (await self.client.get(kind, namespace if kind.namespaced else "", name)).document()

    async def deployment(self, name: str = "web", replicas: int = 3, image: str = "v1", **parts: Any) -> None:
        spec = {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {
                    "containers": [{"name": "c", "image": image, "ports": [{"name": "http", "containerPort": 80}]}]
                },
            },
            **parts.pop("spec", {}),
        }
        await self.create(DEPLOYMENT, name, spec=spec, **parts)

    async def image(self, image: str, name: str = "web") -> None:
        patch = [{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": image}]
        await self.client.patch(DEPLOYMENT, "default", name, patch, type="json")

    async def status(self, name: str = "web") -> dict[str, Any]:
        return (await self.get(DEPLOYMENT, name)).get("status", {})

    async def complete(self, name: str = "web") -> bool:
        found = await self.get(DEPLOYMENT, name)
        status, wanted = found.get("status", {}), found["spec"]["replicas"]
        return bool(
            status.get("observedGeneration") == found["metadata"]["generation"]
            and status.get("updatedReplicas", 0) == status.get("replicas", 0) == wanted
            and status.get("availableReplicas", 0) == wanted
        )

    async def until(self, condition: Callable[[], Awaitable[bool]], limit_s: float = 600.0) -> float:
        """Virtual seconds that it took."""
        loop = asyncio.get_running_loop()
        start = loop.time()
        while not await condition():
            assert loop.time() - start < limit_s, "it never came to be"
            await asyncio.sleep(0.1)
        return loop.time() - start

    async def count(self, kind: Kind, namespace: str = "default") -> int:
        return len(await self.list(kind, namespace))


class Complaints(logging.Handler):
    """What a controller could not do, such as for lack of rights."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.heard: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.heard.append(f"{record.getMessage()} {getattr(record, 'facts', '')}")


class Flaky:
    """A client whose writes fail now and then: before they were made, or after, or for somebody else's sake."""

    def __init__(self, client: Client, ids: SeededIds, share: float) -> None:
        self._client = client
        self._ids = ids
        self._share = share

    def __getattr__(self, verb: str) -> Any:
        call = getattr(self._client, verb)
        if verb not in ("create", "update", "patch", "delete"):
            return call

        async def flaky(*arguments: Any, **options: Any) -> Any:
            luck = self._ids.fraction() / self._share
            if luck < 0.3:
                raise Retryable("lost on the way there")
            if 0.3 <= luck < 0.6:
                raise Conflict("somebody was faster")
            found = await call(*arguments, **options)
            if 0.6 <= luck < 1:
                raise Retryable("lost on the way back")
            return found

        return flaky


class FlakyPlane(ControlPlane):
    """Every controller's client fails in a tenth of its writes."""

    def client(self, user: User, manager: str) -> Client:
        client = super().client(user, manager)
        if not user.name.endswith("-controller") and "collector" not in user.name:
            return client
        flaky: Any = Flaky(client, SeededIds(hash_of(user.name)), 0.1)
        return flaky  # type: ignore[no-any-return]


def hash_of(name: str) -> int:
    return sum(name.encode())


def play(
    script: Callable[[Town], Awaitable[None]],
    nodes: int = 3,
    make: type[ControlPlane] = ControlPlane,
    complaining: bool = False,
) -> None:
    """complaining: controllers may log that something could not be done."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        clock = LoopClock(datetime(2030, 1, 1, tzinfo=UTC), loop)
        heartbeats = SimulatedHeartbeats(clock)
        registry = Registry()
        options = Options(root_ca="PEM", cluster_cidr="10.0.0.0/8")
        settings = Settings(signing_key=SIGNING_KEY, options=options)
        plane = make(MemoryStore(), clock, SeededIds(1), settings, heartbeats=heartbeats, metrics=registry)
        await plane.start()
        client = plane.client(ADMIN, "test")
        informers = Informers(client, clock)
        simulated = SimulatedNodes(client, clock, heartbeats, informers=informers)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(part.run()) for part in (informers, simulated, plane)]
            for number in range(nodes):
                await simulated.add(f"n{number}")
            await script(Town(client, simulated, registry))
            for task in tasks:
                task.cancel()
        await plane.close()
        bugs = registry.counter("navarch_controller_bugs", "", ("controller",)).values
        assert bugs == {}

    complaints = Complaints()
    log = logging.getLogger("navarch.controllers")
    log.addHandler(complaints)
    log.setLevel(logging.INFO)
    try:
        with asyncio.Runner(loop_factory=SimulationLoop) as runner:
            runner.run(main())
    finally:
        log.removeHandler(complaints)
        log.setLevel(logging.NOTSET)
    assert complaining or complaints.heard == []


def test_a_deployment_comes_up_rolls_out_and_goes() -> None:
    async def script(town: Town) -> None:
        await town.deployment(replicas=4)
        await town.until(town.complete)
        assert await town.count(POD) == 4
        await town.image("v2")
        await town.until(town.complete)
        pods = await town.list(POD)
        assert {
            pod["spec"]["containers"][0]["image"] for pod in pods if "deletionTimestamp" not in pod["metadata"]
        } == {"v2"}
        assert await town.count(REPLICASET) == 2
        found = await town.get(DEPLOYMENT, "web")
        assert found["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "2"
        told = {event["reason"] for event in await town.list(EVENT)}
        assert {"ScalingReplicaSet", "SuccessfulCreate", "SuccessfulDelete", "Scheduled"} <= told
        await town.client.delete(DEPLOYMENT, "default", "web")

        async def gone() -> bool:
            return await town.count(REPLICASET) == 0 and await town.count(POD) == 0

        await town.until(gone)

    play(script)


def test_lost_answers_and_conflicts_change_nothing_in_the_end() -> None:
    async def script(town: Town) -> None:
        ports = [{"port": 80, "targetPort": "http"}]
        await town.create(SERVICE, "web", spec={"selector": {"app": "web"}, "ports": ports})
        most = 0
        await town.deployment(replicas=40)
        await town.until(town.complete)
        for image in ("v2", "v3"):
            await town.image(image)

            async def rolled() -> bool:
                nonlocal most
                pods = [pod for pod in await town.list(POD) if "deletionTimestamp" not in pod["metadata"]]
                most = max(most, len(pods))
                return await town.complete()

            await town.until(rolled)
        await asyncio.sleep(120)
        pods = await town.list(POD)
        assert len(pods) == 40
        assert {pod["spec"]["containers"][0]["image"] for pod in pods} == {"v3"}
        assert most <= 50
        assert await town.count(REPLICASET) == 3
        endpoints = [endpoint for found in await town.list(ENDPOINTSLICE) for endpoint in found["endpoints"]]
        assert sorted(e["targetRef"]["name"] for e in endpoints) == sorted(pod["metadata"]["name"] for pod in pods)
        await town.client.delete(DEPLOYMENT, "default", "web", propagation="Foreground")

        async def gone() -> bool:
            return await town.count(REPLICASET) == 0 and await town.count(POD) == 0

        await town.until(gone)

    play(script, make=FlakyPlane, complaining=True)


def test_nothing_is_written_when_nothing_changes() -> None:
    async def script(town: Town) -> None:
        await town.deployment()
        await town.create(
            SERVICE, "web", spec={"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": "http"}]}
        )
        await town.until(town.complete)
        await asyncio.sleep(60)
        before = (await town.client.list(POD)).revision
        plans = dict(town.registry.counter("navarch_controller_plans", "", ("controller",)).values)
        await asyncio.sleep(3600)
        for kind in DEFAULT.stored():
            newer = [one for one in (await town.client.list(kind)).items if one.revision > before]
            assert newer == [], "events that expire are all that changes"
        assert town.registry.counter("navarch_controller_plans", "", ("controller",)).values == plans

    play(script)


def test_a_lost_pod_is_replaced_and_scaling_works() -> None:
    async def script(town: Town) -> None:
        await town.deployment()
        await town.until(town.complete)
        first = (await town.list(POD))[0]["metadata"]["name"]
        await town.client.delete(POD, "default", first)
        await town.until(town.complete)

        async def scaled() -> bool:
            return await town.complete() and await town.count(POD) == 10

        await town.client.patch(DEPLOYMENT, "default", "web", {"spec": {"replicas": 10}}, subresource="scale")
        await town.until(scaled)

    play(script)


def test_services_have_slices_and_endpoints_of_their_ready_pods() -> None:
    async def script(town: Town) -> None:
        await town.create(
            SERVICE,
            "web",
            spec={"selector": {"app": "web"}, "ports": [{"name": "a", "port": 80, "targetPort": "http"}]},
        )

        async def placeholder() -> bool:
            return await town.count(ENDPOINTSLICE) == 1 and await town.count(ENDPOINTS) == 1

        await town.until(placeholder)
        await town.deployment(replicas=3)
        await town.until(town.complete)
        await asyncio.sleep(1)
        (found,) = await town.list(ENDPOINTSLICE)
        pods = {pod["status"]["podIP"]: pod for pod in await town.list(POD)}
        assert found["ports"] == [{"name": "a", "port": 80, "protocol": "TCP"}]
        assert {endpoint["addresses"][0] for endpoint in found["endpoints"]} == set(pods)
        for endpoint in found["endpoints"]:
            pod = pods[endpoint["addresses"][0]]
            assert endpoint["conditions"] == {"ready": True, "serving": True, "terminating": False}
            assert endpoint["nodeName"] == pod["spec"]["nodeName"]
            assert endpoint["targetRef"]["uid"] == pod["metadata"]["uid"]
        legacy = await town.get(ENDPOINTS, "web")
        assert {address["ip"] for address in legacy["subsets"][0]["addresses"]} == set(pods)
        await town.client.patch(DEPLOYMENT, "default", "web", {"spec": {"replicas": 0}})

        async def empty() -> bool:
            (found,) = await town.list(ENDPOINTSLICE)
            return not found["endpoints"]

        await town.until(empty)
        await town.client.delete(SERVICE, "default", "web")

        async def gone() -> bool:
            return await town.count(ENDPOINTSLICE) == 0 and await town.count(ENDPOINTS) == 0

        await town.until(gone)

    play(script)


def test_a_dead_nodes_pods_are_replaced_in_time() -> None:
    async def script(town: Town) -> None:
        await town.deployment(replicas=6)
        await town.until(town.complete)
        assert {pod["spec"]["nodeName"] for pod in await town.list(POD)} == {"n0", "n1", "n2"}
        town.nodes.fail("n1")

        async def unready() -> bool:
            node = await town.get(NODE, "n1")
            return any(taint["effect"] == "NoExecute" for taint in node["spec"].get("taints", ()))

        assert await town.until(unready) <= 13
        pods = [pod for pod in await town.list(POD) if pod["spec"]["nodeName"] == "n1"]
        assert all(
            condition["status"] == "False"
            for pod in pods
            for condition in pod["status"]["conditions"]
            if condition["type"] == "Ready"
        )

        async def replaced() -> bool:
            live = [pod for pod in await town.list(POD) if "deletionTimestamp" not in pod["metadata"]]
            away = all(pod["spec"].get("nodeName") in ("n0", "n2") for pod in live)
            return away and len(live) == 6 and all(pod["status"]["phase"] == "Running" for pod in live)

        assert await town.until(replaced) <= 17
        town.nodes.heal("n1")

        async def healed() -> bool:
            node = await town.get(NODE, "n1")
            return not node["spec"].get("taints") and await town.count(POD) == 6

        await town.until(healed)

    play(script)


def test_when_all_nodes_fall_silent_nobody_is_evicted() -> None:
    async def script(town: Town) -> None:
        await town.deployment(replicas=4)
        await town.until(town.complete)
        before = sorted(pod["metadata"]["uid"] for pod in await town.list(POD))
        for name in town.nodes.names():
            town.nodes.fail(name)
        await asyncio.sleep(3600)
        node = await town.get(NODE, "n0")
        assert [taint["effect"] for taint in node["spec"]["taints"]] == ["NoSchedule"]
        assert before == sorted(pod["metadata"]["uid"] for pod in await town.list(POD))

    play(script)


def test_pods_of_a_removed_node_go() -> None:
    async def script(town: Town) -> None:
        await town.deployment(replicas=3)
        await town.until(town.complete)
        town.nodes.fail("n1")
        await town.client.delete(NODE, "", "n1")

        async def moved() -> bool:
            return await town.complete() and all(pod["spec"].get("nodeName") != "n1" for pod in await town.list(POD))

        assert await town.until(moved) < 30

    play(script)


def test_a_deleted_namespace_takes_everything_with_it() -> None:
    async def script(town: Town) -> None:
        await town.create(NAMESPACE, "shop")

        async def furnished() -> bool:
            accounts = await town.count(SERVICEACCOUNT, "shop")
            return accounts == 1 and await town.count(CONFIGMAP, "shop") == 1

        await town.until(furnished)
        assert (await town.get(CONFIGMAP, "kube-root-ca.crt", "shop"))["data"] == {"ca.crt": "PEM"}
        await town.deployment(metadata={"namespace": "shop"})
        await town.create(SERVICE, "web", "shop", spec={"selector": {"app": "web"}, "ports": [{"port": 80}]})
        await town.create(CONFIGMAP, "held", "shop", metadata={"finalizers": ["example.com/wait"]})
        await asyncio.sleep(20)
        assert await town.count(POD, "shop") == 3
        await town.client.delete(NAMESPACE, "", "shop")
        await asyncio.sleep(60)
        conditions = {c["type"]: c for c in (await town.get(NAMESPACE, "shop"))["status"]["conditions"]}
        assert conditions["NamespaceContentRemaining"]["status"] == "True"
        assert conditions["NamespaceFinalizersRemaining"]["message"].endswith(
            "example.com/wait in 1 resource instances"
        )
        assert await town.count(POD, "shop") == 0
        await town.client.patch(CONFIGMAP, "shop", "held", {"metadata": {"finalizers": None}})

        async def gone() -> bool:
            try:
                await town.get(NAMESPACE, "shop")
            except NotFound:
                return True
            return False

        await town.until(gone)
        for kind in DEFAULT.stored():
            if kind.namespaced:
                assert await town.count(kind, "shop") == 0

    play(script)


def test_cascades() -> None:
    async def script(town: Town) -> None:
        async def no_sets() -> bool:
            return await town.count(REPLICASET) == 0

        await town.deployment("kept", 2)
        await town.until(lambda: town.complete("kept"))
        await town.client.delete(DEPLOYMENT, "default", "kept", propagation="Orphan")

        async def orphaned() -> bool:
            sets = await town.list(REPLICASET)
            return await town.count(DEPLOYMENT) == 0 and "ownerReferences" not in sets[0]["metadata"]

        await town.until(orphaned)
        await asyncio.sleep(60)
        assert await town.count(POD) == 2
        (left,) = await town.list(REPLICASET)
        await town.deployment("kept", 2)
        await town.until(lambda: town.complete("kept"))
        (adopted,) = await town.list(REPLICASET)
        assert adopted["metadata"]["uid"] == left["metadata"]["uid"], "a new Deployment adopts what was orphaned"

        order: list[str] = []
        await town.client.delete(DEPLOYMENT, "default", "kept", propagation="Foreground")

        async def watched() -> bool:
            state = f"{await town.count(DEPLOYMENT)}{await town.count(REPLICASET)}{await town.count(POD)}"
            if not order or order[-1] != state:
                order.append(state)
            return state == "000"

        await town.until(watched)
        assert order[0] == "112"
        assert all(state[0] == "1" for state in order[:-1] if state[1] == "1"), "owners outlast what blocks them"
        assert all(state[1] == "1" for state in order if state[2] != "0")

    play(script)


def test_a_broken_version_is_undone() -> None:
    async def script(town: Town) -> None:
        town.nodes.behave(Behaviour(image="broken", exit_code=1, runs_s=1))
        await town.deployment(metadata={"annotations": {"navarch.dev/auto-rollback": "true"}})
        await town.until(town.complete)
        await town.image("broken")

        async def undone() -> bool:
            found = await town.get(DEPLOYMENT, "web")
            return bool(found["spec"]["template"]["spec"]["containers"][0]["image"] == "v1")

        await town.until(undone)
        await town.until(town.complete)
        rolled = [c for c in (await town.status())["conditions"] if c["type"] == "RolledBack"]
        assert rolled[0]["status"] == "True"
        assert "RolledBack" in {event["reason"] for event in await town.list(EVENT)}

    play(script)


def test_a_budget_says_how_many_may_go() -> None:
    async def script(town: Town) -> None:
        await town.deployment(replicas=4)
        await town.create(
            PODDISRUPTIONBUDGET, "web", spec={"maxUnavailable": "25%", "selector": {"matchLabels": {"app": "web"}}}
        )
        await town.until(town.complete)

        async def allowed() -> bool:
            status = (await town.get(PODDISRUPTIONBUDGET, "web")).get("status", {})
            counts = [status.get(key) for key in ("expectedPods", "desiredHealthy", "currentHealthy")]
            return counts == [4, 3, 4] and status["disruptionsAllowed"] == 1

        await town.until(allowed)

    play(script)


def test_a_budget_counts_what_statefulsets_and_custom_resources_ask_for() -> None:
    crd = {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"plural": "fleets", "singular": "fleet", "kind": "Fleet"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
                "subresources": {"scale": {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.size"}},
            }
        ],
    }

    async def script(town: Town) -> None:
        await town.create(CUSTOMRESOURCEDEFINITION, "fleets.example.com", spec=crd)
        template = {"metadata": {"labels": {"app": "db"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
        spec = {"replicas": 3, "serviceName": "db", "selector": {"matchLabels": {"app": "db"}}, "template": template}
        await town.create(STATEFULSET, "db", spec=spec)
        await asyncio.sleep(30)
        at = "/apis/example.com/v1/namespaces/default/fleets"
        body = {"apiVersion": "example.com/v1", "kind": "Fleet", "metadata": {"name": "f"}, "spec": {"size": 4}}
        fleet = orjson.loads(await town.client.raw("POST", at, body=orjson.dumps(body)))["metadata"]
        owner = {"apiVersion": "example.com/v1", "kind": "Fleet", "name": "f", "uid": fleet["uid"], "controller": True}
        for name in ("a", "b"):
            metadata = {"labels": {"app": "fleet"}, "ownerReferences": [owner]}
            await town.create(POD, name, metadata=metadata, spec=template["spec"])
        for app in ("db", "fleet"):
            wanted = {"maxUnavailable": 1, "selector": {"matchLabels": {"app": app}}}
            await town.create(PODDISRUPTIONBUDGET, app, spec=wanted)

        async def counted() -> bool:
            found = [(await town.get(PODDISRUPTIONBUDGET, app)).get("status", {}) for app in ("db", "fleet")]
            seen = [(one.get("expectedPods"), one.get("desiredHealthy"), one.get("currentHealthy")) for one in found]
            return seen == [(3, 2, 3), (4, 3, 2)] and [one["disruptionsAllowed"] for one in found] == [1, 0]

        await town.until(counted, 60)

    play(script)


def test_roles_are_aggregated() -> None:
    async def script(town: Town) -> None:
        selector = {"matchLabels": {"to": "all"}}
        await town.create(CLUSTERROLE, "all", aggregationRule={"clusterRoleSelectors": [selector]}, rules=[])
        rule = {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}
        await town.create(CLUSTERROLE, "part", metadata={"labels": {"to": "all"}}, rules=[rule])

        async def joined() -> bool:
            return (await town.get(CLUSTERROLE, "all")).get("rules") == [rule]

        await town.until(joined)
        await town.client.delete(CLUSTERROLE, "", "part")

        async def parted() -> bool:
            return not (await town.get(CLUSTERROLE, "all")).get("rules")

        await town.until(parted)

    play(script)


def test_who_names_an_owner_in_another_namespace_is_told_and_goes_with_it() -> None:
    async def script(town: Town) -> None:
        await town.create(NAMESPACE, "other")
        await town.create(CONFIGMAP, "owner")
        owner = await town.client.get(CONFIGMAP, "default", "owner")
        reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner.uid}
        metadata = {"ownerReferences": [reference]}
        await town.create(CONFIGMAP, "astray", "other", metadata=metadata)
        await town.create(NAMESPACE, "whole", metadata=metadata)

        async def told() -> bool:
            events = [event for event in await town.list(EVENT, "") if event["reason"] == "OwnerRefInvalidNamespace"]
            names = sorted(event["involvedObject"]["name"] for event in events)
            kept = {found["metadata"]["name"] for found in await town.list(CONFIGMAP, "other")}
            return names == ["astray", "whole"] and "astray" not in kept

        await town.until(told)
        await asyncio.sleep(60)
        assert await told(), "once each"
        assert (await town.client.get(NAMESPACE, "", "whole")).view.metadata.deletion_timestamp is None

    play(script)
