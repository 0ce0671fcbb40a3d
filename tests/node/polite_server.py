"""A web server as people deploy it: told to end, it lets its clients go before it goes.

From SIGTERM on each answer says `Connection: close`; new connections are taken for as many seconds as its argument
says, and those that are open are waited for until they have been idle for two.
"""

import asyncio
import os
import signal
import sys

PORT = 8080
IDLE_S = 2.0


class Server:
    def __init__(self, linger_s):
        self.linger_s = linger_s
        self.ending = asyncio.Event()
        self.open = set()

    async def run(self):
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.ending.set)
        server = await asyncio.start_server(self.serve, "0.0.0.0", PORT, backlog=512)
        await self.ending.wait()
        await asyncio.sleep(self.linger_s)
        server.close()
        while self.open:
            await asyncio.wait(self.open)

    async def serve(self, reader, writer):
        self.open.add(asyncio.current_task())
        try:
            while await self.answer(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            self.open.discard(asyncio.current_task())

    async def answer(self, reader, writer):
        """False when the connection is to be closed."""
        head = await self.head(reader)
        if not head:
            return False
        last = self.ending.is_set() or b"connection: close" in head.lower()
        body = f"{os.uname().nodename}\n".encode()
        fate = "close" if last else "keep-alive"
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: {fate}\r\n\r\n".encode() + body)
        await writer.drain()
        return not last

    async def head(self, reader):
        """The next request; b"" when none came before the connection was idle for long enough."""
        reading = asyncio.ensure_future(reader.readuntil(b"\r\n\r\n"))
        ending = asyncio.ensure_future(self.ending.wait())
        try:
            await asyncio.wait((reading, ending), return_when=asyncio.FIRST_COMPLETED)
            if not reading.done():
                await asyncio.wait((reading,), timeout=IDLE_S)
            return reading.result() if reading.done() else b""
        finally:
            reading.cancel()
            ending.cancel()


async def main():
    await Server(float(sys.argv[1])).run()


asyncio.run(main())
