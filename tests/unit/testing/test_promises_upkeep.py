"""The promises about ranges, attached volumes, stored versions, tokens, bundles and conditions can be broken."""

from __future__ import annotations

from typing import Any

import pytest

from navarch.controllers.staleness import BY_AGENT
from navarch.kinds.secret import TOKEN_INVALID_SINCE, TOKEN_LAST_USED
from navarch.objects.value import Document
from navarch.testing import promises_upkeep, settled
from navarch.testing.ledger import Ledger
from navarch.testing.promises import PROMISES
from tests.unit.testing.test_promises import READY, going, judged, ledger_of, new

BARE = {"namespace": ""}


def test_all_of_them_are_asked() -> None:
    assert set(promises_upkeep.PROMISES) <= set(PROMISES)


def node(name: str, *ranges: str, **more: Any) -> Document:
    return new("Node", name, metadata=BARE, spec={"podCIDRs": list(ranges)}, **more)


def test_ranges_are_unique() -> None:
    promise = promises_upkeep.ranges_are_unique
    there, bare = node("a", "10.0.0.0/24"), node("b")
    said = judged(promise, ledger_of(there, bare), bare, node("b", "10.0.0.0/24"))
    assert said == "nodes a and b both have the range 10.0.0.0/24"
    assert not judged(promise, ledger_of(there, bare), bare, node("b", "10.0.1.0/24"))
    assert "and then ['10.0.2.0/24']" in judged(promise, ledger_of(there), there, node("a", "10.0.2.0/24"))
    assert not judged(promise, ledger_of(there), there, there)


CSI = {"driver": "d", "volumeHandle": "h"}
TITLE = "kubernetes.io/csi/d^h"


def disk(*modes: str) -> Document:
    spec = {"accessModes": list(modes), "csi": CSI, "claimRef": {"name": "c", "namespace": "default"}}
    return new("PersistentVolume", "v", metadata=BARE, spec=spec)


def attachment(on: str) -> Document:
    spec = {"nodeName": on, "source": {"persistentVolumeName": "v"}}
    return new("VolumeAttachment", f"csi-{on}", metadata=BARE, spec=spec)


def test_a_volume_is_attached_once() -> None:
    promise = promises_upkeep.attached_once
    said = judged(promise, ledger_of(disk("ReadWriteOnce"), attachment("a")), None, attachment("b"))
    assert said == "volume v is attached to b, and a has it"
    assert not judged(promise, ledger_of(disk("ReadWriteOnce")), None, attachment("b"))
    assert not judged(promise, ledger_of(disk("ReadWriteMany"), attachment("a")), None, attachment("b"))
    assert not judged(promise, ledger_of(disk("ReadWriteOnce"), attachment("a")), attachment("b"), attachment("b"))


def using(used: bool, promised: bool, **more: Any) -> Document:
    status = {**READY, "volumesInUse": [TITLE] if used else []}
    status["volumesAttached"] = [{"name": TITLE}] if promised else []
    return new("Node", "a", metadata=BARE, spec={}, status={**status, **more})


@pytest.mark.parametrize("after", [None, going(attachment("a"))])
def test_what_is_mounted_stays_attached(after: Document | None) -> None:
    promise, actor, found = promises_upkeep.mounted_stay_attached, "attachdetach-controller", attachment("a")
    volume, where = disk("ReadWriteOnce"), "Node-a"

    def said(*versions: Document, actor: str = actor) -> str:
        ledger = Ledger(lag_s=lambda: 10.0)
        ledger.actor = actor
        ledger.put("v", volume)
        for version in versions:
            ledger.put(where, version)
        return judged(promise, ledger, found, after)

    assert said(using(True, True)) == "volume v is taken from a, which uses it"
    assert said(using(True, True), using(True, False)) == "volume v is taken from a, which uses it"
    assert not said(using(True, True), actor="user")
    assert not said(using(False, True)), "nobody says that it is used"
    assert not said(using(True, False)), "it was never promised"
    assert not said(using(True, True), using(False, False), using(True, False)), "nor since it was let go"
    assert not said(using(True, True, conditions=[])), "the node is not well"
    assert not said(), "the node is gone"


def test_versions_are_forgotten_last() -> None:
    def definition(*stored: str) -> Document:
        spec = {"group": "example.com", "names": {"kind": "Ship"}}
        return new("CustomResourceDefinition", "ships", spec=spec, status={"storedVersions": list(stored)})

    promise, ship = promises_upkeep.versions_are_forgotten_last, new("Ship", "s", apiVersion="example.com/v1")
    said = judged(promise, ledger_of(ship), definition("v1", "v2"), definition("v2"))
    assert said == "version v1 is forgotten, Ship s is stored in it"
    assert not judged(promise, ledger_of(ship), definition("v1", "v2"), definition("v1"))
    assert not judged(promise, ledger_of(), definition("v1", "v2"), definition("v2"))


def token(**labels: str) -> Document:
    return new(
        "Secret", "t", metadata={"labels": {f"kubernetes.io/{k.replace('_', '-')}": v for k, v in labels.items()}}
    )


def test_used_tokens_stay() -> None:
    promise, actor = promises_upkeep.used_tokens_stay, "legacy-service-account-token-cleaner"
    assert (TOKEN_INVALID_SINCE, TOKEN_LAST_USED) == (
        "kubernetes.io/legacy-token-invalid-since",
        "kubernetes.io/legacy-token-last-used",
    )
    marked = token(legacy_token_invalid_since="2030-01-01")
    assert judged(promise, ledger_of(actor=actor), token(), None) == "token t goes, and was not marked before"
    assert not judged(promise, ledger_of(actor=actor), marked, None)
    assert not judged(promise, ledger_of(actor="user"), token(), None)
    assert not judged(promise, ledger_of(actor=actor), token(), marked)
    used = token(legacy_token_last_used="2031-01-01")
    assert "it was used on 2031-01-01" in judged(promise, ledger_of(actor=actor), used, marked)
    pod = new("Pod", "p", spec={"volumes": [{"secret": {"secretName": "t"}}]})
    assert judged(promise, ledger_of(pod, actor=actor), token(), marked) == "token t is taken from pod p"
    young = ledger_of(actor=actor)
    young.take("Pod-p", 1, b"{}", pod)
    assert not judged(promise, young, token(), marked), "nobody may have seen the pod yet"


def test_a_bundle_stays() -> None:
    promise, actor = promises_upkeep.a_bundle_stays, "kube-apiserver-serving-clustertrustbundle-publisher"
    one, two = (new("ClusterTrustBundle", name, metadata=BARE, spec={"signerName": "s"}) for name in "ab")
    assert judged(promise, ledger_of(one, actor=actor), one, None) == "the last bundle of s is removed"
    assert not judged(promise, ledger_of(one, two, actor=actor), one, None)
    assert not judged(promise, ledger_of(one, actor="user"), one, None)


def targeted(status: str, at: str, reason: str = "") -> Document:
    target = {"type": "DisruptionTarget", "status": status, "reason": reason, "lastTransitionTime": at}
    return new("Pod", "p", spec={}, status={**READY, "conditions": [*READY["conditions"], target]})  # type: ignore[misc]


def test_disruptions_are_awaited() -> None:
    promise, actor = promises_upkeep.disruptions_are_awaited, "disruption-controller"
    began, soon, later = "2030-01-01T00:00:00Z", "2030-01-01T00:01:59Z", "2030-01-01T00:02:00Z"
    ledger = ledger_of(actor=actor)
    assert "and is not any more" in judged(promise, ledger, targeted("True", began), targeted("False", soon))
    assert not judged(promise, ledger, targeted("True", began), targeted("False", later))
    assert "its agent says so" in judged(promise, ledger, targeted("True", began, BY_AGENT), targeted("False", later))


def request(*decided: str, certificate: str = "") -> Document:
    status: Document = {"conditions": [{"type": one} for one in decided]}
    if certificate:
        status["certificate"] = certificate
    return new("CertificateSigningRequest", "r", metadata=BARE, status=status)


def test_certificates_are_kept() -> None:
    promise = promises_upkeep.certificates_are_kept
    signed = request("Approved", certificate="c")
    assert not judged(promise, ledger_of(), request("Approved"), signed)
    assert "was signed, decided was []" in judged(promise, ledger_of(), request(), request(certificate="c"))
    assert "then another one" in judged(promise, ledger_of(), signed, request("Approved", certificate="d"))
    assert "was Denied, and is not" in judged(promise, ledger_of(), request("Denied"), request())


def test_what_is_wrong_in_the_end() -> None:
    def said(*documents: Document) -> str:
        return "; ".join(settled.unsettled(ledger_of(*documents)))

    assert "Node a has no range" in said(node("a"))
    assert "no pod on a uses its volume" in said(disk("ReadWriteOnce"), attachment("a"))
    assert "are attached, there are 0 attachments" in said(using(False, True))
    assert "is still to be disrupted, since x" in said(targeted("True", "x"))
    assert "to be disrupted" not in said(targeted("True", "x", BY_AGENT))
    volumes = [{"name": "d", "persistentVolumeClaim": {"claimName": "c"}}]
    pod = new("Pod", "p", spec={"nodeName": "a", "volumes": volumes}, status=READY)
    assert "uses its volume" not in said(disk("ReadWriteOnce"), attachment("a"), pod)
