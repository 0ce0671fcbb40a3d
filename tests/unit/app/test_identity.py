"""The identities of a one-machine cluster: made once, and the node's process reads no more than its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from navarch.app import identity
from navarch.app.layout import Layout, Settings
from navarch.base.errors import Retryable

SETTINGS = Settings("node-1", "192.0.2.9")


def test_the_node_finds_what_was_prepared(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "data", tmp_path / "run")
    made = identity.prepare(layout, SETTINGS)

    found = identity.load_node(layout)

    assert (found.ca, found.agent, found.node) == (made.ca, made.agent, made.node)
    assert identity.prepare(layout, SETTINGS) == made


def test_a_missing_identity_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(Retryable, match="`navarch up` makes it"):
        identity.load_node(Layout(tmp_path, tmp_path))


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("navarch.app.node", ("navarch.apiserver.core", "navarch.scheduler", "numpy", "navarch.store.sqlite", "apsw")),
        ("navarch.app.server", ("aiohttp", "grpc", "cryptography", "navarch.agent", "navarch.proxy.nft")),
        ("navarch.app.supervisor", ("asyncio", "orjson", "navarch.kinds")),
    ],
)
def test_a_process_imports_only_what_is_its_own(module: str, absent: tuple[str, ...]) -> None:
    ask = f"import sys, {module}; print([name for name in {absent} if name in sys.modules])"

    said = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)

    assert said.stdout.strip() == "[]"
