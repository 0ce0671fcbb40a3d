"""Which paths a node should have, and the steps that lead there."""

from __future__ import annotations

import asyncio
import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.net.fake import FakeKernel
from navarch.net.paths import MODES, Forward, Home, Link, Mode, Neighbour, Paths, Peer, Route, Seen, Tunnel
from navarch.net.plan import TUNNEL, hardware_of, plan, pod_mtu_bytes, steps, wanted

HOME = Home("n0", "192.0.2.1", "10.244.0.0/24", "10.244.0.0/16")
LINK = Link("eth0", "192.0.2.1/24", 1500)
NEAR = Peer("near", "192.0.2.2", ("10.244.1.0/24",))
FAR = Peer("far", "198.51.100.2", ("10.244.2.0/24",))


def test_who_shares_the_link_is_reached_over_it_and_others_by_the_tunnel() -> None:
    found = wanted(HOME, [NEAR, FAR], [LINK], "auto")
    assert found.routes == {Route("10.244.1.0/24", "192.0.2.2", "eth0"), Route("10.244.2.0/24", "10.244.2.0", TUNNEL)}
    assert found.neighbours == {Neighbour("10.244.2.0", "0a:59:c6:33:64:02")}
    assert found.forwards == {Forward("0a:59:c6:33:64:02", "198.51.100.2")}
    assert found.tunnel == Tunnel(TUNNEL, 78, 8472, "192.0.2.1", ("10.244.0.0",), "0a:59:c0:00:02:01", 1450)


def test_what_is_said_goes_before_what_is_found() -> None:
    assert {route.device for route in wanted(HOME, [NEAR, FAR], [LINK], "vxlan").routes} == {TUNNEL}
    direct = wanted(HOME, [NEAR, FAR], [LINK], "direct")
    assert {route.device for route in direct.routes} == {"eth0"}
    assert direct.tunnel is None


def test_both_ends_agree_on_what_the_tunnel_is() -> None:
    other = Home("far", FAR.address, FAR.networks[0], HOME.cluster)
    there = wanted(
        other, [Peer(HOME.name, HOME.address, (HOME.network,))], [Link("x", "198.51.100.2/24", 9000)], "auto"
    )
    here = wanted(HOME, [FAR], [LINK], "auto")
    assert here.tunnel is not None
    assert there.tunnel is not None
    assert {one.hardware for one in there.neighbours} == {here.tunnel.hardware}
    assert {one.hardware for one in here.neighbours} == {there.tunnel.hardware}
    assert {one.address for one in here.neighbours} == set(there.tunnel.addresses)
    assert (here.tunnel.number, here.tunnel.port) == (there.tunnel.number, there.tunnel.port)


@pytest.mark.parametrize(
    "network", ["0.0.0.0/0", "192.0.2.0/24", "10.244.0.0/25", "10.244.0.0/23", "nonsense", "10.245.0.0/24", "fd00::/64"]
)
def test_no_node_draws_to_itself_what_is_not_its_own(network: str) -> None:
    """Another's network, this node's, or one that is none of the cluster's pods."""
    assert wanted(HOME, [Peer("rogue", "192.0.2.9", (network,))], [LINK], "auto") == Paths()


def test_of_two_nodes_with_one_network_the_first_has_it() -> None:
    found = wanted(HOME, [Peer("b", "192.0.2.8", NEAR.networks), Peer("a", "192.0.2.9", NEAR.networks)], [LINK], "auto")
    assert found.routes == {Route("10.244.1.0/24", "192.0.2.9", "eth0")}


def test_a_node_without_its_address_has_no_paths() -> None:
    assert wanted(HOME, [NEAR, FAR], [Link("eth0", "203.0.113.1/24", 1500)], "auto") == Paths()


def test_both_families_live_side_by_side() -> None:
    home = Home("n0", "2001:db8::1", "fd00:0:0:1::/64", "10.244.0.0/16,fd00::/48")
    peer = Peer("n1", "2001:db8::2", ("fd00:0:0:2::/64",))
    found = wanted(home, [peer], [Link("eth0", "2001:db8::1/64", 1500)], "auto")
    assert found.routes == {Route("fd00:0:0:2::/64", "2001:db8::2", "eth0")}


def test_a_family_that_nodes_have_no_addresses_of_takes_the_tunnel_with_the_other() -> None:
    home = Home("n0", "192.0.2.1", "10.244.0.0/24,fd00:0:0:1::/64", "10.244.0.0/16,fd00::/48")
    peer = Peer("n1", "192.0.2.2", ("10.244.1.0/24", "fd00:0:0:2::/64"))
    found = wanted(home, [peer], [LINK], "auto")
    hardware, beyond = "0a:59:c0:00:02:02", "fe80::a59:c000:202"
    assert found.routes == {Route("10.244.1.0/24", "192.0.2.2", "eth0"), Route("fd00:0:0:2::/64", beyond, TUNNEL)}
    assert found.neighbours == {Neighbour(beyond, hardware)}
    assert found.tunnel is not None
    assert found.tunnel.addresses == ("10.244.0.0", "fd00::1:ffff:ffff:ffff:fffe")
    assert wanted(home, [peer], [LINK], "direct").tunnel is None
    other = Peer("n1", "2001:db8::2", peer.networks)
    assert wanted(home, [other], [LINK], "auto") == Paths(), "there is no way to it"


def test_a_tunnel_over_ipv6() -> None:
    home = Home("n0", "2001:db8::1", "fd00:0:0:1::/64", "fd00::/48")
    peers = [Peer(f"n{number}", f"2001:db8:{number}::2", (f"fd00:0:0:{number}::/64",)) for number in (2, 3)]
    found = wanted(home, peers, [Link("eth0", "2001:db8::1/64", 1500)], "auto")
    assert found.tunnel is not None
    assert (found.tunnel.source, found.tunnel.mtu_bytes) == ("2001:db8::1", 1430)
    assert {one.address for one in found.forwards} == {"2001:db8:2::2", "2001:db8:3::2"}
    assert len({one.hardware for one in found.forwards}) == 2, "though their addresses end alike"


@pytest.mark.parametrize(
    ("link", "mode", "pod"),
    [
        (1500, "auto", 1450),
        (1500, "vxlan", 1450),
        (1500, "direct", 1500),
        (9000, "auto", 8950),
        (0, "auto", 0),
        (500, "auto", 500),
    ],
)
def test_what_a_pod_may_send_at_once(link: int, mode: Mode, pod: int) -> None:
    assert pod_mtu_bytes(link, mode) == pod
    assert pod_mtu_bytes(link, mode, 6) == (pod if link == pod else pod - 20)


peers = st.lists(
    st.builds(
        lambda number, near, network: Peer(
            f"n{number}", f"192.0.2.{number}" if near else f"198.51.100.{number}", (f"10.244.{network}.0/24",)
        ),
        st.integers(2, 250),
        st.booleans(),
        st.integers(0, 40),
    ),
    max_size=12,
    unique_by=lambda peer: peer.name,
)
modes = st.sampled_from(MODES)
links = st.sampled_from(
    [(LINK,), (Link("eth1", "192.0.2.1/16", 9000),), (LINK, Link("eth1", "198.51.100.1/24", 1500)), ()]
)


def carried_out(kernel: FakeKernel, found: list[Peer], mode: Mode, home: Home = HOME) -> int:
    made = plan(home, found, Seen(kernel.links, kernel.paths), mode)
    for step in made:
        asyncio.run(kernel.apply(step))
    return len(made)


@given(st.lists(st.tuples(peers, modes, links), min_size=1, max_size=5))
def test_from_anything_the_steps_lead_to_what_is_wanted_and_then_there_are_none(
    history: list[tuple[list[Peer], Mode, tuple[Link, ...]]],
) -> None:
    kernel = FakeKernel()
    for found, mode, held in history:
        kernel.move(*held)
        carried_out(kernel, found, mode)
        assert kernel.paths == wanted(HOME, found, held, mode)
        assert carried_out(kernel, found, mode) == 0


@given(peers, modes)
def test_every_pod_of_a_peer_is_reached_at_its_peer(found: list[Peer], mode: Mode) -> None:
    kernel = FakeKernel(LINK)
    carried_out(kernel, found, mode)
    owners: dict[str, Peer] = {}
    for peer in sorted(found):
        owners.setdefault(peer.networks[0], peer)
    for network, peer in owners.items():
        if network != HOME.network:
            assert kernel.way(str(ipaddress.ip_network(network)[7]))[1] == peer.address
    assert kernel.way("10.244.0.9") == kernel.way("203.0.113.7") == ("", "")


@given(peers, peers, modes, modes)
def test_who_stays_is_reached_all_the_while(before: list[Peer], after: list[Peer], first: Mode, then: Mode) -> None:
    """No step takes the way to a peer that has one before and after, unless the tunnel itself is another."""
    kernel = FakeKernel(LINK)
    carried_out(kernel, before, first)
    old, new = kernel.paths, wanted(HOME, after, [LINK], then)
    address = {peer.networks[0]: peer.address for peer in sorted(before, reverse=True)}
    stays = [
        one
        for one in {route.network for route in old.routes} & {route.network for route in new.routes}
        if address.get(one) in {peer.address for peer in after if peer.networks[0] == one}
    ]
    later = {peer.networks[0]: peer.address for peer in sorted(after, reverse=True)}
    for step in steps(old, new):
        asyncio.run(kernel.apply(step))
        for network in stays:
            if address[network] == later[network]:
                assert kernel.way(str(ipaddress.ip_network(network)[7]))[1] == address[network], step


@given(st.lists(st.ip_addresses(v=4), unique=True, max_size=50))
def test_nodes_of_other_addresses_have_other_hardware_addresses(addresses: list[ipaddress.IPv4Address]) -> None:
    assert len({hardware_of(str(one)) for one in addresses}) == len(addresses)
    assert all(int(hardware_of(str(one))[:2], 16) & 3 == 2 for one in addresses), "administered here, of one station"
