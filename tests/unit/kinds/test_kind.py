"""What a Kind answers about itself, and Events as two faces of one object."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.kinds import ALL, EVENT, EVENTS_EVENT, NAMESPACE, NODE, POD, REPLICASET, ROLE, SERVICE
from navarch.kinds.kind import Kind
from navarch.kinds.registry import DEFAULT, Kinds
from navarch.kinds.subresource import subresource


def test_absent_fields_can_be_selected_by() -> None:
    assert POD.selectable({"spec": {}}, "spec.hostNetwork") == "false"
    assert POD.selectable({"spec": {"hostNetwork": True}}, "spec.hostNetwork") == "true"
    assert POD.selectable({}, "spec.nodeName") == ""
    assert NODE.selectable({"spec": {}}, "spec.unschedulable") == "false"
    assert REPLICASET.selectable({"status": {"replicas": 3}}, "status.replicas") == "3"
    assert POD.selectable({"metadata": {"name": "a"}}, "metadata.name") == "a"
    assert POD.selectable({}, "spec.color") is None


def test_groups_keep_their_order_and_one_face_is_stored() -> None:
    assert DEFAULT.groups()[:3] == ("", "apiregistration.k8s.io", "apps")
    stored = DEFAULT.stored()
    assert EVENT in stored
    assert EVENTS_EVENT not in stored
    assert all(kind.verbs for kind in stored)


def test_two_kinds_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError):
        Kinds((POD, POD))


def test_subresources_that_are_not_there_are_named() -> None:
    with pytest.raises(KeyError, match="nodes have no subresource 'exec'"):
        subresource(NODE, "exec")


@pytest.mark.parametrize("kind", ALL, ids=repr)
def test_every_subresource_is_described(kind: Kind) -> None:
    assert [subresource(kind, name).name for name in kind.subresources] == list(kind.subresources)


@given(
    st.dictionaries(
        st.sampled_from(["regarding", "note", "reportingController", "deprecatedCount", "reason", "metadata", "type"]),
        st.integers(),
    )
)
def test_an_event_survives_the_way_into_the_store_and_back(document: dict[str, object]) -> None:
    assert EVENTS_EVENT.to_stored is not None
    assert EVENTS_EVENT.from_stored is not None
    shown = {"apiVersion": "events.k8s.io/v1", "kind": "Event", **document}
    stored = EVENTS_EVENT.to_stored(shown)
    assert stored["apiVersion"] == "v1"
    assert not {"regarding", "note"} & set(stored)
    assert EVENTS_EVENT.from_stored(stored) == shown


@pytest.mark.parametrize(
    ("kind", "name", "good"),
    [
        (SERVICE, "1st", True),
        (SERVICE, "a.b", False),
        (NAMESPACE, "a.b", False),
        (ROLE, "system:node", True),
        (ROLE, "a/b", False),
    ],
)
def test_names_have_the_form_that_the_kind_asks_for(kind: Kind, name: str, good: bool) -> None:
    assert kind.name_rule is not None
    assert (not list(kind.name_rule(name))) == good


def test_both_faces_of_an_event_show_the_same_cells() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    stored = {"involvedObject": {"kind": "Pod", "name": "web"}, "message": "it was", "source": {"component": "me"}}
    assert EVENTS_EVENT.from_stored is not None
    shown = EVENTS_EVENT.from_stored(stored)

    def cells(kind: Kind, document: dict[str, Any]) -> list[Any]:
        return [column.source(document, now) for column in kind.columns if callable(column.source)]

    assert cells(EVENTS_EVENT, shown) == cells(EVENT, stored)
    assert "pod/web" in cells(EVENTS_EVENT, shown)
