"""Services, names and ports, seen from pods and from the host."""

from __future__ import annotations

import http.client
import http.server
import json
import re
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from real_cluster import PYTHON, Kubectl, pod, until

from navarch.agent.bandwidth import EGRESS, INGRESS
from navarch.app import bandwidth, link
from tests.compat.conformance.conformance_specs import spec

pytestmark = pytest.mark.node

ASK = ("timeout", "5", "wget", "-qO-")
"""Not `wget -T`: with a time limit of its own Debian's static wget crashes while it looks a name up."""
SERVE = "hostname >/www/index.html; exec httpd -f -p 8080 -h /www"


def service(name: str, app: str = "web", **spec: Any) -> dict[str, Any]:
    ports = spec.pop("ports", [{"name": "http", "port": 80, "targetPort": 8080}])
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": {"app": app}, "ports": ports, **spec},
    }


@pytest.fixture(scope="module", autouse=True)
def web(kubectl: Kubectl) -> None:
    probe = {"tcpSocket": {"port": 8080}, "periodSeconds": 1}
    pods = [pod(f"web-{n}", SERVE, labels={"app": "web"}, readinessProbe=probe) for n in range(3)]
    kubectl.apply(
        *pods,
        pod("client", "exec sleep 10000"),
        service("web"),
        service("sticky", sessionAffinity="ClientIP"),
        service("bare", clusterIP="None"),
        service("open", type="NodePort"),
        service("empty", app="nobody"),
    )
    kubectl.ready("web-0", "web-1", "web-2", "client")
    until("endpoints", lambda: kubectl.run("exec", "client", "--", *ASK, "http://web").stdout)


@pytest.fixture(scope="module")
def host(kubectl: Kubectl) -> str:
    """The node's own address."""
    return str(kubectl.get("pod", "client")["status"]["hostIP"])


def ask(kubectl: Kubectl, url: str, pod_name: str = "client") -> str:
    return kubectl("exec", pod_name, "--", *ASK, url).strip()


def answers(kubectl: Kubectl, url: str, times: int = 40) -> Counter[str]:
    script = f"for i in $(seq {times}); do timeout 5 wget -qO- {url}; done"
    return Counter(kubectl("exec", "client", "--", "sh", "-c", script).split())


@spec("[sig-network] DNS should resolve DNS of partial qualified names for services [LinuxOnly]")
def test_a_service_spreads_over_its_pods_by_address_and_by_name(kubectl: Kubectl) -> None:
    address = kubectl.get("service", "web")["spec"]["clusterIP"]
    assert set(answers(kubectl, f"http://{address}")) == {"web-0", "web-1", "web-2"}
    for name in ("web", f"web.{kubectl.namespace}", f"web.{kubectl.namespace}.svc.cluster.local"):
        assert ask(kubectl, f"http://{name}").startswith("web-")


@spec("[sig-network] Services should have session affinity work for service with type clusterIP [LinuxOnly]")
def test_a_client_with_affinity_stays_with_one_pod(kubectl: Kubectl) -> None:
    assert len(answers(kubectl, "http://sticky")) == 1


def test_a_pod_reaches_itself_through_its_service(kubectl: Kubectl) -> None:
    kubectl.apply(pod("lonely", SERVE), service("mirror", app="lonely"))
    kubectl.ready("lonely")
    until("itself", lambda: kubectl.run("exec", "lonely", "--", *ASK, "http://mirror").stdout == "lonely\n")


def resolved(kubectl: Kubectl, name: str, kind: str = "a") -> set[str]:
    done = kubectl.run("exec", "client", "--", "nslookup", f"-type={kind}", name)
    answer = done.stdout.partition("\n\n")[2]
    return set(re.findall(r"(?:Address(?: \d+)?: |service = |name = )(\S.*)", answer))


@spec("[sig-network] DNS should provide DNS for services")
def test_names_lead_to_services_pods_and_ports(kubectl: Kubectl) -> None:
    space = kubectl.namespace
    ips = {kubectl.get("pod", f"web-{n}")["status"]["podIP"] for n in range(3)}
    assert resolved(kubectl, f"bare.{space}.svc.cluster.local") == ips
    assert resolved(kubectl, f"web.{space}.svc.cluster.local") == {kubectl.get("service", "web")["spec"]["clusterIP"]}
    dashed = {ip.replace(".", "-"): ip for ip in ips}
    for name, ip in dashed.items():
        assert resolved(kubectl, f"{name}.{space}.pod.cluster.local") == {ip}
    [srv] = resolved(kubectl, f"_http._tcp.web.{space}.svc.cluster.local", "srv")
    assert srv.endswith(f"80 web.{space}.svc.cluster.local")
    assert resolved(kubectl, f"nothing.{space}.svc.cluster.local") == set()


@spec("[sig-network] DNS should provide DNS for pods for Hostname")
@spec("[sig-network] DNS should provide DNS for pods for Subdomain")
def test_a_pod_with_a_subdomain_has_a_name_of_its_own(kubectl: Kubectl) -> None:
    kubectl.apply(
        pod("named", SERVE, hostname="first", subdomain="crew", labels={"app": "crew"}),
        service("crew", app="crew", clusterIP="None"),
    )
    kubectl.ready("named")
    name = f"first.crew.{kubectl.namespace}.svc.cluster.local"
    until("the name", lambda: resolved(kubectl, name) == {kubectl.get("pod", "named")["status"]["podIP"]})
    assert kubectl("exec", "named", "--", "hostname", "-f").strip() == name


def fetch(host: str, port: int) -> str:
    connection = http.client.HTTPConnection(host, port, timeout=20)
    try:
        connection.request("GET", "/")
        return connection.getresponse().read().decode().strip()
    finally:
        connection.close()


def test_a_node_port_answers_on_the_host(kubectl: Kubectl, host: str) -> None:
    port = kubectl.get("service", "open")["spec"]["ports"][0]["nodePort"]
    assert {fetch(host, port) for _ in range(40)} == {"web-0", "web-1", "web-2"}
    assert ask(kubectl, f"http://{host}:{port}").startswith("web-")


def test_a_service_without_pods_refuses_at_once(kubectl: Kubectl) -> None:
    assert "refused" in kubectl.fails("exec", "client", "--", *ASK, "http://empty")


def test_a_pod_that_is_not_ready_gets_no_more_requests(kubectl: Kubectl) -> None:
    kubectl.apply(
        *[
            pod(
                f"moody-{n}",
                f"touch /tmp/ok; {SERVE}",
                labels={"app": "moody"},
                readinessProbe={
                    "exec": {"command": ["test", "-e", "/tmp/ok"]},
                    "periodSeconds": 1,
                    "failureThreshold": 1,
                },
            )
            for n in range(2)
        ],
        service("moody", app="moody"),
    )
    kubectl.ready("moody-0", "moody-1")
    until("both", lambda: set(answers(kubectl, "http://moody", 10)) == {"moody-0", "moody-1"})
    kubectl("exec", "moody-0", "--", "rm", "/tmp/ok")
    until("one", lambda: set(answers(kubectl, "http://moody", 10)) == {"moody-1"})


def test_a_host_port_leads_to_its_pod(kubectl: Kubectl, host: str) -> None:
    kubectl.apply(pod("harbour", SERVE, ports=[{"containerPort": 8080, "hostPort": 28080}]))
    kubectl.ready("harbour")
    assert until("an answer", lambda: fetch(host, 28080)) == "harbour"
    assert fetch("127.0.0.1", 28080) == "harbour"
    kubectl.apply(pod("rival", SERVE, ports=[{"containerPort": 8080, "hostPort": 28080}]))
    until("a refusal", lambda: any("free ports" in text for _, text in kubectl.events("rival")))
    kubectl("delete", "pod", "harbour", "rival", "--timeout=100s")
    with pytest.raises(OSError):
        fetch(host, 28080)


def test_a_pod_on_the_hosts_network_is_the_host(kubectl: Kubectl, host: str) -> None:
    kubectl.apply(pod("local", "exec httpd -f -p 28081 -h /www", hostNetwork=True, dnsPolicy="ClusterFirstWithHostNet"))
    kubectl.ready("local")
    assert kubectl.get("pod", "local")["status"]["podIP"] == host
    assert until("an answer", lambda: fetch(host, 28081)) == "hello"
    assert ask(kubectl, f"http://web.{kubectl.namespace}", "local").startswith("web-")


@pytest.fixture
def outside(host: str) -> Iterator[tuple[int, list[str]]]:
    """A server on the host's own address, and whom it saw."""
    seen: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.client_address[0])
            self.send_response(200)
            self.send_header("content-length", "7")
            self.end_headers()
            self.wfile.write(b"outside")

        def log_message(self, *words: object) -> None:
            """Nothing on the terminal."""

    server = http.server.ThreadingHTTPServer((host, 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port, seen
    server.shutdown()
    server.server_close()


def test_pods_reach_the_host(kubectl: Kubectl, host: str, outside: tuple[int, list[str]]) -> None:
    port, seen = outside
    assert ask(kubectl, f"http://{host}:{port}") == "outside"
    assert seen


def test_a_service_without_selector_leads_where_its_endpoints_say(
    kubectl: Kubectl, host: str, outside: tuple[int, list[str]]
) -> None:
    port, _ = outside
    external = service("external")
    del external["spec"]["selector"]
    slices = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "external-1", "labels": {"kubernetes.io/service-name": "external"}},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": port}],
        "endpoints": [{"addresses": [host]}],
    }
    kubectl.apply(external, slices)
    until(
        "an answer",
        lambda: kubectl.run("exec", "client", "--", *ASK, "http://external").stdout == "outside",
    )


UDP_ECHO = """
import socket
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("0.0.0.0", 7777))
while True:
    data, peer = server.recvfrom(100)
    server.sendto(b"heard " + data, peer)
"""


def test_udp_services_answer(kubectl: Kubectl, host: str) -> None:
    ports = [{"port": 7777, "protocol": "UDP"}]
    kubectl.apply(
        pod("echo", ["python3.11", "-c", UDP_ECHO], image=PYTHON),
        service("echo", app="echo", type="NodePort", ports=ports),
    )
    kubectl.ready("echo")
    port = kubectl.get("service", "echo")["spec"]["ports"][0]["nodePort"]

    def answered() -> bool:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(1)
            client.sendto(b"ping", (host, port))
            try:
                return client.recv(100) == b"heard ping"
            except (TimeoutError, ConnectionRefusedError):
                return False

    until("an answer", answered)


def test_pods_are_held_to_their_bandwidth(kubectl: Kubectl) -> None:
    ingress, egress = INGRESS, EGRESS
    serve = "dd if=/dev/zero of=/www/large bs=1000000 count=16 2>/dev/null; exec httpd -f -p 8080 -h /www"
    probe = {"tcpSocket": {"port": 8080}, "periodSeconds": 1}
    kubectl.apply(
        pod("narrow", serve, annotations={ingress: "8M", egress: "8M"}, readinessProbe=probe),
        pod("wide", serve, readinessProbe=probe),
        pod("absurd", serve, annotations={egress: "10"}),
    )
    kubectl.ready("narrow", "wide")

    def fetched(source: str, target: str) -> int:
        address = kubectl.get("pod", target)["status"]["podIP"]
        script = f"timeout 3 wget -qO- http://{address}:8080/large | wc -c"
        return int(kubectl("exec", source, "--", "sh", "-c", script))

    # 8 Mbit a second for three seconds, what bucket and queue hold, and as much again.
    for source, target in (("wide", "narrow"), ("narrow", "wide")):
        assert 100_000 < fetched(source, target) < 8_000_000, (source, target)
    limits = [name for name in link.names() if name.startswith(bandwidth.PREFIX)]
    assert len(limits) == 1
    until("a refusal", lambda: any("unreasonably small" in text for _, text in kubectl.events("absurd")))
    kubectl("delete", "pod", "narrow", "wide", "absurd", "--timeout=100s")
    until("the end of its limits", lambda: not set(limits) & set(link.names()))


def policy(name: str, labels: dict[str, str], **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name},
        "spec": {"podSelector": {"matchLabels": labels}, **spec},
    }


def test_policies_isolate_pods_from_their_first_moment(kubectl: Kubectl) -> None:
    address = kubectl.get("pod", "web-0")["status"]["podIP"]
    from_friends = [{"from": [{"podSelector": {"matchLabels": {"role": "friend"}}}]}]
    kubectl.apply(
        policy("nowhere", {"role": "eager"}, policyTypes=["Egress"]),
        policy("friends", {"app": "web"}, ingress=from_friends),
        pod("friend", "exec sleep 10000", labels={"role": "friend"}),
    )
    kubectl.ready("friend")
    asking = ("timeout", "2", "wget", "-qO-", f"http://{address}:8080")
    until("isolation", lambda: kubectl.run("exec", "client", "--", *asking).returncode)
    until("a friend", lambda: kubectl.run("exec", "friend", "--", *asking).stdout == "web-0\n")
    eager = f"timeout 2 wget -qO- http://{address}:8080 && echo came through || echo was stopped; exec sleep 10000"
    kubectl.apply(pod("eager", eager, labels={"role": "eager"}))
    until("an answer", lambda: re.search("came|was", kubectl.run("logs", "eager").stdout))
    assert "was stopped" in kubectl("logs", "eager")
    assert kubectl.get("pod", "web-0")["status"]["containerStatuses"][0]["ready"], "its node may always ask"
    kubectl("delete", "networkpolicy", "--all")
    until("freedom", lambda: kubectl.run("exec", "client", "--", *asking).stdout == "web-0\n")


def test_load_balancers_are_told_how_a_service_stands(kubectl: Kubectl, host: str) -> None:
    local = service("balanced", type="LoadBalancer", externalTrafficPolicy="Local")
    kubectl.apply(local)
    port = kubectl.get("service", "balanced")["spec"]["healthCheckNodePort"]

    def told(number: int, path: str) -> tuple[int, dict[str, Any]]:
        connection = http.client.HTTPConnection(host, number, timeout=10)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        except OSError:
            return 0, {}
        finally:
            connection.close()

    until("an answer", lambda: told(port, "/")[0] == 200)
    assert told(port, "/")[1]["localEndpoints"] == 3
    assert told(10256, "/healthz")[1]["nodeEligible"] is True
    kubectl("patch", "service", "balanced", "-p", '{"spec": {"selector": {"app": "nobody"}}}')
    until("a refusal", lambda: told(port, "/")[0] == 503)
    kubectl("delete", "service", "balanced")
