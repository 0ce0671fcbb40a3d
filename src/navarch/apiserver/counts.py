"""What is counted of requests, under the names that Kubernetes' dashboards and alerts know.

Labels are taken from clients only where they name something that is served: a client that asks for names without end
makes no series without end.

Source: https://kubernetes.io/docs/reference/instrumentation/metrics/
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from navarch.apiserver.bodies import APPLY_CBOR, APPLY_YAML
from navarch.apiserver.call import Call
from navarch.base.metrics import Registry
from navarch.kinds.registry import Kinds
from navarch.wire.message import Piped, Push, Request, Response

COMPONENT = "apiserver"
VERBS = {"create": "POST", "update": "PUT"}
CONNECTS = frozenset(("exec", "attach", "portforward", "proxy"))
MUTATING = frozenset(("create", "update", "patch", "delete", "deletecollection", "post", "put"))
KNOWN = 8_192
"""Most sets of labels that are told apart."""
BUCKETS_S = (
    *(0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0),
    *(30.0, 45.0, 60.0),
)
SIZES_BYTES = (1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9)

Key = tuple[str, str, str, str, str, str]


@dataclass(slots=True, eq=False)
class Series:
    """What one kind of request is counted in. codes: labels for each code. took: the series of durations."""

    labels: tuple[str, ...]
    took: list[float]
    sizes: list[float] | None
    codes: dict[int, tuple[str, ...]] = field(default_factory=dict)


class RequestCounts:
    """`done` once for each request that was answered."""

    def __init__(self, metrics: Registry, kinds: Kinds) -> None:
        self._kinds = kinds
        self._known: dict[Key, Series] = {}
        self.running = {True: 0, False: 0}
        self._requests = metrics.counter(
            "apiserver_request",
            "Requests by what was asked and how it ended.",
            ("verb", "dry_run", "group", "version", "resource", "subresource", "scope", "component", "code"),
        )
        self._took = metrics.histogram(
            "apiserver_request_duration_seconds",
            "How long requests took, without watches and streams.",
            ("verb", "dry_run", "group", "version", "resource", "subresource", "scope", "component"),
            BUCKETS_S,
        )
        metrics.histogram(
            "apiserver_request_sli_duration_seconds",
            "As apiserver_request_duration_seconds, without dry runs; waits for seats and webhooks are in it.",
            ("verb", "group", "version", "resource", "subresource", "scope", "component"),
            BUCKETS_S,
            self._without_dry_runs,
        )
        self._sizes = metrics.histogram(
            "apiserver_response_sizes",
            "Bytes of answers to requests that read and are not streamed.",
            ("verb", "group", "version", "resource", "subresource", "scope", "component"),
            SIZES_BYTES,
        )
        self._long = metrics.gauge(
            "apiserver_longrunning_requests",
            "Watches and streams that are open.",
            ("verb", "group", "version", "resource", "subresource", "scope", "component"),
        )
        metrics.gauge(
            "apiserver_current_inflight_requests",
            "Requests that are being answered, without watches and streams.",
            ("request_kind",),
            read=lambda: {("mutating",): self.running[True], ("readOnly",): self.running[False]},
        )
        self._deprecated = metrics.gauge(
            "apiserver_requested_deprecated_apis",
            "1 for each deprecated API that was asked for.",
            ("group", "version", "resource", "subresource", "removed_release"),
        )
        self.terminated = metrics.counter(
            "apiserver_request_terminations",
            "Requests that were ended to protect the server.",
            ("code", "component", "group", "resource", "scope", "subresource", "verb", "version"),
        )
        self.aborted = metrics.counter(
            "apiserver_request_aborts",
            "Requests whose client left before the answer.",
            ("group", "resource", "scope", "subresource", "verb", "version"),
        )

    def _without_dry_runs(self) -> dict[tuple[str, ...], list[float]]:
        return {(verb, *rest): series for (verb, dry, *rest), series in self._took.values.items() if not dry}

    def done(self, series: Series, response: Response, took_s: float, streamed: bool) -> None:
        code = response.status
        labels = series.codes.get(code)
        if labels is None:
            labels = series.codes[code] = (*series.labels, str(code))
        values = self._requests.values
        values[labels] = values.get(labels, 0.0) + 1.0
        if streamed:
            return
        self._took.observe_in(series.took, took_s)
        if series.sizes is not None and type(response.body) is bytes:
            self._sizes.observe_in(series.sizes, len(response.body))

    def series(self, call: Call) -> Series:
        dry = "All" if call.request.query and call.request.param("dryRun") else ""
        scope = ""
        if call.is_resource:
            scope = "resource" if call.name else "namespace" if call.namespace else "cluster"
        verb = verb_of(call)
        key = (
            verb,
            dry,
            f"{call.group}/{call.version}",
            call.resource,
            call.subresource,
            scope,
        )
        found = self._known.get(key)
        return found if found is not None else self._new(call, key)

    def _new(self, call: Call, key: Key) -> Series:
        verb, dry, _, resource, subresource, scope = key
        group, version = call.group, call.version
        kind = self._kinds.resource(group, version, resource) if call.is_resource else None
        if kind is None or len(self._known) >= KNOWN or (subresource and not _short(subresource)):
            group = version = resource = subresource = scope = ""
            key = (verb, dry, "/", "", "", "")
            if (known := self._known.get(key)) is not None:
                return known
        elif kind.deprecated:
            self._deprecated.set(1.0, group, version, resource, subresource, "")
        place = (group, version, resource, subresource, scope, COMPONENT)
        labels = (verb, dry, *place)
        sizes = self._sizes.series(verb, *place) if verb in ("GET", "LIST") else None
        found = self._known[key] = Series(labels, self._took.series(*labels), sizes)
        return found

    def opened(self, call: Call, response: Response) -> None:
        """Count a stream until it ends."""
        labels = self.series(call).labels
        own = (labels[0], *labels[2:])
        self._long.add(*own)
        if isinstance(response.body, bytes):
            self._long.add(*own, amount=-1.0)
        else:
            response.body = Counted(response.body, lambda: self._long.add(*own, amount=-1.0))

    def ended(self, call: Call, code: int) -> None:
        """A request that the server gave up."""
        verb, _, group, version, resource, subresource, scope, component = self.series(call).labels
        self.terminated.add(str(code), component, group, resource, scope, subresource, verb, version)

    def left(self, call: Call) -> None:
        """A request whose client left."""
        verb, _, group, version, resource, subresource, scope, _ = self.series(call).labels
        self.aborted.add(group, resource, scope, subresource, verb, version)


def _short(subresource: str) -> bool:
    return "/" not in subresource and len(subresource) < 32


def applies(request: Request) -> bool:
    """Whether a patch is a server-side apply."""
    return request.headers.get("content-type", "").startswith((APPLY_YAML, APPLY_CBOR))


def verb_of(call: Call) -> str:
    """As Kubernetes' metrics name it."""
    if call.subresource in CONNECTS:
        return "CONNECT"
    if call.verb == "patch" and applies(call.request):
        return "APPLY"
    return VERBS.get(call.verb) or call.verb.upper()


class Counted:
    """A body whose end is told. It is not in the way of its pieces: whoever iterates holds the body itself."""

    def __init__(self, body: AsyncIterator[bytes], ended: Callable[[], None]) -> None:
        self._body = body
        self._ended: Callable[[], None] | None = ended

    def pipe(self, push: Push) -> None:
        if isinstance(self._body, Piped):
            self._body.pipe(push)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return aiter(self._body)

    async def __anext__(self) -> bytes:
        return await anext(self._body)

    async def aclose(self) -> None:
        ended, self._ended = self._ended, None
        if ended is not None:
            ended()
        closing: Any = getattr(self._body, "aclose", None)
        if closing is not None:
            await closing()
