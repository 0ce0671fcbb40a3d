"""Annotations of the event that is going to tell of the request that is being answered.

What admission and authorization want noted reaches the audit log without being passed through every verb: it belongs to
the request and not to the object. Where nothing is audited, the server's own log is told.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

from navarch.base.log import Log

log = Log("apiserver.audit")

_NOTES: ContextVar[dict[str, str] | None] = ContextVar("audit_notes", default=None)


def begin(notes: dict[str, str] | None) -> None:
    """From here on notes of this task's request go there; None: it is not audited."""
    _NOTES.set(notes)


def present(key: str) -> str | None:
    """What was noted of the request under that key."""
    notes = _NOTES.get()
    return None if notes is None else notes.get(key)


def wanted() -> bool:
    """Whether anybody reads what is noted only for the audit log."""
    return _NOTES.get() is not None


def note(key: str, value: str, /, **facts: Any) -> None:
    """What is noted under a key first stays. facts: for the server's log, where there is no audit."""
    notes = _NOTES.get()
    if notes is None:
        log.info("audit annotation", key=key, value=value, **facts)
    else:
        notes.setdefault(key, value)


def renote(key: str, value: str) -> None:
    """Replace what was noted."""
    notes = _NOTES.get()
    if notes is not None:
        notes[key] = value
