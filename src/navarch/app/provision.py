"""What a machine must have before a cluster can run on it, and how it gets it.

Observe → plan → act: `observe` looks for programs and kernel features, `plan` says which Debian packages are missing
and what cannot be mended, `install` calls apt-get. Nothing is installed that is already there in some other way.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from navarch.objects import names

SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CNI_FOLDERS = (Path("/opt/cni/bin"), Path("/usr/lib/cni"))
CNI_PLUGINS = ("bridge", "host-local", "loopback", "portmap")

PACKAGES: Mapping[str, str] = {
    "containerd": "containerd",
    "runc": "runc",
    "nft": "nftables",
    "ip": "iproute2",
    "iptables": "iptables",
    "mount": "mount",
    "cni": "containernetworking-plugins",
}
"""What must be there -> the Debian package that brings it. iptables: the portmap plugin calls it."""
BESIDES: Mapping[str, str] = {"conmon": "conmon"}
"""What only some pods need (host processes), so that it comes along when something is installed and is not asked for
else: their events say what is missing."""


class NotProvisioned(Exception):
    """The machine lacks something that packages cannot mend; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What was seen. missing: keys of `PACKAGES`; lacking: of `BESIDES`. cgroups: 0 none, or the version (1, 2)."""

    root: bool
    missing: tuple[str, ...]
    cgroups: int
    overlay: bool
    apt: bool
    lacking: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """packages: to install, in order. refusals: why it cannot work at all; nothing is installed then."""

    packages: tuple[str, ...] = ()
    refusals: tuple[str, ...] = field(default=())


def cni_folder() -> Path | None:
    """Where the CNI plugins lie, if they are all there."""
    for folder in CNI_FOLDERS:
        if all((folder / plugin).exists() for plugin in CNI_PLUGINS):
            return folder
    return None


def cgroup_version(root: Path = Path("/sys/fs/cgroup")) -> int:
    """2 where the unified hierarchy has the controllers, 1 where they are mounted one by one, else 0."""
    try:
        if {"cpu", "memory"} <= set((root / "cgroup.controllers").read_text().split()):
            return 2
    except FileNotFoundError:
        pass
    return 1 if all((root / name / "cgroup.procs").exists() for name in ("cpu", "memory", "pids")) else 0


def observe() -> Facts:
    missing = [
        name
        for name in PACKAGES
        if (cni_folder() is None if name == "cni" else shutil.which(name, path=SEARCH_PATH) is None)
    ]
    filesystems = Path("/proc/filesystems").read_text().split()
    return Facts(
        root=os.geteuid() == 0,
        missing=tuple(missing),
        cgroups=cgroup_version(),
        overlay="overlay" in filesystems or Path("/lib/modules").exists(),
        apt=shutil.which("apt-get", path=SEARCH_PATH) is not None,
        lacking=tuple(name for name in BESIDES if shutil.which(name, path=SEARCH_PATH) is None),
    )


def plan(facts: Facts) -> Plan:
    """Everything that stands in the way, all at once."""
    refusals = []
    if not facts.root:
        refusals.append("root is needed to run containers: try again with `sudo`, or use `navarch.Cluster()` without")
    if not facts.cgroups:
        refusals.append("no cgroup controllers are mounted below /sys/fs/cgroup: containers could not be limited")
    if not facts.overlay:
        refusals.append("the kernel has no overlay file system: containerd cannot stack image layers")
    packages = tuple(PACKAGES[name] for name in facts.missing)
    if packages and not facts.apt:
        refusals.append(f"missing: {', '.join(facts.missing)}, and there is no apt-get; install them and try again")
    if packages:
        packages += tuple(BESIDES[name] for name in facts.lacking)
    return Plan((), tuple(refusals)) if refusals else Plan(packages)


APT_OPTIONS = (
    *("-o", "DPkg::Lock::Timeout=120"),
    *("-o", "Acquire::Retries=2", "-o", "Acquire::http::Timeout=15", "-o", "Acquire::https::Timeout=15"),
)
"""Who has no network is told so after some seconds; apt's own limits are two minutes for each address it tries."""


def install(packages: Sequence[str], say: Callable[[str], None]) -> None:
    """Install Debian packages; `say` gets each line that apt prints.

    Raises:
        NotProvisioned: apt-get failed; the message ends with the last it said.
    """
    apt = ["apt-get", *APT_OPTIONS]
    update = [*apt, "update"]
    add = [*apt, "install", "-y", "--no-install-recommends", *packages]
    for command in (update, add):
        said: list[str] = []
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive", "PATH": SEARCH_PATH},
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                said.append(line.rstrip())
                say(said[-1])
        if process.returncode and command is add:
            raise NotProvisioned("\n".join([f"`{' '.join(add)}` failed:", *said[-8:]]))


def port_is_free(port: int) -> bool:
    """Whether a server could listen on `port` of every address."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))
        except OSError:
            return False
    return True


def listener(port: int) -> str:
    """Who listens on a TCP port, as well as the kernel tells: `python3 (pid 4711)`, else "another program"."""
    sockets = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A" and int(words[1].rpartition(":")[2], 16) == port:
                sockets.add(f"socket:[{words[9]}]")
    for descriptor in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if os.readlink(descriptor) in sockets:
                process = descriptor.parents[1]
                return f"{(process / 'comm').read_text().strip()} (pid {process.name})"
        except OSError:  # it ended meanwhile, or is not ours to look at
            continue
    return "another program"


def node_name(host_name: str = "") -> str:
    """host_name: of this machine unless given. Raises: NotProvisioned when no node can be called that."""
    name = (host_name or socket.gethostname()).lower().rstrip(".")
    if problems := names.dns_subdomain(name):
        raise NotProvisioned(f"the host name {name!r} cannot name a node ({problems[0]}); give one with --node-name")
    return name


PROBES = {4: (socket.AF_INET, ("192.0.2.1", "10.255.255.255")), 6: (socket.AF_INET6, ("2001:db8::1", "fd00::1"))}
"""Addresses of nobody, to which a machine's routes lead."""


def node_address(version: int = 4) -> str:
    """The address that other machines reach this one at: the source of the default route, else of any interface; ""
    where no interface has one."""
    family, targets = PROBES[version]
    try:
        probe = socket.socket(family, socket.SOCK_DGRAM)
    except OSError:  # the kernel has none of this family
        return ""
    with probe:
        for target in targets:
            try:
                probe.connect((target, 9))  # sends nothing: it only asks the kernel for a route
            except OSError:
                continue
            return str(probe.getsockname()[0])
    shown = ["ip", f"-{version}", "-br", "addr", "show", "scope", "global"]
    found = subprocess.run(shown, capture_output=True, text=True)
    return next((line.split()[2].split("/")[0] for line in found.stdout.splitlines()), "")
