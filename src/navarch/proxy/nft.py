"""The kernel as data plane: one nftables table of our own for an address family, changed by whole transactions.

What the rules look like is `script`'s business; this module has them carried out, in order, off the event loop, and
knows when it may no longer believe that the table holds what it wrote. Small changes the kernel is told directly
(`quick`), all others by the `nft` tool.
"""

from __future__ import annotations

import asyncio
import re
import subprocess
from collections.abc import Callable

from navarch.base.errors import Retryable
from navarch.base.log import Log
from navarch.proxy import policyscript, quick, script
from navarch.proxy.addresses import FAMILIES, IPV4, Family
from navarch.proxy.conntrack import Flows, forget_udp
from navarch.proxy.flows import changed_udp
from navarch.proxy.notice import Notices
from navarch.proxy.rules import Rules

log = Log("proxy")

NAME = re.compile(r"[a-z][a-z0-9_-]{0,30}")

Run = Callable[[str], None]
"""Carries out one script as one transaction. Raises: Retryable."""


class NftDataplane:
    """One table. Calls to change it must not overlap. table: lower case, unique in the host's network namespace.

    alone: there is no second one, of the other family: pods have no addresses of that.
    """

    def __init__(
        self, table: str = "navarch", family: Family = IPV4, *, alone: bool = True, run: Run | None = None
    ) -> None:
        if not NAME.fullmatch(table):
            raise ValueError(f"{table!r} cannot name an nftables table: use lower case letters, digits, - and _")
        self._table = table
        self._run = run or run_nft
        self._current: Rules | None = None
        self._barred: bool | None = None
        self._disturbances = 0
        self._family = family
        self._minds_ipv6 = alone and family is IPV4
        self._notices = Notices(table, [each.number for each in (FAMILIES if alone else (family,))])

    def current(self) -> Rules | None:
        return self._current

    async def replace(self, old: Rules | None, new: Rules) -> None:
        held, self._current, before = self._current, None, self._disturbances
        whole = True
        if old is not None and held is not None and (held is old or held == old) and old.node == new.node:
            whole = not await self._change(old, new)
        if whole:
            await self._transact(script.whole(new, self._table))
        await self._bar_ipv6(new)
        self._current = new if self._disturbances == before else None
        await self._forget(changed_udp(old if not whole else None, new))

    async def disturbed(self) -> None:
        await self._notices.wait()
        self._disturbances += 1
        self._current = self._barred = None

    async def remove(self) -> None:
        self._current = None
        await self._transact(script.remove(self._table, self._family))
        if self._barred:
            self._barred = None
            await self._transact(policyscript.let_ipv6(self._table))

    def close(self) -> None:
        self._notices.close()

    async def _change(self, old: Rules, new: Rules) -> bool:
        """False when the kernel refuses: the table is not what we left there, and must be written afresh."""
        text = script.change(old, new, self._table)
        if not text:
            return True
        try:
            await self._transact(text, quick.batch(text))
        except Retryable as refused:
            log.warning("the table is written afresh", table=self._table, reason=str(refused))
            return False
        return True

    async def _bar_ipv6(self, new: Rules) -> None:
        """Once somebody is isolated."""
        if not self._minds_ipv6:
            return
        wanted = bool(new.isolation.profiles) and new.node.bridge != ""
        if wanted == self._barred:
            return
        first, self._barred = self._barred is None, wanted
        text = policyscript.bar_ipv6(new.node.bridge, self._table) if wanted else policyscript.let_ipv6(self._table)
        try:
            await self._transact(text)
        except Retryable as error:
            if not first or wanted:
                log.warning("IPv6 between pods is not barred, which network policies would want", error=error)

    async def _forget(self, flows: Flows) -> None:
        if not flows:
            return
        try:
            count = await asyncio.to_thread(forget_udp, flows)
        except Retryable as error:
            # The rules hold; only clients that never pause keep their old way until they do.
            log.warning("old connections were not forgotten", error=error)
        else:
            log.debug("forgot UDP connections of targets that are gone", count=count)

    async def _transact(self, text: str, messages: bytes | None = None) -> None:
        """messages: the same as `text`, if they can say it."""
        self._notices.deafen()
        try:
            if messages is None:
                await asyncio.to_thread(self._run, text)
            else:
                await asyncio.to_thread(quick.send, messages)
        finally:
            self._notices.listen()


def run_nft(text: str) -> None:
    """In the network namespace of the calling thread's process. Raises: Retryable."""
    try:
        done = subprocess.run(["nft", "-f", "-"], input=text.encode(), capture_output=True, timeout=60)
    except FileNotFoundError:
        raise Retryable("nft is not installed: install the package nftables") from None
    except subprocess.TimeoutExpired:
        raise Retryable("nft gave no answer within 60 s") from None
    if done.returncode:
        raise Retryable(f"nft refused the rules: {_first_error(done.stderr.decode(errors='replace'))}")


def _first_error(text: str) -> str:
    return " | ".join(line.strip()[:200] for line in text.splitlines()[:2]) or "no reason was given"
