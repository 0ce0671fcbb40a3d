"""Keeps the cluster's processes running: starts them, starts them again when they die, stops them in order.

It knows processes, not clusters: a list of command lines comes in, what became of them goes to a state file. It can be
killed and started again without touching what it watches: it finds the processes it left by their id and start time.
Sockets that the agent hands over are kept for the next one (`keeping`).
Only the standard library is imported, since it stays in memory for as long as the cluster.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from navarch.app.keeping import Shelf
from navarch.app.layout import Layout, write_atomically

BACKOFF_S = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0)
STEADY_S = 30.0
STOP_S = 10.0
AGENT = "agent"
"""The process that is told when the machine is about to go down, and whose sockets are kept."""
MODULE = "navarch.app.supervisor"


@dataclass(frozen=True, slots=True)
class Process:
    """needs: names of processes that are started before this one and stopped after it."""

    name: str
    argv: tuple[str, ...]
    log: str
    needs: tuple[str, ...] = ()


@dataclass(slots=True)
class Running:
    """pid 0: not running. due: the monotonic time of the next start."""

    process: Process
    pid: int = 0
    birth: int = 0
    descriptor: int = -1
    started: float = 0.0
    restarts: int = 0
    strikes: int = 0
    due: float = 0.0
    last_exit: str = ""
    shelf: Shelf = field(default_factory=Shelf)


@dataclass(slots=True)
class Supervisor:
    """Call `run` once. state_file: see `Layout.supervisor_state`."""

    state_file: Path
    processes: Sequence[Process]
    running: dict[str, Running] = field(default_factory=dict)
    stopping: bool = False

    def run(self) -> None:
        """Until SIGTERM or SIGINT; then stops everything, in reverse order."""
        wake_read, wake_write = os.pipe()
        os.set_blocking(wake_write, False)
        signal.set_wakeup_fd(wake_write)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_stop)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGPWR, self._on_power_fails)
        left = self._left_behind()
        for process in self.processes:
            self.running[process.name] = left.get(process.name) or Running(process)
        poller = select.poll()
        poller.register(wake_read, select.POLLIN)
        while not self.stopping:
            self._start_due(poller)
            self._save()
            for descriptor, _ in poller.poll(self._wait_ms()):
                if descriptor == wake_read:
                    os.read(wake_read, 512)
                elif not self._handed_over(descriptor, poller):
                    self._ended(descriptor, poller)
            self._reap()
        self._stop_all()
        self.state_file.unlink(missing_ok=True)

    def _on_stop(self, *_: object) -> None:
        self.stopping = True

    def _on_power_fails(self, *_: object) -> None:
        """The machine is about to go down: pods are the agent's to end, who is told."""
        one = self.running.get(AGENT)
        if one is not None and alive(one.pid, one.birth):
            os.kill(one.pid, signal.SIGPWR)

    def _left_behind(self) -> dict[str, Running]:
        """Processes of an earlier supervisor that still live, told apart from strangers by their start time."""
        found: dict[str, Running] = {}
        by_name = {process.name: process for process in self.processes}
        for name, entry in read_state(self.state_file).items():
            process = by_name.get(name)
            if process and entry["pid"] and birth_of(entry["pid"]) == entry["birth"]:
                found[name] = Running(process, entry["pid"], entry["birth"], restarts=entry["restarts"])
        return found

    def _start_due(self, poller: select.poll) -> None:
        for one in self.running.values():
            if one.pid and one.descriptor < 0:
                one.descriptor = os.pidfd_open(one.pid)
                one.started = time.monotonic()
                poller.register(one.descriptor, select.POLLIN)
            ready = all(self.running[name].pid for name in one.process.needs)
            if not one.pid and ready and time.monotonic() >= one.due:
                self._start(one, poller)

    def _start(self, one: Running, poller: select.poll) -> None:
        Path(one.process.log).parent.mkdir(parents=True, exist_ok=True)
        keeps = one.process.name == AGENT  # others would only pass the descriptor on to what they start
        said, inherited = one.shelf.open() if keeps else ({}, ())
        with open(one.process.log, "ab") as log:
            try:
                child = subprocess.Popen(
                    one.process.argv,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    env=os.environ | {"NAVARCH_PROCESS": one.process.name} | said,
                    pass_fds=inherited,
                )
            except OSError as error:
                one.shelf.close()
                one.last_exit = f"cannot start {one.process.argv[0]}: {error}"
                one.restarts += 1
                self._later(one)
                return
        one.pid, one.birth = child.pid, birth_of(child.pid)
        child.returncode = 0  # this loop reaps by itself
        one.started = time.monotonic()
        one.descriptor = os.pidfd_open(one.pid)
        poller.register(one.descriptor, select.POLLIN)
        if keeps:
            poller.register(one.shelf.begun(), select.POLLIN)

    def _handed_over(self, descriptor: int, poller: select.poll) -> bool:
        """Whether it was this that the descriptor told."""
        for one in self.running.values():
            if one.shelf.descriptor == descriptor:
                if not one.shelf.read():
                    poller.unregister(descriptor)
                    one.shelf.close()
                return True
        return False

    def _ended(self, descriptor: int, poller: select.poll) -> None:
        for one in self.running.values():
            if one.descriptor == descriptor:
                poller.unregister(descriptor)
                os.close(descriptor)
                if one.shelf.descriptor >= 0:
                    self._handed_over(one.shelf.descriptor, poller)  # its last words
                one.last_exit = exit_of(one.pid)
                one.pid, one.birth, one.descriptor = 0, 0, -1
                one.restarts += 1
                if time.monotonic() - one.started > STEADY_S:
                    one.strikes = 0
                self._later(one)

    def _later(self, one: Running) -> None:
        one.due = time.monotonic() + BACKOFF_S[min(one.strikes, len(BACKOFF_S) - 1)]
        one.strikes += 1

    def _wait_ms(self) -> int | None:
        due = [one.due for one in self.running.values() if not one.pid]
        return max(1, int((min(due) - time.monotonic()) * 1000) + 1) if due else None

    def _reap(self) -> None:
        """Collect children that are none of ours (a daemon's orphans)."""
        mine = {one.pid for one in self.running.values()}
        while True:
            try:
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if found is None or found.si_pid in mine:
                return
            os.waitpid(found.si_pid, os.WNOHANG)

    def _stop_all(self) -> None:
        for process in reversed(self.processes):
            one = self.running[process.name]
            if one.pid:
                stop(one.pid, one.birth, STOP_S)

    def _save(self) -> None:
        entries = {
            name: {
                "pid": one.pid,
                "birth": one.birth,
                "restarts": one.restarts,
                "lastExit": one.last_exit,
            }
            for name, one in self.running.items()
        }
        own = {"pid": os.getpid(), "birth": birth_of(os.getpid()), "restarts": 0, "lastExit": ""}
        write_atomically(self.state_file, json.dumps({**entries, "supervisor": own}), 0o644)


def read_state(path: Path) -> dict[str, dict[str, Any]]:
    """What a supervisor last said, name -> pid, birth, restarts, lastExit; {} where none has spoken."""
    try:
        found: dict[str, dict[str, Any]] = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    return found


def birth_of(pid: int) -> int:
    """When a process was started, in clock ticks since boot; 0 when there is none. Tells reused ids apart."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    after_name = text.rpartition(")")[2].split()
    return 0 if after_name[0] == "Z" else int(after_name[19])


def alive(pid: int, birth: int) -> bool:
    return bool(pid) and birth_of(pid) == birth


def exit_of(pid: int) -> str:
    """How a process that has just ended came to it: reaps it if it is our child."""
    try:
        _, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return "ended"
    return exit_text(os.waitstatus_to_exitcode(status))


def exit_text(code: int) -> str:
    """code: negative for the number of a signal."""
    return f"killed by signal {-code}" if code < 0 else f"exit code {code}"


def others(layout: Layout) -> list[Layout]:
    """The clusters that supervisors of this network namespace run, other than that of `layout`; paths are absolute.

    Told by their command lines: a cluster that has ended, however it did, leaves nothing behind that says otherwise.
    """
    found = []
    home = os.stat("/proc/self/ns/net")
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_text().split("\0")[:-1]
            if (
                words[1:3] != ["-m", MODULE]
                or len(words) != 5
                or not os.path.samestat(home, os.stat(folder / "ns/net"))
            ):
                continue
        except (OSError, UnicodeDecodeError):  # it has ended meanwhile, or is not ours to look at
            continue
        other = Layout(Path(words[3]), Path(words[4]))
        root = folder / "root"  # it may live in a root of its own
        if other.data != layout.data and (root / other.settings.relative_to("/")).exists():
            found.append(other)
    return found


def stop(pid: int, birth: int, patience_s: float) -> None:
    """End a process: SIGTERM, and SIGKILL when it is still there after `patience_s`."""
    if not alive(pid, birth):
        return
    descriptor = os.pidfd_open(pid)
    try:
        for number, wait_s in ((signal.SIGTERM, patience_s), (signal.SIGKILL, 5.0)):
            signal.pidfd_send_signal(descriptor, number)
            if select.select([descriptor], [], [], wait_s)[0]:
                break
    except ProcessLookupError:
        return
    finally:
        os.close(descriptor)


def main(argv: Sequence[str]) -> int:
    """`python -m navarch.app.supervisor DATA RUN`: reads the process list that `up` wrote, and runs."""
    layout = Layout(Path(argv[0]), Path(argv[1]))
    found = json.loads((layout.data / "processes.json").read_text())
    processes = [Process(p["name"], tuple(p["argv"]), p["log"], tuple(p["needs"])) for p in found]
    Supervisor(layout.supervisor_state, processes).run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
