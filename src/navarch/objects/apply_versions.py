"""A change told in several versions of one API: fields may be called otherwise, or lie elsewhere, in each of them.

Field ownership names fields as the version has them in which their manager wrote. Before it is compared with what
another version's request changed, both sides of the change are converted to the owner's version. How that is done, the
caller knows (`Convert`); what is the same in one version costs nothing here.

Source: https://kubernetes.io/docs/reference/using-api/server-side-apply/#custom-resources-and-server-side-apply
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from navarch.base.errors import BadRequest
from navarch.objects.apply_fields import applied as opinion_of
from navarch.objects.apply_fields import compare
from navarch.objects.apply_merge import with_named_parents, without
from navarch.objects.apply_sets import FieldSet, difference, excluding, intersection, union
from navarch.objects.shape import Shape
from navarch.objects.value import Document

Convert = Callable[[Document, str], tuple[Shape, Document] | None]
"""(a document with its apiVersion, the wanted version) -> that version's shape, and the document in it; None: there is
no such version, any longer."""


def one_version(document: Document, api_version: str) -> tuple[Shape, Document] | None:
    """Of a kind that no other version exists of."""
    return None


class Change:
    """What became of an object. changed: the fields that are new or other; removed: those that are gone."""

    def __init__(
        self,
        shape: Shape,
        api_version: str,
        before: Document,
        after: Document,
        ignored: FieldSet,
        convert: Convert,
    ) -> None:
        """before, after: in `api_version`, without `managedFields`; before: empty where there was nothing.

        Raises: BadRequest, for a list that breaks its own rules.
        """
        self.shape = shape
        self._before = before
        self._after = after
        self._ignored = ignored
        self._convert = convert
        self.changed, self.removed = self._compared(shape, before, after)
        self._api_version = api_version
        self._touched: FieldSet | None = None
        self._others: dict[str, tuple[FieldSet, FieldSet] | None] = {}

    def changed_at(self, api_version: str) -> FieldSet | None:
        """What is new or other, in the words of another version; None: there is no such version."""
        if api_version == self._api_version:
            return self.changed
        found = self._at(api_version)
        return None if found is None else found[0]

    def touched(self, api_version: str) -> FieldSet | None:
        """The same with what is gone."""
        if api_version == self._api_version:
            if self._touched is None:
                self._touched = union(self.changed, self.removed)
            return self._touched
        found = self._at(api_version)
        return None if found is None else union(*found)

    def _compared(self, shape: Shape, before: Document, after: Document) -> tuple[FieldSet, FieldSet]:
        changed, removed = compare(shape, before, after)
        return excluding(changed, self._ignored), excluding(removed, self._ignored)

    def _at(self, api_version: str) -> tuple[FieldSet, FieldSet] | None:
        if api_version not in self._others:
            self._others[api_version] = self._asked(api_version)
        return self._others[api_version]

    def _asked(self, api_version: str) -> tuple[FieldSet, FieldSet] | None:
        after = self._convert(self._after, api_version)
        before = self._convert(self._before, api_version) if self._before else after
        if after is None or before is None:
            return None
        shape, now = after
        try:
            return self._compared(shape, before[1] if self._before else {}, now)
        except BadRequest:
            return {}, {}


def pruned(
    shape: Shape,
    api_version: str,
    result: Document,
    owned: Mapping[str, FieldSet],
    last: FieldSet,
    last_version: str,
    convert: Convert,
) -> Document:
    """Drop what a manager applied last time, but not now, and no one owns; items and fields of others stay.

    result: in `api_version`, as `shape`. owned: what everybody owns now, by version. last: in `last_version`.
    """
    home = (shape, result) if last_version == api_version else convert(result, last_version)
    if home is None:
        return result
    home_shape, whole = home
    last_full = with_named_parents(home_shape, last)
    kept: Document = without(home_shape, whole, last_full) or {}
    for version in sorted(owned, key=lambda one: (one != last_version, one)):
        if version == last_version:
            kept = _restored(home_shape, whole, kept, owned[version])
            continue
        there, left = convert(whole, version), convert(kept, version)
        if there is None or left is None:
            continue
        found = convert(_restored(there[0], there[1], left[1], owned[version]), last_version)
        kept = kept if found is None else found[1]
    present = with_named_parents(home_shape, opinion_of(home_shape, whole))
    stays = with_named_parents(home_shape, opinion_of(home_shape, kept))
    doomed = intersection(difference(present, stays), last_full)
    outcome: Document = without(home_shape, whole, doomed) or {}
    if last_version == api_version:
        return outcome
    found = convert(outcome, api_version)
    return result if found is None else found[1]


def _restored(shape: Shape, whole: Document, kept: Document, owned: FieldSet) -> Document:
    """`whole` with what is left in `kept` or owned by anybody, and nothing else."""
    present = with_named_parents(shape, opinion_of(shape, whole))
    claimed = union(with_named_parents(shape, opinion_of(shape, kept)), with_named_parents(shape, owned))
    found: Document = without(shape, whole, difference(present, claimed)) or {}
    return found
