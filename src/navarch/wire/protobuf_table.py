"""Which number, name and type every field of Kubernetes' protobuf messages has: what decoding and encoding read.

The facts are in `protobuf_fields.txt`, of which a line is read when its message is first met. How messages become
documents, and documents messages, is left to `protobuf` and `protobuf_encode`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

MAGIC = b"k8s\x00"
OPTIONS = frozenset(
    (
        "CreateOptions",
        "DeleteOptions",
        "GetOptions",
        "ListOptions",
        "PatchOptions",
        "Status",
        "UpdateOptions",
        "WatchEvent",
    )
)
"""Kinds of the meta group that are sent under the name of any group."""
PACKAGES = {"": "core", "rbac.authorization.k8s.io": "rbac", "internal.apiserver.k8s.io": "apiserverinternal"}
LISTS = ("ExtraValue", "Verbs")
"""Messages that only wrap a list of texts."""


@dataclass(frozen=True, slots=True)
class Field:
    """type: string, bytes, bool, int32, int64, double or a message; in braces it is that of a map's values."""

    name: str
    type: str
    repeated: bool = False
    inline: bool = False
    zero_counts: bool = False


@dataclass(frozen=True, slots=True)
class _Table:
    """lines: by the full names of messages. bases: package -> whose messages it has too."""

    lines: Mapping[str, str]
    bases: Mapping[str, str]


@cache
def _table() -> _Table:
    lines: dict[str, str] = {}
    bases: dict[str, str] = {}
    package = ""
    for line in resources.files("navarch.wire").joinpath("protobuf_fields.txt").read_text().splitlines():
        if line.startswith("["):
            package, _, base = line.strip("[]").partition(" < ")
            if base:
                bases[package] = base
        elif not line.startswith("#"):
            name, _, rest = line.partition(":")
            lines[f"{package}.{name}"] = rest
    return _Table(lines, bases)


@cache
def _line(message: str) -> str | None:
    """What stands in the table of a message, by its full name."""
    table = _table()
    package, _, name = message.rpartition(".")
    while (found := table.lines.get(f"{package}.{name}")) is None:
        if package not in table.bases:
            return None
        package = table.bases[package]
    return found


def is_known(message: str) -> bool:
    return _line(message) is not None


@cache
def message_of(api_version: str, kind: str) -> str:
    """The full name of a kind's message, "" for one that has none (custom resources, tables)."""
    if kind in OPTIONS:
        return f"meta.v1.{kind}"
    package, _, version = api_version.rpartition("/")
    if package == "meta.k8s.io":
        package = "meta"
    message = f"{PACKAGES.get(package) or package.partition('.')[0]}.{version}.{kind}"
    return message if api_version and _is_ours(package) and is_known(message) else ""


def _is_ours(group: str) -> bool:
    """Not that of a custom resource whose group only begins as one of Kubernetes' own."""
    return "." not in group or group.endswith(".k8s.io")


@cache
def fields(message: str) -> Mapping[int, Field]:
    """The fields of a known message by number."""
    package = message.rpartition(".")[0]
    found = {}
    for text in (_line(message) or "").split(";"):
        if not text.strip():
            continue
        number, name, type_ = text.split()
        plain = type_.rstrip("*!?")
        marks = type_[len(plain) :]
        found[int(number)] = Field(name, _full(plain, package), "*" in marks, "!" in marks, "?" in marks)
    return found


def _full(type_: str, package: str) -> str:
    if type_.startswith("{"):
        return f"{{{_full(type_.strip('{}'), package)}}}"
    return type_ if type_[0].islower() else f"{package}.{type_}"
