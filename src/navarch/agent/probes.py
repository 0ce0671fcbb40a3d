"""Probes: for each container instance that runs, one task that checks it as its spec says and keeps the verdict.

A task tells its pod only when the verdict turns. Liveness and readiness wait until the startup probe has passed; a
container that failed its liveness or startup probe is not probed any more, since it is about to be stopped.

Source: https://kubernetes.io/docs/concepts/configuration/liveness-readiness-startup-probes/
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from navarch.agent.config import VERSION
from navarch.agent.facts import Health
from navarch.agent.handlers import Verdict, execute, grpc_health, http_get, tcp_connect
from navarch.agent.runtime import Container as Instance
from navarch.agent.runtime import Runtime, RuntimeFailure
from navarch.base.clock import Clock, Ids
from navarch.kinds.podspec.container import Container, Probe

USER_AGENT = "kube-probe/" + ".".join(VERSION.removeprefix("v").split(".")[:2])

Tell = Callable[[str, str], None]
"""(reason, message) of a warning event about the container."""


@dataclass(frozen=True, slots=True)
class Tally:
    """How often in a row a probe said the same. Pure: `counted` gives the next one."""

    ok: bool | None = None
    run: int = 0

    def counted(self, ok: bool) -> Tally:
        return Tally(ok, self.run + 1 if ok == self.ok else 1)

    def settled(self, probe: Probe) -> bool:
        """Whether the threshold for the present verdict is reached."""
        if self.ok is None:
            return False
        return self.run >= (probe.success_threshold if self.ok else probe.failure_threshold)


@dataclass(slots=True)
class _Watched:
    container: Container
    instance: Instance
    ip: str
    health: Health
    task: asyncio.Task[None] | None = None


def needs_probing(container: Container) -> bool:
    return any((container.startup_probe, container.liveness_probe, container.readiness_probe))


class PodProbes:
    """The probes of one pod. group: where its tasks live. wake: called when a verdict turned."""

    def __init__(
        self,
        runtime: Runtime,
        clock: Clock,
        ids: Ids,
        group: asyncio.TaskGroup,
        wake: Callable[[], None],
        tell: Callable[[str, str, str, str], None],
        count: Callable[[str, str, str], None],
    ) -> None:
        """tell: (container, type, reason, message) of an event. count: (type, result, container) of a check."""
        self._runtime = runtime
        self._clock = clock
        self._ids = ids
        self._group = group
        self._wake = wake
        self._tell = tell
        self._count = count
        self._watched: dict[str, _Watched] = {}
        self.ending = False
        """The pod is being stopped: whether it is ready still matters, but nothing is restarted any more."""

    @property
    def health(self) -> Mapping[str, Health]:
        return {container_id: watched.health for container_id, watched in self._watched.items()}

    def watch(self, container: Container, instance: Instance, ip: str, was_ready: bool) -> None:
        """See to it that a running instance is probed. was_ready: it was found running and counted as ready before."""
        if instance.id in self._watched or not needs_probing(container):
            return
        health = Health(
            started=was_ready or container.startup_probe is None,
            ready=was_ready or container.readiness_probe is None,
        )
        watched = self._watched[instance.id] = _Watched(container, instance, ip, health)
        watched.task = self._group.create_task(self._probe_all(watched, was_ready))

    def keep_only(self, container_ids: set[str]) -> None:
        """Stop probing every other instance."""
        for container_id in self._watched.keys() - container_ids:
            watched = self._watched.pop(container_id)
            if watched.task is not None:
                watched.task.cancel()

    def _set(self, watched: _Watched, health: Health) -> None:
        if health != watched.health:
            watched.health = health
            self._wake()

    async def _probe_all(self, watched: _Watched, was_ready: bool) -> None:
        container = watched.container
        if container.startup_probe is not None and not watched.health.started:
            await self._probe(watched, "startup", container.startup_probe, resumed=was_ready)
            if watched.health.failed or not watched.health.started:
                return
        async with asyncio.TaskGroup() as group:
            if container.readiness_probe is not None:
                group.create_task(self._probe(watched, "readiness", container.readiness_probe, resumed=was_ready))
            if container.liveness_probe is not None:
                group.create_task(self._probe(watched, "liveness", container.liveness_probe, resumed=was_ready))

    async def _probe(self, watched: _Watched, kind: str, probe: Probe, *, resumed: bool) -> None:
        """Check until the verdict is final: startup once it passed, liveness once it failed, readiness never."""
        age_s = (self._clock.now() - (watched.instance.started_at or watched.instance.created_at)).total_seconds()
        wait_s = max(0.0, probe.initial_delay_seconds - max(0.0, age_s))  # the clock may have been set back since
        if resumed:  # many were found at once: they are not to be checked all in the same moment
            wait_s += self._ids.fraction() * probe.period_seconds
        await self._clock.sleep(wait_s)
        tally = Tally()
        while not self.ending or kind == "readiness":
            try:
                verdict = await self._check(watched, probe)
            except RuntimeFailure as error:  # nothing was found out, which counts neither way
                self._count(kind.title(), "unknown", watched.container.name)
                text = f"{kind.title()} probe errored and resulted in unknown state: {error}"
                self._tell(watched.container.name, "Warning", "Unhealthy", text)
                await self._clock.sleep(probe.period_seconds)
                continue
            self._count(kind.title(), "successful" if verdict.ok else "failed", watched.container.name)
            if not verdict.ok and not watched.health.failed:
                text = f"{kind.title()} probe failed: {verdict.text}"
                self._tell(watched.container.name, "Warning", "Unhealthy", text)
            tally = tally.counted(verdict.ok)
            if tally.settled(probe) and self._conclude(watched, kind, probe, verdict):
                return
            await self._clock.sleep(probe.period_seconds)

    def _conclude(self, watched: _Watched, kind: str, probe: Probe, verdict: Verdict) -> bool:
        """Take the verdict over; True when this probe has nothing more to find out."""
        health = watched.health
        if kind == "readiness":
            self._set(watched, replace(health, ready=verdict.ok))
            return False
        if not verdict.ok:
            grace_s = probe.termination_grace_period_seconds
            self._set(watched, replace(health, ready=False, failed=kind, message=verdict.text, grace_s=grace_s))
            return True
        if kind == "startup":
            self._set(watched, replace(health, started=True))
            return True
        return False

    async def _check(self, watched: _Watched, probe: Probe) -> Verdict:
        """Raises: RuntimeFailure: nothing could be found out (the runtime is away, no such program)."""
        timeout_s = float(probe.timeout_seconds)
        container, ip = watched.container, watched.ip
        if probe.http_get is not None:
            return await http_get(probe.http_get, container, ip, timeout_s, USER_AGENT)
        if probe.tcp_socket is not None:
            return await tcp_connect(probe.tcp_socket, container, ip, timeout_s)
        if probe.grpc is not None:
            return await grpc_health(probe.grpc, ip, timeout_s)
        if probe.exec is not None:
            return await execute(self._runtime, watched.instance.id, probe.exec.command, timeout_s)
        return Verdict(True)
