"""What the nodes are asked for, through the API server: it alone reaches the ports of all agents.

Needs the right to create `nodes/proxy`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from navarch.app.netcheck.probes import Finding, Hop
from navarch.base.errors import ApiError, Forbidden, NotFound, Retryable
from navarch.client.client import Client

TURNS = 24
"""Questions that are asked at once."""


class Nodes:
    """who: names this check to the nodes, so that it ends what it began and nothing else."""

    def __init__(self, client: Client, who: str) -> None:
        self._client = client
        self._who = who
        self._turns = asyncio.Semaphore(TURNS)

    async def answering(self, nodes: Sequence[str]) -> tuple[list[str], list[Finding]]:
        """Which of them have an agent that sends probes. Raises: Forbidden."""
        async with asyncio.TaskGroup() as group:
            tasks = {node: group.create_task(self._silence(node)) for node in nodes}
        silent = {node: task.result() for node, task in tasks.items()}
        hops = {node: (Hop("agent", node),) for node in nodes}
        remedy = "see that the agent runs there, that the API server reaches its port, and that it is of this version"
        found = [
            Finding(
                hops[node],
                node,
                f"the agent of node {node} sends no probes: {why}",
                remedy,
                (f"node {node}: not tried",),
            )
            for node, why in silent.items()
            if why
        ]
        return [node for node in nodes if not silent[node]], found

    async def _silence(self, node: str) -> str:
        try:
            await self._do(node, {"do": "stop"})
        except Forbidden as error:
            raise error
        except NotFound:
            return "it knows no probes"
        except (ApiError, Retryable) as error:
            return str(error)
        return ""

    async def listen(self, node: str, pod: str, tcp: Sequence[int], udp: Sequence[int]) -> Mapping[str, Sequence[int]]:
        """The ports that it came to. Raises: ApiError, Retryable."""
        found: Mapping[str, Sequence[int]] = await self._do(node, {"do": "listen", "pod": pod, "tcp": tcp, "udp": udp})
        return found

    async def send(self, node: str, pod: str, probes: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
        """Raises: ApiError, Retryable."""
        found: Sequence[Mapping[str, Any]] = await self._do(node, {"do": "send", "pod": pod, "probes": probes})
        return found

    async def state(
        self, node: str, pods: Sequence[str], fronts: Sequence[Any], routes: Sequence[str]
    ) -> Mapping[str, Any]:
        """{} of one that does not answer."""
        try:
            asked = {"do": "state", "pods": pods, "fronts": fronts, "routes": routes}
            found: Mapping[str, Any] = await self._do(node, asked)
        except (ApiError, Retryable):
            return {}
        return found

    async def stop(self, node: str) -> None:
        """End what listens there for this check. Raises: ApiError, Retryable."""
        await self._do(node, {"do": "stop"})

    async def _do(self, node: str, asked: Mapping[str, Any]) -> Any:
        async with self._turns:
            path = f"/api/v1/nodes/{node}/proxy/netcheck"
            return orjson.loads(await self._client.raw("POST", path, {**asked, "who": self._who}))
