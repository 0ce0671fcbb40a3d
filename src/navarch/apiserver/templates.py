"""Pods from one template are prepared once: what became of the first ones is remembered, and filled in for the next.

Two pods of a ReplicaSet differ in their names; what defaults, admission, ownership and rules make of them differs in
what is picked for each: uid, time, the name of the token's volume. So the stored bytes of a pod that was prepared are
kept in pieces, with the places of those between them, by everything that they were made from: the request's body but
for the name in it, who asks, and the versions of all kinds that admission read. The pieces with new picks between them
are, to the byte, what preparing it again would come to (`tests/unit/apiserver/test_templates.py`).

A body is remembered when it comes for the second time. Nothing is remembered of a pod that was warned about, that
something was reserved or counted for, or that somebody outside was asked about. Everything else goes the long way
(`prepare.py`), which is where all messages come from.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Sequence

import msgspec

from navarch.apiserver import stored
from navarch.apiserver.admission.review import Plugin, Review
from navarch.apiserver.decode import Body
from navarch.apiserver.options import Intent
from navarch.apiserver.state import State
from navarch.base.clock import rfc3339
from navarch.kinds import POD
from navarch.kinds.kind import Kind
from navarch.objects import names
from navarch.objects.value import Document

REMEMBERED = 256
REMEMBERED_BODY_BYTES = 16 << 10
SEEN = 1024
HOLE = b"\x00"
"""Stands for the name in a body. No JSON text holds it, so equal bodies with holes have them in the same place."""
NAME_MARK = "\x00name"

NAME, UID, TIME = range(3)
"""What is filled in; from 3 on, what plugins picked."""


class _Meta(msgspec.Struct, rename="camel", gc=False):
    name: str = ""
    generate_name: str = ""


class _Envelope(msgspec.Struct, gc=False):
    metadata: _Meta = msgspec.field(default_factory=_Meta)


_decode_envelope = msgspec.json.Decoder(_Envelope).decode


class Pattern:
    """pieces: the stored bytes, with empty places between them. fills: (place, what belongs there). picks: the
    constant starts of the texts that plugins picked. versions: of the kinds that admission read."""

    __slots__ = ("fills", "picks", "pieces", "versions")

    def __init__(self, pieces: list[bytes], fills: list[tuple[int, int]], picks: list[str], versions: list[int]):
        self.pieces = pieces
        self.fills = fills
        self.picks = picks
        self.versions = versions


class Sighting:
    """A body that may be one of many. name, prefix: its `metadata.name` and `generateName`."""

    __slots__ = ("key", "name", "pattern", "prefix")

    def __init__(self, name: str, prefix: str, key: Hashable, pattern: Pattern | None):
        self.name = name
        self.prefix = prefix
        self.key = key
        self.pattern = pattern


class Templates:
    def __init__(self, state: State, plugins: Sequence[Plugin]) -> None:
        self._state = state
        self._patterns: OrderedDict[Hashable, Pattern] = OrderedDict()
        self._seen: OrderedDict[int, None] = OrderedDict()
        read: dict[Kind, None] = {}
        self._able = all(plugin.reads is not None for plugin in plugins)
        for plugin in plugins:
            read.update(dict.fromkeys(plugin.reads or ()))
        self._caches = [state.cache(kind) for kind in read]

    def __len__(self) -> int:
        return len(self._patterns)

    def sighted(self, intent: Intent, body: Body) -> Sighting | None:
        """None for what is never remembered. The pattern, if there is one, holds until the next `await`."""
        if intent.kind is not POD or not isinstance(body, bytes) or not self._able:
            return None
        if len(body) > REMEMBERED_BODY_BYTES or intent.dry_run or intent.warnings:
            return None
        try:
            meta = _decode_envelope(body).metadata
        except (msgspec.DecodeError, ValueError):
            return None
        hidden = body
        if meta.name:
            if names.dns_subdomain(meta.name):
                return None
            parts = body.split(b'"name":"%b"' % meta.name.encode())
            if len(parts) != 2:
                return None  # another thing has that name too, and it may matter that they are the same
            hidden = HOLE.join(parts)
        user = intent.user
        asked = (user.name, user.uid, user.groups, tuple(user.extra.items()) if user.extra else ())
        key = (hidden, intent.namespace, intent.manager, intent.validation, intent.verb, asked)
        pattern = self._patterns.get(key)
        if pattern is not None:
            if pattern.versions == self._versions():
                self._patterns.move_to_end(key)
            else:
                del self._patterns[key]
                pattern = None
        return Sighting(meta.name, meta.generate_name, key, pattern)

    def _versions(self) -> list[int]:
        return [cache.version for cache in self._caches]

    def filled(self, pattern: Pattern, name: str) -> bytes:
        """What is to be stored for another pod. name: a good one. Ids are picked in the order of the long way."""
        state = self._state
        texts = [name.encode(), state.ids.uid().encode(), rfc3339(state.clock.now()).encode()]
        texts += [(start + state.ids.suffix()).encode() for start in pattern.picks]
        pieces = pattern.pieces.copy()
        for place, what in pattern.fills:
            pieces[place] = texts[what]
        return b"".join(pieces)

    def learn(self, sighting: Sighting, review: Review, document: Document, body: bytes) -> None:
        """document: what `review` ended with, as it is stored. To be called in the moment in which it was made."""
        known = hash(sighting.key)
        if known not in self._seen:
            self._seen[known] = None
            if len(self._seen) > SEEN:
                self._seen.popitem(last=False)
            return
        if review.alone or review.undo or review.intent.warnings:
            return
        pattern = self._pattern(document, review, body)
        if pattern is None:
            return
        self._patterns[sighting.key] = pattern
        if len(self._patterns) > REMEMBERED:
            self._patterns.popitem(last=False)

    def _pattern(self, document: Document, review: Review, body: bytes) -> Pattern | None:
        """None where a text that differs from pod to pod cannot be told from what was written."""
        metadata = document["metadata"]
        value = stored.encode(POD, {**document, "metadata": {**metadata, "name": NAME_MARK}})
        texts = ["\\u0000name", metadata["uid"], metadata["creationTimestamp"]]
        texts += [start + end for start, end in review.picked]
        pieces = [value]
        fills: list[tuple[int, int]] = []
        for what, text in enumerate(texts):
            raw = text.encode()
            found = value.count(raw)
            if raw in body or not found or (what == TIME and found != 2) or (what < TIME and found != 1):
                return None
            pieces = _split(pieces, raw, fills, what)
        return Pattern(pieces, sorted(fills), [start for start, _ in review.picked], self._versions())


def _split(pieces: list[bytes], text: bytes, fills: list[tuple[int, int]], what: int) -> list[bytes]:
    """The pieces cut where `text` stands, with an empty one in its place; `fills` is told of it, and kept right."""
    cut: list[bytes] = []
    moved: dict[int, int] = {}
    for at, piece in enumerate(pieces):
        moved[at] = len(cut)
        parts = piece.split(text)
        cut.append(parts[0])
        for part in parts[1:]:
            fills.append((-len(cut), what))  # negative until all that was there before has moved
            cut += (b"", part)
    fills[:] = [(-place if place < 0 else moved[place], which) for place, which in fills]
    return cut
