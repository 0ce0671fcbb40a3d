"""Host processes on this machine: where they are kept, which network they get, and how all of them are removed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from navarch.agent.cri import CriRuntime
from navarch.agent.process.router import Router
from navarch.app import machine
from navarch.app.layout import Layout
from navarch.base.clock import Clock, Ids, SystemClock, SystemIds
from navarch.base.errors import Retryable

if TYPE_CHECKING:
    from navarch.agent.process.runtime import ProcessRuntime


def process_runtime(layout: Layout, clock: Clock, ids: Ids) -> ProcessRuntime:
    """They see neither the cluster's state nor what belongs to other pods."""
    from navarch.agent.process.cni import Plugins
    from navarch.agent.process.runtime import ProcessRuntime

    network = machine.containerd_settings(layout)
    plugins = Plugins(network.cni_conf, network.cni_bin_dir)
    return ProcessRuntime(layout.processes, plugins, clock, ids, hidden=(str(layout.data), str(layout.run)))


def routed(layout: Layout, runtime: CriRuntime, clock: Clock, ids: Ids) -> Router:
    """containerd for all pods but those of host processes."""
    return Router(runtime, lambda: process_runtime(layout, clock, ids), layout.processes)


def remove_all(layout: Layout, say: Callable[[str], None]) -> None:
    """End and forget every host process, where there ever was one.

    What fails is told and left to the next steps of a teardown, which go by control groups, mounts and kept answers.
    """
    if not layout.processes.is_dir():
        return
    try:
        asyncio.run(_remove_all(process_runtime(layout, SystemClock(), SystemIds())))
    except* (Retryable, OSError) as failed:
        for error in failed.exceptions:
            say(str(error))


async def _remove_all(runtime: ProcessRuntime) -> None:
    sandboxes = [box for pod in (await runtime.observe()).values() for box in pod.sandboxes]
    async with asyncio.TaskGroup() as group:
        for box in sandboxes:
            group.create_task(runtime.remove_sandbox(box.id))
