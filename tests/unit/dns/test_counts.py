"""What the DNS server counts: questions, answers, and what it remembered."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from navarch.agent.exposition import counted
from navarch.base.clock import SystemClock, SystemIds
from navarch.dns import memory, wire
from navarch.dns.counts import Counts
from navarch.dns.memory import Memory
from navarch.dns.server import Server
from navarch.dns.upstream import Forwarder
from navarch.dns.zone import Entry, Zone


def values(counts: Counts, name: str) -> dict[tuple[str, ...], float]:
    found = next(each for each in counts.all if each.name == name)
    return {labels: value for labels, value in found.present().items() if isinstance(value, int | float)}


def test_questions_and_answers_remembered_or_not() -> None:
    zone = Zone("cluster.local", ("kube-system", "kube-dns"))
    zone.put("shop", "web", Entry(addresses=("10.96.0.7",)))
    known = Memory()
    server = Server(zone, known, Forwarder(lambda _: (), SystemIds()), [], SystemClock())
    replies: list[bytes] = []

    def ask(name: str, kind: str = "A", *, stream: bool = False) -> None:
        data = wire.ask(7, name, kind)
        if not stream and (body := known.get(data[2:], 0.0)) is not None:
            replies.append(body)
        else:
            server._take(data, replies.append, stream=stream)

    for _ in range(3):
        ask("web.shop.svc.cluster.local")
        ask("none.shop.svc.cluster.local")
    ask("web.shop.svc.cluster.local", stream=True)
    ask("web.shop.svc.cluster.local", "AAAA")
    ask("example.com")  # nobody runs who could ask others
    server._take(b"\0\1" + b"\0\0\0\2" + bytes(6), replies.append)
    assert len(replies) == 10
    counts = server.counts
    assert values(counts, "coredns_dns_requests_total") == {("udp", "A"): 7, ("tcp", "A"): 1, ("udp", "AAAA"): 1}
    codes = {("NOERROR",): 5, ("NXDOMAIN",): 3, ("SERVFAIL",): 1, ("FORMERR",): 1}
    assert values(counts, "coredns_dns_responses_total") == codes
    assert values(counts, "coredns_cache_hits_total") == {("success",): 2, ("denial",): 2}
    assert values(counts, "coredns_cache_misses_total") == {(): 4}
    assert values(counts, "coredns_cache_entries") == {(): 3}
    assert values(counts, "coredns_forward_max_concurrent_rejects_total") == {(): 1}
    assert counts.took_s.count("cluster") == 4
    known.forget(["shop/web", "shop/none"])
    assert sum(values(counts, "coredns_cache_hits_total").values()) == 4, "what is forgotten stays counted"
    told = counted(counts.all).decode()
    assert 'coredns_dns_requests_total{proto="udp",type="A"} 7' in told
    assert 'navarch_dns_request_duration_seconds_count{source="cluster"} 4' in told


def test_types_without_a_name_are_one() -> None:
    counts = Counts(Memory())
    for number in range(300, 400):
        counts.asked("udp", f"TYPE{number}")
    assert values(counts, "coredns_dns_requests_total") == {("udp", "other"): 100}


KEYS = st.sampled_from([b"a", b"b", b"c"])
STEPS = st.lists(st.tuples(st.sampled_from(["keep", "get", "forget", "others"]), KEYS), max_size=30)


@given(STEPS)
def test_no_answer_is_counted_twice_or_lost(steps: list[tuple[str, bytes]]) -> None:
    known, given_ = Memory(), 0
    for step, key in steps:
        match step:
            case "keep":
                known.keep(key, key.decode(), [b"..x"], (key.decode(), 0))
            case "get":
                given_ += known.get(key, 0.0) is not None
            case "forget":
                known.forget([key.decode()])
            case _:
                known.forget_foreign()
        assert sum(known.given().values()) == given_


def test_what_was_forgotten_to_make_room_stays_counted() -> None:
    known = Memory()
    for number in range(memory.LIMIT + 5):
        known.keep(str(number).encode(), str(number), [b"..y"], ("A", 0))
        assert known.get(str(number).encode(), 0.0)
    assert len(known) <= memory.LIMIT
    assert known.given() == {("A", 0): memory.LIMIT + 5}
