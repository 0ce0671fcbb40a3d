"""`/metrics` and `/metrics/slis`: what was counted, as Prometheus or as OpenMetrics, whichever the scraper prefers.

Source: https://kubernetes.io/docs/reference/instrumentation/slis/
"""

from __future__ import annotations

from navarch.apiserver.health import Health
from navarch.apiserver.routes import parse_accept
from navarch.base.metrics import Registry
from navarch.wire.message import Request, Response

PATHS = ("/metrics", "/metrics/slis")
TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPEN = "application/openmetrics-text; version=1.0.0; charset=utf-8"


class Exposition:
    def __init__(self, metrics: Registry, health: Health) -> None:
        self._metrics = metrics
        self._slis = Registry()
        self._slis.gauge(
            "kubernetes_healthcheck",
            "1 if a check was well when it was last asked.",
            ("name", "type"),
            read=lambda: health.outcomes,
        )
        self._slis.counter(
            "kubernetes_healthchecks",
            "How often checks were asked, by how it went.",
            ("name", "type", "status"),
            read=lambda: health.asked,
        )

    def answer(self, request: Request) -> Response:
        registry = self._slis if request.path.rstrip("/").endswith("/slis") else self._metrics
        preferred = next((media for media, _ in parse_accept(request.headers.get("accept", ""))), "")
        modern = preferred == "application/openmetrics-text"
        return Response(200, (("Content-Type", OPEN if modern else TEXT),), registry.render(open_metrics=modern))
