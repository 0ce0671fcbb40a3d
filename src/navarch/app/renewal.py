"""The cluster's certificates as a person sees them: when each ends; and all of them made anew under what runs."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import yaml

from navarch.app import enrolment, identity, kubeconfig, supervisor
from navarch.app.layout import Layout, Settings, load_settings
from navarch.app.provision import NotProvisioned
from navarch.app.teardown import read_remembered
from navarch.base.certificate import read_pem
from navarch.base.clock import SystemClock

SHOWN_WITHIN_S = 20.0

PURPOSES = {
    "ca": "the cluster's authority",
    "apiserver": "the API server, to clients",
    "apiserver-agent-client": "the API server, to agents",
    "agent": "the agent, to the API server that asks it",
    "agent-client": "the agent, as a client of the API server",
    "admin": "the administrator, in kubeconfig",
    "front-proxy-ca": "the authority for aggregated API servers",
}


@dataclass(frozen=True, slots=True)
class Listed:
    """purpose: who shows it to whom, "" for one that is not known."""

    name: str
    subject: str
    purpose: str
    ends_at: datetime


def cluster(layout: Layout) -> Settings:
    """Raises: NotProvisioned."""
    settings = load_settings(layout)
    if settings is None:
        raise NotProvisioned("there is no cluster on this machine; `navarch up` makes one")
    return settings


def certificates(layout: Layout) -> Sequence[Listed]:
    """By their names. Raises: NotProvisioned."""
    cluster(layout)
    found = []
    for path in sorted(layout.pki.glob("*.crt")):
        read = read_pem(path.read_bytes())
        purpose = PURPOSES.get(path.stem, "the API server, to aggregated ones" if "front" in path.stem else "")
        found.append(Listed(path.stem, read.common_name, purpose, read.not_after))
    return found


def renew(layout: Layout) -> None:
    """Make every certificate anew but the authorities', and have the processes show them; nothing is restarted.
    The person's kubeconfig gets the administrator's, too.

    Raises: NotProvisioned, when there is no cluster, or a process goes on showing the old one.
    """
    settings = cluster(layout)
    if settings.server:
        return renew_joined(layout, settings)
    made = identity.renew_all(layout, settings, SystemClock())
    if written := read_remembered(layout).get("kubeconfig"):
        kubeconfig.refresh(Path(written["path"]), yaml.safe_load(layout.admin_kubeconfig.read_text()))
    state = supervisor.read_state(layout.supervisor_state)
    shown = {
        "server": (settings.api_port, made.server.certificate),
        "agent": (settings.agent_port, made.agent.certificate),
    }
    running = [name for name in shown if supervisor.alive(_pid(state, name), state.get(name, {}).get("birth", 0))]
    for name in running:
        os.kill(_pid(state, name), signal.SIGHUP)
    for name in running:
        _wait_until_shown(name, *shown[name])


def renew_joined(layout: Layout, settings: Settings) -> None:
    """Those of a machine that has joined: asked for, as when they near their end."""
    asyncio.run(enrolment.renew(layout, settings, SystemClock(), share=0.0))
    entry = supervisor.read_state(layout.supervisor_state).get("agent", {})
    if supervisor.alive(entry.get("pid", 0), entry.get("birth", 0)):
        os.kill(entry["pid"], signal.SIGHUP)
        _wait_until_shown("agent", settings.agent_port, identity.load_node(layout).agent.certificate)


def _pid(state: dict[str, dict[str, int]], name: str) -> int:
    return state.get(name, {}).get("pid", 0)


def _wait_until_shown(name: str, port: int, certificate: bytes) -> None:
    wanted = ssl.PEM_cert_to_DER_cert(certificate.decode())
    deadline = time.monotonic() + SHOWN_WITHIN_S
    while _shown_at(port) != wanted:
        if time.monotonic() > deadline:
            raise NotProvisioned(f"the {name} goes on showing its old certificate at port {port}: see its log")
        time.sleep(0.05)


def _shown_at(port: int) -> bytes:
    """The certificate of whoever listens there, DER; b"" when nobody does."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=5) as plain,
            context.wrap_socket(plain) as connection,
        ):
            return connection.getpeercert(binary_form=True) or b""
    except OSError:
        return b""
