"""The agent with real containers: what a container finds in its environment, on its disk and on its network."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from navarch.agent import logs
from navarch.agent.agent import Agent
from navarch.agent.cgroups import Cgroups
from navarch.agent.config import AgentConfig, Paths
from navarch.agent.runtime import ContainerState
from navarch.apiserver.call import ITSELF
from navarch.apiserver.core import Core
from navarch.app.sweep import Leases
from navarch.base.clock import SeededIds, SystemClock, rfc3339
from navarch.kinds import CONFIGMAP, EVENT, NAMESPACE, POD, SECRET, SERVICE, SERVICEACCOUNT
from navarch.kinds.registry import DEFAULT
from navarch.objects.value import Document
from navarch.store.memory import MemoryStore
from tests.node import containerd_fixture as fixture
from tests.node.registry_fixture import Registry, serving
from tests.unit.agent import cluster

pytestmark = pytest.mark.node


IMAGE = fixture.BUSYBOX
GROUP = fixture.GROUP


async def _token(user: Any, namespace: str, name: str, document: Document) -> Document:
    expires = rfc3339(SystemClock().now() + timedelta(hours=1))
    return {**document, "status": {"token": f"token of {namespace}/{name}", "expirationTimestamp": expires}}


class Node:
    """The agent on containerd and an API server in memory, kept for all tests of this module."""

    def __init__(self, world: Any, machine: Any) -> None:
        self.world = world
        self.machine = machine
        self.client = world.client
        self.task: asyncio.Task[None]

    def start(self) -> None:
        agent = Agent(
            self.client,
            self.machine.runtime,
            self.machine.clock,
            SeededIds(5),
            self.world.config,
            cgroups=Cgroups(GROUP, kubelet=self.world.config.kubelet),
        )
        self.task = asyncio.get_running_loop().create_task(agent.run())

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


@pytest.fixture(scope="module")
def node() -> Iterator[Callable[[Callable[[Node], Coroutine[Any, Any, None]]], None]]:
    assert fixture.missing() == ""
    with asyncio.Runner() as runner:
        started = runner.run(_start())
        yield lambda scenario: runner.run(scenario(started[0]))
        runner.run(started[1]())


async def _start() -> tuple[Node, Callable[[], Coroutine[Any, Any, None]]]:
    way = fixture.machine()
    machine = await way.__aenter__()
    clock = SystemClock()
    core = Core(MemoryStore(), DEFAULT, clock, SeededIds(1), answers={("serviceaccounts", "token"): _token})
    await core.start()
    client = core.local(ITSELF, "test")
    await client.create(NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}})
    await client.create(NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kube-node-lease"}})
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": "default"}}
    await client.create(SERVICEACCOUNT, account)
    config = AgentConfig(
        cluster.NODE,
        ("192.0.2.7",),
        Paths(machine.directory / "agent", machine.directory / "logs"),
        cluster_dns=("10.96.0.10",),
        cgroup_root=GROUP,
    )
    world = cluster.World(core, client, machine.runtime, clock, config)
    node = Node(world, machine)
    node.start()

    async def stop() -> None:
        await node.stop()
        await core.close()
        await way.__aexit__(None, None, None)
        assert not list(Path("/sys/fs/cgroup").glob(f"*{GROUP}"))

    return node, stop


def shell(line: str, name: str = "main", **more: Any) -> Document:
    return {"name": name, "image": IMAGE, "imagePullPolicy": "IfNotPresent", "command": ["sh", "-c", line], **more}


FOREVER = "trap 'exit 0' TERM; while true; do sleep 0.1; done"


async def nothing_left(node: Node, name: str, uid: str) -> None:
    """The object may go before the last of the pod does."""
    paths = node.world.config.paths
    for _ in range(3_000):
        kept = [path for path in (paths.pod_logs("default", name, uid), paths.pod(uid)) if path.exists()]
        if not kept and uid not in await node.machine.runtime.observe():
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"left behind: {kept}, {await node.machine.runtime.observe(uid)}")


async def eventually(holds: Callable[[], Awaitable[Any]]) -> None:
    async with asyncio.timeout(90):
        while not await holds():  # noqa: ASYNC110 - files and the runtime tell nobody
            await asyncio.sleep(0.05)


async def output(node: Node, name: str, container: Document, **spec: Any) -> str:
    """What a pod's only container writes until it ends well."""
    made = await node.world.create_pod(name, container, restartPolicy="Never", **spec)
    found = await node.world.until(name, lambda pod: pod["status"].get("phase") in ("Succeeded", "Failed"))
    folder = node.world.config.paths.pod_logs("default", name, made.uid)
    text = "\n".join(line.split(" ", 3)[3] for line in (folder / container["name"] / "0.log").read_text().splitlines())
    assert found["status"]["phase"] == "Succeeded", (text, found["status"])
    await node.client.delete(POD, "default", name)
    await node.world.until_gone(name)
    await nothing_left(node, name, made.uid)
    return text


def test_a_pod_runs_and_leaves_nothing_behind(node: Callable[..., None]) -> None:
    async def scenario(node: Node) -> None:
        started = node.machine.clock.monotonic()
        made = await node.world.create_pod("web", shell(FOREVER))
        found = await node.world.until("web", cluster.ready)
        print("ready after", node.machine.clock.monotonic() - started)
        assert found["status"]["podIP"].startswith("10.213.")
        group = Path(f"/sys/fs/cgroup/memory{GROUP}/besteffort/pod{made.uid}")
        assert group.is_dir()
        started = node.machine.clock.monotonic()
        await node.client.delete(POD, "default", "web")
        await node.world.until_gone("web")
        print("gone after", node.machine.clock.monotonic() - started)
        assert not group.exists()
        await nothing_left(node, "web", made.uid)
        events = [item.document()["reason"] for item in (await node.client.list(EVENT, "default")).items]
        assert {"Pulled", "Created", "Started", "Killing"} <= set(events)

    node(scenario)


def test_the_environment_comes_from_where_the_spec_says(node: Callable[..., None]) -> None:
    async def scenario(node: Node) -> None:
        meta = {"namespace": "default", "name": "envs"}
        settings = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"color": "blue", "SIZE": "L"}}
        await node.client.create(CONFIGMAP, settings)
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": {"password": "s3cret"}}
        await node.client.create(SECRET, secret)
        env = [
            {"name": "PLAIN", "value": "x"},
            {"name": "JOINED", "value": "$(PLAIN)-$(SIZE)-$$(PLAIN)-$(UNKNOWN)"},
            {"name": "COLOR", "valueFrom": {"configMapKeyRef": {"name": "envs", "key": "color"}}},
            {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "envs", "key": "password"}}},
            {"name": "ABSENT", "valueFrom": {"secretKeyRef": {"name": "nope", "key": "x", "optional": True}}},
            {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
            {"name": "LIMIT", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}},
        ]
        limits = {"resources": {"limits": {"memory": "64Mi", "cpu": "500m"}}}
        source = {"envFrom": [{"configMapRef": {"name": "envs"}, "prefix": "CM_"}, {"configMapRef": {"name": "envs"}}]}
        text = await output(node, "env", shell("env; hostname -i", env=env, **limits, **source))
        found = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
        assert found["JOINED"] == "x-L-$(PLAIN)-$(UNKNOWN)"
        assert (found["COLOR"], found["PASSWORD"], found["CM_color"]) == ("blue", "s3cret", "blue")
        assert (found["NODE"], found["LIMIT"], found["HOSTNAME"]) == ("n1", "64", "env")
        assert found["POD_IP"] == text.splitlines()[-1].strip()
        assert "ABSENT" not in found

    node(scenario)


def test_volumes_hold_what_the_spec_says(node: Callable[..., None], tmp_path: Path) -> None:
    async def scenario(node: Node) -> None:
        meta = {"namespace": "default", "name": "files"}
        data = {"a.conf": "alpha", "b.conf": "beta"}
        await node.client.create(CONFIGMAP, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data})
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": {"key": "hidden"}}
        await node.client.create(SECRET, secret)
        (tmp_path / "host.txt").write_text("from the host")
        token = {"serviceAccountToken": {"path": "token", "expirationSeconds": 3600}}
        downward = {"downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.namespace"}}]}}
        volumes = [
            {"name": "conf", "configMap": {"name": "files", "items": [{"key": "a.conf", "path": "sub/a"}]}},
            {"name": "secret", "secret": {"secretName": "files", "defaultMode": 0o400}},
            {"name": "scratch", "emptyDir": {}},
            {"name": "memory", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
            {"name": "host", "hostPath": {"path": str(tmp_path), "type": "Directory"}},
            {"name": "all", "projected": {"sources": [token, downward, {"configMap": {"name": "files"}}]}},
        ]
        mounts = [
            {"name": "conf", "mountPath": "/conf"},
            {"name": "secret", "mountPath": "/secret"},
            {"name": "scratch", "mountPath": "/scratch"},
            {"name": "memory", "mountPath": "/memory"},
            {"name": "host", "mountPath": "/host", "readOnly": True},
            {"name": "all", "mountPath": "/all"},
            {"name": "scratch", "mountPath": "/part", "subPath": "deep/part"},
            {"name": "all", "mountPath": "/b.conf", "subPath": "b.conf"},
        ]
        line = (
            "cat /conf/sub/a; echo; cat /secret/key; echo; stat -L -c %a /secret/key; cat /host/host.txt; echo;"
            "touch /host/x 2>/dev/null || echo readonly; cat /all/token; echo; cat /all/labels; echo;"
            "echo mine > /part/f; cat /scratch/deep/part/f; df -k /memory | grep -c 1024; cat /b.conf; echo;"
            "touch /conf/x 2>/dev/null || echo sealed"
        )
        text = await output(node, "volumes", shell(line, volumeMounts=mounts), volumes=volumes)
        assert text.split("\n") == [
            *("alpha", "hidden", "400", "from the host", "readonly", "token of default/default", "default", "mine"),
            *("1", "beta", "sealed"),
        ]

    node(scenario)


def test_a_mounted_configmap_follows_its_object(node: Callable[..., None]) -> None:
    async def scenario(node: Node) -> None:
        meta = {"namespace": "default", "name": "live"}
        document = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"word": "old"}}
        await node.client.create(CONFIGMAP, document)
        volumes = [{"name": "conf", "configMap": {"name": "live"}}]
        mounts = [{"name": "conf", "mountPath": "/conf"}]
        line = "until grep -q new /conf/word; do sleep 0.05; done; cat /conf/word"
        await node.world.create_pod("live", shell(line, volumeMounts=mounts), volumes=volumes, restartPolicy="Never")
        await node.world.until("live", lambda pod: pod["status"].get("phase") == "Running")
        await node.client.patch(CONFIGMAP, "default", "live", {"data": {"word": "new"}})
        await node.world.until("live", lambda pod: pod["status"].get("phase") == "Succeeded")
        await node.client.delete(POD, "default", "live")
        await node.world.until_gone("live")

    node(scenario)


def test_a_pod_waits_for_a_secret_and_says_so(node: Callable[..., None]) -> None:
    async def scenario(node: Node) -> None:
        volumes = [{"name": "late", "secret": {"secretName": "late"}}]
        mounts = [{"name": "late", "mountPath": "/late"}]
        await node.world.create_pod("late", shell(FOREVER, volumeMounts=mounts), volumes=volumes)

        async def said() -> bool:
            told = [item.document() for item in (await node.client.list(EVENT, "default")).items]
            texts = [event["message"] for event in told if event["reason"] == "FailedMount"]
            return 'MountVolume.SetUp failed for volume "late" : secret "late" not found' in texts

        await eventually(said)
        meta = {"namespace": "default", "name": "late"}
        await node.client.create(SECRET, {"apiVersion": "v1", "kind": "Secret", "metadata": meta})
        await node.world.until("late", cluster.ready)
        await node.client.delete(POD, "default", "late")
        await node.world.until_gone("late")

    node(scenario)


def test_users_groups_and_rights_are_what_the_spec_says(node: Callable[..., None]) -> None:
    async def scenario(node: Node) -> None:
        context = {"runAsUser": 1000, "runAsGroup": 3000, "fsGroup": 2000, "supplementalGroups": [4000]}
        own = {"securityContext": {"readOnlyRootFilesystem": True, "allowPrivilegeEscalation": False}}
        mounts = {"volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}]}
        line = (
            "id; touch /x 2>/dev/null || echo readonly; touch /scratch/f && stat -c %g /scratch/f;"
            "grep -c 'NoNewPrivs:.1' /proc/self/status; cat /proc/self/attr/current >/dev/null 2>&1; echo done"
        )
        volumes = [{"name": "scratch", "emptyDir": {}}]
        text = await output(node, "user", shell(line, **own, **mounts), securityContext=context, volumes=volumes)
        lines = text.split("\n")
        assert lines[0].startswith("uid=1000(user) gid=3000 groups=")
        assert {"2000", "4000"} <= {part.split("(")[0] for part in lines[0].split("groups=")[1].split(",")}
        assert lines[1:] == ["readonly", "2000", "1", "done"]

    node(scenario)


def test_an_image_that_would_run_as_root_is_refused_where_that_is_forbidden(node: Callable[..., None]) -> None:
    async def scenario(node: Node) -> None:
        await node.world.create_pod("noroot", shell("id", securityContext={"runAsNonRoot": True}))
        found = await node.world.until(
            "noroot",
            lambda pod: (
                pod["status"].get("containerStatuses")
                and cluster.container(pod)["state"].get("waiting", {}).get("reason") == "CreateContainerConfigError"
            ),
        )
        message = cluster.container(found)["state"]["waiting"]["message"]
        assert message.startswith("container has runAsNonRoot and image will run as root (pod: ")
        await node.client.delete(POD, "default", "noroot")
        await node.world.until_gone("noroot")

    node(scenario)


def test_names_and_resolvers_are_the_clusters(node: Callable[..., None]) -> None:
    async def scenario(node: Node) -> None:
        alias = [{"ip": "10.1.2.3", "hostnames": ["foo.local", "bar.local"]}]
        text = await output(
            node,
            "names",
            shell("hostname; cat /etc/hosts /etc/resolv.conf"),
            hostname="box",
            subdomain="sub",
            hostAliases=alias,
            dnsConfig={"options": [{"name": "ndots", "value": "2"}], "searches": ["extra.test"]},
        )
        lines = text.split("\n")
        assert lines[0] == "box"
        assert any(line.endswith("\tbox.sub.default.svc.cluster.local\tbox") for line in lines)
        assert "10.1.2.3\tfoo.local\tbar.local" in lines
        assert "nameserver 10.96.0.10" in lines
        search = next(line for line in lines if line.startswith("search"))
        assert search.startswith("search default.svc.cluster.local svc.cluster.local cluster.local")
        assert search.endswith("extra.test")
        assert "options ndots:2" in lines

    node(scenario)


def test_services_are_announced_in_variables(node: Callable[..., None]) -> None:
    async def scenario(node: Node) -> None:
        meta = {"namespace": "default", "name": "my-db"}
        spec = {"clusterIP": "10.96.7.7", "ports": [{"port": 5432, "name": "sql"}], "selector": {"a": "b"}}
        await node.client.create(SERVICE, {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec})
        await asyncio.sleep(0.05)
        text = await output(node, "links", shell("env"))
        assert "MY_DB_SERVICE_HOST=10.96.7.7" in text.split("\n")
        assert "MY_DB_PORT_5432_TCP_ADDR=10.96.7.7" in text.split("\n")
        text = await output(node, "nolinks", shell("env"), enableServiceLinks=False)
        assert "MY_DB" not in text

    node(scenario)


def test_a_container_over_its_memory_is_killed_and_says_why(node: Callable[..., None]) -> None:
    async def scenario(node: Node) -> None:
        limits = {"resources": {"limits": {"memory": "16Mi"}}}
        container = {**shell("", **limits), "command": ["dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1"]}
        await node.world.create_pod("oom", container, restartPolicy="Never")
        found = await node.world.until("oom", lambda pod: pod["status"].get("phase") == "Failed")
        assert cluster.container(found)["state"]["terminated"]["reason"] == "OOMKilled"
        assert cluster.container(found)["state"]["terminated"]["exitCode"] == 137
        assert cluster.container(found)["resources"] == {"limits": {"memory": "16Mi"}, "requests": {"memory": "16Mi"}}
        await node.client.delete(POD, "default", "oom")
        await node.world.until_gone("oom")

    node(scenario)


def test_probes_ask_the_container(node: Callable[..., None]) -> None:
    async def scenario(node: Node) -> None:
        line = "mkdir -p /tmp/w; httpd -p 8080 -h /tmp/w; sleep 0.5; echo ok > /tmp/w/ready; " + FOREVER
        alive = "! ls /tmp/w/dead 2>/dev/null"
        port = [{"name": "web", "containerPort": 8080}]
        probes = {
            "startupProbe": {"tcpSocket": {"port": "web"}, "periodSeconds": 1, "failureThreshold": 60},
            "readinessProbe": {"httpGet": {"path": "/ready", "port": 8080}, "periodSeconds": 1},
            "livenessProbe": {"exec": {"command": ["sh", "-c", alive]}, "periodSeconds": 1, "failureThreshold": 1},
        }
        probes["livenessProbe"]["timeoutSeconds"] = 60
        made = await node.world.create_pod("probed", shell(line, ports=port, **probes), terminationGracePeriodSeconds=1)
        await node.world.until("probed", cluster.ready)
        [box] = (await node.machine.runtime.observe(made.uid)).values()
        await node.machine.runtime.exec_sync(box.containers[0].id, ["rm", "/tmp/w/ready"], 5)
        found = await node.world.until("probed", lambda pod: not cluster.ready(pod))
        assert cluster.container(found)["restartCount"] == 0
        await node.machine.runtime.exec_sync(box.containers[0].id, ["touch", "/tmp/w/dead"], 5)
        await node.world.until("probed", lambda pod: cluster.container(pod)["restartCount"] == 1)
        told = [item.document()["message"] for item in (await node.client.list(EVENT, "default")).items]
        assert "Readiness probe failed: HTTP probe failed with statuscode: 404" in told
        await node.client.delete(POD, "default", "probed")
        await node.world.until_gone("probed")

    node(scenario)


def test_hooks_run_after_the_start_and_before_the_stop(node: Callable[..., None], tmp_path: Path) -> None:
    async def scenario(node: Node) -> None:
        volumes = [{"name": "host", "hostPath": {"path": str(tmp_path)}}]
        lifecycle = {
            "postStart": {"exec": {"command": ["sh", "-c", "echo started >> /host/log"]}},
            "preStop": {"exec": {"command": ["sh", "-c", "echo stopping >> /host/log"]}},
        }
        mounts = [{"name": "host", "mountPath": "/host"}]
        container = shell("trap 'echo stopped >> /host/log; exit 0' TERM; while true; do sleep 0.05; done")
        await node.world.create_pod(
            "hooked", {**container, "lifecycle": lifecycle, "volumeMounts": mounts}, volumes=volumes
        )
        await node.world.until("hooked", cluster.ready)
        await node.client.delete(POD, "default", "hooked")
        await node.world.until_gone("hooked")
        assert (tmp_path / "log").read_text().split() == ["started", "stopping", "stopped"]

    node(scenario)


def test_the_last_words_of_a_container_are_kept(node: Callable[..., None]) -> None:
    async def scenario(node: Node) -> None:
        one = shell("echo said > /dev/termination-log; exit 7", "one")
        two = shell("echo logged; exit 8", "two", terminationMessagePolicy="FallbackToLogsOnError")
        await node.world.create_pod("words", one, two, restartPolicy="Never")
        found = await node.world.until("words", lambda pod: pod["status"].get("phase") == "Failed")
        assert cluster.container(found, "one")["state"]["terminated"]["message"] == "said\n"
        assert cluster.container(found, "two")["state"]["terminated"]["message"] == "logged\n"
        assert cluster.container(found, "one")["state"]["terminated"]["exitCode"] == 7
        await node.client.delete(POD, "default", "words")
        await node.world.until_gone("words")

    node(scenario)


def test_a_shared_process_namespace_shows_the_other_containers(node: Callable[..., None]) -> None:
    async def scenario(node: Node) -> None:
        text = await output(node, "shared", shell("ps | grep -c '[p]ause'"), shareProcessNamespace=True)
        assert text == "1"
        text = await output(
            node, "host", shell("hostname; ls /proc | grep -c '^[0-9]'"), hostNetwork=True, hostPID=True
        )
        assert int(text.split("\n")[1]) > 5

    node(scenario)


def test_a_program_that_is_missing_is_a_start_error_and_backs_off(node: Callable[..., None]) -> None:
    async def scenario(node: Node) -> None:
        await node.world.create_pod("noprog", {"name": "main", "image": IMAGE, "command": ["/no/such"]})
        found = await node.world.until(
            "noprog",
            lambda pod: (
                pod["status"].get("containerStatuses")
                and "waiting" in cluster.container(pod)["state"]
                and cluster.container(pod)["restartCount"] == 1
            ),
        )
        end = cluster.container(found)["lastState"]["terminated"]
        assert (end["reason"], end["exitCode"]) == ("StartError", 128)
        assert "/no/such" in end["message"]
        await node.client.delete(POD, "default", "noprog")
        await node.world.until_gone("noprog")

    node(scenario)


def test_many_pods_become_ready_and_go(node: Callable[..., None]) -> None:
    async def scenario(node: Node) -> None:
        clock = node.machine.clock
        started = clock.monotonic()
        names = [f"many-{number}" for number in range(10)]
        for name in names:
            await node.world.create_pod(name, shell(FOREVER))
        for name in names:
            await node.world.until(name, cluster.ready)
        print("10 pods ready after", clock.monotonic() - started)
        started = clock.monotonic()
        for name in names:
            await node.client.delete(POD, "default", name)
        for name in names:
            await node.world.until_gone(name)
        print("10 pods gone after", clock.monotonic() - started)

    node(scenario)


def test_a_restarted_agent_finds_everything_as_it_was(node: Callable[..., None]) -> None:
    async def scenario(node: Node) -> None:
        probe = {"readinessProbe": {"exec": {"command": ["true"]}, "periodSeconds": 1}}
        made = await node.world.create_pod("kept", shell(FOREVER, **probe))
        before = await node.world.until("kept", cluster.ready)
        [observed] = (await node.machine.runtime.observe(made.uid)).values()
        await node.stop()
        node.start()
        await asyncio.sleep(1.5)
        after = await node.world.pod("kept")
        assert after["status"] == before["status"]
        assert after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
        assert (await node.machine.runtime.observe(made.uid))[made.uid] == observed
        await node.client.delete(POD, "default", "kept")
        await node.world.until_gone("kept")
        await nothing_left(node, "kept", made.uid)

    node(scenario)


def test_what_happens_while_the_agent_is_away_is_caught_up_with(node: Callable[..., None]) -> None:
    async def scenario(node: Node) -> None:
        dies = await node.world.create_pod("dies", shell("sleep 3; exit 3"))
        goes = await node.world.create_pod("goes", shell(FOREVER))
        await node.world.until("dies", cluster.ready)
        await node.world.until("goes", cluster.ready)
        await node.stop()
        await node.client.delete(POD, "default", "goes", grace_s=0)

        async def died() -> bool:
            [seen] = (await node.machine.runtime.observe(dies.uid)).values()
            return seen.containers[0].state is ContainerState.EXITED

        await eventually(died)
        node.start()
        found = await node.world.until("dies", lambda pod: cluster.container(pod)["restartCount"] == 1)
        assert cluster.container(found)["lastState"]["terminated"]["exitCode"] == 3
        await nothing_left(node, "goes", goes.uid)
        await node.client.delete(POD, "default", "dies")
        await node.world.until_gone("dies")
        await nothing_left(node, "dies", dies.uid)

    node(scenario)


async def lease(node: Node, *words: str) -> str:
    """What `ctr leases` says."""
    command = ("ctr", "--address", str(node.machine.settings.socket), "--namespace", "k8s.io", "leases", *words)
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    assert process.returncode == 0
    return output.decode()


def test_containers_outlive_a_runtime_that_is_killed(node: Callable[..., None]) -> None:
    async def scenario(node: Node) -> None:
        probe = {"livenessProbe": {"exec": {"command": ["true"]}, "periodSeconds": 1, "failureThreshold": 1}}
        probe["livenessProbe"]["timeoutSeconds"] = 60
        await node.world.create_pod("outlives", shell(FOREVER, **probe))
        before = await node.world.until("outlives", cluster.ready)
        await lease(node, "create", "--id", "left-behind", "--expires", "24h")
        await node.machine.restart_containerd(away_s=2.0)
        await lease(node, "create", "--id", "in-use", "--expires", "24h")
        leases = Leases(node.machine.settings)
        assert [path.name for path in leases.unowned(frozenset())] == ["left-behind"]
        assert leases.take(node.machine.settings.socket / "left-behind")
        assert "left-behind" not in (listed := await lease(node, "ls"))
        assert "in-use" in listed
        await lease(node, "rm", "in-use")
        await asyncio.sleep(2.5)
        after = await node.world.pod("outlives")
        assert after["status"]["containerStatuses"] == before["status"]["containerStatuses"]
        made = await node.world.create_pod("new", shell("sleep 0.2; exit 0"), restartPolicy="Never")
        await node.world.until("new", lambda pod: pod["status"].get("phase") == "Succeeded")
        for name in ("outlives", "new"):
            await node.client.delete(POD, "default", name)
            await node.world.until_gone(name)
        await nothing_left(node, "new", made.uid)

    node(scenario)


def test_a_dead_sandbox_is_replaced(node: Callable[..., None]) -> None:
    async def scenario(node: Node) -> None:
        made = await node.world.create_pod("box", shell(FOREVER), terminationGracePeriodSeconds=1)
        await node.world.until("box", cluster.ready)
        [observed] = (await node.machine.runtime.observe(made.uid)).values()
        await node.machine.runtime.stop_sandbox(observed.sandboxes[0].id)
        found = await node.world.until(
            "box", lambda pod: cluster.ready(pod) and cluster.container(pod)["restartCount"] >= 1, 30
        )
        assert len(found["status"]["podIPs"]) == 1
        await node.client.delete(POD, "default", "box")
        await node.world.until_gone("box")
        await nothing_left(node, "box", made.uid)

    node(scenario)


def test_a_sub_path_never_leads_out_of_its_volume(node: Callable[..., None], tmp_path: Path) -> None:
    async def scenario(node: Node) -> None:
        volume, secret = tmp_path / "volume", tmp_path / "secret"
        volume.mkdir()
        secret.mkdir()
        (volume / "out").symlink_to("../secret")
        (volume / "in").symlink_to("real")
        (volume / "real").mkdir()
        (volume / "real" / "f").write_text("inside")
        volumes = [{"name": "host", "hostPath": {"path": str(volume)}}]
        good = {"volumeMounts": [{"name": "host", "mountPath": "/x", "subPath": "in"}]}
        assert await output(node, "inside", shell("cat /x/f", **good), volumes=volumes) == "inside"
        bad = {"volumeMounts": [{"name": "host", "mountPath": "/x", "subPath": "out"}]}
        await node.world.create_pod("escape", shell("ls /x", **bad), volumes=volumes)
        found = await node.world.until(
            "escape",
            lambda pod: (
                pod["status"].get("containerStatuses")
                and cluster.container(pod)["state"].get("waiting", {}).get("reason") == "CreateContainerConfigError"
            ),
        )
        assert "a link leads out of it" in cluster.container(found)["state"]["waiting"]["message"]
        await node.client.delete(POD, "default", "escape")
        await node.world.until_gone("escape")
        assert (volume / "real" / "f").read_text() == "inside"

    node(scenario)


def test_a_large_log_is_rotated_by_the_runtime(node: Callable[..., None]) -> None:
    async def scenario(node: Node) -> None:
        line = "i=0; while true; do echo line $i; i=$((i+1)); sleep 0.01; done"
        made = await node.world.create_pod("talks", shell(line), terminationGracePeriodSeconds=0)
        await node.world.until("talks", cluster.ready)
        folder = node.world.config.paths.pod_logs("default", "talks", made.uid) / "main"

        async def talked() -> bool:
            return (folder / "0.log").exists() and (folder / "0.log").stat().st_size > 200

        await eventually(talked)
        [observed] = (await node.machine.runtime.observe(made.uid)).values()
        config = replace(node.world.config, log_bytes=100)
        assert await logs.rotate(node.machine.runtime, node.machine.clock, config, observed.containers) == 1
        await eventually(talked)
        names = sorted(path.name for path in folder.iterdir())
        assert names[0] == "0.log"
        assert names[1].startswith("0.log.2")
        numbers = [
            int(text.rsplit(" ", 1)[1]) for name in reversed(names) for text in (folder / name).read_text().splitlines()
        ]
        assert numbers == list(range(len(numbers)))
        await node.client.delete(POD, "default", "talks")
        await nothing_left(node, "talks", made.uid)

    node(scenario)


def test_an_image_is_pulled_from_a_registry_with_credentials(node: Callable[..., None]) -> None:
    async def scenario(node: Node) -> None:
        packed = base64.b64encode(b"bob:secret").decode()
        settings = {"auths": {fixture.REGISTRY: {"auth": packed}}}
        document = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"namespace": "default", "name": "pull"},
            "type": "kubernetes.io/dockerconfigjson",
            "stringData": {".dockerconfigjson": json.dumps(settings)},
        }
        await node.client.create(SECRET, document)
        name = f"{fixture.REGISTRY}/team/box:1"
        registry = Registry(users={"bob": "secret"})
        registry.push(node.machine.directory / "busybox.tar", "team/box", "1")
        with serving(registry, fixture.REGISTRY):
            container = {**shell("echo pulled"), "image": name, "imagePullPolicy": "Always"}
            text = await output(node, "pulled", container, imagePullSecrets=[{"name": "pull"}])
            assert text == "pulled"
            await node.world.create_pod("refused", {**container, "command": ["true"]})
            found = await node.world.until(
                "refused",
                lambda pod: (
                    pod["status"].get("containerStatuses")
                    and cluster.container(pod)["state"].get("waiting", {}).get("reason") == "ErrImagePull"
                ),
            )
            assert "401" in cluster.container(found)["state"]["waiting"]["message"]
        await node.client.delete(POD, "default", "refused")
        await node.world.until_gone("refused")
        told = [item.document()["message"] for item in (await node.client.list(EVENT, "default")).items]
        assert any(text.startswith(f'Successfully pulled image "{name}" in ') for text in told)

    node(scenario)


def test_a_debugging_container_joins_a_running_pod(node: Callable[..., None]) -> None:
    async def scenario(node: Node) -> None:
        made = await node.world.create_pod("debugged", shell(FOREVER, env=[{"name": "MARK", "value": "x"}]))
        await node.world.until("debugged", cluster.ready)
        debugger = {**shell("grep -c MARK=x /proc/1/environ; " + FOREVER, "debugger"), "targetContainerName": "main"}
        patch = {"spec": {"ephemeralContainers": [debugger]}}
        await node.client.patch(POD, "default", "debugged", patch, type="strategic", subresource="ephemeralcontainers")
        found = await node.world.until(
            "debugged",
            lambda pod: (
                pod["status"].get("ephemeralContainerStatuses")
                and "running" in pod["status"]["ephemeralContainerStatuses"][0]["state"]
            ),
        )
        assert cluster.ready(found)
        log = node.world.config.paths.pod_logs("default", "debugged", made.uid) / "debugger" / "0.log"

        async def counted() -> bool:
            return log.read_text().split()[-1:] == ["1"]

        await eventually(counted)
        await node.client.delete(POD, "default", "debugged")
        await node.world.until_gone("debugged")
        await nothing_left(node, "debugged", made.uid)

    node(scenario)


def test_a_running_pod_is_given_other_resources(node: Callable[..., None]) -> None:
    async def scenario(node: Node) -> None:
        before = {"resources": {"limits": {"cpu": "200m", "memory": "32Mi"}, "requests": {"cpu": "100m"}}}
        made = await node.world.create_pod("resized", shell(FOREVER, **before))
        await node.world.until("resized", cluster.ready)
        after = {"limits": {"cpu": "500m", "memory": "64Mi"}, "requests": {"cpu": "300m", "memory": "32Mi"}}
        patch = {"spec": {"containers": [{"name": "main", "resources": after}]}}
        await node.client.patch(POD, "default", "resized", patch, type="strategic", subresource="resize")
        found = await node.world.until(
            "resized", lambda pod: cluster.container(pod)["resources"].get("limits", {}).get("cpu") == "500m", 30
        )
        assert cluster.container(found)["allocatedResources"] == after["requests"]
        assert cluster.container(found)["restartCount"] == 0
        [observed] = (await node.machine.runtime.observe(made.uid)).values()
        line = (
            "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/cpu.max"
        )
        answer = await node.machine.runtime.exec_sync(observed.containers[0].id, ["sh", "-c", line], 5)
        assert answer.stdout.split()[:2] in ([b"67108864", b"50000"], [b"50000", b"100000"])
        group = next(Path("/sys/fs/cgroup").glob(f"memory{GROUP}/burstable/pod{made.uid}/memory.limit_in_bytes"))
        assert group.read_text().strip() == "67108864"
        huge = {
            "spec": {
                "containers": [{"name": "main", "resources": {"requests": {"cpu": "999"}, "limits": {"cpu": "999"}}}]
            }
        }
        await node.client.patch(POD, "default", "resized", huge, type="strategic", subresource="resize")
        found = await node.world.until("resized", lambda pod: pending(pod) == "Infeasible")
        assert cluster.container(found)["resources"]["limits"]["cpu"] == "500m"
        await node.client.patch(POD, "default", "resized", patch, type="strategic", subresource="resize")
        await node.world.until("resized", lambda pod: pending(pod) == "")
        await node.client.delete(POD, "default", "resized")
        await node.world.until_gone("resized")
        await nothing_left(node, "resized", made.uid)

    node(scenario)


def pending(pod: Document) -> str:
    found = [item.get("reason", "") for item in pod["status"]["conditions"] if item["type"] == "PodResizePending"]
    return found[0] if found else ""
