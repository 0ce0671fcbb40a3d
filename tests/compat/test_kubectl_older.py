"""kubectl 1.32, the oldest that is tried, does the daily work."""

from __future__ import annotations

import json

import pytest
from compat_server import Cluster


def test_it_is_the_older_one(older: Cluster) -> None:
    found = json.loads(older.kubectl("version", "-o", "json").stdout)
    assert found["clientVersion"]["minor"] == "32"
    assert found["serverVersion"]["minor"] == "36"


def test_what_is_served(older: Cluster) -> None:
    assert "deployments" in older.kubectl("api-resources").stdout
    assert "imagePullPolicy" in older.kubectl("explain", "pod.spec.containers").stdout
    assert "maxSurge" in older.kubectl("explain", "deployment", "--recursive").stdout
    assert "imagePullPolicy" in (
        older.kubectl("explain", "pod.spec.containers", "--output", "plaintext-openapiv2").stdout
    )
    refused = older.kubectl("get", "nonsense", check=False)
    assert 'the server doesn\'t have a resource type "nonsense"' in refused.stderr


def test_rights(older: Cluster) -> None:
    assert "kubernetes-admin" in older.kubectl("auth", "whoami").stdout
    assert older.kubectl("auth", "can-i", "get", "pods", "--as", "bob", check=False).stdout.strip() == "no"
    older.kubectl("create", "namespace", "older-rights")
    older.kubectl("create", "serviceaccount", "robot", "-n", "older-rights")
    assert older.kubectl("create", "token", "robot", "-n", "older-rights").stdout.count(".") == 2


@pytest.mark.parametrize("way", [(), ("--server-side",)])
def test_objects_come_and_go(older: Cluster, way: tuple[str, ...]) -> None:
    namespace = f"older-{len(way)}"
    older.kubectl("create", "namespace", namespace)
    document = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "1"}}
    there = ("-n", namespace)
    assert "configmap/a" in older.kubectl("apply", *way, *there, "-f", "-", stdin=json.dumps(document)).stdout
    document["data"] = {"k": "2"}
    changed = older.kubectl("diff", *way, *there, "-f", "-", stdin=json.dumps(document), check=False)
    assert (changed.returncode, '+  k: "2"' in changed.stdout) == (1, True), changed.stderr
    older.kubectl("apply", *way, *there, "-f", "-", stdin=json.dumps(document))
    assert older.kubectl("get", "configmap", "a", *there, "-o", "jsonpath={.data.k}").stdout == "2"
    wrong = older.kubectl("apply", *way, *there, "-f", "-", stdin=json.dumps({**document, "nonsense": 1}), check=False)
    assert "nonsense" in wrong.stderr
    assert wrong.returncode == 1
    older.kubectl("label", "configmap", "a", "x=y", *there)
    assert "a      1" in older.kubectl("get", "configmap", "-l", "x=y", *there).stdout
    older.kubectl("delete", "configmap", "a", *there)
    assert "No resources found" in older.kubectl("get", "configmap", *there).stderr
