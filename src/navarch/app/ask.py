"""Short questions to the API server, over its machine's Unix socket or over TLS, with the standard library alone.

For the commands that look at the cluster from beside it (`up`, `status`, `down`): they start fast and work before any
kubeconfig exists. The socket is open to root only.
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from navarch.base.errors import Unavailable


@dataclass(frozen=True, slots=True)
class Remote:
    """A server elsewhere. url: `https://host:port`."""

    url: str
    context: ssl.SSLContext

    def __str__(self) -> str:
        return self.url


Door = Path | Remote


class _SocketConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def _connection(door: Door, timeout_s: float) -> http.client.HTTPConnection:
    if isinstance(door, Path):
        return _SocketConnection(door, timeout_s)
    parts = urlsplit(door.url)
    return http.client.HTTPSConnection(parts.hostname or "", parts.port, timeout=timeout_s, context=door.context)


def ask(
    door: Door,
    target: str,
    *,
    method: str = "GET",
    body: Mapping[str, Any] | None = None,
    content_type: str = "application/json",
    timeout_s: float = 5.0,
) -> tuple[int, Any]:
    """The status and the document (or text) that the server answers with.

    Raises:
        Unavailable: nobody answers there.
    """
    connection = _connection(door, timeout_s)
    try:
        headers = {"Accept": "application/json", "Content-Type": content_type}
        connection.request(method, target, json.dumps(body) if body is not None else None, headers)
        answer = connection.getresponse()
        text = answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise Unavailable(f"the server does not answer on {door}: {error}") from error
    finally:
        connection.close()
    if answer.headers.get_content_type() == "application/json":
        return answer.status, json.loads(text)
    return answer.status, text.decode()


def server_is_ready(path: Path) -> str:
    """ "" when the API server is ready, else what is missing."""
    try:
        status, said = ask(path, "/readyz", timeout_s=1.0)
    except Unavailable as error:
        return error.message if path.exists() else "it has not opened its socket yet"
    if status == 200:
        return ""
    failing = [line for line in str(said).splitlines() if line.startswith("[-]")]
    return f"not ready: {', '.join(line[3:] for line in failing) or said}"


def node_is_ready(door: Door, name: str) -> str:
    """ "" when the node is Ready, else what is missing."""
    try:
        status, node = ask(door, f"/api/v1/nodes/{name}")
    except Unavailable as error:
        return error.message
    if status != 200:
        return f"node {name} has not registered yet"
    for condition in node.get("status", {}).get("conditions", []):
        if condition["type"] == "Ready":
            return "" if condition["status"] == "True" else f"node {name} is not ready: {condition.get('message', '')}"
    return f"node {name} has not said how it is yet"


def list_nodes(door: Door) -> list[dict[str, Any]]:
    """Every node with its name, whether it is ready, and its addresses by type; [] when the server is away."""
    try:
        status, found = ask(door, "/api/v1/nodes")
    except Unavailable:
        return []
    if status != 200:
        return []
    nodes = []
    for item in found["items"]:
        state = item.get("status", {})
        ready = any(c["type"] == "Ready" and c["status"] == "True" for c in state.get("conditions", []))
        addresses = {address["type"]: address["address"] for address in reversed(state.get("addresses", []))}
        nodes.append({"name": item["metadata"]["name"], "ready": ready, "addresses": addresses})
    return nodes
