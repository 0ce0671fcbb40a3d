"""What the controllers promise of every write that keep a cluster in order beside its workloads: ranges of nodes,
attached volumes, stored versions, tokens, certificates and conditions."""

from __future__ import annotations

from collections.abc import Iterator

from navarch.base.clock import parse_rfc3339
from navarch.controllers.node.taints import OUT_OF_SERVICE
from navarch.controllers.staleness import BY_AGENT, KEPT, TARGET
from navarch.controllers.tokencleaner import secrets_of
from navarch.controllers.volumes.attach import SHARED
from navarch.kinds.secret import TOKEN_INVALID_SINCE, TOKEN_LAST_USED
from navarch.objects.value import Document, dig
from navarch.testing.ledger import Ledger, over, ready, terminating


def ranges_are_unique(ledger: Ledger, old: Document | None, new: Document | None) -> Iterator[str]:
    """No node is given a range of addresses that another one has, and none another than it had."""
    if new is None or new.get("kind") != "Node":
        return
    before, after = dig(old or {}, "spec", "podCIDRs", default=[]), dig(new, "spec", "podCIDRs", default=[])
    name = new["metadata"]["name"]
    if before and before != after:
        yield f"node {name} had the ranges {before}, and then {after}"
    for node in ledger.of("Node") if before != after else ():
        same = set(after) & set(dig(node, "spec", "podCIDRs", default=[]))
        if same and node["metadata"]["name"] != name:
            yield f"nodes {node['metadata']['name']} and {name} both have the range {min(same)}"


def attached_once(ledger: Ledger, old: Document | None, new: Document | None) -> Iterator[str]:
    """A volume for one node is not attached to a second one before it was let go by the first."""
    if old is not None or new is None or new.get("kind") != "VolumeAttachment":
        return
    volume, node = dig(new, "spec", "source", "persistentVolumeName"), dig(new, "spec", "nodeName")
    found = ledger.named("PersistentVolume", "", volume)
    modes = dig(found or {}, "spec", "accessModes", default=[])
    if not modes or not SHARED.isdisjoint(modes):
        return
    for other in ledger.of("VolumeAttachment"):
        if dig(other, "spec", "source", "persistentVolumeName") == volume and dig(other, "spec", "nodeName") != node:
            yield f"volume {volume} is attached to {node}, and {dig(other, 'spec', 'nodeName')} has it"


def mounted_stay_attached(ledger: Ledger, old: Document | None, new: Document | None) -> Iterator[str]:
    """Nothing is taken from a node in good health that may have mounted it: it said that it uses it and was promised
    it, and has said so ever since."""
    if old is None or old.get("kind") != "VolumeAttachment" or ledger.actor != "attachdetach-controller":
        return
    if terminating(old) or (new is not None and not terminating(new)):
        return
    node = ledger.named("Node", "", dig(old, "spec", "nodeName"))
    volume = ledger.named("PersistentVolume", "", dig(old, "spec", "source", "persistentVolumeName"))
    if node is None or volume is None:
        return
    csi = volume["spec"]["csi"]
    title = f"kubernetes.io/csi/{csi['driver']}^{csi['volumeHandle']}"
    versions = ledger.versions(node["metadata"]["uid"])
    if not all(ready(one) for one in versions):
        return
    if any(taint["key"] == OUT_OF_SERVICE for one in versions for taint in dig(one, "spec", "taints", default=())):
        return
    for one in versions:
        if title not in dig(one, "status", "volumesInUse", default=()):
            return
        if title in [found["name"] for found in dig(one, "status", "volumesAttached", default=())]:
            yield f"volume {volume['metadata']['name']} is taken from {node['metadata']['name']}, which uses it"
            return


def versions_are_forgotten_last(ledger: Ledger, old: Document | None, new: Document | None) -> Iterator[str]:
    """A definition forgets a version that objects were stored in when no object is any more."""
    if old is None or new is None or new.get("kind") != "CustomResourceDefinition":
        return
    before = dig(old, "status", "storedVersions", default=[])
    after = dig(new, "status", "storedVersions", default=[])
    for version in before:
        if version in after:
            continue
        stored_as = f"{new['spec']['group']}/{version}"
        for found in ledger.of(new["spec"]["names"]["kind"]):
            if found.get("apiVersion") == stored_as:
                yield f"version {version} is forgotten, {found['kind']} {found['metadata']['name']} is stored in it"


def used_tokens_stay(ledger: Ledger, old: Document | None, new: Document | None) -> Iterator[str]:
    """Only tokens that nobody used are marked, and only those that were marked go; none that a pod names."""
    if old is None or old.get("kind") != "Secret" or ledger.actor != "legacy-service-account-token-cleaner":
        return
    name, namespace = old["metadata"]["name"], old["metadata"]["namespace"]
    labels = old["metadata"].get("labels") or {}
    since = labels.get(TOKEN_INVALID_SINCE, "")
    if new is None or terminating(new):
        if not since:
            yield f"token {name} goes, and was not marked before"
    else:
        since = dig(new, "metadata", "labels", default={}).get(TOKEN_INVALID_SINCE, "")
    if since and labels.get(TOKEN_LAST_USED, "") >= since:
        yield f"token {name} is invalid since {since}, it was used on {labels[TOKEN_LAST_USED]}"
    if ledger.travelling:
        return
    for pod in ledger.of("Pod", namespace):
        if name in secrets_of(pod["spec"]) and not over(pod) and ledger.age_s(pod) > ledger.lag_s:
            yield f"token {name} is taken from pod {pod['metadata']['name']}"


def a_bundle_stays(ledger: Ledger, old: Document | None, new: Document | None) -> Iterator[str]:
    """Whoever publishes the cluster's certificates never leaves it without."""
    if old is None or old.get("kind") != "ClusterTrustBundle" or new is not None:
        return
    if ledger.actor != "kube-apiserver-serving-clustertrustbundle-publisher":
        return
    signer = dig(old, "spec", "signerName")
    others = [
        one
        for one in (*ledger.of("ClusterTrustBundle"), *ledger.gone_lately("ClusterTrustBundle"))
        if dig(one, "spec", "signerName") == signer and one["metadata"]["uid"] != old["metadata"]["uid"]
    ]
    if not others and not ledger.travelling:
        yield f"the last bundle of {signer} is removed"


def _target(pod: Document) -> Document:
    found = (one for one in dig(pod, "status", "conditions", default=()) if one["type"] == TARGET)
    return next(found, {})


def disruptions_are_awaited(ledger: Ledger, old: Document | None, new: Document | None) -> Iterator[str]:
    """A pod that is to be disrupted stays so for two minutes, and for as long as its agent wants."""
    if old is None or new is None or old.get("kind") != "Pod" or ledger.actor != "disruption-controller":
        return
    before, after = _target(old), _target(new)
    if before.get("status") != "True" or after.get("status") == "True":
        return
    name = new["metadata"]["name"]
    if before.get("reason") == BY_AGENT:
        yield f"pod {name} is not to be disrupted any more, though its agent says so"
    elif parse_rfc3339(after["lastTransitionTime"]) - parse_rfc3339(before["lastTransitionTime"]) < KEPT:
        yield f"pod {name} was to be disrupted since {before['lastTransitionTime']}, and is not any more"


def _decided(request: Document) -> set[str]:
    return {one["type"] for one in dig(request, "status", "conditions", default=())}


def certificates_are_kept(ledger: Ledger, old: Document | None, new: Document | None) -> Iterator[str]:
    """Only what was approved is signed, once; and a decision is for good."""
    if new is None or new.get("kind") != "CertificateSigningRequest":
        return
    name, old = new["metadata"]["name"], old or {}
    before, after = dig(old, "status", "certificate"), dig(new, "status", "certificate")
    if before and before != after:
        yield f"request {name} had a certificate, and then another one"
    if after and not before and ("Approved" not in _decided(new) or "Denied" in _decided(new)):
        yield f"request {name} was signed, decided was {sorted(_decided(new))}"
    taken_back = (_decided(old) - _decided(new)) & {"Approved", "Denied"}
    if taken_back:
        yield f"request {name} was {min(taken_back)}, and is not any more"


def addresses_are_given_once(ledger: Ledger, old: Document | None, new: Document | None) -> Iterator[str]:
    """No two Services are reached at one address of a pool."""
    if new is None or new.get("kind") != "Service" or not (mine := balanced_at(new) - balanced_at(old or {})):
        return
    for other in ledger.of("Service", new["metadata"].get("namespace", "")):
        if other["metadata"]["uid"] != new["metadata"]["uid"] and (both := mine & balanced_at(other)):
            yield f"services {new['metadata']['name']} and {other['metadata']['name']} both have {sorted(both)}"


def balanced_at(service: Document) -> set[str]:
    return {one["ip"] for one in dig(service, "status", "loadBalancer", "ingress", default=()) if one.get("ip")}


PROMISES = (
    ranges_are_unique,
    attached_once,
    mounted_stay_attached,
    versions_are_forgotten_last,
    used_tokens_stay,
    a_bundle_stays,
    disruptions_are_awaited,
    certificates_are_kept,
    addresses_are_given_once,
)
