"""The core of the API server: store, caches, verbs and admission, joined. What `ApiServer` puts its chain before."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping

from navarch.apiserver.addressbook import AddressBook
from navarch.apiserver.admission import extensions
from navarch.apiserver.admission.accounts import Issue
from navarch.apiserver.admission.extensions import Judge
from navarch.apiserver.admission.plugins import Grants, plugins
from navarch.apiserver.admission.pods import PATIENCE_S
from navarch.apiserver.admission.review import Plugins
from navarch.apiserver.admission.webhooks import Webhooks
from navarch.apiserver.aggregation.aggregator import Aggregator
from navarch.apiserver.allocate import ADDRESSES
from navarch.apiserver.aside import Aside
from navarch.apiserver.call import ITSELF, Authorizer, Call, Reads, User
from navarch.apiserver.connecting import connect
from navarch.apiserver.context import Answer, Context
from navarch.apiserver.establish import Establisher
from navarch.apiserver.expiry import Expiry
from navarch.apiserver.handle import handle
from navarch.apiserver.health import Check
from navarch.apiserver.local import LocalClient
from navarch.apiserver.meter import Meter
from navarch.apiserver.state import State
from navarch.base.clock import Clock, Ids
from navarch.base.errors import ApiError
from navarch.base.log import Log
from navarch.base.metrics import Registry
from navarch.client.client import Client
from navarch.kinds.registry import Kinds, LiveKinds
from navarch.store.store import Reporting, Store
from navarch.wire.message import Handler, Response

log = Log("apiserver.core")

LAST_S = 2.0
"""How long ending watches wait for the last changes; a store that is away does not hold up a server that stops."""


class Core:
    """Between `start` and `close` it follows the store."""

    def __init__(
        self,
        store: Store,
        kinds: Kinds,
        clock: Clock,
        ids: Ids,
        *,
        authorizer: Authorizer | None = None,
        answers: Mapping[tuple[str, str], Answer] | None = None,
        patience_s: int = PATIENCE_S,
        simulated: bool = False,
        metrics: Registry | None = None,
        judges: Mapping[str, Judge] | None = None,
        networks: str = ADDRESSES,
    ) -> None:
        """authorizer: asked for what clients in this process do; None allows.
        answers: (plural, subresource) -> who answers what is posted there and not stored (reviews, tokens).
        patience_s: how long new pods that say nothing about it stay on a node that was lost.
        simulated: pods run nowhere, and are never connected to. judges: admission plugins of others, by name.
        networks: out of which Services have addresses, one of a family, parted by commas.
        """
        metrics = metrics or Registry()
        self._own = metrics.counter(
            "apiserver_selfrequest",
            "Requests of the server to itself.",
            ("verb", "group", "resource", "subresource"),
        )
        self._state = State(store, kinds, clock, ids, simulated=simulated, metrics=metrics)
        self.reach = self._state.reach
        self._grants: Grants | None = None
        self._issue: Issue | None = None
        webhooks = Webhooks(self._state, self.reach, lambda: self._context.authorizer, metrics)
        chosen = plugins(
            self._state,
            lambda: self._grants,
            lambda: self._issue,
            patience_s,
            lambda: self._context.authorizer,
            webhooks,
            extensions.plugins(judges or {}, metrics),
            networks,
        )
        self._context: Context = Context(self._state, Plugins(chosen), authorizer, dict(answers or {}))
        self._expiry = Expiry(self._state)
        self._addresses = AddressBook(self._state, self.local(ITSELF, "navarch"))
        self._establisher = Establisher(self._state, self.local(ITSELF, "navarch"))
        self.aggregator = Aggregator(self._state, self.local(ITSELF, "navarch"), self.reach, metrics)
        self._following: asyncio.Task[None] | None = None
        self.component("etcd-0", self._store_health)  # as the store is called where it is looked for

    async def start(self) -> None:
        """Returns when everything that is stored is in the caches."""
        await self._state.feed.load()
        self._following = asyncio.get_running_loop().create_task(self._follow(), name="core")

    async def _follow(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._state.feed.run(), name="feed")
                group.create_task(self._expiry.run(), name="expiry")
                group.create_task(self._establisher.run(), name="establish")
                group.create_task(self._addresses.run(), name="addresses")
                group.create_task(self.aggregator.run(), name="aggregate")
        except* Exception as bugs:
            log.exception("the core stopped", error=repr(bugs.exceptions))
            raise

    async def followed(self) -> None:
        """Waits for as long as the store is followed. Raises what ended it: nothing may go on without, for no write
        would be seen any more."""
        if self._following is not None:
            await asyncio.shield(self._following)

    def _store_health(self) -> str:
        lost = self._following is None or self._following.done()
        return "the store is not followed any more" if lost else ""

    async def close(self) -> None:
        """End every watch. The store stays open: it is its maker's."""
        following, self._following = self._following, None
        if following is not None:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
        self._state.feed.close()
        await self.reach.outgoing.close()

    @property
    def reads(self) -> Reads:
        return self._state

    @property
    def kinds(self) -> LiveKinds:
        """The kinds that are served at the moment; the same value for as long as the core lives."""
        return self._state.kinds

    @property
    def aside(self) -> Aside:
        """Where what takes long is worked on."""
        return self._state.aside

    @property
    def revision(self) -> int:
        """Up to where the caches have followed the store."""
        return self._state.feed.revision

    def serve_front(self, front: Handler) -> None:
        """Say who answers for paths that are no resources (`Client.raw` of clients in this process)."""
        self._context.front = front

    def answer(self, plural: str, subresource: str, by: Answer) -> None:
        """Say who answers what is posted to a resource that is not stored. Before `start`."""
        self._context.answers[plural, subresource] = by

    def component(self, name: str, check: Check) -> None:
        """Say how a part of the control plane is found out to be well, for whoever asks for ComponentStatus objects."""
        self._context.components[name] = check

    def measure_by(self, meter: Meter) -> None:
        """Say who measures nodes and pods. The kinds of `metrics.k8s.io` are then to be among those that are served."""
        self._context.meter = meter

    def authorize_by(self, authorizer: Authorizer) -> None:
        """Say who decides what clients in this process may do (authorizers read the core, so they come after it)."""
        self._context.authorizer = authorizer

    def check_grants(self, by: Grants) -> None:
        """Say who refuses roles and bindings that give more than their writer holds."""
        self._grants = by

    def issue_tokens(self, by: Issue) -> None:
        """Say who makes the tokens of secrets that are to hold one."""
        self._issue = by

    @property
    def followed_once(self) -> bool:
        """The caches hold what was stored."""
        return self._state.feed.revision > 0

    def trouble(self) -> str:
        """What is wrong with the store, "" when nothing is."""
        if self._following is not None and self._following.done():
            return "the store is no longer followed"
        store = self._state.store
        return store.trouble() if isinstance(store, Reporting) else ""

    def stored(self, call: Call) -> int:
        """How many objects there are of what a call is about, in its namespace or in all."""
        kind = self._state.kinds.resource(call.group, call.version, call.resource)
        return 0 if kind is None else self._state.count(kind, call.namespace)

    def counts(self) -> dict[tuple[str, ...], float]:
        """How many objects are stored, by group and plural."""
        return {(cache.kind.group, cache.kind.plural): len(cache) for cache in self._state.caches()}

    def watches(self) -> dict[tuple[str, ...], float]:
        """How many events were handed to watchers, by group, version and plural."""
        return {(c.kind.group, c.kind.version, c.kind.plural): c.events for c in self._state.caches() if c.events}

    async def end_watches(self) -> None:
        """Let every watch that there is come to its end, with all that was acknowledged before the call."""
        try:
            async with asyncio.timeout(LAST_S):
                await self._state.feed.fresh()
        except (TimeoutError, ApiError) as away:
            log.warning("watches end without what was written last", why=str(away))
        for cache in self._state.caches():
            cache.close()

    def handle(self, call: Call) -> Awaitable[Response]:
        """Every request for a resource, after authentication and authorization."""
        return handle(self._context, call)

    async def connect(self, call: Call) -> None:
        """Ask admission about a stream or a proxied request. Raises: ApiError."""
        await connect(self._context, call)

    def local(self, user: User, manager: str) -> Client:
        """A client without a socket. manager: the field manager that its writes are recorded under."""
        return LocalClient(self._context, user, manager, self._own if user is ITSELF else None)
