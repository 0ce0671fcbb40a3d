"""Which UDP flows a change concerns."""

from __future__ import annotations

from navarch.proxy.flows import changed_udp
from navarch.proxy.rules import Door, Front, Gate, Node, Part, Pool, Rules, Target

NODE = Node(name="n1", addresses=("192.0.2.10",), pod_cidr="10.244.0.0/24", cluster_cidr="10.244.0.0/16")
ONE, TWO = Target("10.244.0.5", 53), Target("10.244.0.6", 53)


def dns(*targets: Target, protocol: str = "udp") -> Part:
    front, gate = Front("10.96.0.10", protocol, 53), Gate(protocol, 30053)
    if not targets:
        return Part(refused={front: "reject"}, refused_node_ports={gate: "reject"})
    return Part(
        pools=(Pool("p/x", protocol, targets),),
        doors=(Door("d/x", "p/x"),),
        fronts={front: "p/x"},
        node_ports={gate: "d/x"},
    )


def rules(**parts: Part) -> Rules:
    return Rules(NODE, parts)


def test_flows_may_go_on_to_the_targets_that_are_left() -> None:
    found = changed_udp(rules(dns=dns(ONE, TWO)), rules(dns=dns(TWO)))
    assert found == {("10.96.0.10", 53): (TWO,), ("192.0.2.10", 30053): (TWO,)}


def test_flows_of_services_that_are_gone_or_refused_end() -> None:
    nowhere = {("10.96.0.10", 53): (), ("192.0.2.10", 30053): ()}
    assert changed_udp(rules(dns=dns(ONE)), rules()) == nowhere
    assert changed_udp(rules(dns=dns(ONE)), rules(dns=dns())) == nowhere


def test_flows_of_ipv6_are_told_by_its_addresses() -> None:
    node = Node(name="n1", addresses=("2001:db8::10",), pod_cidr="fd00::/64", cluster_cidr="fd00::/56")
    part = Part(
        pools=(Pool("p/x", "udp", (Target("fd00::5", 53),)),),
        fronts={Front("fd01::a", "udp", 53): "p/x"},
        node_ports={Gate("udp", 30053): "p/x"},
    )
    found = changed_udp(Rules(node), Rules(node, {"dns": part}))
    assert found == {
        (each, port): (Target("fd00::5", 53),) for each, port in (("fd01::a", 53), ("2001:db8::10", 30053))
    }


def test_new_services_take_over_flows_that_passed_them_by() -> None:
    assert changed_udp(rules(), rules(dns=dns(ONE)))[("10.96.0.10", 53)] == (ONE,)
    assert changed_udp(None, rules(dns=dns(ONE)))[("10.96.0.10", 53)] == (ONE,)


def test_an_address_that_moves_to_another_service_keeps_its_new_targets() -> None:
    assert changed_udp(rules(a=dns(ONE)), rules(b=dns(TWO)))[("10.96.0.10", 53)] == (TWO,)


def test_tcp_and_what_did_not_change_are_left_alone() -> None:
    same = dns(ONE)
    assert changed_udp(rules(dns=same), rules(dns=same)) == {}
    assert changed_udp(rules(dns=dns(ONE, protocol="tcp")), rules(dns=dns(TWO, protocol="tcp"))) == {}
