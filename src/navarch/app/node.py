"""The node's process: agent, proxy and DNS, and the agent's own port, until it is told to stop.

They share one client, whose identity is the node's, and one set of caches. Ending it touches no container and no rule
of the kernel: whoever starts it again finds everything as it was.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from navarch.agent import kubeletfile, shutdown
from navarch.agent.agent import Agent
from navarch.agent.cgroups import Cgroups
from navarch.agent.config import AgentConfig, Paths
from navarch.agent.cri import CriRuntime
from navarch.agent.cristreams import CriStreams
from navarch.agent.details import Inspector
from navarch.agent.doorman import Doorman
from navarch.agent.groupstats import Groups
from navarch.agent.kubelet import EVICTION_HARD, KubeletConfig, Threshold
from navarch.agent.logind import Logind, bus_address
from navarch.agent.machine import read_machine
from navarch.agent.measures import Measures
from navarch.agent.nodelogs import NodeLogs
from navarch.agent.nodepages import NodePages
from navarch.agent.port import Port, Streams
from navarch.agent.process.router import StreamRouter
from navarch.agent.runtime import Runtime
from navarch.agent.shortage import Ground
from navarch.agent.usage import Gauges
from navarch.app import cidr, cni, containerd, identity, machine, pause, preload, processes
from navarch.app.cnisweep import Networks
from navarch.app.enrolment import node_target
from navarch.app.imagestore import ImageStore
from navarch.app.keeping import Kept
from navarch.app.layout import Layout, Settings
from navarch.app.nodenetwork import before_the_first_packet, network_organs
from navarch.app.process import on_renewal, run_process, settle, settle_more, stop_signals
from navarch.app.pulling import pull_settings
from navarch.app.sweep import Leases, Shims, Sweeper
from navarch.app.upkeep import Upkeep, ask_beside
from navarch.base.clock import SystemClock, SystemIds
from navarch.base.log import Log
from navarch.base.metrics import Counter, Gauge, Histogram
from navarch.base.pki import server_context
from navarch.client.http import HttpClient
from navarch.client.informer import Informers
from navarch.kinds import POD
from navarch.wire.http import Server
from navarch.wire.message import Request, Response

if TYPE_CHECKING:
    from navarch.agent.netcheck.page import NetCheck

OUT_OF_THE_BOX = KubeletConfig(
    pod_pids_limit=4096,
    eviction_hard={**EVICTION_HARD, **dict.fromkeys(("nodefs.available", "imagefs.available"), Threshold(part=0.05))},
    image_gc_high_threshold_percent=95,
    image_gc_low_threshold_percent=90,
)
"""How a node is run whose owner says nothing: others use its disk too, and it may well be fuller than a server's; no
pod takes all the process ids that the machine has."""

_log = Log("node")


class Organ(Protocol):
    """What the process runs."""

    async def run(self) -> None: ...


def agent_config(layout: Layout, settings: Settings) -> AgentConfig:
    """Raises: BadKubeletFile, BadSettings."""
    path = settings.kubelet_config_file
    kubelet = kubeletfile.read(Path(path)) if path else OUT_OF_THE_BOX
    logs = Path(kubelet.pod_logs_dir) if kubelet.pod_logs_dir else layout.logs / "pods"
    return AgentConfig(
        node_name=settings.node_name,
        node_ips=settings.node_ips,
        paths=Paths(layout.agent, logs),
        cluster_dns=(settings.dns_ip,),
        cluster_domain=settings.cluster_domain,
        port=settings.agent_port,
        cgroup_root=f"/{settings.cgroup}",
        log_bytes=kubelet.container_log_max_bytes,
        log_files=kubelet.container_log_max_files,
        kubelet=kubelet,
        images=pull_settings(layout, settings, kubelet),
        programs=containerd.programs(machine.containerd_settings(layout)),
    )


def node_logs(layout: Layout, kubelet: KubeletConfig) -> NodeLogs:
    """The agent's own log is found by the name of what it stands for."""
    return NodeLogs(
        (Path("/var/log"), layout.logs),
        {"kubelet": "agent.log"},
        kubelet.enable_system_log_handler,
        kubelet.enable_system_log_query,
    )


def measured(
    layout: Layout,
    agent: Agent,
    runtime: Runtime,
    clock: SystemClock,
    cgroups: Cgroups,
    asked: Callable[[], Iterable[Counter | Gauge | Histogram]],
) -> Measures:
    """What the agent's port tells of what is used."""
    config, images = agent.config, machine.containerd_settings(layout).root
    gauges = Gauges(runtime, clock, config.node_name, layout.agent, cgroups.member)
    counted_s = config.kubelet.volume_stats_agg_period_s
    inspector = Inspector(Groups(cgroups.hierarchy, config.cgroup_root), config.paths, images, clock, counted_s)
    return Measures(gauges, lambda: agent.probed, agent.vitals, agent.volumes_used, inspector, agent.evicted, asked)


async def containerd_ready(layout: Layout, runtime: CriRuntime, clock: SystemClock) -> None:
    """Wait for containerd, give it the sandbox image if it has none, and what lies in the folder of images."""
    settings = machine.containerd_settings(layout)
    while not await containerd.answers(settings.socket):
        await clock.sleep(0.05)
    if await runtime.image(pause.PAUSE_IMAGE) is None:
        archive = layout.run / "pause.tar"
        pause.write_pause_image(archive)
        await runtime.import_image(archive)
        archive.unlink()
    store = ImageStore(runtime, settings.socket, settings.snapshotter)
    await preload.take_in(
        layout.images, layout.agent / "preloaded.json", runtime, lambda path: store.take_in(path, _quietly)
    )


def _quietly(done: int) -> None:
    """Nobody watches the node's own start."""


def _sweeper(layout: Layout, settings: Settings, clock: SystemClock) -> Sweeper:
    runtime, network = machine.containerd_settings(layout), machine.pod_network(layout, settings)
    networks = (Networks(network),) if network.bridge else ()
    return Sweeper(clock, (*networks, Shims(runtime), Leases(runtime)))


def _cgroups(layout: Layout, config: AgentConfig) -> Cgroups:
    found = read_machine(layout.agent)
    sizes = [size for size, _ in found.hugepages]
    return Cgroups(config.cgroup_root, kubelet=config.kubelet, pagesizes=sizes, pids=found.pids)


async def serve(layout: Layout, settings: Settings) -> None:
    stop = stop_signals()
    kept = Kept(os.environ)
    config, who = agent_config(layout, settings), identity.load_node(layout)
    clock, ids = SystemClock(), SystemIds()
    client = HttpClient(node_target(settings, who), "navarch-agent")
    runtime = CriRuntime(machine.containerd_settings(layout).socket, clock)
    router = processes.routed(layout, runtime, clock, ids)
    await cidr.ask(client, layout, settings)
    machine.pod_network(layout, settings).ensure()
    await containerd_ready(layout, runtime, clock)
    informers = Informers(client, clock)
    cgroups = _cgroups(layout, config)
    ground = Ground(machine.containerd_settings(layout).root, frozenset((pause.PAUSE_IMAGE,)))
    sweep = _sweeper(layout, settings, clock)
    agent = Agent(client, router, clock, ids, config, cgroups=cgroups, informers=informers, ground=ground, sweep=sweep)
    network = network_organs(layout, settings, informers, clock, ids, kept)
    agent.isolate = before_the_first_packet(layout, settings, network[0])
    organs: tuple[Organ, ...] = (agent, *_logind(agent, clock), *network, informers)
    measures = measured(
        layout,
        agent,
        router,
        clock,
        cgroups,
        lambda: (*runtime.operations.all, network[0].refused, *network[1].counts.all),
    )
    doorman = Doorman(client, settings.node_name, clock)
    streams = StreamRouter(router, CriStreams(runtime.channel, runtime.operations))
    port = _port(layout, settings, agent, streams, informers, measures, doorman, clock)
    try:
        async with (
            Server(
                port.handle, context=server_context(who.agent, who.ca), clock=clock, hands_on=port.hands_on
            ) as server,
            asyncio.TaskGroup() as group,
        ):
            for host in settings.every_address:
                await server.listen(host, settings.agent_port)
            tasks = [group.create_task(organ.run()) for organ in (*organs, streams)]
            renewal = _renewal(layout, settings, who, server, client)
            tasks.append(group.create_task(renewal.run()))
            on_renewal(renewal.hurry)
            tasks += upkeep_tasks(group, layout, settings, clock, ids, renewal)
            settle()
            _log.info("serving", node=settings.node_name, port=settings.agent_port)
            tasks.append(group.create_task(_settle_when_synced(informers)))
            asyncio.get_running_loop().add_signal_handler(signal.SIGPWR, agent.shutdown.begin)
            await stop.wait()
            for task in tasks:
                task.cancel()
    finally:
        await port.proxy.close()
        await runtime.close()
        await client.close()
    _log.info("stopped")


def _port(
    layout: Layout,
    settings: Settings,
    agent: Agent,
    streams: Streams,
    informers: Informers,
    measures: Measures,
    doorman: Doorman,
    clock: SystemClock,
) -> Port:
    runtime, kubelet = agent.runtime, agent.config.kubelet
    pods = informers.of(POD, fields=f"spec.nodeName={settings.node_name}")
    return Port(
        runtime,
        streams,
        clock,
        host_address=settings.node_ip,
        pods=pods,
        measures=measures,
        pages=NodePages(runtime, kubelet, pods.list, node_logs(layout, kubelet)),
        doorman=doorman,
        checks=_checks(runtime, settings),
    )


def _checks(runtime: Runtime, settings: Settings) -> Callable[[Request], Awaitable[Response]]:
    """Probes of the network, of which nothing is in memory until somebody asks for one."""
    made: list[NetCheck] = []

    async def answer(request: Request) -> Response:
        if not made:
            from navarch.agent.netcheck.page import NetCheck

            made.append(NetCheck(runtime, cni.RESULTS, settings.table))
        return await made[0].page(request)

    return answer


def upkeep_tasks(
    group: asyncio.TaskGroup,
    layout: Layout,
    settings: Settings,
    clock: SystemClock,
    ids: SystemIds,
    renewal: identity.Renewal[identity.NodeIdentity],
) -> list[asyncio.Task[None]]:
    """On a machine that has joined, which asks for its certificates; where the server is, it makes them."""
    if not settings.server:
        return []
    return [group.create_task(Upkeep(layout, settings, clock, ids, ask_beside, renewal.hurry).run())]


def _logind(agent: Agent, clock: SystemClock) -> Sequence[Logind]:
    """Who hears that the machine goes down, where there is anybody to hear, and a time for the pods."""
    needed_s = shutdown.needed_s(agent.config.kubelet)
    address = bus_address() if needed_s else ""
    return (Logind(agent.shutdown, needed_s, clock, address),) if address else ()


def _renewal(
    layout: Layout, settings: Settings, who: identity.NodeIdentity, server: Server, client: HttpClient
) -> identity.Renewal[identity.NodeIdentity]:
    """Of what the node shows to whoever asks it, and to the API server."""

    def show(found: identity.NodeIdentity) -> None:
        server.context = server_context(found.agent, found.ca)
        client.show(node_target(settings, found))

    return identity.Renewal(who, lambda: identity.load_node(layout), show)


async def _settle_when_synced(informers: Informers) -> None:
    await informers.synced()
    settle_more()


if __name__ == "__main__":
    sys.exit(run_process(sys.argv[1:], serve))
