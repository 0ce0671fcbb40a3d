"""Where an API server is and as whom to speak to it: given outright, or read from a kubeconfig.

Source: https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/
"""

from __future__ import annotations

import base64
import binascii
import os
import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml


class BadTarget(ValueError):
    """The kubeconfig cannot be used; the message says which part and why."""


@dataclass(frozen=True, slots=True)
class Target:
    """server: `https://host:port`; with `socket`, the path of a Unix socket, it only names the host.

    authority, certificate, key: PEM; authority b"" for the system's own. insecure: do not verify the server.
    token_file is read again when it changes (tokens in pods are renewed). namespace: of names that a person gives
    without one.
    """

    server: str
    authority: bytes = b""
    certificate: bytes = b""
    key: bytes = b""
    token: str = ""
    token_file: str = ""
    socket: str = ""
    server_name: str = ""
    insecure: bool = False
    namespace: str = "default"

    def context(self) -> ssl.SSLContext | None:
        """For TLS; None where none is spoken. Raises: ssl.SSLError, for keys that do not fit."""
        if self.socket or not self.server.startswith("https:"):
            return None
        context = ssl.create_default_context(cadata=self.authority.decode() if self.authority else None)
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.certificate:
            _load_pair(context, self.certificate, self.key)
        return context


def _load_pair(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """OpenSSL reads key pairs from files only: from one that nobody else can open, for a moment."""
    descriptor, path = tempfile.mkstemp()
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(certificate.rstrip() + b"\n" + key)
        context.load_cert_chain(path)
    finally:
        os.unlink(path)


def unix(path: str) -> Target:
    """The server's own socket on this machine, which only root can open."""
    return Target("http://localhost", socket=path)


IN_POD = Path("/var/run/secrets/kubernetes.io/serviceaccount")


def in_pod(directory: Path = IN_POD) -> Target:
    """What a pod finds of its cluster. Raises: BadTarget."""
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT")
    if not host or not port or not (directory / "token").exists():
        raise BadTarget(f"not in a pod: KUBERNETES_SERVICE_HOST or {directory}/token is missing")
    shown = f"[{host}]" if ":" in host else host
    return Target(f"https://{shown}:{port}", (directory / "ca.crt").read_bytes(), token_file=str(directory / "token"))


def read_kubeconfig(path: str | Path, context: str = "") -> Target:
    """The target of a context, the current one when none is named. Raises: BadTarget, OSError."""
    file = Path(path)
    try:
        found = yaml.safe_load(file.read_text())
    except yaml.YAMLError as error:
        raise BadTarget(f"{file}: {error}") from error
    if not isinstance(found, dict):
        raise BadTarget(f"{file} is no kubeconfig")
    name = context or found.get("current-context") or ""
    chosen = _named(found, "contexts", "context", name, file)
    cluster = _named(found, "clusters", "cluster", chosen.get("cluster", ""), file)
    user = _named(found, "users", "user", chosen["user"], file) if chosen.get("user") else {}
    if user.get("exec") or user.get("auth-provider"):
        raise BadTarget(f"{file}: the user of context {name!r} asks a plugin for credentials, which is not supported")
    if not cluster.get("server"):
        raise BadTarget(f"{file}: the cluster of context {name!r} names no server")
    return Target(
        str(cluster["server"]).rstrip("/"),
        _pem(cluster, "certificate-authority", file),
        _pem(user, "client-certificate", file),
        _pem(user, "client-key", file),
        user.get("token") or "",
        str(file.parent / user["tokenFile"]) if user.get("tokenFile") else "",
        server_name=cluster.get("tls-server-name") or "",
        insecure=bool(cluster.get("insecure-skip-tls-verify")),
        namespace=chosen.get("namespace") or "default",
    )


def _named(found: dict[str, Any], part: str, key: str, name: str, file: Path) -> dict[str, Any]:
    for entry in found.get(part) or []:
        if entry.get("name") == name:
            return dict(entry.get(key) or {})
    raise BadTarget(f"{file} has no {key} {name!r}")


def _pem(found: dict[str, Any], field: str, file: Path) -> bytes:
    """Inline, or from the file that is named, relative to the kubeconfig."""
    if data := found.get(f"{field}-data"):
        try:
            return base64.b64decode(data, validate=True)
        except (binascii.Error, ValueError) as error:
            raise BadTarget(f"{file}: {field}-data is no base64: {error}") from error
    return (file.parent / found[field]).read_bytes() if found.get(field) else b""
