"""A slice of the race against subPaths; `.ci/soak subpath` runs it at its full count."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.robustness import subpathrace

pytestmark = pytest.mark.node


def test_no_part_of_a_volume_leads_out_of_it(tmp_path: Path) -> None:
    assert os.geteuid() == 0, "mounting needs root"
    found = subpathrace.play(tmp_path, 1, 400)
    assert found["wrong"] == []
    assert found["shown"] + found["refused"] == 400
    assert found["shown"], "it is a race only where something is shown"
    assert found["swaps"]
