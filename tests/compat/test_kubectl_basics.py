"""kubectl finds out what the server is and serves, and is refused as it should be."""

from __future__ import annotations

import json

from compat_server import Cluster


def test_version(cluster: Cluster) -> None:
    found = json.loads(cluster.kubectl("version", "-o", "json").stdout)
    assert found["serverVersion"]["gitVersion"].startswith("v1.36.")


def test_api_resources_and_versions(cluster: Cluster) -> None:
    text = cluster.kubectl("api-resources", "-o", "wide").stdout
    rows = {line.split()[0]: line for line in text.splitlines()}
    assert "deploy" in rows["deployments"]
    assert "apps/v1" in rows["deployments"]
    assert "all" in rows["pods"]
    assert "bindings" in rows
    versions = cluster.kubectl("api-versions").stdout.split()
    assert "v1" in versions
    assert "rbac.authorization.k8s.io/v1" in versions
