"""The links of this network namespace, as `ip` tells of them.

Source: ip-address(8), ip-route(8)
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from navarch.base import programs
from navarch.base.errors import Retryable
from navarch.proxy.announce.plan import Link

ASK_S = 10.0
_ETHERNET = "ether"


async def read() -> list[Link]:
    """Those that are up and speak Ethernet. Raises: Retryable."""
    routes = [*await _ip("-4", "route", "show", "default"), *await _ip("-6", "route", "show", "default")]
    return links_of(await _ip("address", "show", "up"), routes)


def links_of(shown: Iterable[dict[str, Any]], routes: Iterable[dict[str, Any]]) -> list[Link]:
    """Pure. shown: as `ip -json address show up` says it. routes: the default ones."""
    ways_out = {each.get("dev") for each in routes}
    found = []
    for each in shown:
        if each.get("link_type") == _ETHERNET and each.get("address"):
            networks = tuple(
                f"{one['local']}/{one['prefixlen']}"
                for one in each.get("addr_info") or ()
                if one.get("scope") == "global" and one.get("local")
            )
            hardware = bytes.fromhex(each["address"].replace(":", ""))
            found.append(Link(each["ifname"], each["ifindex"], hardware, networks, each["ifname"] in ways_out))
    return found


async def _ip(*words: str) -> list[dict[str, Any]]:
    try:
        ended = await programs.run("ip", "-json", *words, timeout_s=ASK_S)
    except TimeoutError:
        raise Retryable(f"`ip {' '.join(words)}` did not answer within {ASK_S:.0f} s") from None
    except OSError as error:
        raise Retryable(f"the program `ip` (package iproute2) cannot be started: {error}") from error
    if ended.code:
        raise Retryable(f"`ip {' '.join(words)}` failed: {ended.complaints.decode(errors='replace').strip()}")
    return [each for each in json.loads(ended.output or b"[]") if each]
