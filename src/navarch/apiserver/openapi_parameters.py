"""The parameters of operations, for OpenAPI documents: names and types as published, what they are for in our words.

Source: https://kubernetes.io/docs/reference/kubernetes-api/common-parameters/common-parameters/
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from navarch.apiserver.openapi_schemas import Form
from navarch.objects.value import Document

STRING, INTEGER, BOOLEAN = "string", "integer", "boolean"
Parameters = tuple[tuple[str, str], ...]

WRITE: Parameters = (("dryRun", STRING), ("fieldManager", STRING), ("fieldValidation", STRING))
PATCH: Parameters = (*WRITE, ("force", BOOLEAN))
DELETE: Parameters = (
    ("dryRun", STRING),
    ("gracePeriodSeconds", INTEGER),
    ("ignoreStoreReadErrorWithClusterBreakingPotential", BOOLEAN),
    ("orphanDependents", BOOLEAN),
    ("propagationPolicy", STRING),
)
SELECT: Parameters = (
    ("continue", STRING),
    ("fieldSelector", STRING),
    ("labelSelector", STRING),
    ("limit", INTEGER),
    ("resourceVersion", STRING),
    ("resourceVersionMatch", STRING),
    ("sendInitialEvents", BOOLEAN),
    ("shardSelector", STRING),
    ("timeoutSeconds", INTEGER),
)
LIST: Parameters = (*SELECT, ("allowWatchBookmarks", BOOLEAN), ("watch", BOOLEAN))
DELETE_MANY: Parameters = (*DELETE, *SELECT)
LOG: Parameters = (
    ("container", STRING),
    ("follow", BOOLEAN),
    ("insecureSkipTLSVerifyBackend", BOOLEAN),
    ("limitBytes", INTEGER),
    ("previous", BOOLEAN),
    ("sinceSeconds", INTEGER),
    ("stream", STRING),
    ("tailLines", INTEGER),
    ("timestamps", BOOLEAN),
)
ATTACH: Parameters = (
    ("container", STRING),
    ("stderr", BOOLEAN),
    ("stdin", BOOLEAN),
    ("stdout", BOOLEAN),
    ("tty", BOOLEAN),
)
STREAMED, ANY_METHOD = ("get", "post"), ("delete", "get", "head", "options", "patch", "post", "put")
CONNECTIONS: dict[str, tuple[Parameters, tuple[str, ...]]] = {
    "exec": ((("command", STRING), *ATTACH), STREAMED),
    "attach": (ATTACH, STREAMED),
    "portforward": ((("ports", INTEGER),), STREAMED),
    "proxy": ((("path", STRING),), ANY_METHOD),
}
"""What subresources that are connections take, and by which methods."""

MEANINGS = {
    "allowWatchBookmarks": "Also send events that only say how far the watch has come.",
    "command": "The command, one parameter for each of its words. No shell reads it.",
    "container": "The container that is meant. May be left out where there is only one.",
    "continue": "Where the page before this one ended, as it said itself.",
    "dryRun": "With All, everything is done but storing it.",
    "fieldManager": "Who is recorded as the owner of the fields that are set.",
    "fieldSelector": "Only objects with these fields.",
    "fieldValidation": "What unknown and duplicate fields lead to: Ignore, Warn, or Strict.",
    "follow": "Go on for as long as the container writes.",
    "force": "Take fields over that others own. Of apply patches only.",
    "gracePeriodSeconds": "How long the object has to end by itself; 0 is at once.",
    "ignoreStoreReadErrorWithClusterBreakingPotential": "Delete even an object that cannot be read any more.",
    "insecureSkipTLSVerifyBackend": "Do not check the certificate of the node that is asked.",
    "labelSelector": "Only objects with these labels.",
    "limit": "At most so many objects; more come page by page.",
    "limitBytes": "At most so many bytes of it.",
    "name": "name of the {}",
    "namespace": "The namespace that the object is in.",
    "orphanDependents": "The older form of propagationPolicy.",
    "path": "What the backend is asked for.",
    "ports": "The ports that are forwarded.",
    "pretty": "With true, the answer is indented.",
    "previous": "Of the container's run before this one.",
    "propagationPolicy": "What becomes of objects that this one owns: Orphan, Background, or Foreground.",
    "resourceVersion": "How new the answer has to be, or where the watch begins.",
    "resourceVersionMatch": "Whether resourceVersion means exactly that one, or any that is not older.",
    "sendInitialEvents": "Begin a watch with everything that there is.",
    "shardSelector": "Only objects of that part of all.",
    "sinceSeconds": "Only what was written in the last so many seconds.",
    "stderr": "Connect the standard error.",
    "stdin": "Connect the standard input.",
    "stdout": "Connect the standard output.",
    "stream": "Which of the container's streams: All, Stdout, or Stderr.",
    "tailLines": "Only so many lines at the end.",
    "timeoutSeconds": "End after so many seconds.",
    "timestamps": "Write before each line when it was written.",
    "tty": "Connect a terminal.",
    "watch": "Do not list, but tell of every change.",
}


def parameter(form: Form, name: str, type_: str, where: str = "query", what: str = "") -> Document:
    """what: the kind whose name it is."""
    found: Document = {"name": name, "in": where, "description": MEANINGS[name].format(what)}
    if where == "path":
        found["required"] = True
    typed: Document = {"type": type_, "uniqueItems": True}
    return {**found, **typed} if form == "v2" else {**found, "schema": typed}


def settled(operations: dict[str, Document], own: Iterable[Document]) -> Document:
    """The path's item: what all its operations take stands beside them, once; in the order of names.

    own: what the path itself takes.
    """
    shared = list(own)
    taken = [operation.get("parameters", []) for operation in operations.values()]
    for one in taken[0]:
        if one["in"] != "body" and all(one in others for others in taken[1:]):
            shared.append(one)
    for operation in operations.values():
        left = _ordered(one for one in operation.pop("parameters", []) if one not in shared)
        if left:
            operation["parameters"] = left
    item: Document = {**operations}
    if shared:
        item["parameters"] = _ordered(shared)
    return item


def _ordered(parameters: Iterable[Document]) -> list[Any]:
    return sorted(parameters, key=lambda one: (one["name"], one["in"]))
