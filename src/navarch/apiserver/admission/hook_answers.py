"""What a webhook says, out of what it answered: pure, and as suspicious as Kubernetes is, in its words.

Source: https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#response
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from navarch.apiserver.outgoing import Answered
from navarch.base.errors import ApiError, Internal
from navarch.objects.value import Document

GROUP = "admission.k8s.io"
KIND = "AdmissionReview"
JSON_PATCH = "JSONPatch"
WARNING_LONGEST = 256
WARNINGS_LONGEST = 4096
SAID: dict[int, str] = {
    400: "the server rejected our request for an unknown reason",
    401: "the server has asked for the client to provide credentials",
    404: "the server could not find the requested resource",
    405: "the server does not allow this method on the requested resource",
    409: "the server reported a conflict",
    422: "the server rejected our request due to an error in our request",
    429: "the server has received too many requests and has asked us to try again later",
    503: "the server is currently unable to handle the request",
    504: "the server was unable to return a response in the time allotted, but may still be processing the request",
}


class CallFailed(Exception):
    """A webhook could not be asked, or did not answer the question: the failure policy decides."""

    def __init__(self, reason: str, code: int = 503) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code

    def told(self, name: str) -> str:
        return f'failed calling webhook "{name}": {self.reason}'


@dataclass(frozen=True, slots=True)
class Verdict:
    """status: why not, as the webhook says it. patch: operations, none where it changes nothing."""

    allowed: bool
    status: Document
    patch: Sequence[Any] = ()
    patch_type: str = ""
    warnings: tuple[str, ...] = ()
    annotations: tuple[tuple[str, str], ...] = ()


class Denied(ApiError):
    """A webhook's own refusal: code, reason and details are its choice."""

    def __init__(self, status: Document) -> None:
        super().__init__(status["message"])
        self.code: int = status["code"]  # type: ignore[misc]
        self._status = status

    def status(self) -> Document:
        return self._status


def internal(reason: str) -> Internal:
    """A failure of ours, as far as the client is concerned."""
    from navarch.base.errors import Cause

    return Internal(f"Internal error occurred: {reason}", causes=[Cause("", reason)])


def review(version: str, request: Document) -> bytes:
    return orjson.dumps({"kind": KIND, "apiVersion": f"{GROUP}/{version}", "request": request})


def content(answered: Answered) -> Document:
    """The JSON object that was answered. Raises: CallFailed."""
    code = answered.status
    if not 200 <= code <= 206:
        raise CallFailed(f"failed to call webhook: {refusal(answered)}", code)
    if not answered.body:
        kind = next((value for name, value in answered.headers if name.lower() == "content-type"), "")
        raise CallFailed(f"failed to call webhook: 0-length response with status code: {code} and content type: {kind}")
    try:
        found = orjson.loads(answered.body)
    except orjson.JSONDecodeError as error:
        why = f"couldn't get version/kind; json parse error: {_parse_error(answered.body, error)}"
        raise CallFailed(f"failed to call webhook: {why}") from None
    if not isinstance(found, dict):
        raise _mistyped(found, "", "struct { APIVersion string; Kind string }")
    if found.get("kind") == "Status" and found.get("status") == "Failure":
        raise CallFailed(f"failed to call webhook: {found.get('message') or 'unknown'}")
    return found


def refusal(answered: Answered) -> str:
    """What an answer that is no success comes to."""
    code, text = answered.status, "unknown"
    try:
        found = orjson.loads(answered.body)
        if isinstance(found, dict) and found.get("kind") == "Status" and isinstance(found.get("message"), str):
            return str(found["message"])
    except orjson.JSONDecodeError:
        pass  # it is text, then
    if _is_text(answered):
        text = answered.body[:2048].decode(errors="replace").strip()
    if code in SAID:
        return SAID[code]
    if code == 403:
        return text
    if code >= 500:
        return f"an error on the server ({orjson.dumps(text).decode()}) has prevented the request from succeeding"
    return f"the server responded with the status code {code} but did not return more information"


def _is_text(answered: Answered) -> bool:
    kind = next((value for name, value in answered.headers if name.lower() == "content-type"), "")
    return not kind or kind.startswith("text/")


def _parse_error(body: bytes, error: orjson.JSONDecodeError) -> str:
    first = body.lstrip()[:1].decode(errors="replace")
    if first and first not in '{["-0123456789tfn':
        return f"invalid character '{first}' looking for beginning of value"
    return str(error)


def verdict(document: Document, version: str, uid: str, *, mutating: bool) -> Verdict:
    """What a review that was answered says. Raises: CallFailed."""
    response = document.get("response")
    if response is None:
        raise _invalid("webhook response was absent")
    if not isinstance(response, dict):
        raise _mistyped(response, ".response", "v1.AdmissionResponse")
    if version == "v1":
        _check_v1(document, response, uid)
    patch, patch_type = _patch(response, version, mutating=mutating)
    allowed = response.get("allowed", False)
    if not isinstance(allowed, bool):
        raise _mistyped(allowed, ".response.allowed", "bool")
    status = response.get("status") or {}
    if not isinstance(status, dict):
        raise _mistyped(status, ".response.status", "v1.Status")
    for field, type_, name in (("message", str, "string"), ("reason", str, "v1.StatusReason"), ("code", int, "int32")):
        if field in status and (not isinstance(status[field], type_) or isinstance(status[field], bool)):
            raise _mistyped(status[field], f".response.status.{field}", name)
    return Verdict(allowed, status, patch, patch_type, _warnings(response), _annotations(response))


def _check_v1(document: Document, response: Document, uid: str) -> None:
    if response.get("uid", "") != uid:
        raise _invalid(f'expected response.uid="{uid}", got "{response.get("uid", "")}"')
    said = f"{document.get('apiVersion', '')}, Kind={document.get('kind', '')}"
    wanted = f"{GROUP}/v1, Kind={KIND}"
    if said != wanted:
        said = said if document.get("apiVersion") else f"/{said}"
        raise _invalid(f"expected webhook response of {wanted}, got {said}")


def _patch(response: Document, version: str, *, mutating: bool) -> tuple[Sequence[Any], str]:
    text, type_ = response.get("patch"), response.get("patchType")
    for value, field in ((text, "patch"), (type_, "patchType")):
        if value is not None and not isinstance(value, str):
            raise _mistyped(value, f".response.{field}", "string")
    if not mutating:
        if text:
            raise _invalid("validating webhook may not return response.patch")
        if type_ is not None and version == "v1":
            raise _invalid("validating webhook may not return response.patchType")
        return (), ""
    if version == "v1":
        if text and type_ is None:
            raise _invalid("webhook returned response.patch but not response.patchType")
        if type_ is not None and not text:
            raise _invalid("webhook returned response.patchType but not response.patch")
        if type_ == "":
            raise _invalid('webhook returned invalid response.patchType of ""')
    if not text:
        return (), ""
    return _operations(text), str(type_) if version == "v1" else JSON_PATCH


def _operations(text: str) -> Sequence[Any]:
    try:
        raw = b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise CallFailed("failed to call webhook: illegal base64 data in response.patch") from None
    try:
        found = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise internal(_parse_error(raw, error)) from None
    if not isinstance(found, list):
        raise internal(f"json: cannot unmarshal {_type_of(found)} into Go value of type jsonpatch.Patch")
    return found


def _warnings(response: Document) -> tuple[str, ...]:
    """As many as fit into the headers of an answer."""
    found = response.get("warnings") or []
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise _mistyped(found, ".response.warnings", "[]string")
    kept: list[str] = []
    left = WARNINGS_LONGEST
    for one in found:
        short = one[:WARNING_LONGEST]
        left -= len(short)
        if left < 0:
            break
        kept.append(short)
    return tuple(kept)


def _annotations(response: Document) -> tuple[tuple[str, str], ...]:
    found = response.get("auditAnnotations") or {}
    if not isinstance(found, dict) or not all(isinstance(one, str) for one in found.values()):
        raise _mistyped(found, ".response.auditAnnotations", "map[string]string")
    return tuple(found.items())


def denied(name: str, status: Document) -> Denied:
    """The refusal of the webhook of that name."""
    head = f'admission webhook "{name}" denied the request'
    message, reason, code = status.get("message"), status.get("reason"), status.get("code", 0)
    found: Document = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
    found["message"] = f"{head}: {message or reason}" if message or reason else f"{head} without explanation"
    if reason:
        found["reason"] = reason
    if isinstance(status.get("details"), dict):
        found["details"] = status["details"]
    return Denied({**found, "code": code if 400 <= code <= 599 else 400})


def _invalid(why: str) -> CallFailed:
    return CallFailed(f"received invalid webhook response: {why}")


def _mistyped(value: Any, field: str, type_: str) -> CallFailed:
    where = f"Go struct field AdmissionReview{field}" if field else "Go value"
    return CallFailed(f"failed to call webhook: json: cannot unmarshal {_type_of(value)} into {where} of type {type_}")


def _type_of(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return "number"
    return "object" if isinstance(value, dict) else "array" if isinstance(value, list) else "string"
