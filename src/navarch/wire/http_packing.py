"""Answers compressed on their way, for clients that ask for it: whole ones and lists that come in pieces.

What is small is left as it is, and so is what somebody waits for piece by piece (watches, logs): who answers says which
bodies may be packed. Packing is done in a thread, piece by piece: zlib lets everybody else go on meanwhile.

Source: https://kubernetes.io/docs/reference/using-api/api-concepts/#response-compression
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

from navarch.wire.message import Headers, Response

GZIP_FROM_BYTES = 131_072
"""Below it the client's decompression costs more than the bytes saved (upstream compresses from the same size)."""
GZIP_LEVEL = 1
INLINE_BYTES = 16_384
"""So much is packed in a fifth of a millisecond, which is less than asking a thread takes."""
ADDED = (("Content-Encoding", "gzip"), ("Vary", "Accept-Encoding"))


def takes_gzip(accept_encoding: str) -> bool:
    """Whether gzip is named, and not as what is not wanted. `*` names nothing, as in Kubernetes."""
    for entry in accept_encoding.split(","):
        coding, *parameters = entry.split(";")
        if coding.strip().lower() == "gzip":
            weight = next((text.strip()[2:] for text in parameters if text.strip().lower().startswith("q=")), "1")
            return weight.strip().rstrip("0").rstrip(".") not in ("", "0")
    return False


def is_packed(headers: Headers) -> bool:
    return any(name.lower() == "content-encoding" for name, _ in headers)


async def pack(response: Response) -> None:
    """Make it a compressed answer, if it is worth it: headers and body are replaced.

    A body in pieces is read until that is known. Raises: what its body raises, which is then closed.
    """
    body = response.body
    if is_packed(response.headers):
        return
    if isinstance(body, bytes):
        if len(body) >= GZIP_FROM_BYTES:
            response.body = await asyncio.to_thread(_gzipped, body)
            response.headers = (*response.headers, *ADDED)
        return
    held, ended = await _begun(body)
    if ended:
        response.body = held
        return
    response.headers = (*response.headers, *ADDED)
    response.body = _packed(held, body)


async def _begun(body: AsyncIterator[bytes]) -> tuple[bytes, bool]:
    """As much of it as decides; and whether that is all."""
    held: list[bytes] = []
    size = 0
    try:
        async for piece in body:
            held.append(piece)
            size += len(piece)
            if size >= GZIP_FROM_BYTES:
                return b"".join(held), False
    except BaseException:
        await _close(body)
        raise
    return b"".join(held), True


async def _packed(held: bytes, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    packer = _packer()
    try:
        first, held = held, b""
        yield await _beside(packer.compress, first)
        del first
        async for piece in body:
            yield await _beside(packer.compress, piece)
        yield packer.flush()
    finally:
        await _close(body)


async def _beside(compress: Callable[[bytes], bytes], piece: bytes) -> bytes:
    return compress(piece) if len(piece) < INLINE_BYTES else await asyncio.to_thread(compress, piece)


def _packer() -> Any:
    return zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, 16 + zlib.MAX_WBITS)


def _gzipped(body: bytes) -> bytes:
    packer = _packer()
    return cast(bytes, packer.compress(body) + packer.flush())


async def _close(body: AsyncIterator[bytes]) -> None:
    closing: Any = getattr(body, "aclose", None)
    if closing is not None:
        await closing()
