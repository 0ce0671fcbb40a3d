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
from collections.abc import Iterator, Set
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from navarch.app import cni

NETNS = Path("/run/netns")
PROC = Path("/proc")
_LOCAL = re.compile(r"\|-- (\S+)\s+/32 host LOCAL")


class Networks:
    """results, namespaces, proc: where things lie. For `sweep.Sweeper`."""

    def __init__(
        self,
        network: cni.PodNetwork,
        *,
        results: Path = cni.RESULTS,
        namespaces: Path = NETNS,
        proc: Path = PROC,
    ) -> None:
        self._network = network
        self._results = results
        self._namespaces = namespaces
        self._proc = proc

    def unowned(self, sandboxes: Set[str]) -> Iterator[Path]:
        """Files of addresses, of answers, and of namespaces, that are ours and belong to none of the sandboxes."""
        for file in _entries(self._addresses):
            with contextlib.suppress(ValueError, OSError):  # not named as an address: a lock; or gone meanwhile
                IPv4Address(file.name)
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
        return self._network.state / "addresses" / self._network.name

    def take(self, path: Path) -> bool:
        """False where it turned out to be somebody's. Raises: OSError."""
        if path.parent == self._namespaces:
            return self._take_namespace(path)
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
        addresses = [one for one in addresses_in(path) if not one.is_loopback]
        if any(one not in IPv4Network(self._network.pod_cidr) for one in addresses):
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


def addresses_in(namespace: Path) -> list[IPv4Address]:
    """All of a network namespace's own addresses; none where nothing is mounted."""
    shown = subprocess.run(
        ["nsenter", f"--net={namespace}", "cat", "/proc/self/net/fib_trie"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return [IPv4Address(found) for found in _LOCAL.findall(shown.stdout)]


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:  # nothing was ever made there
        return []
