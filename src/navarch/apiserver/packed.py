"""Objects as protobuf: made of their JSON when first asked for, and kept with them for a while.

An object is packed once for all who list or watch it. What is kept is bounded: the oldest is given up first, and made
again should somebody ask.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence

import orjson

from navarch.apiserver import reply
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
        made = found.packed = protobuf_encode.message(orjson.loads(found.raw))
        self._kept.append(found)
        self._kept_bytes += len(made) + len(found.raw)
        while self._kept_bytes > self._most_bytes:
            oldest = self._kept.popleft()
            self._kept_bytes -= len(oldest.packed or b"") + len(oldest.raw)
            oldest.packed = None
        return made

    def body(self, found: Object) -> bytes:
        return protobuf_encode.envelope(found.kind.api_version, found.kind.name, self.message(found))


def partial_message(found: Object, form: Form) -> bytes:
    """The metadata alone; what is not the object's is not kept."""
    return protobuf_encode.message(orjson.loads(reply.partial(found, form.meta)))


def partial_body(found: Object, form: Form) -> bytes:
    return protobuf_encode.envelope(form.meta, "PartialObjectMetadata", partial_message(found, form))


def respond_list(
    named: tuple[str, str], metadata: Document, items: Sequence[Object], message: Message, warnings: Sequence[str]
) -> Response:
    """named: the list's kind and apiVersion. message: makes that of one item."""
    headers = [("content-type", PROTOBUF), *reply.warning_headers(warnings)]
    if len(items) <= reply.SLICE_OBJECTS and not reply.is_large(items, reply.SLICE_BYTES):
        return Response(200, headers, b"".join(_body(named, metadata, [message(item) for item in items])))
    return Response(200, headers, _slices(named, metadata, items, message), packable=True)


def _body(named: tuple[str, str], metadata: Document, items: Iterable[bytes]) -> list[bytes]:
    """In pieces. items: the messages of its items."""
    kind, api_version = named
    parts = protobuf_encode.list_parts(metadata, items)
    head = protobuf_encode.list_head(api_version, kind, sum(map(len, parts)))
    return [head, *parts, protobuf_encode.LIST_TAIL]


async def _slices(
    named: tuple[str, str], metadata: Document, items: Sequence[Object], message: Message
) -> AsyncIterator[bytes]:
    """A list says how long it is before its first item: all are packed before anything is sent, others being served in
    between."""
    messages: list[bytes] = []
    for piece in reply.pieces(items, PACKED_BYTES):
        messages += map(message, piece)
        await asyncio.sleep(0)
    parts = _body(named, metadata, messages)
    for start in range(0, len(parts), 2 * reply.SLICE_OBJECTS):
        yield b"".join(parts[start : start + 2 * reply.SLICE_OBJECTS])
