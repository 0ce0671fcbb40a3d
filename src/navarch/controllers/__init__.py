"""Controllers: each a declaration and a pure plan, all run by one runner over one set of caches.

`ALL` names them; `Controllers` runs them. Nothing registers itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from navarch.base.clock import Clock, Ids
from navarch.base.metrics import Registry
from navarch.base.mint import Mint
from navarch.client.client import Client
from navarch.client.events import Events
from navarch.client.informer import Informers
from navarch.client.lease import Heartbeats, LeaseHeartbeats
from navarch.controllers import (
    account,
    accounttokens,
    admissionpolicy,
    autoscaler,
    bootstraptokens,
    clusterrole,
    cronjob,
    daemonset,
    deployment,
    disruption,
    garbage,
    job,
    loadbalancer,
    namespace,
    podgc,
    protection,
    replicaset,
    replicationcontroller,
    resourceclaim,
    resourcequota,
    servicecidr,
    staleness,
    statefulset,
    storagemigration,
    tokencleaner,
    ttl,
    volumes,
)
from navarch.controllers.act import Act
from navarch.controllers.alarms import Alarms
from navarch.controllers.certificates import approving, cleaning, serving, signing, trust
from navarch.controllers.controller import Cache, Controller
from navarch.controllers.endpoints import endpointslice, legacy, mirroring
from navarch.controllers.issuer import declared as issuer
from navarch.controllers.node import eviction, lifecycle, ranges
from navarch.controllers.node.lines import Lines
from navarch.controllers.options import Options, Setup, Sign
from navarch.controllers.runner import Counts, Runner
from navarch.controllers.volumes import attachdetach, ephemeral, provision
from navarch.kinds import LEASE, NODE
from navarch.kinds.registry import DEFAULT, Kinds

__all__ = ["ALL", "Controllers", "Options", "Setup"]

ALL: tuple[Callable[[Setup], Controller[Any]], ...] = (
    deployment.controller,
    replicaset.controller,
    replicationcontroller.controller,
    statefulset.controller,
    daemonset.controller,
    job.controller,
    job.orphans,
    cronjob.controller,
    ttl.controller,
    autoscaler.controller,
    endpointslice.controller,
    legacy.controller,
    mirroring.controller,
    loadbalancer.controller,
    namespace.controller,
    account.service_account,
    account.root_ca,
    garbage.controller,
    lifecycle.controller,
    eviction.controller,
    ranges.controller,
    podgc.controller,
    disruption.controller,
    staleness.controller,
    resourcequota.controller,
    protection.claims,
    protection.volumes,
    volumes.claims,
    volumes.volumes,
    ephemeral.controller,
    provision.controller,
    provision.expansion,
    attachdetach.controller,
    storagemigration.controller,
    clusterrole.controller,
    servicecidr.controller,
    admissionpolicy.controller,
    accounttokens.controller,
    tokencleaner.controller,
    resourceclaim.controller,
    approving.controller,
    signing.controller,
    cleaning.controller,
    trust.controller,
    issuer.authority,
    issuer.certificates,
    issuer.requests,
)
JOINING: tuple[Callable[[Setup], Controller[Any]], ...] = (
    bootstraptokens.cleaner,
    bootstraptokens.signer,
    serving.controller,
)
"""Where other machines may join."""

FIELD_MANAGER = "kube-controller-manager"


class Controllers:
    """All controllers of a cluster (or those that the options name), on one client."""

    def __init__(
        self,
        client: Client,
        clock: Clock,
        ids: Ids,
        options: Options | None = None,
        *,
        kinds: Kinds = DEFAULT,
        heartbeats: Heartbeats | None = None,
        informers: Informers | None = None,
        registry: Registry | None = None,
        client_for: Callable[[str], Client] | None = None,
        sign: Sign | None = None,
        lines: Lines | None = None,
    ) -> None:
        """heartbeats: signs of life of nodes, Lease objects when None. informers: shared with others in the process,
        who then run them; made and run here when None. client_for: the client of each controller by the name of its
        service account, so that each has its own rights; `client` for all of them when None. sign: with the
        cluster's own key; None where that is not at hand. lines: to the nodes' hosts, kept while this runs."""
        options = options or Options()
        self._informers = informers or Informers(client, clock)
        self._own_informers = informers is None
        self._events = Events(client, clock)
        self._alarms = Alarms(clock)
        heartbeats = heartbeats or LeaseHeartbeats(client, clock, self._informers.of(LEASE))
        setup = Setup(clock, heartbeats, options, kinds, sign, Mint(clock, ids), lines)
        cache = Cache(self._informers)
        registry = registry or Registry()
        counts = Counts(registry)
        self._lines = lines
        read = lines.states if lines is not None else dict
        registry.gauge("navarch_node_lines", "Lines to the hosts of nodes: `up`, `out-of-reach`.", ("state",), read)
        self.runners: list[Runner] = []
        for make in (*ALL, *(JOINING if options.joining else ())):
            controller = make(setup)
            if options.controllers and controller.name not in options.controllers:
                continue
            own = client_for(controller.account or controller.name) if client_for is not None else client
            act = Act(own, ids, self._events.of(controller.component or controller.name), FIELD_MANAGER)
            self.runners.append(Runner(controller, cache, own, clock, self._alarms, act, counts, client))

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
            if self._lines is not None:
                group.create_task(self._lines.run(self._informers.of(NODE)))
            for runner in self.runners:
                group.create_task(runner.run())
