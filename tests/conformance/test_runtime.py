"""One suite for every container runtime: the fake, containerd, and processes of the host itself."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from navarch.agent.cri import CriRuntime
from navarch.agent.fake import Behaviour, FakeRuntime, Pull
from navarch.agent.imagefile import File, ImageConfig, write_archive
from navarch.agent.runtime import (
    CONTAINER_NAME,
    POD_NAME,
    POD_NAMESPACE,
    POD_UID,
    ContainerSpec,
    ContainerState,
    ExecResult,
    Gone,
    PodOnNode,
    Resources,
    Runtime,
    RuntimeFailure,
    SandboxSpec,
)
from navarch.base.clock import SeededIds, SystemClock
from tests.node import containerd_fixture as fixture
from tests.node import process_fixture as processes

IMAGE = "navarch.test/busybox:1"


def _run(command: Sequence[str]) -> ExecResult:
    """The few shell lines of this suite, as the fake's containers know them."""
    line = command[-1]
    if command[0] == "grep":
        return ExecResult(0)
    if match := re.fullmatch(r"echo (\w+); exit (\d+)", line):
        return ExecResult(int(match[2]), f"{match[1]}\n".encode())
    raise AssertionError(line)


def _behave(spec: ContainerSpec) -> Behaviour:
    line = spec.command[-1]
    if match := re.fullmatch(r"sleep ([\d.]+); exit (\d+)", line):
        return Behaviour(run_s=float(match[1]), exit_code=int(match[2]))
    if line == "no-such-program":
        return Behaviour(start_error="exec: no-such-program: not found")
    return Behaviour(stop_s=0.0 if line.startswith("trap") else None, execute=_run)


@asynccontextmanager
async def _fake() -> AsyncIterator[Runtime]:
    def pulls(image: str) -> Pull:
        return Pull(error="not reachable")

    yield FakeRuntime(SystemClock(), SeededIds(1), behave=_behave, pulls=pulls, images=[IMAGE], handlers=("", "runc"))


@asynccontextmanager
async def _containerd() -> AsyncIterator[Runtime]:
    if lacking := fixture.missing():
        pytest.skip(f"no containerd here: {lacking}")
    async with fixture.machine() as machine:
        yield machine.runtime


@asynccontextmanager
async def _processes() -> AsyncIterator[Runtime]:
    async with processes.machine(names=frozenset((IMAGE,)), handlers=("", "runc")) as machine:
        yield machine.runtime


WAYS = {"fake": _fake, "containerd": _containerd, "processes": _processes}
NODES = [pytest.param(name, marks=pytest.mark.node) for name in ("containerd", "processes")]


@pytest.fixture(params=["fake", *NODES], scope="module")
def run(request: pytest.FixtureRequest) -> Iterator[Callable[[Callable[[Runtime], Awaitable[None]]], None]]:
    """Runs a coroutine function on a runtime that all tests of the module share."""
    runner = asyncio.Runner()
    way = WAYS[request.param]()
    runtime = runner.run(way.__aenter__())
    yield lambda test: runner.run(test(runtime))
    runner.run(way.__aexit__(None, None, None))
    runner.close()


def sandbox(uid: str, attempt: int = 0) -> SandboxSpec:
    labels = {POD_NAME: f"pod-{uid}", POD_NAMESPACE: "default", POD_UID: uid}
    return SandboxSpec(
        "default", f"pod-{uid}", uid, attempt, hostname=uid, labels=labels, cgroup_parent=f"/navtest{os.getpid()}"
    )


def container(uid: str, name: str, line: str, attempt: int = 0) -> ContainerSpec:
    labels = {POD_NAME: f"pod-{uid}", POD_NAMESPACE: "default", POD_UID: uid, CONTAINER_NAME: name}
    command = ("sh", "-c", line) if " " in line else (line,)
    return ContainerSpec(name, IMAGE, attempt, command=command, labels=labels, annotations={"note": "kept"})


FOREVER = "trap 'exit 0' TERM; while true; do sleep 0.05; done"
STUBBORN = "while true; do sleep 0.2; done"


async def started(runtime: Runtime, uid: str, line: str) -> tuple[str, str]:
    box = await runtime.start_sandbox(sandbox(uid))
    made = await runtime.create_container(box, sandbox(uid), container(uid, "main", line))
    await runtime.start_container(made)
    return box, made


async def pod(runtime: Runtime, uid: str) -> PodOnNode:
    return (await runtime.observe(uid)).get(uid, PodOnNode(uid))


async def until_exited(runtime: Runtime, uid: str) -> PodOnNode:
    for _ in range(2_000):
        found = await pod(runtime, uid)
        if found.containers[0].state is ContainerState.EXITED:
            return found
        await asyncio.sleep(0.05)
    raise AssertionError(f"{uid} still runs")


def test_a_container_runs_and_is_observed_with_its_names(run: Callable[..., None]) -> None:
    async def scenario(runtime: Runtime) -> None:
        box, made = await started(runtime, "runs", FOREVER)
        found = await pod(runtime, "runs")
        assert (found.namespace, found.name) == ("default", "pod-runs")
        [seen] = found.sandboxes
        assert seen.id == box
        assert seen.ready
        assert seen.ips
        [instance] = found.containers
        assert (instance.id, instance.sandbox_id, instance.name, instance.attempt) == (made, box, "main", 0)
        assert instance.state is ContainerState.RUNNING
        assert instance.started_at is not None
        assert instance.finished_at is None
        assert instance.annotations["note"] == "kept"
        assert "runs" in await runtime.observe()
        await runtime.remove_sandbox(box)

    run(scenario)


def test_an_exit_is_reported_with_its_code_and_as_a_change(run: Callable[..., None]) -> None:
    async def scenario(runtime: Runtime) -> None:
        changes = runtime.changes()
        assert await anext(changes) == frozenset({""})
        box, _ = await started(runtime, "exits", "sleep 0.3; exit 3")
        async with asyncio.timeout(60):
            async for changed in changes:
                found = await pod(runtime, "exits")
                if "exits" in changed and found.containers[0].state is ContainerState.EXITED:
                    break
        [instance] = found.containers
        assert (instance.exit_code, instance.reason) == (3, "Error")
        assert instance.finished_at is not None
        assert instance.started_at is not None
        assert instance.finished_at >= instance.started_at
        await changes.aclose()  # type: ignore[attr-defined]
        await runtime.remove_sandbox(box)

    run(scenario)


def test_an_exit_right_after_the_stream_has_opened_is_told(run: Callable[..., None]) -> None:
    async def test(runtime: Runtime) -> None:
        _, made = await started(runtime, "early", STUBBORN)
        changes = runtime.changes()
        assert await anext(changes) == frozenset({""})
        await runtime.stop_container(made, 0)
        async with asyncio.timeout(60):
            while "early" not in await anext(changes):
                continue
        assert (await pod(runtime, "early")).containers[0].state is ContainerState.EXITED

    run(test)


@pytest.mark.parametrize("run", [pytest.param("containerd", marks=pytest.mark.node)], indirect=True, scope="module")
def test_what_others_remove_is_told_and_what_we_remove_is_not(run: Callable[..., None]) -> None:
    async def scenario(runtime: Runtime) -> None:
        assert isinstance(runtime, CriRuntime)
        other = CriRuntime(runtime.socket, SystemClock())
        try:
            box, made = await started(runtime, "theirs", "sleep 0.1; exit 0")
            own_box, own = await started(runtime, "ours", "sleep 0.1; exit 0")
            for uid in ("theirs", "ours"):
                await until_exited(runtime, uid)
            changes = runtime.changes()
            assert await anext(changes) == frozenset({""})
            await runtime.remove_container(own)
            await other.remove_container(made)
            async with asyncio.timeout(60):
                assert await anext(changes) == frozenset({"theirs"})
            assert (await pod(runtime, "theirs")).containers == ()
            assert (await pod(runtime, "ours")).containers == ()
            await other.remove_sandbox(box)
            async with asyncio.timeout(60):
                while (await pod(runtime, "theirs")).sandboxes:
                    assert await anext(changes) == frozenset({"theirs"})
            await changes.aclose()  # type: ignore[attr-defined]
            await runtime.remove_sandbox(own_box)
        finally:
            await other.close()

    run(scenario)


def test_an_exit_without_error_is_completed(run: Callable[..., None]) -> None:
    async def scenario(runtime: Runtime) -> None:
        box, _ = await started(runtime, "completes", "sleep 0.1; exit 0")
        found = await until_exited(runtime, "completes")
        assert (found.containers[0].exit_code, found.containers[0].reason) == (0, "Completed")
        await runtime.remove_sandbox(box)

    run(scenario)


def test_starting_and_creating_twice_gives_the_same(run: Callable[..., None]) -> None:
    async def scenario(runtime: Runtime) -> None:
        box, made = await started(runtime, "twice", FOREVER)
        assert await runtime.start_sandbox(sandbox("twice")) == box
        assert await runtime.create_container(box, sandbox("twice"), container("twice", "main", FOREVER)) == made
        await runtime.start_container(made)
        second = await runtime.create_container(box, sandbox("twice"), container("twice", "main", FOREVER, attempt=1))
        assert second != made
        found = await pod(runtime, "twice")
        assert [item.attempt for item in found.containers] == [1, 0]
        await runtime.remove_sandbox(box)

    run(scenario)


def test_a_container_that_obeys_is_stopped_without_the_whole_grace(run: Callable[..., None]) -> None:
    async def scenario(runtime: Runtime) -> None:
        box, made = await started(runtime, "obeys", FOREVER)
        listens = ["grep", "-q", "SigCgt:.*[4567cdef]...$", "/proc/1/status"]  # once the shell has set its trap
        async with asyncio.timeout(60):
            while (await runtime.exec_sync(made, listens, 30)).exit_code:  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.05)
        async with asyncio.timeout(60):
            await runtime.stop_container(made, 60)
        found = await pod(runtime, "obeys")
        assert found.containers[0].state is ContainerState.EXITED
        await runtime.stop_container(made, 60)
        await runtime.remove_sandbox(box)

    run(scenario)


def test_a_stubborn_container_is_killed_when_the_grace_is_over(run: Callable[..., None]) -> None:
    async def scenario(runtime: Runtime) -> None:
        box, made = await started(runtime, "stubborn", STUBBORN)
        await runtime.stop_container(made, 1)
        found = await pod(runtime, "stubborn")
        assert found.containers[0].state is ContainerState.EXITED
        assert found.containers[0].exit_code == 137
        await runtime.remove_sandbox(box)

    run(scenario)


def test_removing_takes_everything_away_and_may_be_repeated(run: Callable[..., None]) -> None:
    async def scenario(runtime: Runtime) -> None:
        box, made = await started(runtime, "removed", FOREVER)
        await runtime.stop_container(made, 0)
        await runtime.remove_container(made)
        assert (await pod(runtime, "removed")).containers == ()
        await runtime.remove_container(made)
        await runtime.stop_sandbox(box)
        assert not (await pod(runtime, "removed")).sandboxes[0].ready
        await runtime.remove_sandbox(box)
        await runtime.remove_sandbox(box)
        await runtime.stop_sandbox(box)
        await runtime.stop_container(made, 0)
        assert "removed" not in await runtime.observe("removed")

    run(scenario)


def test_a_program_that_is_not_there_is_a_start_failure(run: Callable[..., None]) -> None:
    async def scenario(runtime: Runtime) -> None:
        box = await runtime.start_sandbox(sandbox("noprogram"))
        made = await runtime.create_container(
            box, sandbox("noprogram"), container("noprogram", "main", "no-such-program")
        )
        with pytest.raises(RuntimeFailure, match="no-such-program") as caught:
            await runtime.start_container(made)
        assert caught.value.reason == "RunContainerError"
        found = await until_exited(runtime, "noprogram")
        assert (found.containers[0].exit_code, found.containers[0].reason) == (128, "StartError")
        await runtime.remove_sandbox(box)

    run(scenario)


def test_a_container_needs_a_sandbox_and_an_image(run: Callable[..., None]) -> None:
    async def scenario(runtime: Runtime) -> None:
        with pytest.raises(RuntimeFailure):
            await runtime.create_container("0" * 64, sandbox("nobox"), container("nobox", "main", FOREVER))
        box = await runtime.start_sandbox(sandbox("noimage"))
        spec = ContainerSpec("main", "navarch.test/absent:1", labels={POD_UID: "noimage"})
        with pytest.raises(RuntimeFailure) as caught:
            await runtime.create_container(box, sandbox("noimage"), spec)
        assert caught.value.reason == "CreateContainerError"
        with pytest.raises(Gone):
            await runtime.start_container("f" * 64)
        await runtime.remove_sandbox(box)

    run(scenario)


def test_commands_are_executed_and_their_end_reported(run: Callable[..., None]) -> None:
    async def scenario(runtime: Runtime) -> None:
        box, made = await started(runtime, "exec", FOREVER)
        answer = await runtime.exec_sync(made, ["sh", "-c", "echo hello; exit 4"], 10)
        assert (answer.exit_code, answer.stdout) == (4, b"hello\n")
        await runtime.stop_container(made, 0)
        with pytest.raises(RuntimeFailure):
            await runtime.exec_sync(made, ["sh", "-c", "echo hello; exit 4"], 10)
        await runtime.remove_sandbox(box)

    run(scenario)


def test_images_are_imported_found_and_removed(run: Callable[..., None], tmp_path: Path) -> None:
    async def scenario(runtime: Runtime) -> None:
        archive = tmp_path / "image.tar"
        write_archive(
            archive, ["navarch.test/tiny:2"], [{"hello": File(b"hi")}], ImageConfig(command=["/hello"], user="7")
        )
        assert await runtime.image("navarch.test/tiny:2") is None
        if (await runtime.info()).name == "process":  # it has the one image that the host is
            with pytest.raises(RuntimeFailure, match="no images"):
                await runtime.import_image(archive)
            return
        assert await runtime.import_image(archive) == ["navarch.test/tiny:2"]
        image = await runtime.image("navarch.test/tiny:2")
        assert image is not None
        assert any("navarch.test/tiny:2" in item.names for item in await runtime.images())
        assert await runtime.image(image.id) is not None
        await runtime.remove_image(image.id)
        await runtime.remove_image(image.id)
        assert await runtime.image("navarch.test/tiny:2") is None

    run(scenario)


def test_an_image_that_cannot_be_fetched_says_so(run: Callable[..., None]) -> None:
    async def scenario(runtime: Runtime) -> None:
        with pytest.raises(RuntimeFailure) as caught:
            await runtime.pull("127.0.0.1:1/absent:1")
        assert caught.value.reason == "ErrImagePull"

    run(scenario)


def test_what_a_container_may_use_is_changed_while_it_runs(run: Callable[..., None]) -> None:
    async def scenario(runtime: Runtime) -> None:
        box, made = await started(runtime, "resized", FOREVER)
        limits = Resources(cpu_shares=512, cpu_quota_us=50_000, cpu_period_us=100_000, memory_limit_bytes=64 << 20)
        await runtime.update_container(made, limits)
        assert (await pod(runtime, "resized")).containers[0].state is ContainerState.RUNNING
        await runtime.stop_container(made, 0)
        await runtime.remove_container(made)
        with pytest.raises(RuntimeFailure):
            await runtime.update_container(made, limits)
        await runtime.remove_sandbox(box)

    run(scenario)


def test_the_runtime_says_what_it_is(run: Callable[..., None]) -> None:
    async def scenario(runtime: Runtime) -> None:
        info = await runtime.info()
        assert info.name in ("fake", "containerd", "process")
        assert info.problems == ()
        box, made = await started(runtime, "stats", FOREVER)
        assert made in [entry.id for entry in await runtime.stats() if entry.uid == "stats"]
        await runtime.remove_sandbox(box)

    run(scenario)


def test_a_sandbox_is_made_by_the_handler_that_it_names(run: Callable[..., None]) -> None:
    async def scenario(runtime: Runtime) -> None:
        box = await runtime.start_sandbox(replace(sandbox("handled"), runtime_handler="runc"))
        assert (await pod(runtime, "handled")).sandboxes[0].id == box
        with pytest.raises(RuntimeFailure, match='no runtime for "unheard-of" is configured'):
            await runtime.start_sandbox(replace(sandbox("unhandled"), runtime_handler="unheard-of"))
        assert not (await pod(runtime, "unhandled")).sandboxes
        await runtime.stop_sandbox(box)
        await runtime.remove_sandbox(box)

    run(scenario)
