"""The loop: from objects to the data plane, coalesced, and through trouble."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import msgspec

from navarch.base.clock import LoopClock, SeededIds
from navarch.base.errors import Retryable
from navarch.client.informer import Informers
from navarch.kinds import CONFIGMAP, ENDPOINTSLICE, NAMESPACE, NETWORKPOLICY, POD, SERVICE
from navarch.kinds import NODE as NODE_KIND
from navarch.proxy.fake import FakeDataplane
from navarch.proxy.rules import Node, Rules
from navarch.proxy.run import Proxy
from navarch.proxy.trace import Packet

NODE = Node(name="n1", addresses=("192.0.2.10",), pod_cidr="10.244.0.0/24", cluster_cidr="10.244.0.0/16")


def service(name: str, ip: str) -> dict[str, Any]:
    spec = {"clusterIP": ip, "ports": [{"port": 80}], "selector": {"app": name}}
    return {"metadata": {"name": name, "namespace": "default"}, "spec": spec}


def slice_of(name: str, *addresses: str, ready: bool = True) -> dict[str, Any]:
    metadata = {"name": f"{name}-x", "namespace": "default", "labels": {"kubernetes.io/service-name": name}}
    endpoints = [{"addresses": [address], "conditions": {"ready": ready}} for address in addresses]
    return {"metadata": metadata, "addressType": "IPv4", "endpoints": endpoints, "ports": [{"port": 8080}]}


class Stubborn(FakeDataplane):
    """Refuses so many transactions."""

    refusals = 0

    async def replace(self, old: Rules | None, new: Rules) -> None:
        if self.refusals:
            self.refusals -= 1
            raise Retryable("not now")
        await super().replace(old, new)


class Bench:
    def __init__(self, client: Any) -> None:
        self.client = client
        clock = LoopClock(datetime(2026, 1, 1, tzinfo=UTC), asyncio.get_running_loop())
        self.plane = Stubborn(clock, SeededIds(1))
        self.informers = Informers(client, clock)
        self.proxy = Proxy(self.informers, [(self.plane, NODE)], clock)

    def targets(self, address: str = "10.96.0.1", port: int = 80) -> list[str]:
        found = self.plane.trace(Packet("10.244.0.99", address, "tcp", port))
        return [each.target.address for each in found.arrivals] if found.pool else []

    def passes(self, source: str, address: str, port: int = 80) -> bool:
        return self.plane.trace(Packet(source, address, "tcp", port)).fate == "arrives"

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not condition():  # noqa: ASYNC110 - the fake data plane tells nobody
                await asyncio.sleep(0.01)


@asynccontextmanager
async def running(bench: Bench) -> Any:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(bench.informers.run()), group.create_task(bench.proxy.run())]
        await bench.proxy.settled.wait()
        yield
        for task in tasks:
            task.cancel()


def bench_test(client: Any, steps: Callable[[Bench], Awaitable[None]], prepare: Callable[[Bench], None]) -> None:
    async def main() -> None:
        bench = Bench(client)
        prepare(bench)
        async with running(bench):
            await steps(bench)

    asyncio.run(main())


NODE_IPV6 = Node(name="n1", addresses=("2001:db8::10",), pod_cidr="fd00::/64", cluster_cidr="fd00::/56")


class BothFamilies(Bench):
    def __init__(self, client: Any) -> None:
        super().__init__(client)
        clock = LoopClock(datetime(2026, 1, 1, tzinfo=UTC), asyncio.get_running_loop())
        self.six = Stubborn(clock, SeededIds(1))
        self.proxy = Proxy(self.informers, [(self.plane, NODE), (self.six, NODE_IPV6)], clock)

    def targets_of_ipv6(self, address: str) -> list[str]:
        found = self.six.trace(Packet("fd00::99", address, "tcp", 80))
        return [each.target.address for each in found.arrivals] if found.pool else []


def test_each_family_has_its_own_data_plane_and_its_own_troubles(client: Any) -> None:
    async def main() -> None:
        bench = BothFamilies(client)
        two_services(bench)
        dual = service("web", "10.96.0.1")
        dual["spec"]["clusterIPs"] = ["10.96.0.1", "fd01::1"]
        client.put(SERVICE, dual)
        other = slice_of("web", "fd00::5")
        client.put(
            ENDPOINTSLICE, {**other, "addressType": "IPv6", "metadata": {**other["metadata"], "name": "web-six"}}
        )
        bench.six.refusals = 3
        async with running(bench):
            assert bench.six.refusals == 0, "settled is who settled in both"
            assert bench.proxy.refused.value() == 3
            assert bench.targets() == ["10.244.0.5"]
            assert bench.targets_of_ipv6("fd01::1") == ["fd00::5"]
            now = bench.six.current()
            assert now is not None
            assert set(now.parts) == {"default/web"}, "the other service has no address of IPv6"
            bench.six.refusals = 10
            client.put(ENDPOINTSLICE, slice_of("web", "10.244.0.6"))
            await bench.until(lambda: bench.targets() == ["10.244.0.6"])
            assert bench.six.refusals > 0, "one is not held up by the other"

    asyncio.run(main())


def test_a_pod_starts_once_policies_hold_for_all_of_its_addresses(client: Any) -> None:
    async def main() -> None:
        bench = BothFamilies(client)
        client.put(NAMESPACE, {"metadata": {"name": "default"}})
        client.put(POD, {**pod_at("web", ""), "status": {"phase": "Pending"}})
        client.put(NETWORKPOLICY, POLICY)
        async with running(bench):
            await bench.proxy.isolate(client.objects[(POD, "default", "web")], ["10.244.0.5", "fd00::5"])
            assert not bench.passes("10.244.1.7", "10.244.0.5")
            assert bench.six.trace(Packet("fd00::7", "fd00::5", "tcp", 80)).fate == "drop"

    asyncio.run(main())


def two_services(bench: Bench) -> None:
    bench.client.put(SERVICE, service("web", "10.96.0.1"))
    bench.client.put(ENDPOINTSLICE, slice_of("web", "10.244.0.5"))
    bench.client.put(SERVICE, service("api", "10.96.0.2"))


def test_what_is_there_is_written_once_and_changes_follow(client: Any) -> None:
    async def steps(bench: Bench) -> None:
        assert bench.plane.writes == 1
        assert bench.targets() == ["10.244.0.5"]
        before = bench.plane.current()
        bench.client.put(ENDPOINTSLICE, slice_of("web", "10.244.0.5", "10.244.0.6"))
        await bench.until(lambda: bench.targets() == ["10.244.0.5", "10.244.0.6"])
        now = bench.plane.current()
        assert before is not None
        assert now is not None
        assert now.parts["default/api"] is before.parts["default/api"], "what did not change is not compiled again"
        bench.client.remove(SERVICE, "default", "web")
        await bench.until(lambda: bench.targets() == [])

    bench_test(client, steps, two_services)


def test_many_changes_at_once_are_few_transactions(client: Any) -> None:
    async def steps(bench: Bench) -> None:
        for last in range(1, 200):
            bench.client.put(ENDPOINTSLICE, slice_of("web", f"10.244.0.{last}"))
            await asyncio.sleep(0)
        await bench.until(lambda: bench.targets() == ["10.244.0.199"])
        assert bench.plane.writes <= 4

    bench_test(client, steps, two_services)


def test_the_clusters_settings_are_followed_while_it_runs(client: Any) -> None:
    def config(**data: str) -> dict[str, Any]:
        return {"metadata": {"name": "navarch-config", "namespace": "kube-system"}, "data": data}

    def prepare(bench: Bench) -> None:
        two_services(bench)
        bench.client.put(CONFIGMAP, config(masqueradeAll="true"))

    async def steps(bench: Bench) -> None:
        def node() -> Node:
            return current.node if (current := bench.plane.current()) else NODE

        assert (node().masquerade_all, node().node_port_networks) == (True, ()), "from the first transaction on"
        bench.client.put(CONFIGMAP, config(nodePortAddresses="10.0.0.0/8"))
        await bench.until(lambda: node().node_port_networks == ("10.0.0.0/8",) and not node().masquerade_all)
        before = bench.plane.writes
        bench.client.put(CONFIGMAP, config(nodePortAddresses="10.0.0.0/8", podNetwork="vxlan"))
        bench.proxy.set_node(msgspec.structs.replace(NODE, addresses=("192.0.2.11",)))
        await bench.until(lambda: node().addresses == ("192.0.2.11",))
        assert node().node_port_networks == ("10.0.0.0/8",)
        assert bench.plane.writes == before + 1
        bench.client.remove(CONFIGMAP, "kube-system", "navarch-config")
        await bench.until(lambda: node().node_port_networks == ())

    bench_test(client, steps, prepare)


def test_a_refused_transaction_is_tried_again(client: Any) -> None:
    async def steps(bench: Bench) -> None:
        assert bench.targets() == ["10.244.0.5"]
        bench.plane.refusals = 1
        bench.client.put(ENDPOINTSLICE, slice_of("web", "10.244.0.7"))
        await bench.until(lambda: bench.targets() == ["10.244.0.7"])

    def prepare(bench: Bench) -> None:
        two_services(bench)
        bench.plane.refusals = 1

    bench_test(client, steps, prepare)


def test_what_somebody_else_destroyed_is_restored(client: Any) -> None:
    async def steps(bench: Bench) -> None:
        bench.plane.disturb()
        assert bench.targets() == []
        await bench.until(lambda: bench.targets() == ["10.244.0.5"])

    bench_test(client, steps, two_services)


def test_a_changed_node_is_compiled_in(client: Any) -> None:
    async def steps(bench: Bench) -> None:
        bench.proxy.set_node(msgspec.structs.replace(NODE, addresses=("192.0.2.11",)))
        await bench.until(lambda: (rules := bench.plane.current()) is not None and "192.0.2.11" in rules.node.addresses)

    bench_test(client, steps, two_services)


def test_addresses_of_load_balancers_are_closed_but_for_what_is_served(client: Any) -> None:
    async def steps(bench: Bench) -> None:
        before = bench.plane.writes
        bench.proxy.set_balanced(("198.51.100.7", "2001:db8::7"))
        await bench.until(lambda: (rules := bench.plane.current()) is not None and bool(rules.balanced))
        current = bench.plane.current()
        assert current is not None
        assert current.balanced == {"198.51.100.7"}, "of the plane's own family"
        bench.proxy.set_balanced(("2001:db8::7", "198.51.100.7"))
        bench.proxy.set_balanced(())
        await bench.until(lambda: (rules := bench.plane.current()) is not None and not rules.balanced)
        assert bench.plane.writes == before + 2

    bench_test(client, steps, two_services)


def test_host_ports_come_and_go_with_their_pods(client: Any) -> None:
    ports = [{"containerPort": 80, "hostPort": 8080}]
    pod: dict[str, Any] = {"metadata": {"name": "p", "namespace": "default", "uid": "u1"}, "status": {}}
    pod["spec"] = {"nodeName": "n1", "containers": [{"name": "c", "ports": ports}]}

    async def steps(bench: Bench) -> None:
        assert bench.targets("192.0.2.10", 8080) == []
        bench.client.put(POD, {**pod, "status": {"podIP": "10.244.0.5", "phase": "Running"}})
        await bench.until(lambda: bench.targets("192.0.2.10", 8080) == ["10.244.0.5"])
        bench.client.remove(POD, "default", "p")
        await bench.until(lambda: bench.targets("192.0.2.10", 8080) == [])

    bench_test(client, steps, lambda bench: bench.client.put(POD, pod))


def test_a_slice_that_changes_its_service_leaves_the_old_one(client: Any) -> None:
    async def steps(bench: Bench) -> None:
        moved = slice_of("web", "10.244.0.5")
        moved["metadata"]["labels"] = {"kubernetes.io/service-name": "api"}
        bench.client.put(ENDPOINTSLICE, moved)
        await bench.until(lambda: bench.targets("10.96.0.2") == ["10.244.0.5"])
        assert bench.targets() == []

    bench_test(client, steps, two_services)


def pod_at(name: str, address: str, node: str = "n1", namespace: str = "default") -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace, "labels": {"app": name}}
    return {"metadata": metadata, "spec": {"nodeName": node}, "status": {"podIP": address, "phase": "Running"}}


POLICY: dict[str, Any] = {
    "metadata": {"name": "p", "namespace": "default"},
    "spec": {
        "podSelector": {"matchLabels": {"app": "web"}},
        "ingress": [{"from": [{"podSelector": {"matchLabels": {"app": "friend"}}}]}],
    },
}


def test_policies_are_in_force_with_the_first_transaction(client: Any) -> None:
    def prepare(bench: Bench) -> None:
        bench.client.put(NAMESPACE, {"metadata": {"name": "default"}})
        bench.client.put(POD, pod_at("web", "10.244.0.5"))
        bench.client.put(POD, pod_at("friend", "10.244.1.6", "n2"))
        bench.client.put(NETWORKPOLICY, POLICY)

    async def steps(bench: Bench) -> None:
        assert bench.plane.writes == 1
        assert bench.passes("10.244.1.6", "10.244.0.5")
        assert not bench.passes("10.244.1.7", "10.244.0.5")
        bench.client.put(POD, pod_at("friend", "10.244.1.7", "n2"))
        await bench.until(lambda: bench.passes("10.244.1.7", "10.244.0.5"))
        assert not bench.passes("10.244.1.6", "10.244.0.5")
        bench.client.remove(NETWORKPOLICY, "default", "p")
        await bench.until(lambda: bench.passes("10.244.1.6", "10.244.0.5"))
        lists = [call for call in bench.client.calls if call[:2] == ("list", "Pod")]
        bench.client.put(NETWORKPOLICY, POLICY)
        await bench.until(lambda: not bench.passes("10.244.1.6", "10.244.0.5"))
        assert bench.passes("10.244.1.7", "10.244.0.5")
        again = [call for call in bench.client.calls if call[:2] == ("list", "Pod")]
        assert len(again) == len(lists) + 1, "pods of others were let go meanwhile"

    bench_test(client, steps, prepare)


def test_policies_may_be_somebody_elses_business(client: Any) -> None:
    config = {"metadata": {"name": "navarch-config", "namespace": "kube-system"}, "data": {"networkPolicies": "false"}}

    def prepare(bench: Bench) -> None:
        bench.client.put(NAMESPACE, {"metadata": {"name": "default"}})
        bench.client.put(POD, pod_at("web", "10.244.0.5"))
        bench.client.put(NETWORKPOLICY, POLICY)
        bench.client.put(CONFIGMAP, config)

    async def steps(bench: Bench) -> None:
        assert bench.passes("10.244.1.7", "10.244.0.5")
        await bench.proxy.isolate(bench.client.objects[(POD, "default", "web")], ["10.244.0.5"])
        bench.client.remove(CONFIGMAP, "kube-system", "navarch-config")
        await bench.until(lambda: not bench.passes("10.244.1.7", "10.244.0.5"))

    bench_test(client, steps, prepare)


def test_pods_of_other_nodes_are_followed_once_there_is_a_policy(client: Any) -> None:
    async def steps(bench: Bench) -> None:
        assert ("list", "Namespace", "") not in bench.client.calls
        bench.client.put(NAMESPACE, {"metadata": {"name": "default"}})
        bench.client.put(POD, pod_at("web", "10.244.0.5"))
        bench.client.put(POD, pod_at("friend", "10.244.1.6", "n2"))
        bench.client.put(NETWORKPOLICY, POLICY)
        await bench.until(lambda: not bench.passes("10.244.1.7", "10.244.0.5"))
        assert bench.passes("10.244.1.6", "10.244.0.5"), "not before it is known who may"

    bench_test(client, steps, two_services)


def test_the_zone_is_that_of_the_nodes_object(client: Any) -> None:
    def node(zone: str) -> dict[str, Any]:
        return {"metadata": {"name": "n1", "labels": {"topology.kubernetes.io/zone": zone}}}

    async def steps(bench: Bench) -> None:
        assert bench.targets() == ["10.244.0.5"]
        bench.client.put(NODE_KIND, node("west"))
        await bench.until(lambda: bench.targets() == ["10.244.0.6"])
        bench.proxy.set_node(msgspec.structs.replace(NODE, addresses=("192.0.2.11",)))
        await bench.until(lambda: (rules := bench.plane.current()) is not None and "192.0.2.11" in rules.node.addresses)
        assert bench.targets() == ["10.244.0.6"], "the zone stays"

    def prepare(bench: Bench) -> None:
        two_services(bench)
        bench.client.put(NODE_KIND, node("east"))
        slices = slice_of("web", "10.244.0.5", "10.244.0.6")
        for endpoint, zone in zip(slices["endpoints"], ("east", "west"), strict=True):
            endpoint["hints"] = {"forZones": [{"name": zone}]}
        bench.client.put(ENDPOINTSLICE, slices)

    bench_test(client, steps, prepare)


def test_a_pod_that_is_about_to_start_is_isolated_before_the_api_knows_its_address(client: Any) -> None:
    starting = {**pod_at("web", ""), "status": {"phase": "Pending"}}

    async def steps(bench: Bench) -> None:
        found = bench.client.objects[(POD, "default", "web")]
        assert bench.passes("10.244.1.7", "10.244.0.5")
        await bench.proxy.isolate(found, ["10.244.0.5"])
        assert not bench.passes("10.244.1.7", "10.244.0.5")
        bench.client.put(POD, {**starting, "status": {"phase": "Pending", "conditions": []}})
        bench.client.put(POD, pod_at("friend", "10.244.1.6", "n2"))
        await bench.until(lambda: bench.passes("10.244.1.6", "10.244.0.5"))
        assert not bench.passes("10.244.1.7", "10.244.0.5"), "a change that does not say the address forgets nothing"
        bench.client.put(POD, pod_at("web", "10.244.0.5"))
        bench.client.remove(POD, "default", "web")
        await bench.until(lambda: bench.passes("10.244.1.7", "10.244.0.5"))

    def prepare(bench: Bench) -> None:
        bench.client.put(NAMESPACE, {"metadata": {"name": "default"}})
        bench.client.put(POD, starting)
        bench.client.put(NETWORKPOLICY, POLICY)

    bench_test(client, steps, prepare)


def test_without_policies_nobody_waits(client: Any) -> None:
    async def steps(bench: Bench) -> None:
        writes = bench.plane.writes
        await bench.proxy.isolate(bench.client.put(POD, pod_at("web", "")), ["10.244.0.5"])
        assert bench.plane.writes == writes

    bench_test(client, steps, two_services)
