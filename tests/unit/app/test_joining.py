"""The parts of joining and leaving that need no server."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from navarch.app import cidr, enrolment, identity, joining, leaving, machine, tokens
from navarch.app.layout import Layout, Settings, save_settings
from navarch.app.provision import NotProvisioned
from navarch.app.upkeep import Upkeep
from navarch.base.clock import SeededIds, SystemClock, SystemIds
from navarch.base.errors import NotFound, TooMany
from navarch.base.pki import Authority, Pair
from navarch.cli import lifecycle, membership
from navarch.client.client import ObjectList
from navarch.kinds import NODE, POD
from navarch.kinds.object import Object

SETTINGS = Settings("guest", "192.0.2.7", server="https://192.0.2.1:6443")


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("192.0.2.1", "https://192.0.2.1:6443"),
        ("192.0.2.1:7443", "https://192.0.2.1:7443"),
        ("https://api.example:7443/", "https://api.example:7443"),
        ("https://[2001:db8::1]:7443", "https://[2001:db8::1]:7443"),
    ],
)
def test_how_a_server_may_be_written(text: str, url: str) -> None:
    assert joining.server_url(text) == url


@pytest.mark.parametrize("text", ["", "http://192.0.2.1", "https://", "https://a/b", "https://a:b", "https://a?b=c"])
def test_what_is_no_server(text: str) -> None:
    with pytest.raises(ValueError):
        joining.server_url(text)


@pytest.mark.parametrize("hash_", ["sha256:12", "md5:" + "0" * 64, "0" * 64])
def test_what_is_no_hash(hash_: str) -> None:
    with pytest.raises(ValueError, match="no hash"):
        membership.invitation("192.0.2.1", "", hash_, "", "")


def test_random_tokens_are_tokens() -> None:
    found = {tokens.new_text(SystemIds()) for _ in range(50)}
    assert len(found) == 50
    assert all(tokens.make(text, SystemClock().now()).text == text for text in found)


def test_a_certificate_is_due_by_its_share_or_when_it_says_something_else(tmp_path: Path) -> None:
    layout, clock = Layout(tmp_path / "data", tmp_path / "run"), SystemClock()
    client, serving = enrolment.wanted(SETTINGS)
    assert enrolment.due_at(layout, SETTINGS, client, 0.7) == enrolment.NOW
    authority = Authority.create("tests", clock, SystemIds())
    enrolment.keep(layout, client.file, authority.client("system:node:guest", ["system:nodes"]))
    due = enrolment.due_at(layout, SETTINGS, client, 0.7)
    assert timedelta(days=250) < due - clock.now() < timedelta(days=260)
    assert enrolment.due_at(layout, SETTINGS, client, 0.5) < due
    enrolment.keep_for_now(layout, clock, SystemIds())
    assert enrolment.due_at(layout, SETTINGS, serving, 0.7) == enrolment.NOW
    enrolment.keep(layout, serving.file, authority.server("system:node:guest", ["guest", "192.0.2.7"]))
    assert enrolment.due_at(layout, SETTINGS, serving, 0.7) > clock.now()
    moved = SETTINGS.having(node_ip="192.0.2.8")
    assert enrolment.due_at(layout, moved, enrolment.wanted(moved)[1], 0.7) == enrolment.NOW
    found = identity.pair(layout, serving.file)
    other = identity.pair(layout, client.file)
    enrolment.keep(layout, serving.file, Pair(found.certificate, other.key))
    assert enrolment.due_at(layout, SETTINGS, serving, 0.7) == enrolment.NOW, "they do not belong together"


class _Hours:
    """Time that passes only in sleep."""

    def __init__(self, sleeps: int) -> None:
        self.slept: list[float] = []
        self._sleeps = sleeps
        self._start = SystemClock().now()

    def now(self) -> Any:
        return self._start + timedelta(seconds=sum(self.slept))

    def monotonic(self) -> float:
        return sum(self.slept)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if len(self.slept) == self._sleeps:
            raise asyncio.CancelledError


def test_what_is_due_is_asked_for_again_and_again_until_it_is_there(tmp_path: Path) -> None:
    layout, clock = Layout(tmp_path / "data", tmp_path / "run"), _Hours(6)
    authority = Authority.create("tests", SystemClock(), SystemIds())
    made: list[str] = []

    async def ask(where: Layout) -> None:
        made.append("asked")
        if made.count("asked") == 3:
            enrolment.keep(layout, "agent-client", authority.client("system:node:guest", ["system:nodes"]))
            enrolment.keep(layout, "agent", authority.server("system:node:guest", ["guest", "192.0.2.7"]))

    upkeep = Upkeep(layout, SETTINGS, clock, SeededIds(1), ask, lambda: made.append("told"))
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(upkeep.run())
    assert made == ["asked", "told"] * 3
    assert clock.slept == [1.0, 2.0, *[12 * 3600.0] * 4]


def test_where_addresses_of_pods_come_from(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "data", tmp_path / "run")
    assert cidr.known(layout, SETTINGS) == ""
    assert cidr.known(layout, SETTINGS.having(server="")) == "10.244.0.0/24"

    class Nodes:
        given = "10.244.3.0/24"
        away = False

        async def get(self, kind: Any, namespace: str, name: str) -> Object:
            if self.away:
                raise NotFound(f"nodes {name} not found")
            spec = {"podCIDR": self.given, "podCIDRs": [self.given]} if self.given else {}
            return Object.of(NODE, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "spec": spec})

    nodes: Any = Nodes()
    assert asyncio.run(cidr.ask(nodes, layout, SETTINGS)) == "10.244.3.0/24"
    assert machine.pod_network(layout, SETTINGS).gateway == "10.244.3.1"
    nodes.away = True
    assert asyncio.run(cidr.ask(nodes, layout, SETTINGS)) == "10.244.3.0/24", "as it was"
    nodes.away, nodes.given = False, "10.244.4.0/24"
    assert asyncio.run(cidr.ask(nodes, layout, SETTINGS)) == "10.244.4.0/24"
    assert cidr.known(layout, SETTINGS) == "10.244.4.0/24"


def test_what_runs_on_a_machine_that_joined(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "data", tmp_path / "run")
    joined = machine.process_list(layout, ["containerd"], server=False)
    assert [process.name for process in joined] == ["containerd", "agent"]
    assert joined[-1].needs == ("containerd",)
    assert [process.name for process in machine.process_list(layout, ["containerd"])] == [
        "containerd",
        "server",
        "agent",
    ]
    assert machine.door(layout) == layout.server_socket


def test_a_machine_that_joined_has_no_cluster_of_its_own(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "data", tmp_path / "run")
    lifecycle.refuse_joined(layout)
    save_settings(layout, SETTINGS.having(server=""))
    lifecycle.refuse_joined(layout)
    with pytest.raises(NotProvisioned, match="cluster of its own"):
        joining.joined(layout, "https://192.0.2.1:6443")
    save_settings(layout, SETTINGS)
    with pytest.raises(NotProvisioned, match="has joined https"):
        lifecycle.refuse_joined(layout)


def test_a_machine_that_only_began_to_join_can_leave_too(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "data", tmp_path / "run")
    assert not leaving.began(layout)
    layout.pki.mkdir(parents=True)
    (layout.pki / "ca.crt").touch()
    assert leaving.began(layout)
    (layout.pki / "ca.key").touch()
    assert not leaving.began(layout), "it has the authority itself: it is a server"


def pod(name: str, owner: str = "", phase: str = "Running", **metadata: Any) -> Object:
    if owner:
        metadata["ownerReferences"] = [
            {"apiVersion": "apps/v1", "kind": owner, "name": "o", "uid": "o", "controller": True}
        ]
    meta = {"name": name, "namespace": "default", "uid": name, **metadata}
    return Object.of(POD, {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {}, "status": {"phase": phase}})


def test_which_pods_are_moved() -> None:
    assert leaving.moves(pod("alone"))
    assert leaving.moves(pod("one", "ReplicaSet", "Pending"))
    assert not leaving.moves(pod("daemon", "DaemonSet"))
    assert not leaving.moves(pod("done", phase="Succeeded"))
    assert not leaving.moves(pod("static", annotations={"kubernetes.io/config.mirror": "x"}))


class _Pods:
    """budget: how many evictions are refused first."""

    def __init__(self, budget: int, *pods: Object) -> None:
        self.budget = budget
        self.pods = list(pods)

    async def list(self, kind: Any, namespace: str = "", *, fields: str) -> ObjectList:
        assert fields == "spec.nodeName=guest"
        return ObjectList(tuple(self.pods), 1)

    async def post(self, kind: Any, namespace: str, name: str, subresource: str, document: Any) -> None:
        assert subresource == "eviction"
        if self.budget:
            self.budget -= 1
            raise TooMany("Cannot evict pod as it would violate the pod's disruption budget.")
        self.pods = [one for one in self.pods if one.name != name]


def test_a_drain_asks_again_until_the_budget_lets_it() -> None:
    said: list[str] = []
    pods: Any = _Pods(2, pod("a"), pod("b", "ReplicaSet"), pod("c", "DaemonSet"))
    asyncio.run(leaving.drain(pods, "guest", _Hours(1000), said.append, 60))
    assert [one.name for one in pods.pods] == ["c"]
    assert said[0] == "2 pods left"


def test_a_drain_that_does_not_end_says_why() -> None:
    pods: Any = _Pods(10**6, pod("a"))
    with pytest.raises(NotProvisioned, match=r"default/a: .*disruption budget.*--now"):
        asyncio.run(leaving.drain(pods, "guest", _Hours(1000), lambda text: None, 10))
