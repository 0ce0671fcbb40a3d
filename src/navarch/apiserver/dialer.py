"""The seam through which streams and questions reach a node's agent."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from navarch.wire.message import Response, Tunnel


class Declined(Exception):
    """Whoever was asked for an upgraded connection gave an ordinary answer instead."""

    def __init__(self, response: Response) -> None:
        super().__init__(f"answered {response.status}")
        self.response = response


class NodeDialer(Protocol):
    """How logs, exec, attach, port-forward and metrics get to the node that has the pod.

    The agent answers the paths of a kubelet: `/containerLogs/{ns}/{pod}/{container}`, `/exec/{ns}/{pod}/{container}`,
    `/attach/…`, `/portForward/{ns}/{pod}`, `/stats/summary`, `/healthz`, each on an authenticated port; and one of our
    own, `/podProxy/{ns}/{pod}/{scheme}/{port}/…` and `/nodeProxy/{scheme}/{port}/…`, which hand a request on to a port
    of a pod or of the node, because a server need not be in the pods' network.
    """

    async def request(
        self,
        node: str,
        method: str,
        target: str,
        headers: Sequence[tuple[str, str]] = (),
        body: bytes | AsyncIterator[bytes] = b"",
        *,
        insecure: bool = False,
    ) -> Response:
        """A plain request; its body may be a stream, and the response's too (`logs -f`). insecure: whoever answers is
        believed.

        Raises:
            base.errors.Unavailable: the node has no reachable agent.
        """
        ...

    async def upgrade(
        self, node: str, target: str, headers: Sequence[tuple[str, str]]
    ) -> tuple[int, Sequence[tuple[str, str]], Tunnel]:
        """An upgraded connection: the agent's status (101) and headers, and the bytes that follow.

        Raises:
            base.errors.Unavailable: the node has no reachable agent.
            Declined: the agent, or who it handed the request on to, did not upgrade.
        """
        ...
