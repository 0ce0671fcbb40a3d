"""Which CPUs are given away together, on machines that were made up."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.agent.topology.cpus import Cpu, Layout, read_layout, take, take_near


def machine(sockets: int = 2, cores: int = 2, threads: int = 2) -> Layout:
    """Numbered as Linux does it: first one thread of every core, then the others. A NUMA node for each socket."""
    whole = sockets * cores
    return Layout(
        tuple(
            Cpu(thread * whole + socket * cores + core, (socket, core), socket, socket)
            for thread in range(threads)
            for socket in range(sockets)
            for core in range(cores)
        )
    )


MACHINE = machine()


def test_whole_sockets_then_cores_then_threads() -> None:
    assert take(MACHINE, MACHINE.all, 4) == {0, 1, 4, 5}
    assert take(MACHINE, MACHINE.all, 2) == {0, 4}
    assert take(MACHINE, MACHINE.all, 1) == {0}
    assert take(MACHINE, MACHINE.all - {0}, 1) == {4}, "the core that is shared already"
    assert take(MACHINE, MACHINE.all - {0}, 2) == {1, 5}, "a whole core on the fuller socket"
    assert take(MACHINE, MACHINE.all - {0}, 5) == {1, 2, 3, 6, 7} - {1} | {4}


def test_too_few_are_refused_with_the_counts() -> None:
    with pytest.raises(ValueError, match="requested=3, available=2"):
        take(MACHINE, frozenset({1, 2}), 3)


def test_near_first_and_the_rest_from_elsewhere() -> None:
    assert take_near(MACHINE, MACHINE.all, 2, {1}) == {2, 6}
    assert take_near(MACHINE, MACHINE.all, 5, {1}) >= {2, 3, 6, 7}
    assert take_near(MACHINE, MACHINE.all, 2, None) == {0, 4}


@given(
    st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 2)).flatmap(
        lambda sizes: st.tuples(st.just(machine(*sizes)), st.sets(st.sampled_from(sorted(machine(*sizes).all))))
    ),
    st.data(),
)
def test_what_is_taken_is_free_and_exactly_enough(made: tuple[Layout, set[int]], data: st.DataObject) -> None:
    layout, busy = made
    free = layout.all - busy
    count = data.draw(st.integers(0, len(free)))
    taken = take(layout, free, count)
    assert len(taken) == count
    assert taken <= free
    split = [core for core in {cpu.core for cpu in layout.cpus} if _some(layout, core, taken, free)]
    assert len(split) <= 1, "at most one core whose other threads were free is shared"
    near = data.draw(st.sets(st.sampled_from(sorted(layout.nodes))))
    chosen = take_near(layout, free, count, near)
    assert len(chosen) == count
    assert len(chosen & layout.on(near)) == min(count, len(free & layout.on(near)))


def _some(layout: Layout, core: tuple[int, int], taken: frozenset[int], free: frozenset[int]) -> bool:
    """Whether a core that was wholly free is now used in part."""
    threads = {cpu.id for cpu in layout.cpus if cpu.core == core}
    return threads <= free and 0 < len(threads & taken) < len(threads)


def test_the_machine_tells_how_it_is_laid_out(tmp_path: Path) -> None:
    for number, (socket, core) in enumerate([(0, 0), (0, 0), (1, 0), (1, 0)]):
        place = tmp_path / "cpu" / f"cpu{number}" / "topology"
        place.mkdir(parents=True)
        (place / "physical_package_id").write_text(f"{socket}\n")
        (place / "core_id").write_text(f"{core}\n")
    for node, cpus in ((0, "0-1"), (1, "2-3")):
        (tmp_path / "node" / f"node{node}").mkdir(parents=True)
        (tmp_path / "node" / f"node{node}" / "cpulist").write_text(f"{cpus}\n")
    (tmp_path / "node" / "node7").mkdir()
    found = read_layout(tmp_path, range(4))
    assert [(cpu.core, cpu.node) for cpu in found.cpus] == [((0, 0), 0), ((0, 0), 0), ((1, 0), 1), ((1, 0), 1)]
    bare = read_layout(tmp_path / "none", (0, 1))
    assert [(cpu.id, cpu.core, cpu.node) for cpu in bare.cpus] == [(0, (0, 0), 0), (1, (0, 1), 0)]
    assert read_layout().all, "this machine"
