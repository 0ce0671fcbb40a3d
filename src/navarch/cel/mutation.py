"""What expressions that change objects come to: applied configurations and JSON patches, as plain documents.

Source: https://kubernetes.io/docs/reference/access-authn-authz/mutating-admission-policy/
"""

from __future__ import annotations

import base64
from datetime import datetime, timedelta
from typing import Any

from navarch.cel import values
from navarch.cel.values import Built, Fault
from navarch.objects.value import Document

PATCH_FIELDS = ("op", "path", "from", "value")


def configuration(found: Any) -> Document:
    """The applied configuration that an expression made. Raises: Fault, where it is none."""
    if not isinstance(found, Built) or found.type != "Object":
        raise Fault(f"must evaluate to Object but got {values.type_name(found)}")
    check_names(found)
    document = plain(found)
    assert isinstance(document, dict)
    return document


def operations(found: Any) -> list[Document]:
    """The JSON patch that an expression made. Raises: Fault, where it is none."""
    if not isinstance(found, list):
        raise Fault("type mismatch: JSONPatchType.expression should evaluate to array")
    return [_operation(one) for one in found]


def _operation(found: Any) -> Document:
    if not isinstance(found, Built) or found.type != "JSONPatch":
        raise Fault("type mismatch: JSONPatchType.expression should evaluate to array of JSONPatch")
    for field in found:
        if field not in PATCH_FIELDS:
            raise Fault(f"undefined field '{field}'")
    check_names(found.get("value"))
    made: Document = {"op": found.get("op", ""), "path": found.get("path", "")}
    if found.get("from"):
        made["from"] = found["from"]
    if "value" in found:
        made["value"] = plain(found["value"])
    return made


def check_names(found: Any, path: str = "") -> None:
    """Whether every object says of what type it is where it stands: `Object.spec` for the field spec. Raises: Fault."""
    if isinstance(found, Built):
        path = path or ("Object" if found.type == "Object" else found.type)
        if found.type != path:
            raise Fault(
                f'type mismatch: unexpected type name "{found.type}", expected "{path}", '
                "which matches field name path from root Object type"
            )
    if isinstance(found, dict):
        for key, value in found.items():
            check_names(value, f"{path}.{key}" if path else "")
    elif isinstance(found, list):
        for value in found:
            check_names(value, path)


def plain(found: Any) -> Any:
    """As JSON has it, without nulls in objects. Raises: Fault, for what JSON cannot say."""
    match found:
        case None | bool() | float() | str():
            return found
        case int():
            return int(found)
        case dict():
            return {str(key): plain(value) for key, value in found.items() if value is not None}
        case list():
            return [plain(value) for value in found]
        case bytes():
            return base64.b64encode(found).decode()
        case datetime():
            return values.shown_timestamp(found)
        case timedelta():
            return values.shown_duration(found)
        case values.Optional():
            return plain(found.value) if found.present else None
    raise Fault(f"evaluated to a type that could not marshal to JSON: {values.type_name(found)}")
