"""A sandbox that containerd will not let go of keeps nobody from removing the cluster."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from navarch.agent import cri
from navarch.agent.runtime import RuntimeFailure
from navarch.app import containerd, teardown


class Stubborn:
    """Has three sandboxes, and fails to stop the second, as where its network cannot be destroyed."""

    removed: list[str] = []

    def __init__(self, *words: Any) -> None:
        self.removed.clear()

    async def observe(self) -> dict[str, Any]:
        return {name: SimpleNamespace(sandboxes=[SimpleNamespace(id=name)]) for name in "abc"}

    async def stop_sandbox(self, sandbox_id: str) -> None:
        if sandbox_id == "b":
            raise RuntimeFailure("failed to destroy network")

    async def remove_sandbox(self, sandbox_id: str) -> None:
        self.removed.append(sandbox_id)

    async def close(self) -> None:
        return None


def test_the_others_are_removed_and_the_one_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    async def answers(socket: Path) -> bool:
        return True

    monkeypatch.setattr(containerd, "answers", answers)
    monkeypatch.setattr(cri, "CriRuntime", Stubborn)
    said: list[str] = []
    settings = containerd.ContainerdSettings(Path("/nowhere"))
    asyncio.run(teardown._remove_containers(settings, said.append))
    assert sorted(Stubborn.removed) == ["a", "c"]
    assert "containerd does not let go of b: failed to destroy network" in said
