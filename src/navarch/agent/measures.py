"""The pages on the agent's port that tell what is used: `/stats/summary`, and what Prometheus reads.

`/metrics`, `/metrics/resource`, `/metrics/cadvisor` and `/metrics/probes`, as a kubelet has them. Measuring is the
business of `usage`; this only chooses the form.

Source: https://kubernetes.io/docs/reference/instrumentation/node-metrics/
"""

from __future__ import annotations

import resource
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from navarch.agent import exposition
from navarch.agent.config import WINDOW
from navarch.agent.summary import summary
from navarch.agent.usage import Gauges
from navarch.agent.vitals import Vitals
from navarch.agent.volumes.use import VolumeUse
from navarch.base.errors import NotFound
from navarch.wire.message import Request, Response

JSON = [("Content-Type", "application/json")]
METRICS = [("Content-Type", "text/plain; version=0.0.4; charset=utf-8")]


@dataclass(frozen=True, slots=True)
class Measures:
    """probed: what probes have said so far. vitals: what the agent counts of its own work. volumes: what is used of
    those that say it."""

    gauges: Gauges
    probed: Callable[[], exposition.Probed]
    vitals: Vitals
    volumes: Callable[[], Awaitable[Sequence[VolumeUse]]]

    async def page(self, request: Request) -> Response:
        """Raises: NotFound, RuntimeFailure."""
        match request.path.strip("/").split("/"):
            case ["stats", "summary"]:
                brief = request.param("only_cpu_and_memory") == "true"
                usage = await self.gauges.read()
                volumes = () if brief else await self.volumes()
                headers = [*JSON, (WINDOW, f"{usage.window_s:.3f}")]
                return Response(200, headers, orjson.dumps(summary(usage, volumes, only_cpu_and_memory=brief)))
            case ["metrics"]:
                own = resource.getrusage(resource.RUSAGE_SELF)
                text = exposition.agent(await self.gauges.read(), own.ru_utime + own.ru_stime, _resident_bytes())
                text += exposition.counted(self.vitals.all) + exposition.volumes(await self.volumes())
            case ["metrics", "resource"]:
                text = exposition.resource(await self.gauges.read())
            case ["metrics", "cadvisor"]:
                text = exposition.cadvisor(await self.gauges.read())
            case ["metrics", "probes"]:
                text = exposition.probes(self.probed())
            case _:
                raise NotFound(f"the agent serves nothing at {request.path}")
        return Response(200, METRICS, text)


def _resident_bytes() -> int:
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * resource.getpagesize()
