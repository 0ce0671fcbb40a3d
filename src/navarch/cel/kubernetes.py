"""The functions that Kubernetes adds: addresses and networks, URLs, quantities, versions, the formats of names.

Source: https://kubernetes.io/docs/reference/using-api/cel/#kubernetes-url-library and what follows it there
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from fractions import Fraction
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any
from urllib.parse import parse_qs, urlsplit

from navarch.cel import authorizer, library
from navarch.cel.library import paid, text
from navarch.cel.program import Function, Program, Run
from navarch.cel.values import NONE, Fault, Optional, OverBudget
from navarch.objects import names, quantity


class Ip:
    __slots__ = ("address",)
    cel_type = "net.IP"

    def __init__(self, address: IPv4Address | IPv6Address) -> None:
        self.address = address

    @property
    def text(self) -> str:
        return str(self.address)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ip) and other.address == self.address

    def __hash__(self) -> int:
        return hash(self.address)


class Cidr:
    __slots__ = ("network", "text")
    cel_type = "net.CIDR"

    def __init__(self, network: IPv4Network | IPv6Network, written: str) -> None:
        self.network = network
        self.text = written

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Cidr) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)


class Url:
    __slots__ = ("parts", "text")
    cel_type = "kubernetes.URL"

    def __init__(self, written: str) -> None:
        self.text = written
        self.parts = urlsplit(written)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Url) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)


class Quantity:
    __slots__ = ("amount",)
    cel_type = "kubernetes.Quantity"

    def __init__(self, amount: Fraction) -> None:
        self.amount = amount

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Quantity) and other.amount == self.amount

    def __hash__(self) -> int:
        return hash(self.amount)


_SEMVER = re.compile(
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+[0-9A-Za-z.-]+)?"
)


class Semver:
    __slots__ = ("numbers", "pre")
    cel_type = "kubernetes.Semver"

    def __init__(self, numbers: tuple[int, int, int], pre: str) -> None:
        self.numbers = numbers
        self.pre = pre

    @property
    def key(self) -> tuple[Any, ...]:
        """Sorts as versions do: a release comes after what is before it."""
        parts = tuple((0, int(one), "") if one.isdigit() else (1, 0, one) for one in self.pre.split("."))
        return (*self.numbers, 0 if self.pre else 1, parts if self.pre else ())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Semver) and other.key == self.key

    def __hash__(self) -> int:
        return hash(self.key)


class Format:
    __slots__ = ("check", "name")
    cel_type = "kubernetes.NamedFormat"

    def __init__(self, name: str, check: Callable[[str], Any]) -> None:
        self.name = name
        self.check = check


def _ip(run: Run, written: str) -> Ip:
    try:
        found = ip_address(paid(run, written))
    except ValueError:
        raise Fault(f'IP Address "{written[:64]}" parse error') from None
    if "%" in written or (isinstance(found, IPv6Address) and found.ipv4_mapped):
        raise Fault(f'IP Address "{written[:64]}" is not allowed: zones and IPv4-mapped addresses are not')
    return Ip(found)


def _cidr(run: Run, written: str) -> Cidr:
    try:
        if "/" not in paid(run, written) or "%" in written:
            raise ValueError(written)
        return Cidr(ip_network(written, strict=False), written)
    except ValueError:
        raise Fault(f'network address parse error during conversion from string: "{written[:64]}"') from None


def _url(run: Run, written: str) -> Url:
    try:
        found = Url(paid(run, written))
    except ValueError:
        raise Fault(f"URL parse error: {written[:64]!r}") from None
    if not (found.parts.scheme or written.startswith("/")):
        raise Fault(f"URL parse error: {written[:64]!r}: invalid URI for request")
    return found


def _quantity(run: Run, written: str) -> Quantity:
    try:
        return Quantity(Fraction(quantity.parse(paid(run, written))))
    except ValueError as error:
        raise Fault(str(error)) from None


def _semver(run: Run, written: str, normalize: bool = False) -> Semver:
    found = paid(run, written)
    if normalize:
        head, mark, tail = re.sub(r"^v", "", found).partition("-")
        numbers = [one.lstrip("0") or "0" for one in head.split(".")]
        found = ".".join([*numbers, "0", "0"][: max(3, len(numbers))]) + mark + tail
    return version(found)


def version(written: str) -> Semver:
    """Raises: Fault."""
    match = _SEMVER.fullmatch(written)
    if match is None:
        raise Fault(f"semver parse error: {written[:64]!r}")
    return Semver((int(match[1]), int(match[2]), int(match[3])), match[4] or "")


def _is(make: Function) -> Function:
    def function(run: Run, *args: Any) -> bool:
        text(args[0])
        try:
            make(run, *args)
        except Fault as fault:
            return _gave_up(fault)
        return True

    return function


def _gave_up(fault: Fault) -> bool:
    """No such value; but what has run out of its budget ends."""
    if isinstance(fault, OverBudget):
        raise fault
    return False


def _typed(type_: type, value: Any) -> Any:
    if not isinstance(value, type_):
        raise Fault("no such overload")
    return value


def _contains_ip(run: Run, network: Cidr, address: Any) -> bool:
    found = _ip(run, address) if isinstance(address, str) else _typed(Ip, address)
    return found.address.version == network.network.version and found.address in network.network


def _contains_cidr(run: Run, network: Cidr, other: Any) -> bool:
    found = _cidr(run, other) if isinstance(other, str) else _typed(Cidr, other)
    if found.network.version != network.network.version:
        return False
    inner: Any = found.network
    return bool(inner.subnet_of(network.network))


def _canonical(run: Run, written: str) -> bool:
    return _ip(run, written).text == written


def _key(value: Any) -> Any:
    if isinstance(value, Quantity):
        return value.amount
    return _typed(Semver, value).key


def _compare(test: Callable[[Any, Any], Any]) -> Function:
    def function(run: Run, a: Any, b: Any) -> Any:
        if type(a) is not type(b):
            raise Fault("no such overload")
        return test(_key(a), _key(b))

    return function


def _shift(sign: int) -> Function:
    def function(run: Run, a: Quantity, b: Any) -> Quantity:
        return Quantity(a.amount + sign * (Fraction(b) if isinstance(b, int) else b.amount))

    return function


def _as_integer(run: Run, found: Quantity) -> int:
    if found.amount.denominator != 1 or abs(found.amount) >= 2**63:
        raise Fault("cannot convert value to integer")
    return int(found.amount)


def _host(found: Url) -> str:
    return found.parts.netloc.rpartition("@")[2]


def _hostname(found: Url) -> str:
    host = _host(found)
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]


def _port(found: Url) -> str:
    return _host(found).rpartition("]")[2].partition(":")[2]


_DATE = re.compile(r"\d{4}-\d\d-\d\d").fullmatch
FORMATS: Mapping[str, Callable[[str], Any]] = {
    "dns1123Label": names.dns_label,
    "dns1123LabelPrefix": lambda one: names.dns_label(one.rstrip("-") or "-"),
    "dns1123Subdomain": names.dns_subdomain,
    "dns1123SubdomainPrefix": lambda one: names.dns_subdomain(one.rstrip("-.") or "-"),
    "dns1035Label": names.dns_label_1035,
    "dns1035LabelPrefix": lambda one: names.dns_label_1035(one.rstrip("-") or "-"),
    "qualifiedName": names.qualified_name,
    "labelValue": names.label_value,
    "uri": lambda one: () if urlsplit(one).scheme else ("invalid URI",),
    "uuid": lambda one: (
        () if re.fullmatch(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", one) else ("no UUID",)
    ),
    "byte": lambda one: () if re.fullmatch(r"[A-Za-z0-9+/]*={0,2}", one) else ("invalid base64",),
    "date": lambda one: () if _DATE(one) else ("invalid date",),
    "datetime": lambda one: () if re.match(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d", one) else ("invalid datetime",),
}


def _validate(run: Run, form: Format, value: str) -> Optional:
    found = list(form.check(paid(run, value)))
    return Optional(found) if found else NONE


def _named(run: Run, name: str) -> Optional:
    return Optional(Format(name, FORMATS[name])) if name in FORMATS else NONE


def _format(run: Run, target: Any, *args: Any) -> Any:
    return library.METHODS["format"](run, target, *args)


FUNCTIONS: dict[str, Function] = {
    **library.FUNCTIONS,
    "ip": _ip,
    "isIP": _is(_ip),
    "ip.isCanonical": _canonical,
    "cidr": _cidr,
    "isCIDR": _is(_cidr),
    "url": _url,
    "isURL": _is(_url),
    "quantity": _quantity,
    "isQuantity": _is(_quantity),
    "semver": _semver,
    "isSemver": _is(_semver),
    "format.named": _named,
    "jsonpatch.escapeKey": lambda run, key: paid(run, key).replace("~", "~0").replace("/", "~1"),
    **{f"format.{name}": (lambda run, name=name: Format(name, FORMATS[name])) for name in FORMATS},
}

METHODS: dict[str, Function] = {
    **library.METHODS,
    **authorizer.METHODS,
    "format": _format,
    "family": lambda run, found: found.address.version,
    "isUnspecified": lambda run, found: found.address.is_unspecified,
    "isLoopback": lambda run, found: found.address.is_loopback,
    "isLinkLocalMulticast": lambda run, found: (
        (found.address.is_multicast and found.address.is_link_local)
        or (found.text.startswith("224.0.0.") or found.text.startswith("ff02:"))
    ),
    "isLinkLocalUnicast": lambda run, found: found.address.is_link_local,
    "isGlobalUnicast": lambda run, found: (
        not (
            found.address.is_unspecified
            or found.address.is_loopback
            or found.address.is_multicast
            or found.address.is_link_local
            or found.text == "255.255.255.255"
        )
    ),
    "ip": lambda run, found: Ip(ip_address(found.text.partition("/")[0])),
    "prefixLength": lambda run, found: found.network.prefixlen,
    "masked": lambda run, found: Cidr(found.network, str(found.network)),
    "containsIP": _contains_ip,
    "containsCIDR": _contains_cidr,
    "getScheme": lambda run, found: found.parts.scheme,
    "getHost": lambda run, found: _host(found),
    "getHostname": lambda run, found: _hostname(found),
    "getPort": lambda run, found: _port(found),
    "getEscapedPath": lambda run, found: found.parts.path,
    "getQuery": lambda run, found: parse_qs(found.parts.query, keep_blank_values=True),
    "isGreaterThan": _compare(lambda a, b: a > b),
    "isLessThan": _compare(lambda a, b: a < b),
    "compareTo": _compare(lambda a, b: int(a > b) - int(a < b)),
    "sign": lambda run, found: int(found.amount > 0) - int(found.amount < 0),
    "add": _shift(1),
    "sub": _shift(-1),
    "isInteger": lambda run, found: found.amount.denominator == 1 and abs(found.amount) < 2**63,
    "asInteger": _as_integer,
    "asApproximateFloat": lambda run, found: float(found.amount),
    "major": lambda run, found: found.numbers[0],
    "minor": lambda run, found: found.numbers[1],
    "patch": lambda run, found: found.numbers[2],
    "validate": _validate,
}


def program(written: str) -> Program:
    """An expression with everything that Kubernetes offers. Raises: syntax.SyntaxFault, values.Fault."""
    return Program(written, FUNCTIONS, METHODS)
