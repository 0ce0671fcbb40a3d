"""The pages on the agent's port that tell what is used: `/stats/summary`, and what Prometheus reads.

`/metrics`, `/metrics/resource`, `/metrics/cadvisor` and `/metrics/probes`, as a kubelet has them. Measuring is the
business of `usage`; this only chooses the form.

Source: https://kubernetes.io/docs/reference/instrumentation/node-metrics/
"""

from __future__ import annotations

import resource
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from navarch.agent import exposition
from navarch.agent.cadvisor import cadvisor
from navarch.agent.config import WINDOW
from navarch.agent.details import NO_DETAILS, Inspector
from navarch.agent.summary import summary
from navarch.agent.usage import Gauges
from navarch.agent.vitals import Vitals
from navarch.agent.volumes.use import VolumeUse
from navarch.base.errors import NotFound
from navarch.base.metrics import Counter, Gauge, Histogram
from navarch.wire.message import Request, Response

JSON = [("Content-Type", "application/json")]
METRICS = [("Content-Type", "text/plain; version=0.0.4; charset=utf-8")]


@dataclass(frozen=True, slots=True)
class Measures:
    """probed: what probes have said so far. vitals: what the agent counts of its own work. volumes: what is used of
    those that say it. inspector: who looks closer. evicted: how many pods, by what they had to go for.
    asked: of the runtime."""

    gauges: Gauges
    probed: Callable[[], exposition.Probed]
    vitals: Vitals
    volumes: Callable[[], Awaitable[Sequence[VolumeUse]]]
    inspector: Inspector | None = None
    evicted: Callable[[], Mapping[str, int]] = dict
    asked: Callable[[], Iterable[Counter | Gauge | Histogram]] = tuple

    async def page(self, request: Request) -> Response:
        """Raises: NotFound, RuntimeFailure."""
        match request.path.strip("/").split("/"):
            case ["stats", "summary"]:
                brief = request.param("only_cpu_and_memory") == "true"
                usage = await self.gauges.read()
                volumes = () if brief else await self.volumes()
                inspector = self.inspector if not brief else None
                details = await inspector.all(usage) if inspector is not None else NO_DETAILS
                headers = [*JSON, (WINDOW, f"{usage.window_s:.3f}")]
                told = summary(usage, volumes, details, only_cpu_and_memory=brief)
                return Response(200, headers, orjson.dumps(told))
            case ["metrics"]:
                own = resource.getrusage(resource.RUSAGE_SELF)
                used_s = own.ru_utime + own.ru_stime
                text = exposition.agent(await self.gauges.read(), used_s, _resident_bytes(), self.evicted())
                text += exposition.counted((*self.vitals.all, *self.asked())) + exposition.volumes(await self.volumes())
            case ["metrics", "resource"]:
                text = exposition.resource(await self.gauges.read())
            case ["metrics", "cadvisor"]:
                usage = await self.gauges.read()
                closer_look = await self.inspector.groups(usage) if self.inspector is not None else NO_DETAILS
                text = cadvisor(usage, closer_look.groups)
            case ["metrics", "probes"]:
                text = exposition.probes(self.probed())
            case _:
                raise NotFound(f"the agent serves nothing at {request.path}")
        return Response(200, METRICS, text)


def _resident_bytes() -> int:
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * resource.getpagesize()
