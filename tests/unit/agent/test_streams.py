"""Exec, attach and port-forward between a client's connection and the runtime's, each played by the test."""

from __future__ import annotations

import asyncio
import base64
import json
import struct
import zlib
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, TextMessage

from navarch.agent.cristreams import Dialed, Wanted
from navarch.agent.port import Port
from navarch.agent.runtime import Container, ContainerState, PodOnNode, RuntimeFailure, Sandbox
from navarch.agent.streams import V5, serve_channels, serve_forward
from navarch.base.clock import SystemClock
from navarch.kinds import POD
from navarch.kinds.object import Object
from navarch.wire.message import Peer, Request, Response, Tunnel
from navarch.wire.spdy import DICTIONARY
from tests.unit.agent.pods import at

V4 = "v4.channel.k8s.io"
STDIN, STDOUT, STDERR, ERROR, RESIZE = range(5)
SUCCESS = b'{"metadata":{},"status":"Success"}'
FAILURE = b'{"metadata":{},"status":"Failure","message":"it failed","reason":"NonZeroExitCode"}'
END = object()


class Pipe:
    """One end of a connection; `far` is the other."""

    def __init__(self) -> None:
        self.incoming: asyncio.Queue[bytes] = asyncio.Queue(8)
        self.far: Pipe
        self.ended = False
        self.answered: dict[str, str] = {}

    @classmethod
    def pair(cls) -> tuple[Pipe, Pipe]:
        one, two = cls(), cls()
        one.far, two.far = two, one
        return one, two

    async def read(self) -> bytes:
        return b"" if self.ended else await self.incoming.get()

    async def write(self, data: bytes) -> None:
        if self.far.ended:
            raise ConnectionResetError("nobody is there")
        await self.far.incoming.put(data)

    async def close(self) -> None:
        if not self.ended:
            self.ended = True
            await self.far.incoming.put(b"")

    def gone(self) -> bool:
        return self.far.ended


class Runtime:
    """The server's end of SPDY: streams by their type, what came on them, and what is to be said."""

    def __init__(self, tunnel: Pipe) -> None:
        self._tunnel = tunnel
        self._pack = zlib.compressobj(zdict=DICTIONARY)
        self._unpack = zlib.decompressobj(zdict=DICTIONARY)
        self._waiting = b""
        self.numbers: dict[str, int] = {}
        self.frames: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()

    async def opened(self, *names: str) -> None:
        while set(self.numbers) != set(names):
            await self._frame()

    async def _frame(self) -> None:
        while len(self._waiting) < 8 or len(self._waiting) < 8 + (int.from_bytes(self._waiting[5:8], "big")):
            data = await self._tunnel.read()
            if not data:
                raise ConnectionResetError
            self._waiting += data
        first, second = struct.unpack_from(">II", self._waiting)
        body, self._waiting = self._waiting[8 : 8 + (second & 0xFFFFFF)], self._waiting[8 + (second & 0xFFFFFF) :]
        if first == 0x80030001:
            block = self._unpack.decompress(body[10:])
            name = block[4 + 4 + len("streamtype") + 4 :].decode()
            self.numbers[name] = struct.unpack_from(">I", body)[0]
            answer = struct.pack(">I", self.numbers[name]) + self._pack.compress(struct.pack(">I", 0))
            await self._control(2, answer + self._pack.flush(zlib.Z_SYNC_FLUSH))
        elif not first & 0x80000000:
            name = next(name for name, number in self.numbers.items() if number == first)
            await self.frames.put((name, END if second >> 24 else body))

    async def _control(self, kind: int, body: bytes) -> None:
        await self._tunnel.write(struct.pack(">HHI", 0x8003, kind, len(body)) + body)

    async def heard(self) -> tuple[str, Any]:
        while self.frames.empty():
            await self._frame()
        return self.frames.get_nowait()

    async def say(self, name: str, data: bytes, *, last: bool = False) -> None:
        await self._tunnel.write(struct.pack(">II", self.numbers[name], last << 24 | len(data)) + data)

    async def end(self, outcome: bytes = SUCCESS) -> None:
        await self.say("error", outcome, last=True)
        for name in ("stdout", "stderr"):
            if name in self.numbers:
                await self.say(name, b"", last=True)
        await self._tunnel.close()


class Client:
    """The client's end of a WebSocket."""

    def __init__(self, tunnel: Pipe) -> None:
        self._tunnel = tunnel
        self._frames = Connection(ConnectionType.CLIENT)
        self._found: list[Any] = []

    async def send(self, data: bytes | str, *, finished: bool = True) -> None:
        made = TextMessage if isinstance(data, str) else BytesMessage
        await self._tunnel.write(self._frames.send(made(data=data, message_finished=finished)))

    async def message(self) -> Any:
        """None when the server says goodbye or is gone."""
        while not self._found:
            data = await self._tunnel.read()
            if not data:
                return None
            self._frames.receive_data(data)
            self._found.extend(self._frames.events())
        event = self._found.pop(0)
        if isinstance(event, CloseConnection):
            await self._tunnel.write(self._frames.send(event.response()))
            return None
        return event.data

    async def rest(self) -> list[Any]:
        found = []
        while (message := await self.message()) is not None:
            found.append(message)
        return found


def request_for(
    tunnel: Pipe, protocols: str = V5, path: str = "/exec/default/p/main", query: Sequence[tuple[str, str]] = ()
) -> Request:
    async def upgrade(status: int, headers: Sequence[tuple[str, str]]) -> Tunnel:
        assert status == 101
        tunnel.answered = dict(headers)
        return tunnel

    headers = {"connection": "Upgrade", "upgrade": "websocket", "sec-websocket-version": "13"}
    headers |= {"sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==", "sec-websocket-protocol": protocols}
    if protocols.startswith("spdy "):
        headers = {"connection": "Upgrade", "upgrade": "SPDY/3.1", "x-stream-protocol-version": protocols[5:]}
    return Request("POST", path, path, headers, query, peer=Peer(organizations=("system:masters",)), upgrade=upgrade)


ALL = Wanted(stdin=True)
Play = Callable[[Client, Runtime], Coroutine[Any, Any, None]]


def channels(play: Play, protocol: str = V5, wanted: Wanted = ALL) -> None:
    """Let client and runtime talk; fails when either still waits after a minute."""

    async def run() -> None:
        near, client = Pipe.pair()
        far, runtime = Pipe.pair()
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            group.create_task(serve_channels(request_for(near, protocol), Dialed(far, V4), wanted))
            await play(Client(client), Runtime(runtime))

    asyncio.run(run())


def test_output_input_and_outcome_go_by_their_channels() -> None:
    async def play(client: Client, runtime: Runtime) -> None:
        await runtime.opened("stdin", "stdout", "stderr", "error")
        assert await client.message() == bytes([STDOUT]), "it begins"
        await client.send(bytes([STDIN]) + b"hello")
        assert await runtime.heard() == ("stdin", b"hello")
        await runtime.say("stdout", b"out")
        await runtime.say("stderr", b"err")
        assert sorted([await client.message(), await client.message()]) == [b"\1out", b"\2err"]
        await client.send(bytes([255, STDIN]))
        assert await runtime.heard() == ("stdin", END)
        await runtime.say("stdout", b"after the end of input")
        await runtime.end(FAILURE)
        assert await client.rest() == [b"\1after the end of input", bytes([ERROR]) + FAILURE]

    channels(play)


def test_a_message_of_any_size_is_handed_on_in_pieces() -> None:
    async def play(client: Client, runtime: Runtime) -> None:
        await runtime.opened("stdin", "stdout", "stderr", "error")

        async def send() -> None:
            await client.send(bytes([STDIN]) + b"x" * 3_000_000, finished=False)
            await client.send(b"y" * 3_000_000)
            await client.send(bytes([STDIN]) + b"z")

        async with asyncio.TaskGroup() as group:
            group.create_task(send())
            heard = b""
            while not heard.endswith(b"z"):
                heard += (await runtime.heard())[1]
        assert heard == b"x" * 3_000_000 + b"y" * 3_000_000 + b"z"
        await runtime.end()
        await client.rest()

    channels(play)


def test_a_terminal_has_a_size_and_no_stream_of_errors() -> None:
    async def play(client: Client, runtime: Runtime) -> None:
        await runtime.opened("stdin", "stdout", "error", "resize")
        await client.send(bytes([RESIZE]) + b'{"Width":80,"Height":24}')
        assert await runtime.heard() == ("resize", b'{"Width":80,"Height":24}')
        await client.send(bytes([STDERR]) + b"nobody hears this")
        await client.send(bytes([STDIN]) + b"a")
        assert await runtime.heard() == ("stdin", b"a")
        await runtime.end()
        assert (await client.rest())[-1] == bytes([ERROR]) + SUCCESS

    channels(play, wanted=Wanted(stdin=True, tty=True))


@pytest.mark.parametrize(
    ("outcome", "told"), [(SUCCESS, []), (FAILURE, [bytes([ERROR]) + b"it failed"])], ids=["success", "failure"]
)
def test_older_protocols_are_told_failures_as_text_and_nothing_else(outcome: bytes, told: list[bytes]) -> None:
    async def play(client: Client, runtime: Runtime) -> None:
        await runtime.opened("stdin", "stdout", "stderr", "error")
        await runtime.end(outcome)
        assert await client.rest() == [bytes([STDOUT]), *told]

    channels(play, "v2.channel.k8s.io")


def test_text_goes_in_base64_to_those_who_ask_for_it() -> None:
    async def play(client: Client, runtime: Runtime) -> None:
        await runtime.opened("stdin", "stdout", "stderr", "error")
        assert await client.message() == b"1"
        await client.send(b"0" + base64.b64encode(b"\xff\0"))
        assert await runtime.heard() == ("stdin", b"\xff\0")
        await runtime.say("stdout", b"\xfe")
        assert await client.message() == b"1" + base64.b64encode(b"\xfe")
        await client.send("0!!")
        assert await client.rest() == [], "what is no base64 ends it"

    channels(play, "v4.base64.channel.k8s.io")


def test_a_runtime_that_breaks_off_is_no_success() -> None:
    async def play(client: Client, runtime: Runtime) -> None:
        await runtime.opened("stdin", "stdout", "stderr", "error")
        await runtime.say("stdout", b"half")
        await runtime._tunnel.close()
        *before, last = await client.rest()
        assert b"".join(before) == b"\1\1half"
        status = json.loads(last[1:])
        assert (last[0], status["status"], status["code"]) == (ERROR, "Failure", 500)
        assert "error reading from error stream" in status["message"]

    channels(play)


def test_a_runtime_that_breaks_off_before_it_begins_is_told_of() -> None:
    async def play(client: Client, runtime: Runtime) -> None:
        await runtime._tunnel.close()
        [told] = await client.rest()
        assert json.loads(told[1:])["message"].startswith("Internal error occurred: error sending request: the SPDY")

    channels(play)


def test_a_client_that_leaves_ends_it_for_the_runtime() -> None:
    async def play(client: Client, runtime: Runtime) -> None:
        await runtime.opened("stdin", "stdout", "stderr", "error")
        await client._tunnel.close()
        with pytest.raises(ConnectionResetError):
            await runtime.heard()

    channels(play)


# --- what is refused


class Observing:
    """A runtime with one pod, whose containers are given."""

    def __init__(self, *containers: Container) -> None:
        self._pod = PodOnNode("u", "default", "p", (Sandbox("s", "u", "default", "p", 0, True, at(0)),), containers)

    async def observe(self, uid: str = "") -> dict[str, PodOnNode]:
        return {"u": self._pod}


class Dialing:
    """Remembers what was asked of the runtime, and leads to one of the test, or nowhere."""

    def __init__(self, tunnel: Pipe | None = None) -> None:
        self.asked: list[tuple[str, Wanted, tuple[str, ...]]] = []
        self._tunnel = tunnel

    async def exec(self, container_id: str, command: Any, wanted: Wanted, offered: Sequence[str] = ()) -> Dialed:
        return self._dialed("exec", wanted, offered)

    async def attach(self, container_id: str, wanted: Wanted, offered: Sequence[str] = ()) -> Dialed:
        return self._dialed("attach", wanted, offered)

    async def port_forward(self, sandbox_id: str) -> Dialed:
        return self._dialed("forward", Wanted(), ())

    def _dialed(self, verb: str, wanted: Wanted, offered: Sequence[str]) -> Dialed:
        self.asked.append((verb, wanted, tuple(offered)))
        if self._tunnel is None:
            raise RuntimeFailure("the runtime will not")
        return Dialed(self._tunnel, offered[-1] if offered else V4)


def container(state: ContainerState, name: str = "main") -> Container:
    return Container("c1", "s", name, 0, state, "image", "ref", at(0))


class Known:
    """The node's pods as the API server has them: one, whose container has a terminal."""

    def get(self, namespace: str, name: str) -> Object | None:
        spec = {"containers": [{"name": "main", "image": "i", "tty": True, "stdin": True}]}
        return Object.of(POD, {"metadata": {"name": name, "namespace": namespace, "uid": "u"}, "spec": spec})


OUT = (("output", "1"), ("command", "true"))


@pytest.mark.parametrize(
    ("verb", "state", "said"),
    [
        ("exec", ContainerState.EXITED, 'container not found ("main")'),
        ("attach", ContainerState.EXITED, "container main not found in pod p_default"),
        ("exec", ContainerState.RUNNING, "the runtime will not"),
    ],
)
@pytest.mark.parametrize("protocols", [V5, V4, f"spdy {V4}"])
def test_why_there_is_nothing_to_stream_is_said_as_the_client_hears_it(
    verb: str, state: ContainerState, said: str, protocols: str
) -> None:
    async def run() -> None:
        near, end = Pipe.pair()
        port = Port(Observing(container(state)), Dialing(), SystemClock())  # type: ignore[arg-type]
        request = request_for(near, protocols, f"/{verb}/default/p/main", OUT)
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            task = group.create_task(port.handle(request))
            if protocols == V5:
                [told] = await Client(end).rest()
                assert told[0] == ERROR
                assert json.loads(told[1:])["message"] == (
                    f"Internal error occurred: unable to upgrade connection: {said}"
                )
                return
            answer: Response = await task
            assert answer.status == 500
            assert json.loads(answer.body)["message"] == said  # type: ignore[arg-type]

    asyncio.run(run())


@pytest.mark.parametrize(("verb", "terminal"), [("attach", True), ("exec", False)])
def test_attached_is_to_the_terminal_that_the_container_has(verb: str, terminal: bool) -> None:
    async def run() -> None:
        near, _ = Pipe.pair()
        dialing = Dialing()
        port = Port(Observing(container(ContainerState.RUNNING)), dialing, SystemClock(), pods=Known())  # type: ignore[arg-type]
        await port.handle(request_for(near, V4, f"/{verb}/default/p/main", (*OUT, ("error", "1"))))
        assert [(one, wanted.tty) for one, wanted, _ in dialing.asked] == [(verb, terminal)]

    asyncio.run(run())


def test_who_speaks_spdy_is_offered_what_the_runtime_chooses_and_gets_every_byte() -> None:
    async def run() -> None:
        near, client = Pipe.pair()
        far, runtime = Pipe.pair()
        dialing = Dialing(far)
        port = Port(Observing(container(ContainerState.RUNNING)), dialing, SystemClock())  # type: ignore[arg-type]
        request = request_for(near, f"spdy v9.of.tomorrow, {V4}", query=OUT)
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            group.create_task(port.handle(request))
            await client.write(b"up")
            assert await runtime.read() == b"up"
            runtime.ended = True  # it has said all and takes nothing more
            for number in range(6):
                await far.incoming.put(b"%d" % number)
            await client.write(b"too late")
            await far.incoming.put(b"")
            assert b"".join([await client.read() for _ in range(6)]) == b"012345"
        assert dialing.asked[0][2] == ("v9.of.tomorrow", V4)
        assert near.answered["X-Stream-Protocol-Version"] == V4

    asyncio.run(run())


def test_a_forwarding_over_a_websocket_is_passed_through() -> None:
    async def run() -> None:
        near, client = Pipe.pair()
        far, runtime = Pipe.pair()
        asked = request_for(near, "SPDY/3.1+portforward.k8s.io")
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            group.create_task(serve_forward(asked, Dialed(far)))
            talking = Client(client)
            await talking.send(b"\x80\3 up")
            assert await runtime.read() == b"\x80\3 up"
            await runtime.write(b"down")
            assert await talking.message() == b"down"
            await runtime.close()
            assert await talking.rest() == []

    asyncio.run(run())
