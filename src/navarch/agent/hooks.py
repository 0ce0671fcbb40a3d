"""What a container's spec has done right after its start and right before its stop.

Source: https://kubernetes.io/docs/concepts/containers/container-lifecycle-hooks/
"""

from __future__ import annotations

import asyncio

from navarch.agent.config import VERSION
from navarch.agent.handlers import Verdict, execute, http_get, port_number, tcp_connect
from navarch.agent.runtime import Runtime, RuntimeFailure
from navarch.base.clock import Clock
from navarch.kinds.podspec.container import Container, LifecycleHandler

USER_AGENT = "kube-lifecycle/" + ".".join(VERSION.removeprefix("v").split(".")[:2])
LONGEST_S = 3600.0


async def run_hook(
    handler: LifecycleHandler,
    container: Container,
    container_id: str,
    ip: str,
    runtime: Runtime,
    clock: Clock,
    timeout_s: float = LONGEST_S,
) -> Verdict:
    """Never raises for what the hook does; `Verdict.text` says why it failed."""
    try:
        async with asyncio.timeout(timeout_s):
            if handler.sleep is not None:
                await clock.sleep(handler.sleep.seconds)
                return Verdict(True)
            if handler.exec is not None:
                return await execute(runtime, container_id, handler.exec.command, timeout_s)
            if handler.http_get is not None:
                port_number(handler.http_get.port, container)
                return await http_get(handler.http_get, container, ip, timeout_s, USER_AGENT)
            if handler.tcp_socket is not None:
                return await tcp_connect(handler.tcp_socket, container, ip, timeout_s)
    except TimeoutError:
        return Verdict(False, f"the hook did not end within {timeout_s:g}s")
    except (RuntimeFailure, ValueError) as error:
        return Verdict(False, str(error))
    return Verdict(True)
