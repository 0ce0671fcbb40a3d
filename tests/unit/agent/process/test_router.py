"""Which runtime a pod is sent to, and that both are told of together; two fakes stand for both."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest

from navarch.agent.fake import FakeRuntime
from navarch.agent.process.names import HANDLERS
from navarch.agent.process.router import Router
from navarch.agent.runtime import POD_UID, ContainerSpec, RuntimeFailure, SandboxSpec
from navarch.base.clock import SeededIds, SystemClock


class Processes(FakeRuntime):
    """made: ids of sandboxes and containers."""

    def __init__(self) -> None:
        super().__init__(SystemClock(), SeededIds(2), images=["host"], handlers=HANDLERS)
        self.made: set[str] = set()

    async def ready(self) -> None:
        """Nothing is to be read."""

    def holds(self, some_id: str) -> bool:
        return some_id in self.made

    async def start_sandbox(self, spec: SandboxSpec) -> str:
        self.made.add(found := await super().start_sandbox(spec))
        return found

    async def create_container(self, sandbox_id: str, sandbox: SandboxSpec, spec: ContainerSpec) -> str:
        self.made.add(found := await super().create_container(sandbox_id, sandbox, spec))
        return found


class Both:
    def __init__(self, root: Path) -> None:
        self.made = 0
        self.containers = FakeRuntime(SystemClock(), SeededIds(1), images=["app:1"])
        self.host = Processes()
        self.router = Router(self.containers, self._make, root)

    def _make(self) -> Any:
        self.made += 1
        return cast(Any, self.host)


def spec(uid: str, handler: str = "") -> SandboxSpec:
    return SandboxSpec("default", uid, uid, labels={POD_UID: uid}, runtime_handler=handler)


async def hosted(both: Both) -> str:
    """A container that runs."""
    box = await both.router.start_sandbox(spec("hosted", HANDLERS[0]))
    labels = {POD_UID: "hosted"}
    made = await both.router.create_container(box, spec("hosted"), ContainerSpec("main", "host", labels=labels))
    await both.router.start_container(made)
    return made


def test_pods_go_by_their_handler_and_all_are_told_of(tmp_path: Path) -> None:
    async def scenario() -> None:
        both = Both(tmp_path / "none")
        await both.router.start_sandbox(spec("plain"))
        assert await both.router.observe()
        assert both.made == 0
        made = await hosted(both)
        assert both.made == 1
        assert set(await both.router.observe()) == {"plain", "hosted"}
        assert set(await both.host.observe()) == {"hosted"}
        assert [one.id for one in await both.router.stats()] == [made]
        await both.router.stop_container(made, 0)
        await both.router.remove_container(made)
        for pod in (await both.router.observe()).values():
            await both.router.stop_sandbox(pod.sandboxes[0].id)
            await both.router.remove_sandbox(pod.sandboxes[0].id)
        assert await both.router.observe() == {}

    asyncio.run(scenario())


def test_what_is_left_from_before_is_looked_for_at_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        both = Both(tmp_path)
        await both.host.start_sandbox(spec("left", HANDLERS[0]))
        assert set(await both.router.observe()) == {"left"}
        assert both.made == 1

    asyncio.run(scenario())


def test_the_host_is_an_image_that_nobody_pulls_and_no_container_may_use(tmp_path: Path) -> None:
    async def scenario() -> None:
        both = Both(tmp_path / "none")
        image = await both.router.image("host:latest")
        assert image is not None
        assert image.fixed
        assert await both.router.pull("host:latest") == "host"
        assert [one.names for one in await both.router.images()] == [("docker.io/library/app:1",)]
        box = await both.router.start_sandbox(spec("plain"))
        with pytest.raises(RuntimeFailure, match="host's own file system"):
            await both.router.create_container(box, spec("plain"), ContainerSpec("main", image.id, shown_image="host"))

    asyncio.run(scenario())


def test_changes_of_both_are_told_by_one_stream(tmp_path: Path) -> None:
    async def scenario() -> None:
        both = Both(tmp_path / "none")
        changes = both.router.changes()
        assert await anext(changes) == frozenset({""})
        made = await hosted(both)
        async with asyncio.timeout(30):
            while "" not in await anext(changes):
                continue
            both.host.crash(made)
            while "hosted" not in await anext(changes):
                continue
        await changes.aclose()  # type: ignore[attr-defined]

    asyncio.run(scenario())


def test_handlers_are_told_beside_the_others(tmp_path: Path) -> None:
    async def scenario() -> None:
        both = Both(tmp_path / "none")
        told = (await both.containers.info()).handlers
        assert (await both.router.info()).handlers == (None if told is None else (*told, *HANDLERS))

    asyncio.run(scenario())
