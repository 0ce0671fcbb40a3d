"""A Swagger 2 document made into one of OpenAPI 3, for servers that publish only the older form.

The result has what Kubernetes' own converter keeps, and also what that one loses: shared parameters, bodies among them,
stand where they are used; forms are bodies; references below `allOf` lead somewhere. What a document grows to is
bounded, since one shared parameter may be used many times.

Source: https://swagger.io/docs/specification/v3_0/about/, kube-openapi's `openapiconv`
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from navarch.objects.value import Document

SIZE_MAX = 32 << 20
"""Of a document that was made, in characters, roughly."""
NODE_SIZE = 16
PLACES = (("#/definitions/", "#/components/schemas/"), ("#/responses/", "#/components/responses/"))
SHARED = "#/parameters/"
METHODS = ("get", "put", "post", "delete", "options", "head", "patch")
FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
OF_PARAMETERS = ("name", "in", "description", "required", "allowEmptyValue")
OF_SCHEMES = ("description", "type", "name", "in")
FLOWS = {"application": "clientCredentials", "accessCode": "authorizationCode"}
ONE_SCHEMA = ("items", "additionalProperties", "additionalItems", "not")
MANY_SCHEMAS = ("allOf", "anyOf", "oneOf")


def convert(document: Document) -> Document:
    """The whole document. It shares nothing with what it was made of. Raises: ValueError: it is no such document, or
    would grow too large."""
    try:
        return _Converter(document).document()
    except (AttributeError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"not a document of OpenAPI 2: {error}") from error


class _Converter:
    def __init__(self, document: Document) -> None:
        self._whole = document
        self._shared: Document = document.get("parameters") or {}
        self._size = 0

    def document(self) -> Document:
        whole = self._whole
        found: Document = {"openapi": "3.0.0", "info": self._copy(whole.get("info") or {"title": "", "version": ""})}
        if "externalDocs" in whole:
            found["externalDocs"] = self._copy(whole["externalDocs"])
        paths = whole.get("paths") or {}
        found["paths"] = {
            path: self._copy(item) if path.startswith("x-") else self._item(item) for path, item in paths.items()
        }
        found["components"] = self._components()
        return found

    def _components(self) -> Document:
        found: Document = {}
        whole = self._whole
        if "definitions" in whole:
            found["schemas"] = {name: self._schema(one) for name, one in whole["definitions"].items()}
        if "responses" in whole:
            produces = whole.get("produces") or ()
            found["responses"] = {name: self._response(one, produces) for name, one in whole["responses"].items()}
        if "securityDefinitions" in whole:
            found["securitySchemes"] = {name: self._scheme(one) for name, one in whole["securityDefinitions"].items()}
        return found

    # -- paths

    def _item(self, item: Document) -> Document:
        found: Document = {}
        common = [self._resolved(one) for one in item.get("parameters") or ()]
        for key, value in item.items():
            if key in METHODS:
                found[key] = self._operation(value, common)
            elif key != "parameters":
                found[key] = self._copy(value)
        plain = [self._parameter(one) for one in common if one.get("in") not in ("body", "formData")]
        return {**found, "parameters": plain} if plain else found

    def _operation(self, operation: Document, common: list[Document]) -> Document:
        """common: the parameters of all operations of its path; their bodies belong to each of them."""
        found: Document = {}
        consumes = operation.get("consumes") or self._whole.get("consumes") or ()
        produces = operation.get("produces") or self._whole.get("produces") or ()
        own = [self._resolved(one) for one in operation.get("parameters") or ()]
        for key, value in operation.items():
            if key == "responses":
                found[key] = {
                    code: self._copy(one) if code.startswith("x-") else self._response(one, produces)
                    for code, one in value.items()
                }
            elif key not in ("consumes", "produces", "parameters", "schemes"):
                found[key] = self._copy(value)
        plain = [self._parameter(one) for one in own if one.get("in") not in ("body", "formData")]
        if plain:
            found["parameters"] = plain
        body = self._body([*common, *own], consumes)
        return {**found, "requestBody": body} if body else found

    def _body(self, parameters: list[Document], consumes: Any) -> Document:
        """{} for none."""
        for one in parameters:
            if one.get("in") == "body":
                found: Document = {
                    "content": {media: {"schema": self._schema(one.get("schema") or {})} for media in consumes}
                }
                found |= {key: self._copy(one[key]) for key in ("description", "required") if one.get(key)}
                return found | self._extensions(one)
        fields = {str(one["name"]): one for one in parameters if one.get("in") == "formData"}
        if not fields:
            return {}
        media = [one for one in consumes if one in FORMS]
        if not media:
            media = [FORMS[any(one.get("type") == "file" for one in fields.values())]]
        return {"content": {one: {"schema": self._form(fields)} for one in media}}

    def _form(self, fields: Mapping[str, Document]) -> Document:
        properties: Document = {}
        for name, one in fields.items():
            properties[name] = self._simple(one)
            if "description" in one:
                properties[name]["description"] = self._copy(one["description"])
        required = [name for name, one in fields.items() if one.get("required")]
        found: Document = {"type": "object", "properties": properties}
        return {**found, "required": required} if required else found

    def _resolved(self, parameter: Document) -> Document:
        """A shared one is taken from where it stands. Raises: ValueError: it stands nowhere."""
        reference = parameter.get("$ref")
        if not isinstance(reference, str):
            return parameter
        found = self._shared.get(reference.removeprefix(SHARED))
        if not isinstance(found, dict):
            raise ValueError(f"there is no parameter {reference}")
        return found

    def _parameter(self, parameter: Document) -> Document:
        found: Document = {key: self._copy(parameter[key]) for key in OF_PARAMETERS if key in parameter}
        found["schema"] = self._simple(parameter)
        if parameter.get("type") == "array" and parameter.get("in") in ("query", "header", "path"):
            repeated = parameter.get("collectionFormat") == "multi"
            if repeated != (parameter["in"] == "query"):  # else it is what version 3 takes for granted
                found["explode"] = repeated
            elif not repeated and parameter["in"] == "query":
                found["explode"] = False
        return found | self._extensions(parameter)

    def _simple(self, found: Document) -> Document:
        """What version 2 says of a value beside its name."""
        left = (*OF_PARAMETERS, "collectionFormat")
        schema = self._schema({k: v for k, v in found.items() if k not in left and not k.startswith("x-")})
        if isinstance(schema.get("items"), dict):
            schema["items"].pop("collectionFormat", None)
        if schema.get("type") == "file":
            schema |= {"type": "string", "format": "binary"}
        return schema

    def _response(self, response: Document, produces: Any) -> Document:
        if "$ref" in response:
            return {"$ref": self._moved(response["$ref"])}
        found: Document = {"description": self._copy(response.get("description") or "")}
        if "schema" in response:
            found["content"] = {media: {"schema": self._schema(response["schema"])} for media in produces}
        if "headers" in response:
            found["headers"] = {name: self._header(one) for name, one in response["headers"].items()}
        return found | self._extensions(response)

    def _header(self, header: Document) -> Document:
        found: Document = {"description": self._copy(header["description"])} if "description" in header else {}
        return {**found, "schema": self._simple(header)}

    def _scheme(self, scheme: Document) -> Document:
        found: Document = {
            key: self._copy(scheme[key]) for key in ("description", "type", "name", "in") if key in scheme
        }
        if scheme.get("type") == "basic":
            found |= {"type": "http", "scheme": "basic"}
        if "flow" in scheme:
            told: Document = {key: self._copy(scheme[key]) for key in ("authorizationUrl", "tokenUrl") if key in scheme}
            flow: Document = {**told, "scopes": self._copy(scheme.get("scopes") or {})}
            found["flows"] = {FLOWS.get(scheme["flow"], scheme["flow"]): flow}
        return found | self._extensions(scheme)

    # -- schemas

    def _schema(self, schema: Document) -> Document:
        """With everything below it; a reference beside which something stands is wrapped, as it would hide the rest."""
        found: Document = {}
        for key, value in schema.items():
            self._spend(len(key))
            if key == "$ref":
                found[key] = self._moved(value)
            elif key == "properties":
                found[key] = {name: self._schema(inner) for name, inner in value.items()}
            elif key in ONE_SCHEMA and isinstance(value, dict):
                found[key] = self._schema(value)
            elif key in MANY_SCHEMAS or (key == "items" and isinstance(value, list)):
                found[key] = [self._schema(inner) for inner in value]
            else:
                found[key] = self._copy(value)
        if "$ref" in found and len(found) > 1:
            reference = found.pop("$ref")
            found["allOf"] = [{"$ref": reference}]
        return found

    def _moved(self, reference: str) -> str:
        self._spend(len(reference))
        for old, new in PLACES:
            if reference.startswith(old):
                return new + reference.removeprefix(old)
        return reference

    def _extensions(self, value: Document) -> Document:
        return {key: self._copy(inner) for key, inner in value.items() if key.startswith("x-")}

    def _copy(self, value: Any) -> Any:
        """What is the same in both versions."""
        if isinstance(value, dict):
            return dict(self._members(value))
        if isinstance(value, list):
            return [self._copy(inner) for inner in value]
        self._spend(len(value) if isinstance(value, str) else 0)
        return value

    def _members(self, value: Document) -> Iterator[tuple[str, Any]]:
        for key, inner in value.items():
            self._spend(len(key))
            yield key, self._copy(inner)

    def _spend(self, characters: int) -> None:
        """Raises: ValueError."""
        self._size += NODE_SIZE + characters
        if self._size > SIZE_MAX:
            raise ValueError("it would grow too large")
