"""What a write looks like to the plugins that may change or refuse it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from navarch.kinds.kind import Kind
from navarch.objects.value import Document, Draft

if TYPE_CHECKING:
    from navarch.apiserver.options import Intent
    from navarch.apiserver.state import State


KNOWN = 4096
"""For so many kinds, at most, it is remembered which plugins do something."""


@dataclass(slots=True)
class Review:
    """draft: the object to be; for a delete, the object as it is. old: what is stored, None on a create.

    undo: what to call when the write does not happen after all (reservations are given back).
    picked: (constant start, picked end) of texts that plugins made up for this object and that the next is to have its
        own of. alone: what came of this write says nothing about the next one that is written the same.
    body: what is reviewed is not the object but what was sent to a subresource of it, a document of that kind.
    generated: the object's name is one that the server made up. leave: to be called before somebody outside is asked:
        whoever holds up other writers lets them pass.
    again: somebody outside changed the object, so those that saw it before must see it again; round: whether this is
        that. memory: what plugins remember between the rounds, by their own names.
    fences: names of what was decided from objects that other servers may be adding to (see `State.guards`).
    """

    intent: Intent
    draft: Draft
    old: Document | None
    state: State
    undo: list[Callable[[], None]] = field(default_factory=list)
    picked: list[tuple[str, str]] = field(default_factory=list)
    alone: bool = False
    body: Kind | None = None
    generated: bool = False
    leave: Callable[[], None] | None = None
    again: bool = False
    round: int = 0
    memory: dict[str, Any] = field(default_factory=dict)
    fences: set[str] = field(default_factory=set)

    def is_on(self, plural: str, *subresources: str, group: str = "") -> bool:
        """Whether the write is to that resource, itself or one of those subresources of it."""
        kind = self.intent.kind
        return kind.plural == plural and kind.group == group and self.intent.subresource in (subresources or ("",))

    @property
    def creates(self) -> bool:
        return self.old is None and self.intent.verb != "delete"

    @property
    def namespace(self) -> str:
        return self.intent.namespace

    def give_back(self) -> None:
        give_back(self.undo)


def give_back(undo: list[Callable[[], None]]) -> None:
    """Of a write that does not happen after all."""
    while undo:
        undo.pop()()


Step = Callable[[Review], None]
"""Raises: ApiError, to refuse; Retryable, when what it waits for may come in a moment."""


Wait = Callable[[Review], Awaitable[None]]
"""A step that may ask somebody outside. Raises: ApiError, to refuse."""


def passes(review: Review) -> None:
    return None


def asks_nobody(review: Review) -> bool:
    return False


async def waits_for_nobody(review: Review) -> None:
    return None


@dataclass(frozen=True, slots=True, eq=False)
class Plugin:
    """mutate runs before the kind's rules, validate after them; neither waits, both read caches only.

    concerns: whether, for this write, `ask_mutate` and `ask_validate` are awaited too, each right after its sibling.
    It must be cheap: it is asked at every write.
    reads: the kinds whose objects it looks at. As long as none of them changes, it must come to the same for every pod
        that is written the same by the same user, or mark the review as `alone`. None: it may come to anything at any
        time, and every pod goes the long way (see `templates.py`).
    bodies: `validate` is asked about what is sent to subresources, too (see `Review.body`).
    settles: it is no part of what is repeated when somebody outside changed the object: it runs once, after all that.
    kinds, creations: for writes of other kinds, and for what is no creation, it has nothing to say and is not called.
    """

    name: str
    mutate: Step = passes
    validate: Step = passes
    concerns: Callable[[Review], bool] = asks_nobody
    ask_mutate: Wait = waits_for_nobody
    ask_validate: Wait = waits_for_nobody
    reads: tuple[Kind, ...] | None = None
    settles: bool = False
    bodies: bool = False
    kinds: tuple[Kind, ...] | None = None
    creations: bool = False

    def called(self, kind: Kind, creates: bool) -> bool:
        return (self.kinds is None or kind in self.kinds) and (creates or not self.creations)


class Stages(NamedTuple):
    """The plugins that have something to say about such a write, in their order. changing: before the rules, perhaps
    twice; settling: once, after all that; judging: after the rules."""

    changing: tuple[Plugin, ...]
    settling: tuple[Plugin, ...]
    judging: tuple[Plugin, ...]


class Plugins(tuple["Plugin", ...]):
    """All plugins of a server. It remembers which of them do something for a kind for as long as itself is there, and
    no longer: plugins know their server, of which a test process makes thousands."""

    def __init__(self, plugins: Iterable[Plugin]) -> None:
        self.known: dict[tuple[Kind, bool], Stages] = {}


def stages(plugins: tuple[Plugin, ...], kind: Kind, creates: bool) -> Stages:
    """Found once: at each write only those are called that do something there."""
    if not isinstance(plugins, Plugins):
        return _stages(plugins, kind, creates)
    found = plugins.known.get((kind, creates))
    if found is None:
        if len(plugins.known) >= KNOWN:
            plugins.known.clear()
        found = plugins.known[kind, creates] = _stages(plugins, kind, creates)
    return found


def _stages(plugins: tuple[Plugin, ...], kind: Kind, creates: bool) -> Stages:
    found = [plugin for plugin in plugins if plugin.called(kind, creates)]
    asking = {plugin for plugin in found if plugin.concerns is not asks_nobody}
    return Stages(
        tuple(one for one in found if not one.settles and (one.mutate is not passes or one in asking)),
        tuple(one for one in found if one.settles and one.mutate is not passes),
        tuple(one for one in found if one.validate is not passes or one in asking),
    )
