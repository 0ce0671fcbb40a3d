"""Addresses of simulated nodes and pods."""

from __future__ import annotations

import pytest

from navarch.testing.machine import LARGEST_NUMBER, PODS_A_NODE, Addresses, node_address, pod_range


def test_ranges_do_not_meet() -> None:
    assert [pod_range(number) for number in (0, 1, 127, 128, LARGEST_NUMBER)] == [
        "10.128.0.0/23",
        "10.128.2.0/23",
        "10.128.254.0/23",
        "10.129.0.0/23",
        "10.255.254.0/23",
    ]
    assert [node_address(number) for number in (0, 254, 255)] == ["172.16.0.1", "172.16.0.255", "172.16.1.0"]
    with pytest.raises(ValueError, match="up to 16383"):
        pod_range(LARGEST_NUMBER + 1)


def test_an_address_is_kept_as_long_as_its_pod_and_reused_late() -> None:
    addresses = Addresses(1)
    assert addresses.of("a") == addresses.of("a") == "10.128.2.2"
    assert addresses.of("b") == "10.128.2.3"
    addresses.release("a")
    assert addresses.of("c") == "10.128.2.4"
    assert addresses.of("old", "10.128.2.9") == "10.128.2.9"


def test_addresses_end() -> None:
    addresses = Addresses(0)
    given = {addresses.of(str(number)) for number in range(PODS_A_NODE - 3)}
    assert len(given) == PODS_A_NODE - 3
    with pytest.raises(ValueError, match="no more than"):
        addresses.of("one more")
