"""What an idle server holds in memory: none of the large libraries that only some requests need.

Each of them is 5 to 13 MB of a process that has 60. They are looked for where they show, among the files that the
process has mapped, so that it does not matter who loaded them, how, or when.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from serverprocess import ServerProcess

from navarch.app import identity
from navarch.app.layout import Settings, save_settings
from navarch.base.clock import SystemClock

HEAVY = ("aiohttp", "cryptography", "google", "grpc", "jwt", "prometheus_client")
BUNDLES = "/apis/certificates.k8s.io/v1beta1/clustertrustbundles"


def mapped(pid: int) -> set[str]:
    """The packages of which a process has compiled parts in memory."""
    files = re.findall(r"/site-packages/(\w+?)(?:\.libs)?[./]", Path(f"/proc/{pid}/maps").read_text())
    return set(files)


def test_an_idle_server_holds_no_large_library(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path / "data", tmp_path / "run")
    settings = Settings("robust", "127.0.0.1", api_port=server.port)
    save_settings(server.layout, settings)
    identity.prepare(server.layout, settings, SystemClock())  # as `up` does, before it starts the server
    try:
        server.start()
        assert server.process is not None
        pid = server.process.pid
        deadline = time.monotonic() + 60
        while not (found := server.ask(BUNDLES)[1].get("items")) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert found, "the controllers have done their first work"
        held = mapped(pid)
        assert {"apsw", "numpy"} <= held, "or this looks in the wrong place"
        assert not held & set(HEAVY), f"an idle server has loaded {sorted(held & set(HEAVY))}"
    finally:
        server.stop()


@pytest.mark.parametrize("module", ["navarch.app.server", "navarch.app.node"])
def test_what_a_process_imports_at_once_is_small(module: str) -> None:
    """node: its client speaks HTTP by `aiohttp` from the first moment on, and its runtime gRPC a little later."""
    allowed = {"aiohttp"} if module == "navarch.app.node" else set()
    program = f"import sys, {module}; print(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    loaded = set(said.stdout.split())
    assert "navarch" in loaded
    assert not loaded & set(HEAVY) - allowed
