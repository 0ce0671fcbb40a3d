"""The messages of etcd's v3 API that the store speaks, and the names of its calls.

A table of fields, from which protobuf makes message classes when this module is imported: no generated code to keep,
and nothing loaded by those whose store is not etcd. Fields that nobody here reads are left out, which protobuf allows;
enumerations are their numbers.

Source: https://etcd.io/docs/v3.4/dev-guide/api_reference_v3/
"""

from __future__ import annotations

from typing import Any

from navarch.wire import rpc

RANGE = "/etcdserverpb.KV/Range"
TXN = "/etcdserverpb.KV/Txn"
COMPACT = "/etcdserverpb.KV/Compact"
WATCH = "/etcdserverpb.Watch/Watch"
STATUS = "/etcdserverpb.Maintenance/Status"

EQUAL, LESS = 0, 2
"""Compare.result."""
VERSION, MOD = 0, 2
"""Compare.target. A key that is not there has version and revision 0."""
PUT, DELETE = 0, 1
"""Event.type."""

TABLE = """
KeyValue            1 key bytes, 2 create_revision int64, 3 mod_revision int64, 4 version int64, 5 value bytes
Event               1 type int32, 2 kv KeyValue, 3 prev_kv KeyValue
ResponseHeader      1 cluster_id uint64, 2 member_id uint64, 3 revision int64
RangeRequest        1 key bytes, 2 range_end bytes, 3 limit int64, 4 revision int64, 7 serializable bool
RangeResponse       1 header ResponseHeader, 2 kvs KeyValue*, 3 more bool, 4 count int64
PutRequest          1 key bytes, 2 value bytes
DeleteRangeRequest  1 key bytes, 2 range_end bytes
RequestOp           1 request_range RangeRequest, 2 request_put PutRequest, 3 request_delete_range DeleteRangeRequest
ResponseOp          1 response_range RangeResponse
Compare             1 result int32, 2 target int32, 3 key bytes, 4 version int64, 6 mod_revision int64
TxnRequest          1 compare Compare*, 2 success RequestOp*, 3 failure RequestOp*
TxnResponse         1 header ResponseHeader, 2 succeeded bool, 3 responses ResponseOp*
CompactionRequest   1 revision int64, 2 physical bool
CompactionResponse  1 header ResponseHeader
WatchCreateRequest  1 key bytes, 2 range_end bytes, 3 start_revision int64, 4 progress_notify bool, 6 prev_kv bool
WatchProgressRequest
WatchRequest        1 create_request WatchCreateRequest, 3 progress_request WatchProgressRequest
WatchResponse       1 header ResponseHeader, 3 created bool, 4 canceled bool, 5 compact_revision int64, 6 cancel_reason string, 11 events Event*
StatusRequest
StatusResponse      1 header ResponseHeader, 2 version string, 3 db_size int64
"""  # noqa: E501 - one message a line
PACKAGE = "navarch.etcd"

_made = rpc.classes(PACKAGE, TABLE)
Compare: Any = _made["Compare"]
CompactionRequest: Any = _made["CompactionRequest"]
CompactionResponse: Any = _made["CompactionResponse"]
DeleteRangeRequest: Any = _made["DeleteRangeRequest"]
PutRequest: Any = _made["PutRequest"]
RangeRequest: Any = _made["RangeRequest"]
RangeResponse: Any = _made["RangeResponse"]
RequestOp: Any = _made["RequestOp"]
StatusRequest: Any = _made["StatusRequest"]
StatusResponse: Any = _made["StatusResponse"]
TxnRequest: Any = _made["TxnRequest"]
TxnResponse: Any = _made["TxnResponse"]
WatchCreateRequest: Any = _made["WatchCreateRequest"]
WatchProgressRequest: Any = _made["WatchProgressRequest"]
WatchRequest: Any = _made["WatchRequest"]
WatchResponse: Any = _made["WatchResponse"]


def range_end(prefix: bytes) -> bytes:
    """The first key behind all that start with `prefix`, which must not be empty."""
    kept = prefix.rstrip(b"\xff")
    return kept[:-1] + bytes((kept[-1] + 1,)) if kept else b"\0"
