"""The paths of OpenAPI documents: which operations each resource has, as clients look them up.

What a parameter is for is said in Kubernetes' reference; here it has its name and type.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from navarch.apiserver.discovery import SUBRESOURCES, subresources
from navarch.apiserver.openapi_schemas import PREFIXES, Form
from navarch.kinds.kind import Kind
from navarch.kinds.schema import definition_name
from navarch.objects.value import Document

STRING, INTEGER, BOOLEAN = "string", "integer", "boolean"
Parameters = tuple[tuple[str, str], ...]

WRITE: Parameters = (("dryRun", STRING), ("fieldManager", STRING), ("fieldValidation", STRING))
DELETE: Parameters = (
    ("dryRun", STRING),
    ("gracePeriodSeconds", INTEGER),
    ("ignoreStoreReadErrorWithClusterBreakingPotential", BOOLEAN),
    ("orphanDependents", BOOLEAN),
    ("propagationPolicy", STRING),
)
LIST: Parameters = (
    ("allowWatchBookmarks", BOOLEAN),
    ("continue", STRING),
    ("fieldSelector", STRING),
    ("labelSelector", STRING),
    ("limit", INTEGER),
    ("resourceVersion", STRING),
    ("resourceVersionMatch", STRING),
    ("sendInitialEvents", BOOLEAN),
    ("timeoutSeconds", INTEGER),
    ("watch", BOOLEAN),
)
WATCH_ONLY = ("watch", "allowWatchBookmarks")
LOG: Parameters = (
    ("container", STRING),
    ("follow", BOOLEAN),
    ("limitBytes", INTEGER),
    ("previous", BOOLEAN),
    ("sinceSeconds", INTEGER),
    ("stream", STRING),
    ("tailLines", INTEGER),
    ("timestamps", BOOLEAN),
)
EXEC: Parameters = (
    ("command", STRING),
    ("container", STRING),
    ("stderr", BOOLEAN),
    ("stdin", BOOLEAN),
    ("stdout", BOOLEAN),
    ("tty", BOOLEAN),
)
CONNECTIONS: dict[str, tuple[Parameters, tuple[str, ...]]] = {
    "exec": (EXEC, ("get", "post")),
    "attach": (EXEC[1:], ("get", "post")),
    "portforward": ((("ports", INTEGER),), ("get", "post")),
    "proxy": ((("path", STRING),), ("delete", "get", "head", "options", "patch", "post", "put")),
}

OBJECT_TYPES = ("application/json", "application/yaml")
PATCH_TYPES = (
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
)
META = "io.k8s.apimachinery.pkg.apis.meta.v1."
STATUS, PATCH_BODY, DELETE_OPTIONS = f"{META}Status", f"{META}Patch", f"{META}DeleteOptions"


def definition(kind: Kind) -> str:
    return kind.definition or definition_name(kind.group, kind.version, kind.name)


def _words(group: str) -> str:
    """The group as it stands in the names of operations."""
    first, *others = group.removesuffix(".k8s.io").split(".")
    return (first or "core") + "".join(map(_titled, others))


def _titled(text: str) -> str:
    return text[:1].upper() + text[1:]


class Operations:
    """Writes the operations of one kind in one form of document."""

    def __init__(self, kind: Kind, form: Form) -> None:
        self._kind = kind
        self._form = form
        self._prefix = _titled(_words(kind.group)) + _titled(kind.version)
        self._tag = f"{_words(kind.group)}_{kind.version}"

    def paths(self) -> Iterator[tuple[str, Document]]:
        kind = self._kind
        root = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
        scope = "Namespaced" if kind.namespaced else ""
        home = f"{root}/namespaces/{{namespace}}/{kind.plural}" if kind.namespaced else f"{root}/{kind.plural}"
        yield home, self._item(self._collection(scope), named=False)
        if not kind.verbs:
            return
        yield f"{home}/{{name}}", self._item(self._object(scope), named=True)
        for name in subresources(kind):
            yield f"{home}/{{name}}/{name}", self._item(self._inner(scope, name), named=True)
            if name == "proxy":
                item = self._item(self._inner(scope, name, "WithPath"), named=True)
                item["parameters"].append(self._parameter("path", STRING, "path"))
                yield f"{home}/{{name}}/proxy/{{path}}", item
        if kind.namespaced and "list" in kind.verbs:
            listed = self._operation(
                "get", "list", f"list{self._prefix}{kind.name}ForAllNamespaces", LIST, self._list()
            )
            yield f"{root}/{kind.plural}", self._item({"get": listed}, named=False, namespaced=False)

    def _list(self) -> str:
        return f"{definition(self._kind)}List"

    def _collection(self, scope: str) -> Document:
        kind, name, own = self._kind, self._kind.name, definition(self._kind)
        found: Document = {}
        if "list" in kind.verbs:
            found["get"] = self._operation("get", "list", f"list{self._prefix}{scope}{name}", LIST, self._list())
        if "create" in kind.verbs or not kind.verbs:
            found["post"] = self._operation("post", "post", f"create{self._prefix}{scope}{name}", WRITE, own, own)
        if "deletecollection" in kind.verbs:
            parameters = tuple(
                dict.fromkeys((*DELETE, *(p for p in LIST if p[0] not in ("watch", "allowWatchBookmarks"))))
            )
            found["delete"] = self._operation(
                "delete",
                "deletecollection",
                f"delete{self._prefix}Collection{scope}{name}",
                parameters,
                STATUS,
                DELETE_OPTIONS,
            )
        return found

    def _object(self, scope: str, suffix: str = "") -> Document:
        kind, own = self._kind, definition(self._kind)
        where = f"{self._prefix}{scope}{kind.name}{suffix}"
        found: Document = {}
        if "get" in kind.verbs:
            found["get"] = self._operation("get", "get", f"read{where}", (), own)
        if "update" in kind.verbs:
            found["put"] = self._operation("put", "put", f"replace{where}", WRITE, own, own)
        if "patch" in kind.verbs:
            force = (*WRITE, ("force", BOOLEAN))
            found["patch"] = self._operation("patch", "patch", f"patch{where}", force, own, PATCH_BODY)
        if "delete" in kind.verbs and not suffix:
            found["delete"] = self._operation("delete", "delete", f"delete{where}", DELETE, STATUS, DELETE_OPTIONS)
        return found

    def _inner(self, scope: str, name: str, suffix: str = "") -> Document:
        where = f"{self._prefix}{{}}{scope}{self._kind.name}{_titled(name)}{suffix}"
        if name in CONNECTIONS:
            parameters, methods = CONNECTIONS[name]
            taken = SUBRESOURCES[self._kind.plural, name]
            return {
                method: self._operation(
                    method, "connect", f"connect{where.format(_titled(method))}", parameters, "", taken=taken[:3]
                )
                for method in methods
            }
        if name == "log":
            return {"get": self._operation("get", "get", f"read{where.format('')}", LOG, "")}
        if (self._kind.plural, name) in SUBRESOURCES and SUBRESOURCES[self._kind.plural, name][3] == ("create",):
            group, version, taken_kind, _ = SUBRESOURCES[self._kind.plural, name]
            schema = definition_name(group, version, taken_kind)
            operation = self._operation(
                "post", "post", f"create{where.format('')}", WRITE, schema, schema, (group, version, taken_kind)
            )
            return {"post": operation}
        return self._viewed(scope, name)

    def _viewed(self, scope: str, name: str) -> Document:
        """`status`, `scale` and what else is read and written like an object."""
        found = self._object(scope, _titled(name))
        found.pop("delete", None)
        if name == "finalize":
            return {"put": found["put"]}
        if name == "scale":
            scale = definition_name("autoscaling", "v1", "Scale")
            for operation in found.values():
                self._retake(operation, scale)
        return found

    def _retake(self, operation: Document, schema: str) -> None:
        own = PREFIXES[self._form] + definition(self._kind)
        operation["x-kubernetes-group-version-kind"] = {"group": "autoscaling", "version": "v1", "kind": "Scale"}
        _replaced(operation, own, PREFIXES[self._form] + schema)

    def _item(self, operations: Document, *, named: bool, namespaced: bool = True) -> Document:
        parameters = [self._parameter("name", STRING, "path")] if named else []
        if self._kind.namespaced and namespaced:
            parameters.append(self._parameter("namespace", STRING, "path"))
        parameters.append(self._parameter("pretty", STRING))
        return {**operations, "parameters": parameters}

    def _parameter(self, name: str, type_: str, where: str = "query") -> Document:
        found: Document = {"name": name, "in": where}
        if where == "path":
            found["required"] = True
        typed: Document = {"type": type_, "uniqueItems": True}
        return {**found, **typed} if self._form == "v2" else {**found, "schema": typed}

    def _operation(
        self,
        method: str,
        action: str,
        operation_id: str,
        parameters: Parameters,
        answer: str,
        body: str = "",
        taken: tuple[str, str, str] | None = None,
    ) -> Document:
        group, version, kind = taken or (self._kind.group, self._kind.version, self._kind.name)
        found: Document = {
            "operationId": operation_id,
            "tags": [self._tag],
            "parameters": [self._parameter(name, type_) for name, type_ in parameters],
            "responses": self._responses(method, action, answer),
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": {"group": group, "version": version, "kind": kind},
        }
        if body:
            self._add_body(found, body, PATCH_TYPES if action == "patch" else OBJECT_TYPES, action)
        return found

    def _reference(self, name: str) -> Document:
        return {"$ref": PREFIXES[self._form] + name}

    def _add_body(self, operation: Document, body: str, types: Iterable[str], action: str) -> None:
        if self._form == "v3":
            content = {type_: {"schema": self._reference(body)} for type_ in types}
            operation["requestBody"] = {"content": content, "required": action in ("post", "put", "patch")}
        else:
            operation["parameters"].append({"name": "body", "in": "body", "schema": self._reference(body)})
            operation["consumes"] = list(types)

    def _responses(self, method: str, action: str, answer: str) -> Document:
        codes = ["200"] + (["201"] if method in ("post", "put", "patch") and action != "connect" else [])
        told: Any = {"description": "OK"}
        if answer and self._form == "v3":
            told["content"] = {type_: {"schema": self._reference(answer)} for type_ in OBJECT_TYPES}
        elif answer:
            told["schema"] = self._reference(answer)
        return {**dict.fromkeys(codes, told), "401": {"description": "Unauthorized"}}


def _replaced(value: Any, old: str, new: str) -> None:
    """Point references to another definition, in place."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "$ref" and inner == old:
                value[key] = new
            else:
                _replaced(inner, old, new)
    elif isinstance(value, list):
        for inner in value:
            _replaced(inner, old, new)


def referenced(value: Any) -> set[str]:
    """The names of all definitions that a document refers to."""
    if isinstance(value, dict):
        found = {value["$ref"].rpartition("/")[2]} if isinstance(value.get("$ref"), str) else set()
        return found.union(*(referenced(inner) for inner in value.values())) if value else found
    if isinstance(value, list):
        return set().union(*(referenced(inner) for inner in value)) if value else set()
    return set()
