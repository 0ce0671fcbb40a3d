"""The kinds beside routes: ReferenceGrant (who may point into a namespace) and BackendTLSPolicy (TLS to backends).

Source: https://gateway-api.sigs.k8s.io/reference/spec/#referencegrant
"""

from __future__ import annotations

from navarch.app.addons.gatewayapi.notation import about, choice, record, series, union
from navarch.app.addons.gatewayapi.shapes import (
    API_GROUP,
    CONTROLLER,
    HOSTNAME,
    KIND,
    LOCAL_REFERENCE,
    NAMESPACE,
    OBJECT_NAME,
    OPTIONS,
    PARENT,
    PRECISE_HOSTNAME,
    SECTION,
    URI,
    conditions,
    same_target,
    sections_apart,
)

GRANT_SPEC = record(
    {
        "from!": about(
            series(record({"group!": API_GROUP, "kind!": KIND, "namespace!": NAMESPACE}), 16, least=1),
            "Whose references are allowed.",
        ),
        "to!": about(
            series(record({"group!": API_GROUP, "kind!": KIND, "name": OBJECT_NAME}), 16, least=1),
            "What in this namespace they may lead to.",
        ),
    }
)

_VALIDATION = record(
    {
        "caCertificateRefs": series(LOCAL_REFERENCE, 8),
        "wellKnownCACertificates": choice("System"),
        "hostname!": PRECISE_HOSTNAME,
        "subjectAltNames": series(
            record(
                {"type!": choice("Hostname", "URI"), "hostname": HOSTNAME, "uri": URI},
                *union("type", {"hostname": "Hostname", "uri": "URI"}),
            ),
            5,
        ),
    },
    (
        "(has(self.caCertificateRefs) && self.caCertificateRefs.size() > 0) != has(self.wellKnownCACertificates)",
        "there must be either caCertificateRefs or wellKnownCACertificates",
    ),
)
POLICY_SPEC = record(
    {
        "targetRefs!": series(
            record({"group!": API_GROUP, "kind!": KIND, "name!": OBJECT_NAME, "sectionName": SECTION}),
            16,
            *sections_apart(same_target()),
            least=1,
        ),
        "validation!": _VALIDATION,
        "options": OPTIONS,
    }
)
POLICY_STATUS = record(
    {
        "ancestors!": series(
            record({"ancestorRef!": PARENT, "controllerName!": CONTROLLER, "conditions!": conditions(1)}), 16
        )
    }
)
