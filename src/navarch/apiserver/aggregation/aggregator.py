"""Follows the APIServices: who answers for which group and version, whether they do, what they say they serve.

Each remote one has a task that looks after it: at once when something changed, else every half minute, and sooner
while it fails. Without remote ones nothing runs. The APIServices of custom resources are kept here as well.

Source: https://kubernetes.io/docs/concepts/extend-kubernetes/api-extension/apiserver-aggregation/
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

from navarch.apiserver import keys
from navarch.apiserver.aggregation import forward, services
from navarch.apiserver.aggregation.documents import Documents, Parts, parts_of
from navarch.apiserver.aggregation.identity import AGGREGATOR, headers_of
from navarch.apiserver.aggregation.remote import (
    AVAILABLE,
    LOCAL,
    PASSED,
    Remote,
    Told,
    failed,
    objections,
    remote_of,
    resources_of,
)
from navarch.apiserver.aside import LARGE_BYTES
from navarch.apiserver.call import Call
from navarch.apiserver.outgoing import Answered, Target, Unreachable
from navarch.apiserver.resolving import Reach
from navarch.apiserver.state import State
from navarch.base.errors import ApiError, NotFound, Retryable
from navarch.base.log import Log
from navarch.base.metrics import Registry
from navarch.base.pki import Pair
from navarch.client.client import Client
from navarch.kinds import APISERVICE, ENDPOINTSLICE, SERVICE
from navarch.kinds.endpointslice import SERVICE_LABEL
from navarch.kinds.kind import Kind
from navarch.objects import condition
from navarch.objects.value import Document
from navarch.store.store import Change
from navarch.wire.message import Response

log = Log("apiserver.aggregation")

LOOK_S = 30.0
AGAIN_S = 1.0
DOCUMENTS_S = 60.0
CHECK_S = 5.0
ATTEMPTS = 5
DISCOVERY_BYTES = 4 << 20


class Aggregator:
    """Runs beside the feed. client: the server's own. pair: what is shown to other servers; may be replaced.

    version: goes up whenever discovery or the schemas of remote groups change.
    """

    def __init__(self, state: State, client: Client, reach: Reach, metrics: Registry) -> None:
        self._state = state
        self._client = client
        self._reach = reach
        self.pair: Pair | None = None
        self.version = 0
        self.routes: dict[tuple[str, str], Remote] = {}
        self._told: dict[tuple[str, str], Told] = {}
        self._documents: dict[str, Documents] = {}
        self._wake: dict[str, asyncio.Event] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._news = asyncio.Event()
        metrics.gauge(
            "aggregator_unavailable_apiservice",
            "Whether the server of an APIService does not answer, by name.",
            ("name",),
            read=lambda: {(one.name,): float(not one.available) for one in self.routes.values()},
        )
        self._failures = metrics.counter(
            "aggregator_unavailable_apiservice_total",
            "How often servers of APIServices ceased to answer, by name and reason.",
            ("name", "reason"),
        )
        state.listeners.append(self._heard)
        state.loaded.append(self._reread)
        state.kinds.follow(self._news.set)

    # -- what the server asks

    def route(self, call: Call) -> Remote | None:
        """Who else answers for it. Ask only where there are `routes`: it looks at the path."""
        if call.is_resource:
            return self.routes.get((call.group, call.version))
        parts = call.path.strip("/").split("/")
        if len(parts) >= 3 and parts[0] == "apis":
            return self.routes.get((parts[1], parts[2]))
        if parts[:3] == ["openapi", "v3", "apis"] and len(parts) == 5:
            remote = self.routes.get((parts[3], parts[4]))
            return None if remote is not None and self._describes(remote) else remote
        return None

    def _describes(self, remote: Remote) -> bool:
        """Whether its v3 document is one that was made here."""
        return remote.name in self._documents and bool(self._documents[remote.name].parts.made)

    async def forward(self, remote: Remote, call: Call) -> Response:
        return await forward.forward(self._reach, remote, self.pair, call)

    def told(self) -> Sequence[tuple[Remote, Told]]:
        """The remote groups and versions, with what they serve."""
        return [(remote, self._told.get(key, Told())) for key, remote in self.routes.items()]

    def documents(self) -> Mapping[str, Documents]:
        """The schemas of remote groups, by their paths (`apis/{group}/{version}`)."""
        present = {remote.name: remote for remote in self.routes.values()}
        return {present[name].path[1:]: found for name, found in self._documents.items() if name in present}

    # -- what the store says

    def _reread(self) -> None:
        self._routed()
        self._news.set()

    def _heard(self, kind: Kind, change: Change) -> None:
        if kind is APISERVICE:
            self._routed()
            self._news.set()
        elif self.routes and (kind is SERVICE or kind is ENDPOINTSLICE):
            self._wake_those_behind(kind, change)

    def _wake_those_behind(self, kind: Kind, change: Change) -> None:
        """Whose service it is, or whose endpoints. What is gone says no more whose it was."""
        namespace, _, name = keys.split(change.key)[1].partition("/")
        for remote in self.routes.values():
            label = f'"{SERVICE_LABEL}":"{remote.service}"'.encode()
            same = name == remote.service if kind is SERVICE else change.value is None or label in change.value
            if same and namespace == remote.namespace and remote.name in self._wake:
                self._wake[remote.name].set()

    def _routed(self) -> None:
        """Read the APIServices as they are now."""
        found = [remote_of(one.document()) for one in self._state.list(APISERVICE)]
        routes = {(one.group, one.version): one for one in found if one is not None}
        if routes == self.routes:
            return
        before, self.routes = self.routes, routes
        self.version += 1
        for key in [key for key in self._told if key not in routes]:
            del self._told[key]
        present = {one.name for one in routes.values()}
        for name in [name for name in self._documents if name not in present]:
            del self._documents[name]
        for key, remote in routes.items():
            old = before.get(key)
            if remote.name in self._wake and (old is None or replace(old, available=remote.available) != remote):
                self._wake[remote.name].set()

    # -- what is done about it

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                await self._news.wait()
                self._news.clear()
                self._look_after_all(group)
                if not await self._register():
                    await self._state.clock.sleep(AGAIN_S)
                    self._news.set()

    def _look_after_all(self, group: asyncio.TaskGroup) -> None:
        present = {remote.name: remote for remote in self.routes.values()}
        for name in [name for name in self._tasks if name not in present]:
            self._tasks.pop(name).cancel()
            del self._wake[name]
        for name in present:
            if name not in self._tasks or self._tasks[name].done():
                event = self._wake[name] = asyncio.Event()
                self._tasks[name] = group.create_task(self._look_after(name, event), name=f"apiservice {name}")

    async def _register(self) -> bool:
        """Write the APIServices of custom resources, and that local ones are there; whether all could be done."""
        present = {one.name: one.document() for one in self._state.list(APISERVICE)}
        remote = {one.name for one in self.routes.values()}
        changes = services.plan(services.custom(self._state.kinds), present)
        try:
            for document in changes.create:
                await self._client.create(APISERVICE, document)
            for document in changes.update:
                await self._client.update(APISERVICE, document)
            for name, uid in changes.delete:
                await self._client.delete(APISERVICE, "", name, uid=uid)
            for name, document in present.items():
                if name not in remote and not condition.is_true(document, AVAILABLE):  # another server's, until now
                    await self._told_of(name, document["metadata"]["uid"], LOCAL)
        except NotFound:
            return False
        except (ApiError, Retryable) as error:
            log.warning("APIServices of custom resources will be written again", error=error)
            return False
        return True

    async def _look_after(self, name: str, news: asyncio.Event) -> None:
        """One remote APIService, until it is gone."""
        pause_s, documents_at = AGAIN_S, 0.0
        while True:
            news.clear()
            remote = next((one for one in self.routes.values() if one.name == name), None)
            if remote is None:
                return
            passed = False
            try:
                found = await self._checked(remote)
                await self._told_of(remote.name, remote.uid, found)
                passed = found is PASSED
                if passed and self._state.clock.monotonic() >= documents_at:
                    documents_at = self._state.clock.monotonic() + DOCUMENTS_S
                    await self._read_documents(remote)
            except (ApiError, Retryable) as error:
                log.warning("the state of an APIService will be written again", name=name, error=error)
            except Exception as bug:
                log.exception("a bug while looking after an APIService", name=name, error=repr(bug))
            pause_s = LOOK_S if passed else min(pause_s * 2, LOOK_S)
            await self._pause(news, pause_s)

    async def _pause(self, news: asyncio.Event, pause_s: float) -> None:
        """Returns when there is news, or after a time."""
        async with asyncio.TaskGroup() as group:
            waits = [group.create_task(news.wait()), group.create_task(self._state.clock.sleep(pause_s))]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()

    async def _checked(self, remote: Remote) -> Document:
        """The condition that it is in; what it serves is remembered on the way."""
        key = (remote.group, remote.version)
        service = self._state.get(SERVICE, remote.namespace, remote.service)
        slices = self._state.where(ENDPOINTSLICE, labels=f"{SERVICE_LABEL}={remote.service}")
        objection = objections(remote, service, [one for one in slices if one.namespace == remote.namespace])
        if objection is not None:
            self._remember(key, None)
            return objection
        problem = ""
        for _ in range(ATTEMPTS):
            body = b""
            try:
                answer = await self._ask(remote, remote.path, CHECK_S)
            except Unreachable as error:
                where = self._address(remote)
                problem = f'failing or missing response from {where}: Get "{where}": {error}'
            else:
                body = answer.body
                problem = ""
                if not 200 <= answer.status < 300:
                    where = self._address(remote)
                    problem = f"failing or missing response from {where}: bad status from {where}: {answer.status}"
            if not problem:
                self._remember(key, resources_of(body, *key))
                return PASSED
        self._remember(key, None)
        return failed(problem)

    def _remember(self, key: tuple[str, str], resources: tuple[Document, ...] | None) -> None:
        """None: what it served before is known, and no longer fresh."""
        before = self._told.get(key, Told())
        now = Told(before.resources, fresh=False) if resources is None else Told(resources, fresh=True)
        if now != before:
            self._told[key] = now
            self.version += 1

    def _target(self, remote: Remote, path: str) -> Target:
        return replace(forward.target_of(self._reach, remote, self.pair), path=path)

    def _address(self, remote: Remote) -> str:
        try:
            target = self._target(remote, remote.path)
        except Unreachable:
            return f"https://{remote.service}.{remote.namespace}.svc:{remote.port}{remote.path}"
        return f"https://{target.host}:{target.port}{remote.path}"

    async def _ask(self, remote: Remote, path: str, timeout_s: float, *headers: tuple[str, str]) -> Answered:
        """Raises: Unreachable."""
        sent = [("Accept", "application/json"), *headers_of(AGGREGATOR), *headers]
        target = self._target(remote, path)
        return await self._reach.outgoing.ask(
            target, "GET", headers=sent, timeout_s=timeout_s, limit_bytes=DISCOVERY_BYTES
        )

    async def _told_of(self, name: str, uid: str, found: Document) -> None:
        """Write the condition, if it is news. Raises: ApiError, Retryable."""
        present = self._state.get(APISERVICE, "", name)
        if present is None or present.uid != uid:
            return
        document = present.document()
        status = document.get("status") or {}
        known = condition.get(status.get("conditions"), AVAILABLE) or {}
        if all(known.get(field) == value for field, value in found.items()):
            return
        if found["status"] != "True" and known.get("status") != found["status"]:
            self._failures.add(name, found["reason"])
        conditions = condition.set(status.get("conditions"), found, self._state.clock.now())
        wanted = {**document, "status": {**status, "conditions": conditions}}
        try:
            await self._client.update(APISERVICE, wanted, subresource="status")
        except NotFound:
            return

    async def _read_documents(self, remote: Remote) -> None:
        known = self._documents.get(remote.name, Documents())

        async def ask(path: str, etag: str) -> Answered:
            return await self._ask(remote, path, CHECK_S, *([("If-None-Match", etag)] if etag else []))

        async def read(body: bytes, path: str, legacy: bool) -> Parts:
            if len(body) < LARGE_BYTES:
                return parts_of(body, path, legacy)
            return await self._state.aside.run(parts_of, body, path, legacy)

        found = await known.again(remote.path[1:], ask, read)
        if found != known and any(one.name == remote.name for one in self.routes.values()):
            self._documents[remote.name] = found
            self.version += 1
