"""Plain HTTPS as an administrator, for what no client library lets a test say."""

from __future__ import annotations

import http.client
import json
import ssl
from dataclasses import dataclass
from typing import Any

from compat_server import HOST, Cluster

PROTOBUF = "application/vnd.kubernetes.protobuf"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)


class Raw:
    """One connection; requests one after the other."""

    def __init__(self, cluster: Cluster) -> None:
        pair = cluster.pki.client("admin", "kubernetes-admin", ["system:masters"])
        files = []
        for name, data in (("crt", pair.certificate), ("key", pair.key)):
            path = cluster.directory / f"raw.{name}"
            path.write_bytes(data)
            files.append(path)
        self.context = ssl.create_default_context(cadata=cluster.pki.authority.pair.certificate.decode())
        self.context.load_cert_chain(*files)
        port = int(cluster.url.rpartition(":")[2])
        self.connection = http.client.HTTPSConnection(HOST, port, timeout=90, context=self.context)

    def ask(self, method: str, path: str, body: Any = None, type_: str = "application/json", **headers: str) -> Answer:
        content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if content is not None:
            sent["content-type"] = type_
        self.connection.request(method, path, content, sent)
        response = self.connection.getresponse()
        found = response.read()
        return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, found)

    def close(self) -> None:
        self.connection.close()
