"""The control plane joined: core, chain, controllers and scheduler over one store, in one process.

What `navarch server` and the cluster in a library have in common. Sockets, stores and clocks are their makers'.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from socket import gethostname

from navarch.apiserver.admission.extensions import Judge
from navarch.apiserver.allocate import ADDRESSES
from navarch.apiserver.audit.auditor import Auditor
from navarch.apiserver.audit.logfile import LogFile
from navarch.apiserver.audit.logfile import Settings as LogSettings
from navarch.apiserver.audit.policy import Policy
from navarch.apiserver.authn.authenticator import Credentials
from navarch.apiserver.authn.bootstraptokens import BootstrapTokens
from navarch.apiserver.authn.tokens import ServiceAccountTokens
from navarch.apiserver.authn.tracking import ensure_tracking
from navarch.apiserver.authz.authorizer import Authorizers
from navarch.apiserver.bootstrap import Place, bootstrap, ensure_namespaces, ensure_storage
from navarch.apiserver.call import ITSELF, Attributes, Decision, User
from navarch.apiserver.core import Core
from navarch.apiserver.dialer import NodeDialer
from navarch.apiserver.fairness import dangling
from navarch.apiserver.health import ping
from navarch.apiserver.presence import Presence
from navarch.apiserver.restore import restore
from navarch.apiserver.server import ApiServer
from navarch.base.clock import Clock, Ids
from navarch.base.metrics import Registry
from navarch.base.pki import Pair
from navarch.client.client import Client
from navarch.client.counted import Counted
from navarch.client.informer import Informers
from navarch.client.lease import Election, Heartbeats
from navarch.controllers import Controllers
from navarch.controllers.node.lines import Lines
from navarch.controllers.options import Options, Sign
from navarch.kinds.registry import DEFAULT, Kinds
from navarch.scheduler.scheduler import Scheduler
from navarch.store.store import Store

ISSUER = "https://kubernetes.default.svc.cluster.local"
ORGANS = ("controller-manager", "scheduler")
"""As ComponentStatus names them."""
LEADER = "navarch-controllers"
"""The lease that one of several servers on one store holds: controllers and scheduler run there."""
AUTHENTICATED = "system:authenticated"
CONTROLLERS = User("system:kube-controller-manager", groups=(AUTHENTICATED,))
SCHEDULER = User("system:kube-scheduler", groups=(AUTHENTICATED,))


def controller_account(name: str) -> User:
    """Each controller speaks as a service account of its own, with the rights that Kubernetes gives it."""
    space = "system:serviceaccounts"
    return User(f"system:serviceaccount:kube-system:{name}", groups=(space, f"{space}:kube-system", AUTHENTICATED))


@dataclass(frozen=True, slots=True)
class Audit:
    policy: Policy
    log: LogSettings


@dataclass(frozen=True, slots=True)
class Settings:
    """signing_key: of service account tokens (PEM). place: where the API server is reached by network, if it is.

    shared_informers: controllers and scheduler read from one set of caches. simulated: pods run nowhere.
    judges: admission plugins of others, by name.
    front_proxy: what the server shows to other API servers that it hands requests on to.
    sign: certificates for others, with the key of the cluster's authority.
    audit: what is recorded of requests, and where.
    networks: out of which Services have addresses, one of a family, parted by commas.
    """

    signing_key: bytes
    issuer: str = ISSUER
    place: Place | None = None
    options: Options = field(default_factory=Options)
    shared_informers: bool = True
    simulated: bool = False
    judges: Mapping[str, Judge] = field(default_factory=dict)
    front_proxy: Pair | None = None
    sign: Sign | None = None
    audit: Audit | None = None
    networks: str = ADDRESSES


def _stopped(task: asyncio.Task[None]) -> str:
    """What is wrong with an organ that this task runs."""
    return "it does not run any more" if task.done() else ""


class _Late:
    """An authorizer that is made of the core that asks it."""

    def __init__(self) -> None:
        self.made: Authorizers | None = None

    def decide(self, attributes: Attributes) -> Decision:
        if self.made is None:
            raise RuntimeError("asked before the server was complete")
        return self.made.decide(attributes)


class ControlPlane:
    """`start`, then `run` beside whatever serves `server.handle`, then `close`."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        ids: Ids,
        settings: Settings,
        *,
        kinds: Kinds = DEFAULT,
        dialer: NodeDialer | None = None,
        heartbeats: Heartbeats | None = None,
        metrics: Registry | None = None,
        lines: Lines | None = None,
    ) -> None:
        """heartbeats: nodes' signs of life; None for Lease objects. lines: to nodes' hosts, while this leads."""
        late = _Late()
        self.metrics = metrics or Registry()
        self.core = Core(
            store,
            kinds,
            clock,
            ids,
            authorizer=late,
            patience_s=settings.options.patience_s,
            simulated=settings.simulated,
            metrics=self.metrics,
            judges=settings.judges,
            networks=settings.networks,
        )
        self.kinds = self.core.kinds
        self.authorizer = late.made = Authorizers(self.core.reads)
        self.tokens = ServiceAccountTokens(settings.signing_key, settings.issuer, self.core.reads, clock, ids)
        self.server = ApiServer(
            self.core,
            self.core.kinds,
            Credentials(self.tokens, BootstrapTokens(self.core.reads, clock)),
            self.authorizer,
            self.tokens,
            clock,
            ids,
            dialer=dialer,
            metrics=self.metrics,
            aggregator=self.core.aggregator,
        )
        self.core.aggregator.pair = settings.front_proxy
        self._audit_log: LogFile | None = None
        if settings.audit is not None:
            self._audit_log = LogFile(settings.audit.log, clock)
            self.server.audit_by(
                Auditor(settings.audit.policy, self._audit_log, clock, ids, self.kinds, self.server.audit_counts)
            )
        self._settings = settings
        self._clock, self._ids = clock, ids
        self._heartbeats, self._lines = heartbeats, lines
        self._shared = store.shared
        self._presence: Presence | None = None
        if store.shared and settings.place is not None:
            client = self.client(ITSELF, "navarch")
            self._presence = Presence(client, clock, settings.place, gethostname(), ids.uid())
        self.leads = False
        """Whether controllers and scheduler run here."""

    def client(self, user: User, manager: str) -> Client:
        """A client in this process. manager: the field manager of its writes."""
        return self.core.local(user, manager)

    def _organ(self, user: User, manager: str) -> Client:
        """One whose requests are counted."""
        return Counted(self.client(user, manager), self.metrics, self._clock, "in-process")

    async def start(self) -> None:
        """Load what is stored and create what every cluster has."""
        await self.core.start()
        client = self.client(ITSELF, "navarch")
        if self._presence is not None:
            await ensure_namespaces(client)
            await self._presence.announce()
        await bootstrap(client, None if self._settings.place is None else self._place(), self._settings.networks)
        await ensure_tracking(client, self._clock.now())
        if self._settings.options.local_path:
            await ensure_storage(client)

    def _place(self) -> Place:
        """Where the API is reached, by whichever server."""
        assert self._settings.place is not None
        return self._settings.place if self._presence is None else self._presence.place

    async def run(self, ready: asyncio.Event | None = None) -> None:
        """All that writes of itself, until cancelled; where other servers share the store, controllers and scheduler
        only while this one leads. ready: set once the informers have seen everything there is, or need not."""
        reached = None if self._settings.place is None else self._place
        async with asyncio.TaskGroup() as group:
            group.create_task(self.core.followed())
            if self._audit_log is not None:
                group.create_task(self._audit_log.run())
            group.create_task(restore(self.client(ITSELF, "navarch"), reached, self._clock))
            if self._presence is not None:
                group.create_task(self._presence.run())
            group.create_task(dangling.keep(self.client(ITSELF, "navarch"), self.core.reads, self._clock))
            group.create_task(self.tokens.notes.keep(self.client(ITSELF, "navarch"), self._clock))
            if self._shared:
                for name in ORGANS:
                    self.core.component(name, ping)  # it stands by, until it leads
                who = f"{gethostname()}_{self._ids.uid()}"
                election = Election(self.client(ITSELF, "navarch"), self._clock, LEADER, who)
                group.create_task(election.run(self._lead))
                if ready is not None:
                    ready.set()
            else:
                group.create_task(self._lead(ready))

    async def _lead(self, ready: asyncio.Event | None = None) -> None:
        """Controllers and scheduler, until cancelled."""
        controllers = self._organ(CONTROLLERS, "kube-controller-manager")
        scheduler = self._organ(SCHEDULER, "kube-scheduler")
        informers = Informers(controllers, self._clock)
        shared = informers if self._settings.shared_informers else None
        organs: tuple[Controllers | Scheduler, ...] = (
            Controllers(
                controllers,
                self._clock,
                self._ids,
                self._settings.options,
                kinds=self.kinds,
                heartbeats=self._heartbeats,
                informers=informers,
                registry=self.metrics,
                client_for=lambda name: self._organ(controller_account(name), "kube-controller-manager"),
                sign=self._settings.sign,
                lines=self._lines,
            ),
            Scheduler(scheduler, self._clock, self._ids, informers=shared, registry=self.metrics),
        )
        try:
            async with asyncio.TaskGroup() as group:
                for name, organ in zip(ORGANS, organs, strict=True):
                    self.core.component(name, partial(_stopped, group.create_task(organ.run())))
                group.create_task(informers.run())
                await informers.synced()
                self.leads = True
                if ready is not None:
                    ready.set()
        finally:
            self.leads = False

    async def close(self) -> None:
        await self.core.close()
        if self._audit_log is not None:
            await self._audit_log.close()
