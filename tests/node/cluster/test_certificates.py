"""Certificates are made anew under what runs: a short slice of the scene that `.ci/soak rotations` plays in full."""

from __future__ import annotations

import json

import pytest
from real_cluster import Kubectl, navarch
from rotation import rotate

pytestmark = pytest.mark.node


def test_new_certificates_break_no_request_and_no_stream(kubectl: Kubectl) -> None:
    before = kubectl.get("node", json.loads(kubectl("get", "nodes", "-o", "json"))["items"][0]["metadata"]["name"])
    found = rotate(kubectl, 3)
    assert found.wrong == []
    assert (found.rotations, found.requests >= 6) == (3, True)
    listed = json.loads(navarch("certificates", "list", "-o", "json").stdout)["certificates"]
    assert {"ca", "apiserver", "agent", "agent-client", "admin"} <= {one["name"] for one in listed}
    after = kubectl.get("node", before["metadata"]["name"])
    ready = [one for one in after["status"]["conditions"] if one["type"] == "Ready"]
    assert ready[0]["status"] == "True"
