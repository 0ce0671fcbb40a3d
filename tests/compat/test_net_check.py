"""`navarch net check` against a library cluster: what it sets up is there while it runs and gone after it, and what its
nodes' programs answer is judged. Here a client answers for the nodes, which are simulated."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import navarch
from navarch.app.netcheck.act import CannotCheck, Wish, check
from navarch.app.netcheck.probes import Report
from navarch.app.netcheck.stage import LABEL
from navarch.app.nettrace.question import question
from navarch.base.clock import SystemClock, SystemIds
from navarch.base.errors import NotFound
from navarch.cli.main import app
from navarch.client.http import HttpClient
from navarch.client.target import read_kubeconfig
from navarch.kinds import NAMESPACE, POD
from tests.compat.shop import SHOP

Answer = Callable[[str, dict[str, Any]], dict[str, Any]]
"""From the node and a probe to what became of it."""


@pytest.fixture(scope="module")
def kubeconfig() -> Iterator[Path]:
    with navarch.Cluster(nodes=2) as c:
        c.apply(SHOP)
        for pod in ("front", "web"):
            c.wait(f"pod/{pod}", "Ready")
        yield c.kubeconfig


class Agents(HttpClient):
    """A client by which nodes answer. seen: what they were asked for."""

    def __init__(self, kubeconfig: Path, answer: Answer, missing: tuple[str, ...] = ()) -> None:
        super().__init__(read_kubeconfig(kubeconfig, ""), "test")
        self._answer = answer
        self._missing = missing
        self.seen: list[tuple[str, str]] = []
        self.spaces: set[str] = set()

    async def raw(self, method: str, path: str, body: Any = None) -> bytes:
        node = path.split("/")[4]
        if node in self._missing:
            raise NotFound("the agent serves nothing at /netcheck")
        self.seen.append((node, body["do"]))
        self.spaces.update(one.name for one in (await self.list(NAMESPACE, labels=f"{LABEL}=true")).items)
        match body["do"]:
            case "listen":
                return json.dumps({"tcp": [40000 for _ in body["tcp"]], "udp": []}).encode()
            case "send":
                return json.dumps([self._answer(node, probe) for probe in body["probes"]]).encode()
        return b"{}"


def fine(node: str, probe: dict[str, Any]) -> dict[str, Any]:
    if probe.get("port") == 8081 and probe["within_s"] == 1.0:
        return {"ok": False, "error": "timeout"}
    return {"ok": True, "seen": "192.0.2.1", "code": 0}


def run(kubeconfig: Path, answer: Answer, wish: Wish = Wish(), missing: tuple[str, ...] = ()) -> tuple[Report, Agents]:
    async def act() -> tuple[Report, Agents]:
        async with Agents(kubeconfig, answer, missing) as client:
            report = await check(client, SystemClock(), SystemIds(), wish, lambda text: None)
            left = (await client.list(NAMESPACE, labels=f"{LABEL}=true")).items
            assert left == []
            assert [one for one in (await client.list(POD)).items if one.namespace != "default"] == []
            return report, client

    return asyncio.run(act())


def named(report: Report) -> list[tuple[str, str]]:
    return [(each.hops[0].kind, each.node) for each in report.findings]


def test_probes_are_sent_from_pods_of_its_own_which_are_gone_afterwards(kubeconfig: Path) -> None:
    report, client = run(kubeconfig, fine)
    assert {probe.group for probe, _ in report.results} > {"pod to pod on another node", "endpoint of a service"}
    assert (report.sound, report.nodes) == (True, ["node-0", "node-1"])
    assert len(client.spaces) == 1
    assert {what for _, what in client.seen} == {"stop", "listen", "send"}
    assert client.seen[-1][1] == "stop"


def test_a_failure_is_named_and_a_path_that_was_asked_for_is_tried(kubeconfig: Path) -> None:
    def answer(node: str, probe: dict[str, Any]) -> dict[str, Any]:
        return {"ok": False, "error": "refused"} if probe.get("port") == 9 else fine(node, probe)

    asked = {"x": question("default/front", "pod/web", port="9")}
    report, _ = run(kubeconfig, answer, Wish(asked=asked))
    [one] = [each for each in report.findings if each.hops[0].kind == "asked"]
    assert "by the rules it arrives" in one.text
    assert not report.sound


def test_a_node_whose_agent_knows_no_probes_is_told_and_the_others_are_checked(kubeconfig: Path) -> None:
    report, _ = run(kubeconfig, fine, missing=("node-1",))
    assert ("agent", "node-1") in named(report)
    assert report.nodes == ["node-0"]


def test_what_fails_while_it_is_set_up_leaves_nothing(kubeconfig: Path) -> None:
    class Failing(Agents):
        async def raw(self, method: str, path: str, body: Any = None) -> bytes:
            if body["do"] == "listen":
                raise RuntimeError("planted")
            return await super().raw(method, path, body)

    async def act() -> None:
        async with Failing(kubeconfig, fine) as client:
            with pytest.raises(ExceptionGroup):
                await check(client, SystemClock(), SystemIds(), Wish(), lambda text: None)
            assert (await client.list(NAMESPACE, labels=f"{LABEL}=true")).items == []

    asyncio.run(act())


def test_an_interruption_leaves_nothing(kubeconfig: Path) -> None:
    async def act() -> None:
        begun = asyncio.Event()

        class Slow(Agents):
            async def raw(self, method: str, path: str, body: Any = None) -> bytes:
                if body["do"] == "send":
                    begun.set()
                    await asyncio.Event().wait()
                return await super().raw(method, path, body)

        async with Slow(kubeconfig, fine) as client:
            async with asyncio.TaskGroup() as group:
                task = group.create_task(check(client, SystemClock(), SystemIds(), Wish(), lambda text: None))
                await begun.wait()
                task.cancel()
            assert task.cancelled()
            assert (await client.list(NAMESPACE, labels=f"{LABEL}=true")).items == []

    asyncio.run(act())


def test_nodes_that_are_not_there_are_refused(kubeconfig: Path) -> None:
    with pytest.raises(CannotCheck, match="there is no node nowhere; there are node-0, node-1"):
        run(kubeconfig, fine, Wish(nodes=("nowhere",)))


def test_on_simulated_nodes_it_says_that_nothing_can_be_checked(kubeconfig: Path) -> None:
    done = CliRunner().invoke(app, ["net", "check", f"--kubeconfig={kubeconfig}"], prog_name="navarch")
    assert done.exit_code == 2
    assert "no node of this cluster can send probes" in done.output.replace("\n         ", " ")
