"""Names and resolvers inside pods."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from navarch.agent.config import AgentConfig, Paths
from navarch.agent.network import dns_settings, hostname, hosts_file, port_mappings, read_resolv_conf
from navarch.agent.runtime import DnsSettings, PortMapping
from tests.unit.agent.pods import pod

CONFIG = AgentConfig("n1", ("192.0.2.7",), Paths(Path("/a"), Path("/l")), cluster_dns=("10.96.0.10",))
NODE = DnsSettings(("9.9.9.9",), ("corp.test",), ("timeout:1",))
CLUSTER = ("default.svc.cluster.local", "svc.cluster.local", "cluster.local", "corp.test")


def settings(**spec: Any) -> DnsSettings:
    return dns_settings(pod(**spec), CONFIG, NODE)


def test_the_policy_decides_whom_a_pod_asks() -> None:
    assert settings() == DnsSettings(("10.96.0.10",), CLUSTER, ("ndots:5",))
    assert settings(hostNetwork=True) == NODE
    assert settings(hostNetwork=True, dnsPolicy="ClusterFirstWithHostNet").servers == ("10.96.0.10",)
    assert settings(dnsPolicy="Default") == NODE
    assert settings(dnsPolicy="None", dnsConfig={"nameservers": ["1.1.1.1"]}) == DnsSettings(("1.1.1.1",))


def test_the_pods_own_settings_are_added() -> None:
    own = {"searches": ["x.test", "corp.test"], "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}]}
    found = settings(dnsConfig=own)
    assert found.searches == (*CLUSTER, "x.test")
    assert found.options == ("ndots:2", "edns0")


def test_a_nodes_resolv_conf_is_read(tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    path.write_text("# x\nnameserver 1.1.1.1 # one\nnameserver ::1\nsearch a.test b.test.\noptions ndots:1\njunk\n")
    assert read_resolv_conf(path) == DnsSettings(("1.1.1.1", "::1"), ("a.test", "b.test"), ("ndots:1",))
    assert read_resolv_conf(tmp_path / "absent") == DnsSettings()


def test_hostnames() -> None:
    assert hostname(pod(), "n1", "cluster.local") == "web"
    assert hostname(pod(hostname="box"), "n1", "cluster.local") == "box"
    assert hostname(pod(hostNetwork=True), "n1", "cluster.local") == "n1"
    assert hostname(pod(meta={"name": "a" * 62 + "-b"}), "n1", "x") == "a" * 62
    full = pod(hostname="box", subdomain="sub", setHostnameAsFQDN=True)
    assert hostname(full, "n1", "cluster.local") == "box.sub.default.svc.cluster.local"


def test_hosts_files() -> None:
    alias = [{"ip": "10.1.1.1", "hostnames": ["a", "b"]}]
    text = hosts_file(pod(hostAliases=alias), ["10.0.0.9"], "web", "web.sub.default.svc.cluster.local")
    assert "10.0.0.9\tweb.sub.default.svc.cluster.local\tweb\n" in text
    assert text.endswith("10.1.1.1\ta\tb\n")
    assert hosts_file(pod(hostNetwork=True), ["1.2.3.4"], "n1", "", "127.0.0.1 localhost\n") == "127.0.0.1 localhost\n"


def test_ports_of_main_containers_and_sidecars_are_published() -> None:
    main = {"name": "main", "image": "a", "ports": [{"containerPort": 80, "hostPort": 8080, "hostIP": "127.0.0.1"}]}
    side = {"name": "s", "image": "a", "restartPolicy": "Always", "ports": [{"containerPort": 53, "protocol": "UDP"}]}
    init = {"name": "i", "image": "a", "ports": [{"containerPort": 1}]}
    found = pod(main, initContainers=[side, init])
    assert port_mappings(found) == (PortMapping(80, 8080, "TCP", "127.0.0.1"), PortMapping(53, 0, "UDP"))
    assert port_mappings(pod(main, hostNetwork=True)) == ()
