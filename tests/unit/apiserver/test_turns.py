"""Turns are taken in order, and nobody waits for one who gave up."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from navarch.apiserver.turns import Turns


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 3), st.booleans()), max_size=12))
def test_one_at_a_time_and_first_come_first_served(visits: list[tuple[str, int, bool]]) -> None:
    async def test() -> None:
        turns = Turns()
        inside: dict[str, int] = {"a": 0, "b": 0}
        served: dict[str, list[int]] = {"a": [], "b": []}

        async def visit(number: int, key: str, steps: int) -> None:
            async with turns.of(key):
                inside[key] += 1
                assert inside[key] == 1
                served[key].append(number)
                try:
                    for _ in range(steps):
                        await asyncio.sleep(0)
                finally:
                    inside[key] -= 1

        tasks = [asyncio.ensure_future(visit(n, key, steps)) for n, (key, steps, _) in enumerate(visits)]
        await asyncio.sleep(0)
        for task, (_, _, gives_up) in zip(tasks, visits, strict=True):
            if gives_up:
                task.cancel()
                await asyncio.sleep(0)
        await asyncio.gather(*tasks, return_exceptions=True)
        assert len(turns) == 0
        for key, numbers in served.items():
            assert numbers == sorted(numbers)
            kept = [n for n, (k, _, gives_up) in enumerate(visits) if k == key and not gives_up]
            assert set(kept) <= set(numbers)

    asyncio.run(test())
