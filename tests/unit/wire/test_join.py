"""Bytes handed on between two connections: all of them, and not for ever."""

from __future__ import annotations

import asyncio
import fcntl
import socket
import ssl
import struct
import termios
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import pytest

from navarch.base.clock import SystemClock, SystemIds
from navarch.base.pki import Pki, client_context, server_context
from navarch.wire.dialed import connect
from navarch.wire.join import Flow, join
from navarch.wire.upgrade import upgrade

LARGE = bytes(range(256)) * 8_000


class End:
    """A tunnel of the test's: what is read from it is given, what is written to it kept, or refused, or never taken."""

    def __init__(self, *pieces: bytes, refuses: bool = False, stuck: bool = False, left: bool = False) -> None:
        self.pieces = list(pieces)
        self.refuses = refuses
        self.stuck = stuck
        self.left = left
        self.taken = b""

    async def read(self) -> bytes:
        if not self.pieces:
            await asyncio.Event().wait()
        await asyncio.sleep(0)
        return self.pieces.pop(0)

    async def write(self, data: bytes) -> None:
        if self.stuck:
            await asyncio.Event().wait()
        if self.refuses:
            raise ConnectionResetError("it takes nothing more")
        self.taken += data

    async def close(self) -> None: ...

    def gone(self) -> bool:
        return self.left


def test_who_takes_nothing_more_is_still_heard_out() -> None:
    near, far = End(b"a", b"b", b"c"), End(b"1", b"2", b"3", b"4", b"5", b"", refuses=True)
    asyncio.run(asyncio.wait_for(join(near, far), 60))
    assert near.taken == b"12345"


def test_either_end_ends_it() -> None:
    near, far = End(b"a", b""), End()
    asyncio.run(asyncio.wait_for(join(near, far), 60))
    assert far.taken == b"a"


@pytest.mark.parametrize("left", [True, False])
def test_a_peer_that_left_behind_a_full_pipe_is_noticed(left: bool) -> None:
    async def run() -> bool:
        try:
            async with asyncio.timeout(0.5):
                await Flow(End(left=left)).until_stuck(look_s=0.01)
        except TimeoutError:
            return False
        return True

    assert asyncio.run(run()) is left


def test_as_long_as_something_moves_nobody_is_given_up() -> None:
    async def run() -> None:
        flow = Flow(End(left=True))

        async def moves() -> None:
            while True:
                await flow.hand_on(asyncio.sleep(0))

        moving = asyncio.ensure_future(moves())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await flow.until_stuck(look_s=0.01)
        moving.cancel()

    asyncio.run(run())


def test_one_behind_a_full_pipe_is_spoken_to() -> None:
    """Only then: whoever is idle is left in peace."""

    async def run() -> None:
        spoken = 0

        async def poke() -> None:
            nonlocal spoken
            spoken += 1
            raise ConnectionResetError("it left long ago")

        flow = Flow(End(), poke)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await flow.until_stuck(look_s=0.01)
        assert spoken == 0
        stuck = asyncio.ensure_future(flow.hand_on(asyncio.Event().wait()))  # type: ignore[arg-type]
        with pytest.raises(ConnectionResetError):
            await flow.until_stuck(look_s=0.01)
        stuck.cancel()

    asyncio.run(run())


# --- on real connections


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"), SystemClock(), SystemIds())


@pytest.fixture(params=["plain", "secured"])
def contexts(request: pytest.FixtureRequest, pki: Pki) -> tuple[ssl.SSLContext | None, ssl.SSLContext | None]:
    """The server's and the client's."""
    if request.param == "plain":
        return None, None
    authority = pki.authority
    pair = authority.server("server", ["localhost", "127.0.0.1"])
    return server_context(pair), client_context(authority.pair.certificate)


Contexts = tuple[ssl.SSLContext | None, ssl.SSLContext | None]
Serve = Callable[[socket.socket], object]


def against(contexts: Contexts, serve: Serve, play: Callable[[int], Coroutine[Any, Any, None]]) -> None:
    """A server in a thread, whose one connection `serve` is given, and the client of `play`."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def one() -> None:
            accepted, _ = listening.accept()
            accepted.settimeout(60)
            if contexts[0] is not None:
                accepted = contexts[0].wrap_socket(accepted, server_side=True)
            with accepted:
                serve(accepted)

        thread = threading.Thread(target=one)
        thread.start()
        asyncio.run(asyncio.wait_for(play(listening.getsockname()[1]), 60))
        thread.join(60)
        assert not thread.is_alive()


def test_what_a_server_said_before_it_broke_off_is_read_though_nothing_can_be_written(contexts: Contexts) -> None:
    said, left = LARGE[:60_000], threading.Event()

    def serve(accepted: socket.socket) -> None:
        accepted.recv(100)
        accepted.sendall(said)
        while int.from_bytes(fcntl.ioctl(accepted, termios.TIOCOUTQ, bytes(4)), "little"):
            left.wait(0.01)
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        accepted.close()
        left.set()

    async def play(port: int) -> None:
        tunnel = await connect("127.0.0.1", port, contexts[1], "localhost")
        await tunnel.write(b"begin")
        await asyncio.to_thread(left.wait, 60)
        with suppress(ConnectionResetError):
            while True:
                await tunnel.write(b"still here")
        found = b""
        while piece := await tunnel.read():
            found += piece
        assert found == said
        await tunnel.close()

    against(contexts, serve, play)


def test_both_directions_at_once_carry_everything(contexts: Contexts) -> None:
    def serve(accepted: socket.socket) -> None:
        got = b""
        while len(got) < len(LARGE):
            data = accepted.recv(65_536)
            got += data
            accepted.sendall(data)
        assert got == LARGE

    async def play(port: int) -> None:
        tunnel = await connect("127.0.0.1", port, contexts[1], "localhost")

        async def send() -> None:
            for start in range(0, len(LARGE), 100_000):
                await tunnel.write(LARGE[start : start + 100_000])

        async with asyncio.TaskGroup() as group:
            group.create_task(send())
            found = b""
            while len(found) < len(LARGE):
                found += await tunnel.read()
        assert found == LARGE
        await tunnel.close()
        assert await tunnel.read() == b""
        with pytest.raises(ConnectionResetError):
            await tunnel.write(b"more")

    against(contexts, serve, play)


def test_a_server_that_left_is_known_to_be_gone_without_reading(contexts: Contexts) -> None:
    async def play(port: int) -> None:
        tunnel = await connect("127.0.0.1", port, contexts[1], "localhost")
        assert not tunnel.gone()
        await tunnel.write(b"go")
        while not tunnel.gone():
            await asyncio.sleep(0.01)
            with suppress(ConnectionResetError):
                await tunnel.write(b"x")
        await tunnel.close()

    against(contexts, lambda accepted: accepted.recv(1), play)


def test_bytes_right_behind_the_answer_are_kept_and_other_answers_have_a_body(contexts: Contexts) -> None:
    def serve(accepted: socket.socket) -> None:
        accepted.recv(4096)
        for piece in (b"HTTP/1.1 101 Switching\r\nUpg", b"rade: x\r\n\r\nearly", b" birds"):
            accepted.sendall(piece)
        accepted.recv(1)

    async def play(port: int) -> None:
        asked = [("Connection", "Upgrade"), ("Upgrade", "x")]
        status, headers, tunnel, body = await upgrade(
            "127.0.0.1", port, "/", asked, tls=contexts[1], server_name="localhost"
        )
        assert (status, dict(headers), body) == (101, {"Upgrade": "x"}, b"")
        found = b""
        while len(found) < len(b"early birds"):
            found += await tunnel.read()
        assert found == b"early birds"
        await tunnel.close()

    against(contexts, serve, play)


def test_a_refusal_is_read_whole(contexts: Contexts) -> None:
    def serve(accepted: socket.socket) -> None:
        accepted.recv(4096)
        accepted.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\n\r\nno")
        accepted.sendall(b"t!")

    async def play(port: int) -> None:
        asked = [("Connection", "Upgrade"), ("Upgrade", "x")]
        status, _, _, body = await upgrade("127.0.0.1", port, "/", asked, tls=contexts[1], server_name="localhost")
        assert (status, body) == (403, b"not!")

    against(contexts, serve, play)
