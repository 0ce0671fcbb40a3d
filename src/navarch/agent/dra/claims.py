"""The claims of this node's pods: prepared by their drivers before anything of the pod runs, given back when nothing of
it does any more, and in between what containers get with them.

What was prepared is kept through restarts of the agent (see `records`). Claims that pods share are seen to by one pod
at a time; a driver that hangs holds up those that need it, nobody else.

Source: https://kubernetes.io/docs/concepts/scheduling-eviction/dynamic-resource-allocation/
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from navarch.agent.devices import cdi
from navarch.agent.devices.extras import NOTHING, Extras
from navarch.agent.dra import records
from navarch.agent.dra.asked import Asked, ClaimFailure, Named, asks, checked, named, uses
from navarch.agent.dra.drivers import Drivers
from navarch.agent.dra.health import Healths
from navarch.agent.dra.records import Device, Key, Record
from navarch.agent.runtime import RuntimeFailure
from navarch.base.errors import NotFound
from navarch.base.log import Log
from navarch.base.pki import write_private
from navarch.client.client import Client
from navarch.kinds import RESOURCECLAIM
from navarch.kinds.pod import Pod
from navarch.kinds.podspec.container import Container

_log = Log("agent")


class DeviceClaims:
    """drivers: None on simulated nodes, where pods run without their devices. file: where it is written down.
    boot: which start of the machine this is. described: where drivers describe devices. healths: what they tell."""

    def __init__(
        self,
        client: Client,
        drivers: Drivers | None = None,
        file: Path = Path("/dev/null"),
        boot: str = "",
        described: Sequence[Path] = cdi.FOLDERS,
        healths: Healths | None = None,
    ) -> None:
        self.drivers = drivers
        self._client = client
        self._file = file
        self._boot = boot
        self._described = described
        self._healths = healths
        self._records: dict[Key, Record] = {}
        self._held: frozenset[str] = frozenset()
        self._dirty = False
        self._saving = asyncio.Lock()
        self._locks: dict[Key, asyncio.Lock] = {}
        self._seeing: Counter[Key] = Counter()

    async def load(self) -> None:
        """Read what an agent before this one wrote."""
        if self.drivers is None:
            return
        try:
            self._records = records.decode(await asyncio.to_thread(self._file.read_bytes), self._boot)
        except FileNotFoundError:
            return
        except (OSError, msgspec.MsgspecError) as error:
            text = "which claims are prepared cannot be read: those of running pods are prepared again"
            _log.error(text, file=self._file, error=error)
        self._count()

    async def _note(self, changed: Mapping[Key, Record | None]) -> None:
        """Write down what has changed; None forgets. Raises: OSError, and then it is written the next time."""
        for key, record in changed.items():
            if record is None:
                self._records.pop(key, None)
            else:
                self._records[key] = record
        self._dirty = self._dirty or bool(changed)
        self._count()
        async with self._saving:
            if self._dirty:
                self._dirty = False
                try:
                    await asyncio.to_thread(write_private, self._file, records.encode(self._boot, self._records))
                except BaseException:
                    self._dirty = True
                    raise

    def _count(self) -> None:
        self._held = frozenset(uid for record in self._records.values() for uid in record.pods)

    # what is known

    def pods(self) -> Iterable[str]:
        """The uids of those that hold claims."""
        return sorted(self._held)

    def facts(self, uid: str, pod: Pod) -> dict[str, Any]:
        """What a plan is to know, as members of `Facts`."""
        if self.drivers is None or not (uid in self._held or asks(pod)):
            return {}
        return {"claimed": self._ready(uid, pod), "holding": uid in self._held}

    def _ready(self, uid: str, pod: Pod) -> bool:
        try:
            keys = [(pod.metadata.namespace, one.name) for one in named(pod)]
        except ClaimFailure:  # told when they are to be prepared
            return False
        return records.ready(self._records, uid, keys)

    def healths(self, pod: Pod) -> dict[str, list[dict[str, Any]]]:
        """What the statuses of containers say of their devices, by name."""
        if self._healths is None or pod.metadata.uid not in self._held:
            return {}
        found = {one.name: self._health(pod, one, self._healths) for one in pod.spec.containers}
        return {name: told for name, told in found.items() if told}

    def _health(self, pod: Pod, container: Container, healths: Healths) -> list[dict[str, Any]]:
        made = {one.name: one.resource_claim_name for one in pod.status.resource_claim_statuses}
        claims = {one.name: one.resource_claim_name or made.get(one.name, "") for one in pod.spec.resource_claims}
        told = []
        for use in container.resources.claims:
            record = self._records.get((pod.metadata.namespace, claims.get(use.name, "")))
            found: dict[str, str] = {}
            for driver, device in records.devices_of(record, use.request) if record is not None else ():
                name = device.cdi[0] if device.cdi else f"{driver}/{device.pool}/{device.name}"
                found.setdefault(name, healths.of(driver, device.pool, device.name))
            if found:
                title = f"claim:{use.name}/{use.request}" if use.request else f"claim:{use.name}"
                listed = [{"resourceID": name, "health": health} for name, health in found.items()]
                told.append({"name": title, "resources": listed})
        return told

    def given(self, pod: Pod, container: Container) -> dict[Key, list[tuple[str, Device]]]:
        """By claim that the container uses, (driver, device) of what it has of it."""
        found: dict[Key, list[tuple[str, Device]]] = {}
        for claim, request in uses(pod, container):
            if (record := self._records.get((pod.metadata.namespace, claim))) is not None:
                listed = found.setdefault(record.key, [])
                listed += [one for one in records.devices_of(record, request) if one not in listed]
        return found

    async def extras(self, pod: Pod, container: Container) -> Extras:
        """What the container is started with besides what its pod says. Raises: RuntimeFailure."""
        if self.drivers is None or not asks(pod):
            return NOTHING
        names: dict[str, None] = {}
        for claim, request in uses(pod, container):
            record = self._records.get((pod.metadata.namespace, claim))
            if record is None:
                text = f"unable to get claim info for ResourceClaim {claim} in namespace {pod.metadata.namespace}"
                raise RuntimeFailure(f"internal error: {text}", reason="CreateContainerConfigError")
            for _, device in records.devices_of(record, request):
                names |= dict.fromkeys(device.cdi)
        return await asyncio.to_thread(cdi.resolve, tuple(names), self._described) if names else NOTHING

    # preparing and giving back

    async def prepare(self, pod: Pod) -> None:
        """Raises: ClaimFailure, ApiError, Retryable, OSError."""
        if self.drivers is None:
            return
        claims = named(pod)
        async with self._alone((pod.metadata.namespace, one.name) for one in claims):
            asked = [await self._fetched(pod, one) for one in claims]
            for driver in dict.fromkeys(driver for one in asked for driver in one.drivers):
                self.drivers.find(driver)
            planned = records.preparing(self._records, pod.metadata.uid, asked)
            await self._note(planned.changed)
            found: dict[str, dict[str, tuple[Device, ...]]] = {one.uid: {} for one in planned.open}
            for driver, batch in planned.calls.items():
                for uid, devices in (await self.drivers.prepare(driver, batch)).items():
                    found[uid][driver] = devices
            await self._note({one.key: replace(one, drivers=found[one.uid], prepared=True) for one in planned.open})

    async def _fetched(self, pod: Pod, one: Named) -> Asked:
        """Raises: ClaimFailure, ApiError, Retryable."""
        try:
            claim = await self._client.get(RESOURCECLAIM, pod.metadata.namespace, one.name)
        except NotFound as error:
            raise ClaimFailure(f"fetch ResourceClaim {one.name}: {error}") from error
        return checked(pod, claim.document(), own=one.own)

    async def unprepare(self, uid: str) -> None:
        """All that the pod holds. Raises: ClaimFailure, OSError."""
        if self.drivers is None:
            return
        async with self._alone(record.key for record in records.held_by(self._records, uid)):
            planned = records.unpreparing(self._records, uid)
            for driver, batch in planned.calls.items():
                await self.drivers.unprepare(driver, batch)
            await self._note({**planned.changed, **dict.fromkeys(one.key for one in planned.open)})

    @contextlib.asynccontextmanager
    async def _alone(self, keys: Iterable[Key]) -> AsyncIterator[None]:
        """Nobody else sees to these claims meanwhile."""
        async with contextlib.AsyncExitStack() as stack:
            for key in sorted(set(keys)):
                self._seeing[key] += 1
                stack.callback(self._leave, key)
                await stack.enter_async_context(self._locks.setdefault(key, asyncio.Lock()))
            yield

    def _leave(self, key: Key) -> None:
        self._seeing[key] -= 1
        if not self._seeing[key]:
            del self._seeing[key], self._locks[key]
