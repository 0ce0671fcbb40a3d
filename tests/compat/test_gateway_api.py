"""The kinds of the Gateway API as users of kubectl meet them: what the pages show is taken, shown, explained."""

from __future__ import annotations

import copy
import re
from pathlib import Path

import pytest
from compat_driver import Kubectl

from navarch.app.addons.gatewayapi import DEFINITIONS
from navarch.testing.cluster import RunningCluster

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "gateway.md"
FRONT = re.compile(r"^```yaml\n(# front.yaml\n.*?)^```$", re.MULTILINE | re.DOTALL)
"""The page's Gateway and routes; that requests go where they lead, and canaries', `tests/node/cluster` shows."""


@pytest.fixture(scope="module", autouse=True)
def defined(whole: RunningCluster) -> None:
    for definition in DEFINITIONS:
        whole.apply(copy.deepcopy(definition))
    for definition in DEFINITIONS:
        whole.wait(f"crd/{definition['metadata']['name']}", "Established")


@pytest.fixture(scope="module")
def manifest() -> str:
    [found] = FRONT.findall(PAGE.read_text())
    return str(found)


def test_the_page_on_gateways_is_taken(newest_kubectl: Kubectl, manifest: str) -> None:
    newest_kubectl.apply(manifest)
    told = newest_kubectl("get", "gateways,httproutes")
    assert re.search(r"NAME +CLASS +ADDRESS +PROGRAMMED +AGE\n\S+/front +traefik +Unknown", told)
    assert re.search(r'/shop +\["shop.example"\]', told)
    revisions = ("get", "gateways,httproutes", "-o", "jsonpath={.items[*].metadata.resourceVersion}")
    before = newest_kubectl(*revisions)
    newest_kubectl.apply(manifest)
    assert newest_kubectl(*revisions) == before, "what is filled in does not come back as a change"
    assert newest_kubectl("get", "gtw", "-o", "name") == newest_kubectl("get", "gateway", "-o", "name")


def test_fields_are_explained_and_unknown_ones_refused(newest_kubectl: Kubectl, manifest: str) -> None:
    told = newest_kubectl("explain", "httproute.spec.rules.backendRefs.weight")
    assert "<integer>" in told
    assert "share" in newest_kubectl("explain", "httproute.spec.rules.backendRefs")
    refused = newest_kubectl.refused("apply", "-f", "-", stdin=manifest.replace("sectionName", "section"))
    assert 'unknown field "spec.parentRefs[0].section"' in refused
