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
GROUP = f"/navtest{os.getpid()}"
BRIDGE = f"nt{os.getpid()}"
APPLETS = (
    "sh sleep echo cat true false httpd nc wget id ls kill env date touch rm mkdir nslookup grep hostname stat seq head"
    " dd ps df readlink"
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
        {"type": "portmap", "capabilities": {"portMappings": True}, "snat": False},
    ]
    return json.dumps({"cniVersion": "0.4.0", "name": "navtest", "plugins": plugins})


@dataclass(frozen=True)
class Machine:
    directory: Path
    settings: containerd.ContainerdSettings
    runtime: CriRuntime
    clock: SystemClock


@contextlib.asynccontextmanager
async def machine() -> AsyncIterator[Machine]:
    """containerd with the pause and busybox images; asserts at the end that nothing of it is left."""
    directory = Path(tempfile.mkdtemp(prefix="nav-", dir="/tmp"))
    clock = SystemClock()
    settings = containerd.ContainerdSettings(directory / "c")
    containerd.prepare(settings)
    plugins = json.loads(network())
    plugins["plugins"][0]["ipam"]["dataDir"] = str(directory / "ipam")
    (settings.cni_conf / "10-test.conflist").write_text(json.dumps(plugins))
    process = await containerd.start(settings, clock, directory / "log")
    runtime = CriRuntime(settings.socket, clock)
    try:
        write_pause_image(directory / "pause.tar")
        write_busybox_image(directory / "busybox.tar")
        await runtime.import_image(directory / "pause.tar")
        await runtime.import_image(directory / "busybox.tar")
        yield Machine(directory, settings, runtime, clock)
    finally:
        for pod in (await runtime.observe()).values():
            for box in pod.sandboxes:
                await runtime.stop_sandbox(box.id)
                await runtime.remove_sandbox(box.id)
        await runtime.close()
        process.terminate()
        await process.wait()
        await containerd.remove(settings)
        await containerd.unmount_below(directory)
        await asyncio.to_thread(shutil.rmtree, directory)
        await (await asyncio.create_subprocess_exec("ip", "link", "delete", BRIDGE, stderr=subprocess.DEVNULL)).wait()
    Cgroups(GROUP).tear_down()
    assert not list(containerd.shims(settings))
