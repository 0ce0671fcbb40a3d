"""get and list: from the watch cache, as new as the client asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from navarch.apiserver import keys, refusals
from navarch.apiserver.options import ListOptions
from navarch.apiserver.selection import Selection
from navarch.apiserver.state import State
from navarch.base.errors import Cause, Expired, GatewayTimeout
from navarch.kinds.kind import Kind
from navarch.kinds.object import Object
from navarch.objects.value import Document

COMPARED = 1_000_000
"""Requirements that are compared on the loop for one request, a tenth of a microsecond each."""


@dataclass(frozen=True, slots=True)
class Page:
    """items: as they are stored. remaining: how many objects follow, 0 where that is not known."""

    items: Sequence[Object]
    revision: int
    cont: str = ""
    remaining: int = 0


async def as_new_as(state: State, revision: int | None) -> None:
    """Returns when the caches are as new as asked: None for the newest, 0 for whatever there is.

    Raises: GatewayTimeout, for a revision that does not exist yet.
    """
    if revision is None:
        await state.feed.fresh()
    elif revision > state.feed.revision:
        if revision > state.store.revision and revision > await state.store.newest():
            raise GatewayTimeout(
                f"Too large resource version: {revision}, current: {state.feed.revision}",
                causes=[Cause("ResourceVersionTooLarge", "Too large resource version")],
                retry_after_s=1,
            )
        await state.feed.reached(revision)


async def get(state: State, kind: Kind, namespace: str, name: str, revision: int | None = None) -> Object:
    """Raises: NotFound, ConversionFailed."""
    await as_new_as(state, revision)
    found = state.get(kind, namespace, name)
    if found is None:
        raise refusals.not_found(kind, name)
    return await state.conversions.one(kind, found) if kind.conversion else found


async def page(state: State, kind: Kind, namespace: str, options: ListOptions) -> Page:
    """Raises: BadRequest, Expired, ConversionFailed."""
    selection = Selection(kind, namespace, options.labels, options.fields)
    items: Sequence[Object]
    await as_new_as(state, options.revision)
    at, after = 0, ""
    if options.cont:
        at, after = keys.parse_continue(options.cont)
    elif options.exact and options.revision:
        at = options.revision
    converts = selection.reads_fields and kind.conversion is not None
    chosen = Selection(kind, namespace, options.labels) if converts else selection
    revision, left = at or state.feed.revision, 0  # of the moment in which the objects are looked up
    cut = 0 if converts else options.limit
    try:
        if cut and light(state, chosen):
            items, left = state.cache(kind).page(chosen, cut, at=at, after=after)
        else:
            items = await select(state, chosen, at=at, after=after)
            if cut:
                items, left = items[:cut], max(0, len(items) - cut)
    except Expired as expired:
        raise _expired(expired, after) from None
    if converts:  # fields are those of the version that is asked for
        items = [one for one in await state.conversions.many(kind, items) if selection.matches(one)]
        if options.limit:
            items, left = items[: options.limit], max(0, len(items) - options.limit)
    if kind.conversion:
        items = await state.conversions.many(kind, items)
    if not left:
        return Page(items, revision)
    last = items[-1]
    cont = keys.Continue(revision, keys.place(last.namespace, last.name)).token()
    known = not options.labels and not options.fields
    return Page(items, revision, cont, left if known else 0)


def light(state: State, selection: Selection) -> bool:
    """Whether comparing every object with the selection holds nobody up."""
    return selection.weight * len(state.cache(selection.kind)) <= COMPARED


async def select(state: State, selection: Selection, *, at: int = 0, after: str = "") -> Sequence[Object]:
    """The objects of a selection, of one moment, in order. Where very much is compared, the loop goes on meanwhile.

    Raises: Expired.
    """
    cache = state.cache(selection.kind)
    if light(state, selection):
        return cache.select(selection, at=at, after=after)
    candidates = cache.select(Selection(selection.kind, selection.namespace), at=at, after=after)
    return await matching(state, selection, candidates)


async def matching(state: State, selection: Selection, candidates: Sequence[Object]) -> Sequence[Object]:
    """Those that the selection chooses, of many."""
    return await state.aside.run(lambda: [one for one in candidates if selection.matches(one)])


class ExpiredPage(Expired):
    """cont: a token that goes on in the present."""

    def __init__(self, message: str, cont: str) -> None:
        super().__init__(message)
        self.cont = cont

    def status(self) -> Document:
        return {**super().status(), "metadata": {"continue": self.cont}}


def _expired(expired: Expired, after: str) -> Expired:
    """What pages get when their snapshot is gone: told so, with a token to go on from in the present."""
    if not after:
        return expired
    message = (
        "The provided continue parameter is too old to display a consistent list result. You can start a new list "
        "without the continue parameter, or use the continue token in this response to retrieve the remainder of the "
        "results. Continuing with the provided token results in an inconsistent list - objects that were created, "
        "modified, or deleted between the time the first chunk was returned and now may show up in the list."
    )
    return ExpiredPage(message, keys.Continue(0, after).token())
