"""Order, back-off, and which news brings a refused pod back."""

from __future__ import annotations

from typing import Any

import pytest

from navarch.scheduler.question import News
from navarch.scheduler.queue import LONGEST_REFUSAL_S, Queue


def names(queue: Queue, now: float) -> list[str]:
    found = []
    while (entry := queue.pop(now)) is not None:
        found.append(entry.pod.name)
    return found


def test_priority_then_age(make: Any) -> None:
    queue = Queue()
    queue.add(make.pod("young", created="2030-01-02T00:00:00Z"))
    queue.add(make.pod("old"))
    queue.add(make.pod("urgent", created="2030-01-03T00:00:00Z", priority=10))
    assert names(queue, 0.0) == ["urgent", "old", "young"]
    assert len(queue) == 3


def test_backoff_doubles_up_to_ten_seconds(make: Any) -> None:
    queue = Queue()
    queue.add(make.pod("a"))
    now, waits = 0.0, []
    for _ in range(6):
        entry = queue.pop(now)
        assert entry is not None
        queue.retry(entry)
        assert queue.pop(now) is None
        due = queue.next_due_s()
        assert due is not None
        waits.append(due - now)
        now = due
    assert waits == [1, 2, 4, 8, 10, 10]


@pytest.mark.parametrize(
    ("news", "wakes"),
    [(News.POD_GONE, True), (News.NODE_ADDED, True), (News.NODE_TAINTS, False), (News.POD_BOUND, False)],
)
def test_only_news_that_may_help_wakes(make: Any, news: News, wakes: bool) -> None:
    queue = Queue()
    queue.add(make.pod("a"))
    entry = queue.pop(0.0)
    assert entry is not None
    queue.refused(entry, ["NodeResourcesFit"])
    assert queue.tell([news], 5.0) is wakes
    assert names(queue, 5.0) == (["a"] if wakes else [])


def test_news_within_the_backoff_waits_for_its_end(make: Any) -> None:
    queue = Queue()
    queue.add(make.pod("a"))
    entry = queue.pop(0.0)
    assert entry is not None
    queue.refused(entry, ["NodeResourcesFit"])
    queue.tell([News.POD_GONE], 0.2)
    assert queue.pop(0.2) is None
    assert queue.next_due_s() == 1.0
    assert names(queue, 1.0) == ["a"]


def test_no_refusal_lasts_for_ever(make: Any) -> None:
    queue = Queue()
    queue.add(make.pod("a"))
    entry = queue.pop(0.0)
    assert entry is not None
    queue.refused(entry, ["NodeAffinity"])
    assert queue.next_due_s() == LONGEST_REFUSAL_S
    assert names(queue, LONGEST_REFUSAL_S) == ["a"]


def test_a_changed_pod_is_tried_at_once_and_a_removed_one_never(make: Any) -> None:
    queue = Queue()
    queue.add(make.pod("a"))
    entry = queue.pop(0.0)
    assert entry is not None
    queue.refused(entry, ["NodeAffinity"])
    queue.add(make.pod("a", labels={"x": "y"}))
    entry = queue.pop(0.0)
    assert entry is not None
    assert entry.pod.labels == {"x": "y"}
    assert entry.attempts == 2
    queue.remove(entry.pod.uid)
    queue.retry(entry)
    assert queue.next_due_s() is None
    assert names(queue, 1e6) == []


def test_what_could_not_be_made_for_a_pod_is_not_tried_without_pause(make: Any) -> None:
    queue = Queue()
    queue.add(make.pod("a"))
    now_s, pauses = 0.0, []
    for _ in range(6):
        entry = queue.pop(now_s)
        assert entry is not None
        queue.wait(entry, "VolumeBinding")
        queue.retry(entry)
        due_s = queue.next_due_s()
        assert due_s is not None
        pauses.append(due_s - now_s)
        now_s = due_s
    assert pauses == [1, 2, 4, 8, 10, 10]
    entry = queue.pop(now_s)
    assert entry is not None
    queue.wait(entry, "VolumeBinding")
    queue.tell(News, now_s)
    assert queue.pop(now_s) is entry, "what was made is used at once"
    queue.retry(entry)
    assert queue.next_due_s() == now_s + 1, "and what failed before is forgotten"
