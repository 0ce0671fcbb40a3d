"""The seam through which everything but the API server itself reads and writes state.

Two implementations pass the same conformance suite: `apiserver.local` (in the server's process) and `client.http`.
Errors are those of `base.errors`: the same classes on both sides of a socket.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from navarch.kinds.kind import Kind
from navarch.kinds.object import Object
from navarch.objects.value import Document

EventType = Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]
PatchType = Literal["merge", "json", "strategic"]
Propagation = Literal["Background", "Foreground", "Orphan"]


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """object: as it is after the change; for DELETED as it last was, at the revision of the deletion; for BOOKMARK
    None. revision: everything up to it was delivered."""

    type: EventType
    object: Object | None
    revision: int


@dataclass(frozen=True, slots=True)
class ObjectList:
    """revision: what to watch from. cont: the token of the next page, "" on the last."""

    items: Sequence[Object]
    revision: int
    cont: str = ""


class Client(Protocol):
    """namespace is "" for cluster-scoped kinds and, in `list` and `watch`, for all namespaces.

    labels and fields are selectors in text form (`app=web,tier!=db`, `spec.nodeName=n1`).
    manager: the field manager that writes are recorded under; the client's own name when "".
    """

    async def get(self, kind: Kind, namespace: str, name: str) -> Object:
        """Raises: NotFound."""
        ...

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
        """revision: None for the newest, "0" for whatever is at hand.

        Raises: Expired, when `cont` is too old.
        """
        ...

    def watch(
        self, kind: Kind, namespace: str = "", *, since: int, labels: str = "", fields: str = ""
    ) -> AsyncIterator[Sequence[WatchEvent]]:
        """Every change after revision `since`, in order, in batches of what was ready together; bookmarks included.

        Ends when the server ends it (watch again from the last revision seen).

        Raises: Expired (list again), Retryable (the server is away).
        """
        ...

    async def create(
        self, kind: Kind, document: Document, *, subresource: str = "", manager: str = "", dry_run: bool = False
    ) -> Object:
        """The namespace is the document's own. Raises: AlreadyExists, Invalid, Forbidden."""
        ...

    async def update(
        self, kind: Kind, document: Document, *, subresource: str = "", manager: str = "", dry_run: bool = False
    ) -> Object:
        """Replace. A resourceVersion in the document must be the newest (Conflict), none means "whatever is there"."""
        ...

    async def patch(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        patch: Document | Sequence[Document],
        *,
        type: PatchType = "merge",
        subresource: str = "",
        manager: str = "",
        dry_run: bool = False,
    ) -> Object: ...

    async def apply(
        self, kind: Kind, document: Document, *, manager: str, force: bool = False, subresource: str = ""
    ) -> Object:
        """Server-side apply. Raises: Conflict, with a cause for each field that another manager owns."""
        ...

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
        """Returns what is left (an object that is still terminating), or None when it is gone.

        Raises: NotFound; Conflict when `uid` or `revision` do not match.
        """
        ...

    async def post(self, kind: Kind, namespace: str, name: str, subresource: str, document: Document) -> Document:
        """A question or an act that is no object: `binding`, `eviction`, `token`; with name and subresource "" a
        review kind itself (`TokenReview`). Returns the answer's document."""
        ...

    async def raw(self, method: str, path: str, body: Any = None) -> bytes:
        """Any other path (`/version`, `/apis`), as bytes."""
        ...
