"""Host processes of the tests' own, with a bridge network of their own, and everything taken away again afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from navarch.agent.cgroups import Cgroups
from navarch.agent.process.cni import Plugins
from navarch.agent.process.names import HANDLERS, SPELLINGS
from navarch.agent.process.runtime import ProcessRuntime
from navarch.agent.volumes.kernel import mounts_below
from navarch.app.cnisweep import NETNS
from navarch.base.clock import SystemClock, SystemIds
from tests.node import containerd_fixture as fixture

BRIDGE = f"np{os.getpid()}"
SUBNET = f"10.214.{os.getpid() % 250}.0/24"


class NotedIds(SystemIds):
    """Remembers what it gave: other tests make namespaces at the same time."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[str] = []

    def uid(self) -> str:
        self.given.append(super().uid())
        return self.given[-1]


@dataclass
class Machine:
    directory: Path
    runtime: ProcessRuntime
    plugins: Plugins
    ids: NotedIds

    def again(self) -> ProcessRuntime:
        """As an agent that starts anew finds it."""
        return ProcessRuntime(self.directory / "p", self.plugins, SystemClock(), self.ids)


@contextlib.asynccontextmanager
async def machine(names: frozenset[str] = SPELLINGS, handlers: Sequence[str] = HANDLERS) -> AsyncIterator[Machine]:
    """Asserts at the end that nothing of it is left."""
    directory = Path(tempfile.mkdtemp(prefix="nav-", dir="/tmp"))
    network = json.loads(fixture.network())
    plugin = network["plugins"][0]
    plugin["bridge"] = BRIDGE
    plugin["ipam"] |= {"dataDir": str(directory / "ipam"), "ranges": [[{"subnet": SUBNET}]]}
    (directory / "cni").mkdir()
    (directory / "cni" / "10-test.conflist").write_text(json.dumps(network | {"name": "navproc"}))
    plugins = Plugins(directory / "cni", Path("/usr/lib/cni"), directory / "results")
    clock, ids = SystemClock(), NotedIds()
    runtime = ProcessRuntime(directory / "p", plugins, clock, ids, names=names, handlers=handlers)
    try:
        yield Machine(directory, runtime, plugins, ids)
    finally:
        again = ProcessRuntime(directory / "p", plugins, clock, ids, names=names, handlers=handlers)
        for pod in (await again.observe()).values():
            for box in pod.sandboxes:
                await again.remove_sandbox(box.id)
        left = [str(path) for path in mounts_below(directory)]
        taken = [path.name for path in (directory / "ipam").glob("*/10.*")]
        await asyncio.to_thread(shutil.rmtree, directory)
        await (await asyncio.create_subprocess_exec("ip", "link", "delete", BRIDGE, stderr=subprocess.DEVNULL)).wait()
    Cgroups(fixture.GROUP).tear_down()
    assert not left
    assert not taken
    assert not [uid for uid in ids.given if (NETNS / f"cni-{uid}").exists()]
