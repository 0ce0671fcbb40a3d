"""Kubeconfig files: making one for a user of this cluster, and adding it to the one a person already has.

The person's file is never lost: everything in it that is not ours stays as it was, and the new text replaces the old
in one step.
"""

from __future__ import annotations

import base64
import contextlib
import os
from pathlib import Path
from typing import Any

import yaml

from navarch.app.layout import write_atomically


class BadKubeconfig(ValueError):
    """The person's kubeconfig cannot be read; it was left alone."""


def build(context: str, server: str, ca: bytes, certificate: bytes, key: bytes) -> dict[str, Any]:
    """A complete kubeconfig with one context; ca, certificate and key are PEM."""

    def text(pem: bytes) -> str:
        return base64.b64encode(pem).decode()

    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": context, "cluster": {"server": server, "certificate-authority-data": text(ca)}}],
        "users": [
            {
                "name": context,
                "user": {"client-certificate-data": text(certificate), "client-key-data": text(key)},
            }
        ],
        "contexts": [{"name": context, "context": {"cluster": context, "user": context}}],
        "current-context": context,
    }


def default_path(environment: dict[str, str] | None = None) -> Path:
    """The file that kubectl writes to: the first of $KUBECONFIG, else ~/.kube/config."""
    listed = (environment if environment is not None else dict(os.environ)).get("KUBECONFIG", "")
    first = next((part for part in listed.split(os.pathsep) if part), "")
    return Path(first) if first else Path.home() / ".kube" / "config"


def merged(existing: dict[str, Any], ours: dict[str, Any]) -> dict[str, Any]:
    """`existing` with our cluster, user and context replaced or added, and ours made the current one."""
    found = dict(existing) or {"apiVersion": "v1", "kind": "Config"}
    for part in ("clusters", "users", "contexts"):
        names = {entry["name"] for entry in ours[part]}
        kept = [entry for entry in found.get(part) or [] if entry.get("name") not in names]
        found[part] = kept + ours[part]
    found["current-context"] = ours["current-context"]
    return found


def without(existing: dict[str, Any], context: str, back_to: str) -> dict[str, Any]:
    """`existing` without our context; the current one becomes `back_to` if it was ours and that one exists."""
    found = dict(existing)
    for part in ("clusters", "users", "contexts"):
        found[part] = [entry for entry in found.get(part) or [] if entry.get("name") != context]
    if found.get("current-context") == context:
        names = {entry["name"] for entry in found["contexts"]}
        found["current-context"] = back_to if back_to in names else ""
    return found


def read(path: Path) -> dict[str, Any]:
    """The file's content, {} where there is none.

    Raises:
        BadKubeconfig: it is no YAML object.
    """
    try:
        found = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        return {}
    except yaml.YAMLError as error:
        raise BadKubeconfig(f"{path} is no YAML ({error}); it was left alone, mend it and try again") from error
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise BadKubeconfig(f"{path} is no kubeconfig: its top is a {type(found).__name__}; it was left alone")
    return found


def install(path: Path, ours: dict[str, Any]) -> str:
    """Add our context to the person's file and return what was the current context before ("" if none)."""
    existing = read(path)
    wanted = merged(existing, ours)
    if wanted != existing:
        write_atomically(path.resolve(), yaml.safe_dump(wanted, sort_keys=False))
    return str(existing.get("current-context") or "")


def refresh(path: Path, ours: dict[str, Any]) -> None:
    """Our context's newest keys in the person's file, if it still has that context; what is current stays."""
    existing = read(path)
    if any(entry.get("name") == ours["current-context"] for entry in existing.get("contexts") or []):
        wanted = {**merged(existing, ours), "current-context": existing.get("current-context") or ""}
        if wanted != existing:
            write_atomically(path.resolve(), yaml.safe_dump(wanted, sort_keys=False))


def uninstall(path: Path, context: str, back_to: str) -> None:
    """Take our context out of the person's file; a file that then says nothing is removed, and an empty `.kube` too."""
    existing = read(path)
    if not existing:
        return
    wanted = without(existing, context, back_to)
    if not any(wanted.get(part) for part in ("clusters", "users", "contexts")):
        path.unlink()
        if path.parent.name == ".kube":
            with contextlib.suppress(OSError):  # somebody keeps other files there
                path.parent.rmdir()
    elif wanted != existing:
        write_atomically(path.resolve(), yaml.safe_dump(wanted, sort_keys=False))
