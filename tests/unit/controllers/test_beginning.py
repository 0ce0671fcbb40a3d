"""A process that was just started waits until it sees what the one before it did."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from navarch.client.client import Client, ObjectList
from navarch.client.informer import Informer
from navarch.controllers.beginning import Beginning
from navarch.kinds import NODE
from navarch.kinds.object import Object
from tests.unit.controllers.conftest import Make


class Api:
    def __init__(self, *objects: Object) -> None:
        self.objects = objects
        self.asked = 0

    async def list(self, kind: Any) -> ObjectList:
        self.asked += 1
        return ObjectList(list(self.objects), 900, "")


class View:
    revision = 0

    def has_reached(self, revision: int) -> bool:
        return self.revision >= revision


def test_it_is_over_when_the_newest_object_is_seen(make: Make) -> None:
    first, last = make.object(NODE, "a"), make.object(NODE, "b")
    api, view, beginning = Api(first, last), View(), Beginning(NODE)
    informer = cast(Informer, view)
    view.revision = last.revision
    assert not beginning.over(informer), "nobody has asked what there is"
    view.revision = first.revision
    for _ in range(2):
        asyncio.run(beginning.ask(cast(Client, api)))
        assert not beginning.over(informer)
    assert api.asked == 1
    view.revision = last.revision
    assert beginning.over(informer)
    view.revision = 0
    assert beginning.over(informer), "once and for all"


def test_nothing_is_waited_for_where_nothing_is() -> None:
    beginning = Beginning(NODE)
    asyncio.run(beginning.ask(cast(Client, Api())))
    assert beginning.over(cast(Informer, View()))
