from __future__ import annotations

import asyncio

import pytest

from navarch.apiserver.call import User
from navarch.apiserver.limit import Limit, Seats
from navarch.base.errors import TooMany

A, B = User("a"), User("b")


def test_users_take_turns() -> None:
    order: list[str] = []

    async def run() -> None:
        limit = Limit(Seats(total=1, each=1))

        async def work(user: User) -> None:
            if not limit.enter(user):
                await limit.wait(user)
            order.append(user.name)
            await asyncio.sleep(0)
            limit.leave(user)

        async with asyncio.TaskGroup() as group:
            for user in [A] * 5 + [B] * 2:
                group.create_task(work(user))
        assert limit.taken == 0

    asyncio.run(run())
    assert order == ["a", "a", "b", "a", "b", "a", "a"]


def test_one_user_leaves_seats_to_others() -> None:
    limit = Limit(Seats(total=4, each=2))
    assert [limit.enter(A) for _ in range(3)] == [True, True, False]
    assert limit.enter(B)
    assert limit.enter(User("root", groups=("system:masters",)))
    assert not limit.enter(B)
    assert limit.enter(User("root", groups=("system:masters",)))


def test_waiting_is_bounded_and_gives_up() -> None:
    async def run() -> None:
        limit = Limit(Seats(total=1, each=1, queued=1, wait_s=0.01))
        assert limit.enter(A)
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(_outcome(limit))
            await asyncio.sleep(0)
            with pytest.raises(TooMany) as error:
                await limit.wait(A)
            assert error.value.retry_after_s == 1
            assert await waiting == "given up"
        limit.leave(A)
        assert limit.taken == 0
        assert limit.enter(A)

    async def _outcome(limit: Limit) -> str:
        try:
            await limit.wait(A)
        except TooMany:
            return "given up"
        return "served"

    asyncio.run(run())


def test_one_who_goes_away_leaves_no_hole() -> None:
    async def run() -> None:
        limit = Limit(Seats(total=1, each=1))
        assert limit.enter(A)
        async with asyncio.TaskGroup() as group:
            gone = group.create_task(limit.wait(B))
            stays = group.create_task(limit.wait(A))
            await asyncio.sleep(0)
            gone.cancel()
            await asyncio.sleep(0)
            limit.leave(A)
            await stays
        assert limit.taken == 1

    asyncio.run(run())
