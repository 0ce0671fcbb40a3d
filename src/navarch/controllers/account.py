"""What every namespace has: the service account `default`, and the certificate by which to know the API server.

Source: https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from datetime import datetime

from navarch.controllers.controller import Cache, Controller, Watch, own_key
from navarch.controllers.options import Setup
from navarch.controllers.plan import Create, Patch, Plan
from navarch.kinds import CONFIGMAP, NAMESPACE, SERVICEACCOUNT
from navarch.kinds.kind import Kind
from navarch.kinds.object import Object

DEFAULT_ACCOUNT = "default"
ROOT_CA = "kube-root-ca.crt"
ROOT_CA_KEY = "ca.crt"
ROOT_CA_NOTE = "kubernetes.io/description"
ROOT_CA_TEXT = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the "
    "internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes "
    "clusters."
)


@dataclass(frozen=True, slots=True)
class Observed:
    """existing: the object that the namespace should have."""

    namespace: Object
    existing: Object | None


def service_account(setup: Setup) -> Controller[Observed]:
    """Every namespace has the service account `default`."""

    def plan(observed: Observed, now: datetime) -> Plan:
        if observed.existing is not None:
            return Plan()
        metadata = {"name": DEFAULT_ACCOUNT, "namespace": observed.namespace.name}
        document = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}
        return Plan((Create(SERVICEACCOUNT, document),))

    return _controller("service-account", SERVICEACCOUNT, DEFAULT_ACCOUNT, plan, "service-account-controller")


def root_ca(setup: Setup) -> Controller[Observed]:
    """Every namespace has the certificate by which to know the API server, in a ConfigMap."""
    data = {ROOT_CA_KEY: setup.options.root_ca}

    def plan(observed: Observed, now: datetime) -> Plan:
        existing = observed.existing
        if not setup.options.root_ca:
            return Plan()
        if existing is None:
            metadata = {
                "name": ROOT_CA,
                "namespace": observed.namespace.name,
                "annotations": {ROOT_CA_NOTE: ROOT_CA_TEXT},
            }
            document = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
            return Plan((Create(CONFIGMAP, document),))
        present = existing.document().get("data") or {}
        if present == data and existing.view.metadata.annotations.get(ROOT_CA_NOTE):
            return Plan()
        changes = {**{key: None for key in present if key != ROOT_CA_KEY}, **data}
        noted = {"annotations": {ROOT_CA_NOTE: ROOT_CA_TEXT}}
        return Plan((Patch(existing, {"metadata": noted, "data": changes}),))

    return _controller("root-ca", CONFIGMAP, ROOT_CA, plan, "root-ca-cert-publisher")


def _controller(
    name: str, kind: Kind, wanted: str, plan: Callable[[Observed, datetime], Plan], account: str
) -> Controller[Observed]:
    def observe(cache: Cache, key: tuple[str, str]) -> Observed | None:
        namespace = cache[NAMESPACE].get(*key)
        if namespace is None or namespace.view.metadata.deletion_timestamp is not None:
            return None
        return Observed(namespace, cache[kind].get(namespace.name, wanted))

    def keys(cache: Cache, found: Object) -> Iterable[Hashable]:
        return (("", found.namespace),) if found.name == wanted else ()

    watches = (Watch(NAMESPACE, own_key), Watch(kind, keys))
    return Controller(name, watches, observe, plan, component=account, account=account)
