"""Who measures nodes and pods on real machines: each node's agent, asked for its summary when somebody wants to know.

Source: https://kubernetes.io/docs/tasks/debug/debug-cluster/resource-metrics-pipeline/
"""

from __future__ import annotations

import asyncio

import msgspec

from navarch.agent.config import WINDOW
from navarch.apiserver.dialer import NodeDialer
from navarch.apiserver.meter import Amount, NodeUsage
from navarch.base.clock import parse_rfc3339
from navarch.base.errors import Unavailable
from navarch.wire.message import Response

TARGET = "/stats/summary?only_cpu_and_memory=true"
ANSWER_S = 10.0
"""An agent that was not asked for long measures twice, a second apart."""


class _Cpu(msgspec.Struct, rename="camel"):
    time: str
    usage_nano_cores: int = 0


class _Memory(msgspec.Struct, rename="camel"):
    working_set_bytes: int = 0


class _Container(msgspec.Struct, rename="camel"):
    name: str
    cpu: _Cpu
    memory: _Memory


class _Node(msgspec.Struct, rename="camel"):
    cpu: _Cpu
    memory: _Memory


class _PodRef(msgspec.Struct):
    uid: str


class _Pod(msgspec.Struct, rename="camel"):
    pod_ref: _PodRef
    containers: tuple[_Container, ...] = ()


class _Summary(msgspec.Struct):
    node: _Node
    pods: tuple[_Pod, ...] = ()


_decode = msgspec.json.Decoder(_Summary).decode


class AgentMeter:
    """Implements `apiserver.meter.Meter`."""

    def __init__(self, dialer: NodeDialer) -> None:
        self._dialer = dialer

    async def measure(self, node: str) -> NodeUsage:
        try:
            async with asyncio.timeout(ANSWER_S):
                answer = await self._dialer.request(node, "GET", TARGET)
                body = await _whole(answer)
        except TimeoutError as error:
            raise Unavailable(f"node {node} does not say within {ANSWER_S:g} s what it uses") from error
        if answer.status != 200:
            raise Unavailable(f"node {node} does not say what it uses: {answer.status} {body[:200]!r}")
        window = next((value for name, value in answer.headers if name.lower() == WINDOW.lower()), "0")
        return usage_of(body, window)


async def _whole(answer: Response) -> bytes:
    if isinstance(answer.body, bytes):
        return answer.body
    return b"".join([bytes(piece) async for piece in answer.body])


def usage_of(summary: bytes, window_s: str) -> NodeUsage:
    """Raises: Unavailable: that is no summary."""
    try:
        found = _decode(summary)
        at, over_s = parse_rfc3339(found.node.cpu.time), float(window_s)
    except (msgspec.MsgspecError, ValueError) as error:
        raise Unavailable(f"what a node says of its use cannot be read: {error}") from error
    pods = {pod.pod_ref.uid: {one.name: _amount(one.cpu, one.memory) for one in pod.containers} for pod in found.pods}
    return NodeUsage(at, over_s, _amount(found.node.cpu, found.node.memory), pods)


def _amount(cpu: _Cpu, memory: _Memory) -> Amount:
    return Amount(cpu.usage_nano_cores, memory.working_set_bytes)
