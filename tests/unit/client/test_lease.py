"""One leader at a time, and signs of life that are judged by when they came."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any

import pytest

from navarch.base.clock import LoopClock
from navarch.base.errors import Retryable
from navarch.base.loop import SimulationLoop
from navarch.client.informer import Informers
from navarch.client.lease import LEASE_S, NODE_NAMESPACE, RENEW_S, Election, LeaseHeartbeats
from navarch.kinds import LEASE, NODE


def simulate(script: Callable[[LoopClock], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        await script(LoopClock(datetime(2030, 1, 1, tzinfo=UTC), asyncio.get_running_loop()))

    with asyncio.Runner(loop_factory=SimulationLoop) as runner:
        runner.run(main())


class Candidate:
    """Notes when it leads; `leading` is changed by nobody else."""

    def __init__(self, client: Any, clock: LoopClock, name: str, history: list[str]) -> None:
        self.leading = False
        self.name = name
        self._history = history
        self.election = Election(client, clock, "leader", name)

    async def lead(self) -> None:
        self.leading = True
        self._history.append(self.name)
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self.leading = False

    async def run(self) -> None:
        await self.election.run(self.lead)


class Severable:
    """A client whose link can be cut."""

    def __init__(self, client: Any) -> None:
        self.cut = False
        self._client = client

    def __getattr__(self, name: str) -> Any:
        if self.cut:
            raise Retryable("cut off")
        return getattr(self._client, name)


def test_one_leads_and_another_takes_over_when_it_steps_down(client: Any) -> None:
    async def script(clock: LoopClock) -> None:
        history: list[str] = []
        a, b = (Candidate(client, clock, name, history) for name in "ab")
        async with asyncio.TaskGroup() as group:
            first = group.create_task(a.run())
            await asyncio.sleep(1)
            second = group.create_task(b.run())
            await asyncio.sleep(120)
            assert (a.leading, b.leading) == (True, False)
            first.cancel()
            await asyncio.sleep(5)
            assert (a.leading, b.leading) == (False, True), "the lease was given back"
            spec = client.objects[(LEASE, "kube-system", "leader")].document()["spec"]
            assert (spec["holderIdentity"], spec["leaseTransitions"]) == ("b", 1)
            second.cancel()
        assert history == ["a", "b"]

    simulate(script)


def test_a_leader_that_is_cut_off_steps_down_before_another_takes_over(client: Any) -> None:
    async def script(clock: LoopClock) -> None:
        history: list[str] = []
        link = Severable(client)
        a, b = Candidate(link, clock, "a", history), Candidate(client, clock, "b", history)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(a.run())]
            await asyncio.sleep(1)
            tasks.append(group.create_task(b.run()))
            await asyncio.sleep(30)
            link.cut = True
            for _ in range(400):
                assert not (a.leading and b.leading)
                await asyncio.sleep(0.1)
            assert b.leading
            link.cut = False
            await asyncio.sleep(60)
            assert (a.leading, b.leading) == (False, True)
            for task in tasks:
                task.cancel()

    simulate(script)


def test_a_crashed_leaders_lease_runs_out(client: Any) -> None:
    spec = {"holderIdentity": "dead", "leaseDurationSeconds": 15, "renewTime": "2099-01-01T00:00:00.000000Z"}
    client.put(LEASE, {"metadata": {"name": "leader", "namespace": "kube-system"}, "spec": spec})

    async def script(clock: LoopClock) -> None:
        a = Candidate(client, clock, "a", [])
        async with asyncio.TaskGroup() as group:
            task = group.create_task(a.run())
            await asyncio.sleep(14)
            assert not a.leading
            await asyncio.sleep(4)
            assert a.leading, "its own clock says when, not the other's"
            task.cancel()

    simulate(script)


def test_work_that_fails_ends_the_election(client: Any) -> None:
    async def script(clock: LoopClock) -> None:
        async def broken() -> None:
            raise ZeroDivisionError

        with pytest.raises(ExceptionGroup) as error:
            await Election(client, clock, "leader", "a").run(broken)
        assert error.group_contains(ZeroDivisionError) if hasattr(error, "group_contains") else error.value
        assert client.objects[(LEASE, "kube-system", "leader")].document()["spec"]["holderIdentity"] == ""

    simulate(script)


def test_heartbeats_are_judged_by_when_they_came(client: Any) -> None:
    async def script(clock: LoopClock) -> None:
        client.put(NODE, {"metadata": {"name": "n", "uid": "u-n"}})
        informers = Informers(client, clock)
        control = LeaseHeartbeats(client, clock, informers.of(LEASE))
        node = LeaseHeartbeats(client, LoopClock(datetime(1999, 1, 1, tzinfo=UTC), asyncio.get_running_loop()))
        heard: list[str] = []
        control.listen(heard.append)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(informers.run())
            await informers.synced()
            assert control.last_seen("n") is None
            await asyncio.sleep(100)
            await node.renew("n")
            await asyncio.sleep(RENEW_S)
            assert heard == ["n"]
            seen = control.last_seen("n")
            assert seen is not None
            assert (clock.now() - seen).total_seconds() == RENEW_S
            await node.renew("n")
            await asyncio.sleep(0)
            await asyncio.sleep(0.001)
            assert (clock.now() - (control.last_seen("n") or seen)).total_seconds() < 1
            assert heard == ["n"], "an ordinary renewal is no news"
            document = client.objects[(LEASE, NODE_NAMESPACE, "n")].document()
            assert document["metadata"]["ownerReferences"][0]["uid"] == "u-n"
            assert document["spec"]["leaseDurationSeconds"] == LEASE_S
            running.cancel()

    simulate(script)
