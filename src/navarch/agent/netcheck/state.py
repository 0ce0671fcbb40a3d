"""What a node's kernel has: links, addresses, routes, neighbours, settings, and the rules of others than us.

Read by the tools that everybody uses, and handed on as they say it: whoever asked judges it. Only asked for when a
probe failed, so it may take its time; what cannot be read is told as missing.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from navarch.objects.value import Document

SETTINGS = (
    "net/ipv4/ip_forward",
    "net/ipv6/conf/all/forwarding",
    "net/bridge/bridge-nf-call-iptables",
    "net/ipv4/conf/all/rp_filter",
    "net/netfilter/nf_conntrack_count",
    "net/netfilter/nf_conntrack_max",
)
TOOL_S = 20.0
MOST_TABLES = 64
DEVICES = "net/ipv4/conf"
IN = "net/ipv4/conf"


def observe(table: str, asked: Document, spaces: Mapping[str, Path]) -> Document:
    """table: our own, whose rules are asked for by `fronts` alone. spaces: the network of each pod that is asked about.

    asked: `routes`: addresses to look the route up for. `fronts`: [address, protocol, port] of services.
    """
    return {
        "links": tool("ip", "-j", "-d", "addr", "show"),
        "neighbours": tool("ip", "-j", "neigh", "show"),
        "forwards": tool("bridge", "-j", "fdb", "show"),
        "routes": {to: _first(tool("ip", "-j", "route", "get", to)) for to in asked.get("routes", ())},
        "settings": {key: _setting(key) for key in SETTINGS},
        "unforwarded": [link for link in _devices() if _setting(f"{DEVICES}/{link}/forwarding") == "0"],
        "rules": foreign(table),
        "missing": [front for front in asked.get("fronts", ()) if not _has_front(table, front)],
        "pods": {pod: inside(space) for pod, space in spaces.items()},
    }


def inside(space: Path) -> Document:
    """A pod's network, as it sees it itself."""
    enter = ("nsenter", f"--net={space}")
    return {
        "links": tool(*enter, "ip", "-j", "-d", "addr", "show"),
        "routes": tool(*enter, "ip", "-j", "route", "show"),
    }


def foreign(table: str) -> list[Document]:
    """Tables that are not ours: as JSON, and as people read them, with the handles that join the two."""
    found = []
    for one in _named(tool("nft", "-j", "list", "tables"), "table")[:MOST_TABLES]:
        if one["name"] == table:
            continue
        where = (one["family"], one["name"])
        found.append(
            {
                "family": where[0],
                "name": where[1],
                "content": tool("nft", "-j", "list", "table", *where),
                "text": run("nft", "-a", "list", "table", *where),
            }
        )
    return found


def _named(answer: Any, what: str) -> list[Document]:
    listed = answer.get("nftables", []) if isinstance(answer, dict) else []
    return [one[what] for one in listed if what in one]


def _has_front(table: str, front: Sequence[Any]) -> bool:
    element = f"{{ {front[0]} . {front[1]} . {front[2]} }}"
    family = "ip6" if ":" in str(front[0]) else "ip"
    return run("nft", "get", "element", family, table, "fronts", element) != ""


def tool(*words: str) -> Any:
    """What it says in JSON; [] when it says nothing, or is not there."""
    try:
        return orjson.loads(run(*words) or b"[]")
    except ValueError:
        return []


def run(*words: str) -> str:
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=TOOL_S, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def _first(found: Any) -> Document:
    return found[0] if isinstance(found, list) and found else {}


def _setting(key: str) -> str:
    try:
        return (Path("/proc/sys") / key).read_text().strip()
    except OSError:
        return ""


def _devices() -> list[str]:
    try:
        return sorted(one.name for one in Path("/proc/sys", DEVICES).iterdir())
    except OSError:
        return []
