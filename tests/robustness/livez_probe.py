"""Asks a server for `/livez` every 50 ms from a process of its own, until its input ends; then says how it was.

Run as `python livez_probe.py SOCKET`. Alone in its process, so that what it measures is the server's time and not
that of whoever sends the server its work.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time

EVERY_S = 0.05
ASK = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"


def asked(stream: socket.socket) -> bytes:
    """What `/livez` said. Raises: OSError."""
    stream.sendall(ASK)
    found = b""
    while b"\r\n\r\n" not in found or not found.partition(b"\r\n\r\n")[2]:
        piece = stream.recv(4096)
        if not piece:
            raise ConnectionResetError("the server ended the connection")
        found += piece
    return found


def main(path: str) -> None:
    took_s: list[float] = []
    wrong: list[str] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stream:
        stream.settimeout(60)
        stream.connect(path)
        print("asking", flush=True)
        while not select.select([sys.stdin], [], [], EVERY_S)[0]:
            began = time.monotonic()
            said = asked(stream)
            took_s.append(time.monotonic() - began)
            if not said.startswith(b"HTTP/1.1 200 ") or not said.endswith(b"ok"):
                wrong.append(f"/livez: {said[:200]!r}")
    ordered = sorted(took_s) or [0.0]
    found = {"asked": len(took_s), "worst_s": ordered[-1], "p99_s": ordered[int(len(ordered) * 0.99)]}
    print(json.dumps({**found, "late": sum(1 for one in took_s if one > 0.1), "wrong": wrong[:20]}))


if __name__ == "__main__":
    main(sys.argv[1])
