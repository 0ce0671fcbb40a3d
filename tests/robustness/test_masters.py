"""What API servers on one etcd must agree on: two control planes in this process, each with caches of its own."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from etcdprocess import EtcdProcess, etcd_running
from ports import free_port

from navarch.apiserver.call import ITSELF
from navarch.app.control_plane import LEADER, ControlPlane, Settings
from navarch.base.clock import SystemClock, SystemIds
from navarch.base.errors import ApiError, Conflict, Forbidden, NotFound, Unavailable
from navarch.base.pki import Pki, new_key
from navarch.client.client import Client
from navarch.kinds import CONFIGMAP, CUSTOMRESOURCEDEFINITION, LEASE, NAMESPACE, POD, RESOURCEQUOTA, SERVICE
from navarch.kinds.object import Object
from navarch.store.etcd.settings import Settings as EtcdSettings
from navarch.store.etcd.store import EtcdStore
from navarch.store.store import Stale

KEY = new_key()
_prefixes = count()


class Two:
    """planes: two of one cluster."""

    def __init__(self, planes: list[ControlPlane]) -> None:
        self.planes = planes
        self.clients: list[Client] = [plane.client(ITSELF, "test") for plane in planes]


Scenario = Callable[[Two], Awaitable[None]]


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdProcess]:
    with etcd_running(tmp_path_factory.mktemp("etcd"), "--quota-backend-bytes", str(64 << 20)) as process:
        yield process


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture
def two(etcd: EtcdProcess, loop: asyncio.Runner) -> Callable[[Scenario], None]:
    async def play(scenario: Scenario) -> None:
        settings = EtcdSettings((etcd.url,), prefix=f"/masters-{next(_prefixes)}", compaction_s=0)
        stores = [await EtcdStore.open(settings) for _ in range(2)]
        planes = [ControlPlane(store, SystemClock(), SystemIds(), Settings(KEY)) for store in stores]
        try:
            await asyncio.gather(*(plane.start() for plane in planes))
            await scenario(Two(planes))
        finally:
            for plane, store in zip(planes, stores, strict=True):
                await plane.close()
                await store.close()

    return lambda scenario: loop.run(play(scenario))


def document(kind: Any, name: str, namespace: str = "default", **more: Any) -> dict[str, Any]:
    metadata = {"name": name, **({"namespace": namespace} if kind.namespaced else {})}
    return {"apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata, **more}


async def refused(step: Awaitable[Object]) -> Object | ApiError:
    try:
        return await step
    except ApiError as error:
        return error


async def eventually(what: Callable[[], Awaitable[bool]], patience_s: float = 60.0) -> None:
    async with asyncio.timeout(patience_s):
        while True:
            if await what():
                return
            await asyncio.sleep(0.05)


def test_what_one_server_was_told_another_reads(two: Callable[[Scenario], None]) -> None:
    async def scenario(both: Two) -> None:
        one, other = both.clients
        for n in range(20):
            writer, reader = (one, other) if n % 2 else (other, one)
            made = await writer.create(CONFIGMAP, document(CONFIGMAP, f"c{n}", data={"n": str(n)}))
            found = await reader.get(CONFIGMAP, "default", f"c{n}")
            assert found.raw == made.raw
            assert (await reader.list(CONFIGMAP, "default")).revision >= made.revision
            changed = await reader.patch(CONFIGMAP, "default", f"c{n}", {"data": {"n": "again"}})
            with pytest.raises(Conflict):
                await writer.update(CONFIGMAP, made.document())
            assert (await writer.get(CONFIGMAP, "default", f"c{n}")).revision == changed.revision
            await writer.delete(CONFIGMAP, "default", f"c{n}")
            with pytest.raises(NotFound):
                await reader.get(CONFIGMAP, "default", f"c{n}")

    two(scenario)


def test_a_watch_goes_on_at_the_other_server(two: Callable[[Scenario], None]) -> None:
    async def scenario(both: Two) -> None:
        one, other = both.clients
        since = (await one.list(CONFIGMAP, "default")).revision
        revisions = []
        for n in range(10):
            made = await both.clients[n % 2].create(CONFIGMAP, document(CONFIGMAP, f"c{n}"))
            revisions.append(made.revision)
            seen: list[int] = []
            async with asyncio.timeout(60):
                async for batch in both.clients[(n + 1) % 2].watch(CONFIGMAP, "default", since=since):
                    seen += [event.object.revision for event in batch if event.type != "BOOKMARK"]
                    if seen[-1:] == [made.revision]:
                        break
            assert seen == [made.revision]
            since = made.revision
        assert revisions == sorted(revisions)
        assert other is not one

    two(scenario)


def test_no_address_or_port_is_given_twice(two: Callable[[Scenario], None]) -> None:
    """Both pick from the same end of small pools; then one asks for what the other has just been given."""

    async def scenario(both: Two) -> None:
        spec = {"type": "NodePort", "ports": [{"port": 80}]}
        wanted = [both.clients[n % 2].create(SERVICE, document(SERVICE, f"s{n}", spec={**spec})) for n in range(40)]
        for plane in both.planes:
            allocation = next(
                found.__self__
                for found in plane.core._state.listeners
                if type(getattr(found, "__self__", None)).__name__ == "Allocation"
            )
            for pool in (*(each.pool for _, each in allocation._networks()), allocation.ports.pool):
                pool._ids = First()
        made = await asyncio.gather(*wanted)
        specs = [one.document()["spec"] for one in made]
        assert len({spec["clusterIP"] for spec in specs}) == 40
        assert len({spec["ports"][0]["nodePort"] for spec in specs}) == 40
        asked = {"clusterIP": specs[0]["clusterIP"], "ports": [{"port": 80}]}
        again = [await refused(client.create(SERVICE, document(SERVICE, "t", spec=asked))) for client in both.clients]
        assert all("provided IP is already allocated" in str(error) for error in again), again
        await both.clients[0].delete(SERVICE, "default", "s0")
        taken = await asyncio.gather(
            *(refused(client.create(SERVICE, document(SERVICE, f"u{n}", spec=asked))) for n, client in both_twice(both))
        )
        assert sum(isinstance(one, Object) for one in taken) == 1, "one of the four who asked gets what became free"

    two(scenario)


class First:
    """Picks from the start: everybody wants the same."""

    def fraction(self) -> float:
        return 0.0


def both_twice(both: Two) -> Iterator[tuple[int, Client]]:
    return iter(enumerate([*both.clients, *both.clients]))


def test_a_quota_holds_over_both(two: Callable[[Scenario], None]) -> None:
    async def scenario(both: Two) -> None:
        quota = document(RESOURCEQUOTA, "q", spec={"hard": {"count/configmaps": "15"}})
        await both.clients[0].create(RESOURCEQUOTA, quota)
        present = len((await both.clients[0].list(CONFIGMAP, "default")).items)
        made = await asyncio.gather(
            *(refused(both.clients[n % 2].create(CONFIGMAP, document(CONFIGMAP, f"c{n}"))) for n in range(40))
        )
        assert sum(isinstance(one, Object) for one in made) == 15 - present
        assert all(isinstance(one, Forbidden) for one in made if not isinstance(one, Object)), made

    two(scenario)


def test_nothing_is_made_in_a_namespace_that_another_server_lets_go(two: Callable[[Scenario], None]) -> None:
    """Decided by a cache that has not heard of it: the write does not hold."""

    async def scenario(both: Two) -> None:
        one, other = both.clients
        await one.create(NAMESPACE, document(NAMESPACE, "going"))
        await other.get(NAMESPACE, "", "going")
        state = both.planes[1].core._state
        real = state.feed.fresh
        gone = False

        async def late() -> None:  # it is let go right after the other server has made sure that it is up to date
            nonlocal gone
            await real()
            if not gone:
                gone = True
                await one.delete(NAMESPACE, "", "going")

        state.feed.fresh = late  # type: ignore[method-assign]
        with pytest.raises(Forbidden, match="being terminated"):
            await other.create(CONFIGMAP, document(CONFIGMAP, "late", "going"))
        assert gone

    two(scenario)


def test_generated_names_and_new_kinds_are_known_to_both(two: Callable[[Scenario], None]) -> None:
    async def scenario(both: Two) -> None:
        one, other = both.clients
        names = {"plural": "ships", "singular": "ship", "kind": "Ship", "listKind": "ShipList"}
        schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
        version = {"name": "v1", "served": True, "storage": True, "schema": schema}
        spec = {"group": "sea.example", "scope": "Namespaced", "names": names, "versions": [version]}
        await one.create(CUSTOMRESOURCEDEFINITION, document(CUSTOMRESOURCEDEFINITION, "ships.sea.example", spec=spec))

        async def established() -> bool:
            found = await other.get(CUSTOMRESOURCEDEFINITION, "", "ships.sea.example")
            conditions = found.document().get("status", {}).get("conditions", ())
            return any(one["type"] == "Established" and one["status"] == "True" for one in conditions)

        await eventually(established)
        for plane, client in zip(both.planes, both.clients, strict=True):
            kind = plane.kinds.resource("sea.example", "v1", "ships")
            assert kind is not None
            metadata = {"generateName": "ship-", "namespace": "default"}
            await client.create(kind, {"apiVersion": "sea.example/v1", "kind": "Ship", "metadata": metadata})
        assert len((await one.list(both.planes[0].kinds.resource("sea.example", "v1", "ships"))).items) == 2
        assert len((await other.list(both.planes[1].kinds.resource("sea.example", "v1", "ships"))).items) == 2

    two(scenario)


def test_one_of_them_runs_the_controllers_until_it_ends(two: Callable[[Scenario], None]) -> None:
    async def scenario(both: Two) -> None:
        async def holder() -> str:
            try:
                lease = await both.clients[0].get(LEASE, "kube-system", LEADER)
            except NotFound:
                return ""
            return str(lease.document()["spec"].get("holderIdentity", ""))

        async def led() -> bool:
            return bool(await holder())

        running = [asyncio.ensure_future(plane.run()) for plane in both.planes]
        try:
            await eventually(led)
            first = await holder()
            pod = document(POD, "p", spec={"containers": [{"name": "c", "image": "i"}]})

            async def made() -> bool:
                return isinstance(await refused(both.clients[1].create(POD, pod)), Object)

            await eventually(made)  # the leader's controllers have made the service account
            for plane, task in zip(both.planes, running, strict=True):
                if plane.leads:
                    task.cancel()
                    await asyncio.gather(task, return_exceptions=True)
                    break

            async def other_leads() -> bool:
                return await holder() not in ("", first)

            await eventually(other_leads)

            async def at_work() -> bool:  # the lease is taken a moment before its holder has the answer
                return [p.leads for p, task in zip(both.planes, running, strict=True) if not task.done()] == [True]

            await eventually(at_work)
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    two(scenario)


def test_a_lost_answer_is_no_second_write(etcd: EtcdProcess, loop: asyncio.Runner) -> None:
    """etcd is frozen while it is asked to write, so that nobody knows; thawed, it holds the value once."""

    async def scenario() -> None:
        store = await EtcdStore.open(EtcdSettings((etcd.url,), prefix="/doubt", compaction_s=0))
        real = store._connection.once
        sent = 0

        async def once(method: str, request: Any, answer: Any) -> Any:
            nonlocal sent
            sent += 1
            found = await real(method, request, answer)
            if sent == 1:
                from navarch.store.etcd.connection import Doubt

                raise Doubt("planted: the answer was lost")
            return found

        try:
            store._connection.once = once  # type: ignore[method-assign]
            revision = await store.put("/a", b"1", 0)
            row = await store.get("/a")
            assert row is not None
            assert (row.value, row.revision, row.created) == (b"1", revision, revision)
            sent = 0
            with pytest.raises(ApiError, match="outcome of the write is unknown"):
                await store.delete("/a", revision)
            assert await store.get("/a") is None
            sent = 5
            with pytest.raises(Stale):
                await store.put("/a", b"2", revision)
        finally:
            await store.close()

    loop.run(scenario())


def test_what_etcd_has_no_room_for_is_refused_with_words(tmp_path: Path, loop: asyncio.Runner) -> None:
    async def scenario(process: EtcdProcess) -> None:
        store = await EtcdStore.open(EtcdSettings((process.url,), compaction_s=0))
        try:
            with pytest.raises(ApiError, match="too large") as large:
                await store.put("/large", b"x" * (2 << 20), 0)
            assert large.value.code == 413
            with pytest.raises(ApiError, match="its quota is used up") as full:
                await fill(store)
            assert full.value.code == 507
            row = (await store.list("/")).rows[0]
            await store.delete(row.key, row.revision)
        finally:
            await store.close()

    with etcd_running(tmp_path, "--quota-backend-bytes", str(8 << 20)) as process:
        loop.run(scenario(process))


def test_an_etcd_that_is_away_is_said_and_waited_for(tmp_path: Path, loop: asyncio.Runner) -> None:
    async def scenario(process: EtcdProcess, monkeypatch: pytest.MonkeyPatch) -> None:
        store = await EtcdStore.open(EtcdSettings((process.url,), compaction_s=0))
        try:
            monkeypatch.setattr("navarch.store.etcd.connection.PATIENCE_S", 0.3)
            process.kill()
            with pytest.raises(Unavailable) as away:
                await store.newest()
            assert away.value.retry_after_s > 0
            assert process.url in away.value.message
            with pytest.raises(ApiError):
                await store.put("/b", b"", 0)
            assert store.trouble()
            process.start()
            await eventually(lambda: answers(store))
            assert store.trouble() == ""
        finally:
            await store.close()

    with etcd_running(tmp_path) as process, pytest.MonkeyPatch.context() as patched:
        loop.run(scenario(process, patched))


async def fill(store: EtcdStore) -> None:
    for n in range(200):
        await store.put(f"/{n}", b"x" * (1 << 20), 0)


async def answers(store: EtcdStore) -> bool:
    try:
        await store.newest()
    except ApiError:
        return False
    return store.trouble() == ""


def test_the_servers_make_etcd_forget_in_turn(etcd: EtcdProcess, loop: asyncio.Runner) -> None:
    from navarch.store.etcd.compaction import Compactor

    async def scenario() -> None:
        store = await EtcdStore.open(EtcdSettings((etcd.url,), prefix="/forget", compaction_s=0))
        try:
            turns = [Compactor(store._connection, b"/forget/") for _ in range(2)]
            for compactor in turns:
                assert await compactor.turn() == 0, "nobody knows yet what was new an interval ago"
            written = await store.put("/a", b"1", 0)
            done = [await compactor.turn() for compactor in turns]
            assert [bool(revision) for revision in done].count(True) <= 1
            await store.put("/b", b"1", 0)
            done += [await compactor.turn() for compactor in turns]
            done += [await compactor.turn() for compactor in turns]
            kept = [revision for revision in done if revision]
            assert kept == sorted(set(kept)), "each once, forwards"
            assert kept[-1] >= written
            assert [row.key for row in (await store.list("/")).rows] == ["/a", "/b"]
        finally:
            await store.close()

    loop.run(scenario())


def test_over_tls_with_a_client_certificate_past_members_that_are_away(tmp_path: Path, loop: asyncio.Runner) -> None:
    """Without the certificate, or with the authority of somebody else, nothing is read."""
    clock, ids = SystemClock(), SystemIds()
    ours, others = Pki(tmp_path / "pki", clock, ids), Pki(tmp_path / "others", clock, ids)
    ours.server("etcd", "etcd", ["127.0.0.1"])
    ours.client("apiserver-etcd-client", "navarch")
    others.client("stranger", "stranger")
    (server_certificate, server_key), (certificate, key) = ours.path("etcd"), ours.path("apiserver-etcd-client")
    ca, other_ca = ours.path("ca")[0], others.path("ca")[0]

    async def scenario(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        away = f"https://127.0.0.1:{free_port()}"
        store = await EtcdStore.open(EtcdSettings((away, url), ca, certificate, key, compaction_s=0))
        try:
            revision = await store.put("/a", b"1", 0)
            assert await store.newest() == revision
        finally:
            await store.close()
        monkeypatch.setattr("navarch.store.etcd.connection.PATIENCE_S", 0.3)
        for files in ((ca, None, None), (other_ca, certificate, key), (ca, *others.path("stranger"))):
            with pytest.raises(Unavailable, match=url):
                await EtcdStore.open(EtcdSettings((url,), *files, compaction_s=0))
        with pytest.raises(Unavailable, match="cannot read the certificates for etcd"):
            await EtcdStore.open(EtcdSettings((url,), tmp_path / "missing.crt", compaction_s=0))

    options = ("--cert-file", server_certificate, "--key-file", server_key, "--trusted-ca-file", ca)
    with (
        etcd_running(tmp_path / "etcd", *map(str, options), "--client-cert-auth", scheme="https") as process,
        pytest.MonkeyPatch.context() as patched,
    ):
        loop.run(scenario(process.url, patched))
