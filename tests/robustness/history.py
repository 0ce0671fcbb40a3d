"""Recorded histories: clients that race on a few objects and watchers that follow, and what must hold of all they saw.

Every value says which write it is and which revision its writer had read, so that the history of an object is a chain:
a link to another revision than the one before it is a lost update.
"""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from random import Random
from typing import Any, Protocol

import orjson
from serverprocess import CONFIGMAPS, Session

OBJECTS = 5
GONE = (404, 409)


class Served(Protocol):
    """A server, or several that are to look like one."""

    def session(self, timeout_s: float = 60.0) -> Any: ...

    def kill(self) -> Any: ...

    def start(self) -> float: ...


class Down(threading.Event):
    """Set while a fault goes on. count: of the faults so far."""

    count = 0

    def set(self) -> None:
        self.count += 1
        super().set()

    def calm(self, since: int) -> bool:
        """Whether no fault went on since the count was `since`, or does now."""
        return self.count == since and not self.is_set()


@dataclass
class Told:
    """What all clients together were told. written: name -> the newest acknowledged revision. deleting: name -> the
    newest revision at which somebody asked for its deletion."""

    written: dict[str, int] = field(default_factory=dict)
    deleting: dict[str, int] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, what: dict[str, int], name: str, revision: int) -> None:
        with self.lock:
            what[name] = max(what.get(name, 0), revision)


@dataclass(frozen=True)
class Write:
    """One attempt. revision: what the server answered, 0 when it refused, -1 when nobody knows. value None deletes."""

    name: str
    value: str | None
    read: int
    revision: int


@dataclass(frozen=True)
class Seen:
    """One event. read: the revision that the writer of this value had read."""

    type: str
    name: str
    revision: int
    value: str
    read: int
    bytes: bytes


@dataclass
class Segment:
    """A list and everything that a watch from its revision delivered, over however many connections."""

    start: int
    items: dict[str, bytes]
    events: list[Seen] = field(default_factory=list)

    @property
    def end(self) -> int:
        return self.events[-1].revision if self.events else self.start


class Client(threading.Thread):
    """Reads, changes and writes back, until told to stop; the revision it read says whether it may."""

    def __init__(self, server: Served, number: int, seed: int, stop: threading.Event, down: Down, told: Told):
        super().__init__(daemon=True)
        self.told = told
        self.server = server
        self.number = number
        self.random = Random(f"{seed} {number}")
        self.stop, self.down = stop, down
        self.writes: list[Write] = []
        self.wrong: list[str] = []
        self.count = 0

    def run(self) -> None:
        session = self.server.session()
        while not self.stop.is_set():
            name = f"shared-{self.random.randrange(OBJECTS)}"
            try:
                self._turn(session, name)
            except OSError:
                session.close()
                time.sleep(0.05)
        session.close()

    def _turn(self, session: Session, name: str) -> None:
        floor, faults = self.told.written.get(name, 0), self.down.count
        quiet = not self.down.is_set()
        status, found = session.ask(f"{CONFIGMAPS}/{name}")
        read = int(found["metadata"]["resourceVersion"]) if status == 200 else 0
        if status == 200 and read < floor:
            self.wrong.append(f"stale read: {name} at {read} after somebody was told of {floor}")
        if status == 404 and self.told.deleting.get(name, 0) < floor:
            self.wrong.append(f"stale read: no {name} after somebody was told of {floor}, and nobody deleted that")
        if status not in (200, 404):
            if quiet and self.down.calm(faults):
                self.wrong.append(f"GET {name}: {status} {found.get('message')}")
            time.sleep(0.02)
            return
        self.count += 1
        value = f"{self.number}-{self.count}"
        document = {"metadata": {"name": name, "labels": {"shared": "1"}}, "data": {"v": value, "read": str(read)}}
        if status == 404:
            self._note(session, name, value, read, "POST", CONFIGMAPS, document)
        elif self.random.random() < 0.05:
            options = {"preconditions": {"resourceVersion": str(read)}}
            self._note(session, name, None, read, "DELETE", f"{CONFIGMAPS}/{name}", options)
        elif status == 200:
            document["metadata"]["resourceVersion"] = str(read)  # type: ignore[index]
            self._note(session, name, value, read, "PUT", f"{CONFIGMAPS}/{name}", document)

    def _note(
        self, session: Session, name: str, value: str | None, read: int, method: str, target: str, body: Any
    ) -> None:
        faults, quiet = self.down.count, not self.down.is_set()
        if value is None:
            self.told.note(self.told.deleting, name, read)
        try:
            status, said = session.ask(target, method, body)
        except OSError:
            self.writes.append(Write(name, value, read, -1))
            raise
        if status in (200, 201):
            revision = int(said["metadata"]["resourceVersion"]) if value is not None else 0
            self.writes.append(Write(name, value, read, revision))
            self.told.note(self.told.written, name, revision)
        elif status in GONE:
            self.writes.append(Write(name, value, read, 0))
        else:
            self.writes.append(Write(name, value, read, -1))
            if quiet and self.down.calm(faults):
                self.wrong.append(f"{method} {target}: {status} {said.get('message')}")


class Follower(threading.Thread):
    """Lists, then watches on from where it was, over every break; lists again only when told that it must (410).

    away: while it is set this one does not watch, and so misses what is written meanwhile. gone: it does not watch now.
    """

    def __init__(self, server: Served, query: str, stop: threading.Event, away: threading.Event | None = None) -> None:
        super().__init__(daemon=True)
        self.server = server
        self.query = query
        self.stop = stop
        self.away = away or threading.Event()
        self.gone = threading.Event()
        self.segments: list[Segment] = []
        self.expired = 0
        self.finished = False

    def run(self) -> None:
        again = True
        while not self.stop.is_set():
            if self.away.is_set():
                self.gone.set()
                time.sleep(0.01)
                continue
            self.gone.clear()
            session, stream = self.server.session(), self.server.session(timeout_s=0.5)  # looks at `stop` that often
            try:
                if again:
                    self.segments.append(self._list(session))
                again = self._watch(stream)
                self.expired += again
            except (OSError, http.client.HTTPException, ValueError):
                time.sleep(0.05)
            finally:
                session.close()
                stream.close()
        self.finished = True

    def _list(self, session: Session) -> Segment:
        found = listed(session, self.query)
        return Segment(*found)

    def _watch(self, session: Session) -> bool:
        """Whether to list anew."""
        now = self.segments[-1]
        answer = session.begin(f"{CONFIGMAPS}?watch=1&resourceVersion={now.end}&{self.query}")
        if answer.status == 410:
            return True
        if answer.status != 200:
            raise ConnectionError(f"watch: {answer.status}")
        while line := answer.readline():
            event = orjson.loads(line)
            if event["type"] == "ERROR":
                return bool(event["object"]["code"] == 410)
            if event["type"] != "BOOKMARK" and is_shared(event["object"]):
                now.events.append(seen(event))
            if self.away.is_set():
                return False
        return False


def is_shared(item: Mapping[str, Any]) -> bool:
    """One of the racing clients', not of the cluster's own."""
    name: str = item["metadata"]["name"]
    return name.startswith("shared-")


def seen(event: Mapping[str, Any]) -> Seen:
    one = event["object"]
    revision = int(one["metadata"]["resourceVersion"])
    data = one["data"]
    return Seen(event["type"], one["metadata"]["name"], revision, data["v"], int(data["read"]), plain(one))


def listed(session: Session, query: str) -> tuple[int, dict[str, bytes]]:
    status, found = session.ask(f"{CONFIGMAPS}?{query}")
    if status != 200:
        raise ConnectionError(f"list: {status}")
    items = {item["metadata"]["name"]: plain(item) for item in found["items"] if is_shared(item)}
    return int(found["metadata"]["resourceVersion"]), items


def plain(item: Mapping[str, Any]) -> bytes:
    """The object as it was sent, member by member in its order; lists leave out what an event says of each."""
    return orjson.dumps({key: value for key, value in item.items() if key not in ("kind", "apiVersion")})


# --- what must hold ---


def broken_order(segment: Segment) -> list[str]:
    """Each change once and in order."""
    revisions = [segment.start, *(event.revision for event in segment.events)]
    return [f"revision {b} was delivered after {a}" for a, b in pairwise(revisions) if b <= a]


def broken_chains(segment: Segment) -> list[str]:
    """Each change was made by someone who had read the state before it."""
    wrong = []
    at = {name: int(orjson.loads(item)["metadata"]["resourceVersion"]) for name, item in segment.items.items()}
    for event in segment.events:
        if event.type == "DELETED":
            at.pop(event.name, None)
            continue
        if (event.type == "ADDED") != (event.name not in at):
            wrong.append(f"{event.type} {event.name} at {event.revision}, and it was {at.get(event.name, 'not there')}")
        elif event.read != at.get(event.name, 0):
            wrong.append(
                f"lost update: {event.name} at {event.revision} ({event.value}) was made from {event.read}, "
                f"and revision {at.get(event.name)} lay between"
            )
        at[event.name] = event.revision
    return wrong


def missing(segment: Segment, writes: Iterable[Write]) -> list[str]:
    """Acknowledged writes between the list and the last event that were never delivered, or differently."""
    delivered = {event.revision: event.value for event in segment.events}
    return [
        f"{write.name} at {write.revision} ({write.value}) was delivered as {delivered.get(write.revision)}"
        for write in writes
        if segment.start < write.revision <= segment.end and delivered.get(write.revision) != write.value
    ]


def forged(segment: Segment, writes: Iterable[Write]) -> list[str]:
    """Values that nobody wrote, or whose write was refused."""
    possible = {write.value for write in writes if write.revision != 0}
    return [f"{e.name} at {e.revision}: nobody wrote {e.value}" for e in segment.events if e.value not in possible]


def replayed(segment: Segment) -> dict[str, bytes]:
    found = dict(segment.items)
    for event in segment.events:
        if event.type == "DELETED":
            found.pop(event.name, None)
        else:
            found[event.name] = event.bytes
    return found


def check(segments: Sequence[Segment], writes: Sequence[Write]) -> list[str]:
    wrong = []
    for segment in segments:
        wrong += broken_order(segment) + broken_chains(segment) + missing(segment, writes) + forged(segment, writes)
    return wrong


@dataclass
class Recorded:
    wrong: list[str]
    writes: int
    conflicts: int
    unknown: int
    events: int
    expired: int
    slowest_start_s: float

    @classmethod
    def of(cls, clients: Sequence[Client], followers: Sequence[Follower]) -> Recorded:
        writes = [write for client in clients for write in list(client.writes)]
        return cls(
            [text for client in clients for text in list(client.wrong)],
            sum(w.revision > 0 for w in writes),
            sum(w.revision == 0 and w.value is not None for w in writes),
            sum(w.revision < 0 for w in writes),
            sum(len(segment.events) for follower in followers for segment in list(follower.segments)),
            sum(follower.expired for follower in followers),
            0.0,
        )


def until(what: Callable[[], bool], patience_s: float = 90.0) -> bool:
    """Whether it came to be."""
    deadline = time.monotonic() + patience_s
    while not (found := what()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def record(
    server: Served,
    seed: int,
    seconds: float,
    kill: int,
    clients: int = 6,
    enough: Callable[[Recorded], bool] = lambda found: True,
) -> Recorded:
    """Let clients race and watchers follow for so long, with so many kills in between, and judge what they saw.

    enough: whether what is recorded will do; else it goes on for a while, as the machine may be slow.
    """
    stop, down, away, random, told = threading.Event(), Down(), threading.Event(), Random(seed), Told()
    racing = [Client(server, number, seed, stop, down, told) for number in range(clients)]
    follow_stop = threading.Event()
    queries = ("", "labelSelector=shared%3D1", "allowWatchBookmarks=true&labelSelector=shared")
    followers = [Follower(server, query, follow_stop) for query in queries]
    followers.append(Follower(server, "labelSelector=shared", follow_stop, away))
    for thread in (*followers, *racing):
        thread.start()
    slowest = 0.0
    for _ in range(kill):
        time.sleep(seconds / (kill + 1) * (0.5 + random.random()))
        away.set()
        until(followers[-1].gone.is_set)
        before = Recorded.of(racing, ()).writes
        until(lambda before=before: Recorded.of(racing, ()).writes > before + 20)  # the one that is away misses these
        down.set()
        server.kill()
        slowest = max(slowest, server.start())
        down.clear()
        away.clear()
    time.sleep(seconds / (kill + 1))
    until(lambda: enough(Recorded.of(racing, followers)))
    stop.set()
    for client in racing:
        client.join()
    writes = [write for client in racing for write in client.writes]
    found = any(client.wrong for client in racing) or any(check(one.segments, writes) for one in followers)
    wrong = settled(server, followers, patience_s=3.0 if found else 90.0)
    follow_stop.set()
    for follower in followers:
        follower.join()
        if not follower.finished:
            wrong.append(f"the watcher ({follower.query}) met what it does not understand")
        wrong += check(follower.segments, writes)
    recorded = Recorded.of(racing, followers)
    return replace(recorded, wrong=recorded.wrong + wrong, slowest_start_s=slowest)


def settled(server: Served, followers: Sequence[Follower], patience_s: float) -> list[str]:
    """Once all is quiet, what each watcher believes is what a list says."""
    session = server.session()
    _, items = listed(session, "")
    session.close()
    until(lambda: all(one.segments and replayed(one.segments[-1]) == items for one in followers), patience_s)
    wrong = []
    for follower in followers:
        believed = replayed(follower.segments[-1])
        wrong += [
            f"a watcher ({follower.query}) believes {believed.get(name)!r}, and a list says {items.get(name)!r}"
            for name in sorted(items.keys() | believed.keys())
            if items.get(name) != believed.get(name)
        ]
    return wrong
