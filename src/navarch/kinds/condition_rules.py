"""Rules of `conditions` in the form that newer kinds share (`metav1.Condition`).

Source: https://kubernetes.io/docs/reference/kubernetes-api/definitions/condition-v1-meta/
"""

from __future__ import annotations

import re

from navarch.kinds.rules import Faults
from navarch.objects import names
from navarch.objects.value import Document

STATUSES = ("False", "True", "Unknown")
REASON_MAX_BYTES = 1024
MESSAGE_MAX_BYTES = 32 * 1024
_REASON = re.compile("[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?")
_REASON_RULE = (
    "a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric "
    "characters or '_,:', and must end with an alphanumeric character or '_' (e.g. 'my_name',  or 'MY_NAME',  or "
    f"'MyName',  or 'ReasonA,ReasonB',  or 'ReasonA:ReasonB', regex used for validation is '{_REASON.pattern}')"
)


def conditions(faults: Faults, found: list[Document], path: str) -> None:
    seen: set[str] = set()
    for index, condition in enumerate(found):
        where, type_ = f"{path}[{index}]", condition.get("type", "")
        if type_ in seen:
            faults.duplicate(f"{where}.type", type_)
        seen.add(type_)
        faults.checked(f"{where}.type", type_, names.label_key(type_))
        if condition.get("status") not in STATUSES:
            faults.unsupported(f"{where}.status", condition.get("status", ""), STATUSES)
        if condition.get("observedGeneration", 0) < 0:
            detail = "must be greater than or equal to zero"
            faults.invalid(f"{where}.observedGeneration", condition["observedGeneration"], detail)
        if not condition.get("lastTransitionTime"):
            faults.required(f"{where}.lastTransitionTime", "must be set")
        reason = condition.get("reason", "")
        if not reason:
            faults.required(f"{where}.reason", "must be set")
        elif not _REASON.fullmatch(reason):
            faults.invalid(f"{where}.reason", reason, _REASON_RULE)
        if len(reason.encode()) > REASON_MAX_BYTES:
            faults.too_long(f"{where}.reason", REASON_MAX_BYTES)
        if len(condition.get("message", "").encode()) > MESSAGE_MAX_BYTES:
            faults.too_long(f"{where}.message", MESSAGE_MAX_BYTES)
