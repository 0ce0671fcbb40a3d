"""CustomResourceDefinitions of the Gateway API's kinds.

Source: https://gateway-api.sigs.k8s.io/reference/spec/
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from navarch.app.addons.gatewayapi import gateways, policies, routes
from navarch.app.addons.gatewayapi.notation import Schema, about, record
from navarch.app.addons.gatewayapi.shapes import GROUP, ROUTE_STATUS

Column = tuple[str, str, str, int]
"""Its name, its type, where its value is, and how dispensable it is."""
AGE: Column = ("Age", "date", ".metadata.creationTimestamp", 0)
_ACCEPTED: Column = ("Accepted", "string", '.status.conditions[?(@.type=="Accepted")].status', 0)
_PROGRAMMED: Column = ("Programmed", "string", '.status.conditions[?(@.type=="Programmed")].status', 0)
_HOSTNAMES: Column = ("Hostnames", "string", ".spec.hostnames", 0)


@dataclass(frozen=True, slots=True)
class Described:
    """versions: those that are served; all are alike. stored: the one that is kept, the first where it is ""."""

    kind: str
    plural: str
    about: str
    spec: Schema
    status: Schema | None = None
    short: Sequence[str] = ()
    columns: Sequence[Column] = ()
    versions: Sequence[str] = ("v1",)
    stored: str = ""
    namespaced: bool = True
    needs_spec: bool = True
    labels: Sequence[tuple[str, str]] = ()


KINDS: tuple[Described, ...] = (
    Described(
        kind="GatewayClass",
        plural="gatewayclasses",
        about="A class of Gateways, and who serves them.",
        spec=gateways.CLASS_SPEC,
        status=gateways.CLASS_STATUS,
        short=("gc",),
        columns=(
            ("Controller", "string", ".spec.controllerName", 0),
            _ACCEPTED,
            AGE,
            ("Description", "string", ".spec.description", 1),
        ),
        versions=("v1", "v1beta1"),
        namespaced=False,
    ),
    Described(
        kind="Gateway",
        plural="gateways",
        about="A way in: ports at which requests are taken, and whose routes say where they go.",
        spec=gateways.GATEWAY_SPEC,
        status=gateways.GATEWAY_STATUS,
        short=("gtw",),
        columns=(
            ("Class", "string", ".spec.gatewayClassName", 0),
            ("Address", "string", ".status.addresses[*].value", 0),
            _PROGRAMMED,
            AGE,
        ),
        versions=("v1", "v1beta1"),
    ),
    Described(
        kind="HTTPRoute",
        plural="httproutes",
        about="Which requests of HTTP go to which backends, by host, path, header, query and method.",
        spec=routes.HTTP_SPEC,
        status=ROUTE_STATUS,
        columns=(_HOSTNAMES, AGE),
        versions=("v1", "v1beta1"),
    ),
    Described(
        kind="GRPCRoute",
        plural="grpcroutes",
        about="Which calls of gRPC go to which backends, by host, service, method and header.",
        spec=routes.GRPC_SPEC,
        status=ROUTE_STATUS,
        columns=(_HOSTNAMES, AGE),
        needs_spec=False,
    ),
    Described(
        kind="TLSRoute",
        plural="tlsroutes",
        about="Which connections of TLS go to which backends, by the host that they ask for.",
        spec=routes.TLS_SPEC,
        status=ROUTE_STATUS,
        columns=(AGE,),
    ),
    Described(
        kind="ReferenceGrant",
        plural="referencegrants",
        about="Which kinds of other namespaces may refer to which of this one.",
        spec=policies.GRANT_SPEC,
        short=("refgrant",),
        columns=(AGE,),
        versions=("v1", "v1beta1"),
        stored="v1beta1",
        needs_spec=False,
    ),
    Described(
        kind="BackendTLSPolicy",
        plural="backendtlspolicies",
        about="That a Gateway speaks TLS to a Service, and whom it trusts.",
        spec=policies.POLICY_SPEC,
        status=policies.POLICY_STATUS,
        short=("btlspolicy",),
        columns=(AGE,),
        labels=((f"{GROUP}/policy", "Direct"),),
    ),
)


def definition(one: Described) -> dict[str, Any]:
    """Without labels that say whose it is."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{one.plural}.{GROUP}",
            "annotations": {
                "api-approved.kubernetes.io": "https://gateway-api.sigs.k8s.io/reference/spec/",
                f"{GROUP}/channel": "standard",
            },
            "labels": dict(one.labels),
        },
        "spec": {
            "group": GROUP,
            "scope": "Namespaced" if one.namespaced else "Cluster",
            "names": {
                "kind": one.kind,
                "listKind": f"{one.kind}List",
                "plural": one.plural,
                "singular": one.kind.lower(),
                "categories": ["gateway-api"],
                **({"shortNames": list(one.short)} if one.short else {}),
            },
            "versions": [_version(one, name) for name in one.versions],
        },
    }


def _version(one: Described, name: str) -> dict[str, Any]:
    spec = "spec!" if one.needs_spec else "spec"
    fields: dict[str, Schema] = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}}
    fields |= {"metadata": {"type": "object"}, spec: one.spec}
    if one.status is not None:
        fields["status"] = one.status
    columns = [
        {"name": title, "type": type_, "jsonPath": path, **({"priority": priority} if priority else {})}
        for title, type_, path, priority in one.columns
    ]
    return {
        "name": name,
        "served": True,
        "storage": name == (one.stored or one.versions[0]),
        "schema": {"openAPIV3Schema": about(record(fields), one.about)},
        **({"subresources": {"status": {}}} if one.status is not None else {}),
        "additionalPrinterColumns": columns,
    }


DEFINITIONS: tuple[dict[str, Any], ...] = tuple(definition(one) for one in KINDS)
