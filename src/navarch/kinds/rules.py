"""How broken rules are told, in the words and with the paths that users of `kubectl` know.

Rules run on documents that fit the schema, after defaults. They write what they find into a `Faults`; on a good
document no path and no message is ever built but those of lists. Rules for the metadata of all objects are the API
server's business; what a pod template's metadata shares with them stands here.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from ipaddress import ip_address, ip_network
from threading import Lock
from typing import Any

import orjson

from navarch.base.errors import Cause
from navarch.objects import names
from navarch.objects.value import ABSENT, Document

ANNOTATIONS_MAX_BYTES = 256 * 1024
INT32_MAX = 2**31 - 1
IMMUTABLE = "field is immutable"
_HTTP_PATH = re.compile(r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+")
MOST_TOLD_CHARACTERS = 4 << 20
"""Of all that is wrong with one object: a list of very many wrong items may be shown again for each of them."""
NOT_NEGATIVE = "must be greater than or equal to 0"


def repeats(values: Sequence[Any]) -> set[int]:
    """At which indices a value stands that the list has before."""
    seen: set[bytes | str] = set()
    found: set[int] = set()
    for index, value in enumerate(values):
        key = value if isinstance(value, str) else orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
        if key in seen:
            found.add(index)
        seen.add(key)
    return found


def shown(value: Any) -> str:
    """A value as error messages show it: text in quotes, the rest as JSON."""
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t") + '"'
    return "null" if value is None else orjson.dumps(value).decode()


PASSED_BYTES = 8192
PASSED_MOST = 2048


class Passed:
    """Inputs that a pure rule found nothing wrong with: what is made from one template is judged once."""

    __slots__ = ("_known", "_lock")

    def __init__(self) -> None:
        self._known: dict[bytes, None] = {}
        self._lock = Lock()  # large objects are judged in a thread

    def __contains__(self, encoded: bytes) -> bool:
        return encoded in self._known

    def add(self, encoded: bytes) -> None:
        """Large inputs are not remembered, and the oldest are forgotten."""
        if len(encoded) <= PASSED_BYTES:
            with self._lock:
                self._known[encoded] = None
                if len(self._known) > PASSED_MOST:
                    del self._known[next(iter(self._known))]


class Faults:
    """Collects causes; every method names the path of the field."""

    __slots__ = ("_left", "causes")

    def __init__(self) -> None:
        self.causes: list[Cause] = []
        self._left = MOST_TOLD_CHARACTERS

    def required(self, field: str, detail: str = "") -> None:
        self._add("FieldValueRequired", "Required value", detail, field)

    def invalid(self, field: str, value: Any, detail: str) -> None:
        self._add("FieldValueInvalid", "Invalid value", detail, field, value)

    def invalid_unshown(self, field: str, detail: str) -> None:
        """Of a value that is too long to show, or made of several fields."""
        self._add("FieldValueInvalid", "Invalid value", detail, field)

    def unsupported(self, field: str, value: Any, supported: Iterable[str]) -> None:
        listed = ", ".join(f'"{one}"' for one in supported)
        self._add("FieldValueNotSupported", "Unsupported value", f"supported values: {listed}", field, value)

    def forbidden(self, field: str, detail: str) -> None:
        self._add("FieldValueForbidden", "Forbidden", detail, field)

    def duplicate(self, field: str, value: Any, detail: str = "") -> None:
        self._add("FieldValueDuplicate", "Duplicate value", detail, field, value)

    def not_found(self, field: str, value: Any, detail: str = "") -> None:
        self._add("FieldValueNotFound", "Not found", detail, field, value)

    def too_long(self, field: str, limit_bytes: int) -> None:
        self._add("FieldValueTooLong", "Too long", f"may not be more than {limit_bytes} bytes", field)

    def too_many(self, field: str, count: int, limit: int) -> None:
        self._add("FieldValueTooMany", f"Too many: {count}", f"must have at most {limit} items", field)

    def _add(self, reason: str, message: str, detail: str, field: str, value: Any = ABSENT) -> None:
        if self._left <= 0:
            return
        if value is not ABSENT:
            message = f"{message}: {shown(value)}"
        if detail:
            message = f"{message}: {detail}"
        self._left -= len(message)
        self.causes.append(Cause(reason, message, field))

    def checked(self, field: str, value: Any, messages: Sequence[str]) -> None:
        """What a validator of `objects.names` found."""
        for message in messages:
            self.invalid(field, value, message)

    def immutable(self, field: str, new: Any, old: Any) -> None:
        if new != old and without_empty_lists(new) != without_empty_lists(old):
            self.invalid(field, new, IMMUTABLE)

    def one_of(self, field: str, value: Any, supported: Sequence[str]) -> None:
        """A value that must be there and be one of these."""
        if value not in supported:
            if value in (None, ""):
                self.required(field)
            else:
                self.unsupported(field, value, supported)

    def not_negative(self, field: str, value: Any) -> None:
        """An integer, if it is there."""
        if value is not None and value < 0:
            self.invalid(field, value, NOT_NEGATIVE)

    def between(self, field: str, value: int, low: int, high: int) -> None:
        if not low <= value <= high:
            self.invalid(field, value, names.out_of_range(low, high))


def without_empty_lists(value: Any) -> Any:
    """A document as comparisons see it: an empty list is the same as none."""
    if isinstance(value, dict):
        found = {key: without_empty_lists(one) for key, one in value.items()}
        return {key: one for key, one in found.items() if one is not None}
    if isinstance(value, list):
        return [without_empty_lists(one) for one in value] or None
    return value


def check_labels(faults: Faults, found: Mapping[str, str] | None, field: str) -> None:
    for key, value in (found or {}).items():
        if messages := names.label_key(key):
            faults.checked(field, key, messages)
        if messages := names.label_value(value):
            faults.checked(field, value, messages)


def check_annotations(faults: Faults, found: Mapping[str, str] | None, field: str) -> None:
    size_bytes = 0
    for key, value in (found or {}).items():
        size_bytes += len(key) + len(value)
        if messages := names.label_key(key.lower()):
            faults.checked(field, key, messages)
    if size_bytes > ANNOTATIONS_MAX_BYTES // 4 and _text_bytes(found or {}) > ANNOTATIONS_MAX_BYTES:
        faults.too_long(field, ANNOTATIONS_MAX_BYTES)


def _text_bytes(found: Mapping[str, str]) -> int:
    return sum(len(key.encode()) + len(value.encode()) for key, value in found.items())


def count_or_percent(faults: Faults, value: Any, field: str) -> None:
    """A number of things that is not negative, or any percentage."""
    if isinstance(value, str):
        faults.checked(field, value, names.percent(value))
    else:
        faults.not_negative(field, value)


def int_or_percent(faults: Faults, value: Any, field: str) -> None:
    """A number of things that is not negative, or a percentage of at most 100."""
    count_or_percent(faults, value, field)
    if isinstance(value, str) and not names.percent(value) and int(value[:-1]) > 100:
        faults.invalid(field, value, "must not be greater than 100%")


def share(value: Any) -> int:
    """The number in a count or a percentage, 0 for what is neither."""
    text = str(value).removesuffix("%")
    return int(text) if text.isdecimal() else 0


def is_ip(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return "%" not in text


def is_network(text: str) -> bool:
    try:
        ip_network(text, strict=False)
    except ValueError:
        return False
    return "/" in text


NO_ADDRESS = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
NO_NETWORK = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
_ZEROS = re.compile(r"(?<![0-9a-fA-F:])0+(?=[0-9])")


def _mapped(text: str) -> bool:
    """Whether it is an IPv4 address written as one of IPv6."""
    found = ip_address(text)
    return found.version == 6 and found.ipv4_mapped is not None


def is_loose_ip(text: str) -> bool:
    """Whether it would be an address with leading zeros allowed."""
    return is_ip(text) or (":" not in text and is_ip(_ZEROS.sub("", text)))


def address(faults: Faults, value: str, field: str, known: Collection[str] = ()) -> bool:
    """Whether it is good. known: what the object held before, which may stay."""
    if value in known:
        return True
    if is_ip(value):
        problem = "must not be an IPv4-mapped IPv6 address" if _mapped(value) else ""
    elif ":" not in value and is_ip(_ZEROS.sub("", value)):
        problem = "must not have leading 0s"
    else:
        problem = NO_ADDRESS
    if problem:
        faults.invalid(field, value, problem)
    return not problem


def network(faults: Faults, value: str, field: str, known: Collection[str] = ()) -> bool:
    """Whether it is a good network in CIDR form. known: what the object held before, which may stay."""
    if value in known:
        return True
    if not is_network(value):
        loose = ":" not in value and is_network(_ZEROS.sub("", value))
        problem = "must not have leading 0s in IP or prefix length" if loose else NO_NETWORK
    elif _mapped(host := value.partition("/")[0]):
        problem = "must not have an IPv4-mapped IPv6 address"
    elif value.partition("/")[2] != str(int(value.partition("/")[2])):
        problem = "must not have leading 0s in IP or prefix length"
    else:
        whole = ip_network(value, strict=False)
        problem = "" if whole.network_address == ip_address(host) else "must not have bits set beyond the prefix length"
    if problem:
        faults.invalid(field, value, problem)
    return not problem


def not_special(faults: Faults, value: str, field: str) -> None:
    """Of an address that others are to reach; one that is no address is told of elsewhere."""
    found = ip_address(value)
    if found.is_unspecified:
        faults.invalid(field, value, f"may not be unspecified ({value})")
    if found.is_loopback:
        faults.invalid(field, value, "may not be in the loopback range (127.0.0.0/8, ::1/128)")
    if found.is_link_local:
        faults.invalid(field, value, "may not be in the link-local range (169.254.0.0/16, fe80::/10)")
    if found in _LOCAL_MULTICAST[found.version]:
        faults.invalid(field, value, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)")


_LOCAL_MULTICAST = {4: ip_network("224.0.0.0/24"), 6: ip_network("ff02::/16")}


def domain_prefixed(faults: Faults, value: str, field: str) -> None:
    """A path below somebody's domain (`acme.io/foo`), by which controllers name themselves."""
    host, _, rest = value.partition("/")
    if not value:
        faults.required(field)
    elif not host or not rest:
        faults.invalid(field, value, 'must be a domain-prefixed path (such as "acme.io/foo")')
    else:
        faults.checked(field, host, names.dns_subdomain(host))
        if not _HTTP_PATH.fullmatch(rest):
            detail = f"Invalid path (regex used for validation is '{_HTTP_PATH.pattern}')"
            faults.invalid(field, rest, detail)


def same_but(new: Document, old: Document, *fields: str) -> bool:
    """Whether the two differ in these fields at most."""
    if new == old:
        return True
    return {k: v for k, v in new.items() if k not in fields} == {k: v for k, v in old.items() if k not in fields}


def changed_fields(new: Any, old: Any, path: str = "") -> list[str]:
    """Where two documents differ, by path, for people; a list of another length is named as a whole."""
    if isinstance(new, dict) and isinstance(old, dict):
        keys = [key for key in {**old, **new} if old.get(key) != new.get(key)]
        return [
            found for key in keys for found in changed_fields(new.get(key), old.get(key), f"{path}.{key}".lstrip("."))
        ]
    if isinstance(new, list) and isinstance(old, list) and len(new) == len(old):
        pairs = [(index, one) for index, one in enumerate(new) if one != old[index]]
        return [found for index, one in pairs for found in changed_fields(one, old[index], f"{path}[{index}]")]
    return [path]
