"""Metadata edits: what changes, what is shared, what is left alone."""

from navarch.objects import meta

OWNER = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "rs", "uid": "u1"}}
POD = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "uid": "u2"}, "spec": {"a": 1}}


def test_owner_references() -> None:
    reference = meta.owner_reference(OWNER)
    assert reference == {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "name": "rs",
        "uid": "u1",
        "controller": True,
        "blockOwnerDeletion": True,
    }
    pod = meta.owned(POD, reference)
    assert meta.controller_of(pod) == reference
    assert meta.is_controlled_by(pod, OWNER)
    assert not meta.is_controlled_by(POD, OWNER)
    assert meta.owned(pod, {**reference, "name": "new"})["metadata"]["ownerReferences"] == [
        {**reference, "name": "new"}
    ]
    assert meta.disowned(pod, ["u1"]) == POD
    assert "ownerReferences" not in POD["metadata"]
    assert pod["spec"] is POD["spec"]


def test_finalizers() -> None:
    pod = meta.with_finalizer(POD, "x.io/a")
    assert meta.finalizers(pod) == ["x.io/a"]
    assert meta.with_finalizer(pod, "x.io/a") is pod
    assert meta.without_finalizer(pod, "other") is pod
    assert meta.without_finalizer(pod, "x.io/a") == POD


def test_labels_and_annotations() -> None:
    pod = meta.with_labels(POD, {"a": "1", "b": "2"})
    assert meta.labels_of(meta.with_labels(pod, {"a": None})) == {"b": "2"}
    assert meta.with_labels(pod, {"a": None, "b": None}) == POD
    assert meta.annotations_of(meta.with_annotations(POD, {"k": "v"})) == {"k": "v"}


def test_reference_leaves_out_what_is_empty() -> None:
    assert meta.reference(POD) == {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u2"}
    assert meta.is_terminating({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}})
    assert not meta.is_terminating(POD)
