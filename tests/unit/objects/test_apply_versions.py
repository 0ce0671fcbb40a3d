"""Field ownership across versions of one API, whose fields are called otherwise and lie elsewhere."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from navarch.base.errors import Conflict
from navarch.objects import apply
from navarch.objects.shape import Shape, struct

NOW = datetime(2026, 1, 2, tzinfo=UTC)
TEXT = Shape("string", "string")
META = struct({"name": TEXT, "managedFields": Shape("list", item=Shape("any"), atomic=True)})
HEAD = {"apiVersion": TEXT, "kind": TEXT, "metadata": META}
SHAPES = {
    "g/v1": struct({**HEAD, "hostPort": TEXT, "note": TEXT}),
    "g/v2": struct({**HEAD, "host": TEXT, "port": TEXT}),
}
Found = dict[str, Any]


def convert(document: Found, version: str) -> tuple[Shape, Found] | None:
    """`hostPort` of v1 is `host` and `port` in v2, which has no `note` of its own and calls it `port` too."""
    if version not in SHAPES:
        return None
    was = document["apiVersion"]
    made = {key: value for key, value in document.items() if key not in ("hostPort", "host", "port")}
    made["apiVersion"] = version
    if was == version:
        return SHAPES[version], document
    if version == "g/v2" and "hostPort" in document:
        made["host"], _, made["port"] = document["hostPort"].partition(":")
    elif version == "g/v1" and ("host" in document or "port" in document):
        made["hostPort"] = f"{document.get('host', '')}:{document.get('port', '')}"
    return SHAPES[version], made


def thing(version: str, **fields: str) -> Found:
    return {"apiVersion": f"g/{version}", "kind": "Thing", "metadata": {"name": "x"}, **fields}


def at(document: Found, version: str) -> Found:
    converted = convert(document, f"g/{version}")
    assert converted is not None
    return converted[1]


def updated(old: Found | None, new: Found, manager: str) -> Found:
    version = new["apiVersion"]
    entries = apply.updated(old, new, SHAPES[version], manager, "Update", "", version, NOW, convert=convert)
    return apply.with_entries(new, entries)


def applied(live: Found | None, config: Found, manager: str, force: bool = False) -> Found:
    return apply.merge(live, config, SHAPES[config["apiVersion"]], manager, force, NOW, convert=convert)


def owners(document: Found) -> dict[tuple[str, str], Any]:
    return {(one["manager"], one["apiVersion"]): one["fieldsV1"] for one in document["metadata"]["managedFields"]}


def kept(document: Found, **fields: str) -> Found:
    """Another document with the same owners."""
    return {**thing(document["apiVersion"][2:], **fields), "metadata": document["metadata"]}


def test_an_update_takes_a_field_from_who_wrote_it_in_another_version() -> None:
    made = at(updated(None, thing("v1", hostPort="a:1", note="n"), "first"), "v2")
    changed = updated(made, {**made, "port": "2"}, "second")
    assert owners(changed) == {("first", "g/v1"): {"f:note": {}}, ("second", "g/v2"): {"f:port": {}}}


def test_the_same_manager_has_an_entry_for_each_version_that_it_updates_in() -> None:
    made = at(updated(None, thing("v2", host="a", port="1"), "me"), "v1")
    changed = updated(made, {**made, "note": "n"}, "me")
    assert owners(changed) == {("me", "g/v1"): {"f:note": {}}, ("me", "g/v2"): {"f:host": {}, "f:port": {}}}


def test_what_is_owned_in_a_version_that_is_gone_is_forgotten() -> None:
    made = updated(None, thing("v1", hostPort="a:1", note="n"), "first")
    made["metadata"]["managedFields"][0]["apiVersion"] = "g/v0"
    changed = updated(made, kept(made, hostPort="a:2", note="n"), "second")
    assert owners(changed) == {("second", "g/v1"): {"f:hostPort": {}}}


def test_conflicts_are_found_in_the_version_of_the_owner() -> None:
    made = at(applied(None, thing("v1", hostPort="a:1"), "first"), "v2")
    with pytest.raises(Conflict) as refused:
        applied(made, thing("v2", port="2"), "second")
    assert [(one.field, one.message) for one in refused.value.causes] == [(".hostPort", 'conflict with "first"')]
    assert owners(applied(made, thing("v2", port="1"), "second"))[("second", "g/v2")] == {"f:port": {}}
    forced = applied(made, thing("v2", port="2"), "second", force=True)
    assert owners(forced) == {("second", "g/v2"): {"f:port": {}}}
    updates = at(updated(None, thing("v1", hostPort="a:1"), "first"), "v2")
    with pytest.raises(Conflict, match=r'conflict with "first" using g/v1: \.hostPort'):
        applied(updates, thing("v2", port="2"), "second")


def test_an_applier_goes_over_to_another_version_with_its_entry() -> None:
    made = at(applied(None, thing("v1", hostPort="a:1"), "me"), "v2")
    moved = applied(made, thing("v2", host="a", port="2"), "me")
    assert owners(moved) == {("me", "g/v2"): {"f:host": {}, "f:port": {}}}
    assert (moved["host"], moved["port"]) == ("a", "2")


def test_what_was_applied_in_another_version_is_removed_when_it_is_no_longer_said() -> None:
    made = at(applied(None, thing("v2", host="a", port="1"), "me"), "v1")
    left = applied(made, thing("v1", note="n"), "me")
    assert "hostPort" not in left
    assert (left["note"], left["apiVersion"], left["metadata"]["name"]) == ("n", "g/v1", "x")


def test_what_another_owns_in_its_own_version_stays() -> None:
    made = at(applied(None, thing("v1", hostPort="a:1"), "first"), "v2")
    both = at(applied(made, thing("v2", host="a", port="1"), "second"), "v1")
    left = applied(both, thing("v1", note="n"), "second")
    assert left["hostPort"] == "a:1"
    assert owners(left)[("first", "g/v1")] == {"f:hostPort": {}}


def test_nothing_is_removed_by_what_was_said_in_a_version_that_is_gone() -> None:
    made = applied(None, thing("v1", hostPort="a:1"), "me")
    made["metadata"]["managedFields"][0]["apiVersion"] = "g/v0"
    assert applied(made, thing("v1", note="n"), "me")["hostPort"] == "a:1"
