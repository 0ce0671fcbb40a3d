"""What one write costs in the pure rooms: decoding, ownership, patches.

Microseconds of CPU for one call, the best of five runs, on a pod of about 2 kB whose template was seen before.
"""

from __future__ import annotations

import json
import timeit
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import orjson

from navarch.kinds import schema, schema_check
from navarch.objects import apply, patch, selector
from navarch.wire import protobuf, protobuf_encode

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def container(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "image": "registry/web:1",
        "ports": [{"containerPort": 80, "protocol": "TCP"}],
        "env": [
            {"name": "A", "value": "b"},
            {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
        ],
        "resources": {"limits": {"cpu": "500m", "memory": "128Mi"}, "requests": {"cpu": "100m", "memory": "64Mi"}},
        "readinessProbe": {"httpGet": {"path": "/", "port": 80}, "periodSeconds": 5},
        "volumeMounts": [{"name": "v", "mountPath": "/v"}],
    }


def pod(name: str = "web-1") -> dict[str, Any]:
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "u", "controller": True}
    toleration = {"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "x", "labels": {"app": "web"}, "ownerReferences": [owner]},
        "spec": {
            "containers": [container("a"), container("b"), container("c")],
            "volumes": [{"name": "v", "emptyDir": {}}],
            "nodeSelector": {"a": "b"},
            "tolerations": [toleration, {**toleration, "key": "b"}],
        },
    }


def measure() -> dict[str, float]:
    shape = schema.definition("io.k8s.api.core.v1.Pod")
    document, raw = pod(), orjson.dumps(pod())
    stored = apply.with_entries(document, apply.updated(None, document, shape, "kcm", "Update", "", "v1", NOW))
    ready = {**stored, "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}
    config = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web-1"}}
    config["spec"] = {"containers": [{"name": "a", "image": "registry/web:2"}]}
    once = apply.merge(stored, config, shape, "me", True, NOW)
    image = {"spec": {"containers": [{"name": "a", "image": "registry/web:2"}]}}
    labels = {"app": "web", "tier": "front"}
    chosen = selector.parse("app=web,tier in (front,back)")
    wrong = raw.replace(b'"image"', b'"imag"')
    packed = protobuf_encode.encode(document)

    def create() -> None:
        fresh, _ = schema_check.decode(shape, raw)
        apply.updated(None, fresh, shape, "kcm", "Update", "", "v1", NOW)

    def refuse() -> None:
        schema_check.decode(shape, wrong, "warn")

    calls: dict[str, Callable[[], object]] = {
        "decode_and_ownership_of_a_create": create,
        "decode": lambda: schema_check.decode(shape, raw),
        "decode_with_warnings": refuse,
        "ownership_of_a_create": lambda: apply.updated(None, document, shape, "kcm", "Update", "", "v1", NOW),
        "ownership_of_a_status": lambda: apply.updated(stored, ready, shape, "kl", "Update", "status", "v1", NOW),
        "apply_again": lambda: apply.merge(once, config, shape, "me", False, NOW),
        "apply_new": lambda: apply.merge(None, document, shape, "me", False, NOW),
        "merge_patch_of_a_label": lambda: patch.merge_patch(document, {"metadata": {"labels": {"x": "y"}}}),
        "strategic_patch_of_an_image": lambda: patch.strategic(document, image, shape),
        "selector_match": lambda: chosen.matches(labels),
        "protobuf_encode": lambda: protobuf_encode.encode(orjson.loads(raw)),
        "protobuf_decode": lambda: protobuf.decode(packed),
        "json_parse": lambda: orjson.loads(raw),
    }
    found = {"bytes": float(len(raw)), "protobuf_bytes": float(len(packed))}
    for name, call in calls.items():
        call()
        found[name] = round(min(timeit.repeat(call, number=1000, repeat=5)) * 1000, 2)
    return found


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
