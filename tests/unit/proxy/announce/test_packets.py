"""ARP and neighbour discovery as bytes."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.proxy.announce import packets
from navarch.proxy.announce.packets import Asked

MINE, THEIRS = b"\2\0\0\0\0\1", b"\2\0\0\0\0\2"
REQUEST = bytes.fromhex("0001 0800 06 04 0001 020000000002 c0000207 000000000000 c0000263")
"""192.0.2.7 at 02:00:00:00:00:02 asks who has 192.0.2.99, by RFC 826."""


def test_a_question_and_its_answer() -> None:
    asked = packets.read_arp(REQUEST + bytes(18))
    assert asked == Asked("192.0.2.99", "192.0.2.7", THEIRS)
    assert packets.arp_reply(asked, MINE) == bytes.fromhex(
        "0001 0800 06 04 0002 020000000001 c0000263 020000000002 c0000207"
    )
    assert packets.arp_announcement("192.0.2.99", MINE) == bytes.fromhex(
        "0001 0800 06 04 0001 020000000001 c0000263 000000000000 c0000263"
    )


def test_who_has_no_address_yet_is_answered_too() -> None:
    asked = packets.read_arp(REQUEST[:14] + bytes(4) + REQUEST[18:])
    assert asked == Asked("192.0.2.99", "", THEIRS)


@pytest.mark.parametrize("data", [b"", REQUEST[:27], REQUEST[:7] + b"\2" + REQUEST[8:], b"\0\2" + REQUEST[2:]])
def test_what_is_no_question(data: bytes) -> None:
    assert packets.read_arp(data) is None


def test_a_solicitation_and_its_answer() -> None:
    target = bytes.fromhex("20010db8000000000000000000000099")
    assert packets.read_solicitation(b"\x87\0\0\0\0\0\0\0" + target + b"\1\1" + THEIRS) == "2001:db8::99"
    assert packets.read_solicitation(b"\x88\0\0\0\0\0\0\0" + target) == ""
    assert packets.read_solicitation(b"\x87\0\0\0") == ""
    answer = packets.advertisement("2001:db8::99", MINE, solicited=True)
    assert answer == b"\x88\0\0\0\x60\0\0\0" + target + b"\2\1" + MINE
    assert packets.advertisement("2001:db8::99", MINE, solicited=False)[4] == 0x20
    assert packets.solicited_group("2001:db8::12:3456") == "ff02::1:ff12:3456"


def passes(program: bytes, packet: bytes) -> bool:
    """What the kernel does with such a program, for the few steps that we use."""
    steps, at, held = [struct.unpack_from("=HBBI", program, place) for place in range(0, len(program), 8)], 0, 0
    while True:
        code, if_so, if_not, value = steps[at]
        at += 1
        match code:
            case 0x28:
                held = int.from_bytes(packet[value : value + 2], "big")
            case 0x20:
                held = int.from_bytes(packet[value : value + 4], "big")
            case 0x15:
                at += if_so if held == value else if_not
            case 0x06:
                return value > 0
            case _:
                raise AssertionError(f"step {code:#x}")


@given(st.sets(st.integers(0, 255), max_size=210), st.integers(0, 255), st.booleans())
def test_only_questions_for_our_own_wake_us(ours: set[int], target: int, question: bool) -> None:
    program = packets.arp_filter([f"192.0.2.{last}" for last in ours])
    packet = REQUEST[:7] + (b"\1" if question else b"\2") + REQUEST[8:-1] + bytes([target])
    expected = question and (target in ours or len(ours) > packets.FILTERED_LIMIT)
    assert passes(program, packet) == expected


def reply(last: int) -> bytes:
    asked = packets.Asked(f"192.0.2.{last}", "192.0.2.1", b"\1" * 6)
    return packets.arp_reply(asked, b"\2" * 6)


def test_a_probe_teaches_nobody_anything_and_its_answer_is_read() -> None:
    asked = packets.read_arp(packets.arp_probe("192.0.2.9", b"\1" * 6))
    assert asked == packets.Asked("192.0.2.9", "", b"\1" * 6)
    assert packets.read_arp_reply(reply(9)) == ("192.0.2.9", b"\2" * 6)
    assert packets.read_arp_reply(packets.arp_probe("192.0.2.9", b"\1" * 6)) is None
    assert packets.read_arp_reply(reply(9)[:-1]) is None


def test_a_solicitation_and_the_advertisement_that_answers_it() -> None:
    assert packets.read_solicitation(packets.solicitation("2001:db8::9", b"\1" * 6)) == "2001:db8::9"
    told = packets.advertisement("2001:db8::9", b"\2" * 6, solicited=True)
    assert packets.read_advertisement(told) == ("2001:db8::9", b"\2" * 6)
    assert packets.read_advertisement(told[:24]) == ("2001:db8::9", b""), "it need not say what was asked at"
    assert packets.read_advertisement(told[:23]) is None
    assert packets.read_advertisement(packets.solicitation("2001:db8::9", b"\1" * 6)) is None


@given(st.sets(st.integers(1, 9), max_size=5), st.integers(1, 9), st.booleans())
def test_only_answers_of_those_we_asked_wake_us(ours: set[int], sender: int, answer: bool) -> None:
    program = packets.arp_reply_filter([f"192.0.2.{last}" for last in ours])
    packet = reply(sender) if answer else packets.arp_announcement(f"192.0.2.{sender}", b"\2" * 6)
    assert passes(program, packet) == (answer and sender in ours)
