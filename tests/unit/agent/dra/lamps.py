"""The example's driver of lamps as tests use it, claims with lamps, and drivers that misbehave."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import importlib.util
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

from navarch.agent.fake import Behaviour
from navarch.agent.runtime import ContainerSpec
from navarch.base.clock import SystemClock
from navarch.kinds import EVENT, POD, RESOURCECLAIM, RESOURCESLICE
from navarch.objects.value import Document
from tests.unit.agent import cluster
from tests.unit.agent.cluster import World

PATH = Path(__file__).parents[4] / "examples" / "dra-driver" / "driver.py"
NAME = "lamps.navarch.dev"


def _load() -> Any:
    spec = importlib.util.spec_from_file_location("dra_driver_example", PATH)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


module = _load()
Driver: Any = module.Driver


class BadDriver(Driver):  # type: ignore[misc]
    """faults: what the next calls do instead of what they should."""

    def __init__(self, *given: Any, faults: list[str], **more: Any) -> None:
        super().__init__(*given, **more)
        self.faults = faults

    async def NodePrepareResources(self, request: Any, context: Any) -> Any:
        answer = await super().NodePrepareResources(request, context)
        return await self._spoilt(request, context, answer)

    async def NodeUnprepareResources(self, request: Any, context: Any) -> Any:
        answer = await super().NodeUnprepareResources(request, context)
        return await self._spoilt(request, context, answer)

    async def _spoilt(self, request: Any, context: Any, answer: Any) -> Any:
        import grpc

        fault = self.faults.pop(0) if self.faults else ""
        if fault == "abort":
            await context.abort(grpc.StatusCode.INTERNAL, "it is dark")
        elif fault == "hang":
            await asyncio.sleep(3600)
        elif fault == "skip":
            answer.claims.clear()
        elif fault == "unknown":
            answer.claims["nobody"].CopyFrom(type(answer.claims["nobody"])())
        elif fault:
            answer.claims[request.claims[0].uid].error = fault
        return answer


class Script:
    """Notes with what containers are started. run_s: how long they run; None: until they are stopped."""

    def __init__(self, run_s: float | None) -> None:
        self.run_s = run_s
        self.specs: list[ContainerSpec] = []

    def __call__(self, spec: ContainerSpec) -> Behaviour:
        self.specs.append(spec)
        return Behaviour(self.run_s)


def play(scene: Callable[[World], Coroutine[Any, Any, None]], run_s: float | None = None) -> None:
    async def run(folder: Path) -> None:
        async with cluster.world(folder, behave=Script(run_s)) as world:
            world.config = dataclasses.replace(world.config, cdi=(folder / "cdi",))
            await scene(world)

    with tempfile.TemporaryDirectory(prefix="dra", dir="/tmp") as folder:  # a socket's path is at most 107 bytes long
        asyncio.run(run(Path(folder)))


@contextlib.asynccontextmanager
async def serving(world: World, made: Any = Driver, **more: Any) -> AsyncIterator[Any]:
    """A driver on the world's node, which serves and registers; nothing is published."""
    more = {"cdi": world.config.cdi[0], **more}
    driver = made(world.client, SystemClock(), cluster.NODE, world.config.paths.root, **more)
    await driver.start()
    try:
        yield driver
    finally:
        await driver.stop()


async def until(holds: Callable[[], Any]) -> None:
    async with asyncio.timeout(60):
        while not holds():  # noqa: ASYNC110 - any state of the test
            await asyncio.sleep(0.01)


async def registered(driver: Any, times: int = 1) -> None:
    await until(lambda: len(driver.heard) >= times)
    assert set(driver.heard) == {"registered"}


async def create_claim(world: World, name: str, *requests: str) -> None:
    wanted = [{"name": one, "exactly": {"deviceClassName": "lamp"}} for one in requests or ("lamp",)]
    document = {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"devices": {"requests": wanted}},
    }
    await world.client.create(RESOURCECLAIM, document)


def result(lamp: str, request: str = "lamp", driver: str = NAME) -> Document:
    return {"driver": driver, "pool": cluster.NODE, "device": lamp, "request": request}


async def allocate(world: World, name: str, results: list[Document], *pods: str, config: str = "") -> None:
    """What the scheduler does. pods: those that the claim is reserved for."""
    found = [(pod, (await world.client.get(POD, "default", pod)).uid) for pod in pods]
    devices: Document = {"results": results}
    if config:
        opaque = {"driver": NAME, "parameters": {"brightness": config}}
        devices["config"] = [{"source": "FromClaim", "opaque": opaque}]
    status = {
        "allocation": {"devices": devices},
        "reservedFor": [{"resource": "pods", "name": pod, "uid": uid} for pod, uid in found],
    }
    await world.client.patch(RESOURCECLAIM, "default", name, {"status": status}, subresource="status")


def with_claim(claim: str, *requests: str) -> tuple[Document, Document]:
    """A container with the pod's claim, and what the pod says of it."""
    uses = [{"name": "c", "request": one} if one else {"name": "c"} for one in requests or ("",)]
    main = {"name": "main", "image": "app:1", "resources": {"claims": uses}}
    return main, {"resourceClaims": [{"name": "c", "resourceClaimName": claim}]}


async def pod_with(world: World, name: str, claim: str, *requests: str, **more: Any) -> None:
    main, spec = with_claim(claim, *requests)
    await world.create_pod(name, main, **spec, **more)


async def told(world: World, text: str, reason: str = "FailedPrepareDynamicResources") -> str:
    async with asyncio.timeout(60):
        while True:
            for item in (await world.client.list(EVENT, "default")).items:
                found = item.document()
                if found["reason"] == reason and text in found["message"]:
                    return str(found["message"])
            await asyncio.sleep(0.02)


async def slices(world: World) -> list[Document]:
    return [one.document() for one in (await world.client.list(RESOURCESLICE)).items]
