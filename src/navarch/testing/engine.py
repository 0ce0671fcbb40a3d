"""The cluster in a thread: its loop, all its organs, and the bridge by which other threads reach them."""

from __future__ import annotations

import asyncio
import logging
import tempfile
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import CancelledError as FutureCancelled
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import yaml

from navarch.apiserver.admission.extensions import Judge
from navarch.apiserver.aggregation.identity import CLIENT
from navarch.apiserver.bootstrap import Place
from navarch.apiserver.call import User
from navarch.app.control_plane import AUTHENTICATED, ControlPlane, Settings
from navarch.app.kubeconfig import build
from navarch.base.clock import LoopClock, SystemClock, SystemIds
from navarch.base.errors import AlreadyExists, Unavailable
from navarch.base.loop import TurningLoop
from navarch.base.pki import Authority, new_key, server_context
from navarch.base.signing import Signer
from navarch.client.client import Client
from navarch.client.informer import Informers
from navarch.controllers.options import Options
from navarch.kinds import NODE, SERVICEACCOUNT
from navarch.kinds.metrics import METERED
from navarch.kinds.registry import DEFAULT
from navarch.store.memory import MemoryStore
from navarch.testing.behaviour import Behaviour
from navarch.testing.collector import PATIENCE
from navarch.testing.heartbeats import SimulatedHeartbeats
from navarch.testing.machine import ONLY_IPV4, Machine
from navarch.testing.nodes import SimulatedNodes
from navarch.wire.http import Server

Result = TypeVar("Result")
ADMIN = User("kubernetes-admin", groups=("system:masters", AUTHENTICATED))
NODES_USER = User("system:simulated-nodes", groups=("system:masters", AUTHENTICATED))
CONTEXT = "navarch-library"
logging.getLogger("navarch").addHandler(logging.NullHandler())  # a library is silent unless it is asked to speak

ENDING_S = 10.0
"""How long whoever was cut off waits to be told why."""
REGISTER_TOGETHER = 64
READY_S = 10.0
PLACES = {
    "IPv4": Place("10.96.0.1", ("192.0.2.1",), 6443),
    "IPv6": Place("fd00:10:96::1", ("2001:db8::1",), 6443),
}
"""What the Service `kubernetes` says: an address for documentation, since nothing simulated connects to it."""
NETWORKS = {"IPv4": "10.96.0.0/16", "IPv6": "fd00:10:96::/112"}
"""Of Services."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What cluster to make. nodes: name -> what it is made of, in order. port: 0 for any that is free.
    judges: admission plugins, by name. families: of addresses, the cluster's first one first."""

    nodes: dict[str, Machine]
    behaviours: Sequence[Behaviour] = ()
    frozen: bool = False
    port: int = 0
    options: Options = field(default_factory=Options)
    judges: Mapping[str, Judge] = field(default_factory=dict)
    families: Sequence[str] = ONLY_IPV4


class Engine:
    """`start`, then `call` and `ask`, then `stop`; from any thread but its own."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.loop = TurningLoop(frozen=plan.frozen)
        self.clock = LoopClock(SystemClock().now(), self.loop)
        self.ids = SystemIds()
        self.authority = Authority.create("navarch-ca", SystemClock(), self.ids)
        front_proxy = Authority.create("navarch-front-proxy-ca", SystemClock(), self.ids)
        place = replace(
            PLACES[plan.families[0]],
            client_authority=self.authority.pair.certificate.decode(),
            front_proxy_authority=front_proxy.pair.certificate.decode(),
        )
        self.heartbeats = SimulatedHeartbeats(self.clock)
        options = replace(plan.options, root_ca=self.authority.pair.certificate.decode())
        self.control = ControlPlane(
            MemoryStore(),
            self.clock,
            self.ids,
            Settings(
                signing_key=new_key(),
                place=place,
                options=options,
                simulated=True,
                judges=plan.judges,
                front_proxy=front_proxy.client(CLIENT),
                sign=Signer(self.authority.pair, SystemClock(), self.ids),
                networks=",".join(NETWORKS[family] for family in plan.families),
            ),
            kinds=DEFAULT.with_kinds(*METERED),
            heartbeats=self.heartbeats,
        )
        self.client: Client = self.control.client(ADMIN, "navarch-library")
        nodes_client = self.control.client(NODES_USER, "kubelet")
        self._informers = Informers(nodes_client, self.clock)
        self.nodes = SimulatedNodes(
            nodes_client,
            self.clock,
            self.heartbeats,
            plan.behaviours,
            informers=self._informers,
            families=tuple(plan.families),
        )
        self.control.core.measure_by(self.nodes)
        self._thread = threading.Thread(target=self._run, name="navarch", daemon=True)
        self._ready: Future[None] = Future()
        self._failure: BaseException | None = None
        self._asked: set[Future[Any]] = set()
        self._asking = threading.Lock()
        self._over = False
        self._stop: asyncio.Event | None = None
        self._directory: tempfile.TemporaryDirectory[str] | None = None
        self._server: Server | None = None
        self._serving = threading.Lock()

    # -- life

    def start(self) -> None:
        """Returns when every node is ready. Raises what kept the cluster from that."""
        self._thread.start()
        self._ready.result()

    def stop(self) -> None:
        """Leaves nothing behind. Harmless when it is stopped already. Raises what the cluster broke down from."""
        if self._stop is not None and self._thread.is_alive():
            self.loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        if self._directory is not None:
            self._directory.cleanup()
            self._directory = None
        if self._failure is not None:
            raise self._failure

    @property
    def running(self) -> bool:
        return self._thread.is_alive() and self._ready.done()

    def _run(self) -> None:
        try:
            with PATIENCE, asyncio.Runner(loop_factory=lambda: self.loop) as runner:
                runner.run(self._main())
        except BaseException as error:  # noqa: BLE001 - told to whoever asks next
            self._failure = error
            if not self._ready.done():
                self._ready.set_exception(error)
        finally:
            self._end()

    def _end(self) -> None:
        """Nobody waits for a loop that is closed: what it did not come to is cancelled."""
        with self._asking:
            self._over = True
            left = list(self._asked)
        for future in left:
            future.cancel()

    def _gone(self) -> Unavailable:
        if self._failure is not None:
            return Unavailable(f"the cluster broke down: {self._failure!r}")
        return Unavailable("the cluster is not running: use it inside its `with` block")

    async def _main(self) -> None:
        self._stop = asyncio.Event()
        await self.control.start()
        try:
            async with asyncio.TaskGroup() as group:
                ready = asyncio.Event()
                organs = [
                    group.create_task(self.control.run(ready)),
                    group.create_task(self._informers.run()),
                    group.create_task(self.nodes.run()),
                ]
                await ready.wait()
                await self._make_account()
                await self._register()
                self._ready.set_result(None)
                await self._stop.wait()
                for organ in organs:
                    organ.cancel()
        finally:
            if self._server is not None:
                await self._server.__aexit__(None, None, None)
            await self.control.close()

    async def _register(self) -> None:
        """The nodes, until all of them take pods."""
        waiting = list(self.plan.nodes.items())
        for begin in range(0, len(waiting), REGISTER_TOGETHER):
            async with asyncio.TaskGroup() as group:
                for name, machine in waiting[begin : begin + REGISTER_TOGETHER]:
                    group.create_task(self.nodes.add(name, machine))
        reads = self.control.core.reads
        await self.loop.advance_until(
            lambda: all(node.view.ready and not node.view.spec.taints for node in reads.list(NODE)), READY_S
        )

    async def _make_account(self) -> None:
        """A moment before its controller would, so that the first pod need not be tried twice."""
        metadata = {"name": "default", "namespace": "default"}
        try:
            await self.client.create(
                SERVICEACCOUNT, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}
            )
        except AlreadyExists:
            return

    # -- the bridge

    def submit(self, work: Coroutine[Any, Any, Result]) -> Future[Result]:
        """Start it there. Raises: Unavailable, when the cluster is not running."""
        if threading.current_thread() is self._thread:
            work.close()
            raise RuntimeError("the cluster's own thread must not wait for itself")
        with self._asking:
            if not self._over and self._thread.is_alive():
                future = asyncio.run_coroutine_threadsafe(work, self.loop)
                self._asked.add(future)
                future.add_done_callback(self._asked.discard)
                return future
        work.close()
        raise self._gone() from self._failure

    def result(self, future: Future[Result], timeout_s: float | None = None) -> Result:
        """Of what was submitted. Raises: Unavailable, when the cluster ended meanwhile; TimeoutError."""
        try:
            return future.result(timeout_s)
        except FutureCancelled:
            self._thread.join(ENDING_S)
            if self._thread.is_alive():
                raise
            raise self._gone() from self._failure

    def call(self, work: Coroutine[Any, Any, Result]) -> Result:
        return self.result(self.submit(work))

    async def ask(self, work: Coroutine[Any, Any, Result]) -> Result:
        future = self.submit(work)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            caller = asyncio.current_task()
            if caller is None or caller.cancelling():
                raise
            await asyncio.to_thread(self._thread.join, ENDING_S)
            if self._thread.is_alive():
                raise
            raise self._gone() from self._failure

    def call_plain(self, function: Callable[[], Result]) -> Result:
        """A plain function, on the cluster's loop."""

        async def work() -> Result:
            return function()

        return self.call(work())

    # -- the port

    def kubeconfig(self) -> Path:
        """The file; the port is opened when it is first asked for."""
        with self._serving:
            if self._directory is None:
                authority = self.authority
                pair = authority.server("kube-apiserver", ("127.0.0.1", "localhost", "kubernetes"))
                port = self.call(self._serve(server_context(pair, authority.pair.certificate)))
                admin = authority.client("kubernetes-admin", ("system:masters",))
                document = build(
                    CONTEXT, f"https://127.0.0.1:{port}", authority.pair.certificate, admin.certificate, admin.key
                )
                self._directory = tempfile.TemporaryDirectory(prefix="navarch-")
                path = Path(self._directory.name) / "kubeconfig"
                path.touch(mode=0o600)
                path.write_text(yaml.safe_dump(document, sort_keys=False))
            return Path(self._directory.name) / "kubeconfig"

    async def _serve(self, context: Any) -> int:
        ending, served = self.control.core.end_watches, self.control.server
        server = Server(
            served.handle,
            context=context,
            clock=self.clock,
            grace_s=0.5,
            end_streams=ending,
            hands_on=served.hands_on,
        )
        await server.__aenter__()
        self._server = server
        return await server.listen("127.0.0.1", self.plan.port)
