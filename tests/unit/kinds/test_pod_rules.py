"""Which pods are refused, and in which words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from navarch.kinds import DAEMONSET, POD
from navarch.objects.value import Draft

Document = dict[str, Any]
LONG = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)


def pod(**spec: Any) -> Document:
    containers = spec.pop("containers", [{"name": "a", "image": "a:1"}])
    draft = Draft({"metadata": {"name": "p", "namespace": "default"}, "spec": {"containers": containers, **spec}})
    POD.default(draft)
    return draft.document


def one(**fields: Any) -> Document:
    return pod(containers=[{"name": "a", "image": "a:1", **fields}], volumes=[{"name": "v"}])


def causes(new: Document, old: Document | None = None) -> list[tuple[str, str]]:
    return [(cause.field, cause.message) for cause in POD.rules(new, old)]


def reasons(new: Document, old: Document | None = None) -> list[str]:
    return [cause.reason for cause in POD.rules(new, old)]


def test_a_good_pod_has_no_faults() -> None:
    assert causes(pod()) == []
    assert causes(one(ports=[{"containerPort": 80, "name": "http"}], env=[{"name": "A B", "value": "x"}])) == []


C = "spec.containers[0]"
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
BAD_VALUE = {"matchExpressions": [{"key": "a", "operator": "In", "values": ["b c"]}]}
NO_VALUES = {"matchExpressions": [{"key": "a", "operator": "In"}]}


@pytest.mark.parametrize(
    ("document", "field", "message"),
    [
        (pod(containers=[]), "spec.containers", "Required value"),
        (pod(containers=[{"name": "a"}]), f"{C}.image", "Required value"),
        (pod(containers=[{"image": "a"}]), f"{C}.name", "Required value"),
        (
            pod(containers=[{"name": "a", "image": " a"}]),
            f"{C}.image",
            'Invalid value: " a": must not have leading or trailing whitespace',
        ),
        (
            pod(containers=[{"name": "a", "image": "a"}, {"name": "a", "image": "b"}]),
            "spec.containers[1].name",
            'Duplicate value: "a"',
        ),
        (
            pod(restartPolicy="Sometimes"),
            "spec.restartPolicy",
            'Unsupported value: "Sometimes": supported values: "Always", "OnFailure", "Never"',
        ),
        (
            one(imagePullPolicy="Often"),
            f"{C}.imagePullPolicy",
            'Unsupported value: "Often": supported values: "Always", "IfNotPresent", "Never"',
        ),
        (
            one(ports=[{"containerPort": 70000}]),
            f"{C}.ports[0].containerPort",
            "Invalid value: 70000: must be between 1 and 65535, inclusive",
        ),
        (
            one(ports=[{"containerPort": 1, "protocol": "ICMP"}]),
            f"{C}.ports[0].protocol",
            'Unsupported value: "ICMP": supported values: "SCTP", "TCP", "UDP"',
        ),
        (
            one(ports=[{"containerPort": 1, "name": "x"}, {"containerPort": 2, "name": "x"}]),
            f"{C}.ports[1].name",
            'Duplicate value: "x"',
        ),
        (one(volumeMounts=[{"name": "w", "mountPath": "/x"}]), f"{C}.volumeMounts[0].name", 'Not found: "w"'),
        (
            one(volumeMounts=[{"name": "v", "mountPath": "/x"}, {"name": "v", "mountPath": "/x"}]),
            f"{C}.volumeMounts[1].mountPath",
            'Invalid value: "/x": must be unique',
        ),
        (
            one(volumeMounts=[{"name": "v", "mountPath": "/x", "subPath": "../etc"}]),
            f"{C}.volumeMounts.subPath",
            "Invalid value: \"../etc\": must not contain '..'",
        ),
        (
            one(resources={"limits": {"cpu": "1"}, "requests": {"cpu": "2"}}),
            f"{C}.resources.requests",
            'Invalid value: "2": must be less than or equal to cpu limit of 1',
        ),
        (
            one(resources={"requests": {"cpu": "-1"}}),
            f"{C}.resources.requests[cpu]",
            'Invalid value: "-1": must be greater than or equal to 0',
        ),
        (
            one(env=[{"name": "A", "value": "x", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]),
            f"{C}.env[0].valueFrom",
            'Invalid value: "": may not be specified when `value` is not empty',
        ),
        (
            one(env=[{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "c"}}}]),
            f"{C}.env[0].valueFrom.configMapKeyRef.key",
            "Required value",
        ),
        (one(livenessProbe={}), f"{C}.livenessProbe", "Required value: must specify a handler type"),
        (
            one(livenessProbe={"exec": {"command": ["x"]}, "successThreshold": 2}),
            f"{C}.livenessProbe.successThreshold",
            "Invalid value: 2: must be 1",
        ),
        (
            one(readinessProbe={"exec": {"command": ["x"]}, "tcpSocket": {"port": 1}}),
            f"{C}.readinessProbe.tcpSocket",
            "Forbidden: may not specify more than 1 handler type",
        ),
        (
            one(securityContext={"privileged": True, "allowPrivilegeEscalation": False}),
            f"{C}.securityContext",
            'Invalid value: {"privileged":true,"allowPrivilegeEscalation":false}: '
            "cannot set `allowPrivilegeEscalation` to false and `privileged` to true",
        ),
        (pod(activeDeadlineSeconds=0), "spec.activeDeadlineSeconds", None),
        (pod(nodeSelector={"a b": "c"}), "spec.nodeSelector", None),
        (pod(serviceAccountName="A"), "spec.serviceAccountName", None),
        (pod(hostname="a.b"), "spec.hostname", 'Invalid value: "a.b": must not contain dots'),
        (
            pod(tolerations=[{"operator": "Equal", "value": "x"}]),
            "spec.tolerations[0].operator",
            'Invalid value: "Equal": operator must be Exists when `key` is empty, which means '
            '"match all values and all keys"',
        ),
        (
            pod(topologySpreadConstraints=[{"maxSkew": 0, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule"}]),
            "spec.topologySpreadConstraints[0].maxSkew",
            "Invalid value: 0: must be greater than zero",
        ),
        (
            pod(dnsPolicy="None"),
            "spec.dnsConfig",
            "Required value: must provide `dnsConfig` when `dnsPolicy` is None",
        ),
        (
            pod(dnsPolicy="None", dnsConfig={"searches": ["a"]}),
            "spec.dnsConfig.nameservers",
            "Required value: must provide at least one DNS nameserver when `dnsPolicy` is None",
        ),
        (
            pod(dnsConfig={"nameservers": ["010.1.1.1"]}),
            "spec.dnsConfig.nameservers[0]",
            'Invalid value: "010.1.1.1": must not have leading 0s',
        ),
        (
            pod(hostAliases=[{"ip": "::ffff:1.2.3.4"}]),
            "spec.hostAliases[0].ip",
            'Invalid value: "::ffff:1.2.3.4": must not be an IPv4-mapped IPv6 address',
        ),
        (
            one(terminationMessagePolicy="Mail"),
            f"{C}.terminationMessagePolicy",
            'Unsupported value: "Mail": supported values: "File", "FallbackToLogsOnError"',
        ),
        (
            one(envFrom=[{"prefix": "A"}]),
            f"{C}.envFrom",
            'Invalid value: "": must specify one of: `configMapRef` or `secretRef`',
        ),
        (
            one(env=[{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.color"}}}]),
            f"{C}.env[0].valueFrom.fieldRef.fieldPath",
            'Invalid value: "spec.color": error converting fieldPath: field label not supported: spec.color',
        ),
        (
            one(env=[{"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1Mi"}}}]),
            f"{C}.env[0].valueFrom.resourceFieldRef.divisor",
            'Invalid value: "limits.cpu": only divisor\'s values 1m and 1 are supported with the cpu resource',
        ),
        (
            one(resizePolicy=[{"resourceName": "cpu", "restartPolicy": "Sometimes"}]),
            f"{C}.resizePolicy",
            'Unsupported value: "Sometimes": supported values: "NotRequired", "RestartContainer"',
        ),
        (
            one(volumeMounts=[{"name": "v", "mountPath": "/x", "recursiveReadOnly": "Enabled"}]),
            f"{C}.volumeMounts.recursiveReadOnly",
            "Forbidden: may only be specified when readOnly is true",
        ),
        (
            one(lifecycle={"preStop": {"sleep": {"seconds": 31}}}),
            f"{C}.lifecycle.preStop.sleep",
            "Invalid value: 31: must be non-negative and less than terminationGracePeriodSeconds (30)",
        ),
        (
            one(securityContext={"seccompProfile": {"type": "Localhost"}}),
            f"{C}.securityContext.seccompProfile.localhostProfile",
            "Required value: must be set when seccomp type is Localhost",
        ),
        (
            one(securityContext={"appArmorProfile": {"type": "Localhost", "localhostProfile": " a"}}),
            f"{C}.securityContext.appArmorProfile.localhostProfile",
            'Invalid value: " a": must not be padded with whitespace',
        ),
        (
            one(resources={"requests": {"a.io/gpu": "1"}}),
            f"{C}.resources.limits",
            "Required value: Limit must be set for non overcommitable resources",
        ),
        (
            one(resources={"limits": {"hugepages-2Mi": "2Mi", "cpu": "1"}, "requests": {"hugepages-2Mi": "4Mi"}}),
            f"{C}.resources.requests",
            'Invalid value: "4Mi": must be equal to hugepages-2Mi limit of 2Mi',
        ),
        (
            one(resources={"limits": {"hugepages-2Mi": "2Mi"}}),
            f"{C}.resources",
            "Forbidden: HugePages require cpu or memory",
        ),
        (
            one(resources={"claims": [{"name": "gpu"}]}),
            f"{C}.resources.claims[0]",
            'Not found: "gpu": must be one of the names in pod.spec.resourceClaims which is empty',
        ),
        (
            pod(
                hostNetwork=True,
                containers=[{"name": "a", "image": "a", "ports": [{"containerPort": 1, "hostPort": 2}]}],
            ),
            f"{C}.ports[0].hostPort",
            "Invalid value: 2: must match `containerPort` when `hostNetwork` is true",
        ),
        (
            pod(hostNetwork=True, securityContext={"sysctls": [{"name": "net.core.somaxconn", "value": "1"}]}),
            "spec.securityContext.sysctls[0].name",
            "Invalid value: \"net.core.somaxconn\": may not be specified when 'hostNetwork' is true",
        ),
        (
            pod(hostUsers=False, hostPID=True),
            "spec.HostPID",
            "Forbidden: when `pod.Spec.HostUsers` is false",
        ),
        (
            pod(os={"name": "plan9"}),
            "spec.os",
            'Unsupported value: "plan9": supported values: "linux", "windows"',
        ),
        (
            pod(overhead={"cpu": "-1"}),
            "spec.overhead.limits[cpu]",
            'Invalid value: "-1": must be greater than or equal to 0',
        ),
        (
            pod(tolerations=[{"key": "a", "operator": "Exists", "value": "x"}]),
            "spec.tolerations[0].operator",
            "Invalid value: \"x\": value must be empty when `operator` is 'Exists'",
        ),
        (
            pod(schedulingGates=[{"name": "g"}, {"name": "g"}]),
            "spec.schedulingGates[1]",
            'Duplicate value: "g"',
        ),
        (
            pod(resourceClaims=[{"name": "gpu"}]),
            "spec.resourceClaims[0]",
            'Invalid value: {"name":"gpu"}: must specify one of: `resourceClaimName`, `resourceClaimTemplateName`',
        ),
        (
            pod(volumes=[{"name": "v", "secret": {"secretName": "s"}, "emptyDir": {}}]),
            "spec.volumes[0].secret",
            "Forbidden: may not specify more than 1 volume type",
        ),
        (
            pod(volumes=[{"name": "v", "nfs": {"server": "s", "path": "x"}}]),
            "spec.volumes[0].nfs.path",
            'Invalid value: "x": must be an absolute path',
        ),
        (
            pod(
                volumes=[
                    {
                        "name": "v",
                        "projected": {"sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 1}}]},
                    }
                ]
            ),
            "spec.volumes[0].projected.sources[0].serviceAccountToken.expirationSeconds",
            "Invalid value: 1: may not specify a duration less than 10 minutes",
        ),
        (
            pod(dnsConfig={"nameservers": ["x"]}),
            "spec.dnsConfig.nameservers[0]",
            'Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)',
        ),
        (
            pod(volumes=[{"name": "v", "emptyDir": {}, "hostPath": {"path": "/x"}}]),
            "spec.volumes[0].hostPath",
            "Forbidden: may not specify more than 1 volume type",
        ),
        (pod(volumes=[{"name": "v", "secret": {}}]), "spec.volumes[0].secret.secretName", "Required value"),
        (
            pod(volumes=[{"name": "v", "configMap": {"name": "c", "defaultMode": 1000}}]),
            "spec.volumes[0].configMap.defaultMode",
            "Invalid value: 1000: must be a number between 0 and 0777 (octal), both inclusive",
        ),
        (pod(volumes=[{"name": "v"}, {"name": "v"}]), "spec.volumes[1].name", 'Duplicate value: "v"'),
        (
            pod(initContainers=[{"name": "i", "image": "i", "readinessProbe": {"exec": {"command": ["x"]}}}]),
            "spec.initContainers[0].readinessProbe",
            "Forbidden: may not be set for init containers without restartPolicy=Always",
        ),
        (
            pod(ephemeralContainers=[{"name": "e", "image": "e"}]),
            "spec.ephemeralContainers",
            "Forbidden: cannot be set on create",
        ),
        (
            pod(affinity={"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [BAD_VALUE]}}}),
            f"spec.affinity.nodeAffinity.{REQUIRED}.nodeSelectorTerms[0].matchExpressions[0].values[0]",
            None,
        ),
        (
            pod(affinity={"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [NO_VALUES]}}}),
            "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0]"
            ".matchExpressions[0].values",
            "Required value: must be specified when `operator` is 'In' or 'NotIn'",
        ),
    ],
)
def test_one_fault_gives_one_cause_at_its_field(document: Document, field: str, message: str | None) -> None:
    found = causes(document)
    assert [where for where, _ in found] == [field]
    if message is not None:
        assert found[0][1] == message


def test_all_faults_are_told_at_once() -> None:
    found = causes(pod(containers=[{"name": "A", "image": ""}], restartPolicy="x", volumes=[{"name": "B"}]))
    assert [field for field, _ in found] == [
        "spec.volumes[0].name",
        "spec.containers[0].name",
        "spec.containers[0].image",
        "spec.restartPolicy",
    ]


def test_names_that_are_no_labels_are_told_with_the_pattern() -> None:
    ((field, message),) = causes(pod(containers=[{"name": "My_Name", "image": "a"}]))
    assert field == "spec.containers[0].name"
    assert message.startswith('Invalid value: "My_Name": a lowercase RFC 1123 label must consist of')


def changed(change: Callable[[Document], None], old: Document | None = None) -> tuple[Document, Document]:
    """(new, old): `change` is made to a copy of the spec one level deep."""
    before = old or one()
    spec = {**before["spec"], "containers": [dict(found) for found in before["spec"]["containers"]]}
    change(spec)
    return {**before, "spec": spec}, before


@pytest.mark.parametrize(
    "change",
    [
        lambda spec: spec["containers"][0].update(image="b:2"),
        lambda spec: spec.update(activeDeadlineSeconds=5),
        lambda spec: spec.update(tolerations=[{"key": "a", "operator": "Exists"}]),
    ],
)
def test_what_an_update_may_change(change: Callable[[Document], None]) -> None:
    assert causes(*changed(change)) == []


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (lambda spec: spec["containers"][0].update(command=["x"]), "spec.containers[0].command"),
        (lambda spec: spec.update(nodeName="n"), "spec.nodeName"),
        (lambda spec: spec.update(restartPolicy="Never"), "spec.restartPolicy"),
        (lambda spec: spec.update(terminationGracePeriodSeconds=1), "spec.terminationGracePeriodSeconds"),
        (lambda spec: spec.pop("volumes"), "spec.volumes"),
    ],
)
def test_what_an_update_may_not_change(change: Callable[[Document], None], where: str) -> None:
    ((field, message),) = causes(*changed(change))
    assert field == "spec"
    assert message == f"Forbidden: {LONG}\nchanged: {where}"


def test_updates_that_have_words_of_their_own() -> None:
    new, old = changed(lambda spec: spec["containers"].append({**spec["containers"][0], "name": "b"}))
    assert causes(new, old) == [("spec.containers", "Forbidden: pod updates may not add or remove containers")]
    new, old = changed(lambda spec: spec.update(activeDeadlineSeconds=9), pod(activeDeadlineSeconds=5))
    assert causes(new, old)[0][1] == "Invalid value: 9: must be less than or equal to previous value"
    new, old = changed(lambda spec: spec.pop("activeDeadlineSeconds"), pod(activeDeadlineSeconds=5))
    assert causes(new, old)[0][1] == "Invalid value: null: must not update from a positive integer to nil value"
    new, old = changed(lambda spec: spec.update(tolerations=[]), pod(tolerations=[{"operator": "Exists"}]))
    assert reasons(new, old) == ["FieldValueForbidden"]


def test_a_negative_grace_period_may_become_one_second() -> None:
    old = pod(terminationGracePeriodSeconds=-1)
    assert causes(*changed(lambda spec: spec.update(terminationGracePeriodSeconds=1), old)) == []


def test_a_gated_pod_may_be_narrowed_and_only_lose_gates() -> None:
    gated = pod(schedulingGates=[{"name": "g"}], nodeSelector={"a": "b"})
    assert (
        causes(*changed(lambda spec: spec.update(schedulingGates=[], nodeSelector={"a": "b", "c": "d"}), gated)) == []
    )
    assert causes(*changed(lambda spec: spec.update(nodeSelector={"c": "d"}), gated)) != []
    new, old = changed(lambda spec: spec.update(schedulingGates=[{"name": "other"}]), gated)
    assert causes(new, old)[0][0] == "spec.schedulingGates[0].name"


def test_debugging_containers_are_only_added() -> None:
    rules = POD.subresource_rules["ephemeralcontainers"]
    prepare = POD.subresource_prepare["ephemeralcontainers"]
    old = {**pod(), "status": {"phase": "Running"}}
    debugger = {"name": "d", "image": "d", "targetContainerName": "a"}
    draft = Draft({**pod(nodeName="sneaky", ephemeralContainers=[debugger]), "status": {}})
    prepare(draft, old)
    POD.default(draft)
    assert draft.document["status"] == {"phase": "Running"}
    assert "nodeName" not in draft.document["spec"]
    assert list(rules(draft.document, old)) == []
    (cause,) = rules(old, draft.document)
    assert 'existing ephemeral containers "d" may not be removed' in cause.message
    bad = Draft(pod(ephemeralContainers=[{**debugger, "targetContainerName": "z", "ports": [{"containerPort": 1}]}]))
    POD.default(bad)
    assert [cause.field for cause in rules(bad.document, old)] == [
        "spec.ephemeralContainers[0].targetContainerName",
        "spec.ephemeralContainers[0].ports",
    ]


def test_a_resize_changes_processor_and_memory_and_not_the_class() -> None:
    rules, prepare = POD.subresource_rules["resize"], POD.subresource_prepare["resize"]
    old = one(resources={"requests": {"cpu": "1"}})
    draft = Draft(one(resources={"requests": {"cpu": "2"}}, command=["sneaky"]))
    prepare(draft, old)
    assert "command" not in draft.document["spec"]["containers"][0]
    assert list(rules(draft.document, old)) == []
    requests = "spec.containers[0].resources.requests"
    assert [cause.field for cause in rules(one(resources={}), old)] == ["spec", requests]
    other = one(resources={"requests": {"cpu": "1", "ephemeral-storage": "1"}})
    assert [cause.message for cause in rules(other, old)] == ["Forbidden: only cpu and memory resources are mutable"]


def test_a_term_without_a_topology_is_told_so_and_why_the_empty_one_is_no_name() -> None:
    found = causes(pod(affinity={"podAntiAffinity": {REQUIRED: [{}]}}))
    assert {field for field, _ in found} == {f"spec.affinity.podAntiAffinity.{REQUIRED}[0].topologyKey"}
    assert [message.partition(":")[0] for _, message in found] == ["Required value", "Invalid value", "Invalid value"]


def test_a_template_leaves_the_ports_of_the_node_and_the_look_of_images_to_its_pods() -> None:
    container = {"name": "a", "image": " a", "ports": [{"containerPort": 80, "protocol": "TCP"}]}
    draft = Draft(
        {
            "spec": {
                "selector": {"matchLabels": {"a": "b"}},
                "template": {
                    "metadata": {"labels": {"a": "b"}},
                    "spec": {"hostNetwork": True, "containers": [container]},
                },
            }
        }
    )
    DAEMONSET.default(draft)
    assert list(DAEMONSET.rules(draft.document, None)) == []


def test_annotations_that_the_system_reads_are_checked() -> None:
    cost, mirror = "controller.kubernetes.io/pod-deletion-cost", "kubernetes.io/config.mirror"
    old = pod()
    bad = {**old, "metadata": {"annotations": {cost: "+1", mirror: "x"}}}
    assert [field for field, _ in causes(bad)] == [f"metadata.annotations[{name}]" for name in (mirror, cost)]
    assert causes(bad, old)[0][1] == "Forbidden: may not add mirror pod annotation"
    assert causes(old, bad)[0][1] == "Forbidden: may not remove or update mirror pod annotation"
    assert causes({**old, "metadata": {"annotations": {cost: "-100"}}}) == []


def test_node_affinity_of_a_gated_pod_only_grows() -> None:
    first = {"key": "a", "operator": "Exists"}
    gated = pod(
        schedulingGates=[{"name": "g"}],
        affinity={"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [{"matchExpressions": [first]}]}}},
    )

    def asked(*terms: Document) -> list[tuple[str, str]]:
        affinity = {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": list(terms)}}}
        return causes(*changed(lambda spec: spec.update(affinity=affinity), gated))

    field = f"spec.affinity.nodeAffinity.{REQUIRED}.nodeSelectorTerms"
    second = {"key": "b", "operator": "Exists"}
    assert asked({"matchExpressions": [first, second]}) == []
    assert [found for found, _ in asked({"matchExpressions": [second]})] == [f"{field}[0]"]
    assert [found for found, _ in asked({"matchExpressions": [first]}, {"matchExpressions": [second]})] == [field]


def test_search_domains_may_have_underscores_and_be_the_root() -> None:
    assert causes(pod(dnsConfig={"searches": [".", "_tcp.example.com.", "a_b"]})) == []
    assert [field for field, _ in causes(pod(dnsConfig={"searches": ["A b"]}))] == ["spec.dnsConfig.searches[0]"]
