"""The question that a conversion webhook is asked, and what becomes of its answer: pure.

A converter may change everything but who an object is: of the metadata only labels and annotations are its to write.

Source: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definition-versioning/#request
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from navarch.apiserver.admission.hook_answers import CallFailed, content
from navarch.apiserver.outgoing import Answered
from navarch.base.errors import ApiError
from navarch.objects.value import Document

GROUP = "apiextensions.k8s.io"
KIND = "ConversionReview"
SAME = (("name", "name"), ("namespace", "namespace"), ("uid", "UID"))
CONVERTIBLE = ("labels", "annotations")


class ConversionFailed(ApiError):
    code, reason = 500, ""


def identity(document: Document) -> str:
    """What errors call an object."""
    return f"{document['apiVersion']}, Kind={document['kind']}"


def review(version: str, uid: str, wanted: str, documents: Sequence[Document]) -> Document:
    request = {"uid": uid, "desiredAPIVersion": wanted, "objects": list(documents)}
    return {"kind": KIND, "apiVersion": f"{GROUP}/{version}", "request": request}


def converted(
    answered: Answered, version: str, uid: str, wanted: str, documents: Sequence[Document], told: str
) -> list[Document]:
    """The objects in the version `wanted`, in the order of `documents`. told: what errors call them.

    Raises: ConversionFailed.
    """
    head = f"conversion webhook for {told}"
    try:
        found = _objects(content(answered), version, uid)
    except CallFailed as failure:
        raise ConversionFailed(f"{head} failed: {failure.reason.removeprefix('failed to call webhook: ')}") from None
    if len(found) != len(documents):
        raise ConversionFailed(f"{head} returned {len(found)} objects, expected {len(documents)}")
    several = told.endswith("List")
    made: list[Document] = []
    for index, (before, after) in enumerate(zip(documents, found, strict=True)):
        at = f" in object at index {index}" if several else ""
        object_ = f" invalid converted object at index {index}" if several else " invalid object"
        if why := wrong(before, after, wanted):
            raise ConversionFailed(f"{head} returned{object_}: {why}")
        metadata, why = kept_metadata(before["metadata"], after.get("metadata"))
        if why:
            raise ConversionFailed(f"{head} returned invalid metadata{at}: {why}")
        made.append({**after, "metadata": metadata})
    return made


def _objects(document: Document, version: str, uid: str) -> list[Any]:
    """Raises: CallFailed."""
    said = f"{document.get('apiVersion') or '/'}, Kind={document.get('kind', '')}"
    expected = f"{GROUP}/{version}, Kind={KIND}"
    if said != expected:
        raise CallFailed(f"expected webhook response of {expected}, got {said}")
    response = document.get("response")
    if not isinstance(response, dict):
        raise CallFailed("no response provided")
    if response.get("uid", "") != uid:
        raise CallFailed(f'expected response.uid="{uid}", got "{response.get("uid", "")}"')
    result = response.get("result")
    result = result if isinstance(result, dict) else {}
    if result.get("status") != "Success":
        message = result.get("message")
        raise CallFailed(message or f"response.result.status was '{result.get('status', '')}', not 'Success'")
    found = response.get("convertedObjects") or []
    if not isinstance(found, list):
        raise CallFailed(
            "json: cannot unmarshal response.convertedObjects into Go value of type []runtime.RawExtension"
        )
    return found


def wrong(before: Document, after: Any, wanted: str) -> str:
    """Why a converted object cannot stand for the one it was made from, "" where it can."""
    if not isinstance(after, dict):
        return "Object 'Kind' is missing"
    if after.get("apiVersion") != wanted:
        return f"invalid groupVersion (expected {wanted}, received {after.get('apiVersion', '')})"
    if after.get("kind") != before["kind"]:
        return f"invalid kind (expected {before['kind']}, received {after.get('kind', '')})"
    metadata = after.get("metadata")
    if metadata is not None and not isinstance(metadata, dict):
        return "metadata must be an object"
    was, now = before["metadata"], metadata or {}
    for field, name in SAME:
        if was.get(field, "") != now.get(field, ""):
            return f"must have the same {name}: {was.get(field, '')} != {now.get(field, '')}"
    return ""


def kept_metadata(before: Document, after: Any) -> tuple[Document, str]:
    """The metadata of a converted object, and why it is none ("" where it is fine)."""
    if not isinstance(after, dict):
        return {}, f"invalid metadata of type {type(after).__name__} in converted object"
    found = {field: value for field, value in before.items() if field not in CONVERTIBLE}
    for field in CONVERTIBLE:
        values = after.get(field) or {}
        if not isinstance(values, dict):
            return {}, f"metadata.{field}: Invalid value: {orjson.dumps(values).decode()}: must be a map of strings"
        for key, value in values.items():
            if not isinstance(value, str):
                text = orjson.dumps(value).decode()
                return {}, f"metadata.{field}[{key}]: Invalid value: {text}: must be a string"
        if values:
            found[field] = values
    return found, ""
