"""What others' firewall rules do to a packet, as far as it can be told from outside. Pure.

Only a rule that names something of the packet, or nothing at all, is accused: what depends on what cannot be known here
(a mark, the state of a connection) is passed over.

Source: libnftables-json(5)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_address, ip_network
from typing import Any, NamedTuple

from navarch.app.netcheck.probes import Leg

STOPS = frozenset(("drop", "reject", "dnat", "redirect", "tproxy"))
RENAMES = frozenset(("notrack", "snat", "masquerade"))
"""By which a packet keeps, or gets, another sender's address than it should have."""
ENDS = frozenset(("accept", "return", *STOPS, *RENAMES))
FAMILIES = frozenset(("ip", "ip6", "inet"))
DEEP = 8
NOT_THERE = ""
"""What a packet of the other family holds in such a place: nothing that any rule asks for."""


class Rule(NamedTuple):
    """text: as people read it."""

    table: str
    chain: str
    text: str
    statements: Sequence[Mapping[str, Any]]

    def __str__(self) -> str:
        return f"table {self.table}, chain {self.chain}: `{self.text}`"


class Chain(NamedTuple):
    """family: as rules say it. hook: "" for one that is only jumped to."""

    family: str
    hook: str
    policy: str
    rules: Sequence[Rule]


Table = Mapping[str, Chain]


def tables(found: Sequence[Mapping[str, Any]]) -> list[Table]:
    """As a node tells them."""
    return [_table(one) for one in found if one.get("family") in FAMILIES]


def _table(found: Mapping[str, Any]) -> Table:
    where, texts = f"{found['family']} {found['name']}", _texts(str(found.get("text", "")))
    listed = found["content"].get("nftables", []) if isinstance(found.get("content"), dict) else []
    rules: dict[str, list[Rule]] = {}
    for one in listed:
        if rule := one.get("rule"):
            text = texts.get(rule.get("handle", 0), "a rule")
            rules.setdefault(rule["chain"], []).append(Rule(where, rule["chain"], text, rule.get("expr", ())))
    chains = [one["chain"] for one in listed if "chain" in one]
    return {
        one["name"]: Chain(
            found["family"],
            one.get("hook", ""),
            one.get("policy", "accept"),
            [*rules.get(one["name"], ()), *([_default(where, one["name"])] if one.get("policy") == "drop" else ())],
        )
        for one in chains
    }


def _default(table: str, chain: str) -> Rule:
    return Rule(table, chain, "policy drop", ({"drop": None},))


def _texts(text: str) -> dict[int, str]:
    """By handle."""
    found = {}
    for line in text.splitlines():
        rule, mark, handle = line.partition(" # handle ")
        if mark and handle.strip().isdigit():
            found[int(handle)] = rule.strip()
    return found


def accused(tables: Sequence[Table], leg: Leg, acts: frozenset[str] = STOPS) -> Rule | None:
    """The first rule that would do one of `acts` to the packet."""
    for table in tables:
        for chain in table.values():
            if chain.hook == leg.hook and chain.family in ("inet", "ip6" if ":" in leg.address else "ip"):
                rule, act = _walk(table, chain, leg, DEEP)
                if act in acts:
                    return rule
    return None


def _walk(table: Table, chain: Chain, leg: Leg, deep: int) -> tuple[Rule | None, str]:
    for rule in chain.rules:
        certain, act, target = _rule(rule.statements, leg)
        if not certain:
            continue
        if act in ("jump", "goto") and deep and target in table:
            found = _walk(table, table[target], leg, deep - 1)
            if found[1] not in ("", "return"):
                return found
        elif act in ENDS:
            return rule, act
    return None, ""


def _rule(statements: Sequence[Mapping[str, Any]], leg: Leg) -> tuple[bool, str, str]:
    """Whether it surely is about the packet, what it does, and to which chain it leads."""
    answers, act, target = [], "", ""
    for one in statements:
        [(key, value)] = list(one.items())[:1] or [("", None)]
        if key == "match":
            answers.append(_match(value, leg))
        elif key in ("jump", "goto"):
            act, target = key, (value or {}).get("target", "")
        elif key in ENDS:
            act = key
        elif key in ("xt", "limit"):
            answers.append(None)
    if False in answers or (answers and True not in answers):
        return False, "", ""
    return True, act, target


def _match(found: Mapping[str, Any], leg: Leg) -> bool | None:
    """None where it cannot be told."""
    value = _of(found.get("left"), leg)
    if value is None or found.get("op") not in ("==", "!=", "in"):
        return None
    within = _within(value, found.get("right"))
    return within if within is None or found["op"] != "!=" else not within


def _of(left: Any, leg: Leg) -> str | int | None:
    if not isinstance(left, dict):
        return None
    if found := left.get("payload"):
        match found.get("protocol"), found.get("field"):
            case (("ip" | "ip6" as word), ("saddr" | "daddr" as end)):
                same = (word == "ip6") == (":" in leg.address)
                return (leg.source if end == "saddr" else leg.address) if same else NOT_THERE
            case "ip", "protocol" if ":" not in leg.address:
                return leg.protocol
            case protocol, "dport" if protocol in ("th", leg.protocol):
                return leg.port or None
            case (("tcp" | "udp" | "sctp"), "dport"):
                return -1
    if left.get("meta", {}).get("key") == "l4proto":
        return leg.protocol
    return None


def _within(value: str | int, right: Any) -> bool | None:
    if isinstance(right, dict):
        if "set" in right:
            return any(_within(value, one) for one in _listed(right["set"]))
        if value == NOT_THERE:
            return False
        if found := right.get("prefix"):
            return ip_address(str(value)) in ip_network(f"{found['addr']}/{found['len']}", strict=False)
        if found := right.get("range"):
            return _between(value, *found)
        return None
    if isinstance(right, str) and right.startswith("@"):
        return None
    return str(value) == str(right)


def _listed(found: Any) -> Iterator[Any]:
    yield from found if isinstance(found, list) else [found]


def _between(value: str | int, low: Any, high: Any) -> bool:
    if isinstance(value, int):
        return int(low) <= value <= int(high)
    return int(ip_address(low)) <= int(ip_address(value)) <= int(ip_address(high))
