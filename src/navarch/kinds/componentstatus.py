"""ComponentStatus: whether the parts of the control plane are well. None is stored: the server says what it knows.

Source: https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/component-status-v1/
"""

from __future__ import annotations

from datetime import datetime

from navarch.kinds.kind import Column, Kind
from navarch.objects.value import Document

WORDS = {"True": "Healthy", "False": "Unhealthy"}


def _healthy(found: Document) -> Document:
    conditions: list[Document] = found.get("conditions") or []
    return next((one for one in conditions if one.get("type") == "Healthy"), {})


def _status(found: Document, now: datetime) -> str:
    return WORDS.get(_healthy(found).get("status", ""), "Unknown")


def _message(found: Document, now: datetime) -> str:
    return str(_healthy(found).get("message", ""))


def _error(found: Document, now: datetime) -> str:
    return str(_healthy(found).get("error", ""))


def told(name: str, wrong: str) -> Document:
    """wrong: what is, "" for a part that is well."""
    condition = {"type": "Healthy", "status": "False" if wrong else "True"}
    condition |= {"error": wrong} if wrong else {"message": "ok"}
    return {"kind": "ComponentStatus", "apiVersion": "v1", "metadata": {"name": name}, "conditions": [condition]}


COMPONENTSTATUS = Kind(
    group="",
    version="v1",
    name="ComponentStatus",
    plural="componentstatuses",
    short=("cs",),
    namespaced=False,
    verbs=("get", "list"),
    deprecated="v1 ComponentStatus is deprecated in v1.19+",
    counts_generation=False,
    columns=(
        Column("Status", _status, description="Whether it is well."),
        Column("Message", _message, description="What it says."),
        Column("Error", _error, description="What is wrong."),
    ),
    age=False,
)
