"""A registry on loopback that serves the images of archives to those it knows."""

from __future__ import annotations

import base64
import contextlib
import http.server
import json
import tarfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Registry:
    """users: name -> password; none: everybody is served. pulls: who asked for which manifest."""

    users: Mapping[str, str] = field(default_factory=dict)
    blobs: dict[str, tuple[bytes, str]] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    pulls: list[tuple[str, str]] = field(default_factory=list)

    def push(self, archive: Path, repository: str, tag: str) -> str:
        """The first image of an archive; returns its digest."""
        with tarfile.open(archive) as tar:
            held = {m.name: tar.extractfile(m).read() for m in tar.getmembers() if m.isreg()}  # type: ignore[union-attr]
        manifest = json.loads(held["index.json"])["manifests"][0]
        for name, content in held.items():
            if name.startswith("blobs/sha256/"):
                digest = "sha256:" + name.rpartition("/")[2]
                kind = manifest["mediaType"] if digest == manifest["digest"] else "application/octet-stream"
                self.blobs[digest] = (content, kind)
        self.tags[f"{repository}:{tag}"] = manifest["digest"]
        return str(manifest["digest"])

    def user_of(self, header: str) -> str | None:
        """None: it is nobody's password."""
        if not self.users:
            return ""
        name, _, password = base64.b64decode(header.removeprefix("Basic ")).decode().partition(":")
        return name if name and self.users.get(name) == password else None


@contextlib.contextmanager
def serving(registry: Registry, address: str) -> Iterator[None]:
    """address: `127.0.0.1:port`."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            user = registry.user_of(self.headers.get("Authorization", ""))
            if user is None:
                self.answer(401, b"", "text/plain", {"WWW-Authenticate": 'Basic realm="test"'})
                return
            path = self.path.partition("?")[0].rstrip("/")
            if path == "/v2":
                self.answer(200, b"{}", "application/json")
                return
            repository, kind, last = path.removeprefix("/v2/").rsplit("/", 2)
            digest = last if last.startswith("sha256:") else registry.tags.get(f"{repository}:{last}", "")
            if kind == "manifests":
                registry.pulls.append((user, f"{repository}:{last}"))
            if digest not in registry.blobs:
                self.answer(404, b'{"errors":[{"code":"MANIFEST_UNKNOWN"}]}', "application/json")
                return
            content, media = registry.blobs[digest]
            self.answer(200, content, media, {"Docker-Content-Digest": digest})

        do_HEAD = do_GET

        def answer(self, status: int, body: bytes, kind: str, more: Mapping[str, str] = {}) -> None:
            self.send_response(status)
            for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **more}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            return None

    host, port = address.split(":")
    with http.server.ThreadingHTTPServer((host, int(port)), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
