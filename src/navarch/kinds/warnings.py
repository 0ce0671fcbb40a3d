"""What writers of objects are warned of, kind by kind: who keeps to it will not be surprised later.

Each is asked after the rules have passed, with the stored object on an update; pods and what has templates of them see
no more than what an update changed. What all of one version are warned of is `Kind.deprecated`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from navarch.kinds.ip_warnings import for_address, for_network
from navarch.kinds.podspec.warnings import NODE_LABELS, VOLUMES, for_claim_spec, for_node_term, for_pod
from navarch.kinds.rules import shown
from navarch.objects import names
from navarch.objects.value import Document, dig

STORAGE_CLASS = "volume.beta.kubernetes.io/storage-class"
HINTS, TOPOLOGY = "service.kubernetes.io/topology-aware-hints", "service.kubernetes.io/topology-mode"
INGRESS_CLASS = "kubernetes.io/ingress.class"
MOUNTABLE = "kubernetes.io/enforce-mountable-secrets"
VOLUME_TYPES = ("photonPersistentDisk", "scaleIO", "storageos", "glusterfs", "cephfs", "rbd", "flocker", "quobyte")
COMPLETIONS_MOST, PARALLEL_MOST = 100_000, 10_000
RECYCLED = "The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic provisioning."
TOO_LARGE_A_JOB = (
    "In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, "
    "Kubernetes might not be able to track completedIndexes when a big number of indexes fail"
)
HISTORY = "a negative value retains all historical revisions; a value >= 0 is recommended"
SIGNS = "https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/"


def _unlike_label(document: Document, used_in: str) -> Iterator[str]:
    """A name that is no DNS label where it becomes part of one."""
    if found := names.dns_label(dig(document, "metadata", "name", default="")):
        listed = " ".join(found)
        told = f"this is used in {used_in}, which can result in surprising behavior; a DNS label is recommended"
        yield f"metadata.name: {told}: [{listed}]"


def pod(new: Document, old: Document | None) -> Iterable[str]:
    """Those of a new pod. Updates are mostly made by machines."""
    if old is None:
        yield from _unlike_label(new, "the Pod's hostname")
        yield from for_pod(new.get("metadata") or {}, new.get("spec") or {})


def _template(found: Document, path: str) -> Iterator[str]:
    return for_pod(found.get("metadata") or {}, found.get("spec") or {}, f"{path}.")


def workload(new: Document, old: Document | None) -> Iterable[str]:
    """Of what has a template in its spec, and pods that carry its name."""
    if old is None:
        yield from _unlike_label(new, "Pod names and hostnames")
    yield from templated(new, old)


def templated(new: Document, old: Document | None) -> Iterable[str]:
    """Of a template, where the spec was written."""
    spec: Document = new.get("spec") or {}
    if old is None or spec != old.get("spec"):
        yield from _template(spec.get("template") or {}, "spec.template")


def pod_template(new: Document, old: Document | None) -> Iterable[str]:
    return _template(new.get("template") or {}, "template")


def stateful_set(new: Document, old: Document | None) -> Iterable[str]:
    yield from templated(new, old)
    spec: Document = new.get("spec") or {}
    for index, claim in enumerate(spec.get("volumeClaimTemplates") or ()):
        yield from for_claim_spec(claim.get("spec") or {}, f"spec.volumeClaimTemplates[{index}].spec")
    if (spec.get("revisionHistoryLimit") or 0) < 0:
        yield f"spec.revisionHistoryLimit: {HISTORY}"


def job(new: Document, old: Document | None) -> Iterable[str]:
    if old is None:
        yield from _unlike_label(new, "Pod names and hostnames")
    if old is None or new.get("spec") != old.get("spec"):
        yield from _job_spec(new.get("spec") or {}, "spec")


def _job_spec(spec: Document, path: str) -> Iterator[str]:
    many = (spec.get("completions") or 0) > COMPLETIONS_MOST and (spec.get("parallelism") or 0) > PARALLEL_MOST
    if many and spec.get("completionMode") == "Indexed":
        yield TOO_LARGE_A_JOB
    yield from _template(spec.get("template") or {}, f"{path}.template")


def cron_job(new: Document, old: Document | None) -> Iterable[str]:
    spec: Document = new.get("spec") or {}
    if old is None:
        yield from _unlike_label(new, "Pod names and hostnames")
    elif spec == old.get("spec"):
        return
    yield from _job_spec(dig(spec, "jobTemplate", "spec", default={}), "spec.jobTemplate.spec")
    if "TZ" in spec.get("schedule", ""):
        yield f"CRON_TZ or TZ used in spec.schedule is not officially supported, see {SIGNS} for more details"


def service(new: Document, old: Document | None) -> Iterable[str]:
    spec: Document = new.get("spec") or {}
    if HINTS in dig(new, "metadata", "annotations", default=()):
        yield f"annotation {HINTS} is deprecated, please use {TOPOLOGY} instead"
    headless = spec.get("clusterIP") == "None"
    if not headless:
        yield from _addresses(spec.get("clusterIPs"), "spec.clusterIPs")
    else:
        for field in ("loadBalancerIP", "externalIPs"):
            if spec.get(field):
                yield f"spec.{field} is ignored for headless services"
        if spec.get("sessionAffinity", "None") != "None":
            yield "spec.SessionAffinity is ignored for headless services"
    yield from _addresses(spec.get("externalIPs"), "spec.externalIPs")
    if address := spec.get("loadBalancerIP"):
        yield from for_address(address, "spec.loadBalancerIP")
    for index, network in enumerate(spec.get("loadBalancerSourceRanges") or ()):
        yield from for_network(network, f"spec.loadBalancerSourceRanges[{index}]")
    if spec.get("type") == "ExternalName" and spec.get("externalIPs"):
        yield 'spec.externalIPs is ignored when spec.type is "ExternalName"'


def _addresses(found: Sequence[str] | None, at: str) -> Iterator[str]:
    for index, address in enumerate(found or ()):
        yield from for_address(address, f"{at}[{index}]")


def ingress(new: Document, old: Document | None) -> Iterable[str]:
    annotated = INGRESS_CLASS in dig(new, "metadata", "annotations", default=())
    if old is None and annotated and dig(new, "spec", "ingressClassName") is None:
        yield f"annotation {shown(INGRESS_CLASS)} is deprecated, please use 'spec.ingressClassName' instead"


def network_policy(new: Document, old: Document | None) -> Iterable[str]:
    for side, peers in (("ingress", "from"), ("egress", "to")):
        for index, rule in enumerate(dig(new, "spec", side, default=())):
            for number, peer in enumerate(rule.get(peers) or ()):
                if block := peer.get("ipBlock"):
                    at = f"spec.{side}[{index}].{peers}[{number}].ipBlock"
                    yield from for_network(block.get("cidr", ""), f"{at}.cidr")
                    for place, network in enumerate(block.get("except") or ()):
                        yield from for_network(network, f"{at}.except[{place}]")


def persistent_volume(new: Document, old: Document | None) -> Iterable[str]:
    yield from _old_class(new)
    spec: Document = new.get("spec") or {}
    if spec.get("persistentVolumeReclaimPolicy") == "Recycle":
        yield f"spec.persistentVolumeReclaimPolicy: {RECYCLED}"
    for index, term in enumerate(dig(spec, "nodeAffinity", "required", "nodeSelectorTerms", default=())):
        yield from for_node_term(term, f"spec.nodeAffinity.required.nodeSelectorTerms[{index}]")
    for type_ in VOLUME_TYPES:
        if type_ in spec:
            yield f"spec.{'storageOS' if type_ == 'storageos' else type_}: {VOLUMES[type_]}"


def persistent_volume_claim(new: Document, old: Document | None) -> Iterable[str]:
    yield from _old_class(new)
    yield from for_claim_spec(new.get("spec") or {}, "spec")


def _old_class(new: Document) -> Iterator[str]:
    if STORAGE_CLASS in dig(new, "metadata", "annotations", default=()):
        told = 'deprecated since v1.8; use "storageClassName" attribute instead'
        yield f"metadata.annotations[{STORAGE_CLASS}]: {told}"


def storage_class(new: Document, old: Document | None) -> Iterable[str]:
    for index, term in enumerate(new.get("allowedTopologies") or ()):
        for number, expression in enumerate(term.get("matchLabelExpressions") or ()):
            key = expression.get("key", "")
            if key in NODE_LABELS:
                where = f"allowedTopologies[{index}].matchLabelExpressions[{number}].key"
                yield f"{where}: {key} is {NODE_LABELS[key]}"


def node(new: Document, old: Document | None) -> Iterable[str]:
    spec: Document = new.get("spec") or {}
    if old is not None and spec == old.get("spec"):
        return
    if spec.get("configSource") is not None:
        yield "spec.configSource: deprecated in v1.22, support removed in v1.26"
    if spec.get("externalID"):
        yield "spec.externalID: this field is deprecated, and is unused by Kubernetes"
    for index, network in enumerate(spec.get("podCIDRs") or ()):
        yield from for_network(network, f"spec.podCIDRs[{index}]")


def service_account(new: Document, old: Document | None) -> Iterable[str]:
    if MOUNTABLE in dig(new, "metadata", "annotations", default=()):
        told = "deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets"
        yield f"metadata.annotations[{MOUNTABLE}]: {told}"


def endpoint_slice(new: Document, old: Document | None) -> Iterable[str]:
    if new.get("addressType") == "FQDN":
        yield "spec.addressType: FQDN endpoints are deprecated"
        return
    if old is not None and new.get("endpoints") == old.get("endpoints"):
        return
    for index, endpoint in enumerate(new.get("endpoints") or ()):
        yield from _addresses(endpoint.get("addresses"), f"endpoints[{index}].addresses")
