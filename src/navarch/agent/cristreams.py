"""Exec, attach and port-forward on a CRI runtime: CRI answers with an address, and that is where the bytes go.

The runtime's streaming server listens on loopback and speaks SPDY; the token in each address is good for one use.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from navarch.agent.operations import Operations
from navarch.agent.runtime import Gone, RuntimeFailure
from navarch.wire import cri
from navarch.wire.message import Tunnel
from navarch.wire.upgrade import upgrade

EXEC_PROTOCOL = "v4.channel.k8s.io"
FORWARD_PROTOCOL = "portforward.k8s.io"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which streams a client asked for. With a tty there is no stderr: the terminal joins both."""

    stdin: bool = False
    stdout: bool = True
    stderr: bool = True
    tty: bool = False


@dataclass(frozen=True, slots=True)
class Dialed:
    """A SPDY connection on which the streams are to be opened. protocol: which of those offered the runtime chose."""

    tunnel: Tunnel
    protocol: str = ""


class CriStreams:
    """channel, operations: of the `CriRuntime`."""

    def __init__(self, channel: Any, operations: Operations) -> None:
        self._operations = operations
        self._api = cri.stubs()
        self._runtime, _ = cri.services(channel)

    async def exec(
        self, container_id: str, command: Sequence[str], wanted: Wanted, offered: Sequence[str] = ()
    ) -> Dialed:
        """The command starts when its streams are opened. offered: protocols that a client speaks itself.

        Raises:
            RuntimeFailure: the container does not run, or the runtime is away.
        """
        request = self._api.ExecRequest(container_id=container_id, cmd=list(command), **_flags(wanted))
        return await self._dial(self._runtime.Exec, request, offered or (EXEC_PROTOCOL,))

    async def attach(self, container_id: str, wanted: Wanted, offered: Sequence[str] = ()) -> Dialed:
        """Raises: RuntimeFailure."""
        request = self._api.AttachRequest(container_id=container_id, **_flags(wanted))
        return await self._dial(self._runtime.Attach, request, offered or (EXEC_PROTOCOL,))

    async def port_forward(self, sandbox_id: str) -> Dialed:
        """Raises: RuntimeFailure."""
        request = self._api.PortForwardRequest(pod_sandbox_id=sandbox_id)
        return await self._dial(self._runtime.PortForward, request, (FORWARD_PROTOCOL,))

    async def _dial(self, method: Any, request: Any, offered: Sequence[str]) -> Dialed:
        import grpc.aio

        try:
            with self._operations.counted(request):
                url = urlsplit((await method(request, timeout=30)).url)
        except grpc.aio.AioRpcError as error:
            details = error.details() or error.code().name
            raise (Gone if error.code() == grpc.StatusCode.NOT_FOUND else RuntimeFailure)(details) from error
        headers = [
            ("Connection", "Upgrade"),
            ("Upgrade", "SPDY/3.1"),
            *(("X-Stream-Protocol-Version", protocol) for protocol in offered),
            ("Content-Length", "0"),
        ]
        status, answered, tunnel, body = await upgrade(
            url.hostname or "127.0.0.1", url.port or 80, url.path or "/", headers, method="POST"
        )
        if status != 101:
            raise RuntimeFailure(f"the runtime refused the stream with {status}: {body[:200].decode(errors='replace')}")
        chosen = next((value for name, value in answered if name.lower() == "x-stream-protocol-version"), "")
        return Dialed(tunnel, chosen)


def _flags(wanted: Wanted) -> dict[str, bool]:
    return {
        "stdin": wanted.stdin,
        "stdout": wanted.stdout,
        "stderr": wanted.stderr and not wanted.tty,
        "tty": wanted.tty,
    }
