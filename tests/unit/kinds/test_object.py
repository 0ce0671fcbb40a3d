"""What objects share with each other, and how long they keep their views."""

from __future__ import annotations

from typing import Any

import pytest

from navarch.kinds import POD, object
from navarch.kinds.object import Object


def a_pod(name: str, labels: dict[str, str] | None = None, owner: str = "") -> Object:
    metadata: dict[str, Any] = {"name": name, "namespace": "default", "uid": f"u-{name}", "resourceVersion": "7"}
    if labels:
        metadata["labels"] = labels
    if owner:
        metadata["ownerReferences"] = [{"uid": owner}]
    return Object.of(POD, {"metadata": metadata, "spec": {"nodeName": name}})


def test_equal_labels_owners_and_namespaces_are_one() -> None:
    one, two = a_pod("a", {"app": "web"}, "o"), a_pod("b", {"app": "web"}, "o")
    assert one.labels is two.labels
    assert one.owners is two.owners
    assert one.namespace is two.namespace
    other = a_pod("c", {"app": "shop"}, "p")
    assert (other.labels, other.owners) == ({"app": "shop"}, ("p",))
    assert one.labels == {"app": "web"}
    assert one.owners == ("o",)


def test_many_different_labels_are_not_all_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object, "SHARED", 4)
    monkeypatch.setattr(object, "_shared", object._Shared())
    found = [a_pod(f"p{number}", {"n": str(number)}, f"o{number}") for number in range(20)]
    assert [one.labels["n"] for one in found] == [str(number) for number in range(20)]
    assert len(object._shared._labels) <= 4
    assert len(object._shared._owners) <= 4


def test_so_many_views_are_kept_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object, "VIEWS_KEPT", 3)
    monkeypatch.setattr(Object, "_viewed", {})
    pods = [a_pod(f"p{number}") for number in range(5)]
    views = [pod.view for pod in pods]
    assert [pod._view is not None for pod in pods] == [False, False, True, True, True]
    assert pods[0].view == views[0]
    assert pods[0].view is not views[0]
    assert pods[4].view is views[4]
    assert [view.spec.node_name for view in views] == ["p0", "p1", "p2", "p3", "p4"]


def test_a_view_does_not_keep_its_object(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Object, "_viewed", {})
    view = a_pod("gone").view
    (kept,) = Object._viewed[POD.view]
    assert kept() is None
    assert view.spec.node_name == "gone"
