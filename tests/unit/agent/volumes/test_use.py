"""What is told of claims' volumes that are directories of this node."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

from navarch.agent import exposition
from navarch.agent.volumes.use import document, on_disk


def test_a_volume_has_what_its_file_system_has(tmp_path: Path) -> None:
    places = [("u", "data", ("default", "claim"), tmp_path), ("u", "lost", ("default", "x"), tmp_path / "gone")]
    [use] = on_disk(places)
    files = os.statvfs(tmp_path)
    assert use.total_bytes == files.f_blocks * files.f_frsize
    assert 0 < use.used_bytes < use.total_bytes
    assert use.inodes_used == use.inodes - use.inodes_free
    told = document(use, datetime(2030, 1, 1, tzinfo=UTC))
    assert told["pvcRef"] == {"name": "claim", "namespace": "default"}
    text = exposition.volumes([use]).decode()
    labels = '{namespace="default",persistentvolumeclaim="claim"}'
    assert f"kubelet_volume_stats_capacity_bytes{labels} {use.total_bytes}\n" in text
