"""Several real servers on one real etcd, and clients that speak with all of them, for the recorded histories.

Together they look to the recorder like one server: each request goes to the next of them, so that a client reads from
one what it wrote to another, and a watcher goes on at another where it was.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPResponse
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

from etcdprocess import EtcdProcess, etcd_running
from serverprocess import REAL, ServerProcess, Session

from navarch.app import identity
from navarch.app.layout import Settings, save_settings
from navarch.base.clock import SystemClock
from navarch.wire import etcd


@dataclass
class Masters:
    """servers: all on `etcd`. Implements what the recorder asks of a server."""

    etcd: EtcdProcess
    servers: list[ServerProcess]
    seed: int = 0
    _turn: Iterator[int] = field(default_factory=count)
    _faults: Iterator[int] = field(default_factory=count)

    def session(self, timeout_s: float = 60.0) -> Sessions:
        return Sessions([server.session(timeout_s) for server in self.servers], next(self._turn))

    def ask(self, target: str, method: str = "GET", body: Any = None) -> tuple[int, Any]:
        session = self.session()
        try:
            return session.ask(target, method, body)
        finally:
            session.close()

    def kill(self) -> None:
        """In turn: one server, etcd, all that etcd remembers of the past, all servers and etcd."""
        fault = next(self._faults) % 4
        if fault == 0:
            self.servers[Random(self.seed).randrange(len(self.servers))].kill()
        if fault == 3:
            for server in self.servers:
                server.kill()
        if fault in (1, 3):
            self.etcd.kill()
        if fault == 2:
            self.compact()

    def start(self) -> float:
        """Whatever does not run; the seconds until the slowest server was ready."""
        if self.etcd.process is not None and self.etcd.process.poll() is not None:
            self.etcd.start()
        slowest = started([one for one in self.servers if one.process is None or one.process.poll() is not None])
        settle(self)
        return slowest

    def compact(self) -> None:
        """Have etcd forget everything but the present."""
        import grpc

        with grpc.insecure_channel(self.etcd.url.removeprefix("http://")) as channel:

            def call(method: str, request: Any, answer: Any) -> Any:
                return channel.unary_unary(method, _bytes, answer.FromString)(request, timeout=60)

            now = call(etcd.RANGE, etcd.RangeRequest(key=b"/", limit=1), etcd.RangeResponse).header.revision
            call(etcd.COMPACT, etcd.CompactionRequest(revision=now), etcd.CompactionResponse)


def _bytes(message: Any) -> bytes:
    found: bytes = message.SerializeToString()
    return found


class Sessions:
    """A connection to each server, used in turn."""

    def __init__(self, sessions: list[Session], first: int) -> None:
        self._sessions = sessions
        self._turn = count(first)

    def _next(self) -> Session:
        return self._sessions[next(self._turn) % len(self._sessions)]

    def begin(self, target: str, method: str = "GET", body: Any = None) -> HTTPResponse:
        return self._next().begin(target, method, body)

    def ask(self, target: str, method: str = "GET", body: Any = None) -> tuple[int, Any]:
        return self._next().ask(target, method, body)

    def close(self) -> None:
        for session in self._sessions:
            session.close()


def started(servers: list[ServerProcess]) -> float:
    """Side by side; the seconds of the slowest."""
    if not servers:
        return 0.0
    with ThreadPoolExecutor(len(servers)) as pool:
        return max(pool.map(lambda server: server.start(), servers))


@contextmanager
def masters(folder: Path, programs: tuple[tuple[str, ...], ...] = (REAL, REAL), *, seed: int = 0) -> Iterator[Masters]:
    """One server for each program, all with the keys of the first."""
    with etcd_running(folder / "etcd") as process:
        servers = [
            ServerProcess(folder / f"data-{number}", folder / f"run-{number}", program)
            for number, program in enumerate(programs)
        ]
        first = servers[0].layout
        for server in servers:
            settings = Settings("robust", "127.0.0.1", api_port=server.port, etcd_servers=(process.url,))
            save_settings(server.layout, settings)
            if server is servers[0]:
                identity.prepare(first, settings, SystemClock())
            else:
                shutil.copytree(first.pki, server.layout.pki)
        try:
            started(servers)
            yield Masters(process, servers, seed)
        finally:
            for server in servers:
                if server.process is not None and server.process.poll() is None:
                    server.kill()


def settle(pair: Masters, patience_s: float = 60.0) -> None:
    """Until every server answers a read that must be the newest."""
    deadline = time.monotonic() + patience_s
    for server in pair.servers:
        while True:
            try:
                status, said = server.ask("/api/v1/namespaces/default")
            except OSError as error:
                status, said = 0, str(error)
            if status == 200:
                break
            assert time.monotonic() < deadline, f"a server does not answer: {said}"
            time.sleep(0.05)
