"""Debian's etcd in a folder of its own and on a free port of loopback, which a test may kill and start again."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ports import free_port


@dataclass
class EtcdProcess:
    """options: more of etcd's own, of which the paths of TLS files make it speak https."""

    folder: Path
    options: Sequence[str] = ()
    scheme: str = "http"
    port: int = field(default_factory=free_port)
    peer_port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        return self.folder / "etcd.log"

    def start(self) -> None:
        program = shutil.which("etcd")
        assert program, "etcd is not installed; `./navarch test` installs it, as does `apt-get install etcd-server`"
        self.folder.mkdir(parents=True, exist_ok=True)
        metrics = f"http://127.0.0.1:{free_port()}"
        peer = f"http://127.0.0.1:{self.peer_port}"
        words = [
            *(program, "--name", "test", "--data-dir", str(self.folder / "data")),
            *("--listen-client-urls", self.url, "--advertise-client-urls", self.url),
            *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", f"test={peer}"),
            *("--heartbeat-interval", "25", "--election-timeout", "250", "--listen-metrics-urls", metrics),
            *self.options,
        ]
        with self.log.open("ab") as log:
            environment = {**os.environ, "ETCD_UNSUPPORTED_ARCH": os.uname().machine}
            self.process = subprocess.Popen(words, stdout=log, stderr=log, env=environment)
        deadline = time.monotonic() + 90
        while not _healthy(metrics):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"etcd did not start\n{self.log.read_text()[-3000:]}")
            time.sleep(0.02)

    def kill(self) -> None:
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def freeze(self) -> None:
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGCONT)


def _healthy(metrics: str) -> bool:
    try:
        with urllib.request.urlopen(f"{metrics}/health", timeout=10) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


@contextmanager
def etcd_running(folder: Path, *options: str, scheme: str = "http") -> Iterator[EtcdProcess]:
    etcd = EtcdProcess(folder, options, scheme)
    try:
        etcd.start()
        yield etcd
    finally:
        if etcd.process is not None and etcd.process.poll() is None:
            etcd.kill()
