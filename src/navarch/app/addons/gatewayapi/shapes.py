"""Shapes that several kinds of the Gateway API have in common: names, references to other objects, conditions.

Source: https://gateway-api.sigs.k8s.io/reference/spec/
"""

from __future__ import annotations

from collections.abc import Mapping

from navarch.app.addons.gatewayapi.notation import (
    Rule,
    Schema,
    choice,
    defaulted,
    names_to,
    record,
    series,
    text,
    whole,
)

GROUP = "gateway.networking.k8s.io"
NEVER = "1970-01-01T00:00:00Z"

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
HOST = rf"^(\*\.)?{SUBDOMAIN}$"
_QUALIFIED = rf"^({SUBDOMAIN}/)?([A-Za-z0-9][-A-Za-z0-9_.]{{0,61}})?[A-Za-z0-9]$"
_PATH = r"[A-Za-z0-9\/\-._~%!$&'()*+,;=:]+"

HOSTNAME = text(253, 1, HOST)
PRECISE_HOSTNAME = text(253, 1, f"^{SUBDOMAIN}$")
OBJECT_NAME = text(253, 1)
NAMESPACE = text(63, 1, f"^{_LABEL}$")
SECTION = text(253, 1, f"^{SUBDOMAIN}$")
API_GROUP = text(253, 0, f"^$|^{SUBDOMAIN}$")
KIND = text(63, 1, "^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$")
CONTROLLER = text(253, 1, rf"^{SUBDOMAIN}\/{_PATH}$")
ADDRESS_TYPE = text(253, 1, rf"^Hostname|IPAddress|NamedAddress|{SUBDOMAIN}\/{_PATH}$", default="IPAddress")
HEADER = text(256, 1, r"^[A-Za-z0-9!#$%&'*+\-.^_\x60|~]+$")
DURATION = text(0, 0, "^([0-9]{1,5}(h|m|s|ms)){1,4}$")
PORT = whole(1, 65535)
URI = text(253, 1, r"^[^:/?#]+:\/\/[^/?#]*[^?#]*(\?[^#]*)?(#.*)?")

_EXPRESSIONS = series(record({"key!": text(), "operator!": text(), "values": series(text(), 256)}), 256)
SELECTOR = {
    **record({"matchLabels": names_to(text(), 256), "matchExpressions": _EXPRESSIONS}),
    "x-kubernetes-map-type": "atomic",
}


def keys_qualified(what: str) -> tuple[Rule, ...]:
    """Of a mapping: its keys have the form of those of labels."""
    return (
        (
            f"self.all(key, key.matches(r'{_QUALIFIED}'))",
            f"a key of {what} is a name of at most 63 characters, and may have the prefix of a domain",
        ),
        (
            "self.all(key, key.split('/')[0].size() < 253)",
            f"the prefix of a key of {what} has less than 253 characters",
        ),
    )


OPTIONS = names_to(text(4096), 16)
LOCAL_REFERENCE = record({"group!": API_GROUP, "kind!": KIND, "name!": OBJECT_NAME})
REFERENCE = record({"group!": API_GROUP, "kind!": KIND, "name!": OBJECT_NAME, "namespace": NAMESPACE})
SECRET = record(
    {
        "group": defaulted(API_GROUP, ""),
        "kind": defaulted(KIND, "Secret"),
        "name!": OBJECT_NAME,
        "namespace": NAMESPACE,
    }
)

BACKEND_FIELDS: Mapping[str, Schema] = {
    "group": defaulted(API_GROUP, ""),
    "kind": defaulted(KIND, "Service"),
    "name!": OBJECT_NAME,
    "namespace": NAMESPACE,
    "port": PORT,
}
BACKEND_RULES: tuple[Rule, ...] = (
    ("self.group != '' || self.kind != 'Service' || has(self.port)", "a Service as a backend needs a port"),
)
BACKEND = record(BACKEND_FIELDS, *BACKEND_RULES)
WEIGHTED_FIELDS: Mapping[str, Schema] = {**BACKEND_FIELDS, "weight": whole(0, 1_000_000, default=1)}
WEIGHTED = record(WEIGHTED_FIELDS, *BACKEND_RULES)

PARENT = record(
    {
        "group": defaulted(API_GROUP, GROUP),
        "kind": defaulted(KIND, "Gateway"),
        "namespace": NAMESPACE,
        "name!": OBJECT_NAME,
        "sectionName": SECTION,
        "port": PORT,
    }
)


def alike(field: str) -> str:
    """Of `a` and `b`: neither has the field, or both have the same in it."""
    return f"(has(a.{field}) ? has(b.{field}) && a.{field} == b.{field} : !has(b.{field}))"


def same_target(*optional: str) -> str:
    """Of two references `a` and `b`: they lead to one object. optional: fields beside group, kind and name."""
    return " && ".join(("a.group == b.group", "a.kind == b.kind", "a.name == b.name", *map(alike, optional)))


def sections_apart(same: str) -> tuple[Rule, ...]:
    """Of a list of references: those to one object each name a section, and each another."""
    return (
        (
            f"self.all(a, self.all(b, !({same}) || has(a.sectionName) == has(b.sectionName)))",
            "of several references to one object each needs a sectionName",
        ),
        (
            f"self.all(a, self.exists_one(b, {same} && {alike('sectionName')}))",
            "no two references lead to the same section of the same object",
        ),
    )


PARENTS = series(PARENT, 32, *sections_apart(same_target("__namespace__")))

CONDITION = record(
    {
        "type!": text(316, 0, rf"^({SUBDOMAIN}/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$"),
        "status!": choice("True", "False", "Unknown"),
        "observedGeneration": whole(0, bits=64),
        "lastTransitionTime!": {"type": "string", "format": "date-time"},
        "reason!": text(1024, 1, "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"),
        "message!": text(32768),
    }
)


def conditions(least: int = 0) -> Schema:
    return series(CONDITION, 8, least=least, keys=("type",))


def waiting(*types: str) -> list[dict[str, str]]:
    """The conditions of what no controller has seen yet."""
    return [
        {
            "type": each,
            "status": "Unknown",
            "reason": "Pending",
            "message": "Waiting for controller",
            "lastTransitionTime": NEVER,
        }
        for each in types
    ]


ROUTE_STATUS = record(
    {
        "parents!": series(
            record({"parentRef!": PARENT, "controllerName!": CONTROLLER, "conditions!": conditions(1)}), 32
        )
    }
)
