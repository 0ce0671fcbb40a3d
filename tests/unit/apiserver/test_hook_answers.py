"""What webhooks answer, and what it comes to."""

from __future__ import annotations

import base64
from typing import Any

import orjson
import pytest

from navarch.apiserver.admission.hook_answers import CallFailed, content, denied, refusal, verdict
from navarch.apiserver.outgoing import Answered
from navarch.base.errors import Internal

TEXT = (("Content-Type", "text/plain"),)


def said(version: str = "v1", **response: Any) -> dict[str, Any]:
    return {
        "apiVersion": f"admission.k8s.io/{version}",
        "kind": "AdmissionReview",
        "response": {"uid": "1", "allowed": True, **response},
    }


def encoded(value: Any) -> str:
    return base64.b64encode(orjson.dumps(value)).decode()


PATCH = [{"op": "remove", "path": "/x"}]


def test_a_patch_is_read() -> None:
    found = verdict(said(patch=encoded(PATCH), patchType="JSONPatch"), "v1", "1", mutating=True)
    assert (found.allowed, found.patch, found.patch_type) == (True, PATCH, "JSONPatch")


def test_the_older_review_says_less_about_itself() -> None:
    found = verdict({"response": {"allowed": True, "patch": encoded(PATCH)}}, "v1beta1", "1", mutating=True)
    assert (found.patch, found.patch_type) == (PATCH, "JSONPatch")


@pytest.mark.parametrize(
    ("document", "mutating", "why"),
    [
        ({}, True, "webhook response was absent"),
        ({**said(), "response": []}, True, "cannot unmarshal array into Go struct field AdmissionReview.response"),
        (said(uid="2"), True, 'expected response.uid="1", got "2"'),
        (said("v2"), True, "expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got admission"),
        ({"response": {"uid": "1"}}, True, "got /, Kind="),
        (said(patch=encoded(PATCH)), True, "webhook returned response.patch but not response.patchType"),
        (said(patchType="JSONPatch"), True, "webhook returned response.patchType but not response.patch"),
        (said(patch=encoded(PATCH), patchType=""), True, 'invalid response.patchType of ""'),
        (said(patch=encoded(PATCH)), False, "validating webhook may not return response.patch"),
        (said(patchType="JSONPatch"), False, "validating webhook may not return response.patchType"),
        (said(patch="%", patchType="JSONPatch"), True, "illegal base64 data"),
        (said(patch=7, patchType="JSONPatch"), True, "cannot unmarshal number"),
        (said(allowed="yes"), True, "cannot unmarshal string into Go struct field AdmissionReview.response.allowed"),
        (said(warnings="x"), True, "response.warnings"),
        (said(auditAnnotations={"a": 1}), True, "response.auditAnnotations"),
        (said(status={"code": "x"}), True, "response.status.code"),
        (said(status=3), True, "response.status"),
    ],
)
def test_answers_that_make_no_sense_are_refused(document: Any, mutating: bool, why: str) -> None:
    with pytest.raises(CallFailed) as caught:
        verdict(document, "v1", "1", mutating=mutating)
    assert why in caught.value.reason


@pytest.mark.parametrize("patch", [{"op": "add"}, 3, None])
def test_patches_that_are_none_are_an_error_of_the_server(patch: Any) -> None:
    with pytest.raises(Internal, match="Internal error occurred"):
        verdict(said(patch=encoded(patch), patchType="JSONPatch"), "v1", "1", mutating=True)


def test_warnings_are_bounded() -> None:
    found = verdict(said(warnings=["x" * 1000] * 100), "v1", "1", mutating=False)
    assert len(found.warnings) == 16
    assert all(len(one) == 256 for one in found.warnings)


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        ({}, 400, " without explanation"),
        ({"message": "no"}, 400, ": no"),
        ({"reason": "Forbidden", "code": 403}, 403, ": Forbidden"),
        ({"message": "fine", "code": 200, "status": "Success"}, 400, ": fine"),
        ({"message": "far", "code": 9999}, 400, ": far"),
    ],
)
def test_a_denial_says_whose_it_is(status: dict[str, Any], code: int, message: str) -> None:
    found = denied("a.b.c", status).status()
    assert found["message"] == f'admission webhook "a.b.c" denied the request{message}'
    assert (found["code"], found["status"]) == (code, "Failure")


@pytest.mark.parametrize(
    ("answered", "why"),
    [
        (Answered(200, (), b""), "0-length response with status code: 200"),
        (Answered(200, (), b"<html>"), "json parse error: invalid character '<' looking for beginning of value"),
        (Answered(200, (), b"[]"), "cannot unmarshal array"),
        (Answered(302, (), b""), "the server responded with the status code 302 but did not return more information"),
        (Answered(200, (), b'{"kind":"Status","status":"Failure","message":"out"}'), "failed to call webhook: out"),
    ],
)
def test_what_is_no_review_is_refused(answered: Answered, why: str) -> None:
    with pytest.raises(CallFailed) as caught:
        content(answered)
    assert why in caught.value.reason


@pytest.mark.parametrize(
    ("answered", "message"),
    [
        (Answered(500, TEXT, b"boom\n"), 'an error on the server ("boom") has prevented the request from succeeding'),
        (Answered(502, (("Content-Type", "x/y"),), b"\xff"), 'an error on the server ("unknown") has prevented'),
        (Answered(404, TEXT, b"x"), "the server could not find the requested resource"),
        (Answered(403, TEXT, b"not you"), "not you"),
        (Answered(400, (), b'{"kind":"Status","message":"bad uid"}'), "bad uid"),
    ],
)
def test_refusals_are_told_in_known_words(answered: Answered, message: str) -> None:
    assert refusal(answered).startswith(message)
