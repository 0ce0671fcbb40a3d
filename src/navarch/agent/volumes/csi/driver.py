"""A driver's node service over its socket, and all drivers that have registered on this node.

Source: https://github.com/container-storage-interface/spec/blob/master/spec.md#node-service-rpc
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from navarch.agent.runtime import RuntimeFailure
from navarch.wire.cri import open_channel
from navarch.wire.csi import API

CALL_S = 120.0
"""A call that takes longer is given up, and made again."""
COMING_S = 2.0
"""So long a driver is waited for that is not there (yet): after the agent's start all of them register anew."""
UNCERTAIN = frozenset(("CANCELLED", "DEADLINE_EXCEEDED", "UNAVAILABLE", "RESOURCE_EXHAUSTED", "ABORTED"))
"""What leaves open whether the call has had an effect, or is having it still."""


class CallFailure(RuntimeFailure):
    """final: the call has no effect, neither now nor later."""

    def __init__(self, code: str, text: str) -> None:
        name = "".join(word.capitalize() for word in code.split("_")).replace("Cancelled", "Canceled")
        super().__init__(f"rpc error: code = {name} desc = {text}", reason="FailedMount")
        self.code = code
        self.final = code not in UNCERTAIN


class Driver:
    """The channel to one driver; opened when first needed, and again by itself when the driver was away."""

    def __init__(self, name: str, endpoint: str) -> None:
        self.name = name
        self.endpoint = endpoint
        self._channel: Any = None

    async def call(self, method: str, **fields: Any) -> Any:
        """A method of the node service. Raises: CallFailure."""
        import grpc.aio

        if self._channel is None:
            self._channel = open_channel(Path(self.endpoint))
        request = API.make(f"{method}Request", **fields)
        try:
            return await API.call(self._channel, "Node", method)(request, timeout=CALL_S)
        except grpc.aio.AioRpcError as error:
            raise CallFailure(error.code().name, error.details() or "") from error

    async def capabilities(self) -> frozenset[int]:
        """As `wire.csi.NodeCan`. Raises: CallFailure."""
        answer = await self.call("NodeGetCapabilities")
        return frozenset(one.rpc.type for one in answer.capabilities)

    async def close(self) -> None:
        if self._channel is not None:
            channel, self._channel = self._channel, None
            await channel.close()


class Drivers:
    """Those that have registered, by name."""

    def __init__(self) -> None:
        self._drivers: dict[str, Driver] = {}
        self._more = asyncio.Event()

    def add(self, driver: Driver) -> Driver | None:
        """Returns the one whose place it takes."""
        before = self._drivers.get(driver.name)
        self._drivers[driver.name] = driver
        self._more.set()
        self._more = asyncio.Event()
        return before

    def drop(self, name: str) -> Driver | None:
        return self._drivers.pop(name, None)

    async def close(self) -> None:
        """The channels to all of them; the drivers stay known."""
        for driver in self._drivers.values():
            await driver.close()

    def find(self, name: str) -> Driver | None:
        return self._drivers.get(name)

    async def get(self, name: str) -> Driver:
        """Raises: RuntimeFailure, when no such driver registers soon."""
        try:
            async with asyncio.timeout(COMING_S):
                while (found := self._drivers.get(name)) is None:
                    await self._more.wait()
        except TimeoutError as error:
            text = f"driver name {name} not found in the list of registered CSI drivers"
            raise RuntimeFailure(text, reason="FailedMount") from error
        return found
