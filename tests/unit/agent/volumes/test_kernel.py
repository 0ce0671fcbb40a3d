"""What the kernel says of mounts."""

from __future__ import annotations

import itertools
from pathlib import Path

from navarch.agent.volumes.kernel import mounts_below


def test_mounts_are_found_deepest_first() -> None:
    found = [str(point) for point in mounts_below(Path("/dev"))]
    assert found[-1] == "/dev"
    assert all(len(a) >= len(b) for a, b in itertools.pairwise(found))
