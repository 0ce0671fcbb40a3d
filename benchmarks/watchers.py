"""1,000 watchers of the same pods, each on a TLS connection of its own: how soon the last of them has a change.

The time is from before the patch is sent until the last watcher has the whole event, and includes what this one process
takes to decrypt a thousand answers; CPU is the server's.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import orjson
import uvloop
from api import PODS, Server, label, pod
from ground import cpu_s, memory_mb
from load import connect, drive, request

WATCHERS = 1000
CHANGES = 40


class Seen:
    """Counts what each watcher was sent; `all_have` returns when every one has had so many events."""

    def __init__(self, count: int) -> None:
        self._seen = [0] * count
        self._wanted = 0
        self._behind = 0
        self._done: asyncio.Future[None] | None = None

    def counter(self, number: int) -> Callable[[bytes], None]:
        def count(data: bytes) -> None:
            events = data.count(b'"type":"MODIFIED"')
            before = self._seen[number]
            self._seen[number] = before + events
            if before < self._wanted <= before + events:
                self._behind -= 1
                if not self._behind and self._done is not None and not self._done.done():
                    self._done.set_result(None)

        return count

    def expect(self, total: int) -> asyncio.Future[None]:
        self._wanted = total
        self._behind = sum(have < total for have in self._seen)
        self._done = asyncio.get_running_loop().create_future()
        if not self._behind:
            self._done.set_result(None)
        return self._done


async def load(server: Server) -> dict[str, float]:
    context = server.context()
    writer = (await connect(1, server.port, context))[0]
    account = request("GET", "/api/v1/namespaces/default/serviceaccounts")
    while b'"name":"default"' not in await writer.ask(account):  # noqa: ASYNC110 - another process makes it
        await asyncio.sleep(0.05)
    await drive([writer], (request("POST", PODS, pod(f"k{number:05}")) for number in range(100)))
    listed = orjson.loads((await writer.ask(request("GET", f"{PODS}?limit=1"))).split(b"\r\n\r\n", 1)[1])
    since = listed["metadata"]["resourceVersion"]
    before_mb = memory_mb(server.pid)["rss_MB"]
    seen = Seen(WATCHERS)
    watchers = await connect(WATCHERS, server.port, context)
    for number, watcher in enumerate(watchers):
        watcher.on_data = seen.counter(number)
        watcher.send(request("GET", f"{PODS}?watch=1&resourceVersion={since}"))
    await asyncio.sleep(2)
    late = []
    spent = cpu_s(server.pid)
    for number in range(1, CHANGES + 1):
        all_have = seen.expect(number)
        began = time.perf_counter()
        await writer.ask(label(1, f"r{number}"))
        await asyncio.wait_for(all_have, 30)
        late.append(time.perf_counter() - began)
    spent = cpu_s(server.pid) - spent
    grown_mb = memory_mb(server.pid)["rss_MB"] - before_mb
    for one in (writer, *watchers):
        one.close()
    late.sort()
    return {
        f"last_of_{WATCHERS}_watchers_median_s": round(late[len(late) // 2], 4),
        f"last_of_{WATCHERS}_watchers_worst_s": round(late[-1], 4),
        "delivery_cpu_ms": round(spent / (CHANGES * WATCHERS) * 1000, 5),
        "memory_for_one_watcher_kB": round(grown_mb * 1024 / WATCHERS, 1),
    }


def measure() -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="navarch-benchmark-") as folder:
        server = Server(Path(folder))
        server.start()
        try:
            return uvloop.run(load(server))
        finally:
            server.stop()


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
