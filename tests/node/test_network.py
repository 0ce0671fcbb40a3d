"""The pods' network in the kernel: made by the real CNI plugins in a network namespace, and removed whole."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from navarch.app import bandwidth, cni, cnisweep, link
from navarch.app.cni import PodNetwork
from navarch.base.errors import Retryable
from navarch.net import neighbours
from navarch.testing.netns import NetworkNamespace

pytestmark = pytest.mark.node

PLUGINS = Path("/usr/lib/cni")


@pytest.fixture
def node() -> Iterator[NetworkNamespace]:
    with NetworkNamespace("node") as found:
        yield found


@pytest.fixture
def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PodNetwork:
    monkeypatch.setattr(cni, "RESULTS", tmp_path / "libcni" / "results")
    return PodNetwork(
        "10.244.0.0/24", config=tmp_path / "net.d", state=tmp_path / "state", bridge="nvtest0", table="navarch-test-cni"
    )


def plug(node: NetworkNamespace, network: PodNetwork, pod: NetworkNamespace, command: str) -> dict[str, object]:
    """What a container runtime does with the configuration."""
    document = json.loads((network.config / "10-navarch.conflist").read_text())
    plugin = {"cniVersion": document["cniVersion"], "name": document["name"], **document["plugins"][0]}
    return run_plugin(node, "bridge", pod, command, plugin)


def run_plugin(
    node: NetworkNamespace, name: str, pod: NetworkNamespace, command: str, plugin: dict[str, object]
) -> dict[str, object]:
    environment = {
        "CNI_COMMAND": command,
        "CNI_CONTAINERID": pod.name,
        "CNI_NETNS": pod.path,
        "CNI_IFNAME": "eth0",
        "CNI_PATH": str(PLUGINS),
        "PATH": os.environ["PATH"],
    }
    done = node.call(
        subprocess.run,
        [str(PLUGINS / name)],
        input=json.dumps(plugin),
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout) if done.stdout else {}


def reaches(pod: NetworkNamespace, address: str) -> bool:
    """Nobody listens on the port; a host that is there says so."""
    with pod.socket(family=socket.AF_INET6 if ":" in address else socket.AF_INET) as client:
        client.settimeout(1)
        try:
            client.connect((address, 9))
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
    return True


def limit(node: NetworkNamespace, network: PodNetwork, pod: NetworkNamespace, command: str, result: object) -> None:
    """As containerd has it done for a pod of 16M either way."""
    document = json.loads((network.config / "10-navarch.conflist").read_text())
    plugin = document["plugins"][1]
    assert plugin.pop("capabilities") == {"bandwidth": True}
    most = 2**32 - 1
    wanted = {"ingressRate": 16_000_000, "ingressBurst": most, "egressRate": 16_000_000, "egressBurst": most}
    plugin |= {"cniVersion": document["cniVersion"], "name": document["name"], "prevResult": result}
    plugin["runtimeConfig"] = {"bandwidth": wanted}
    told = run_plugin(node, "bandwidth", pod, command, plugin)
    if command == "ADD":
        cni.RESULTS.mkdir(parents=True, exist_ok=True)
        (cni.RESULTS / f"navarch-{pod.name}-eth0").write_text(json.dumps({"result": told}))


def carried(source: NetworkNamespace, target: NetworkNamespace, address: str, wait_s: float = 1.5) -> int:
    """Bytes that come from one to the other in that time."""
    with target.socket() as listening, source.socket() as sending:
        listening.bind((address, 0))
        listening.listen()
        sending.connect(listening.getsockname())
        receiving, _ = listening.accept()
        ended = threading.Event()
        feeding = threading.Thread(target=feed, args=(sending, ended))
        feeding.start()
        receiving.settimeout(0.1)
        count, until = 0, time.monotonic() + wait_s
        while time.monotonic() < until:
            with contextlib.suppress(TimeoutError):
                count += len(receiving.recv(1 << 16))
        ended.set()
        receiving.close()
        feeding.join()
        return count


def feed(sending: socket.socket, ended: threading.Event) -> None:
    sending.settimeout(0.1)
    while not ended.is_set():
        with contextlib.suppress(OSError):
            sending.send(bytes(1 << 16))


def test_a_bandwidth_holds_either_way_from_the_first_megabyte_on(
    node: NetworkNamespace, network: PodNetwork, tmp_path: Path
) -> None:
    network = replace(network, limits=True)
    node.call(network.ensure)
    with NetworkNamespace("one") as one:
        result = plug(node, network, one, "ADD")
        limit(node, network, one, "ADD", result)
        made = bandwidth.interface("navarch", "one")
        assert made in node.call(link.names)
        node.call(bandwidth.fit, network, ["10.244.0.2"])
        buckets = [line for line in node.run("tc", "qdisc", "show").stdout.splitlines() if " tbf " in line]
        assert len(buckets) == 2
        assert all("rate 16Mbit burst 200000b" in line for line in buckets), buckets
        for source, target, address in ((one, node, network.gateway), (node, one, "10.244.0.2")):
            # 3 MB, what the bucket and the queue hold, and twice as much for a machine that stands still.
            assert 100_000 < carried(source, target, address) < 10_000_000
        sweep = cnisweep.Networks(network, results=cni.RESULTS, namespaces=tmp_path / "netns")
        assert node.call(lambda: list(sweep.unowned({"one"}))) == []
        node.ip("neighbour add 10.244.0.77 lladdr 0a:58:0a:f4:00:4d dev nvtest0 nud stale")
        (gone,) = node.call(lambda: list(sweep.unowned({"one"})))
        assert gone.name == "10.244.0.77", "nobody has this address"
        node.call(sweep.take, gone)
        assert node.call(lambda: list(sweep.unowned({"one"}))) == []
        left = {path.name: path for path in node.call(lambda: list(sweep.unowned(set())))}
        assert left.keys() == {"10.244.0.2", "navarch-one-eth0"}
        plug(node, network, one, "DEL")
        (cni.RESULTS / "navarch-one-eth0").unlink()
        left = {path.name: path for path in node.call(lambda: list(sweep.unowned(set())))}
        assert left.keys() - {"10.244.0.2"} == {made}, "the kernel may still know who had the address"
        assert node.call(sweep.take, left[made])
        assert made not in node.call(link.names)


def settings(node: NetworkNamespace) -> tuple[str, str]:
    found = node.run("cat", "/proc/sys/net/ipv4/ip_forward", f"/proc/sys/{cni.BRIDGE_FILTER}").stdout.split()
    return found[0], found[1]


def test_pods_get_addresses_and_reach_each_other_and_the_node(node: NetworkNamespace, network: PodNetwork) -> None:
    node.call(network.ensure)
    node.call(network.ensure)
    with NetworkNamespace("one") as one, NetworkNamespace("two") as two:
        addresses = []
        for pod in (one, two):
            result = plug(node, network, pod, "ADD")
            addresses.append(str(result["ips"][0]["address"]).split("/")[0])  # type: ignore[index]
        assert addresses == ["10.244.0.2", "10.244.0.3"]
        assert reaches(one, addresses[1])
        assert reaches(two, addresses[0])
        assert reaches(one, network.gateway)
        assert not reaches(one, "10.244.0.77")
        assert len(node.call(link.ports, "nvtest0")) == 2
        assert "0a:58:0a:f4:00:01" in node.run("ip", "link", "show", "nvtest0").stdout, "it outlives its ports"
        plug(node, network, one, "DEL")
        assert len(node.call(link.ports, "nvtest0")) == 1
        node.call(network.remove)
        assert node.call(link.ports, "nvtest0") == []
        assert "nvtest0" not in node.run("ip", "link").stdout
        assert "veth" not in node.run("ip", "link").stdout


def test_settings_are_put_back_as_they_were(node: NetworkNamespace, network: PodNetwork) -> None:
    node.sysctl([("net/ipv4/ip_forward", "0"), (cni.BRIDGE_FILTER, "0")])
    node.call(network.ensure)
    assert settings(node) == ("1", "1")
    assert node.call(lambda: network.bridge_filtered)
    node.call(network.ensure)
    node.call(network.remove)
    assert settings(node) == ("0", "0")


def test_removal_leaves_nothing_of_ours_and_everything_of_others(node: NetworkNamespace, network: PodNetwork) -> None:
    node.call(network.ensure)
    cni.RESULTS.mkdir(parents=True)
    for name in ("navarch-abc-eth0", "cni-loopback-abc-lo", "other-abc-eth0", "cni-loopback-other-lo"):
        (cni.RESULTS / name).write_text("{}")
    (network.config / "20-other.conflist").write_text("{}")
    node.run("nft", "add", "table", "ip", network.table)
    node.call(network.remove)
    assert sorted(each.name for each in cni.RESULTS.iterdir()) == ["cni-loopback-other-lo", "other-abc-eth0"]
    assert [each.name for each in network.config.iterdir()] == ["20-other.conflist"]
    assert not network.state.exists()
    assert node.run("nft", "list", "tables").stdout == ""
    node.call(network.remove)


def test_pods_take_the_mtu_of_the_way_out(node: NetworkNamespace, network: PodNetwork) -> None:
    node.ip("link add out0 type veth peer name out1", "link set out0 mtu 1400 up", "addr add 192.0.2.1/24 dev out0")
    node.ip("route add default via 192.0.2.2")
    node.call(network.ensure)
    document = json.loads((network.config / "10-navarch.conflist").read_text())
    assert document["plugins"][0]["mtu"] == 1350, "which leaves room for a tunnel"


def test_pods_are_let_through_a_firewall_that_forwards_nothing(node: NetworkNamespace, network: PodNetwork) -> None:
    node.run("iptables", "-P", "FORWARD", "DROP")
    node.run("iptables", "-A", "FORWARD", "-s", "198.51.100.0/24", "-j", "ACCEPT")
    before = node.run("iptables", "-S", "FORWARD").stdout
    node.call(network.ensure)
    node.call(network.ensure)
    with NetworkNamespace("one") as one, NetworkNamespace("two") as two:
        plug(node, network, one, "ADD")
        plug(node, network, two, "ADD")
        assert reaches(one, "10.244.0.3")
    assert node.run("iptables", "-S", "FORWARD").stdout.count("10.244.0.0/24") == 2
    node.call(network.remove)
    assert node.run("iptables", "-S", "FORWARD").stdout == before


def test_a_firewall_that_bars_nothing_is_left_alone(node: NetworkNamespace, network: PodNetwork) -> None:
    node.call(network.ensure)
    assert node.run("iptables", "-S", "FORWARD").stdout == "-P FORWARD ACCEPT\n"


BOTH = "10.244.0.0/24,fd00:10:244::/64"


def of_both(network: PodNetwork, pod_cidr: str = BOTH, node_ip: str = "") -> PodNetwork:
    return replace(network, pod_cidr=pod_cidr, node_ip=node_ip)


@pytest.mark.parametrize("pod_cidr", [BOTH, "fd00:10:244::/64"])
def test_pods_of_ipv6_reach_each_other_at_once(node: NetworkNamespace, network: PodNetwork, pod_cidr: str) -> None:
    network = of_both(network, pod_cidr)
    node.call(network.ensure)
    node.call(network.ensure)
    families = [f"IPv{found.version}" for found in network.networks]
    with NetworkNamespace("one") as one, NetworkNamespace("two") as two:
        shown = [plug(node, network, pod, "ADD")["ips"] for pod in (one, two)]
        addresses = [[found["address"].split("/")[0] for found in ips] for ips in shown]  # type: ignore[attr-defined]
        assert [address[-1] for address in addresses] == ["fd00:10:244::2", "fd00:10:244::3"]
        assert len(addresses[0]) == len(families)
        for there in (addresses[1][-1], network.gateways[-1]):
            assert reaches(one, there), there
        assert not reaches(one, "fd00:10:244::77")
        assert "tentative" not in node.run("ip", "-6", "addr", "show", "nvtest0", "scope", "global").stdout
        assert "default via fd00:10:244::1" in one.run("ip", "-6", "route").stdout
        known = node.call(neighbours.on, "nvtest0")
        assert ip_address(addresses[0][-1]) in known
        assert node.call(neighbours.forget, "nvtest0", addresses[0][-1])
        own = cnisweep.addresses_in(Path(one.path))
        assert {str(found) for found in own if not (found.is_loopback or found.is_link_local)} == set(addresses[0])
        plug(node, network, one, "DEL")
        given = {file.name for file in (network.state / "addresses" / network.name).iterdir()}
        assert given & {*addresses[0], *addresses[1]} == set(addresses[1])
    node.call(network.remove)
    assert "nvtest0" not in node.run("ip", "link").stdout


def test_addresses_that_pods_give_themselves_are_forgotten_with_the_pods(
    node: NetworkNamespace, network: PodNetwork, tmp_path: Path
) -> None:
    network = of_both(network, "fd00:10:244::/64")
    node.call(network.ensure)
    sweep = cnisweep.Networks(network, results=cni.RESULTS, namespaces=tmp_path / "netns")

    def forgotten(*pods: str) -> set[str]:
        found = node.call(lambda: list(sweep.unowned(set(pods))))
        return {path.name for path in found if path.name.startswith("fe80:")}

    with NetworkNamespace("one") as one, NetworkNamespace("two") as two:
        for number, pod in enumerate((one, two), 1):
            interfaces: Any = plug(node, network, pod, "ADD")["interfaces"]
            (hardware,) = (found["mac"] for found in interfaces if found.get("sandbox"))
            assert reaches(pod, network.gateway), "from now on the bridge knows where it is"
            node.ip(f"neighbour replace fe80::{number} lladdr {hardware} dev nvtest0 nud stale")
        assert forgotten("one", "two") == set()
        plug(node, network, two, "DEL")
        assert "fe80::2" in forgotten("one")
        assert "fe80::1" not in forgotten("one")
        node.call(sweep.take, cnisweep.NEIGHBOURS / "fe80::2")
        assert "fe80::2" not in forgotten("one")
    node.call(network.remove)


def test_a_machine_that_becomes_a_router_keeps_its_own(node: NetworkNamespace, network: PodNetwork) -> None:
    """Linux takes no routes from routers on a machine that forwards, unless it is told to."""
    node.ip("link add out0 type veth peer name out1", "link add out2 type veth peer name out3")
    keys = ("all/forwarding", "out0/accept_ra", "out2/accept_ra")

    def found() -> list[str]:
        return node.run("cat", *(f"/proc/sys/net/ipv6/conf/{key}" for key in keys)).stdout.split()

    node.sysctl([("net/ipv6/conf/out2/accept_ra", "0")])
    assert found() == ["0", "1", "0"]
    node.call(of_both(network).ensure)
    node.call(of_both(network).ensure)
    assert found() == ["1", "2", "0"]
    node.call(of_both(network).remove)
    assert found() == ["0", "1", "0"]


def test_a_network_of_ipv4_changes_nothing_of_ipv6(node: NetworkNamespace, network: PodNetwork) -> None:
    node.call(network.ensure)
    assert node.run("cat", "/proc/sys/net/ipv6/conf/all/forwarding").stdout == "0\n"
    document = json.loads((network.config / "10-navarch.conflist").read_text())
    assert "::" not in json.dumps(document)


def test_pods_of_ipv6_are_let_through_a_firewall_that_forwards_nothing(
    node: NetworkNamespace, network: PodNetwork
) -> None:
    network = of_both(network)
    node.run("ip6tables", "-P", "FORWARD", "DROP")
    node.call(network.ensure)
    with NetworkNamespace("one") as one, NetworkNamespace("two") as two:
        plug(node, network, one, "ADD")
        plug(node, network, two, "ADD")
        assert reaches(one, "fd00:10:244::3")
    assert node.run("ip6tables", "-S", "FORWARD").stdout.count("fd00:10:244::/64") == 2
    node.call(network.remove)
    assert node.run("ip6tables", "-S", "FORWARD").stdout == "-P FORWARD DROP\n"


def test_pods_of_a_node_of_ipv6_leave_room_for_a_longer_header(node: NetworkNamespace, network: PodNetwork) -> None:
    node.ip("link add out0 type veth peer name out1", "link set out0 mtu 1400 up", "addr add fd00::7/64 dev out0 nodad")
    node.call(of_both(network, "fd00:10:244::/64", "fd00::7").ensure)
    document = json.loads((network.config / "10-navarch.conflist").read_text())
    assert document["plugins"][0]["mtu"] == 1330


@pytest.mark.parametrize(("pod_cidr", "doors"), [("10.244.0.0/24", 1), (BOTH, 2)])
def test_where_others_make_the_network_there_is_only_what_services_need(
    node: NetworkNamespace, network: PodNetwork, pod_cidr: str, doors: int
) -> None:
    theirs = replace(network, bridge="", pod_cidr=pod_cidr)
    node.sysctl([("net/ipv4/ip_forward", "0")])

    def on_loopback() -> list[str]:
        shown = node.run("ip", "address", "show", "dev", "lo").stdout
        return [one for one in cni.OTHERWISE.values() if one in shown]

    for _ in range(2):
        node.call(theirs.ensure)
    assert settings(node)[0] == "1"
    assert on_loopback() == list(cni.OTHERWISE.values())[:doors]
    assert node.call(link.names) == ["lo"]
    assert not theirs.config.exists()
    for _ in range(2):
        node.call(theirs.remove)
    assert settings(node)[0] == "0"
    assert on_loopback() == []


def test_a_bad_bridge_name_is_refused(node: NetworkNamespace, tmp_path: Path) -> None:
    name = "a-name-that-is-too-long"
    network = PodNetwork("10.244.0.0/24", config=tmp_path / "c", state=tmp_path / "s", bridge=name)
    with pytest.raises(Retryable, match="cannot name an interface"):
        node.call(network.ensure)
