"""Tells users what happened to their objects, by Event objects, without ever holding up whoever tells it.

`Recorder.event` only queues, in bounded room; one task writes. Repetitions raise a count instead of making new
objects, many similar events on one object become one, and a source that floods an object is cut short.

Source: https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from navarch.base.clock import Clock, rfc3339
from navarch.base.errors import ApiError, NotFound, Retryable
from navarch.base.log import Log
from navarch.client.client import Client
from navarch.kinds import EVENT
from navarch.kinds.object import Object
from navarch.objects.value import Document

ROOM = 1000
REMEMBERED = 4096
SIMILAR_LIMIT = 10
SIMILAR_WINDOW = timedelta(minutes=10)
BURST = 25
REFILL_S = 300.0
TRIES = 12
RETRY_S = 10.0
LONGEST_MESSAGE = 1024
NO_NOTES: Mapping[str, str] = {}
COMBINED = "(combined from similar events): "

_log = Log("client")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Told:
    """One call of `Recorder.event`. reference: the `ObjectReference` as pairs. action: what was tried."""

    reference: tuple[tuple[str, str], ...]
    component: str
    host: str
    type: str
    reason: str
    message: str
    action: str
    at: datetime
    annotations: tuple[tuple[str, str], ...] = ()


@dataclass(slots=True)
class Written:
    """What is known of an Event object that was written."""

    namespace: str
    name: str
    first: datetime
    count: int = 1


@dataclass(slots=True)
class _Similar:
    last: datetime
    messages: dict[str, None]


@dataclass(slots=True)
class _Bucket:
    at: datetime
    tokens: float = float(BURST)

    def take(self, now: datetime) -> bool:
        elapsed_s = max(0.0, (now - self.at).total_seconds())
        self.tokens = min(float(BURST), self.tokens + elapsed_s / REFILL_S)
        self.at = now
        if self.tokens < 1.0:
            return False
        self.tokens -= 1.0
        return True


class Correlator:
    """Decides which events are written and which are combined; what it remembers is bounded."""

    def __init__(self) -> None:
        self._buckets: OrderedDict[Hashable, _Bucket] = OrderedDict()
        self._similar: OrderedDict[Hashable, _Similar] = OrderedDict()
        self.written: OrderedDict[Hashable, Written] = OrderedDict()

    def admit(self, told: Told) -> bool:
        """Whether the source may still speak about this object: a burst, then one every five minutes."""
        place = (told.component, told.host, told.reference)
        return _recall(self._buckets, place, lambda: _Bucket(told.at)).take(told.at)

    def combine(self, told: Told) -> tuple[Hashable, str]:
        """The key under which the event is counted, and its message."""
        group = (told.component, told.host, told.reference, told.type, told.reason, told.action)
        similar = _recall(self._similar, group, lambda: _Similar(told.at, {}))
        if told.at - similar.last > SIMILAR_WINDOW:
            similar.messages.clear()
        similar.last = told.at
        similar.messages[told.message] = None
        if len(similar.messages) < SIMILAR_LIMIT:
            return (*group, told.message), told.message
        while len(similar.messages) > SIMILAR_LIMIT:
            del similar.messages[next(iter(similar.messages))]
        return group, COMBINED + told.message

    def remember(self, key: Hashable, written: Written) -> None:
        self.written[key] = written
        if len(self.written) > REMEMBERED:
            self.written.popitem(last=False)


def _recall(memory: OrderedDict[Hashable, _T], key: Hashable, make: Callable[[], _T]) -> _T:
    found = memory.get(key)
    if found is None:
        found = memory[key] = make()
        if len(memory) > REMEMBERED:
            memory.popitem(last=False)
    else:
        memory.move_to_end(key)
    return found


class Recorder:
    """One source's voice, made by `Events.of`."""

    def __init__(self, events: Events, component: str, host: str) -> None:
        self._events = events
        self._component = component
        self._host = host

    def event(
        self,
        about: Object,
        type: str,
        reason: str,
        message: str,
        *,
        action: str = "",
        field_path: str = "",
        annotations: Mapping[str, str] = NO_NOTES,
    ) -> None:
        """Queue an event; never blocks, never raises.

        type: Normal or Warning. reason: CamelCase, for machines. field_path: a part of `about`, such as
        `spec.containers{web}`. annotations: of the Event object, which repetitions do not change.
        """
        reference = {
            "kind": about.kind.name,
            "apiVersion": about.kind.api_version,
            "name": about.name,
            "namespace": about.namespace,
            "uid": about.uid,
            "resourceVersion": str(about.revision) if about.revision else "",
            "fieldPath": field_path,
        }
        self._events.tell(reference, self._component, self._host, type, reason, message, action, annotations)


class Events:
    """Where all recorders of a process put what they have to say. `run` writes it."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self.dropped = 0
        self._client = client
        self._clock = clock
        self._correlator = Correlator()
        self._queue: deque[tuple[Told, str]] = deque()
        self._more = asyncio.Event()
        self._number = 0
        self._busy = False

    def of(self, component: str, host: str = "") -> Recorder:
        """component: `deployment-controller`, `kubelet`; host: the node it speaks from."""
        return Recorder(self, component, host)

    @property
    def idle(self) -> bool:
        """Everything told so far was written or given up."""
        return not self._queue and not self._busy

    def tell(
        self,
        reference: dict[str, str],
        component: str,
        host: str,
        type: str,
        reason: str,
        message: str,
        action: str,
        annotations: Mapping[str, str] = NO_NOTES,
    ) -> None:
        revision = reference.pop("resourceVersion")
        if len(self._queue) >= ROOM:
            self.dropped += 1
            return
        pairs = tuple((key, value) for key, value in reference.items() if value)
        text = message if len(message) <= LONGEST_MESSAGE else message[: LONGEST_MESSAGE - 3] + "..."
        told = Told(pairs, component, host, type, reason, text, action, self._clock.now(), tuple(annotations.items()))
        if not self._correlator.admit(told):
            self.dropped += 1
            return
        self._queue.append((told, revision))
        self._more.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._more.wait()
            self._more.clear()
            while self._queue:
                told, revision = self._queue.popleft()
                self._busy = True
                try:
                    await self._write(told, revision)
                finally:
                    self._busy = False

    async def _write(self, told: Told, revision: str) -> None:
        key, message = self._correlator.combine(told)
        for attempt in range(TRIES):
            try:
                await self._put(key, message, told, revision)
                return
            except Retryable as error:
                _log.warning(
                    "event not written, will be tried again", reason=told.reason, tries=attempt + 1, error=error
                )
                await self._clock.sleep(RETRY_S)
            except ApiError as error:
                _log.info("event given up", reason=told.reason, error=error)
                return
        self.dropped += 1

    async def _put(self, key: Hashable, message: str, told: Told, revision: str) -> None:
        known = self._correlator.written.get(key)
        if known is not None:
            changes = {"count": known.count + 1, "lastTimestamp": rfc3339(told.at), "message": message}
            try:
                await self._client.patch(EVENT, known.namespace, known.name, changes)
            except NotFound:
                del self._correlator.written[key]
            else:
                known.count += 1
                return
        document = self._document(message, told, revision)
        made = await self._client.create(EVENT, document)
        self._correlator.remember(key, Written(made.namespace, made.name, told.at))

    def _document(self, message: str, told: Told, revision: str) -> Document:
        reference = dict(told.reference)
        if revision:
            reference["resourceVersion"] = revision
        self._number = (self._number + 1) % 1000
        stamp_ns = int(told.at.timestamp() * 1_000_000) * 1000 + self._number
        source = {"component": told.component, "host": told.host} if told.host else {"component": told.component}
        document: Document = {
            "apiVersion": EVENT.api_version,
            "kind": EVENT.name,
            "metadata": {
                "name": f"{reference['name']}.{stamp_ns:x}",
                "namespace": reference.get("namespace", "default"),
            },
            "involvedObject": reference,
            "type": told.type,
            "reason": told.reason,
            "message": message,
            "source": source,
            "reportingComponent": told.component,
            "reportingInstance": told.host,
            "firstTimestamp": rfc3339(told.at),
            "lastTimestamp": rfc3339(told.at),
            "count": 1,
        }
        if told.annotations:
            document["metadata"]["annotations"] = dict(told.annotations)
        return {**document, "action": told.action} if told.action else document
