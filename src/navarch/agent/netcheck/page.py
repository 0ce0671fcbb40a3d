"""`POST /netcheck` on the agent's port: probes are sent from, and answered in, the networks of this node and its pods.

Who may ask has been decided before: it needs `nodes/proxy`, with which one may also run commands in every pod here. The
programs are started in a pod's network and nothing else of it: they see the node's files and none of the pod's. All
that listens ends by itself.

The body says what is wanted: `{"do": "listen" | "send" | "stop" | "state", ...}`; `pod` is `NAMESPACE/NAME`, or "" for
the node's own network.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from navarch.agent.netcheck import state
from navarch.agent.runtime import PodOnNode, Runtime
from navarch.base.errors import BadRequest, Internal, NotFound
from navarch.objects.value import Document
from navarch.wire.message import Request, Response

JSON = [("Content-Type", "application/json")]
PROGRAM = Path(__file__).with_name("program.py")
LISTEN_S = 90
"""After so long whatever listens ends, whatever became of who asked for it."""
SEND_S = 60.0
READY_S = 20.0
MOST_LISTENING, MOST_PROBES, MOST_PODS = 16, 5000, 64
KINDS = frozenset(("tcp", "udp", "ping", "dns", "mtu"))
LONGEST_PROBE_S = 10.0


@dataclass(slots=True)
class NetCheck:
    """results: the folder where network plugins' answers are kept, which say where a pod's network is. table: ours."""

    runtime: Runtime
    results: Path
    table: str
    _listening: dict[str, asyncio.subprocess.Process] = field(default_factory=dict)
    """By the pod, and who asked."""

    async def page(self, request: Request) -> Response:
        """Raises: ApiError, RuntimeFailure."""
        if request.method != "POST":
            raise BadRequest("network probes are asked for by POST")
        try:
            asked = orjson.loads(request.body)
        except ValueError:
            asked = None
        if not isinstance(asked, dict):
            raise BadRequest("the body must be a JSON object that says what to do")
        match asked.get("do"):
            case "listen":
                answer: Any = await self._listen(asked)
            case "send":
                answer = await self._send(asked)
            case "stop":
                answer = await self._stop(text(asked, "who"))
            case "state":
                answer = await self._state(asked)
            case other:
                raise BadRequest(f"do: {other!r} is none of listen, send, stop, state")
        return Response(200, JSON, orjson.dumps(answer))

    async def _listen(self, asked: Document) -> Document:
        pod, key = text(asked, "pod"), f"{text(asked, 'who')} {text(asked, 'pod')}"
        self._listening = {name: one for name, one in self._listening.items() if one.returncode is None}
        if len(self._listening) >= MOST_LISTENING:
            raise BadRequest(f"{MOST_LISTENING} programs listen for checks of the network already; wait {LISTEN_S} s")
        wanted = {"tcp": ports(asked, "tcp"), "udp": ports(asked, "udp"), "for_s": LISTEN_S}
        process = await self._start("listen", pod, wanted)
        assert process.stdout is not None
        try:
            line = await asyncio.wait_for(process.stdout.readline(), READY_S)
            answer: Document = orjson.loads(line)
        except (TimeoutError, ValueError):
            await _end(process)
            raise Internal(
                f"nothing could listen in the network of {pod or 'the node'}: {await _last(process)}"
            ) from None
        self._listening[key] = process
        return answer

    async def _send(self, asked: Document) -> Sequence[Document]:
        probes = asked.get("probes")
        if not isinstance(probes, list) or len(probes) > MOST_PROBES:
            raise BadRequest(f"probes: a list of at most {MOST_PROBES} is wanted")
        process = await self._start("send", text(asked, "pod"), {"probes": [checked(one) for one in probes]})
        assert process.stdout is not None
        found: list[Document] = [{"ok": False, "error": "not sent"} for _ in probes]
        try:
            async with asyncio.timeout(SEND_S):
                async for line in process.stdout:
                    result = orjson.loads(line)
                    found[result.pop("number")] = result
        except TimeoutError:
            return found
        finally:
            await _end(process)
        return found

    async def _stop(self, who: str) -> Document:
        mine = [name for name in self._listening if name.split(" ")[0] == who]
        for name in mine:
            await _end(self._listening.pop(name))
        return {"stopped": len(mine)}

    async def _state(self, asked: Document) -> Document:
        spaces = {}
        pods = await self.runtime.observe()
        for pod in list(asked.get("pods", ()))[:MOST_PODS]:
            with contextlib.suppress(NotFound):
                spaces[pod] = self._space(pods, pod)
        return await asyncio.to_thread(state.observe, self.table, asked, spaces)

    async def _start(self, what: str, pod: str, wanted: Document) -> asyncio.subprocess.Process:
        enter: tuple[str, ...] = ()
        if pod:
            enter = ("nsenter", f"--net={self._space(await self.runtime.observe(), pod)}")
        process = await asyncio.create_subprocess_exec(
            *enter,
            *(sys.executable, "-I", "-S", str(PROGRAM), what),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={"PATH": os.environ.get("PATH", "/usr/bin:/bin")},
            limit=1 << 20,
        )
        assert process.stdin is not None
        process.stdin.write(orjson.dumps(wanted) + b"\n")
        with contextlib.suppress(ConnectionError):
            await process.stdin.drain()
        return process

    def _space(self, pods: Mapping[str, PodOnNode], pod: str) -> Path:
        """Raises: NotFound."""
        namespace, _, name = pod.partition("/")
        for one in pods.values():
            if (one.namespace, one.name) != (namespace, name):
                continue
            for sandbox in one.sandboxes:
                if sandbox.ready and (found := space_of(self.results, sandbox.id)):
                    return found
        raise NotFound(f'pod "{pod}" has no network of its own on this node')


def space_of(results: Path, sandbox: str) -> Path | None:
    """Where the network of a sandbox is, by what its plugins answered."""
    for file in results.glob(f"*-{sandbox}-eth0"):
        try:
            interfaces = orjson.loads(file.read_bytes())["result"]["interfaces"]
        except (OSError, ValueError, KeyError, TypeError):
            continue  # cut short by a crash
        for one in interfaces:
            if one.get("sandbox"):
                return Path(one["sandbox"])
    return None


def text(asked: Document, name: str) -> str:
    found = asked.get(name, "")
    if not isinstance(found, str) or " " in found:
        raise BadRequest(f"{name}: a word is wanted")
    return found


def ports(asked: Document, name: str) -> list[int]:
    found = asked.get(name, [])
    if (
        not isinstance(found, list)
        or len(found) > 8
        or not all(type(one) is int and 0 <= one < 1 << 16 for one in found)
    ):
        raise BadRequest(f"{name}: a list of at most 8 ports is wanted")
    return found


def checked(probe: Any) -> Document:
    """Raises: BadRequest."""
    if not isinstance(probe, dict) or probe.get("kind") not in KINDS:
        raise BadRequest(f"probes[].kind: one of {', '.join(sorted(KINDS))} is wanted")
    within_s = probe.get("within_s")
    if not isinstance(within_s, (int, float)) or not 0 < within_s <= LONGEST_PROBE_S:
        raise BadRequest(f"probes[].within_s: seconds, at most {LONGEST_PROBE_S:.0f}, are wanted")
    return probe


async def _end(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.wait()


async def _last(process: asyncio.subprocess.Process) -> str:
    assert process.stderr is not None
    lines = (await process.stderr.read()).decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "no reason was given"
