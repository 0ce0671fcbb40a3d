"""What is known of an expression before it runs."""

from __future__ import annotations

import pytest

from navarch.cel.check import BIND, DURATION, DYN, INT, STRING, T, check
from navarch.cel.syntax import SyntaxFault, parse
from navarch.cel.values import Fault

ITEM = T("object", fields={"name": STRING, "port": INT})
SELF = T(
    "object",
    fields={
        "replicas": INT,
        "name": STRING,
        "wait": DURATION,
        "either": DYN,
        "items": T("list", ITEM),
        "labels": T("map", STRING, STRING),
        "in": INT,
    },
)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("self.replicas > 1 && self.name.startsWith('a')", "bool"),
        ("self.items.all(i, i.port < 10 || i.name == '')", "bool"),
        ("self.items.map(i, i.name)", "list(string)"),
        ("self.items.filter(i, i.port > 1)[0].name", "string"),
        ("self.labels.all(k, v, k != v)", "bool"),
        ("self.labels['a'] + 'b'", "string"),
        ("self.?name", "optional_type(string)"),
        ("self.?name.orValue('x')", "string"),
        ("self.either + 1", "dyn"),
        ("self.either ? 1 : 2", "int"),
        ("self.wait < duration('1h')", "bool"),
        ("has(self.name) ? self.name.size() : 0", "int"),
        ("self.__in__ + 1", "int"),
        ("type(self.name) == string", "bool"),
        ("sets.contains([1], [self.replicas])", "bool"),
        ("1 < 1.5", "bool"),
        ("{'a': 1}", "map(string, int)"),
        ("[?self.?name]", "list(dyn)"),
    ],
)
def test_types(text: str, found: str) -> None:
    assert str(check(parse(text), {"self": SELF})) == found


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("self.other", "undefined field 'other'"),
        ("has(self.other)", "undefined field 'other'"),
        ("self.items.all(i, i.prot > 1)", "undefined field 'prot'"),
        ("other.name", "undeclared reference to 'other'"),
        ("self.items.all(i, j > 1)", "undeclared reference to 'j'"),
        ("self.replicas + self.name", "found no matching overload for '_+_' applied to '(int, string)'"),
        ("self.replicas == 'a'", "applied to '(int, string)'"),
        ("self.name < 1", "applied to '(string, int)'"),
        ("self.replicas && true", "applied to '(int, bool)'"),
        ("self.name.first", "type 'string' does not support field selection"),
        ("self.replicas.all(x, true)", "cannot be range of a comprehension"),
        ("self.items.all(i, i.name)", "no matching overload"),
        ("1 in self.replicas", "applied to '(int, int)'"),
        ("1 + 1.0", "applied to '(int, double)'"),
    ],
)
def test_what_cannot_work_is_found(text: str, why: str) -> None:
    with pytest.raises(Fault) as fault:
        check(parse(text), {"self": SELF})
    assert why in str(fault.value)


def test_names_are_bound_where_devices_are_chosen_and_nowhere_else() -> None:
    text = "cel.bind(x, 1, x + 1)"
    assert check(parse(text), {BIND: DYN}) == INT
    with pytest.raises(Fault, match="undeclared reference to 'bind'"):
        check(parse(text), {})
    with pytest.raises(Fault, match="undeclared reference to 'y'"):
        check(parse("cel.bind(x, 1, y)"), {BIND: DYN})
    with pytest.raises(SyntaxFault, match="simple identifiers"):
        parse("cel.bind(x.y, 1, 2)")
