"""Admission policies and their bindings as documents, and how tests make them. For the tests of admission."""

from __future__ import annotations

from typing import Any

from api_driver import Api

GROUP = "/apis/admissionregistration.k8s.io/v1"
CONFIGMAPS_RULE = {
    "apiGroups": [""],
    "apiVersions": ["v1"],
    "resources": ["configmaps"],
    "operations": ["CREATE", "UPDATE", "DELETE"],
}
MUTABLE_RULE = {**CONFIGMAPS_RULE, "operations": ["CREATE", "UPDATE"]}
"""Nothing is changed of what is being deleted."""


def policy(name: str = "p", rule: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name},
        "spec": {"matchConstraints": {"resourceRules": [rule or CONFIGMAPS_RULE]}, **spec},
    }


def binding(name: str = "b", policy: str = "p", **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"policyName": policy, **spec}}


async def validating(
    api: Api, *, actions: tuple[str, ...] = ("Deny",), bound: dict[str, Any] | None = None, **spec: Any
) -> None:
    """A policy `p` bound by `b`. bound: more of the binding's spec."""
    await api.post(f"{GROUP}/validatingadmissionpolicies", policy(**spec))
    named = binding(validationActions=list(actions), **(bound or {}))
    await api.post(f"{GROUP}/validatingadmissionpolicybindings", named)


async def mutating(api: Api, name: str = "p", bound: dict[str, Any] | None = None, **spec: Any) -> None:
    """A policy bound by a binding of the same name."""
    spec = {"reinvocationPolicy": "Never", "failurePolicy": "Fail", "rule": MUTABLE_RULE, **spec}
    await api.post(f"{GROUP}/mutatingadmissionpolicies", policy(name, **spec))
    await api.post(f"{GROUP}/mutatingadmissionpolicybindings", binding(name, name, **(bound or {})))
