"""Clients that write as fast as they can and note what was attempted and what was acknowledged."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from serverprocess import CONFIGMAPS, ServerProcess, Session


@dataclass
class Story:
    """What one writer did to one object. states: each value it tried to give it, None to delete it, in order.

    acknowledged: the index of the newest state that the server said it has, -1 for none.
    """

    states: list[str | None] = field(default_factory=list)
    acknowledged: int = -1

    def allows(self, found: str | None) -> bool:
        """What was acknowledged, or a later attempt whose outcome nobody knows."""
        if self.acknowledged < 0 and found is None:
            return True
        return found in self.states[max(self.acknowledged, 0) :]


@dataclass
class Writers:
    """Each object belongs to one thread, which creates it, updates it, and deletes some of them."""

    server: ServerProcess
    cycle: int
    threads: int = 4
    padding: int = 0
    stories: dict[str, Story] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    refused: list[int] = field(default_factory=list)
    count: int = 0
    """Of acknowledged writes."""
    _stop: threading.Event = field(default_factory=threading.Event)
    _running: list[threading.Thread] = field(default_factory=list)

    def start(self) -> Writers:
        for number in range(self.threads):
            thread = threading.Thread(target=self._write, args=(number,), daemon=True)
            self._running.append(thread)
            thread.start()
        return self

    def wait_for(self, count: int, patience_s: float = 60.0) -> None:
        deadline = time.monotonic() + patience_s
        while self.count < count:
            assert time.monotonic() < deadline, f"only {self.count} writes: {self.errors[-3:]}"
            time.sleep(0.002)

    def stop(self) -> None:
        self._stop.set()
        for thread in self._running:
            thread.join()

    def _write(self, number: int) -> None:
        """Until the server is gone."""
        random = Random(f"{self.cycle} {number}")
        session = self.server.session()
        step = 0
        try:
            while not self._stop.is_set():
                name, step = f"w{self.cycle}-{number}-{step}", step + 1
                self._tell(session, name, random)
        except OSError as error:
            self.errors.append(str(error))
        finally:
            session.close()

    def _tell(self, session: Session, name: str, random: Random) -> None:
        story = self.stories.setdefault(name, Story())
        filler = {"filler": "x" * self.padding} if self.padding else {}
        for version in range(random.randrange(1, 4)):
            document = {"metadata": {"name": name}, "data": {"v": str(version), **filler}}
            method, target = ("PUT", f"{CONFIGMAPS}/{name}") if version else ("POST", CONFIGMAPS)
            if not self._attempt(session, story, str(version), target, method, document):
                return
        if random.random() < 0.25:
            self._attempt(session, story, None, f"{CONFIGMAPS}/{name}", "DELETE", None)

    def _attempt(
        self, session: Session, story: Story, state: str | None, target: str, method: str, document: Any
    ) -> bool:
        story.states.append(state)
        status, said = session.ask(target, method, document)
        if status in (200, 201):
            story.acknowledged = len(story.states) - 1
            self.count += 1
            return True
        self.refused.append(status)
        self.errors.append(f"{method} {target}: {status} {said.get('message')}")
        time.sleep(0.01)
        return False


def losses(writers: Sequence[Writers], found: Mapping[str, str]) -> list[str]:
    """Where what is there is neither what was acknowledged last nor a later attempt of unknown outcome."""
    wrong = []
    stories = {name: story for one in writers for name, story in one.stories.items()}
    for name, story in stories.items():
        if not story.allows(found.get(name)):
            told = story.states[story.acknowledged] if story.acknowledged >= 0 else None
            wrong.append(f"{name} is {found.get(name)}; acknowledged was {told} of {story.states}")
    return wrong + [f"{name}: nobody wrote it" for name in found if name not in stories]
