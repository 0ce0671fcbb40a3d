"""The whole agent on an API server in memory, with scripted containers: what users see of their pods' lives."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

from navarch.agent.fake import Behaviour, Pull
from navarch.agent.runtime import ContainerSpec, ExecResult
from navarch.base.errors import Retryable
from navarch.kinds import EVENT, NODE, POD
from navarch.kinds.object import Object
from tests.unit.agent import cluster


def play(tmp_path: Path, scenario: Callable[[Any], Coroutine[Any, Any, None]], **given: Any) -> None:
    async def run() -> None:
        async with cluster.world(tmp_path, **given) as world:
            await scenario(world)

    asyncio.run(run())


async def reasons(world: Any) -> list[tuple[str, str]]:
    found = [item.document() for item in (await world.client.list(EVENT, "default")).items]
    return [(event["reason"], event["message"]) for event in found]


async def told_of(world: Any, what: str) -> list[tuple[str, str]]:
    """The events, once one of them has this reason or message."""
    found = await reasons(world)
    for _ in range(6_000):
        if any(what in event for event in found):
            break
        await asyncio.sleep(0.01)
        found = await reasons(world)
    return found


def test_a_pod_runs_gets_an_address_and_becomes_ready(tmp_path: Path) -> None:
    async def scenario(world: Any) -> None:
        async with world.running():
            await world.create_pod("web")
            found = await world.until("web", cluster.ready)
            status = found["status"]
            assert status["phase"] == "Running"
            assert status["podIP"].startswith("10.42.0.")
            assert status["podIPs"] == [{"ip": status["podIP"]}]
            assert status["hostIP"] == "192.0.2.7"
            assert status["qosClass"] == "BestEffort"
            main = cluster.container(found)
            assert main["ready"]
            assert main["started"]
            assert main["restartCount"] == 0
            assert main["containerID"].startswith("containerd://")
            assert "running" in main["state"]
            kinds = {item["type"]: item["status"] for item in status["conditions"]}
            assert kinds == dict.fromkeys(
                ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"), "True"
            )

    play(tmp_path, scenario)


def test_a_deleted_pod_is_stopped_and_then_disappears(tmp_path: Path) -> None:
    async def scenario(world: Any) -> None:
        async with world.running():
            await world.create_pod("web")
            await world.until("web", cluster.ready)
            await world.client.delete(POD, "default", "web")
            await world.until_gone("web")
            assert await world.runtime.observe() == {}

    play(tmp_path, scenario)


def test_a_crashing_container_is_restarted_at_once_then_backs_off(tmp_path: Path) -> None:
    async def scenario(world: Any) -> None:
        async with world.running():
            await world.create_pod("crash")
            found = await world.until(
                "crash",
                lambda pod: (
                    cluster.container(pod)["state"].get("waiting", {}).get("reason") == "CrashLoopBackOff"
                    if pod.get("status", {}).get("containerStatuses")
                    else False
                ),
            )
            main = cluster.container(found)
            assert main["restartCount"] == 1
            assert main["lastState"]["terminated"]["exitCode"] == 3
            assert main["state"]["waiting"]["message"].startswith(
                "back-off 10s restarting failed container=main pod=crash_"
            )
            assert found["status"]["phase"] == "Running"
            assert not cluster.ready(found)
            assert "BackOff" in dict(await told_of(world, "BackOff"))

    play(tmp_path, scenario, behave=lambda spec: Behaviour(run_s=0.02, exit_code=3))


def test_a_pod_that_ends_well_has_succeeded_and_one_that_does_not_has_failed(tmp_path: Path) -> None:
    async def scenario(world: Any) -> None:
        async with world.running():
            await world.create_pod("good", {"name": "main", "image": "good:1"}, restartPolicy="Never")
            await world.create_pod("bad", {"name": "main", "image": "bad:1"}, restartPolicy="Never")
            good = await world.until("good", lambda pod: pod["status"].get("phase") == "Succeeded")
            bad = await world.until("bad", lambda pod: pod["status"].get("phase") == "Failed")
            assert cluster.container(good)["state"]["terminated"]["reason"] == "Completed"
            assert cluster.container(bad)["state"]["terminated"]["reason"] == "Error"
            assert {item["reason"] for item in good["status"]["conditions"] if item["type"] == "Ready"} == {
                "PodCompleted"
            }
            await world.client.delete(POD, "default", "good")
            await world.until_gone("good")

    play(tmp_path, scenario, behave=lambda spec: Behaviour(run_s=0.02, exit_code=int("bad" in spec.shown_image)))


def test_init_containers_run_one_after_the_other_before_the_main_ones(tmp_path: Path) -> None:
    async def scenario(world: Any) -> None:
        async with world.running():
            inits = [{"name": "one", "image": "init:1"}, {"name": "two", "image": "init:1"}]
            await world.create_pod("web", initContainers=inits)
            await world.until("web", cluster.ready)
            started = [subject for verb, subject in world.runtime.calls if verb == "create_container"]
            assert started == ["one", "two", "main"]

    play(tmp_path, scenario, behave=lambda spec: Behaviour(run_s=0.02 if "init" in spec.shown_image else None))


def test_sidecars_start_before_and_stop_after_the_main_containers(tmp_path: Path) -> None:
    async def scenario(world: Any) -> None:
        async with world.running():
            inits = [
                {"name": "side", "image": "side:1", "restartPolicy": "Always"},
                {"name": "init", "image": "init:1"},
            ]
            await world.create_pod("web", initContainers=inits)
            found = await world.until("web", cluster.ready)
            assert cluster.container(found, "side", "initContainerStatuses")["ready"]
            started = [subject for verb, subject in world.runtime.calls if verb == "create_container"]
            assert started == ["side", "init", "main"]
            observed = next(iter((await world.runtime.observe()).values()))
            names = {item.id: item.name for item in observed.containers}
            await world.client.delete(POD, "default", "web")
            await world.until_gone("web")
            stopped = [names[subject] for verb, subject in world.runtime.calls if verb == "stop_container"]
            assert stopped == ["main", "side"]

    play(tmp_path, scenario, behave=lambda spec: Behaviour(run_s=0.02 if "init" in spec.shown_image else None))


def test_a_failed_pull_is_shown_and_backs_off(tmp_path: Path) -> None:
    async def scenario(world: Any) -> None:
        async with world.running():
            await world.create_pod("web", {"name": "main", "image": "absent:1"})
            waiting = lambda pod: (  # noqa: E731
                cluster.container(pod)["state"].get("waiting", {}) if pod["status"].get("containerStatuses") else {}
            )
            found = await world.until("web", lambda pod: waiting(pod).get("reason") == "ErrImagePull")
            assert found["status"]["phase"] == "Pending"
            found = await world.until("web", lambda pod: waiting(pod).get("reason") == "ImagePullBackOff")
            assert 'Back-off pulling image "absent:1"' in waiting(found)["message"]
            told = await told_of(world, "Error: ImagePullBackOff")
            assert ("Pulling", 'Pulling image "absent:1"') in told
            assert ("Failed", "Error: ErrImagePull") in told
            assert ("Failed", "Error: ImagePullBackOff") in told

    play(tmp_path, scenario, pulls=lambda image: Pull(error="not found"))


def test_a_restarted_agent_touches_no_container(tmp_path: Path) -> None:
    async def scenario(world: Any) -> None:
        async with world.running():
            await world.create_pod("web")
            before = await world.until("web", cluster.ready)
        calls = len(world.runtime.calls)
        async with world.running():
            await asyncio.sleep(0.3)
            after = await world.pod("web")
        assert world.runtime.calls[calls:] == []
        assert after["status"] == before["status"]
        assert after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]

    play(tmp_path, scenario)


def test_what_was_deleted_while_the_agent_was_away_is_cleared_away(tmp_path: Path) -> None:
    async def scenario(world: Any) -> None:
        async with world.running():
            await world.create_pod("web")
            await world.until("web", cluster.ready)
        await world.client.delete(POD, "default", "web", grace_s=0)
        async with world.running():
            for _ in range(1_000):
                if not await world.runtime.observe():
                    break
                await asyncio.sleep(0.02)
        assert await world.runtime.observe() == {}

    play(tmp_path, scenario)


def test_a_broken_sandbox_is_replaced_and_counts_as_a_restart(tmp_path: Path) -> None:
    async def scenario(world: Any) -> None:
        async with world.running():
            await world.create_pod("web")
            first = await world.until("web", cluster.ready)
            [observed] = (await world.runtime.observe()).values()
            world.runtime.break_sandbox(observed.sandboxes[0].id)
            second = await world.until(
                "web", lambda pod: cluster.ready(pod) and cluster.container(pod)["restartCount"] == 1
            )
            assert second["status"]["podIP"] != first["status"]["podIP"]
            assert second["status"]["podIPs"] == [{"ip": second["status"]["podIP"]}]

    play(tmp_path, scenario)


def test_a_failing_liveness_probe_restarts_the_container(tmp_path: Path) -> None:
    def behave(spec: ContainerSpec) -> Behaviour:
        return Behaviour(execute=lambda command: ExecResult(1 if spec.attempt == 0 else 0, b"sick"))

    async def scenario(world: Any) -> None:
        async with world.running():
            probe = {"exec": {"command": ["check"]}, "periodSeconds": 1, "failureThreshold": 1}
            await world.create_pod("web", {"name": "main", "image": "app:1", "livenessProbe": probe})
            found = await world.until(
                "web",
                lambda pod: pod["status"].get("containerStatuses") and cluster.container(pod)["restartCount"] == 1,
            )
            assert cluster.container(found)["lastState"]["terminated"]["exitCode"] == 143
            told = await told_of(world, "Container main failed liveness probe, will be restarted")
            assert ("Unhealthy", "Liveness probe failed: sick") in told
            assert ("Killing", "Container main failed liveness probe, will be restarted") in told

    play(tmp_path, scenario, behave=behave)


def test_a_container_is_ready_only_when_its_readiness_probe_says_so(tmp_path: Path) -> None:
    healthy = False

    def behave(spec: ContainerSpec) -> Behaviour:
        return Behaviour(execute=lambda command: ExecResult(0 if healthy else 1))

    async def scenario(world: Any) -> None:
        nonlocal healthy
        async with world.running():
            probe = {"exec": {"command": ["check"]}, "periodSeconds": 1}
            await world.create_pod("web", {"name": "main", "image": "app:1", "readinessProbe": probe})
            found = await world.until("web", lambda pod: pod["status"].get("phase") == "Running")
            assert not cluster.ready(found)
            healthy = True
            await world.until("web", cluster.ready)

    play(tmp_path, scenario, behave=behave)


def test_deleting_without_grace_cuts_a_stop_that_is_under_way(tmp_path: Path) -> None:
    async def scenario(world: Any) -> None:
        async with world.running():
            await world.create_pod("web", terminationGracePeriodSeconds=300)
            await world.until("web", cluster.ready)
            await world.client.delete(POD, "default", "web")
            await asyncio.sleep(0.1)
            await world.client.delete(POD, "default", "web", grace_s=0)
            for _ in range(1_000):
                if not await world.runtime.observe():
                    break
                await asyncio.sleep(0.02)
            assert await world.runtime.observe() == {}

    play(tmp_path, scenario, behave=lambda spec: Behaviour(stop_s=None))


def test_a_missing_configmap_holds_the_container_until_it_is_there(tmp_path: Path) -> None:
    async def scenario(world: Any) -> None:
        async with world.running():
            source = {"configMapKeyRef": {"name": "settings", "key": "color"}}
            env = [{"name": "COLOR", "valueFrom": source}]
            await world.create_pod("web", {"name": "main", "image": "app:1", "env": env})
            found = await world.until(
                "web",
                lambda pod: (
                    pod["status"].get("containerStatuses")
                    and cluster.container(pod)["state"].get("waiting", {}).get("reason") == "CreateContainerConfigError"
                ),
            )
            assert cluster.container(found)["state"]["waiting"]["message"] == 'configmap "settings" not found'
            from navarch.kinds import CONFIGMAP

            made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "namespace": "default"}}
            await world.client.create(CONFIGMAP, {**made, "data": {"color": "blue"}})
            await world.until("web", cluster.ready)

    play(tmp_path, scenario)


def test_the_node_is_registered_and_told_ready(tmp_path: Path) -> None:
    async def scenario(world: Any) -> None:
        async with world.running():
            for _ in range(1_000):
                listing = await world.client.list(NODE)
                if listing.items and listing.items[0].view.ready:
                    break
                await asyncio.sleep(0.02)
            node = (await world.client.get(NODE, "", "n1")).document()
        assert node["status"]["capacity"]["pods"] == "110"
        assert node["metadata"]["labels"]["kubernetes.io/hostname"] == "n1"
        assert node["status"]["nodeInfo"]["containerRuntimeVersion"] == "fake://1"
        assert {"type": "InternalIP", "address": "192.0.2.7"} in node["status"]["addresses"]

    play(tmp_path, scenario)


def test_a_node_that_is_said_to_be_unknown_says_at_once_how_it_is(tmp_path: Path) -> None:
    """And not half a minute later, when it would next tell."""

    async def scenario(world: Any) -> None:
        async with world.running():
            for status in ("True", "Unknown", "True"):
                if status == "Unknown":
                    told = {"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown"}
                    patch = {"status": {"conditions": [told]}}
                    await world.client.patch(NODE, "", "n1", patch, type="strategic", subresource="status")
                    continue
                for _ in range(1_000):
                    listing = await world.client.list(NODE)
                    if listing.items and listing.items[0].view.ready:
                        break
                    await asyncio.sleep(0.02)
                else:
                    raise AssertionError("it does not say that it is ready")

    play(tmp_path, scenario)


def test_of_two_pods_that_want_one_port_the_later_fails_until_the_first_is_gone(tmp_path: Path) -> None:
    port = [{"containerPort": 80, "hostPort": 8080}]
    main = {"name": "main", "image": "app:1", "ports": port}

    async def scenario(world: Any) -> None:
        async with world.running():
            await world.create_pod("first", main)
            await world.until("first", cluster.ready)
            await world.create_pod("second", main)
            found = await world.until("second", lambda pod: pod["status"].get("phase") == "Failed")
            assert found["status"]["reason"] == "NodePorts"
            assert found["status"]["message"].startswith("Pod was rejected: Predicate NodePorts failed")
            assert any(reason == "NodePorts" for reason, _ in await told_of(world, "NodePorts"))
        async with world.running():  # another agent does not ask again
            await world.client.delete(POD, "default", "second", grace_s=0)
            await world.until_gone("second")
            assert cluster.ready(await world.pod("first"))
            await world.client.delete(POD, "default", "first", grace_s=0)
            await world.until_gone("first")
            await world.create_pod("second", main)
            await world.until("second", cluster.ready)

    play(tmp_path, scenario)


def test_a_container_starts_once_its_pod_is_isolated(tmp_path: Path) -> None:
    asked: list[tuple[str, Sequence[str], int]] = []

    async def scenario(world: Any) -> None:
        async def isolate(pod: Object, addresses: Sequence[str]) -> None:
            (there,) = (await world.runtime.observe(pod.uid)).values()
            asked.append((pod.name, tuple(addresses), len(there.containers)))
            if len(asked) == 1:
                raise Retryable("not yet")

        async with world.running() as agent:
            agent.isolate = isolate
            await world.create_pod("web")
            found = await world.until("web", cluster.ready)
            assert len(asked) >= 2, "asked again where it failed"
            assert asked[-1] == ("web", (found["status"]["podIP"],), 0)

    play(tmp_path, scenario)
