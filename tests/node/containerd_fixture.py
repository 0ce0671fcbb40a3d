"""A containerd of the tests' own, with a bridge network of their own, and everything taken away again afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from navarch.agent.cgroups import Cgroups
from navarch.agent.cri import CriRuntime
from navarch.agent.imagefile import File, ImageConfig, write_archive
from navarch.app import containerd
from navarch.app.pause import write_pause_image
from navarch.base.clock import SystemClock

BUSYBOX = "navarch.test/busybox:1"
REGISTRY = f"127.0.0.1:{20000 + os.getpid() % 10000}"
"""Where a test may serve images to be pulled."""
GROUP = f"/navtest{os.getpid()}"
BRIDGE = f"nt{os.getpid()}"
APPLETS = (
    "sh sleep echo cat true false httpd nc wget id ls kill env date touch rm mkdir nslookup grep hostname stat seq head"
    " dd ps df readlink od sort wc chmod printenv tail mount umount"
)
SUBNET = f"10.213.{os.getpid() % 250}.0/24"


def missing() -> str:
    """What this machine lacks to run containers; "" when nothing."""
    if os.geteuid() != 0:
        return "not root"
    for program in ("containerd", "ctr", "busybox"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    return "" if Path("/usr/lib/cni/bridge").exists() else "the CNI plugins are not installed"


def write_busybox_image(target: Path) -> str:
    """A small image with a shell, a web server and the usual commands."""
    busybox = Path(shutil.which("busybox") or "").read_bytes()
    files = {f"bin/{name}": File(link="/bin/busybox") for name in APPLETS.split()}
    files["bin/busybox"] = File(busybox, mode=0o755)
    files["etc/passwd"] = File(b"root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n")
    files["etc/group"] = File(b"root:x:0:\nuser:x:1000:\n")
    files["tmp/"] = File(mode=0o1777)
    files["www/index.html"] = File(b"hello\n")
    return write_archive(target, [BUSYBOX], [files], ImageConfig(command=["sh"]))


def network() -> str:
    plugins = [
        {
            "type": "bridge",
            "bridge": BRIDGE,
            "isGateway": True,
            "hairpinMode": True,
            "ipMasq": False,
            "ipam": {"type": "host-local", "ranges": [[{"subnet": SUBNET}]], "routes": [{"dst": "0.0.0.0/0"}]},
        },
    ]
    return json.dumps({"cniVersion": "0.4.0", "name": "navtest", "plugins": plugins})


@dataclass
class Machine:
    directory: Path
    settings: containerd.ContainerdSettings
    runtime: CriRuntime
    clock: SystemClock
    process: asyncio.subprocess.Process

    async def restart_containerd(self, away_s: float = 0.0) -> None:
        """Kill it without warning, and start it again."""
        self.process.kill()
        await self.process.wait()
        await self.clock.sleep(away_s)
        self.process = await containerd.start(self.settings, self.clock, self.directory / "log")


@contextlib.asynccontextmanager
async def machine() -> AsyncIterator[Machine]:
    """containerd with the pause and busybox images; asserts at the end that nothing of it is left."""
    directory = Path(tempfile.mkdtemp(prefix="nav-", dir="/tmp"))
    clock = SystemClock()
    settings = containerd.ContainerdSettings(directory / "c")
    containerd.prepare(settings, {REGISTRY: f"http://{REGISTRY}"})
    plugins = json.loads(network())
    plugins["plugins"][0]["ipam"]["dataDir"] = str(directory / "ipam")
    (settings.cni_conf / "10-test.conflist").write_text(json.dumps(plugins))
    process = await containerd.start(settings, clock, directory / "log")
    runtime = CriRuntime(settings.socket, clock)
    machine = Machine(directory, settings, runtime, clock, process)
    try:
        write_pause_image(directory / "pause.tar")
        write_busybox_image(directory / "busybox.tar")
        await runtime.import_image(directory / "pause.tar")
        await runtime.import_image(directory / "busybox.tar")
        yield machine
    finally:
        for pod in (await runtime.observe()).values():
            for box in pod.sandboxes:
                await runtime.stop_sandbox(box.id)
                await runtime.remove_sandbox(box.id)
        await runtime.close()
        machine.process.terminate()
        await machine.process.wait()
        await containerd.remove(settings)
        await containerd.unmount_below(directory)
        await asyncio.to_thread(shutil.rmtree, directory)
        await (await asyncio.create_subprocess_exec("ip", "link", "delete", BRIDGE, stderr=subprocess.DEVNULL)).wait()
    Cgroups(GROUP).tear_down()
    assert not list(containerd.shims(settings))
