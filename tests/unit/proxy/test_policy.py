"""NetworkPolicies: each behaviour by example, judged as packets are; step by step against all at once."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from navarch.kinds import POD
from navarch.kinds.networkpolicy import NetworkPolicy
from navarch.kinds.object import Object
from navarch.proxy import policyscript
from navarch.proxy.addresses import IPV6
from navarch.proxy.isolation import FREE, Isolation, judge
from navarch.proxy.podfacts import PodFacts, facts
from navarch.proxy.policy import Policies
from navarch.proxy.rules import Node

NAMESPACES = {each: {"kubernetes.io/metadata.name": each, "ns": each} for each in ("x", "y", "z")}
HTTP = (("http", "tcp", 80), ("http", "udp", 80), ("dns", "udp", 53))
ADDRESSES = {f"{ns}/{pod}": f"10.244.0.{10 * n + m}" for n, ns in enumerate("xyz", 1) for m, pod in enumerate("abc")}
OUTSIDE = "203.0.113.5"


def policy(**spec: Any) -> NetworkPolicy:
    return msgspec.convert({"spec": spec}, NetworkPolicy)


def cluster(*policies: tuple[str, NetworkPolicy], node: str = "n1") -> Policies:
    """Nine pods on n1, in three namespaces; policies are named by their namespace."""
    made = Policies(node)
    for name, labels in NAMESPACES.items():
        made.put_namespace(name, labels)
    for name, address in ADDRESSES.items():
        namespace, pod = name.split("/")
        made.put_pod(namespace, pod, PodFacts({"pod": pod}, (address,), "n1", HTTP))
    for number, (namespace, found) in enumerate(policies):
        made.put_policy(namespace, f"p{number}", found)
    return made


def passes(found: Policies | Isolation, source: str, target: str, port: int = 80, protocol: str = "tcp") -> bool:
    isolation = found if isinstance(found, Isolation) else found.isolation()
    ends = (ADDRESSES.get(source, source), ADDRESSES.get(target, target))
    return all(each.passes for each in judge(isolation, *ends, protocol, port))


def senders(found: Policies, target: str, port: int = 80, protocol: str = "tcp") -> str:
    made = found.isolation()
    return " ".join(each for each in (*ADDRESSES, OUTSIDE) if passes(made, each, target, port, protocol))


def receivers(found: Policies, source: str, port: int = 80, protocol: str = "tcp") -> str:
    made = found.isolation()
    return " ".join(each for each in (*ADDRESSES, OUTSIDE) if passes(made, source, each, port, protocol))


EVERYBODY = " ".join((*ADDRESSES, OUTSIDE))


def test_without_policies_everybody_is_free() -> None:
    assert cluster().isolation() is FREE
    assert senders(cluster(), "x/a") == EVERYBODY


def test_isolated_from_everybody_but_itself() -> None:
    found = cluster(("x", policy(podSelector={}, policyTypes=["Ingress"])))
    assert senders(found, "x/a") == "x/a"
    assert receivers(found, "x/a") == "x/a y/a y/b y/c z/a z/b z/c " + OUTSIDE
    assert senders(found, "y/a") == EVERYBODY


def test_a_policy_without_types_is_about_what_it_has_rules_for() -> None:
    inward = cluster(("x", policy(podSelector={})))
    assert (senders(inward, "x/a"), receivers(inward, "x/a", 81)[:3]) == ("x/a", "x/a")
    assert passes(inward, "x/a", "y/a")
    both = cluster(("x", policy(podSelector={}, egress=[{"to": [{"podSelector": {}}]}])))
    assert senders(both, "x/b") == "x/b", "ingress is isolated too"


def test_a_rule_without_peers_lets_everybody_in() -> None:
    found = cluster(("x", policy(podSelector={"matchLabels": {"pod": "a"}}, ingress=[{}])))
    assert senders(found, "x/a") == EVERYBODY


def test_pods_namespaces_and_both() -> None:
    def let(**peer: Any) -> str:
        return senders(cluster(("x", policy(podSelector={}, ingress=[{"from": [peer]}]))), "x/a")

    assert let(podSelector={"matchLabels": {"pod": "b"}}) == "x/a x/b"
    assert let(podSelector={}) == "x/a x/b x/c"
    assert let(namespaceSelector={"matchLabels": {"ns": "y"}}) == "x/a y/a y/b y/c"
    assert let(namespaceSelector={"matchLabels": {"ns": "y"}}, podSelector={"matchLabels": {"pod": "b"}}) == "x/a y/b"
    assert let(namespaceSelector={}) == " ".join(ADDRESSES)
    other = [{"key": "ns", "operator": "NotIn", "values": ["x", "y"]}]
    some = [{"key": "pod", "operator": "In", "values": ["b", "c"]}]
    assert let(namespaceSelector={"matchExpressions": other}, podSelector={"matchExpressions": some}) == "x/a z/b z/c"


def test_two_peers_of_one_rule_and_two_policies_of_one_pod_add_up() -> None:
    peers = [{"podSelector": {"matchLabels": {"pod": "b"}}}, {"namespaceSelector": {"matchLabels": {"ns": "z"}}}]
    more = policy(podSelector={}, ingress=[{"from": [{"namespaceSelector": {"matchLabels": {"ns": "y"}}}]}])
    found = cluster(("x", policy(podSelector={}, ingress=[{"from": peers}])), ("x", more))
    assert senders(found, "x/a") == "x/a x/b y/a y/b y/c z/a z/b z/c"


def test_networks_and_what_is_left_out_of_them() -> None:
    block = {"cidr": "10.244.0.0/24", "except": [f"{ADDRESSES['y/b']}/32", "10.244.0.30/31"]}
    found = cluster(("x", policy(podSelector={}, ingress=[{"from": [{"ipBlock": block}]}])))
    assert senders(found, "x/a") == "x/a x/b x/c y/a y/c z/c"
    world = policy(podSelector={}, egress=[{"to": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.244.0.0/16"]}}]}])
    assert receivers(cluster(("x", world)), "x/a") == f"x/a {OUTSIDE}"
    six = policy(podSelector={}, ingress=[{"from": [{"ipBlock": {"cidr": "2001:db8::/32"}}]}])
    assert senders(cluster(("x", six)), "x/a") == "x/a", "of the other family: nobody, and not everybody"


def test_ports_ranges_protocols_and_names() -> None:
    def let(*ports: Any) -> Policies:
        return cluster(("x", policy(podSelector={}, ingress=[{"ports": list(ports)}])))

    def open_to(found: Policies) -> list[tuple[str, int]]:
        tried = [(protocol, port) for protocol in ("tcp", "udp", "sctp") for port in (53, 80, 81, 90)]
        return [(protocol, port) for protocol, port in tried if passes(found, "y/a", "x/a", port, protocol)]

    assert open_to(let({"port": 80})) == [("tcp", 80)]
    assert open_to(let({"port": 80, "endPort": 90})) == [("tcp", 80), ("tcp", 81), ("tcp", 90)]
    assert open_to(let({"protocol": "UDP"})) == [("udp", port) for port in (53, 80, 81, 90)]
    assert open_to(let({"protocol": "SCTP", "port": 81}, {"port": 90})) == [("tcp", 90), ("sctp", 81)]
    assert open_to(let({"port": "http"})) == [("tcp", 80)]
    assert open_to(let({"port": "http", "protocol": "UDP"}, {"port": "dns", "protocol": "UDP"})) == [
        ("udp", 53),
        ("udp", 80),
    ]
    assert open_to(let({"port": "nobody-has-it"})) == []


def test_a_named_port_outward_is_that_of_the_pod_that_is_spoken_to() -> None:
    to = [{"namespaceSelector": {"matchLabels": {"ns": "y"}}}]
    spec: Any = {"policyTypes": ["Egress"], "egress": [{"to": to, "ports": [{"port": "web"}]}]}
    found = cluster(("x", policy(podSelector={}, **spec)))
    found.put_pod("y", "a", PodFacts({"pod": "a"}, (ADDRESSES["y/a"],), "n2", (("web", "tcp", 8080),)))
    found.put_pod("y", "b", PodFacts({"pod": "b"}, (ADDRESSES["y/b"],), "n2", (("web", "tcp", 9090),)))
    assert receivers(found, "x/a", 8080) == "x/a y/a"
    assert receivers(found, "x/a", 9090) == "x/a y/b"


def test_both_ends_must_agree() -> None:
    to_y = policy(podSelector={}, policyTypes=["Egress"], egress=[{"to": [{"namespaceSelector": {}}]}])
    from_z = policy(podSelector={}, ingress=[{"from": [{"namespaceSelector": {"matchLabels": {"ns": "z"}}}]}])
    found = cluster(("x", to_y), ("y", from_z))
    assert not passes(found, "x/a", "y/a")
    assert passes(found, "z/a", "y/a")
    (out, into) = judge(found.isolation(), ADDRESSES["x/a"], ADDRESSES["y/a"], "tcp", 80)
    assert (out.passes, out.policies) == (True, ("x/p0",))
    assert (into.passes, into.policies, into.pod) == (False, ("y/p1",), ADDRESSES["y/a"])


def test_pods_elsewhere_are_peers_but_isolated_by_their_own_node() -> None:
    found = cluster(("x", policy(podSelector={}, ingress=[{"from": [{"podSelector": {}}]}])), node="n2")
    assert found.isolation() is FREE
    found.put_pod("x", "d", PodFacts({}, ("10.244.1.4",), "n2"))
    made = found.isolation()
    assert made.ingress.keys() == {"10.244.1.4"}
    assert passes(made, "x/a", "10.244.1.4")
    assert not passes(made, "y/a", "10.244.1.4")


def test_labels_that_change_and_pods_that_go() -> None:
    found = cluster(("x", policy(podSelector={}, ingress=[{"from": [{"podSelector": {"matchLabels": {"pod": "b"}}}]}])))
    assert senders(found, "x/a") == "x/a x/b"
    found.put_pod("x", "c", PodFacts({"pod": "b"}, (ADDRESSES["x/c"],), "n1"))
    assert senders(found, "x/a") == "x/a x/b x/c"
    found.put_pod("x", "b", None)
    assert senders(found, "x/a") == "x/a x/c"
    found.put_pod("x", "a", PodFacts({}, (), "n1"))
    assert ADDRESSES["x/a"] not in found.isolation().ingress


def test_an_address_that_two_pods_have_for_a_moment_stays_with_the_second() -> None:
    found = cluster(("x", policy(podSelector={}, ingress=[{"from": [{"podSelector": {}}]}])))
    found.isolation()
    found.put_pod("x", "next", PodFacts({}, (ADDRESSES["x/b"],), "n2"))
    found.put_pod("x", "b", None)
    assert "x/b" in senders(found, "x/a")


def test_labels_of_namespaces_are_followed() -> None:
    from_y = [{"from": [{"namespaceSelector": {"matchLabels": {"ns": "y"}}}]}]
    found = cluster(("x", policy(podSelector={}, ingress=from_y)))
    assert senders(found, "x/a") == "x/a y/a y/b y/c"
    found.put_namespace("y", {})
    assert senders(found, "x/a") == "x/a"
    found.put_namespace("z", {"ns": "y"})
    assert senders(found, "x/a") == "x/a z/a z/b z/c"
    found.put_namespace("z", None)
    assert senders(found, "x/a") == "x/a"


def test_pods_with_the_same_policies_share_a_profile_and_unused_sets_go() -> None:
    found = cluster(
        ("x", policy(podSelector={}, ingress=[{"from": [{"podSelector": {}}]}])),
        ("x", policy(podSelector={"matchLabels": {"pod": "c"}}, ingress=[{"from": [{"namespaceSelector": {}}]}])),
    )
    made = found.isolation()
    assert (len(made.profiles), len(made.peers)) == (2, 2)
    found.put_policy("x", "p1", None)
    assert (len(found.isolation().profiles), len(found.isolation().peers)) == (1, 1)
    found.put_policy("x", "p0", None)
    assert found.isolation() is FREE
    assert not found


def test_what_is_asked_of_a_pod() -> None:
    def seen(phase: str = "Running", **spec: Any) -> PodFacts:
        ports = [{"name": "http", "containerPort": 80}, {"containerPort": 81}]
        containers = {"containers": [{"name": "c", "ports": ports}], "nodeName": "n1"}
        side = {"name": "s", "restartPolicy": "Always", "ports": [{"name": "m", "containerPort": 9, "protocol": "UDP"}]}
        first = {"name": "i", "ports": [{"name": "i", "containerPort": 7}]}
        document = {
            "metadata": {"name": "p", "namespace": "x", "labels": {"a": "b"}},
            "spec": {**containers, "initContainers": [side, first], **spec},
            "status": {"phase": phase, "podIP": "10.244.0.5", "podIPs": [{"ip": "10.244.0.5"}, {"ip": "fd00::5"}]},
        }
        return facts(Object.of(POD, document))

    assert seen() == PodFacts({"a": "b"}, ("10.244.0.5", "fd00::5"), "n1", (("http", "tcp", 80), ("m", "udp", 9)))
    assert seen("Succeeded").addresses == ()
    assert seen(hostNetwork=True).addresses == ()


def test_how_it_is_written() -> None:
    block = {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}
    ports = [{"port": 80, "endPort": 90}, {"port": "http"}]
    peers = [{"ipBlock": block}, {"podSelector": {}}]
    made = cluster(("x", policy(podSelector={}, ingress=[{"from": peers, "ports": ports}]))).isolation()
    node = Node(name="n1", addresses=(), pod_cidr="10.244.0.0/24", cluster_cidr="10.244.0.0/16", bridge="br0")
    ((profile, lines),) = policyscript.chains(made, node).items()
    ((peers_name, _),) = made.peers.items()
    assert lines == (
        f"ip saddr @{peers_name} meta l4proto tcp th dport 80-90 return",
        "ip saddr 10.0.0.0/8 ip saddr != 10.1.0.0/16 meta l4proto tcp th dport 80-90 return",
        f"ip saddr @{peers_name} ip daddr . meta l4proto . th dport @ports/tcp/http return",
        "ip saddr 10.0.0.0/8 ip saddr != 10.1.0.0/16 ip daddr . meta l4proto . th dport @ports/tcp/http return",
        "drop",
    )
    assert policyscript.elements(made)["isolated-ingress"][ADDRESSES["x/a"]] == f" : jump {profile}"


SIX = Node(name="n1", addresses=(), pod_cidr="fd00::/64", cluster_cidr="fd00::/56", bridge="br0")


def six(*blocks: dict[str, Any], addresses: tuple[str, ...] = ("10.244.0.5", "fd00::5")) -> Isolation:
    """One pod in IPv6, which lets these networks in."""
    made = Policies("n1", IPV6)
    made.put_namespace("x", {})
    made.put_pod("x", "a", PodFacts({}, addresses, "n1", HTTP))
    made.put_policy("x", "p", policy(podSelector={}, ingress=[{"from": [{"ipBlock": each} for each in blocks]}]))
    return made.isolation()


def test_each_family_knows_its_own_addresses_and_networks() -> None:
    found = six({"cidr": "fd01::/16", "except": ["fd01:2::/32", "10.0.0.0/8"]}, {"cidr": "10.0.0.0/8"})
    assert found.ingress.keys() == {"fd00::5"}
    assert passes(found, "fd01::1", "fd00::5")
    assert not passes(found, "fd01:2::1", "fd00::5")
    assert not passes(six({"cidr": "0.0.0.0/0"}), "fd01::1", "fd00::5"), "everybody of the other family"
    assert passes(six({"cidr": "::/0"}), "fd01::1", "fd00::5")


def test_how_it_is_written_in_ipv6() -> None:
    found = six({"cidr": "fd01::/16", "except": ["fd01:2::/32"]}, {"cidr": "::/0"})
    chains = policyscript.chains(found, SIX)
    across = 'iifname "br0" oifname "br0"'
    bar = (f"{across} ip6 saddr != fd00::/64 drop", f"{across} ip6 daddr != fd00::/64 drop")
    assert chains.pop("check/bridge") == bar
    assert list(chains.values()) == [("ip6 saddr fd01::/16 ip6 saddr != fd01:2::/32 return", "return", "drop")]
    assert policyscript.chains(FREE, SIX) == {"check/bridge": ()}


def test_who_has_no_address_of_a_family_still_bars_its_bridge() -> None:
    found = six(addresses=("10.244.0.5",))
    assert found.ingress == {}
    assert policyscript.chains(found, SIX)["check/bridge"]
    assert six(addresses=()) is FREE


def test_a_pod_is_heard_of_again_when_it_gets_an_address_of_the_other_family_first() -> None:
    made = Policies("n1", IPV6)
    made.put_policy("x", "p", policy(podSelector={}))
    assert made.put_pod("x", "a", PodFacts({}, (), "n1"))
    assert made.put_pod("x", "a", PodFacts({}, ("10.244.0.5",), "n1"))
    assert not made.put_pod("x", "a", PodFacts({}, ("10.244.0.6",), "n1"))
    assert made.isolation().profiles
    made.put_pod("x", "a", None)
    assert made.isolation() is FREE


SELECTORS = st.sampled_from([{}, {"matchLabels": {"pod": "a"}}, {"matchLabels": {"pod": "b"}}])
SPACES = st.sampled_from([{}, {"matchLabels": {"ns": "x"}}, {"matchLabels": {"ns": "y"}}])
PEERS = st.one_of(
    st.fixed_dictionaries({"podSelector": SELECTORS}, optional={"namespaceSelector": SPACES}),
    st.just({"ipBlock": {"cidr": "10.244.0.0/27", "except": ["10.244.0.12/30"]}}),
)
RULES = st.fixed_dictionaries({}, optional={"from": st.lists(PEERS, max_size=2), "ports": st.just([{"port": "http"}])})
SPECS = st.fixed_dictionaries({"podSelector": SELECTORS}, optional={"ingress": st.lists(RULES, max_size=2)})
LABELS = st.none() | st.sampled_from("abc")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("policy"), st.sampled_from("xy"), st.sampled_from("pq"), st.none() | SPECS),
        st.tuples(st.just("namespace"), st.sampled_from("xy"), st.none() | st.sampled_from([{"ns": "x"}, {"ns": "y"}])),
        st.tuples(st.just("pod"), st.sampled_from("xy"), st.sampled_from("abc"), LABELS, st.booleans()),
    ),
    max_size=12,
)


@given(STEPS)
def test_step_by_step_is_the_same_as_all_at_once(steps: list[tuple[Any, ...]]) -> None:
    def put(into: Policies, step: tuple[Any, ...]) -> None:
        match step:
            case ("policy", namespace, name, spec):
                into.put_policy(namespace, name, None if spec is None else policy(**spec))
            case ("namespace", name, labels):
                into.put_namespace(name, labels)
            case ("pod", namespace, name, label, local):
                address = ADDRESSES[f"{namespace}/{name}"]
                found = PodFacts({"pod": label or ""}, (address,), "n1" if local else "n2", HTTP[:1])
                into.put_pod(namespace, name, None if label is None else found)

    gradual = cluster()
    last: dict[tuple[Any, ...], tuple[Any, ...]] = {}
    for step in steps:
        put(gradual, step)
        gradual.isolation()
        last[step[: 2 if step[0] == "namespace" else 3]] = step
    once = cluster()
    for step in last.values():
        put(once, step)
    assert gradual.isolation() == once.isolation()
