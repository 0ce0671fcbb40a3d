"""The certificates by which to know the API server, for everybody: one ClusterTrustBundle of its signer.

The ConfigMap that every namespace has besides is `controllers.account`'s.

Source: https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/#cluster-trust-bundles
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from datetime import datetime

from navarch.controllers.controller import Cache, Controller, Watch
from navarch.controllers.options import Setup
from navarch.controllers.plan import Action, Create, Delete, Plan, Update
from navarch.kinds import CLUSTERTRUSTBUNDLE
from navarch.kinds.object import Object
from navarch.objects.value import Document, dig

SIGNER = "kubernetes.io/kube-apiserver-serving"
BLOCK = "-----BEGIN CERTIFICATE-----"
DIGEST_BYTES = 12
ALL = "all"
"""The only key: all bundles of the signer are looked at together."""


@dataclass(frozen=True, slots=True)
class Observed:
    """wanted: the bundle that there should be. present: those of the signer."""

    wanted: Document
    present: tuple[Object, ...]


def controller(setup: Setup) -> Controller[Observed]:
    text = setup.options.root_ca

    def observe(cache: Cache, key: str) -> Observed | None:
        if BLOCK not in text:
            return None
        return Observed(bundle(text), tuple(found for found in cache[CLUSTERTRUSTBUNDLE].list() if _of_signer(found)))

    return Controller(
        name="trust-bundle",
        watches=(Watch(CLUSTERTRUSTBUNDLE, _keys),),
        observe=observe,
        plan=plan,
        account="kube-apiserver-serving-clustertrustbundle-publisher",
        listen=lambda add: add(ALL),
    )


def _keys(cache: Cache, found: Object) -> Iterable[Hashable]:
    return (ALL,) if _of_signer(found) else ()


def _of_signer(found: Object) -> bool:
    return bool(dig(found.document(), "spec", "signerName") == SIGNER)


def bundle(text: str, signer: str = SIGNER) -> Document:
    """text: certificates in PEM, of which the name is made too: others have another name."""
    digest = hashlib.sha256(text.encode()).digest()[:DIGEST_BYTES].hex()
    return {
        "apiVersion": CLUSTERTRUSTBUNDLE.api_version,
        "kind": CLUSTERTRUSTBUNDLE.name,
        "metadata": {"name": f"{signer.replace('/', ':')}:{digest}"},
        "spec": {"signerName": signer, "trustBundle": text},
    }


def plan(observed: Observed, now: datetime) -> Plan:
    """The new one comes before the old ones go. Never raises."""
    wanted, name = observed.wanted, observed.wanted["metadata"]["name"]
    actions: list[Action] = []
    present = next((found for found in observed.present if found.name == name), None)
    if present is None:
        actions.append(Create(CLUSTERTRUSTBUNDLE, wanted))
    elif present.document().get("spec") != wanted["spec"]:
        actions.append(Update(present, {**present.document(), "spec": wanted["spec"]}))
    actions += [Delete(found) for found in observed.present if found.name != name]
    return Plan(tuple(actions))
