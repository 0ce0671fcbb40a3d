"""Watches and logs over WebSockets, through a real socket."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path
from typing import Any

import websocket as theirs
from server_driver import Served, served

from navarch.kinds import CONFIGMAP, POD
from navarch.wire.http import Server


def first_message(path: Path, target: str, *protocols: str) -> Any:
    raw = socket.socket(socket.AF_UNIX)
    raw.connect(str(path))
    client = theirs.create_connection(f"ws://localhost{target}", socket=raw, subprotocols=protocols, timeout=10)
    found = client.recv()
    client.close()
    return found


def test_events_and_pieces_of_logs_are_messages(tmp_path: Path) -> None:
    async def scenario(server: Served) -> None:
        there = {"namespace": "default"}
        await server.client.create(
            CONFIGMAP, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one", **there}}
        )
        spec = {"nodeName": "n1", "containers": [{"name": "c", "image": "i"}]}
        await server.client.create(
            POD, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", **there}, "spec": spec}
        )
        path = tmp_path / "api.sock"
        log = "/api/v1/namespaces/default/pods/p/log"
        async with Server(server.api.handle, grace_s=1) as front:
            await front.listen_unix(path)
            watch = "/api/v1/namespaces/default/configmaps?watch=1"
            event = json.loads(await asyncio.to_thread(first_message, path, watch))
            assert (event["type"], event["object"]["metadata"]["name"]) == ("ADDED", "one")
            assert await asyncio.to_thread(first_message, path, log, "binary.k8s.io") == b"said by the node"
            packed = await asyncio.to_thread(first_message, path, log, "base64.binary.k8s.io")
            assert packed == "c2FpZCBieSB0aGUgbm9kZQ=="

    served(scenario)
