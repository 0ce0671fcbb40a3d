"""Our kinds against what Kubernetes v1.36 publishes: discovery, paths, fully populated objects."""

from __future__ import annotations

import gzip
import json
import tarfile
import typing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from navarch.kinds import ALL, BODIES
from navarch.kinds.kind import Kind
from navarch.kinds.object import Object
from navarch.kinds.podspec.volumes import DownwardSource
from navarch.kinds.reference import NamedReference
from navarch.kinds.registry import DEFAULT
from navarch.kinds.review import AccessReviewSpec
from navarch.kinds.subresource import subresource
from navarch.kinds.view import Condition

REFERENCE = next(
    (found for parent in Path(__file__).parents if (found := parent / "shared" / "reference").is_dir()), None
)
pytestmark = pytest.mark.skipif(REFERENCE is None, reason="the reference data of v1.36 is not here")

UNPUBLISHED = ("APIService", "CustomResourceDefinition")
"""Kinds of which there is no golden object."""
GOLDEN = [kind for kind in (*ALL, *BODIES) if kind.name not in UNPUBLISHED]
GROUPED = [kind for kind in ALL if kind.group]
CORE = [kind for kind in ALL if not kind.group]


@pytest.fixture(scope="module")
def discovery() -> dict[tuple[str, str, str], Any]:
    assert REFERENCE is not None
    found = json.loads((REFERENCE / "discovery-aggregated.json").read_text())
    return {
        (group["metadata"].get("name", ""), version["version"], resource["resource"]): resource
        for group in found["items"]
        for version in group["versions"]
        for resource in version["resources"]
    }


@pytest.fixture(scope="module")
def golden() -> dict[str, bytes]:
    """name of the file without `.json` -> the document."""
    assert REFERENCE is not None
    with tarfile.open(REFERENCE / "golden-objects.tar.gz") as archive:
        return {
            Path(member.name).stem: opened.read()
            for member in archive
            if member.name.endswith(".json") and (opened := archive.extractfile(member))
        }


@pytest.mark.parametrize("kind", GROUPED, ids=repr)
def test_a_kind_is_what_discovery_says(kind: Kind, discovery: dict[tuple[str, str, str], Any]) -> None:
    published = discovery[kind.group, kind.version, kind.plural]
    assert published["responseKind"]["kind"] == kind.name
    assert published["singularResource"] == kind.one
    assert tuple(published.get("shortNames", ())) == kind.short
    assert tuple(published.get("categories", ())) == kind.categories
    assert (published["scope"] == "Namespaced") == kind.namespaced
    assert sorted(published["verbs"]) == sorted(kind.verbs or ("create",))


def test_every_stable_resource_is_served_in_its_group_and_place(discovery: dict[tuple[str, str, str], Any]) -> None:
    """The reference has no core group; its order is the one in which `kubectl api-resources` shows them."""
    published = [key for key in discovery if key[1] in ("v1", "v2")]
    stable = [kind for kind in GROUPED if kind.version in ("v1", "v2")]
    first = {group: number for number, group in enumerate(dict.fromkeys(kind.group for kind in ALL))}
    ours = sorted(stable, key=lambda kind: (first[kind.group], -int(kind.version[1:]), kind.plural))
    assert [(kind.group, kind.version, kind.plural) for kind in ours] == published


@pytest.mark.parametrize("kind", GROUPED, ids=repr)
def test_subresources_are_what_discovery_says(kind: Kind, discovery: dict[tuple[str, str, str], Any]) -> None:
    published = discovery[kind.group, kind.version, kind.plural].get("subresources", ())
    found = {
        one["subresource"]: (one["responseKind"]["kind"], one["responseKind"]["group"], tuple(sorted(one["verbs"])))
        for one in published
    }
    ours = {name: subresource(kind, name) for name in kind.subresources}
    assert {name: (sub.kind, sub.group, sub.verbs) for name, sub in ours.items()} == found


METHODS = {"get": "get", "post": "create", "put": "update", "patch": "patch", "delete": "delete"}


@pytest.mark.parametrize("kind", CORE, ids=repr)
def test_core_subresources_are_what_the_published_paths_say(kind: Kind) -> None:
    assert REFERENCE is not None
    paths = json.loads(gzip.decompress((REFERENCE / "openapi-v2.json.gz").read_bytes()))["paths"]
    base = f"/api/v1/{'namespaces/{namespace}/' if kind.namespaced else ''}{kind.plural}"
    assert base in paths
    published = {}
    for path, operations in paths.items():
        name = path.removeprefix(f"{base}/{{name}}/")
        if name != path and "/" not in name:
            verbs = tuple(sorted({METHODS[method] for method in operations if method in METHODS}))
            operation = next(operations[method] for method in METHODS if method in operations)
            published[name] = (operation["x-kubernetes-group-version-kind"]["kind"], verbs)
    ours = {name: subresource(kind, name) for name in kind.subresources}
    assert {name: (sub.kind, sub.verbs) for name, sub in ours.items()} == published


@pytest.mark.parametrize("kind", GOLDEN, ids=repr)
def test_a_fully_populated_object_decodes_into_its_view(kind: Kind, golden: dict[str, bytes]) -> None:
    document = golden[f"{kind.group or 'core'}.{kind.version}.{kind.name}"]
    revised = document.replace(b'"resourceVersionValue"', b'"7"')
    view = Object(kind, revised).view
    assert view.metadata.name == "nameValue"


@pytest.mark.parametrize("kind", GOLDEN, ids=repr)
def test_views_name_their_fields_as_the_wire_does(kind: Kind, golden: dict[str, bytes]) -> None:
    """A field of a view that no published document has is a misspelt acronym."""
    document = json.loads(golden[f"{kind.group or 'core'}.{kind.version}.{kind.name}"])
    if kind.stored_as is not None:
        return
    missing: list[str] = []

    def walk(view: Any, value: Any, path: str) -> None:
        for field in msgspec.structs.fields(view):
            where = f"{path}.{field.encode_name}"
            if field.encode_name not in value:
                missing.append(where)
                continue
            inner, below = _struct_of(field.type), value[field.encode_name]
            if inner is not None and inner not in SHARED:
                if isinstance(below, list):
                    below = below[0]
                walk(inner, below, where)

    walk(kind.view, document, "")
    assert missing == []


SHARED = {Condition, NamedReference, AccessReviewSpec, DownwardSource}
"""Views that stand for several published shapes, so that no one of those has all their fields."""


def _struct_of(type_: Any) -> Any:
    """The view inside an annotation: itself, optional, or in a tuple."""
    if isinstance(type_, type) and issubclass(type_, msgspec.Struct):
        return type_
    for argument in typing.get_args(type_):
        if (found := _struct_of(argument)) is not None:
            return found
    return None


def test_the_registry_finds_every_kind() -> None:
    for kind in ALL:
        assert DEFAULT.resource(kind.group, kind.version, kind.plural) is kind
    for kind in (*ALL, *BODIES):
        assert DEFAULT.named(kind.api_version, kind.name) is kind
    assert DEFAULT.resource("", "v1", "nothings") is None
