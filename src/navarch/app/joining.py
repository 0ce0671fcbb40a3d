"""Joining: how a machine that knows an address and a token becomes a node, as steps; and how it stops being one.

Where the cluster is and by which authority it is known is read from whoever answers at the address, and believed only
because the token has signed it. From there on every connection is checked.

Source: https://kubernetes.io/docs/reference/setup-tools/kubeadm/kubeadm-join/
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import http.client
import json
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import yaml

from navarch.agent.machine import read_machine
from navarch.agent.node import new_node
from navarch.app import cidr, enrolment, identity, machine, provision, ranges, tokens, welcome
from navarch.app.layout import Layout, Settings, load_settings, save_settings
from navarch.app.machine import Say
from navarch.app.provision import NotProvisioned, node_name
from navarch.base import jws
from navarch.base.clock import SystemClock, SystemIds
from navarch.base.errors import AlreadyExists, ApiError, NotFound, Retryable, Unauthorized
from navarch.base.pki import write_private
from navarch.client.client import Client
from navarch.client.http import HttpClient
from navarch.client.target import Target
from navarch.kinds import CONFIGMAP, NODE, bootstraptoken
from navarch.kinds.object import Object
from navarch.net.run import CONFIG, CONFIG_NAMESPACE
from navarch.objects.value import dig

INFO_PATH = f"/api/v1/namespaces/{bootstraptoken.INFO_NAMESPACE}/configmaps/{bootstraptoken.INFO}"
SIGNED_S = 20.0
"""How long a token that was just made may need to have signed."""
RANGE_S = 30.0
DEFAULT_PORT = 6443


@dataclass(frozen=True, slots=True)
class Invitation:
    """What a person types. server: `https://host:port`. ca_hashes: of authorities to believe; () for any that the token
    signed for. name, address: of the node, "" to find them."""

    server: str
    token: str
    ca_hashes: tuple[str, ...] = ()
    name: str = ""
    address: str = ""


def server_url(text: str) -> str:
    """`https://host:port`, of that or of a host with or without a port. Raises: ValueError."""
    parts = urlsplit(text if "//" in text else f"https://{text}")
    if parts.scheme != "https" or not parts.hostname or parts.path.strip("/") or parts.query:
        raise ValueError(f"{text!r} is no server: one looks like https://192.0.2.7:6443")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"https://{host}:{parts.port or DEFAULT_PORT}"


def discover(asked: Invitation, say: Say) -> bytes:
    """The authority (PEM) by which the cluster is known. Raises: NotProvisioned."""
    deadline = time.monotonic() + SIGNED_S
    while True:
        data = cluster_info(asked.server)
        try:
            return authority(data, asked)
        except Unsigned as error:
            if time.monotonic() > deadline:
                raise NotProvisioned(str(error)) from error
            say("the token has not signed yet")
            time.sleep(0.2)


class Unsigned(Exception):
    """What was read is not signed by the token: not yet, or not at all."""


def authority(data: Mapping[str, str], asked: Invitation) -> bytes:
    """Of the ConfigMap `cluster-info`. Raises: Unsigned, NotProvisioned."""
    id_, secret = bootstraptoken.split(asked.token) or ("", "")
    text = data.get(bootstraptoken.INFO_KEY, "")
    if not jws.verify(data.get(bootstraptoken.SIGNATURE + id_, ""), text, id_, secret):
        raise Unsigned(
            f"{asked.server} does not show that it knows the token {id_}: the token has ended or was deleted, or "
            "this is another cluster; `navarch token create` on the server makes another"
        )
    try:
        clusters = yaml.safe_load(text)["clusters"]
        found = base64.b64decode(clusters[0]["cluster"]["certificate-authority-data"], validate=True)
        hash_ = tokens.key_hash(found)
    except (yaml.YAMLError, KeyError, IndexError, TypeError, ValueError, binascii.Error) as error:
        raise NotProvisioned(f"{asked.server} names no authority that can be read: {error}") from error
    if asked.ca_hashes and hash_ not in asked.ca_hashes:
        raise NotProvisioned(
            f"the authority of {asked.server} is {hash_}, not {' or '.join(asked.ca_hashes)}: this is another cluster"
        )
    return found


def cluster_info(server: str, timeout_s: float = 10.0) -> dict[str, str]:
    """What whoever answers there says of the cluster, not yet to be believed. Raises: NotProvisioned."""
    parts = urlsplit(server)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    connection = http.client.HTTPSConnection(parts.hostname or "", parts.port, timeout=timeout_s, context=context)
    try:
        connection.request("GET", INFO_PATH, headers={"Accept": "application/json"})
        answer = connection.getresponse()
        said = json.loads(answer.read(1 << 20))
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise NotProvisioned(f"no API server answers at {server}: {error}") from error
    finally:
        connection.close()
    if answer.status != 200:
        raise NotProvisioned(f"{server} does not say where the cluster is: {said.get('message', answer.status)}")
    return dict(said.get("data") or {})


def own_address(server: str) -> str:
    """The address of this machine that packets to the server have as their source. Raises: NotProvisioned."""
    parts = urlsplit(server)
    try:
        family, _, _, _, target = socket.getaddrinfo(parts.hostname, parts.port, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect(target)  # sends nothing: it only asks the kernel for a route
            found = str(probe.getsockname()[0])
    except OSError as error:
        raise NotProvisioned(
            f"there is no way from here to {server}: {error}; give an address with --node-ip"
        ) from error
    return found


def joined(layout: Layout, server: str) -> Settings | None:
    """The settings of this machine where it has joined that server already. Raises: NotProvisioned, where it is
    something else."""
    found = load_settings(layout)
    if found is None:
        return None
    if not found.server:
        raise NotProvisioned("this machine has a cluster of its own; `navarch down` removes it")
    if found.server != server:
        raise NotProvisioned(f"this machine has joined {found.server}; `navarch leave` makes it leave")
    return found if (layout.pki / f"{identity.NODE}.crt").exists() else None


def enter(layout: Layout, asked: Invitation, wanted: Mapping[str, Any], say: Say) -> Settings:
    """Become a node of the cluster: an identity, a Node object, a range of addresses for pods, settings that say so.

    wanted: more settings by name. Raises: NotProvisioned.
    """
    ca = discover(asked, say)
    name = asked.name or node_name()
    try:
        return asyncio.run(_enter(layout, asked, ca, Settings(name, "", server=asked.server, **wanted), say))
    except Unauthorized as error:
        raise NotProvisioned(
            f"the server does not take the token: it has ended, or is not for joining ({error})"
        ) from error
    except (ApiError, Retryable) as error:
        raise NotProvisioned(f"joining {asked.server} failed: {error}") from error


async def _enter(layout: Layout, asked: Invitation, ca: bytes, settings: Settings, say: Say) -> Settings:
    clock, ids = SystemClock(), SystemIds()
    async with HttpClient(Target(asked.server, ca, token=asked.token), "navarch-join") as newcomer:
        await _check_free(newcomer, settings.node_name)
        settings = with_cluster(settings, await newcomer.get(CONFIGMAP, CONFIG_NAMESPACE, CONFIG))
        settings = settings.having(**addresses(settings, asked))
        machine.keep_private(layout)
        write_private(layout.pki / "ca.crt", ca, 0o644)
        say("asking for a certificate")
        client, _ = enrolment.wanted(settings)
        made = await enrolment.enrol(newcomer, layout, settings, client, clock)
    enrolment.keep_for_now(layout, clock, ids)
    say("asking for addresses for pods")
    async with HttpClient(Target(asked.server, ca, made.certificate, made.key), "navarch-agent") as node:
        cidr.keep(layout, await _range(node, layout, settings))
    save_settings(layout, settings)
    return settings


def addresses(settings: Settings, asked: Invitation) -> dict[str, str]:
    """This machine's, of the families that the cluster has. Raises: NotProvisioned."""
    ranges.check_kernel({name: getattr(settings, name) for name in ranges.OPTIONS})
    near = "" if asked.address else own_address(asked.server)

    def find(version: int) -> str:
        return near if near and (":" in near) == (version == 6) else provision.node_address(version)

    return ranges.node_addresses(settings.service_cidr, asked.address, find)


async def _check_free(client: Client, name: str) -> None:
    """Raises: NotProvisioned: a living node is called that."""
    try:
        found = await client.get(NODE, "", name)
    except NotFound:
        return
    conditions = dig(found.document(), "status", "conditions", default=())
    if any(one.get("type") == "Ready" and one.get("status") == "True" for one in conditions):
        raise NotProvisioned(f"the cluster has a node {name}, which is Ready; choose another name with --node-name")


def with_cluster(settings: Settings, found: Object) -> Settings:
    """With what all nodes of the cluster have in common. Raises: NotProvisioned."""
    data = dig(found.document(), "data", default={})
    missing = [key for key in welcome.SETTINGS if key not in data]
    if missing:
        raise NotProvisioned(f"the ConfigMap {found.namespace}/{found.name} does not say {', '.join(missing)}")
    return settings.having(**{name: data[key] for key, name in welcome.SETTINGS.items()})


async def _range(client: Client, layout: Layout, settings: Settings) -> str:
    """Make the Node, and wait for the addresses that its pods are to have.

    Raises: NotProvisioned, ApiError, Retryable.
    """
    from navarch.app.node import agent_config

    clock = SystemClock()
    with contextlib.suppress(AlreadyExists):  # it was here before
        await client.create(NODE, new_node(agent_config(layout, settings), read_machine(layout.agent)))
    deadline = clock.monotonic() + RANGE_S
    while clock.monotonic() < deadline:
        found = cidr.given_to(await client.get(NODE, "", settings.node_name))
        if found:
            return found
        await clock.sleep(0.05)
    raise NotProvisioned(
        f"node {settings.node_name} was given no addresses for pods within {RANGE_S:.0f} s: "
        f"those of the cluster may be used up; `kubectl describe node {settings.node_name}` says more"
    )
