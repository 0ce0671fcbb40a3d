"""Bytes of answers into objects, events and errors."""

from __future__ import annotations

import orjson
import pytest

from navarch.base.errors import (
    AlreadyExists,
    Conflict,
    Expired,
    Forbidden,
    Internal,
    Invalid,
    NotFound,
    TooMany,
    Unavailable,
)
from navarch.client.wire import error_of, event, left, many, one
from navarch.kinds import CONFIGMAP, NAMESPACE, POD


def status(code: int, reason: str, **details: object) -> bytes:
    return orjson.dumps({"kind": "Status", "code": code, "reason": reason, "message": "m", "details": details})


@pytest.mark.parametrize(
    ("code", "reason", "known"),
    [
        (404, "NotFound", NotFound),
        (409, "AlreadyExists", AlreadyExists),
        (409, "Conflict", Conflict),
        (409, "Novelty", Conflict),
        (410, "Expired", Expired),
        (410, "Gone", Expired),
        (422, "Invalid", Invalid),
        (503, "ServiceUnavailable", Unavailable),
        (418, "Teapot", Internal),
    ],
)
def test_statuses_become_the_errors_they_were(code: int, reason: str, known: type[Exception]) -> None:
    assert type(error_of(code, status(code, reason))) is known


def test_an_error_keeps_its_details() -> None:
    causes = [{"reason": "FieldValueInvalid", "message": "no", "field": "spec.x"}, {"message": "also"}]
    found = error_of(429, status(429, "TooManyRequests", name="n", kind="pods", causes=causes, retryAfterSeconds=7))
    assert isinstance(found, TooMany)
    assert (found.name, found.kind, found.retry_after_s) == ("n", "pods", 7)
    assert [(cause.field, cause.message) for cause in found.causes] == [("spec.x", "no"), ("", "also")]
    assert found.status()["details"]["causes"][0] == causes[0]


@pytest.mark.parametrize("raw", [b"", b"<html>", b"[]", b'{"kind":"Pod"}', b"\xff"])
def test_what_a_proxy_said_is_an_error_too(raw: bytes) -> None:
    found = error_of(403, raw)
    assert isinstance(found, Forbidden)
    assert found.message


def test_items_without_a_kind_get_theirs() -> None:
    raw = b'{"kind":"ConfigMapList","metadata":{"resourceVersion":"7"},"items":[{"metadata":{"name":"a"}}]}'
    found = many(CONFIGMAP, raw)
    assert found.revision == 7
    assert found.items[0].document() == {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}
    whole = b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"}}'
    assert one(CONFIGMAP, whole).raw == whole


def test_events() -> None:
    line = (
        b'{"type":"MODIFIED","object":{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","resourceVersion":"9"}}}'
    )
    found = event(POD, line)
    assert (found.type, found.revision) == ("MODIFIED", 9)
    mark = event(POD, b'{"type":"BOOKMARK","object":{"kind":"Pod","metadata":{"resourceVersion":"12"}}}')
    assert (mark.type, mark.object, mark.revision) == ("BOOKMARK", None, 12)
    with pytest.raises(Expired):
        event(POD, b'{"type":"ERROR","object":' + status(410, "Expired") + b"}")


def test_what_a_deletion_leaves() -> None:
    def body(**metadata: object) -> bytes:
        return orjson.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", **metadata}})

    assert left(POD, b'{"kind":"Status","status":"Success"}') is None
    assert left(POD, body(deletionTimestamp="2026-01-01T00:00:00Z", deletionGracePeriodSeconds=0)) is None
    assert left(POD, body(deletionGracePeriodSeconds=30)) is not None
    assert left(POD, body(deletionGracePeriodSeconds=0, finalizers=["x/y"])) is not None
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a"}, "spec": {"finalizers": ["kubernetes"]}}
    assert left(NAMESPACE, orjson.dumps(space)) is not None
