"""Whether devices of drivers work, as far as their drivers tell it; pods show it in their status.

A driver tells for as long as it is there. What it does not repeat in its time is not known any more.

Source: https://github.com/kubernetes/enhancements/blob/master/keps/sig-node/4680-add-resource-health-to-pod-status/README.md
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from navarch.agent.dra.drivers import Instance
from navarch.base.clock import Clock
from navarch.base.log import Log
from navarch.wire.dra import HEALTH, HEALTH_SERVICE, HEALTH_VERSION, HEALTHY, UNHEALTHY

_log = Log("agent")

AGAIN_S = 5.0
"""Between tries to hear of a driver that stopped telling."""
LASTS_S = 30
"""What a driver tells holds so long, if it does not say how long."""
WORDS = {HEALTHY: "Healthy", UNHEALTHY: "Unhealthy"}
UNKNOWN = "Unknown"


class Healths:
    """changed: called when a device fails, recovers, or is not heard of any more."""

    def __init__(self, clock: Clock) -> None:
        self.changed: Callable[[], None] = lambda: None
        self._clock = clock
        self._told: dict[str, dict[tuple[str, str], tuple[str, float]]] = {}
        """By driver, and by pool and device: its health, and when (monotonic) that is too old."""

    def of(self, driver: str, pool: str, device: str) -> str:
        health, until = self._told.get(driver, {}).get((pool, device), (UNKNOWN, 0.0))
        return health if until > self._clock.monotonic() else UNKNOWN

    async def watch(self, instance: Instance) -> None:
        """For as long as the plugin is there, if it tells of health at all."""
        import grpc.aio

        if HEALTH_VERSION not in instance.plugin.versions:
            return
        driver = instance.plugin.name
        while True:
            timer: asyncio.TimerHandle | None = None
            watch = HEALTH.call(instance.channel, HEALTH_SERVICE, "NodeWatchResources")
            try:
                async for told in watch(HEALTH.make("NodeWatchResourcesRequest"), wait_for_ready=True):
                    lasts_s = self._take(driver, told.devices)
                    if timer is not None:
                        timer.cancel()
                    timer = asyncio.get_running_loop().call_later(lasts_s + 0.1, lambda: self.changed())
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.UNIMPLEMENTED:
                    return
                _log.info("a driver does not tell of its devices, asked again", driver=driver, error=error.details())
            finally:
                if timer is not None:
                    timer.cancel()
                if self._told.pop(driver, None):
                    self.changed()
            await self._clock.sleep(AGAIN_S)

    def _take(self, driver: str, devices: Any) -> int:
        """How long all of it holds."""
        known, now, different = self._told.setdefault(driver, {}), self._clock.monotonic(), False
        for each in devices:
            key, lasts_s = (each.device.pool_name, each.device.device_name), each.health_check_timeout_seconds
            before, health = self.of(driver, *key), WORDS.get(each.health, UNKNOWN)
            known[key] = (health, now + (lasts_s if lasts_s > 0 else LASTS_S))
            different = different or before != health
        if different:
            self.changed()
        return int(min((until - now for _, until in known.values() if until > now), default=LASTS_S))
