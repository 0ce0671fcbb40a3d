"""The page of `navarch net check`, executed on three nodes: the fault that it plants is found, and gone after it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from real_cluster import Kubectl, until
from shell import play_on

pytestmark = pytest.mark.node

PLANTED = ("nft", "delete", "table", "ip", "example")


def test_the_page_of_the_check(three_hosts: Path, kubectl: Kubectl, tmp_path: Path) -> None:
    try:
        play_on(three_hosts, kubectl.namespace, "howto/check-the-network", tmp_path)
    finally:
        left = subprocess.run(PLANTED, capture_output=True, timeout=60)
    assert left.returncode != 0, "the page leaves its rules on the machine"
    until("its namespaces to be gone", lambda: "navarch-net-check" not in kubectl("get", "namespaces", "-o", "name"))
