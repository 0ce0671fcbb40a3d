"""What a machine has of pods, counted kind by kind, and which of it belongs to no pod that is there: has leaked."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
from collections.abc import Iterator, Set
from dataclasses import dataclass
from pathlib import Path

from navarch.agent.cri import CriRuntime
from navarch.agent.runtime import PodOnNode
from navarch.agent.volumes.csi.records import NOTE, PLUGIN
from navarch.app import cni, containerd, link, machine
from navarch.app.layout import Layout, load_settings
from navarch.base.clock import SystemClock

NETNS = Path("/run/netns")
CGROUPS = Path("/sys/fs/cgroup")
_ID = re.compile(r"/([0-9a-f]{64})(?:/|$)")
_UID = re.compile(r"/pod([0-9a-f-]{36})(?:/|$)")


@dataclass(frozen=True)
class Held:
    """What is there. owner: a pod's uid or a sandbox' or container's id; "" where nothing says whose it is."""

    kind: str
    name: str
    owner: str


def observed(layout: Layout) -> dict[str, PodOnNode]:
    async def ask() -> dict[str, PodOnNode]:
        runtime = CriRuntime(machine.containerd_settings(layout).socket, SystemClock())
        try:
            return dict(await runtime.observe())
        finally:
            await runtime.close()

    return asyncio.run(ask())


def leaked(layout: Layout, uids: Set[str], handles: Set[str] = frozenset()) -> dict[str, list[str]]:
    """By kind, everything that belongs to none of the pods `uids`; {} when nothing has leaked.

    handles: of the volumes of drivers that these pods use.
    """
    found = observed(layout)
    wrong: dict[str, list[str]] = {}

    def add(kind: str, name: str) -> None:
        wrong.setdefault(kind, []).append(name)

    owners, wires = set(uids), 0
    for uid, pod in found.items():
        if uid not in uids:
            add("sandboxes", f"{pod.namespace}/{pod.name} {uid}")
        else:
            owners |= {box.id for box in pod.sandboxes} | {one.id for one in pod.containers}
            wires += sum(1 for box in pod.sandboxes if box.ips)
    for one in held(layout):
        if one.owner not in owners:
            add(one.kind, one.name)
    for place, handle in stages(layout):
        if handle not in handles:
            add("stages", str(place))
    settings = load_settings(layout)
    assert settings
    interfaces = link.ports(settings.bridge)
    if len(interfaces) > wires:
        add("interfaces", f"{len(interfaces)} for {wires} pods")
    spaces = namespaces() - others()[1]
    if len(spaces) > wires:
        add("namespaces", f"{len(spaces)} for {wires} pods: {sorted(spaces)}")
    for pid in containerd.shims(machine.containerd_settings(layout)):
        if containerd.shim_id(pid) not in owners:
            add("shims", f"{pid} of {containerd.shim_id(pid)}")
    return wrong


def held(layout: Layout) -> Iterator[Held]:
    yield from mounts(layout)
    for folder in groups("navarch"):
        yield Held("cgroups", str(folder), _owner(str(folder)))
    for folder in _entries(layout.agent / "pods"):
        yield Held("directories", str(folder), folder.name)
    for folder in _entries(layout.logs / "pods"):
        yield Held("logs", str(folder), folder.name.rpartition("_")[2])
    for file in _entries(layout.cni_state / "addresses" / "navarch"):
        if file.name[:1].isdigit():
            yield Held("addresses", str(file), file.read_text().split()[0])
    for file in cni.RESULTS.glob("*-*-*"):
        owner = next(iter(re.findall("[0-9a-f]{64}", file.name)), "")
        if owner not in others()[0]:
            yield Held("results", str(file), owner)


def others() -> tuple[set[str], set[str]]:
    """Sandboxes and network namespaces of another containerd on this machine, whose networks have other names."""
    sandboxes, spaces = set[str](), set[str]()
    for file in cni.RESULTS.glob("*-*-*"):
        if not file.name.startswith(("navarch-", "cni-loopback-")):
            sandboxes |= set(re.findall("[0-9a-f]{64}", file.name))
            spaces |= {place.name for place in cni.namespaces(file)}
    return sandboxes, spaces


def mounts(layout: Layout) -> Iterator[Held]:
    """Those of volumes, of containers' roots and of sandboxes' shared memory; not those of network namespaces."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        point = line.split()[4]
        inside = Path(point).is_relative_to
        if inside(layout.agent / "pods"):
            kind = "publishes" if f"/{PLUGIN}/" in point else "mounts"
            yield Held(kind, point, Path(point).relative_to(layout.agent / "pods").parts[0])
        elif inside(layout.containerd) and (found := _ID.search(point)):
            yield Held("mounts", point, found[1])


def stages(layout: Layout) -> Iterator[tuple[Path, str]]:
    """Where a driver staged a volume, mounted or not, and the volume's handle; "" where no note tells."""
    for place in (layout.agent / "plugins" / "kubernetes.io" / "csi").glob("*/*"):
        try:
            yield place, json.loads((place / NOTE).read_text())["volumeHandle"]
        except FileNotFoundError:
            yield place, ""


def groups(name: str) -> Iterator[Path]:
    """The deepest groups and those of pods, in every hierarchy."""
    for top in (CGROUPS / name, *CGROUPS.glob(f"*/{name}")):
        for folder, _, _ in os.walk(top):
            if _UID.search(folder) or _ID.search(folder):
                yield Path(folder)


def namespaces() -> set[str]:
    with contextlib.suppress(FileNotFoundError):
        return {entry.name for entry in NETNS.iterdir() if entry.name.startswith("cni-")}
    return set()


def _owner(path: str) -> str:
    found = _UID.search(path) or _ID.search(path)
    return found[1] if found else ""


def _entries(folder: Path) -> list[Path]:
    with contextlib.suppress(FileNotFoundError):
        return sorted(folder.iterdir())
    return []
