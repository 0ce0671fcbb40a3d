"""What every function takes and gives, for the type checker: one overload a line.

`item` is the item type of the target (or of the first argument), `self` the target's own type, `?` an argument that may
be left out, `|` one of several. A type that is only known while the expression runs fits everywhere.

Source: https://kubernetes.io/docs/reference/using-api/cel/ and
https://github.com/google/cel-spec/blob/master/doc/langdef.md#list-of-standard-definitions
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_TIME, _SPAN = "google.protobuf.Timestamp", "google.protobuf.Duration"
_ALIASES = {
    "time": _TIME,
    "span": _SPAN,
    "ip": "net.IP",
    "cidr": "net.CIDR",
    "url": "kubernetes.URL",
    "quantity": "kubernetes.Quantity",
    "semver": "kubernetes.Semver",
    "format": "kubernetes.NamedFormat",
    "optional": "optional_type",
    "authorizer": "kubernetes.authorization.Authorizer",
    "pathcheck": "kubernetes.authorization.PathCheck",
    "groupcheck": "kubernetes.authorization.GroupCheck",
    "check": "kubernetes.authorization.ResourceCheck",
    "decision": "kubernetes.authorization.Decision",
    "any": "dyn",
}

_WRITTEN = """
size(string|bytes|list|map) int
string|bytes|list|map.size() int
int(int|uint|double|string|time) int
uint(int|uint|double|string) uint
double(int|uint|double|string) double
string(string|bool|int|uint|double|bytes|time|span|ip|cidr|url|quantity|semver) string
bytes(bytes|string) bytes
bool(bool|string) bool
dyn(any) any
type(any) type
duration(span|string|int) span
timestamp(time|string|int) time
matches(string, string) bool
string.matches(string) bool
string.contains(string) bool
string.startsWith(string) bool
string.endsWith(string) bool
string.charAt(int) string
string.indexOf(string, int?) int
list.indexOf(any) int
string.lastIndexOf(string, int?) int
list.lastIndexOf(any) int
string.lowerAscii() string
string.upperAscii() string
string.replace(string, string, int?) string
string.split(string, int?) list<string>
list<string>.join(string?) string
string.substring(int, int?) string
string.trim() string
string.format(list) string
string.reverse() string
string.find(string) string
string.findAll(string, int?) list<string>
list.isSorted() bool
list.sum() item
list.min() item
list.max() item
list.distinct() self
list.sort() self
list.slice(int, int) self
list.flatten(int?) list
list.reverse() self
list.first() optional<item>
list.last() optional<item>
lists.range(int) list<int>
sets.contains(list, list) bool
sets.intersects(list, list) bool
sets.equivalent(list, list) bool
optional.of(any) optional<item>
optional.ofNonZeroValue(any) optional<item>
optional.none() optional
optional.hasValue() bool
optional.value() item
optional.orValue(any) item
optional.or(optional) self
base64.encode(bytes) string
base64.decode(string) bytes
strings.quote(string) string
time.getFullYear(string?) int
time.getMonth(string?) int
time.getDate(string?) int
time.getDayOfMonth(string?) int
time.getDayOfWeek(string?) int
time.getDayOfYear(string?) int
time.getHours(string?) int
span.getHours() int
time.getMinutes(string?) int
span.getMinutes() int
time.getSeconds(string?) int
span.getSeconds() int
time.getMilliseconds(string?) int
span.getMilliseconds() int
ip(string) ip
isIP(string) bool
ip.isCanonical(string) bool
ip.family() int
ip.isUnspecified() bool
ip.isLoopback() bool
ip.isLinkLocalMulticast() bool
ip.isLinkLocalUnicast() bool
ip.isGlobalUnicast() bool
cidr(string) cidr
isCIDR(string) bool
cidr.ip() ip
cidr.prefixLength() int
cidr.masked() cidr
cidr.containsIP(string|ip) bool
cidr.containsCIDR(string|cidr) bool
url(string) url
isURL(string) bool
url.getScheme() string
url.getHost() string
url.getHostname() string
url.getPort() string
url.getEscapedPath() string
url.getQuery() map<list<string>>
quantity(string) quantity
isQuantity(string) bool
quantity.sign() int
quantity.isInteger() bool
quantity.asInteger() int
quantity.asApproximateFloat() double
quantity.add(quantity|int) quantity
quantity.sub(quantity|int) quantity
quantity.isGreaterThan(quantity) bool
quantity.isLessThan(quantity) bool
quantity.compareTo(quantity) int
semver(string, bool?) semver
isSemver(string, bool?) bool
semver.major() int
semver.minor() int
semver.patch() int
semver.isGreaterThan(semver) bool
semver.isLessThan(semver) bool
semver.compareTo(semver) int
format.named(string) optional<format>
format.dns1123Label() format
format.dns1123Subdomain() format
format.dns1035Label() format
format.qualifiedName() format
format.dns1123LabelPrefix() format
format.dns1123SubdomainPrefix() format
format.dns1035LabelPrefix() format
format.labelValue() format
format.uri() format
format.uuid() format
format.byte() format
format.date() format
format.datetime() format
format.validate(string) optional<list<string>>
jsonpatch.escapeKey(string) string
authorizer.path(string) pathcheck
authorizer.group(string) groupcheck
authorizer.serviceAccount(string, string) authorizer
groupcheck.resource(string) check
check.subresource(string) check
check.namespace(string) check
check.name(string) check
check.fieldSelector(string) check
check.labelSelector(string) check
check.check(string) decision
pathcheck.check(string) decision
decision.allowed() bool
decision.reason() string
decision.errored() bool
decision.error() string
"""

LIBRARIES = ("ip", "sets", "lists", "optional", "base64", "strings", "format", "jsonpatch")
"""What stands before the dot of a function that is no method, where it is no variable."""
_STATIC = frozenset(
    (
        *("lists.range", "sets.contains", "sets.intersects", "sets.equivalent", "optional.of", "strings.quote"),
        *("optional.ofNonZeroValue", "optional.none", "base64.encode", "base64.decode", "ip.isCanonical"),
        *("format.named", "jsonpatch.escapeKey", *(f"format.dns{one}" for one in ("1123Label", "1123Subdomain"))),
        *(f"format.dns{one}" for one in ("1035Label", "1123LabelPrefix", "1123SubdomainPrefix", "1035LabelPrefix")),
        *(f"format.{one}" for one in ("qualifiedName", "labelValue", "uri", "uuid", "byte", "date", "datetime")),
    )
)


@dataclass(frozen=True, slots=True)
class Overload:
    """takes: of each argument the types that it may have, a method's target first. least: how many must be there."""

    takes: tuple[tuple[str, ...], ...]
    least: int
    gives: str


_LINE = re.compile(r"(?:([^()\s]+)\.)?(\w+)\(([^)]*)\) (\S+)")


def _types(text: str) -> tuple[str, ...]:
    return tuple(_named(one) for one in text.split("|"))


def _named(text: str) -> str:
    """With the aliases replaced: `optional<ip>` is `optional_type<net.IP>`."""
    head, mark, rest = text.partition("<")
    named = _ALIASES.get(head, head)
    return f"{named}<{_named(rest[:-1])}>" if mark else named


def _read(written: str) -> tuple[Mapping[str, Sequence[Overload]], Mapping[str, Sequence[Overload]]]:
    functions: dict[str, list[Overload]] = {}
    methods: dict[str, list[Overload]] = {}
    for line in written.strip().splitlines():
        match = _LINE.fullmatch(line)
        assert match is not None, line
        before, name, between, gives = match.groups()
        args = [one for one in between.split(", ") if one]
        takes = tuple(_types(one.rstrip("?")) for one in args)
        least = sum(not one.endswith("?") for one in args)
        static = before is None or f"{before}.{name}" in _STATIC
        if static:
            full = name if before is None else f"{before}.{name}"
            functions.setdefault(full, []).append(Overload(takes, least, _named(gives)))
        else:
            methods.setdefault(name, []).append(Overload((_types(before), *takes), least + 1, _named(gives)))
    return functions, methods


FUNCTIONS, METHODS = _read(_WRITTEN)
