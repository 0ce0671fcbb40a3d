"""A `Client` in the server's own process: the same verbs and the same rules, without a socket or a second encoding.

What it reads are the watch cache's own objects, shared by every reader. It asks the authorizer as a request would be.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from urllib.parse import parse_qsl, unquote, urlsplit

import orjson

from navarch.apiserver import bodies, refusals, verb_delete, verb_read, verb_watch
from navarch.apiserver.call import Attributes, User
from navarch.apiserver.context import Context
from navarch.apiserver.counts import VERBS as METHODS
from navarch.apiserver.negotiate import JSON
from navarch.apiserver.options import DeleteOptions, Intent, ListOptions, WatchOptions, revision_of
from navarch.apiserver.state import face, faces
from navarch.apiserver.subresources import ACTS, act_for
from navarch.apiserver.verb_create import create
from navarch.apiserver.verb_patch import apply, patch
from navarch.apiserver.verb_update import update
from navarch.base.errors import BadRequest, Unavailable
from navarch.base.metrics import Counter
from navarch.client.client import EventType, ObjectList, PatchType, Propagation, WatchEvent
from navarch.client.wire import error_of
from navarch.kinds.kind import Kind
from navarch.kinds.object import Object
from navarch.objects.value import Document
from navarch.wire.message import Peer, Request

PATCH_TYPES: dict[PatchType, str] = {
    "merge": bodies.MERGE_PATCH,
    "json": bodies.JSON_PATCH,
    "strategic": bodies.STRATEGIC_PATCH,
}


def _event(type_: EventType, found: Object) -> WatchEvent:
    return WatchEvent(type_, found, found.revision)


class LocalClient:
    """Implements `client.Client`."""

    def __init__(self, context: Context, user: User, manager: str, counter: Counter | None = None) -> None:
        """counter: of what is asked, by verb, group, resource and subresource."""
        self._counter = counter
        self._context = context
        self._user = user
        self._manager = manager

    async def get(self, kind: Kind, namespace: str, name: str) -> Object:
        self._allow("get", kind, namespace, name)
        return face(kind, await verb_read.get(self._context.state, kind, namespace, name))

    async def list(
        self,
        kind: Kind,
        namespace: str = "",
        *,
        labels: str = "",
        fields: str = "",
        limit: int = 0,
        cont: str = "",
        revision: str | None = None,
    ) -> ObjectList:
        self._allow("list", kind, namespace)
        wanted = None if revision is None or cont else revision_of(revision)
        options = ListOptions(labels, fields, limit, cont, wanted)
        page = await verb_read.page(self._context.state, kind, namespace, options)
        return ObjectList(faces(kind, page.items), page.revision, page.cont)

    async def watch(
        self, kind: Kind, namespace: str = "", *, since: int, labels: str = "", fields: str = ""
    ) -> AsyncIterator[Sequence[WatchEvent]]:
        self._allow("watch", kind, namespace)
        options = WatchOptions(labels, fields, since, bookmarks=True)
        watch = await verb_watch.join(self._context.state, kind, namespace, options, "local", _event)
        try:
            if watch.first:
                yield watch.first
            async with aclosing(verb_watch.lasting(self._context.state, watch, since)) as batches:
                async for found, revision in batches:
                    yield found or (WatchEvent("BOOKMARK", None, revision),)
        finally:
            watch.watcher.leave()

    async def create(
        self, kind: Kind, document: Document, *, subresource: str = "", manager: str = "", dry_run: bool = False
    ) -> Object:
        intent = self._intent("create", kind, document, subresource, manager, dry_run)
        if subresource:
            raise BadRequest(f"{subresource} is posted to: use `post`")
        intent.name = ""
        return await self._shown(kind, await create(self._context, intent, orjson.dumps(document)))

    async def update(
        self, kind: Kind, document: Document, *, subresource: str = "", manager: str = "", dry_run: bool = False
    ) -> Object:
        intent = self._intent("update", kind, document, subresource, manager, dry_run)
        act = act_for(kind, subresource) if subresource else None
        if act is not None and "update" in act.verbs:
            return Object.of(kind, await act.put(self._context, intent, document))
        found, _ = await update(self._context, intent, orjson.dumps(document))
        return await self._shown(kind, found)

    async def patch(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        patch_: Document | Sequence[Document],
        *,
        type: PatchType = "merge",
        subresource: str = "",
        manager: str = "",
        dry_run: bool = False,
    ) -> Object:
        named = {"metadata": {"name": name, "namespace": namespace}}
        intent = self._intent("patch", kind, named, subresource, manager, dry_run)
        return await self._shown(kind, await patch(self._context, intent, PATCH_TYPES[type], patch_))

    async def apply(
        self, kind: Kind, document: Document, *, manager: str, force: bool = False, subresource: str = ""
    ) -> Object:
        intent = self._intent("patch", kind, document, subresource, manager, False)
        intent.verb, intent.force = "apply", force
        found, _ = await apply(self._context, intent, document)
        return await self._shown(kind, found)

    async def delete(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        *,
        uid: str = "",
        revision: int = 0,
        grace_s: int | None = None,
        propagation: Propagation | None = None,
        dry_run: bool = False,
    ) -> Object | None:
        named = {"metadata": {"name": name, "namespace": namespace}}
        intent = self._intent("delete", kind, named, "", "", dry_run)
        options = DeleteOptions(grace_s, propagation, uid, str(revision) if revision else "", dry_run)
        outcome = await verb_delete.delete(self._context, intent, options)
        return None if outcome.gone else face(kind, outcome.object)

    async def post(self, kind: Kind, namespace: str, name: str, subresource: str, document: Document) -> Document:
        self._allow("create", kind, namespace, name, subresource)
        where = (kind.plural, subresource)
        if answer := self._context.answers.get(where):
            return await answer(self._user, namespace, name, document)
        if where not in ACTS or "create" not in ACTS[where].verbs:
            raise refusals.no_such_path()
        named = {"metadata": {"name": name, "namespace": namespace}}
        intent = self._intent("create", kind, named, subresource, "", False)
        return await ACTS[where].put(self._context, intent, document)

    async def raw(self, method: str, path: str, body: object = None) -> bytes:
        if self._context.front is None:
            raise Unavailable("nobody answers for paths that are no resources")
        parts = urlsplit(path)
        content = b"" if body is None else body if isinstance(body, bytes) else orjson.dumps(body)
        headers = {"impersonate-user": self._user.name, "impersonate-group": ", ".join(self._user.groups)}
        if content:
            headers["content-type"] = JSON
        query = parse_qsl(parts.query, keep_blank_values=True)
        request = Request(method, unquote(parts.path), path, headers, query, content, Peer(local=True))
        response = await self._context.front(request)
        content = (
            response.body if isinstance(response.body, bytes) else b"".join([part async for part in response.body])
        )
        if response.status >= 400:
            raise error_of(response.status, content)
        return content

    async def _shown(self, kind: Kind, found: Object) -> Object:
        return await self._context.state.conversions.one(kind, found) if kind.conversion else face(kind, found)

    def _allow(self, verb: str, kind: Kind, namespace: str, name: str = "", subresource: str = "") -> None:
        """Raises: Forbidden."""
        if self._counter is not None:
            self._counter.add(METHODS.get(verb) or verb.upper(), kind.group, kind.plural, subresource)
        if self._context.authorizer is None:
            return
        attributes = Attributes(self._user, verb, kind.group, kind.version, kind.plural, subresource, namespace, name)
        decision = self._context.authorizer.decide(attributes)
        if not decision.allowed:
            what = f"{kind.plural}/{subresource}" if subresource else kind.plural
            where = f' in the namespace "{namespace}"' if namespace else " at the cluster scope"
            why = f'User "{self._user.name}" cannot {verb} resource "{what}" in API group "{kind.group}"{where}'
            raise refusals.forbidden(kind, name, f"{why}: {decision.reason}" if decision.reason else why)

    def _intent(
        self, verb: str, kind: Kind, document: Document, subresource: str, manager: str, dry_run: bool
    ) -> Intent:
        metadata = document.get("metadata") or {}
        name, namespace = metadata.get("name") or "", metadata.get("namespace") or ""
        self._allow(verb, kind, namespace, name, subresource)
        if kind.custom:  # whoever holds it may have had it before its definition changed, and another version is stored
            kind = self._context.state.kinds.resource(kind.group, kind.version, kind.plural) or kind
        return Intent(
            kind, self._user, verb, namespace, name, subresource, manager or self._manager, dry_run, "Strict", []
        )
