"""A storage driver in one file: folders, block devices and memory of this machine, served to the cluster over CSI.

Run it beside the agent of a node (as root):

    python driver.py --state /var/lib/disks --kubelet /var/lib/navarch/agent

It serves its Identity, Controller and Node services on `STATE/csi.sock`, and lays a second socket into the agent's
`plugins_registry`, by which the agent comes to know it. Volumes lie below the state folder:

- a *folder* for volumes with files, bound to where the agent wants it;
- an *image file* behind a loop device for block volumes, which can grow;
- *memory* (tmpfs) for volumes that live as long as their pod, as large as their attribute `size` says.

What is mounted is asked of the kernel each time, so the driver can be killed and started at any moment.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import grpc.aio

from navarch.objects.quantity import whole
from navarch.wire import registration
from navarch.wire.csi import API, BYTES, INODES, ONLINE, ControllerCan, NodeCan, PluginCan

DEFAULT_BYTES = 64 << 20
VOLUME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class Trouble(Exception):
    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


def run(*words: str) -> str:
    """A program of the machine, which must succeed."""
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode != 0:
        raise Trouble("INTERNAL", f"{' '.join(words)}: {done.stderr.strip()}")
    return done.stdout.strip()


def is_mounted(path: Path) -> bool:
    points = (line.split(" ")[4] for line in Path("/proc/self/mountinfo").read_text().splitlines())
    return str(path) in points


class Volumes:
    """What lies in the state folder: `ID.json` says what a volume is, `ID` holds its files, or `ID.img` its blocks."""

    def __init__(self, state: Path) -> None:
        self.state = state
        state.mkdir(parents=True, exist_ok=True)

    def _note(self, volume: str) -> Path:
        if not VOLUME.fullmatch(volume):
            raise Trouble("INVALID_ARGUMENT", f"{volume!r} is no name of a volume")
        return self.state / f"{volume}.json"

    def find(self, volume: str) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads(self._note(volume).read_text())
        except FileNotFoundError as error:
            raise Trouble("NOT_FOUND", f"there is no volume {volume}") from error
        return found

    def create(self, volume: str, size_bytes: int, *, block: bool) -> dict[str, Any]:
        """The same again when it is there already."""
        note = self._note(volume)
        if note.exists():
            found = self.find(volume)
            if found["bytes"] < size_bytes or found["block"] != block:
                raise Trouble("ALREADY_EXISTS", f"volume {volume} is there, and another one")
            return found
        if block:
            self._resize(volume, size_bytes)
        else:
            (self.state / volume).mkdir(exist_ok=True, mode=0o777)
            (self.state / volume).chmod(0o777)
        return self._write(volume, {"bytes": size_bytes, "block": block})

    def _write(self, volume: str, found: dict[str, Any]) -> dict[str, Any]:
        note = self._note(volume)
        note.with_suffix(".new").write_text(json.dumps(found))
        note.with_suffix(".new").rename(note)
        return found

    def _resize(self, volume: str, size_bytes: int) -> None:
        with self.image(volume).open("ab") as file:
            file.truncate(size_bytes)

    def image(self, volume: str) -> Path:
        return self.state / f"{volume}.img"

    def expand(self, volume: str, size_bytes: int) -> None:
        found = self.find(volume)
        if size_bytes > found["bytes"]:
            if found["block"]:
                self._resize(volume, size_bytes)
            self._write(volume, {**found, "bytes": size_bytes})

    def delete(self, volume: str) -> None:
        note = self._note(volume)
        shutil.rmtree(self.state / volume, ignore_errors=True)
        self.image(volume).unlink(missing_ok=True)
        note.unlink(missing_ok=True)

    def device(self, volume: str) -> str:
        """The loop device of a block volume; "" while it has none."""
        return run("losetup", "-j", str(self.image(volume)), "-O", "NAME", "-n")


class Driver:
    def __init__(self, name: str, node: str, volumes: Volumes, record: Path | None) -> None:
        self.name = name
        self.node = node
        self.volumes = volumes
        self.record = record

    @property
    def topology(self) -> Any:
        """Its volumes lie on this node."""
        return API.make("Topology", segments={f"topology.{self.name}/node": self.node})

    # Identity

    def get_plugin_info(self, request: Any) -> Any:
        return API.make("GetPluginInfoResponse", name=self.name, vendor_version="1")

    def get_plugin_capabilities(self, request: Any) -> Any:
        services = (PluginCan.CONTROL, PluginCan.HAVE_TOPOLOGY)
        found = [*({"service": {"type": one}} for one in services), {"volume_expansion": {"type": ONLINE}}]
        return API.make("GetPluginCapabilitiesResponse", capabilities=found)

    def probe(self, request: Any) -> Any:
        return API.make("ProbeResponse", ready={"value": True})

    # Controller

    def controller_get_capabilities(self, request: Any) -> Any:
        found = [{"rpc": {"type": one}} for one in (ControllerCan.CREATE, ControllerCan.EXPAND)]
        return API.make("ControllerGetCapabilitiesResponse", capabilities=found)

    def create_volume(self, request: Any) -> Any:
        size_bytes = request.capacity_range.required_bytes or DEFAULT_BYTES
        block = any(one.HasField("block") for one in request.volume_capabilities)
        self.volumes.create(request.name, size_bytes, block=block)
        volume = {"volume_id": request.name, "capacity_bytes": size_bytes, "accessible_topology": [self.topology]}
        return API.make("CreateVolumeResponse", volume=volume)

    def delete_volume(self, request: Any) -> Any:
        self.volumes.delete(request.volume_id)
        return API.make("DeleteVolumeResponse")

    def controller_expand_volume(self, request: Any) -> Any:
        size_bytes = request.capacity_range.required_bytes
        self.volumes.expand(request.volume_id, size_bytes)
        return API.make("ControllerExpandVolumeResponse", capacity_bytes=size_bytes, node_expansion_required=True)

    def validate_volume_capabilities(self, request: Any) -> Any:
        self.volumes.find(request.volume_id)
        confirmed = {"volume_capabilities": request.volume_capabilities}
        return API.make("ValidateVolumeCapabilitiesResponse", confirmed=confirmed)

    # Node

    def node_get_capabilities(self, request: Any) -> Any:
        found = [{"rpc": {"type": one}} for one in (NodeCan.STAGE, NodeCan.GET_STATS, NodeCan.EXPAND)]
        return API.make("NodeGetCapabilitiesResponse", capabilities=found)

    def node_get_info(self, request: Any) -> Any:
        return API.make("NodeGetInfoResponse", node_id=self.node, accessible_topology=self.topology)

    def node_stage_volume(self, request: Any) -> Any:
        staging = Path(request.staging_target_path)
        if self.volumes.find(request.volume_id)["block"]:
            if not self.volumes.device(request.volume_id):
                run("losetup", "-f", str(self.volumes.image(request.volume_id)))
        elif not is_mounted(staging):
            run("mount", "--bind", str(self.volumes.state / request.volume_id), str(staging))
        return API.make("NodeStageVolumeResponse")

    def node_unstage_volume(self, request: Any) -> Any:
        if is_mounted(Path(request.staging_target_path)):
            run("umount", request.staging_target_path)
        if device := self.volumes.device(request.volume_id):
            run("losetup", "-d", device)
        return API.make("NodeUnstageVolumeResponse")

    def node_publish_volume(self, request: Any) -> Any:
        target = Path(request.target_path)
        if is_mounted(target):
            return API.make("NodePublishVolumeResponse")
        if request.volume_capability.HasField("block"):
            target.touch()
            run("mount", "--bind", self.volumes.device(request.volume_id), str(target))
        elif not request.staging_target_path:
            size_bytes = whole(request.volume_context.get("size", str(DEFAULT_BYTES)))
            target.mkdir(exist_ok=True)
            run("mount", "-t", "tmpfs", "-o", f"size={size_bytes},mode=777", self.name, str(target))
        else:
            target.mkdir(exist_ok=True)
            run("mount", "--bind", request.staging_target_path, str(target))
        if request.readonly:
            run("mount", "-o", "remount,bind,ro", str(target))
        return API.make("NodePublishVolumeResponse")

    def node_unpublish_volume(self, request: Any) -> Any:
        target = Path(request.target_path)
        if is_mounted(target):
            run("umount", str(target))
        if target.is_dir():
            target.rmdir()
        else:
            target.unlink(missing_ok=True)
        return API.make("NodeUnpublishVolumeResponse")

    def node_expand_volume(self, request: Any) -> Any:
        if self.volumes.find(request.volume_id)["block"]:
            run("losetup", "-c", self.volumes.device(request.volume_id))
        return API.make("NodeExpandVolumeResponse", capacity_bytes=request.capacity_range.required_bytes)

    def node_get_volume_stats(self, request: Any) -> Any:
        if not Path(request.volume_path).exists():
            raise Trouble("NOT_FOUND", f"nothing is at {request.volume_path}")
        found = os.statvfs(request.volume_path)
        free, size = found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize
        usage = [
            {"unit": BYTES, "total": size, "available": free, "used": size - found.f_bfree * found.f_frsize},
            {
                "unit": INODES,
                "total": found.f_files,
                "available": found.f_ffree,
                "used": found.f_files - found.f_ffree,
            },
        ]
        return API.make("NodeGetVolumeStatsResponse", usage=usage)

    def note(self, method: str, request: Any) -> None:
        """Write a call down, for whoever wants to see what the cluster asks for."""
        if self.record is not None:
            about = {
                "call": method,
                "volume": getattr(request, "volume_id", ""),
                "context": dict(getattr(request, "volume_context", {})),
            }
            with self.record.open("a") as file:
                file.write(json.dumps(about) + "\n")


def served(driver: Driver, method: str) -> Any:
    """A method of the driver as gRPC calls it: in a thread, with its troubles as status codes."""
    function = getattr(driver, re.sub("(?<!^)(?=[A-Z])", "_", method).lower())

    async def answer(request: Any, context: Any) -> Any:
        driver.note(method, request)
        try:
            return await asyncio.to_thread(function, request)
        except Trouble as trouble:
            await context.abort(grpc.StatusCode[trouble.code], str(trouble))
        except OSError as error:
            await context.abort(grpc.StatusCode.INTERNAL, str(error))

    return answer


METHODS = {
    "Identity": ("GetPluginInfo", "GetPluginCapabilities", "Probe"),
    "Controller": (
        "ControllerGetCapabilities",
        "CreateVolume",
        "DeleteVolume",
        "ControllerExpandVolume",
        "ValidateVolumeCapabilities",
    ),
    "Node": (
        "NodeGetCapabilities",
        "NodeGetInfo",
        "NodeStageVolume",
        "NodeUnstageVolume",
        "NodePublishVolume",
        "NodeUnpublishVolume",
        "NodeExpandVolume",
        "NodeGetVolumeStats",
    ),
}


def registrar(driver: Driver, endpoint: Path) -> Any:
    """What tells the node's agent who we are."""

    async def info(request: Any, context: Any) -> Any:
        fields = {"type": "CSIPlugin", "name": driver.name, "endpoint": str(endpoint), "supported_versions": ["1.0.0"]}
        return registration.API.make("PluginInfo", **fields)

    async def hear(request: Any, context: Any) -> Any:
        word = "registered" if request.plugin_registered else f"not registered: {request.error}"
        print(f"{driver.name} is {word}", flush=True)
        return registration.API.make("RegistrationStatusResponse")

    return registration.API.handlers("Registration", {"GetInfo": info, "NotifyRegistrationStatus": hear})


async def serve(driver: Driver, kubelet: Path) -> None:
    endpoint = driver.volumes.state / "csi.sock"
    registry = kubelet / "plugins_registry" / f"{driver.name}-reg.sock"
    registry.parent.mkdir(parents=True, exist_ok=True)
    servers = []
    services = [API.handlers(service, {name: served(driver, name) for name in METHODS[service]}) for service in METHODS]
    for socket, handlers in ((endpoint, services), (registry, [registrar(driver, endpoint)])):
        socket.unlink(missing_ok=True)
        server = grpc.aio.server()
        server.add_generic_rpc_handlers(handlers)
        server.add_insecure_port(f"unix://{socket}")
        await server.start()
        servers.append(server)
    print(f"serving {driver.name} on {endpoint}", flush=True)
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await stop.wait()
    registry.unlink(missing_ok=True)
    for server in reversed(servers):
        await server.stop(1.0)


def main() -> None:
    parser = argparse.ArgumentParser(description="A storage driver of folders, loop devices and memory.")
    parser.add_argument("--name", default="disk.navarch.dev", help="of the driver")
    parser.add_argument("--node", default=os.uname().nodename, help="this node's name")
    parser.add_argument("--state", type=Path, default=Path("/var/lib/disks"), help="where volumes lie")
    parser.add_argument("--kubelet", type=Path, default=Path("/var/lib/navarch/agent"), help="the agent's folder")
    parser.add_argument("--record", type=Path, help="a file to write each call into")
    given = parser.parse_args()
    driver = Driver(given.name, given.node, Volumes(given.state.resolve()), given.record)
    asyncio.run(serve(driver, given.kubelet))


if __name__ == "__main__":
    main()
