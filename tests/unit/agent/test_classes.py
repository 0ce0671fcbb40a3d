"""Runtime classes: the handler that a pod's sandbox is made with, and what the runtime cannot do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from navarch.agent.classes import check_user_namespace
from navarch.agent.fake import FakeRuntime
from navarch.agent.runtime import RuntimeFailure, RuntimeInfo
from navarch.kinds import NODE, POD, RUNTIMECLASS
from tests.unit.agent import cluster
from tests.unit.agent.pods import pod
from tests.unit.agent.test_agent import play, told_of


def test_users_of_a_pods_own_need_a_runtime_that_maps_them() -> None:
    own = pod(hostUsers=False)
    able = RuntimeInfo("r", "1", handlers=("", "kata"), user_namespaces=frozenset({"kata"}))
    check_user_namespace(pod(), "", None)
    check_user_namespace(own, "kata", able)
    with pytest.raises(RuntimeFailure, match=r"spec\.hostUsers: false`, runtime does not support user namespaces"):
        check_user_namespace(own, "", able)
    with pytest.raises(RuntimeFailure, match='RuntimeClass handler "gvisor" does not support user namespaces'):
        check_user_namespace(own, "gvisor", None)


async def runtime_class(world: Any, name: str, handler: str) -> None:
    made = {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": name}, "handler": handler}
    await world.client.create(RUNTIMECLASS, made)


def test_a_pods_class_chooses_the_handler_and_an_unknown_one_is_told(tmp_path: Path) -> None:
    async def scenario(world: Any) -> None:
        await runtime_class(world, "strong", "kata")
        await runtime_class(world, "odd", "odd")
        await runtime_class(world, "gone", "kata")
        await world.create_pod("late", runtimeClassName="gone")
        await world.client.delete(RUNTIMECLASS, "", "gone")
        async with world.running():
            await world.create_pod("web", runtimeClassName="strong")
            await world.create_pod("odd", runtimeClassName="odd")
            await world.create_pod("mapped", hostUsers=False)
            await world.until("web", cluster.ready)
            odd = 'Failed to create pod sandbox: failed to get sandbox runtime: no runtime for "odd" is configured'
            assert ("FailedCreatePodSandBox", odd) in await told_of(world, odd)
            gone = 'Failed to create pod sandbox: runtimeclass.node.k8s.io "gone" not found'
            assert ("FailedCreatePodSandBox", gone) in await told_of(world, gone)
            assert any("does not support user namespaces" in text for _, text in await told_of(world, gone))
            for name in ("odd", "late", "mapped"):
                assert (await world.pod(name))["status"]["phase"] == "Pending"
            node = (await world.client.get(NODE, "", cluster.NODE)).document()
            assert [one["name"] for one in node["status"]["runtimeHandlers"]] == ["", "kata"]
            assert node["status"]["features"] == {"supplementalGroupsPolicy": False}
            await world.create_pod("strict", securityContext={"supplementalGroupsPolicy": "Strict"})
            found = await world.until("strict", lambda one: one["status"].get("phase") == "Failed")
            assert found["status"]["reason"] == "SupplementalGroupsPolicyNotSupported"
            running = await world.client.list(POD, "default", fields="status.phase=Running")
            assert [item.name for item in running.items] == ["web"]

    def able(*given: Any, **more: Any) -> FakeRuntime:
        return FakeRuntime(*given, handlers=("", "kata"), **more)

    play(tmp_path, scenario, runtime=able)
