"""The fast answer to "is this document fine as it is?": decoders compiled from shapes, which say yes or no.

Yes means: the structure and every type are right, nothing is unknown, there are no nulls and no empty lists and maps to
be left out, and quantities and times already have their canonical text. No means only that the slow walk must look.
"""

from __future__ import annotations

from functools import cache
from threading import Lock
from typing import Annotated, Any

import msgspec

from navarch.objects.shape import Shape

_INT32 = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]
_INT64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_QUANTITY = Annotated[
    str,
    msgspec.Meta(pattern=r"\A(?:0|-?[1-9][0-9]{0,2}(?:[numkMGTPE]?|[KMGT]i)|[1-9][0-9]{3,11}(?<!000)[m]?)\Z"),
]
_TIME = Annotated[str, msgspec.Meta(pattern=r"\A[0-9]{4}-[01][0-9]-[0-2][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9]Z\Z")]
_MICRO_TIME = Annotated[
    str, msgspec.Meta(pattern=r"\A[0-9]{4}-[01][0-9]-[0-2][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9]\.[0-9]{6}Z\Z")
]
_BYTES = Annotated[str, msgspec.Meta(pattern=r"\A(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?\Z")]
_SCALARS: dict[str, Any] = {
    "string": str,
    "boolean": bool,
    "number": float,
    "quantity": _QUANTITY,
    "int-or-string": _INT32 | str,
    "time": _TIME,
    "micro-time": _MICRO_TIME,
    "bytes": _BYTES,
}


class _Unfit(Exception):
    """The shape holds something that only the walk can judge (free-form parts, recursion)."""


def accepts(shape: Shape, raw: bytes) -> bool:
    """Whether the text fits the shape as it stands; False may also mean "ask the walk"."""
    decoder = _decoder(shape)
    if decoder is None:
        return False
    try:
        decoder.decode(raw)
    except (msgspec.DecodeError, ValueError):
        return False
    return True


@cache
def _decoder(shape: Shape) -> msgspec.json.Decoder[Any] | None:
    """Compiled once for each kind."""
    with _compiles:
        try:
            return msgspec.json.Decoder(_type_of(shape))
        except _Unfit:
            return None


_compiles = Lock()
_compiling: list[Shape] = []
"""The objects whose structs are being made right now, outermost first: how recursion is noticed."""


@cache
def _struct(shape: Shape) -> Any:
    """Shared between the kinds: a pod template is compiled once."""
    if shape.open or shape in _compiling:
        raise _Unfit
    _compiling.append(shape)
    try:
        members = [
            (f"f{i}", _field(field, shape.leaves_out(name)), msgspec.UNSET)
            for i, (name, field) in enumerate(shape.fields.items())
        ]
    finally:
        _compiling.pop()
    names = {f"f{i}": name for i, name in enumerate(shape.fields)}
    return msgspec.defstruct(shape.struct or "Document", members, rename=names, forbid_unknown_fields=True, gc=False)


def _field(shape: Shape, filled: bool) -> Any:
    """A field that only the walk can judge becomes one that must be absent, so that no text with it is accepted.

    filled: an empty list or map is not fine as it is.
    """
    try:
        found = _type_of(shape)
    except _Unfit:
        return msgspec.UnsetType
    return (Annotated[found, msgspec.Meta(min_length=1)] if filled else found) | msgspec.UnsetType


def _type_of(shape: Shape) -> Any:
    if shape.form == "object":
        return _struct(shape)
    if shape.form == "list":
        assert shape.item is not None
        return list[_type_of(shape.item)]  # type: ignore[misc]
    if shape.form == "map":
        assert shape.item is not None
        return dict[str, _type_of(shape.item)]  # type: ignore[misc]
    if shape.form == "integer":
        return _INT32 if shape.bits == 32 else _INT64
    if shape.go == "v1.FieldsV1":
        return dict[str, msgspec.Raw]
    found = _SCALARS.get(shape.form)
    if found is None:
        raise _Unfit
    return found
