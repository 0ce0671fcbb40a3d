"""Pods that are processes of the host: a real agent, real control groups, networks and programs, and no containerd."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from navarch.agent.agent import Agent
from navarch.agent.cgroups import Cgroups
from navarch.agent.config import AgentConfig, Paths
from navarch.agent.cristreams import Wanted
from navarch.agent.fake import FakeRuntime
from navarch.agent.process.router import Router, StreamRouter
from navarch.agent.runtime import RuntimeFailure
from navarch.agent.volumes.kernel import mounts_below
from navarch.apiserver.call import ITSELF
from navarch.apiserver.core import Core
from navarch.base.clock import SeededIds, SystemClock
from navarch.kinds import EVENT, NAMESPACE, POD, RUNTIMECLASS, SERVICEACCOUNT
from navarch.kinds.registry import DEFAULT
from navarch.kinds.runtimeclass import HOST_PROCESS_CLASS, host_process_class
from navarch.objects.value import Document
from navarch.store.memory import MemoryStore
from navarch.wire.spdy import Session, Stream
from tests.node import process_fixture as fixture
from tests.node.containerd_fixture import GROUP
from tests.unit.agent import cluster

pytestmark = pytest.mark.node


class Node:
    """The agent on host processes, and an API server in memory."""

    def __init__(self, world: cluster.World, machine: fixture.Machine, group: asyncio.TaskGroup) -> None:
        self.world = world
        self.machine = machine
        self.client = world.client
        self.streams: StreamRouter
        self._tasks: list[asyncio.Task[None]] = []
        self._group = group

    def start(self) -> None:
        """As after a restart: nothing is known but what lies on the disk."""
        clock, config = self.world.clock, self.world.config
        containers = FakeRuntime(clock, SeededIds(2))
        router = Router(containers, self.machine.again, self.machine.directory / "p")
        self.streams = StreamRouter(router, containers)  # type: ignore[arg-type] - nobody asks those
        cgroups = Cgroups(GROUP, kubelet=config.kubelet)
        agent = Agent(self.client, router, clock, SeededIds(5), config, cgroups=cgroups)
        self._tasks = [self._group.create_task(agent.run()), self._group.create_task(self.streams.run())]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def make(self, name: str, container: Document, **spec: Any) -> Any:
        document = {"name": "main", "image": "host", **container}
        return await self.world.create_pod(name, document, runtimeClassName=HOST_PROCESS_CLASS, **spec)


@contextlib.asynccontextmanager
async def running() -> AsyncIterator[Node]:
    async with fixture.machine() as machine:
        clock = SystemClock()
        core = Core(MemoryStore(), DEFAULT, clock, SeededIds(1))
        await core.start()
        client = core.local(ITSELF, "test")
        for name in ("default", "kube-node-lease"):
            await client.create(NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        account = {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": "default", "namespace": "default"},
        }
        await client.create(SERVICEACCOUNT, account)
        await client.create(RUNTIMECLASS, host_process_class())
        paths = Paths(machine.directory / "agent", machine.directory / "logs")
        config = AgentConfig(cluster.NODE, ("192.0.2.7",), paths, cluster_dns=("10.96.0.10",), cgroup_root=GROUP)
        world = cluster.World(core, client, FakeRuntime(clock, SeededIds(3)), clock, config)
        async with asyncio.TaskGroup() as group:
            node = Node(world, machine, group)
            node.start()
            try:
                yield node
            finally:
                await node.stop()
        await core.close()


def play(scenario: Callable[[Node], Awaitable[None]]) -> None:
    async def run() -> None:
        async with running() as node:
            await scenario(node)

    asyncio.run(run())


async def eventually(holds: Callable[[], Any]) -> None:
    async with asyncio.timeout(90):
        while not holds():  # noqa: ASYNC110 - files tell nobody
            await asyncio.sleep(0.05)


def main(pod: Document) -> Document:
    """Its status; {} as long as there is none."""
    return next(iter(pod["status"].get("containerStatuses", ())), {})


async def told(node: Node) -> list[str]:
    return [item.document()["message"] for item in (await node.client.list(EVENT, "default")).items]


def log_of(node: Node, name: str, uid: str, attempt: int = 0) -> str:
    path = node.world.config.paths.pod_logs("default", name, uid) / "main" / f"{attempt}.log"
    return path.read_text() if path.exists() else ""


async def all_of(stream: Stream) -> bytes:
    found = b""
    while data := await stream.read():
        found += data
    return found


async def executed(node: Node, container_id: str, command: list[str], given: bytes = b"", *, tty: bool = False) -> Any:
    """(what it wrote, how it ended)."""
    wanted = Wanted(stdin=True, stdout=True, stderr=False, tty=tty)
    async with asyncio.timeout(60), Session((await node.streams.exec(container_id, command, wanted)).tunnel) as session:
        error = await session.open({"streamType": "error"})
        stdin, stdout = [await session.open({"streamType": name}) for name in ("stdin", "stdout")]
        if tty:
            resize = await session.open({"streamType": "resize"})
            await resize.write(json.dumps({"Width": 91, "Height": 17}).encode())
        await stdin.write(given)
        if not tty:
            await stdin.close()
        return await all_of(stdout), json.loads(await all_of(error))


SERVE = 'echo "I am $COLOR"; touch /etc/navarch-was-here; cat; exec busybox httpd -f -p 8080 -h /www'
WEB: Document = {
    "command": ["sh", "-c", SERVE],
    "stdin": True,
    "stdinOnce": True,
    "env": [{"name": "COLOR", "value": "blue"}],
    "readinessProbe": {"httpGet": {"path": "/index.html", "port": 8080}, "periodSeconds": 1},
    "livenessProbe": {"exec": {"command": ["test", "-e", "/www"]}, "periodSeconds": 1, "initialDelaySeconds": 1},
    "lifecycle": {"postStart": {"exec": {"command": ["sh", "-c", "echo hello > /www/index.html"]}}},
    "resources": {"limits": {"memory": "64Mi", "cpu": "500m"}},
    "volumeMounts": [{"name": "pages", "mountPath": "/www"}],
}


def test_a_host_process_lives_as_a_pod(tmp_path: Path) -> None:
    async def scenario(node: Node) -> None:
        made = await node.make("web", WEB, volumes=[{"name": "pages", "emptyDir": {}}], terminationGracePeriodSeconds=1)
        found = await node.world.until("web", lambda pod: main(pod).get("started"))
        held = main(found)["containerID"].removeprefix("host-process://")
        assert found["status"]["podIP"].startswith("10.214.")
        assert main(found)["imageID"] == "host"
        await attach(node, held)
        await node.world.until("web", cluster.ready)
        lines = log_of(node, "web", made.uid).splitlines()
        assert [line.split(" ", 3)[1:] for line in lines] == [["stdout", "F", "I am blue"], ["stdout", "F", "typed"]]
        assert not Path("/etc/navarch-was-here").exists()
        group_of = Path(f"/sys/fs/cgroup/memory{GROUP}/burstable/pod{made.uid}/{held}")
        if group_of.is_dir():  # version 1
            assert int((group_of / "memory.limit_in_bytes").read_text()) == 64 << 20
        await talk(node, held)
        await forwarded(node, (await node.machine.again().observe(made.uid))[made.uid].sandboxes[0].id)
        await restarted(node, made.uid, held)
        await node.client.delete(POD, "default", "web")
        await node.world.until_gone("web")
        await eventually(lambda: not mounts_below(node.machine.directory))
        events = {item.document()["reason"] for item in (await node.client.list(EVENT, "default")).items}
        assert {"Created", "Started", "Killing"} <= events
        assert not events & {"Pulling", "Pulled", "Failed"}

    play(scenario)


async def attach(node: Node, held: str) -> None:
    dialed = await node.streams.attach(held, Wanted(stdin=True, stdout=True, stderr=True))
    async with asyncio.timeout(60), Session(dialed.tunnel) as session:
        streams = [await session.open({"streamType": name}) for name in ("error", "stdin", "stdout", "stderr")]
        await streams[1].write(b"typed\n")
        assert await streams[2].read() == b"typed\n"
        await streams[1].close()


async def talk(node: Node, held: str) -> None:
    said, end = await executed(node, held, ["sh", "-c", "cat; hostname; exit 7"], b"given\n")
    assert said == b"given\nweb\n"
    assert end["details"]["causes"] == [{"reason": "ExitCode", "message": "7"}]
    said, end = await executed(
        node, held, ["sh", "-c", "sleep 0.3; stty size; tty; read line; echo got $line"], b"x\r", tty=True
    )
    assert b"17 91" in said
    assert b"got x" in said
    assert end["status"] == "Success"
    hidden, _ = await executed(node, held, ["sh", "-c", f"ls {node.machine.directory}/p; cat /proc/1/comm"])
    assert hidden == b"busybox\n"


async def forwarded(node: Node, sandbox_id: str) -> None:
    async with asyncio.timeout(60), Session((await node.streams.port_forward(sandbox_id)).tunnel) as session:
        for number, port in enumerate((8080, 9)):
            about = {"port": str(port), "requestID": str(number)}
            error = await session.open({"streamType": "error", **about})
            data = await session.open({"streamType": "data", **about})
            await data.write(b"GET /index.html HTTP/1.0\r\n\r\n")
            answer, failure = await all_of(data), await all_of(error)
            if port == 8080:
                assert answer.endswith(b"hello\n")
                assert not failure
            else:
                assert b"Connection refused" in failure


async def restarted(node: Node, uid: str, held: str) -> None:
    """The agent, which the process does not notice; then the process, by the agent."""
    await node.stop()
    node.start()
    runtime = node.machine.again()
    seen = (await runtime.observe(uid))[uid].containers[0]
    assert seen.id == held
    [number] = (node.machine.directory / "p" / "containers" / held / "pid").read_text().split()
    os.kill(int(number), 9)
    found = await node.world.until("web", lambda pod: main(pod).get("restartCount") == 1)
    assert main(found)["lastState"]["terminated"]["exitCode"] == 137
    assert log_of(node, "web", uid)


def test_ends_are_told_with_their_reasons_and_what_cannot_be_had_is_refused() -> None:
    async def scenario(node: Node) -> None:
        user = {
            "runAsUser": 65534,
            "runAsGroup": 65534,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        line = (
            "id -u; touch /x 2>/dev/null || echo read-only; grep CapBnd /proc/self/status; cat /etc/hosts > /dev/null"
        )
        tell = {"command": ["sh", "-c", f"{line}; echo bye > /dev/termination-log; exit 3"], "securityContext": user}
        greedy = {"command": ["sh", "-c", "head -c 200m /dev/zero | tail"], "resources": {"limits": {"memory": "16Mi"}}}
        profile = {"seccompProfile": {"type": "RuntimeDefault"}}
        made = await node.make("ends", tell, restartPolicy="Never")
        await node.make("greedy", greedy, restartPolicy="Never")
        await node.make("absent", {"command": ["no-such-program"]}, restartPolicy="Never")
        await node.make("profiled", {"command": ["true"], "securityContext": profile})
        await node.make("imaged", {"command": ["true"], "image": "app:1", "imagePullPolicy": "IfNotPresent"})
        await node.make("shared", {"command": ["true"]}, shareProcessNamespace=True)

        found = await node.world.until("ends", lambda pod: pod["status"].get("phase") == "Failed")
        end = main(found)["state"]["terminated"]
        assert (end["exitCode"], end["reason"], end["message"]) == (3, "Error", "bye\n")
        said = [text.split(" ", 3)[3] for text in log_of(node, "ends", made.uid).splitlines()]
        assert said[:2] == ["65534", "read-only"]
        assert said[2].split() == ["CapBnd:", "0" * 16]
        found = await node.world.until("greedy", lambda pod: pod["status"].get("phase") in ("Failed", "Succeeded"))
        assert main(found)["state"]["terminated"]["reason"] == "OOMKilled"
        found = await node.world.until("absent", lambda pod: pod["status"].get("phase") == "Failed")
        assert "no-such-program" in main(found)["state"]["terminated"]["message"]
        waits = {"profiled": "no seccomp profile RuntimeDefault", "imaged": "say `image: host`"}
        for name, why in waits.items():
            await node.world.until(name, lambda pod, why=why: why in str(main(pod).get("state")))
        async with asyncio.timeout(60):
            while not any("shareProcessNamespace" in text for text in await told(node)):  # noqa: ASYNC110
                await asyncio.sleep(0.1)

    play(scenario)


def test_streams_of_what_is_not_there_are_refused() -> None:
    async def scenario(node: Node) -> None:
        runtime = node.machine.runtime
        await runtime.ready()
        with pytest.raises(RuntimeFailure, match="not there"):
            runtime.exec_command("x", ["true"], tty=False)
        with pytest.raises(RuntimeFailure, match="not there"):
            runtime.netns("x")

    play(scenario)
