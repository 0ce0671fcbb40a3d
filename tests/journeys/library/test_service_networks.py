"""The network of Services: there from the beginning, extended, and protected while an address of it is held."""

from __future__ import annotations

import navarch


def test_a_network_goes_when_its_last_address_does() -> None:
    with navarch.Cluster(nodes=0) as cluster:
        cluster.wait("servicecidr/kubernetes", "Ready")
        kind = {"apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR"}
        cluster.apply({**kind, "metadata": {"name": "more"}, "spec": {"cidrs": ["10.97.0.0/24"]}})
        cluster.wait("servicecidr/more", "Ready")
        spec = {"clusterIP": "10.97.0.9", "ports": [{"port": 80}], "selector": {"a": "b"}}
        cluster.apply({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "far"}, "spec": spec})
        cluster.wait("ipaddress/10.97.0.9")
        cluster.client.delete("servicecidrs", "", "more")
        cluster.wait("servicecidr/more", "Ready=False")
        cluster.client.delete("services", "default", "far")
        cluster.wait("servicecidr/more", "gone")
        cluster.wait("ipaddress/10.97.0.9", "gone")
