"""What a patch made is checked where it differs from what was there, and only there."""

from __future__ import annotations

from typing import Any

import pytest
from api_driver import Api, run

from navarch.apiserver import decode
from navarch.apiserver.call import User
from navarch.apiserver.options import Intent, Validation
from navarch.base.errors import BadRequest
from navarch.kinds import ALL, CONFIGMAP, POD
from navarch.kinds.kind import Kind
from navarch.objects.value import Draft

PODS = "/api/v1/namespaces/default/pods"

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


@pytest.mark.parametrize("kind", [kind for kind in ALL if kind.defaults_spec])
def test_kinds_that_say_so_default_their_spec_alone(kind: Kind) -> None:
    spec = {"containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 1}]}], "volumes": [{"name": "v"}]}
    filled = []
    for others in ({}, {"metadata": {"name": "a", "labels": {"x": "y"}}, "status": {"phase": "Running"}}):
        draft = Draft({**others, "spec": spec})
        kind.default(draft)
        assert {name: value for name, value in draft.document.items() if name != "spec"} == others
        filled.append(draft.document["spec"])
        again = Draft(draft.document)
        kind.default(again)
        assert again.document == draft.document
    assert filled[0] == filled[1]
    assert filled[0] != spec


def test_a_patch_of_the_spec_is_filled_in_and_one_beside_it_is_not() -> None:
    async def test(api: Api) -> None:
        await api.post(PODS, {"metadata": {"name": "a"}, "spec": {"containers": [{"name": "c", "image": "i"}]}})
        before = (await api.merge(f"{PODS}/a", {"metadata": {"labels": {"x": "y"}}}))["spec"]
        assert before["restartPolicy"] == "Always"
        found = await api.strategic(f"{PODS}/a", {"spec": {"containers": [{"name": "c", "image": "j:1"}]}})
        assert found["spec"]["containers"] == [{**before["containers"][0], "image": "j:1"}]
        gone = await api.merge(f"{PODS}/a", {"spec": {"terminationGracePeriodSeconds": None}, "metadata": {}})
        assert gone["spec"]["terminationGracePeriodSeconds"] == 30

    run(test)
