"""What rules cost at most: Kubernetes' own figures, for schemas without and with bounds."""

from __future__ import annotations

from typing import Any

import pytest

from navarch.cel import cost
from navarch.cel.syntax import parse
from navarch.kinds.custom_costs import check_costs, size_of
from navarch.kinds.custom_schema import Structural
from navarch.kinds.rules import Faults

Schema = dict[str, Any]


def text(**more: Any) -> Schema:
    return {"type": "string", **more}


def array(item: Schema, most: int | None = None) -> Schema:
    return {"type": "array", "items": item, **({} if most is None else {"maxItems": most})}


def mapped(item: Schema, most: int | None = None) -> Schema:
    return {"type": "object", "additionalProperties": item, **({} if most is None else {"maxProperties": most})}


NUMBER, BOOLEAN = {"type": "number"}, {"type": "boolean"}
EITHER = {"x-kubernetes-int-or-string": True}
NESTED = mapped({"type": "object", "properties": {"required": text()}})


@pytest.mark.parametrize(
    ("rule", "schema", "found"),
    [
        ("self.all(x, true)", array(NUMBER, 10), 32),
        ("self.all(x, true)", array(EITHER), 4718591),
        ("self.all(x, x == 0.0)", array(NUMBER), 6291454),
        ("self.all(x, x == 0.0)", array(NUMBER, 3 * 1024 * 2048), 25165826),
        ("self.all(x, self.all(y, true))", array(NUMBER, 10), 352),
        ("self.all(x, self.all(y, self.all(z, true)))", array(NUMBER, 10), 3552),
        ("self.all(x, true)", mapped(NUMBER), 1348169),
        ("self.all(x, true)", mapped(text()), 1179647),
        ("self.all(x, true)", mapped(BOOLEAN), 943718),
        ("self.all(x, true)", mapped(BOOLEAN, 100), 302),
        ("self.all(x, true)", mapped(mapped(NUMBER)), 1179647),
        ("self.all(x, true)", mapped(array(NUMBER)), 1179647),
        ("self.all(x, true)", array(text(format="duration")), 2359295),
        ("self.all(x, true)", array(text(format="date")), 725936),
        ("self.all(x, true)", array(text(format="date-time")), 428963),
        ("self.all(x, true)", mapped(text(format="duration")), 1048577),
        ("self.all(x, true)", mapped(text(format="date")), 524288),
        ("self.all(x, true)", mapped(text(format="date-time")), 349526),
        ("self.all(x, x.contains(self[x]))", mapped(text()), 2752507),
        ("self.all(x, x.contains(self[x]))", mapped(text(), 10), 72),
        ("self.all(x, x['y'].required == 'z')", array(NESTED), 7340027),
        ("self.all(x, x['y'].required == 'z')", array(NESTED, 10), 72),
        ("has(self.x)", mapped(NUMBER), 0),
        ("self.contains('test')", text(), 314574),
        ("self.contains('test')", text(maxLength=10), 5),
        ("self.contains('A')", text(enum=["A", "LongValue"]), 2),
        ("self.contains('A')", text(enum=["A", "LongValue"], maxLength=1000), 401),
        ("self.startsWith('test')", text(), 2),
        ("self.endsWith('test')", text(), 2),
        ("size(self + 'hello') > size('hello')", text(), 314578),
        ("size(self + 'hello') > size('hello')", text(maxLength=4), 7),
        ("self[1] == 0.0", array(NUMBER), 2),
        ("self[1] == self[1]", array(text(), 8), 314577),
        ("self[0] == 5", array(EITHER, 10), 3),
        ("self[0] == false", array(BOOLEAN), 2),
        ("self[0][0] == -1.0", array(array(NUMBER)), 3),
        ("self[0].getHours() == 2", array(text(format="duration")), 4),
        ("self['a'] == self['b']", mapped(text(format="date-time"), 7), 8),
        ("self['c'] == self['d']", mapped(text(format="duration"), 42), 8),
        ("self == 'x'", text(), 2),
        ("self == 'x'", text(maxLength=0), 1),
        ("self.matches('x')", text(), 314574),
        ("self.matches('x')", text(maxLength=50), 22),
        ("''.matches('(((((((((())))))))))[0-9]')", text(), 7),
        ("self.matches('')", text(), 1),
        ("self.find('[0-9]+') == ''", text(), 629147),
        ("self.find('[0-9]+') == ''", text(maxLength=10), 11),
        ("self.join(' ') == 'aa bb'", array(text(maxLength=10), 10), 43),
        ("self.join(' ') == 'aa bb'", array(text()), 329853068905),
        ("self.isSorted() == true", array(text(maxLength=10), 10), 52),
        ("self.isSorted() == true", array(text()), 329854432052),
        ("self.lowerAscii() == 'lower!'", text(), 314575),
        ("self.lowerAscii() == 'lower!'", text(maxLength=10), 6),
        ("oldSelf.size() == self.size()", mapped({"type": "integer"}), 5),
    ],
)
def test_estimates(rule: str, schema: Schema, found: int) -> None:
    size, _ = size_of(Structural(schema))
    assert cost.estimate(parse(rule), {"self": size, "oldSelf": size}) == found


def test_a_field_whose_name_is_escaped_is_as_large_as_its_schema_says() -> None:
    """`namespace` is a word that the language keeps for itself."""
    size, _ = size_of(Structural({"type": "object", "properties": {"namespace": text(maxLength=63)}}))
    rule = "self.__namespace__ == self.__namespace__"
    assert cost.estimate(parse(rule), {"self": size}) == 4 + cost.tenth(63 * 4)


def test_texts_that_others_are_made_of() -> None:
    fields = {
        "str": text(maxLength=4),
        "before": text(maxLength=2),
        "after": text(maxLength=4),
        "by": text(maxLength=10),
    }
    size, _ = size_of(Structural({"type": "object", "properties": fields}))
    replaced = parse("self.str.replace(self.before, self.after) == 'does not matter'")
    assert cost.estimate(replaced, {"self": size}) == 12
    assert cost.estimate(parse("self.by.split(self.by) == []"), {"self": size}) == 22


def causes(schema: Schema) -> list[tuple[str, str]]:
    faults = Faults()
    check_costs(faults, Structural(schema, root=True), "schema")
    return [(cause.field, cause.message) for cause in faults.causes]


def test_a_rule_that_is_too_dear_is_forbidden() -> None:
    rule = {"x-kubernetes-validations": [{"rule": "self.all(x, self.exists(y, x.contains(y)))"}]}
    dear = {"type": "object", "properties": {"foo": {**array(text()), **rule}}}
    one, whole = causes(dear)
    assert one[0] == "schema.properties[foo].x-kubernetes-validations[0].rule"
    assert one[1].startswith(
        "Forbidden: estimated rule cost exceeds budget by factor of more than 100x (try simplifying"
    )
    assert whole[0] == "schema"
    assert (
        "estimated rule cost total for entire OpenAPIv3 schema exceeds budget by factor of more than 100x" in whole[1]
    )
    assert causes({"type": "object", "properties": {"foo": {**array(text(maxLength=20), 20), **rule}}}) == []


def test_a_rule_counts_for_each_value_that_it_holds_of() -> None:
    def within(most: int | None) -> Schema:
        item = {"type": "integer", "x-kubernetes-validations": [{"rule": "[1, 2, 3].all(x, x + self > 3)"}]}
        return {"type": "object", "properties": {"items": array(item, most)}}

    assert causes(within(100)) == []
    assert [field for field, _ in causes(within(None))] == [
        "schema.properties[items].items.x-kubernetes-validations[0].rule"
    ]
