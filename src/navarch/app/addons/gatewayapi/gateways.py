"""The kinds that say where requests come in: GatewayClass and Gateway.

Source: https://gateway-api.sigs.k8s.io/reference/spec/#gateway
"""

from __future__ import annotations

from navarch.app.addons.gatewayapi.notation import (
    Rule,
    Schema,
    about,
    choice,
    defaulted,
    names_to,
    record,
    ruled,
    series,
    text,
    whole,
)
from navarch.app.addons.gatewayapi.shapes import (
    ADDRESS_TYPE,
    API_GROUP,
    CONTROLLER,
    GROUP,
    HOST,
    HOSTNAME,
    KIND,
    LOCAL_REFERENCE,
    NAMESPACE,
    OBJECT_NAME,
    OPTIONS,
    PORT,
    REFERENCE,
    SECRET,
    SECTION,
    SELECTOR,
    SUBDOMAIN,
    alike,
    conditions,
    keys_qualified,
    waiting,
)

CLASS_SPEC = record(
    {
        "controllerName!": about(
            ruled(CONTROLLER, ("self == oldSelf", "controllerName cannot be changed")),
            "Who serves Gateways of this class.",
        ),
        "parametersRef": record({"group!": API_GROUP, "kind!": KIND, "name!": OBJECT_NAME, "namespace": NAMESPACE}),
        "description": text(64),
    }
)
CLASS_STATUS = defaulted(
    record(
        {
            "conditions": defaulted(conditions(), waiting("Accepted")),
            "supportedFeatures": series(record({"name!": text()}), 64, keys=("name",)),
        }
    ),
    {"conditions": waiting("Accepted")},
)

_SAME = {"from": "Same"}
_ROUTE_KIND = record({"group": defaulted(API_GROUP, GROUP), "kind!": KIND})
_ROUTES = record(
    {
        "namespaces": defaulted(
            record({"from": choice("All", "Selector", "Same", default="Same"), "selector": SELECTOR}), _SAME
        ),
        "kinds": series(_ROUTE_KIND, 8),
    }
)
_LISTENER_TLS = record(
    {
        "mode": choice("Terminate", "Passthrough", default="Terminate"),
        "certificateRefs": series(SECRET, 64),
        "options": OPTIONS,
    },
    (
        "self.mode != 'Terminate' || (has(self.certificateRefs) && self.certificateRefs.size() > 0)"
        " || (has(self.options) && self.options.size() > 0)",
        "where TLS ends at the Gateway there must be certificateRefs, or options",
    ),
)
_PROTOCOL = text(255, 1, rf"^[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?$|{SUBDOMAIN}\/[A-Za-z0-9]+$")
_LISTENER = record(
    {
        "name!": SECTION,
        "hostname": about(HOSTNAME, "Which hosts' requests it takes; all, where it is missing."),
        "port!": PORT,
        "protocol!": _PROTOCOL,
        "tls": _LISTENER_TLS,
        "allowedRoutes": about(
            defaulted(_ROUTES, {"namespaces": _SAME}),
            "Whose routes may be attached: those of which namespaces and kinds.",
        ),
    }
)


def _protocol(one: str, *names: str) -> str:
    return f"{one}.protocol.upperAscii() in {list(names)}"


_LISTENER_RULES: tuple[Rule, ...] = (
    (f"self.all(a, !({_protocol('a', 'HTTP', 'TCP', 'UDP')}) || !has(a.tls))", "HTTP, TCP and UDP are without tls"),
    (
        f"self.all(a, !({_protocol('a', 'HTTPS')}) || !has(a.tls) || a.tls.mode == 'Terminate')",
        "the TLS of HTTPS ends at the Gateway: its mode is Terminate",
    ),
    (f"self.all(a, !({_protocol('a', 'TLS')}) || (has(a.tls) && has(a.tls.mode)))", "TLS needs tls with a mode"),
    (
        f"self.all(a, !({_protocol('a', 'TCP', 'UDP')}) || !has(a.hostname) || a.hostname == '')",
        "TCP and UDP are without a hostname",
    ),
    ("self.all(a, self.exists_one(b, a.name == b.name))", "no two listeners have the same name"),
    (
        f"self.all(a, self.exists_one(b, a.port == b.port && a.protocol == b.protocol && {alike('hostname')}))",
        "no two listeners have the same port, protocol and hostname",
    ),
)

_HOSTNAME_VALUE = (
    f"self.type != 'Hostname' || !has(self.value) || self.value.matches(r'{HOST}')",
    "the value of a Hostname is a host's name",
)


def _distinct(kind: str) -> Rule:
    both = f"a.type == '{kind}' && has(a.value)"
    same = "b.type == a.type && has(b.value) && b.value == a.value"
    return f"self.all(a, !({both}) || self.exists_one(b, {same}))", f"no two {kind} values are the same"


_ANNOTATION, _LABEL = text(4096), text(63, 0, "^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$")
_INFRASTRUCTURE = record(
    {
        "labels": names_to(_LABEL, 8, *keys_qualified("labels")),
        "annotations": names_to(_ANNOTATION, 16, *keys_qualified("annotations")),
        "parametersRef": LOCAL_REFERENCE,
    }
)
_CLIENT_TLS = record(
    {
        "validation": record(
            {
                "caCertificateRefs!": series(REFERENCE, 8, least=1),
                "mode": choice("AllowValidOnly", "AllowInsecureFallback", default="AllowValidOnly"),
            }
        )
    }
)
_TLS = record(
    {
        "backend": record({"clientCertificateRef": SECRET}),
        "frontend": record(
            {
                "default!": _CLIENT_TLS,
                "perPort": series(
                    record({"port!": PORT, "tls!": _CLIENT_TLS}),
                    64,
                    ("self.all(a, self.exists_one(b, a.port == b.port))", "no two entries have the same port"),
                    keys=("port",),
                ),
            }
        ),
    }
)
_LISTENER_SETS = record(
    {
        "namespaces": defaulted(
            record({"from": choice("All", "Selector", "Same", "None", default="None"), "selector": SELECTOR}),
            {"from": "None"},
        )
    }
)

GATEWAY_SPEC = record(
    {
        "gatewayClassName!": about(OBJECT_NAME, "The GatewayClass that says who serves it."),
        "listeners!": about(
            series(_LISTENER, 64, *_LISTENER_RULES, least=1, keys=("name",)),
            "The ports at which requests come in, and what is spoken there.",
        ),
        "addresses": series(
            record({"type": ADDRESS_TYPE, "value": text(253)}, _HOSTNAME_VALUE),
            16,
            _distinct("IPAddress"),
            _distinct("Hostname"),
        ),
        "infrastructure": _INFRASTRUCTURE,
        "allowedListeners": _LISTENER_SETS,
        "tls": _TLS,
    }
)
_WAITING = waiting("Accepted", "Programmed")
_LISTENER_STATUS: Schema = record(
    {
        "name!": SECTION,
        "supportedKinds": series(_ROUTE_KIND, 8),
        "attachedRoutes!": {"type": "integer", "format": "int32"},
        "conditions!": conditions(),
    }
)
GATEWAY_STATUS = defaulted(
    record(
        {
            "addresses": series(record({"type": ADDRESS_TYPE, "value!": text(253, 1)}, _HOSTNAME_VALUE), 16),
            "conditions": defaulted(conditions(), _WAITING),
            "listeners": series(_LISTENER_STATUS, 64, keys=("name",)),
            "attachedListenerSets": whole(0),
        }
    ),
    {"conditions": _WAITING},
)
