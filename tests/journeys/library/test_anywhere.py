"""Where clusters may live (threads, loops that run, without rights), and that they leave nothing behind."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import navarch

MAP = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kept"}}
MANY = 20


def descriptors() -> list[str]:
    """What is open: sockets, files, pipes."""
    gc.collect()
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found.append(os.readlink(entry))
        except FileNotFoundError:
            continue  # the listing's own
    return found


def test_twenty_clusters_leave_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No file, thread, socket or task, though every third had a port."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with navarch.Cluster() as c:  # whatever is loaded once and for all
        assert c.kubeconfig.exists()
    threads, open_before = set(threading.enumerate()), descriptors()

    async def main() -> None:
        for number in range(MANY // 2):
            async with navarch.Cluster() as c:
                await c.apply(MAP)
                assert number % 3 or c.kubeconfig.parent.parent == tmp_path
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())
    for number in range(MANY // 2):
        with navarch.Cluster(frozen=True) as c:
            c.apply(MAP)
            assert number % 3 or c.kubeconfig.exists()
    assert set(threading.enumerate()) <= threads
    assert len(descriptors()) <= len(open_before), set(descriptors()) - set(open_before)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_when_the_test_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    threads = set(threading.enumerate())

    def failing() -> None:
        with navarch.Cluster() as c:
            assert c.kubeconfig.exists()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        failing()
    assert set(threading.enumerate()) <= threads
    assert list(tmp_path.iterdir()) == []


def test_in_threads() -> None:
    """Each has a cluster of its own; one cluster serves many threads."""

    def own(number: int) -> str:
        with navarch.Cluster(frozen=True) as c:
            c.apply({**MAP, "metadata": {"name": f"map-{number}"}})
            return str(c.client.get("configmaps", "default", f"map-{number}").name)

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(own, range(3))) == ["map-0", "map-1", "map-2"]
        with navarch.Cluster() as shared:

            def make(number: int) -> None:
                shared.apply({**MAP, "metadata": {"name": f"map-{number}"}})

            list(pool.map(make, range(9)))
            names = {found.name for found in shared.client.list("configmaps", "default").items}
            assert names >= {f"map-{number}" for number in range(9)}


def test_inside_a_loop_that_runs() -> None:
    """The plain face holds the loop up, as plain functions do; it works."""

    async def main() -> None:
        with navarch.Cluster() as c:
            c.apply(MAP)
            assert (await c.awaited.client.get("configmaps", "default", "kept")).name == "kept"
            await c.awaited.clock.advance(hours=1)

    asyncio.run(main())


def test_cell_by_cell_as_in_a_notebook() -> None:
    """One loop runs on for ever; each cell is a coroutine that it is handed."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    names: dict[str, Any] = {}

    def cell(coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(60)

    async def first() -> None:
        names["cluster"] = navarch.Cluster(nodes=2)
        names["c"] = await names["cluster"].__aenter__()

    async def second() -> Any:
        await names["c"].apply(MAP)
        return len((await names["c"].client.list("nodes")).items)

    async def third() -> None:
        await names["cluster"].__aexit__(None, None, None)

    try:
        cell(first())
        assert cell(second()) == 2
        cell(third())
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


WITHOUT_RIGHTS = """
import os, subprocess, sys, tempfile
import navarch

def use():
    with navarch.Cluster(nodes=2) as c:
        c.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kept"}})
        assert c.kubeconfig.stat().st_uid == os.geteuid()
        c.clock.advance(hours=1)
        return c.kubeconfig

use()  # loads what is loaded late: the files of the program need not be readable for everybody
if os.geteuid() == 0:
    os.setgroups([])
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
assert os.geteuid() != 0
try:
    open("/etc/navarch-test", "w")
    raise SystemExit("there are rights left")
except PermissionError:
    pass
left = use()
assert not left.parent.exists()
print("used as", os.geteuid())
"""


def test_as_a_user_without_rights() -> None:
    with tempfile.TemporaryDirectory(prefix="navarch-test-") as folder:
        Path(folder).chmod(0o777)
        done = subprocess.run(
            [sys.executable, "-c", WITHOUT_RIGHTS],
            env={**os.environ, "TMPDIR": folder, "HOME": "/nonexistent"},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("used as ")
        assert list(Path(folder).iterdir()) == []
