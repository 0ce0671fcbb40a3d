"""Makes authorities, and the keys and certificates of servers, for whoever holds the authority as data.

`pki` keeps the keys of a cluster in files; here nothing is kept. Which certificates there should be is decided
elsewhere (`controllers.issuer`). `cryptography` is imported when the first one is made.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta

from navarch.base.clock import Clock, Ids
from navarch.base.pki import Authority, Pair
from navarch.base.signing import Signer

COMMON_NAME_MAX = 64


class Mint:
    """clock: of the world that the certificates are checked in. All that is random in them comes from `ids`."""

    def __init__(self, clock: Clock, ids: Ids) -> None:
        self._clock = clock
        self._ids = ids

    def authority(self, common_name: str) -> Pair:
        """Of a name that no other has: who looks for an issuer goes by it."""
        return Authority.create(f"{common_name}-{self._ids.suffix()}", self._clock, self._ids).pair

    def server(self, authority: Pair, hosts: Sequence[str], life: timedelta) -> Pair:
        """hosts: DNS names and addresses, one at least. Raises: ValueError: `authority` cannot sign."""
        short = next((host for host in hosts if len(host) <= COMMON_NAME_MAX), "")
        return Authority(authority, self._clock, self._ids).server(short or "server", hosts, life)

    def sign(self, authority: Pair, request: bytes, usages: Collection[str], life: timedelta) -> bytes:
        """For a key that another holds. Raises: ValueError: the request or the authority cannot be used."""
        return Signer(authority, self._clock, self._ids)(request, usages, life)

    def fraction(self) -> float:
        """A number in [0, 1), for jitter."""
        return self._ids.fraction()
