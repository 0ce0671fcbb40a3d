"""A logind of our own on a bus of our own: hands locks out, tells when they are gone, and signals what a test says."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from jeepney import DBusAddress, HeaderFields, MessageType, new_error, new_method_return, new_signal
from jeepney.bus_messages import message_bus
from jeepney.io.blocking import DBusConnection, open_dbus_connection

MANAGER = DBusAddress("/org/freedesktop/login1", "org.freedesktop.login1", "org.freedesktop.login1.Manager")
CONFIGURATION = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type><listen>unix:path={socket}</listen><auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/>
  </policy>
</busconfig>
"""


@contextlib.asynccontextmanager
async def bus(folder: Path) -> AsyncIterator[str]:
    """A message bus and its address."""
    socket, file = folder / "bus", folder / "bus.conf"
    file.write_text(CONFIGURATION.format(socket=socket))
    words = ["dbus-daemon", f"--config-file={file}", "--nofork", "--nopidfile", "--print-address=1"]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            assert await asyncio.to_thread(process.stdout.readline), "it says so once it listens"
            yield f"unix:path={socket}"
        finally:
            process.terminate()


class Login1:
    """delay_s: how long it lets others wait; what `reload` makes of it stands in `configured_s`."""

    def __init__(self, address: str, delay_s: float, configured_s: float | None = None) -> None:
        self._connection: DBusConnection = open_dbus_connection(address, enable_fds=True)
        self.delay_s = delay_s
        self.configured_s = configured_s
        self.preparing = False
        self.asked: list[tuple[Any, ...]] = []
        self._locks: list[int] = []
        for name in (MANAGER.bus_name, "org.freedesktop.systemd1"):
            self._connection.send_and_get_reply(message_bus.RequestName(name))

    def signal(self, down: bool) -> None:
        self.preparing = down
        self._connection.send(new_signal(MANAGER, "PrepareForShutdown", "b", (down,)))

    @property
    def held(self) -> int:
        """How many locks are not given back."""
        kept = []
        for end in self._locks:
            os.set_blocking(end, False)
            try:
                os.read(end, 1)
                os.close(end)
            except BlockingIOError:
                kept.append(end)
        self._locks = kept
        return len(kept)

    def step(self) -> bool:
        """Answer one question; False when there is none."""
        try:
            message = self._connection.receive(timeout=0)
        except TimeoutError:
            return False
        if message.header.message_type is not MessageType.method_call:
            return True
        member = message.header.fields[HeaderFields.member]
        self.asked.append((member, *message.body))
        self._answer(message, member)
        return True

    def _answer(self, message: Any, member: str) -> None:
        if member == "Get":
            found = {
                "InhibitDelayMaxUSec": ("t", int(self.delay_s * 1_000_000)),
                "PreparingForShutdown": ("b", self.preparing),
            }[message.body[1]]
            self._connection.send(new_method_return(message, "v", (found,)))
        elif member == "Inhibit":
            ours, theirs = os.pipe()
            self._connection.send(new_method_return(message, "h", (theirs,)))
            os.close(theirs)
            self._locks.append(ours)
        elif member == "KillUnit":
            self.delay_s = self.delay_s if self.configured_s is None else self.configured_s
            self._connection.send(new_method_return(message))
        else:
            self._connection.send(new_error(message, "org.freedesktop.DBus.Error.UnknownMethod"))

    async def serve(self) -> None:
        """Until cancelled."""
        while True:
            if not self.step():
                await asyncio.sleep(0.005)

    def close(self) -> None:
        self._connection.close()
        for end in self._locks:
            os.close(end)
