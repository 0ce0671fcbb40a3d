"""Plugins are sorted into stages once; at each stage those are called, and in that order, that do something there."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.apiserver.admission.review import Plugin, asks_nobody, passes, stages
from navarch.apiserver.call import ITSELF
from navarch.apiserver.core import Core
from navarch.base.clock import SeededIds, SystemClock
from navarch.kinds import CONFIGMAP, NODE, PERSISTENTVOLUMECLAIM, POD, SERVICE
from navarch.kinds.kind import Kind
from navarch.kinds.registry import DEFAULT
from navarch.store.memory import MemoryStore

KINDS = (POD, CONFIGMAP, NODE, SERVICE, PERSISTENTVOLUMECLAIM)


@st.composite
def plugins(draw: st.DrawFn) -> Plugin:
    def does(review: Any) -> None:
        return None

    return Plugin(
        draw(st.sampled_from("abc")),
        mutate=draw(st.sampled_from([passes, does])),
        validate=draw(st.sampled_from([passes, does])),
        concerns=draw(st.sampled_from([asks_nobody, lambda review: True])),
        settles=draw(st.booleans()),
        kinds=draw(st.sampled_from([None, (POD,), (NODE, SERVICE)])),
        creations=draw(st.booleans()),
    )


def assert_nobody_is_left_out(chosen: tuple[Plugin, ...], kind: Kind, creates: bool) -> None:
    """Whoever is left out of a stage would have been called there in vain."""
    found = stages(chosen, kind, creates)
    called = [plugin for plugin in chosen if plugin.called(kind, creates)]
    for stage, mine, step, asks in (
        (found.changing, [one for one in called if not one.settles], "mutate", True),
        (found.settling, [one for one in called if one.settles], "mutate", False),
        (found.judging, called, "validate", True),
    ):
        assert list(stage) == [one for one in mine if one in stage]
        for one in mine:
            if one not in stage:
                assert getattr(one, step) is passes
                assert not asks or one.concerns is asks_nobody


@given(st.lists(plugins(), max_size=8), st.sampled_from(KINDS), st.booleans())
def test_no_plugin_that_does_something_is_left_out(chosen: list[Plugin], kind: Kind, creates: bool) -> None:
    assert_nobody_is_left_out(tuple(chosen), kind, creates)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("creates", [True, False])
def test_none_of_the_built_in_ones_is(kind: Kind, creates: bool) -> None:
    async def made() -> tuple[Plugin, ...]:
        return tuple(Core(MemoryStore(), DEFAULT, SystemClock(), SeededIds(1))._context.plugins)

    assert_nobody_is_left_out(asyncio.run(made()), kind, creates)


def test_a_server_is_forgotten_when_it_is_closed() -> None:
    """A test process makes thousands, one after the other."""

    async def one() -> weakref.ref[Core]:
        core = Core(MemoryStore(), DEFAULT, SystemClock(), SeededIds(1))
        await core.start()
        await core.local(ITSELF, "test").create(NODE, {"metadata": {"name": "n"}})
        await core.close()
        return weakref.ref(core)

    found = asyncio.run(one())
    gc.collect()
    assert found() is None
