"""Rules in CEL on custom resources, from the definition to the refusal."""

from __future__ import annotations

from typing import Any

import pytest
from api_driver import Api, Refused, run
from test_custom import CRDS, TABS, define, definition, tab, version

RULES = [
    {"rule": "self.low <= self.high", "messageExpression": "'low %d is above high %d'.format([self.low, self.high])"},
    {
        "rule": "!has(oldSelf.fixed) || self.fixed == oldSelf.fixed",
        "message": "fixed is immutable",
        "fieldPath": ".fixed",
    },
    {"rule": "self.ratio < 1.5", "reason": "FieldValueForbidden", "message": "too much"},
]
PROPERTIES: dict[str, Any] = {
    "low": {"type": "integer", "default": 0},
    "high": {"type": "integer", "default": 9},
    "fixed": {"type": "string"},
    "ratio": {"type": "number", "default": 1},
    "wait": {"type": "string", "format": "duration", "x-kubernetes-validations": [{"rule": "self < duration('1h')"}]},
    "tags": {
        "type": "array",
        "items": {"type": "string", "x-kubernetes-validations": [{"rule": "self.startsWith('t')"}]},
    },
    "numbers": {
        "type": "array",
        "items": {"type": "integer"},
        "maxItems": 100,
        "x-kubernetes-validations": [{"rule": "self.all(a, self.all(b, self.all(c, a + b + c >= 0)))"}],
    },
    "once": {
        "type": "string",
        "x-kubernetes-validations": [
            {"rule": "!oldSelf.hasValue() || oldSelf.value() == self", "optionalOldSelf": True, "message": "set once"}
        ],
    },
}


def ruled(rules: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    spec = {"type": "object", "properties": PROPERTIES, "x-kubernetes-validations": RULES if rules is None else rules}
    schema = {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}}
    return definition(version(schema=schema, subresources={}, selectableFields=[]))


def body(name: str = "mine", **spec: Any) -> dict[str, Any]:
    return {**tab(name), "spec": spec}


@pytest.mark.parametrize(
    ("spec", "field", "message"),
    [
        ({"low": 10}, "spec", 'Invalid value: "object": low 10 is above high 9'),
        ({"ratio": 2}, "spec", "Forbidden: too much"),
        ({"wait": "90m"}, "spec.wait", "Invalid value: \"string\": failed rule: self < duration('1h')"),
        ({"tags": ["t1", "x"]}, "spec.tags[1]", "Invalid value: \"string\": failed rule: self.startsWith('t')"),
    ],
)
def test_rules_that_do_not_hold(spec: dict[str, Any], field: str, message: str) -> None:
    async def scene(api: Api) -> None:
        await define(api, ruled())
        with pytest.raises(Refused) as refused:
            await api.post(TABS, body(**spec))
        assert [(one["field"], one["message"]) for one in refused.value.causes] == [(field, message)]

    run(scene)


def test_transition_rules_hold_on_updates_only() -> None:
    async def scene(api: Api) -> None:
        await define(api, ruled())
        await api.post(TABS, body(fixed="a", once="x"))
        with pytest.raises(Refused) as refused:
            await api.merge(f"{TABS}/mine", {"spec": {"fixed": "b", "once": "y"}})
        assert [(one["field"], one["message"]) for one in refused.value.causes] == [
            ("spec.fixed", 'Invalid value: "object": fixed is immutable'),
            ("spec.once", 'Invalid value: "string": set once'),
        ]
        assert (await api.merge(f"{TABS}/mine", {"spec": {"low": 3}}))["spec"]["low"] == 3

    run(scene)


def test_no_rule_holds_up_the_server() -> None:
    async def scene(api: Api) -> None:
        await define(api, ruled())
        with pytest.raises(Refused) as refused:
            await api.post(TABS, body(numbers=list(range(100))))
        assert "running out of cost budget" in refused.value.message
        assert refused.value.code == 422

    run(scene)


def test_what_did_not_change_is_not_judged_by_new_rules() -> None:
    async def scene(api: Api) -> None:
        await define(api, ruled([]))
        await api.post(TABS, body(low=10, tags=["t"]))
        found = await api.get(f"{CRDS}/crontabs.stable.example.com")
        found["spec"]["versions"] = ruled()["spec"]["versions"]
        tags = found["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["tags"]
        tags["minItems"] = 2
        await api.put(f"{CRDS}/crontabs.stable.example.com", found)
        assert (await api.merge(f"{TABS}/mine", {"metadata": {"labels": {"a": "b"}}}))["metadata"]["labels"] == {
            "a": "b"
        }
        with pytest.raises(Refused):
            await api.merge(f"{TABS}/mine", {"spec": {"fixed": "z"}})

    run(scene)


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ({"rule": "self.low <="}, "compilation failed: ERROR: <input>:1:12: Syntax error"),
        ({"rule": "self.lwo > 1"}, "compilation failed: ERROR: <input>:1:5: undefined field 'lwo'"),
        ({"rule": "self.low + 1"}, "must evaluate to a bool"),
        ({"rule": "true", "messageExpression": "1"}, "must evaluate to a string"),
        ({"rule": "nope(self)"}, "undeclared reference to 'nope'"),
        ({"rule": ""}, "rule is not specified"),
        ({"rule": "true", "reason": "Because"}, "supported values"),
        ({"rule": "true", "message": "a\nb"}, "must not contain line breaks"),
    ],
)
def test_rules_that_are_none_are_refused(rule: dict[str, Any], told: str) -> None:
    async def scene(api: Api) -> None:
        with pytest.raises(Refused) as refused:
            await api.post(CRDS, ruled([rule]))
        assert told in refused.value.message

    run(scene)
