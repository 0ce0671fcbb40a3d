"""The whole agent with scripted containers: how pods begin anew, and what they are while they end."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from navarch.agent.fake import Behaviour
from navarch.agent.runtime import ContainerSpec, ExecResult
from navarch.kinds import POD
from tests.unit.agent import cluster
from tests.unit.agent.test_agent import play, reasons, told_of

RULE = {"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [88]}}


def test_one_end_restarts_all_containers_in_their_sandbox(tmp_path: Path) -> None:
    def behave(spec: ContainerSpec) -> Behaviour:
        if spec.name == "init":
            return Behaviour(run_s=0.01)
        return Behaviour(run_s=0.05, exit_code=88) if spec.name == "asks" and spec.attempt == 0 else Behaviour()

    async def scenario(world: Any) -> None:
        async with world.running():
            asks = {"name": "asks", "image": "a", "restartPolicy": "Never", "restartPolicyRules": [RULE]}
            inits = [{"name": "init", "image": "a"}, {"name": "side", "image": "a", "restartPolicy": "Always"}]
            made = [{"name": "main", "image": "a"}, asks]
            await world.create_pod("web", *made, initContainers=inits, restartPolicy="Never")
            found = await world.until(
                "web", lambda one: cluster.ready(one) and cluster.container(one, "asks")["restartCount"] == 1
            )
            for name, kind in (("main", "containerStatuses"), ("side", "initContainerStatuses")):
                assert cluster.container(found, name, kind)["restartCount"] == 1
            assert cluster.container(found, "init", "initContainerStatuses")["restartCount"] == 1
            assert cluster.container(found, "asks")["lastState"]["terminated"]["exitCode"] == 88
            restarting = next(one for one in found["status"]["conditions"] if one["type"] == "AllContainersRestarting")
            assert restarting["status"] == "False"
            assert [verb for verb, _ in world.runtime.calls].count("start_sandbox") == 1
            text = "Container main will be restarted with all containers of the pod"
            assert ("Killing", text) in await reasons(world)

    play(tmp_path, scenario, behave=behave)


def test_a_pod_over_its_deadline_is_told_of_once(tmp_path: Path) -> None:
    async def scenario(world: Any) -> None:
        async with world.running():
            await world.create_pod("late", activeDeadlineSeconds=1)
            found = await world.until("late", lambda one: one["status"].get("phase") == "Failed")
            assert found["status"]["reason"] == "DeadlineExceeded"
            text = "Pod was active on the node longer than the specified deadline"
            assert ("DeadlineExceeded", text) in await told_of(world, "DeadlineExceeded")
        async with world.running():  # an agent that begins anew has nothing to add
            await world.create_pod("other")
            await world.until("other", cluster.ready)
            assert [reason for reason, _ in await reasons(world)].count("DeadlineExceeded") == 1

    play(tmp_path, scenario, behave=lambda spec: Behaviour(stop_s=0.1))


def test_a_pod_that_is_being_stopped_is_still_asked_whether_it_is_ready_but_not_restarted(tmp_path: Path) -> None:
    healthy = True
    asked: list[str] = []

    def execute(command: Any) -> ExecResult:
        asked.append(command[0])
        return ExecResult(0 if healthy else 1)

    async def scenario(world: Any) -> None:
        nonlocal healthy
        async with world.running():
            often = {"periodSeconds": 1, "failureThreshold": 1}
            probes = {f"{kind}Probe": {"exec": {"command": [kind]}, **often} for kind in ("readiness", "liveness")}
            await world.create_pod("web", {"name": "main", "image": "a", **probes}, terminationGracePeriodSeconds=120)
            await world.until("web", cluster.ready)
            await world.client.delete(POD, "default", "web")
            await world.until("web", lambda one: "deletionTimestamp" in one["metadata"])
            healthy = False
            found = await world.until("web", lambda one: not cluster.ready(one))
            assert "running" in cluster.container(found)["state"]
            seen = len(asked)
            async with asyncio.timeout(60):
                while asked[seen:].count("readiness") < 3:  # noqa: ASYNC110 - scripted containers tell nobody
                    await asyncio.sleep(0.05)
            assert asked[seen:].count("liveness") <= 1
            assert cluster.container(await world.pod("web"))["restartCount"] == 0
            await world.client.delete(POD, "default", "web", grace_s=0)
            await world.until_gone("web")

    play(tmp_path, scenario, behave=lambda spec: Behaviour(stop_s=None, execute=execute))


def test_a_sidecars_hook_runs_while_the_main_container_still_stops(tmp_path: Path) -> None:
    order: list[str] = []

    def behave(spec: ContainerSpec) -> Behaviour:
        def execute(command: Any) -> ExecResult:
            order.append(command[0])
            return ExecResult(0)

        return Behaviour(stop_s=0.3 if spec.name == "main" else 0.0, execute=execute)

    async def scenario(world: Any) -> None:
        async with world.running():
            hooks = {
                name: {"lifecycle": {"preStop": {"exec": {"command": [f"hook-{name}"]}}}} for name in ("one", "two")
            }
            inits = [{"name": name, "image": "a", "restartPolicy": "Always", **more} for name, more in hooks.items()]
            await world.create_pod("web", {"name": "main", "image": "a"}, initContainers=inits)
            await world.until("web", cluster.ready)
            named = {
                status["containerID"].rpartition("/")[2]: status["name"]
                for kind in ("containerStatuses", "initContainerStatuses")
                for status in (await world.pod("web"))["status"][kind]
            }
            await world.client.delete(POD, "default", "web")
            await world.until_gone("web")
            assert sorted(order) == ["hook-one", "hook-two"]
            stops = [named[subject] for verb, subject in world.runtime.calls if verb == "stop_container"]
            assert list(dict.fromkeys(stops)) == ["main", "two", "one"]

    play(tmp_path, scenario, behave=behave)
