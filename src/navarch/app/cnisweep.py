"""Networks of pods that nobody will take down any more: found by what their making leaves behind.

A containerd that dies while it makes a sandbox forgets it, and so never asks the plugins to undo what they did: the
address stays taken, the namespace stays, and with it the interface on the bridge. So the addresses handed out, the
plugins' kept answers and the namespaces are compared with the sandboxes that there are; what may be somebody else's is
left. When it is taken away is `sweep`'s business.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import subprocess
from collections.abc import Callable, Iterator, Set
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

from navarch.app import bandwidth, cni, link
from navarch.net import neighbours

NETNS = Path("/run/netns")
PROC = Path("/proc")
INTERFACES, NEIGHBOURS = Path("/interfaces"), Path("/neighbours")
"""No folders: what stands for the kernel's own lists."""
_INET6 = re.compile(r"^([0-9a-f]{32}) ", re.MULTILINE)
_LOCAL = re.compile(r"\|-- (\S+)\s+/32 host LOCAL")


class Networks:
    """results, namespaces, proc: where things lie. interfaces: names of all. For `sweep.Sweeper`."""

    def __init__(
        self,
        network: cni.PodNetwork,
        *,
        results: Path = cni.RESULTS,
        namespaces: Path = NETNS,
        proc: Path = PROC,
        interfaces: Callable[[], list[str]] = link.names,
    ) -> None:
        self._network = network
        self._results = results
        self._namespaces = namespaces
        self._proc = proc
        self._interfaces = interfaces

    def unowned(self, sandboxes: Set[str]) -> Iterator[Path]:
        """Files of addresses, of answers, and of namespaces, that are ours and belong to none of the sandboxes."""
        for file in _entries(self._addresses):
            with contextlib.suppress(ValueError, OSError):  # not named as an address: a lock; or gone meanwhile
                ip_address(file.name)
                if (file.read_text().split() or [""])[0] not in sandboxes:
                    yield file
        kept = set()
        for file in _entries(self._results):
            namespaces = cni.namespaces(file)
            sandbox = self._sandbox(file.name)
            if sandbox is None or sandbox in sandboxes:
                kept |= {path.name for path in namespaces}
            else:
                yield file
        yield from (
            path for path in _entries(self._namespaces) if path.name.startswith("cni-") and path.name not in kept
        )
        yield from (INTERFACES / name for name in self._limits_of_nobody(sandboxes))
        yield from (NEIGHBOURS / name for name in self._forgotten_neighbours())

    def _limits_of_nobody(self, sandboxes: Set[str]) -> Iterator[str]:
        """Interfaces that held a sandbox to its bandwidth, of which neither the runtime nor a kept answer knows."""
        there = [name for name in self._interfaces() if name.startswith(bandwidth.PREFIX)]
        if there:
            known = {bandwidth.interface(self._network.name, one) for one in sandboxes}
            known |= {bandwidth.interface(*_answered(file.name)) for file in _entries(self._results)}
            yield from (name for name in there if name not in known)

    def _forgotten_neighbours(self) -> Iterator[str]:
        """Addresses that the kernel still knows on the bridge, and that nobody has: nobody was given them, or, of those
        that pods give themselves, nothing with that hardware is plugged in or was heard of lately."""
        known = neighbours.on(self._network.bridge)
        plugged = neighbours.behind(self._network.bridge) if any(one.is_link_local for one in known) else set()
        for address, hardware in known.items():
            if address.is_link_local:
                gone = hardware not in plugged
            else:
                ours = any(address in network for network in self._network.networks)
                gone = ours and not (self._addresses / str(address)).exists()
            if gone:
                yield str(address)

    def _sandbox(self, name: str) -> str | None:
        """Whose answer the file keeps; None where it is not one of our network."""
        for before, after in ((f"{self._network.name}-", "-eth0"), ("cni-loopback-", "-lo")):
            if name.startswith(before) and name.endswith(after):
                sandbox = name.removeprefix(before).removesuffix(after)
                ours = (self._results / f"{self._network.name}-{sandbox}-eth0").exists()
                return sandbox if ours else None
        return None

    @property
    def _addresses(self) -> Path:
        return self._network.addresses

    def take(self, path: Path) -> bool:
        """False where it turned out to be somebody's. Raises: OSError."""
        if path.parent == self._namespaces:
            return self._take_namespace(path)
        if path.parent == INTERFACES:
            link.remove(path.name)
            return True
        if path.parent == NEIGHBOURS:
            if not (self._addresses / path.name).exists():
                neighbours.forget(self._network.bridge, path.name)
            return False  # that every pod leaves: nobody need hear of it
        if path.parent == self._addresses:
            with (self._addresses / "lock").open("a") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                path.unlink(missing_ok=True)
            return True
        for namespace in cni.namespaces(path):
            self._take_namespace(namespace)
        path.unlink(missing_ok=True)
        return True

    def _take_namespace(self, path: Path) -> bool:
        """Unless somebody lives in it, or it has another network's address."""
        try:
            number = path.stat().st_ino
        except OSError:
            return False
        if number in self._lived_in():
            return False
        own = self._network.networks
        addresses = [one for one in addresses_in(path) if not one.is_loopback and not one.is_link_local]
        if any(not any(one in network for network in own) for one in addresses):
            return False
        cni.remove_namespace(path)
        return True

    def _lived_in(self) -> set[int]:
        """Numbers of the network namespaces that processes live in."""
        found = set()
        for entry in self._proc.glob("[0-9]*/ns/net"):
            with contextlib.suppress(OSError):  # it ended meanwhile
                found.add(os.stat(entry).st_ino)
        return found


def _answered(name: str) -> tuple[str, str]:
    """The network and the sandbox that a kept answer's name tells."""
    network, _, sandbox = name.rpartition("-")[0].rpartition("-")
    return network, sandbox


def addresses_in(namespace: Path) -> list[IPv4Address | IPv6Address]:
    """All of a network namespace's own addresses; none where nothing is mounted."""
    shown = subprocess.run(
        ["nsenter", f"--net={namespace}", "cat", "/proc/self/net/fib_trie", "/proc/self/net/if_inet6"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    others = [IPv6Address(int(found, 16)) for found in _INET6.findall(shown.stdout)]
    return [*map(IPv4Address, _LOCAL.findall(shown.stdout)), *others]


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:  # nothing was ever made there
        return []
