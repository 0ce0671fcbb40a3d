"""Addresses as text: which are of which family, in which form, and in which network."""

from __future__ import annotations

from ipaddress import IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.proxy.addresses import IPV4, IPV6, family_of, first_of, joined, proper, within


@pytest.mark.parametrize(
    ("text", "four", "six"),
    [
        ("10.0.0.1", "10.0.0.1", ""),
        ("010.0.0.1", "", ""),
        ("10.0.0", "", ""),
        ("FD00:0::1", "", "fd00::1"),
        ("::", "", "::"),
        ("::ffff:10.0.0.1", "", ""),
        ("::ffff:a00:1", "", ""),
        ("::a00:1", "", ""),
        ("::1", "", "::1"),
        ("fe80::1%eth0", "", ""),
        ("fd00:::1", "", ""),
        ("fd00::1\n", "", ""),
        ("fd00::1 }; flush ruleset", "", ""),
        ("", "", ""),
        ("\0", "", ""),
    ],
)
def test_the_one_proper_form(text: str, four: str, six: str) -> None:
    assert (IPV4.proper(text), IPV6.proper(text)) == (four, six)


@given(st.integers(0, 2**128 - 1).map(IPv6Address))
def test_however_it_is_written(address: IPv6Address) -> None:
    if int(address) >> 48:  # others may embed an address of IPv4
        assert IPV6.proper(address.exploded.upper()) == IPV6.proper(str(address)) != ""
        assert IPv6Address(IPV6.proper(address.exploded)) == address


def test_each_once_and_in_order() -> None:
    texts = ("fd00::2", "10.0.0.1", "no", "FD00::2", "fd00::1")
    assert IPV6.those(texts) == ("fd00::2", "fd00::1")
    assert proper(texts) == ("fd00::2", "10.0.0.1", "fd00::1")


def test_networks() -> None:
    assert str(IPV6.network(" fd00::5/64")) == "fd00::/64"
    assert IPV6.network("10.0.0.0/8") is None
    assert IPV4.network("fd00::/64") is None
    assert within("fd00::5", "fd00::/64")
    assert not within("fd00:1::5", "fd00::/64")
    assert not within("10.0.0.1", "::/0")
    assert not within("fd00::1", "0.0.0.0/0")
    assert (first_of("10.244.1.0/24"), first_of("fd00:1::/64")) == ("10.244.1.1", "fd00:1::1")


def test_families_and_words() -> None:
    assert (family_of("10.0.0.0/8"), family_of("::1")) == (IPV4, IPV6)
    assert (joined("10.0.0.1", 80), joined("fd00::1", 80)) == ("10.0.0.1:80", "[fd00::1]:80")
