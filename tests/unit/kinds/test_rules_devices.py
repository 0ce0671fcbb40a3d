"""Devices that drivers publish, and claims of them: what is filled in, what is refused, where, and in which words."""

from __future__ import annotations

from typing import Any

import pytest
from kind_driver import Causes, Document, causes, complete

from navarch.kinds import DEVICECLASS, DEVICETAINTRULE, RESOURCECLAIM, RESOURCECLAIMTEMPLATE, RESOURCESLICE
from navarch.objects.value import Draft

EXACTLY: Document = {"deviceClassName": "gpu"}
REQUEST: Document = {"name": "a", "exactly": EXACTLY}
CHOICE: Document = {"name": "b", "firstAvailable": [{"name": "x", **EXACTLY}, {"name": "y", **EXACTLY}]}
SLICE: Document = {"driver": "a.io", "pool": {"name": "p", "resourceSliceCount": 1}, "nodeName": "n"}
OPAQUE: Document = {"driver": "a.io", "parameters": {"a": 1}}


def claim(**devices: Any) -> Causes:
    return causes(RESOURCECLAIM, {"spec": {"devices": {"requests": [REQUEST, CHOICE], **devices}}})


def exactly(**more: Any) -> Causes:
    return claim(requests=[{"name": "a", "exactly": {**EXACTLY, **more}}])


def selected(expression: str) -> Causes:
    return exactly(selectors=[{"cel": {"expression": expression}}])


def test_what_is_filled_in() -> None:
    requests = [{"name": "a", "exactly": {**EXACTLY, "count": 0, "tolerations": [{"key": "k"}]}}]
    filled = complete(RESOURCECLAIM, {"spec": {"devices": {"requests": requests}}})["spec"]["devices"]["requests"][0]
    assert filled["exactly"]["count"] == 1
    assert filled["exactly"]["tolerations"] == [{"key": "k", "operator": "Equal"}]


def test_good_ones() -> None:
    named = ["a", "b", "b/x"]
    constraint = {"requests": named, "matchAttribute": "a.io/numa"}
    assert claim(constraints=[constraint], config=[{"requests": named, "opaque": OPAQUE}]) == []
    assert selected('device.attributes["a.io"].family == "x" && device.driver == "a.io"') == []
    assert selected('device.capacity["a.io"].memory.compareTo(quantity("1Gi")) >= 0') == []
    assert selected('cel.bind(a, device.attributes["a.io"], a.family == "x" && a.numa == 0)') == []


@pytest.mark.parametrize(
    ("found", "field", "message"),
    [
        (claim(requests=[{**REQUEST, "name": "A"}]), "requests[0].name", 'Invalid value: "A": a lowercase RFC 1123 la'),
        (claim(requests=[REQUEST, REQUEST]), "requests[1]", 'Duplicate value: "a"'),
        (claim(requests=[{"name": "a"}]), "requests[0]", "Required value: exactly one of `exactly` or `firstAvailable"),
        (
            claim(requests=[{**CHOICE, "exactly": EXACTLY}]),
            "requests[0]",
            'Invalid value: "null": exactly one of `exactly` or `firstAvailable` is required, but multiple fields are ',
        ),
        (claim(requests=[{**REQUEST, "name": f"r{n}"} for n in range(33)]), "requests", "Too many: 33: must have at m"),
        (
            claim(requests=[{"name": "a", "firstAvailable": [{"name": "x", **EXACTLY}] * 9}]),
            "requests[0].firstAvailable",
            "Too many: 9: must have at most 8 items",
        ),
        (
            claim(requests=[{"name": "a", "firstAvailable": [{"name": "x", **EXACTLY}] * 2}]),
            "requests[0].firstAvailable[1]",
            'Duplicate value: "x"',
        ),
        (exactly(deviceClassName=""), "requests[0].exactly.deviceClassName", "Required value"),
        (exactly(deviceClassName="A"), "requests[0].exactly.deviceClassName", 'Invalid value: "A": a lowercase RFC'),
        (exactly(allocationMode="No"), "requests[0].exactly.allocationMode", 'Unsupported value: "No": supported valu'),
        (
            exactly(allocationMode="All", count=1),
            "requests[0].exactly.count",
            "Invalid value: 1: must not be specified when allocationMode is 'All'",
        ),
        (exactly(count=-1), "requests[0].exactly.count", "Invalid value: -1: must be greater than zero"),
        (exactly(selectors=[{}]), "requests[0].exactly.selectors[0].cel", "Required value"),
        (
            selected(" " * 10241),
            "requests[0].exactly.selectors[0].cel.expression",
            "Too long: may not be more than 10240 bytes",
        ),
        (
            selected("device.driver"),
            "requests[0].exactly.selectors[0].cel.expression",
            'Invalid value: "device.driver": must evaluate to bool or the unknown type, not string',
        ),
        (
            selected("device.noSuchField"),
            "requests[0].exactly.selectors[0].cel.expression",
            'Invalid value: "device.noSuchField": compilation failed: ERROR: <input>:1:7: undefined field',
        ),
        (
            exactly(tolerations=[{"key": "a", "operator": "Exists", "value": "b"}]),
            "requests[0].exactly.tolerations[0].value",
            'Invalid value: "b": must be empty for operator `Exists`',
        ),
        (
            exactly(tolerations=[{"operator": "In"}]),
            "requests[0].exactly.tolerations[0].operator",
            'Unsupported value: "In": supported values: "Equal", "Exists"',
        ),
        (
            exactly(tolerations=[{"effect": "PreferNoSchedule"}]),
            "requests[0].exactly.tolerations[0].effect",
            'Unsupported value: "PreferNoSchedule": supported values: "NoExecute", "NoSchedule", "None"',
        ),
        (claim(constraints=[{}]), "constraints[0]", 'Required value: exactly one of "matchAttribute" or "distinctAttr'),
        (
            claim(constraints=[{"matchAttribute": "numa"}]),
            "constraints[0].matchAttribute",
            'Invalid value: "numa": a fully qualified name must be a domain and a name separated by a slash',
        ),
        (
            claim(constraints=[{"matchAttribute": "a.io/b-c"}]),
            "constraints[0].matchAttribute",
            'Invalid value: "b-c": a valid C identifier must start with alphabetic character',
        ),
        (
            claim(constraints=[{"distinctAttribute": "a/b/c"}]),
            "constraints[0].distinctAttribute",
            'Invalid value: "a/b/c": must not contain more than one slash',
        ),
        (
            claim(constraints=[{"matchAttribute": "a.io/b", "requests": ["b/z"]}]),
            "constraints[0].requests[0]",
            'Invalid value: "b/z": must be the name of a request in the claim or the name of a request and a subreques',
        ),
        (
            claim(constraints=[{"matchAttribute": "a.io/b", "requests": ["a", "a"]}]),
            "constraints[0].requests[1]",
            'Duplicate value: "a"',
        ),
        (claim(config=[{}]), "config[0].opaque", "Required value"),
        (claim(config=[{"opaque": {"driver": "a.io"}}]), "config[0].opaque.parameters", "Required value"),
        (
            claim(config=[{"opaque": {**OPAQUE, "parameters": [1]}}]),
            "config[0].opaque.parameters",
            'Invalid value: "<value omitted>": must be a valid JSON object',
        ),
        (
            claim(config=[{"opaque": {**OPAQUE, "parameters": {"a": "x" * 10240}}}]),
            "config[0].opaque.parameters",
            "Too long: may not be more than 10240 bytes",
        ),
    ],
)
def test_claims(found: Causes, field: str, message: str) -> None:
    assert found[0][0] == f"spec.devices.{field}"
    assert found[0][1].startswith(message)


def test_claims_stay_as_they_are() -> None:
    stored = {"spec": {"devices": {"requests": [REQUEST]}}}
    assert [field for field, _ in causes(RESOURCECLAIM, {"spec": {}}, stored)] == ["spec"]
    template = {"spec": stored}
    assert causes(RESOURCECLAIMTEMPLATE, template) == []
    assert [field for field, _ in causes(RESOURCECLAIMTEMPLATE, {"spec": {}}, template)] == ["spec"]
    labelled = {"spec": {"metadata": {"labels": {"a": "-"}}, "spec": {"devices": {"requests": [{"name": "a"}]}}}}
    fields = [field for field, _ in causes(RESOURCECLAIMTEMPLATE, labelled)]
    assert fields == ["spec.metadata.labels", "spec.spec.devices.requests[0]"]


def test_classes() -> None:
    bad = {"spec": {"selectors": [{"cel": {"expression": "1"}}], "extendedResourceName": "cpu"}}
    assert causes(DEVICECLASS, bad) == [
        (
            "spec.selectors[0].cel.expression",
            'Invalid value: "1": must evaluate to bool or the unknown type, not int',
        ),
        ("spec.extendedResourceName", 'Invalid value: "cpu": must be a valid extended resource name'),
    ]
    assert [field for field, _ in causes(DEVICECLASS, bad, bad)] == ["spec.extendedResourceName"], (
        "stored selectors stay"
    )
    assert causes(DEVICECLASS, {"spec": {"extendedResourceName": "a.io/gpu"}}) == []


RESULT: Document = {"request": "a", "driver": "a.io", "pool": "p", "device": "d"}
USER: Document = {"resource": "pods", "name": "x", "uid": "u"}
OWNED: Document = {"spec": {"devices": {"requests": [REQUEST]}}}


def status(old: Document | None = None, **more: Any) -> Causes:
    stored = {**OWNED, "status": old or {}}
    return causes(RESOURCECLAIM, {**OWNED, "status": more}, stored, "status")


def allocated(*results: Document, **more: Any) -> Document:
    return {"devices": {"results": list(results), **more}}


def result(**more: Any) -> Causes:
    return status(allocation=allocated({**RESULT, **more}))


TOLD: Document = {"driver": "a.io", "pool": "p", "device": "d"}


def told(**more: Any) -> Causes:
    return status(allocation=allocated(RESULT), devices=[{**TOLD, **more}])


@pytest.mark.parametrize(
    ("found", "field", "message"),
    [
        (result(request="c"), "allocation.devices.results[0].request", 'Invalid value: "c": must be the name of a req'),
        (result(driver="a_b"), "allocation.devices.results[0].driver", 'Invalid value: "a_b": a lowercase RFC 1123 su'),
        (result(pool=""), "allocation.devices.results[0].pool", "Required value"),
        (result(pool="p/"), "allocation.devices.results[0].pool", 'Invalid value: "": a lowercase RFC 1123 subdomain'),
        (result(device="D"), "allocation.devices.results[0].device", 'Invalid value: "D": a lowercase RFC 1123 label'),
        (
            result(shareID="x"),
            "allocation.devices.results[0].shareID",
            'Invalid value: "x": error validating uid: invalid UUID format',
        ),
        (
            result(shareID="0F7B7A9E-3B5D-4A3C-9E37-0A2B1C3D4E5F"),
            "allocation.devices.results[0].shareID",
            'Invalid value: "0F7B7A9E-3B5D-4A3C-9E37-0A2B1C3D4E5F": uid must be in RFC 4122 normalized form',
        ),
        (
            result(bindingConditions=["a"]),
            "allocation.devices.results[0].bindingFailureConditions",
            "Invalid value: null: bindingFailureConditions are required to use bindingConditions",
        ),
        (
            result(bindingConditions=["a"], bindingFailureConditions=["a"]),
            "allocation.devices.results[0].bindingFailureConditions[0]",
            'Invalid value: "a": bindingFailureConditions must not overlap with bindingConditions',
        ),
        (
            status(allocation=allocated(config=[{"source": "No", "opaque": OPAQUE}])),
            "allocation.devices.config[0].source",
            'Unsupported value: "No": supported values: "FromClaim", "FromClass"',
        ),
        (
            status({"allocation": allocated(RESULT)}, allocation=allocated({**RESULT, "device": "e"})),
            "allocation",
            'Invalid value: {"devices":{"results":[{"request":"a","driver":"a.io","pool":"p","device":"e"}]}}: field i',
        ),
        (status(reservedFor=[USER]), "reservedFor", "Forbidden: may not be specified when `allocated` is not set"),
        (
            status(allocation=allocated(RESULT), reservedFor=[{**USER, "name": ""}]),
            "reservedFor[0].name",
            "Required value",
        ),
        (
            status(allocation=allocated(RESULT), reservedFor=[USER, USER]),
            "reservedFor[1]",
            'Duplicate value: "u"',
        ),
        (told(device="e"), "devices[0]", "Invalid value: a.io/p/e: must be an allocated device in the claim"),
        (told(conditions=[{"type": "A"}]), "devices[0].conditions[0].status", 'Unsupported value: ""'),
        (told(data=[1]), "devices[0].data", 'Invalid value: "<value omitted>": must be a valid JSON object'),
        (
            told(networkData={"interfaceName": "x" * 257}),
            "devices[0].networkData.interfaceName",
            "Too long: may not be more than 256 bytes",
        ),
        (
            told(networkData={"ips": ["10.0.0.1"]}),
            "devices[0].networkData.ips[0]",
            'Invalid value: "10.0.0.1": must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)',
        ),
        (
            told(networkData={"ips": ["2001:DB8::1/64"]}),
            "devices[0].networkData.ips[0]",
            'Invalid value: "2001:DB8::1/64": must be in canonical form ("2001:db8::1/64")',
        ),
        (
            told(networkData={"ips": ["10.0.0.1/8", "10.0.0.1/8"]}),
            "devices[0].networkData.ips[1]",
            'Duplicate value: "10.0.0.1/8"',
        ),
    ],
)
def test_status(found: Causes, field: str, message: str) -> None:
    assert found[0][0] == f"status.{field}"
    assert found[0][1].startswith(message)


def test_good_status() -> None:
    network = {"interfaceName": "eth0", "ips": ["10.0.0.1/8", "2001:db8::1/64"]}
    assert told(data={"a": 1}, networkData=network) == []
    both = {"bindingConditions": ["a"], "bindingFailureConditions": ["b"]}
    assert result(shareID="0f7b7a9e-3b5d-4a3c-9e37-0a2b1c3d4e5f", **both) == []


def test_nobody_is_added_to_a_claim_that_goes() -> None:
    gone = {"metadata": {"deletionTimestamp": "x"}, **OWNED}
    stored = {**gone, "status": {"allocation": allocated(RESULT), "reservedFor": [USER]}}
    more = {**gone, "status": {**stored["status"], "reservedFor": [USER, {**USER, "uid": "v"}]}}
    assert causes(RESOURCECLAIM, stored, stored, "status") == []
    ((field, message),) = causes(RESOURCECLAIM, more, stored, "status")
    assert field == "status.reservedFor"
    assert message.startswith("Forbidden: new entries may not be added")


def test_what_is_told_of_a_device_goes_with_it() -> None:
    stored = {"status": {"allocation": allocated(RESULT, {**RESULT, "device": "e"})}}
    draft = Draft({"status": {"allocation": allocated(RESULT), "devices": [TOLD, {**TOLD, "device": "e"}]}})
    assert RESOURCECLAIM.prepare_status is not None
    RESOURCECLAIM.prepare_status(draft, stored)
    assert draft.get("status", "devices") == [TOLD]
    draft.remove("status", "allocation")
    RESOURCECLAIM.prepare_status(draft, stored)
    assert not draft.has("status", "devices")


def published(**more: Any) -> Causes:
    return causes(
        RESOURCESLICE, {"spec": {key: value for key, value in {**SLICE, **more}.items() if value is not None}}
    )


def device(**more: Any) -> Causes:
    return published(devices=[{"name": "d", **more}])


def capacity(policy: Document | None, shared: bool = True, value: str = "10") -> Causes:
    found = {"value": value} if policy is None else {"value": value, "requestPolicy": policy}
    return device(allowMultipleAllocations=shared, capacity={"memory": found})


def ranged(default: str = "2", **more: str) -> Causes:
    return capacity({"default": default, "validRange": {"min": "2", **more}})


TAINT: Document = {"key": "a.io/b", "effect": "NoSchedule"}
COUNTERS: Document = {"counterSet": "s", "counters": {"c": {"value": "1"}}}


@pytest.mark.parametrize(
    ("found", "field", "message"),
    [
        (published(driver="x" * 64), "driver", "Too long: may not be more than 63 bytes"),
        (published(pool={"name": "P", "resourceSliceCount": 1}), "pool.name", 'Invalid value: "P": a lowercase RFC 11'),
        (published(pool={"name": "p"}), "pool.resourceSliceCount", "Invalid value: 0: must be greater than zero"),
        (
            published(pool={"name": "p", "resourceSliceCount": 1, "generation": -1}),
            "pool.generation",
            "Invalid value: -1: must be greater than or equal to zero",
        ),
        (published(nodeName=None), "", "Required value: exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDe"),
        (published(nodeName=""), "nodeName", 'Invalid value: "": must be either unset or set to a non-empty string'),
        (published(allNodes=False), "allNodes", "Invalid value: false: must be either unset or set to true"),
        (published(nodeName="A"), "nodeName", 'Invalid value: "A": a lowercase RFC 1123 subdomain'),
        (
            published(nodeName=None, nodeSelector={"nodeSelectorTerms": []}),
            "nodeSelector.nodeSelectorTerms",
            "Required value: must have at least one node selector term",
        ),
        (published(devices=[], sharedCounters=[]), "", 'Invalid value: "": only one of `sharedCounters` or `devices` '),
        (published(devices=[{"name": f"d{n}"} for n in range(129)]), "devices", "Too many: 129: must have at most 128"),
        (
            published(devices=[{"name": f"d{n}", "taints": [TAINT]} for n in range(65)]),
            "devices",
            "Too many: 65: must have at most 64 items",
        ),
        (published(devices=[{"name": "d"}, {"name": "d"}]), "devices[1]", 'Duplicate value: "d"'),
        (device(name="D"), "devices[0].name", 'Invalid value: "D": a lowercase RFC 1123 label'),
        (
            device(attributes={f"a{n}": {"int": 1} for n in range(33)}),
            "devices[0]",
            "Invalid value: 33: the total number of attributes and capacities must not exceed 32",
        ),
        (device(attributes={"a-b": {"int": 1}}), "devices[0].attributes", 'Invalid value: "a-b": a valid C identifier'),
        (device(attributes={"a.io/": {"int": 1}}), "devices[0].attributes", 'Invalid value: "": the name must not be '),
        (device(attributes={"a" * 33: {"int": 1}}), "devices[0].attributes", "Too long: may not be more than 32 bytes"),
        (device(attributes={"a": {}}), "devices[0].attributes[a]", 'Invalid value: "": exactly one value must be spec'),
        (
            device(attributes={"a": {"int": 1, "bool": True}}),
            "devices[0].attributes[a]",
            'Invalid value: {"int":1,"bool":true}: exactly one value must be specified',
        ),
        (
            device(attributes={"a": {"string": "x" * 65}}),
            "devices[0].attributes[a].string",
            "Too long: may not be more than 64 bytes",
        ),
        (
            device(attributes={"a": {"version": "1.0"}}),
            "devices[0].attributes[a].version",
            'Invalid value: "1.0": must be a string compatible with semver.org spec 2.0.0',
        ),
        (device(attributes={"a": {"ints": []}}), "devices[0].attributes[a].ints", "Invalid value: []: must not be emp"),
        (device(taints=[TAINT] * 17), "devices[0].taints", "Too many: 17: must have at most 16 items"),
        (device(taints=[{"key": "a"}]), "devices[0].taints[0].effect", "Required value"),
        (device(taints=[{**TAINT, "value": "-"}]), "devices[0].taints[0].value", 'Invalid value: "-": a valid label'),
        (device(consumesCounters=[COUNTERS] * 3), "devices[0].consumesCounters", "Too many: 3: must have at most 2 it"),
        (device(consumesCounters=[COUNTERS] * 2), "devices[0].consumesCounters[1]", 'Duplicate value: "s"'),
        (device(consumesCounters=[{"counterSet": "s"}]), "devices[0].consumesCounters[0].counters", "Required value"),
        (device(nodeName="n"), "devices[0]", 'Invalid value: "null": `nodeName`, `nodeSelector` and `allNodes` can on'),
        (
            published(nodeName=None, perDeviceNodeSelection=True, devices=[{"name": "d"}]),
            "devices[0]",
            "Required value: exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when",
        ),
        (
            published(sharedCounters=[{"name": "S", "counters": {"c": {"value": "1"}}}]),
            "sharedCounters[0].name",
            'Invalid value: "S": a lowercase RFC 1123 label',
        ),
        (
            published(sharedCounters=[{"name": "s", "counters": {"C": {"value": "1"}}}]),
            "sharedCounters[0].counters",
            'Invalid value: "C": a lowercase RFC 1123 label',
        ),
        (
            published(sharedCounters=[{"name": f"s{n}", "counters": {"c": {"value": "1"}}} for n in range(9)]),
            "sharedCounters",
            "Too many: 9: must have at most 8 items",
        ),
    ],
)
def test_slices(found: Causes, field: str, message: str) -> None:
    assert found[0][0] == f"spec.{field}".rstrip(".")
    assert found[0][1].startswith(message)


@pytest.mark.parametrize(
    ("found", "field", "message"),
    [
        (capacity({"default": "1"}, shared=False), "", "Forbidden: allowMultipleAllocations must be true"),
        (
            capacity({"validValues": ["1"], "validRange": {"min": "1"}}),
            "",
            "Forbidden: exactly one policy can be specified, cannot specify",
        ),
        (capacity({"validValues": ["1"]}), ".default", "Required value: required when validValues is defined"),
        (capacity({"validRange": {"min": "1"}}), ".default", "Required value: required when validRange is defined"),
        (
            capacity({"default": "1", "validValues": ["2", "1"]}),
            ".validValues[1]",
            'Invalid value: "1": values must be sorted in ascending order',
        ),
        (
            capacity({"default": "1", "validValues": ["1", "11"]}),
            ".validValues[1]",
            'Invalid value: "11": option is larger than capacity value: 10',
        ),
        (
            capacity({"default": "3", "validValues": ["1", "2"]}),
            ".validValues",
            'Invalid value: "3": default value is not valid according to the requestPolicy',
        ),
        (capacity({"default": "1", "validRange": {}}), ".validRange.min", "Required value: required when validRange i"),
        (ranged(default="1"), ".validRange.default", 'Invalid value: "1": default is less than min: 2'),
        (ranged(max="1", default="2"), ".validRange.max", 'Invalid value: "2": min is larger than max: 1'),
        (ranged(max="11"), ".validRange.max", 'Invalid value: "11": max is larger than capacity value: 10'),
        (ranged(step="0"), ".validRange.step", 'Invalid value: "0": must be greater than zero'),
        (ranged(step="9"), ".validRange.step", 'Invalid value: "9": one step 11 is larger than capacity value: 10'),
        (
            ranged(default="3", step="2"),
            ".validRange.step",
            'Invalid value: "3": value is not a multiple of a given step (2) from (2)',
        ),
    ],
)
def test_how_much_may_be_asked_for(found: Causes, field: str, message: str) -> None:
    assert found[0][0] == f"spec.devices[0].capacity[memory].requestPolicy{field}"
    assert found[0][1].startswith(message)


def test_good_slices() -> None:
    assert capacity(None, shared=False) == []
    assert ranged(default="4", max="8", step="2") == []
    assert capacity({"default": "1", "validValues": ["1", "2"]}) == []
    assert device(attributes={"a.io/v": {"version": "1.2.3-rc.1+b"}, "b": {"strings": ["x"]}}) == []
    both = {"bindingConditions": ["a"], "bindingFailureConditions": ["b"]}
    assert device(taints=[TAINT], consumesCounters=[COUNTERS], **both) == []
    by_device = {"nodeName": None, "perDeviceNodeSelection": True}
    assert published(**by_device, devices=[{"name": "d", "allNodes": True}]) == []


def test_what_of_a_slice_stays() -> None:
    stored = {"spec": {**SLICE, "devices": [{"name": "d", "taints": [{"key": "a"}]}]}}
    assert causes(RESOURCESLICE, stored, stored) == [], "taints that stay are not judged again"
    other = {"spec": {**SLICE, "pool": {"name": "q", "resourceSliceCount": 1}, "nodeName": "m"}}
    assert [field for field, _ in causes(RESOURCESLICE, other, stored)] == ["spec.pool.name", "spec.nodeName"]


def test_rules_that_taint() -> None:
    def rule(**selector: str) -> list[str]:
        found = causes(DEVICETAINTRULE, {"spec": {"deviceSelector": selector, "taint": TAINT}})
        return [field for field, _ in found]

    assert rule(driver="a.io", pool="p", device="d") == []
    assert rule(driver="a_b", pool="P", device="D") == [
        f"spec.deviceSelector.{field}" for field in ("driver", "pool", "device")
    ]
    unknown = {"spec": {"taint": {**TAINT, "effect": "New"}}}
    assert [field for field, _ in causes(DEVICETAINTRULE, unknown)] == ["spec.taint.effect"]
    assert causes(DEVICETAINTRULE, unknown, unknown) == [], "an effect that stays may be a later version's"
    conditions = [
        {"type": f"A{n}", "status": "True", "reason": "B", "lastTransitionTime": "2026-01-01T00:00:00Z"}
        for n in range(9)
    ]
    assert causes(DEVICETAINTRULE, {"status": {"conditions": conditions}}, {}, "status") == [
        ("status.conditions", "Too many: 9: must have at most 8 items")
    ]
