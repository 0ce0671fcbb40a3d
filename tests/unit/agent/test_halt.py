"""Real processes, named by a file in place of the kernel's groups."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from navarch.agent import halt
from navarch.agent.cgroups import Cgroups, Hierarchy


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "1000"]) as process:
        yield process
        process.kill()


def group(folder: Path, *pids: int) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cgroup.procs").write_text("".join(f"{pid}\n" for pid in pids))
    return folder


def test_all_of_a_group_and_of_those_below_it_are_killed(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    group(tmp_path / "pids")
    group(tmp_path / "pids/inner", sleeper.pid)
    freezer = tmp_path / "freezer"
    freezer.mkdir()
    halt.kill(tmp_path / "pids", freezer)
    assert sleeper.wait(timeout=30) == -signal.SIGKILL
    assert (freezer / "freezer.state").read_text() == "THAWED"


def test_version_2_has_one_word_for_it(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    group(tmp_path, sleeper.pid)
    (tmp_path / "cgroup.kill").touch()
    halt.kill(tmp_path, None)
    assert (tmp_path / "cgroup.kill").read_text() == "1"
    assert sleeper.poll() is None  # left to the kernel


def test_a_group_that_is_gone_is_nothing_to_do(tmp_path: Path) -> None:
    halt.kill(tmp_path / "gone", tmp_path / "gone too")


def test_who_has_ended_meanwhile_is_passed_over(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    halt.kill(group(tmp_path, ended.pid, sleeper.pid), None)
    assert sleeper.wait(timeout=30) == -signal.SIGKILL


@pytest.mark.parametrize(
    ("script", "hears"),
    [("", False), ("signal.signal(signal.SIGTERM, print)", True), ("signal.signal(signal.SIGHUP, print)", False)],
)
def test_the_first_process_of_a_namespace_hears_what_it_asked_for(tmp_path: Path, script: str, hears: bool) -> None:
    words = [sys.executable, "-c", f"import signal, time; {script}\nprint('here', flush=True)\ntime.sleep(1000)"]
    unshare = ["unshare", "--pid", "--fork", "--kill-child", *words]
    with subprocess.Popen(unshare, stdout=subprocess.PIPE, text=True) as outside:
        assert outside.stdout is not None
        assert outside.stdout.readline() == "here\n"
        [inside] = Path(f"/proc/{outside.pid}/task/{outside.pid}/children").read_text().split()
        try:
            assert halt.hears(group(tmp_path, int(inside))) is hears
        finally:
            outside.kill()


def test_a_process_of_the_machines_own_namespace_hears_everything(tmp_path: Path, sleeper: subprocess.Popen) -> None:
    assert halt.hears(group(tmp_path, sleeper.pid))
    assert halt.hears(tmp_path / "gone")


def test_a_containers_group_is_found_whatever_its_pods_quality(tmp_path: Path) -> None:
    one, two = Hierarchy(None, {"pids": tmp_path / "pids"}), Hierarchy(tmp_path / "unified", {})
    for place in ("pids/navarch/burstable/podu/c", "unified/navarch/podu/c"):
        (tmp_path / place).mkdir(parents=True)
    assert Cgroups("/navarch", one).container("u", "c", "pids") == tmp_path / "pids/navarch/burstable/podu/c"
    assert Cgroups("/navarch", one).container("u", "c", "freezer") is None
    assert Cgroups("/navarch", one).container("u", "other", "pids") is None
    assert Cgroups("/navarch", two).container("u", "c", "pids") == tmp_path / "unified/navarch/podu/c"
    assert Cgroups("", one).container("u", "c", "pids") is None
