"""Every function has a signature, and every signature a function."""

from __future__ import annotations

import pytest

from navarch.cel import kubernetes, signatures
from navarch.cel.check import DYN, INT, STRING, T, check, checked
from navarch.cel.syntax import parse
from navarch.cel.values import Fault

NAMES = {"s": STRING, "n": INT, "l": T("list", STRING), "d": DYN, "o": T("optional_type", INT)}


def test_they_are_those_of_the_libraries() -> None:
    assert set(signatures.FUNCTIONS) == set(kubernetes.FUNCTIONS)
    assert set(signatures.METHODS) == set(kubernetes.METHODS)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("s.split(',')", "list(string)"),
        ("l.first()", "optional_type(string)"),
        ("l.first().orValue('x')", "string"),
        ("o.value()", "int"),
        ("optional.of(n)", "optional_type(int)"),
        ("optional.none()", "optional_type(dyn)"),
        ("l.distinct()", "list(string)"),
        ("l.max()", "string"),
        ("d.indexOf('x')", "int"),
        ("d.whatever", "dyn"),
        ("quantity(s).add(1).isGreaterThan(quantity('1'))", "bool"),
        ("ip('1.2.3.4').family()", "int"),
        ("ip.isCanonical(s)", "bool"),
        ("url(s).getQuery()['a']", "list(string)"),
        ("format.named('uuid').value().validate(s)", "optional_type(list(string))"),
        ("format.dns1123Label().validate(s).hasValue()", "bool"),
        ("'%d'.format([n])", "string"),
        ("timestamp(s).getFullYear('UTC')", "int"),
    ],
)
def test_calls(text: str, found: str) -> None:
    assert str(check(parse(text), NAMES)) == found


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("s.startsWith(n)", "found no matching overload for 'startsWith' applied to 'string.(int)'"),
        ("n.startsWith('a')", "found no matching overload for 'startsWith' applied to 'int.(string)'"),
        ("s.startsWith()", "found no matching overload for 'startsWith' applied to 'string.()'"),
        ("size(n)", "found no matching overload for 'size' applied to '(int)'"),
        ("nonsense(n)", "undeclared reference to 'nonsense'"),
        ("s.nonsense()", "undeclared reference to 'nonsense'"),
        ("l.join(1)", "applied to 'list(string).(int)'"),
        ("[1].join()", "applied to 'list(int).()'"),
        ("quantity(1)", "applied to '(int)'"),
    ],
)
def test_calls_that_cannot_work(text: str, why: str) -> None:
    with pytest.raises(Fault) as fault:
        check(parse(text), NAMES)
    assert why in str(fault.value)


def test_a_fault_is_shown_where_it_is() -> None:
    with pytest.raises(Fault) as fault:
        checked("s == 'a' &&\n  s.none(1)", NAMES)
    assert str(fault.value) == (
        "ERROR: <input>:2:9: undeclared reference to 'none' (in container '')\n |   s.none(1)\n | ........^"
    )
