"""Every golden object, and one good object of each kind, created in JSON and in protobuf and read back in both."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import orjson
import pytest
from compat_server import Cluster
from raw_driver import PROTOBUF, Answer, Raw
from test_every_kind import samples

from navarch.kinds import CUSTOMRESOURCEDEFINITION
from navarch.kinds.kind import Kind
from navarch.kinds.registry import DEFAULT
from navarch.wire.protobuf import decode
from navarch.wire.protobuf_encode import encode, message

GOLDEN = Path("/work/shared/reference/golden-objects.tar.gz")
GO = f"{PROTOBUF},application/json"
NAMESPACE = "golden-objects"
GIVEN = re.compile(rb"kube-api-access-\w{5}|10\.\d+\.\d+\.\d+|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
SETTLES = ("uid", "creationTimestamp", "resourceVersion", "managedFields")
"""What two objects that were made alike differ in."""


@pytest.fixture(scope="module")
def raw(cluster: Cluster) -> Iterator[Raw]:
    found = Raw(cluster)
    found.ask("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    found.ask("POST", f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts", {"metadata": {"name": "default"}})
    yield found
    found.close()


@cache
def golden() -> list[dict[str, Any]]:
    if not GOLDEN.exists():
        pytest.skip(f"{GOLDEN} is not here")
    with tarfile.open(GOLDEN) as archive:
        files = [archive.extractfile(member) for member in archive if member.name.endswith(".json")]
        return [orjson.loads(file.read()) for file in files if file is not None]


def stored(document: dict[str, Any]) -> Kind | None:
    kind = DEFAULT.named(document.get("apiVersion", ""), document.get("kind", ""))
    return kind if kind is not None and {"create", "get"} <= set(kind.verbs) else None


def path_of(kind: Kind) -> str:
    root = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
    return f"{root}/namespaces/{NAMESPACE}/{kind.plural}" if kind.namespaced else f"{root}/{kind.plural}"


def plain(value: Any) -> Any:
    """Without what protobuf has no way to say, nulls and lists and maps of nothing."""
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items() if inner is not None and inner != []}
    return [plain(inner) for inner in value] if isinstance(value, list) else value


def settled(answer: Answer) -> Any:
    """What the answer says, but for what differs between two alike."""
    found = decode(answer.body) if answer.body.startswith(b"k8s") else answer.document
    for name in SETTLES:
        found.get("metadata", {}).pop(name, None)
    if found.get("details", {}).get("causes"):  # in the order of the document, which the two forms have each their own
        for cause in found["details"]["causes"]:
            cause["message"] = "".join(sorted(cause["message"]))
        found["details"]["causes"].sort(key=lambda cause: (cause.get("field", ""), cause["message"]))
        found["message"] = "".join(sorted(found["message"]))
    return plain(found)


def alike(found: Any) -> Any:
    """Without the names, addresses and uids that the server gave out."""
    return orjson.loads(GIVEN.sub(b"given", orjson.dumps(found)))


def test_golden_objects_mean_the_same_in_both_forms(raw: Raw) -> None:
    """Most of them are refused, for their values are made up: then for the same reasons, in the same words."""
    count = 0
    for document in golden():
        kind = stored(document)
        if kind is None:
            continue
        count += 1
        adapted = {**document, "metadata": {"name": "made", "labels": {"a": "b"}, "finalizers": ["a.b/c"]}}
        path = f"{path_of(kind)}?dryRun=All"
        as_json = raw.ask("POST", path, adapted)
        as_protobuf = raw.ask("POST", path, encode(adapted), PROTOBUF, accept=GO)
        assert as_protobuf.headers["content-type"] == PROTOBUF
        one, other = settled(as_json), settled(as_protobuf)
        differ = [key for key in {**one, **other} if one.get(key) != other.get(key)]
        assert differ == [], (kind, [(one.get(key), other.get(key)) for key in differ])
        assert as_json.status == as_protobuf.status
        assert as_json.status in (201, 403, 422), as_json.body
    assert count > 55


def test_one_of_each_kind_is_created_and_read_back_in_both_forms(raw: Raw) -> None:
    count = 0
    for document in samples(NAMESPACE):
        kind = stored(document)
        if kind is None or kind is CUSTOMRESOURCEDEFINITION:
            continue
        count += 1
        path = path_of(kind)
        name = document["metadata"]["name"]
        made = []
        for body, type_ in ((document, "application/json"), (encode(document), PROTOBUF)):
            made.append(raw.ask("POST", path, body, type_))
            assert made[-1].status == 201, (kind, made[-1].body)
            at = f"{path}/{name}"
            as_json, as_protobuf = raw.ask("GET", at), raw.ask("GET", at, accept=GO)
            wanted = plain(as_json.document) | {"metadata": as_json.document["metadata"]}
            for claim in wanted.get("spec", {}).get("volumeClaimTemplates", ()):  # what stands inside has no type
                del claim["apiVersion"], claim["kind"]
            found = decode(as_protobuf.body)
            assert found == wanted, [
                (key, wanted[key], found.get(key)) for key in wanted if found.get(key) != wanted[key]
            ]
            assert as_protobuf.body == encode(as_json.document)
            listed = raw.ask("GET", path, accept=GO)
            assert listed.body.startswith(b"k8s\x00")
            assert message(as_json.document) in listed.body
            again = raw.ask("PUT", at, as_protobuf.body, PROTOBUF, accept=GO)
            assert again.status == 200, (kind, again.body)
            assert again.body == raw.ask("GET", at, accept=GO).body
            gone = raw.ask("DELETE", f"{at}?gracePeriodSeconds=0", encode(ORPHANING), PROTOBUF, accept=GO)
            assert gone.status == 200, (kind, gone.body)
            free(raw, at)
        assert alike(settled(made[0])) == alike(settled(made[1])), kind
    assert count > 45


ORPHANING = {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0, "propagationPolicy": "Background"}


def free(raw: Raw, at: str) -> None:
    """What protects an object is let go of: no controllers run here."""
    if raw.ask("GET", at).status == 200:
        raw.ask("PATCH", at, {"metadata": {"finalizers": None}}, "application/merge-patch+json")
        if raw.ask("GET", at).status == 200:
            raw.ask("PUT", f"{at}/finalize", {"metadata": {"name": at.rpartition("/")[2]}, "spec": {}})
    assert raw.ask("GET", at).status == 404, at
