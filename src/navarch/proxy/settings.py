"""How a cluster has its services served, and by whom policies are kept: settings in the ConfigMap of all nodes.

Two are called what kube-proxy's options are. What is written wrongly is passed over with a word, since a node without
services would be worse.

Source: https://kubernetes.io/docs/reference/config-api/kube-proxy-config.v1alpha1/
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network
from typing import NamedTuple

import msgspec

from navarch.kinds.object import Object
from navarch.objects.value import dig
from navarch.proxy.addresses import family_of
from navarch.proxy.rules import Node

CONFIG_NAMESPACE, CONFIG = "kube-system", "navarch-config"
MASQUERADE_ALL, NODE_PORT_ADDRESSES = "masqueradeAll", "nodePortAddresses"
NETWORK_POLICIES = "networkPolicies"
PRIMARY = "primary"
"""The node's own address."""


class ProxySettings(NamedTuple):
    """As in `Node`, but that networks are of both families."""

    masquerade_all: bool = False
    node_port_networks: tuple[str, ...] = ()
    network_policies: bool = True
    """Whether they are kept here; else somebody else does, or nobody."""

    def on(self, node: Node) -> Node:
        networks = tuple(each for each in self.node_port_networks if family_of(each) is node.family)
        return msgspec.structs.replace(node, masquerade_all=self.masquerade_all, node_port_networks=networks)


DEFAULTS = ProxySettings()


def settings_of(config: Object | None) -> tuple[ProxySettings, list[str]]:
    """And what is wrong with them. None: the cluster says nothing."""
    return settings_in(dig(config.document(), "data", default={}) if config is not None else {})


def settings_in(data: Mapping[str, str]) -> tuple[ProxySettings, list[str]]:
    complaints: list[str] = []
    networks = _networks(data.get(NODE_PORT_ADDRESSES, ""), complaints)
    masquerade_all = _truth(data, MASQUERADE_ALL, DEFAULTS.masquerade_all, complaints)
    policies = _truth(data, NETWORK_POLICIES, DEFAULTS.network_policies, complaints)
    return ProxySettings(masquerade_all, networks, policies), complaints


def _truth(data: Mapping[str, str], name: str, otherwise: bool, complaints: list[str]) -> bool:
    said = data.get(name, "").strip()
    if said not in ("", "true", "false"):
        complaints.append(f'{name} is {said!r}: write "true" or "false"')
    return {"true": True, "false": False}.get(said, otherwise)


def _networks(text: str, complaints: list[str]) -> tuple[str, ...]:
    """Of either family, which counts where the node has addresses of it."""
    said = [each.strip() for each in text.split(",") if each.strip()]
    if said in ([], [PRIMARY]):
        return ()
    try:
        found = [ip_network(each, strict=False) for each in said]
    except ValueError as error:
        complaints.append(f'{NODE_PORT_ADDRESSES} is {text!r}: {error}; write "{PRIMARY}", or networks with commas')
        return ()
    four = collapse_addresses(one for one in found if isinstance(one, IPv4Network))
    six = collapse_addresses(one for one in found if isinstance(one, IPv6Network))
    return tuple(str(each) for each in (*four, *six))
