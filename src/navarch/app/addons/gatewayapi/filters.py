"""What routes do to requests on their way: headers, redirects, other paths, copies, answers for browsers.

Source: https://gateway-api.sigs.k8s.io/reference/spec/#httproutefilter
"""

from __future__ import annotations

from collections.abc import Mapping

from navarch.app.addons.gatewayapi.notation import Rule, Schema, choice, once, record, ruled, series, text, union, whole
from navarch.app.addons.gatewayapi.shapes import BACKEND, HEADER, LOCAL_REFERENCE, PORT, PRECISE_HOSTNAME

_HEADERS = series(record({"name!": HEADER, "value!": text(4096, 1)}), 16, keys=("name",))
_HEADER_CHANGES = record({"set": _HEADERS, "add": _HEADERS, "remove": series(text(), 16, unlike=True)})
_MIRROR = record(
    {
        "backendRef!": BACKEND,
        "percent": whole(0, 100),
        "fraction": record(
            {"numerator!": whole(0), "denominator": whole(1, default=100)},
            ("self.numerator <= self.denominator", "a fraction is not more than the whole"),
        ),
    },
    ("!(has(self.percent) && has(self.fraction))", "percent and fraction do not go together"),
)
_PATH = record(
    {
        "type!": choice("ReplaceFullPath", "ReplacePrefixMatch"),
        "replaceFullPath": text(1024),
        "replacePrefixMatch": text(1024),
    },
    *union("type", {"replaceFullPath": "ReplaceFullPath", "replacePrefixMatch": "ReplacePrefixMatch"}),
)
_REDIRECT = record(
    {
        "scheme": choice("http", "https"),
        "hostname": PRECISE_HOSTNAME,
        "path": _PATH,
        "port": PORT,
        "statusCode": {"type": "integer", "enum": [301, 302, 303, 307, 308], "default": 302},
    }
)
_REWRITE = record({"hostname": PRECISE_HOSTNAME, "path": _PATH})


def _star_alone(what: str) -> Rule:
    return "!('*' in self) || self.size() == 1", f"* stands alone in {what}"


_ORIGIN = text(253, 1, r"^\*$|^https?:\/\/((\*\.)?([a-zA-Z0-9\-]+\.)*[a-zA-Z0-9-]+|\*)(:[0-9]{1,5})?$")
_METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH")
METHOD = choice(*_METHODS)
_CORS = record(
    {
        "allowOrigins": series(_ORIGIN, 64, _star_alone("allowOrigins"), unlike=True),
        "allowCredentials": {"type": "boolean"},
        "allowMethods": series(choice(*_METHODS, "*"), 9, _star_alone("allowMethods"), unlike=True),
        "allowHeaders": series(HEADER, 64, _star_alone("allowHeaders"), unlike=True),
        "exposeHeaders": series(HEADER, 64, unlike=True),
        "maxAge": whole(1, default=5),
    }
)

_BOTH: Mapping[str, tuple[str, Schema]] = {
    "requestHeaderModifier": ("RequestHeaderModifier", _HEADER_CHANGES),
    "responseHeaderModifier": ("ResponseHeaderModifier", _HEADER_CHANGES),
    "requestMirror": ("RequestMirror", _MIRROR),
    "extensionRef": ("ExtensionRef", LOCAL_REFERENCE),
}
_HTTP_ALONE: Mapping[str, tuple[str, Schema]] = {
    "requestRedirect": ("RequestRedirect", _REDIRECT),
    "urlRewrite": ("URLRewrite", _REWRITE),
    "cors": ("CORS", _CORS),
}


def _filters(members: Mapping[str, tuple[str, Schema]], *rules: Rule) -> Schema:
    """members: fields, each with the type that it goes with and its shape."""
    tags = {field: tag for field, (tag, _) in members.items()}
    fields: dict[str, Schema] = {"type!": choice(*tags.values())}
    fields |= {field: shape for field, (_, shape) in members.items()}
    return ruled(series(record(fields, *union("type", tags)), 16), *rules)


_TURNED = "self.exists(one, one.type == 'RequestRedirect')"
_REWRITTEN = "self.exists(one, one.type == 'URLRewrite')"
GRPC_FILTERS = _filters(_BOTH, *once("type", "RequestHeaderModifier", "ResponseHeaderModifier"))
HTTP_FILTERS = _filters(
    {**_BOTH, **_HTTP_ALONE},
    (f"!({_TURNED} && {_REWRITTEN})", "RequestRedirect and URLRewrite do not go together"),
    *once("type", "RequestHeaderModifier", "ResponseHeaderModifier", "RequestRedirect", "URLRewrite", "CORS"),
)
