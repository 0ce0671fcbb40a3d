"""The pages of the docs that bring up a machine: each is one shell, and whatever it leaves is taken down after it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "journeys"))
from real_cluster import one_cluster
from shell import environment, folder_of, name_of, pages, script


@pytest.mark.node
@pytest.mark.parametrize("page", pages(machine=True), ids=name_of)
def test_page_of_a_machine(page: Path, tmp_path: Path) -> None:
    work = folder_of(tmp_path)
    where = {**environment(tmp_path), "WORK": str(work)}
    with one_cluster():
        try:
            done = subprocess.run(
                ["bash", "-c", script(page)], cwd=work, env=where, capture_output=True, text=True, timeout=550
            )
        finally:
            left = subprocess.run([tmp_path / "bin" / "navarch", "down"], env=where, capture_output=True, text=True)
    print(done.stdout)
    assert done.returncode == 0, f"{done.stdout[-6000:]}\n{done.stderr[-3000:]}"
    assert left.returncode == 0, left.stdout + left.stderr
