"""The kinds of the Gateway API as users of kubectl meet them: what the pages show is taken, shown, explained."""

from __future__ import annotations

import copy
import re
from pathlib import Path

import pytest
from compat_driver import Kubectl

from navarch.app.addons.gatewayapi import DEFINITIONS
from navarch.testing.cluster import RunningCluster

PAGES = Path(__file__).parents[2] / "docs" / "howto"
BLOCK = re.compile(r"^```(yaml|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SHIFTS = {"50": [50, 50], "green": [0, 1]}
"""What each patch of the page is known by, and the weights after it."""


@pytest.fixture(scope="module", autouse=True)
def defined(whole: RunningCluster) -> None:
    for definition in DEFINITIONS:
        whole.apply(copy.deepcopy(definition))
    for definition in DEFINITIONS:
        whole.wait(f"crd/{definition['metadata']['name']}", "Established")


def shown(page: str, language: str) -> list[str]:
    return [text for spoken, text in BLOCK.findall((PAGES / page).read_text()) if spoken == language]


def weights(kubectl: Kubectl) -> list[int]:
    found = kubectl.read("httproute", "web")
    return [backend["weight"] for backend in found["spec"]["rules"][0]["backendRefs"]]


def test_the_page_on_gateways_is_taken(newest_kubectl: Kubectl) -> None:
    [manifest] = shown("gateway.md", "yaml")
    newest_kubectl.apply(manifest)
    told = newest_kubectl("get", "gateways,httproutes")
    assert re.search(r"NAME +CLASS +ADDRESS +PROGRAMMED +AGE\n\S+/front +traefik +Unknown", told)
    assert re.search(r'/shop +\["shop.example"\]', told)
    revisions = ("get", "gateways,httproutes", "-o", "jsonpath={.items[*].metadata.resourceVersion}")
    before = newest_kubectl(*revisions)
    newest_kubectl.apply(manifest)
    assert newest_kubectl(*revisions) == before, "what is filled in does not come back as a change"
    assert newest_kubectl("get", "gtw", "-o", "name") == newest_kubectl("get", "gateway", "-o", "name")


def test_the_page_on_canaries_shifts_weights(newest_kubectl: Kubectl) -> None:
    route, rule = shown("canary.md", "yaml")
    newest_kubectl.apply(route)
    assert weights(newest_kubectl) == [90, 10]
    patches = [re.search(r"-p '(.*?)'", text, re.DOTALL) for text in shown("canary.md", "text")]
    for patch, (mark, after) in zip(patches, SHIFTS.items(), strict=True):
        assert patch
        assert mark in patch[1]
        newest_kubectl("patch", "httproute", "web", "--type=json", "-p", patch[1])
        assert weights(newest_kubectl) == after
    newest_kubectl.apply(f"{route.rstrip()}\n{rule}")
    assert len(newest_kubectl.read("httproute", "web")["spec"]["rules"]) == 2


def test_fields_are_explained_and_unknown_ones_refused(newest_kubectl: Kubectl) -> None:
    told = newest_kubectl("explain", "httproute.spec.rules.backendRefs.weight")
    assert "<integer>" in told
    assert "share" in newest_kubectl("explain", "httproute.spec.rules.backendRefs")
    [manifest] = shown("gateway.md", "yaml")
    refused = newest_kubectl.refused("apply", "-f", "-", stdin=manifest.replace("sectionName", "section"))
    assert 'unknown field "spec.parentRefs[0].section"' in refused
