"""Networks of pods, made and taken away by the thousand while plugins and those who call them are killed.

The real CNI plugins work in a network namespace that plays the node; beside them the rules for the pods' host ports and
policies are written as the proxy writes them, for pods with addresses of IPv4, of IPv6 or of both, by turns. A plugin
is killed in the middle of its work, and is then asked to undo it; or whoever called it dies, nobody asks, and the
sweep has to find what is left. At the end everything that a machine can hold of a pod's network is counted.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import shutil
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any, Literal

import msgspec

sys.path.insert(0, str(Path(__file__).parents[1] / "node"))

from navarch.agent.bandwidth import NO_LIMITS, Limits
from navarch.agent.process.cni import Endpoint, addresses, environment, plugin_config
from navarch.app import bandwidth, cni, cnisweep, link
from navarch.app.cni import PodNetwork
from navarch.app.sweep import PATIENCE_S, Sweeper
from navarch.kinds.networkpolicy import NetworkPolicy
from navarch.kinds.pod.view import Pod
from navarch.net import neighbours
from navarch.proxy.addresses import IPV4, IPV6, Family, family_of
from navarch.proxy.compile import compile_rules
from navarch.proxy.nft import NftDataplane
from navarch.proxy.podfacts import PodFacts
from navarch.proxy.policy import Policies
from navarch.proxy.rules import Node
from navarch.testing.netns import CLONE_NEWNET, NetworkNamespace

PLUGINS = Path("/usr/lib/cni")
LOOPBACK = {"cniVersion": "0.4.0", "name": "cni-loopback", "plugins": [{"type": "loopback"}]}
MS_BIND, MNT_DETACH = 4096, 2
RANGES = (("10.244.0.0/24",), ("10.244.0.0/24", "fd00:10:244::/112"), ("fd00:10:244::/112",))
"""Of the node's pods, by turns."""
NODE_ADDRESSES = {IPV4: "192.0.2.10", IPV6: "2001:db8::10"}
CLUSTER_CIDRS = {IPV4: "10.244.0.0/16", IPV6: "fd00:10:244::/64"}
LANES, BATCH, STEADY = 6, 50, 4
SETTLE_S = 60.0
"""The kernel takes namespaces down when it has time."""
libc = ctypes.CDLL(None, use_errno=True)

Mishap = Literal["", "plugin killed in ADD", "plugin killed in DEL", "caller died in ADD", "caller died in DEL"]
MISHAPS: tuple[Mishap, ...] = (
    "plugin killed in ADD",
    "plugin killed in DEL",
    "caller died in ADD",
    "caller died in DEL",
)


@dataclass
class Found:
    """What came of it. The leaked are counted after the sweep, with no pod there."""

    wrong: list[str] = field(default_factory=list)
    pods_made_and_removed: int = 0
    plugins_killed: int = 0
    callers_that_died: int = 0
    agents_that_died: int = 0
    refused_by_plugins: int = 0
    swept: int = 0
    leaked_addresses: int = 0
    leaked_answers: int = 0
    leaked_namespaces: int = 0
    leaked_interfaces: int = 0
    leaked_limits: int = 0
    leaked_neighbours: int = 0
    leaked_elements: int = 0
    leaked_mounts: int = 0


class Cut(Exception):
    """The plugin was killed."""


class Died(Exception):
    """Whoever called it did."""


class Refused(Exception):
    """The plugin said no."""


class Turned:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds

    def now(self) -> Any:
        raise AssertionError("nobody asks for the date")

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nobody waits here")


@dataclass
class Life:
    """One pod's network. until: when its mishap comes, by the loop's clock. hardware: its interface's address."""

    number: int
    id: str
    netns: Path
    limits: Limits = NO_LIMITS
    mishap: Mishap = ""
    until: float = float("inf")
    addresses: tuple[str, ...] = ()
    hardware: bytes = b""

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(self.id, str(self.netns), limits=self.limits)


class Rules:
    """What the proxy makes of the pods that are there, in each family. It may die, and then knows nothing of its table.

    nodes: the node as each family sees it.
    """

    def __init__(self, nodes: Sequence[Node], found: Found) -> None:
        self._nodes, self._found = {node.family: node for node in nodes}, found
        self._table = f"navarch-soak-{os.getpid()}"
        self._planes = self._new()
        self._policies = {family: Policies(node.name, family) for family, node in self._nodes.items()}
        alone = msgspec.convert({"spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}}, NetworkPolicy)
        for policies in self._policies.values():
            policies.put_namespace("soak", {})
            policies.put_policy("soak", "alone", alone)
        self._pods: dict[int, Pod] = {}
        self._dirty = asyncio.Event()

    def _new(self) -> dict[Family, NftDataplane]:
        alone = len(self._nodes) == 1
        return {family: NftDataplane(self._table, family, alone=alone) for family in self._nodes}

    def put(self, life: Life, there: bool) -> None:
        name = f"p{life.number}"
        facts = None
        if there:
            ports = [{"containerPort": 80, "hostPort": 10_000 + life.number}]
            status = {"podIP": life.addresses[0], "podIPs": [{"ip": one} for one in life.addresses]}
            document = {
                "metadata": {"name": name, "namespace": "soak", "uid": f"uid-{life.number}"},
                "spec": {"containers": [{"name": "c", "ports": ports}], "nodeName": "n1"},
                "status": {**status, "phase": "Running"},
            }
            self._pods[life.number] = msgspec.convert(document, Pod)
            facts = PodFacts({}, life.addresses, "n1")
        elif self._pods.pop(life.number, None) is None:
            return
        for policies in self._policies.values():
            policies.put_pod("soak", name, facts)
        self._dirty.set()

    async def follow(self, random: Random) -> None:
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            if random.random() < 0.02:
                self.close()
                self._planes = self._new()
                self._found.agents_that_died += 1
            await self.write()

    async def write(self) -> None:
        for family, plane in self._planes.items():
            isolation = self._policies[family].isolation()
            rules = compile_rules((), self._pods.values(), self._nodes[family], isolation)
            await plane.replace(plane.current(), rules)

    async def elements(self) -> int:
        """Of all sets and maps that speak of pods."""
        count = 0
        for family in self._nodes:
            said = await said_by("nft", "-j", "list", "table", family.word, self._table)
            sets = [one.get("set") or one.get("map") for one in json.loads(said)["nftables"]]
            count += sum(len(one.get("elem", ())) for one in sets if one and one["name"] != "node-addresses")
        return count

    def close(self) -> None:
        for plane in self._planes.values():
            plane.close()


class Machine:
    """A node's network, and the runtime that asks the plugins. Lives in the node's network namespace."""

    def __init__(self, folder: Path, seed: int, found: Found) -> None:
        self.found, self.random = found, Random(seed)
        self.ranges = RANGES[(seed - 1) % len(RANGES)]
        cidr = ",".join(self.ranges)
        network = PodNetwork(cidr, folder / "net.d", folder / "state", bridge="nvsoak0", limits=True)
        self.network = replace(network, table=f"navarch-soak-{os.getpid()}")
        self.results, self.namespaces = folder / "results", folder / "netns"
        for one in (self.results, self.namespaces):
            one.mkdir()
        self.network.ensure()
        self.document = json.loads((self.network.config / "10-navarch.conflist").read_text())
        self.clock = Turned()
        places = [cnisweep.Networks(self.network, results=self.results, namespaces=self.namespaces)]
        self.sweeper = Sweeper(self.clock, places)
        families = {family_of(one): one for one in self.ranges}
        nodes = [Node("n1", (NODE_ADDRESSES[one],), families[one], CLUSTER_CIDRS[one]) for one in families]
        self.rules = Rules(nodes, found)
        self.living: dict[str, Life] = {}
        """By address."""
        self.orphans: set[asyncio.Task[Any]] = set()
        self.usual_s = {"ADD": 0.1, "DEL": 0.1}

    def begin(self, number: int) -> Life:
        id = f"{self.random.getrandbits(256):064x}"
        limits = Limits(10**7, 10**7) if self.random.random() < 0.25 else NO_LIMITS
        return Life(number, id, self.namespaces / f"cni-{id[:16]}", limits)

    async def live(self, life: Life) -> None:
        """From its making to its end; what a mishap leaves is left."""
        if self.random.random() < 0.4:
            life.mishap = self.random.choice(MISHAPS)
        with contextlib.suppress(Died):
            if await self.make(life):
                await asyncio.sleep(self.random.uniform(0, 0.1))
                await self.end(life)
        self.living = {address: one for address, one in self.living.items() if one is not life}
        self.found.pods_made_and_removed += 1

    async def make(self, life: Life) -> bool:
        """False where it did not come to anything, and was undone. Raises: Died."""
        await in_thread_of_its_own(make_namespace, life.netns)
        started_s = time.monotonic()
        self._plan(life, "ADD")
        try:
            await self.call(LOOPBACK, 0, "ADD", life, None, "lo")
            result = await self.call(self.document, 0, "ADD", life, None)
            result = await self.call(self.document, 1, "ADD", life, result)
        except (Cut, Refused):
            await self.end(life)
            return False
        self._took("ADD", started_s)
        (self.results / f"navarch-{life.id}-eth0").write_text(json.dumps({"result": result}))
        life.addresses = addresses(result)
        (inside,) = (one["mac"] for one in result["interfaces"] if one.get("sandbox"))
        life.hardware = bytes.fromhex(inside.replace(":", ""))
        if len(life.addresses) != len(self.ranges):
            self.found.wrong.append(f"{life.id} was given {life.addresses} of {self.ranges}")
        for address in life.addresses:
            if address in self.living:
                self.found.wrong.append(f"{address} was given to {life.id} and {self.living[address].id}")
            self.living[address] = life
        bandwidth.fit(self.network, life.addresses, self.results)
        self.rules.put(life, True)
        for address in life.addresses:
            with socket.socket(family_of(address).number, socket.SOCK_DGRAM) as asking:
                asking.sendto(b"?", (address, 9))  # so that the kernel knows it as a neighbour
        return True

    async def end(self, life: Life) -> None:
        """As often as it takes; what is refused again and again is the sweep's. Raises: Died."""
        self.rules.put(life, False)
        self._plan(life, "DEL")
        answer = self.results / f"navarch-{life.id}-eth0"
        result = json.loads(answer.read_text())["result"] if answer.exists() else None
        for _ in range(5):
            started_s = time.monotonic()
            try:
                for index in (1, 0):
                    await self.call(self.document, index, "DEL", life, result)
            except (Cut, Refused):
                continue
            self._took("DEL", started_s)
            break
        for address in life.addresses:
            self.living.pop(address, None)  # from here on another may have it
        answer.unlink(missing_ok=True)
        await asyncio.to_thread(drop_namespace, life.netns)

    def _plan(self, life: Life, command: str) -> None:
        if life.mishap.endswith(command):
            life.until = asyncio.get_running_loop().time() + self.random.uniform(0, 1.1 * self.usual_s[command])

    def _took(self, command: str, started_s: float) -> None:
        self.usual_s[command] += (time.monotonic() - started_s - self.usual_s[command]) / 10

    async def call(
        self, document: dict[str, Any], index: int, command: str, life: Life, before: Any, interface: str = "eth0"
    ) -> dict[str, Any]:
        """Raises: Cut, Died, Refused."""
        config = plugin_config(document, index, life.endpoint, before)
        process = await asyncio.create_subprocess_exec(
            str(PLUGINS / str(config["type"])),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, **environment(command, life.endpoint, interface, PLUGINS)},
        )
        talk = asyncio.ensure_future(process.communicate(json.dumps(config).encode()))
        left_s = life.until - asyncio.get_running_loop().time()
        await asyncio.wait({talk}, timeout=max(left_s, 0) if left_s < 3600 else None)
        if not talk.done():
            # What it had others do, such as handing out an address, they go on doing.
            self.orphans.add(talk)
            mishap, life.mishap, life.until = life.mishap, "", float("inf")
            if mishap.startswith("caller"):
                self.found.callers_that_died += 1
                self.rules.put(life, False)  # the pod's object goes, whatever its network does
                raise Died
            self.found.plugins_killed += 1
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            raise Cut
        said, _ = talk.result()
        if process.returncode:
            self.found.refused_by_plugins += 1
            raise Refused(said.decode(errors="replace"))
        return dict(json.loads(said)) if said.strip() else {}

    async def sweep(self, steady: list[Life]) -> None:
        """With nothing being made. Who lives is not touched."""
        if self.orphans:
            await asyncio.wait(self.orphans, timeout=SETTLE_S)
            self.orphans.clear()
        alive = {one.id for one in steady}
        for _ in range(3):
            self.found.swept += len(await asyncio.to_thread(self.sweeper, alive, False))
            self.clock.seconds += PATIENCE_S + 1
        for one in steady:
            if any(self.network.holder(each) != one.id for each in one.addresses) or not one.netns.exists():
                self.found.wrong.append(f"the sweep took one of {one.addresses} from a pod that lives")

    async def count(self, steady: list[Life], rules: bool = True) -> dict[str, int]:
        """What is there beyond that of the pods that live."""
        limited = sum(one.limits != NO_LIMITS for one in steady)
        names = link.names()
        own = {each for one in steady for each in one.addresses}
        alive = {one.hardware for one in steady}
        known = neighbours.on(self.network.bridge).items()
        around = [one for one, at in known if str(one) not in own and not (one.is_link_local and at in alive)]
        held = [one for one in self.network.addresses.iterdir() if not one.name.startswith(("last_reserved", "lock"))]
        await self.rules.write()
        return {
            "addresses": len(held) - len(own),
            "answers": len(list(self.results.iterdir())) - len(steady),
            "namespaces": len(list(self.namespaces.iterdir())) - len(steady),
            "interfaces": len([one for one in names if one.startswith("veth")]) - len(steady),
            "limits": len([one for one in names if one.startswith(bandwidth.PREFIX)]) - limited,
            "neighbours": len(around),
            "elements": await self.rules.elements() - ELEMENTS * len(own),
            "mounts": len([one for one in cni.mounted_at() if one.parent == self.namespaces]) - len(steady),
        }

    async def settled(self, steady: list[Life]) -> dict[str, int]:
        """What is still too much when the kernel had time for everything."""
        deadline = time.monotonic() + SETTLE_S
        while True:
            found = await self.count(steady)
            if not any(found.values()) or time.monotonic() > deadline:
                return found
            await asyncio.sleep(0.2)
            await self.sweep(steady)  # the kernel keeps a neighbour for whom a packet waits


ELEMENTS = 5
"""Of an address of a pod with a host port and policies both ways: its port, two directions, itself twice."""


async def said_by(*words: str) -> str:
    process = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE)
    said, _ = await process.communicate()
    return said.decode()


async def in_thread_of_its_own(function: Callable[[Path], None], path: Path) -> None:
    """One that ends with it."""
    failed: list[Exception] = []

    def begin() -> None:
        try:
            function(path)
        except OSError as error:
            failed.append(error)

    thread = threading.Thread(target=begin)
    thread.start()
    await asyncio.to_thread(thread.join)
    if failed:
        raise failed[0]


def make_namespace(path: Path) -> None:
    path.touch()
    if libc.unshare(CLONE_NEWNET) or libc.mount(b"/proc/thread-self/ns/net", bytes(path), None, MS_BIND, None):
        raise OSError(ctypes.get_errno(), "no network namespace", str(path))


def drop_namespace(path: Path) -> None:
    libc.umount2(bytes(path), MNT_DETACH)
    path.unlink(missing_ok=True)


async def _play(folder: Path, seed: int, pods: int, found: Found) -> None:
    machine = Machine(folder, seed, found)
    following = asyncio.ensure_future(machine.rules.follow(Random(seed)))
    try:
        steady = [machine.begin(number) for number in range(STEADY)]
        for one in steady:
            assert await machine.make(one)
        for first in range(STEADY, pods, BATCH):
            waiting = [machine.begin(number) for number in range(first, min(first + BATCH, pods))]
            await asyncio.gather(*(_lane(machine, waiting) for _ in range(LANES)))
            await machine.sweep(steady)
            if over := {kind: count for kind, count in (await machine.settled(steady)).items() if count}:
                found.wrong.append(f"after {found.pods_made_and_removed} pods, beyond those that live: {over}")
                return
        for one in steady:
            await machine.end(one)
            found.pods_made_and_removed += 1
        await machine.sweep([])
        for kind, count in (await machine.settled([])).items():
            setattr(found, f"leaked_{kind}", count)
            if count:
                found.wrong.append(f"{count} {kind} leaked")
    finally:
        following.cancel()
        machine.rules.close()
        for path in machine.namespaces.iterdir():
            drop_namespace(path)


async def _lane(machine: Machine, waiting: list[Life]) -> None:
    while waiting:
        await machine.live(waiting.pop())


def play(seed: int, pods: int) -> Found:
    """Needs root, and the CNI plugins of Debian's package."""
    found = Found()
    folder = Path(tempfile.mkdtemp(prefix="navarch-soak-"))
    try:
        with NetworkNamespace("node") as node:
            node.call(asyncio.run, _play(folder, seed, pods, found))
    finally:
        shutil.rmtree(folder)
    return found


if __name__ == "__main__":
    print(play(int(sys.argv[1]), int(sys.argv[2])))
