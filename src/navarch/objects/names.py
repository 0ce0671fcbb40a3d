"""Which names are allowed where, and what is wrong with the others, in the words that `kubectl` users know.

Every validator takes the text and returns what is wrong with it: an empty tuple when it is fine. Where a name stands in
a document, and which validator applies there, is the caller's business.

Source: https://kubernetes.io/docs/concepts/overview/working-with-objects/names/
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

Messages = tuple[str, ...]
Validator = Callable[[str], Messages]

LABEL_MAX = 63
SUBDOMAIN_MAX = 253
PORT_NAME_MAX = 15

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_LABEL_1035 = "[a-z]([-a-z0-9]*[a-z0-9])?"
_WILDCARD = rf"\*\.{_SUBDOMAIN}"
_QUALIFIED = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_ENV_NAME = "[-._a-zA-Z][-._a-zA-Z0-9]*"
_CONFIG_KEY = "[-._a-zA-Z0-9]+"
_HTTP_HEADER = "[-A-Za-z0-9]+"
_PERCENT = "[0-9]+%"
_C_IDENTIFIER = "[A-Za-z_][A-Za-z0-9_]*"

_QUALIFIED_RULE = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"
)


def too_long(limit_bytes: int) -> str:
    return f"must be no more than {limit_bytes} bytes"


def out_of_range(low: int, high: int) -> str:
    return f"must be between {low} and {high}, inclusive"


EMPTY = "must be non-empty"


def _mismatch(rule: str, pattern: str, *examples: str) -> str:
    """Kubernetes writes a comma after every example, before "or" too."""
    if not examples:
        return f"{rule} (regex used for validation is '{pattern}')"
    shown = " or ".join(f"'{example}', " for example in examples)
    return f"{rule} (e.g. {shown}regex used for validation is '{pattern}')"


_LONGEST_REMEMBERED = 320
"""Characters; what is longer is wrong anyhow, and must not fill the memory."""


def _remembering(check: Validator) -> Validator:
    """The same few names are checked again and again."""
    remembered = lru_cache(maxsize=4096)(check)

    def bounded(text: str) -> Messages:
        return remembered(text) if len(text) <= _LONGEST_REMEMBERED else check(text)

    bounded.__doc__ = check.__doc__
    return bounded


def _checker(
    rule: str, pattern: str, *examples: str, limit_bytes: int = 0, otherwise: Validator | None = None
) -> Validator:
    matches = re.compile(pattern).fullmatch
    complaint = _mismatch(rule, pattern, *examples)

    def check(text: str) -> Messages:
        found: list[str] = []
        if limit_bytes and len(text.encode()) > limit_bytes:
            found.append(too_long(limit_bytes))
        if not matches(text):
            found.append(complaint)
        if otherwise:
            found.extend(otherwise(text))
        return tuple(found)

    return _remembering(check)


def _no_parent_directory(text: str) -> Messages:
    if text == ".":
        return ("must not be '.'",)
    if text == "..":
        return ("must not be '..'",)
    return ("must not start with '..'",) if text.startswith("..") else ()


dns_subdomain = _checker(
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', "
    "and must start and end with an alphanumeric character",
    _SUBDOMAIN,
    "example.com",
    limit_bytes=SUBDOMAIN_MAX,
)
"""The names of most kinds."""

dns_label_1035 = _checker(
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character",
    _LABEL_1035,
    "my-name",
    "abc-123",
    limit_bytes=LABEL_MAX,
)
"""The names of Services."""

wildcard_dns_subdomain = _checker(
    "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of "
    "lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character",
    _WILDCARD,
    "*.example.com",
    limit_bytes=SUBDOMAIN_MAX,
)

env_name_strict = _checker(
    "a valid environment variable name must consist of alphabetic characters, digits, '_', '-', or '.', "
    "and must not start with a digit",
    _ENV_NAME,
    "my.env-name",
    "MY_ENV.NAME",
    "MyEnvName1",
    otherwise=_no_parent_directory,
)
"""What was asked of environment names before any printable one was allowed."""

config_key = _checker(
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
    _CONFIG_KEY,
    "key.name",
    "KEY_NAME",
    "key-name",
    limit_bytes=SUBDOMAIN_MAX,
    otherwise=_no_parent_directory,
)
"""The keys of ConfigMaps and Secrets."""

http_header = _checker(
    "a valid HTTP header must consist of alphanumeric characters or '-'", _HTTP_HEADER, "X-Header-Name"
)
percent = _checker("a valid percent string must be a numeric string followed by an ending '%'", _PERCENT, "1%", "93%")
c_identifier = _checker(
    "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters "
    "or '_'",
    _C_IDENTIFIER,
    "my_name",
    "MY_NAME",
    "MyName",
)

_dns_label_shape = re.compile(_LABEL).fullmatch
_dns_subdomain_shape = re.compile(_SUBDOMAIN).fullmatch
_qualified_shape = re.compile(_QUALIFIED).fullmatch


@_remembering
def dns_label(text: str) -> Messages:
    """The names of Namespaces, containers, volumes and pod hostnames."""
    found = [too_long(LABEL_MAX)] if len(text.encode()) > LABEL_MAX else []
    if not _dns_label_shape(text):
        if _dns_subdomain_shape(text):
            found.append("must not contain dots")
        else:
            rule = (
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', "
                "and must start and end with an alphanumeric character"
            )
            found.append(_mismatch(rule, _LABEL, "my-name", "123-abc"))
    return tuple(found)


def generated(check: Validator) -> Validator:
    """The same check for a `generateName`: a trailing dash is fine, since a suffix follows."""

    def check_prefix(text: str) -> Messages:
        return check(text[:-2] + "a" if len(text) > 1 and text.endswith("-") else text)

    return check_prefix


@_remembering
def label_key(text: str) -> Messages:
    """`name` or `prefix/name`: keys of labels, annotations, taints, extended resources, finalizers."""
    prefix, slash, name = text.rpartition("/")
    if "/" in prefix:
        rule = _mismatch(_QUALIFIED_RULE, _QUALIFIED, "MyName", "my.name", "123-abc")
        return (f"a valid label key {rule} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')",)
    found: list[str] = []
    if slash and not prefix:
        found.append(f"prefix part {EMPTY}")
    elif slash:
        found.extend(f"prefix part {message}" for message in dns_subdomain(prefix))
    if not name:
        found.append(f"name part {EMPTY}")
    elif len(name.encode()) > LABEL_MAX:
        found.append(f"name part {too_long(LABEL_MAX)}")
    if not _qualified_shape(name):
        found.append("name part " + _mismatch(_QUALIFIED_RULE, _QUALIFIED, "MyName", "my.name", "123-abc"))
    return tuple(found)


qualified_name = label_key


@_remembering
def label_value(text: str) -> Messages:
    found = [too_long(LABEL_MAX)] if len(text.encode()) > LABEL_MAX else []
    if text and not _qualified_shape(text):
        rule = (
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', "
            "and must start and end with an alphanumeric character"
        )
        found.append(_mismatch(rule, f"({_QUALIFIED})?", "MyValue", "my_value", "12345"))
    return tuple(found)


def port_name(text: str) -> Messages:
    """An IANA service name, as containers' and Services' ports carry (RFC 6335)."""
    found = [too_long(PORT_NAME_MAX)] if len(text.encode()) > PORT_NAME_MAX else []
    if not re.fullmatch("[-a-z0-9]+", text):
        found.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not re.search("[a-z]", text):
        found.append("must contain at least one letter (a-z)")
    if "--" in text:
        found.append("must not contain consecutive hyphens")
    if text.startswith("-") or text.endswith("-"):
        found.append("must not begin or end with a hyphen")
    return tuple(found)


def port(number: int) -> Messages:
    return () if 1 <= number <= 65535 else (out_of_range(1, 65535),)


def env_name(text: str) -> Messages:
    """Any printable ASCII but "="."""
    found = [] if text else [f"environment variable name {EMPTY}"]
    if not all(" " <= character <= "~" and character != "=" for character in text):
        found.append("a valid environment variable name must consist only of printable ASCII characters other than '='")
    return tuple(found)


def path_segment(text: str) -> Messages:
    """What may stand in a URL: the names of RBAC's kinds, which are otherwise free."""
    if text in (".", ".."):
        return (f"may not be '{text}'",)
    return tuple(f"may not contain '{character}'" for character in ("/", "%") if character in text)


STANDARD_FINALIZERS = ("kubernetes", "orphan", "foregroundDeletion")
NO_FINALIZER = "name is neither a standard finalizer name nor is it fully qualified"


def is_finalizer(text: str) -> bool:
    """Whether a finalizer is somebody's, by a domain, or one that Kubernetes knows."""
    return "/" in text or text in STANDARD_FINALIZERS
