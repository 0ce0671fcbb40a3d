"""What THREAT_MODEL.md promises, each sentence through the sockets and files of a real server.

How each part comes by it is tested where the part is (`tests/unit/apiserver/test_authn.py`, `test_authz.py`,
`tests/unit/wire/test_http.py`, `tests/unit/base/test_pki.py`, `tests/unit/app/`).
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from navarch.agent.fake import FakeRuntime
from navarch.agent.port import Port
from navarch.apiserver.authn.impersonation import impersonated
from navarch.apiserver.call import User
from navarch.app.control_plane import ControlPlane, Settings
from navarch.app.identity import LOOK_S
from navarch.app.layout import Layout
from navarch.app.layout import Settings as Machine
from navarch.app.machine import keep_private
from navarch.app.welcome import ensure_welcome
from navarch.base import pki
from navarch.base.clock import SystemClock, SystemIds
from navarch.base.errors import ApiError, Forbidden, NotFound, Retryable, TooLarge, Unauthorized
from navarch.client.client import Client
from navarch.client.http import HttpClient
from navarch.client.target import Target
from navarch.kinds import CONFIGMAP, NAMESPACE, NODE, POD, ROLE, ROLEBINDING, SECRET, SERVICEACCOUNT, bootstraptoken
from navarch.kinds.registry import DEFAULT
from navarch.store.memory import MemoryStore
from navarch.store.sqlite import SqliteStore
from navarch.wire.http import Server
from navarch.wire.message import Request

SIGNING_KEY = pki.new_key()
PUBLIC = ("/healthz", "/livez", "/readyz", "/version", "/version/")


@dataclass
class Town:
    """A server on TLS and on its Unix socket. who: a client with a certificate, or with a token, or with neither."""

    plane: ControlPlane
    authority: pki.Authority
    port: int
    clients: list[HttpClient]

    @property
    def admin(self) -> Client:
        return self.plane.client(User("admin", groups=("system:masters",)), "tests")

    def who(self, name: str = "", *groups: str, token: str = "", authority: pki.Authority | None = None) -> HttpClient:
        pair = (authority or self.authority).client(name, groups) if name else None
        target = Target(
            f"https://127.0.0.1:{self.port}",
            self.authority.pair.certificate,
            pair.certificate if pair else b"",
            pair.key if pair else b"",
            token,
        )
        self.clients.append(HttpClient(target, "tests"))
        return self.clients[-1]

    async def make(self, kind: Any, name: str, namespace: str = "", **parts: Any) -> None:
        metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
        await self.admin.create(
            kind, {"apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata, **parts}
        )


@pytest.fixture
def run(tmp_path: Path) -> Callable[[Callable[[Town], Awaitable[None]]], None]:
    async def inside(test: Callable[[Town], Awaitable[None]]) -> None:
        plane = ControlPlane(MemoryStore(), SystemClock(), SystemIds(), Settings(SIGNING_KEY))
        await plane.start()
        authority = pki.Authority.create("tests", SystemClock(), SystemIds())
        context = pki.server_context(authority.server("server", ["127.0.0.1"]), authority.pair.certificate)
        async with Server(plane.server.handle, context=context, grace_s=0.1) as server:
            port = await server.listen("127.0.0.1", 0)
            await server.listen_unix(tmp_path / "api.sock")
            town = Town(plane, authority, port, [])
            try:
                await test(town)
            finally:
                for client in town.clients:
                    await client.close()
                await plane.close()

    return lambda test: asyncio.run(asyncio.wait_for(inside(test), 60))


async def every_path(town: Town) -> list[str]:
    """All that the server serves: what it lists, and every resource of every kind."""
    paths = ["/", *json.loads(await town.admin.raw("GET", "/"))["paths"]]
    paths += ["/openapi/v3/api/v1", "/openid/v1/jwks", "/.well-known/openid-configuration", "/readyz/etcd"]
    for kind in DEFAULT:
        base = f"/apis/{kind.api_version}" if kind.group else "/api/v1"
        paths += [base, f"{base}/{kind.plural}"]
        paths += [f"{base}/namespaces/default/{kind.plural}/x"] if kind.namespaced else [f"{base}/{kind.plural}/x"]
    return list(dict.fromkeys((*paths, *PUBLIC)))


def test_without_credentials_there_is_nothing_but_health_and_version(run: Any) -> None:
    async def test(town: Town) -> None:
        nobody, answered, told = town.who(), [], set()
        for path in await every_path(town):
            for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
                try:
                    await nobody.raw(method, path, {} if method != "GET" else None)
                    answered.append((method, path))
                except Unauthorized as refused:
                    told.add(refused.message)
        assert told == {"Unauthorized"}, "which says nothing"
        assert sorted(answered) == sorted(("GET", path) for path in PUBLIC)
        for forged in ("x", "a.b.c", "eyJhbGciOiJub25lIn0.e30."):
            with pytest.raises(Unauthorized):
                await town.who(token=forged).raw("GET", "/healthz")

    run(test)


def test_a_token_to_join_with_opens_nothing_else_and_ends_when_it_is_deleted(run: Any) -> None:
    async def test(town: Town) -> None:
        await ensure_welcome(town.admin, Machine("one", "127.0.0.1"), b"")
        made = bootstraptoken.Token(
            "abcdef", "0123456789abcdef", None, ("authentication",), (bootstraptoken.NODE_GROUP,)
        )
        await town.admin.create(SECRET, bootstraptoken.secret_of(made))
        newcomer = town.who(token=made.text)
        assert (await newcomer.get(CONFIGMAP, "kube-system", "navarch-config")).document()["data"]["clusterDNS"]
        for kind, namespace in ((SECRET, "kube-system"), (POD, ""), (NODE, ""), (CONFIGMAP, "kube-system")):
            with pytest.raises(Forbidden):
                await newcomer.list(kind, namespace)
        with pytest.raises(Forbidden):
            await newcomer.get(SECRET, "kube-system", "bootstrap-token-abcdef")
        assert (await town.who().get(CONFIGMAP, "kube-public", "cluster-info")).document()["data"]["kubeconfig"]
        with pytest.raises(Forbidden):
            await newcomer.delete(CONFIGMAP, "kube-public", "cluster-info")
        await town.admin.delete(SECRET, "kube-system", "bootstrap-token-abcdef")
        with pytest.raises(Unauthorized):
            await newcomer.get(CONFIGMAP, "kube-system", "navarch-config")

    run(test)


def test_a_foreign_certificate_does_not_get_in(run: Any) -> None:
    async def test(town: Town) -> None:
        foreign = pki.Authority.create("tests", SystemClock(), SystemIds())
        with pytest.raises((Retryable, ApiError)):
            await town.who("admin", "system:masters", authority=foreign).raw("GET", "/api")
        assert await town.who("admin", "system:masters").raw("GET", "/api")
        with pytest.raises(Forbidden, match='User "somebody" cannot list resource "pods"'):
            await town.who("somebody").list(POD, "default")

    run(test)


def test_old_tls_is_not_spoken() -> None:
    authority = pki.Authority.create("tests", SystemClock(), SystemIds())
    context = pki.server_context(authority.server("server", ["127.0.0.1"]), authority.pair.certificate)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.verify_mode == ssl.CERT_OPTIONAL


def test_other_users_of_the_machine_read_neither_socket_nor_store_nor_volumes(run: Any, tmp_path: Path) -> None:
    async def test(town: Town) -> None:
        assert (tmp_path / "api.sock").stat().st_mode & 0o777 == 0o600
        layout = Layout(tmp_path / "data", tmp_path / "run")
        keep_private(layout)
        store = await SqliteStore.open(layout.database)
        await store.put("/secret", b"1", 0)
        await store.close()
        private = [layout.agent, layout.database.parent, *layout.database.parent.iterdir()]
        assert [path for path in private if path.stat().st_mode & 0o077] == []

    run(test)


def test_keys_and_certificates(tmp_path: Path) -> None:
    found = pki.Pki(tmp_path / "pki", SystemClock(), SystemIds())
    found.signing_key()
    pairs = [found.authority.pair, found.server("s", "s", ["localhost"]), found.client("c", "c", ["g"])]
    days = []
    for pair in pairs:
        certificate = x509.load_pem_x509_certificate(pair.certificate)
        key = certificate.public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        assert key.curve.name == "secp256r1"
        days.append(round((certificate.not_valid_after_utc - SystemClock().now()) / timedelta(days=1)))
    assert days == [3650, 365, 365]
    assert timedelta(days=60) == pki.RENEW_BEFORE
    assert LOOK_S == 12 * 3600
    keys = list((tmp_path / "pki").glob("*.key"))
    assert len(keys) == 4
    assert {key.stat().st_mode & 0o777 for key in keys} == {0o600}
    assert (tmp_path / "pki").stat().st_mode & 0o777 == 0o700


def test_a_token_is_its_pods_and_ends_with_it(run: Any) -> None:
    async def test(town: Town) -> None:
        await town.make(SERVICEACCOUNT, "default", "default")
        await town.make(POD, "web", "default", spec={"containers": [{"name": "main", "image": "i"}]})
        bound = {"kind": "Pod", "apiVersion": "v1", "name": "web"}
        asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"boundObjectRef": bound}}
        made = await town.admin.post(SERVICEACCOUNT, "default", "default", "token", asked)
        assert made["spec"]["expirationSeconds"] == 3600
        pod = town.who(token=made["status"]["token"])
        with pytest.raises(Forbidden, match='User "system:serviceaccount:default:default" cannot list'):
            await pod.list(POD, "default")
        await town.admin.delete(POD, "default", "web", grace_s=0)
        with pytest.raises(Unauthorized):
            await pod.list(POD, "default")

    run(test)


def test_rights_in_one_namespace_end_there(run: Any) -> None:
    async def test(town: Town) -> None:
        for name in ("mine", "theirs"):
            await town.make(NAMESPACE, name)
            await town.make(SECRET, "s", name)
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "admin"}
        subjects = [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "owner"}]
        await town.make(ROLEBINDING, "owner", "mine", roleRef=role, subjects=subjects)
        owner = town.who("owner")
        assert (await owner.get(SECRET, "mine", "s")).name == "s"
        for refused in (owner.get(SECRET, "theirs", "s"), owner.list(SECRET), owner.list(NODE)):
            with pytest.raises(Forbidden):
                await refused
        rules = [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["get"]}]
        more = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role"}
        metadata = {"name": "more", "namespace": "mine"}
        with pytest.raises(Forbidden, match="attempting to grant RBAC permissions not currently held"):
            await owner.create(ROLE, {**more, "metadata": metadata, "rules": rules})
        binding = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": metadata}
        everything = {**role, "name": "cluster-admin"}
        with pytest.raises(Forbidden, match="attempting to grant RBAC permissions not currently held"):
            await owner.create(ROLEBINDING, {**binding, "roleRef": everything, "subjects": subjects})
        asked = Request("GET", "/api", "/api", {"impersonate-user": "admin"})
        with pytest.raises(Forbidden, match='cannot impersonate resource "users"'):
            impersonated(asked, User("owner"), town.plane.authorizer)

    run(test)


def test_a_node_sees_what_its_own_pods_use(run: Any) -> None:
    async def test(town: Town) -> None:
        await town.make(SERVICEACCOUNT, "default", "default")
        for name in ("node-1", "node-2"):
            await town.make(NODE, name)
            await town.make(SECRET, f"of-{name}", "default")
            volumes = [{"name": "v", "secret": {"secretName": f"of-{name}"}}]
            spec = {"nodeName": name, "volumes": volumes, "containers": [{"name": "main", "image": "i"}]}
            await town.make(POD, f"on-{name}", "default", spec=spec)
        node = town.who("system:node:node-1", "system:nodes")
        assert (await node.get(SECRET, "default", "of-node-1")).name == "of-node-1"
        assert [pod.name for pod in (await node.list(POD, fields="spec.nodeName=node-1")).items] == ["on-node-1"]
        for refused in (
            node.get(SECRET, "default", "of-node-2"),
            node.list(SECRET, "default"),
            node.list(POD),
            node.delete(POD, "default", "on-node-2"),
            node.patch(NODE, "", "node-2", {"metadata": {"labels": {"a": "b"}}}),
            node.patch(NODE, "", "node-1", {"metadata": {"labels": {"node-restriction.kubernetes.io/a": "b"}}}),
        ):
            with pytest.raises(Forbidden):
                await refused

    run(test)


def test_a_body_over_the_limit_changes_nothing(run: Any) -> None:
    async def test(town: Town) -> None:
        metadata = {"name": "large", "namespace": "default"}
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"x": "x" * (3 << 20)}}
        with pytest.raises(TooLarge):
            await town.who("admin", "system:masters").create(CONFIGMAP, body)
        with pytest.raises(NotFound):
            await town.admin.get(CONFIGMAP, "default", "large")

    run(test)


def test_the_agents_port_is_open_to_masters_alone() -> None:
    """The API server is one; so is whoever holds the administrator's certificate."""

    async def test() -> None:
        authority = pki.Authority.create("tests", SystemClock(), SystemIds())
        context = pki.server_context(authority.server("agent", ["127.0.0.1"]), authority.pair.certificate)
        clock = SystemClock()
        streams: Any = None
        handler = Port(FakeRuntime(clock, SystemIds()), streams, clock).handle
        async with Server(handler, context=context, grace_s=0.1) as server:
            port = await server.listen("127.0.0.1", 0)
            for name, groups, may in (
                ("", (), False),
                ("somebody", ("system:authenticated",), False),
                ("system:node:node-1", ("system:nodes",), False),
                ("navarch-apiserver-agent-client", ("system:masters",), True),
            ):
                pair = authority.client(name, groups) if name else None
                certificate, key = (pair.certificate, pair.key) if pair else (b"", b"")
                target = Target(f"https://127.0.0.1:{port}", authority.pair.certificate, certificate, key)
                async with HttpClient(target, "tests") as client:
                    for path in ("/healthz", "/containerLogs/default/web/main", "/exec/default/web/main?command=id"):
                        try:
                            await client.raw("GET", path)
                            refused = False
                        except ApiError as error:
                            refused = isinstance(error, Forbidden)
                        assert refused is not may, (name, path)

    asyncio.run(asyncio.wait_for(test(), 60))
