"""Responses as bytes: heads, chunks, and the replies that the server gives by itself.

Refusals carry a Kubernetes Status, because everything that we serve over HTTP is asked by Kubernetes' clients.
"""

from __future__ import annotations

from datetime import datetime
from email.utils import format_datetime
from http import HTTPStatus

import orjson

from navarch.base.errors import ApiError
from navarch.wire.message import Headers, Response

_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus}

LINES = 512
_LINES: dict[tuple[str, str], str] = {}
"""Header lines that were written before: nearly all are of few kinds, but for each request's own id."""


class TargetTooLong(ApiError):
    code, reason = 414, "RequestURITooLong"


class HeadTooLarge(ApiError):
    code, reason = 431, "RequestHeaderFieldsTooLarge"


def head(status: int, headers: Headers, date: str, length: int | None, close: bool, chunked: bool) -> bytes:
    """A response's head. length: None where the headers or the coding say it.

    Header values never carry line ends: they become spaces.
    """
    parts = [_STATUS_LINES.get(status) or f"HTTP/1.1 {status} Status {status}\r\n"]
    for header in headers:
        line = _LINES.get(header)
        if line is None:
            name, value = header
            if "\n" in value or "\r" in value:
                value = value.replace("\r", " ").replace("\n", " ")
            line = f"{name}: {value}\r\n"
            if name != "Audit-Id" and len(line) < 256:
                if len(_LINES) >= LINES:
                    _LINES.clear()
                _LINES[header] = line
        parts.append(line)
    if length is not None:
        parts.append(f"Content-Length: {length}\r\n")
    elif chunked:
        parts.append("Transfer-Encoding: chunked\r\n")
    if close:
        parts.append("Connection: close\r\n")
    parts.append(f"Date: {date}\r\n\r\n")
    return "".join(parts).encode("latin-1", "replace")


def http_date(moment: datetime) -> str:
    return format_datetime(moment, usegmt=True)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


LAST_CHUNK = b"0\r\n\r\n"


def refusal(error: ApiError) -> Response:
    """What the server itself answers to a request that it will not hand on."""
    return Response(error.code, (("Content-Type", "application/json"),), orjson.dumps(error.status()))
