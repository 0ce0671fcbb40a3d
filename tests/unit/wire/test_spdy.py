"""The client's end of SPDY against a small server of the test, which checks the bytes."""

from __future__ import annotations

import asyncio
import struct
import zlib

import pytest

from navarch.wire.spdy import DICTIONARY, Session, SpdyError


def test_the_dictionary_is_the_published_one() -> None:
    assert zlib.adler32(DICTIONARY) == 0xE3C6A7C2


class Wire:
    """Both directions as queues: what the client wrote, and what it will read."""

    def __init__(self) -> None:
        self.written = bytearray()
        self.to_read: asyncio.Queue[bytes] = asyncio.Queue()
        self.closed = False

    async def read(self) -> bytes:
        return await self.to_read.get()

    async def write(self, data: bytes) -> None:
        self.written += data

    async def close(self) -> None:
        self.closed = True


def control(kind: int, body: bytes, flags: int = 0) -> bytes:
    return struct.pack(">HHI", 0x8003, kind, flags << 24 | len(body)) + body


def reply(number: int, packer: zlib._Compress, flags: int = 0) -> bytes:
    block = packer.compress(struct.pack(">I", 0)) + packer.flush(zlib.Z_SYNC_FLUSH)
    return control(2, struct.pack(">I", number) + block, flags)


def data(number: int, text: bytes, flags: int = 0) -> bytes:
    return struct.pack(">II", number, flags << 24 | len(text)) + text


def test_a_stream_is_opened_written_read_and_closed_by_halves() -> None:
    async def play() -> None:
        wire, packer = Wire(), zlib.compressobj(zdict=DICTIONARY)
        async with asyncio.timeout(60), Session(wire) as session:
            frames = reply(1, packer)
            wire.to_read.put_nowait(frames[:5])
            wire.to_read.put_nowait(frames[5:])
            stream = await session.open({"streamType": "stdin"})
            kind, rest = struct.unpack_from(">II", wire.written)
            assert kind == 0x80030001
            block = zlib.decompressobj(zdict=DICTIONARY).decompress(bytes(wire.written[18 : 8 + (rest & 0xFFFFFF)]))
            assert block == struct.pack(">II", 1, 10) + b"streamtype" + struct.pack(">I", 5) + b"stdin"
            del wire.written[:]
            await stream.write(b"hello")
            await stream.close()
            assert bytes(wire.written) == data(1, b"hello") + struct.pack(">II", 1, 1 << 24)
            wire.to_read.put_nowait(data(1, b"wor") + data(1, b"ld", flags=1))
            assert [await stream.read() for _ in range(3)] == [b"wor", b"ld", b""]
        assert wire.closed

    asyncio.run(play())


def test_a_reset_or_a_lost_connection_is_an_error_for_whoever_waits() -> None:
    async def play() -> None:
        wire, packer = Wire(), zlib.compressobj(zdict=DICTIONARY)
        async with asyncio.timeout(60), Session(wire) as session:
            wire.to_read.put_nowait(reply(1, packer))
            stream = await session.open({"streamType": "error"})
            wire.to_read.put_nowait(b"")
            with pytest.raises(SpdyError, match="ended"):
                await stream.read()
            with pytest.raises(SpdyError):
                await session.open({"streamType": "stdout"})

    asyncio.run(play())


def test_pings_are_answered() -> None:
    async def play() -> None:
        wire, packer = Wire(), zlib.compressobj(zdict=DICTIONARY)
        async with asyncio.timeout(60), Session(wire) as session:
            wire.to_read.put_nowait(control(6, struct.pack(">I", 2)) + reply(1, packer))
            await session.open({"streamType": "error"})
            assert control(6, struct.pack(">I", 2)) in bytes(wire.written)

    asyncio.run(play())
