"""A real server process in a folder of its own, which a test may kill, and writers that note what was acknowledged."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from navarch.app.ask import ask, server_is_ready
from navarch.app.layout import Layout, Settings, save_settings
from navarch.base.errors import Unavailable

CONFIGMAPS = "/api/v1/namespaces/default/configmaps"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class ServerProcess:
    """program: what is run with DATA and RUN as arguments; a planted weakness is another program."""

    data: Path
    run: Path
    program: tuple[str, ...] = ("-m", "navarch.app.server")
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

    def start(self, patience_s: float = 30.0) -> float:
        """Returns the seconds until the server said that it is ready."""
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
        return time.monotonic() - start

    def kill(self) -> None:
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(20)

    def ask(self, target: str, method: str = "GET", body: Any = None) -> tuple[int, Any]:
        return ask(self.socket, target, method=method, body=body, timeout_s=10.0)

    def names(self) -> dict[str, str]:
        """name -> value of every ConfigMap that the writers made."""
        status, found = self.ask(CONFIGMAPS)
        assert status == 200, found
        return {item["metadata"]["name"]: item["data"]["v"] for item in found["items"] if "v" in item.get("data", {})}


@dataclass
class Writers:
    """Threads that create and update ConfigMaps and note each acknowledged value."""

    server: ServerProcess
    cycle: int
    threads: int = 4
    acknowledged: dict[str, str] = field(default_factory=dict)
    attempted: dict[str, set[str]] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _running: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        for number in range(self.threads):
            thread = threading.Thread(target=self._write, args=(number,), daemon=True)
            self._running.append(thread)
            thread.start()

    def wait_for(self, count: int, patience_s: float = 20.0) -> None:
        deadline = time.monotonic() + patience_s
        while len(self.acknowledged) < count:
            assert time.monotonic() < deadline, f"only {len(self.acknowledged)} writes: {self.errors[-3:]}"
            time.sleep(0.005)

    def stop(self) -> None:
        self._stop.set()
        for thread in self._running:
            thread.join()

    def _write(self, number: int) -> None:
        count = 0
        while not self._stop.is_set():
            name, value = f"w{self.cycle}-{number}-{count // 2}", str(count)
            self.attempted.setdefault(name, set()).add(value)
            document = {"metadata": {"name": name}, "data": {"v": value}}
            method, target = ("POST", CONFIGMAPS) if count % 2 == 0 else ("PUT", f"{CONFIGMAPS}/{name}")
            try:
                status, said = self.server.ask(target, method, document)
            except (Unavailable, OSError, http.client.HTTPException, ValueError) as error:
                self.errors.append(str(error))
                return
            if status in (200, 201):
                self.acknowledged[name] = value
            else:
                self.errors.append(f"{status} {said}")
                count += count % 2 == 0  # what was not created cannot be updated
            count += 1


def lost(writers: Writers, found: dict[str, str]) -> list[str]:
    """What was acknowledged and is not there, or is older than what was acknowledged."""
    missing = []
    for name, value in writers.acknowledged.items():
        if name not in found:
            missing.append(f"{name} is gone")
        elif int(found[name]) < int(value):
            missing.append(f"{name} has {found[name]}, acknowledged was {value}")
    return missing
