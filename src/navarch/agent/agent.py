"""The node agent: puts its parts together and runs them until it is cancelled.

It may be ended and started again at any moment without touching a container: everything it needs to know is read back
from the runtime and from the API server.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from navarch.agent.act import Isolate, Tools
from navarch.agent.admit import Abilities
from navarch.agent.allotments import Allotments
from navarch.agent.allotments import of_node as allotments_of
from navarch.agent.cgroups import Cgroups
from navarch.agent.classes import RuntimeClasses
from navarch.agent.config import AgentConfig
from navarch.agent.dra.claims import DeviceClaims
from navarch.agent.dra.drivers import Drivers
from navarch.agent.dra.health import Healths
from navarch.agent.environment import ServiceAddress, ServicePort
from navarch.agent.images import Images
from navarch.agent.leftovers import Leftovers, Sweep
from navarch.agent.lookout import Lookout
from navarch.agent.machine import Machine, read_machine
from navarch.agent.node import NodeReporter
from navarch.agent.pluginwatch import CSI, DRA, PluginWatch
from navarch.agent.podresources import PodResources
from navarch.agent.pods import Pods
from navarch.agent.pulling.accounts import ApiAccounts
from navarch.agent.references import References
from navarch.agent.runtime import Runtime
from navarch.agent.shortage import Ground, Shortage
from navarch.agent.shutdown import Shutdown, Times
from navarch.agent.statics.folder import Folder
from navarch.agent.statics.mirrors import Mirrors
from navarch.agent.statics.source import Source, StaticPods
from navarch.agent.statics.url import url_source
from navarch.agent.vitals import Vitals
from navarch.agent.volumes.csi.node import CsiNode
from navarch.agent.volumes.storage import DiskStorage, Storage, disk_storage
from navarch.agent.volumes.use import VolumeUse
from navarch.base.clock import Clock, Ids
from navarch.base.errors import Retryable
from navarch.client.client import Client
from navarch.client.events import Events, Recorder
from navarch.client.informer import Informers
from navarch.client.lease import Heartbeats, LeaseHeartbeats
from navarch.kinds import NODE, POD, SERVICE
from navarch.kinds.node import Node
from navarch.kinds.object import Object
from navarch.objects import quantity

COMPONENT = "kubelet"
"""How events name their source: what users and their tools look for."""


class Agent:
    """storage, machine, cgroups, heartbeats: stand-ins for simulated nodes; by default this machine's own.

    informers: shared with others of the process, who run them; by default the agent's own. ground: what can run short;
    nothing by default, as on simulated nodes. sweep: clears networks of pods away that nobody knows any more.
    """

    isolate: Isolate | None = None
    """Who makes network policies hold for a pod before its first container starts."""

    _on_disk: DiskStorage | None = None
    """Volumes of the machine itself; simulated nodes have none."""

    def __init__(
        self,
        client: Client,
        runtime: Runtime,
        clock: Clock,
        ids: Ids,
        config: AgentConfig,
        *,
        storage: Storage | None = None,
        machine: Machine | None = None,
        cgroups: Cgroups | None = None,
        heartbeats: Heartbeats | None = None,
        allotments: Allotments | None = None,
        informers: Informers | None = None,
        ground: Ground | None = None,
        sweep: Sweep | None = None,
    ) -> None:
        self.config, self.runtime = config, runtime
        self._clock, self._sweep = clock, sweep
        self._runtime_changed = asyncio.Event()
        self._machine = machine if machine is not None else read_machine(config.paths.root)
        self._cgroups = cgroups if cgroups is not None else Cgroups(config.cgroup_root)
        self._events, self._owns_informers = Events(client, clock), informers is None
        self._informers = informers if informers is not None else Informers(client, clock)
        self._pods_informer = self._informers.of(POD, fields=f"spec.nodeName={config.node_name}")
        self._services = self._informers.of(SERVICE)
        self._nodes = self._informers.of(NODE, fields=f"metadata.name={config.node_name}")
        recorder = self._events.of(COMPONENT, config.node_name)
        self._allotments = self._heeding(allotments or allotments_of(config, clock, real=storage is None))
        self.vitals = Vitals()
        self._lookout = Lookout(runtime, clock, self.vitals, config.relist_s, self._runtime_changed.set)
        self._node = self._reporter(client, heartbeats or LeaseHeartbeats(client, clock), recorder)
        self._nodes.subscribe(self._judged)
        self._references = References(client, clock, lambda uids: self.pods.refresh(uids))
        self.plugins: PluginWatch | None = None
        """Who takes plugins of the node; None on simulated nodes, which have none."""
        self._drivers: CsiNode | None = None
        self._claims = self._device_claims(client, real=storage is None)
        self.probed: Counter[tuple[str, str, str, str, str, str]] = Counter()
        """How often probes said what: see `exposition.Probed`."""
        tools = self._equipped(client, storage if storage is not None else self._disk(client, recorder), recorder)
        self.pods = self._pods_with(tools, ids, self._machine.allocatable(config.kubelet))
        changed = self._runtime_changed.set
        self.shutdown = self._shutdown(recorder, changed, real=ground is not None)
        self.shortage = Shortage(ground, self.pods, tools, recorder, self._nodes, changed) if ground else None

    def _equipped(self, client: Client, storage: Storage, recorder: Recorder) -> Tools:
        return Tools(
            client=client,
            runtime=self.runtime,
            clock=self._clock,
            config=self.config,
            machine=self._machine,
            images=Images(self.runtime, self._clock, self.config.images, ApiAccounts(client)),
            classes=RuntimeClasses(client),
            references=self._references,
            storage=storage,
            cgroups=self._cgroups,
            recorder=recorder,
            services=self._addresses,
            probed=self.probed,
            vitals=self.vitals,
            allotments=self._allotments,
            isolate=self._isolated,
            claims=self._claims,
        )

    async def _isolated(self, pod: Object, addresses: Sequence[str]) -> None:
        if self.isolate is not None:
            await self.isolate(pod, addresses)

    def _pods_with(self, tools: Tools, ids: Ids, allocatable: Mapping[str, str]) -> Pods:
        return Pods(
            tools,
            ids,
            self._pods_informer,
            lambda: self._node.network_ready,
            self._lookout,
            self.vitals,
            Leftovers(tools, self.vitals, self._sweep),
            allocatable,
            self._own_node,
            self._abilities,
            self._pressure,
            self._statics(tools),
        )

    def _statics(self, tools: Tools) -> StaticPods | None:
        kubelet, name, clock = self.config.kubelet, self.config.node_name, self._clock
        sources: list[Source] = []
        if kubelet.static_pod_path:
            sources.append(Folder(Path(kubelet.static_pod_path), name, clock, kubelet.file_check_frequency_s))
        if kubelet.static_pod_url:
            given = (kubelet.static_pod_url, kubelet.static_pod_url_header)
            sources.append(url_source(*given, name, clock, kubelet.http_check_frequency_s))
        if not sources:
            return None
        return StaticPods(sources, clock, Mirrors(tools.client, clock, self._pods_informer, name, self._own_uid))

    @property
    def _has_statics(self) -> bool:
        return bool(self.config.kubelet.static_pod_path or self.config.kubelet.static_pod_url)

    def _own_uid(self) -> str:
        found = self._nodes.get("", self.config.node_name)
        return found.uid if found is not None else ""

    def _reporter(self, client: Client, heartbeats: Heartbeats, recorder: Recorder) -> NodeReporter:
        plugins = self._allotments.plugins
        checks = (self._lookout.problem, lambda: self.shutdown.problem())
        devices = plugins.amounts if plugins is not None else dict
        own = (self.runtime, self._clock, self.config, self._machine)
        return NodeReporter(client, *own, heartbeats, recorder, checks, self._pressure, devices)

    def _disk(self, client: Client, recorder: Recorder) -> Storage:
        """The machine's own, which plugins may add to."""
        self._drivers = CsiNode(client, self._clock, self.config, recorder)
        self.plugins = PluginWatch(self.config.paths.plugins_registry, self._clock)
        self.plugins.handlers[CSI] = self._drivers.registry
        if self._claims.drivers is not None:
            self.plugins.handlers[DRA] = self._claims.drivers
        self._on_disk = disk_storage(client, self.config, self._clock, self.runtime.info, self._drivers.volumes)
        return self._on_disk

    def _device_claims(self, client: Client, *, real: bool) -> DeviceClaims:
        """real: whether there is a machine with drivers; simulated nodes have none."""
        if not real:
            return DeviceClaims(client)
        drivers = Drivers(client, self._clock, self.config.node_name)
        file = self.config.paths.root / "device-claims.json"
        healths = Healths(self._clock)
        healths.changed = lambda: self.pods.rebind()
        drivers.watchers.append(healths.watch)
        return DeviceClaims(client, drivers, file, self._machine.boot_id, self.config.cdi, healths)

    def _monitored(self) -> PodResources:
        folder = self.config.paths.pod_resources
        return PodResources(self.pods.active, self._allotments, self._claims, folder, self._clock)

    def _heeding(self, allotments: Allotments) -> Allotments:
        """Have it told around when devices or shared CPUs change."""

        def devices_changed() -> None:
            self._runtime_changed.set()
            self.pods.rebind()

        allotments.shared_changed = lambda: self.pods.rebind()
        if allotments.plugins is not None:
            allotments.plugins.changed = devices_changed
        return allotments

    async def volumes_used(self) -> Sequence[VolumeUse]:
        """What is used of the pods' volumes: of those whose drivers say it, and of claims' on this node's disks."""
        if self._drivers is None or self._on_disk is None:
            return ()
        return [*await self._drivers.volumes.used(), *await self._on_disk.used()]

    async def run(self) -> None:
        """Until cancelled. Raises: Retryable, when the control groups above the pods cannot be made."""
        try:
            if self._cgroups.active:
                await asyncio.to_thread(self._cgroups.set_up, self._bounds_milli())
        except OSError as error:
            where = f"{error.filename}: {error.strerror}"
            raise Retryable(f"control groups cannot be made ({where}): is this root, with writable cgroups?") from error
        await self._allotments.load()
        await self._claims.load()
        reachable = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            if self._has_statics:  # these run whoever else does
                group.create_task(self.pods.run(reachable))
            await self._node.register()
            group.create_task(self._events.run())
            if self._owns_informers:
                group.create_task(self._informers.run())
            group.create_task(self._references.run())
            group.create_task(self._node.beat())
            if self.plugins is not None and self._drivers is not None:
                group.create_task(self._drivers.run())
                if self._claims.drivers is not None:
                    group.create_task(self._claims.drivers.run())
                group.create_task(self.plugins.run())
            if self._allotments.plugins is not None:
                group.create_task(self._allotments.plugins.run())
            if self.plugins is not None:
                group.create_task(self._monitored().run())
            group.create_task(self._node.run(self._until_runtime_changes))
            await self._services.synced.wait()
            await self._nodes.synced.wait()
            await self._node.informed.wait()
            reachable.set()
            if not self._has_statics:
                group.create_task(self.pods.run(reachable))
            group.create_task(self.shutdown.run())
            if self.shortage is not None:
                group.create_task(self.shortage.run())

    def _bounds_milli(self) -> dict[str, int]:
        """What all pods together may take before some are evicted, in thousandths."""
        bounds = self._machine.allocatable(self.config.kubelet, free=False)
        return {name: quantity.milli(amount) for name, amount in bounds.items()}

    async def _until_runtime_changes(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._runtime_changed.wait()
        except TimeoutError:
            return
        finally:
            self._runtime_changed.clear()

    def evicted(self) -> Mapping[str, int]:
        """How many pods had to go, by what for."""
        return self.shortage.evictor.evicted if self.shortage is not None else {}

    def _pressure(self) -> frozenset[str]:
        return self.shortage.evictor.pressure if self.shortage is not None else frozenset()

    def _shutdown(self, recorder: Recorder, changed: Callable[[], None], *, real: bool) -> Shutdown:
        """real: the machine may be another one when it comes up again."""

        def tell(reason: str, message: str) -> None:
            if (node := self._nodes.get("", self.config.node_name)) is not None:
                recorder.event(node, "Normal", reason, message)

        times = Times(self.config.paths.root / "graceful_node_shutdown_state" if real else None, self.vitals)
        return Shutdown(self.pods, self._clock, self.config.kubelet, changed, tell, times)

    def _judged(self, old: Object | None, new: Object | None) -> None:
        """The control plane says that it does not know how the node is: it is told now, and not at the next report."""
        ready = new.view.status.condition("Ready") if new is not None else None
        if ready is not None and ready.status == "Unknown":
            self._runtime_changed.set()

    def _own_node(self) -> Node | None:
        found = self._nodes.get("", self.config.node_name)
        return found.view if found is not None else None

    def _abilities(self) -> Abilities:
        groups = self._node.info is not None and self._node.info.strict_groups is True
        return Abilities(self.config.kubelet.allowed_unsafe_sysctls, self._machine.apparmor, groups)

    def _addresses(self, namespace: str, all_of_them: bool) -> Iterable[ServiceAddress]:
        """The API server's service, and those of the namespace when the pod wants links to them."""
        home = self.config.master_service_namespace
        own = self._services.list(namespace) if all_of_them else ()
        kubernetes = self._services.get(home, "kubernetes")
        found = [kubernetes] if kubernetes is not None and namespace != home else []
        if kubernetes is not None and namespace == home and not all_of_them:
            found.append(kubernetes)
        for item in (*found, *sorted(own, key=lambda one: one.name)):
            spec = item.view.spec
            if spec.cluster_ip not in ("", "None"):
                ports = tuple(ServicePort(port.name, port.port, port.protocol) for port in spec.ports)
                yield ServiceAddress(item.name, spec.cluster_ip, ports)
