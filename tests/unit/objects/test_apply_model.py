"""Several managers apply, update, force and leave things out: `objects.apply` against a slow, obvious model."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from apply_model import LEAF, Disputed, Flat, Live, Owners, Path, Spec, flat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from navarch.base.errors import Conflict
from navarch.objects import apply
from navarch.objects.shape import Shape, struct

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
VERSION = "example.com/v1"

ENV = Spec("keyed", item=Spec("object", {"name": LEAF, "value": LEAF}), keys=("name",))
PORTS = Spec(
    "keyed",
    item=Spec("object", {"port": LEAF, "protocol": LEAF, "note": LEAF}),
    keys=("port", "protocol"),
    defaults={"protocol": "TCP"},
)
CONTAINERS = Spec(
    "keyed",
    item=Spec("object", {"name": LEAF, "image": LEAF, "args": LEAF, "env": ENV, "ports": PORTS}),
    keys=("name",),
)
SPEC = Spec(
    "object",
    {
        "replicas": LEAF,
        "labels": Spec("map", item=LEAF),
        "selector": LEAF,
        "hosts": Spec("set", item=LEAF),
        "nested": Spec("object", {"one": LEAF, "deep": Spec("object", {"two": LEAF, "three": LEAF})}),
        "containers": CONTAINERS,
    },
)
ROOT = Spec("object", {"spec": SPEC})

TEXT = Shape("string", "string")
NUMBER = Shape("integer", "int32")
ATOMIC = {
    "selector": struct({"a": TEXT, "b": TEXT}, atomic=True),
    "args": Shape("list", item=TEXT, atomic=True),
    "replicas": NUMBER,
    "port": NUMBER,
}


def shape_of(spec: Spec, name: str = "") -> Shape:
    """The same for the code under test."""
    match spec.form:
        case "object":
            return struct({key: shape_of(below, key) for key, below in spec.fields.items()})
        case "map":
            return Shape("map", item=TEXT)
        case "set":
            return Shape("list", item=TEXT, list_type="set")
        case "keyed":
            assert spec.item is not None
            item = shape_of(spec.item)
            return Shape("list", item=item, list_type="map", keys=spec.keys, key_defaults=spec.defaults)
        case _:
            return ATOMIC.get(name, TEXT)


META = struct({"name": TEXT, "managedFields": Shape("list", item=Shape("any"), atomic=True)})
SHAPE = struct({"apiVersion": TEXT, "kind": TEXT, "metadata": META, "spec": shape_of(SPEC)})

texts = st.sampled_from("xyz")
names = st.sampled_from("abc")
environments = st.lists(
    st.fixed_dictionaries({"name": names}, optional={"value": texts}), unique_by=lambda one: one["name"], min_size=1
)
port_lists = st.lists(
    st.fixed_dictionaries(
        {"port": st.integers(1, 2)}, optional={"protocol": st.sampled_from(["TCP", "UDP"]), "note": texts}
    ),
    unique_by=lambda one: (one["port"], one.get("protocol", "TCP")),
    min_size=1,
)
containers = st.lists(
    st.fixed_dictionaries(
        {"name": names},
        optional={"image": texts, "args": st.lists(texts, max_size=2), "env": environments, "ports": port_lists},
    ),
    unique_by=lambda one: one["name"],
    min_size=1,
    max_size=3,
)
specs = st.fixed_dictionaries(
    {},
    optional={
        "replicas": st.integers(0, 2),
        "labels": st.dictionaries(names, texts, max_size=3),
        "selector": st.fixed_dictionaries({}, optional={"a": texts, "b": texts}),
        "hosts": st.lists(texts, unique=True, min_size=1),
        "nested": st.fixed_dictionaries(
            {}, optional={"one": texts, "deep": st.fixed_dictionaries({}, optional={"two": texts, "three": texts})}
        ),
        "containers": containers,
    },
).filter(bool)


@dataclass(frozen=True)
class Step:
    verb: str
    manager: str
    spec: dict[str, Any]


steps = st.builds(Step, st.sampled_from(["apply", "apply", "force", "update"]), st.sampled_from("mno"), specs)


def document(spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": VERSION, "kind": "Thing", "metadata": {"name": "x"}, "spec": spec}


def owners_of(found: dict[str, Any]) -> Owners:
    def paths(tree: dict[str, Any], at: Path = ()) -> set[Path]:
        """As in the object: a field with nothing below it is a path, and so is one with a dot."""
        if not tree:
            return {at}
        return {path for key, below in tree.items() for path in ({at} if key == "." else paths(below, (*at, key)))}

    return {
        (entry["manager"], entry["operation"]): paths(entry["fieldsV1"])
        for entry in found["metadata"].get("managedFields", [])
    }


def leaves_of(found: dict[str, Any]) -> Flat:
    spec = found.get("spec")
    return flat(ROOT, {"spec": spec}) if spec else {}


def filled(leaves: Flat) -> Flat:
    """Empty objects and lists may stay or go."""
    return {path: value for path, value in leaves.items() if value not in ({}, [])}


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(steps, min_size=1, max_size=5))
def test_histories_of_several_managers(history: list[Step]) -> None:
    found: dict[str, Any] | None = None
    model = Live({}, {}, exists=False)
    for step in history:
        wanted = document(step.spec)
        leaves = leaves_of(wanted)
        if step.verb == "update":
            model = model.update(leaves, step.manager)
            new = document(step.spec)
            entries = apply.updated(found, new, SHAPE, step.manager, "Update", "", VERSION, NOW)
            found = apply.with_entries(new, entries)
        else:
            refused: set[tuple[str, str, Path]] = set()
            said: set[tuple[str, str]] = set()
            try:
                model = model.apply(leaves, step.manager, step.verb == "force")
            except Disputed as disputed:
                refused = disputed.paths
            try:
                found = apply.merge(found, wanted, SHAPE, step.manager, step.verb == "force", NOW)
            except Conflict as conflict:
                said = {(cause.message, cause.field) for cause in conflict.causes}
            assert len(said) == len(refused)
            assert {message.split('"')[1] for message, _ in said} == {manager for manager, *_ in refused}
        assert found is not None
        assert filled(leaves_of(found)) == filled(model.leaves)
        assert owners_of(found) == model.owners
