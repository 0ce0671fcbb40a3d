"""Objects of custom resources in the version that somebody asks for, where a webhook knows how that is made.

Nothing is asked where an object is stored in the wanted version. What was converted is remembered for a while by its
revision; who asks for what is being converted already waits for that. One question is asked for a whole list.

Source: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definition-versioning/#webhook-conversion
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence

import orjson

from navarch.apiserver import stored
from navarch.apiserver.conversion_review import ConversionFailed, converted, identity, review
from navarch.apiserver.outgoing import Outgoing, Unreachable
from navarch.apiserver.resolving import Reach, url_of
from navarch.base.clock import Ids
from navarch.kinds.kind import Kind
from navarch.kinds.object import Object
from navarch.objects.value import Document

KEPT_OBJECTS = 8192
KEPT_BYTES = 16 << 20
TIMEOUT_S = 30
ANSWER_BYTES = 8 << 20
ANSWER_TIMES = 4
"""How much larger than its question an answer may be, where that is more than `ANSWER_BYTES`."""
HEADERS = (("Content-Type", "application/json"), ("Accept", "application/json, */*"))

Key = tuple[Kind, str, int]
"""The wanted version, and the object's uid and revision."""


class Conversions:
    """Of all custom resources."""

    def __init__(self, reach: Reach, ids: Ids) -> None:
        self._reach = reach
        self._ids = ids
        self._kept: OrderedDict[Key, Object] = OrderedDict()
        self._kept_bytes = 0
        self._under_way: dict[Key, asyncio.Future[Object | None]] = {}

    async def one(self, kind: Kind, found: Object) -> Object:
        """An object as `kind` shows it. Raises: ConversionFailed."""
        if kind.conversion is None or found.kind is kind:
            return found
        return (await self._all(kind, (found,), kind.name))[0]

    async def many(self, kind: Kind, found: Sequence[Object]) -> Sequence[Object]:
        """The same of a list. Raises: ConversionFailed."""
        if kind.conversion is None or all(one.kind is kind for one in found):
            return found
        return await self._all(kind, found, f"{kind.name}List")

    async def document(self, kind: Kind, document: Document) -> Document:
        """A document that is not stored as such, in the version of `kind`. Raises: ConversionFailed."""
        if kind.conversion is None or document["apiVersion"] == kind.api_version:
            return document
        return (await self._asked(kind, [document], identity(document)))[0]

    async def _all(self, kind: Kind, found: Sequence[Object], name: str) -> list[Object]:
        made: dict[Key, Object] = {}
        mine: list[Object] = []
        for one in found:
            key = (kind, one.uid, one.revision)
            if one.kind.api_version == kind.api_version:
                made[key] = one if one.kind is kind else Object(kind, one.raw)
            elif (known := self._known(key)) is not None:
                made[key] = known
            elif (waiting := self._under_way.get(key)) is not None:
                theirs = await asyncio.shield(waiting)
                if theirs is None:
                    mine.append(one)
                else:
                    made[key] = theirs
            else:
                mine.append(one)
        if mine:
            told = f"{mine[0].kind.api_version}, Kind={name}"
            for one in await self._converted(kind, mine, told):
                made[kind, one.uid, one.revision] = one
        return [made[kind, one.uid, one.revision] for one in found]

    async def _converted(self, kind: Kind, found: Sequence[Object], told: str) -> list[Object]:
        """Ask, and let those know who wait for the same; they ask themselves where this fails."""
        loop = asyncio.get_running_loop()
        begun: dict[Key, asyncio.Future[Object | None]] = {}
        for one in found:
            key = (kind, one.uid, one.revision)
            if key not in self._under_way:
                begun[key] = self._under_way[key] = loop.create_future()
        try:
            documents = await self._asked(kind, [one.document() for one in found], told)
            made = [_object(kind, document, one) for document, one in zip(documents, found, strict=True)]
            for result in made:
                self._keep((kind, result.uid, result.revision), result)
                waiting = begun.get((kind, result.uid, result.revision))
                if waiting is not None:
                    waiting.set_result(result)
            return made
        finally:
            for key, waiting in begun.items():
                del self._under_way[key]
                if not waiting.done():
                    waiting.set_result(None)

    def _known(self, key: Key) -> Object | None:
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
        return found

    def _keep(self, key: Key, made: Object) -> None:
        if key in self._kept:
            return
        self._kept[key] = made
        self._kept_bytes += len(made.raw)
        while self._kept_bytes > KEPT_BYTES or len(self._kept) > KEPT_OBJECTS:
            _, oldest = self._kept.popitem(last=False)
            self._kept_bytes -= len(oldest.raw)

    async def _asked(self, kind: Kind, documents: list[Document], told: str) -> list[Document]:
        """told: what errors call the objects. Raises: ConversionFailed."""
        conversion = kind.conversion
        assert conversion is not None
        uid = self._ids.uid()
        wanted = kind.api_version
        version = next((one for one in conversion.reviews if one in ("v1", "v1beta1")), "v1")
        body = orjson.dumps(review(version, uid, wanted, documents))
        query = f"timeout={TIMEOUT_S}s"
        outgoing: Outgoing = self._reach.outgoing
        try:
            answered = await outgoing.ask(
                self._reach.target(conversion.client),
                "POST",
                query,
                headers=HEADERS,
                body=body,
                timeout_s=TIMEOUT_S,
                limit_bytes=max(ANSWER_BYTES, ANSWER_TIMES * len(body)),
            )
        except Unreachable as why:
            where = f"{url_of(conversion.client)}?{query}"
            raise ConversionFailed(f'conversion webhook for {told} failed: Post "{where}": {why}') from why
        return converted(answered, version, uid, wanted, documents, told)


def _object(kind: Kind, document: Document, source: Object) -> Object:
    value = stored.encode(kind, document)
    if kind.revive is not None:
        value = kind.revive(value)
    return Object(kind, stored.splice(kind, value, source.revision))
