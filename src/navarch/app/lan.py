"""More nodes on one machine: each a network namespace on a bridge of its own, with a containerd and an agent inside.

To the cluster they are machines: they join as any other does, and what goes from one to another crosses a network. The
first node stays in the machine's own network; the machine leads the others to the world.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network, ip_interface
from pathlib import Path

from navarch.app import ask, firewall, link, machine, tokens
from navarch.app.layout import Layout, Settings, in_url, load_settings
from navarch.app.machine import Say
from navarch.app.provision import NotProvisioned
from navarch.app.ranges import Network
from navarch.base.clock import SystemClock, SystemIds
from navarch.base.errors import Retryable
from navarch.proxy.nft import run_nft

NETWORK = "10.250.0.0/24"
NETWORK_IPV6 = "fd00:10:250::/64"
"""Beside the other one, in clusters that have IPv6."""
BRIDGE = "navarch-lan"
TABLE = "navarch-lan"
MOST = 64
JOIN_S = 180.0
TOKEN_LIFE = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Host:
    """number: from 2 on. address: of IPv4; other: of IPv6. space: the file that its network namespace is mounted on.
    cable: its end on the machine."""

    number: int
    name: str
    address: str
    other: str
    cable: str
    space: Path
    layout: Layout

    @property
    def inside(self) -> tuple[str, ...]:
        """What a command is begun with that runs in its network; everything else it shares with the machine."""
        return ("nsenter", f"--net={self.space}")

    def navarch(self, command: str, *words: str) -> list[str]:
        folders = ("--data-dir", str(self.layout.data), "--run-dir", str(self.layout.run))
        return [sys.executable, "-m", "navarch", command, *words, *folders]


def host(layout: Layout, first: str, number: int) -> Host:
    """first: the name of the machine's own node."""
    own = Layout(layout.data / "nodes" / str(number), layout.run / "nodes" / str(number))
    address, other = str(IPv4Network(NETWORK)[number]), str(IPv6Network(NETWORK_IPV6)[number])
    return Host(
        number, f"{first}-{number}", address, other, f"navarch-{number}", layout.run / "spaces" / str(number), own
    )


def wanted(layout: Layout, settings: Settings) -> list[Host]:
    return [host(layout, settings.node_name, number) for number in range(2, settings.nodes + 1)]


def present(layout: Layout, settings: Settings | None) -> list[Host]:
    """Those that have files here, whatever became of them otherwise."""
    numbers = sorted(int(entry.name) for entry in (layout.data / "nodes").glob("[0-9]*"))
    return [host(layout, settings.node_name if settings else "", number) for number in numbers]


def lay(settings: Settings, hosts: Sequence[Host]) -> None:
    """The bridge, a namespace for each host, the cable between, and the way out. Raises: NotProvisioned."""
    lans = networks_of(settings)
    for lan in lans:
        _check_free(lan)
    try:
        link.ensure_bridge(BRIDGE, *(ip_interface(f"{lan[1]}/{lan.prefixlen}") for lan in lans))
    except OSError as error:
        raise NotProvisioned(f"the link of the nodes of one machine cannot be laid: {error}") from error
    for one in hosts:
        if not os.path.ismount(one.space):
            one.space.parent.mkdir(parents=True, exist_ok=True)
            one.space.touch()
            _run("unshare", f"--net={one.space}", "true")
        if not link.exists(one.cable):
            _plug(one, lans)
    run_nft(way_out(settings.cluster_cidr))
    for network in _led(settings):
        firewall.let_through(network)


def networks_of(settings: Settings) -> tuple[Network, ...]:
    """Those that hosts are on: the second one only in clusters that have IPv6."""
    found = (IPv4Network(NETWORK), IPv6Network(NETWORK_IPV6))
    return found if ":" in settings.cluster_cidr else found[:1]


def _led(settings: Settings) -> tuple[str, ...]:
    """Networks that the machine leads packets from and to."""
    return (*map(str, networks_of(settings)), *settings.cluster_cidr.split(","))


def _at_once(lan: Network) -> tuple[str, ...]:
    """Nobody else is asked whether he has the address: until that is answered it could not be used."""
    return ("nodad",) if lan.version == 6 else ()


def _plug(one: Host, lans: Sequence[Network]) -> None:
    """A cable from the bridge into the host's namespace."""
    _run("ip", "link", "add", one.cable, "type", "veth", "peer", "name", "eth0", "netns", str(one.space))
    _run("ip", "link", "set", one.cable, "master", BRIDGE, "up")
    own = list(zip(lans, (one.address, one.other), strict=False))
    for words in (
        ("link", "set", "lo", "up"),
        *(("addr", "add", f"{address}/{lan.prefixlen}", "dev", "eth0", *_at_once(lan)) for lan, address in own),
        ("link", "set", "eth0", "up"),
        *((f"-{lan.version}", "route", "add", "default", "via", str(lan[1])) for lan in lans),
    ):
        _run(*one.inside, "ip", *words)


def _check_free(lan: Network) -> None:
    """Raises: NotProvisioned: the machine is on that network already."""
    if link.exists(BRIDGE):
        return
    shown = subprocess.run(
        ["ip", f"-{lan.version}", "route", "show", "root", str(lan)], capture_output=True, text=True
    ).stdout
    if shown.strip():
        raise NotProvisioned(f"the network {lan}, which nodes of one machine are on, is in use here: {shown.strip()}")


def way_out(cluster_cidr: str) -> str:
    """Rules by which hosts reach the world under the machine's address, and each other and pods under their own."""
    made = []
    for pods in cluster_cidr.split(","):
        family, lan = ("ip6", NETWORK_IPV6) if ":" in pods else ("ip", NETWORK)
        made.append(
            f"table {family} {TABLE}\ndelete table {family} {TABLE}\ntable {family} {TABLE} {{\n"
            "  chain out {\n    type nat hook postrouting priority srcnat; policy accept;\n"
            f"    {family} saddr {lan} {family} daddr != {{ {lan}, {pods} }} masquerade\n  }}\n}}\n"
        )
    return "".join(made)


def take_up(settings: Settings, hosts: Sequence[Host]) -> None:
    """Leave nothing of the network between. Raises: Retryable."""
    unplug(hosts)
    link.remove(BRIDGE)
    if shutil.which("nft"):
        for lan in networks_of(settings):
            family = "ip" if lan.version == 4 else "ip6"
            run_nft(f"table {family} {TABLE}\ndelete table {family} {TABLE}\n")
    for network in _led(settings):
        firewall.stop_letting_through(network)


def unplug(hosts: Sequence[Host]) -> None:
    """Take away their namespaces and cables. Raises: OSError."""
    for one in hosts:
        if one.space.exists():
            subprocess.run(["umount", "--lazy", str(one.space)], capture_output=True, timeout=30, check=False)
            one.space.unlink(missing_ok=True)
        link.remove(one.cable)
        shutil.rmtree(one.layout.data, ignore_errors=True)
        shutil.rmtree(one.layout.run, ignore_errors=True)


def start(layout: Layout, settings: Settings, hosts: Sequence[Host], say: Say) -> None:
    """Have them all join at once; returns when every one is Ready. Raises: NotProvisioned."""
    ready = {node["name"] for node in ask.list_nodes(layout.server_socket) if node["ready"]}
    idle = [one for one in hosts if one.name not in ready or not machine.supervisor_is_up(one.layout)]
    if not idle:
        return
    token = tokens.make(tokens.new_text(SystemIds()), SystemClock().now(), TOKEN_LIFE, description="navarch up --nodes")
    tokens.create(layout, token)
    options = ["--token", token.text, "--ca-hash", tokens.hash_of(layout.pki / "ca.crt")]
    for name, url in settings.registries.items():
        options += ["--registry", f"{name}={url}"]
    if settings.kubelet_config_file:
        options += ["--kubelet-config", settings.kubelet_config_file]
    for option, folder in (("--cni-conf-dir", settings.cni_conf_dir), ("--cni-bin-dir", settings.cni_bin_dir)):
        options += [option, folder] if folder else []
    server = f"https://{in_url(settings.node_ip)}:{settings.api_port}"
    begun = [
        (one, _begin([*one.inside, *one.navarch("join", server, *own_options(one, settings), *options)]))
        for one in idle
    ]
    failed = []
    for done, (one, process) in enumerate(begun):
        say(f"{done} of {len(begun)} have joined")
        try:
            output, _ = process.communicate(timeout=JOIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            output = f"it has not joined after {JOIN_S:.0f} s; its logs are in {one.layout.logs}"
        if process.returncode:
            failed.append(f"{one.name}: {output.strip()}")
    tokens.delete(layout, token.id)
    if failed:
        raise NotProvisioned("\n".join(["not every node came up:", *failed]))


def own_options(one: Host, settings: Settings) -> tuple[str, ...]:
    addresses = ",".join(one.other if ":" in pods else one.address for pods in settings.cluster_cidr.split(","))
    return ("--node-name", one.name, "--node-ip", addresses, "--own", str(one.number))


def stop(hosts: Sequence[Host], say: Say) -> None:
    """Make them leave, all at once, without moving their pods. Raises: Retryable, with what is still there."""
    begun = []
    for one in hosts:
        if load_settings(one.layout) is None:
            continue
        # Where the namespace is gone, as after a boot, an empty one: names in the machine's own are the first node's.
        inside = one.inside if os.path.ismount(one.space) else ("unshare", "--net")
        begun.append((one, _begin([*inside, *one.navarch("leave", "--now")])))
    failed = []
    for left, (one, process) in enumerate(begun):
        say(f"{len(begun) - left} left")
        output, _ = process.communicate()
        if process.returncode:
            failed.append(f"{one.name}: {output.strip()}")
    if failed:
        raise Retryable(f"not every node was removed whole: {'; '.join(failed)}; try `navarch down` again")


def _begin(words: Sequence[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd="/"
    )


def _run(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    if done.returncode:
        raise NotProvisioned(f"`{' '.join(words)}` failed: {done.stderr.strip() or done.returncode}")
