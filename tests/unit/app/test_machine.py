"""The steps of `up` that need no machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from navarch.app import machine, supervisor
from navarch.app.layout import Layout, Settings, save_settings
from navarch.app.machine import keep_private
from navarch.app.nodenetwork import proxy_nodes
from navarch.app.provision import NotProvisioned


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The supervisor starts in `/`, from where a relative path leads elsewhere."""
    monkeypatch.setenv("PYTHONPATH", str(Path(machine.__file__).parents[2]))


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    found = Layout(tmp_path / "data", tmp_path / "run")
    for folder in (found.logs, found.run):
        folder.mkdir(parents=True)
    return found


@pytest.fixture
def supervised(layout: Layout) -> Iterator[Layout]:
    """A supervisor with one process that stays."""
    machine.start_processes(layout, [sleeper(layout, 60)])
    yield layout
    machine.stop_supervisor(layout)


def test_the_network_is_ours_unless_others_configuration_is_named(layout: Layout, tmp_path: Path) -> None:
    settings = Settings("n1", "192.0.2.1")
    save_settings(layout, settings)
    assert machine.containerd_settings(layout).cni_conf == layout.cni_config
    assert machine.pod_network(layout, settings).bridge == "navarch0"
    theirs = settings.having(cni_conf_dir=str(tmp_path / "net.d"), cni_bin_dir=str(tmp_path / "bin"))
    save_settings(layout, theirs)
    found = machine.containerd_settings(layout)
    assert (found.cni_conf, found.cni_bin_dir) == (tmp_path / "net.d", tmp_path / "bin")
    assert machine.pod_network(layout, theirs).bridge == ""
    (node, *_) = proxy_nodes(layout, theirs)
    assert (node.bridge, node.hides_pods) == ("", False)


def sleeper(layout: Layout, seconds: float) -> supervisor.Process:
    argv = (sys.executable, "-S", "-c", f"import time; print('here', flush=True); time.sleep({seconds})")
    return supervisor.Process("server", argv, str(layout.logs / "server.log"))


def say_state(layout: Layout, **server: Any) -> None:
    own = {"pid": os.getpid(), "birth": supervisor.birth_of(os.getpid())}
    layout.supervisor_state.write_text(json.dumps({"supervisor": own, "server": server}))


def test_what_holds_secrets_is_for_root_alone(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "data", tmp_path / "run")
    layout.agent.mkdir(parents=True, mode=0o755)
    for _ in range(2):
        keep_private(layout)
        assert {folder.stat().st_mode & 0o777 for folder in (layout.database.parent, layout.agent)} == {0o700}


def test_a_supervisor_that_cannot_start_is_told_at_once_with_the_end_of_its_log(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "data", Path("/proc/no-place-for-files"))
    with pytest.raises(NotProvisioned) as caught:
        machine.start_processes(layout, [])
    assert f"(exit code 1); the end of {layout.logs / 'supervisor.log'}:" in str(caught.value)
    assert str(caught.value).endswith("'/proc/no-place-for-files'")


def test_starting_again_leaves_what_runs_alone(supervised: Layout) -> None:
    before = supervisor.read_state(supervised.supervisor_state)
    assert before["supervisor"]["pid"]
    machine.start_processes(supervised, [sleeper(supervised, 60)])
    assert supervisor.read_state(supervised.supervisor_state) == before


def test_a_process_that_is_waited_for_in_vain_is_started_at_once_by_the_next_up(layout: Layout) -> None:
    broken = supervisor.Process("server", ("/no/such/program",), str(layout.logs / "server.log"))
    machine.start_processes(layout, [broken])
    try:
        first = supervisor.read_state(layout.supervisor_state)["supervisor"]["pid"]
        machine.start_processes(layout, [broken])
        assert supervisor.read_state(layout.supervisor_state)["supervisor"]["pid"] != first
    finally:
        machine.stop_supervisor(layout)


@pytest.mark.parametrize(
    ("server", "told"),
    [
        ({"pid": 0, "restarts": 3, "lastExit": "exit code 7"}, "the server does not stay up (exit code 7)"),
        ({"pid": 0, "restarts": 2, "lastExit": "exit code 7"}, ""),
        ({"pid": 4711, "restarts": 9, "lastExit": "exit code 7"}, ""),
    ],
)
def test_what_ends_again_and_again_is_not_waited_for(layout: Layout, server: dict[str, Any], told: str) -> None:
    say_state(layout, **server)
    (layout.logs / "server.log").write_text("one\nthe last word\n")
    assert machine.waiting_for(layout, "", "server") == ""
    if not told:
        assert machine.waiting_for(layout, "a socket", "server") == "a socket"
        return
    with pytest.raises(NotProvisioned) as caught:
        machine.waiting_for(layout, "a socket", "server")
    assert told in str(caught.value)
    assert str(caught.value).endswith("the last word")


def test_nothing_is_waited_for_without_a_supervisor(layout: Layout) -> None:
    with pytest.raises(NotProvisioned, match=r"the supervisor does not stay up .*nothing was written to"):
        machine.waiting_for(layout, "a socket", "server")


def test_a_machine_carries_one_cluster_and_the_other_is_named(supervised: Layout, tmp_path: Path) -> None:
    mine = Layout(tmp_path / "mine", tmp_path / "my-run")
    assert supervised not in supervisor.others(mine), "a supervisor without a cluster's settings is no cluster"
    save_settings(supervised, Settings("a", "192.0.2.1"))
    assert supervised in supervisor.others(mine)
    assert supervised not in supervisor.others(supervised)
    other = subprocess.run(
        [sys.executable, "-m", "navarch", "up", f"--data-dir={mine.data}", f"--run-dir={mine.run}"],
        env={**os.environ, "KUBECONFIG": str(tmp_path / "kubeconfig")},
        capture_output=True,
        text=True,
    )
    assert other.returncode == 1
    assert "another cluster is up on this machine, with its files in" in other.stderr
    assert not mine.data.exists()
