"""Hears from logind that the machine goes down, and holds it up until the pods have had their time.

logind lets those wait who hold one of its locks, for as long as its own configuration allows; where that is less than
the pods are to have, a file of ours asks for more. What the pods are told meanwhile is the business of `shutdown`.

The D-Bus library is loaded where there is a bus, and a time to wait for. It blocks, so questions are asked in a thread;
the signal is read when the socket has something.

Source: https://systemd.io/INHIBITOR_LOCKS/;
https://www.freedesktop.org/software/systemd/man/latest/org.freedesktop.login1.html
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

from navarch.base.backoff import delay_s
from navarch.base.clock import Clock
from navarch.base.log import Log

_log = Log("agent")
T = TypeVar("T")

SOCKET = Path("/run/dbus/system_bus_socket")
OVERRIDE = Path("/etc/systemd/logind.conf.d/99-navarch.conf")
SERVICE, PATH, INTERFACE = "org.freedesktop.login1", "/org/freedesktop/login1", "org.freedesktop.login1.Manager"
SYSTEMD, SYSTEMD_PATH = "org.freedesktop.systemd1", "/org/freedesktop/systemd1"
SIGNAL = "PrepareForShutdown"
UNKNOWN = "org.freedesktop.DBus.Error.ServiceUnknown"
MICRO = 1_000_000
ANSWER_S = 5.0
RELOAD_S = 3.0
RELOAD_LOOK_S = 0.1
RETRIES = (1.0, 60.0)


class Refused(Exception):
    """logind, or the bus, did not do what it was asked. name: of the error on the bus."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"{name}: {text}" if text else name)
        self.name = name


class Shutdown(Protocol):
    """Whoever ends the pods."""

    finished: Any

    def begin(self) -> None: ...

    def call_off(self) -> None: ...


def bus_address() -> str:
    """Of the system's bus; "" where there is none."""
    if found := os.environ.get("DBUS_SYSTEM_BUS_ADDRESS"):
        return found
    return f"unix:path={SOCKET}" if SOCKET.is_socket() else ""


class Bus:
    """One connection, on which one question is asked at a time. All but `heard`, `fileno` and `close` block."""

    def __init__(self, address: str) -> None:
        """Raises: OSError, ValueError (the bus wants nothing to do with us)."""
        from jeepney.bus_messages import MatchRule, message_bus
        from jeepney.io.blocking import open_dbus_connection

        self._connection = open_dbus_connection(address, enable_fds=True)
        self._signals: deque[Any] = deque()
        rule = MatchRule(type="signal", interface=INTERFACE, member=SIGNAL, path=PATH)
        self._connection.filter(rule, queue=self._signals)
        self._ask(message_bus.AddMatch(rule))

    def _ask(self, message: Any) -> Any:
        """The first value of the answer, None when it has none. Raises: OSError, Refused."""
        from jeepney import HeaderFields, MessageType

        reply = self._connection.send_and_get_reply(message, timeout=ANSWER_S)
        if reply.header.message_type is MessageType.error:
            text = str(reply.body[0]) if reply.body else ""
            raise Refused(reply.header.fields.get(HeaderFields.error_name, "error"), text)
        return reply.body[0] if reply.body else None

    def property(self, name: str) -> Any:
        """Of logind's manager. Raises: OSError, Refused."""
        from jeepney import DBusAddress, Properties

        return self._ask(Properties(DBusAddress(PATH, SERVICE, INTERFACE)).get(name))[1]

    def inhibit(self) -> Any:
        """A lock that is held until it is closed. Raises: OSError, Refused."""
        from jeepney import DBusAddress, new_method_call

        said = ("shutdown", "navarch", "Pods get their time to end", "delay")
        return self._ask(new_method_call(DBusAddress(PATH, SERVICE, INTERFACE), "Inhibit", "ssss", said))

    def reload(self) -> None:
        """Have logind read its configuration again. Raises: OSError, Refused."""
        from jeepney import DBusAddress, new_method_call

        address = DBusAddress(SYSTEMD_PATH, SYSTEMD, f"{SYSTEMD}.Manager")
        self._ask(new_method_call(address, "KillUnit", "ssi", ("systemd-logind.service", "all", 1)))

    def fileno(self) -> int:
        return int(self._connection.sock.fileno())

    def heard(self) -> list[bool]:
        """What was signalled since: whether the machine goes down. Raises: OSError, when the bus has gone."""
        try:
            while True:
                self._connection.recv_messages(timeout=0)
        except TimeoutError:
            pass
        found = []
        while self._signals:
            body = self._signals.popleft().body
            if body and isinstance(body[0], bool):
                found.append(body[0])
        return found

    def close(self) -> None:
        self._connection.close()


class Logind:
    """needed_s: how long the machine is to wait for its pods. override: the file that asks logind for it."""

    def __init__(
        self, shutdown: Shutdown, needed_s: float, clock: Clock, address: str, override: Path = OVERRIDE
    ) -> None:
        self._shutdown = shutdown
        self._needed_s = needed_s
        self._clock = clock
        self._address = address
        self._override = override
        self._lock: Any = None
        self._known = False
        """Whether there has been a logind: then it comes back."""

    @property
    def holds(self) -> bool:
        """Whether the machine would wait."""
        return self._lock is not None

    async def run(self) -> None:
        """Until cancelled, or until it turns out that there is no logind."""
        failures = 0
        while True:
            try:
                bus = await _asked(Bus, self._address)
                try:
                    await self._take_lock(bus)
                    failures = 0
                    await self._listen(bus)
                finally:
                    self._release()
                    bus.close()
            except Refused as refused:
                if refused.name == UNKNOWN and not self._known:
                    _log.info("no logind here: a machine that goes down has to say so by SIGPWR")
                    return
                _log.warning("logind does not let us hold a shutdown up", error=refused)
            except (OSError, ValueError) as error:
                _log.warning("logind cannot be heard, will be tried again", error=error)
            failures += 1
            await self._clock.sleep(delay_s(failures - 1, *RETRIES))

    async def _take_lock(self, bus: Bus) -> None:
        """Raises: OSError, Refused."""
        allowed_s = (await _asked(bus.property, "InhibitDelayMaxUSec")) / MICRO
        if allowed_s < self._needed_s:
            allowed_s = await self._ask_for_more(bus)
        if allowed_s < self._needed_s:
            _log.warning(
                "logind will not wait as long as shutdownGracePeriod says: set InhibitDelayMaxSec in its configuration",
                wanted_s=self._needed_s,
                allowed_s=allowed_s,
            )
        lock = await _asked(bus.inhibit)
        self._release()
        self._lock, self._known = lock, True
        self._shutdown.finished = self._release

    async def _ask_for_more(self, bus: Bus) -> float:
        """How long logind waits now. Raises: OSError, Refused."""
        await _asked(self._write_override)
        await _asked(bus.reload)
        until = self._clock.monotonic() + RELOAD_S
        while True:
            allowed_s = float(await _asked(bus.property, "InhibitDelayMaxUSec")) / MICRO
            if allowed_s >= self._needed_s or self._clock.monotonic() >= until:
                return allowed_s
            await self._clock.sleep(RELOAD_LOOK_S)

    def _write_override(self) -> None:
        self._override.parent.mkdir(parents=True, exist_ok=True)
        seconds = int(-(-self._needed_s // 1))
        self._override.write_text(
            f"# Pods get their time when this machine goes down.\n[Login]\nInhibitDelayMaxSec={seconds}\n"
        )

    async def _listen(self, bus: Bus) -> None:
        """Until the bus goes. Raises: OSError, Refused."""
        if await _asked(bus.property, "PreparingForShutdown"):
            self._shutdown.begin()
        while True:
            heard = bus.heard()
            for down in heard:
                if down:
                    self._shutdown.begin()
                else:
                    self._shutdown.call_off()
                    await self._take_lock(bus)
            if not heard:
                with _readable(bus) as something:
                    await something.wait()

    def _release(self) -> None:
        """The machine need not wait for us any more."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None


async def _asked(question: Callable[..., T], *given: Any) -> T:
    """In a thread, which is waited for even when nobody wants the answer any more: the connection is its till then."""
    future = asyncio.get_running_loop().run_in_executor(None, partial(question, *given))
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        await asyncio.wait((future,))
        raise


@contextmanager
def _readable(bus: Bus) -> Iterator[asyncio.Event]:
    found, loop, number = asyncio.Event(), asyncio.get_running_loop(), bus.fileno()
    loop.add_reader(number, found.set)
    try:
        yield found
    finally:
        loop.remove_reader(number)
