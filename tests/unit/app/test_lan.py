"""Nodes that one machine plays: what they are called, where they are, what they do not share."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from navarch.app import lan, machine, teardown
from navarch.app.layout import Layout, Settings, load_settings, save_settings

LAYOUT = Layout(Path("/d"), Path("/r"))
SETTINGS = Settings("alfa", "192.0.2.7", nodes=4)


def test_no_two_share_what_must_not_be_shared() -> None:
    hosts = lan.wanted(LAYOUT, SETTINGS)
    assert [one.name for one in hosts] == ["alfa-2", "alfa-3", "alfa-4"]
    for part in ("name", "address", "other", "cable", "space", "layout"):
        assert len({getattr(one, part) for one in hosts}) == 3, part
    network = IPv4Network(lan.NETWORK)
    assert all(IPv4Address(one.address) in network and one.address != str(network[1]) for one in hosts)
    assert all(len(one.cable) <= 15 for one in lan.wanted(LAYOUT, SETTINGS.having(nodes=lan.MOST)))
    assert lan.wanted(LAYOUT, SETTINGS.having(nodes=1)) == []


def test_they_are_told_what_is_their_own() -> None:
    [host] = lan.wanted(LAYOUT, SETTINGS.having(nodes=2))
    words = host.navarch("join", "https://192.0.2.7:6443", *lan.own_options(host, SETTINGS))
    assert words[1:5] == ["-m", "navarch", "join", "https://192.0.2.7:6443"]
    assert words[5:] == [
        *("--node-name", "alfa-2", "--node-ip", "10.250.0.2", "--own", "2"),
        *("--data-dir", "/d/nodes/2", "--run-dir", "/r/nodes/2"),
    ]
    assert host.inside == ("nsenter", "--net=/r/spaces/2")


def test_those_that_were_there_are_found_without_settings(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "data", tmp_path / "run")
    assert lan.present(layout, None) == []
    for number in (3, 2, 10):
        (layout.data / "nodes" / str(number)).mkdir(parents=True)
    (layout.data / "nodes" / "other").mkdir()
    assert [one.number for one in lan.present(layout, None)] == [2, 3, 10]
    titles = [step.title for step in teardown.steps(layout, None)]
    assert titles[0] == "Other nodes removed", "before the server that they may tell that they go"
    assert teardown.steps(Layout(tmp_path / "x", tmp_path / "y"), None)[0].title == "Agent and server stopped"


def test_nothing_runs_is_nothing_to_stop(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "data", tmp_path / "run")
    (layout.data / "nodes" / "2").mkdir(parents=True)
    said: list[str] = []
    lan.stop(lan.present(layout, None), said.append)
    assert said == []


def test_names_that_nodes_of_one_machine_share_go_by_their_settings(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "data", tmp_path / "run")
    joined = Settings("alfa-2", "10.250.0.2", server="https://192.0.2.7:6443", cgroup="navarch-2", network="2.navarch")
    save_settings(layout, joined)
    assert load_settings(layout) == joined
    network = machine.pod_network(layout, joined)
    assert network.name == "2.navarch"
    assert not "2.navarch-abc-eth0".startswith(f"{machine.pod_network(layout, SETTINGS).name}-"), "or it would be swept"


def test_the_way_out_leaves_pods_and_hosts_their_addresses() -> None:
    rules = lan.way_out("10.244.0.0/16")
    assert "ip saddr 10.250.0.0/24 ip daddr != { 10.250.0.0/24, 10.244.0.0/16 } masquerade" in rules
    assert "ip6" not in rules
    both = lan.way_out("10.244.0.0/16,fd00:10:244::/56")
    assert both.startswith(rules)
    assert "ip6 saddr fd00:10:250::/64 ip6 daddr != { fd00:10:250::/64, fd00:10:244::/56 } masquerade" in both


def test_hosts_have_the_families_that_the_cluster_has() -> None:
    [host] = lan.wanted(LAYOUT, SETTINGS.having(nodes=2))
    both = SETTINGS.having(cluster_cidr="fd00:10:244::/56,10.244.0.0/16")
    assert "fd00:10:250::2,10.250.0.2" in lan.own_options(host, both)
    assert "fd00:10:250::2" in lan.own_options(host, SETTINGS.having(cluster_cidr="fd00:10:244::/56"))
    assert [str(one) for one in lan.networks_of(both)] == [lan.NETWORK, lan.NETWORK_IPV6]
    assert [str(one) for one in lan.networks_of(SETTINGS)] == [lan.NETWORK]
