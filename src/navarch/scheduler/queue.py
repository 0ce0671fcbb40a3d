"""Which pod is tried next, and when a refused one is worth another try.

Three places for a pod: ready (by priority, then by age), waiting out its back-off, and refused until some news could
change the answer. It knows no clock: the time is an argument, in seconds of `Clock.monotonic`.

Source: https://kubernetes.io/docs/concepts/scheduling-eviction/scheduling-framework/
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count

from navarch.scheduler import filters
from navarch.scheduler.facts import PodFacts
from navarch.scheduler.question import News

FIRST_BACKOFF_S = 1.0
LONGEST_BACKOFF_S = 10.0
LONGEST_REFUSAL_S = 300.0
"""After so long a refused pod is tried again whatever the news."""

NAMES = {"ready": "active", "out": "active", "backoff": "backoff", "refused": "unschedulable"}

WAKES: dict[str, frozenset[News]] = {}
for _one in filters.ALL:
    WAKES[_one.name] = WAKES.get(_one.name, frozenset()) | _one.wakes


@dataclass(slots=True)
class Entry:
    """place: "ready", "backoff", "refused", or "out" while it is being tried. due_s: when back-off or refusal ends.

    heard: the news that would bring it back; None for any. forgiven: the attempts that count again if what it waits for
    cannot be made.
    """

    pod: PodFacts
    order: int
    attempts: int = 0
    forgiven: int = 0
    tried_s: float = 0.0
    due_s: float = 0.0
    place: str = "ready"
    heard: frozenset[News] | None = None

    def backoff_s(self) -> float:
        if not self.attempts:
            return 0.0
        return min(LONGEST_BACKOFF_S, FIRST_BACKOFF_S * 2.0 ** min(self.attempts - 1, 16))


class Queue:
    """Holds every pod that waits for a node, once."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._refused: dict[str, Entry] = {}
        self._ready: list[tuple[int, float, int, str]] = []
        self._due: list[tuple[float, int, str]] = []
        self._order = count()

    def __len__(self) -> int:
        return len(self._entries)

    def waiting(self) -> dict[tuple[str, ...], float]:
        """How many pods are in each place, by the place's name in Kubernetes."""
        found: dict[tuple[str, ...], float] = {(name,): 0.0 for name in ("active", "backoff", "unschedulable")}
        for entry in self._entries.values():
            found[NAMES[entry.place],] += 1.0
        return found

    def __contains__(self, uid: str) -> bool:
        return uid in self._entries

    def add(self, pod: PodFacts) -> None:
        """A new pod, or one that changed so that it deserves a fresh try; keeps its count of attempts."""
        known = self._entries.get(pod.uid)
        if known is None:
            self._make_ready(Entry(pod, next(self._order)))
        else:
            known.pod = pod
            if known.place != "out":
                self._make_ready(known)

    def renew(self, pod: PodFacts) -> None:
        """The pod changed in nothing that matters here."""
        known = self._entries.get(pod.uid)
        if known is not None:
            known.pod = pod

    def remove(self, uid: str) -> None:
        self._entries.pop(uid, None)
        self._refused.pop(uid, None)

    def pop(self, now_s: float) -> Entry | None:
        """The next to try; it is "out" until `refused`, `retry` or `remove`."""
        self._release(now_s)
        while self._ready:
            _, _, order, uid = heapq.heappop(self._ready)
            entry = self._entries.get(uid)
            if entry is not None and entry.place == "ready" and entry.order == order:
                entry.place = "out"
                entry.attempts += 1
                entry.forgiven = 0
                entry.tried_s = now_s
                return entry
        return None

    def refused(self, entry: Entry, rejected_by: Iterable[str]) -> None:
        """No node took it: it waits for news that one of the filters `rejected_by` may care about."""
        names = tuple(rejected_by)
        if self._entries.get(entry.pod.uid) is not entry:
            return
        entry.heard = frozenset().union(*(WAKES.get(name, frozenset(News)) for name in names)) if names else None
        entry.place = "refused"
        self._refused[entry.pod.uid] = entry
        self._wait_until(entry, entry.tried_s + LONGEST_REFUSAL_S)

    def wait(self, entry: Entry, name: str) -> None:
        """Its place was found, and something has to be made there first: it waits for the news that the filter `name`
        cares about, and is then tried at once."""
        entry.forgiven, entry.attempts = entry.attempts, 0
        self.refused(entry, (name,))

    def retry(self, entry: Entry) -> None:
        """Something went wrong that time may heal: back off."""
        if self._entries.get(entry.pod.uid) is entry:
            self._refused.pop(entry.pod.uid, None)
            entry.attempts = max(entry.attempts, entry.forgiven)
            entry.place = "backoff"
            self._wait_until(entry, entry.tried_s + entry.backoff_s())

    def tell(self, news: Iterable[News], now_s: float) -> bool:
        """Bring back the refused pods that `news` may help; whether there were any."""
        if not self._refused:
            return False
        heard = frozenset(news)
        woken = [entry for entry in self._refused.values() if entry.heard is None or entry.heard & heard]
        for entry in woken:
            self._return(entry, now_s)
        return bool(woken)

    def next_due_s(self) -> float | None:
        """When `pop` may have something though nothing is told; None for never."""
        while self._due:
            due_s, order, uid = self._due[0]
            entry = self._entries.get(uid)
            waits = entry is not None and entry.place in ("backoff", "refused")
            if entry is not None and waits and (entry.order, entry.due_s) == (order, due_s):
                return due_s
            heapq.heappop(self._due)
        return None

    def _release(self, now_s: float) -> None:
        while (due_s := self.next_due_s()) is not None and due_s <= now_s:
            entry = self._entries[heapq.heappop(self._due)[2]]
            self._make_ready(entry)

    def _return(self, entry: Entry, now_s: float) -> None:
        due_s = entry.tried_s + entry.backoff_s()
        if due_s <= now_s:
            self._make_ready(entry)
        else:
            self._refused.pop(entry.pod.uid, None)
            entry.place = "backoff"
            self._wait_until(entry, due_s)

    def _wait_until(self, entry: Entry, due_s: float) -> None:
        entry.due_s = due_s
        heapq.heappush(self._due, (due_s, entry.order, entry.pod.uid))

    def _make_ready(self, entry: Entry) -> None:
        entry.place = "ready"
        self._refused.pop(entry.pod.uid, None)
        self._entries[entry.pod.uid] = entry
        pod = entry.pod
        heapq.heappush(self._ready, (-pod.priority, pod.created.timestamp(), entry.order, pod.uid))
