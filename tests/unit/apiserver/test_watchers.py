"""Watchers: what is handed over past whoever waits, and what is queued for him."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
from server_driver import ADMIN, Served, served

from navarch.apiserver.selection import Selection
from navarch.apiserver.watchers import Change, Switchboard, Watcher
from navarch.kinds import CONFIGMAP
from navarch.kinds.object import Object
from navarch.wire.message import Piped, Response

CONFIGMAPS = "/api/v1/namespaces/default/configmaps"


class Peer:
    """Takes what is pushed while it is `open`."""

    def __init__(self) -> None:
        self.open = True
        self.pieces: list[bytes] = []

    def push(self, piece: bytes) -> bool:
        if self.open:
            self.pieces.append(piece)
        return self.open


class Published:
    """One channel with one watcher, whose items are the names of what changes."""

    def __init__(self) -> None:
        self._board = Switchboard()
        self.watcher: Watcher = self._board.join(Selection(CONFIGMAP), "", lambda _, found: found.name.encode())

    def change(self, name: str) -> None:
        found = Object.of(CONFIGMAP, {"metadata": {"name": name, "namespace": "n", "resourceVersion": "1"}})
        change = Change(1, f"n/{name}", found, None, None)
        for channel in self._board.channels([]):
            channel.publish(change, lambda last, _: last)


def test_an_item_is_pushed_only_past_one_who_waits_and_has_all_before() -> None:
    async def run() -> None:
        published, peer = Published(), Peer()
        watcher = published.watcher
        watcher.pipe = peer.push
        published.change("a")
        assert peer.pieces == []  # nobody waits yet
        async with asyncio.TaskGroup() as group:
            assert await watcher.batch() == [b"a"]
            waiting = group.create_task(watcher.batch())
            await asyncio.sleep(0)
            published.change("b")
            published.change("c")
            assert peer.pieces == [b"b", b"c"]
            peer.open = False
            published.change("d")
            peer.open = True
            published.change("e")  # behind d, which is queued
            assert peer.pieces == [b"b", b"c"]
            assert await waiting == [b"d", b"e"]
            published.change("f")
            assert await watcher.batch() == [b"f"]
            assert peer.pieces == [b"b", b"c"]
            waiting = group.create_task(watcher.batch())
            await asyncio.sleep(0)
            watcher.poke()
            published.change("g")
            assert await waiting == []  # what was pushed came before whatever he says now
            assert peer.pieces == [b"b", b"c", b"g"]
            waiting = group.create_task(watcher.batch())
            await asyncio.sleep(0)
            waiting.cancel()
        assert watcher.push is None

    asyncio.run(run())


def test_one_who_takes_nothing_is_closed_at_the_limit() -> None:
    async def run() -> None:
        published, peer = Published(), Peer()
        watcher = published.watcher
        watcher._limit, watcher.pipe = 2, peer.push
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(watcher.batch())
            await asyncio.sleep(0)
            peer.open = False
            for name in "abc":
                published.change(name)
            peer.open = True
            published.change("d")
            assert await waiting == []
        assert watcher.lost
        assert peer.pieces == []

    asyncio.run(run())


async def watched(server: Served, query: str = "", **headers: str) -> tuple[Any, Peer]:
    """The body of a watch, piped."""
    response: Response = await server.send("GET", f"{CONFIGMAPS}?watch=1{query}", ADMIN, **headers)
    assert isinstance(response.body, Piped)
    peer = Peer()
    response.body.pipe(peer.push)
    return response.body, peer


async def made(server: Served, name: str) -> None:
    status, _ = await server.ask("POST", CONFIGMAPS, body={"metadata": {"name": name}})
    assert status == 201


def test_events_of_a_watch_are_pushed_once_what_was_there_is_sent() -> None:
    async def scenario(server: Served) -> None:
        await made(server, "before")
        body, peer = await watched(server)
        pieces = aiter(body)
        assert orjson.loads(await anext(pieces))["object"]["metadata"]["name"] == "before"
        async with asyncio.TaskGroup() as group:
            following = group.create_task(anext(pieces))
            await asyncio.sleep(0)
            await made(server, "during")
            assert [orjson.loads(piece)["object"]["metadata"]["name"] for piece in peer.pieces] == ["during"]
            peer.open = False
            await made(server, "later")
            assert orjson.loads(await following)["object"]["metadata"]["name"] == "later"
        await body.aclose()
        await made(server, "after")
        assert len(peer.pieces) == 1

    served(scenario)


def test_the_first_table_has_its_columns_before_any_is_pushed() -> None:
    async def scenario(server: Served) -> None:
        table = "application/json;as=Table;g=meta.k8s.io;v=v1"
        await made(server, "zero")
        body, peer = await watched(server, accept=table)
        pieces = aiter(body)
        shown = b"".join([await anext(pieces)])
        assert orjson.loads(shown.splitlines()[0])["object"]["columnDefinitions"]
        async with asyncio.TaskGroup() as group:
            following = group.create_task(anext(pieces))
            await asyncio.sleep(0)
            await made(server, "one")
            (first,) = peer.pieces
            assert not orjson.loads(first)["object"].get("columnDefinitions")
            following.cancel()
        body, peer = await watched(server, "&resourceVersion=" + str(server.core.revision), accept=table)
        pieces = aiter(body)
        async with asyncio.TaskGroup() as group:
            following = group.create_task(anext(pieces))
            await asyncio.sleep(0)
            await made(server, "two")
            assert peer.pieces == []
            assert orjson.loads(await following)["object"]["columnDefinitions"]
        await body.aclose()

    served(scenario)
