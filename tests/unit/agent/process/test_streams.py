"""The far end of clients' streams: what is opened, what is said at the end, and what a terminal is told."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.agent.cristreams import Wanted
from navarch.agent.process import streams
from navarch.wire.dialed import SocketTunnel
from navarch.wire.spdy import Session, SpdyError, unpacked


def test_an_end_is_told_as_clients_read_it() -> None:
    assert json.loads(streams.outcome(0))["status"] == "Success"
    failed = json.loads(streams.outcome(7))
    assert failed["reason"] == "NonZeroExitCode"
    assert failed["details"]["causes"] == [{"reason": "ExitCode", "message": "7"}]
    assert json.loads(streams.trouble(OSError("no room")))["message"] == "no room"


def test_sizes_of_terminals() -> None:
    assert streams.size_of(b'{"Width":80,"Height":24}') == (24, 80)


@given(st.binary())
def test_what_is_no_size_changes_nothing(message: bytes) -> None:
    found = streams.size_of(message)
    assert found is None or all(0 < one < 1 << 16 for one in found)


@pytest.mark.parametrize(
    "message", [b"{}", b"[]", b'{"Width":0,"Height":1}', b'{"Width":99999,"Height":1}', b'{"Width":null,"Height":1}']
)
def test_sizes_that_no_terminal_has_are_left(message: bytes) -> None:
    assert streams.size_of(message) is None


@given(st.binary(max_size=60))
def test_headers_that_are_none_are_refused(block: bytes) -> None:
    try:
        found = unpacked(block)
    except struct.error:
        return
    assert all(name == name.lower() for name in found)


def play(client: object, wanted: Wanted) -> dict[str, object]:
    """What `opened` finds when the client does what it does."""

    async def run() -> dict[str, object]:
        ours, theirs = socket.socketpair()
        for end in (ours, theirs):
            end.setblocking(False)
        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            group.create_task(client(SocketTunnel(theirs)))  # type: ignore[operator]
            async with Session(SocketTunnel(ours)) as session:
                return dict(await streams.opened(session, wanted))

    return asyncio.run(run())


def test_all_streams_that_were_asked_for_are_waited_for() -> None:
    async def client(tunnel: SocketTunnel) -> None:
        async with Session(tunnel) as session:
            opened = [await session.open({"streamType": name}) for name in ("error", "stdin", "stdout", "resize")]
            with pytest.raises(SpdyError):
                await opened[0].read()

    found = play(client, Wanted(stdin=True, stdout=True, stderr=True, tty=True))
    assert set(found) == {"error", "stdin", "stdout", "resize"}


def test_a_client_that_leaves_early_or_sends_nonsense_is_left() -> None:
    async def leaves(tunnel: SocketTunnel) -> None:
        async with Session(tunnel) as session:
            await session.open({"streamType": "error"})

    async def babbles(tunnel: SocketTunnel) -> None:
        body = struct.pack(">IIBB", 1, 0, 0, 0) + zlib.compress(b"nonsense")
        await tunnel.write(struct.pack(">HHI", 0x8003, 1, len(body)) + body)

    for client in (leaves, babbles):
        with pytest.raises(BaseExceptionGroup) as caught:
            play(client, Wanted())
        assert caught.group_contains(SpdyError)
