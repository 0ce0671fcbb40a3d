"""Makes etcd forget what is older than an interval or two; one of the servers that share it does so each time.

They agree by a key of theirs: its version counts the compactions, its value is the revision at the last one. Each
server expects the version that it saw an interval ago; who finds it so counts on, and has what was new then forgotten.
The others wait for another interval. Deletions of history are etcd's own affair and make no revision.

Source: https://etcd.io/docs/v3.4/op-guide/maintenance/#history-compaction-v3-api-key-value-database
"""

from __future__ import annotations

from dataclasses import dataclass

from navarch.base.errors import ApiError, Expired
from navarch.base.log import Log
from navarch.store.etcd.connection import Away, Connection, Doubt
from navarch.store.store import OWN
from navarch.wire import etcd

log = Log("store.etcd")

KEY = OWN + "compaction"


@dataclass(slots=True)
class Compactor:
    """prefix: of all keys. version: of the key, as last seen; revision: of etcd then."""

    connection: Connection
    prefix: bytes
    version: int = 0
    revision: int = 0

    async def turn(self) -> int:
        """To be called once an interval; the revision up to which this server had etcd forget, 0 for none."""
        try:
            return await self._turn()
        except (Away, Doubt, ApiError) as error:
            log.warning("etcd was not compacted, will be tried again", error=str(error))
            return 0

    async def _turn(self) -> int:
        key = self.prefix + KEY[1:].encode()
        found = etcd.RequestOp(request_range=etcd.RangeRequest(key=key))
        claim = etcd.RequestOp(request_put=etcd.PutRequest(key=key, value=str(self.revision).encode()))
        request = etcd.TxnRequest(
            compare=[etcd.Compare(result=etcd.EQUAL, target=etcd.VERSION, key=key, version=self.version)],
            success=[claim],
            failure=[found],
        )
        answer = await self.connection.once(etcd.TXN, request, etcd.TxnResponse)
        before, self.revision = self.revision, answer.header.revision
        if not answer.succeeded:
            kvs = answer.responses[0].response_range.kvs
            self.version = kvs[0].version if kvs else 0
            return 0
        self.version += 1
        if not before:
            return 0
        await forget(self.connection, before)
        log.info("etcd was compacted", revision=before)
        return before


async def forget(connection: Connection, revision: int) -> None:
    """Nothing happens where that is forgotten already. Raises: ApiError."""
    try:
        await connection.ask(etcd.COMPACT, etcd.CompactionRequest(revision=revision), etcd.CompactionResponse)
    except Expired:
        return
