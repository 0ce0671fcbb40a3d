"""Ownership and patches on the published shapes: what upstream records for known objects, and golden round trips."""

import json
import tarfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from navarch.kinds import schema
from navarch.objects import apply
from navarch.objects.patch import merge_patch, strategic
from navarch.objects.shape import Shape

GOLDEN = Path("/work/shared/reference/golden-objects.tar.gz")
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
DEPLOYMENT = schema.definition("io.k8s.api.apps.v1.Deployment")
SERVICE = schema.definition("io.k8s.api.core.v1.Service")


def golden() -> list[tuple[Shape, dict[str, Any]]]:
    if not GOLDEN.exists():
        pytest.skip(f"the reference objects are not here: {GOLDEN}")
    found = []
    with tarfile.open(GOLDEN) as archive:
        for member in archive:
            if member.name.endswith(".json"):
                document = json.loads(archive.extractfile(member).read())  # type: ignore[union-attr]
                group, _, version = document.get("apiVersion", "").rpartition("/")
                try:
                    shape = schema.definition(schema.definition_name(group, version, document.get("kind", "")))
                except LookupError:
                    continue
                document.get("status", {}).pop("disruptedPods", None)  # holds a null, which is never stored
                if isinstance(document.get("metadata"), dict):
                    document["metadata"].pop("managedFields", None)
                    found.append((shape, document))
    return found


def deployment() -> dict[str, Any]:
    """As `kubectl create deployment` leaves it, after defaults."""
    container = {"name": "nginx", "image": "nginx", "resources": {}, "imagePullPolicy": "Always"}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default", "labels": {"app": "web"}},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": "web"}},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [container], "restartPolicy": "Always", "securityContext": {}},
            },
        },
        "status": {},
    }


def test_a_created_deployment_is_recorded_as_upstream_does() -> None:
    entries = apply.updated(None, deployment(), DEPLOYMENT, "kubectl-create", "Update", "", "apps/v1", NOW)
    assert [entry["fieldsV1"] for entry in entries] == [
        {
            "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
            "f:spec": {
                "f:replicas": {},
                "f:selector": {},
                "f:strategy": {"f:rollingUpdate": {".": {}, "f:maxSurge": {}, "f:maxUnavailable": {}}, "f:type": {}},
                "f:template": {
                    "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
                    "f:spec": {
                        "f:containers": {
                            'k:{"name":"nginx"}': {
                                ".": {},
                                "f:image": {},
                                "f:imagePullPolicy": {},
                                "f:name": {},
                                "f:resources": {},
                            }
                        },
                        "f:restartPolicy": {},
                        "f:securityContext": {},
                    },
                },
            },
        }
    ]


def test_service_ports_without_a_protocol_are_those_of_tcp() -> None:
    ports = [{"port": 80, "protocol": "TCP", "nodePort": 30000}, {"port": 80, "protocol": "UDP"}]
    live = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"ports": ports}}
    config = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}}
    assert apply.merge(live, config, SERVICE, "me", False, NOW)["spec"]["ports"] == ports


def test_applying_a_golden_object_gives_that_object_and_again_nothing_new() -> None:
    objects = golden()
    assert len(objects) > 80
    for shape, document in objects:
        once = apply.merge(None, document, shape, "me", False, NOW)
        assert apply.with_entries(once, []) == document
        again = apply.merge(once, document, shape, "me", False, NOW)
        assert again == once


def test_a_golden_object_cleared_by_its_applier_keeps_only_what_nobody_owned() -> None:
    for shape, document in golden():
        once = apply.merge(None, document, shape, "me", False, NOW)
        metadata = {"name": document["metadata"]["name"]}
        bare = {"apiVersion": document["apiVersion"], "kind": document["kind"], "metadata": metadata}
        left = apply.merge(once, bare, shape, "me", False, NOW)
        assert set(left) == {"apiVersion", "kind", "metadata"}
        assert set(left["metadata"]) <= {
            "name",
            "namespace",
            "uid",
            "creationTimestamp",
            "selfLink",
            "generation",
            "resourceVersion",
        }


def test_patching_a_golden_object_with_itself_changes_nothing() -> None:
    for shape, document in golden():
        assert merge_patch(document, document) is document
        assert strategic(document, document, shape) is document


def test_the_patch_of_kubectl_set_image() -> None:
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "nginx", "image": "nginx:2"}]}}}}
    before = deployment()
    patched = strategic(before, patch, DEPLOYMENT)
    container = patched["spec"]["template"]["spec"]["containers"][0]
    assert container == {"name": "nginx", "image": "nginx:2", "resources": {}, "imagePullPolicy": "Always"}
    assert patched["metadata"] is before["metadata"]


def test_the_patch_of_a_strategy_that_keeps_its_type_only() -> None:
    patch = {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}
    assert strategic(deployment(), patch, DEPLOYMENT)["spec"]["strategy"] == {"type": "Recreate"}
