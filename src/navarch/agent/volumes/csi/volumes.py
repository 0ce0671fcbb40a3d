"""The maker of volumes of drivers: carries out what `order` says, one volume at a time, and writes it down.

Nothing is known for sure by an agent that has just started: for pods that run it asks the drivers for everything again,
which they must be able to hear twice, and for pods that have gone it takes everything back that it finds noted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from weakref import WeakValueDictionary

from navarch.agent.runtime import RuntimeFailure
from navarch.agent.volumes.csi import order
from navarch.agent.volumes.csi.attached import Attachments, WaitFailure
from navarch.agent.volumes.csi.calls import Asked, Calls
from navarch.agent.volumes.csi.context import Contexts
from navarch.agent.volumes.csi.driver import CallFailure, Drivers
from navarch.agent.volumes.csi.expand import Expander
from navarch.agent.volumes.csi.order import Call, Known, Step
from navarch.agent.volumes.csi.records import Note, Places
from navarch.agent.volumes.csi.stats import Shown, measured
from navarch.agent.volumes.csi.volume import ONE_POD, CsiVolume, csi_volume, is_given_to_group, misuse, title
from navarch.agent.volumes.maker import Made, Wanted
from navarch.agent.volumes.ownership import own_by_group
from navarch.agent.volumes.use import VolumeUse
from navarch.base.clock import Clock
from navarch.base.log import Log

_log = Log("agent")

Key = tuple[str, str]
"""(driver, handle)."""


@dataclass(slots=True)
class Visit:
    """What the agent has had to do with a pod's volumes. making: how many are being made at this moment. attached: what
    their attachers told of them."""

    touched: set[Key] = field(default_factory=set)
    shown: dict[Key, Shown] = field(default_factory=dict)
    attached: dict[Key, Mapping[str, str]] = field(default_factory=dict)
    making: int = 0
    leaving: bool = False
    idle: asyncio.Event = field(default_factory=asyncio.Event)
    look_at: datetime | None = None


class CsiVolumes:
    """What is noted on the disk is read once, when first needed. again_s: how often drivers that ask for it publish
    again, and claims are looked at for whether they have grown."""

    def __init__(
        self,
        drivers: Drivers,
        contexts: Contexts,
        attachments: Attachments,
        expander: Expander,
        places: Places,
        clock: Clock,
        again_s: float,
    ) -> None:
        self._drivers = drivers
        self._contexts = contexts
        self._attachments = attachments
        self._expander = expander
        self._places = places
        self._clock = clock
        self._again_s = again_s
        self._calls = Calls(contexts, places)
        self._known: dict[Key, Known] = {}
        self._notes: dict[tuple[Key, str], Note] = {}
        """By volume and the pod that it is published for, "" for its staging."""
        self._awaited: dict[tuple[Key, str], str] = {}
        """By volume and pod, the titles of volumes that are waited for and in no note yet."""
        self._visits: dict[str, Visit] = {}
        self._locks: WeakValueDictionary[Key, asyncio.Lock] = WeakValueDictionary()
        self._reading = asyncio.Lock()
        self._read = False

    # what the pods' storage asks for

    async def make(self, wanted: Wanted) -> Made:
        volume, uid = csi_volume(wanted), wanted.pod.metadata.uid
        with self._visit(uid) as visit:
            try:
                await self._make(wanted, volume, visit)
            except RuntimeFailure as error:
                raise _told(volume, error) from error
        path = self._places.target(volume, uid)
        claim = wanted.bound.claim["metadata"] if wanted.bound is not None else None
        named = (claim["namespace"], claim["name"]) if claim is not None else None
        staging = str(self._places.staging(volume))
        visit.shown[volume.key] = Shown(uid, wanted.volume.name, named, volume.handle, str(path), staging)
        return Made(path, wanted.read_only, device=volume.block)

    @contextmanager
    def _visit(self, uid: str) -> Iterator[Visit]:
        visit = self._visits.setdefault(uid, Visit())
        visit.making += 1
        visit.idle.clear()
        try:
            yield visit
        finally:
            visit.making -= 1
            if not visit.making:
                visit.idle.set()

    async def remove(self, uid: str) -> None:
        await self._read_notes()
        visit = self._visits.get(uid)
        if visit is not None and visit.making:
            visit.leaving = True
            await visit.idle.wait()
        touched = {key for key, pod in self._notes if pod == uid} | (visit.touched if visit is not None else set())
        for key in sorted(touched):
            await self._take_back(key, uid)
            self._awaited.pop((key, uid), None)
        if touched and self._attachments.has_told:
            await self._attachments.tell(self._in_use)
        self._contexts.forget(uid)
        self._visits.pop(uid, None)

    async def used(self) -> Sequence[VolumeUse]:
        """Of all pods' volumes whose drivers say it, by pods and volumes."""
        all_shown = [(key[0], shown) for visit in self._visits.values() for key, shown in visit.shown.items()]
        drivers = ((self._drivers.find(name), shown) for name, shown in all_shown)
        found = await measured((driver, shown) for driver, shown in drivers if driver is not None)
        return sorted(found, key=lambda use: (use.uid, use.name))

    def renew_at(self, uid: str) -> datetime | None:
        """When the pod's volumes are to be looked at again though nothing was heard; None for never."""
        visit = self._visits.get(uid)
        return visit.look_at if visit is not None else None

    # making

    async def _make(self, wanted: Wanted, volume: CsiVolume, visit: Visit) -> None:
        uid = wanted.pod.metadata.uid
        if visit.look_at is not None:  # also if this fails, which is tried again sooner
            visit.look_at = self._clock.now() + timedelta(seconds=self._again_s)
        await self._read_notes()
        rules = await self._contexts.rules(volume.driver)
        if problem := misuse(volume, rules):
            raise RuntimeFailure(problem, reason="FailedMount")
        self._refuse_second_pod(volume, uid)
        must_attach = not volume.ephemeral and (rules is None or rules.attach_required)
        visit.touched.add(volume.key)
        attachment: Mapping[str, str] = {}
        if must_attach:
            attachment = await self._attached(volume, uid, visit)
        driver = await self._drivers.get(volume.driver)
        can = await driver.capabilities()
        asked = Asked(wanted, volume, rules, driver, can, attachment, must_attach)
        republish = rules is not None and rules.requires_republish
        async with self._lock(volume.key):
            before = self._of(volume.key)
            for step in order.towards_published(before, uid, stages=not volume.ephemeral, again=republish):
                _refuse_if_leaving(visit)
                await self._carry_out(step, asked)
            if not before.published.get(uid) and wanted.fs_group is not None and is_given_to_group(volume, rules, can):
                await self._give_to_group(wanted, volume, uid)
        grows = await self._expander.grow(asked, self._places)
        if republish or grows:
            visit.look_at = self._clock.now() + timedelta(seconds=self._again_s)

    def _lock(self, key: Key) -> asyncio.Lock:
        """One volume is asked for one thing at a time; a lock lives as long as anybody holds it."""
        return self._locks.setdefault(key, asyncio.Lock())

    def _of(self, key: Key) -> Known:
        return self._known.get(key) or Known()

    async def _give_to_group(self, wanted: Wanted, volume: CsiVolume, uid: str) -> None:
        """Raises: OSError; all is asked for again then, and given once more."""
        policy, group = wanted.pod.spec.security_context.fs_group_change_policy, wanted.fs_group or 0
        published = self._of(volume.key)
        self._known[volume.key] = order.doubted(published, Step(Call.PUBLISH, uid))
        await asyncio.to_thread(own_by_group, self._places.target(volume, uid), group, policy=policy)
        self._known[volume.key] = published

    def _refuse_second_pod(self, volume: CsiVolume, uid: str) -> None:
        others = self._of(volume.key).published.keys() - {uid}
        if others and ONE_POD in volume.access_modes:
            text = f"volume uses the {ONE_POD} access mode and is already in use by another pod"
            raise RuntimeFailure(text, reason="FailedMount")

    async def _attached(self, volume: CsiVolume, uid: str, visit: Visit) -> Mapping[str, str]:
        if volume.key not in visit.attached:
            self._awaited[volume.key, uid] = title(volume)
            await self._attachments.tell(self._in_use)
            visit.attached[volume.key] = await self._attachments.wait(volume, lambda: visit.leaving)
        return visit.attached[volume.key]

    async def _carry_out(self, step: Step, asked: Asked) -> None:
        """Raises: CallFailure, RuntimeFailure, ApiError, Retryable, OSError."""
        volume = asked.volume
        request = await self._calls.request(step.call, asked)
        before = self._of(volume.key)
        note = asked.note(step)
        if (volume.key, step.uid) not in self._notes:
            await asyncio.to_thread(self._places.write, note)
            self._notes[volume.key, step.uid] = note
        known = self._known[volume.key] = order.begun(before, step)
        try:
            if request is not None:
                await self._calls.make(step.call, asked, request)
        except CallFailure as error:
            self._known[volume.key] = order.failed(before, known, step, final=error.final)
            await self._forget_where_nothing_is(volume.key, step.uid)
            raise
        self._known[volume.key] = order.done(known, step)
        self._awaited.pop((volume.key, step.uid), None)

    # taking back

    async def _take_back(self, key: Key, uid: str) -> None:
        """Raises: RuntimeFailure, OSError."""
        async with self._lock(key):
            for step in order.towards_removed(self._of(key), uid):
                note = self._notes.get((key, step.uid))
                if note is None:
                    continue
                try:
                    await self._undo(step, note)
                except CallFailure as error:
                    what = "UnmountVolume.TearDown" if step.call is Call.UNPUBLISH else "UnmountDevice"
                    text = f'{what} failed for volume "{note.name}" : {error}'
                    raise RuntimeFailure(text, reason="FailedUnMount") from error
            if self._of(key).nothing:
                self._known.pop(key, None)

    async def _undo(self, step: Step, note: Note) -> None:
        driver = await self._drivers.get(note.driver)
        known = self._known[note.key] = order.begun(self._of(note.key), step)
        await self._calls.take_back(step.call, driver, note)
        self._known[note.key] = order.done(known, step)
        await self._forget_where_nothing_is(note.key, step.uid)

    async def _forget_where_nothing_is(self, key: Key, uid: str) -> None:
        known = self._of(key)
        kept = uid in known.published if uid else known.staged is not None
        if not kept and (note := self._notes.pop((key, uid), None)) is not None:
            await asyncio.to_thread(self._places.forget, note)

    async def sweep(self, driver: str) -> None:
        """Unstage what an agent before this one left staged for nobody. Called when the driver has registered."""
        await self._read_notes()
        for (key, uid), note in list(self._notes.items()):
            known = self._of(key)
            if uid or note.driver != driver or known.published or known.staged:
                continue
            try:
                await self._take_back(key, "")
            except (RuntimeFailure, OSError) as error:
                _log.warning("volume not let go of", driver=driver, volume=note.name, error=error)

    # what is known

    async def _read_notes(self) -> None:
        async with self._reading:
            if self._read:
                return
            for note in await asyncio.to_thread(self._places.read_all):
                step = Step(Call.PUBLISH, note.uid) if note.uid else Step(Call.STAGE)
                self._known[note.key] = order.begun(self._of(note.key), step)
                self._notes[note.key, note.uid] = note
            self._read = True

    def _in_use(self) -> Sequence[str]:
        noted = {title(CsiVolume(note.name, *key)) for (key, _), note in self._notes.items() if note.attached}
        return sorted(noted | set(self._awaited.values()))

    async def begin(self) -> None:
        """Tell once, after the start, which volumes the node uses: an agent before this one may have told of others.

        Raises: ApiError, Retryable.
        """
        await self._read_notes()
        await self._attachments.tell(self._in_use)


def _refuse_if_leaving(visit: Visit) -> None:
    if visit.leaving:
        raise RuntimeFailure("the pod is being removed", reason="FailedMount")


def _told(volume: CsiVolume, error: RuntimeFailure) -> RuntimeFailure:
    """The failure with the words that users know it by."""
    if isinstance(error, WaitFailure):
        return error
    what = "MapVolume.SetUpDevice" if volume.block else "MountVolume.SetUp"
    return RuntimeFailure(f'{what} failed for volume "{volume.name}" : {error}', reason="FailedMount")
