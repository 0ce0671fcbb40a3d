"""Our own containerd: its configuration, start and complete removal.

It shares nothing with a containerd that the machine may run already: root, state, socket, CNI configuration and image
store lie below one directory. Who keeps the process alive is the supervisor's business; how containers are made, the
agent's.

Source: https://github.com/containerd/containerd/blob/release/1.6/docs/cri/config.md
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from navarch.agent import escapes
from navarch.agent.volumes.kernel import mounts_below
from navarch.app.pause import PAUSE_IMAGE
from navarch.base.clock import Clock
from navarch.base.errors import Retryable

UNUSED_PLUGINS = (
    "io.containerd.internal.v1.opt",
    "io.containerd.internal.v1.restart",
    "io.containerd.internal.v1.tracing",
    "io.containerd.tracing.processor.v1.otlp",
    "io.containerd.snapshotter.v1.aufs",
    "io.containerd.snapshotter.v1.btrfs",
    "io.containerd.snapshotter.v1.devmapper",
    "io.containerd.snapshotter.v1.zfs",
)


@dataclass(frozen=True, slots=True)
class ContainerdSettings:
    """directory: everything of this instance lies below. oci_runtime: path of runc or crun.

    cni_bin_dir: containerd 1.6 takes only one. snapshotter: `overlayfs`, or `native` where overlay mounts do not work.
    """

    directory: Path
    cni_bin_dir: Path = Path("/usr/lib/cni")
    cni_conf_dir: Path | None = None
    binary: str = "containerd"
    oci_runtime: str = ""
    snapshotter: str = "overlayfs"
    sandbox_image: str = PAUSE_IMAGE
    log_level: str = "warn"
    registry_dir: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def root(self) -> Path:
        return self.directory / "root"

    @property
    def state(self) -> Path:
        return self.directory / "state"

    @property
    def socket(self) -> Path:
        return self.directory / "containerd.sock"

    @property
    def config_file(self) -> Path:
        return self.directory / "config.toml"

    @property
    def cni_conf(self) -> Path:
        return self.cni_conf_dir or self.directory / "cni"

    @property
    def registries(self) -> Path:
        """`<registry>/hosts.toml` files, read by containerd at every pull."""
        return self.registry_dir or self.directory / "registries"

    @property
    def command(self) -> Sequence[str]:
        return (self.binary, "--config", str(self.config_file))


def find_oci_runtime() -> str:
    """runc or, failing that, crun.

    Raises:
        Retryable: neither is installed.
    """
    for name in ("runc", "crun"):
        if found := shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"):
            return found
    raise Retryable("no OCI runtime found: install the package runc (or crun)")


def programs(settings: ContainerdSettings) -> tuple[str, str]:
    """Paths of containerd and of what it starts containers with; "" for one that is not there."""
    try:
        runtime = settings.oci_runtime or find_oci_runtime()
    except Retryable:
        runtime = ""
    return shutil.which(settings.binary) or "", runtime


def warnings(settings: ContainerdSettings) -> list[str]:
    """What is known of the runtime on this machine that lets containers out."""

    async def look() -> list[str]:
        program, low_level = programs(settings)
        version = await escapes.version_of(program) if program else ""
        return await escapes.weaknesses("containerd", version, program, low_level)

    return asyncio.run(look())


def configuration(settings: ContainerdSettings) -> str:
    """The configuration file's text."""
    cri = 'plugins."io.containerd.grpc.v1.cri"'
    runtime = settings.oci_runtime or find_oci_runtime()
    disabled = ", ".join(_quote(name) for name in UNUSED_PLUGINS)
    return f"""version = 2
root = {_quote(settings.root)}
state = {_quote(settings.state)}
oom_score = 0
disabled_plugins = [{disabled}]
[grpc]
  address = {_quote(settings.socket)}
[ttrpc]
  address = {_quote(f"{settings.socket}.ttrpc")}
[debug]
  level = {_quote(settings.log_level)}
[plugins."io.containerd.monitor.v1.cgroups"]
  no_prometheus = true
[{cri}]
  sandbox_image = {_quote(settings.sandbox_image)}
  restrict_oom_score_adj = true
  disable_tcp_service = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  max_container_log_line_size = 16384
  enable_unprivileged_ports = true
  enable_unprivileged_icmp = true
  [{cri}.containerd]
    snapshotter = {_quote(settings.snapshotter)}
    default_runtime_name = "runc"
    [{cri}.containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [{cri}.containerd.runtimes.runc.options]
        BinaryName = {_quote(runtime)}
        SystemdCgroup = false
  [{cri}.cni]
    bin_dir = {_quote(settings.cni_bin_dir)}
    conf_dir = {_quote(settings.cni_conf)}
    max_conf_num = 1
  [{cri}.registry]
    config_path = {_quote(settings.registries)}
"""


def _quote(value: object) -> str:
    text = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def hosts_file(server: str, *, insecure: bool) -> str:
    """A `hosts.toml` that sends pulls for a registry to `server` (`http://127.0.0.1:5000`)."""
    text = f'server = {_quote(server)}\n[host.{_quote(server)}]\n  capabilities = ["pull", "resolve"]\n'
    return text + ("  skip_verify = true\n" if insecure else "")


def prepare(settings: ContainerdSettings, registries: Mapping[str, str] = {}) -> None:
    """Write the directories and files that `settings.command` needs.

    registries: registry as images name it (`localhost:5000`) -> URL to pull from.

    Raises:
        Retryable: no OCI runtime.
    """
    for directory in (settings.directory, settings.root, settings.state, settings.cni_conf, settings.registries):
        directory.mkdir(parents=True, exist_ok=True, mode=0o711)
    if len(str(settings.socket)) > 100:
        raise Retryable(f"the directory {settings.directory} is too long for a Unix socket: choose a shorter one")
    for registry, server in registries.items():
        folder = settings.registries / registry
        folder.mkdir(exist_ok=True)
        (folder / "hosts.toml").write_text(hosts_file(server, insecure=server.startswith("http:")))
    settings.config_file.write_text(configuration(settings))


async def start(
    settings: ContainerdSettings, clock: Clock, log: Path, wait_s: float = 30.0
) -> asyncio.subprocess.Process:
    """Run it until its CRI service answers; its output is added to `log`. The caller owns the process.

    Raises:
        Retryable: it ended, or did not answer in time.
    """
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            *settings.command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, **settings.environment},
            start_new_session=True,
        )
    deadline = clock.monotonic() + wait_s
    while not await answers(settings.socket):
        if process.returncode is not None:
            raise Retryable(f"containerd ended with {process.returncode}: see {log}")
        if clock.monotonic() > deadline:
            process.kill()
            await process.wait()
            raise Retryable(f"containerd did not answer within {wait_s:g} s: see {log}")
        await clock.sleep(0.05)
    return process


async def answers(socket: Path) -> bool:
    """Whether a CRI runtime serves on the socket."""
    import grpc

    from navarch.wire import cri

    channel = cri.open_channel(socket)
    try:
        await cri.services(channel)[0].Version(cri.stubs().VersionRequest(), timeout=2.0)
    except grpc.RpcError:
        return False
    finally:
        await channel.close()
    return True


def shims(settings: ContainerdSettings) -> Iterator[int]:
    """Process ids of the shims that belong to this instance."""
    address = str(settings.socket).encode()
    for entry in os.listdir("/proc"):
        if entry.isdecimal():
            try:
                words = Path("/proc", entry, "cmdline").read_bytes().split(b"\0")
            except OSError:  # it ended meanwhile
                continue
            if words and os.path.basename(words[0]).startswith(b"containerd-shim") and address in words:
                yield int(entry)


def kill_containers(settings: ContainerdSettings) -> None:
    """Kill every container of this instance with its shim; containerd itself must have ended."""
    for shim in list(shims(settings)):
        kill_shim(shim)


def shim_id(pid: int) -> str:
    """The sandbox that a shim was started for; "" when it has ended."""
    try:
        words = Path("/proc", str(pid), "cmdline").read_text().split("\0")
    except OSError:
        return ""
    return words[words.index("-id") + 1] if "-id" in words[:-1] else ""


def kill_shim(shim: int) -> None:
    """With the containers that it holds."""
    for pid in [*_children(shim), shim]:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def _children(pid: int) -> list[int]:
    found = []
    for task in Path("/proc", str(pid), "task").glob("*/children"):
        try:
            found += [int(child) for child in task.read_text().split()]
        except OSError:  # the thread ended meanwhile
            continue
    return found


async def remove(settings: ContainerdSettings) -> None:
    """Leave nothing of an instance whose containerd has ended: no process, no mount, no file.

    Raises:
        Retryable: something is still mounted or busy.
    """
    kill_containers(settings)
    await unmount_below(settings.directory)
    try:
        await asyncio.to_thread(shutil.rmtree, settings.directory)
    except FileNotFoundError:
        return
    except OSError as error:
        raise Retryable(f"cannot remove {settings.directory}: {error}") from error


async def unmount_below(directory: Path) -> None:
    """Unmount lazily whatever is mounted below the directory."""
    for point in mounts_below(directory):
        process = await asyncio.create_subprocess_exec(
            "umount", "--lazy", str(point), stderr=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL
        )
        await process.wait()
