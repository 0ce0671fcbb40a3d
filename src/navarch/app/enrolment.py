"""A node's certificates, asked for by request: the key is made here and never leaves the machine.

The first one is asked for with the token that the machine joins with, the next ones by the node itself, and so is the
one that its agent's port shows. It runs as a process of its own, `python -m navarch.app.enrolment DATA RUN`, beside an
agent which shows what it finds: what makes keys takes memory, and is wanted once a year.

Source: https://kubernetes.io/docs/reference/access-authn-authz/kubelet-tls-bootstrapping/
"""

from __future__ import annotations

import base64
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from navarch.app import identity
from navarch.app.layout import Layout, Settings
from navarch.app.process import run_process
from navarch.base.certificate import read_pem
from navarch.base.clock import Clock, Ids, SystemClock
from navarch.base.errors import NotFound, Retryable
from navarch.base.log import Log
from navarch.base.pki import Authority, Pair, matches, new_key, new_request, write_private
from navarch.client.client import Client
from navarch.client.http import HttpClient
from navarch.client.target import Target
from navarch.kinds import CERTIFICATESIGNINGREQUEST
from navarch.kinds.object import Object
from navarch.objects.value import Document, dig

MODULE = "navarch.app.enrolment"
NODES = "system:nodes"
ANSWER_S = 60.0
LOOK_S = 0.1
SHARE = 0.7
"""Of a certificate's life after which the next one may be asked for."""

NOW = datetime.min.replace(tzinfo=UTC)
"""What is not there should have been asked for long ago."""

_log = Log("enrolment")


@dataclass(frozen=True, slots=True)
class Wanted:
    """file: what the pair is called in the folder of keys. hosts: that it is for; () for a client."""

    file: str
    signer: str
    usages: tuple[str, ...]
    hosts: tuple[str, ...] = ()


def wanted(settings: Settings) -> tuple[Wanted, Wanted]:
    """As a client of the API server, and to be shown at the agent's port."""
    signer = "kubernetes.io/kube-apiserver-client-kubelet"
    client = Wanted(identity.NODE, signer, ("client auth", "digital signature"))
    hosts = (settings.node_name, *settings.node_ips)
    serving = ("digital signature", "server auth")
    return client, Wanted(identity.AGENT, "kubernetes.io/kubelet-serving", serving, hosts)


def user_name(settings: Settings) -> str:
    return f"system:node:{settings.node_name}"


def due_at(layout: Layout, settings: Settings, one: Wanted, share: float) -> datetime:
    """When another certificate is to be asked for. share: of its life that it may have behind it."""
    try:
        read = read_pem(identity.pair(layout, one.file).certificate)
    except (FileNotFoundError, Retryable, ValueError):
        return NOW
    if read.common_name != user_name(settings) or not read.hosts.issuperset(one.hosts):
        return NOW
    return read.not_before + (read.not_after - read.not_before) * share


async def enrol(
    client: Client, layout: Layout, settings: Settings, one: Wanted, clock: Clock, wait_s: float = ANSWER_S
) -> Pair:
    """Ask for a certificate and keep it, with its key.

    Raises:
        Retryable: it was not given in time, or is not of our key; the message says what became of the request.
        ApiError: the server does not take the request.
    """
    key = new_key()
    document = new_document(settings, one, new_request(key, user_name(settings), (NODES,), one.hosts))
    asked = await client.create(CERTIFICATESIGNINGREQUEST, document)
    certificate = await _answer(client, asked.name, clock, wait_s)
    made = Pair(certificate, key)
    if not matches(made):
        raise Retryable(f"the certificate of request {asked.name} is not of the key that it was asked for with")
    keep(layout, one.file, made)
    return made


def new_document(settings: Settings, one: Wanted, request: bytes) -> Document:
    return {
        "apiVersion": CERTIFICATESIGNINGREQUEST.api_version,
        "kind": CERTIFICATESIGNINGREQUEST.name,
        "metadata": {"generateName": "node-csr-"},
        "spec": {
            "request": base64.b64encode(request).decode(),
            "signerName": one.signer,
            "usages": list(one.usages),
        },
    }


async def _answer(client: Client, name: str, clock: Clock, wait_s: float) -> bytes:
    deadline = clock.monotonic() + wait_s
    while clock.monotonic() < deadline:
        try:
            found = await client.get(CERTIFICATESIGNINGREQUEST, "", name)
        except NotFound as error:
            raise Retryable(f"the certificate request {name} was removed") from error
        if text := dig(found.document(), "status", "certificate", default=""):
            return base64.b64decode(text)
        if why := refusal(found):
            raise Retryable(f"the certificate request {name} was refused: {why}")
        await clock.sleep(LOOK_S)
    raise Retryable(
        f"the certificate request {name} was not signed within {wait_s:.0f} s; "
        f"`kubectl describe csr {name}` shows it, `kubectl certificate approve {name}` approves it"
    )


def refusal(found: Object) -> str:
    """Why no certificate will come; "" while one may."""
    for one in dig(found.document(), "status", "conditions", default=()):
        if one.get("type") in ("Denied", "Failed") and one.get("status") == "True":
            return str(one.get("message") or one["type"])
    return ""


def keep(layout: Layout, name: str, made: Pair) -> None:
    """The key first: who reads in between finds a pair that does not match, and reads again."""
    write_private(layout.pki / f"{name}.key", made.key)
    write_private(layout.pki / f"{name}.crt", made.certificate, 0o644)


def keep_for_now(layout: Layout, clock: Clock, ids: Ids) -> None:
    """Something to open the agent's port with, until the node can ask for its own: nobody believes it."""
    made = Authority.create("navarch-not-signed-yet", clock, ids).server("not-signed-yet", ["localhost"])
    keep(layout, identity.AGENT, made)


async def renew(layout: Layout, settings: Settings, clock: Clock, share: float) -> Sequence[str]:
    """Ask for what is due; returns the names of what was made. Raises: Retryable, ApiError."""
    made = []
    for one in wanted(settings):
        if clock.now() >= due_at(layout, settings, one, share):
            who = identity.load_node(layout)
            async with HttpClient(node_target(settings, who), "navarch-agent") as client:
                await enrol(client, layout, settings, one, clock)
            made.append(one.file)
    return made


def node_target(settings: Settings, who: identity.NodeIdentity) -> Target:
    """The API server, asked as the node."""
    return Target(settings.api_url, who.ca, who.node.certificate, who.node.key)


async def _serve(layout: Layout, settings: Settings) -> None:
    """What is due by the share of who called, or missing."""
    for name in await renew(layout, settings, SystemClock(), SHARE):
        _log.info("certificate renewed", name=name)


if __name__ == "__main__":
    sys.exit(run_process(sys.argv[1:], _serve))
