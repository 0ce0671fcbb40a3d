"""The formats of strings that schemas of custom resources may name, each a question with yes or no.

Formats that are not named here are not checked, as in Kubernetes.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from collections.abc import Callable, Mapping
from datetime import date
from ipaddress import ip_network
from urllib.parse import urlsplit

from navarch.base.clock import parse_rfc3339
from navarch.kinds.rules import is_ip
from navarch.objects import names


def _attempt(parse: Callable[[str], object], text: str) -> bool:
    try:
        parse(text)
    except ValueError:
        return False
    return True


def _full(pattern: str) -> Callable[[str], bool]:
    match = re.compile(pattern, re.ASCII).fullmatch
    return lambda text: match(text) is not None


_UUID = r"[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?%s[0-9a-fA-F]{3}-?%s[0-9a-fA-F]{3}-?[0-9a-fA-F]{12}"
_DURATION_UNITS = "ns|nanosecond|us|µs|microsecond|ms|millisecond|s|sec|second|m|min|minute|h|hr|hour|d|day|w|week"


def _base64(text: str) -> bool:
    try:
        b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


def _is_uri(text: str) -> bool:
    try:
        found = urlsplit(text)
    except ValueError:
        return False
    return bool(found.scheme) or text.startswith("/")


FORMATS: Mapping[str, Callable[[str], bool]] = {
    "bsonobjectid": _full(r"[0-9a-fA-F]{24}"),
    "uri": _is_uri,
    "email": _full(r"[^@\s<>]+@[^@\s<>]+"),
    "hostname": lambda text: len(text) <= 253 and _full(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9])?")(text),
    "ipv4": lambda text: is_ip(text) and "." in text and ":" not in text,
    "ipv6": lambda text: is_ip(text) and ":" in text,
    "cidr": lambda text: "/" in text and _attempt(lambda one: ip_network(one, strict=False), text),
    "mac": _full(r"([0-9A-Fa-f]{2}([:-]))([0-9A-Fa-f]{2}\2){4}[0-9A-Fa-f]{2}"),
    "uuid": _full(_UUID % ("[0-9a-fA-F]", "[0-9a-fA-F]")),
    "uuid3": _full(_UUID % ("3", "[0-9a-fA-F]")),
    "uuid4": _full(_UUID % ("4", "[89abAB]")),
    "uuid5": _full(_UUID % ("5", "[89abAB]")),
    "isbn": _full(r"(97[89][- ]?)?([0-9][- ]?){9}[0-9xX]"),
    "isbn10": _full(r"([0-9][- ]?){9}[0-9xX]"),
    "isbn13": _full(r"97[89][- ]?([0-9][- ]?){9}[0-9]"),
    "creditcard": _full(r"([0-9][- ]?){12,18}[0-9]"),
    "ssn": _full(r"\d{3}[- ]?\d{2}[- ]?\d{4}"),
    "hexcolor": _full(r"#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})"),
    "rgbcolor": _full(r"rgb\(\s*(\d{1,3}\s*,\s*){2}\d{1,3}\s*\)"),
    "byte": _base64,
    "date": lambda text: bool(re.fullmatch(r"\d{4}-\d\d-\d\d", text)) and _attempt(date.fromisoformat, text),
    "duration": _full(
        rf"[-+]?(0|(\d+(\.\d*)?|\.\d+)\s*({_DURATION_UNITS})s?(\s*\d+(\.\d*)?\s*({_DURATION_UNITS})s?)*)"
    ),
    "date-time": lambda text: _attempt(parse_rfc3339, text),
    "k8s-short-name": lambda text: not names.dns_label(text),
    "k8s-long-name": lambda text: not names.dns_subdomain(text),
}
"""Source: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#validation"""
