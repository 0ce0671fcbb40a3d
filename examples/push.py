"""Pushes image archives to a registry: `python examples/push.py localhost:5000 FILE...`.

An image `navarch.dev/voyage/web:1` becomes `localhost:5000/voyage/web:1`. For a registry on this machine or one that
asks for no credentials; elsewhere use the tools that you push with anyway.

Source: https://github.com/opencontainers/distribution-spec/blob/main/spec.md#push
"""

from __future__ import annotations

import argparse
import http.client
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from urllib.parse import urlsplit

NONE: Mapping[str, str] = MappingProxyType({})


class Registry:
    """host: with its port; asked over plain HTTP."""

    def __init__(self, host: str) -> None:
        self.host = host

    def ask(self, method: str, path: str, body: object = None, headers: Mapping[str, str] = NONE) -> tuple[int, str]:
        """The status, and where the answer leads to. Raises: OSError."""
        connection = http.client.HTTPConnection(self.host, timeout=60)
        try:
            connection.request(method, path, body, dict(headers))
            answer = connection.getresponse()
            said = answer.read()
            if answer.status >= 400 and method != "HEAD":
                raise SystemExit(f"{method} http://{self.host}{path}: {answer.status} {said.decode(errors='replace')}")
            return answer.status, answer.headers.get("Location", "")
        finally:
            connection.close()

    def push_blob(self, name: str, archive: tarfile.TarFile, descriptor: dict) -> None:
        """From the archive, piece by piece, unless the registry has it."""
        digest = descriptor["digest"]
        if self.ask("HEAD", f"/v2/{name}/blobs/{digest}")[0] == 200:
            return
        where = urlsplit(self.ask("POST", f"/v2/{name}/blobs/uploads/")[1])
        query = f"{where.query}&digest={digest}" if where.query else f"digest={digest}"
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(descriptor["size"])}
        content = archive.extractfile(f"blobs/{digest.replace(':', '/')}")
        self.ask("PUT", f"{where.path}?{query}", content, headers)

    def push(self, archive: tarfile.TarFile, descriptor: dict, name: str, tag: str) -> None:
        found = archive.extractfile(f"blobs/{descriptor['digest'].replace(':', '/')}")
        manifest = found.read() if found else b""
        parts = json.loads(manifest)
        for blob in (parts["config"], *parts["layers"]):
            self.push_blob(name, archive, blob)
        self.ask("PUT", f"/v2/{name}/manifests/{tag}", manifest, {"Content-Type": parts["mediaType"]})


def push_archive(registry: Registry, file: Path) -> list[str]:
    """Every image of an OCI archive; returns their new names."""
    pushed = []
    with tarfile.open(file) as archive:
        index = archive.extractfile("index.json")
        for descriptor in json.load(index)["manifests"] if index else ():
            full = descriptor["annotations"]["io.containerd.image.name"]
            name, _, tag = full.partition("/")[2].rpartition(":")
            registry.push(archive, descriptor, name, tag)
            pushed.append(f"{registry.host}/{name}:{tag}")
    return pushed


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("registry", help="host and port")
    parser.add_argument("files", type=Path, nargs="+", help="OCI image archives")
    arguments = parser.parse_args()
    for file in arguments.files:
        print("\n".join(push_archive(Registry(arguments.registry), file)))
