"""Admission plugins that are no part of this project: plain functions in Python, found by an entry point.

A plugin is a function of one `Write`. It gives back None (fine), a text (refused, and why), or a dictionary: a JSON
merge patch that is laid over the object. It is asked twice, as Kubernetes' own plugins are: before webhooks, when it
may change the object, and about what became of it in the end, when it may only refuse. It must be quick and depend on
nothing but the write, for the server waits for it. An attribute `kinds` says which kinds it is about; without one, all.

What it raises refuses the write: whoever installs a plugin wants it to be asked. What the server itself writes (what
every cluster has) it is not asked about, or it could keep the server from starting.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from navarch.apiserver import refusals
from navarch.apiserver.admission import request
from navarch.apiserver.admission.review import Plugin, Review
from navarch.apiserver.call import ITSELF
from navarch.apiserver.prepare import revised
from navarch.base.errors import ApiError, Internal
from navarch.base.log import Log
from navarch.base.metrics import Registry
from navarch.objects.patch import merge_patch
from navarch.objects.value import Document

GROUP = "navarch.admission"
log = Log("apiserver.admission")


@dataclass(frozen=True, slots=True)
class Write:
    """operation: CREATE, UPDATE, DELETE or CONNECT. kind, api_version: of `object`, as the client has it. object: after
    the write, None for a deletion; old: before it, None for a creation. Both are the plugin's own copies.

    name: "" while it is not known yet. user, groups: who writes. subresource: "" for the object itself.
    """

    operation: str
    api_version: str
    kind: str
    namespace: str
    name: str
    subresource: str
    object: Document | None
    old: Document | None
    user: str
    groups: tuple[str, ...]
    dry_run: bool


Judge = Callable[[Write], str | Mapping[str, Any] | None]


class BrokenPlugin(Exception):
    """A plugin is installed that cannot be used: the server does not start without what somebody relies on."""


def installed() -> dict[str, Judge]:
    """What entry points name, by their names. Raises: BrokenPlugin."""
    found: dict[str, Judge] = {}
    from importlib.metadata import entry_points  # thirty modules, which a cluster in a library does without

    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        try:
            judge = point.load()
        except Exception as error:
            raise BrokenPlugin(
                f"the admission plugin {point.name} ({point.value}) cannot be loaded: {error}"
            ) from error
        if not callable(judge):
            raise BrokenPlugin(f"the admission plugin {point.name} ({point.value}) is no function")
        found[point.name] = judge
    return found


def plugins(judges: Mapping[str, Judge], metrics: Registry) -> Sequence[Plugin]:
    """In the order of their names."""
    present = metrics.gauge("navarch_admission_plugin", "1 for each admission plugin that was installed.", ("name",))
    refused = metrics.counter("navarch_admission_plugin_refusals", "Writes that a plugin refused.", ("name",))
    made = []
    for name in sorted(judges):
        present.set(1, name)
        asked = _Asked(name, judges[name], lambda name=name: refused.add(name))  # type: ignore[misc]
        made.append(Plugin(name, mutate=asked.mutate, validate=asked.validate, reads=(), bodies=True))
    if made:
        log.info("admission plugins", names=", ".join(sorted(judges)))
    return made


class _Asked:
    """One plugin. refused: called at each refusal."""

    def __init__(self, name: str, judge: Judge, refused: Callable[[], None]) -> None:
        self._name = name
        self._judge = judge
        self._refused = refused
        kinds = getattr(judge, "kinds", None)
        self._kinds = None if kinds is None else frozenset(kinds)

    def mutate(self, review: Review) -> None:
        """Raises: Forbidden, Internal."""
        if not self._concerned(review):
            return
        review.alone = True
        found = self._found(review)
        if not found:
            return
        kind = review.intent.shown
        before = request.shown(kind, request.written(review)[0], review.intent.subresource)
        if before is None:
            raise Internal(f"the admission plugin {self._name} means to change an object that is being deleted")
        try:
            revised(review, kind, before, merge_patch(before, found))
        except ApiError as error:
            raise Internal(f"what the admission plugin {self._name} makes is no {kind.name}: {error.message}") from None

    def validate(self, review: Review) -> None:
        """Raises: Forbidden, Internal."""
        if self._concerned(review):
            review.alone = True
            self._found(review)

    def _concerned(self, review: Review) -> bool:
        if review.intent.user is ITSELF:
            return False
        return self._kinds is None or _kind_name(review) in self._kinds

    def _found(self, review: Review) -> Mapping[str, Any]:
        """The changes that it wants. Raises: Forbidden, Internal."""
        try:
            said = self._judge(written(review))
        except Exception as bug:
            log.exception("an admission plugin failed", name=self._name, error=repr(bug))
            raise Internal(f"the admission plugin {self._name} failed: {type(bug).__name__}: {bug}") from bug
        if said is None or isinstance(said, dict):
            return said or {}
        if not isinstance(said, str):
            raise Internal(f"the admission plugin {self._name} answered with a {type(said).__name__}")
        self._refused()
        intent = review.intent
        raise refusals.forbidden(intent.shown, intent.name, f"admission plugin {self._name}: {said}")


def written(review: Review) -> Write:
    """The write, as plugins see it."""
    intent, kind = review.intent, review.intent.shown
    new, old = (request.shown(kind, one, intent.subresource) for one in request.written(review))
    some = new or old or {}
    return Write(
        request.operation(review),
        str(some.get("apiVersion") or kind.api_version),
        _kind_name(review),
        request.namespace_of(review),
        intent.name,
        intent.subresource,
        _copy(new),
        _copy(old),
        intent.user.name,
        intent.user.groups,
        intent.dry_run,
    )


def _kind_name(review: Review) -> str:
    if review.body is not None:
        return review.body.name
    return "Scale" if review.intent.subresource == "scale" else review.intent.shown.name


def _copy(document: Document | None) -> Document | None:
    return None if document is None else orjson.loads(orjson.dumps(document))
