"""The published schema of the kinds, as shapes.

`definitions.json` (made by the build) is cut into definitions on first use, which stay in the file; one is decoded when
a shape reaches it. What is done with shapes stands elsewhere: checking documents in `schema_check`, patches and
field ownership in `objects`.

Source: https://kubernetes.io/docs/reference/using-api/server-side-apply/#merge-strategy
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import resources
from pathlib import Path as File
from typing import Any, Literal

import msgspec

from navarch.base.errors import Cause
from navarch.kinds.kind import Kind
from navarch.objects.shape import ANY, Form, ListType, Shape
from navarch.objects.value import Document, Path, field_path

_API = "io.k8s.api."
_META = "io.k8s.apimachinery.pkg."
_PACKAGES = {
    "": "io.k8s.api.core",
    "apiextensions.k8s.io": "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions",
    "apiregistration.k8s.io": "io.k8s.kube-aggregator.pkg.apis.apiregistration",
    "internal.apiserver.k8s.io": "io.k8s.api.apiserverinternal",
    "meta.k8s.io": "io.k8s.apimachinery.pkg.apis.meta",
}

_WELL_KNOWN: dict[str, tuple[Form, str]] = {
    f"{_META}api.resource.Quantity": ("quantity", "resource.Quantity"),
    f"{_META}util.intstr.IntOrString": ("int-or-string", "intstr.IntOrString"),
    f"{_META}apis.meta.v1.Time": ("time", "v1.Time"),
    f"{_META}apis.meta.v1.MicroTime": ("micro-time", "v1.MicroTime"),
    f"{_META}apis.meta.v1.FieldsV1": ("any", "v1.FieldsV1"),
    f"{_META}runtime.RawExtension": ("any", "runtime.RawExtension"),
}

KEY_DEFAULTS: dict[str, Mapping[str, Any]] = {
    f"{_API}core.v1.ContainerPort": {"protocol": "TCP"},
    f"{_API}core.v1.ServicePort": {"protocol": "TCP"},
}
"""Defaults of fields that are keys of a list; the published schema leaves them out."""

_NAMED_TEXT: dict[tuple[str, str], str] = {
    ("PodSpec", "restartPolicy"): "v1.RestartPolicy",
    ("PodSpec", "dnsPolicy"): "v1.DNSPolicy",
    ("Container", "imagePullPolicy"): "v1.PullPolicy",
    ("Container", "terminationMessagePolicy"): "v1.TerminationMessagePolicy",
    ("ContainerPort", "protocol"): "v1.Protocol",
    ("ServicePort", "protocol"): "v1.Protocol",
    ("ServiceSpec", "type"): "v1.ServiceType",
    ("ServiceSpec", "sessionAffinity"): "v1.ServiceAffinity",
    ("DeploymentStrategy", "type"): "v1.DeploymentStrategyType",
    ("Secret", "type"): "v1.SecretType",
    ("Toleration", "operator"): "v1.TolerationOperator",
    ("Toleration", "effect"): "v1.TaintEffect",
    ("Taint", "effect"): "v1.TaintEffect",
}
"""What Go calls the texts that users get wrong most; the schema knows them as strings only."""


class _Schema(msgspec.Struct, gc=False, rename={"ref": "$ref"}):
    """The parts of a JSON schema that make a shape; descriptions are skipped while decoding."""

    ref: str = ""
    type: str | list[str] = ""
    format: str = ""
    properties: dict[str, _Schema] = {}
    items: _Schema | None = None
    additional: _Schema | bool | None = msgspec.field(name="additionalProperties", default=None)
    required: tuple[str, ...] = ()
    list_type: str = msgspec.field(name="x-kubernetes-list-type", default="")
    map_type: str = msgspec.field(name="x-kubernetes-map-type", default="")
    keys: tuple[str, ...] = msgspec.field(name="x-kubernetes-list-map-keys", default=())
    strategy: str = msgspec.field(name="x-kubernetes-patch-strategy", default="")
    merge_key: str = msgspec.field(name="x-kubernetes-patch-merge-key", default="")
    preserve: bool = msgspec.field(name="x-kubernetes-preserve-unknown-fields", default=False)
    embedded: bool = msgspec.field(name="x-kubernetes-embedded-resource", default=False)
    int_or_string: bool = msgspec.field(name="x-kubernetes-int-or-string", default=False)
    default: Any = None

    @property
    def kind_of(self) -> str:
        """The type without the "or null" that the published definitions add."""
        if isinstance(self.type, str):
            return self.type
        return next((name for name in self.type if name != "null"), "")


_decode_schema = msgspec.json.Decoder(_Schema).decode


@cache
def _definitions() -> dict[str, msgspec.Raw]:
    """name -> its schema, still encoded.

    Raises:
        FileNotFoundError: the build step was never run.
    """
    with File(str(resources.files("navarch.kinds"))).joinpath("definitions.json").open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    found = msgspec.json.decode(mapped, type=dict[str, msgspec.Raw])
    mapped.madvise(mmap.MADV_DONTNEED)  # few of them will be looked at again: the file has them
    return found


def schema_for(kind: Kind) -> Shape:
    """The shape of the kind's documents. Raises: LookupError, when no definition describes the kind."""
    return kind.shape or _defined(kind)


@cache
def _defined(kind: Kind) -> Shape:
    return definition(kind.definition or definition_name(kind.group, kind.version, kind.name))


def definition_name(group: str, version: str, name: str) -> str:
    """`apps`, `v1`, `Deployment` -> `io.k8s.api.apps.v1.Deployment`."""
    package = _PACKAGES.get(group) or _API + group.partition(".")[0]
    return f"{package}.{version}.{name}"


def definition(name: str) -> Shape:
    """The shape of a definition by its full name. Raises: LookupError."""
    if name not in _definitions():
        raise LookupError(f"the published schema has no definition {name!r}")
    return _reference(name)


@cache
def _reference(name: str) -> Shape:
    """One shape for each definition, wherever it is referred to without further words."""
    if known := _WELL_KNOWN.get(name):
        return Shape(*known)
    return _build(_decode_schema(_definitions()[name]), _go_name(name))


def _go_name(definition_name: str) -> str:
    return ".".join(definition_name.split(".")[-2:])


def shape_of(raw_schema: bytes, go: str = "") -> Shape:
    """The shape of any structural JSON schema (a custom resource's). Raises: msgspec.ValidationError."""
    return _build(_decode_schema(raw_schema), go)


def _build(schema: _Schema, go: str) -> Shape:
    if schema.ref:
        return _refined(_reference(schema.ref.rpartition("/")[2]), schema)
    if schema.int_or_string:
        return Shape("int-or-string", "intstr.IntOrString")
    match schema.kind_of:
        case "object":
            return _object(schema, go)
        case "array":
            return _list(schema)
        case "integer":
            bits = 32 if schema.format == "int32" else 64
            return Shape("integer", f"int{bits}", bits=bits)
        case "number":
            return Shape("number", "float64")
        case "boolean":
            return Shape("boolean", "bool")
        case "string":
            return _text(schema)
        case _:
            return Shape("any", go or "interface {}")


def _text(schema: _Schema) -> Shape:
    return Shape("bytes", "[]uint8") if schema.format == "byte" else Shape("string", "string")


def _refined(shape: Shape, schema: _Schema) -> Shape:
    """A reference with strategies of its own is another shape over the same fields."""
    if not (schema.strategy or schema.map_type or schema.list_type):
        return shape
    return Shape(
        shape.form,
        shape.go,
        load=lambda: shape.fields,
        item=shape.item,
        bits=shape.bits,
        atomic=shape.atomic or schema.map_type == "atomic",
        retains_keys=shape.retains_keys or "retainKeys" in schema.strategy,
        replaces=shape.replaces or schema.strategy == "replace",
        required=shape.required,
        open=shape.open,
    )


def _object(schema: _Schema, go: str) -> Shape:
    atomic = schema.map_type == "atomic"
    retains_keys, replaces = "retainKeys" in schema.strategy, schema.strategy == "replace"
    if isinstance(schema.additional, _Schema):
        item = _build(schema.additional, "")
        go = go or ("v1.ResourceList" if item.form == "quantity" else f"map[string]{item.go}")
        return Shape("map", go, item=item, atomic=atomic, retains_keys=retains_keys, replaces=replaces)
    if not schema.properties and (schema.preserve or schema.additional is True or not go):
        return Shape("any", go or "map[string]interface {}", atomic=atomic)
    return Shape(
        "object",
        go,
        load=lambda: _fields(schema, go),
        atomic=atomic,
        retains_keys=retains_keys,
        replaces=replaces,
        required=schema.required,
        open=schema.preserve,
    )


def _fields(schema: _Schema, go: str) -> Mapping[str, Shape]:
    struct = go.rpartition(".")[2]
    found = {name: _build(field, "") for name, field in schema.properties.items()}
    for name, shape in found.items():
        if named := _NAMED_TEXT.get((struct, name)):
            found[name] = Shape(shape.form, named)
    if schema.embedded:
        for name, shape in (("apiVersion", Shape("string", "string")), ("kind", Shape("string", "string"))):
            found.setdefault(name, shape)
        found.setdefault("metadata", _reference(f"{_META}apis.meta.v1.ObjectMeta"))
    return found


def _list(schema: _Schema) -> Shape:
    item = _build(schema.items, "") if schema.items else ANY
    list_type: ListType = schema.list_type if schema.list_type in ("set", "map") else "atomic"  # type: ignore[assignment]
    reference = schema.items.ref.rpartition("/")[2] if schema.items else ""
    return Shape(
        "list",
        f"[]{item.go}",
        item=item,
        atomic=list_type == "atomic",
        list_type=list_type,
        keys=schema.keys,
        key_defaults=KEY_DEFAULTS.get(reference) or _key_defaults(schema),
        merges="merge" in schema.strategy.split(","),
        merge_key=schema.merge_key,
        retains_keys="retainKeys" in schema.strategy,
    )


def _key_defaults(schema: _Schema) -> Mapping[str, Any]:
    properties = schema.items.properties if schema.items else {}
    return {
        key: properties[key].default for key in schema.keys if key in properties and properties[key].default is not None
    }


def required(shape: Shape, document: Document) -> Iterable[Cause]:
    """A cause for each required field that is absent, in the schema's order, deepest last."""
    yield from _required(shape, document, ())


def _required(shape: Shape, value: Any, path: Path) -> Iterable[Cause]:
    if shape.form == "object" and isinstance(value, dict):
        for name in shape.required:
            if value.get(name) is None:
                yield Cause("FieldValueRequired", "Required value", field_path((*path, name)))
        for name, below in value.items():
            if isinstance(below, dict | list) and (field := shape.fields.get(name)):
                yield from _required(field, below, (*path, name))
    elif shape.form == "map" and shape.item and isinstance(value, dict):
        for name, below in value.items():
            yield from _required(shape.item, below, (*path, name))
    elif shape.form == "list" and shape.item and isinstance(value, list):
        for i, below in enumerate(value):
            yield from _required(shape.item, below, (*path, i))


Mode = Literal["strict", "warn", "ignore"]
"""What unknown and duplicate fields lead to: a refusal, warnings, or nothing (they are dropped silently)."""
