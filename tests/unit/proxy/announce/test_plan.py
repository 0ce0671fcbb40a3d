"""Which node answers for which address."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from navarch.kinds.endpointslice import EndpointSlice
from navarch.kinds.node import UNBALANCED_LABEL, Node
from navarch.kinds.service import Service
from navarch.proxy.announce.links import links_of
from navarch.proxy.announce.plan import (
    Link,
    addresses,
    announced,
    asked_at,
    balanced,
    by_link,
    candidates,
    link_of,
    own_addresses,
    shares,
    speaker,
    watched,
)

NOBODY: frozenset[str] = frozenset()
NAMES = st.sets(st.text("abcdef", min_size=1, max_size=3), min_size=1, max_size=8)


def node(name: str, *, ready: bool = True, address: str = "192.0.2.1", **metadata: Any) -> Node:
    conditions = [{"type": "Ready", "status": "True" if ready else "Unknown"}]
    status = {"conditions": conditions, "addresses": [{"type": "InternalIP", "address": address}]}
    return msgspec.convert({"metadata": {"name": name, **metadata}, "status": status}, Node)


def service(*ips: str, mode: str = "VIP", **spec: Any) -> Service:
    ingress = [{"ip": each, "ipMode": mode} for each in ips]
    spec = {"type": "LoadBalancer", **spec}
    return msgspec.convert({"spec": spec, "status": {"loadBalancer": {"ingress": ingress}}}, Service)


def ends(**nodes: bool) -> EndpointSlice:
    made = [{"addresses": ["10.0.0.1"], "nodeName": name, "conditions": {"ready": up}} for name, up in nodes.items()]
    return msgspec.convert({"endpoints": made}, EndpointSlice)


def test_nodes_that_take_part() -> None:
    made = [
        node("a"),
        node("b", ready=False),
        node("c", labels={UNBALANCED_LABEL: ""}),
        node("d", deletionTimestamp="2030-01-01T00:00:00Z"),
    ]
    assert candidates(made) == {"a"}
    assert own_addresses([node("a"), node("b", address="192.0.2.2")]) == {"192.0.2.1", "192.0.2.2"}


def test_what_is_on_the_link() -> None:
    assert addresses(service("192.0.2.9", "2001:db8::9")) == ("192.0.2.9", "2001:db8::9")
    assert addresses(service("192.0.2.9", mode="Proxy")) == ()
    assert addresses(service("192.0.2.9", type="ClusterIP")) == ()


@given(NAMES, st.integers(1, 30))
def test_just_one_answers_and_those_who_stay_keep_theirs(names: set[str], count: int) -> None:
    services = [(service(f"192.0.2.{number}"), ()) for number in range(count)]
    everybody = frozenset(names)
    held = {name: announced(name, shares(services, everybody, frozenset())) for name in names}
    assert sum(map(len, held.values())) == count
    gone = min(names)
    left = everybody - {gone}
    for name in left:
        after = announced(name, shares(services, left, frozenset()))
        assert held[name] <= after
        assert after - held[name] <= held[gone]


@given(NAMES, st.integers(1, 30), st.sets(st.text("abcdef", min_size=1, max_size=3), max_size=3))
def test_each_address_has_one_watcher_who_has_it_when_its_node_falls_silent(
    names: set[str], count: int, away: set[str]
) -> None:
    shared = shares([(service(f"192.0.2.{number}"), ()) for number in range(count)], frozenset(names - away), NOBODY)
    held = {name: announced(name, shared) for name in names}
    watch = {name: watched(name, shared) for name in names}
    assert not any(watch[name] for name in away & names), "who may not have it does not ask for it"
    for name, mine in held.items():
        watchers = [watch[other].get(name, NOBODY) for other in names]
        assert sum(map(len, watchers)) == (len(mine) if len(names - away) > 1 else 0), "and nobody twice"
        for other in names - {name}:
            taken = announced(other, shared, frozenset({name})) - held[other]
            assert taken == watch[other].get(name, NOBODY)


def test_where_a_node_is_asked_for() -> None:
    assert asked_at(node("a", address="192.0.2.9"), OUTER) == "192.0.2.9"
    assert asked_at(node("a", address="10.0.0.9"), OUTER) == "10.0.0.9", "a kernel answers for all it has"
    assert asked_at(node("a", address="2001:db8::9"), INNER) == "2001:db8::9"
    assert asked_at(msgspec.convert({}, Node), INNER) == ""
    both = [{"type": "InternalIP", "address": each} for each in ("2001:db8::9", "10.0.0.9", "192.0.2.9")]
    assert asked_at(msgspec.convert({"status": {"addresses": both}}, Node), OUTER) == "192.0.2.9"
    assert asked_at(msgspec.convert({"status": {"addresses": both}}, Node), INNER) == "10.0.0.9"


def test_where_pods_are_is_heeded_where_that_is_asked_for() -> None:
    local = service("192.0.2.9", externalTrafficPolicy="Local")
    everybody = frozenset("abc")
    for up in "abc":
        slices = [ends(**{name: name == up for name in "abc"})]
        assert [name for name in "abc" if announced(name, shares([(local, slices)], everybody, NOBODY))] == [up]
    assert not any(announced(name, shares([(local, [ends()])], everybody, NOBODY)) for name in "abc")


def test_addresses_of_nodes_are_left_to_them() -> None:
    assert announced("a", shares([(service("192.0.2.1"), ())], frozenset("a"), frozenset({"192.0.2.1"}))) == NOBODY
    assert speaker("192.0.2.1", ()) == ""


def test_where_there_is_nothing_but_services() -> None:
    made = [
        service("192.0.2.1", "192.0.2.9"),
        service("192.0.2.8", mode="Proxy"),
        service("192.0.2.7", type="NodePort"),
    ]
    assert balanced(made, frozenset({"192.0.2.1"})) == {"192.0.2.9"}


INNER = Link("eth1", 3, b"\2" * 6, ("10.0.0.1/8", "2001:db8::1/64"))
OUTER = Link("eth0", 2, b"\1" * 6, ("192.0.2.7/24",), default=True)


def test_the_link_of_an_address() -> None:
    links = [INNER, OUTER]
    assert link_of("10.9.9.9", links) == INNER
    assert link_of("2001:db8::99", links) == INNER
    assert link_of("192.0.2.99", links) == OUTER
    assert link_of("198.51.100.1", links) == OUTER, "the way out"
    assert link_of("198.51.100.1", [INNER]) is None
    assert by_link(["10.9.9.9", "192.0.2.99", "192.0.2.98"], links) == {
        INNER: {"10.9.9.9"},
        OUTER: {"192.0.2.98", "192.0.2.99"},
    }


def test_links_as_ip_tells_of_them() -> None:
    shown = [
        {"ifname": "lo", "ifindex": 1, "link_type": "loopback", "address": "00:00:00:00:00:00"},
        {
            "ifname": "eth0",
            "ifindex": 2,
            "link_type": "ether",
            "address": "02:00:00:00:00:07",
            "addr_info": [
                {"local": "192.0.2.7", "prefixlen": 24, "scope": "global"},
                {"local": "fe80::7", "prefixlen": 64, "scope": "link"},
            ],
        },
    ]
    assert links_of(shown, [{"dst": "default", "dev": "eth0"}]) == [
        Link("eth0", 2, b"\2\0\0\0\0\7", ("192.0.2.7/24",), default=True)
    ]
