"""The pods' network on one node: a bridge, addresses handed out by CNI's own plugins, and the kernel's settings.

`ensure` prepares the node before containerd starts and may be repeated; `remove` leaves the machine as it was.
Services, masquerading and host ports are the proxy's; this module only tells it what the kernel can do. Connections
that the kernel remembers are left alone.

Source: https://www.cni.dev/docs/spec/
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_interface, ip_network
from pathlib import Path
from typing import Any

import orjson

from navarch.app import firewall, link
from navarch.app.originals import Originals
from navarch.app.ranges import Network, networks
from navarch.base.errors import Retryable
from navarch.base.log import Log
from navarch.net.netlink import NetlinkKernel, clear, link_of
from navarch.net.plan import TUNNEL, pod_mtu_bytes
from navarch.proxy import policyscript, script
from navarch.proxy.nft import run_nft

CNI_VERSION = "0.4.0"
RESULTS = Path("/var/lib/cni/results")
"""Where libcni keeps what plugins answered; containerd does not let it be moved."""
NAMESPACES = Path("/run/netns")
"""Where containerd, and `ip netns`, keep network namespaces."""
SETTINGS = Path("/proc/sys")
BRIDGE_FILTER = "net/bridge/bridge-nf-call-iptables"
BY_DEFAULT = frozenset(("all", "default"))
"""What stands among the interfaces and is none."""
EVERYWHERE = {4: "0.0.0.0/0", 6: "::/0"}
BRIDGE_FILTER_IPV6 = "net/bridge/bridge-nf-call-ip6tables"
LOOPBACK = "lo"
OTHERWISE = {4: "169.254.20.10", 6: "fd6e:6176::10"}
"""Where a node without our bridge has its DNS server: addresses that no other machine has a way to."""

log = Log("cni")


@dataclass(frozen=True, slots=True)
class PodNetwork:
    """config: containerd's cni.conf_dir. state: a directory of ours alone. pod_cidr: this node's, of one family or of
    both, parted by a comma. table: the proxy's. node_ip: by which other nodes reach this one. limits: whether the
    plugin is there that keeps pods to a bandwidth.

    bridge: "" where other plugins make the network of pods: it is then only seen to that Services work for them.
    With several nodes on one machine, each needs a `config` and a `state` of its own, and a network namespace.
    """

    pod_cidr: str
    config: Path
    state: Path
    bridge: str = "navarch0"
    name: str = "navarch"
    table: str = "navarch"
    node_ip: str = ""
    limits: bool = False

    @property
    def gateway(self) -> str:
        """The node, as its pods see it: the bridge's address, of the first family."""
        return self.gateways[0]

    @property
    def networks(self) -> tuple[Network, ...]:
        return networks(self.pod_cidr)

    @property
    def gateways(self) -> tuple[str, ...]:
        """The bridge's address of each family."""
        return tuple(str(network[1]) for network in self.networks)

    def door(self, pod_cidr: str) -> str:
        """Where pods with addresses of this range find what the node does for them."""
        network = ip_network(pod_cidr)
        return str(network[1]) if self.bridge else OTHERWISE[network.version]

    @property
    def bridge_filtered(self) -> bool:
        """Whether bridged packets pass netfilter: what `proxy.Node` wants to know."""
        return _read(BRIDGE_FILTER) == "1"

    def document(self, mtu_bytes: int = 0) -> dict[str, Any]:
        """The CNI network configuration list. The loopback interface is containerd's own doing."""
        plugin: dict[str, Any] = {
            "type": "bridge",
            "bridge": self.bridge,
            "isGateway": True,
            "ipMasq": False,
            "hairpinMode": True,
            "ipam": {
                "type": "host-local",
                "dataDir": str(self.state / "addresses"),
                "ranges": [
                    [{"subnet": str(network), "gateway": gateway}]
                    for network, gateway in zip(self.networks, self.gateways, strict=True)
                ],
                "routes": [{"dst": EVERYWHERE[network.version]} for network in self.networks],
            },
        }
        if mtu_bytes:
            plugin["mtu"] = mtu_bytes
        limits = [{"type": "bandwidth", "capabilities": {"bandwidth": True}}] if self.limits else []
        return {"cniVersion": CNI_VERSION, "name": self.name, "plugins": [plugin, *limits]}

    @property
    def addresses(self) -> Path:
        """A file for each address that is handed out, with the sandbox that has it in its first line."""
        return self.state / "addresses" / self.name

    def holder(self, address: str) -> str:
        """The sandbox that has the address; "" for none of this network."""
        with contextlib.suppress(OSError, ValueError):
            return (self.addresses / address).read_text().split("\n")[0].strip()
        return ""

    def ensure(self) -> None:
        """Raises: Retryable, saying what this machine does not let us do."""
        try:
            self.state.mkdir(parents=True, exist_ok=True)
            self._note_what_is_there()
            _mount_over_itself(NAMESPACES)
            if not self.bridge:
                self._ensure_settings({**self._ways_in(), **self._forwarding()})
                for network in self.networks:
                    firewall.let_through(str(network))
                    link.ensure_address(LOOPBACK, self.door(str(network)))
                return
            self.config.mkdir(parents=True, exist_ok=True)
            self._ensure_settings(self._ways_in())
            own = zip(self.gateways, self.networks, strict=True)
            link.ensure_bridge(self.bridge, *(ip_interface(f"{one}/{network.prefixlen}") for one, network in own))
            self._ensure_settings(self._forwarding())
            for network in self.networks:
                firewall.let_through(str(network))
            found = link_of(self.node_ip)
            link_bytes = found.mtu_bytes if found is not None else link.mtu_bytes(link.default_interface())
            # a setting may have packets take the tunnel at any time
            mtu_bytes = pod_mtu_bytes(link_bytes, "auto", 6 if ":" in self.node_ip else 4)
            _write_if_changed(self._config_file, orjson.dumps(self.document(mtu_bytes), option=orjson.OPT_INDENT_2))
        except PermissionError as error:
            raise Retryable(f"the pod network needs root with CAP_NET_ADMIN: {error}") from error
        except OSError as error:
            raise Retryable(f"the pod network could not be prepared: {error}") from error

    def remove(self) -> None:
        """Harmless when there is nothing. Every step is tried. Raises: Retryable, with what could not be removed."""
        failed: list[str] = []
        steps = (
            self._remove_links,
            self._originals.restore,
            self._remove_files,
            self._remove_table,
            self._remove_passes,
        )
        for step in steps:
            try:
                step()
            except (OSError, Retryable) as error:
                failed.append(str(error))
        if failed:
            raise Retryable(f"the pod network was not removed whole: {'; '.join(failed)}")

    @property
    def _config_file(self) -> Path:
        return self.config / f"10-{self.name}.conflist"

    @property
    def _originals(self) -> Originals:
        return Originals(self.state / "kernel-settings.json", SETTINGS)

    @property
    def _directories_file(self) -> Path:
        return self.state / "directories.json"

    def _note_what_is_there(self) -> None:
        """Which of the directories that libcni makes are there before us, and whether that of namespaces is a mount."""
        if not self._directories_file.exists():
            there = [str(one) for one in (RESULTS, RESULTS.parent) if one.exists()]
            there += [str(NAMESPACES)] if NAMESPACES in mounted_at() else []
            _write_if_changed(self._directories_file, orjson.dumps(there))

    def _there_before(self) -> list[str]:
        with contextlib.suppress(FileNotFoundError, ValueError):
            return list(orjson.loads(self._directories_file.read_bytes()))
        return [str(NAMESPACES)]

    def _ways_in(self) -> dict[str, str]:
        """Interfaces that learn their routes from routers, and go on doing so when this machine becomes one itself."""
        if not self._has_ipv6:
            return {}
        names = {folder.name for folder in (SETTINGS / "net/ipv6/conf").iterdir()} - BY_DEFAULT
        keys = [f"net/ipv6/conf/{name}/accept_ra" for name in sorted(names)]
        return {key: "2" for key in keys if _read(key) == "1"}

    @property
    def _has_ipv6(self) -> bool:
        return any(network.version == 6 for network in self.networks)

    def _forwarding(self) -> dict[str, str]:
        if _read(BRIDGE_FILTER) is None:
            # Without the module pods on one bridge still reach services: the proxy masquerades them then.
            with contextlib.suppress(OSError):
                subprocess.run(["modprobe", "br_netfilter"], capture_output=True, timeout=30, check=False)
        # Replies to connections from loopback to host ports come over the bridge; the rules bar everybody else.
        own = f"net/ipv4/conf/{self.bridge}/route_localnet"
        wanted = {"net/ipv4/ip_forward": "1", BRIDGE_FILTER: "1", BRIDGE_FILTER_IPV6: "1", own: "1"}
        return {**wanted, "net/ipv6/conf/all/forwarding": "1"} if self._has_ipv6 else wanted

    def _ensure_settings(self, wanted: Mapping[str, str]) -> None:
        """What was there before is on the disk before anything is changed."""
        before = {key: found for key in wanted if (found := _read(key)) is not None}
        changes = {key: wanted[key] for key, found in before.items() if found != wanted[key]}
        self._originals.note({key: before[key] for key in changes})
        self._originals.write(changes)

    def _remove_links(self) -> None:
        for port in link.ports(self.bridge):
            link.remove(port)
        link.remove(self.bridge)
        if not self.bridge:
            for network in self.networks:
                link.remove_address(LOOPBACK, self.door(str(network)))
        asyncio.run(clear(NetlinkKernel(TUNNEL)))

    def _remove_files(self) -> None:
        for file in list(self._results()):
            for namespace in namespaces(file):
                remove_namespace(namespace)
            file.unlink(missing_ok=True)
        kept = self._there_before()
        if str(NAMESPACES) not in kept and NAMESPACES.exists() and not any(NAMESPACES.iterdir()):
            subprocess.run(["umount", str(NAMESPACES)], capture_output=True, timeout=30, check=False)
        for directory in (RESULTS, RESULTS.parent):
            if str(directory) not in kept:
                with contextlib.suppress(OSError):  # someone else's results are in it
                    directory.rmdir()
        self._config_file.unlink(missing_ok=True)
        if self.state.exists():
            shutil.rmtree(self.state)

    def _results(self) -> Iterator[Path]:
        """Those of our network, and of the loopback interfaces of the same sandboxes."""
        for file in RESULTS.glob(f"{self.name}-*-eth0"):
            yield file
            sandbox = file.name.removeprefix(f"{self.name}-").removesuffix("-eth0")
            yield RESULTS / f"cni-loopback-{sandbox}-lo"

    def _remove_passes(self) -> None:
        for network in self.networks:
            firewall.stop_letting_through(str(network))

    def _remove_table(self) -> None:
        if shutil.which("nft"):
            run_nft(script.remove(self.table))
            with contextlib.suppress(Retryable):  # the kernel has no IPv6
                run_nft(policyscript.let_ipv6(self.table))


def namespaces(result: Path) -> set[Path]:
    """The network namespaces that a plugin's kept answer speaks of: those of sandboxes that nobody took down."""
    try:
        interfaces = orjson.loads(result.read_bytes())["result"]["interfaces"]
        return {Path(found["sandbox"]) for found in interfaces if found.get("sandbox")}
    except (OSError, ValueError, KeyError, TypeError):  # cut short by a crash, or of another version
        return set()


def remove_namespace(path: Path) -> None:
    """Raises: OSError."""
    if path.parent.name != "netns":
        return
    subprocess.run(["umount", "--lazy", str(path)], capture_output=True, timeout=30, check=False)
    path.unlink(missing_ok=True)


def mounted_at() -> list[Path]:
    """Every mount point of this machine, a path as often as something is mounted on it."""
    return [Path(line.split()[4]) for line in Path("/proc/self/mountinfo").read_text().splitlines()]


def _mount_over_itself(directory: Path) -> None:
    """As the first `ip netns` of a machine does it, but before there are pods: theirs would lie below its mount, where
    nobody could take them away any more. Where there are some it is left to them. Raises: OSError."""
    directory.mkdir(parents=True, exist_ok=True)
    points = mounted_at()
    if directory in points or any(point.parent == directory for point in points):
        return
    for words in (("--bind", str(directory), str(directory)), ("--make-shared", str(directory))):
        done = subprocess.run(["mount", *words], capture_output=True, text=True, timeout=30, check=False)
        if done.returncode:
            raise OSError(done.returncode, done.stderr.strip(), str(directory))


def _read(key: str) -> str | None:
    try:
        return (SETTINGS / key).read_text().strip()
    except FileNotFoundError:
        return None


def _write_if_changed(file: Path, content: bytes) -> None:
    """Whole or not at all: containerd watches the directory."""
    if file.exists() and file.read_bytes() == content:
        return
    fresh = file.with_name(f".{file.name}.new")
    fresh.write_bytes(content)
    fresh.replace(file)
