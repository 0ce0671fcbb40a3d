"""What a CustomResourceDefinition may say: names, versions, subresources. Its schemas are `structural_rules`'.

Source: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from urllib.parse import urlsplit

import orjson

from navarch.base.errors import Cause
from navarch.kinds.rules import Faults, repeats
from navarch.kinds.structural_rules import check_schema, find_schema
from navarch.kinds.webhook_rules import webhook_service, webhook_url
from navarch.objects import names
from navarch.objects.value import Document, dig

COLUMN_TYPES = ("integer", "number", "string", "boolean", "date")
COLUMN_FORMATS = ("int32", "int64", "float", "double", "byte", "date", "date-time", "password")
SCOPES = ("Cluster", "Namespaced")
APPROVED = "api-approved.kubernetes.io"
MOST_SELECTABLE = 8
LONGEST_WARNING_BYTES = 256
REVIEWS = frozenset(("v1", "v1beta1"))
PROPOSAL = "https://github.com/kubernetes/enhancements/pull/1111"
NO_PATH = "must be a simple json path starting with ."
NO_UNKNOWN_FIELDS = (
    "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead"
)
WITH_STATUS = (
    "Description Type Format Title Maximum ExclusiveMaximum Minimum ExclusiveMinimum MaxLength MinLength Pattern "
    "MaxItems MinItems UniqueItems MultipleOf Required Items Properties ExternalDocs Example XPreserveUnknownFields "
    "XValidations"
)
NOT_WITH_STATUS = (
    *("id", "$schema", "$ref", "nullable", "default", "enum", "maxProperties", "minProperties"),
    *("allOf", "oneOf", "anyOf", "not", "additionalProperties", "patternProperties", "dependencies"),
    *("additionalItems", "definitions", "x-kubernetes-embedded-resource", "x-kubernetes-int-or-string"),
    *("x-kubernetes-list-map-keys", "x-kubernetes-list-type", "x-kubernetes-map-type"),
)
PER_VERSION = ("schema", "subresources", "additionalPrinterColumns", "selectableFields")


def rules(new: Document, old: Document | None) -> Iterable[Cause]:
    faults = Faults()
    spec = new.get("spec") or {}
    given = spec.get("names") or {}
    name = dig(new, "metadata", "name", default="")
    if old is None and name != f"{given.get('plural', '')}.{spec.get('group', '')}":
        faults.invalid("metadata.name", name, 'must be spec.names.plural+"."+spec.group')
    _group_and_scope(faults, spec)
    _versions(faults, spec, old)
    for field in ("plural", "singular", "kind", "listKind"):
        if not given.get(field):
            faults.required(f"spec.names.{field}")
    _names(faults, given, "spec.names")
    _shared(faults, spec, old)
    _conversion(faults, spec, old)
    if old is not None:
        _immutable(faults, new, old)
    _names(faults, dig(new, "status", "acceptedNames", default={}), "status.acceptedNames")
    _stored(faults, new)
    _approval(faults, new, old)
    if spec.get("preserveUnknownFields"):
        faults.invalid("spec.preserveUnknownFields", True, NO_UNKNOWN_FIELDS)
    return faults.causes


def status_rules(new: Document, old: Document | None) -> Iterable[Cause]:
    """Which versions are stored is judged with the next change of the definition itself."""
    faults = Faults()
    _names(faults, dig(new, "status", "acceptedNames", default={}), "status.acceptedNames")
    return faults.causes


def _stored(faults: Faults, new: Document) -> None:
    """Every version that objects may be stored in is there still: nobody could read them otherwise."""
    versions = dig(new, "spec", "versions", default=())
    stored = dig(new, "status", "storedVersions", default=None)
    if not stored and not any(version.get("storage") for version in versions):
        faults.invalid("status.storedVersions", stored or None, "must have at least one stored version")
    there = {version.get("name") for version in versions}
    for i, name in enumerate(stored or ()):
        if name not in there:
            detail = (
                f"missing from spec.versions; {name} was previously a storage version, and must remain in "
                f"spec.versions until a storage migration ensures no data remains persisted in {name} and "
                f"removes {name} from status.storedVersions"
            )
            faults.invalid(f"status.storedVersions[{i}]", name, detail)


def _group_and_scope(faults: Faults, spec: Document) -> None:
    group = spec.get("group", "")
    if not group:
        faults.required("spec.group")
    elif messages := names.dns_subdomain(group):
        faults.invalid("spec.group", group, ",".join(messages))
    elif "." not in group:
        faults.invalid("spec.group", group, "should be a domain with at least one dot")
    faults.one_of("spec.scope", spec.get("scope"), SCOPES)


def _names(faults: Faults, given: Document, at: str) -> None:
    """What each name must look like, where there is one."""
    for field in ("plural", "singular"):
        _label(faults, given.get(field), f"{at}.{field}")
    for field in ("kind", "listKind"):
        text = given.get(field) or ""
        if text and (messages := names.dns_label_1035(text.lower())):
            detail = f"may have mixed case, but should otherwise match: {','.join(messages)}"
            faults.invalid(f"{at}.{field}", text, detail)
    for i, text in enumerate(given.get("shortNames") or ()):
        _label(faults, text, f"{at}.shortNames[{i}]", needed=True)
    if given.get("kind") and given.get("listKind") == given["kind"]:
        faults.invalid(f"{at}.listKind", given["listKind"], "kind and listKind may not be the same")
    for i, text in enumerate(given.get("categories") or ()):
        _label(faults, text, f"{at}.categories[{i}]", needed=True)


def _label(faults: Faults, text: str | None, at: str, *, needed: bool = False) -> None:
    if (text or needed) and (messages := names.dns_label_1035(text or "")):
        faults.invalid(at, text or "", ",".join(messages))


def _hoisted(versions: Sequence[Document]) -> set[str]:
    """What all versions have in common is judged, and told of, once, as the definition's own."""
    return {key for key in PER_VERSION if all(one.get(key) == versions[0].get(key) for one in versions)}


def _versions(faults: Faults, spec: Document, old: Document | None) -> None:
    found: Sequence[Document] = spec.get("versions") or ()
    for i, version in enumerate(found):
        if dig(version, "schema", "openAPIV3Schema") is None:
            faults.required(f"spec.versions[{i}].schema.openAPIV3Schema", "schemas are required")
    if spec.get("preserveUnknownFields") and any(b'"default"' in orjson.dumps(one.get("schema")) for one in found):
        faults.invalid("spec.preserveUnknownFields", True, "must be false in order to use defaults in the schema")
    hoisted = _hoisted(found)
    for i, version in enumerate(found):
        _label(faults, version.get("name"), f"spec.versions[{i}].name", needed=True)
        _deprecation(faults, version, f"spec.versions[{i}].deprecationWarning")
        with_status = dig(version, "subresources", "status", default=None) is not None
        own = {key: value for key, value in version.items() if key not in hoisted}
        _version(faults, own, version, old, f"spec.versions[{i}]", f"spec.versions[{i}].schema", with_status)
    if len({version.get("name") for version in found}) < len(found):
        faults.invalid("spec.versions", found, "must contain unique version names")
    if sum(bool(version.get("storage")) for version in found) != 1:
        faults.invalid(
            "spec.versions", [v.get("name") for v in found], "must have exactly one version marked as storage version"
        )


def _shared(faults: Faults, spec: Document, old: Document | None) -> None:
    """What all versions have in common."""
    found: Sequence[Document] = spec.get("versions") or ()
    if found:
        hoisted = _hoisted(found)
        with_status = any(dig(one, "subresources", "status", default=None) is not None for one in found)
        own = {key: value for key, value in found[0].items() if key in hoisted}
        _version(faults, own, found[0], old, "spec", "spec.validation", with_status)


def _deprecation(faults: Faults, version: Document, at: str) -> None:
    text = version.get("deprecationWarning")
    if text is None:
        return
    if not version.get("deprecated"):
        faults.invalid(at, text, "can only be set for deprecated versions")
        return
    if len(text.encode()) > LONGEST_WARNING_BYTES:
        faults.invalid(at, text, f"must be <= {LONGEST_WARNING_BYTES} characters long")
    if not text:
        faults.invalid(at, text, "must not be an empty string")
    strange = next((i for i, character in enumerate(text) if not character.isprintable()), None)
    if strange is not None:
        index = len(text[:strange].encode())
        detail = f"must only contain printable UTF-8 characters; non-printable character found at index {index}"
        faults.invalid(at, text, detail)


def _version(
    faults: Faults, own: Document, whole: Document, old: Document | None, at: str, schema_at: str, with_status: bool
) -> None:
    """own: what of the version is told of at this place, which may be all, some or nothing."""
    schema = dig(own, "schema", "openAPIV3Schema", default=None)
    if schema is not None:
        where = f"{schema_at}.openAPIV3Schema"
        if with_status:
            _root_with_status(faults, schema, where)
        before = dig(old, "spec", "versions", default=()) if old else ()
        was = next((one for one in before if one.get("name") == whole.get("name")), None)
        if was is None or dig(was, "schema", "openAPIV3Schema") != schema:
            check_schema(faults, schema, where)
    _subresources(faults, own.get("subresources") or {}, f"{at}.subresources")
    for i, column in enumerate(own.get("additionalPrinterColumns") or ()):
        _column(faults, column, f"{at}.additionalPrinterColumns[{i}]")
    if fields := own.get("selectableFields"):
        of = dig(whole, "schema", "openAPIV3Schema", default=None)
        if of is not None:
            _selectable(faults, fields, of, f"{at}.selectableFields")


def _root_with_status(faults: Faults, schema: Document, at: str) -> None:
    """The status is judged by its own part of the schema, which must lose nothing by standing alone."""
    if schema.get("type") not in (None, "", "object"):
        detail = 'only "object" is allowed as the type at the root of the schema if the status subresource is enabled'
        faults.invalid(f"{at}.type", schema["type"], detail)
    elif any(schema.get(field) not in (None, False) for field in NOT_WITH_STATUS):
        detail = (
            f"only [{WITH_STATUS}] fields are allowed at the root of the schema if the status subresource is enabled"
        )
        faults.invalid(at, schema, detail)


def _subresources(faults: Faults, found: Document, at: str) -> None:
    scale = found.get("scale")
    if scale is None:
        return
    for field, start, told, needed in (
        ("specReplicasPath", (".spec.",), ".spec", True),
        ("statusReplicasPath", (".status.",), ".status", True),
        ("labelSelectorPath", (".spec.", ".status."), "either .spec or .status", False),
    ):
        path = scale.get(field) or ""
        where = f"{at}.scale.{field}"
        if not path:
            if needed:
                faults.required(where)
        elif not path.startswith("."):
            faults.invalid(where, path, NO_PATH)
        elif not path.startswith(start):
            faults.invalid(where, path, f"should be a json path under {told}")


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
        faults.required(f"{at}.JSONPath")
    elif not path.startswith("."):
        faults.invalid(f"{at}.JSONPath", path, NO_PATH)


def _selectable(faults: Faults, found: Sequence[Document], schema: Document, at: str) -> None:
    seen: set[str] = set()
    for i, one in enumerate(found):
        path, where = one.get("jsonPath", ""), f"{at}[{i}].jsonPath"
        if not path:
            faults.required(where)
            continue
        target = find_schema(schema, path)
        if target is None:
            faults.invalid(where, path, "is an invalid path: does not refer to a valid field")
            continue
        if path.startswith(".metadata.") or path == ".metadata":
            faults.invalid(where, path, "must not point to fields in metadata")
        if target.get("type") not in ("string", "integer", "boolean"):
            faults.invalid(
                where,
                path,
                "must point to a field of type string, boolean or integer. "
                "Enum string fields and strings with formats are allowed.",
            )
        if path in seen:
            faults.duplicate(where, path)
        seen.add(path)
    if len(seen) > MOST_SELECTABLE:
        faults.too_many(at, len(seen), MOST_SELECTABLE)


def _conversion(faults: Faults, spec: Document, old: Document | None) -> None:
    """Told of with the names that the fields had before v1, as Kubernetes does."""
    conversion = spec.get("conversion")
    if conversion is None:
        return
    at, strategy = "spec.conversion", conversion.get("strategy") or ""
    webhook: Document = conversion.get("webhook") or {}
    client, reviews = webhook.get("clientConfig"), webhook.get("conversionReviewVersions") or []
    if strategy != "None" and spec.get("preserveUnknownFields"):
        faults.invalid(f"{at}.strategy", strategy, "must be None if spec.preserveUnknownFields is true")
    faults.one_of(f"{at}.strategy", strategy, ("None", "Webhook"))
    if strategy == "Webhook":
        _client(faults, client, f"{at}.webhookClientConfig")
        held = dig(old, "spec", "conversion", "webhook", "conversionReviewVersions", default=()) if old else ()
        _reviews(faults, reviews, f"{at}.conversionReviewVersions", not held or not REVIEWS.isdisjoint(held))
        return
    if client is not None:
        faults.forbidden(f"{at}.webhookClientConfig", "should not be set when strategy is not set to Webhook")
    if reviews:
        faults.forbidden(f"{at}.conversionReviewVersions", "should not be set when strategy is not set to Webhook")


def _client(faults: Faults, client: Document | None, at: str) -> None:
    if client is None:
        faults.required(at, "required when strategy is set to Webhook")
    elif (client.get("url") is None) == (client.get("service") is None):
        faults.required(at, "exactly one of url or service is required")
    elif client.get("url") is not None:
        webhook_url(faults, client["url"], f"{at}.url")
    else:
        webhook_service(faults, client["service"], f"{at}.service")


def _reviews(faults: Faults, reviews: Sequence[str], at: str, needed: bool) -> None:
    """needed: one of those that the server knows; not where there was none before."""
    if not reviews:
        faults.required(at)
        return
    twice = repeats(reviews)
    for i, version in enumerate(reviews):
        if i in twice:
            faults.invalid(f"{at}[{i}]", version, "duplicate version")
        else:
            faults.checked(f"{at}[{i}]", version, names.dns_label_1035(version))
    if needed and REVIEWS.isdisjoint(reviews):
        faults.invalid(at, list(reviews), f"must include at least one of {', '.join(sorted(REVIEWS))}")


def _approval(faults: Faults, new: Document, old: Document | None) -> None:
    """What was wrong before may stay as it is."""
    group, at = dig(new, "spec", "group", default=""), f"metadata.annotations[{APPROVED}]"
    if not group.endswith((".k8s.io", ".kubernetes.io")) and group not in ("k8s.io", "kubernetes.io"):
        return
    state = _approval_state(new)
    if old is not None and _approval_state(old) == state:
        return
    told = f'protected groups must have approval annotation "{APPROVED}"'
    if state == "missing":
        faults.required(at, f"{told}, see {PROPOSAL}")
    elif state == "invalid":
        detail = f'{told} with either a URL or a reason starting with "unapproved", see {PROPOSAL}'
        faults.invalid(at, new["metadata"]["annotations"][APPROVED], detail)


def _approval_state(document: Document) -> str:
    text = dig(document, "metadata", "annotations", APPROVED, default="")
    if not text:
        return "missing"
    if text.startswith("unapproved"):
        return "bypassed"
    try:
        url = urlsplit(text)
    except ValueError:
        return "invalid"
    return "approved" if url.scheme and url.netloc else "invalid"


def _immutable(faults: Faults, new: Document, old: Document) -> None:
    established = any(
        one.get("type") == "Established" and one.get("status") == "True"
        for one in dig(old, "status", "conditions", default=())
    )
    held: tuple[tuple[str, ...], ...] = (("spec", "group"), ("spec", "names", "plural"))
    if established:
        held = (("spec", "scope"), ("spec", "names", "kind"), *held)
    for path in held:
        faults.immutable(".".join(path), dig(new, *path), dig(old, *path))
