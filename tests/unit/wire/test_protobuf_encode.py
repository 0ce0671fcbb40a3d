"""Documents as protobuf: what is written is read back, field for field, and every published field has a number."""

from __future__ import annotations

import struct
from importlib import resources
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.wire.protobuf import decode
from navarch.wire.protobuf_encode import (
    LIST_TAIL,
    encode,
    envelope,
    list_head,
    list_parts,
    message,
    varint,
    watch_frame,
)
from navarch.wire.protobuf_table import Field, fields, message_of

TIMES = st.datetimes().map(lambda moment: moment.strftime("%Y-%m-%dT%H:%M:%SZ").rjust(20, "0"))
TEXTS = st.text(max_size=12)
NAMED = st.dictionaries(TEXTS, TEXTS, min_size=1, max_size=3)
CONTAINERS = st.fixed_dictionaries(
    {"name": TEXTS},
    optional={
        "image": TEXTS.filter(bool),
        "ports": st.lists(st.fixed_dictionaries({"containerPort": st.integers(0, 65535)}), min_size=1),
        "env": st.lists(st.fixed_dictionaries({"name": TEXTS}, optional={"value": TEXTS.filter(bool)}), min_size=1),
        "resources": st.fixed_dictionaries({"limits": st.dictionaries(TEXTS, st.just("1500m"), min_size=1)}),
        "livenessProbe": st.fixed_dictionaries(
            {"httpGet": st.fixed_dictionaries({"port": st.one_of(st.integers(-5, 1 << 31 - 1), TEXTS)})}
        ),
        "securityContext": st.fixed_dictionaries({"runAsUser": st.integers(-(1 << 63), (1 << 63) - 1)}),
        "tty": st.just(True),
    },
)
PODS = st.fixed_dictionaries(
    {
        "apiVersion": st.just("v1"),
        "kind": st.just("Pod"),
        "metadata": st.fixed_dictionaries(
            {}, optional={"name": TEXTS.filter(bool), "labels": NAMED, "creationTimestamp": TIMES}
        ),
        "spec": st.fixed_dictionaries(
            {"containers": st.lists(CONTAINERS, min_size=1, max_size=3)},
            optional={
                "volumes": st.lists(
                    st.sampled_from(
                        [{"name": "a", "emptyDir": {}}, {"name": "b", "hostPath": {"path": "/", "type": ""}}]
                    ),
                    min_size=1,
                ),
                "automountServiceAccountToken": st.booleans(),
                "priority": st.integers(-(1 << 31), (1 << 31) - 1),
            },
        ),
    }
)


@given(PODS)
def test_what_is_written_is_read_back(pod: dict[str, Any]) -> None:
    assert decode(encode(pod)) == pod


@given(st.integers(-(1 << 63), (1 << 63) - 1))
def test_numbers_take_as_many_bytes_as_they_need(number: int) -> None:
    found = varint(number)
    assert len(found) == (10 if number < 0 else max(1, -(-number.bit_length() // 7)))
    value = 0
    for place, byte in enumerate(found):
        value |= (byte & 127) << 7 * place
    assert value == number % (1 << 64)
    assert [byte >> 7 for byte in found] == [1] * (len(found) - 1) + [0]


@pytest.mark.parametrize(
    ("api_version", "kind", "name"),
    [
        ("v1", "Pod", "core.v1.Pod"),
        ("v1", "Status", "meta.v1.Status"),
        ("apps/v1", "DeleteOptions", "meta.v1.DeleteOptions"),
        ("meta.k8s.io/v1", "PartialObjectMetadata", "meta.v1.PartialObjectMetadata"),
        ("meta.k8s.io/v1", "Table", ""),
        ("rbac.authorization.k8s.io/v1", "Role", "rbac.v1.Role"),
        ("networking.k8s.io/v1beta1", "IPAddress", "networking.v1beta1.IPAddress"),
        ("internal.apiserver.k8s.io/v1alpha1", "StorageVersion", "apiserverinternal.v1alpha1.StorageVersion"),
        ("networking.example.com/v1", "Ingress", ""),
        ("apps/v7", "Deployment", ""),
        ("v1", "Nothing", ""),
        ("", "Pod", ""),
    ],
)
def test_kinds_have_messages_or_none(api_version: str, kind: str, name: str) -> None:
    assert message_of(api_version, kind) == name


def test_a_kind_without_a_message_is_not_written() -> None:
    with pytest.raises(LookupError, match=r"example.com/v1 Widget"):
        encode({"apiVersion": "example.com/v1", "kind": "Widget"})


def test_a_list_is_one_message_of_its_items() -> None:
    items = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in ("a", "b")]
    parts = list_parts({"resourceVersion": "7"}, map(message, items))
    body = list_head("v1", "NamespaceList", sum(map(len, parts))) + b"".join(parts) + LIST_TAIL
    assert body == envelope("v1", "NamespaceList", b"".join(parts))
    assert b"".join(parts) == (b"\x0a\x03\x12\x017" + b"\x12\x05\x0a\x03\x0a\x01a" + b"\x12\x05\x0a\x03\x0a\x01b")


def test_an_event_of_a_watch_says_its_length() -> None:
    body = encode({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a"}})
    frame = watch_frame("ADDED", body)
    assert struct.unpack(">I", frame[:4]) == (len(frame) - 4,)
    assert frame[4:] == b"\x0a\x05ADDED\x12" + varint(len(body) + 2) + b"\x0a" + varint(len(body)) + body


def test_schemas_of_custom_resources_are_read_back() -> None:
    document: dict[str, Any] = {
        "$ref": "#/x",
        "type": "object",
        "minimum": 0.0,
        "default": {"a": [1, None]},
        "x-kubernetes-preserve-unknown-fields": False,
        "x-kubernetes-list-map-keys": ["a"],
        "additionalProperties": {"type": "string"},
        "properties": {
            "one": {"items": {"type": "integer"}, "additionalProperties": False},
            "many": {"items": [{"type": "string"}, {"type": "number"}], "additionalItems": True},
            "needs": {"dependencies": {"a": ["b", "c"], "d": {"type": "string"}}},
        },
    }
    version = {"name": "v1", "served": False, "storage": True, "schema": {"openAPIV3Schema": document}}
    names = {"plural": "widgets", "kind": "Widget"}
    found = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "spec": {"group": "example.com", "scope": "Cluster", "names": names, "versions": [version]},
    }
    assert decode(encode(found)) == found


def test_nothing_is_nested_too_deep_to_be_refused() -> None:
    document: dict[str, Any] = {"type": "object"}
    for _ in range(2000):
        document = {"not": document}
    version = {"name": "v1", "schema": {"openAPIV3Schema": document}}
    with pytest.raises(LookupError, match="nested too deep"):
        encode(
            {
                "apiVersion": "apiextensions.k8s.io/v1",
                "kind": "CustomResourceDefinition",
                "spec": {"versions": [version]},
            }
        )


def _members(name: str) -> dict[str, Field]:
    """What may stand in the document of a message: that of inlined messages too."""
    found: dict[str, Field] = {}
    for field in fields(name).values():
        found |= _members(field.type) if field.inline else {field.name: field}
    return found


def test_every_published_field_has_a_number_and_a_type() -> None:
    missing = []
    checked = 0
    published = orjson.loads(resources.files("navarch.kinds").joinpath("definitions.json").read_bytes())
    for name, definition in published.items():
        group, version, kind = name.split(".")[-3:]
        known = message_of(version if group == "core" else f"{group}/{version}", kind)
        if not known or not name.startswith("io.k8s.api.") or not definition.get("properties"):
            continue
        checked += 1
        members = _members(known)
        for member, about in definition["properties"].items():
            if member in ("apiVersion", "kind") and "metadata" in definition["properties"]:
                continue
            if member not in members:
                missing.append(f"{name}.{member}")
            elif ("array" in (about.get("type") or ())) != members[member].repeated:
                missing.append(f"{name}.{member} is a list in one only")
    assert missing == []
    assert checked > 400


def test_bytes_and_times_keep_what_they_say() -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "data": {"a": "AP8=", "b": ""}, "immutable": False}
    assert decode(encode(secret)) == secret
    lease = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"creationTimestamp": "1969-12-31T23:59:59Z"},
        "spec": {"holderIdentity": "", "renewTime": "2026-01-01T00:00:00.000001Z", "leaseTransitions": 0},
    }
    assert decode(encode(lease)) == lease
    assert orjson.loads(orjson.dumps(lease)) == lease
