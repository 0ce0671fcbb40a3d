"""What a cluster says of how its services are served, and what it says wrongly."""

from __future__ import annotations

from ipaddress import IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.proxy.rules import Node
from navarch.proxy.settings import DEFAULTS, ProxySettings, settings_in, settings_of


def test_who_says_nothing_has_what_kube_proxy_does() -> None:
    assert settings_of(None) == (DEFAULTS, [])
    for said in ({}, {"masqueradeAll": "false"}, {"nodePortAddresses": "primary"}, {"nodePortAddresses": " "}):
        assert settings_in(said) == (ProxySettings(False, ()), [])


def test_what_is_said() -> None:
    assert settings_in({"networkPolicies": "false"}) == (ProxySettings(network_policies=False), [])
    data = {"masqueradeAll": "true", "nodePortAddresses": "192.0.2.0/24, 10.1.2.3/8,fd00::/64"}
    assert settings_in(data) == (ProxySettings(True, ("10.0.0.0/8", "192.0.2.0/24", "fd00::/64")), [])


def test_each_family_has_its_own_networks() -> None:
    four = Node(name="n1", addresses=("192.0.2.10",), pod_cidr="10.244.0.0/24", cluster_cidr="10.244.0.0/16")
    six = Node(name="n1", addresses=("2001:db8::10",), pod_cidr="fd00::/64", cluster_cidr="fd00::/56")
    said, _ = settings_in({"nodePortAddresses": "192.0.2.0/24,2001:db8::/32,2001:db8:1::/48", "masqueradeAll": "true"})
    assert said.on(four).node_port_networks == ("192.0.2.0/24",)
    assert said.on(six).node_port_networks == ("2001:db8::/32",)
    assert said.on(six).masquerade_all
    only_six, _ = settings_in({"nodePortAddresses": "fd00::/64"})
    assert only_six.on(four) == four, "the node's own address, as when nothing is said"


@pytest.mark.parametrize(
    ("data", "word"),
    [
        ({"masqueradeAll": "yes"}, "masqueradeAll is 'yes'"),
        ({"networkPolicies": "no"}, "networkPolicies is 'no'"),
        ({"nodePortAddresses": "all"}, "'all' does not appear to be"),
        ({"nodePortAddresses": "primary,10.0.0.0/8"}, "'primary' does not appear"),
        ({"nodePortAddresses": "10.0.0.0/33"}, 'write "primary"'),
    ],
)
def test_what_means_nothing_is_told_and_passed_over(data: dict[str, str], word: str) -> None:
    found, (complaint,) = settings_in(data)
    assert found == DEFAULTS
    assert word in complaint


@given(st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 32)), min_size=1, max_size=6))
def test_networks_never_overlap_and_lose_no_address(made: list[tuple[int, int]]) -> None:
    said = [IPv4Network(each, strict=False) for each in made]
    found, _ = settings_in({"nodePortAddresses": ",".join(map(str, said))})
    networks = [IPv4Network(each) for each in found.node_port_networks]
    assert all(any(one.subnet_of(each) for each in networks) for one in said)
    assert not any(one.overlaps(other) for one in networks for other in networks if one is not other)
