"""Who is let in at the agent's port, by which right, and what the others are told."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from navarch.agent.doorman import Doorman, rights
from navarch.agent.fake import FakeRuntime
from navarch.agent.kubelet import KubeletConfig
from navarch.agent.nodelogs import NodeLogs
from navarch.agent.nodepages import NodePages
from navarch.agent.port import Port
from navarch.base.clock import SeededIds, SystemClock
from navarch.base.errors import Retryable
from navarch.objects.value import Document
from navarch.wire.message import Peer, Request, Response


class Clock(SystemClock):
    moment_s = 0.0

    def monotonic(self) -> float:
        return self.moment_s


class Reviewer:
    """An API server that knows one token, and what its owner may do."""

    def __init__(self, *allowed: tuple[str, str, str]) -> None:
        self.allowed = set(allowed)
        self.asked: list[str] = []
        self.down = False

    async def post(self, kind: Any, namespace: str, name: str, subresource: str, document: Document) -> Document:
        if self.down:
            raise Retryable("no answer")
        self.asked.append(kind.name)
        spec = document["spec"]
        if kind.name == "TokenReview":
            user = {"username": "scraper", "groups": ["system:authenticated"], "uid": "7", "extra": {"a": ["b"]}}
            known = spec["token"] == "good"
            return {**document, "status": {"authenticated": known, **({"user": user} if known else {})}}
        wanted = spec["resourceAttributes"]
        assert (wanted["resource"], wanted["version"], wanted["name"]) == ("nodes", "v1", "n1")
        asked = (spec["user"], wanted["verb"], wanted["subresource"])
        return {**document, "status": {"allowed": asked in self.allowed}}


def request(path: str, method: str = "GET", token: str = "", peer: Peer | None = None) -> Request:
    headers = {"authorization": f"Bearer {token}"} if token else {}
    return Request(method, path, path, headers, peer=peer or Peer())


def port(reviewer: Reviewer, clock: Clock | None = None) -> Port:
    ticking = clock or Clock()
    runtime = FakeRuntime(ticking, SeededIds(1))
    nothing: Any = None
    client: Any = reviewer
    pages = NodePages(runtime, KubeletConfig(), tuple, NodeLogs(()))
    return Port(runtime, nothing, ticking, pages=pages, doorman=Doorman(client, "n1", ticking))


def ask(coroutine: Coroutine[Any, Any, Response]) -> tuple[int, bytes]:
    answer = asyncio.run(coroutine)
    assert isinstance(answer.body, bytes)
    return answer.status, answer.body


def test_nobody_is_let_in_without_a_name() -> None:
    for token in ("", "bad"):
        assert ask(port(Reviewer()).handle(request("/healthz", token=token))) == (401, b"Unauthorized")


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("metrics/cadvisor", ("metrics",)),
        ("stats/summary", ("stats",)),
        ("logs/syslog", ("log",)),
        ("pods", ("pods", "proxy")),
        ("runningpods", ("pods", "proxy")),
        ("healthz/ping", ("healthz", "proxy")),
        ("configz", ("configz", "proxy")),
        ("exec/default/web/main", ("proxy",)),
        ("containerLogs/default/web/main", ("proxy",)),
        ("metricsx", ("proxy",)),
        ("", ("proxy",)),
    ],
)
def test_every_path_has_its_right(path: str, wanted: tuple[str, ...]) -> None:
    assert rights(path.split("/")) == wanted


def test_the_own_right_or_the_proxys_opens_a_page() -> None:
    for right in ("pods", "proxy"):
        assert ask(port(Reviewer(("scraper", "get", right))).handle(request("/pods", token="good")))[0] == 200
    status, text = ask(port(Reviewer(("scraper", "get", "metrics"))).handle(request("/pods", token="good")))
    assert status == 403
    assert text == b"Forbidden (user=scraper, verb=get, resource=nodes, subresource(s)=[pods proxy])\n"


def test_the_verb_is_the_methods() -> None:
    only_get = Reviewer(("scraper", "get", "proxy"))
    status, text = ask(port(only_get).handle(request("/exec/default/web/main", "POST", "good")))
    assert (status, text.split(b",")[1]) == (403, b" verb=create")
    assert ask(port(only_get).handle(request("/healthz", "OPTIONS", "good")))[0] == 403


def test_a_certificate_names_its_user_and_a_master_needs_no_right() -> None:
    reviewer = Reviewer(("bob", "get", "healthz"))
    assert ask(port(reviewer).handle(request("/healthz", peer=Peer(common_name="bob")))) == (200, b"ok")
    assert reviewer.asked == ["SubjectAccessReview"]
    master = Peer(common_name="server", organizations=("system:masters",))
    assert ask(port(Reviewer()).handle(request("/healthz/ping", peer=master))) == (200, b"ok")


def test_what_only_the_api_server_may_ask_is_open_to_nobody_else() -> None:
    reviewer = Reviewer(("scraper", "get", "proxy"))
    assert ask(port(reviewer).handle(request("/nodeProxy/http/80/", token="good")))[0] == 403
    assert reviewer.asked == []


def test_answers_are_remembered_for_a_while() -> None:
    clock, reviewer = Clock(), Reviewer(("scraper", "get", "healthz"))
    door = port(reviewer, clock)

    def asked() -> list[str]:
        reviewer.asked.clear()
        ask(door.handle(request("/healthz", token="good")))
        return reviewer.asked

    assert asked() == ["TokenReview", "SubjectAccessReview"]
    assert asked() == []
    clock.moment_s = 121.0
    assert asked() == ["TokenReview"]
    clock.moment_s = 400.0
    assert asked() == ["TokenReview", "SubjectAccessReview"]


def test_a_silent_api_server_lets_nobody_in() -> None:
    reviewer = Reviewer(("scraper", "get", "healthz"))
    reviewer.down = True
    assert ask(port(reviewer).handle(request("/healthz", token="good")))[0] == 500
