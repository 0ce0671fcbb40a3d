"""The server process: API server, store, controllers and scheduler of one machine, until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from navarch.apiserver.admission import extensions
from navarch.apiserver.audit.logfile import Settings as LogSettings
from navarch.apiserver.audit.policy import BadPolicy, parse
from navarch.apiserver.bootstrap import Place
from navarch.apiserver.call import ITSELF
from navarch.app import identity, ranges
from navarch.app.control_plane import Audit, ControlPlane
from navarch.app.control_plane import Settings as PlaneSettings
from navarch.app.dialer import HttpsDialer
from navarch.app.layout import BadSettings, Layout, Settings
from navarch.app.lines import KernelLines
from navarch.app.meter import AgentMeter
from navarch.app.process import on_renewal, run_process, settle, settle_more, stop_signals
from navarch.app.welcome import ensure_welcome
from navarch.base import log
from navarch.base.clock import SystemClock, SystemIds
from navarch.base.errors import AlreadyExists
from navarch.base.pki import client_context, server_context, unverified_context
from navarch.client.client import Client
from navarch.controllers.options import Options
from navarch.kinds import RUNTIMECLASS, SERVICE
from navarch.kinds.metrics import METERED
from navarch.kinds.registry import DEFAULT
from navarch.kinds.runtimeclass import host_process_class
from navarch.objects.value import Document
from navarch.store.etcd.settings import Settings as EtcdSettings
from navarch.store.store import Store
from navarch.wire.http import Server

_log = log.Log("server")


@asynccontextmanager
async def running(layout: Layout, settings: Settings) -> AsyncIterator[ControlPlane]:
    """The control plane, reachable on its port and its socket; leaving stops it."""
    clock, ids = SystemClock(), SystemIds()
    audit = audit_settings(layout, settings)
    who = identity.prepare(layout, settings, clock)
    store = await open_store(layout, settings)
    shown_to_nodes = who.dialer
    dialer = HttpsDialer(
        lambda: plane.core.reads, client_context(who.ca, shown_to_nodes), lambda: unverified_context(shown_to_nodes)
    )
    plane = ControlPlane(
        store,
        clock,
        ids,
        replace(plane_settings(who, settings), audit=audit),
        kinds=DEFAULT.with_kinds(*METERED),
        dialer=dialer,
        lines=KernelLines(clock) if settings.node_lines else None,
    )
    plane.core.measure_by(AgentMeter(dialer))

    def show(found: identity.Identity) -> None:
        server.context = server_context(found.server, found.ca)
        dialer.show(client_context(found.ca, found.dialer), lambda: unverified_context(found.dialer))
        plane.core.aggregator.pair = found.front_proxy

    renewal = identity.Renewal(who, lambda: identity.prepare(layout, settings, clock), show)

    try:
        await plane.start()
        await ensure_dns_service(plane.client(ITSELF, "navarch"), settings)
        await ensure_host_processes(plane.client(ITSELF, "navarch"))
        await ensure_welcome(plane.client(ITSELF, "navarch"), settings, who.ca)
        context = server_context(who.server, who.ca)
        ending = plane.core.end_watches
        served = plane.server
        async with Server(
            served.handle, context=context, clock=clock, end_streams=ending, hands_on=served.hands_on
        ) as server:
            for host in settings.every_address:
                await server.listen(host, settings.api_port)
            await server.listen_unix(layout.server_socket)
            async with asyncio.TaskGroup() as group:
                synced = asyncio.Event()
                organs = group.create_task(plane.run(synced))
                settling = group.create_task(_settle_when(synced))
                renewing = group.create_task(renewal.run())
                on_renewal(renewal.hurry)
                settle()
                _log.info("serving", port=settings.api_port, socket=layout.server_socket)
                yield plane
                await drain(plane, settings)
                organs.cancel()
                renewing.cancel()
                settling.cancel()
    finally:
        await plane.close()
        await dialer.close()
        await store.close()


async def drain(plane: ControlPlane, settings: Settings) -> None:
    """Say that the server is not ready any more, and serve on until whoever sends it requests has heard."""
    plane.server.draining = True
    if settings.shutdown_delay_s:
        _log.info("stopping soon", after_s=settings.shutdown_delay_s)
        await asyncio.sleep(settings.shutdown_delay_s)


async def open_store(layout: Layout, settings: Settings) -> Store:
    """What the settings name, loading no more than it needs. Raises: Unavailable, BadSettings."""
    if not settings.etcd_servers:
        from navarch.store.sqlite import SqliteStore

        return await SqliteStore.open(layout.database)
    from navarch.store.etcd.store import EtcdStore

    return await EtcdStore.open(etcd_settings(settings))


def etcd_settings(settings: Settings) -> EtcdSettings:
    ca, certificate, key = (
        Path(name) if name else None for name in (settings.etcd_cafile, settings.etcd_certfile, settings.etcd_keyfile)
    )
    every_s = settings.etcd_compaction_interval_s
    return EtcdSettings(tuple(settings.etcd_servers), ca, certificate, key, settings.etcd_prefix, every_s)


async def _settle_when(synced: asyncio.Event) -> None:
    await synced.wait()
    settle_more()


def plane_settings(who: identity.Identity, settings: Settings) -> PlaneSettings:
    place = Place(
        ranges.first(settings, ranges.API_HOST),
        (settings.node_ip,),
        settings.api_port,
        who.ca.decode(),
        who.front_proxy_ca.decode(),
    )
    options = Options(
        root_ca=who.ca.decode(),
        cluster_cidr=settings.cluster_cidr,
        node_grace_s=settings.node_grace_s,
        patience_s=settings.node_patience_s,
        node_evictions_s=settings.node_evictions_s,
        joining=True,
        cluster_domain=settings.cluster_domain,
    )
    return PlaneSettings(
        who.signing_key,
        place=place,
        options=options,
        front_proxy=who.front_proxy,
        judges=extensions.installed(),
        sign=who.sign,
        networks=settings.service_cidr,
    )


def audit_settings(layout: Layout, settings: Settings) -> Audit | None:
    """Raises: BadSettings."""
    if not settings.audit_policy_file:
        if settings.audit_log_path:
            raise BadSettings("--audit-log-path says where, and no --audit-policy-file what is to be recorded")
        return None
    try:
        policy = parse(Path(settings.audit_policy_file).read_bytes())
    except (OSError, BadPolicy) as why:
        raise BadSettings(f"the audit policy {settings.audit_policy_file} cannot be used: {why}") from None
    path = settings.audit_log_path or str(layout.logs / "audit.log")
    size_bytes = settings.audit_log_maxsize << 20
    return Audit(policy, LogSettings(path, size_bytes, settings.audit_log_maxbackup, settings.audit_log_maxage))


async def ensure_dns_service(client: Client, settings: Settings) -> None:
    """The Service under whose address every node answers names; it has no endpoints: each node is its own."""
    document: Document = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": "kube-dns",
            "namespace": "kube-system",
            "labels": {"k8s-app": "kube-dns", "kubernetes.io/name": "CoreDNS"},
        },
        "spec": {
            "clusterIP": settings.dns_ip,
            "ports": [
                {"name": "dns", "port": 53, "protocol": "UDP", "targetPort": 53},
                {"name": "dns-tcp", "port": 53, "protocol": "TCP", "targetPort": 53},
            ],
        },
    }
    with contextlib.suppress(AlreadyExists):
        await client.create(SERVICE, document)


async def ensure_host_processes(client: Client) -> None:
    """The class by which pods are processes of their node's own file system."""
    with contextlib.suppress(AlreadyExists):
        await client.create(RUNTIMECLASS, host_process_class())


async def serve(layout: Layout, settings: Settings) -> None:
    stop = stop_signals()
    async with running(layout, settings):
        await stop.wait()
    _log.info("stopped")


if __name__ == "__main__":
    sys.exit(run_process(sys.argv[1:], serve))
