"""The kinds that a CustomResourceDefinition makes: the same `Kind` values as those that are built in.

One is the kind as which objects are stored; every other version is a face of it. What is stored is made fit for the
present schema when it is read (`revive`): the version it says, pruning, defaults.

Source: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import orjson

from navarch.base.errors import BadRequest, Cause
from navarch.kinds import custom_values, schema
from navarch.kinds.conversion import Conversion
from navarch.kinds.custom_published import published
from navarch.kinds.custom_schema import META_FIELDS, Structural
from navarch.kinds.customresourcedefinition import storage_version, versions
from navarch.kinds.kind import Column, Decode, Kind, Rules
from navarch.kinds.schema import Mode
from navarch.kinds.schema_check import check
from navarch.kinds.schema_duplicates import duplicates
from navarch.kinds.typos import Unknown
from navarch.objects.shape import Shape, struct
from navarch.objects.value import ABSENT, Document, Draft, dig

MOST_REPORTED = 100
_KUBE_VERSION = re.compile(r"v([1-9][0-9]*)(?:(alpha|beta)([1-9][0-9]*))?")
_STAGES = {None: 2, "beta": 1, "alpha": 0}


def priority(version: str) -> tuple[int, int, int, int, tuple[int, ...]]:
    """Sorts versions as Kubernetes prefers them, the best first."""
    match = _KUBE_VERSION.fullmatch(version)
    if match is None:
        return (1, 0, 0, 0, tuple(version.encode()))
    return (0, -_STAGES[match[2]], -int(match[1]), -int(match[3] or 0), ())


@dataclass(frozen=True, slots=True)
class Custom:
    """stored: as which objects are stored, served or not. served: in the order of preference."""

    stored: Kind
    served: tuple[Kind, ...]


def custom(definition: Document) -> Custom | None:
    """What a definition makes; None where it names no storage version (such a one cannot be stored)."""
    storage = storage_version(definition)
    found = {version["name"]: version for version in versions(definition)}
    if storage not in found:
        return None
    fields: dict[str, tuple[str, ...]] = {}
    for version in found.values():
        fields |= _fields(version)
    conversion = _conversion(definition)
    stored = replace(_kind(definition, found[storage], fields), conversion=conversion)
    kinds: list[Kind] = []
    for name in sorted(found, key=priority):
        as_stored = name == storage and _fields(found[name]) == fields
        kind = stored if as_stored else _face(definition, found[name], stored)
        if conversion is not None:
            conversion.faces[kind.api_version] = stored if name == storage else kind
        if found[name].get("served"):
            kinds.append(kind)
    return Custom(stored, tuple(kinds))


def _conversion(definition: Document) -> Conversion | None:
    said = definition["spec"].get("conversion") or {}
    if said.get("strategy") != "Webhook":
        return None
    return Conversion(said["webhook"]["clientConfig"], tuple(said["webhook"].get("conversionReviewVersions") or ()))


def _fields(version: Document) -> dict[str, tuple[str, ...]]:
    paths = [one["jsonPath"].removeprefix(".") for one in version.get("selectableFields") or ()]
    return {path: tuple(path.split(".")) for path in paths}


def _kind(definition: Document, version: Document, fields: Mapping[str, tuple[str, ...]]) -> Kind:
    spec = definition["spec"]
    names = dig(definition, "status", "acceptedNames", default={})
    names = names if names.get("kind") else spec["names"]
    raw = dig(version, "schema", "openAPIV3Schema", default={"x-kubernetes-preserve-unknown-fields": True})
    node = Structural(raw, root=True)
    group, name = spec["group"], version["name"]
    subresources = version.get("subresources") or {}
    rules = _rules(node)
    full = f"{'.'.join(reversed(group.split('.')))}.{name}.{names['kind']}"
    columns, age = _columns(version.get("additionalPrinterColumns") or ())
    return Kind(
        group=group,
        version=name,
        name=names["kind"],
        plural=names["plural"],
        singular=names.get("singular", ""),
        short=tuple(names.get("shortNames") or ()),
        categories=tuple(names.get("categories") or ()),
        namespaced=spec["scope"] == "Namespaced",
        default=_default(node),
        rules=rules,
        subresources=tuple(one for one in ("scale", "status") if one in subresources),
        subresource_rules={"status": rules, "scale": rules},
        columns=columns,
        age=age,
        fields=fields,
        scale=_scale(subresources.get("scale")),
        deprecated=_deprecated(group, version, names["kind"]),
        definition=full,
        shape=_shape(raw, node),
        decode=_decode(node),
        revive=_revive(node, f"{group}/{name}"),
        published=published(raw, group, name, names["kind"], names.get("listKind") or f"{names['kind']}List", full),
    )


def _face(definition: Document, version: Document, stored: Kind) -> Kind:
    kind = _kind(definition, version, _fields(version))
    if stored.conversion is not None:
        return replace(kind, stored_as=stored, conversion=stored.conversion)
    node = Structural(dig(version, "schema", "openAPIV3Schema", default={}), root=True)
    shown, kept = {"apiVersion": kind.api_version}, {"apiVersion": stored.api_version}

    def from_stored(document: Document) -> Document:
        return _filled(node, {**document, **shown})

    def to_stored(document: Document) -> Document:
        return {**document, **kept}

    return replace(kind, stored_as=stored, from_stored=from_stored, to_stored=to_stored)


def _filled(node: Structural, document: Document) -> Document:
    found: Document = node.fill(node.settle(document, []))
    return found


def _default(node: Structural) -> Callable[[Draft], None]:
    def default(draft: Draft) -> None:
        draft.document = node.fill(draft.document)

    return default


def _rules(node: Structural) -> Rules:
    """The schema first; expressions only run on what fits it."""
    ruled = _ruled(node)

    def rules(new: Document, old: Document | None) -> Iterable[Cause]:
        before: Any = ABSENT if old is None else old
        found = list(custom_values.causes(node, new, before))
        if found or ruled is None:
            return found
        return ruled(new, before)

    return rules


def _ruled(node: Structural) -> Callable[[Any, Any], Iterable[Cause]] | None:
    if not _has_rules(node.schema):
        return None
    from navarch.kinds import custom_rules

    compiled = custom_rules.compiled(node)
    return None if compiled is None else lambda new, old: custom_rules.causes(compiled, new, old)


def _has_rules(schema: Any) -> bool:
    return b'"x-kubernetes-validations"' in orjson.dumps(schema)


def _decode(node: Structural) -> Decode:
    def decode(document: Document, raw: bytes, mode: Mode) -> tuple[Document, list[str]]:
        """Metadata as strictly as that of every kind; the rest is pruned, and told of what was."""
        told = {key: value for key, value in document.items() if key in META_FIELDS}
        told, warnings = check(head(), told, "ignore" if mode == "ignore" else "warn")
        unknown: Unknown = []
        settled = node.settle({**document, **told}, unknown)
        if mode == "ignore":
            return settled, []
        found = [*warnings, *(f'unknown field "{path}"{like}' for path, like in unknown)]
        found += [f'duplicate field "{path}"' for path in (duplicates(raw) if raw else ())]
        if found and mode == "strict":
            name = document.get("kind", "")
            version = str(document.get("apiVersion", "")).rpartition("/")[2]
            why = ", ".join(found[:MOST_REPORTED])
            raise BadRequest(
                f'{name} in version "{version}" cannot be handled as a {name}: strict decoding error: {why}'
            )
        return settled, found[:MOST_REPORTED]

    return decode


def _revive(node: Structural, api_version: str) -> Callable[[bytes], bytes]:
    start = orjson.dumps({"apiVersion": api_version})[:-1] + b","

    def revive(value: bytes) -> bytes:
        document = orjson.loads(value)
        settled = _filled(node, document)
        if settled is document and value.startswith(start):
            return value
        kept = {key: one for key, one in settled.items() if key not in ("apiVersion", "kind", "metadata")}
        head = {"apiVersion": api_version, "kind": document["kind"], "metadata": document["metadata"]}
        return orjson.dumps({**head, **kept})

    return revive


@cache
def head() -> Shape:
    """What every object has."""
    text = Shape("string", "string")
    meta = schema.definition("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta")
    return struct({"apiVersion": text, "kind": text, "metadata": meta}, "unstructured.Unstructured")


def _shape(raw: Document, node: Structural) -> Shape:
    """For field ownership and patches: the schema's fields and those of every object."""

    def load() -> Mapping[str, Shape]:
        below = schema.shape_of(orjson.dumps(raw), "Resource")
        return {**below.fields, **head().fields}

    return Shape("object", "unstructured.Unstructured", load=load, open=node.open)


def _scale(found: Any) -> tuple[str, str, str] | None:
    if not found:
        return None
    return (found["specReplicasPath"], found["statusReplicasPath"], found.get("labelSelectorPath") or "")


def _columns(found: Iterable[Document]) -> tuple[tuple[Column, ...], bool]:
    """The columns after the name, and whether the age follows."""
    columns = tuple(
        Column(
            one["name"],
            one["jsonPath"],
            one["type"],
            one.get("priority", 0),
            one.get("format", ""),
            one.get("description", ""),
        )
        for one in found
    )
    return columns, not columns


def _deprecated(group: str, version: Document, kind: str) -> str:
    if not version.get("deprecated"):
        return ""
    return str(version.get("deprecationWarning") or f"{group}/{version['name']} {kind} is deprecated")
