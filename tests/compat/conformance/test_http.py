"""HTTP as clients and what stands between may speak it: methods, connections that last, bodies that wait, versions."""

from __future__ import annotations

import json
import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from conformance_api import Api
from conformance_objects import configmap
from test_protocol import raw


@contextmanager
def connected(api: Api, context: ssl.SSLContext) -> Iterator[ssl.SSLSocket]:
    with (
        socket.create_connection((api.host, api.port), 10) as plain,
        context.wrap_socket(plain, server_hostname=api.host) as stream,
    ):
        yield stream


@pytest.mark.parametrize(
    "path", ["/api/v1/nodes", "/api/v1/namespaces/default", "/api/v1/namespaces/default/serviceaccounts/default/token"]
)
def test_resources_are_read_with_get_alone(api: Api, path: str) -> None:
    answer = raw(api, b"HEAD %b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % path.encode())
    head, _, body = answer.partition(b"\r\n\r\n")
    assert (head.split(b"\r\n")[0], body) == (b"HTTP/1.1 405 Method Not Allowed", b"")
    assert api.send("OPTIONS", path).status == 405


def test_a_connection_outlives_what_is_refused(api: Api) -> None:
    refused = (
        b"GET /api/v1/namespaces/default/pods/none HTTP/1.1\r\nHost: x\r\n\r\n"
        b"POST /api/v1/namespaces HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}"
        b"POST /api/v1/namespaces HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
        b"DELETE /api/v1/namespaces HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
    )
    answer = raw(api, refused + b"GET /version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert re.findall(rb"HTTP/1\.1 (\d+)", answer) == [b"404", b"415", b"422", b"405", b"200"]


def test_a_body_may_wait_to_be_asked_for(api: Api, ns: str) -> None:
    """As curl sends a large one; and none is asked for that is too large."""
    body = json.dumps(configmap("waited")).encode()
    head = f"POST /api/v1/namespaces/{ns}/configmaps HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    head += "Connection: close\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n"
    with connected(api, api.context) as stream:
        stream.sendall(head.format(len(body)).encode())
        assert stream.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        stream.sendall(body)
        assert stream.recv(65536).startswith(b"HTTP/1.1 201")
    with connected(api, api.context) as stream:
        stream.sendall(head.format(100_000_000).encode())
        assert stream.recv(65536).startswith(b"HTTP/1.1 413")


def test_http_2_is_not_spoken(api: Api) -> None:
    """A client that offers both gets HTTP/1.1, and one that does not ask is refused."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2", "http/1.1"])
    with connected(api, context) as stream:
        assert stream.selected_alpn_protocol() in (None, "http/1.1")
    assert raw(api, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").startswith((b"HTTP/1.1 400", b"HTTP/1.1 505"))
