"""Ranges that a person gives: what is taken, what is refused and why, and what follows from them."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.app import cidr, identity, machine, nodenetwork, ranges
from navarch.app.layout import Layout, Settings, load_settings, save_settings
from navarch.app.provision import NotProvisioned

NONE = Settings("", "")
BOTH = {"cluster_cidr": "10.244.0.0/16,fd00:10:244::/56", "service_cidr": "10.96.0.0/16,fd00:10:96::/112"}
SIX = {"cluster_cidr": "fd00:10:244::/56", "service_cidr": "fd00:10:96::/112"}


def test_what_nobody_asked_for_stays_as_it_is() -> None:
    assert ranges.settled({}, NONE) == {}
    assert (NONE.cluster_cidr, NONE.service_cidr, NONE.dns_ip) == ("10.244.0.0/16", "10.96.0.0/16", "10.96.0.10")
    assert NONE.every_address == ("0.0.0.0",)


@pytest.mark.parametrize(
    ("asked", "dns"),
    [
        (BOTH, "10.96.0.10"),
        (SIX, "fd00:10:96::a"),
        ({"service_cidr": "10.100.0.0/20"}, "10.100.0.10"),
        ({"cluster_cidr": "10.0.0.0/8", "service_cidr": " 10.96.0.0/16"}, ""),
        ({"cluster_cidr": "fd00::/48, 10.1.0.0/16", "service_cidr": "fd01::/108,10.2.0.0/16"}, "fd01::a"),
    ],
)
def test_the_address_of_dns_follows(asked: dict[str, str], dns: str) -> None:
    if not dns:
        with pytest.raises(NotProvisioned, match=r"10\.0\.0\.0/8 and --service-cidr 10\.96\.0\.0/16 share addresses"):
            ranges.settled(asked, NONE)
        return
    found = ranges.settled(asked, NONE)
    assert found["dns_ip"] == dns
    assert " " not in found["cluster_cidr"]
    made = NONE.having(**found)
    assert made.every_address == (("0.0.0.0", "::") if ":" in made.service_cidr else ("0.0.0.0",))
    assert ip_address(ranges.first(made, ranges.API_HOST)) == ip_network(made.service_cidr.split(",")[0])[1]


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({"cluster_cidr": "10.244.0.0/16,fd00::/56"}, "is of IPv4 and IPv6, --service-cidr of IPv4: give both"),
        ({**BOTH, "service_cidr": "fd00:10:96::/112,10.96.0.0/16"}, "in the same order"),
        ({"cluster_cidr": "10.244.0.0/25"}, "has no room for a node's own range, which is a /24"),
        ({**SIX, "cluster_cidr": "fd00::/65"}, "which is a /64"),
        ({"service_cidr": "10.96.0.0/29"}, "must be between /8 and /28"),
        ({**SIX, "service_cidr": "fd00:10:96::/48"}, "must be between /64 and /124"),
        ({"cluster_cidr": "10.244.1.2/16"}, r"is an address inside of a range: did you mean 10\.244\.0\.0/16\?"),
        ({"cluster_cidr": "pods"}, "'pods' is no range of addresses"),
        ({"cluster_cidr": "10.1.0.0/16,10.2.0.0/16"}, "has two ranges of IPv4"),
        ({"cluster_cidr": "10.1.0.0/16,fd00::/56,10.2.0.0/16"}, "has 3 ranges"),
        ({"cluster_cidr": "224.0.0.0/8"}, r"224\.0\.0\.0/8 cannot be routed"),
        ({**SIX, "cluster_cidr": "fe80::/56"}, "fe80::/56 cannot be routed"),
        ({**SIX, "service_cidr": "fd00:10:244::/112"}, "share addresses"),
    ],
)
def test_what_cannot_be_is_refused_with_the_reason(asked: dict[str, str], why: str) -> None:
    with pytest.raises(NotProvisioned, match=why):
        ranges.settled(asked, NONE)


def test_a_family_that_the_kernel_lacks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ranges.check_kernel({"cluster_cidr": "10.0.0.0/16"})
    monkeypatch.setattr(ranges, "INTERFACES", tmp_path / "absent")
    with pytest.raises(NotProvisioned, match="--pod-cidr fd00::/56: the kernel of this machine has no IPv6"):
        ranges.check_kernel({"cluster_cidr": "fd00::/56"})


@pytest.mark.parametrize(
    ("services", "given", "found", "expected"),
    [
        ("10.96.0.0/16", "", {4: "192.0.2.7", 6: "fd00::7"}, {"node_ip": "192.0.2.7"}),
        (
            "10.96.0.0/16,fd00::/112",
            "",
            {4: "192.0.2.7", 6: "fd00::7"},
            {"node_ip": "192.0.2.7", "other_ip": "fd00::7"},
        ),
        ("10.96.0.0/16,fd00::/112", "", {4: "192.0.2.7", 6: ""}, {"node_ip": "192.0.2.7"}),
        ("fd00::/112", "", {4: "192.0.2.7", 6: "fd00::7"}, {"node_ip": "fd00::7"}),
        (
            "fd00::/112,10.96.0.0/16",
            "192.0.2.9",
            {4: "192.0.2.7", 6: "fd00::7"},
            {"node_ip": "fd00::7", "other_ip": "192.0.2.9"},
        ),
        (
            "10.96.0.0/16,fd00::/112",
            "fd00::9,192.0.2.9",
            {4: "", 6: ""},
            {"node_ip": "192.0.2.9", "other_ip": "fd00::9"},
        ),
    ],
)
def test_a_node_has_an_address_of_each_family(
    services: str, given: str, found: dict[int, str], expected: dict[str, str]
) -> None:
    assert ranges.node_addresses(services, given, lambda version: found[version]) == expected


@pytest.mark.parametrize(
    ("services", "given", "why"),
    [
        ("10.96.0.0/16", "fd00::7", "is of IPv6, which the cluster does not have"),
        ("fd00::/112", "", "no network interface has an IPv6 address"),
        ("fd00::/112,10.96.0.0/16", "192.0.2.7", "no network interface has an IPv6 address"),
    ],
)
def test_a_node_without_an_address_of_the_first_family_is_refused(services: str, given: str, why: str) -> None:
    with pytest.raises(NotProvisioned, match=why):
        ranges.node_addresses(services, given, lambda version: "")


@pytest.mark.parametrize("text", ["192.0.2.7,192.0.2.8", "fd00::1,192.0.2.7,fd00::2", "host", "192.0.2.7,"])
def test_addresses_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"give one address|does not appear to be"):
        ranges.own_addresses(text)


def test_the_first_machine_takes_the_first_range_of_each_family(tmp_path: Path) -> None:
    settings = Settings("a", "192.0.2.7", **ranges.settled(BOTH, NONE))
    assert cidr.known(Layout(tmp_path, tmp_path), settings) == "10.244.0.0/24,fd00:10:244::/64"
    assert cidr.first(NONE) == "10.244.0.0/24"


def test_the_api_server_shows_all_of_its_addresses() -> None:
    settings = Settings("a", "192.0.2.7", other_ip="fd00::7", **ranges.settled(BOTH, NONE))
    assert {"192.0.2.7", "fd00::7", "10.96.0.1"} <= set(identity.server_hosts(settings))
    assert Settings("a", "fd00::7").public_url == "https://[fd00::7]:6443"


def test_up_again_with_other_ranges_is_refused_and_with_the_same_is_not(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "data", tmp_path / "run")
    wanted = {"node_ip": "192.0.2.7,fd00::7", "node_name": "a", **BOTH}
    made = machine.choose_settings(layout, wanted, {})
    assert (made.node_ips, made.dns_ip) == (("192.0.2.7", "fd00::7"), "10.96.0.10")
    save_settings(layout, made)
    assert load_settings(layout) == made
    for said in ({}, wanted, {"cluster_cidr": "10.244.0.0/16, fd00:10:244:0::/56"}, {"node_ip": "192.0.2.7"}):
        assert machine.choose_settings(layout, said, {}) == made
    with pytest.raises(NotProvisioned) as refused:
        machine.choose_settings(layout, {"cluster_cidr": "10.244.0.0/16", "node_ip": "192.0.2.8"}, {})
    assert f"--pod-cidr is {BOTH['cluster_cidr']}, not 10.244.0.0/16" in str(refused.value)
    assert "--node-ip is 192.0.2.7,fd00::7, not 192.0.2.8" in str(refused.value)


def test_a_server_keeps_the_ranges_it_was_started_with(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "data", tmp_path / "run")
    machine.keep_server_settings(layout, {"node_ip": "fd00::7", "node_name": "a", **SIX})
    found = load_settings(layout)
    assert found is not None
    assert (found.node_ips, found.service_cidr, found.dns_ip) == (("fd00::7",), SIX["service_cidr"], "fd00:10:96::a")
    machine.keep_server_settings(layout, {"api_port": 7000})
    again = load_settings(layout)
    assert again == found.having(api_port=7000)


FOUR = st.tuples(st.integers(0, 255), st.integers(8, 24)).map(
    lambda at: str(ip_network(f"10.{at[0]}.0.0/{at[1]}", strict=False))
)
OTHER = st.tuples(st.integers(0, 0xFFFF), st.integers(48, 64)).map(
    lambda at: str(ip_network(f"fd00:{at[0]:x}::/{at[1]}", strict=False))
)


@given(st.one_of(FOUR, OTHER, st.tuples(FOUR, OTHER).map(",".join), st.tuples(OTHER, FOUR).map(",".join)))
def test_what_is_read_says_the_same(text: str) -> None:
    found = ranges.read(text)
    assert ",".join(map(str, found)) == text
    assert ranges.networks(text) == found
    assert ranges.same(text, text)


def test_a_node_s_rules_are_made_for_each_family(tmp_path: Path) -> None:
    settings = Settings("a", "192.0.2.7", other_ip="fd00::7", **ranges.settled(BOTH, NONE))
    four, other = nodenetwork.proxy_nodes(Layout(tmp_path, tmp_path), settings)
    assert (four.addresses, four.pod_cidr, four.cluster_cidr) == (("192.0.2.7",), "10.244.0.0/24", "10.244.0.0/16")
    assert (other.addresses, other.pod_cidr) == (("fd00::7",), "fd00:10:244::/64")
    assert (other.cluster_cidr, other.service_cidr) == ("fd00:10:244::/56", "fd00:10:96::/112")
    assert [found.address for node in (four, other) for found in node.own.values()] == ["10.244.0.1", "fd00:10:244::1"]
    [only] = nodenetwork.proxy_nodes(Layout(tmp_path, tmp_path), NONE.having(node_ip="192.0.2.7"))
    assert only == only.__class__(**{**{name: getattr(four, name) for name in only.__struct_fields__}, "name": ""})
