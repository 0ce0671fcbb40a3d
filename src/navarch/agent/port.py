"""The agent's own port: what the API server asks a node for, on paths that a kubelet has.

`/containerLogs/{ns}/{pod}/{container}`, `/exec/…`, `/attach/…`, `/portForward/{ns}/{pod}` and `/healthz`; and
`/podProxy/{ns}/{pod}/{scheme}/{port}/…` and `/nodeProxy/{scheme}/{port}/…`, which hand a request on; what is used, at
`/stats/summary` and `/metrics/…`, stands in `measures`, what the node itself is and logs in `nodepages`, probes of the
network (`/netcheck`) in `netcheck`. Certificates
of `system:masters` are let in, such as the API server's, which has authorized users before; whoever else asks, a
collector of metrics mostly, is the business of `doorman`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from navarch.agent.cristreams import Dialed, Wanted
from navarch.agent.doorman import Doorman
from navarch.agent.logread import LogOptions, LogReader
from navarch.agent.measures import Measures
from navarch.agent.nodepages import NodePages
from navarch.agent.podproxy import PodProxy
from navarch.agent.runtime import (
    CONTAINER_NAME,
    Container,
    ContainerState,
    Gone,
    PodOnNode,
    Runtime,
    RuntimeFailure,
    Sandbox,
)
from navarch.agent.streams import protocols_of, refuse, serve_channels, serve_forward, wanted_streams
from navarch.base.clock import Clock, parse_rfc3339
from navarch.base.errors import ApiError, BadRequest, Forbidden, Internal, NotFound, Retryable
from navarch.kinds.object import Object
from navarch.wire.message import Request, Response

SCHEMES = ("http", "https")
SERVER_ORGANIZATION = "system:masters"
INTERNAL = ("podProxy", "nodeProxy")
"""Paths that only the API server may ask for."""
JSON = [("Content-Type", "application/json")]
TEXT = [("Content-Type", "text/plain; charset=utf-8")]

IN_WORDS = {"ErrImagePull": "image can't be pulled", "ImagePullBackOff": "trying and failing to pull image"}


class Pods(Protocol):
    """An informer of the node's pods."""

    def get(self, namespace: str, name: str) -> Object | None: ...


class Streams(Protocol):
    """`CriStreams`, or what stands in for it in tests."""

    async def exec(
        self, container_id: str, command: Sequence[str], wanted: Wanted, offered: Sequence[str] = ()
    ) -> Dialed: ...

    async def attach(self, container_id: str, wanted: Wanted, offered: Sequence[str] = ()) -> Dialed: ...

    async def port_forward(self, sandbox_id: str) -> Dialed: ...


@dataclass(frozen=True, slots=True)
class Port:
    """Use `handle` as the handler of a `wire.http.Server` that asks for client certificates."""

    runtime: Runtime
    streams: Streams
    clock: Clock
    proxy: PodProxy = field(default_factory=PodProxy)
    host_address: str = "127.0.0.1"
    """Where pods on the host's network are reached."""
    pods: Pods | None = None
    """What the API says of the node's pods: why a container has no log yet."""
    measures: Measures | None = None
    pages: NodePages | None = None
    doorman: Doorman | None = None
    checks: Callable[[Request], Awaitable[Response]] | None = None
    """Sends probes of the network from here, for `navarch net check`."""

    async def handle(self, request: Request) -> Response:
        """Refusals become Status documents; a runtime that fails is a 500 that says so."""
        try:
            return await self._route(request)
        except ApiError as error:
            return refused(error)
        except RuntimeFailure as error:
            return refused(Internal(str(error)))

    def hands_on(self, request: Request) -> bool:
        """Bodies of what is proxied may be of any size."""
        return request.path.startswith(("/podProxy/", "/nodeProxy/"))

    async def _route(self, request: Request) -> Response:
        parts = request.path.strip("/").split("/")
        if (away := await self._turned_away(request, parts)) is not None:
            return away
        match parts:
            case ["healthz"]:
                return Response(200, TEXT, b"ok")
            case ["containerLogs", namespace, pod, container]:
                return await self._logs(request, namespace, pod, container)
            case ["exec" | "attach" as verb, namespace, pod, container]:
                wanted = wanted_streams(request)
                if verb == "attach":
                    wanted = self._attached(wanted, namespace, pod, container)
                try:
                    dialed = await self._dialed(request, verb, namespace, pod, container, wanted)
                except (ApiError, RuntimeFailure) as error:
                    return await refuse(request, error if isinstance(error, ApiError) else Internal(str(error)))
                return await serve_channels(request, dialed, wanted)
            case ["portForward", namespace, pod]:
                sandbox = await self._sandbox(namespace, pod)
                return await serve_forward(request, await self.streams.port_forward(sandbox.id))
            case ["podProxy", namespace, pod, scheme, number, *_] if scheme in SCHEMES and number.isdigit():
                sandbox = await self._sandbox(namespace, pod)
                address = sandbox.ips[0] if sandbox.ips else self.host_address
                return await self.proxy.serve(request, address, int(number), scheme, _behind(request, 6))
            case ["nodeProxy", scheme, number, *_] if scheme in SCHEMES and number.isdigit():
                return await self.proxy.serve(request, self.host_address, int(number), scheme, _behind(request, 4))
            case ["netcheck"] if self.checks is not None:
                return await self.checks(request)
        if self.pages is not None and (page := await self.pages.page(request, parts)) is not None:
            return page
        if self.measures is not None:
            return await self.measures.page(request)
        raise NotFound(f"the agent serves nothing at {request.path}")

    async def _turned_away(self, request: Request, parts: Sequence[str]) -> Response | None:
        """Raises: Forbidden."""
        if SERVER_ORGANIZATION in request.peer.organizations:
            return None
        if self.doorman is None or parts[0] in INTERNAL:
            raise Forbidden("the agent's port is open to the API server only: use kubectl, which asks there")
        try:
            return await self.doorman.turns_away(request, parts)
        except (ApiError, Retryable) as error:
            raise Internal(f"the API server cannot say who may ask this: {error}") from error

    async def _dialed(
        self, request: Request, verb: str, namespace: str, pod: str, container: str, wanted: Wanted
    ) -> Dialed:
        """The way to the container's streams. Raises: ApiError, RuntimeFailure."""
        command = request.params("command")
        if verb == "exec" and not command:
            raise BadRequest("you must specify a command to execute: command=...")
        found = await self._running(namespace, pod, container)
        if found is None and verb == "exec":
            raise Internal(f'container not found ("{container}")')
        if found is None:
            raise Internal(f"container {container} not found in pod {pod}_{namespace}")
        offered = protocols_of(request)
        if verb == "exec":
            return await self.streams.exec(found.id, command, wanted, offered)
        return await self.streams.attach(found.id, wanted, offered)

    def _attached(self, wanted: Wanted, namespace: str, pod: str, container: str) -> Wanted:
        """A container has a terminal or has none, whatever a client that attaches to it believes."""
        found = self.pods.get(namespace, pod) if self.pods is not None else None
        if found is None:
            return wanted
        spec = found.view.spec
        every = (*spec.containers, *spec.init_containers, *spec.ephemeral_containers)
        return replace(wanted, tty=next((one.tty for one in every if one.name == container), wanted.tty))

    async def _logs(self, request: Request, namespace: str, pod: str, container: str) -> Response:
        options = log_options(request, self.clock)
        previous = request.param("previous") in ("1", "true")
        try:
            instances = await self._instances(namespace, pod, container)
        except NotFound:
            instances = []
        ended = [one for one in instances if one.state is ContainerState.EXITED]
        if previous:
            older = [one for one in instances[1:] if one.state is ContainerState.EXITED]
            if not older:
                text = f'previous terminated container "{container}" in pod "{pod}" not found'
                raise BadRequest(text)
            chosen = older[0]
        elif instances:
            chosen = instances[0]
            if chosen.state is ContainerState.CREATED and ended:
                chosen = ended[0]
        else:
            reason = waiting_reason(self.pods.get(namespace, pod) if self.pods else None, container)
            raise BadRequest(f'container "{container}" in pod "{pod}" is waiting to start: {reason}')

        async def running() -> bool:
            now = await self._instances(namespace, pod, container)
            return any(one.id == chosen.id and one.state is not ContainerState.EXITED for one in now)

        reader = LogReader(Path(chosen.log_path), options, self.clock, running)
        return Response(200, TEXT, _shielded(reader))

    async def _pod(self, namespace: str, name: str) -> PodOnNode:
        """The newest pod of that name that the runtime has."""
        pods = [
            pod for pod in (await self.runtime.observe()).values() if (pod.namespace, pod.name) == (namespace, name)
        ]
        if not pods:
            raise NotFound(f'pod "{namespace}/{name}" has nothing on this node', kind="pods", name=name)
        return max(pods, key=lambda pod: max((box.created_at.timestamp() for box in pod.sandboxes), default=0.0))

    async def _instances(self, namespace: str, pod: str, container: str) -> Sequence[Container]:
        """Newest first."""
        found = await self._pod(namespace, pod)
        mine = [one for one in found.containers if one.labels.get(CONTAINER_NAME, one.name) == container]
        return sorted(mine, key=lambda one: (one.created_at, one.attempt), reverse=True)

    async def _running(self, namespace: str, pod: str, container: str) -> Container | None:
        every = await self._instances(namespace, pod, container)
        return next((one for one in every if one.state is ContainerState.RUNNING), None)

    async def _sandbox(self, namespace: str, pod: str) -> Sandbox:
        for sandbox in (await self._pod(namespace, pod)).sandboxes:
            if sandbox.ready:
                return sandbox
        raise Gone(f'pod "{namespace}/{pod}" has no running sandbox')


def waiting_reason(pod: Object | None, container: str) -> str:
    """Why a container that the runtime does not have has not started, in the words that clients know."""
    if pod is None:
        return "ContainerCreating"
    status = pod.view.status
    every = (*status.container_statuses, *status.init_container_statuses, *status.ephemeral_container_statuses)
    found = next((one.state.waiting for one in every if one.name == container), None)
    reason = found.reason if found else "ContainerCreating"
    return IN_WORDS.get(reason, reason)


def _behind(request: Request, parts: int) -> str:
    """The target at the proxied server: path and query behind so many slashes."""
    split = request.target.split("/", parts)
    return "/" + split[parts] if len(split) > parts else "/"


async def _shielded(reader: LogReader) -> AsyncIterator[bytes]:
    """The log, whose end a pod that is removed while it is followed marks as well."""
    try:
        async for piece in reader.read():
            yield piece
    except NotFound:
        return


def log_options(request: Request, clock: Clock) -> LogOptions:
    """From the query of `pods/log`.

    Raises:
        BadRequest: a number or time that is none, or out of range.
    """

    def number(name: str, least: int) -> int | None:
        text = request.param(name)
        if not text:
            return None
        try:
            value = int(text)
        except ValueError:
            raise BadRequest(f"{name} must be a number, not {text!r}") from None
        if value < least:
            raise BadRequest(f"{name} must be {least} or more, not {value}")
        return value

    since_s = number("sinceSeconds", 1)
    since = clock.now() - timedelta(seconds=since_s) if since_s is not None else None
    if text := request.param("sinceTime"):
        if since is not None:
            raise BadRequest("at most one of sinceTime or sinceSeconds may be specified")
        try:
            since = parse_rfc3339(text)
        except ValueError as error:
            raise BadRequest(f"sinceTime: {error}") from error
    return LogOptions(
        follow=request.param("follow") in ("1", "true"),
        tail=number("tailLines", 0),
        limit_bytes=number("limitBytes", 1) or 0,
        since=since,
        timestamps=request.param("timestamps") in ("1", "true"),
        stream={"Stdout": "stdout", "Stderr": "stderr"}.get(request.param("stream"), ""),
    )


def refused(error: ApiError) -> Response:
    import orjson

    return Response(error.code, JSON, orjson.dumps(error.status()))
