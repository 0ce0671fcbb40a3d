"""Objects as protobuf: made of their JSON when first asked for, and kept with them for a while.

An object is packed once for all who list or watch it. What is kept is bounded: the oldest is given up first, and made
again should somebody ask.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence

import orjson

from navarch.apiserver import reply
from navarch.apiserver.aside import LARGE_BYTES, Aside
from navarch.apiserver.negotiate import PROTOBUF, Form
from navarch.kinds.object import Object
from navarch.objects.value import Document
from navarch.wire import protobuf_encode
from navarch.wire.message import Response

KEPT_BYTES = 32 << 20
"""Of messages, and of the objects that are held by being in the queue."""
PACKED_BYTES = 65_536
"""Of a long list's objects between two looks at what else there is to do: some milliseconds."""

Message = Callable[[Object], bytes]
Large = Callable[[Object], Awaitable[bytes]]


class Packed:
    """Every object's message, by way of the object."""

    def __init__(self, kept_bytes: int = KEPT_BYTES) -> None:
        self._kept: deque[Object] = deque()
        self._kept_bytes = 0
        self._most_bytes = kept_bytes

    @property
    def kept_bytes(self) -> int:
        return self._kept_bytes

    def message(self, found: Object) -> bytes:
        """Without its envelope, as it stands in a list. Raises: LookupError, for kinds that have no message."""
        known = found.packed
        if known is not None:
            return known
        return self._keep(found, _made(found.raw))

    async def message_aside(self, found: Object, aside: Aside) -> bytes:
        """The same of a large object, beside the loop. Raises: LookupError."""
        if found.packed is not None:
            return found.packed
        made = await aside.run(_made, found.raw)
        return found.packed or self._keep(found, made)

    def _keep(self, found: Object, made: bytes) -> bytes:
        found.packed = made
        self._kept.append(found)
        self._kept_bytes += len(made) + len(found.raw)
        while self._kept_bytes > self._most_bytes:
            oldest = self._kept.popleft()
            self._kept_bytes -= len(oldest.packed or b"") + len(oldest.raw)
            oldest.packed = None
        return made

    def body(self, found: Object) -> bytes:
        return protobuf_encode.envelope(found.kind.api_version, found.kind.name, self.message(found))

    async def body_aside(self, found: Object, aside: Aside) -> AsyncIterator[bytes]:
        message = await self.message_aside(found, aside)
        yield protobuf_encode.envelope(found.kind.api_version, found.kind.name, message)


def _made(raw: bytes) -> bytes:
    return protobuf_encode.message(orjson.loads(raw))


def partial_message(found: Object, form: Form) -> bytes:
    """The metadata alone; what is not the object's is not kept."""
    return protobuf_encode.message(orjson.loads(reply.partial(found, form.meta)))


def partial_body(found: Object, form: Form) -> bytes:
    return protobuf_encode.envelope(form.meta, "PartialObjectMetadata", partial_message(found, form))


def respond_list(
    named: tuple[str, str],
    metadata: Document,
    items: Sequence[Object],
    message: Message,
    warnings: Sequence[str],
    large: Large | None = None,
) -> Response:
    """named: the list's kind and apiVersion. message: makes that of one item; large: of one that takes long."""
    headers = [("content-type", PROTOBUF), *reply.warning_headers(warnings)]
    if len(items) <= reply.SLICE_OBJECTS and not reply.is_large(items, reply.SLICE_BYTES):
        return Response(200, headers, b"".join(_body(named, metadata, [message(item) for item in items])))
    return Response(200, headers, _slices(named, metadata, items, message, large), packable=True)


def _body(named: tuple[str, str], metadata: Document, items: Iterable[bytes]) -> list[bytes]:
    """In pieces. items: the messages of its items."""
    kind, api_version = named
    parts = protobuf_encode.list_parts(metadata, items)
    head = protobuf_encode.list_head(api_version, kind, sum(map(len, parts)))
    return [head, *parts, protobuf_encode.LIST_TAIL]


async def _slices(
    named: tuple[str, str], metadata: Document, items: Sequence[Object], message: Message, large: Large | None
) -> AsyncIterator[bytes]:
    """A list says how long it is before its first item: all are packed before anything is sent, others being served in
    between."""
    messages: list[bytes] = []
    for piece in reply.pieces(items, PACKED_BYTES):
        if large is not None and len(piece[-1].raw) > LARGE_BYTES:  # a piece ends where it has enough
            messages += map(message, piece[:-1])
            messages.append(await large(piece[-1]))
            continue
        messages += map(message, piece)
        await asyncio.sleep(0)
    parts = _body(named, metadata, messages)
    for start in range(0, len(parts), 2 * reply.SLICE_OBJECTS):
        yield b"".join(parts[start : start + 2 * reply.SLICE_OBJECTS])
