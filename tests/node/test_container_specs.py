"""Containers as the conformance specs demand them: what they start with, find, may do, and how they begin and end.

All pods of this module are made at once; each test looks at its own.
"""

from __future__ import annotations

import http.server
import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from navarch.agent.imagefile import File, ImageConfig, write_archive
from navarch.kinds import CONFIGMAP, NODE, POD, SECRET
from tests.compat.conformance.conformance_specs import spec
from tests.node.test_agent_containers import IMAGE, Node, node
from tests.unit.agent import cluster

__all__ = ["node"]
pytestmark = pytest.mark.node

Document = dict[str, Any]
SAYS = "navarch.test/says:1"
"""An image whose entrypoint prints its arguments after `entry`; `default` when there are none."""

ALL = " [NodeConformance]"
LINUX = " [LinuxOnly]"
ABOUT = "[sig-node] Downward API should provide "
CONFIG = "[sig-node] ConfigMap should be consumable "
SECRETS = "[sig-node] Secrets should be consumable "
EXPANSION = "[sig-node] Variable Expansion should "
IMAGES = "[sig-node] Containers should "
WORDS = "[sig-node] Container Runtime blackbox test on terminated container should report termination message "
LOGS = "TerminationMessagePolicy FallbackToLogsOnError is set"
INIT = "[sig-node] InitContainer [NodeConformance] should "
KUBELET = "[sig-node] Kubelet when scheduling "
RIGHTS = "[sig-node] Security Context "
PROBES = "[sig-node] Probing container "
HOOK = "[sig-node] Container Lifecycle Hook when create a pod with lifecycle hook should execute "


def shell(line: str, name: str = "main", **more: Any) -> Document:
    return {"name": name, "image": IMAGE, "command": ["sh", "-c", line], **more}


def pod(name: str, *containers: Document, annotations: Document | None = None, **more: Any) -> Document:
    """Runs once, unless it is said otherwise."""
    told = {"nodeName": cluster.NODE, "automountServiceAccountToken": False, "restartPolicy": "Never"}
    told |= {"terminationGracePeriodSeconds": 1, "containers": list(containers), **more}
    meta = {"name": name, "namespace": "default", "annotations": annotations or {}, "labels": {"of": "specs"}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": told}


def said(**more: Any) -> Document:
    """Prints its variables itself: a shell would drop names that it cannot have."""
    return {"name": "main", "image": IMAGE, "command": ["env"], **more}


def field(name: str, path: str) -> Document:
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}


def environments() -> list[Document]:
    amounts = ("limits.cpu", "limits.memory", "requests.cpu", "requests.memory")
    of_itself = [{"name": name, "valueFrom": {"resourceFieldRef": {"resource": name}}} for name in amounts]
    fields = [
        field("NAME", "metadata.name"),
        field("NAMESPACE", "metadata.namespace"),
        field("IP", "status.podIP"),
        field("UID", "metadata.uid"),
        field("HOST_IP", "status.hostIP"),
        field("HOST_IPS", "status.hostIPs"),
    ]
    keys = [
        {"name": "MAP_KEY", "valueFrom": {"configMapKeyRef": {"name": "env", "key": "data-1"}}},
        {"name": "SECRET_KEY", "valueFrom": {"secretKeyRef": {"name": "env", "key": "data-1"}}},
    ]
    sources = [
        {"configMapRef": {"name": "env"}},
        {"prefix": "p-", "configMapRef": {"name": "env"}},
        {"prefix": "s-", "secretRef": {"name": "env"}},
        {"prefix": "#@!-", "secretRef": {"name": "env"}},
        {"secretRef": {"name": "other"}},
    ]
    composed = [
        {"name": "FOO", "value": "foo-value"},
        {"name": "BAR", "value": "bar-value"},
        {"name": "FOOBAR", "value": "$(FOO);;$(BAR)"},
    ]
    resources = {"limits": {"cpu": "1250m", "memory": "64Mi"}, "requests": {"cpu": "250m", "memory": "32Mi"}}
    variable = [{"name": "TEST_VAR", "value": "test-value"}]
    return [
        pod("env", said(env=[*of_itself, *fields, *keys, *composed], envFrom=sources, resources=resources)),
        pod("env-free", said(env=of_itself)),
        pod("in-command", shell('TEST_VAR=wrong echo "$(TEST_VAR)"', env=variable)),
        pod(
            "in-args",
            {**shell(""), "command": ["sh", "-c"], "args": ['TEST_VAR=wrong echo "$(TEST_VAR)"'], "env": variable},
        ),
        pod("defaults", {"name": "main", "image": SAYS}),
        pod("args", {"name": "main", "image": SAYS, "args": ["override", "arguments"]}),
        pod("command", {"name": "main", "image": SAYS, "command": ["/bin/echo", "another"]}),
        pod("both", {"name": "main", "image": SAYS, "command": ["/bin/echo", "another"], "args": ["and", "more"]}),
    ]


def ends() -> list[Document]:
    custom = {"terminationMessagePath": "/dev/custom", "securityContext": {"runAsUser": 1000}}
    logs = {"terminationMessagePolicy": "FallbackToLogsOnError"}
    count = "echo hello >>/v/f; case $(wc -l </v/f) in 1) exit 1;; 2) exit 0;; esac; sleep 1000"
    found = [
        pod("message-custom", shell("echo -n DONE >/dev/custom", **custom)),
        pod("message-logs", shell("echo -n DONE; exit 1", **logs)),
        pod("message-empty", shell("echo -n DONE", **logs)),
        pod("message-file", shell("echo -n DONE; echo -n OK >/dev/termination-log", **logs)),
        pod("failing", shell("exit 1"), restartPolicy="Always"),
    ]
    for policy in ("Always", "OnFailure", "Never"):
        container = shell(count, volumeMounts=[{"name": "v", "mountPath": "/v"}])
        volumes = [{"name": "v", "emptyDir": {}}]
        found.append(pod(f"ends-{policy.lower()}", container, volumes=volumes, restartPolicy=policy))
    return found


def beginnings() -> list[Document]:
    ever = shell("sleep 1000")
    good, bad = shell("true", "first"), shell("false", "first")
    second = shell("true", "second")
    return [
        pod("init-never", shell("true"), initContainers=[good, second]),
        pod("init-always", ever, initContainers=[good, second], restartPolicy="Always"),
        pod("init-failing", ever, initContainers=[good, shell("false", "second")]),
        pod("init-again", ever, initContainers=[bad, second], restartPolicy="Always"),
    ]


def rights() -> list[Document]:
    def may(name: str, line: str, **context: Any) -> Document:
        return pod(name, shell(line, securityContext=context))

    aliases = [{"ip": "123.45.67.89", "hostnames": ["foo", "bar"]}]
    own = shell("cat /etc/hosts", "own", volumeMounts=[{"name": "hosts", "mountPath": "/etc/hosts"}])
    volumes = [{"name": "hosts", "hostPath": {"path": "/etc/hosts"}}]
    return [
        may("user", "id -u", runAsUser=65534),
        may("plain", "hostname other 2>/dev/null || echo refused; hostname", privileged=False),
        may("writing", "touch /file && echo written", readOnlyRootFilesystem=False),
        may("reading", "touch /file 2>/dev/null || echo refused", readOnlyRootFilesystem=True),
        may("group-of-container", "id -u; id -g", runAsUser=1001, runAsGroup=2002),
        pod("group-of-pod", shell("id -u; id -g"), securityContext={"runAsUser": 1001, "runAsGroup": 2002}),
        may("no-more", "grep NoNewPrivs /proc/self/status; id -u", allowPrivilegeEscalation=False, runAsUser=1000),
        pod(
            "sysctl",
            shell("cat /proc/sys/kernel/shm_rmid_forced"),
            securityContext={"sysctls": [{"name": "kernel.shm_rmid_forced", "value": "1"}]},
        ),
        pod("aliases", shell("cat /etc/hosts"), hostAliases=aliases),
        pod("hosts", shell("cat /etc/hosts"), own, volumes=volumes),
    ]


def probed() -> list[Document]:
    often: Document = {"periodSeconds": 1, "failureThreshold": 1}
    seldom: Document = {"timeoutSeconds": 60, "failureThreshold": 3, "initialDelaySeconds": 4}  # the machine is busy
    health = {"exec": {"command": ["cat", "/tmp/health"]}, **often}
    web = {"httpGet": {"path": "/healthz", "port": 8080}, **often, "initialDelaySeconds": 2}
    ok = "echo ok >/tmp/health; mkdir -p /www; echo ok >/www/healthz; httpd -p 8080 -h /www; "

    def one(name: str, line: str, **probe: Any) -> Document:
        return pod(name, shell(line, **probe), restartPolicy="Always")

    return [
        one("dies-exec", ok + "sleep 3; rm /tmp/health; sleep 1000", livenessProbe=health),
        one("dies-http", ok + "sleep 4; rm /www/healthz; sleep 1000", livenessProbe=web),
        one("lives-exec", ok + "sleep 1000", livenessProbe={**health, **seldom}),
        one("lives-http", ok + "sleep 1000", livenessProbe={**web, **seldom}),
        one(
            "lives-tcp",
            ok + "sleep 1000",
            livenessProbe={"tcpSocket": {"port": 8080}, **often, **seldom},
        ),
        one("delayed", ok + "sleep 1000", readinessProbe={**health, "initialDelaySeconds": 4}),
        one("unready", "sleep 1000", readinessProbe={"exec": {"command": ["false"]}, **often}),
    ]


def parted(value: Document, **more: Any) -> tuple[Document, list[Document]]:
    """A container with a part of a volume that is named by variables."""
    mounts = [
        {"name": "work", "mountPath": "/volume"},
        {"name": "work", "mountPath": "/part", "subPathExpr": "$(WHERE)/$(POD_NAME)" if more else "$(WHERE)"},
    ]
    env = [{"name": "WHERE", **value}, field("POD_NAME", "metadata.name")]
    return {"volumeMounts": mounts, "env": env}, [{"name": "work", "emptyDir": {}}]


def parts() -> list[Document]:
    annotation = field("WHERE", "metadata.annotations['mysubpath']")
    found = []
    for name, value in (("part-named", "here"), ("part-up", ".."), ("part-absolute", "/tmp")):
        more, volumes = parted({"value": value})
        found.append(pod(name, shell("echo x >/part/f; cat /volume/here/f", **more), volumes=volumes))
    more, volumes = parted(annotation, deep=True)
    ever = shell("sleep 1000", **more)
    found.append(pod("part-later", ever, volumes=volumes, annotations={"notmysubpath": "mypath"}))
    found.append(pod("part-kept", ever, volumes=volumes, annotations={"mysubpath": "mypath"}))
    return found


def hooked(port: int, directory: Path) -> list[Document]:
    def ask(name: str) -> Document:
        return {"httpGet": {"host": "127.0.0.1", "port": port, "path": f"/{name}"}}

    def run(name: str) -> Document:
        return {"exec": {"command": ["sh", "-c", f"echo {name} >/host/{name}"]}}

    volumes = [{"name": "host", "hostPath": {"path": str(directory)}}]
    mounts = [{"name": "host", "mountPath": "/host"}]
    return [
        pod(f"hook-{kind}", shell("sleep 1000", lifecycle=hooks, volumeMounts=mounts), volumes=volumes)
        for kind, hooks in (
            ("http", {"postStart": ask("began-http"), "preStop": ask("ends-http")}),
            ("exec", {"postStart": run("began-exec"), "preStop": run("ends-exec")}),
        )
    ]


class Specs:
    """The module's pods, made and asked."""

    def __init__(self, run: Callable[..., None], seen: list[str], directory: Path) -> None:
        self.run, self.seen, self.directory = run, seen, directory

    def status(self, name: str, holds: Callable[[Document], Any], patience_s: float = 60.0) -> Document:
        """The pod's document once it is so."""
        found: Document = {}

        async def scenario(at: Node) -> None:
            found.update(await at.world.until(name, holds, patience_s))

        self.run(scenario)
        return found

    def ended(self, name: str) -> Document:
        return self.status(name, lambda one: one["status"].get("phase") in ("Succeeded", "Failed"))

    def text(self, name: str, container: str = "main") -> list[str]:
        """What a container printed until its pod ended well."""
        found = self.ended(name)
        lines: list[str] = []

        async def scenario(at: Node) -> None:
            folder = at.world.config.paths.pod_logs("default", name, found["metadata"]["uid"])
            text = (folder / container / "0.log").read_text()
            lines.extend(line.split(" ", 3)[3] for line in text.splitlines())

        self.run(scenario)
        assert found["status"]["phase"] == "Succeeded", (lines, found["status"])
        return lines

    def inside(self, name: str, line: str) -> str:
        container = cluster.container(self.status(name, cluster.ready))["containerID"].rpartition("/")[2]
        printed = []

        async def scenario(at: Node) -> None:
            result = await at.machine.runtime.exec_sync(container, ["sh", "-c", line], 10)
            printed.append((result.stdout + result.stderr).decode())

        self.run(scenario)
        return printed[0]

    def delete(self, name: str) -> None:
        async def scenario(at: Node) -> None:
            await at.client.delete(POD, "default", name)
            await at.world.until_gone(name, 30)

        self.run(scenario)

    def delete_now(self, name: str) -> None:
        async def scenario(at: Node) -> None:
            await at.client.delete(POD, "default", name, grace_s=0)

        self.run(scenario)

    def annotate(self, name: str, **annotations: str) -> None:
        async def scenario(at: Node) -> None:
            await at.client.patch(POD, "default", name, {"metadata": {"annotations": annotations}})

        self.run(scenario)


@pytest.fixture(scope="module")
def handler() -> Iterator[tuple[int, list[str]]]:
    """A server on the host, and the paths that it was asked for."""
    seen: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.path)
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *words: object) -> None:
            """Nothing on the terminal."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port, seen
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def specs(node: Callable[..., None], handler: tuple[int, list[str]], tmp_path_factory: Any) -> Specs:
    port, seen = handler
    directory = tmp_path_factory.mktemp("hooks")

    async def scenario(at: Node) -> None:
        files = {"bin/busybox": File(Path("/bin/busybox").read_bytes(), mode=0o755)}
        links = {name: File(link="/bin/busybox") for name in ("bin/echo", "bin/sh")}
        config = ImageConfig(entrypoint=["/bin/echo", "entry"], command=["default"])
        write_archive(at.machine.directory / "says.tar", [SAYS], [{**files, **links}], config)
        await at.machine.runtime.import_image(at.machine.directory / "says.tar")
        for kind, name, data in (
            (CONFIGMAP, "env", {"data": {"data-1": "value-1"}}),
            (SECRET, "env", {"stringData": {"data-1": "secret-1"}}),
            (SECRET, "other", {"stringData": {"data-9": "secret-9"}}),
        ):
            meta = {"name": name, "namespace": "default"}
            await at.client.create(kind, {"apiVersion": "v1", "kind": kind.name, "metadata": meta, **data})
        every = [*ends(), *beginnings(), *probed(), *environments(), *rights(), *parts(), *hooked(port, directory)]
        for one in every:
            one["spec"]["containers"][0].setdefault("imagePullPolicy", "IfNotPresent")
            await at.client.create(POD, one)

    node(scenario)
    return Specs(node, seen, directory)


def container(found: Document, name: str = "main") -> Document:
    status = found["status"]
    every = [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]
    return next((one for one in every if one["name"] == name), {})


@spec(ABOUT + "container's limits.cpu/memory and requests.cpu/memory as env vars" + ALL)
@spec(ABOUT + "host IP as an env var" + ALL)
@spec(ABOUT + "hostIPs as an env var" + ALL)
@spec(ABOUT + "pod UID as env vars" + ALL)
@spec(ABOUT + "pod name, namespace and IP address as env vars" + ALL)
@spec(CONFIG + "as environment variable names with various prefixes")
@spec(CONFIG + "via environment variable" + ALL)
@spec(CONFIG + "via the environment" + ALL)
@spec(SECRETS + "as environment variable names variable names with various prefixes")
@spec(SECRETS + "from pods in env vars" + ALL)
@spec(SECRETS + "via the environment" + ALL)
@spec(EXPANSION + "allow composing env vars into new env vars" + ALL)
def test_variables(specs: Specs) -> None:
    found = dict(line.split("=", 1) for line in specs.text("env"))
    status = specs.ended("env")
    assert (found["limits.cpu"], found["limits.memory"]) == ("2", str(64 << 20))
    assert (found["requests.cpu"], found["requests.memory"]) == ("1", str(32 << 20))
    assert (found["NAME"], found["NAMESPACE"], found["UID"]) == ("env", "default", status["metadata"]["uid"])
    assert found["IP"] == status["status"]["podIP"]
    assert found["HOST_IP"] == found["HOST_IPS"] == status["status"]["hostIP"]
    assert (found["MAP_KEY"], found["SECRET_KEY"]) == ("value-1", "secret-1")
    assert (found["data-1"], found["p-data-1"], found["s-data-1"]) == ("value-1", "value-1", "secret-1")
    assert found["data-9"] == "secret-9"
    assert found["#@!-data-1"] == "secret-1"
    assert found["FOOBAR"] == "foo-value;;bar-value"


@spec(ABOUT + "default limits.cpu/memory from node allocatable" + ALL)
def test_limits_that_are_not_set(specs: Specs) -> None:
    found = dict(line.split("=", 1) for line in specs.text("env-free"))
    nodes: list[Document] = []

    async def scenario(at: Node) -> None:
        nodes.append((await at.client.get(NODE, "", cluster.NODE)).document()["status"]["allocatable"])

    specs.run(scenario)
    assert found["limits.cpu"] == nodes[0]["cpu"]
    assert found["limits.memory"] == str(int(nodes[0]["memory"].removesuffix("Ki")) * 1024)


@spec(EXPANSION + "allow substituting values in a container's args" + ALL)
@spec(EXPANSION + "allow substituting values in a container's command" + ALL)
@spec(IMAGES + "use the image defaults if command and args are blank" + ALL)
@spec(IMAGES + "be able to override the image's default arguments (container cmd)" + ALL)
@spec(IMAGES + "be able to override the image's default command (container entrypoint)" + ALL)
@spec(IMAGES + "be able to override the image's default command and arguments" + ALL)
def test_commands_and_arguments(specs: Specs) -> None:
    assert specs.text("in-command") == specs.text("in-args") == ["test-value"]
    assert specs.text("defaults") == ["entry default"]
    assert specs.text("args") == ["entry override arguments"]
    assert specs.text("command") == ["another"]
    assert specs.text("both") == ["another and more"]


@spec(RIGHTS + "When creating a container with runAsUser should run the container with uid 65534" + LINUX + ALL)
@spec(RIGHTS + "When creating a pod with privileged should run the container as unprivileged when false" + LINUX + ALL)
@spec(
    RIGHTS
    + "When creating a pod with readOnlyRootFilesystem should run the container with writable rootfs "
    + "when readOnlyRootFilesystem=false"
    + ALL
)
@spec(KUBELET + "a read only busybox container should not write to root filesystem" + LINUX + ALL)
@spec(RIGHTS + "should support container.SecurityContext.RunAsUser And container.SecurityContext.RunAsGroup" + LINUX)
@spec(RIGHTS + "should support pod.Spec.SecurityContext.RunAsUser And pod.Spec.SecurityContext.RunAsGroup" + LINUX)
@spec(
    RIGHTS
    + "when creating containers with AllowPrivilegeEscalation should not allow privilege escalation when false"
    + LINUX
    + ALL
)
@spec("[sig-node] Sysctls [LinuxOnly] [NodeConformance] should support sysctls [Environment:NotInUserNS]")
def test_rights(specs: Specs) -> None:
    assert specs.text("user") == ["65534"]
    assert specs.text("plain") == ["refused", "plain"]
    assert specs.text("writing") == ["written"]
    assert specs.text("reading") == ["refused"]
    assert specs.text("group-of-container") == specs.text("group-of-pod") == ["1001", "2002"]
    assert specs.text("no-more") == ["NoNewPrivs:\t1", "1000"]
    assert specs.text("sysctl") == ["1"]


@spec(KUBELET + "an agnhost Pod with hostAliases should write entries to /etc/hosts" + ALL)
def test_names_of_hosts(specs: Specs) -> None:
    assert "123.45.67.89\tfoo\tbar" in specs.text("aliases")
    assert "# Kubernetes-managed hosts file." in specs.text("hosts")
    assert specs.text("hosts", "own") == Path("/etc/hosts").read_text().splitlines()


@spec(EXPANSION + "allow substituting values in a volume subpath")
@spec(EXPANSION + "fail substituting values in a volume subpath with backticks")
@spec(EXPANSION + "fail substituting values in a volume subpath with absolute path")
def test_parts_of_volumes_by_variables(specs: Specs) -> None:
    assert specs.text("part-named") == ["x"]
    for name in ("part-up", "part-absolute"):
        found = specs.status(name, lambda one: container(one).get("state", {}).get("waiting", {}).get("message"))
        assert container(found)["state"]["waiting"]["reason"] == "CreateContainerConfigError"
        assert found["status"]["phase"] == "Pending"


@spec(EXPANSION + "succeed in writing subpaths in container")
def test_a_part_stays_what_it_was(specs: Specs) -> None:
    assert specs.inside("part-kept", "touch /part/one; ls /volume/mypath/part-kept") == "one\n"
    specs.annotate("part-kept", mysubpath="mynewpath")
    assert specs.inside("part-kept", "touch /part/two; ls /volume; ls /volume/mypath/part-kept") == "mypath\none\ntwo\n"


@spec(EXPANSION + "verify that a failing subpath expansion can be modified during the lifecycle of a container [Slow]")
def test_a_part_that_is_named_later(specs: Specs) -> None:
    specs.status("part-later", lambda one: container(one).get("state", {}).get("waiting", {}).get("message"))
    specs.annotate("part-later", mysubpath="mypath")
    assert specs.inside("part-later", "touch /part/one; ls /volume/mypath/part-later") == "one\n"


@spec(HOOK + "poststart exec hook properly" + ALL)
@spec(HOOK + "poststart http hook properly" + ALL)
@spec(HOOK + "prestop exec hook properly" + ALL)
@spec(HOOK + "prestop http hook properly" + ALL)
@spec("[sig-node] PreStop should call prestop when killing a pod")
def test_hooks(specs: Specs) -> None:
    for name in ("hook-http", "hook-exec"):
        specs.status(name, cluster.ready)
    assert specs.seen == ["/began-http"]
    assert [file.name for file in specs.directory.iterdir()] == ["began-exec"]
    for name in ("hook-http", "hook-exec"):
        specs.delete(name)
    assert specs.seen == ["/began-http", "/ends-http"]
    assert sorted(file.name for file in specs.directory.iterdir()) == ["began-exec", "ends-exec"]


@spec(WORDS + "if TerminationMessagePath is set as non-root user and at a non-default path" + ALL)
@spec(WORDS + "from log output if " + LOGS + ALL)
@spec(WORDS + "as empty when pod succeeds and " + LOGS + ALL)
@spec(WORDS + "from file when pod succeeds and " + LOGS + ALL)
def test_last_words(specs: Specs) -> None:
    for name, said in (("custom", "DONE"), ("logs", "DONE"), ("empty", ""), ("file", "OK")):
        ended = container(specs.ended(f"message-{name}"))["state"]["terminated"]
        assert ended.get("message", "") == said


@spec(INIT + "invoke init containers on a RestartNever pod")
@spec(INIT + "invoke init containers on a RestartAlways pod")
@spec(INIT + "not start app containers and fail the pod if init containers fail on a RestartNever pod")
def test_what_runs_first(specs: Specs) -> None:
    for found in (specs.ended("init-never"), specs.status("init-always", cluster.ready)):
        initialized = next(one for one in found["status"]["conditions"] if one["type"] == "Initialized")
        assert initialized["status"] == "True"
        for name in ("first", "second"):
            ended = container(found, name)["state"]["terminated"]
            assert (ended["exitCode"], container(found, name)["ready"]) == (0, True)
    found = specs.ended("init-failing")
    assert found["status"]["phase"] == "Failed"
    assert container(found, "second")["state"]["terminated"]["exitCode"] == 1
    assert container(found)["state"]["waiting"]["reason"] == "PodInitializing"


@spec(PROBES + 'should be restarted with a exec "cat /tmp/health" liveness probe' + ALL)
@spec(PROBES + "should be restarted with a /healthz http liveness probe" + ALL)
@spec(PROBES + 'should *not* be restarted with a exec "cat /tmp/health" liveness probe' + ALL)
@spec(PROBES + "should *not* be restarted with a /healthz http liveness probe" + ALL)
@spec(PROBES + "should *not* be restarted with a tcp:8080 liveness probe" + ALL)
@spec(PROBES + "with readiness probe should not be ready before initial delay and never restart" + ALL)
@spec(PROBES + "with readiness probe that fails should never be ready and never restart" + ALL)
def test_probes(specs: Specs) -> None:
    for name in ("dies-exec", "dies-http"):
        specs.status(name, lambda one: container(one).get("restartCount", 0) >= 1)
    found = specs.status("delayed", cluster.ready)
    ready = next(one for one in found["status"]["conditions"] if one["type"] == "Ready")
    began = container(found)["state"]["running"]["startedAt"]
    assert ready["lastTransitionTime"] > began
    assert _seconds(ready["lastTransitionTime"]) - _seconds(began) >= 3, "whole seconds, cut off"
    assert container(found)["restartCount"] == 0
    for name in ("lives-exec", "lives-http", "lives-tcp"):
        assert container(specs.status(name, cluster.ready))["restartCount"] == 0
    found = specs.status("unready", lambda one: "running" in container(one).get("state", {}))
    assert (container(found)["ready"], container(found)["restartCount"]) == (False, 0)


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


@spec(
    "[sig-node] Container Runtime blackbox test when starting a container that exits "
    + "should run with the expected status"
    + ALL
)
def test_exits_and_what_follows(specs: Specs) -> None:
    found = specs.ended("ends-never")
    assert (found["status"]["phase"], container(found)["restartCount"]) == ("Failed", 0)
    found = specs.ended("ends-onfailure")
    assert (found["status"]["phase"], container(found)["restartCount"]) == ("Succeeded", 1)
    found = specs.status("ends-always", lambda one: container(one).get("restartCount") == 2 and cluster.ready(one))
    assert found["status"]["phase"] == "Running"


@spec(INIT + "not start app containers if init containers fail on a RestartAlways pod")
def test_what_runs_first_runs_again(specs: Specs) -> None:
    found = specs.status("init-again", lambda one: container(one, "first").get("restartCount", 0) >= 2)
    assert found["status"]["phase"] == "Pending"
    for name in ("second", "main"):
        assert container(found, name)["state"]["waiting"]["reason"] == "PodInitializing"
        assert container(found, name)["restartCount"] == 0


@spec(KUBELET + "a busybox command that always fails in a pod should have an terminated reason" + ALL)
@spec(KUBELET + "a busybox command that always fails in a pod should be possible to delete" + ALL)
def test_what_always_fails(specs: Specs) -> None:
    found = specs.status("failing", lambda one: container(one).get("lastState", {}).get("terminated"))
    assert container(found)["lastState"]["terminated"]["reason"] == "Error"
    specs.delete("failing")
