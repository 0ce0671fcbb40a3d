"""containerd's events, decoded field by field."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.wire.cri import Event, decode_event, encode_text, fields

texts = st.text(max_size=200)


def message(number: int, inner: bytes) -> bytes:
    return encode_text(number, "")[:-1] + length(len(inner)) + inner


def length(value: int) -> bytes:
    return bytes((value & 0x7F | 0x80, value >> 7)) if value > 0x7F else bytes((value,))


def envelope(topic: str, event: bytes) -> bytes:
    return encode_text(2, "k8s.io") + encode_text(3, topic) + message(4, encode_text(1, "type.url") + message(2, event))


@given(texts, texts)
def test_an_exit_names_the_container_and_the_process(container: str, process: str) -> None:
    event = encode_text(1, container) + encode_text(2, process) + b"\x18\x96\x01" + b"\x20\x89\x01"
    assert decode_event(envelope("/tasks/exit", event)) == Event("/tasks/exit", container, process)


def test_images_and_unknown_topics_have_no_container() -> None:
    assert decode_event(envelope("/images/create", encode_text(1, "a:1"))) == Event("/images/create", name="a:1")
    assert decode_event(envelope("/snapshot/commit", encode_text(1, "k"))) == Event("/snapshot/commit")


@given(st.integers(1, 1000), texts)
def test_fields_come_back_as_they_were_written(number: int, text: str) -> None:
    assert list(fields(encode_text(number, text))) == [(number, text.encode())]


@pytest.mark.parametrize("cut", [b"\x0a", b"\x0a\x05ab", b"\x08\xff", b"\x0b", b"\xff" * 11])
def test_a_message_that_is_cut_short_is_refused(cut: bytes) -> None:
    with pytest.raises(ValueError, match="protobuf"):
        list(fields(cut))
