"""What a node's process does about the network: services, addresses for the outside, paths to other nodes, names."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from pathlib import Path

from navarch.agent.act import Isolate
from navarch.agent.bandwidth import asked_for
from navarch.app import bandwidth, machine
from navarch.app.keeping import Kept
from navarch.app.layout import Layout, Settings
from navarch.base.clock import SystemClock, SystemIds
from navarch.base.errors import Retryable
from navarch.client.informer import Informers
from navarch.dns.run import PORT as DNS_PORT
from navarch.dns.run import Dns
from navarch.dns.server import bound
from navarch.dns.upstream import HostResolvers
from navarch.kinds.object import Object
from navarch.net.netlink import NetlinkKernel
from navarch.net.paths import Home
from navarch.net.plan import TUNNEL
from navarch.net.run import NodePaths
from navarch.proxy import rules
from navarch.proxy.addresses import Family, family_of
from navarch.proxy.announce.run import Announcer
from navarch.proxy.health import PAGE_PORT
from navarch.proxy.nft import NftDataplane
from navarch.proxy.run import Proxy

DNS_SERVICE = "kube-system/kube-dns"


def proxy_nodes(layout: Layout, settings: Settings) -> tuple[rules.Node, ...]:
    """What the rules must know of this node, once for each address family that pods have; its own DNS server answers
    for the cluster's DNS service."""
    network = machine.pod_network(layout, settings)

    def of(family: Family, texts: Iterable[str]) -> str:
        return next((each.strip() for each in texts if each and family_of(each) is family), "")

    return tuple(
        rules.Node(
            name=settings.node_name,
            addresses=family.those((settings.node_ip, settings.other_ip)),
            pod_cidr=pod_cidr,
            cluster_cidr=of(family, settings.cluster_cidr.split(",")),
            service_cidr=of(family, settings.service_cidr.split(",")),
            own={DNS_SERVICE: rules.Target(network.door(pod_cidr), DNS_PORT)},
            bridge_filtered=network.bridge_filtered,
            bridge=network.bridge,
            hides_pods=network.bridge != "",
        )
        for pod_cidr in network.pod_cidr.split(",")
        for family in (family_of(pod_cidr),)
    )


def planes(table: str, nodes: Sequence[rules.Node]) -> list[tuple[NftDataplane, rules.Node]]:
    """The kernel, with a table for each family."""
    return [(NftDataplane(table, node.family, alone=len(nodes) == 1), node) for node in nodes]


def before_the_first_packet(layout: Layout, settings: Settings, proxy: Proxy) -> Isolate:
    """What must be true of a pod's network before its first container starts."""
    network = machine.pod_network(layout, settings)

    async def see_to(pod: Object, addresses: Sequence[str]) -> None:
        await proxy.isolate(pod, addresses)
        if network.bridge and asked_for(pod.view.metadata.annotations) and not pod.view.spec.host_network:
            if not network.limits:
                raise Retryable("the pod's bandwidth cannot be limited: the CNI plugin `bandwidth` is not installed")
            await asyncio.to_thread(bandwidth.fit, network, addresses)

    return see_to


def network_organs(
    layout: Layout, settings: Settings, informers: Informers, clock: SystemClock, ids: SystemIds, kept: Kept
) -> tuple[Proxy, Dns, Announcer, *tuple[NodePaths, ...]]:
    """The paths to other nodes are those of our own network of pods; other plugins have their own."""
    network = machine.pod_network(layout, settings)
    nodes = proxy_nodes(layout, settings)
    listen = [(target.address, target.port) for node in nodes for target in node.own.values()]
    kept.only(listen)
    home = Home(settings.node_name, ",".join(settings.node_ips), network.pod_cidr, settings.cluster_cidr)
    upstreams = HostResolvers(Path("/etc/resolv.conf"), clock, without=(settings.dns_ip,))
    proxy = Proxy(informers, planes(settings.table, nodes), clock, page_port=PAGE_PORT)
    return (
        proxy,
        Dns(informers, listen, upstreams, clock, ids, domain=settings.cluster_domain, make=kept.bound(bound)),
        Announcer(informers, settings.node_name, clock, proxy.set_balanced),
        *((NodePaths(informers, NetlinkKernel(TUNNEL), home, clock),) if network.bridge else ()),
    )
