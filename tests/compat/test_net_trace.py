"""`navarch net trace` against a cluster's own port: as whoever the kubeconfig says, and what it exits with."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

import navarch
from navarch.cli.main import app
from tests.compat.shop import SHOP

ONLY_FROM_THE_FRONT = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web}
spec: {podSelector: {matchLabels: {app: web}}, ingress: [{from: [{podSelector: {matchLabels: {app: front}}}]}]}
"""


@pytest.fixture(scope="module")
def kubeconfig() -> Iterator[Path]:
    with navarch.Cluster(nodes=2, frozen=True) as c:
        c.apply(SHOP + "---" + ONLY_FROM_THE_FRONT)
        for pod in ("front", "web"):
            c.wait(f"pod/{pod}", "Ready", leap_s=10)
        c.clock.advance(seconds=2)  # the endpoints follow
        yield c.kubeconfig


def trace(kubeconfig: Path | str, *words: str) -> Result:
    return CliRunner().invoke(app, ["net", "trace", f"--kubeconfig={kubeconfig}", *words], prog_name="navarch")


def test_the_list_is_aligned_and_the_code_says_whether_it_arrives(kubeconfig: Path) -> None:
    done = trace(kubeconfig, "pod/front", "web")
    assert done.exit_code == 0, done.output
    head, *lines = done.output.splitlines()
    assert head == "HOP        NODE          WHAT HAPPENS"
    assert [line.split()[:3] for line in lines[:8]] == [
        ["sender", "node-0", "ok"],
        ["name", "node-0", "ok"],
        ["service", "node-0", "ok"],
        ["endpoint", "node-1", "ok"],
        ["egress", "node-0", "ok"],
        ["route", "node-0", "ok"],
        ["ingress", "node-1", "ok"],
        ["receiver", "node-1", "ok"],
    ]
    assert lines[8:] == ["", "It arrives at pod default/web."]


def test_what_stops_it_is_told_with_what_to_do(kubeconfig: Path) -> None:
    done = trace(kubeconfig, "node/node-0", "svc/web")
    assert done.exit_code == 1
    assert "ingress      node-1   STOPS   pod default/web is isolated by default/web" in done.output
    assert "What to do: Add an ingress rule" in done.output
    found = json.loads(trace(kubeconfig, "world", "svc/web", "-o", "json").output)
    assert (found["fate"], found["steps"][-1]["hop"]) == ("stopped", "ingress")


def test_what_cannot_be_said_ends_with_2(kubeconfig: Path) -> None:
    done = trace(kubeconfig, "default/front", "example.com", "--port=443")
    assert (done.exit_code, "It cannot be said: example.com" in done.output) == (2, True)
    done = trace(kubeconfig, "pod/nobody", "web")
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("navarch: there is no pod 'nobody' in namespace default; there are front, web")


def test_names_are_of_the_contexts_namespace_unless_it_is_said(kubeconfig: Path, tmp_path: Path) -> None:
    config = yaml.safe_load(kubeconfig.read_text())
    config["contexts"][0]["context"]["namespace"] = "shop"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text(yaml.safe_dump(config))
    done = trace(elsewhere, "pod/front", "web")
    assert (done.exit_code, "there is no pod 'front' in namespace shop" in done.stderr) == (2, True)
    assert trace(elsewhere, "pod/front", "web", "--namespace=default").exit_code == 0


def test_whoever_may_not_read_is_told_so(kubeconfig: Path, tmp_path: Path) -> None:
    config = yaml.safe_load(kubeconfig.read_text())
    config["users"][0]["user"] = {}
    stranger = tmp_path / "stranger"
    stranger.write_text(yaml.safe_dump(config))
    done = trace(stranger, "pod/front", "web")
    assert done.exit_code == 2
    assert done.stderr.startswith("navarch: the cluster cannot be read: ")
    done = trace(tmp_path / "none", "pod/front", "web")
    assert (done.exit_code, "No such file" in done.stderr) == (2, True)
    done = trace(kubeconfig, "pod/front", "web", "--context=other")
    assert (done.exit_code, "has no context 'other'" in done.stderr) == (2, True)
