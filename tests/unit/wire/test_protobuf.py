"""Protobuf bodies against the golden objects of Kubernetes, and against nonsense."""

from __future__ import annotations

import contextlib
import tarfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.wire.protobuf import Malformed, decode
from navarch.wire.protobuf_encode import encode
from navarch.wire.protobuf_table import MAGIC

GOLDEN = Path("/work/shared/reference/golden-objects.tar.gz")
OLD = ("apps.v1beta", "batch.v1beta1.", "discovery.k8s.io.v1beta1.", "events.k8s.io.v1beta1.", "extensions.v1beta1.")
OLD += ("flowcontrol.apiserver.k8s.io.v1beta", "node.k8s.io.v1alpha1.", "node.k8s.io.v1beta1.", "policy.v1beta1.")
OLD += ("authentication.k8s.io.v1beta1.", "authorization.k8s.io.v1beta1.", "rbac.authorization.k8s.io.v1alpha1.")
OLD += ("rbac.authorization.k8s.io.v1beta1.", "scheduling.k8s.io.v1beta1.", "storage.k8s.io.v1alpha1.")
OLD += ("admission.k8s.io.", "apidiscovery.k8s.io.", "imagepolicy.k8s.io.")
"""What version 1.36 serves no more, or never served."""
ANSWERED_ONLY = ("APIVersions", "APIGroup", "WatchEvent")


@cache
def golden() -> dict[str, bytes]:
    if not GOLDEN.exists():
        pytest.skip(f"{GOLDEN} is not here")
    found = {}
    with tarfile.open(GOLDEN) as archive:
        for member in archive:
            file = archive.extractfile(member)
            if file is not None:
                found[Path(member.name).name] = file.read()
    return found


def plain(value: Any) -> Any:
    """Without what protobuf has no way to say: nulls."""
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items() if inner is not None}
    return [plain(inner) for inner in value] if isinstance(value, list) else value


def pairs() -> Iterator[tuple[str, dict[str, Any], bytes]]:
    """Name, document and protobuf body of each golden object that is served."""
    for name, data in golden().items():
        kind = name.removesuffix(".pb").rpartition(".")[2]
        if name.endswith(".pb") and not name.startswith(OLD) and kind not in ANSWERED_ONLY:
            yield name, orjson.loads(golden()[f"{name.removesuffix('.pb')}.json"]), data


def test_golden_objects_read_the_same_in_both_forms() -> None:
    different = [
        (name, [key for key in {**document, **found} if plain(document).get(key) != found.get(key)])
        for name, document, data in pairs()
        if (found := decode(data)) != plain(document)
    ]
    assert not different


def test_golden_objects_are_written_byte_for_byte() -> None:
    assert [name for name, document, data in pairs() if encode(document) != data] == []
    assert sum(1 for _ in pairs()) > 120


def field(number: int, value: bytes) -> bytes:
    assert len(value) < 128
    return bytes([number << 3 | 2, len(value)]) + value


def envelope(api_version: str, kind: str, raw: bytes) -> bytes:
    return MAGIC + field(1, field(1, api_version.encode()) + field(2, kind.encode())) + field(2, raw)


def test_zeros_that_mean_nothing_are_left_out() -> None:
    metadata = field(1, b"web") + field(2, b"") + field(3, b"") + b"\x38\x00" + field(8, b"")
    assert decode(envelope("v1", "Namespace", field(1, metadata) + field(2, b"") + field(3, b""))) == {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "web"},
        "spec": {},
        "status": {},
    }


def test_zeros_that_count_are_kept() -> None:
    found = decode(envelope("policy/v1", "DeleteOptions", b"\x08\x00\x18\x00"))
    assert (found["gracePeriodSeconds"], found["orphanDependents"]) == (0, False)


def test_maps_may_hold_empty_things() -> None:
    found = decode(envelope("v1", "ConfigMap", field(2, field(1, b"k")) + field(2, field(1, b"l") + field(2, b"v"))))
    assert found["data"] == {"k": "", "l": "v"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        MAGIC,
        envelope("v1", "Nonsense", b""),
        envelope("example.com/v1", "Widget", b""),
        envelope("v1", "Namespace", b"\x0a\x05ab"),
        envelope("v1", "Namespace", b"\x08\x01"),
        envelope("v1", "Namespace", b"\x0b"),
        envelope("v1", "Namespace", b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
        envelope("v1", "Namespace", field(1, field(1, b"\xff"))),
    ],
)
def test_malformed_bodies_are_refused(body: bytes) -> None:
    with pytest.raises(Malformed):
        decode(body)


@given(st.binary(max_size=80), st.sampled_from(["Pod", "Namespace", "Secret", "Event"]))
def test_no_bytes_are_too_strange(raw: bytes, kind: str) -> None:
    with contextlib.suppress(Malformed):
        assert decode(envelope("v1", kind, raw))["kind"] == kind
