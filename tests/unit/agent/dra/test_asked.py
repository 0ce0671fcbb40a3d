"""Which claims a pod runs with, and when it may use them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from navarch.agent.dra.asked import Asked, ClaimFailure, Named, asks, checked, named, uses
from navarch.kinds.pod import Pod


def pod(spec: dict[str, Any], status: dict[str, Any] | None = None) -> Pod:
    meta = {"name": "p", "namespace": "ns", "uid": "pod-1"}
    return msgspec.convert({"metadata": meta, "spec": spec, "status": status or {}}, Pod)


def claim(**status: Any) -> dict[str, Any]:
    owner = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "pod-1", "controller": True}
    return {
        "metadata": {"name": "c", "namespace": "ns", "uid": "claim-1", "ownerReferences": [owner]},
        "status": status,
    }


RESERVED = [{"resource": "pods", "name": "p", "uid": "pod-1"}]
RESULTS = [{"driver": name, "pool": "n1", "device": "d", "request": "r"} for name in ("b.org", "a.org", "b.org")]
ALLOCATED = claim(reservedFor=RESERVED, allocation={"devices": {"results": RESULTS}})


def test_a_pod_runs_with_claims_that_it_names_and_that_were_made_for_it() -> None:
    claims = [
        {"name": "one", "resourceClaimName": "given"},
        {"name": "two", "resourceClaimTemplateName": "t"},
        {"name": "three", "resourceClaimTemplateName": "not-needed"},
        {"name": "again", "resourceClaimName": "given"},
    ]
    made = [{"name": "two", "resourceClaimName": "p-two-x"}, {"name": "three"}]
    wanted = [{"name": "one"}, {"name": "two", "request": "left"}, {"name": "three"}]
    found = pod(
        {"resourceClaims": claims, "containers": [{"name": "main", "resources": {"claims": wanted}}]},
        {"resourceClaimStatuses": made},
    )
    assert asks(found)
    assert named(found) == [Named("given", own=False), Named("p-two-x", own=True)]
    assert list(uses(found, found.spec.containers[0])) == [("given", ""), ("p-two-x", "left")]


def test_extended_resources_that_are_devices_of_drivers_are_a_claim_too() -> None:
    mappings = [
        {"containerName": "main", "resourceName": "example.com/lamp", "requestName": "container-0-request-0"},
        {"containerName": "other", "resourceName": "example.com/lamp", "requestName": "container-1-request-0"},
        {"containerName": "main", "resourceName": "example.com/none", "requestName": "container-0-request-1"},
    ]
    found = pod(
        {"containers": [{"name": "main", "resources": {"requests": {"example.com/lamp": "1"}}}]},
        {"extendedResourceClaimStatus": {"resourceClaimName": "p-ext", "requestMappings": mappings}},
    )
    assert asks(found)
    assert named(found) == [Named("p-ext", own=False)]
    assert list(uses(found, found.spec.containers[0])) == [("p-ext", "container-0-request-0")]


def test_most_pods_ask_for_none() -> None:
    found = pod({"containers": [{"name": "main"}]})
    assert not asks(found)
    assert named(found) == []
    assert list(uses(found, found.spec.containers[0])) == []


def test_a_claim_that_is_to_be_made_is_waited_for() -> None:
    with pytest.raises(ClaimFailure, match="Pod ns/p: ResourceClaim not created yet"):
        named(pod({"resourceClaims": [{"name": "one", "resourceClaimTemplateName": "t"}]}))


def test_a_claim_may_be_used_once_it_is_reserved_and_has_devices() -> None:
    assert checked(pod({}), ALLOCATED, own=True) == Asked("ns", "c", "claim-1", ("b.org", "a.org"))
    nothing = claim(reservedFor=RESERVED, allocation={})
    assert checked(pod({}), nothing, own=False).drivers == ()


@pytest.mark.parametrize(
    ("found", "own", "words"),
    [
        (claim(), False, r"pod p \(pod-1\) is not allowed to use ResourceClaim c \(claim-1\)"),
        (claim(reservedFor=[{"resource": "pods", "name": "p", "uid": "pod-0"}]), False, "is not allowed to use"),
        (claim(reservedFor=RESERVED), False, "ResourceClaim c: not allocated"),
        (
            {**ALLOCATED, "metadata": {**ALLOCATED["metadata"], "ownerReferences": []}},
            True,
            r"ResourceClaim ns/c was not created for Pod ns/p \(Pod is not owner\)",
        ),
    ],
)
def test_why_a_claim_may_not_be_used(found: dict[str, Any], own: bool, words: str) -> None:
    with pytest.raises(ClaimFailure, match=words):
        checked(pod({}), found, own=own)
