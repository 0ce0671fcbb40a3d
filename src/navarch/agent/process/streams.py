"""Exec, attach and port-forward on host processes: the far end of what clients' streams are passed on to.

Whoever serves clients opens a SPDY session to a runtime. Here that session ends in this process, on a pair of sockets:
its streams are joined to the pipes or the terminal of a command that `runc` runs, to the socket on which `conmon` lets
others listen to a process, or to a connection made in a pod's network.

Source: https://github.com/containers/conmon (the attach socket and `ctl`)
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

from navarch.agent.cristreams import EXEC_PROTOCOL, FORWARD_PROTOCOL, Dialed, Wanted
from navarch.agent.process import reach
from navarch.agent.process.terminal import Terminal
from navarch.agent.runtime import RuntimeFailure
from navarch.base.errors import Retryable
from navarch.base.log import Log
from navarch.wire.dialed import SocketTunnel
from navarch.wire.spdy import Session, SpdyError, Stream

_log = Log("agent")

OPENED_S = 30.0
"""How long a client may take to open the streams that it asked for."""
PIECE_BYTES = 8192
STDOUT, STDERR = 2, 3
"""How conmon marks what comes from a process."""
Streams = Mapping[str, Stream]


def outcome(code: int, command: Sequence[str] = ()) -> bytes:
    """What the error stream says at the end of a command."""
    if code == 0:
        return b'{"metadata":{},"status":"Success"}'
    text = f"command terminated with non-zero exit code: exit status {code}"
    cause = {"reason": "ExitCode", "message": str(code)}
    return _status("NonZeroExitCode", text, {"causes": [cause]})


def trouble(error: BaseException) -> bytes:
    return _status("InternalError", str(error), {})


def _status(reason: str, text: str, details: Mapping[str, object]) -> bytes:
    found = {"metadata": {}, "status": "Failure", "reason": reason, "message": text, "details": details}
    return json.dumps(found).encode()


def size_of(message: bytes) -> tuple[int, int] | None:
    """(rows, columns) out of what a client says of its terminal; None where it says nothing useful."""
    try:
        said = json.loads(message)
        rows, columns = int(said["Height"]), int(said["Width"])
    except (ValueError, KeyError, TypeError):
        return None
    return (rows, columns) if 0 < rows < 1 << 16 and 0 < columns < 1 << 16 else None


class ProcessStreams:
    """`run` must be running: what it serves ends with it."""

    def __init__(self, processes: reach.Reachable) -> None:
        self._processes = processes
        self._group: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                self._group = None

    async def exec(
        self, container_id: str, command: Sequence[str], wanted: Wanted, offered: Sequence[str] = ()
    ) -> Dialed:
        """Raises: RuntimeFailure."""
        argv = self._processes.exec_command(container_id, command, tty=wanted.tty)

        async def serve(session: Session) -> None:
            streams = await opened(session, wanted)
            try:
                await (_on_terminal if wanted.tty else _on_pipes)(argv, streams, command)
            except (RuntimeFailure, OSError) as error:
                await _say(streams["error"], trouble(error))

        return self._begin(serve, _chosen(offered))

    async def attach(self, container_id: str, wanted: Wanted, offered: Sequence[str] = ()) -> Dialed:
        """Raises: RuntimeFailure."""
        processes = self._processes
        address = processes.attach_address(container_id)

        async def serve(session: Session) -> None:
            streams = await opened(session, wanted)
            try:
                await _attached(address, streams, lambda rows, columns: processes.resize(container_id, rows, columns))
            except OSError as error:
                await _say(streams["error"], trouble(error))

        return self._begin(serve, _chosen(offered))

    async def port_forward(self, sandbox_id: str) -> Dialed:
        """Raises: RuntimeFailure."""
        netns = self._processes.netns(sandbox_id)

        async def serve(session: Session) -> None:
            waiting: dict[str, Stream] = {}
            async with asyncio.TaskGroup() as group:
                while (arrived := await session.accept()) is not None:
                    stream, headers = arrived
                    request = headers.get("requestid", headers.get("port", ""))
                    if headers.get("streamtype") == "error":
                        waiting[request] = stream
                    elif request in waiting:
                        group.create_task(_forward(netns, headers.get("port", ""), stream, waiting.pop(request)))

        return self._begin(serve, FORWARD_PROTOCOL)

    def _begin(self, serve: Callable[[Session], Awaitable[None]], protocol: str) -> Dialed:
        """The end of a pair of sockets at which a client's session goes in. Raises: RuntimeFailure."""
        if self._group is None:
            raise RuntimeFailure("the agent is stopping")
        ours, theirs = socket.socketpair()
        for end in (ours, theirs):
            end.setblocking(False)
        near = SocketTunnel(ours)

        async def play() -> None:
            try:
                async with Session(near) as session:
                    await serve(session)
            except* (SpdyError, ConnectionError, TimeoutError):  # the client went away
                _log.debug("a stream to a host process was left")
            except* (Retryable, OSError) as failed:
                _log.warning("a stream to a host process broke", error=failed.exceptions[0])

        self._group.create_task(play())
        return Dialed(SocketTunnel(theirs), protocol)


def _chosen(offered: Sequence[str]) -> str:
    """Of what a client speaks: the newest of SPDY's, unless it speaks only older ones."""
    return EXEC_PROTOCOL if not offered or EXEC_PROTOCOL in offered else offered[0]


async def opened(session: Session, wanted: Wanted) -> dict[str, Stream]:
    """The streams of a command, by their type, once the client has opened all. Raises: SpdyError, TimeoutError."""
    names = {"error"} | {name for name in ("stdin", "stdout") if getattr(wanted, name)}
    names |= {"stderr"} if wanted.stderr and not wanted.tty else set()
    names |= {"resize"} if wanted.tty else set()
    found: dict[str, Stream] = {}
    async with asyncio.timeout(OPENED_S):
        while names - found.keys():
            arrived = await session.accept()
            if arrived is None:
                raise SpdyError("the client left before it had opened its streams")
            found[arrived[1].get("streamtype", "")] = arrived[0]
    return found


async def _say(stream: Stream, text: bytes) -> None:
    with contextlib.suppress(SpdyError):
        await stream.write(text)
        await stream.close()


async def _pieces(stream: Stream | None) -> AsyncIterator[bytes]:
    """Of what a client sends, to its end or until it goes."""
    if stream is not None:
        with contextlib.suppress(SpdyError):
            while data := await stream.read():
                for start in range(0, len(data), PIECE_BYTES):
                    yield data[start : start + PIECE_BYTES]


async def _on_pipes(argv: Sequence[str], streams: Streams, command: Sequence[str]) -> None:
    """Raises: OSError."""
    pipe, nothing = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
    ways = {name: pipe if name in streams else nothing for name in ("stdin", "stdout", "stderr")}
    process = await asyncio.create_subprocess_exec(
        *argv, stdin=ways["stdin"], stdout=ways["stdout"], stderr=ways["stderr"], start_new_session=True
    )

    async def put_in(target: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            async for data in _pieces(streams.get("stdin")):
                target.write(data)
                await target.drain()
        target.close()

    async def bring_out(source: asyncio.StreamReader, stream: Stream) -> None:
        while data := await source.read(1 << 15):
            await stream.write(data)
        await stream.close()

    try:
        async with asyncio.TaskGroup() as group:
            feeding = group.create_task(put_in(process.stdin)) if process.stdin is not None else None
            outputs = [(process.stdout, "stdout"), (process.stderr, "stderr")]
            pumps = [group.create_task(bring_out(one, streams[name])) for one, name in outputs if one is not None]
            if pumps:
                await asyncio.wait(pumps)
            code = await process.wait()
            if feeding is not None:
                feeding.cancel()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    await _say(streams["error"], outcome(code, command))


async def _on_terminal(argv: Sequence[str], streams: Streams, command: Sequence[str]) -> None:
    """Raises: OSError."""
    async with Terminal(argv) as terminal:

        async def put_in() -> None:
            async for data in _pieces(streams.get("stdin")):
                await terminal.write(data)

        async def resize() -> None:
            async for message in _pieces(streams["resize"]):
                if (size := size_of(message)) is not None:
                    terminal.resize(*size)

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(put_in()), group.create_task(resize())]
            while data := await terminal.read():
                if "stdout" in streams:
                    await streams["stdout"].write(data)
            code = await terminal.wait()
            for task in tasks:
                task.cancel()
    if "stdout" in streams:
        await streams["stdout"].close()
    await _say(streams["error"], outcome(code, command))


async def _attached(address: str, streams: Streams, resize: Callable[[int, int], None]) -> None:
    """Until the process ends, or whoever listens goes. Raises: OSError."""
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as line:
        line.setblocking(False)
        await asyncio.to_thread(line.connect, address)

        async def put_in() -> None:
            async for data in _pieces(streams.get("stdin")):
                await loop.sock_sendall(line, data)
            if "stdin" in streams:
                with contextlib.suppress(OSError):  # it has ended
                    line.shutdown(socket.SHUT_WR)

        async def follow_size() -> None:
            async for message in _pieces(streams.get("resize")):
                if (size := size_of(message)) is not None:
                    with contextlib.suppress(OSError):
                        await asyncio.to_thread(resize, *size)

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(put_in()), group.create_task(follow_size())]
            while data := await loop.sock_recv(line, 1 << 16):
                stream = streams.get("stderr" if data[0] == STDERR else "stdout")
                if stream is not None:
                    await stream.write(data[1:])
            for task in tasks:
                task.cancel()
    for name in ("stdout", "stderr"):
        if name in streams:
            await streams[name].close()
    await _say(streams["error"], outcome(0))


async def _forward(netns: str, port: str, data: Stream, error: Stream) -> None:
    try:
        reader, writer = await reach.connect(netns, int(port))
    except (OSError, ValueError) as why:
        words = os.strerror(why.errno) if isinstance(why, OSError) and why.errno else str(why)
        await _say(error, f"failed to connect to localhost:{port} inside the pod's network: {words}".encode())
        await _say(data, b"")
        return

    async def up() -> None:
        async for piece in _pieces(data):
            writer.write(piece)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()

    try:
        with contextlib.suppress(OSError, SpdyError):
            async with asyncio.TaskGroup() as group:
                sending = group.create_task(up())
                while piece := await reader.read(1 << 15):
                    await data.write(piece)
                sending.cancel()
    except* (OSError, SpdyError):  # either end went away
        pass
    finally:
        writer.close()
    await _say(data, b"")
    await _say(error, b"")
