"""Single checks of a container: HTTP GET, TCP connect, a command, a gRPC health question. Used by probes and by hooks.

The HTTP client here only asks and reads the status and a little of the body: all that a check needs, without the weight
of a library. Certificates are not verified, as everywhere in Kubernetes' probes.

Source: https://kubernetes.io/docs/concepts/configuration/liveness-readiness-startup-probes/
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from navarch.agent.runtime import Runtime
from navarch.kinds.podspec.container import Container, GRPCAction, HTTPGetAction, TCPSocketAction

LONGEST_BODY_BYTES = 10 << 10
LONGEST_HEAD_BYTES = 64 << 10
REDIRECTS = 10


@dataclass(frozen=True, slots=True)
class Verdict:
    """text: what the event or the hook's failure says."""

    ok: bool
    text: str = ""


def port_number(port: int | str, container: Container) -> int:
    """Raises: ValueError, when the container has no port of that name."""
    if isinstance(port, int):
        return port
    if port.isdecimal():
        return int(port)
    found = next((one.container_port for one in container.ports if one.name == port), None)
    if found is None:
        raise ValueError(f"couldn't find port: {port!r} in container {container.name}")
    return found


@cache
def _any_certificate() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def http_get(action: HTTPGetAction, container: Container, ip: str, timeout_s: float, agent: str) -> Verdict:
    """A status from 200 to 399 is good; redirects are followed on the same host only. agent: the User-Agent."""
    scheme = action.scheme.lower()
    try:
        port = port_number(action.port, container)
    except ValueError as error:
        return Verdict(False, str(error))
    host = action.host or ip
    path = action.path if action.path.startswith("/") else f"/{action.path}"
    names = {header.name.lower() for header in action.http_headers}
    headers = [f"{header.name}: {header.value}" for header in action.http_headers]
    shown = f"[{host}]" if ":" in host else host
    if "host" not in names:
        headers.append(f"Host: {shown}:{port}")
    if "user-agent" not in names:
        headers.append(f"User-Agent: {agent}")
    if "accept" not in names:
        headers.append("Accept: */*")
    url = f"{scheme}://{shown}:{port}{path}"
    try:
        async with asyncio.timeout(timeout_s):
            status, body = await _ask(host, port, scheme == "https", path, headers)
    except TimeoutError:
        text = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
        return Verdict(False, f'Get "{url}": {text}')
    except (OSError, ValueError, EOFError) as error:
        return Verdict(False, f'Get "{url}": {_network_error("dial", host, port, error)}')
    if 200 <= status < 400:
        return Verdict(True, body)
    return Verdict(False, f"HTTP probe failed with statuscode: {status}")


async def _ask(host: str, port: int, secure: bool, path: str, headers: Sequence[str]) -> tuple[int, str]:
    """Raises: OSError, ValueError for what is no HTTP, EOFError when the peer says nothing."""
    reader, writer = await asyncio.open_connection(
        host, port, ssl=_any_certificate() if secure else None, limit=LONGEST_HEAD_BYTES
    )
    try:
        lines = [f"GET {path} HTTP/1.1", *headers, "Connection: close", "", ""]
        writer.write("\r\n".join(lines).encode("latin-1", "replace"))
        await writer.drain()
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as error:
            if not error.partial:
                raise EOFError("EOF") from error
            head = error.partial
        except asyncio.LimitOverrunError as error:
            raise ValueError("the response's headers are too long") from error
        words = head.split(b"\r\n", 1)[0].split(b" ", 2)
        if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():
            raise ValueError("malformed HTTP response")
        body = await reader.read(LONGEST_BODY_BYTES)
        return int(words[1]), body.decode("utf-8", "replace")
    finally:
        writer.transport.abort()


def _network_error(verb: str, host: str, port: int, error: Exception) -> str:
    if isinstance(error, ConnectionRefusedError):
        return f"{verb} tcp {host}:{port}: connect: connection refused"
    return str(error) or type(error).__name__


async def tcp_connect(action: TCPSocketAction, container: Container, ip: str, timeout_s: float) -> Verdict:
    host = action.host or ip
    try:
        port = port_number(action.port, container)
        async with asyncio.timeout(timeout_s):
            _, writer = await asyncio.open_connection(host, port)
        writer.transport.abort()
    except TimeoutError:
        return Verdict(False, f"dial tcp {host}:{action.port}: i/o timeout")
    except ValueError as error:
        return Verdict(False, str(error))
    except OSError as error:
        return Verdict(False, _network_error("dial", host, port, error))
    return Verdict(True)


async def execute(runtime: Runtime, container_id: str, command: Sequence[str], timeout_s: float) -> Verdict:
    """Raises: RuntimeFailure, when the command could not be run at all."""
    try:
        result = await runtime.exec_sync(container_id, command, timeout_s)
    except TimeoutError as error:
        return Verdict(False, str(error) or f"command timed out after {timeout_s:g}s")
    text = (result.stdout + result.stderr).decode("utf-8", "replace")
    return Verdict(result.exit_code == 0, text)


async def grpc_health(action: GRPCAction, ip: str, timeout_s: float) -> Verdict:
    """`grpc.health.v1.Health/Check`: only SERVING is good."""
    import grpc.aio

    from navarch.wire.cri import encode_text, fields

    target = f"[{ip}]:{action.port}" if ":" in ip else f"{ip}:{action.port}"
    channel = grpc.aio.insecure_channel(target, options=(("grpc.enable_http_proxy", 0),))
    try:
        check: Any = channel.unary_unary("/grpc.health.v1.Health/Check")
        question = encode_text(1, action.service) if action.service else b""
        async with asyncio.timeout(timeout_s + 0.5):
            answer = await check(question, timeout=timeout_s)
        serving = dict(fields(answer)).get(1, 0) == 1
        names = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}
        status = names.get(int(dict(fields(answer)).get(1, 0)), "UNKNOWN")
        return Verdict(serving, "" if serving else f'service unhealthy (responded with "{status}")')
    except TimeoutError:
        return Verdict(False, f'timeout: failed to connect service "{target}" within {timeout_s:g}s')
    except grpc.aio.AioRpcError as error:
        if error.code() == grpc.StatusCode.UNIMPLEMENTED:
            text = "error: this server does not implement the grpc health protocol (grpc.health.v1.Health)"
            return Verdict(False, text)
        return Verdict(False, f"error: health rpc failed: {error.details()}")
    finally:
        await channel.close()
