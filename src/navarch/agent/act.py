"""Carries out the steps of a plan on the runtime and the disk, and tells users about them in events.

A step raises when it could not be done; the pod's worker notes the failure, and the plan says when to try again.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import timedelta

from navarch.agent import bandwidth, halt, hooks, resources, specs
from navarch.agent.allotments import Allotments, NotAllotted
from navarch.agent.cgroups import Cgroups
from navarch.agent.classes import RuntimeClasses, check_user_namespace
from navarch.agent.config import AgentConfig
from navarch.agent.devices.extras import together
from navarch.agent.dra.claims import DeviceClaims
from navarch.agent.environment import Lookup, ServiceAddress, environment
from navarch.agent.facts import is_running
from navarch.agent.images import Images
from navarch.agent.machine import Machine
from navarch.agent.network import read_resolv_conf
from navarch.agent.plan import LEAST_GRACE_S
from navarch.agent.references import References
from navarch.agent.resize import wanted, wanted_whole
from navarch.agent.runtime import DnsSettings, Image, Runtime, RuntimeFailure, SandboxSpec
from navarch.agent.steps import (
    Allot,
    BindContainer,
    CleanUp,
    EnsureImage,
    Finish,
    MountVolumes,
    PrepareClaims,
    RefreshVolumes,
    RemoveContainer,
    RemoveSandbox,
    ResizeContainer,
    ResizePod,
    RunPreStop,
    StartContainer,
    StartSandbox,
    Step,
    StopContainer,
    StopSandbox,
    UnprepareClaims,
)
from navarch.agent.timeline import span
from navarch.agent.vitals import Vitals
from navarch.agent.volumes.imagevolumes import by_id, pulled_for
from navarch.agent.volumes.storage import Storage
from navarch.agent.work import Work
from navarch.base.clock import Clock
from navarch.base.errors import ApiError, Conflict, NotFound, Retryable
from navarch.base.log import Log
from navarch.client.client import Client
from navarch.client.events import NO_NOTES, Recorder
from navarch.kinds import POD
from navarch.kinds.object import Object
from navarch.kinds.podspec.container import Container, EphemeralContainer

_log = Log("agent")

Services = Callable[[str, bool], Iterable[ServiceAddress]]
"""(namespace, whether all services or only the API server's own) -> what containers there are told by variables."""

Isolate = Callable[[Object, Sequence[str]], Awaitable[None]]
"""Returns once network policies hold for a pod with these addresses. Raises: Retryable."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What steps are carried out with."""

    client: Client
    runtime: Runtime
    clock: Clock
    config: AgentConfig
    machine: Machine
    images: Images
    classes: RuntimeClasses
    references: References
    storage: Storage
    cgroups: Cgroups
    recorder: Recorder
    services: Services
    allotments: Allotments
    claims: DeviceClaims
    probed: Counter[tuple[str, str, str, str, str, str]]
    """How often probes said what: see `exposition.Probed`."""
    vitals: Vitals
    isolate: Isolate


class Actor:
    def __init__(self, tools: Tools) -> None:
        self._t = tools

    def _asking(self, part: str) -> AbstractContextManager[None]:
        return span(part, self._t.clock.monotonic)

    def tell(
        self,
        work: Work,
        type: str,
        reason: str,
        message: str,
        container: str = "",
        annotations: Mapping[str, str] = NO_NOTES,
    ) -> None:
        """An event about the pod or, with `container`, about that part of it."""
        if work.object is None:
            return
        path = ""
        if container:
            field = "spec.containers"
            if any(one.name == container for one in work.pod.spec.init_containers):
                field = "spec.initContainers"
            elif any(one.name == container for one in work.pod.spec.ephemeral_containers):
                field = "spec.ephemeralContainers"
            path = f"{field}{{{container}}}"
        self._t.recorder.event(work.object, type, reason, message, field_path=path, annotations=annotations)

    async def carry_out(self, step: Step, work: Work) -> None:
        """Raises: RuntimeFailure, Retryable, ApiError."""
        match step:
            case MountVolumes() | RefreshVolumes():
                await self._mount(work)
            case StartSandbox():
                await self._start_sandbox(work, step.attempt)
            case EnsureImage():
                await self._ensure_image(work, step.container)
            case StartContainer():
                await self._start_container(work, step)
            case StopContainer():
                await self._stop_container(work, step)
            case RunPreStop():
                await self._run_pre_stop(work, step, step.message)
            case ResizeContainer():
                await self._resize(work, step)
            case StopSandbox():
                await self._t.runtime.stop_sandbox(step.sandbox_id)
            case RemoveContainer():
                await self._t.runtime.remove_container(step.container_id)
            case RemoveSandbox():
                await self._t.runtime.remove_sandbox(step.sandbox_id)
            case ResizePod():
                await self._resize_whole(work)
            case Allot():
                await self._allot(work)
            case PrepareClaims():
                await self._prepare_claims(work)
            case UnprepareClaims():
                await self._t.claims.unprepare(work.uid)
            case BindContainer():
                await self._bind(work, step)
            case CleanUp():
                await self._clean_up(work)
            case Finish():
                await self._finish(work)

    async def _mount(self, work: Work) -> None:
        work.stale = False
        lookup = await self._lookup(work)
        try:
            await self._t.storage.mount(work.pod, lookup, work.around)
        except RuntimeFailure as error:
            self.tell(work, "Warning", "FailedMount", str(error))
            raise
        work.volumes_ready = True

    async def _allot(self, work: Work) -> None:
        try:
            await self._t.allotments.allot(work.pod)
        except NotAllotted as error:
            work.refused = (error.reason, str(error))
            self.tell(work, "Warning", error.reason, str(error))

    async def _prepare_claims(self, work: Work) -> None:
        try:
            with self._asking("claims"):
                await self._t.claims.prepare(work.pod)
        except (ApiError, Retryable) as error:
            text = f"Failed to prepare dynamic resources: prepare dynamic resources: {error}"
            self.tell(work, "Warning", "FailedPrepareDynamicResources", text)
            raise

    async def _bind(self, work: Work, step: BindContainer) -> None:
        container = specs.find_container(work.pod, step.container)
        given = resources.of_container(work.pod, container, self._terms(work, step.container))
        await self._t.runtime.update_container(step.container_id, given)
        work.bound[step.container_id] = given.cpuset_cpus

    async def _lookup(self, work: Work) -> Lookup:
        if work.lookup is None:
            with self._asking("references"):
                work.lookup = await self._t.references.of(work.pod)
        return work.lookup

    async def _start_sandbox(self, work: Work, attempt: int) -> None:
        pod = work.pod
        if attempt and work.runtime.sandboxes:
            text = "Pod sandbox changed, it will be killed and re-created."
            self.tell(work, "Normal", "SandboxChanged", text)
            for box in work.runtime.sandboxes:
                await self._t.runtime.stop_sandbox(box.id)
        try:
            work.handler = await self._t.classes.handler_of(pod)
            bandwidth.check(pod)
            if not pod.spec.host_users:
                check_user_namespace(pod, work.handler, await self._t.runtime.info())
            if self._t.cgroups.active:
                await asyncio.to_thread(self._t.cgroups.make, pod)
            work.given = wanted_whole(pod)
            spec = self._sandbox_spec(work, attempt)
            with self._asking("sandbox"):
                await self._t.runtime.start_sandbox(spec)
        except (RuntimeFailure, OSError) as error:
            text = f"Failed to create pod sandbox: {error}"
            self.tell(work, "Warning", "FailedCreatePodSandBox", text)
            raise RuntimeFailure(text, reason="ContainerCreating") from error

    def _sandbox_spec(self, work: Work, attempt: int) -> SandboxSpec:
        spec = work.sandbox_spec
        if spec is None or spec.attempt != attempt:
            config = self._t.config
            node_dns = read_resolv_conf(config.resolv_conf) if self._t.cgroups.active else DnsSettings()
            parent = self._t.cgroups.parent(work.pod)
            spec = work.sandbox_spec = specs.sandbox_spec(work.pod, attempt, config, parent, node_dns, work.handler)
        return spec

    async def _ensure_image(self, work: Work, name: str) -> None:
        container = specs.find_container(work.pod, name)
        lookup = await self._lookup(work)

        def tell(type: str, reason: str, message: str) -> None:
            self.tell(work, type, reason, message, name)

        def identify(secret: str) -> str:
            return self._t.references.uid("secrets", work.pod.metadata.namespace, secret)

        with self._asking("image"):
            for mounted in pulled_for(work.pod, container):
                found = await self._t.images.ensure(work.pod, mounted, lookup, tell, identify)
                work.mounted_images[mounted.image] = found.id
            work.images[name] = await self._t.images.ensure(work.pod, container, lookup, tell, identify)

    async def _start_container(self, work: Work, step: StartContainer) -> None:
        if work.object is not None and work.runtime.sandboxes:
            await self._t.isolate(work.object, work.runtime.sandboxes[0].ips)
        container = specs.find_container(work.pod, step.container)
        image = work.images.pop(step.container)
        try:
            container_id = await self._create(work, container, step, image)
        except RuntimeFailure as error:
            self.tell(work, "Warning", "Failed", f"Error: {error}", container.name)
            raise
        self.tell(work, "Normal", "Created", "Container created", container.name)
        try:
            with self._asking("start"):
                await self._t.runtime.start_container(container_id)
        except RuntimeFailure as error:
            self.tell(work, "Warning", "Failed", f"Error: {error}", container.name)
            raise
        self.tell(work, "Normal", "Started", "Container started", container.name)
        await self._after_start(work, container, container_id)

    async def _create(self, work: Work, container: Container, step: StartContainer, image: Image) -> str:
        pod, around = work.pod, work.around
        lookup = await self._lookup(work)
        links = self._t.services(pod.metadata.namespace, pod.spec.enable_service_links)
        variables = environment(pod, container, lookup, around, links)
        mounts = await self._t.storage.mounts_of(pod, container, step.attempt, around, dict(variables))
        mounts = by_id(mounts, work.mounted_images)
        joined = _joined_container(work, container)
        extras = await self._t.allotments.before_start(work.uid, container.name)
        extras = together([extras, await self._t.claims.extras(pod, container)])
        config = self._t.config
        confinement = specs.Confinement(config.paths.seccomp, config.kubelet.seccomp_default)
        terms = self._terms(work, container.name)
        devices = self._t.storage.devices_of(pod, container)
        prepared = specs.Prepared(image, variables, mounts, terms, joined, confinement, extras, devices)
        spec = specs.container_spec(pod, container, step.attempt, step.delay_s, prepared)
        sandbox = self._sandbox_spec(work, self._sandbox_attempt(work) or 0)
        with self._asking("create"):
            container_id = await self._t.runtime.create_container(step.sandbox_id, sandbox, spec)
        work.bound[container_id] = spec.resources.cpuset_cpus
        return container_id

    def _terms(self, work: Work, container: str) -> resources.Terms:
        cgroups = self._t.cgroups
        return resources.Terms(
            memory_bytes=self._t.machine.memory_bytes,
            cpus=self._t.allotments.cpus(work.uid, container),
            quota=self._t.config.kubelet.cpu_cfs_quota,
            kills_together=cgroups.kills_together,
            pagesizes=cgroups.pagesizes,
        )

    def _sandbox_attempt(self, work: Work) -> int | None:
        return work.runtime.sandboxes[0].attempt if work.runtime.sandboxes else None

    async def _after_start(self, work: Work, container: Container, container_id: str) -> None:
        hook = container.lifecycle.post_start
        if hook is None:
            return
        ip = next(iter(work.around.pod_ips), "")
        verdict = await hooks.run_hook(hook, container, container_id, ip, self._t.runtime, self._t.clock)
        if not verdict.ok:
            self.tell(work, "Warning", "FailedPostStartHook", f"PostStartHook failed: {verdict.text}", container.name)
            grace_s = float(work.pod.spec.termination_grace_period_seconds)
            self.tell(work, "Normal", "Killing", "FailedPostStartHook", container.name)
            await self._t.runtime.stop_container(container_id, grace_s)
            raise RuntimeFailure(f"PostStartHook failed: {verdict.text}", reason="PostStartHookError")

    async def _resize(self, work: Work, step: ResizeContainer) -> None:
        container = specs.find_container(work.pod, step.container)
        given = resources.of_container(work.pod, container, self._terms(work, container.name))
        cgroups = self._t.cgroups
        if cgroups.active:
            await asyncio.to_thread(cgroups.open_up, work.pod)
        await self._t.runtime.update_container(step.container_id, given)
        if cgroups.active:
            await asyncio.to_thread(cgroups.make, work.pod)
        work.resized[step.container_id] = wanted(container)
        self.tell(work, "Normal", "ResizeCompleted", f"Pod resize completed: {container.name}", container.name)

    async def _resize_whole(self, work: Work) -> None:
        cgroups = self._t.cgroups
        if cgroups.active:
            if problem := await asyncio.to_thread(cgroups.too_small, work.pod):
                raise RuntimeFailure(problem, reason="ResizeError")
            await asyncio.to_thread(cgroups.make, work.pod)
        work.given = wanted_whole(work.pod)
        self.tell(work, "Normal", "ResizeCompleted", "Pod resize completed")

    async def _stop_container(self, work: Work, step: StopContainer) -> None:
        evicted = work.evicted
        if evicted is None or not self._t.cgroups.active:
            await self._stop(work, step)
            return
        try:
            async with asyncio.TaskGroup() as group:
                killer = group.create_task(self._kill_in_time(work, step, at_once=evicted.of_disk))
                await self._stop(work, step)
                killer.cancel()
        except* RuntimeFailure as failures:
            raise failures.exceptions[0] from failures

    def _has_hook(self, work: Work, step: StopContainer) -> bool:
        try:
            return specs.find_container(work.pod, step.container).lifecycle.pre_stop is not None
        except KeyError:  # a container of a pod that is no longer known
            return False

    async def _kill_in_time(self, work: Work, step: StopContainer, *, at_once: bool) -> None:
        """The runtime kills too, but on a node in distress it comes to it late.

        at_once: unless the container could make use of its time; meanwhile it does what it has to go for.
        """
        find = self._t.cgroups.container
        group, frozen = find(work.uid, step.container_id, "pids"), find(work.uid, step.container_id, "freezer")
        if group is None:  # it has ended, or belongs to a runtime with groups of its own
            return
        try:
            if not at_once or self._has_hook(work, step) or await asyncio.to_thread(halt.hears, group):
                await self._t.clock.sleep(max(step.grace_s, 0.0))
            await asyncio.to_thread(halt.kill, group, frozen)
        except OSError as error:
            _log.warning("a container is left to its runtime", container=step.container_id, error=error)

    async def _stop(self, work: Work, step: StopContainer) -> None:
        if step.hurry:
            await self._t.runtime.stop_container(step.container_id, step.grace_s)
            return
        left_s = step.grace_s
        if step.hook:
            started = self._t.clock.monotonic()
            await self._run_pre_stop(work, step, step.message, step.reason)
            left_s -= self._t.clock.monotonic() - started
        elif step.container_id not in work.hooked:
            self.tell(work, "Normal", step.reason, step.message, step.container)
        work.stopping[step.container_id] = self._t.clock.now() + timedelta(seconds=left_s)
        await self._t.runtime.stop_container(step.container_id, max(min(step.grace_s, LEAST_GRACE_S), left_s))
        work.hooked.discard(step.container_id)

    async def _run_pre_stop(
        self, work: Work, step: StopContainer | RunPreStop, message: str, reason: str = "Killing"
    ) -> None:
        """Tell that the container is being stopped, and run its hook, if it has one, within its time."""
        self.tell(work, "Normal", reason, message, step.container)
        work.stopping[step.container_id] = self._t.clock.now() + timedelta(seconds=step.grace_s)
        try:
            container = specs.find_container(work.pod, step.container)
        except KeyError:  # a container of a pod that is no longer known
            return
        hook = container.lifecycle.pre_stop
        if hook is not None and step.grace_s > 0:
            ip = next(iter(work.around.pod_ips), "")
            verdict = await hooks.run_hook(
                hook, container, step.container_id, ip, self._t.runtime, self._t.clock, step.grace_s
            )
            if not verdict.ok:
                text = f"PreStopHook failed: {verdict.text}"
                self.tell(work, "Warning", "FailedPreStopHook", text, step.container)
        work.hooked.add(step.container_id)

    async def _clean_up(self, work: Work) -> None:
        await self._t.storage.remove(work.uid)
        if self._t.cgroups.active and not await asyncio.to_thread(self._t.cgroups.remove, work.uid):
            raise Retryable(f"a control group of pod {work.uid} is still in use")
        await self._t.allotments.release(work.uid)
        self._t.references.forget(work.uid)
        work.lookup = None
        work.cleaned = True

    async def _finish(self, work: Work) -> None:
        if work.tell_static is not None:
            work.gone = True
            return
        meta = work.pod.metadata
        try:
            await self._t.client.delete(POD, meta.namespace, meta.name, uid=meta.uid, grace_s=0)
        except (NotFound, Conflict):  # it is gone already, or another one has its name
            work.gone = True


def _joined_container(work: Work, container: Container) -> str:
    """The running instance whose processes an ephemeral container is to see."""
    target = container.target_container_name if isinstance(container, EphemeralContainer) else ""
    found = (item.id for item in work.runtime.containers if item.name == target and is_running(item))
    return next(found, "") if target else ""
