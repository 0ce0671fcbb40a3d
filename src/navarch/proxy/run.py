"""The proxy's loop: it hears what changed, and has each address family's `Side` bring its data plane to it.

It follows Services, EndpointSlices, its node and the node's pods, by `PolicyWatch` what network policies say, and
writes nothing to the API. Load balancers are told by `HealthPorts` how it stands.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

import msgspec

from navarch.base.clock import Clock
from navarch.base.errors import Retryable
from navarch.base.log import Log
from navarch.base.metrics import Counter
from navarch.client.informer import Informers
from navarch.kinds import CONFIGMAP, ENDPOINTSLICE, NODE, POD, SERVICE
from navarch.kinds.endpointslice import SERVICE_LABEL
from navarch.kinds.object import Object
from navarch.proxy.addresses import Family
from navarch.proxy.compile import compile_host_ports, compile_service
from navarch.proxy.dataplane import Dataplane
from navarch.proxy.health import HealthPorts, Standing, check_of
from navarch.proxy.isolation import FREE, Isolation
from navarch.proxy.rules import Node, Part
from navarch.proxy.settings import CONFIG, CONFIG_NAMESPACE, DEFAULTS, settings_of
from navarch.proxy.side import Side
from navarch.proxy.watch_policies import PolicyWatch

UNWELL_AFTER_S = 60.0
"""For so long the kernel may refuse changes before the proxy says that it is not well."""

ISOLATED_WITHIN_S = 10.0

ZONE_LABEL = "topology.kubernetes.io/zone"
LEAVING_TAINT = "ToBeDeletedByClusterAutoscaler"
HEADLESS_LABEL = "service.kubernetes.io/headless"

log = Log("proxy")

PER_NODE = "/"
"""What names of host ports' parts begin with; those of Services begin with a namespace."""


class Proxy:
    """One for each node. `informers` must be running for `run` to come to anything; whoever made them runs them."""

    def __init__(
        self, informers: Informers, planes: Sequence[tuple[Dataplane, Node]], clock: Clock, *, page_port: int = 0
    ) -> None:
        """planes: one for each address family that pods have, with what it must know of the node; the first is the
        cluster's first. page_port: where the proxy itself is asked how it is; 0 for nowhere."""
        (_, first), *_ = planes
        self._nodes = informers.of(NODE, fields=f"metadata.name={first.name}")
        self._services = informers.of(SERVICE)
        self._slices = informers.of(ENDPOINTSLICE)
        self._pods = informers.of(POD, fields=f"spec.nodeName={first.name}")
        self._config = informers.of(CONFIGMAP, CONFIG_NAMESPACE, f"metadata.name={CONFIG}")
        self._clock = clock
        self._zone = first.zone
        self._settings = DEFAULTS
        self._eligible = True
        addresses = [address for _, node in planes for address in node.addresses]
        self._health = HealthPorts(addresses, self._standing, clock, page_port)
        families = [node.family for _, node in planes]
        self._policies = PolicyWatch(informers, first.name, families, self._wake_up)
        self._sides = [Side(plane, node, clock, self._part, self._isolation) for plane, node in planes]
        self.refused = Counter(
            "kubeproxy_sync_proxy_rules_nftables_sync_failures_total",
            "Transactions with rules that the kernel refused; each is tried again.",
            read=lambda: sum(side.refused for side in self._sides),
        )
        self.settled = asyncio.Event()
        """Set once the data planes hold everything that was there when the proxy started."""

    def set_node(self, node: Node) -> None:
        """The node's addresses or networks changed; its name and family must not. Its zone is what its object says, and
        how it serves what the cluster's settings say."""
        for side in self._sides:
            if side.node.family is node.family:
                side.node = self._settings.on(msgspec.structs.replace(node, zone=self._zone))
                side.mark(self._service_names())

    def set_balanced(self, addresses: Iterable[str]) -> None:
        """Addresses of load balancers, of any family, that are no node's own: what nothing serves there is refused."""
        known = tuple(addresses)
        for side in self._sides:
            wanted = frozenset(side.node.family.those(known))
            if side.balanced != wanted:
                side.balanced = wanted
                side.wake()

    async def isolate(self, pod: Object, addresses: Sequence[str]) -> None:
        """Returns once network policies hold for a pod of this node that is about to start. Raises: Retryable."""
        if not self._policies.expect(pod, addresses):
            return
        asked = [(side, side.ask()) for side in self._sides]
        try:
            async with asyncio.timeout(ISOLATED_WITHIN_S):
                for side, number in asked:
                    await side.carried_out(number)
        except TimeoutError:
            raise Retryable("network policies are not in force for the pod yet") from None

    async def run(self) -> None:
        """Until cancelled; the rules stay as they are then."""
        self._slices.index("service", service_of)
        self._services.subscribe(self._service_changed)
        self._slices.subscribe(self._slice_changed)
        self._pods.subscribe(self._pod_changed)
        self._nodes.subscribe(self._node_changed)
        self._config.subscribe(self._config_changed)
        for informer in (self._services, self._slices, self._pods, self._nodes, self._config):
            await informer.synced.wait()
        await self._policies.begin()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._health.run())
            for side in self._sides:
                group.create_task(side.run())
            for side in self._sides:
                await side.settled.wait()
            self.settled.set()

    def _isolation(self, family: Family) -> Isolation:
        return self._policies.isolation(family) if self._settings.network_policies else FREE

    def _part(self, name: str, node: Node) -> Part | None:
        if name.startswith(PER_NODE):
            pod = self._pods.get(*name.removeprefix(PER_NODE).split("/"))
            return compile_host_ports(pod.view, node.family) if pod else None
        service = self._services.get(*name.split("/"))
        slices = [each.view for each in self._slices.by("service", name)] if service else []
        if node.family is self._sides[0].node.family:
            self._health.put(name, check_of(service.view, slices, node.name) if service else None)
        return compile_service(service.view, slices, node) if service else None

    def _standing(self) -> Standing:
        now_s = self._clock.monotonic()
        failing = [each.failing_since_s for each in self._sides if each.failing_since_s is not None]
        healthy = all(now_s - since_s < UNWELL_AFTER_S for since_s in failing)
        return Standing(healthy, self._eligible, min(each.updated for each in self._sides), self._clock.now())

    def _node_changed(self, old: Object | None, new: Object | None) -> None:
        if new is None:
            return
        self._eligible = not new.terminating and all(taint.key != LEAVING_TAINT for taint in new.view.spec.taints)
        zone = new.labels.get(ZONE_LABEL, "")
        if zone != self._zone:
            self._zone = zone
            for side in self._sides:
                self.set_node(side.node)

    def _config_changed(self, old: Object | None, new: Object | None) -> None:
        found, complaints = settings_of(new)
        for complaint in complaints:
            log.warning("a setting of the cluster is passed over", namespace=CONFIG_NAMESPACE, why=complaint)
        if found != self._settings:
            self._settings = found
            for side in self._sides:
                self.set_node(side.node)

    def _service_names(self) -> list[str]:
        return [f"{found.namespace}/{found.name}" for found in self._services.list()]

    def _service_changed(self, old: Object | None, new: Object | None) -> None:
        found = new or old
        if found is not None:
            self._mark((f"{found.namespace}/{found.name}",))

    def _slice_changed(self, old: Object | None, new: Object | None) -> None:
        for found in (old, new):
            if found and (names := service_of(found)):
                self._mark(names)

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        found = new or old
        # Most pods ask for no port of the node: that stands in the bytes, before any of them is decoded.
        if found is not None and b'"hostPort"' in found.raw:
            self._mark((f"{PER_NODE}{found.namespace}/{found.name}",))

    def _mark(self, names: Iterable[str]) -> None:
        for side in self._sides:
            side.mark(names)

    def _wake_up(self) -> None:
        for side in self._sides:
            side.wake()


def service_of(found: Object) -> tuple[str, ...]:
    """`namespace/name` of the service whose traffic the slice takes; headless ones take none."""
    name = found.labels.get(SERVICE_LABEL)
    return (f"{found.namespace}/{name}",) if name and HEADLESS_LABEL not in found.labels else ()
