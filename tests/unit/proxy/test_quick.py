"""What can be said to the kernel without the tool, and what cannot."""

from __future__ import annotations

import struct

import pytest

from navarch.proxy import quick

PLAIN = """add chain ip t pool/a
add rule ip t pool/a meta l4proto tcp numgen random mod 3 0 dnat to 10.0.0.1:80
add rule ip t pool/a ip saddr 10.0.0.0/9 ip daddr != 10.1.0.0/16 th dport 80-90 return
add rule ip t pool/a ip daddr . meta l4proto . th dport @ports/tcp/http goto pool/b
add rule ip t pool/a fib saddr type local jump do/hide
add set ip t seen/a { type ipv4_addr; flags dynamic,timeout; timeout 3s; }
add rule ip t to/a update @seen/a { ip saddr }
delete set ip t seen/a
add element ip t fronts { 10.96.0.1 . tcp . 80 : goto pool/a, 10.96.0.2 . udp . 53 : drop }
delete element ip t cluster-ips { 10.96.0.1 }
flush chain ip t pool/a
delete chain ip t pool/a
"""


SIX = """add chain ip6 t pool/a
add rule ip6 t pool/a meta l4proto tcp numgen random mod 3 0 dnat to [fd00::1]:80
add rule ip6 t pool/a ip6 saddr fd00::/9 ip6 daddr != fd00:1::/32 th dport 80-90 return
add rule ip6 t pool/a ip6 daddr . meta l4proto . th dport @ports/tcp/http goto pool/b
add set ip6 t seen/a { type ipv6_addr; flags dynamic,timeout; timeout 3s; }
add rule ip6 t to/a update @seen/a { ip6 saddr }
add element ip6 t fronts { fd00::a . tcp . 80 : goto pool/a, fd00::b . udp . 53 : drop }
delete chain ip6 t pool/a
"""


def kinds(messages: bytes) -> list[int]:
    """Of the messages of a batch, in order."""
    found, at = [], 0
    while at < len(messages):
        length, kind = struct.unpack_from("=IH", messages, at)
        found.append(kind & 0xFF)
        at += (length + 3) & ~3
    return found


def test_each_line_is_one_message_between_begin_and_end() -> None:
    messages = quick.batch(PLAIN)
    assert messages is not None
    assert len(messages) % 4 == 0
    assert kinds(messages) == [16, 3, 6, 6, 6, 6, 9, 6, 11, 12, 14, 8, 5, 17]


def test_ipv6_is_said_likewise() -> None:
    messages = quick.batch(SIX)
    assert messages is not None
    assert kinds(messages) == [16, 3, 6, 6, 6, 9, 6, 12, 5, 17]
    assert messages.count(b"\x0a\0\0\0\x06\0\x01\0t\0") == 8, "each names the family, and then the table"


@pytest.mark.parametrize(
    "line",
    [
        "add set ip t ranges { type ipv4_addr; flags interval; }",
        "add set ip t seen/a { type ipv4_addr; flags dynamic,timeout; timeout long; }",
        "add set ip t marks { type mark; }",
        "add chain ip t hook/input { type filter hook input priority filter; policy accept; }",
        "add rule ip t a ct state new jump check/refused",
        "add rule ip t a ip saddr . ip daddr @hairpins masquerade",
        "add rule ip t a ip saddr 10.0.0.300 drop",
        "add rule ip t a ip saddr fd00::/8 drop",
        "add rule ip6 t a ip6 saddr 10.0.0.0/8 drop",
        "add rule ip6 t a ip6 saddr fd00:::1 drop",
        "add rule ip t a meta l4proto icmp drop",
        "add rule ip t a th dport",
        "add rule ip t a numgen random mod x 0 drop",
        "add element ip t fronts { 10.96.0.1 . gre . 80 : goto pool/a }",
        "add element ip t fronts { 10.96.0.1 : masquerade }",
        "add table ip t",
        "list ruleset",
        "",
    ],
)
def test_what_it_does_not_know_is_left_to_the_tool(line: str) -> None:
    assert quick.batch(f"add chain ip t a\n{line}\n") is None


def test_large_changes_are_left_to_the_tool() -> None:
    assert quick.batch("add chain ip t pool/a\n" * 10_000) is None
