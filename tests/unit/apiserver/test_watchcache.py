"""The watch cache by itself: replaying a watch gives byte for byte what a list gives, from every revision on."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.apiserver import keys, stored
from navarch.apiserver.selection import Selection
from navarch.apiserver.watchcache import VIEWED_CHANGES, WatchCache
from navarch.apiserver.watchers import UNREAD_EVENTS
from navarch.base.errors import BadRequest, Expired
from navarch.client.client import EventType
from navarch.kinds import POD
from navarch.kinds.object import Object
from navarch.store.store import Row

SELECTIONS = [
    ("", "", ""),
    ("a", "", ""),
    ("", "app=x", ""),
    ("a", "app=x", ""),
    ("", "app in (x,y),tier", ""),
    ("", "app!=x", ""),
    ("", "", "spec.nodeName=n1"),
    ("", "", "spec.nodeName="),
    ("a", "", "spec.nodeName!=n1"),
    ("", "", "metadata.name=p1"),
    ("a", "", "metadata.name=p1,status.phase=Running"),
    ("", "app=y", "metadata.namespace=b"),
    ("", "", "spec.hostNetwork=false"),
]

PLACES = st.tuples(st.sampled_from(["a", "a-b", "b"]), st.sampled_from(["p1", "p2", "p3"]))
CONTENTS = st.fixed_dictionaries(
    {
        "labels": st.dictionaries(st.sampled_from(["app", "tier"]), st.sampled_from(["x", "y"]), max_size=2),
        "node": st.sampled_from(["", "n1", "n2"]),
        "phase": st.sampled_from(["", "Running"]),
    }
)
WRITES = st.lists(st.tuples(PLACES, st.one_of(st.none(), CONTENTS)), max_size=30)


def value_of(namespace: str, name: str, content: dict[str, object]) -> bytes:
    spec = {"nodeName": content["node"]} if content["node"] else {}
    status = {"phase": content["phase"]} if content["phase"] else {}
    metadata = {"name": name, "namespace": namespace, "labels": content["labels"]}
    return stored.encode(POD, {"metadata": metadata, "spec": spec, "status": status})


def listed(cache: WatchCache, selection: Selection, at: int = 0) -> list[bytes]:
    return [found.raw for found in cache.select(selection, at=at)]


class Replica:
    """What a client holds that lists once and then follows the watch."""

    def __init__(self, cache: WatchCache, selection: Selection) -> None:
        self.objects = {found.key: found.raw for found in cache.select(selection)}
        _, self.watcher = cache.join(selection, "test", lambda type_, found: (type_, found), None)

    def follow(self, events: list[tuple[EventType, Object]]) -> None:
        for type_, found in events:
            if type_ == "DELETED":
                del self.objects[found.key]
            else:
                assert (found.key in self.objects) == (type_ == "MODIFIED")
                self.objects[found.key] = found.raw

    def listed(self) -> list[bytes]:
        return [raw for _, raw in sorted(self.objects.items(), key=lambda item: keys.place(*item[0]))]


@given(WRITES, st.integers(0, 30), st.integers(1, 40))
def test_replaying_a_watch_gives_what_a_list_gives(writes: list, began: int, window: int) -> None:
    cache = WatchCache(POD, window)
    cache.load([], 1)
    selections = [Selection(POD, *texts) for texts in SELECTIONS]
    replicas: list[Replica] = []
    history: dict[int, list[list[bytes]]] = {}
    for number, ((namespace, name), content) in enumerate(writes):
        if number == began:
            replicas = [Replica(cache, selection) for selection in selections]
        revision = number + 2
        value = None if content is None else value_of(namespace, name, content)
        cache.apply(revision, keys.place(namespace, name), value)
        history[revision] = [listed(cache, selection) for selection in selections]
    for replica, selection in zip(replicas, selections, strict=False):
        replica.follow(replica.watcher.take())
        assert replica.listed() == listed(cache, selection)
    for revision, then in history.items():
        for selection, expected in zip(selections, then, strict=True):
            try:
                assert listed(cache, selection, at=revision) == expected
            except Expired:
                assert window < len(writes)
                continue
            late = Replica(cache, selection)
            late.objects = {found.key: found.raw for found in cache.select(selection, at=revision)}
            missed, _ = cache.join(selection, "test", lambda type_, found: (type_, found), revision)
            late.follow(missed)
            assert late.listed() == listed(cache, selection)


@given(WRITES)
def test_lists_are_in_key_order_and_pages_continue_after_a_place(writes: list) -> None:
    cache = WatchCache(POD)
    cache.load([], 1)
    for number, ((namespace, name), content) in enumerate(writes):
        cache.apply(number + 2, keys.place(namespace, name), content and value_of(namespace, name, content))
    everything = Selection(POD)
    places = [keys.place(*found.key) for found in cache.select(everything)]
    assert places == sorted(places)
    assert len(cache) == len(places)
    for number, after in enumerate(places):
        assert [keys.place(*found.key) for found in cache.select(everything, after=after)] == places[number + 1 :]


@given(WRITES, st.integers(1, 7), st.integers(0, 8), st.integers(0, 6))
def test_a_page_is_the_beginning_of_the_list_and_says_whether_more_follows(
    writes: list, limit: int, back: int, skipped: int
) -> None:
    cache = WatchCache(POD)
    cache.load([], 1)
    for number, ((namespace, name), content) in enumerate(writes):
        cache.apply(number + 2, keys.place(namespace, name), content and value_of(namespace, name, content))
    for texts in SELECTIONS:
        selection = Selection(POD, *texts)
        at = max(1, cache.version - back) if back else 0
        whole = cache.select(selection, at=at)
        after = keys.place(*whole[skipped].key) if skipped < len(whole) else ""
        rest = cache.select(selection, at=at, after=after)
        found, left = cache.page(selection, limit, at=at, after=after)
        assert [one.raw for one in found] == [one.raw for one in rest[:limit]]
        assert (left > 0) == (len(rest) > limit)
        if not texts[1] and not texts[2]:
            assert left == max(0, len(rest) - limit)


def test_a_loaded_cache_knows_nothing_of_what_came_before() -> None:
    cache = WatchCache(POD)
    value = value_of("a", "p", {"labels": {}, "node": "", "phase": ""})
    cache.load([Row("/core/pods/a/p", value, 7, 7)], 9)
    found = cache.get("a/p")
    assert found is not None
    assert found.revision == 7
    assert found.raw.startswith(b'{"apiVersion":"v1","kind":"Pod","metadata":{"resourceVersion":"7",')
    with pytest.raises(Expired):
        cache.select(Selection(POD), at=8)
    with pytest.raises(Expired):
        cache.join(Selection(POD), "", lambda type_, found: found, 8)


def test_the_window_is_bounded_by_bytes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("navarch.apiserver.watchcache.WINDOW_BYTES", 1000)
    monkeypatch.setattr("navarch.apiserver.watchcache.WINDOW_LEAST", 3)
    cache = WatchCache(POD)
    cache.load([], 1)
    for revision in range(2, 100):
        cache.apply(revision, "a/p", value_of("a", "p", {"labels": {"n": str(revision)}, "node": "", "phase": ""}))
    assert len(cache._window) < 12
    with pytest.raises(Expired):
        cache.select(Selection(POD), at=50)
    assert len(cache.select(Selection(POD), at=97)) == 1


def test_a_watcher_that_does_not_keep_up_is_closed_and_never_skipped() -> None:
    async def test() -> None:
        cache = WatchCache(POD)
        cache.load([], 1)
        _, slow = cache.join(Selection(POD), "", lambda type_, found: found.revision, None)
        for revision in range(2, UNREAD_EVENTS + 4):
            cache.apply(revision, "a/p", value_of("a", "p", {"labels": {}, "node": "", "phase": ""}))
        assert await slow.batch() == []

    asyncio.run(test())


def test_an_event_is_framed_once_for_all_who_watch_the_same() -> None:
    framed = []

    def frame(type_: EventType, found: Object) -> bytes:
        framed.append(found.name)
        return found.raw

    cache = WatchCache(POD)
    cache.load([], 1)
    watchers = [cache.join(Selection(POD, "a"), "json", frame, None)[1] for _ in range(50)]
    elsewhere = [cache.join(Selection(POD, "b"), "json", frame, None)[1] for _ in range(50)]
    cache.apply(2, "a/p", value_of("a", "p", {"labels": {}, "node": "", "phase": ""}))
    assert framed == ["p"]
    batches = [watcher.take() for watcher in watchers]
    assert all(len(batch) == 1 and batch[0] is batches[0][0] for batch in batches)
    assert [watcher.take() for watcher in elsewhere] == [[]] * 50


def test_watchers_that_leave_are_forgotten() -> None:
    cache = WatchCache(POD)
    cache.load([], 1)
    watchers = [cache.join(Selection(POD, *texts), "", lambda t, f: f, None)[1] for texts in SELECTIONS]
    assert len(cache._switchboard) == len(SELECTIONS)
    for watcher in watchers:
        watcher.leave()
    assert len(cache._switchboard) == 0
    assert cache._switchboard.names == {}
    assert cache._switchboard._narrow == {}


@pytest.mark.parametrize(
    ("labels", "fields", "said"),
    [
        ("a in", "", "unable to parse requirement"),
        ("", "spec.image=x", "field label not supported: spec.image"),
        ("", "noequals", "can't understand"),
    ],
)
def test_selectors_that_make_no_sense_are_refused(labels: str, fields: str, said: str) -> None:
    with pytest.raises(BadRequest, match=said):
        Selection(POD, "", labels, fields)


def test_the_window_of_a_few_busy_objects_stays_small() -> None:
    cache = WatchCache(POD)
    cache.load([], 1)
    for revision in range(2, 3000):
        cache.apply(revision, "a/p", value_of("a", "p", {"labels": {}, "node": "", "phase": ""}))
    assert len(cache._window) == 512


def test_superseded_objects_give_their_views_back_and_can_still_be_viewed() -> None:
    cache = WatchCache(POD)
    cache.load((), 1)
    seen = []
    for revision in range(2, 3 * VIEWED_CHANGES):
        name, content = f"p{revision % VIEWED_CHANGES}", {"labels": {}, "node": f"n{revision}", "phase": ""}
        cache.apply(revision, f"a/{name}", value_of("a", name, content))
        found = cache.get(f"a/{name}")
        assert found is not None
        assert found.view.spec.node_name == f"n{revision}"
        seen.append(found)
    assert seen[0]._view is None
    assert all(one._view is not None for one in seen[-VIEWED_CHANGES:])
    assert seen[0].view.spec.node_name == "n2"
