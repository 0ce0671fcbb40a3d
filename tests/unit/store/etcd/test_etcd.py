"""What needs no etcd: endpoints, what failures mean, whom to trust, how events become changes."""

from __future__ import annotations

import pytest

from navarch.base.errors import Expired, StorageFull, TooLarge, Unavailable
from navarch.store.etcd.connection import Away, Doubt, failure
from navarch.store.etcd.follow import changed, trusted
from navarch.store.etcd.settings import BadEndpoint, endpoint
from navarch.store.store import OWN, Change, Row
from navarch.wire import etcd


@pytest.mark.parametrize(
    ("url", "target", "secure"),
    [
        ("http://127.0.0.1:2379", "127.0.0.1:2379", False),
        ("https://etcd.lan", "etcd.lan:2379", True),
        (" https://[fd00::1]:4001/ ", "[fd00::1]:4001", True),
    ],
)
def test_an_endpoint_is_read(url: str, target: str, secure: bool) -> None:
    found = endpoint(url)
    assert (found.target, found.secure) == (target, secure)


@pytest.mark.parametrize(
    "url", ["", "127.0.0.1:2379", "ftp://a:1", "http://", "http://a:port", "http://a:1/path", "https://me@a:1"]
)
def test_what_is_no_endpoint_is_named(url: str) -> None:
    with pytest.raises(BadEndpoint, match="no URL of an etcd member"):
        endpoint(url)


@pytest.mark.parametrize(
    ("code", "details", "means"),
    [
        ("RESOURCE_EXHAUSTED", "etcdserver: mvcc: database space exceeded", StorageFull),
        ("INVALID_ARGUMENT", "etcdserver: request is too large", TooLarge),
        ("RESOURCE_EXHAUSTED", "grpc: received message larger than max (2097226 vs. 2097152)", TooLarge),
        ("OUT_OF_RANGE", "etcdserver: mvcc: required revision has been compacted", Expired),
        ("PERMISSION_DENIED", "etcdserver: permission denied", Unavailable),
        ("INVALID_ARGUMENT", "etcdserver: user name is empty", Unavailable),
        ("RESOURCE_EXHAUSTED", "etcdserver: too many requests", Away),
        ("UNAVAILABLE", "failed to connect to all addresses; last error: connection refused", Away),
        ("UNAVAILABLE", "etcdserver: no leader", Away),
        ("UNAVAILABLE", "etcdserver: request timed out", Doubt),
        ("UNAVAILABLE", "etcdserver: leader changed", Doubt),
        ("UNAVAILABLE", "Socket closed", Doubt),
        ("DEADLINE_EXCEEDED", "Deadline Exceeded", Doubt),
        ("UNKNOWN", "", Doubt),
    ],
)
def test_a_failure_means_refused_not_done_or_unknown(code: str, details: str, means: type[Exception]) -> None:
    """A write whose answer was lost must never be taken for one that was not sent."""
    found = failure(code, details, "http://a:1")
    assert type(found) is means
    assert "http://a:1" in str(found)


@pytest.mark.parametrize(
    ("version", "yes"),
    [
        *(("3.4.23", False), ("3.4.30", False), ("3.4.31", True), ("3.5.12", False), ("3.5.13", True)),
        *(("3.6.0-rc.1", True), ("3.7.1", True), ("4.0.0", True), ("3.3.27", False), ("", False), ("new", False)),
    ],
)
def test_progress_is_trusted_from_the_release_that_mended_it(version: str, yes: bool) -> None:
    assert trusted(version) is yes


def test_events_become_changes() -> None:
    now = {"key": b"/x/pods/a", "value": b"2", "mod_revision": 9, "create_revision": 4}
    before = {"key": b"/x/pods/a", "value": b"1", "mod_revision": 5, "create_revision": 4}
    row = Row("/pods/a", b"1", 5, 4)
    assert changed(_event(0, now, {}), 2) == Change("/pods/a", 9, b"2", None)
    assert changed(_event(0, now, before), 2) == Change("/pods/a", 9, b"2", row)
    assert changed(_event(1, {"key": b"/x/pods/a", "mod_revision": 9}, before), 2) == Change("/pods/a", 9, None, row)
    assert changed(_event(0, {"key": b"/x" + OWN.encode() + b"progress", "mod_revision": 9}, {}), 2) is None


def _event(type_: int, now: dict[str, object], before: dict[str, object]) -> object:
    return etcd._made["Event"](type=type_, kv=now, prev_kv=before)


@pytest.mark.parametrize(
    ("prefix", "end"), [(b"/a/", b"/a0"), (b"a\xff", b"b"), (b"\xff\xff", b"\0"), (b"/registry", b"/registrz")]
)
def test_a_range_ends_behind_its_prefix(prefix: bytes, end: bytes) -> None:
    assert etcd.range_end(prefix) == end
