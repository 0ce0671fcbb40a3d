"""Requests as large as they may be, each made to cost much: refused with a Status, and others are answered meanwhile.

How soon they are answered is measured by `.ci/soak hostile`, which sends many more of them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "robustness"))

from heavy import Heavy, heavy
from hostile_server import HostileServer

LONG = ("YAML of many keys", "YAML of many items", "a strategic order")
"""What takes the server so long that others must have been answered meanwhile."""
LEAST_ANSWERED = 3
SOME = (
    "one to patch",
    "data of many keys",
    "wrong keys",
    "unknown fields",
    "labels",
    "managed",
    "containers",
    "wrong containers",
    "affinity",
    "a merge patch",
    "an applied map",
    "many expressions",
    "a schema of rules",
    "many requirements",
    "environment, completed",
    "environment, read in YAML, completed",
    "some expressions, completed",
)


@pytest.fixture(scope="module")
def server() -> Iterator[HostileServer]:
    with HostileServer() as running:
        account = "/api/v1/namespaces/default/serviceaccounts"
        assert running.ask("POST", account, b'{"metadata":{"name":"default"}}').status == 201
        yield running


@pytest.fixture(scope="module")
def requests() -> dict[str, Heavy]:
    return {one[0]: one for one in heavy() if one[0] in (*SOME, *LONG)}


def asked_beside(server: HostileServer, request: Heavy) -> tuple[int, int]:
    """The code of the answer, and how often `/livez` was answered before it came."""
    _, method, target, type_, body = request
    beside = 0
    with ThreadPoolExecutor(1) as sender:
        headers = {"accept": type_} if method == "GET" else {"content_type": type_}
        sent = sender.submit(server.ask, method, target, body, **headers)
        while not sent.done():
            assert server.lives()
            beside += not sent.done()
        answer = sent.result()
    if answer.status >= 400:
        assert (answer.document()["kind"], answer.document()["code"]) == ("Status", answer.status)
    return answer.status, beside


@pytest.mark.parametrize("name", [*SOME, *LONG])
def test_large_requests_are_answered_and_so_are_others(
    server: HostileServer, requests: dict[str, Heavy], name: str
) -> None:
    before = server.bugs
    status, beside = asked_beside(server, requests[name])
    assert status < 500
    assert name not in LONG or beside >= LEAST_ANSWERED
    assert server.bugs == before


def test_what_cannot_be_stored_is_too_large(server: HostileServer, requests: dict[str, Heavy]) -> None:
    status, _ = asked_beside(server, requests["containers"])
    assert status == 413
