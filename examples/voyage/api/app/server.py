"""The API of the sample: counts visits in Redis and says which version and which pod answered.

GET /api/visits counts one visit; GET /healthz answers while the server runs; GET /ready only while Redis answers.
"""

import json
import os
import signal
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

VERSION = os.environ.get("VERSION", "1")
REDIS = ("redis", 6379)
PASSWORD = os.environ.get("REDIS_PASSWORD", "")
POD = os.environ.get("POD_NAME", socket.gethostname())


def redis(*words: str) -> str:
    """One command on a connection of its own; the answer's first line without its type mark."""
    commands = ([("AUTH", PASSWORD)] if PASSWORD else []) + [words]
    with socket.create_connection(REDIS, timeout=2) as connection, connection.makefile("rwb") as stream:
        answer = ""
        for command in commands:
            stream.write(b"*%d\r\n" % len(command))
            for word in command:
                raw = word.encode()
                stream.write(b"$%d\r\n%s\r\n" % (len(raw), raw))
            stream.flush()
            answer = stream.readline().decode().strip()
            if answer.startswith("-"):
                raise OSError(f"redis refused {command[0]}: {answer[1:]}")
    return answer[1:]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/healthz":
            self.answer(200, {"ok": True})
        elif self.path == "/ready":
            self.from_redis("PING")
        elif self.path == "/api/visits":
            self.from_redis("INCR", "visits")
        else:
            self.answer(404, {"error": f"nothing at {self.path}"})

    def from_redis(self, *words: str) -> None:
        try:
            found = redis(*words)
        except OSError as error:
            self.answer(503, {"error": str(error)})
        else:
            self.answer(200, {"visits": found, "version": VERSION, "pod": POD})

    def answer(self, status: int, document: dict) -> None:
        body = json.dumps(document).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, form: str, *values: object) -> None:
        if self.path not in ("/healthz", "/ready"):
            print(f"{self.address_string()} {form % values}")


class Server(ThreadingHTTPServer):
    daemon_threads = False
    request_queue_size = 128


if __name__ == "__main__":
    if os.environ.get("BROKEN"):
        raise SystemExit("this version is broken on purpose")
    server = Server(("0.0.0.0", 8080), Handler)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    print(f"version {VERSION} serves on 8080, counting in redis at {REDIS[0]}:{REDIS[1]}")
    server.serve_forever()
    print("stopped: every request that had begun was answered")
