"""Real short processes: started, started again when they die, found again, and stopped in order."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from navarch.app.supervisor import alive, birth_of, read_state, stop


@pytest.fixture
def started(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    child = start(tmp_path)
    yield child
    child.terminate()
    child.wait(15)
    for entry in read_state(tmp_path / "run" / "supervisor.json").values():
        stop(entry["pid"], entry["birth"], 1)


def start(folder: Path) -> subprocess.Popen[bytes]:
    sleeper = [sys.executable, "-S", "-c", "import time; time.sleep(60)"]
    processes = [
        {"name": "first", "argv": sleeper, "log": str(folder / "log" / "first.log"), "needs": []},
        {"name": "second", "argv": sleeper, "log": str(folder / "log" / "second.log"), "needs": ["first"]},
    ]
    (folder / "processes.json").write_text(json.dumps(processes))
    return subprocess.Popen([sys.executable, "-m", "navarch.app.supervisor", str(folder), str(folder / "run")])


def wait_for(folder: Path, **unlike: int) -> dict[str, int]:
    """The ids of both processes, once they run and are other than `unlike`."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        found = {name: entry["pid"] for name, entry in read_state(folder / "run" / "supervisor.json").items()}
        if found.get("first") and found.get("second") and all(found[name] != pid for name, pid in unlike.items()):
            return found
        time.sleep(0.02)
    raise AssertionError(f"not running: {read_state(folder / 'run' / 'supervisor.json')}")


def test_what_dies_is_started_again(tmp_path: Path, started: subprocess.Popen[bytes]) -> None:
    pids = wait_for(tmp_path)
    os.kill(pids["first"], signal.SIGKILL)
    again = wait_for(tmp_path, first=pids["first"])
    assert again["second"] == pids["second"]
    entry = read_state(tmp_path / "run" / "supervisor.json")["first"]
    assert (entry["restarts"], entry["lastExit"]) == (1, "killed by signal 9")


def test_a_new_supervisor_finds_what_the_old_one_left(tmp_path: Path, started: subprocess.Popen[bytes]) -> None:
    pids = wait_for(tmp_path)
    started.kill()
    started.wait()
    again = start(tmp_path)
    try:
        found = wait_for(tmp_path, supervisor=pids["supervisor"])
        assert (found["first"], found["second"]) == (pids["first"], pids["second"])
        os.kill(found["second"], signal.SIGKILL)
        assert wait_for(tmp_path, second=found["second"])["first"] == pids["first"]
    finally:
        again.terminate()
        again.wait(15)
    assert birth_of(pids["first"]) == 0


def test_stopping_it_stops_all(tmp_path: Path, started: subprocess.Popen[bytes]) -> None:
    pids = wait_for(tmp_path)
    started.terminate()
    assert started.wait(15) == 0
    assert [birth_of(pids[name]) for name in ("first", "second")] == [0, 0]
    assert not (tmp_path / "run" / "supervisor.json").exists()


def test_a_reused_process_id_is_no_acquaintance() -> None:
    assert alive(os.getpid(), birth_of(os.getpid()))
    assert not alive(os.getpid(), birth_of(os.getpid()) - 1)
    assert not alive(0, 0)


def test_the_agent_is_told_that_the_machine_goes_down(tmp_path: Path) -> None:
    told = tmp_path / "told"
    line = f"import signal, pathlib\nsignal.signal(signal.SIGPWR, lambda *_: pathlib.Path({str(told)!r}).touch())\n"
    line += f"pathlib.Path({str(tmp_path / 'ready')!r}).touch()\nwhile True: signal.pause()"
    agent = {"name": "agent", "argv": [sys.executable, "-S", "-c", line], "log": str(tmp_path / "log"), "needs": []}
    (tmp_path / "processes.json").write_text(json.dumps([agent]))
    command = [sys.executable, "-m", "navarch.app.supervisor", str(tmp_path), str(tmp_path / "run")]
    with subprocess.Popen(command) as child:
        _until_there(tmp_path / "ready")
        before = read_state(tmp_path / "run" / "supervisor.json")["agent"]
        child.send_signal(signal.SIGPWR)
        _until_there(told)
        assert read_state(tmp_path / "run" / "supervisor.json")["agent"] == before, "it goes on"
        child.terminate()
        child.wait(15)


def _until_there(file: Path) -> None:
    deadline = time.monotonic() + 20
    while not file.exists():
        assert time.monotonic() < deadline, f"{file} did not come"
        time.sleep(0.02)
