"""Runs `runc`, which makes the process, and `conmon`, which stays beside it: writes its log, and how it ended.

Neither needs us: a process and its watcher go on while the agent is away, and are found again by their ids.

Source: https://github.com/containers/conmon; runc(8)
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from navarch.agent.process.record import Held, Shelf
from navarch.agent.runtime import ExecResult, RuntimeFailure

RUNC_S = 60.0
MOST_OUTPUT_BYTES = 16 << 20
"""Of a command in a container: what is more is dropped."""
PLACES = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/libexec/podman"
SYNC, START = "_OCI_SYNCPIPE", "_OCI_STARTPIPE"
REOPEN = "2 0 0\n"
"""What conmon is told through its pipe `ctl` for it to open its log anew."""


@dataclass(frozen=True, slots=True)
class Programs:
    """Paths; "" for what is not there."""

    runc: str = ""
    conmon: str = ""

    @property
    def missing(self) -> str:
        """What to do about it; "" when nothing is."""
        lacking = [name for name, path in (("runc", self.runc), ("conmon", self.conmon)) if not path]
        if not lacking:
            return ""
        return f"host processes need {' and '.join(lacking)}: install the package{'s' if len(lacking) > 1 else ''}"


def find_programs() -> Programs:
    places = f"{os.environ.get('PATH', '')}:{PLACES}"
    return Programs(shutil.which("runc", path=places) or "", shutil.which("conmon", path=places) or "")


async def run(
    argv: Sequence[str], *, given: bytes = b"", timeout_s: float = RUNC_S, reason: str = "RuntimeError"
) -> ExecResult:
    """To its end, or as long as it may take. Raises: RuntimeFailure; TimeoutError, after it was killed."""
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.PIPE if given else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise RuntimeFailure(f"{argv[0]} cannot be run: {error.strerror}", reason=reason) from error
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        async with asyncio.timeout(timeout_s), asyncio.TaskGroup() as group:
            said = group.create_task(_read(process.stdout))
            complained = group.create_task(_read(process.stderr))
            if process.stdin is not None:
                process.stdin.write(given)
                process.stdin.close()
            await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return ExecResult(process.returncode or 0, said.result(), complained.result())


async def _read(stream: asyncio.StreamReader) -> bytes:
    kept = bytearray()
    while data := await stream.read(1 << 16):
        kept += data[: MOST_OUTPUT_BYTES - len(kept)]
    return bytes(kept)


class Launcher:
    def __init__(self, shelf: Shelf, programs: Programs) -> None:
        self._shelf = shelf
        self._executed = 0
        self.programs = programs

    def command(self, *words: str) -> list[str]:
        return [self.programs.runc, "--root", str(self._shelf.runc), *words]

    async def runc(self, *words: str, given: bytes = b"", reason: str = "RuntimeError") -> ExecResult:
        """Raises: RuntimeFailure, when it took too long or could not be run; what it refused is told by its code."""
        try:
            return await run(self.command(*words), given=given, reason=reason)
        except TimeoutError as error:
            raise RuntimeFailure(f"runc {words[0]} took over {RUNC_S:g} s", reason=reason) from error

    async def create(self, held: Held) -> tuple[int, int]:
        """Make the process, which waits to be started; returns its id and that of its watcher.

        Raises:
            RuntimeFailure: it cannot be made, in runc's words.
        """
        folder = self._shelf.container(held.id)
        reader, writer = os.pipe()
        try:
            try:
                await self._watch(held, folder, writer)
            finally:
                os.close(writer)
            answer = await _first_line(reader)
        finally:
            os.close(reader)
        try:
            told = orjson.loads(answer)
        except ValueError:
            told = {}
        pid = int(told.get("data", told.get("pid", -1)))
        if pid <= 0:
            text = str(told.get("message") or "its watcher ended without a word").strip()
            raise RuntimeFailure(f"OCI runtime create failed: {text}", reason="RunContainerError")
        return pid, await asyncio.to_thread(_number, folder / "conmon.pid")

    async def _watch(self, held: Held, folder: Path, told: int) -> None:
        """Raises: RuntimeFailure."""
        with (folder / "conmon.log").open("ab") as log:
            try:
                process = await asyncio.create_subprocess_exec(
                    *conmon(self.programs, self._shelf, held),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=folder,
                    env={**os.environ, SYNC: str(told)},
                    pass_fds=(told,),
                    start_new_session=True,
                )
            except OSError as error:
                text = f"{self.programs.conmon} cannot be run: {error.strerror}"
                raise RuntimeFailure(text, reason="RunContainerError") from error
        if await process.wait():
            said = (folder / "conmon.log").read_text(errors="replace").strip().splitlines()
            why = said[-1] if said else f"it ended with {process.returncode}"
            raise RuntimeFailure(f"conmon failed: {why}", reason="RunContainerError")

    def left(self, container_id: str) -> tuple[int, int]:
        """The ids of process and watcher, as they were written down by themselves; 0 for none. Blocks."""
        folder = self._shelf.container(container_id)
        return _number(folder / "pid"), _number(folder / "conmon.pid")

    async def start(self, container_id: str) -> None:
        """Raises: RuntimeFailure."""
        done = await self.runc("start", container_id, reason="RunContainerError")
        if done.exit_code:
            raise RuntimeFailure(f"OCI runtime start failed: {words(done)}", reason="RunContainerError")

    async def delete(self, container_id: str) -> None:
        """Forget it, with whatever of it still runs. Nothing there is fine. Raises: RuntimeFailure."""
        if not (self._shelf.runc / container_id).exists():
            return
        done = await self.runc("delete", "--force", container_id)
        if done.exit_code and (self._shelf.runc / container_id).exists():
            raise RuntimeFailure(f"runc does not delete {container_id}: {words(done)}")

    async def exec(self, container_id: str, command: Sequence[str], timeout_s: float) -> ExecResult:
        """Raises: RuntimeFailure, when the command cannot be run; TimeoutError, after it was killed."""
        self._executed += 1
        note = self._shelf.container(container_id) / f"exec-{self._executed}.pid"
        argv = self.command("exec", "--pid-file", str(note), container_id, *command)
        try:
            done = await run(argv, timeout_s=timeout_s)
        except TimeoutError as error:
            _kill(_number(note))
            raise TimeoutError(f"command {' '.join(command)!r} timed out after {timeout_s:g}s") from error
        finally:
            started = note.exists()
            note.unlink(missing_ok=True)
        if done.exit_code and not started:
            raise RuntimeFailure(f"failed to exec in container: {words(done)}")
        return done

    def reopen_log(self, container_id: str) -> None:
        """Raises: OSError."""
        self.tell(container_id, REOPEN)

    def tell(self, container_id: str, line: str) -> None:
        """Raises: OSError, when nobody reads its pipe any more."""
        pipe = os.open(self._shelf.container(container_id) / "ctl", os.O_WRONLY | os.O_NONBLOCK)
        try:
            os.write(pipe, line.encode())
        finally:
            os.close(pipe)


def conmon(programs: Programs, shelf: Shelf, held: Held) -> list[str]:
    """The command that makes the container and stays with it."""
    folder = shelf.container(held.id)
    argv = [programs.conmon, "--api-version", "1", "--cid", held.id, "--cuuid", held.id, "--name", held.id[:12]]
    argv += ["--runtime", programs.runc, "--runtime-arg=--root", f"--runtime-arg={shelf.runc}"]
    argv += ["--bundle", str(folder), "--container-pidfile", str(folder / "pid")]
    argv += ["--conmon-pidfile", str(folder / "conmon.pid"), "--exit-dir", str(shelf.exits)]
    argv += ["--socket-dir-path", str(shelf.sockets), "--log-level", "warning"]
    argv += ["--log-path", f"k8s-file:{held.log_path}" if held.log_path else "none"]
    argv += ["--terminal"] if held.tty else []
    argv += ["--stdin"] if held.stdin else []
    argv += ["--leave-stdin-open"] if held.stdin and not held.stdin_once else []
    return argv


def words(done: ExecResult) -> str:
    """The last line of what a program complained of, without the frame that runc puts around it."""
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    line = lines[-1] if lines else f"it ended with {done.exit_code}"
    return line.partition('msg="')[2].removesuffix('"').replace('\\"', '"') or line


async def _first_line(reader: int) -> bytes:
    """Of what somebody writes into a pipe until all of them close it. Raises: RuntimeFailure."""
    loop = asyncio.get_running_loop()
    os.set_blocking(reader, False)
    found, more = bytearray(), asyncio.Event()
    loop.add_reader(reader, more.set)
    try:
        async with asyncio.timeout(RUNC_S):
            while b"\n" not in found:
                await more.wait()
                more.clear()
                try:
                    data = os.read(reader, 1 << 16)
                except BlockingIOError:  # somebody woke us for nothing
                    continue
                if not data:
                    break
                found += data
    except TimeoutError as error:
        text = f"the process was not made within {RUNC_S:g} s"
        raise RuntimeFailure(text, reason="RunContainerError") from error
    finally:
        loop.remove_reader(reader)
    return bytes(found)


def _number(path: Path) -> int:
    try:
        return int(path.read_text().strip())
    except (OSError, ValueError):  # not written, or cut short
        return 0


def _kill(pid: int) -> None:
    if pid:
        try:
            os.kill(pid, 9)
        except ProcessLookupError:
            return
