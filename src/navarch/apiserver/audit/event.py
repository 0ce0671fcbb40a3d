"""An entry of the audit log as Kubernetes writes it: an `Event` of `audit.k8s.io/v1`, one line of JSON. Pure.

Bodies are read here, behind the request's back, and only as far as the level asks for.

Source: https://kubernetes.io/docs/reference/config-api/apiserver-audit.v1/
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson

from navarch.apiserver import bodies
from navarch.apiserver.audit.policy import API_VERSION, COMPLETE, RECEIVED, Level, Plan
from navarch.apiserver.call import Call, User, user_info
from navarch.base.errors import ApiError
from navarch.objects.value import Document
from navarch.wire import protobuf
from navarch.wire.message import Request
from navarch.wire.protobuf_table import MAGIC

WRITES = ("create", "update", "patch", "delete", "deletecollection")


@dataclass(slots=True)
class Record:
    """A request that is audited. user: who was authenticated, None where that failed. impersonated: as whom it was
    answered, where that is another. known: it is of a resource that is served here, whose bodies are objects.
    notes: the annotations, added to until the event is written."""

    plan: Plan
    audit_id: str
    call: Call
    user: User | None
    received: datetime
    known: bool = False
    impersonated: User | None = None
    notes: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Entry:
    """One stage of a request. answer: the body, empty where it is not to be told or is not there. panic: what."""

    record: Record
    stage: str
    at: datetime
    status: int = 0
    answer: bytes = b""
    panic: str = ""

    @property
    def size_bytes(self) -> int:
        return 1024 + len(self.record.call.request.body) + len(self.answer)


def moment(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def rendered(entry: Entry) -> bytes:
    """The line, without its end."""
    record, call = entry.record, entry.record.call
    request = call.request
    event: Document = {
        "kind": "Event",
        "apiVersion": API_VERSION,
        "level": record.plan.level.text,
        "auditID": record.audit_id,
        "stage": entry.stage,
        "requestURI": request.target,
        "verb": call.verb,
        "user": {} if record.user is None else user_info(record.user),
    }
    if record.impersonated is not None and entry.stage != RECEIVED:
        event["impersonatedUser"] = user_info(record.impersonated)
    if found := source_ips(request):
        event["sourceIPs"] = found
    if agent := request.headers.get("user-agent"):
        event["userAgent"] = agent
    said = _asked(record) if entry.stage != RECEIVED else None
    if call.is_resource:
        event["objectRef"] = reference(call, said)
    if entry.stage != RECEIVED:
        event["responseStatus"], answer = _answered(entry)
        if said is not None and record.plan.level >= Level.REQUEST:
            event["requestObject"] = _shown(said, record.plan)
        if answer is not None and record.plan.level >= Level.REQUEST_RESPONSE and entry.stage == COMPLETE:
            event["responseObject"] = _shown(answer, record.plan)
    event["requestReceivedTimestamp"] = moment(record.received)
    event["stageTimestamp"] = moment(entry.at)
    if record.notes and entry.stage != RECEIVED:
        event["annotations"] = dict(sorted(record.notes.items()))
    return orjson.dumps(event)


def source_ips(request: Request) -> list[str]:
    """Whom the request came by, from its origin on, as proxies say: the last one alone is sure."""
    headers = request.headers
    found = [text.strip() for text in headers.get("x-forwarded-for", "").split(",")]
    if (real := headers.get("x-real-ip", "").strip()) not in found:
        found.append(real)
    if not found or found[-1] != request.peer.host:
        found.append(request.peer.host)
    return [text for text in found if text and all(letter in "0123456789abcdefABCDEF.:%" for letter in text)]


def reference(call: Call, said: Any) -> Document:
    """Of which object. said: the request's object, which tells what its path does not."""
    found: Document = {"resource": call.resource}
    metadata = said.get("metadata") if isinstance(said, dict) else None
    metadata = metadata if isinstance(metadata, dict) else {}
    for name, value in (
        ("namespace", call.namespace or metadata.get("namespace")),
        ("name", call.name or metadata.get("name")),
        ("uid", metadata.get("uid")),
        ("apiGroup", call.group),
        ("apiVersion", call.version),
        ("resourceVersion", metadata.get("resourceVersion")),
        ("subresource", call.subresource),
    ):
        if isinstance(value, str) and value:
            found[name] = value
    return found


def _asked(record: Record) -> Any:
    """The object of the request; None where there is none that can be read."""
    call = record.call
    if not record.known or call.verb not in WRITES or not call.request.body:
        return None
    try:
        return bodies.patch(call.request, [])[1] if call.verb == "patch" else bodies.parse(call.request)
    except ApiError:
        return None  # what could not be read was refused, and the answer says why


def _answered(entry: Entry) -> tuple[Document, Any]:
    """The status, and the object of the answer."""
    status: Document = {"metadata": {}, "code": entry.status}
    if entry.panic:
        return {
            "metadata": {},
            "status": "Failure",
            "message": entry.panic,
            "reason": "InternalError",
            "code": 500,
        }, None
    found: Any = None
    if entry.answer.startswith(MAGIC):
        try:
            found = protobuf.decode(entry.answer)
        except protobuf.Malformed:
            return status, None
    elif entry.answer.startswith(b"{"):
        try:
            found = orjson.loads(entry.answer)
        except orjson.JSONDecodeError:
            return status, None
    if isinstance(found, dict) and found.get("kind") == "Status" and found.get("apiVersion") == "v1":
        told = {name: found[name] for name in ("status", "message", "reason", "details") if name in found}
        return {"metadata": found.get("metadata") or {}, **told, "code": found.get("code") or entry.status}, found
    return status, found


def _shown(document: Any, plan: Plan) -> Any:
    return _without_owners(document) if plan.omits_managed_fields else document


def _without_owners(document: Any) -> Any:
    if not isinstance(document, dict):
        return document
    found: dict[str, Any] = document
    metadata = found.get("metadata")
    if isinstance(metadata, Mapping) and "managedFields" in metadata:
        found = {**found, "metadata": {name: value for name, value in metadata.items() if name != "managedFields"}}
    if isinstance(found.get("items"), list):
        found = {**found, "items": [_without_owners(item) for item in found["items"]]}
    return found
