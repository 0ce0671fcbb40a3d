"""Kinds that configure the cluster or ask it for things: which of them are refused, and how they are shown."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from navarch.kinds import (
    APISERVICE,
    CSIDRIVER,
    CSINODE,
    CSISTORAGECAPACITY,
    DEVICECLASS,
    FLOWSCHEMA,
    MUTATINGADMISSIONPOLICY,
    MUTATINGWEBHOOKCONFIGURATION,
    PRIORITYLEVELCONFIGURATION,
    RESOURCECLAIM,
    RESOURCECLAIMTEMPLATE,
    RESOURCESLICE,
    RUNTIMECLASS,
    VALIDATINGADMISSIONPOLICY,
    VALIDATINGADMISSIONPOLICYBINDING,
    VALIDATINGWEBHOOKCONFIGURATION,
    VOLUMEATTACHMENT,
    VOLUMEATTRIBUTESCLASS,
)
from navarch.kinds.kind import Kind
from navarch.objects.value import Draft

Document = dict[str, Any]
NOW = datetime(2026, 1, 1, tzinfo=UTC)
RULE: Document = {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}
MATCHES: Document = {"resourceRules": [RULE]}
EXACTLY: Document = {"name": "gpu", "exactly": {"deviceClassName": "gpu"}}
SLICE: Document = {"driver": "a.io", "pool": {"name": "p", "resourceSliceCount": 1}, "nodeName": "n"}


def complete(kind: Kind, document: Document) -> Document:
    draft = Draft({"apiVersion": kind.api_version, "kind": kind.name, "metadata": {"name": "x"}, **document})
    kind.default(draft)
    return draft.document


def causes(kind: Kind, document: Document, old: Document | None = None) -> list[tuple[str, str]]:
    before = complete(kind, old) if old is not None else None
    return [(cause.field, cause.message) for cause in kind.rules(complete(kind, document), before)]


def hook(**more: Any) -> Document:
    one = {
        "name": "a.example.com",
        "clientConfig": {"url": "https://a.example.com"},
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        **more,
    }
    return {"webhooks": [{key: value for key, value in one.items() if value is not None}]}


def policy(**spec: Any) -> Document:
    return {"spec": {"matchConstraints": MATCHES, "validations": [{"expression": "true"}], **spec}}


def binding(**spec: Any) -> Document:
    return {"spec": {"policyName": "x", "validationActions": ["Deny"], **spec}}


def claim(*requests: Document) -> Document:
    return {"spec": {"devices": {"requests": list(requests)}}}


def flow(**spec: Any) -> Document:
    return {"spec": {"priorityLevelConfiguration": {"name": "x"}, **spec}}


def level(**spec: Any) -> Document:
    return {"spec": {"type": "Limited", "limited": {"limitResponse": {"type": "Queue", "queuing": {}}}, **spec}}


def service(**spec: Any) -> Document:
    whole = {"group": "a.io", "version": "v1", "groupPriorityMinimum": 1, "versionPriority": 1, **spec}
    return {"metadata": {"name": "v1.a.io"}, "spec": whole}


def test_what_is_filled_in() -> None:
    driver = complete(CSIDRIVER, {})["spec"]
    assert (driver["attachRequired"], driver["volumeLifecycleModes"]) == (True, ["Persistent"])
    webhook = complete(MUTATINGWEBHOOKCONFIGURATION, hook(rules=[RULE]))["webhooks"][0]
    assert (webhook["failurePolicy"], webhook["timeoutSeconds"], webhook["reinvocationPolicy"]) == ("Fail", 10, "Never")
    assert webhook["rules"][0]["scope"] == "*"
    assert complete(VALIDATINGADMISSIONPOLICY, policy())["spec"]["matchConstraints"]["matchPolicy"] == "Equivalent"
    inner = complete(RESOURCECLAIMTEMPLATE, {"spec": claim(EXACTLY)})["spec"]["spec"]
    assert inner["devices"]["requests"][0]["exactly"] == {
        "deviceClassName": "gpu",
        "allocationMode": "ExactCount",
        "count": 1,
    }
    limited = complete(PRIORITYLEVELCONFIGURATION, level())["spec"]["limited"]
    assert limited["nominalConcurrencyShares"] == 30
    assert limited["limitResponse"]["queuing"] == {"queues": 64, "handSize": 8, "queueLengthLimit": 50}
    backend = {"namespace": "n", "name": "a"}
    assert complete(APISERVICE, service(service=backend))["spec"]["service"]["port"] == 443


@pytest.mark.parametrize(
    ("kind", "document", "field", "message"),
    [
        (RUNTIMECLASS, {}, "handler", "Required value"),
        (
            CSIDRIVER,
            {"spec": {"fsGroupPolicy": "Some"}},
            "spec.fsGroupPolicy",
            'Unsupported value: "Some": supported values: "File", "None", "ReadWriteOnceWithFSType"',
        ),
        (
            CSIDRIVER,
            {"spec": {"tokenRequests": [{"audience": "a", "expirationSeconds": 5}]}},
            "spec.tokenRequests[0].expirationSeconds",
            "Invalid value: 5: may not specify a duration less than 10 minutes",
        ),
        (
            CSINODE,
            {"spec": {"drivers": [{"name": "a", "nodeID": "1"}, {"name": "a", "nodeID": "2"}]}},
            "spec.drivers[1].name",
            'Duplicate value: "a"',
        ),
        (
            VOLUMEATTACHMENT,
            {"spec": {"attacher": "a", "nodeName": "n"}},
            "spec.source",
            "Required value: must specify exactly one of inlineVolumeSpec and persistentVolumeName",
        ),
        (
            VOLUMEATTRIBUTESCLASS,
            {"driverName": "a"},
            "parameters",
            "Required value: must contain at least one key/value pair",
        ),
        (
            VALIDATINGWEBHOOKCONFIGURATION,
            hook(name="short"),
            "webhooks[0].name",
            'Invalid value: "short": should be a domain with at least three segments separated by dots',
        ),
        (
            VALIDATINGWEBHOOKCONFIGURATION,
            hook(clientConfig={}),
            "webhooks[0].clientConfig",
            "Required value: exactly one of url or service is required",
        ),
        (
            VALIDATINGWEBHOOKCONFIGURATION,
            hook(clientConfig={"url": "http://a.example.com"}),
            "webhooks[0].clientConfig.url",
            "Invalid value: \"http\": 'https' is the only allowed URL scheme; desired format: https://host[/path]",
        ),
        (
            VALIDATINGWEBHOOKCONFIGURATION,
            hook(sideEffects=None),
            "webhooks[0].sideEffects",
            "Required value: must specify one of None, NoneOnDryRun",
        ),
        (
            VALIDATINGWEBHOOKCONFIGURATION,
            hook(timeoutSeconds=31),
            "webhooks[0].timeoutSeconds",
            "Invalid value: 31: the timeout value must be between 1 and 30 seconds",
        ),
        (
            VALIDATINGWEBHOOKCONFIGURATION,
            hook(admissionReviewVersions=["v9"]),
            "webhooks[0].admissionReviewVersions",
            'Invalid value: ["v9"]: must include at least one of v1, v1beta1',
        ),
        (
            VALIDATINGWEBHOOKCONFIGURATION,
            hook(rules=[{**RULE, "operations": ["*", "CREATE"]}]),
            "webhooks[0].rules[0].operations",
            'Invalid value: ["*","CREATE"]: if \'*\' is present, must not specify other operations',
        ),
        (
            VALIDATINGADMISSIONPOLICY,
            policy(validations=[]),
            "spec.validations",
            "Required value: validations or auditAnnotations must contain at least one item",
        ),
        (
            VALIDATINGADMISSIONPOLICY,
            {"spec": {"validations": [{"expression": "true"}]}},
            "spec.matchConstraints",
            "Required value",
        ),
        (
            VALIDATINGADMISSIONPOLICY,
            policy(validations=[{"expression": " "}]),
            "spec.validations[0].expression",
            "Required value: expression is not specified",
        ),
        (
            MUTATINGADMISSIONPOLICY,
            {"spec": {"matchConstraints": MATCHES, "reinvocationPolicy": "Never"}},
            "spec.mutations",
            "Required value: mutations must contain at least one item",
        ),
        (
            VALIDATINGADMISSIONPOLICYBINDING,
            binding(validationActions=[]),
            "spec.validationActions",
            "Required value: at least one validation action is required",
        ),
        (
            VALIDATINGADMISSIONPOLICYBINDING,
            binding(paramRef={"parameterNotFoundAction": "Deny"}),
            "spec.paramRef",
            "Required value: one of name or selector must be specified",
        ),
        (
            RESOURCECLAIM,
            claim(EXACTLY, EXACTLY),
            "spec.devices.requests[1]",
            'Duplicate value: "gpu"',
        ),
        (
            RESOURCECLAIM,
            claim({"name": "gpu"}),
            "spec.devices.requests[0]",
            "Required value: exactly one of `exactly` or `firstAvailable` is required",
        ),
        (
            RESOURCECLAIM,
            claim({"name": "gpu", "exactly": {"deviceClassName": "gpu", "count": -1}}),
            "spec.devices.requests[0].exactly.count",
            "Invalid value: -1: must be greater than zero",
        ),
        (
            DEVICECLASS,
            {"spec": {"selectors": [{"cel": {}}]}},
            "spec.selectors[0].cel.expression",
            "Required value",
        ),
        (
            RESOURCESLICE,
            {"spec": {**SLICE, "allNodes": True}},
            "spec",
            'Invalid value: "{`nodeName`, `allNodes`}": exactly one of `nodeName`, `nodeSelector`, `allNodes`, '
            "`perDeviceNodeSelection` is required, but multiple fields are set",
        ),
        (
            FLOWSCHEMA,
            flow(matchingPrecedence=1),
            "spec.matchingPrecedence",
            "Invalid value: 1: only the schema named 'exempt' may have matchingPrecedence 1",
        ),
        (
            FLOWSCHEMA,
            flow(rules=[{"subjects": [{"kind": "Group"}], "nonResourceRules": [{"verbs": ["*"]}]}]),
            "spec.rules[0].subjects[0].group",
            "Required value: group is required when subject kind is 'Group'",
        ),
        (
            PRIORITYLEVELCONFIGURATION,
            {"spec": {"type": "Limited"}},
            "spec.limited",
            "Required value: must not be empty when type is Limited",
        ),
        (
            PRIORITYLEVELCONFIGURATION,
            level(limited={"limitResponse": {"type": "Queue", "queuing": {"queues": 1 << 20, "handSize": 9}}}),
            "spec.limited.limitResponse.queuing.handSize",
            "Invalid value: 9: required entropy bits of deckSize 1048576 and handSize 9 should not be greater than 60",
        ),
        (
            APISERVICE,
            service(versionPriority=0),
            "spec.versionPriority",
            "Invalid value: 0: must be positive and less than 1000",
        ),
        (
            APISERVICE,
            {**service(), "metadata": {"name": "v2.a.io"}},
            "metadata.name",
            'Invalid value: "v2.a.io": must be `spec.version+"."+spec.group`: "v1.a.io"',
        ),
        (
            APISERVICE,
            service(insecureSkipTLSVerify=True),
            "spec.insecureSkipTLSVerify",
            "Invalid value: true: local APIServices may not have insecureSkipTLSVerify",
        ),
    ],
)
def test_broken_rules(kind: Kind, document: Document, field: str, message: str) -> None:
    assert causes(kind, document)[:1] == [(field, message)]


def test_deny_and_warn_say_the_same() -> None:
    (found,) = causes(VALIDATINGADMISSIONPOLICYBINDING, binding(validationActions=["Deny", "Warn"]))
    assert found[0] == "spec.validationActions"
    assert "must not contain both Deny and Warn" in found[1]


@pytest.mark.parametrize(
    ("kind", "before", "after", "field"),
    [
        (RUNTIMECLASS, {"handler": "a"}, {"handler": "b"}, "handler"),
        (CSIDRIVER, {}, {"spec": {"attachRequired": False}}, "spec.attachedRequired"),
        (CSIDRIVER, {}, {"spec": {"podInfoOnMount": True}}, None),
        (CSISTORAGECAPACITY, {"storageClassName": "a"}, {"storageClassName": "b"}, "storageClassName"),
        (CSISTORAGECAPACITY, {"storageClassName": "a"}, {"storageClassName": "a", "capacity": "1Gi"}, None),
        (
            VOLUMEATTRIBUTESCLASS,
            {"driverName": "a", "parameters": {"a": "b"}},
            {"driverName": "a", "parameters": {"a": "c"}},
            "parameters",
        ),
        (RESOURCECLAIM, claim(EXACTLY), claim({**EXACTLY, "name": "other"}), "spec"),
        (RESOURCESLICE, {"spec": SLICE}, {"spec": {**SLICE, "driver": "b.io"}}, "spec.driver"),
        (RESOURCESLICE, {"spec": SLICE}, {"spec": {**SLICE, "devices": [{"name": "a"}]}}, None),
    ],
)
def test_what_an_update_may_change(kind: Kind, before: Document, after: Document, field: str | None) -> None:
    assert [where for where, _ in causes(kind, after, before)[:1]] == ([field] if field else [])


def cells(kind: Kind, document: Document) -> list[Any]:
    return [column.source(document, NOW) for column in kind.columns if callable(column.source)]


def test_cells() -> None:
    assert cells(CSIDRIVER, complete(CSIDRIVER, {})) == [True, False, False, "<unset>", False, "Persistent"]
    assert cells(VALIDATINGADMISSIONPOLICY, policy()) == [1, "<unset>"]
    named = binding(paramRef={"name": "p", "namespace": "n"})
    assert cells(VALIDATINGADMISSIONPOLICYBINDING, named) == ["n/p"]
    assert cells(PRIORITYLEVELCONFIGURATION, complete(PRIORITYLEVELCONFIGURATION, level())) == [30, 64, 8, 50]
    assert cells(FLOWSCHEMA, flow()) == ["<none>", "?"]
    assert cells(APISERVICE, service()) == ["Local", "Unknown"]
    failed = {"type": "Available", "status": "False", "reason": "MissingEndpoints"}
    backed = service(service={"namespace": "n", "name": "a"})
    assert cells(APISERVICE, {**backed, "status": {"conditions": [failed]}}) == ["n/a", "False (MissingEndpoints)"]
    assert cells(RESOURCECLAIM, claim(EXACTLY)) == ["pending"]
    allocated = {**claim(EXACTLY), "status": {"allocation": {}, "reservedFor": [{"name": "p"}]}}
    assert cells(RESOURCECLAIM, allocated) == ["allocated,reserved"]
