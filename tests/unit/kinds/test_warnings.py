"""What writers are warned of: the text of each warning, and that good objects lead to none."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.kinds import (
    ALL,
    CRONJOB,
    DAEMONSET,
    DEPLOYMENT,
    ENDPOINTSLICE,
    INGRESS,
    JOB,
    NETWORKPOLICY,
    NODE,
    PERSISTENTVOLUME,
    PERSISTENTVOLUMECLAIM,
    POD,
    PODTEMPLATE,
    SECRET,
    SERVICE,
    SERVICEACCOUNT,
    STATEFULSET,
    STORAGECLASS,
)
from navarch.kinds.ip_warnings import for_address, for_network
from navarch.kinds.kind import Kind
from navarch.objects.value import Document


def told(kind: Kind, document: Document, old: Document | None = None) -> list[str]:
    assert kind.warn is not None
    return list(kind.warn({"metadata": {"name": "good"}, **document}, old))


def pod(**spec: Any) -> Document:
    return {"spec": {"containers": [{"name": "a", "image": "a:1"}], **spec}}


def container(**more: Any) -> Document:
    return {"name": "a", "image": "a:1", **more}


def annotated(**annotations: str) -> Document:
    return {"metadata": {"name": "good", "annotations": annotations}, **pod()}


ARCH = 'deprecated since v1.14; use "kubernetes.io/arch" instead'
TERM = {"matchExpressions": [{"key": "beta.kubernetes.io/arch", "operator": "Exists"}]}
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
NULL_SELECTOR = "a null labelSelector results in matching no pod"
WEB = {"name": "web", "containerPort": 80, "protocol": "TCP"}

PODS: list[tuple[Document, str]] = [
    (pod(nodeSelector={"beta.kubernetes.io/arch": "a"}), f"spec.nodeSelector[beta.kubernetes.io/arch]: {ARCH}"),
    (
        pod(affinity={"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [TERM]}}}),
        f"spec.affinity.nodeAffinity.{REQUIRED}.nodeSelectorTerms[0].matchExpressions[0].key: "
        f"beta.kubernetes.io/arch is {ARCH}",
    ),
    (
        pod(affinity={"nodeAffinity": {PREFERRED: [{"weight": 1, "preference": TERM}]}}),
        f"spec.affinity.nodeAffinity.{PREFERRED}[0].preference.matchExpressions[0].key: "
        f"beta.kubernetes.io/arch is {ARCH}",
    ),
    (
        pod(topologySpreadConstraints=[{"topologyKey": "beta.kubernetes.io/arch", "labelSelector": {}}]),
        f"spec.topologySpreadConstraints[0].topologyKey: beta.kubernetes.io/arch is {ARCH}",
    ),
    (
        pod(topologySpreadConstraints=[{"topologyKey": "zone"}]),
        f"spec.topologySpreadConstraints[0].labelSelector: {NULL_SELECTOR}",
    ),
    (
        pod(affinity={"podAffinity": {REQUIRED: [{"topologyKey": "a"}]}}),
        f"spec.affinity.podAffinity.{REQUIRED}[0].labelSelector: {NULL_SELECTOR}",
    ),
    (
        pod(affinity={"podAntiAffinity": {PREFERRED: [{"podAffinityTerm": {"topologyKey": "a"}}]}}),
        f"spec.affinity.podAntiAffinity.{PREFERRED}[0].podAffinityTerm.labelSelector: {NULL_SELECTOR}",
    ),
    (
        annotated(**{"scheduler.alpha.kubernetes.io/critical-pod": ""}),
        "metadata.annotations[scheduler.alpha.kubernetes.io/critical-pod]: non-functional in v1.16+; "
        'use the "priorityClassName" field instead',
    ),
    (
        annotated(**{"seccomp.security.alpha.kubernetes.io/pod": "x"}),
        "metadata.annotations[seccomp.security.alpha.kubernetes.io/pod]: non-functional in v1.27+; "
        'use the "seccompProfile" field instead',
    ),
    (
        annotated(**{"container.apparmor.security.beta.kubernetes.io/a": "x"}),
        "metadata.annotations[container.apparmor.security.beta.kubernetes.io/a]: deprecated since v1.30; "
        'use the "appArmorProfile" field instead',
    ),
    (
        pod(volumes=[{"name": "v", "gitRepo": {"repository": "r"}}]),
        "spec.volumes[0].gitRepo: deprecated in v1.11, and disabled by default in v1.33+",
    ),
    (
        pod(volumes=[{"name": "v", "storageos": {}}]),
        "spec.volumes[0].storageOS: deprecated in v1.22, non-functional in v1.25+",
    ),
    (
        pod(volumes=[{"name": "v", "configMap": {"name": "c", "items": [{"path": "a"}, {"path": "a/b"}]}}]),
        'volume "v" (ConfigMap "c"): overlapping paths: "a/b" with "a"',
    ),
    (
        pod(volumes=[{"name": "v", "secret": {"secretName": "c", "items": [{"path": "a"}, {"path": "a/"}]}}]),
        'volume "v" (Secret "c"): overlapping paths: "a" with "a"',
    ),
    (
        pod(
            volumes=[
                {
                    "name": "v",
                    "projected": {
                        "sources": [
                            {"serviceAccountToken": {"path": "t"}},
                            {"configMap": {"name": "c", "items": [{"key": "k", "path": "t"}]}},
                        ]
                    },
                }
            ]
        ),
        'volume "v" (Projected ConfigMap "c"): overlapping paths: "t" with "t"',
    ),
    (pod(volumes=[{"name": "v", "projected": {"sources": [{}]}}]), 'volume "v" (Projected) has no sources provided'),
    (
        pod(hostAliases=[{"ip": "1.2.3.4"}, {"ip": "1.2.3.4"}]),
        'spec.hostAliases[1].ip: duplicate ip "1.2.3.4"',
    ),
    (pod(imagePullSecrets=[{"name": "a"}, {"name": "a"}]), 'spec.imagePullSecrets[1].name: duplicate name "a"'),
    (pod(imagePullSecrets=[{}]), 'spec.imagePullSecrets[0].name: invalid empty name ""'),
    (
        pod(containers=[container(resources={"limits": {"memory": "100m"}})]),
        'spec.containers[0].resources.limits[memory]: fractional byte value "100m" is invalid, must be an integer',
    ),
    (
        pod(overhead={"memory": "1.5"}),
        'spec.overhead[memory]: fractional byte value "1500m" is invalid, must be an integer',
    ),
    (
        pod(initContainers=[container(env=[{"name": "A", "value": "1"}, {"name": "A", "value": "2"}])]),
        'spec.initContainers[0].env[1]: hides previous definition of "A", which may be dropped when using apply',
    ),
    (
        pod(containers=[container(ports=[{"containerPort": 80, "protocol": "TCP", "hostIP": "1.2.3.4"}])]),
        "spec.containers[0].ports[0]: hostIP set without hostPort: "
        "{Name: HostPort:0 ContainerPort:80 Protocol:TCP HostIP:1.2.3.4}",
    ),
    (
        pod(containers=[container(ports=[{"containerPort": 80}]), container(ports=[{"containerPort": 80}])]),
        "spec.containers[1].ports[0]: duplicate port definition with spec.containers[0].ports[0]",
    ),
    (
        pod(containers=[container(ports=[{"containerPort": 80}, {"containerPort": 80, "hostPort": 8080}])]),
        "spec.containers[0].ports[1]: overlapping port definition with spec.containers[0].ports[0]",
    ),
    (
        pod(
            containers=[
                container(
                    ports=[
                        {"containerPort": 80, "hostPort": 1},
                        {"containerPort": 80, "hostPort": 1, "hostIP": "1.2.3.4"},
                    ]
                )
            ]
        ),
        "spec.containers[0].ports[1]: dangerously ambiguous port definition with spec.containers[0].ports[0]",
    ),
    (
        pod(containers=[container(ports=[WEB]), container(ports=[{**WEB, "containerPort": 81}])]),
        'spec.containers[1].ports[0]: duplicate port name "web" with spec.containers[0].ports[0], services and probes '
        "that select ports by name will use spec.containers[0].ports[0]",
    ),
    (
        pod(terminationGracePeriodSeconds=-1),
        "spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1",
    ),
]


@pytest.mark.parametrize(("document", "warning"), PODS)
def test_a_pod(document: Document, warning: str) -> None:
    assert told(POD, document) == [warning]
    assert told(POD, document, document) == [], "updates of pods are made by machines"


@pytest.mark.parametrize(("document", "warning"), PODS)
def test_the_same_of_a_template(document: Document, warning: str) -> None:
    template = {"metadata": document.get("metadata", {}), "spec": document["spec"]}
    found = [one.replace("spec.template.", "") for one in told(DEPLOYMENT, {"spec": {"template": template}})]
    assert found == [warning]
    same = {"metadata": {"name": "good"}, "spec": {"template": template}}
    assert told(DEPLOYMENT, same, same) == [], "what was not changed is not told again"
    assert told(PODTEMPLATE, {"template": template}) != []


GOOD_PODS = [
    pod(),
    pod(containers=[container(env=[{"name": "A", "value": "1"}, {"name": "A", "value": "$(A)2"}])]),
    pod(containers=[container(ports=[{"containerPort": 80}, {"containerPort": 80, "protocol": "UDP"}])]),
    pod(containers=[container(resources={"requests": {"memory": "1.5Gi", "cpu": "100m"}, "limits": {"memory": 7}})]),
    pod(volumes=[{"name": "v", "configMap": {"items": [{"path": "a/b"}, {"path": "a/c"}, {"path": "ab"}]}}]),
    pod(volumes=[{"name": "v", "emptyDir": {}}], hostAliases=[{"ip": "1.2.3.4"}], imagePullSecrets=[{"name": "a"}]),
    pod(terminationGracePeriodSeconds=0, overhead={"memory": "1Gi"}, affinity={}, nodeSelector={"a": "b"}),
]


@pytest.mark.parametrize("document", GOOD_PODS)
def test_a_good_pod(document: Document) -> None:
    assert told(POD, document) == []


NETWORK = {"ipBlock": {"cidr": "10.0.0.7/8", "except": ["2001:DB8::/64"]}}
OLD_CLASS = {"metadata": {"annotations": {"volume.beta.kubernetes.io/storage-class": "x"}}}
OLD_CLASS_TOLD = (
    "metadata.annotations[volume.beta.kubernetes.io/storage-class]: deprecated since v1.8; "
    'use "storageClassName" attribute instead'
)
OTHERS: list[tuple[Kind, Document, list[str]]] = [
    (
        STATEFULSET,
        {"spec": {"revisionHistoryLimit": -1, "volumeClaimTemplates": [{"spec": {}}]}},
        ["spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended"],
    ),
    (
        STATEFULSET,
        {"spec": {"volumeClaimTemplates": [{"spec": {"resources": {"requests": {"storage": "1m"}}}}]}},
        [
            "spec.volumeClaimTemplates[0].spec.resources.requests[storage]: fractional byte value "
            '"1m" is invalid, must be an integer'
        ],
    ),
    (
        JOB,
        {"spec": {"completionMode": "Indexed", "completions": 100_001, "parallelism": 10_001}},
        [
            "In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, "
            "Kubernetes might not be able to track completedIndexes when a big number of indexes fail"
        ],
    ),
    (JOB, {"spec": {"completionMode": "Indexed", "completions": 100_000, "parallelism": 10_001}}, []),
    (
        CRONJOB,
        {"spec": {"schedule": "TZ=UTC 1 * * * *"}},
        [
            "CRON_TZ or TZ used in spec.schedule is not officially supported, see "
            "https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details"
        ],
    ),
    (
        CRONJOB,
        {"spec": {"jobTemplate": {"spec": {"template": pod(imagePullSecrets=[{}])}}}},
        ['spec.jobTemplate.spec.template.spec.imagePullSecrets[0].name: invalid empty name ""'],
    ),
    (
        SERVICE,
        {"metadata": {"annotations": {"service.kubernetes.io/topology-aware-hints": "auto"}}, "spec": {}},
        [
            "annotation service.kubernetes.io/topology-aware-hints is deprecated, "
            "please use service.kubernetes.io/topology-mode instead"
        ],
    ),
    (
        SERVICE,
        {"spec": {"clusterIP": "None", "externalIPs": ["1.2.3.4"], "sessionAffinity": "ClientIP"}},
        [
            "spec.externalIPs is ignored for headless services",
            "spec.SessionAffinity is ignored for headless services",
        ],
    ),
    (
        SERVICE,
        {"spec": {"clusterIPs": ["2001:DB8::1"], "loadBalancerSourceRanges": ["10.0.0.1/8"]}},
        [
            'spec.clusterIPs[0]: IPv6 address "2001:DB8::1" should be in RFC 5952 canonical format ("2001:db8::1")',
            'spec.loadBalancerSourceRanges[0]: CIDR value "10.0.0.1/8" is ambiguous in this context '
            '(should be "10.0.0.0/8" or "10.0.0.1/32"?)',
        ],
    ),
    (SERVICE, {"spec": {"clusterIP": "10.96.0.7", "clusterIPs": ["10.96.0.7"]}}, []),
    (
        SERVICE,
        {"spec": {"type": "ExternalName", "externalIPs": ["1.2.3.4"]}},
        ['spec.externalIPs is ignored when spec.type is "ExternalName"'],
    ),
    (
        INGRESS,
        {"metadata": {"annotations": {"kubernetes.io/ingress.class": "x"}}, "spec": {}},
        ["annotation \"kubernetes.io/ingress.class\" is deprecated, please use 'spec.ingressClassName' instead"],
    ),
    (
        NETWORKPOLICY,
        {"spec": {"egress": [{"to": [NETWORK]}]}},
        [
            'spec.egress[0].to[0].ipBlock.cidr: CIDR value "10.0.0.7/8" is ambiguous in this context '
            '(should be "10.0.0.0/8" or "10.0.0.7/32"?)',
            'spec.egress[0].to[0].ipBlock.except[0]: IPv6 CIDR value "2001:DB8::/64" should be in RFC 5952 canonical '
            'format ("2001:db8::/64")',
        ],
    ),
    (PERSISTENTVOLUME, {**OLD_CLASS, "spec": {}}, [OLD_CLASS_TOLD]),
    (PERSISTENTVOLUMECLAIM, {**OLD_CLASS, "spec": {}}, [OLD_CLASS_TOLD]),
    (
        PERSISTENTVOLUME,
        {"spec": {"persistentVolumeReclaimPolicy": "Recycle", "rbd": {}}},
        [
            "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended "
            "approach is to use dynamic provisioning.",
            "spec.rbd: deprecated in v1.28, non-functional in v1.31+",
        ],
    ),
    (
        PERSISTENTVOLUME,
        {"spec": {"nodeAffinity": {"required": {"nodeSelectorTerms": [TERM]}}}},
        [f"spec.nodeAffinity.required.nodeSelectorTerms[0].matchExpressions[0].key: beta.kubernetes.io/arch is {ARCH}"],
    ),
    (
        PERSISTENTVOLUMECLAIM,
        {"spec": {"resources": {"requests": {"storage": "1500m"}}}},
        ['spec.resources.requests[storage]: fractional byte value "1500m" is invalid, must be an integer'],
    ),
    (
        STORAGECLASS,
        {"allowedTopologies": [{"matchLabelExpressions": [{"key": "failure-domain.beta.kubernetes.io/zone"}]}]},
        [
            "allowedTopologies[0].matchLabelExpressions[0].key: failure-domain.beta.kubernetes.io/zone is "
            'deprecated since v1.17; use "topology.kubernetes.io/zone" instead'
        ],
    ),
    (
        NODE,
        {"spec": {"externalID": "x", "configSource": {}}},
        [
            "spec.configSource: deprecated in v1.22, support removed in v1.26",
            "spec.externalID: this field is deprecated, and is unused by Kubernetes",
        ],
    ),
    (
        SERVICEACCOUNT,
        {"metadata": {"annotations": {"kubernetes.io/enforce-mountable-secrets": "true"}}},
        [
            "metadata.annotations[kubernetes.io/enforce-mountable-secrets]: deprecated in v1.32+; prefer separate "
            "namespaces to isolate access to mounted secrets"
        ],
    ),
    (ENDPOINTSLICE, {"addressType": "FQDN"}, ["spec.addressType: FQDN endpoints are deprecated"]),
    (
        ENDPOINTSLICE,
        {"addressType": "IPv6", "endpoints": [{"addresses": ["2001:DB8::1"]}]},
        [
            'endpoints[0].addresses[0]: IPv6 address "2001:DB8::1" should be in RFC 5952 canonical format '
            '("2001:db8::1")'
        ],
    ),
]


@pytest.mark.parametrize(("kind", "document", "warnings"), OTHERS)
def test_other_kinds(kind: Kind, document: Document, warnings: list[str]) -> None:
    assert told(kind, document) == warnings


@pytest.mark.parametrize(
    ("kind", "used"),
    [(POD, "the Pod's hostname"), (DEPLOYMENT, "Pod names and hostnames"), (JOB, "Pod names and hostnames")],
)
def test_a_name_that_is_no_label(kind: Kind, used: str) -> None:
    document = {"metadata": {"name": "a.b"}, "spec": {}}
    [warning] = told(kind, document)
    assert warning.startswith(f"metadata.name: this is used in {used}, which can result in surprising behavior; ")
    assert warning.endswith("a DNS label is recommended: [must not contain dots]")
    assert told(kind, document, document) == []
    assert told(DAEMONSET, document) == []


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("10.0.0.1", []),
        ("2001:db8::1", []),
        ("nothing", []),
        ("010.0.0.1", ['x: non-standard IP address "010.0.0.1" will be considered invalid in a future Kubernetes '
                       'release: use "10.0.0.1"']),
        ("::ffff:10.0.0.1", ['x: non-standard IP address "::ffff:10.0.0.1" will be considered invalid in a future '
                             'Kubernetes release: use "10.0.0.1"']),
    ],
)  # fmt: skip
def test_addresses(text: str, warning: list[str]) -> None:
    assert list(for_address(text, "x")) == warning


@given(st.ip_addresses(), st.integers(0, 128))
def test_what_is_written_as_usual_is_not_told_of(address: Any, length: int) -> None:
    if not getattr(address, "ipv4_mapped", None):
        assert list(for_address(str(address), "x")) == []
    found = list(for_network(f"{address}/{length % (address.max_prefixlen + 1)}", "x"))
    assert all("ambiguous" in one for one in found)


def test_nothing_is_told_of_an_empty_object() -> None:
    for kind in ALL:
        if kind.warn is not None:
            assert told(kind, {}) == [], kind


def test_a_key_that_is_not_its_certificates_is_told() -> None:
    def told(certificate: bytes, key: bytes) -> list[str]:
        data = {"tls.crt": base64.b64encode(certificate).decode(), "tls.key": base64.b64encode(key).decode()}
        assert SECRET.warn is not None
        return list(SECRET.warn({"type": "kubernetes.io/tls", "data": data}, None))

    assert told(b"x", b"y") == ["tls: failed to find any PEM data in certificate input"]
    assert told(b"-----BEGIN", b"y") == ["tls: failed to find any PEM data in key input"]
    assert told(b"-----BEGIN", b"-----BEGIN")[0].startswith("x509: malformed certificate: ")
    assert SECRET.warn is not None
    assert list(SECRET.warn({"type": "Opaque"}, None)) == []
