"""What a patch made is checked where it differs from what was there, and only there."""

from __future__ import annotations

from typing import Any

import pytest

from navarch.apiserver import decode
from navarch.apiserver.call import User
from navarch.apiserver.options import Intent, Validation
from navarch.base.errors import BadRequest
from navarch.kinds import CONFIGMAP, POD
from navarch.kinds.kind import Kind

BASE: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "a"},
    "spec": {"containers": [{"name": "c", "image": "i"}], "ofAnOlderVersion": True},
    "status": {"phase": "Running"},
}


def intent(kind: Kind = POD, validation: Validation = "Strict") -> Intent:
    return Intent(kind, User("me"), "patch", "default", "a", "", "me", False, validation, [])


def test_what_the_patch_left_alone_is_shared_and_not_judged() -> None:
    patched = {**BASE, "metadata": {"name": "a", "labels": {"x": "y"}}}

    found = decode.rechecked(intent(), patched, BASE)

    assert found == patched
    assert found["spec"] is BASE["spec"]


@pytest.mark.parametrize(
    ("part", "says"),
    [
        ({"metadata": {"name": "a", "labels": {"x": 1}}}, "cannot unmarshal number into Go struct field"),
        ({"spec": {"containers": [{"name": "c", "imag": "i"}]}}, 'unknown field "spec.containers\\[0\\].imag"'),
        ({"nonsense": {}}, 'unknown field "nonsense"'),
        ({"kind": "Secret"}, "does not match the expected kind"),
    ],
)
def test_what_the_patch_made_is_judged_with_its_path(part: dict[str, Any], says: str) -> None:
    with pytest.raises(BadRequest, match=says):
        decode.rechecked(intent(), {**BASE, **part}, BASE)


def test_unknown_fields_are_dropped_and_warned_of() -> None:
    asked = intent(validation="Warn")
    patched = {**BASE, "nonsense": 1, "status": {"phase": "Failed", "worse": 2}}

    found = decode.rechecked(asked, patched, BASE)

    assert found == {**BASE, "status": {"phase": "Failed"}}
    assert sorted(asked.warnings) == ['unknown field "nonsense"', 'unknown field "status.worse"']


def test_canonical_forms_and_removed_parts() -> None:
    base = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "v"}}
    patched = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "creationTimestamp": None}}

    assert decode.rechecked(intent(CONFIGMAP), patched, base) == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "a"},
    }
