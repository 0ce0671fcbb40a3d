"""Rules of others: accused where they surely are about the packet, and passed over where that cannot be known."""

from __future__ import annotations

from typing import Any

import pytest
from check_scenery import match, rule_table

from navarch.app.netcheck.foreign import RENAMES, accused, tables
from navarch.app.netcheck.probes import Leg

DROP: dict[str, Any] = {"drop": None}
LEG = Leg("n0", "forward", "10.244.0.5", "10.244.1.6", "tcp", 8080)
META = {"match": {"op": "==", "left": {"meta": {"key": "l4proto"}}, "right": {"set": ["tcp", "udp"]}}}
UNKNOWN = {"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": ["invalid"]}}


@pytest.mark.parametrize(
    ("statements", "bars"),
    [
        ([DROP], True),
        ([{"accept": None}], False),
        ([match("tcp", "dport", 8080), DROP], True),
        ([match("tcp", "dport", 8081), DROP], False),
        ([match("udp", "dport", 8080), DROP], False),
        ([match("th", "dport", {"set": [80, {"range": [8000, 9000]}]}), {"reject": {"type": "tcp reset"}}], True),
        ([match("tcp", "dport", {"range": [30000, 32767]}), DROP], False),
        ([match("ip", "saddr", {"prefix": {"addr": "10.244.0.0", "len": 24}}), DROP], True),
        ([match("ip", "saddr", {"prefix": {"addr": "10.244.0.0", "len": 24}}, "!="), DROP], False),
        ([match("ip", "daddr", {"range": ["10.244.1.0", "10.244.1.9"]}), DROP], True),
        ([match("ip", "daddr", "10.244.1.7"), DROP], False),
        ([match("ip", "daddr", "@blocked"), DROP], False),
        ([META, match("th", "dport", 8080), DROP], True),
        ([UNKNOWN, DROP], False),
        ([UNKNOWN, match("tcp", "dport", 8080), DROP], True),
        ([{"limit": {"rate": 1}}, DROP], False),
        ([{"counter": {"packets": 1}}, match("ip", "protocol", "tcp"), DROP], True),
        ([match("ip6", "saddr", "::1"), DROP], False),
        ([{"jump": {"target": "nowhere"}}], False),
    ],
)
def test_a_rule_is_accused_if_it_is_about_the_packet(statements: list[dict[str, Any]], bars: bool) -> None:
    found = accused(tables([rule_table("forward", "the rule", *statements)]), LEG)
    assert (found is not None) == bars
    if found is not None:
        assert str(found) == "table ip theirs, chain c: `the rule`"


def test_only_chains_at_the_packets_hook_are_looked_at() -> None:
    assert accused(tables([rule_table("input", "drop", DROP)]), LEG) is None


def test_a_chain_that_is_jumped_to_decides_unless_it_returns() -> None:
    found = rule_table("forward", "jump inner", {"jump": {"target": "inner"}})
    inner = {"family": "ip", "table": "theirs", "name": "inner"}
    found["content"]["nftables"] += [
        {"chain": inner},
        {"rule": {"family": "ip", "table": "theirs", "chain": "inner", "handle": 9, "expr": [DROP]}},
    ]
    found["text"] += "drop # handle 9\n"
    assert str(accused(tables([found]), LEG)) == "table ip theirs, chain inner: `drop`"
    found["content"]["nftables"][-1]["rule"]["expr"] = [{"return": None}]
    assert accused(tables([found]), LEG) is None


def test_the_default_of_a_chain_counts_unless_a_rule_lets_the_packet_through() -> None:
    found = rule_table("forward", "accept", match("tcp", "dport", 8080), {"accept": None})
    found["content"]["nftables"][0]["chain"]["policy"] = "drop"
    assert accused(tables([found]), LEG) is None
    other = LEG._replace(port=22)
    assert str(accused(tables([found]), other)) == "table ip theirs, chain c: `policy drop`"


def test_a_rule_that_gives_packets_another_sender_is_another_matter() -> None:
    found = tables([rule_table("forward", "snat", {"snat": {"addr": "192.0.2.1"}})])
    assert accused(found, LEG) is None
    assert accused(found, LEG, RENAMES) is not None


@pytest.mark.parametrize("content", [[], {}, {"nftables": []}, {"nftables": [{"rule": {"chain": "gone"}}]}])
def test_a_table_that_could_not_be_read_accuses_nobody(content: Any) -> None:
    assert accused(tables([{"family": "ip", "name": "x", "content": content, "text": ""}]), LEG) is None
