"""Who is who in a one-machine cluster: the CA, the certificates of server and agent, the kubeconfigs made of them.

Made before the processes start, and looked at again whenever a server starts and twice a day, so that what nears its
end is renewed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from pathlib import Path

import yaml

from navarch.apiserver.aggregation.identity import CLIENT
from navarch.app.kubeconfig import build
from navarch.app.layout import Layout, Settings, write_atomically
from navarch.base.clock import Clock, SystemIds
from navarch.base.errors import Retryable
from navarch.base.log import Log
from navarch.base.pki import Pair, Pki, server_context
from navarch.base.signing import Signer
from navarch.wire.http import Server

ADMIN = ("kubernetes-admin", ("system:masters",))
"""Common name and organizations of the person who runs `navarch up`."""
DIALER = ("navarch-apiserver-agent-client", ("system:masters",))
"""Of the API server where it asks an agent."""

FRONT_PROXY = CLIENT
"""Of the API server where it hands a user's request on to an aggregated one."""

AGENT = "agent"
NODE = "agent-client"


LOOK_S = 12 * 3600.0
"""How often running servers look whether their certificate nears its end."""

_log = Log("identity")


@dataclass(frozen=True, slots=True)
class Identity:
    """ca: PEM. server, agent: serving pairs. dialer: what the server shows to agents. node: what the agent shows.
    front_proxy_ca, front_proxy: what the server shows to aggregated API servers, and the CA of that alone.
    sign: with the key of `ca`, for others."""

    ca: bytes
    server: Pair
    dialer: Pair
    agent: Pair
    node: Pair
    front_proxy_ca: bytes
    front_proxy: Pair
    signing_key: bytes
    sign: Signer = field(compare=False)


@dataclass(frozen=True, slots=True)
class NodeIdentity:
    """What the node's process needs of it: no other's keys."""

    ca: bytes
    agent: Pair
    node: Pair


def prepare(layout: Layout, settings: Settings, clock: Clock) -> Identity:
    """Load everything, making what is missing or about to end; write the kubeconfigs that changed."""
    pki = Pki(layout.pki, clock, SystemIds())
    name = settings.node_name
    front_proxy_ca, front_proxy = pki.front_proxy(FRONT_PROXY)
    found = Identity(
        ca=pki.authority.pair.certificate,
        server=pki.server("apiserver", "kube-apiserver", server_hosts(settings)),
        dialer=pki.client("apiserver-agent-client", *DIALER),
        agent=pki.server(AGENT, f"system:node:{name}", [name, "localhost", "127.0.0.1", settings.node_ip]),
        node=pki.client(NODE, f"system:node:{name}", ["system:nodes"]),
        front_proxy_ca=front_proxy_ca,
        front_proxy=front_proxy,
        signing_key=pki.signing_key(),
        sign=Signer(pki.authority.pair, clock, SystemIds()),
    )
    admin = pki.client("admin", *ADMIN)
    _write_kubeconfig(layout.admin_kubeconfig, settings, found.ca, admin)
    return found


def load_node(layout: Layout) -> NodeIdentity:
    """What `prepare` has made, for the node's process: it reads files, and need not know how certificates are made.

    Raises:
        Retryable: something is missing.
    """
    try:
        ca = (layout.pki / "ca.crt").read_bytes()
        return NodeIdentity(ca, _pair(layout, AGENT), _pair(layout, NODE))
    except FileNotFoundError as error:
        raise Retryable(f"the node's identity is incomplete, `navarch up` makes it: {error}") from error


def _pair(layout: Layout, name: str) -> Pair:
    return Pair((layout.pki / f"{name}.crt").read_bytes(), (layout.pki / f"{name}.key").read_bytes())


async def renew(clock: Clock, server: Server, ca: bytes, shown: Pair, look: Callable[[], Pair]) -> None:
    """Until cancelled: keep the certificate that `server` shows from ending.

    ca: PEM. shown: what it shows now. look: what it is to show.
    """
    while True:
        await clock.sleep(LOOK_S)
        found = look()
        if found != shown:
            shown = found
            server.context = server_context(shown, ca)
            _log.info("certificate renewed")


def server_hosts(settings: Settings) -> list[str]:
    """Every name and address that a client may reach the API server by."""
    service_ip = str(IPv4Network(settings.service_cidr)[1])
    names = ["localhost", settings.node_name, "kubernetes", "kubernetes.default", "kubernetes.default.svc"]
    return [*names, f"kubernetes.default.svc.{settings.cluster_domain}", "127.0.0.1", settings.node_ip, service_ip]


def _write_kubeconfig(path: Path, settings: Settings, ca: bytes, pair: Pair) -> None:
    document = build(settings.context, settings.api_url, ca, pair.certificate, pair.key)
    text = yaml.safe_dump(document, sort_keys=False)
    if not path.exists() or path.read_text() != text:
        write_atomically(path, text)
