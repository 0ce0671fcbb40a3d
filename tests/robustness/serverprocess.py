"""A real server process in a folder of its own, which a test may kill, and how to speak with it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ports import free_port

from navarch.app.ask import server_is_ready
from navarch.app.layout import Layout, Settings, save_settings

HERE = Path(__file__).parent
CONFIGMAPS = "/api/v1/namespaces/default/configmaps"
REAL = ("-m", "navarch.app.server")


def weak(*weaknesses: str) -> tuple[str, ...]:
    """The program with these weaknesses planted (see `weak_server.py`)."""
    return (str(HERE / "weak_server.py"), ",".join(weaknesses))


class Session(http.client.HTTPConnection):
    """A connection to the server's own socket, kept open from one request to the next."""

    def __init__(self, path: Path, timeout_s: float = 60.0) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))

    def begin(self, target: str, method: str = "GET", body: Any = None) -> http.client.HTTPResponse:
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        self.request(method, target, json.dumps(body) if body is not None else None, headers)
        return self.getresponse()

    def ask(self, target: str, method: str = "GET", body: Any = None) -> tuple[int, Any]:
        """Raises: OSError, http.client.HTTPException; the outcome of a write is unknown then."""
        try:
            answer = self.begin(target, method, body)
            return answer.status, json.loads(answer.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            raise ConnectionError(f"no answer to {method} {target}: {error!r}") from error


@dataclass
class ServerProcess:
    """program: what is run with DATA and RUN as arguments; a planted weakness is another program."""

    data: Path
    run: Path
    program: tuple[str, ...] = REAL
    process: subprocess.Popen[bytes] | None = None
    port: int = field(default_factory=free_port)

    @property
    def layout(self) -> Layout:
        return Layout(self.data, self.run)

    @property
    def socket(self) -> Path:
        return self.layout.server_socket

    @property
    def log(self) -> Path:
        return self.run / "server.log"

    def start(self, patience_s: float = 90.0) -> float:
        """Returns the seconds of a processor that the server took until it said that it is ready, and a tenth of those
        that it took by the clock: a test must not depend on what else the machine does, but notice who sleeps."""
        self.run.mkdir(parents=True, exist_ok=True)
        if not self.layout.settings.exists():
            save_settings(self.layout, Settings("robust", "127.0.0.1", api_port=self.port))
        start = time.monotonic()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, *self.program, str(self.data), str(self.run)], stdout=log, stderr=log
            )
        while missing := server_is_ready(self.socket):
            if self.process.poll() is not None or time.monotonic() - start > patience_s:
                raise AssertionError(f"the server did not start: {missing}\n{self.log.read_text()[-3000:]}")
            time.sleep(0.02)
        tasks = Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")
        busy = sum(int(task.read_text().split()[0]) for task in tasks) / 1e9
        return busy + (time.monotonic() - start) / 10

    def freeze(self) -> None:
        """Returns once no thread of it will run any more."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGSTOP)
        tasks = Path(f"/proc/{self.process.pid}/task")
        while any(task.joinpath("stat").read_text().rpartition(") ")[2][0] in "RS" for task in tasks.iterdir()):
            time.sleep(0.0005)

    def kill(self) -> None:
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(90)

    def session(self, timeout_s: float = 60.0) -> Session:
        return Session(self.socket, timeout_s)

    def ask(self, target: str, method: str = "GET", body: Any = None) -> tuple[int, Any]:
        session = self.session()
        try:
            return session.ask(target, method, body)
        finally:
            session.close()

    def values(self) -> dict[str, str]:
        """name -> value of every ConfigMap that the writers made."""
        status, found = self.ask(CONFIGMAPS)
        assert status == 200, found
        return {item["metadata"]["name"]: item["data"]["v"] for item in found["items"] if "v" in item.get("data", {})}


@contextmanager
def serving(folder: Path, program: tuple[str, ...] = REAL, data: Path | None = None) -> Iterator[ServerProcess]:
    """A server that was started, in `folder`. data: where it keeps its state, if not there."""
    server = ServerProcess(data or folder / "data", folder / "run", program)
    try:
        server.start()
        yield server
    finally:
        if server.process is not None and server.process.poll() is None:
            server.kill()
