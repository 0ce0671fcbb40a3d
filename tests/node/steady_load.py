"""Asks URLs without end, and tells at a port of its own what became of it.

Arguments: that port, how many ask at once each way, the pause in milliseconds after an answer, the URLs. Half of those
that ask make a connection for each request, the others keep theirs until the server says otherwise. A request is tried
once: what is not answered with 200 within a minute has failed.
"""

import asyncio
import json
import sys
import time
from urllib.parse import urlsplit

PATIENCE_S = 60.0
MOST_TOLD = 2000


class Load:
    def __init__(self, pause_s):
        self.pause_s = pause_s
        self.requests = self.connections = 0
        self.failed = []
        self.answers = []

    def document(self):
        """answers: (when, seconds), the latest."""
        times = sorted(took for _, took in self.answers)
        return {
            "requests": self.requests,
            "connections": self.connections,
            "failed": self.failed[:MOST_TOLD],
            "failures": len(self.failed),
            "slowest_s": round(times[-1], 4) if times else 0.0,
            "p99_s": round(times[len(times) * 99 // 100], 4) if times else 0.0,
            "last_s": self.answers[-1][0] if self.answers else 0.0,
        }

    async def ask(self, url, keep):
        way = ("keep " if keep else "new ") + url
        parts = urlsplit(url)
        stream = None
        while True:
            begun = time.monotonic()
            self.requests += 1
            try:
                async with asyncio.timeout(PATIENCE_S):
                    if stream is None:
                        stream = await asyncio.open_connection(parts.hostname, parts.port or 80)
                        self.connections += 1
                    stays = await self.one(stream, parts, keep)
            except (OSError, EOFError, TimeoutError, ValueError) as error:
                self.failed.append(
                    (begun, way, f"{type(error).__name__} {error} after {time.monotonic() - begun:.3f} s")
                )
                stays = False
                await asyncio.sleep(0.1)
            else:
                self.answers.append((begun, time.monotonic() - begun))
            if not stays and stream is not None:
                stream[1].close()
                stream = None
            await asyncio.sleep(self.pause_s)

    async def one(self, stream, parts, keep):
        """Whether the connection can be used again. Raises: as the connection does; ValueError, for another status."""
        reader, writer = stream
        fate = "keep-alive" if keep else "close"
        writer.write(f"GET / HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: {fate}\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.partition("content-length: ")[2].split("\r\n")[0])
        await reader.readexactly(length)
        if not head.startswith("http/1.1 200"):
            raise ValueError(head.split("\r\n")[0])
        return keep and "connection: close" not in head

    async def tell(self, reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        body = json.dumps(self.document()).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()


async def main():
    port, workers, pause_ms, *urls = sys.argv[1:]
    load = Load(int(pause_ms) / 1000)
    server = await asyncio.start_server(load.tell, "0.0.0.0", int(port))
    async with server, asyncio.TaskGroup() as group:
        for url in urls:
            for _ in range(int(workers)):
                group.create_task(load.ask(url, keep=True))
                group.create_task(load.ask(url, keep=False))


asyncio.run(main())
