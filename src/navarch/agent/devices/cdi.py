"""Devices that are described on the node's disk (the Container Device Interface), for runtimes that do not know them:
what a description says is put into the container's own spec. Hooks are left to runtimes, so a device that needs one is
refused.

Source: https://github.com/cncf-tags/container-device-interface/blob/main/SPEC.md
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from navarch.agent.devices.extras import Extras, together
from navarch.agent.runtime import DeviceMapping, Mount, RuntimeFailure

FOLDERS = (Path("/etc/cdi"), Path("/var/run/cdi"))
"""A later one stands above those before it."""
UNKNOWN = ("hooks", "intelRdt", "netDevices")


def resolve(names: Iterable[str], folders: Sequence[Path] = FOLDERS) -> Extras:
    """What containers with these devices (`vendor.com/class=name`) get. Blocks: reads the disk.

    Raises: RuntimeFailure, when a device is not described, or not in a way that can be followed.
    """
    wanted = tuple(dict.fromkeys(names))
    if not wanted:
        return Extras()
    described = [document for folder in folders for document in _documents(folder)]
    parts = []
    for name in wanted:
        kind, equals, device = name.partition("=")
        found = [
            (document, each)
            for document in reversed(described)
            if document.get("kind") == kind
            for each in document.get("devices") or ()
            if each.get("name") == device and equals
        ]
        if not found:
            places = " and ".join(map(str, folders))
            raise _failure(f"unresolvable CDI device {name}: no file in {places} describes it")
        document, each = found[0]
        for edits in (each.get("containerEdits") or {}, document.get("containerEdits") or {}):
            parts.append(_edits(name, edits))
    return together(parts)


def _documents(folder: Path) -> Iterator[dict[str, Any]]:
    """Those that can be read, by file name."""
    for path in sorted(folder.glob("*")):
        if path.suffix not in (".json", ".yaml", ".yml"):
            continue
        try:
            text = path.read_text()
            found = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
        except (OSError, ValueError, yaml.YAMLError):
            continue  # half-written, or gone: a device that nobody else describes is told of by its name
        if isinstance(found, dict):
            yield found


def _edits(name: str, edits: dict[str, Any]) -> Extras:
    if asked := sorted(set(UNKNOWN) & {key for key, value in edits.items() if value}):
        raise _failure(f"CDI device {name} needs {', '.join(asked)}, which this node cannot give a container")
    try:
        return Extras(
            variables={key: value for key, _, value in (text.partition("=") for text in edits.get("env") or ())},
            mounts=tuple(
                Mount(each["hostPath"], each["containerPath"], "ro" in (each.get("options") or ()))
                for each in edits.get("mounts") or ()
            ),
            devices=tuple(
                DeviceMapping(each.get("hostPath") or each["path"], each["path"], each.get("permissions") or "rwm")
                for each in edits.get("deviceNodes") or ()
            ),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise _failure(f"CDI device {name} is described wrongly: {type(error).__name__}: {error}") from error


def _failure(text: str) -> RuntimeFailure:
    return RuntimeFailure(text, reason="CreateContainerConfigError")
