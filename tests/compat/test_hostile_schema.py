"""A small, seeded share of what `.ci/soak hostile` sends: every operation of some groups."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from hostile_schema import groups, send
from hostile_server import HostileServer

CHOSEN = (
    "apis/apiextensions.k8s.io/v1",
    "apis/apps/v1",
    "apis/authorization.k8s.io/v1",
    "apis/autoscaling/v2",
    "apis/flowcontrol.apiserver.k8s.io/v1",
    "apis/networking.k8s.io/v1",
)
LIVEZ_S = 30.0
"""Generous: CI has two busy cores. What it really takes stands in `benchmarks/results/soak-hostile.json`."""


def test_made_up_requests_are_answered() -> None:
    with HostileServer() as server:
        assert set(CHOSEN) <= set(groups(server))
        sent = send(server, CHOSEN, examples=2, number=1)
        assert sent.faults == []
        assert server.bugs == {}
        assert sent.count > 200
        assert set(sent.codes) & {200, 201}
        assert set(sent.codes) & {400, 404, 422}
        assert sent.livez_worst_s < LIVEZ_S
