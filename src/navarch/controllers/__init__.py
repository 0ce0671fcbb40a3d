"""Controllers: each a declaration and a pure plan, all run by one runner over one set of caches.

`ALL` names them; `Controllers` runs them. Nothing registers itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from navarch.base.clock import Clock, Ids
from navarch.base.metrics import Registry
from navarch.client.client import Client
from navarch.client.events import Events
from navarch.client.informer import Informers
from navarch.controllers import deployment, replicaset, replicationcontroller
from navarch.controllers.act import Act
from navarch.controllers.alarms import Alarms
from navarch.controllers.controller import Cache, Controller
from navarch.controllers.options import Options
from navarch.controllers.runner import Counts, Runner

ALL: tuple[Callable[[Options], Controller[Any]], ...] = (
    deployment.controller,
    replicaset.controller,
    replicationcontroller.controller,
)


class Controllers:
    """All controllers of a cluster (or those that the options name), on one client."""

    def __init__(
        self,
        client: Client,
        clock: Clock,
        ids: Ids,
        options: Options | None = None,
        *,
        informers: Informers | None = None,
        registry: Registry | None = None,
        client_for: Callable[[str], Client] | None = None,
    ) -> None:
        """informers: shared with others in the process, who then run them; made and run here when None.

        client_for: the client of each controller by its component's name, so that each has its own rights.
        """
        options = options or Options()
        self._informers = informers or Informers(client, clock)
        self._own_informers = informers is None
        self._events = Events(client, clock)
        self._alarms = Alarms(clock)
        cache = Cache(self._informers)
        counts = Counts(registry or Registry())
        self.runners: list[Runner] = []
        for make in ALL:
            controller = make(options)
            if options.controllers and controller.name not in options.controllers:
                continue
            component = controller.component or controller.name
            own = client_for(component) if client_for is not None else client
            act = Act(own, ids, self._events.of(component), self.field_manager)
            self.runners.append(Runner(controller, cache, own, clock, self._alarms, act, counts))

    field_manager = "kube-controller-manager"

    @property
    def idle(self) -> bool:
        """Nothing is being done, and nothing will be until something changes or time passes."""
        return self._events.idle and all(runner.idle for runner in self.runners)

    async def run(self) -> None:
        """Until cancelled."""
        for runner in self.runners:
            runner.attach()
        async with asyncio.TaskGroup() as group:
            if self._own_informers:
                group.create_task(self._informers.run())
            group.create_task(self._alarms.run())
            group.create_task(self._events.run())
            for runner in self.runners:
                group.create_task(runner.run())
