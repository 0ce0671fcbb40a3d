"""The proxy's loop: what changed is compiled again, and the data plane is brought to it.

It follows Services, EndpointSlices, its node and the node's pods, by `PolicyWatch` what network policies say, and
writes nothing to the API. Load balancers are told by `HealthPorts` how it stands.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from navarch.base.backoff import delay_s
from navarch.base.clock import Clock
from navarch.base.errors import Retryable
from navarch.base.log import Log
from navarch.base.tasks import BugReport
from navarch.client.informer import Informers
from navarch.kinds import CONFIGMAP, ENDPOINTSLICE, NODE, POD, SERVICE
from navarch.kinds.endpointslice import SERVICE_LABEL
from navarch.kinds.object import Object
from navarch.proxy.compile import compile_host_ports, compile_service
from navarch.proxy.dataplane import Dataplane
from navarch.proxy.health import HealthPorts, Standing, check_of
from navarch.proxy.joining import Joiner
from navarch.proxy.rules import Node, Part, Rules
from navarch.proxy.settings import CONFIG, CONFIG_NAMESPACE, DEFAULTS, settings_of
from navarch.proxy.watch_policies import PolicyWatch

INTERVAL_S = 0.05
"""The least time between two transactions; the first after a pause is made at once."""
FIRST_DELAY_S, LONGEST_DELAY_S = 0.1, 10.0

UNWELL_AFTER_S = 60.0
"""For so long the kernel may refuse changes before the proxy says that it is not well."""

ISOLATED_WITHIN_S = 10.0

ZONE_LABEL = "topology.kubernetes.io/zone"
LEAVING_TAINT = "ToBeDeletedByClusterAutoscaler"
HEADLESS_LABEL = "service.kubernetes.io/headless"

log = Log("proxy")
bugs = BugReport(log)


class Proxy:
    """One for each node. `informers` must be running for `run` to come to anything; whoever made them runs them."""

    def __init__(
        self, informers: Informers, dataplane: Dataplane, node: Node, clock: Clock, *, page_port: int = 0
    ) -> None:
        """page_port: where the proxy itself is asked how it is; 0 for nowhere."""
        self._informers = informers
        self._nodes = informers.of(NODE, fields=f"metadata.name={node.name}")
        self._services = informers.of(SERVICE)
        self._slices = informers.of(ENDPOINTSLICE)
        self._pods = informers.of(POD, fields=f"spec.nodeName={node.name}")
        self._config = informers.of(CONFIGMAP, CONFIG_NAMESPACE, f"metadata.name={CONFIG}")
        self._dataplane = dataplane
        self._node = node
        self._clock = clock
        self._zone = node.zone
        self._settings = DEFAULTS
        self._eligible = True
        self._updated = clock.now()
        self._failing_since_s: float | None = None
        self._health = HealthPorts(node.addresses, self._standing, clock, page_port)
        self._policies = PolicyWatch(informers, node.name, self._wake_up)
        self._joiner = Joiner()
        self._dirty: set[str] = set()
        self._wake = asyncio.Event()
        self._warned = False
        self._asked = self._carried_out = 0
        self._progress = asyncio.Event()
        self.settled = asyncio.Event()
        """Set once the data plane holds everything that was there when the proxy started."""

    def set_node(self, node: Node) -> None:
        """The node's addresses or networks changed; its name must not. Its zone is what its object says, and how it
        serves what the cluster's settings say."""
        self._node = self._settings.on(msgspec.structs.replace(node, zone=self._zone))
        self._dirty.update(self._service_names())
        self._wake.set()

    async def isolate(self, pod: Object, addresses: Sequence[str]) -> None:
        """Returns once network policies hold for a pod of this node that is about to start. Raises: Retryable."""
        if not self._policies.expect(pod, addresses):
            return
        self._asked += 1
        mine = self._asked
        self._wake.set()
        try:
            async with asyncio.timeout(ISOLATED_WITHIN_S):
                while self._carried_out < mine:
                    await self._progress.wait()
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
        self._wake.set()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._mind())
            group.create_task(self._health.run())
            await self._follow()

    async def _follow(self) -> None:
        failures = 0
        while True:
            await self._wake.wait()
            self._wake.clear()
            asked = self._asked
            self._compile()
            rules = self._joiner.rules(self._node, self._policies.isolation())
            self._warn_of_the_bridge(rules)
            try:
                await self._dataplane.replace(self._dataplane.current(), rules)
            except Retryable as error:
                log.warning("the rules could not be changed, will be tried again", error=error)
                self._wake.set()
                if self._failing_since_s is None:
                    self._failing_since_s = self._clock.monotonic()
                await self._clock.sleep(delay_s(failures, FIRST_DELAY_S, LONGEST_DELAY_S))
                failures += 1
                continue
            failures = 0
            self._failing_since_s = None
            self._updated = self._clock.now()
            self.settled.set()
            self._carried_out = asked
            self._progress.set()
            self._progress = asyncio.Event()
            await self._clock.sleep(INTERVAL_S)

    def _warn_of_the_bridge(self, rules: Rules) -> None:
        if rules.isolation.profiles and not self._node.bridge_filtered and not self._warned:
            self._warned = True
            log.warning("network policies do not hold between pods of this node: load the kernel module br_netfilter")

    async def _mind(self) -> None:
        while True:
            await self._dataplane.disturbed()
            log.warning("somebody else changed the rules; they are written afresh")
            self._wake.set()
            await self._clock.sleep(FIRST_DELAY_S)

    def _compile(self) -> None:
        dirty, self._dirty = self._dirty, set()
        for name in dirty:
            try:
                part = self._part(name)
            except Exception as bug:  # noqa: BLE001 - reported; it keeps its old rules, and all others get their new ones
                bugs.report(name, bug)
                continue
            self._joiner.put(name, part)

    def _part(self, name: str) -> Part | None:
        namespace, _, rest = name.partition("/")
        if namespace == "":
            found = self._pods.get(*rest.split("/"))
            return compile_host_ports(found.view) if found else None
        service = self._services.get(namespace, rest)
        if service is None:
            self._health.put(name, None)
            return None
        slices = [each.view for each in self._slices.by("service", name)]
        self._health.put(name, check_of(service.view, slices, self._node.name))
        return compile_service(service.view, slices, self._node)

    def _standing(self) -> Standing:
        now_s, since_s = self._clock.monotonic(), self._failing_since_s
        healthy = since_s is None or now_s - since_s < UNWELL_AFTER_S
        return Standing(healthy, self._eligible, self._updated, self._clock.now())

    def _node_changed(self, old: Object | None, new: Object | None) -> None:
        if new is None:
            return
        self._eligible = not new.terminating and all(taint.key != LEAVING_TAINT for taint in new.view.spec.taints)
        zone = new.labels.get(ZONE_LABEL, "")
        if zone != self._zone:
            self._zone = zone
            self.set_node(self._node)

    def _config_changed(self, old: Object | None, new: Object | None) -> None:
        found, complaints = settings_of(new)
        for complaint in complaints:
            log.warning("a setting of the cluster is passed over", namespace=CONFIG_NAMESPACE, why=complaint)
        if found != self._settings:
            self._settings = found
            self.set_node(self._node)

    def _service_names(self) -> list[str]:
        return [f"{found.namespace}/{found.name}" for found in self._services.list()]

    def _service_changed(self, old: Object | None, new: Object | None) -> None:
        found = new or old
        if found is not None:
            self._mark(f"{found.namespace}/{found.name}")

    def _slice_changed(self, old: Object | None, new: Object | None) -> None:
        for found in (old, new):
            for name in service_of(found) if found else ():
                self._mark(name)

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        found = new or old
        # Most pods ask for no port of the node: that stands in the bytes, before any of them is decoded.
        if found is not None and b'"hostPort"' in found.raw:
            self._mark(f"/{found.namespace}/{found.name}")

    def _mark(self, name: str) -> None:
        self._dirty.add(name)
        self._wake.set()

    def _wake_up(self) -> None:
        self._wake.set()


def service_of(found: Object) -> tuple[str, ...]:
    """`namespace/name` of the service whose traffic the slice takes; headless ones take none."""
    name = found.labels.get(SERVICE_LABEL)
    return (f"{found.namespace}/{name}",) if name and HEADLESS_LABEL not in found.labels else ()
