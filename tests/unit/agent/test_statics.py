"""Static pods: from a file to a pod of the node, what the API server is shown of it, and both without an API server."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from navarch.agent.fake import Behaviour
from navarch.agent.kubelet import KubeletConfig
from navarch.agent.statics.file import BadFile, ending, hash_of, mirror, read_pod, with_status
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
