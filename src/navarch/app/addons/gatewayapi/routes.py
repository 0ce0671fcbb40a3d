"""The kinds that say which requests go where: HTTPRoute, GRPCRoute and TLSRoute.

Source: https://gateway-api.sigs.k8s.io/reference/spec/#httproute
"""

from __future__ import annotations

from collections.abc import Iterator

from navarch.app.addons.gatewayapi.filters import GRPC_FILTERS, HTTP_FILTERS, METHOD
from navarch.app.addons.gatewayapi.notation import Rule, Schema, about, choice, defaulted, record, series, text
from navarch.app.addons.gatewayapi.shapes import (
    BACKEND_RULES,
    DURATION,
    HEADER,
    HOSTNAME,
    PARENTS,
    SECTION,
    SUBDOMAIN,
    WEIGHTED,
    WEIGHTED_FIELDS,
)

MOST_RULES, MOST_MATCHES = 16, 128
_ANY_PATH = {"type": "PathPrefix", "value": "/"}
_CHARACTERS = r"^(?:[-A-Za-z0-9/._~!$&\x27()*+,;=:@]|[%][0-9a-fA-F]{2})+$"


def _path_rules() -> Iterator[Rule]:
    """A path that is compared as it stands is one that a request can have, and only in one spelling."""
    given = "self.type == 'RegularExpression'"
    yield f"{given} || self.value.startsWith('/')", "a path begins with /"
    for part in ("//", "/./", "/../", "%2f", "%2F", "#"):
        yield f"{given} || !self.value.contains('{part}')", f"a path is without {part}"
    for end in ("/..", "/."):
        yield f"{given} || !self.value.endsWith('{end}')", f"a path does not end with {end}"
    yield f"{given} || self.value.matches(r'{_CHARACTERS}')", f"a path has only characters that fit {_CHARACTERS}"


def _compared(*, longest: int) -> Schema:
    """A name, and a value that is compared as it stands or as a pattern."""
    return record(
        {
            "type": choice("Exact", "RegularExpression", default="Exact"),
            "name!": HEADER,
            "value!": text(longest, 1),
        }
    )


_HTTP_MATCH = record(
    {
        "path": defaulted(
            record(
                {
                    "type": choice("Exact", "PathPrefix", "RegularExpression", default="PathPrefix"),
                    "value": text(1024, default="/"),
                },
                *_path_rules(),
            ),
            _ANY_PATH,
        ),
        "headers": series(_compared(longest=4096), 16, keys=("name",)),
        "queryParams": series(_compared(longest=1024), 16, keys=("name",)),
        "method": METHOD,
    }
)
_TIMEOUTS = record(
    {"request": DURATION, "backendRequest": DURATION},
    (
        "!(has(self.request) && has(self.backendRequest)) || duration(self.request) == duration('0s')"
        " || duration(self.backendRequest) <= duration(self.request)",
        "backendRequest is not longer than request",
    ),
)


def _replaces_prefix(one: str) -> str:
    """Of a filter: it puts something in the place of the prefix that was matched."""
    return " || ".join(
        f"(has({one}.{field}) && has({one}.{field}.path) && has({one}.{field}.path.replacePrefixMatch))"
        for field in ("requestRedirect", "urlRewrite")
    )


_BY_ONE_PREFIX = "(self.matches.size() == 1 && self.matches[0].path.type == 'PathPrefix')"
_PREFIX_MESSAGE = "replacePrefixMatch needs a rule of exactly one match, by PathPrefix"
_HTTP_RULE = record(
    {
        "name": SECTION,
        "matches": about(
            defaulted(series(_HTTP_MATCH, 64), [{"path": _ANY_PATH}]),
            "Which requests: those that one of the matches fits in all that it asks for.",
        ),
        "filters": about(HTTP_FILTERS, "What is done to them on their way."),
        "backendRefs": about(
            series(record({**WEIGHTED_FIELDS, "filters": HTTP_FILTERS}, *BACKEND_RULES), 16),
            "Where they go. Of several each gets the share that its weight has in the sum of all weights.",
        ),
        "timeouts": _TIMEOUTS,
    },
    (
        "!has(self.backendRefs) || self.backendRefs.size() == 0 || !has(self.filters)"
        " || !self.filters.exists(one, has(one.requestRedirect))",
        "what is redirected has no backendRefs",
    ),
    (
        f"!has(self.filters) || !self.filters.exists(one, {_replaces_prefix('one')}) || {_BY_ONE_PREFIX}",
        _PREFIX_MESSAGE,
    ),
    (
        "!has(self.backendRefs) || !self.backendRefs.exists(to, has(to.filters)"
        f" && to.filters.exists(one, {_replaces_prefix('one')})) || {_BY_ONE_PREFIX}",
        f"{_PREFIX_MESSAGE}, in the filters of backendRefs too",
    ),
)


def _rule_list(rule: Schema) -> Schema:
    count = "(has(self[{0}].matches) ? self[{0}].matches.size() : 0)"
    total = " + ".join(f"(self.size() > {index} ? {count.format(index)} : 0)" for index in range(MOST_RULES))
    return series(
        rule,
        MOST_RULES,
        (f"{total} <= {MOST_MATCHES}", f"all rules together have at most {MOST_MATCHES} matches"),
        ("self.all(a, !has(a.name) || self.exists_one(b, has(b.name) && a.name == b.name))", "names of rules differ"),
    )


_PARENT_REFS = about(PARENTS, "The Gateways that it is to be attached to.")
_HOSTNAMES = about(series(HOSTNAME, 16), "For which hosts; for all of the listener's, where there are none.")
HTTP_SPEC = record(
    {
        "parentRefs": _PARENT_REFS,
        "hostnames": _HOSTNAMES,
        "rules": defaulted({**_rule_list(_HTTP_RULE), "minItems": 1}, [{"matches": [{"path": _ANY_PATH}]}]),
    }
)

_EXACT = "(has(self.type) && self.type != 'Exact')"
_GRPC_METHOD = record(
    {
        "type": choice("Exact", "RegularExpression", default="Exact"),
        "service": text(1024),
        "method": text(1024),
    },
    ("has(self.service) || has(self.method)", "a match by method needs a service, a method, or both"),
    (
        rf"{_EXACT} || !has(self.service) || self.service.matches(r'^(?i)\.?[a-z_][a-z_0-9]*(\.[a-z_][a-z_0-9]*)*$')",
        "a service is names of letters, digits and _ with dots between them",
    ),
    (
        f"{_EXACT} || !has(self.method) || self.method.matches(r'^[A-Za-z_][A-Za-z_0-9]*$')",
        "a method is a name of letters, digits and _",
    ),
)
_GRPC_RULE = record(
    {
        "name": SECTION,
        "matches": series(
            record({"method": _GRPC_METHOD, "headers": series(_compared(longest=4096), 16, keys=("name",))}), 64
        ),
        "filters": GRPC_FILTERS,
        "backendRefs": series(record({**WEIGHTED_FIELDS, "filters": GRPC_FILTERS}, *BACKEND_RULES), 16),
    }
)
GRPC_SPEC = record({"parentRefs": _PARENT_REFS, "hostnames": _HOSTNAMES, "rules": _rule_list(_GRPC_RULE)})

TLS_SPEC = record(
    {
        "parentRefs": _PARENT_REFS,
        "hostnames!": series(
            HOSTNAME,
            1024,
            ("self.all(one, !isIP(one))", "a hostname is no address"),
            (
                rf"self.all(one, one.matches(r'^(\*\.)?{SUBDOMAIN}$'))",
                "a hostname is one, with at most its first label *",
            ),
            least=1,
        ),
        "rules!": series(record({"name": SECTION, "backendRefs!": series(WEIGHTED, 16, least=1)}), 1, least=1),
    }
)
