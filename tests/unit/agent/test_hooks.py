"""Hooks, and the health question over gRPC, against servers on loopback."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest

from navarch.agent.fake import Behaviour, FakeRuntime
from navarch.agent.handlers import Verdict, grpc_health
from navarch.agent.hooks import run_hook
from navarch.agent.runtime import ContainerSpec, ExecResult, SandboxSpec
from navarch.base.clock import SeededIds, SystemClock
from navarch.kinds.podspec.container import Container, ExecAction, GRPCAction, LifecycleHandler, SleepAction

CONTAINER = Container(name="main")


def run(handler: LifecycleHandler, timeout_s: float = 30.0) -> Verdict:
    async def scenario() -> Verdict:
        clock = SystemClock()
        answer = ExecResult(0 if handler.exec and handler.exec.command == ("good",) else 9, b"said")
        runtime = FakeRuntime(
            clock, SeededIds(1), images=["a"], behave=lambda spec: Behaviour(execute=lambda c: answer)
        )
        sandbox = SandboxSpec("default", "web", "u")
        box = await runtime.start_sandbox(sandbox)
        made = await runtime.create_container(box, sandbox, ContainerSpec("main", "a"))
        await runtime.start_container(made)
        return await run_hook(handler, CONTAINER, made, "127.0.0.1", runtime, clock, timeout_s)

    return asyncio.run(scenario())


def test_a_command_decides_by_its_end() -> None:
    assert run(LifecycleHandler(exec=ExecAction(command=("good",)))).ok
    assert run(LifecycleHandler(exec=ExecAction(command=("bad",)))) == Verdict(False, "said")


def test_a_hook_that_takes_too_long_is_given_up() -> None:
    assert run(LifecycleHandler(sleep=SleepAction(seconds=0))).ok
    assert run(LifecycleHandler(sleep=SleepAction(seconds=30)), 0.05) == Verdict(
        False, "the hook did not end within 0.05s"
    )


@pytest.mark.parametrize(
    ("answer", "ok", "text"),
    [
        (b"\x08\x01", True, ""),
        (b"\x08\x02", False, 'service unhealthy (responded with "NOT_SERVING")'),
        (b"", False, 'service unhealthy (responded with "UNKNOWN")'),
        (None, False, "error: health rpc failed: gone"),
    ],
)
def test_only_a_serving_service_is_healthy(answer: bytes | None, ok: bool, text: str) -> None:
    asked: list[bytes] = []

    async def check(request: bytes, context: Any) -> bytes:
        asked.append(request)
        if answer is None:
            await context.abort(grpc.StatusCode.INTERNAL, "gone")
        return answer or b""

    async def scenario() -> Verdict:
        server = grpc.aio.server()
        methods = {"Check": grpc.unary_unary_rpc_method_handler(check)}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("grpc.health.v1.Health", methods),))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            return await grpc_health(GRPCAction(port=port, service="db"), "127.0.0.1", 30.0)
        finally:
            await server.stop(None)

    assert asyncio.run(scenario()) == Verdict(ok, text)
    assert asked == [b"\x0a\x02db"]


def test_a_server_without_the_health_service_says_so() -> None:
    async def scenario() -> tuple[Verdict, Verdict]:
        server = grpc.aio.server()
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        first = await grpc_health(GRPCAction(port=port), "127.0.0.1", 30.0)
        await server.stop(None)
        return first, await grpc_health(GRPCAction(port=port), "127.0.0.1", 0.5)

    first, second = asyncio.run(scenario())
    assert "does not implement the grpc health protocol" in first.text
    assert not second.ok
