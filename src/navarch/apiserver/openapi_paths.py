"""The paths of OpenAPI documents: which operations each resource has, as clients look them up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from navarch.apiserver.discovery import RETURNED_WHEN_DELETED, SUBRESOURCES, subresources
from navarch.apiserver.openapi_parameters import (
    CONNECTIONS,
    DELETE,
    DELETE_MANY,
    LIST,
    LOG,
    PATCH,
    STRING,
    WRITE,
    Parameters,
    parameter,
    settled,
)
from navarch.apiserver.openapi_schemas import PREFIXES, Form
from navarch.kinds.kind import Kind
from navarch.kinds.schema import definition_name
from navarch.objects.value import Document

PROTOBUF = "application/vnd.kubernetes.protobuf"
TEXTS = ("application/json", "application/yaml")
STREAMS = ("application/json;stream=watch", f"{PROTOBUF};stream=watch")
JSON_PATCH, MERGE_PATCH = "application/json-patch+json", "application/merge-patch+json"
STRATEGIC_PATCH, APPLY_PATCH = "application/strategic-merge-patch+json", "application/apply-patch+yaml"
PATCH_TYPES = (JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, APPLY_PATCH)
CUSTOM_PATCH_TYPES = (JSON_PATCH, MERGE_PATCH, APPLY_PATCH)
META = "io.k8s.apimachinery.pkg.apis.meta.v1."
STATUS, PATCH_BODY, DELETE_OPTIONS = f"{META}Status", f"{META}Patch", f"{META}DeleteOptions"
WATCH_EVENT = f"{META}WatchEvent"
ACCEPTED = {"post": (("201", "Created"), ("202", "Accepted")), "put": (("201", "Created"),)}
"""What a method answers besides 200 and 401; `patch` does as `put`."""

Taken = tuple[str, str, str]
"""Group, version and kind of what an operation takes."""


def definition(kind: Kind) -> str:
    return kind.definition or definition_name(kind.group, kind.version, kind.name)


def words(group: str) -> str:
    """The group as it stands in the names of operations."""
    first, *others = group.removesuffix(".k8s.io").split(".")
    return (first or "core") + "".join(map(titled, others))


def titled(text: str) -> str:
    return text[:1].upper() + text[1:]


class Operations:
    """Writes the operations of one kind in one form of document."""

    def __init__(self, kind: Kind, form: Form) -> None:
        self._kind = kind
        self._form = form
        self._prefix = titled(words(kind.group)) + titled(kind.version)
        self._tag = f"{words(kind.group)}_{kind.version}"
        self._texts = TEXTS if kind.custom else (*TEXTS, PROTOBUF)

    def paths(self) -> Iterator[tuple[str, Document]]:
        kind = self._kind
        root = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
        scope = "Namespaced" if kind.namespaced else ""
        inside = f"namespaces/{{namespace}}/{kind.plural}" if kind.namespaced else kind.plural
        home = f"{root}/{inside}"
        if kind.namespaced and "list" in kind.verbs:
            yield f"{root}/{kind.plural}", self._item({"get": self._list("", "ForAllNamespaces")}, everywhere=True)
        yield home, self._item(self._collection(scope))
        if not kind.verbs or kind.verbs == ("create",):
            return
        yield f"{home}/{{name}}", self._item(self._object(scope), named=kind.name)
        for name in subresources(kind):
            operations = self._inner(scope, name)
            named = next(iter(operations.values()))["x-kubernetes-group-version-kind"]["kind"]
            pretty = name not in CONNECTIONS
            yield f"{home}/{{name}}/{name}", self._item(operations, named=named, pretty=pretty)
            if name == "proxy":
                item = self._item(self._inner(scope, name, "WithPath"), named=named, pretty=False, path=True)
                yield f"{home}/{{name}}/proxy/{{path}}", item
        if "watch" in kind.verbs and not kind.custom:
            yield from self._watched(root, inside, scope)

    def _watched(self, root: str, inside: str, scope: str) -> Iterator[tuple[str, Document]]:
        """The old form of watching, by a path of its own."""
        kind = self._kind
        if kind.namespaced:
            every = self._watch("watchlist", f"{kind.name}ListForAllNamespaces")
            yield f"{root}/watch/{kind.plural}", self._item({"get": every}, everywhere=True)
        many = self._watch("watchlist", f"{scope}{kind.name}List")
        yield f"{root}/watch/{inside}", self._item({"get": many})
        one = self._watch("watch", f"{scope}{kind.name}")
        yield f"{root}/watch/{inside}/{{name}}", self._item({"get": one}, named=kind.name)

    def _watch(self, action: str, name: str) -> Document:
        what = f"{action} of {self._kind.name}. Deprecated: list with the parameter 'watch' instead."
        found = self._operation("get", action, f"watch{self._prefix}{name}", what, LIST, WATCH_EVENT)
        return self._streamed(found)

    def _streamed(self, operation: Document) -> Document:
        """It may be answered with a stream too."""
        streams = STREAMS[:1] if self._kind.custom else STREAMS
        if self._form == "v2":
            operation["produces"] += streams
        else:
            content = operation["responses"]["200"]["content"]
            content.update(dict.fromkeys(streams, content["application/json"]))
        return operation

    def _list(self, scope: str, suffix: str = "") -> Document:
        watched = "watch" in self._kind.verbs
        name = f"list{self._prefix}{scope}{self._kind.name}{suffix}"
        what = f"list {'or watch ' if watched else ''}objects of kind {self._kind.name}"
        found = self._operation("get", "list", name, what, LIST, f"{definition(self._kind)}List")
        return self._streamed(found)

    def _collection(self, scope: str) -> dict[str, Document]:
        kind, name, own = self._kind, self._kind.name, definition(self._kind)
        found: dict[str, Document] = {}
        if "deletecollection" in kind.verbs:
            found["delete"] = self._operation(
                "delete",
                "deletecollection",
                f"delete{self._prefix}Collection{scope}{name}",
                f"delete collection of {name}",
                DELETE_MANY,
                STATUS,
                DELETE_OPTIONS,
            )
        if "list" in kind.verbs:
            found["get"] = self._list(scope)
        if "create" in kind.verbs or not kind.verbs:
            where = f"create{self._prefix}{scope}{name}"
            found["post"] = self._operation("post", "post", where, f"create {_article(name)}", WRITE, own, own)
        return found

    def _object(self, scope: str, inner: str = "") -> dict[str, Document]:
        """inner: the subresource that is read and written like an object."""
        kind, own = self._kind, definition(self._kind)
        where = f"{self._prefix}{scope}{kind.name}{titled(inner)}"
        what = f"{inner + ' of ' if inner else ''}the specified {kind.name}"
        found: dict[str, Document] = {}
        if "delete" in kind.verbs and not inner:
            answer = own if kind.resource in RETURNED_WHEN_DELETED else STATUS
            found["delete"] = self._operation(
                "delete", "delete", f"delete{where}", f"delete {_article(kind.name)}", DELETE, answer, DELETE_OPTIONS
            )
        if "get" in kind.verbs:
            found["get"] = self._operation("get", "get", f"read{where}", f"read {what}", (), own)
        if "patch" in kind.verbs:
            found["patch"] = self._operation(
                "patch", "patch", f"patch{where}", f"partially update {what}", PATCH, own, PATCH_BODY
            )
        if "update" in kind.verbs:
            found["put"] = self._operation("put", "put", f"replace{where}", f"replace {what}", WRITE, own, own)
        return found

    def _inner(self, scope: str, name: str, suffix: str = "") -> dict[str, Document]:
        kind = self._kind.name
        where = f"{self._prefix}{{}}{scope}{kind}{titled(name)}{suffix}"
        taken = SUBRESOURCES.get((self._kind.plural, name))
        if name in CONNECTIONS and taken:
            parameters, methods = CONNECTIONS[name]
            return {
                method: self._operation(
                    method,
                    "connect",
                    f"connect{where.format(titled(method))}",
                    f"connect {method.upper()} requests to {name} of {kind}",
                    parameters,
                    taken=taken[:3],
                )
                for method in methods
            }
        if name == "log":
            found = self._operation("get", "get", f"read{where.format('')}", f"read log of the specified {kind}", LOG)
            return {"get": found}
        if taken and taken[3] == ("create",):
            schema = definition_name(*taken[:3])
            what = f"create {name} of {_article(kind)}"
            where = f"create{where.format('')}"
            return {"post": self._operation("post", "post", where, what, WRITE, schema, schema, taken[:3])}
        found_all = self._object(scope, name)
        if name == "finalize":
            return {"put": found_all["put"]}
        if name == "scale":
            for operation in found_all.values():
                self._retake(operation, definition_name("autoscaling", "v1", "Scale"))
        return found_all

    def _retake(self, operation: Document, schema: str) -> None:
        own = PREFIXES[self._form] + definition(self._kind)
        operation["x-kubernetes-group-version-kind"] = {"group": "autoscaling", "version": "v1", "kind": "Scale"}
        _replaced(operation, own, PREFIXES[self._form] + schema)

    def _item(
        self,
        operations: dict[str, Document],
        *,
        named: str = "",
        everywhere: bool = False,
        pretty: bool = True,
        path: bool = False,
    ) -> Document:
        """named: the kind whose name stands in the path. everywhere: no namespace does. path: anything may follow."""
        own = [parameter(self._form, "name", STRING, "path", named)] if named else []
        if self._kind.namespaced and not everywhere:
            own.append(parameter(self._form, "namespace", STRING, "path"))
        if pretty:
            own.append(parameter(self._form, "pretty", STRING))
        if path:
            own.append(parameter(self._form, "path", STRING, "path"))
        return settled(operations, own)

    def _operation(
        self,
        method: str,
        action: str,
        operation_id: str,
        what: str,
        parameters: Parameters,
        answer: str = "",
        body: str = "",
        taken: Taken | None = None,
    ) -> Document:
        """answer, body: names of definitions; no answer is a text."""
        group, version, kind = taken or (self._kind.group, self._kind.version, self._kind.name)
        found: Document = {
            "description": what,
            "operationId": operation_id,
            "tags": [self._tag],
            "parameters": [parameter(self._form, name, type_) for name, type_ in parameters],
            "responses": {},
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": {"group": group, "version": version, "kind": kind},
        }
        media = ("*/*",) if action == "connect" else (*(() if answer else ("text/plain",)), *self._texts)
        taken_types = self._patch_types() if action == "patch" else ("*/*",)
        if self._form == "v2":
            found |= {"consumes": list(taken_types), "produces": list(media), "schemes": ["https"]}
        found["responses"] = self._responses(method, action, answer, media)
        if body:
            self._add_body(found, body, taken_types, required=method != "delete")
        return found

    def _patch_types(self) -> tuple[str, ...]:
        return CUSTOM_PATCH_TYPES if self._kind.custom else PATCH_TYPES

    def _reference(self, name: str) -> Document:
        return {"$ref": PREFIXES[self._form] + name}

    def _add_body(self, operation: Document, body: str, types: tuple[str, ...], *, required: bool) -> None:
        must: Document = {"required": True} if required else {}
        if self._form == "v3":
            operation["requestBody"] = {"content": {type_: {"schema": self._reference(body)} for type_ in types}} | must
        else:
            operation["parameters"].append({"name": "body", "in": "body", "schema": self._reference(body)} | must)

    def _responses(self, method: str, action: str, answer: str, media: tuple[str, ...]) -> Document:
        codes = [("200", "OK")]
        if action == "delete":
            codes.append(("202", "Accepted"))
        elif action != "connect":
            codes.extend(ACCEPTED.get("put" if method == "patch" else method, ()))
        schema: Document = self._reference(answer) if answer else {"type": "string"}
        told: Document
        if self._form == "v3":
            told = {"content": {type_: {"schema": schema} for type_ in media}}
        else:
            told = {"schema": schema}
        found: Document = {code: {"description": text, **told} for code, text in codes}
        found["401"] = {"description": "Unauthorized"}
        return found


def _article(name: str) -> str:
    return f"{'an' if name[0] in 'AEIOU' else 'a'} {name}"


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
