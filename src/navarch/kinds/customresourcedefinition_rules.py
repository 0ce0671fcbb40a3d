"""What a CustomResourceDefinition may say: names, versions, subresources. Its schemas are `structural_rules`'.

Source: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from navarch.base.errors import Cause
from navarch.kinds.rules import Faults
from navarch.kinds.structural_rules import check_schema, find_schema
from navarch.objects import names
from navarch.objects.value import Document, dig

COLUMN_TYPES = ("integer", "number", "string", "boolean", "date")
COLUMN_FORMATS = ("int32", "int64", "float", "double", "byte", "date", "date-time", "password")
SCOPES = ("Cluster", "Namespaced")
APPROVED = "api-approved.kubernetes.io"
MOST_SELECTABLE = 8
PER_VERSION = ("schema", "subresources", "additionalPrinterColumns", "selectableFields")


def rules(new: Document, old: Document | None) -> Iterable[Cause]:
    faults = Faults()
    spec = new.get("spec") or {}
    _names(faults, new, spec)
    _versions(faults, spec, old)
    _conversion(faults, spec.get("conversion") or {})
    if spec.get("preserveUnknownFields"):
        faults.invalid("spec.preserveUnknownFields", True, "must be false in order to use defaults in the schema")
    if old is None:
        _approval(faults, new, spec)
    else:
        _immutable(faults, new, old)
    return faults.causes


def status_rules(new: Document, old: Document | None) -> Iterable[Cause]:
    """The stored versions name versions that there are, and the present one is among them."""
    faults = Faults()
    there = [version.get("name") for version in dig(new, "spec", "versions", default=())]
    stored = dig(new, "status", "storedVersions", default=[])
    if not stored:
        faults.invalid("status.storedVersions", stored, "must have at least one stored version")
    for i, name in enumerate(stored):
        if name not in there:
            faults.invalid(f"status.storedVersions[{i}]", name, "must appear in spec.versions")
    storage = [v.get("name") for v in dig(new, "spec", "versions", default=()) if v.get("storage")]
    if stored and storage and storage[0] not in stored:
        detail = f"must have the storage version {storage[0]}"
        faults.invalid("status.storedVersions", stored, detail)
    return faults.causes


def _names(faults: Faults, new: Document, spec: Document) -> None:
    group, given = spec.get("group", ""), spec.get("names") or {}
    plural, kind = given.get("plural", ""), given.get("kind", "")
    if not group:
        faults.required("spec.group")
    elif messages := names.dns_subdomain(group):
        faults.checked("spec.group", group, messages)
    elif "." not in group:
        faults.invalid("spec.group", group, "should be a domain with at least one dot")
    if spec.get("scope") not in SCOPES:
        faults.one_of("spec.scope", spec.get("scope"), SCOPES)
    for field, text in (("plural", plural), ("singular", given.get("singular", ""))):
        if not text:
            faults.required(f"spec.names.{field}")
        else:
            faults.checked(f"spec.names.{field}", text, names.dns_label_1035(text))
    for field, text in (("kind", kind), ("listKind", given.get("listKind", ""))):
        if not text:
            faults.required(f"spec.names.{field}")
        elif messages := names.dns_label_1035(text.lower()):
            detail = f"may have mixed case, but should otherwise match: {', '.join(messages)}"
            faults.invalid(f"spec.names.{field}", text, detail)
    if kind and given.get("listKind") == kind:
        faults.invalid("spec.names.listKind", kind, "kind and listKind may not be the same")
    for field in ("shortNames", "categories"):
        for i, text in enumerate(given.get(field) or ()):
            faults.checked(f"spec.names.{field}[{i}]", text, names.dns_label_1035(text))
    if plural and group and dig(new, "metadata", "name", default="") != f"{plural}.{group}":
        faults.invalid(
            "metadata.name", dig(new, "metadata", "name", default=""), 'must be spec.names.plural+"."+spec.group'
        )


def _versions(faults: Faults, spec: Document, old: Document | None) -> None:
    found: Sequence[Document] = spec.get("versions") or ()
    if not found:
        faults.invalid("spec.versions", found or [], "must have exactly one version marked as storage version")
        return
    seen: set[str] = set()
    for i, version in enumerate(found):
        at, name = f"spec.versions[{i}]", version.get("name", "")
        if not name:
            faults.required(f"{at}.name")
        elif messages := names.dns_label_1035(name):
            faults.checked(f"{at}.name", name, messages)
        seen.add(name)
        if version.get("deprecationWarning") is not None and not version.get("deprecated"):
            faults.invalid(
                f"{at}.deprecationWarning", version["deprecationWarning"], "can only be set for deprecated versions"
            )
    if len(seen) < len(found):
        faults.invalid("spec.versions", found, "must contain unique version names")
    if sum(bool(version.get("storage")) for version in found) != 1:
        faults.invalid(
            "spec.versions", [v.get("name") for v in found], "must have exactly one version marked as storage version"
        )
    before = {v.get("name"): v for v in dig(old, "spec", "versions", default=())} if old else {}
    shared = all([v.get(key) for key in PER_VERSION] == [found[0].get(key) for key in PER_VERSION] for v in found)
    for i, version in enumerate(found[:1] if shared else found):
        was = before.get(version.get("name"))
        _version(faults, version, was, "spec" if shared else f"spec.versions[{i}]", i, shared)


def _version(faults: Faults, version: Document, was: Document | None, at: str, index: int, shared: bool) -> None:
    """at: where Kubernetes says that it is: what all versions share is told once, as the definition's own."""
    schema = dig(version, "schema", "openAPIV3Schema")
    if schema is None:
        faults.required(f"spec.versions[{index}].schema.openAPIV3Schema", "schemas are required")
        return
    where = f"{'spec.validation' if shared else f'{at}.schema'}.openAPIV3Schema"
    if was is None or dig(was, "schema", "openAPIV3Schema") != schema:
        check_schema(faults, schema, where)
    _subresources(faults, version.get("subresources") or {}, f"{at}.subresources")
    for i, column in enumerate(version.get("additionalPrinterColumns") or ()):
        _column(faults, column, f"{at}.additionalPrinterColumns[{i}]")
    _selectable(faults, version.get("selectableFields") or (), schema, f"{at}.selectableFields")


def _subresources(faults: Faults, found: Document, at: str) -> None:
    scale = found.get("scale")
    if scale is None:
        return
    for field, start, needed in (
        ("specReplicasPath", ".spec.", True),
        ("statusReplicasPath", ".status.", True),
        ("labelSelectorPath", ".spec. or .status.", False),
    ):
        path = scale.get(field) or ""
        where = f"{at}.scale.{field}"
        if not path:
            if needed:
                faults.required(where)
        elif "[" in path or not path.startswith("."):
            faults.invalid(where, path, "should be a json path without array notation")
        elif not path.startswith(tuple(start.split(" or "))):
            faults.invalid(where, path, f"should be a json path under {start.rstrip('.').replace('. or', ' or')}")


def _column(faults: Faults, column: Document, at: str) -> None:
    if not column.get("name"):
        faults.required(f"{at}.name")
    type_ = column.get("type", "")
    if not type_:
        faults.required(f"{at}.type", f"must be one of {','.join(sorted(COLUMN_TYPES))}")
    elif type_ not in COLUMN_TYPES:
        faults.invalid(f"{at}.type", type_, f"must be one of {','.join(sorted(COLUMN_TYPES))}")
    if column.get("format") and column["format"] not in COLUMN_FORMATS:
        faults.invalid(f"{at}.format", column["format"], f"must be one of {','.join(sorted(COLUMN_FORMATS))}")
    path = column.get("jsonPath", "")
    if not path:
        faults.required(f"{at}.jsonPath")
    elif not path.startswith("."):
        faults.invalid(f"{at}.jsonPath", path, "must be a simple json path starting with .")


def _selectable(faults: Faults, found: Sequence[Document], schema: Document, at: str) -> None:
    if len(found) > MOST_SELECTABLE:
        faults.too_many(at, len(found), MOST_SELECTABLE)
    seen: set[str] = set()
    for i, one in enumerate(found):
        path, where = one.get("jsonPath", ""), f"{at}[{i}].jsonPath"
        if not path:
            faults.required(where)
            continue
        target = find_schema(schema, path)
        if path.startswith(".metadata.") or path == ".metadata":
            faults.invalid(where, path, "must not point to fields in metadata")
        elif target is None:
            faults.invalid(where, path, "does not refer to a valid field")
        elif target.get("type") not in ("string", "integer", "boolean"):
            faults.invalid(
                where,
                path,
                "must point to a field of type string, boolean or integer. "
                "Enum string fields and strings with formats are allowed.",
            )
        if path in seen:
            faults.duplicate(where, path)
        seen.add(path)


def _conversion(faults: Faults, conversion: Document) -> None:
    at, strategy = "spec.conversion", conversion.get("strategy")
    if strategy not in ("None", "Webhook"):
        faults.one_of(f"{at}.strategy", strategy, ("None", "Webhook"))
        return
    webhook = conversion.get("webhook")
    if strategy == "None":
        if webhook is not None:
            faults.forbidden(f"{at}.webhook", "should not be set when strategy is not set to Webhook")
        return
    config = (webhook or {}).get("clientConfig")
    if config is None:
        faults.required(f"{at}.webhook.clientConfig", "required when strategy is set to Webhook")
    elif bool(config.get("url")) == bool(config.get("service")):
        faults.required(f"{at}.webhook.clientConfig", "exactly one of url or service is required")
    reviews = (webhook or {}).get("conversionReviewVersions") or ()
    if not reviews:
        faults.required(f"{at}.webhook.conversionReviewVersions")
    elif "v1" not in reviews and "v1beta1" not in reviews:
        detail = "must include at least one of v1, v1beta1"
        faults.invalid(f"{at}.webhook.conversionReviewVersions", list(reviews), detail)


def _approval(faults: Faults, new: Document, spec: Document) -> None:
    group = spec.get("group", "")
    if not group.endswith((".k8s.io", ".kubernetes.io")) and group not in ("k8s.io", "kubernetes.io"):
        return
    if not dig(new, "metadata", "annotations", APPROVED):
        faults.required(
            f"metadata.annotations[{APPROVED}]",
            f'protected groups must have approval annotation "{APPROVED}", see https://github.com/kubernetes/enhancements/pull/1111',
        )


def _immutable(faults: Faults, new: Document, old: Document) -> None:
    established = any(
        one.get("type") == "Established" and one.get("status") == "True"
        for one in dig(old, "status", "conditions", default=())
    )
    held: tuple[tuple[str, ...], ...] = (("spec", "group"), ("spec", "names", "plural"))
    if established:
        held += (("spec", "scope"), ("spec", "names", "kind"))
    for path in held:
        faults.immutable(".".join(path), dig(new, *path), dig(old, *path))
