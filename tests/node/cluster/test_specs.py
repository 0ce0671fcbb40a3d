"""Conformance specs of names, of the ways between pods, and of what is asked of a pod over a bare WebSocket."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest
import websocket
import yaml
from real_cluster import IMAGE, PYTHON, Kubectl, pod, until

from tests.compat.conformance.conformance_specs import spec

pytestmark = pytest.mark.node

CHECKS = "[sig-network] Networking Granular Checks: Pods should function for "
BOTH = """
import http.server, os, socket, threading
name = os.uname().nodename.encode()
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("content-length", str(len(name)))
        self.end_headers()
        self.wfile.write(name)
    def log_message(self, *words): pass
def echo():
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("", 8081))
    while True:
        server.sendto(name, server.recvfrom(100)[1])
threading.Thread(target=echo, daemon=True).start()
http.server.ThreadingHTTPServer(("", 8080), Answer).serve_forever()
"""
ASK = """
import http.client, socket, sys
host = sys.argv[1]
web = http.client.HTTPConnection(host, 8080, timeout=30)
web.request("GET", "/")
said = [web.getresponse().read().decode()]
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
client.settimeout(5)
client.sendto(b"?", (host, 8081))
print(*said, client.recv(100).decode())
"""
LOOK_UP = "import socket, sys; print(*[socket.gethostbyname(name) for name in sys.argv[1:]])"
NAMESERVER = """
import socket
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("", 53))
known = b"\\x06wanted\\x04mine\\x05local\\x00"
while True:
    asked, peer = server.recvfrom(512)
    end = asked.index(b"\\0", 12) + 5
    question, kind = asked[12:end], asked[end - 4 : end - 2]
    found = question[:-4].lower() == known and kind == b"\\0\\1"
    flags = b"\\x85\\x80" if question[:-4].lower() == known else b"\\x85\\x83"
    record = b"\\xc0\\x0c\\0\\1\\0\\1\\0\\0\\0\\1\\0\\4" + bytes([198, 51, 100, 77]) if found else b""
    head = asked[:2] + flags + b"\\0\\1" + bytes([0, int(found)]) + b"\\0\\0\\0\\0"
    server.sendto(head + question + record, peer)
"""


def python(name: str, script: str, **spec: Any) -> dict[str, Any]:
    return pod(name, ["python3.11", "-c", script], image=PYTHON, **spec)


@pytest.fixture(scope="module", autouse=True)
def pods(kubectl: Kubectl) -> None:
    listening = {"tcpSocket": {"port": 8080}, "periodSeconds": 1}
    kubectl.apply(
        *[python(f"peer-{n}", BOTH, labels={"app": "peer"}, readinessProbe=listening) for n in range(3)],
        python("asker", "import time; time.sleep(100000)", hostname="asker-1", subdomain="crew"),
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "crew"}, "spec": CREW},
    )
    kubectl.ready("peer-0", "peer-1", "peer-2", "asker")


CREW = {"clusterIP": "None", "selector": {"app": "asker"}, "ports": [{"port": 80}]}


def looked_up(kubectl: Kubectl, *names: str, of: str = "asker") -> list[str]:
    """The address of each name, as a pod sees it; nothing when one of them is unknown there."""
    return kubectl.run("exec", of, "--", "python3.11", "-c", LOOK_UP, *names).stdout.split()


def address(kubectl: Kubectl, name: str) -> str:
    return str(kubectl.get("pod", name)["status"]["podIP"])


@spec(CHECKS + "intra-pod communication: http [NodeConformance]")
@spec(CHECKS + "intra-pod communication: udp [NodeConformance]")
def test_pods_reach_each_other_and_themselves(kubectl: Kubectl) -> None:
    for name in ("peer-0", "peer-1", "peer-2"):
        to = address(kubectl, name)
        for source in ("asker", "peer-0"):
            words = ("exec", source, "--", "python3.11", "-c", ASK, to)
            until("both answers", lambda words=words, name=name: kubectl.run(*words).stdout.split() == [name, name])


@spec(CHECKS + "node-pod communication: http [LinuxOnly] [NodeConformance]")
@spec(CHECKS + "node-pod communication: udp [LinuxOnly] [NodeConformance]")
def test_the_node_reaches_its_pods(kubectl: Kubectl) -> None:
    for name in ("peer-0", "peer-1", "peer-2"):
        to = address(kubectl, name)
        assert fetched(to, 8080) == name
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(2)

            def answered(client: socket.socket = client, to: str = to) -> str:
                client.sendto(b"?", (to, 8081))
                try:
                    return client.recv(100).decode()
                except TimeoutError:
                    return ""

            assert until("an answer", answered) == name


def fetched(host: str, port: int) -> str:
    connection = http.client.HTTPConnection(host, port, timeout=60)
    try:
        connection.request("GET", "/")
        return connection.getresponse().read().decode()
    finally:
        connection.close()


@spec("[sig-network] Services should have session affinity work for NodePort service [LinuxOnly]")
def test_a_client_of_a_node_port_stays_with_one_pod(kubectl: Kubectl) -> None:
    given = {"type": "NodePort", "sessionAffinity": "ClientIP", "selector": {"app": "peer"}}
    ports = [{"port": 80, "targetPort": 8080}]
    kubectl.apply(
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "loyal"}, "spec": given | {"ports": ports}}
    )
    port = kubectl.get("service", "loyal")["spec"]["ports"][0]["nodePort"]
    host = str(kubectl.get("pod", "asker")["status"]["hostIP"])
    script = "import sys, urllib.request as r; print(*[r.urlopen(sys.argv[1]).read().decode() for _ in range(15)])"
    words = ("exec", "asker", "--", "python3.11", "-c", script, f"http://{host}:{port}/")
    until("an answer", lambda: kubectl.run(*words).returncode == 0)
    for _ in range(3):
        seen = kubectl(*words).split()
        assert (len(seen), len(set(seen))) == (15, 1)
    assert len({fetched(host, port) for _ in range(15)}) == 1


@spec("[sig-network] DNS should provide DNS for the cluster")
def test_the_api_server_has_its_names(kubectl: Kubectl) -> None:
    names = [f"kubernetes.default{rest}" for rest in ("", ".svc", ".svc.cluster.local", ".svc.cluster.local.")]
    until("all four", lambda: looked_up(kubectl, *names) == ["10.96.0.1"] * 4)


@spec("[sig-network] DNS should provide /etc/hosts entries for the cluster")
def test_a_pod_finds_itself_by_all_its_names(kubectl: Kubectl) -> None:
    names = ("asker-1", f"asker-1.crew.{kubectl.namespace}.svc.cluster.local")
    own = address(kubectl, "asker")
    hosts = kubectl("exec", "asker", "--", "cat", "/etc/hosts")
    assert [own, names[1], names[0]] in [line.split() for line in hosts.splitlines()]
    assert looked_up(kubectl, *names) == [own, own]


@spec("[sig-network] DNS should provide DNS for ExternalName services")
def test_an_external_name_follows_its_service(kubectl: Kubectl) -> None:
    def named() -> str:
        script = f"import socket; print(socket.gethostbyname('away.{kubectl.namespace}'))"
        told = kubectl.run(
            "exec", "shell", "--", "nslookup", "-type=cname", f"away.{kubectl.namespace}.svc.cluster.local"
        )
        return told.stdout + kubectl.run("exec", "asker", "--", "python3.11", "-c", script).stdout

    kubectl.apply(pod("shell", "exec sleep 10000"))
    kubectl.ready("shell")
    for other in ("foo.example.com", "bar.example.com"):
        given = {"type": "ExternalName", "externalName": other}
        kubectl.apply({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "away"}, "spec": given})
        until(other, lambda other=other: f"canonical name = {other}" in named())
    patch = {"spec": {"type": "ClusterIP", "externalName": None, "ports": [{"port": 80}]}}
    kubectl("patch", "service", "away", "-p", json.dumps(patch))
    own = kubectl.get("service", "away")["spec"]["clusterIP"]
    until("its address", lambda: own in named().split())


@spec("[sig-network] DNS should support configurable pod DNS nameservers")
def test_a_pod_asks_the_nameserver_that_it_names(kubectl: Kubectl) -> None:
    kubectl.apply(python("nameserver", NAMESERVER))
    kubectl.ready("nameserver")
    config = {"nameservers": [address(kubectl, "nameserver")], "searches": ["mine.local"]}
    config["options"] = [{"name": "timeout", "value": "5"}]  # type: ignore[list-item]
    kubectl.apply(python("choosy", "import time; time.sleep(100000)", dnsPolicy="None", dnsConfig=config))
    kubectl.ready("choosy")
    until("an address", lambda: looked_up(kubectl, "wanted", of="choosy") == ["198.51.100.77"])
    assert looked_up(kubectl, "kubernetes.default", of="choosy") == []


@spec("[sig-node] KubeletManagedEtcHosts should test kubelet managed /etc/hosts file [NodeConformance]")
def test_the_hosts_file_is_ours_but_on_the_hosts_network_or_where_it_is_mounted(kubectl: Kubectl) -> None:
    own = {"name": "own", "image": IMAGE, "command": ["sleep", "10000"]}
    mount = [{"name": "hosts", "mountPath": "/etc/hosts"}]
    volumes = [{"name": "hosts", "hostPath": {"path": "/etc/hosts", "type": "File"}}]
    second = {"name": "second", "image": IMAGE, "command": ["sleep", "10000"]}
    kubectl.apply(
        pod("inside", "exec sleep 10000", more=[second, {**own, "volumeMounts": mount}], volumes=volumes),
        pod("outside", "exec sleep 10000", more=[second], hostNetwork=True),
    )
    kubectl.ready("inside", "outside")

    def managed(name: str, container: str) -> bool:
        text = kubectl("exec", name, "-c", container, "--", "cat", "/etc/hosts")
        return "# Kubernetes-managed hosts file." in text

    assert [managed("inside", name) for name in ("main", "second", "own")] == [True, True, False]
    assert [managed("outside", name) for name in ("main", "second")] == [False, False]


def dialled(kubectl: Kubectl, directory: Path, path: str, protocol: str) -> websocket.WebSocket:
    document = yaml.safe_load(kubectl.kubeconfig.read_text())
    user, cluster = document["users"][0]["user"], document["clusters"][0]["cluster"]
    context = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
    pair = directory / "pair.pem"
    pair.write_bytes(base64.b64decode(user["client-certificate-data"]) + base64.b64decode(user["client-key-data"]))
    context.load_cert_chain(str(pair))
    url = f"{cluster['server'].replace('https://', 'wss://')}/api/v1/namespaces/{kubectl.namespace}/pods/{path}"
    return websocket.create_connection(url, timeout=90, sslopt={"context": context}, subprotocols=[protocol])


@spec("[sig-node] Pods should support remote command execution over websockets [NodeConformance]")
def test_a_command_runs_over_a_bare_websocket(kubectl: Kubectl, tmp_path: Path) -> None:
    words = "command=echo&command=remote%20execution%20test"
    stream = dialled(kubectl, tmp_path, f"asker/exec?{words}&stdout=1&stderr=1", "v4.channel.k8s.io")
    said = dict.fromkeys(range(4), b"")
    while b"Success" not in said[3]:
        message = stream.recv()
        assert isinstance(message, bytes)
        assert message, said
        said[message[0]] += message[1:]
    assert said[1] == b"remote execution test\n"
    stream.close()


@spec("[sig-node] Pods should support retrieving logs from the container over websockets [NodeConformance]")
def test_a_log_is_read_over_a_bare_websocket(kubectl: Kubectl, tmp_path: Path) -> None:
    kubectl.apply(pod("talks", "echo container is alive; exec sleep 10000"))
    kubectl.ready("talks")
    until("its words", lambda: kubectl("logs", "talks"))
    stream = dialled(kubectl, tmp_path, "talks/log?container=main", "binary.k8s.io")
    said = b""
    while not said.endswith(b"\n"):
        message = stream.recv()
        assert isinstance(message, bytes)
        assert message, said
        said += message
    assert said == b"container is alive\n"
    stream.close()


@spec("[sig-apps] StatefulSet Basic StatefulSet functionality [StatefulSetBasic] Should recreate evicted statefulset")
def test_a_refused_pod_of_a_set_is_made_again_until_there_is_room(kubectl: Kubectl) -> None:
    """The set's template names its node, so that nobody but the node's agent can see that the port is taken."""
    node = kubectl.get("pod", "asker")["spec"]["nodeName"]
    port = [{"containerPort": 8080, "hostPort": 28090}]
    kubectl.apply(pod("holder", "exec sleep 10000", ports=port, nodeName=node))
    kubectl.ready("holder")
    template = pod("made", "exec sleep 10000", ports=port, nodeName=node)
    given = {
        "serviceName": "crew",
        "replicas": 1,
        "selector": {"matchLabels": {"app": "made"}},
        "template": {"metadata": {"labels": {"app": "made"}}, "spec": template["spec"]},
    }
    kubectl.apply({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "evicted"}, "spec": given})

    def uid() -> str:
        return kubectl.run("get", "pod", "evicted-0", "-o", "jsonpath={.metadata.uid}").stdout

    until("a refusal", lambda: any(reason == "NodePorts" for reason, _ in kubectl.events("evicted-0")))
    first = until("one of them", uid)
    until("another", lambda: uid() not in ("", first))
    kubectl("delete", "pod", "holder", "--timeout=100s")
    until(
        "the set", lambda: kubectl.run("get", "sts", "evicted", "-o", "jsonpath={.status.readyReplicas}").stdout == "1"
    )
    kubectl("delete", "sts", "evicted")


@spec("[sig-apps] Job should run a job to completion when tasks sometimes fail and are locally restarted")
def test_a_job_ends_though_its_tasks_fail_once(kubectl: Kubectl) -> None:
    task = pod(
        "task",
        "if [ -e /data/tried ]; then exit 0; fi; touch /data/tried; exit 1",
        volumeMounts=[{"name": "data", "mountPath": "/data"}],
        volumes=[{"name": "data", "emptyDir": {}}],
        restartPolicy="OnFailure",
    )
    given = {"parallelism": 2, "completions": 4, "backoffLimit": 6, "template": {"spec": task["spec"]}}
    kubectl.apply({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "retries"}, "spec": given})
    kubectl.wait("job/retries", "condition=complete")
    found = json.loads(kubectl("get", "pods", "-l", "job-name=retries", "-o", "json"))["items"]
    restarts = [one["status"]["containerStatuses"][0]["restartCount"] for one in found]
    assert restarts == [1, 1, 1, 1]


def test_whoever_is_not_root_writes_into_a_claim(kubectl: Kubectl) -> None:
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}
    kubectl.apply(
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "mine"}, "spec": claim},
        pod(
            "tenant",
            "id -u >/data/who && cat /data/who",
            volumeMounts=[{"name": "data", "mountPath": "/data"}],
            volumes=[{"name": "data", "persistentVolumeClaim": {"claimName": "mine"}}],
            securityContext={"runAsUser": 1234},
            restartPolicy="Never",
        ),
    )
    kubectl.wait("pod/tenant", "jsonpath={.status.phase}=Succeeded")
    assert kubectl("logs", "tenant") == "1234\n"
