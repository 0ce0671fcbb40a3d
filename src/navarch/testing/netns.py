"""Network namespaces that a test makes: hosts and pods with real sockets, which touch nothing outside themselves.

A namespace is held by a thread and a file descriptor, so nothing is mounted, named or left behind; it is gone when
`close` was called and its last socket is closed. Sockets made in one may be used from any thread.
"""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

CLONE_NEWNET = 0x40000000

Args = ParamSpec("Args")
Result = TypeVar("Result")


class NetworkNamespace:
    """Needs root. path: where tools such as `ip` find it while it is open."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"netns-{name}")
        self._fd = self._thread.submit(_unshare).result()
        self.path = f"/proc/{os.getpid()}/fd/{self._fd}"
        self.ip("link set lo up")

    def call(self, function: Callable[Args, Result], *args: Args.args, **kwargs: Args.kwargs) -> Result:
        """Runs `function` inside, in the one thread that lives there; what it starts lives there too."""
        return self._thread.submit(function, *args, **kwargs).result()

    def start(self, function: Callable[Args, object], *args: Args.args, **kwargs: Args.kwargs) -> threading.Thread:
        """Runs `function` inside, in a thread of its own that the caller joins."""

        def begin() -> threading.Thread:
            thread = threading.Thread(target=function, args=args, kwargs=kwargs, daemon=True)
            thread.start()  # threads are born in the namespace of the thread that starts them
            return thread

        return self.call(begin)

    def socket(self, kind: int = socket.SOCK_STREAM, family: int = socket.AF_INET) -> socket.socket:
        return self.call(socket.socket, family, kind)

    def run(self, *command: str, stdin: str = "", check: bool = True) -> subprocess.CompletedProcess[str]:
        """Raises: RuntimeError, with what the command said."""
        done = self.call(subprocess.run, command, input=stdin, capture_output=True, text=True, timeout=60)
        if check and done.returncode:
            raise RuntimeError(f"{' '.join(command)} in {self.name}: {done.stderr.strip() or done.returncode}")
        return done

    def ip(self, *commands: str) -> None:
        """Commands of `ip`, without that word."""
        self.run("ip", "-batch", "-", stdin="\n".join(commands) + "\n")

    def sysctl(self, values: Iterable[tuple[str, str]]) -> None:
        """Such as ("net/ipv4/ip_forward", "1")."""
        for key, value in values:
            self.call(_write, f"/proc/sys/{key}", value)

    def close(self) -> None:
        self._thread.shutdown()
        os.close(self._fd)

    def __enter__(self) -> NetworkNamespace:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()


def _unshare() -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "a network namespace could not be made (are you root?)")
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def _write(path: str, value: str) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write(value)
