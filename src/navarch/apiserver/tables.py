"""Tables: the columns of a kind and the cells of its objects, computed on the server as `kubectl get` wants them.

Source: https://kubernetes.io/docs/reference/using-api/api-concepts/#receiving-resources-as-tables
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from typing import Any, Literal, cast

import orjson

from navarch.apiserver.negotiate import META_VERSION
from navarch.apiserver.reply import list_metadata, partial
from navarch.base.errors import BadRequest
from navarch.client.client import EventType
from navarch.kinds import POD, printing
from navarch.kinds.kind import Column, Kind
from navarch.kinds.object import Object
from navarch.objects import jsonpath
from navarch.objects.value import Document, dig

TYPES = {"date": "string", "time": "date"}
"""How columns are told of whose cells are ages and times, of kinds that are no custom resources."""
Include = Literal["None", "Metadata", "Object"]
Cell = Callable[[Document, datetime], Any]


def include_of(text: str) -> Include:
    """Raises: BadRequest."""
    if text not in ("", "None", "Metadata", "Object"):
        raise BadRequest(f"includeObject: {text!r} is none of None, Metadata, Object")
    return cast(Include, text or "Metadata")


@lru_cache(maxsize=1024)
def definitions(kind: Kind) -> bytes:
    """The `columnDefinitions` of a kind, as JSON."""
    return orjson.dumps(
        [
            {
                "name": column.name,
                "type": column.type if kind.custom else TYPES.get(column.type, column.type),
                "format": column.format,
                "description": column.description or _described(kind, column),
                "priority": column.priority,
            }
            for column in kind.table
        ]
    )


def _described(kind: Kind, column: Column) -> str:
    if kind.custom and column in kind.columns:
        return f"Custom resource definition column (in JSONPath format): {column.source}"
    return f"{column.name} of the {kind.name}."


@lru_cache(maxsize=1024)
def _cells(kind: Kind) -> tuple[Cell, ...]:
    if kind.custom:
        return tuple(_custom_cell(column) if column in kind.columns else _cell(column) for column in kind.table)
    return tuple(map(_cell, kind.table))


def _custom_cell(column: Column) -> Cell:
    """A cell of a column that a definition names: what does not fit its type is left out.

    Source: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#type
    """
    find = jsonpath.compile(cast(str, column.source))

    def cell(document: Document, now: datetime) -> Any:
        value = find(document)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        match column.type:
            case "string":
                return _text(value)
            case "integer":
                return int(value) if number else None
            case "number":
                return value if number else None
            case "boolean":
                return value if isinstance(value, bool) else None
            case _:
                return _since(value, now) if isinstance(value, str) else None

    return cell


def _since(value: str, now: datetime) -> str:
    return printing.since(value, now) if printing.moment(value) or not value else "<invalid>"


def _text(value: Any) -> str | None:
    """As Go prints it; maps and lists as JSON."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, float):
        return f"{value:g}" if not value.is_integer() or abs(value) >= 1e21 else str(int(value))
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def _cell(column: Column) -> Cell:
    source = column.source
    if not isinstance(source, str):
        return source
    if re.fullmatch(r"(\.\w+)+", source):
        path = tuple(source[1:].split("."))
        if column.type == "date":
            return lambda document, now: printing.since(dig(document, *path), now)
        return lambda document, now: dig(document, *path)
    find = jsonpath.compile(source)
    if column.type == "date":
        return lambda document, now: printing.since(find(document), now)
    return lambda document, now: find(document)


def _completed(reason: str, message: str) -> bytes:
    return orjson.dumps({"type": "Completed", "status": "True", "reason": reason, "message": message})


COMPLETED = {
    "Succeeded": _completed("Succeeded", "The pod has completed successfully."),
    "Failed": _completed("Failed", "The pod failed."),
}
"""What is said of the rows of pods that are through, by phase."""


def row(found: Object, include: Include, now: datetime, meta: str = META_VERSION) -> bytes:
    """One object as a row."""
    document = orjson.loads(found.raw)
    shown = _kept if found.kind.custom else _shown
    cells = orjson.dumps([shown(cell(document, now)) for cell in _cells(found.kind)])
    if found.kind is POD and dig(document, "status", "phase") in COMPLETED:
        cells += b',"conditions":[%b]' % COMPLETED[document["status"]["phase"]]
    if include == "None":
        return b'{"cells":%b,"object":null}' % cells
    return b'{"cells":%b,"object":%b}' % (cells, found.raw if include == "Object" else partial(found, meta))


def _kept(value: Any) -> Any:
    return value


def _shown(value: Any) -> Any:
    return "" if value is None else value


def head(kind: Kind, revision: int, cont: str = "", remaining: int = 0, meta: str = META_VERSION) -> bytes:
    """A table up to and with the bracket that opens `rows`."""
    metadata = list_metadata(revision, cont, remaining)
    start = orjson.dumps({"kind": "Table", "apiVersion": meta, "metadata": metadata})[:-1]
    return b'%b,"columnDefinitions":%b,"rows":[' % (start, definitions(kind))


EMPTY_DEFINITIONS = b'"columnDefinitions":[]'


def event(type_: EventType, found: Object, include: Include, now: datetime, meta: str = META_VERSION) -> bytes:
    """A watch event whose object is a table of one row, without its column definitions: only the first has them."""
    return (
        b'{"type":"%b","object":{"kind":"Table","apiVersion":"%b","metadata":{"resourceVersion":"%d"},'
        b'"columnDefinitions":[],"rows":[%b]}}\n'
        % (type_.encode(), meta.encode(), found.revision, row(found, include, now, meta))
    )


def with_definitions(kind: Kind, frame: bytes) -> bytes:
    """The first event of a watch."""
    return frame.replace(EMPTY_DEFINITIONS, b'"columnDefinitions":' + definitions(kind), 1)
