"""Who is who in a one-machine cluster: the CA, the certificates of server and agent, the kubeconfigs made of them.

Made before the processes start, and looked at again whenever a server starts and twice a day, so that what nears its
end is renewed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Generic, TypeVar

import yaml

from navarch.apiserver.aggregation.identity import CLIENT
from navarch.app import ranges
from navarch.app.kubeconfig import build
from navarch.app.layout import Layout, Settings, write_atomically
from navarch.base.clock import Clock, SystemIds
from navarch.base.errors import Retryable
from navarch.base.log import Log
from navarch.base.pki import LEAF_LIFE, RENEW_BEFORE, Pair, Pki, matches
from navarch.base.signing import Signer

ADMIN = ("kubernetes-admin", ("system:masters",))
"""Common name and organizations of the person who runs `navarch up`."""
DIALER = ("navarch-apiserver-agent-client", ("system:masters",))
"""Of the API server where it asks an agent."""

FRONT_PROXY = CLIENT
"""Of the API server where it hands a user's request on to an aggregated one."""

AGENT = "agent"
NODE = "agent-client"


LOOK_S = 12 * 3600.0
"""How often running processes look whether their certificates near their end."""
AGAIN_S = 1.0
"""When they look again at certificates that they found half written."""

Shown = TypeVar("Shown")

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


def prepare(layout: Layout, settings: Settings, clock: Clock, *, renew_before: timedelta = RENEW_BEFORE) -> Identity:
    """Load everything, making what is missing or about to end; write the kubeconfigs that changed."""
    pki = Pki(layout.pki, clock, SystemIds(), renew_before=renew_before)
    name = settings.node_name
    front_proxy_ca, front_proxy = pki.front_proxy(FRONT_PROXY)
    found = Identity(
        ca=pki.authority.pair.certificate,
        server=pki.server("apiserver", "kube-apiserver", server_hosts(settings)),
        dialer=pki.client("apiserver-agent-client", *DIALER),
        agent=pki.server(AGENT, f"system:node:{name}", [name, "localhost", "127.0.0.1", *settings.node_ips]),
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
        return NodeIdentity(ca, pair(layout, AGENT), pair(layout, NODE))
    except FileNotFoundError as error:
        raise Retryable(f"the node's identity is incomplete, `navarch up` makes it: {error}") from error


def pair(layout: Layout, name: str) -> Pair:
    """Of the folder of keys. Raises: Retryable, when it is just being replaced; FileNotFoundError."""
    found = Pair((layout.pki / f"{name}.crt").read_bytes(), (layout.pki / f"{name}.key").read_bytes())
    if not matches(found):
        raise Retryable(f"certificate and key of {name} in {layout.pki} do not belong together")
    return found


class Renewal(Generic[Shown]):
    """Keeps what a process shows to others from ending: looks twice a day, and when it is hurried.

    look: what it is to show. use: called with that when it is another than before; connections that are open keep what
    they began with, so that no stream and no request is broken.
    """

    def __init__(self, shown: Shown, look: Callable[[], Shown], use: Callable[[Shown], None]) -> None:
        self._shown = shown
        self._look = look
        self._use = use
        self._hurry = asyncio.Event()

    def hurry(self) -> None:
        """Look now: somebody has made new ones."""
        self._hurry.set()

    async def run(self, every_s: float = LOOK_S, again_s: float = AGAIN_S) -> None:
        """Until cancelled."""
        pause_s = every_s
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._hurry.wait()
            self._hurry.clear()
            try:
                self._turn()
                pause_s = every_s
            except Retryable as error:
                _log.warning("certificates not renewed, will be tried again", error=error)
                pause_s = again_s

    def _turn(self) -> None:
        found = self._look()
        if found != self._shown:
            self._use(found)
            self._shown = found
            _log.info("certificates renewed")


def renew_all(layout: Layout, settings: Settings, clock: Clock) -> Identity:
    """Make every certificate anew, whenever it ends; the authority and the key of service accounts stay."""
    return prepare(layout, settings, clock, renew_before=LEAF_LIFE * 2)


def server_hosts(settings: Settings) -> list[str]:
    """Every name and address that a client may reach the API server by."""
    names = ["localhost", settings.node_name, "kubernetes", "kubernetes.default", "kubernetes.default.svc"]
    return [
        *names,
        f"kubernetes.default.svc.{settings.cluster_domain}",
        "127.0.0.1",
        *settings.node_ips,
        ranges.first(settings, ranges.API_HOST),
        *settings.api_names,
    ]


def _write_kubeconfig(path: Path, settings: Settings, ca: bytes, pair: Pair) -> None:
    document = build(settings.context, settings.api_url, ca, pair.certificate, pair.key)
    text = yaml.safe_dump(document, sort_keys=False)
    if not path.exists() or path.read_text() != text:
        write_atomically(path, text)
