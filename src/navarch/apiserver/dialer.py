"""The seam through which streams and questions reach a node's agent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from navarch.wire.message import Response, Tunnel


class NodeDialer(Protocol):
    """How logs, exec, attach, port-forward and metrics get to the node that has the pod.

    The agent answers the paths of a kubelet: `/containerLogs/{ns}/{pod}/{container}`, `/exec/{ns}/{pod}/{container}`,
    `/attach/…`, `/portForward/{ns}/{pod}`, `/stats/summary`, `/healthz`, each on an authenticated port; and one of our
    own, `/podProxy/{ns}/{pod}/{scheme}/{port}/…`, which hands a request on to a pod's port, because a server need not
    be in the pods' network.
    """

    async def request(
        self, node: str, method: str, target: str, headers: Sequence[tuple[str, str]] = (), body: bytes = b""
    ) -> Response:
        """A plain request; the response's body may be a stream (`logs -f`).

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
            base.errors.ApiError: the agent refused.
        """
        ...
