"""Undoing everything: what `navarch down` does, in order, each step doing only what is still to be done.

It works from what it finds and not from what should be there, so that it also cleans up after a crash: containers by
their runtime and then by their processes, mounts by the kernel's table, network by the names that are ours.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

from navarch.agent import halt
from navarch.agent.logind import OVERRIDE as LOGIND_OVERRIDE
from navarch.app import containerd, kubeconfig, lan, machine, preload, processes, unwritten
from navarch.app.layout import Layout, Settings, write_atomically
from navarch.app.machine import Say, Step
from navarch.app.originals import Originals
from navarch.base.errors import Retryable

CGROUP_ROOT = Path("/sys/fs/cgroup")
CGROUP = "navarch"
"""The tree that holds every container, where no settings say another (see `app.node`)."""

RUNTIME_FOLDERS = tuple(Path("/run", name) for name in ("containerd/runc/k8s.io", "containerd/runc", "containerd/s"))
"""What containerd, its shims and runc make outside of the folders they are given; the deepest first."""


def read_remembered(layout: Layout) -> dict[str, Any]:
    """What `up` changed outside of its own folders; {} where nothing was."""
    try:
        found: dict[str, Any] = json.loads(layout.remembered.read_text())
    except FileNotFoundError:
        return {}
    return found


def write_remembered(layout: Layout, remembered: dict[str, Any]) -> None:
    write_atomically(layout.remembered, json.dumps(remembered, indent=2))


def steps(layout: Layout, settings: Settings | None) -> list[Step]:
    """settings: None when only folders of a cluster are left."""

    def stop_organs(say: Say) -> None:
        machine.stop_supervisor(layout, children=False)
        for name in ("agent", "server"):
            machine.stop_child(layout, name)

    def forget_context(say: Say) -> None:
        written = read_remembered(layout).get("kubeconfig")
        if written and settings:
            kubeconfig.uninstall(Path(written["path"]), settings.context, written["current"])

    def stop_hosts(say: Say) -> None:
        lan.stop(hosts, say)
        lan.take_up(settings or Settings("", ""), hosts)

    hosts = lan.present(layout, settings)
    *of_machine, files = machine_steps(layout, settings)
    return [
        *([Step("Other nodes removed", stop_hosts, "Removing other nodes")] if hosts else []),
        Step("Agent and server stopped", stop_organs, "Stopping agent and server"),
        *of_machine,
        Step("kubeconfig context removed", forget_context, "Removing the kubeconfig context"),
        files,
    ]


def machine_steps(layout: Layout, settings: Settings | None) -> list[Step]:
    """What is undone on every machine that was a node, once its agent has ended."""
    runtime = machine.containerd_settings(layout)
    group = settings.cgroup if settings else CGROUP

    def remove_containers(say: Say) -> None:
        processes.remove_all(layout, say)
        asyncio.run(_remove_containers(runtime, say))

    def stop_containerd(say: Say) -> None:
        machine.stop_child(layout, "containerd")
        containerd.kill_containers(runtime)
        kill_cgroups(group)
        asyncio.run(containerd.remove(runtime))

    def remove_network(say: Say) -> None:
        if settings:
            machine.pod_network(layout, settings).remove()

    def remove_files(say: Say) -> None:
        for folder in (layout.run, layout.data):
            asyncio.run(containerd.unmount_below(folder))
        remove_cgroups(group)
        LOGIND_OVERRIDE.unlink(missing_ok=True)
        unwritten.restore(Originals(layout.unwritten))
        machine.remove_all([layout.run, *preload.all_but_archives(layout.data, layout.images)])
        remove_empty_folders()

    return [
        Step("Containers removed", remove_containers, "Removing containers"),
        Step("containerd removed", stop_containerd, "Removing containerd"),
        Step("Network removed", remove_network, "Removing the network"),
        Step("Files removed", remove_files, "Removing files"),
    ]


async def _remove_containers(settings: containerd.ContainerdSettings, say: Say) -> None:
    """By the runtime, as long as it answers: that takes the pods' networks down as well. What it will not let go of
    ends with its processes."""
    if not await containerd.answers(settings.socket):
        return
    from navarch.agent.cri import CriRuntime
    from navarch.agent.runtime import RuntimeFailure
    from navarch.base.clock import SystemClock

    runtime = CriRuntime(settings.socket, SystemClock())
    try:
        pods = await runtime.observe()
        sandboxes = [sandbox for pod in pods.values() for sandbox in pod.sandboxes]
        left = len(sandboxes)

        async def remove(sandbox_id: str) -> None:
            nonlocal left
            try:
                await runtime.stop_sandbox(sandbox_id)
                await runtime.remove_sandbox(sandbox_id)
            except RuntimeFailure as error:
                say(f"containerd does not let go of {sandbox_id}: {error}")
                return
            left -= 1
            say(f"{left} pods left")

        async with asyncio.TaskGroup() as group:
            for sandbox in sandboxes:
                group.create_task(remove(sandbox.id))
    finally:
        await runtime.close()


def remove_empty_folders() -> None:
    """Those that runtimes share, unless they hold something, or another containerd of this machine is at home there."""
    shared = RUNTIME_FOLDERS[0].parents[1]
    ours = () if (shared / "containerd.sock").exists() else (*RUNTIME_FOLDERS, shared)
    for folder in (*ours, Path("/run/netns")):
        with contextlib.suppress(OSError):  # not there, not empty, or mounted upon
            folder.rmdir()


def cgroup_folders(name: str) -> list[Path]:
    """The groups of the tree `name` in every hierarchy, deepest first."""
    return [Path(folder) for top in _tops(name) for folder, _, _ in os.walk(top, topdown=False)]


def _tops(name: str) -> tuple[Path, ...]:
    return (CGROUP_ROOT / name, *CGROUP_ROOT.glob(f"*/{name}"))


def kill_cgroups(name: str, patience_s: float = 5.0) -> None:
    """Kill what still runs in the tree `name`: containers whose shim died and which nobody watches any more."""
    deadline = time.monotonic() + patience_s
    while left := _processes(name):
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            raise Retryable(f"processes {sorted(left)} of containers cannot be killed; try `navarch down` again")
        time.sleep(0.02)


def _processes(name: str) -> set[int]:
    return {pid for top in _tops(name) for pid in halt.processes(top)}


def remove_cgroups(name: str) -> None:
    """Raises: Retryable: a group is still in use."""
    try:
        for folder in cgroup_folders(name):
            folder.rmdir()
    except OSError as error:
        raise Retryable(f"control group {error.filename} is still in use: {error.strerror}") from error
