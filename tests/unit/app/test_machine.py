"""The steps of `up` that need no machine."""

from __future__ import annotations

from pathlib import Path

from navarch.app.layout import Layout
from navarch.app.machine import keep_private


def test_what_holds_secrets_is_for_root_alone(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "data", tmp_path / "run")
    layout.agent.mkdir(parents=True, mode=0o755)
    for _ in range(2):
        keep_private(layout)
        assert {folder.stat().st_mode & 0o777 for folder in (layout.database.parent, layout.agent)} == {0o700}
