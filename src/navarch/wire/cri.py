"""What goes over the container runtime's socket besides CRI itself: the channel, and containerd's own events.

CRI of containerd 1.6 has no event stream, so the agent listens to containerd's. Its messages are few and small; they
are decoded here field by field, which spares generated code for a second protocol. The CRI stubs are loaded on first
use: processes that run no containers never pay for gRPC.

Source: https://github.com/containerd/containerd/blob/main/api/services/events/v1/events.proto
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from itertools import chain, repeat
from pathlib import Path
from typing import Any

NAMESPACE = "k8s.io"
"""The containerd namespace in which its CRI plugin keeps everything."""

MAX_MESSAGE_BYTES = 16 << 20


def open_channel(socket: Path) -> Any:
    """A `grpc.aio` channel; reconnects by itself, waiting at most a second between attempts."""
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")  # children only execute other programs
    import grpc.aio

    options = (
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 1000),
        ("grpc.enable_http_proxy", 0),
    )
    return grpc.aio.insecure_channel(f"unix://{socket}", options=options)


def fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a protobuf message in wire order: numbers as int, everything with a length as bytes.

    Raises:
        ValueError: `data` is cut short or uses a wire type that protobuf 3 does not have.
    """
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        number, kind = tag >> 3, tag & 7
        if kind == 0:
            value, position = _varint(data, position)
            yield number, value
            continue
        if kind == 2:
            length, position = _varint(data, position)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise ValueError(f"protobuf field {number} has wire type {kind}, which is unknown")
        if position + length > len(data):
            raise ValueError(f"protobuf field {number} is cut short: {length} bytes announced")
        chunk = data[position : position + length]
        position += length
        yield number, chunk if kind == 2 else int.from_bytes(chunk, "little")


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if position >= len(data) or shift > 63:
            raise ValueError(f"protobuf number at byte {position} is cut short or too long")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7


def encode_text(number: int, text: str) -> bytes:
    """A string field."""
    data = text.encode()
    return _encode_varint(number << 3 | 2) + _encode_varint(len(data)) + data


def _encode_varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


@dataclass(frozen=True, slots=True)
class Event:
    """topic: `/tasks/start`, `/tasks/exit`, `/containers/create`, `/images/create`, …

    container_id, process_id: of a task (equal unless the process was an exec). name: of an image. Fields that the topic
    does not have are "".
    """

    topic: str
    container_id: str = ""
    process_id: str = ""
    name: str = ""


_CONTAINER_FIELD = {
    "/tasks/create": 1,
    "/tasks/start": 1,
    "/tasks/exit": 1,
    "/tasks/oom": 1,
    "/tasks/delete": 1,
    "/tasks/paused": 1,
    "/containers/create": 1,
    "/containers/delete": 1,
}


def decode_event(envelope: bytes) -> Event:
    """Raises: ValueError, when the bytes are no envelope."""
    topic, payload = "", b""
    for number, value in fields(envelope):
        if number == 3 and isinstance(value, bytes):
            topic = value.decode("utf-8", "replace")
        elif number == 4 and isinstance(value, bytes):
            payload = next((inner for key, inner in fields(value) if key == 2 and isinstance(inner, bytes)), b"")
    texts = {key: value.decode("utf-8", "replace") for key, value in fields(payload) if isinstance(value, bytes)}
    if topic.startswith("/images/"):
        return Event(topic, name=texts.get(1, ""))
    if topic not in _CONTAINER_FIELD:
        return Event(topic)
    process = texts.get(2, "") if topic == "/tasks/exit" else texts.get(5, "") if topic == "/tasks/delete" else ""
    return Event(topic, container_id=texts.get(1, ""), process_id=process)


SUBSCRIBED = "/navarch/subscribed"
"""The topic of an event of our own, which tells us that the subscription has begun."""
KNOCKS_S = (0.0, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0)
"""The pauses before each time that it is published; the last is repeated."""
OPEN_S = 15.0


async def events(channel: Any) -> AsyncIterator[Event]:
    """containerd's events of its CRI namespace. The first has the topic `SUBSCRIBED`: nothing after it is missed.

    containerd does not say when a subscription has begun, so an event of our own is published until it comes back.
    Ends, or raises `grpc.RpcError`, when the runtime goes. Raises: TimeoutError: nothing came back within `OPEN_S`.
    """
    import grpc.aio

    subscribe = channel.unary_stream("/containerd.services.events.v1.Events/Subscribe")
    call = subscribe(encode_text(1, f"namespace=={NAMESPACE}"))
    try:
        for event in await _opened(channel, call):
            yield event
        while (envelope := await call.read()) is not grpc.aio.EOF:
            yield decode_event(envelope)
    finally:
        call.cancel()


async def _opened(channel: Any, call: Any) -> list[Event]:
    """Our own event, and then those that came before it. Raises: grpc.RpcError; TimeoutError."""
    import grpc.aio

    early: list[Event] = []
    failed: Exception | None = None
    async with asyncio.TaskGroup() as group:
        knocking = group.create_task(_knock(channel))
        try:
            async with asyncio.timeout(OPEN_S):
                while (envelope := await call.read()) is not grpc.aio.EOF:
                    event = decode_event(envelope)
                    if event.topic == SUBSCRIBED:
                        return [event, *early]
                    early.append(event)
        except (grpc.RpcError, TimeoutError) as error:
            failed = error
        finally:
            knocking.cancel()
    if failed is not None:
        raise failed
    return early


async def _knock(channel: Any) -> None:
    """Publish our own event until cancelled."""
    import grpc

    publish = channel.unary_unary("/containerd.services.events.v1.Events/Publish")
    request = encode_text(1, SUBSCRIBED) + encode_text(2, encode_text(1, "google.protobuf.Empty").decode())
    for pause_s in chain(KNOCKS_S, repeat(KNOCKS_S[-1])):
        await asyncio.sleep(pause_s)
        try:
            await publish(request, metadata=(("containerd-namespace", NAMESPACE),), timeout=OPEN_S)
        except grpc.RpcError:  # the subscription, which goes to the same place, says why
            continue


def stubs() -> Any:
    """The module of CRI v1 messages."""
    from cri_api.v1 import api_pb2

    return api_pb2


def services(channel: Any) -> tuple[Any, Any]:
    """The stubs of RuntimeService and ImageService on a channel."""
    from cri_api.v1 import api_pb2_grpc

    runtime, images = api_pb2_grpc.RuntimeServiceStub, api_pb2_grpc.ImageServiceStub
    return runtime(channel), images(channel)  # type: ignore[no-untyped-call]
