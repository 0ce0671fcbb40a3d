"""What is kept of host processes, and read again by an agent that starts anew."""

from __future__ import annotations

import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from navarch.agent.process import record
from navarch.agent.process.record import Box, Held, Shelf
from navarch.agent.runtime import ContainerState

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
BOX = Box(id="b", namespace="ns", name="pod", uid="u", attempt=1, created_at=AT, labels={"a": "b"}, ips=("10.0.0.1",))
HELD = Held(id="c", box="b", uid="u", name="main", attempt=2, image="host", created_at=AT, annotations={"n": "v"})


def shelf(folder: Path) -> Shelf:
    made = Shelf(folder / "p")
    made.prepare()
    return made


def test_records_are_read_as_they_were_written(tmp_path: Path) -> None:
    kept = shelf(tmp_path)
    kept.keep(BOX)
    kept.keep(HELD)
    assert list(kept.boxes()) == [BOX]
    assert list(kept.containers()) == [HELD]
    kept.forget(HELD)
    kept.forget(BOX)
    kept.forget(BOX)
    assert (list(kept.boxes()), list(kept.containers())) == ([], [])


@given(st.binary(max_size=40))
def test_what_cannot_be_read_is_a_stray_and_hurts_nobody(garbage: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        kept = shelf(Path(folder))
        kept.keep(HELD)
        broken = kept.container("broken")
        broken.mkdir()
        (broken / "record.json").write_bytes(b"{" + garbage)
        assert list(kept.containers()) == [HELD]
        assert list(kept.strays({"c"})) == [broken]
        kept.clear(broken)
        assert not list(kept.strays({"c"}))


def test_the_end_of_a_process_is_what_its_watcher_wrote(tmp_path: Path) -> None:
    kept = shelf(tmp_path)
    kept.keep(HELD)
    assert kept.ending(HELD) is None
    (kept.exits / "c").write_text("137")
    (kept.exits / ".c.tmp").write_text("")
    found = kept.ending(HELD)
    assert found is not None
    assert found[0] == 137
    assert kept.exited() == {"c"}
    assert not kept.out_of_memory(HELD)
    (kept.container("c") / "oom").touch()
    assert kept.out_of_memory(HELD)


def test_states_follow_from_what_is_known() -> None:
    running = msgspec.structs.replace(HELD, started_at=AT)
    ended = msgspec.structs.replace(running, finished_at=AT)
    states = [one.state for one in (HELD, running, ended)]
    assert states == [ContainerState.CREATED, ContainerState.RUNNING, ContainerState.EXITED]
    assert running.shown().scheme == "host-process"
    assert BOX.shown().ips == ()
    assert msgspec.structs.replace(BOX, ready=True).shown().ips == ("10.0.0.1",)


def test_a_process_is_told_from_a_later_one_of_the_same_id() -> None:
    birth = record.birth_of(os.getpid())
    assert record.lives(os.getpid(), birth)
    assert not record.lives(os.getpid(), birth + 1)
    assert not record.lives(0, 0)
    assert record.birth_of(2**22 + 1) == 0
