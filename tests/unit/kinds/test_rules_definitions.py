"""Definitions of custom resources: what is refused, where, and in which words."""

from __future__ import annotations

from typing import Any

import pytest
from kind_driver import Causes, Document, causes

from navarch.kinds import CUSTOMRESOURCEDEFINITION

SCHEMA: Document = {
    "type": "object",
    "properties": {"spec": {"type": "object", "properties": {"a": {"type": "string"}}}},
}
NAMES: Document = {"plural": "tabs", "singular": "tab", "kind": "Tab", "listKind": "TabList"}
LABEL = "a DNS-1035 label must consist of"
URL: Document = {"url": "https://a.io"}


def version(name: str = "v1", **more: Any) -> Document:
    return {"name": name, "served": True, "storage": name == "v1", "schema": {"openAPIV3Schema": SCHEMA}, **more}


def definition(*versions: Document, annotations: Document | None = None, **more: Any) -> Document:
    spec = {"group": "a.io", "scope": "Namespaced", "names": NAMES, "versions": list(versions) or [version()], **more}
    named = {"name": f"{spec['names'].get('plural', '')}.{spec['group']}", "annotations": annotations or {}}
    return {"metadata": named, "spec": spec, "status": {"storedVersions": ["v1"]}}


def found(*versions: Document, **more: Any) -> Causes:
    return causes(CUSTOMRESOURCEDEFINITION, definition(*versions, **more))


def converted(**webhook: Any) -> Causes:
    return found(conversion={"strategy": "Webhook", "webhook": webhook})


def scaled(**paths: str) -> Causes:
    whole = {"specReplicasPath": ".spec.a", "statusReplicasPath": ".status.a", **paths}
    return found(version(subresources={"scale": whole}))


def rooted(**more: Any) -> Causes:
    return found(version(schema={"openAPIV3Schema": {**SCHEMA, **more}}, subresources={"status": {}}))


def updated(new: Document, **status: Any) -> Causes:
    was = definition()
    was["status"] |= status
    return causes(CUSTOMRESOURCEDEFINITION, {**new, "status": was["status"]}, was)


def approved(text: str) -> Causes:
    return found(group="a.k8s.io", annotations={"api-approved.kubernetes.io": text})


def selected(*paths: str) -> Causes:
    return found(version(selectableFields=[{"jsonPath": path} for path in paths]))


def test_good_ones() -> None:
    assert found() == []
    assert found(version(), version("v2", deprecated=True, deprecationWarning="use v1")) == []
    assert converted(clientConfig=URL, conversionReviewVersions=["v1"]) == []
    assert scaled(labelSelectorPath=".spec.s") == []
    assert rooted(required=["spec"]) == []
    assert approved("https://a.io/1") == approved("unapproved, yet") == []
    assert selected(".spec.a") == []
    assert updated(definition()) == []


@pytest.mark.parametrize(
    ("causes_", "field", "message"),
    [
        (found(group="A.io"), "spec.group", 'Invalid value: "A.io": a lowercase RFC 1123 subdomain'),
        (found(group="a"), "spec.group", 'Invalid value: "a": should be a domain with at least one dot'),
        (found(scope=""), "spec.scope", "Required value"),
        (found(scope="All"), "spec.scope", 'Unsupported value: "All": supported values: "Cluster", "Namespaced"'),
        (found(names={**NAMES, "plural": "1s"}), "spec.names.plural", f'Invalid value: "1s": {LABEL}'),
        (found(names={**NAMES, "shortNames": [""]}), "spec.names.shortNames[0]", f'Invalid value: "": {LABEL}'),
        (
            found(names={**NAMES, "listKind": "A_B"}),
            "spec.names.listKind",
            'Invalid value: "A_B": may have mixed case, but should otherwise match: a DNS-1035',
        ),
        (
            found(names={**NAMES, "listKind": "Tab"}),
            "spec.names.listKind",
            'Invalid value: "Tab": kind and listKind may not be the same',
        ),
        (found(version(), version("", storage=False)), "spec.versions[1].name", f'Invalid value: "": {LABEL}'),
        (
            found(version(schema={})),
            "spec.versions[0].schema.openAPIV3Schema",
            "Required value: schemas are required",
        ),
        (
            found(version(deprecationWarning="x")),
            "spec.versions[0].deprecationWarning",
            'Invalid value: "x": can only be set for deprecated versions',
        ),
        (
            found(version(deprecated=True, deprecationWarning="")),
            "spec.versions[0].deprecationWarning",
            'Invalid value: "": must not be an empty string',
        ),
        (
            found(version(deprecated=True, deprecationWarning="é\n")),
            "spec.versions[0].deprecationWarning",
            'Invalid value: "é\\n": must only contain printable UTF-8 characters; non-printable character found at i',
        ),
        (
            found(preserveUnknownFields=True),
            "spec.preserveUnknownFields",
            "Invalid value: true: cannot set to true, set",
        ),
        (
            found(conversion={"strategy": "None", "webhook": {"clientConfig": URL}}),
            "spec.conversion.webhookClientConfig",
            "Forbidden: should not be set when strategy is not set to Webhook",
        ),
        (
            found(conversion={"strategy": "Some"}),
            "spec.conversion.strategy",
            'Unsupported value: "Some": supported values: "None", "Webhook"',
        ),
        (
            converted(conversionReviewVersions=["v1"]),
            "spec.conversion.webhookClientConfig",
            "Required value: required when strategy is set to Webhook",
        ),
        (
            converted(clientConfig={}, conversionReviewVersions=["v1"]),
            "spec.conversion.webhookClientConfig",
            "Required value: exactly one of url or service is required",
        ),
        (
            converted(clientConfig={"url": "http://a.io"}, conversionReviewVersions=["v1"]),
            "spec.conversion.webhookClientConfig.url",
            "Invalid value: \"http\": 'https' is the only allowed URL scheme",
        ),
        (
            converted(clientConfig={"service": {"name": "a"}}, conversionReviewVersions=["v1"]),
            "spec.conversion.webhookClientConfig.service.namespace",
            "Required value: service namespace is required",
        ),
        (converted(clientConfig=URL), "spec.conversion.conversionReviewVersions", "Required value"),
        (
            converted(clientConfig=URL, conversionReviewVersions=["v9"]),
            "spec.conversion.conversionReviewVersions",
            'Invalid value: ["v9"]: must include at least one of v1, v1beta1',
        ),
        (
            converted(clientConfig=URL, conversionReviewVersions=["v1", "v1"]),
            "spec.conversion.conversionReviewVersions[1]",
            'Invalid value: "v1": duplicate version',
        ),
        (scaled(specReplicasPath=""), "spec.subresources.scale.specReplicasPath", "Required value"),
        (
            scaled(statusReplicasPath="x"),
            "spec.subresources.scale.statusReplicasPath",
            'Invalid value: "x": must be a simple json path starting with .',
        ),
        (
            scaled(labelSelectorPath=".x"),
            "spec.subresources.scale.labelSelectorPath",
            'Invalid value: ".x": should be a json path under either .spec or .status',
        ),
        (
            found(version(additionalPrinterColumns=[{"name": "A", "type": "string", "jsonPath": "x"}])),
            "spec.additionalPrinterColumns[0].JSONPath",
            'Invalid value: "x": must be a simple json path starting with .',
        ),
        (
            found(version(), version("v2", additionalPrinterColumns=[{"name": "A", "type": "string"}])),
            "spec.versions[1].additionalPrinterColumns[0].JSONPath",
            "Required value",
        ),
        (
            selected(".spec.b"),
            "spec.selectableFields[0].jsonPath",
            'Invalid value: ".spec.b": is an invalid path: does not refer to a valid field',
        ),
        (
            selected(".spec"),
            "spec.selectableFields[0].jsonPath",
            'Invalid value: ".spec": must point to a field of type string, boolean or integer. Enum',
        ),
        (selected(".spec.a", ".spec.a"), "spec.selectableFields[1].jsonPath", 'Duplicate value: ".spec.a"'),
        (
            approved("yes"),
            "metadata.annotations[api-approved.kubernetes.io]",
            'Invalid value: "yes": protected groups must have approval annotation "api-approved.kubernetes.io" with ei',
        ),
        (approved(""), "metadata.annotations[api-approved.kubernetes.io]", "Required value: protected groups must"),
        (
            rooted(minProperties=1),
            "spec.validation.openAPIV3Schema",
            "Invalid value: {",
        ),
        (
            updated(definition(names={**NAMES, "plural": "tubs"})),
            "spec.names.plural",
            'Invalid value: "tubs": field is',
        ),
        (
            updated(definition(), storedVersions=["v1", "v0"]),
            "status.storedVersions[1]",
            'Invalid value: "v0": missing from spec.versions; v0 was previously a storage version, and must remain',
        ),
        (
            updated(definition(scope="Cluster"), conditions=[{"type": "Established", "status": "True"}]),
            "spec.scope",
            'Invalid value: "Cluster": field is immutable',
        ),
    ],
)
def test_what_is_refused(causes_: Causes, field: str, message: str) -> None:
    assert [one for one, _ in causes_] == [field], causes_
    assert causes_[0][1].startswith(message)


def test_one_broken_version_of_several_is_told_of_at_its_place() -> None:
    scale = {"scale": {"specReplicasPath": ".spec.a", "statusReplicasPath": "x"}}
    told = [field for field, _ in found(version(subresources=scale), version("v2", subresources=scale))]
    assert told == ["spec.subresources.scale.statusReplicasPath"]
    told = [field for field, _ in found(version(), version("v2", subresources=scale))]
    assert told == ["spec.versions[1].subresources.scale.statusReplicasPath"]


def test_versions_are_named_once_and_one_is_stored() -> None:
    twice = found(version(), version(storage=False))
    assert [field for field, _ in twice] == ["spec.versions"]
    assert twice[0][1].endswith("must contain unique version names")
    both = found(version(), version("v2", storage=True))
    assert both[0][1].endswith("must have exactly one version marked as storage version")


def test_an_approval_that_was_missing_may_stay_so() -> None:
    lacking = definition(group="a.k8s.io")
    assert causes(CUSTOMRESOURCEDEFINITION, lacking, lacking) == []


def test_a_status_is_judged_by_the_names_it_accepts() -> None:
    document = definition()
    document["status"] = {"acceptedNames": {"plural": "1", "kind": "Tab"}, "storedVersions": []}
    told = causes(CUSTOMRESOURCEDEFINITION, document, document, "status")
    assert [field for field, _ in told] == ["status.acceptedNames.plural"]


def field(**schema: Any) -> Causes:
    """What is told of the schema of one field."""
    root = {"type": "object", "properties": {"a": schema}}
    prefix = "spec.validation.openAPIV3Schema.properties[a]"
    return [(path.replace(prefix, "a"), told) for path, told in found(version(schema={"openAPIV3Schema": root}))]


def listed(items: Document, **more: Any) -> Causes:
    return field(type="array", items=items, **more)


def mapped(keys: list[str], **items: Any) -> Causes:
    made = {"type": "object", "properties": {"k": {"type": "string"}}, "required": ["k"], **items}
    return listed(made, **{"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": keys})


def ruled(**rule: Any) -> Causes:
    return field(type="string", maxLength=9, **{"x-kubernetes-validations": [{"rule": "self == 'a'", **rule}]})


def test_good_schemas() -> None:
    either = [{"type": "integer"}, {"type": "string"}]
    assert field(anyOf=either, **{"x-kubernetes-int-or-string": True}) == []
    assert field(allOf=[{"anyOf": either}, {"pattern": "a"}], **{"x-kubernetes-int-or-string": True}) == []
    assert mapped(["k"]) == []
    assert listed({"type": "object", "x-kubernetes-map-type": "atomic"}, **{"x-kubernetes-list-type": "set"}) == []
    assert ruled(message="m", reason="FieldValueForbidden") == ruled(rule="self != oldSelf") == []
    preserving = {"x-kubernetes-preserve-unknown-fields": True}
    assert found(version(schema={"openAPIV3Schema": preserving})) == []


@pytest.mark.parametrize(
    ("causes_", "path", "message"),
    [
        (field(type="string", **{"x-kubernetes-map-type": "atomic"}), "a.type", 'Invalid value: "string": must be obj'),
        (
            field(type="object", **{"x-kubernetes-map-type": "some"}),
            "a.x-kubernetes-map-type",
            'Unsupported value: "some": supported values: "atomic", "granular"',
        ),
        (
            field(**{"x-kubernetes-int-or-string": True, "x-kubernetes-preserve-unknown-fields": True}),
            "a.x-kubernetes-preserve-unknown-fields",
            "Invalid value: true: must be false if x-kubernetes-int-or-string is true",
        ),
        (
            field(**{"x-kubernetes-embedded-resource": True, "x-kubernetes-preserve-unknown-fields": True}),
            "a.type",
            "Required value: must be object if x-kubernetes-embedded-resource is true",
        ),
        (field(type="string", id="x"), "a.id", "Forbidden: id is not supported"),
        (
            listed({"type": "object"}, **{"x-kubernetes-list-type": "set"}),
            "a.items.x-kubernetes-map-type",
            "Invalid value: null: must be atomic as item of a list with x-kubernetes-list-type=set",
        ),
        (
            listed({"type": "string", "nullable": True}, **{"x-kubernetes-list-type": "set"}),
            "a.items.nullable",
            "Forbidden: cannot be nullable when x-kubernetes-list-type is set",
        ),
        (
            listed({"type": "string"}, **{"x-kubernetes-list-map-keys": ["k"]}),
            "a.x-kubernetes-list-type",
            "Required value: must be map if x-kubernetes-list-map-keys is non-empty",
        ),
        (mapped(["b"]), "a.x-kubernetes-list-map-keys", 'Invalid value: ["b"]: entries must all be names of item prop'),
        (mapped(["k", "k"]), "a.x-kubernetes-list-map-keys", 'Invalid value: ["k","k"]: must not contain duplicate en'),
        (mapped([]), "a.x-kubernetes-list-map-keys", "Required value: must not be empty if x-kubernetes-list-type is"),
        (
            mapped(["k"], properties={"k": {"type": "object"}}),
            "a.items.properties[k].type",
            'Invalid value: "object": must be a scalar type',
        ),
        (
            mapped(["k"], properties={"k": {"type": "string", "nullable": True}}),
            "a.items.properties[k].nullable",
            "Forbidden: this property is in x-kubernetes-list-map-keys, so it cannot be nullable",
        ),
        (mapped(["k"], required=[]), "a.items.properties[k].default", "Required value: this property is in x-kubernet"),
        (field(type="string", anyOf=[{"type": "string"}]), "a.anyOf[0].type", "Forbidden: must be empty to be structu"),
        (field(type="string", anyOf=[{"title": "t"}]), "a.anyOf[0].title", "Forbidden: must be empty to be structural"),
        (
            field(type="object", allOf=[{"additionalProperties": {}}]),
            "a.allOf[0].additionalProperties",
            "Forbidden: must be undefined to be structural",
        ),
        (
            field(type="string", **{"not": {"nullable": True}}),
            "a.not.nullable",
            "Forbidden: must be false to be structural",
        ),
        (
            field(type="object", properties={"metadata": {"type": "object"}}, oneOf=[{"properties": {"metadata": {}}}]),
            "a.oneOf[0].properties[metadata]",
            "Forbidden: must not be specified in a nested context",
        ),
        (ruled(rule=" "), "a.x-kubernetes-validations[0].rule", "Required value: rule is not specified"),
        (
            ruled(message=" "),
            "a.x-kubernetes-validations[0].message",
            'Invalid value: " ": message must be non-empty if',
        ),
        (
            ruled(message="a\nb"),
            "a.x-kubernetes-validations[0].message",
            'Invalid value: "a\\nb": message must not cont',
        ),
        (ruled(rule="self ==\n'a'"), "a.x-kubernetes-validations[0].message", "Required value: message must be specif"),
        (
            ruled(messageExpression=" "),
            "a.x-kubernetes-validations[0].messageExpression",
            "Required value: messageExpression must be non-empty if specified",
        ),
        (
            ruled(reason="No"),
            "a.x-kubernetes-validations[0].reason",
            'Unsupported value: "No": supported values: "FieldValueDuplicate", "FieldValueForbidden", "FieldValueInval',
        ),
        (
            ruled(optionalOldSelf=True),
            "a.x-kubernetes-validations[0].optionalOldSelf",
            "Invalid value: true: may not be set if oldSelf is not used in rule",
        ),
        (
            listed({"type": "string", "maxLength": 9, "x-kubernetes-validations": [{"rule": "self != oldSelf"}]}),
            "a.items.x-kubernetes-validations[0].rule",
            'Invalid value: "self != oldSelf": oldSelf cannot be used on the uncorrelatable portion of the schem',
        ),
        (
            ruled(fieldPath=".b"),
            "a.x-kubernetes-validations[0].fieldPath",
            'Invalid value: ".b": fieldPath must be a',
        ),
        (
            ruled(fieldPath="b"),
            "a.x-kubernetes-validations[0].fieldPath",
            'Invalid value: "b": fieldPath must be a val',
        ),
    ],
)
def test_what_schemas_may_not_say(causes_: Causes, path: str, message: str) -> None:
    assert [one for one, _ in causes_] == [path], causes_
    assert causes_[0][1].startswith(message)


@pytest.mark.parametrize(
    ("schema", "path", "message"),
    [
        ({"additionalProperties": True}, "additionalProperties", "Forbidden: must not be used at the root"),
        (
            {"properties": {"metadata": {"type": "object", "description": "d"}}},
            "properties[metadata]",
            "Forbidden: must not specify anything other than name and generateName, but metadata is implicitly spec",
        ),
        ({"properties": {"kind": {"type": "integer"}}}, "properties[kind].type", 'Invalid value: "integer": must be s'),
        (
            {"properties": {"metadata": {"type": "string"}}},
            "properties[metadata].type",
            'Invalid value: "string": must',
        ),
        (
            {"properties": {"kind": {"type": "string", "default": "A"}}},
            "properties[kind].default",
            "Forbidden: must not be set in top-level kind",
        ),
        ({"nullable": True}, "nullable", "Forbidden: nullable cannot be true at the root"),
        ({"type": ""}, "type", "Required value: must not be empty at the root"),
    ],
)
def test_what_roots_may_not_say(schema: Document, path: str, message: str) -> None:
    causes_ = found(version(schema={"openAPIV3Schema": {"type": "object", **schema}}))
    assert [one for one, _ in causes_] == [f"spec.validation.openAPIV3Schema.{path}"], causes_
    assert causes_[0][1].startswith(message)
