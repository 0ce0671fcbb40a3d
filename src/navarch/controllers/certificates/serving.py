"""Certificates that agents show to whoever asks them are approved where they name the node itself and nobody else.

Kubernetes leaves this to people. Here a node's request is approved by itself when every name in it is the node's and
every address stands in its Node, in no other Node, and leads to no API server: the authority that signs is the one by
which clients know the API server. A request whose node has not yet said its addresses waits for them.

Source: https://kubernetes.io/docs/reference/access-authn-authz/kubelet-tls-bootstrapping/#certificate-rotation
"""

from __future__ import annotations

import ipaddress
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from navarch.base.errors import NotFound
from navarch.base.signing import Request
from navarch.client.client import Client
from navarch.controllers.certificates.requests import (
    KUBELET_SERVING,
    NODE_PREFIX,
    NODES,
    asked,
    conditions_of,
    fault_of,
    has,
    issued,
    signer_of,
    usages_of,
)
from navarch.controllers.controller import Cache, Controller, Watch, own_key
from navarch.controllers.options import Setup
from navarch.controllers.plan import NOTHING, Patch, Plan
from navarch.kinds import CERTIFICATESIGNINGREQUEST, ENDPOINTS, NODE, SERVICE
from navarch.kinds.object import Object
from navarch.objects.value import dig

BY_USER = "requested-by"
ACCOUNT = "navarch-serving-approver"
MESSAGE = "Auto approving kubelet serving certificate: it names the node itself and nobody else."


@dataclass(frozen=True, slots=True)
class Observed:
    """names, addresses: the node's own; of addresses those that no other node has. servers: the API servers'."""

    request: Object
    asked: Request
    names: frozenset[str]
    addresses: frozenset[str]
    servers: frozenset[str] = frozenset()


def controller(setup: Setup) -> Controller[Observed]:
    return Controller(
        name="kubelet-serving-approver",
        watches=(
            Watch(CERTIFICATESIGNINGREQUEST, own_key, indexes={BY_USER: _requester}),
            Watch(NODE, _waiting, lambda old, new: addresses_of(old) != addresses_of(new)),
        ),
        observe=observe,
        confirm=confirm,
        plan=plan,
        account=ACCOUNT,
        workers=1,
    )


def _requester(found: Object) -> Iterable[str]:
    return (str(dig(found.document(), "spec", "username", default="")),)


def _waiting(cache: Cache, node: Object) -> Iterable[Hashable]:
    return [found.key for found in cache[CERTIFICATESIGNINGREQUEST].by(BY_USER, NODE_PREFIX + node.name)]


def observe(cache: Cache, key: tuple[str, str]) -> Observed | None:
    found = cache[CERTIFICATESIGNINGREQUEST].get(*key)
    if found is None or signer_of(found) != KUBELET_SERVING or issued(found) or has(found, "Approved", "Denied"):
        return None
    wanted = asked(found)
    if wanted is None or fault_of(KUBELET_SERVING, wanted, usages_of(found)):
        return None
    spec = found.document().get("spec") or {}
    if spec.get("username") != wanted.common_name or NODES not in (spec.get("groups") or ()):
        return None
    name = wanted.common_name.removeprefix(NODE_PREFIX)
    node = cache[NODE].get("", name)
    if node is None:
        return None
    others = {one for other in cache[NODE].list() if other.name != name for one in addresses_of(other)}
    own = addresses_of(node)
    ips = frozenset(one for one in own if _is_address(one) and one not in others)
    return Observed(found, wanted, frozenset({name, *(one for one in own if not _is_address(one))}), ips)


async def confirm(client: Client, observed: Observed) -> Observed:
    """Ask where API servers are."""
    servers: set[str] = set()
    try:
        endpoints = (await client.get(ENDPOINTS, "default", "kubernetes")).document()
        service = (await client.get(SERVICE, "default", "kubernetes")).document()
    except NotFound:
        return observed
    for subset in endpoints.get("subsets") or ():
        servers |= {one["ip"] for one in subset.get("addresses") or ()}
    servers |= set(dig(service, "spec", "clusterIPs", default=()))
    return replace(observed, servers=frozenset(servers))


def plan(observed: Observed, now: datetime) -> Plan:
    """Never raises."""
    wanted = observed.asked
    if not observed.names.issuperset(wanted.dns):
        return NOTHING
    if not (observed.addresses - observed.servers).issuperset(wanted.addresses) or any(
        map(_everybodys, wanted.addresses)
    ):
        return NOTHING
    approved = {"type": "Approved", "status": "True", "reason": "AutoApproved", "message": MESSAGE}
    conditions = [*conditions_of(observed.request), approved]
    return Plan((Patch(observed.request, {"status": {"conditions": conditions}}, subresource="approval"),))


def addresses_of(node: Object) -> tuple[str, ...]:
    """Names and addresses."""
    return tuple(one["address"] for one in dig(node.document(), "status", "addresses", default=()))


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _everybodys(address: str) -> bool:
    """Whether it means another machine to everybody who asks for it."""
    found = ipaddress.ip_address(address)
    return found.is_loopback or found.is_unspecified or found.is_multicast
