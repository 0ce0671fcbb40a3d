"""What callers are told when a cluster breaks down under them."""

from __future__ import annotations

import asyncio
import threading

import pytest

import navarch
from navarch.base.errors import Unavailable
from navarch.testing.engine import Engine


class Broken(SystemExit):
    """What no loop goes on after."""


def break_down(engine: Engine) -> None:
    def die() -> None:
        raise Broken("all of it")

    engine.loop.call_soon_threadsafe(die)


def test_who_waits_is_told_that_the_cluster_broke_down() -> None:
    told: list[BaseException] = []
    cluster = navarch.Cluster(nodes=0)
    c = cluster.__enter__()
    waiting = c._engine.submit(asyncio.sleep(3600.0))

    def wait() -> None:
        try:
            c._engine.result(waiting)
        except Unavailable as error:
            told.append(error)

    waiter = threading.Thread(target=wait)
    waiter.start()
    break_down(c._engine)
    waiter.join(60.0)
    assert not waiter.is_alive()
    with pytest.raises(Unavailable, match="broke down"):
        c.client.list("pods")
    with pytest.raises(Broken):
        cluster.__exit__(None, None, None)
    assert "the cluster broke down" in str(told[0])
    assert isinstance(told[0].__cause__, Broken)


def test_whoever_awaits_too() -> None:
    async def test() -> None:
        async with navarch.Cluster(nodes=0) as c:
            async with asyncio.timeout(60.0):
                waiting = asyncio.gather(c._engine.ask(asyncio.sleep(3600.0)))
                await asyncio.sleep(0)
                break_down(c._engine)
                with pytest.raises(Unavailable, match="broke down"):
                    await waiting

    with pytest.raises(Broken):
        asyncio.run(test())


def test_who_gives_up_is_not_told_anything_else() -> None:
    async def test() -> None:
        async with navarch.Cluster(nodes=0) as c:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await c._engine.ask(asyncio.sleep(3600.0))
            assert [space.name for space in (await c.client.list("namespaces")).items]

    asyncio.run(test())


def test_after_its_block_a_cluster_is_gone() -> None:
    with navarch.Cluster(nodes=0) as c:
        pass
    with pytest.raises(Unavailable, match="inside its `with` block"):
        c.client.list("pods")
