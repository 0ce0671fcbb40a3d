"""Static pods: from a file to a pod of the node, what the API server is shown of it, and both without an API server."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer

from navarch.agent.fake import Behaviour
from navarch.agent.kubelet import KubeletConfig
from navarch.agent.statics.file import BadFile, ending, hash_of, mirror, read_pod, read_pods, with_status
from navarch.agent.statics.folder import Folder
from navarch.agent.statics.url import NoAnswer, Url, fetch
from navarch.base.clock import SystemClock
from navarch.base.errors import Retryable
from navarch.client.client import Client
from navarch.kinds import NODE, POD
from navarch.kinds.object import Object
from tests.unit.agent import cluster
from tests.unit.agent.pods import START, at
from tests.unit.agent.test_agent import play

POD_FILE: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "web", "labels": {"app": "web"}},
    "spec": {"terminationGracePeriodSeconds": 5, "containers": [{"name": "main", "image": "app:1"}]},
}


def written(**spec: Any) -> str:
    return yaml.safe_dump({**POD_FILE, "spec": {**POD_FILE["spec"], **spec}})


def read(text: str, node: str = "n1") -> Object:
    return read_pod(text, node, START)


def test_a_file_becomes_a_pod_of_its_node() -> None:
    found = read(written())
    document = found.document()
    assert found.key == ("default", "web-n1")
    assert document["metadata"]["annotations"] == {
        "kubernetes.io/config.hash": found.uid,
        "kubernetes.io/config.seen": "2026-01-01T00:00:00Z",
        "kubernetes.io/config.source": "file",
    }
    assert document["spec"]["nodeName"] == "n1"
    assert document["spec"]["tolerations"] == [{"operator": "Exists", "effect": "NoExecute"}]
    assert document["spec"]["restartPolicy"] == "Always"
    assert found.view.spec.containers[0].image_pull_policy == "IfNotPresent"
    critical = read(written(priorityClassName="system-node-critical"))
    assert critical.view.spec.priority == 2_000_001_000


def test_the_uid_is_the_contents_and_the_nodes() -> None:
    assert read(written()).uid == read(written()).uid
    assert read_pod(written(), "n1", at(100)).uid == read(written()).uid
    assert read(written()).uid != read(written(hostNetwork=True)).uid
    assert read(written()).uid != read(written(), "n2").uid


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "neither YAML nor JSON"),
        ("[]", "holds no object with apiVersion: v1 and kind: Pod"),
        ("apiVersion: apps/v1\nkind: Deployment", "holds no object"),
        ("apiVersion: v1\nkind: Pod\nspec: {containers: [{name: a, image: a}]}", "metadata.name is missing"),
        (written(containers=[]), "spec.containers: Required value"),
        (written(restartPolicy="Sometimes"), "spec.restartPolicy: Unsupported value"),
        (written(containers="many"), "cannot unmarshal"),
        (written(color="red"), 'unknown field "spec.color"'),
        (written(serviceAccountName="me"), "static pods may not reference serviceaccounts"),
        (written(imagePullSecrets=[{"name": "s"}]), "static pods may not reference secrets: it names 's'"),
        (
            written(containers=[{"name": "a", "image": "a", "envFrom": [{"configMapRef": {"name": "c"}}]}]),
            "static pods may not reference configmaps: it names 'c'",
        ),
        (
            written(volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]),
            "static pods may not reference persistentvolumeclaims",
        ),
    ],
)
def test_a_file_that_is_no_static_pod_says_why(text: str, problem: str) -> None:
    with pytest.raises(BadFile) as caught:
        read(text)
    assert problem in str(caught.value)


def test_what_the_api_server_is_shown_names_the_node_as_owner() -> None:
    found = read(written())
    shown = mirror(found, "n1", "node-uid")
    assert "uid" not in shown["metadata"]
    assert "status" not in shown
    assert shown["metadata"]["labels"] == {"app": "web"}
    assert shown["metadata"]["ownerReferences"] == [
        {"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": "node-uid", "controller": True}
    ]
    assert hash_of(Object.of(POD, shown)) == found.uid
    assert hash_of(found) == ""


def test_a_file_that_goes_is_a_pod_that_was_deleted() -> None:
    last = ending(read(written()), START)
    assert last.terminating
    assert last.view.metadata.deletion_timestamp == at(5)
    assert last.view.metadata.deletion_grace_period_seconds == 5


def test_conditions_that_a_status_does_not_speak_of_stay() -> None:
    old = with_status(read(written()), {"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "True"}]})
    new = with_status(old, {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]})
    assert [one["type"] for one in new.document()["status"]["conditions"]] == ["PodScheduled", "Ready"]
    assert new.document()["status"]["phase"] == "Running"


# the whole agent


class Away:
    """A client whose server does not answer as long as `silent` is set."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.silent = True

    def __getattr__(self, verb: str) -> Any:
        found = getattr(self._client, verb)
        if verb == "watch":
            return found

        async def call(*given: Any, **named: Any) -> Any:
            if self.silent:
                raise Retryable("nobody answers")
            return await found(*given, **named)

        return call


NODE_NAME = "n1"


async def gathered(source: Any, rounds: int) -> list[list[str] | None]:
    """The names of what a source says, each time that it says something."""
    said: list[list[str] | None] = []
    enough = asyncio.Event()

    def found(pods: Any) -> None:
        said.append(None if pods is None else [one.name for _, one in sorted(pods.items())])
        if len(said) == rounds:
            enough.set()

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        task = group.create_task(source.run(found))
        await enough.wait()
        task.cancel()
    return said


def url_of(*answers: Any) -> Url:
    """A URL that answers so, one after the other; an exception is raised. The last is repeated."""
    left = list(answers)

    async def ask() -> bytes:
        answer = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, bytes) else str(answer).encode()

    return Url(ask, NODE_NAME, SystemClock(), 0.001)


def test_a_url_names_one_pod_or_many_and_what_it_said_holds_until_it_says_something_else() -> None:
    item = {key: POD_FILE[key] for key in ("metadata", "spec")}
    both = {"apiVersion": "v1", "kind": "PodList", "items": [item, {**item, "metadata": {"name": "db"}}]}
    url = url_of(
        NoAnswer("away"), written(), written(), "{", yaml.safe_dump(both), NoAnswer("away"), b"\xff", b"", written()
    )
    said = asyncio.run(gathered(url, 8))
    assert said == [None, ["web-n1"], None, ["web-n1", "db-n1"], None, None, [], ["web-n1"]]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{apiVersion: v1, kind: PodList, items: {}}", "items must be a list"),
        ("{apiVersion: v1, kind: PodList, items: [{metadata: {name: a}, spec: {color: red}}]}", "unknown field"),
        ("{apiVersion: v1, kind: PodList, items: [{kind: Node}]}", "no object with apiVersion: v1 and kind: Pod"),
        ("{apiVersion: v1, kind: NodeList, items: []}", "no object with apiVersion: v1 and kind: Pod"),
    ],
)
def test_a_list_that_cannot_be_understood_says_why(text: str, problem: str) -> None:
    with pytest.raises(BadFile, match=problem):
        read_pods(text, NODE_NAME, START, "http")


def test_a_pod_of_a_url_says_where_it_comes_from_and_is_another_than_a_files() -> None:
    [found] = read_pods(written(), NODE_NAME, START, "http")
    assert found.document()["metadata"]["annotations"]["kubernetes.io/config.source"] == "http"
    assert found.uid != read(written()).uid
    assert read_pods("{apiVersion: v1, kind: PodList}", NODE_NAME, START, "http") == []


def test_a_url_is_asked_over_the_network_with_its_headers() -> None:
    async def scenario() -> None:
        asked: list[tuple[str, list[str]]] = []

        async def answer(request: web.Request) -> web.Response:
            asked.append((request.path, request.headers.getall("X-Key", [])))
            return web.Response(text=written()) if request.path == "/pods" else web.Response(status=404)

        application = web.Application()
        application.router.add_get("/{path}", answer)
        async with TestServer(application) as server:
            base = f"http://127.0.0.1:{server.port}"
            assert (await fetch(f"{base}/pods", {"X-Key": ("a", "b")})).decode() == written()
            with pytest.raises(NoAnswer, match="404 Not Found"):
                await fetch(f"{base}/other", {})
        with pytest.raises(NoAnswer):
            await fetch(f"{base}/pods", {})
        with pytest.raises(NoAnswer):
            await fetch("http://[", {})
        assert asked == [("/pods", ["a", "b"]), ("/other", [])]

    asyncio.run(scenario())


def test_a_folder_is_looked_at_again_though_nobody_tells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextlib.contextmanager
    def deaf(folder: Path, changed: Any) -> Any:
        yield

    monkeypatch.setattr("navarch.agent.statics.folder.watched", deaf)
    reads: list[str] = []
    real = read_pod

    def counted(text: str, node: str, now: Any) -> Object:
        reads.append(text)
        return real(text, node, now)

    monkeypatch.setattr("navarch.agent.statics.folder.read_pod", counted)
    file = tmp_path / "web.yaml"

    async def scenario() -> None:
        said: list[list[str]] = []
        folder = Folder(tmp_path, NODE_NAME, SystemClock(), 0.01)
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            task = group.create_task(folder.run(lambda pods: said.append([one.name for one in (pods or {}).values()])))
            await until(lambda: said == [[]])
            file.write_text(written())
            await until(lambda: said[-1] == ["web-n1"])
            await asyncio.sleep(0.1)
            assert len(reads) == 1, "the same file is not read again"
            file.write_text("{")
            await until(lambda: len(reads) == 2)
            file.unlink()
            await until(lambda: said[-1] == [])
            task.cancel()

    asyncio.run(scenario())


def test_one_file_may_be_named_in_place_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "web.yaml").write_text(written())
    (tmp_path / "other.yaml").write_text(written().replace("web", "other"))
    folder = Folder(tmp_path / "web.yaml", NODE_NAME, SystemClock(), 20.0)
    assert asyncio.run(gathered(folder, 1)) == [["web-n1"]]


def folder_of(world: Any, tmp_path: Path) -> Path:
    folder = tmp_path / "manifests"
    folder.mkdir()
    world.config = replace(world.config, kubelet=KubeletConfig(static_pod_path=str(folder)))
    return folder


async def until(holds: Any) -> None:
    async with asyncio.timeout(120):
        while not holds():  # noqa: ASYNC110 - the runtime's records tell nobody
            await asyncio.sleep(0.02)


def running(world: Any) -> list[str]:
    calls = world.runtime.calls
    return [subject for verb, subject in calls if verb == "start_sandbox"]


def test_a_static_pod_runs_is_shown_and_cannot_be_deleted(tmp_path: Path) -> None:
    async def scenario(world: Any) -> None:
        folder = folder_of(world, tmp_path)
        (folder / "web.yaml").write_text(written())
        (folder / ".hidden.yaml").write_text(written())
        (folder / "broken.yaml").write_text("{")
        async with world.running():
            shown = await world.until("web-n1", cluster.ready)
            node = await world.client.get(NODE, "", cluster.NODE)
            assert shown["metadata"]["ownerReferences"][0]["uid"] == node.uid
            notes = shown["metadata"]["annotations"]
            assert notes["kubernetes.io/config.mirror"] == notes["kubernetes.io/config.hash"]
            assert shown["status"]["podIP"].startswith("10.42.")
            await world.client.delete(POD, "default", "web-n1", grace_s=0)
            again = await world.until(
                "web-n1", lambda one: cluster.ready(one) and one["metadata"]["uid"] != shown["metadata"]["uid"]
            )
            assert cluster.container(again)["restartCount"] == 0
            assert cluster.container(again)["containerID"] == cluster.container(shown)["containerID"]
            assert running(world) == ["web-n1"]
            (folder / "web.yaml").unlink()
            await world.until_gone("web-n1")
            await until(lambda: "stop_sandbox" in [verb for verb, _ in world.runtime.calls])

    play(tmp_path, scenario)


def test_a_changed_file_is_another_pod_after_the_first(tmp_path: Path) -> None:
    async def scenario(world: Any) -> None:
        folder = folder_of(world, tmp_path)
        (folder / "web.yaml").write_text(written())
        async with world.running():
            first = await world.until("web-n1", cluster.ready)
            (folder / "web.yaml").write_text(written(containers=[{"name": "main", "image": "app:2"}]))
            second = await world.until(
                "web-n1", lambda one: cluster.ready(one) and one["spec"]["containers"][0]["image"] == "app:2"
            )
            assert first["metadata"]["uid"] != second["metadata"]["uid"]
            verbs = [verb for verb, subject in world.runtime.calls if verb in ("start_sandbox", "stop_sandbox")]
            assert verbs.count("start_sandbox") == 2
            assert "stop_sandbox" in verbs[1:-1], "the first was stopped before the second started"
            (folder / "web.yaml").write_text("{")
            (folder / "other.yaml").write_text(written().replace("web", "other"))
            await world.until("other-n1", cluster.ready)
            assert cluster.ready(await world.pod("web-n1")), "a broken file stops nothing"

    play(tmp_path, scenario, behave=lambda spec: Behaviour(stop_s=0.1))


def test_a_url_that_is_away_holds_nothing_up_and_nothing_of_its_pods_is_cleared_away_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = False

    def runs(image: str) -> Any:
        return lambda one: cluster.ready(one) and one["spec"]["containers"][0]["image"] == image

    async def answer(url: str, headers: Any) -> bytes:
        if away:
            raise NoAnswer(f"{url}: away")
        assert (url, headers) == ("http://pods.test/list", {"X-Key": ("a",)})
        return written().encode()

    monkeypatch.setattr("navarch.agent.statics.url.fetch", answer)

    async def scenario(world: Any) -> None:
        nonlocal away
        kubelet = KubeletConfig(
            static_pod_url="http://pods.test/list",
            static_pod_url_header={"X-Key": ("a",)},
            http_check_frequency_s=0.05,
            static_pod_path=str(tmp_path / "manifests"),
        )
        world.config = replace(world.config, kubelet=kubelet, relist_s=0.5)
        (tmp_path / "manifests").mkdir()
        (tmp_path / "manifests" / "twin.yaml").write_text(written(containers=[{"name": "main", "image": "file:1"}]))
        async with world.running():
            await world.until("web-n1", runs("file:1"))  # files go first, whoever answered first
            (tmp_path / "manifests" / "twin.yaml").unlink()
            shown = await world.until("web-n1", runs("app:1"))
            assert shown["metadata"]["annotations"]["kubernetes.io/config.source"] == "http"
        away = True
        async with world.running() as agent:
            await world.create_pod("plain")
            await world.until("plain", cluster.ready)
            for _ in range(2):
                relists = agent.vitals.relists.count()
                await until(lambda: agent.vitals.relists.count() > relists)  # noqa: B023
            away = False
            again = await world.until("web-n1", cluster.ready)
            await until(lambda: running(world).count("plain") == 1)
            assert cluster.container(again)["containerID"] == cluster.container(shown)["containerID"]
            assert again["metadata"]["uid"] == shown["metadata"]["uid"], "what is shown of it stays as well"

    play(tmp_path, scenario, behave=lambda spec: Behaviour(stop_s=0.1))


def test_static_pods_need_no_api_server_and_outlive_their_agent(tmp_path: Path) -> None:
    async def scenario(world: Any) -> None:
        folder = folder_of(world, tmp_path)
        (folder / "web.json").write_text(written())
        client, world.client = world.client, Away(world.client)
        away = world.client
        async with world.running():
            await until(lambda: "start_container" in [verb for verb, _ in world.runtime.calls])
            assert not (await client.list(POD, "default")).items
            away.silent = False
            world.client = client
            shown = await world.until("web-n1", cluster.ready)
        async with world.running():
            await world.until("web-n1", cluster.ready)
            await world.create_pod("plain")
            await world.until("plain", cluster.ready)
            assert cluster.container(await world.pod("web-n1")) == cluster.container(shown)
        (folder / "web.json").unlink()
        async with world.running():
            await world.until_gone("web-n1")
            await until(lambda: "stop_container" in [verb for verb, _ in world.runtime.calls])
        assert running(world).count("web-n1") == 1

    play(tmp_path, scenario)
