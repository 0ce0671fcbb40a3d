"""What every data plane promises, asked of the fake one and of the kernel.

For the kernel, real connections run between network namespaces: a node with a bridge and two pods, and a host outside
the cluster, which also plays an endpoint on another node.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Protocol

import msgspec
import pytest

from navarch.base.clock import LoopClock, SeededIds
from navarch.base.errors import Retryable
from navarch.kinds.endpointslice import EndpointSlice
from navarch.kinds.networkpolicy import NetworkPolicy
from navarch.kinds.pod.view import Pod
from navarch.kinds.service import Service
from navarch.proxy.compile import compile_rules
from navarch.proxy.dataplane import Dataplane
from navarch.proxy.fake import FakeDataplane
from navarch.proxy.isolation import Isolation
from navarch.proxy.nft import NftDataplane
from navarch.proxy.podfacts import PodFacts
from navarch.proxy.policy import Policies
from navarch.proxy.rules import Node, Rules
from navarch.proxy.trace import Arrival, Packet
from navarch.testing.lan import ADDRESSES, GATEWAY, PODS, Answer, Lan

NODE = Node(
    name="n1",
    addresses=("192.0.2.10",),
    pod_cidr="10.244.0.0/24",
    cluster_cidr="10.244.0.0/16",
    service_cidr="10.96.0.0/12",
)
VIP = "10.96.0.1"


class World(Protocol):
    plane: Dataplane

    def call(self, source: str, address: str, port: int, protocol: str = "tcp") -> Answer: ...

    def run(self, step: Callable[[], Any]) -> Any:
        """Runs an async function where the data plane lives."""
        ...

    def disturb(self) -> None: ...


class FakeWorld:
    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._now = 0.0
        clock = LoopClock(datetime(2026, 1, 1, tzinfo=UTC), self._loop)
        self.plane = FakeDataplane(clock, SeededIds(7))

    def call(self, source: str, address: str, port: int, protocol: str = "tcp") -> Answer:
        loopback = address.startswith("127.")
        if loopback and source != "node":
            return "reject"
        sender = "127.0.0.1" if loopback else ADDRESSES[source]
        packet = Packet(sender, address, protocol, port, local=source == "node")
        found = self.plane.send(packet)
        if not isinstance(found, Arrival):
            return found
        name = next((name for name, address in ADDRESSES.items() if address == found.target.address), "nowhere")
        if name == "node" or (loopback and name == "nowhere"):  # nobody listens on the node
            return "reject"
        return "drop" if name == "nowhere" else (name, found.hidden)

    def run(self, step: Callable[[], Any]) -> Any:
        return self._loop.run_until_complete(step())

    def disturb(self) -> None:
        self.plane.disturb()

    def close(self) -> None:
        self._loop.close()


class KernelWorld:
    def __init__(self) -> None:
        self.lan = Lan()
        self.table = f"navarch-test-{os.getpid()}"
        self.loop: asyncio.AbstractEventLoop = self.lan.node.call(asyncio.new_event_loop)
        self.plane = self.lan.node.call(NftDataplane, self.table)

    def call(self, source: str, address: str, port: int, protocol: str = "tcp") -> Answer:
        return self.lan.call(source, address, port, protocol)

    def run(self, step: Callable[[], Any]) -> Any:
        return self.lan.node.call(lambda: self.loop.run_until_complete(step()))

    def disturb(self) -> None:
        within = f"--net={self.lan.node.path}"
        subprocess.run(["nsenter", within, "nft", "delete", "table", "ip", self.table], check=True)

    def tables(self) -> str:
        return self.lan.node.run("nft", "list", "ruleset").stdout

    def close(self) -> None:
        self.plane.close()
        self.lan.node.call(self.loop.run_until_complete, self.loop.shutdown_default_executor())
        self.loop.close()
        self.lan.close()


@pytest.fixture(scope="module", params=[FakeWorld, KernelWorld], ids=["fake", "nft"])
def made(request: pytest.FixtureRequest) -> Iterator[Any]:
    if request.param is KernelWorld and os.geteuid():
        pytest.skip("network namespaces need root")
    world = request.param()
    yield world
    world.close()


@pytest.fixture
def world(made: Any) -> Iterator[World]:
    yield made
    made.run(made.plane.remove)


def service(**spec: Any) -> Service:
    status = spec.pop("status", {})
    spec = {"clusterIP": VIP, "ports": [{"port": 80}], "selector": {"app": "web"}} | spec
    return msgspec.convert(
        {"metadata": {"name": "web", "namespace": "default"}, "spec": spec, "status": status}, Service
    )


def rules(
    *hosts: str, node: Node = NODE, port: int = 8080, protocol: str = "TCP", pods: tuple[Pod, ...] = (), **spec: Any
) -> Rules:
    """One service with these endpoints, all ready."""
    slices = msgspec.convert(
        {
            "endpoints": [
                {"addresses": [ADDRESSES[host]], "nodeName": "n1" if host in PODS else "n2"} for host in hosts
            ],
            "ports": [{"port": port, "protocol": protocol}],
        },
        EndpointSlice,
    )
    return compile_rules([(service(**spec), [slices])], pods, node)


def put(world: World, new: Rules) -> None:
    world.run(lambda: world.plane.replace(world.plane.current(), new))
    assert world.plane.current() == new


def answers(world: World, source: str, address: str = VIP, port: int = 80, times: int = 24) -> Counter[Answer]:
    return Counter(world.call(source, address, port) for _ in range(times))


def test_connections_spread_over_all_endpoints(world: World) -> None:
    put(world, rules("a", "b", "outside"))
    found = answers(world, "a", times=60)
    assert set(found) == {("a", True), ("b", False), ("outside", True)}
    assert min(found.values()) >= 5, "each should get about 20 of 60"


def test_a_pod_reaches_itself_through_its_service(world: World) -> None:
    put(world, rules("a"))
    assert world.call("a", VIP, 80) == ("a", True)
    assert world.call("b", VIP, 80) == ("a", False)


def test_the_node_itself_reaches_services(world: World) -> None:
    put(world, rules("a", type="NodePort", ports=[{"port": 80, "nodePort": 30080}]))
    assert world.call("node", VIP, 80) == ("a", True)
    assert world.call("node", ADDRESSES["node"], 30080) == ("a", True)


def test_datagrams_are_balanced_as_connections_are(world: World) -> None:
    put(world, rules("b", protocol="UDP", ports=[{"port": 53, "protocol": "UDP"}]))
    assert world.call("a", VIP, 53, "udp") == ("b", False)
    assert world.call("a", VIP, 53) == "reject"


def test_without_endpoints_connections_are_refused_at_once(world: World) -> None:
    put(world, rules(type="NodePort", ports=[{"port": 80, "nodePort": 30080}]))
    assert world.call("a", VIP, 80) == "reject"
    assert world.call("node", VIP, 80) == "reject"
    assert world.call("outside", ADDRESSES["node"], 30080) == "reject"
    assert world.call("a", VIP, 81) == "reject"
    assert world.call("a", "10.96.9.9", 80) == "drop"


def test_node_ports_from_outside(world: World) -> None:
    put(world, rules("a", "outside", type="NodePort", ports=[{"port": 80, "nodePort": 30080}]))
    assert set(answers(world, "outside", ADDRESSES["node"], 30080)) == {("a", True), ("outside", True)}


def test_external_traffic_policy_local(world: World) -> None:
    spec: Any = {"type": "NodePort", "externalTrafficPolicy": "Local", "ports": [{"port": 80, "nodePort": 30080}]}
    put(world, rules("a", "outside", **spec))
    assert set(answers(world, "outside", ADDRESSES["node"], 30080)) == {("a", False)}
    assert set(answers(world, "b", ADDRESSES["node"], 30080)) == {("a", False), ("outside", True)}
    from_node = answers(world, "node", ADDRESSES["node"], 30080)
    assert {answer[0] for answer in from_node} == {"a", "outside"}, "the node itself counts as inside"
    assert ("a", True) in from_node
    put(world, rules("outside", **spec))
    assert world.call("outside", ADDRESSES["node"], 30080) == "drop"
    assert world.call("b", ADDRESSES["node"], 30080) == ("outside", True)


def test_internal_traffic_policy_local(world: World) -> None:
    put(world, rules("a", "outside", internalTrafficPolicy="Local"))
    assert set(answers(world, "b")) == {("a", False)}
    put(world, rules("outside", internalTrafficPolicy="Local"))
    assert world.call("b", VIP, 80) == "drop"


def test_external_addresses_and_source_ranges(world: World) -> None:
    balanced = {"loadBalancer": {"ingress": [{"ip": "198.51.100.7"}]}}
    put(world, rules("a", type="LoadBalancer", externalIPs=["198.51.100.8"], status=balanced))
    assert world.call("outside", "198.51.100.7", 80) == ("a", True)
    assert world.call("outside", "198.51.100.8", 80) == ("a", True)
    put(
        world,
        rules("a", type="LoadBalancer", status=balanced, loadBalancerSourceRanges=["203.0.113.0/24", "10.244.0.5/32"]),
    )
    assert world.call("outside", "198.51.100.7", 80) == "drop"
    assert world.call("a", "198.51.100.7", 80) == ("a", True)
    assert world.call("b", "198.51.100.7", 80) == "drop"


def test_what_nobody_serves_at_a_load_balancers_address_is_refused_and_not_sent_on(world: World) -> None:
    address = "198.51.100.7"
    status = {"loadBalancer": {"ingress": [{"ip": address}]}}
    served = rules("a", type="LoadBalancer", status=status, externalTrafficPolicy="Local")
    put(world, msgspec.structs.replace(served, balanced=frozenset((address, "198.51.100.8"))))
    assert world.call("outside", address, 80) == ("a", False)
    for source in ("outside", "b", "node"):
        assert world.call(source, address, 81) == "reject"
    assert world.call("outside", address, 81, "udp") == world.call("b", address, 81, "udp") == "reject"
    assert world.call("outside", "198.51.100.8", 80) == "reject"
    remote = rules("outside", type="LoadBalancer", status=status, externalTrafficPolicy="Local")
    put(world, msgspec.structs.replace(remote, balanced=frozenset((address,))))
    assert world.call("outside", address, 80) == "drop", "another node may have it"
    put(world, served)
    assert world.call("b", address, 81) == "drop", "it is nobody's"


def test_a_client_stays_with_its_endpoint_and_finds_another_when_it_goes(world: World) -> None:
    spec: Any = {"sessionAffinity": "ClientIP"}
    put(world, rules("a", "b", "outside", **spec))
    found = answers(world, "b")
    assert len(found) == 1, found
    ((kept, _),) = found
    others = [host for host in ("a", "b", "outside") if host != kept]
    put(world, rules(*others, **spec))
    assert len(answers(world, "b")) == 1
    put(world, rules(*others, kept, **spec))
    put(world, rules(kept))
    assert set(answers(world, "b")) == {(kept, kept != "a")}


def test_everybody_hides_behind_the_node_where_that_is_asked_for(world: World) -> None:
    node = msgspec.structs.replace(NODE, masquerade_all=True)
    put(world, rules("a", node=node))
    assert world.call("b", VIP, 80) == ("a", True)
    assert world.call("b", ADDRESSES["a"], 8080) == ("a", False), "no service is asked"
    put(world, rules("a"))
    assert world.call("b", VIP, 80) == ("a", False)


def test_node_ports_answer_where_they_are_told_to(world: World) -> None:
    spec: Any = {"type": "NodePort", "ports": [{"port": 80, "nodePort": 30080}]}

    def on(*networks: str) -> None:
        put(world, rules("a", node=msgspec.structs.replace(NODE, node_port_networks=networks), **spec))

    on("10.244.0.0/16", "203.0.113.0/24")
    assert world.call("b", GATEWAY, 30080) == ("a", True)
    assert world.call("outside", ADDRESSES["node"], 30080) == "reject"
    on("192.0.2.0/24")
    assert world.call("outside", ADDRESSES["node"], 30080) == ("a", True)
    on("0.0.0.0/0")
    assert world.call("b", GATEWAY, 30080) == ("a", True)
    assert world.call("outside", ADDRESSES["node"], 30080) == ("a", True)
    assert world.call("node", "127.0.0.1", 30080) == "reject", "loopback never does"
    put(world, rules("a", **spec))
    assert world.call("outside", ADDRESSES["node"], 30080) == ("a", True)


def test_host_ports(world: World) -> None:
    pod = msgspec.convert(
        {
            "metadata": {"uid": "9f1c.x-1"},
            "spec": {"containers": [{"name": "c", "ports": [{"containerPort": 9090, "hostPort": 7070}]}]},
            "status": {"podIP": ADDRESSES["a"], "phase": "Running"},
        },
        Pod,
    )
    put(world, compile_rules((), [pod], NODE))
    assert world.call("outside", ADDRESSES["node"], 7070) == ("a", False)
    assert world.call("b", ADDRESSES["node"], 7070) == ("a", False)
    assert world.call("a", ADDRESSES["node"], 7070) == ("a", True)
    assert world.call("node", "127.0.0.1", 7070) == ("a", True)
    assert world.call("b", "127.0.0.1", 7070) == "reject", "a pod's loopback is its own"


def with_ports(host: str, second: int, *ports: tuple[int, int, str]) -> Pod:
    """A pod made in that second. ports: on the node, in the container, on which address."""
    listed = [{"hostPort": outer, "containerPort": inner, "hostIP": on} for outer, inner, on in ports]
    document = {
        "metadata": {"uid": host, "name": host, "creationTimestamp": f"2026-01-01T00:00:{second:02}Z"},
        "spec": {"containers": [{"name": "c", "ports": listed}]},
        "status": {"podIP": ADDRESSES[host], "phase": "Running"},
    }
    return msgspec.convert(document, Pod)


def test_host_ports_on_one_address_of_the_node(world: World) -> None:
    here, elsewhere = ADDRESSES["node"], ADDRESSES["outside"]
    a = with_ports("a", 1, (7070, 8080, here), (7070, 9090, "127.0.0.1"), (8080, 8080, elsewhere))
    b = with_ports("b", 2, (7070, 8080, ""))
    put(world, compile_rules((), [a, b], NODE))
    assert world.call("outside", here, 7070) == ("a", False)
    assert world.call("node", "127.0.0.1", 7070) == ("a", True)
    assert world.call("a", GATEWAY, 7070) == ("b", False), "on all others the pod that named none"
    assert world.call("b", elsewhere, 8080) == ("outside", True), "nobody takes what is another machine's"


def test_of_two_that_want_one_host_port_the_older_has_it_until_it_goes(world: World) -> None:
    wanted = [(7070, 8080, ""), (7071, 8080, ADDRESSES["node"])]
    older, younger = with_ports("b", 1, *wanted), with_ports("a", 2, *wanted)
    for pods, has_it in (([younger, older], "b"), ([younger], "a"), ([older, younger], "b"), ([older], "b")):
        put(world, compile_rules((), pods, NODE))
        for port in (7070, 7071):
            assert world.call("outside", ADDRESSES["node"], port) == (has_it, False)
    put(world, compile_rules((), (), NODE))
    for port in (7070, 7071):
        assert world.call("outside", ADDRESSES["node"], port) == "reject"


def isolation(*policies: dict[str, Any], only: str = "ab") -> Isolation:
    """Of pods `a` and `b`, labelled with their names, and a pod of another node that is `outside`."""
    made = Policies("n1")
    made.put_namespace("default", {})
    for host, node in (("a", "n1"), ("b", "n1"), ("outside", "n2")):
        if host in only or host == "outside":
            made.put_pod("default", host, PodFacts({"pod": host}, (ADDRESSES[host],), node, (("web", "tcp", 9090),)))
    for number, spec in enumerate(policies):
        made.put_policy("default", f"p{number}", msgspec.convert({"spec": spec}, NetworkPolicy))
    return made.isolation()


def isolate(world: World, *policies: dict[str, Any], of: Rules | None = None) -> None:
    put(world, msgspec.structs.replace(of or rules(), isolation=isolation(*policies)))


A: Any = {"matchLabels": {"pod": "a"}}
B: Any = {"matchLabels": {"pod": "b"}}
OUTSIDE: Any = {"matchLabels": {"pod": "outside"}}


def test_policies_isolate_pods_but_not_from_themselves_or_their_node(world: World) -> None:
    everything = rules("a", "b", type="NodePort", ports=[{"port": 80, "nodePort": 30080}])
    isolate(world, {"podSelector": A, "policyTypes": ["Ingress"]}, of=everything)
    assert world.call("b", ADDRESSES["a"], 8080) == "drop"
    assert world.call("b", ADDRESSES["a"], 8080, "udp") == "drop"
    assert world.call("node", ADDRESSES["a"], 8080) == ("a", False), "the node probes its pods"
    assert world.call("a", ADDRESSES["b"], 8080) == ("b", False), "answers come in"
    assert set(answers(world, "a")) == {("a", True), ("b", False)}, "through a service to itself"
    assert set(answers(world, "b", times=16)) == {"drop", ("b", True)}
    assert set(answers(world, "outside", ADDRESSES["node"], 30080, times=16)) == {"drop", ("b", True)}
    isolate(world, {"podSelector": A, "policyTypes": ["Egress"]}, of=everything)
    assert world.call("b", ADDRESSES["a"], 8080) == ("a", False)
    assert world.call("a", ADDRESSES["b"], 8080) == "drop"
    assert world.call("a", ADDRESSES["outside"], 8080) == "drop"
    assert world.call("a", ADDRESSES["node"], 8080) == "reject", "to its node it may always speak"
    put(world, everything)
    assert world.call("b", ADDRESSES["a"], 8080) == ("a", False)
    assert world.call("a", ADDRESSES["outside"], 8080) == ("outside", True)


def test_policies_let_through_what_they_say(world: World) -> None:
    def inward(*peers: Any, **rule: Any) -> dict[str, Any]:
        return {"podSelector": A, "ingress": [{"from": list(peers), **rule}]}

    isolate(world, inward({"podSelector": B}))
    assert world.call("b", ADDRESSES["a"], 8080, "udp") == ("a", False)
    isolate(world, inward({"podSelector": B}, ports=[{"port": 9000, "endPort": 9090}]))
    assert world.call("b", ADDRESSES["a"], 9090) == ("a", False)
    assert world.call("b", ADDRESSES["a"], 8080) == "drop"
    assert world.call("b", ADDRESSES["a"], 9090, "udp") == "drop"
    isolate(world, inward({"podSelector": B}, ports=[{"port": "web"}]))
    assert world.call("b", ADDRESSES["a"], 9090) == ("a", False)
    assert world.call("b", ADDRESSES["a"], 8080) == "drop"
    isolate(world, inward({"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.244.0.4/31"]}}))
    assert world.call("b", ADDRESSES["a"], 8080) == ("a", False)
    isolate(world, inward({"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.244.0.0/29"]}}))
    assert world.call("b", ADDRESSES["a"], 8080) == "drop"
    isolate(world, inward(ports=[{"protocol": "UDP"}]))
    assert world.call("b", ADDRESSES["a"], 8080, "udp") == ("a", False)
    assert world.call("b", ADDRESSES["a"], 8080) == "drop"


def test_policies_speak_of_endpoints_and_not_of_services(world: World) -> None:
    both = rules("a", "outside")
    to_outside = {"to": [{"podSelector": OUTSIDE}]}
    isolate(world, {"podSelector": B, "policyTypes": ["Egress"], "egress": [to_outside]}, of=both)
    assert set(answers(world, "b", times=16)) == {"drop", ("outside", True)}
    isolate(world, {"podSelector": B, "egress": [{**to_outside, "ports": [{"port": 80}]}]}, of=both)
    assert set(answers(world, "b", times=4)) == {"drop"}, "80 is the port of the service, 8080 that of the pods"


def test_policies_come_and_go_piece_by_piece(world: World) -> None:
    to_b: Any = {"podSelector": B, "ingress": [{"from": [{"podSelector": A}, {"podSelector": OUTSIDE}]}]}
    steps = [
        isolation(),
        isolation({"podSelector": {}}),
        isolation({"podSelector": {}}, to_b),
        isolation(to_b, only="b"),
        isolation({"podSelector": A, "policyTypes": ["Egress"], "egress": [{"ports": [{"port": "web"}]}]}, to_b),
        isolation(to_b),
    ]
    for step in steps + steps[::-1] + steps[::2] + steps:
        put(world, msgspec.structs.replace(rules("a"), isolation=step))
    assert world.call("a", ADDRESSES["b"], 8080) == ("b", False)
    assert world.call("outside", ADDRESSES["node"], 80) == "reject"
    put(world, msgspec.structs.replace(rules("a"), isolation=isolation(to_b, only="b")))
    assert world.call("a", ADDRESSES["b"], 8080) == "drop"


def test_names_that_are_words_of_the_rules_language(world: World) -> None:
    """Whatever Kubernetes allows as a name."""
    metadata = {"namespace": "ip", "creationTimestamp": "2026-01-01T00:00:00Z"}
    named = []
    for number, name in enumerate(["drop", "0", "tcp", "x" * 63, "a--b", "ct-state", "9-9"]):
        spec = {"clusterIP": f"10.96.1.{number}", "ports": [{"name": "accept-" + "y" * 8, "port": 80}]}
        spec |= {"sessionAffinity": "ClientIP", "type": "NodePort"}
        slices = {"endpoints": [{"addresses": [ADDRESSES["a"]], "nodeName": "n1"}], "ports": [{"port": 8080}]}
        slices["ports"] = [{"port": 8080, "name": "accept-" + "y" * 8}]
        made = msgspec.convert({"metadata": {**metadata, "name": name}, "spec": spec}, Service)
        named.append((made, [msgspec.convert(slices, EndpointSlice)]))
    put(world, compile_rules(named, (), NODE))
    put(world, compile_rules(named[::2], (), NODE))
    assert world.call("b", "10.96.1.0", 80) == ("a", False)
    assert world.call("b", "10.96.1.1", 80) == "drop"


def test_pods_speak_to_the_world_as_the_node(world: World) -> None:
    put(world, rules())
    assert world.call("a", ADDRESSES["outside"], 8080) == ("outside", True)
    assert world.call("a", ADDRESSES["b"], 8080) == ("b", False)


def test_changes_one_by_one_lead_to_the_same_as_everything_at_once(world: World) -> None:
    """Every kind of piece comes, changes and goes."""
    ports = [{"port": 80, "nodePort": 30080}]
    steps = [
        rules(),
        rules("a", type="NodePort", ports=ports),
        rules("a", "b", "outside", sessionAffinity="ClientIP", type="NodePort", ports=ports),
        rules("a", "b", type="NodePort", ports=ports, externalTrafficPolicy="Local", clusterIP="10.96.0.2"),
        rules("b", externalIPs=["198.51.100.7"], port=9090),
        rules("outside", internalTrafficPolicy="Local"),
        rules("a"),
    ]
    for step in steps + steps[::-1] + steps[::2]:
        put(world, step)
    assert world.call("b", VIP, 80) == ("a", False)
    assert world.call("b", "10.96.0.2", 80) == "drop"
    assert world.call("outside", ADDRESSES["node"], 30080) == "reject"


def test_a_changed_node_is_written_afresh(world: World) -> None:
    put(world, rules("a"))
    put(world, rules("a", node=msgspec.structs.replace(NODE, addresses=("192.0.2.10", "10.244.0.1"))))
    assert world.call("b", VIP, 80) == ("a", False)


def test_somebody_elses_change_is_noticed_and_mended(world: World) -> None:
    put(world, rules("a"))

    async def noticed() -> None:
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            group.create_task(world.plane.disturbed())
            await asyncio.sleep(0.05)
            world.disturb()

    world.run(noticed)
    assert world.plane.current() is None
    assert world.call("b", VIP, 80) != ("a", False)
    put(world, rules("a"))
    assert world.call("b", VIP, 80) == ("a", False)


def test_a_change_that_the_kernel_refuses_is_written_afresh(world: World) -> None:
    put(world, rules("a"))
    before = world.plane.current()
    world.disturb()
    world.run(lambda: world.plane.replace(before, rules("b")))
    assert world.call("a", VIP, 80) == ("b", False)


@pytest.fixture
def kernel(world: World) -> KernelWorld:
    if not isinstance(world, KernelWorld):
        pytest.skip("beside the fake there is nobody else")
    return world


def test_somebody_elses_change_right_before_ours_is_not_missed(kernel: KernelWorld) -> None:
    put(kernel, rules("a"))
    before = kernel.plane.current()
    kernel.lan.node.run("nft", "add", "chain", "ip", kernel.table, "foreign")
    kernel.run(lambda: kernel.plane.replace(before, rules("a", "b")))
    kernel.run(lambda: asyncio.wait_for(kernel.plane.disturbed(), 60))
    assert kernel.plane.current() is None
    put(kernel, rules("a", "b"))
    assert "foreign" not in kernel.tables()


def test_while_the_kernel_refuses_everything_it_is_told_and_the_next_try_after_it_succeeds(kernel: KernelWorld) -> None:
    put(kernel, rules("a"))
    with held_by_another(kernel):
        for _ in range(3):
            with pytest.raises(Retryable, match="nft refused the rules"):
                kernel.run(lambda: kernel.plane.replace(kernel.plane.current(), rules("b")))
            assert kernel.plane.current() is None
    put(kernel, rules("b"))
    assert kernel.call("a", VIP, 80) == ("b", False)


@contextmanager
def held_by_another(kernel: KernelWorld) -> Iterator[None]:
    """The table belongs to another process, from which the kernel lets nobody take it, and goes with that."""
    program = ["nsenter", f"--net={kernel.lan.node.path}", "nft", "-i"]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as holder:
        assert holder.stdin
        holder.stdin.write(f"delete table ip {kernel.table}\nadd table ip {kernel.table} {{ flags owner; }}\n")
        holder.stdin.flush()
        deadline = time.monotonic() + 60
        while "owner" not in kernel.tables():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield
        holder.stdin.close()


def test_removal_leaves_nothing_and_may_be_repeated(world: World) -> None:
    put(world, rules("a", sessionAffinity="ClientIP"))
    world.run(world.plane.remove)
    assert world.plane.current() is None
    world.run(world.plane.remove)
    if isinstance(world, KernelWorld):
        assert world.tables() == ""


@pytest.mark.parametrize("name", ["", "Navarch", "a b", "x; flush ruleset", "-a", "a" * 32])
def test_names_that_cannot_be_tables_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="cannot name an nftables table"):
        NftDataplane(name)
