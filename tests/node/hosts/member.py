"""What runs in each pod of the crew: `serve` answers on its ports with its name; `probe` asks others, all at once, and
says what it heard in a line of JSON for each line of JSON that it is told. It has Python's own library alone, since
that is what the pods' image has.

One probe is `[kind, host, port, more, wait_s, come, patience_s]`:
- kind: `http` (more: path), `https` (more: path), `udp` (more: what to send, in hexadecimal), `names` (what a name
  leads to), `read` (host: a file).
- wait_s: how long one attempt may take. come: 1 to try until an answer comes, 0 until none does, -1 for one attempt;
  at most for patience_s.
One answer is `[said, why, tries]`. said: "" for none; of `udp` in hexadecimal if `more` was given.
"""

from __future__ import annotations

import http.client
import http.server
import json
import os
import socket
import socketserver
import ssl
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

AUTHORITY = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt"
RESEND_S = 0.3
AT_ONCE = 96
KNOWN = b"\x06wanted\x04mine\x05local\x00"
"""The one name that a member's own name server has: wanted.mine.local."""


class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        told = {"method": self.command, "path": self.path, "size": len(body)}
        said = json.dumps({"name": os.environ["NAME"], "peer": self.client_address[0], **told}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(said)))
        self.send_header("connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(said)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = answer

    def log_message(self, format: str, *words: Any) -> None:
        """Nobody reads it."""


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 512

    def server_bind(self) -> None:
        """Without looking up a name of its own, which a policy may forbid."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "", self.server_address[1]


def serve_udp(port: int) -> None:
    """ADDRESS: the one to answer under, where there are several and the kernel would choose by the way back."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((os.environ.get("ADDRESS", "0.0.0.0"), port))
    while True:
        asked, peer = server.recvfrom(2048)
        if port == 53:
            server.sendto(named(asked), peer)
        else:
            server.sendto(json.dumps({"name": os.environ["NAME"], "peer": peer[0]}).encode(), peer)


def named(asked: bytes) -> bytes:
    """The answer of a name server that knows one name."""
    end = asked.index(b"\0", 12) + 5
    question, kind = asked[12:end], asked[end - 4 : end - 2]
    ours = question[:-4].lower() == KNOWN
    record = b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4" + bytes([198, 51, 100, 77]) if ours and kind == b"\0\1" else b""
    flags = b"\x85\x80" if ours else b"\x85\x83"
    return asked[:2] + flags + b"\0\1" + bytes([0, int(bool(record))]) + b"\0\0\0\0" + question + record


def serve() -> None:
    for port in os.environ.get("UDP", "").split():
        threading.Thread(target=serve_udp, args=(int(port),)).start()
    for port in os.environ.get("TCP", "").split():
        threading.Thread(target=Server(("0.0.0.0", int(port)), Answer).serve_forever).start()
    threading.Event().wait()


def ask_http(host: str, port: int, path: str, wait_s: float) -> str:
    return _got(http.client.HTTPConnection(host, port, timeout=wait_s), path)


def ask_https(host: str, port: int, path: str, wait_s: float) -> str:
    """Of a server that the cluster's authority vouches for under this name."""
    context = ssl.create_default_context(cafile=AUTHORITY)
    return _got(http.client.HTTPSConnection(host, port, timeout=wait_s, context=context), path)


def _got(connection: http.client.HTTPConnection, path: str) -> str:
    try:
        connection.request("GET", path or "/")
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def ask_udp(host: str, port: int, more: str, wait_s: float) -> str:
    deadline = time.monotonic() + wait_s
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect((host, port))
        while True:
            client.send(bytes.fromhex(more) or b"?")
            left = deadline - time.monotonic()
            client.settimeout(max(0.01, min(RESEND_S, left)))
            try:
                said = client.recv(4096)
                return said.hex() if more else said.decode()
            except TimeoutError:
                if left <= RESEND_S:
                    raise


def ask_names(host: str, port: int, more: str, wait_s: float) -> str:
    return " ".join(sorted(socket.gethostbyname_ex(host)[2]))


def ask_read(host: str, port: int, more: str, wait_s: float) -> str:
    with open(host) as file:
        return file.read()


KINDS: dict[str, Callable[[str, int, str, float], str]] = {
    "http": ask_http,
    "https": ask_https,
    "udp": ask_udp,
    "names": ask_names,
    "read": ask_read,
}


def settled(probe: list[Any]) -> tuple[str, str, int]:
    kind, host, port, more, wait_s, come, patience_s = probe
    deadline = time.monotonic() + patience_s
    tries = 0
    while True:
        said, why = "", ""
        tries += 1
        began = time.monotonic()
        try:
            said = KINDS[kind](host, port, more, wait_s)
        except (OSError, http.client.HTTPException) as error:
            why = f"{type(error).__name__}: {error}"
        now = time.monotonic()
        if come < 0 or bool(said) == bool(come) or now > deadline:
            return said, why, tries
        time.sleep(max(0.05, 0.2 - (now - began)))


def probe() -> None:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for line in sys.stdin:
            print(json.dumps(list(pool.map(settled, json.loads(line)))), flush=True)


if __name__ == "__main__":
    {"serve": serve, "probe": probe}[sys.argv[1]]()
