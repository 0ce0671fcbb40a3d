"""Sets up what a check needs and takes it away, also when it fails or is interrupted.

What a check that was killed left behind is taken away by the next one, once it is old enough to be nobody's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from types import TracebackType
from typing import NamedTuple

from navarch.app.netcheck import stage
from navarch.app.netcheck.ask import Nodes
from navarch.app.netcheck.plan import BARRED_PORT, OPEN_PORT, Actor, Cast, Gate
from navarch.app.netcheck.probes import Finding, Hop
from navarch.app.nettrace.ends import addresses_of
from navarch.base.clock import Clock, Ids, parse_rfc3339
from navarch.base.errors import ApiError, Forbidden, NotFound, Retryable
from navarch.base.log import Log
from navarch.client.client import Client
from navarch.kinds import ENDPOINTSLICE, NAMESPACE, NETWORKPOLICY, NODE, POD, SERVICE
from navarch.kinds.object import Object
from navarch.objects.value import dig
from navarch.proxy.addresses import Family, proper

READY_S, GONE_S, POLL_S = 45.0, 20.0, 0.1
ABANDONED = timedelta(minutes=10)

log = Log("net-check")


class Ports(NamedTuple):
    """By node: at which its own network answers, and its agent."""

    hosts: Mapping[str, int]
    agents: Mapping[str, int]


class Staging:
    """Use as an asynchronous context; `cast` and `findings` are there inside it."""

    def __init__(
        self,
        client: Client,
        clock: Clock,
        ids: Ids,
        ask: Nodes,
        nodes: Sequence[str],
        families: Sequence[Family],
        say: Callable[[str], None],
    ) -> None:
        self._client = client
        self._clock = clock
        self._ask = ask
        self._nodes = list(nodes)
        self._families = families
        self._say = say
        self._space = f"{stage.PREFIX}-{ids.suffix()}"
        self.findings: list[Finding] = []
        self.casts: dict[Family, Cast] = {}

    async def __aenter__(self) -> Staging:
        """Raises: ApiError, Retryable."""
        try:
            await self._sweep()
            self._say("starting probe pods")
            await self._create()
            await self._gather()
        except BaseException:
            await self._take_down()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._say("cleaning up")
        await self._take_down()

    async def _create(self) -> None:
        await self._client.create(NAMESPACE, stage.namespace(self._space))
        await self._client.create(NETWORKPOLICY, stage.policy(self._space))
        async with asyncio.TaskGroup() as group:
            for document in stage.services(self._space, self._nodes):
                group.create_task(self._client.create(SERVICE, document))
            for document in stage.pods(self._space, self._nodes):
                group.create_task(self._create_pod(document))

    async def _create_pod(self, document: dict[str, object]) -> None:
        """The namespace may not have its service account yet."""
        end = self._clock.monotonic() + READY_S
        while True:
            try:
                await self._client.create(POD, document)
                return
            except Forbidden as error:
                if "serviceaccount" not in str(error).lower() or self._clock.monotonic() > end:
                    raise
            await self._clock.sleep(POLL_S)

    async def _gather(self) -> None:
        """Wait for the pods, have them answer, and see which addresses everything got."""
        pods = await self._ready_pods()
        numbers = [n for n in range(len(self._nodes)) if all(stage.pod_name(r, n) in pods for r in ("first", "second"))]
        for number in [n for n in range(len(self._nodes)) if n not in numbers]:
            await self._tell_missing(number)
        self._say("waiting for services")
        await self._endpoints([pods[stage.pod_name("first", n)] for n in numbers])
        services = {one.name: one for one in (await self._client.list(SERVICE, self._space)).items}

        ports = await self._listen(numbers)
        agents = {
            one.name: int(dig(one.document(), "status", "daemonEndpoints", "kubeletEndpoint", "Port", default=0))
            for one in (await self._client.list(NODE)).items
        }
        for family in self._families:
            own = agents if family is self._families[0] else {}
            self.casts[family] = self._cast(family, numbers, pods, services, Ports(ports, own))

    def _cast(
        self,
        family: Family,
        numbers: Sequence[int],
        pods: Mapping[str, Object],
        services: Mapping[str, Object],
        ports: Ports,
    ) -> Cast:
        """Of the nodes where everything has an address of the family."""
        gates = {n: _gate(family, services[f"node-{n}"]) for n in numbers}
        actors: dict[str, dict[int, Actor]] = {"first": {}, "second": {}}
        for role, found in actors.items():
            for number in numbers:
                name = stage.pod_name(role, number)
                if address := next(iter(family.those(addresses_of(pods[name].view))), ""):
                    found[number] = Actor(self._nodes[number], f"{self._space}/{name}", address)
        there = [n for n in numbers if gates[n].address and all(n in found for found in actors.values())]
        first, second = ({self._nodes[n]: found[n] for n in there} for found in actors.values())
        return Cast(
            self._space,
            first,
            second,
            {self._nodes[n]: gates[n] for n in there},
            ports.hosts,
            ports.agents,
            stage.HEADLESS,
        )

    async def _ready_pods(self) -> dict[str, Object]:
        """Those that became ready in time, by name."""
        end = self._clock.monotonic() + READY_S
        while True:
            pods = (await self._client.list(POD, self._space)).items
            ready = {one.name: one for one in pods if one.view.ready and one.view.status.pod_ip}
            if len(ready) == 2 * len(self._nodes) or self._clock.monotonic() > end:
                return ready
            await self._clock.sleep(POLL_S)

    async def _tell_missing(self, number: int) -> None:
        node = self._nodes[number]
        pod = await self._client.get(POD, self._space, stage.pod_name("first", number))
        waiting = [
            dig(one, "state", "waiting", default={})
            for one in dig(pod.document(), "status", "containerStatuses", default=[])
        ]
        said = next(
            (f"{one.get('reason')}: {one.get('message', '')}" for one in waiting if one), "nothing is said of why"
        )
        text = f"no pod of the check started on node {node} within {READY_S:.0f} s: {said}"
        remedy = f"see the agent's and containerd's log of {node}, and try a pod of your own there"
        self.findings.append(Finding((Hop("pod link", node),), node, text, remedy, (f"node {node}: not tried",)))

    async def _endpoints(self, pods: Sequence[Object]) -> None:
        """Until the services have all addresses of these, which are each behind two."""
        end = self._clock.monotonic() + READY_S
        wanted = 2 * sum(len(proper(addresses_of(pod.view))) for pod in pods)
        while self._clock.monotonic() < end:
            slices = (await self._client.list(ENDPOINTSLICE, self._space)).items
            if sum(endpoint.ready for one in slices for endpoint in one.view.endpoints) >= wanted:
                return
            await self._clock.sleep(POLL_S)

    async def _listen(self, numbers: Sequence[int]) -> dict[str, int]:
        """By node, the port of its own network."""
        async with asyncio.TaskGroup() as group:
            hosts = {self._nodes[n]: group.create_task(self._ask.listen(self._nodes[n], "", [0], [])) for n in numbers}
            for number in numbers:
                for role in ("first", "second"):
                    pod = f"{self._space}/{stage.pod_name(role, number)}"
                    more = [OPEN_PORT, BARRED_PORT]
                    group.create_task(self._ask.listen(self._nodes[number], pod, more, [OPEN_PORT]))
        return {node: task.result()["tcp"][0] for node, task in hosts.items()}

    async def _take_down(self) -> None:
        """Every part is tried; what fails is told and left to the next check."""
        async with asyncio.TaskGroup() as group:
            for node in self._nodes:
                group.create_task(self._stop(node))
        try:
            await self._client.delete(NAMESPACE, "", self._space)
            end = self._clock.monotonic() + GONE_S
            while self._clock.monotonic() < end:
                await self._client.get(NAMESPACE, "", self._space)
                await self._clock.sleep(POLL_S)
        except NotFound:
            return
        except (ApiError, Retryable) as error:
            log.warning("what the check set up is still there", namespace=self._space, error=error)

    async def _stop(self, node: str) -> None:
        try:
            await self._ask.stop(node)
        except (ApiError, Retryable) as error:
            log.warning("what listens for the check was not ended, and ends by itself", node=node, error=error)

    async def _sweep(self) -> None:
        old = (await self._client.list(NAMESPACE, labels=f"{stage.LABEL}=true")).items
        for one in old:
            made = parse_rfc3339(dig(one.document(), "metadata", "creationTimestamp"))
            if self._clock.now() - made > ABANDONED:
                await self._client.delete(NAMESPACE, "", one.name)


def _gate(family: Family, service: Object) -> Gate:
    spec = service.view.spec
    address = next(iter(family.those((spec.cluster_ip, *spec.cluster_ips))), "")
    return Gate(service.name, address, next((port.node_port for port in spec.ports if port.protocol == "TCP"), 0))
