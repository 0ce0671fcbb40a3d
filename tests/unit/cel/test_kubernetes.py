"""Expressions as Kubernetes documents them: what each gives, what none may do, and that the budget stops all."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.cel.kubernetes import program
from navarch.cel.syntax import SyntaxFault, parse
from navarch.cel.values import Fault, OverBudget

SELF: dict[str, Any] = {
    "replicas": 3,
    "names": ["a", "b", "c"],
    "map": {"x": 1, "y": 2},
    "nothing": None,
    "in": 4,
    "a-b": 5,
    "items": [{"name": "one", "port": 1}, {"name": "two", "port": 2}],
}


def value(text: str, **names: Any) -> Any:
    return program(text).run({"self": SELF, **names})[0]


TRUE = """
self.replicas <= 3 && self.replicas > 2
self.replicas == 3.0 && 1 < 1.5 && 2u == 2
self.names.all(n, n.size() == 1)
self.names.exists(n, n == 'b') && !self.names.exists(n, n == 'z')
self.names.exists_one(n, n > 'b')
self.names.map(n, n + n) == ['aa', 'bb', 'cc']
self.items.map(i, i.port > 1, i.name) == ['two']
self.names.filter(n, n != 'a') == ['b', 'c']
self.map.all(k, k in ['x', 'y']) && self.map.all(k, v, v > 0)
self.names.exists(i, n, i == 2 && n == 'c')
self.names.transformList(i, n, string(i) + n) == ['0a', '1b', '2c']
self.map.transformMap(k, v, v * 2) == {'x': 2, 'y': 4}
has(self.replicas) && !has(self.other)
!has(self.other) || self.other > 1
self.other > 1 || true
[1, 2].all(x, x > 0 || x / 0 > 0)
self.?other.orValue(7) == 7 && self.?map.?x.hasValue() && self.map[?'z'] == optional.none()
cel.bind(x, 3, cel.bind(y, x + 1, x * y)) == 12 && [1, 2].all(x, cel.bind(x, x + 1, x > 1))
optional.of(1).optMap(v, v + 1).value() == 2 && [?optional.none(), 1] == [1]
self.__in__ == 4 && self.a__dash__b == 5
self.replicas in [1, 3] && 'x' in self.map && !('z' in self.map)
(self.replicas > 2 ? 'many' : 'few') == 'many'
-7 / 2 == -3 && -7 % 2 == -1 && 7.0 / 2.0 == 3.5
0x10 == 16 && 1e3 == 1000.0 && 'a\\tb'.size() == 3 && r'\\t'.size() == 2
'ABC'.lowerAscii() == 'abc' && ' x '.trim() == 'x' && 'a,b'.split(',') == ['a', 'b'] && ['a', 'b'].join('-') == 'a-b'
'hello'.substring(1, 3) == 'el' && 'hello'.indexOf('l') == 2 && 'hello'.lastIndexOf('l') == 3
'hello'.replace('l', 'L', 1) == 'heLlo' && 'hello'.charAt(1) == 'e' && 'abc'.reverse() == 'cba'
'%s is %d and %.2f, %s'.format(['a', 5, 1.5, [1, true]]) == 'a is 5 and 1.50, [1, true]'
'abc 123 45'.find('[0-9]+') == '123' && 'abc 123 45'.findAll('[0-9]+') == ['123', '45']
'abc'.matches('^[a-c]+$') && !'abcd'.matches('^[a-c]+$')
[1, 2, 2].sum() == 5 && [1, 2].isSorted() && [3, 1].min() == 1 && [3, 1].max() == 3 && [1, 2, 1].indexOf(2) == 1
[1, 1, 2].distinct() == [1, 2] && [2, 1].sort() == [1, 2]
[1, 2, 3].slice(1, 3) == [2, 3] && [[1], [2]].flatten() == [1, 2]
[1, 2].first().value() == 1 && [1, 2].last().value() == 2 && lists.range(3) == [0, 1, 2]
sets.contains([1, 2], [2]) && sets.equivalent([1, 2], [2, 1, 1]) && sets.intersects([1], [1, 2])
url('https://me@example.com:80/a%20b?x=1&x=2').getHost() == 'example.com:80'
url('https://[::1]:80/').getHostname() == '::1'
url('https://a:80').getPort() == '80' && url('http://a/b?x=1').getQuery() == {'x': ['1']}
isURL('https://a') && !isURL('x y') && url('/a/b').getEscapedPath() == '/a/b'
ip('10.0.0.1').family() == 4 && ip('::1').isLoopback() && isIP('10.0.0.1') && !isIP('10.0.0') && ip.isCanonical('::1')
cidr('10.0.0.0/8').containsIP('10.1.1.1')
cidr('10.0.0.0/8').containsCIDR(cidr('10.1.0.0/16')) && cidr('10.0.0.0/8').prefixLength() == 8
!cidr('10.0.0.0/8').containsIP('11.0.0.1') && isCIDR('10.0.0.0/8')
!isCIDR('10.0.0.1') && string(cidr('10.0.0.1/8').masked()) == '10.0.0.0/8'
quantity('1Gi').isGreaterThan(quantity('1M'))
quantity('500m').compareTo(quantity('0.5')) == 0 && quantity('1k').asInteger() == 1000
isQuantity('1.5Gi') && !isQuantity('1Ki5')
quantity('1').add(1).sub(quantity('500m')).asApproximateFloat() == 1.5 && quantity('-1').sign() == -1
semver('1.2.3').major() == 1
semver('1.2.3').isLessThan(semver('1.10.0')) && semver('1.0.0-rc.1').isLessThan(semver('1.0.0'))
isSemver('1.0.0') && !isSemver('v1.0') && semver('v1.0', true).compareTo(semver('1.0.0')) == 0
format.dns1123Label().validate('Bad_Name').hasValue() && !format.dns1123Label().validate('good').hasValue()
format.named('uri').value().validate('x').hasValue() && !format.named('no-such').hasValue()
duration('1h30m') > duration('89m') && duration('90s').getSeconds() == 90 && string(duration('2s')) == '2s'
timestamp('2026-01-02T03:04:05Z').getFullYear() == 2026
timestamp('2026-01-02T00:00:00Z') + duration('24h') == timestamp('2026-01-03T00:00:00Z')
type(1) == int && type('a') == string && type([]) == list && type({}) == map && type(null) == null_type
int('12') == 12 && double('1.5') == 1.5 && string(1) == '1'
string(true) == 'true' && uint(3) == 3u && bytes('a') == b'a'
base64.encode(b'hi') == 'aGk=' && base64.decode('aGk=') == b'hi'
self.nothing == null && self.names != null && dyn(1) != dyn('1') && dyn(true) != dyn(1)
{'a': 1}.a == 1 && {'a': 1}['a'] == 1 && {'a': [1]} == {'a': [1.0]}
"""


@pytest.mark.parametrize("text", [line for line in TRUE.splitlines() if line])
def test_what_is_true(text: str) -> None:
    assert value(text) is True


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("self.other", "no such key: other"),
        ("self.names[3]", "index out of bounds: 3"),
        ("1 / 0", "division by zero"),
        ("9223372036854775807 + 1", "integer overflow"),
        ("1 + 'a'", "no such overload"),
        ("1 + 1.0", "no such overload"),
        ("'a' < 1", "no such overload"),
        ("self.names.all(n, n)", "no such overload"),
        ("'a'.matches('(')", "error parsing regexp"),
        ("'a'.substring(5)", "index out of range: 5"),
        ("ip('fe80::1%eth0')", "not allowed"),
        ("optional.none().value()", "dereference"),
        ("{'a': 1, 'a': 2}", "repeated key"),
        ("size(1)", "no such overload"),
        ("'a'.size(1)", "no such overload"),
        ("timestamp('never')", "error parsing timestamp"),
    ],
)
def test_what_cannot_be_evaluated(text: str, why: str) -> None:
    with pytest.raises(Fault, match=why.replace("(", r"\(")):
        value(text)


@pytest.mark.parametrize(
    "text",
    ["", "1 +", "self.", "a b", "[1, 2", "has(1)", "x.all(1, true)", "for", "'a", "@", "(" * 200 + "1" + ")" * 200],
)
def test_what_is_no_expression(text: str) -> None:
    with pytest.raises(SyntaxFault):
        parse(text)


@pytest.mark.parametrize("text", ["nothing(1)", "'a'.nothing()"])
def test_functions_that_do_not_exist_are_found_before_anything_runs(text: str) -> None:
    with pytest.raises(Fault, match="undeclared reference to 'nothing'"):
        program(text)


BIG = {"list": list(range(2000)), "text": "a" * 100_000}


@pytest.mark.parametrize(
    "text",
    [
        "self.list.all(a, self.list.all(b, self.list.all(c, a + b + c >= 0)))",
        "self.list.map(a, self.list.map(b, self.list)) == []",
        "self.list.all(a, self.text.matches('(a+)+b') || true)",
        "self.list.map(a, self.text + self.text).size() > 0",
        "self.list.all(a, self.text.replace('a', 'bbbbbbbbbbbb') != '')",
        "lists.range(100000000).size() > 0",
        "self.list.all(a, self.list == self.list)",
        "self.list.all(a, sets.contains(self.list, self.list))",
        "self.list.all(x, self.text.split('').size() > 0)",
        "self.list.distinct().size() > 0 && self.list.all(a, a in self.list)",
    ],
)
def test_nothing_costs_more_than_its_budget(text: str) -> None:
    with pytest.raises(OverBudget):
        program(text).run({"self": BIG}, 300_000)


def test_a_fault_that_is_passed_over_still_pays() -> None:
    with pytest.raises(OverBudget):
        program("self.list.all(a, self.list.all(b, b.x > 0) || true)").run({"self": BIG}, 10_000)


@given(st.text("()[]{}.,?:'\"+-*/%<>=!&|abc019 in\\", max_size=40))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        compiled = program(text)
    except (SyntaxFault, Fault):
        return
    with suppress(Fault):
        compiled.run({"self": SELF}, 10_000)
