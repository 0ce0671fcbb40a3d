"""What is filled in where nothing is said."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.kinds import (
    DEPLOYMENT,
    ENDPOINTSLICE,
    LIMITRANGE,
    NAMESPACE,
    NODE,
    PERSISTENTVOLUMECLAIM,
    POD,
    REPLICASET,
    REPLICATIONCONTROLLER,
    ROLEBINDING,
    SECRET,
    SERVICE,
)
from navarch.kinds.kind import Kind
from navarch.kinds.pod.prepare import grace, qos_class
from navarch.kinds.podspec.defaults import default_container, default_volume, pull_policy
from navarch.objects.value import Draft


def defaulted(kind: Kind, document: dict[str, Any]) -> dict[str, Any]:
    draft = Draft(document)
    kind.default(draft)
    return draft.document


def prepared(kind: Kind, document: dict[str, Any], old: dict[str, Any] | None = None) -> dict[str, Any]:
    draft = Draft(document)
    assert kind.prepare is not None
    kind.prepare(draft, old)
    return draft.document


def test_a_small_pod_gets_what_every_pod_has() -> None:
    written = {"spec": {"containers": [{"name": "web", "image": "nginx"}]}}
    assert defaulted(POD, written)["spec"] == {
        "containers": [
            {
                "name": "web",
                "image": "nginx",
                "imagePullPolicy": "Always",
                "resources": {},
                "terminationMessagePath": "/dev/termination-log",
                "terminationMessagePolicy": "File",
            }
        ],
        "restartPolicy": "Always",
        "dnsPolicy": "ClusterFirst",
        "schedulerName": "default-scheduler",
        "securityContext": {},
        "terminationGracePeriodSeconds": 30,
        "enableServiceLinks": True,
    }
    assert written == {"spec": {"containers": [{"name": "web", "image": "nginx"}]}}


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("nginx", "Always"),
        ("nginx:latest", "Always"),
        ("nginx:1.25", "IfNotPresent"),
        ("registry:5000/nginx", "Always"),
        ("registry:5000/a/nginx:2", "IfNotPresent"),
        ("nginx@sha256:" + "0" * 64, "IfNotPresent"),
        ("nginx:latest@sha256:" + "0" * 64, "Always"),
    ],
)
def test_the_pull_policy_follows_the_tag(image: str, policy: str) -> None:
    assert pull_policy(image) == policy


def test_probes_ports_and_references_are_completed() -> None:
    container = default_container(
        {
            "name": "a",
            "image": "a:1",
            "ports": [{"containerPort": 80}, {"containerPort": 53, "protocol": "UDP"}],
            "livenessProbe": {"httpGet": {"port": 80}, "periodSeconds": 3},
            "readinessProbe": {"grpc": {"port": 9}},
            "lifecycle": {"preStop": {"httpGet": {"port": "web"}}},
            "env": [
                {"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                {"name": "B", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
                {"name": "C", "value": "c"},
            ],
        }
    )
    assert [port["protocol"] for port in container["ports"]] == ["TCP", "UDP"]
    assert container["livenessProbe"] == {
        "httpGet": {"port": 80, "path": "/", "scheme": "HTTP"},
        "periodSeconds": 3,
        "timeoutSeconds": 1,
        "successThreshold": 1,
        "failureThreshold": 3,
    }
    assert container["readinessProbe"]["grpc"] == {"port": 9, "service": ""}
    assert container["lifecycle"]["preStop"]["httpGet"]["scheme"] == "HTTP"
    assert container["env"][0]["valueFrom"]["fieldRef"]["apiVersion"] == "v1"
    assert container["env"][1]["valueFrom"]["resourceFieldRef"]["divisor"] == "0"


@pytest.mark.parametrize(
    ("volume", "source"),
    [
        ({}, {"emptyDir": {}}),
        ({"secret": {"secretName": "s"}}, {"secret": {"secretName": "s", "defaultMode": 420}}),
        ({"configMap": {"name": "c", "defaultMode": 0}}, {"configMap": {"name": "c", "defaultMode": 0}}),
        ({"hostPath": {"path": "/x"}}, {"hostPath": {"path": "/x", "type": ""}}),
        (
            {"projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}},
            {
                "projected": {
                    "defaultMode": 420,
                    "sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 3600}}],
                }
            },
        ),
        ({"image": {"reference": "a:latest"}}, {"image": {"reference": "a:latest", "pullPolicy": "Always"}}),
    ],
)
def test_volumes_are_completed(volume: dict[str, Any], source: dict[str, Any]) -> None:
    assert default_volume({"name": "v", **volume}) == {"name": "v", **source}


def test_only_pods_get_requests_from_limits_and_service_links() -> None:
    spec = {
        "containers": [{"name": "a", "resources": {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "0"}}}]
    }
    pod = defaulted(POD, {"spec": spec})["spec"]
    assert pod["containers"][0]["resources"]["requests"] == {"cpu": "0", "memory": "1Gi"}
    template = defaulted(REPLICASET, {"spec": {"template": {"spec": spec}}})["spec"]["template"]["spec"]
    assert template["containers"][0]["resources"]["requests"] == {"cpu": "0"}
    assert "enableServiceLinks" not in template


def test_ports_of_the_host_network_are_the_hosts() -> None:
    spec = {"hostNetwork": True, "containers": [{"name": "a", "ports": [{"containerPort": 80}]}]}
    assert defaulted(POD, {"spec": spec})["spec"]["containers"][0]["ports"][0]["hostPort"] == 80


def test_both_names_of_the_service_account_are_kept_in_step() -> None:
    spec = defaulted(POD, {"spec": {"containers": [], "serviceAccount": "old"}})["spec"]
    assert (spec["serviceAccountName"], spec["serviceAccount"]) == ("old", "old")


def test_deployments_roll_by_a_quarter() -> None:
    spec = defaulted(DEPLOYMENT, {"spec": {"template": {"spec": {"containers": []}}}})["spec"]
    assert spec["strategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"},
    }
    assert (spec["replicas"], spec["revisionHistoryLimit"], spec["progressDeadlineSeconds"]) == (1, 10, 600)
    zero = defaulted(DEPLOYMENT, {"spec": {"replicas": 0, "strategy": {"type": "Recreate"}}})["spec"]
    assert (zero["replicas"], zero["strategy"]) == (0, {"type": "Recreate"})


def test_services() -> None:
    spec = defaulted(SERVICE, {"spec": {"ports": [{"port": 80}, {"port": 53, "targetPort": "dns", "protocol": "UDP"}]}})
    assert spec["spec"] == {
        "ports": [
            {"port": 80, "protocol": "TCP", "targetPort": 80},
            {"port": 53, "protocol": "UDP", "targetPort": "dns"},
        ],
        "type": "ClusterIP",
        "sessionAffinity": "None",
        "internalTrafficPolicy": "Cluster",
    }
    outside = defaulted(SERVICE, {"spec": {"type": "LoadBalancer", "sessionAffinity": "ClientIP"}})["spec"]
    assert outside["externalTrafficPolicy"] == "Cluster"
    assert outside["allocateLoadBalancerNodePorts"] is True
    assert outside["sessionAffinityConfig"]["clientIP"]["timeoutSeconds"] == 10800
    assert "internalTrafficPolicy" not in defaulted(SERVICE, {"spec": {"type": "ExternalName"}})["spec"]


def test_an_update_of_a_service_keeps_what_was_allocated() -> None:
    old = {
        "spec": {
            "type": "NodePort",
            "clusterIP": "10.0.0.1",
            "clusterIPs": ["10.0.0.1"],
            "ports": [{"port": 80, "protocol": "TCP", "nodePort": 30001}],
        }
    }
    new = prepared(SERVICE, {"spec": {"type": "NodePort", "ports": [{"port": 80}, {"port": 81}]}}, old)["spec"]
    assert (new["clusterIP"], new["clusterIPs"]) == ("10.0.0.1", ["10.0.0.1"])
    assert [port.get("nodePort") for port in new["ports"]] == [30001, None]


def test_a_service_of_another_type_loses_what_only_the_old_type_had() -> None:
    old = {
        "spec": {
            "type": "NodePort",
            "clusterIP": "10.0.0.1",
            "clusterIPs": ["10.0.0.1"],
            "externalTrafficPolicy": "Cluster",
            "ports": [{"port": 80, "nodePort": 30001}],
        }
    }
    inner = prepared(SERVICE, {"spec": {**old["spec"], "type": "ClusterIP"}}, old)["spec"]
    assert inner["ports"] == [{"port": 80}]
    assert "externalTrafficPolicy" not in inner
    assert inner["clusterIP"] == "10.0.0.1"
    external = prepared(SERVICE, {"spec": {**old["spec"], "type": "ExternalName"}}, old)["spec"]
    assert "clusterIP" not in external


def test_plain_text_of_a_secret_is_encoded_over_its_data() -> None:
    found = defaulted(SECRET, {"data": {"a": "b2xk", "b": "Yg=="}, "stringData": {"a": "new"}})
    assert found == {"type": "Opaque", "data": {"a": "bmV3", "b": "Yg=="}}


def test_the_other_kinds() -> None:
    assert defaulted(NAMESPACE, {"metadata": {"name": "a"}})["metadata"]["labels"] == {
        "kubernetes.io/metadata.name": "a"
    }
    assert defaulted(ENDPOINTSLICE, {"ports": [{"port": 1}]})["ports"] == [{"port": 1, "name": "", "protocol": "TCP"}]
    assert defaulted(PERSISTENTVOLUMECLAIM, {"spec": {}})["spec"] == {"volumeMode": "Filesystem"}
    binding = defaulted(ROLEBINDING, {"roleRef": {"kind": "Role"}, "subjects": [{"kind": "User", "name": "a"}]})
    assert binding["roleRef"]["apiGroup"] == binding["subjects"][0]["apiGroup"] == "rbac.authorization.k8s.io"
    controller = defaulted(REPLICATIONCONTROLLER, {"spec": {"template": {"metadata": {"labels": {"a": "b"}}}}})
    assert controller["spec"]["selector"] == controller["metadata"]["labels"] == {"a": "b"}
    limits = defaulted(
        LIMITRANGE, {"spec": {"limits": [{"type": "Container", "max": {"cpu": "2"}, "min": {"cpu": "1"}}]}}
    )
    assert limits["spec"]["limits"][0]["default"] == limits["spec"]["limits"][0]["defaultRequest"] == {"cpu": "2"}


def test_new_objects_start_where_kubernetes_starts_them() -> None:
    pod = prepared(POD, {"spec": {"schedulingGates": [{"name": "g"}]}, "status": {"phase": "Running"}})
    assert pod["status"]["phase"] == "Pending"
    assert pod["status"]["conditions"][0]["reason"] == "SchedulingGated"
    assert prepared(NAMESPACE, {})["spec"] == {"finalizers": ["kubernetes"]}
    assert prepared(NAMESPACE, {})["status"] == {"phase": "Active"}
    assert prepared(NAMESPACE, {"spec": {}}, {"spec": {"finalizers": ["kubernetes"]}})["spec"]["finalizers"]
    assert prepared(SERVICE, {})["status"] == {"loadBalancer": {}}
    assert prepared(REPLICASET, {})["status"] == {"replicas": 0}


def of(*resources: dict[str, Any]) -> dict[str, Any]:
    return {"containers": [{"resources": found} for found in resources]}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (of({}), "BestEffort"),
        (of({"limits": {"cpu": "0"}}), "BestEffort"),
        (of({"limits": {"cpu": "1", "memory": "1"}}), "Guaranteed"),
        (of({"limits": {"cpu": "1", "memory": "1Ki"}, "requests": {"cpu": "1000m", "memory": "1024"}}), "Guaranteed"),
        (of({"limits": {"cpu": "1", "memory": "1"}}, {}), "Burstable"),
        (of({"limits": {"cpu": "1"}}), "Burstable"),
        (of({"requests": {"memory": "1"}}), "Burstable"),
        ({**of({}), "resources": {"limits": {"cpu": "1", "memory": "1"}}}, "Guaranteed"),
    ],
)
def test_the_class_of_service(spec: dict[str, Any], expected: str) -> None:
    assert qos_class(spec) == expected


def test_who_gets_grace() -> None:
    assert grace({"spec": {"terminationGracePeriodSeconds": 30}}) is None
    assert grace({"spec": {"nodeName": "n", "terminationGracePeriodSeconds": 5}}) == 5
    assert grace({"spec": {"nodeName": "n", "terminationGracePeriodSeconds": -5}}) == 1
    assert grace({"spec": {"nodeName": "n"}, "status": {"phase": "Succeeded"}}) is None


CONTAINERS = st.fixed_dictionaries(
    {"name": st.sampled_from(["a", "b"])},
    optional={
        "image": st.sampled_from(["x", "x:1", "r:5/x@sha256:0"]),
        "imagePullPolicy": st.just("Never"),
        "resources": st.sampled_from([{}, {"limits": {"cpu": "1"}}]),
        "ports": st.lists(st.sampled_from([{"containerPort": 1}, {"containerPort": 2, "protocol": "UDP"}]), max_size=2),
        "env": st.lists(st.sampled_from([{"name": "A"}, {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "x"}}}])),
        "livenessProbe": st.sampled_from([{}, {"httpGet": {"port": 1}}, {"exec": {}}]),
        "lifecycle": st.sampled_from([{}, {"postStart": {"httpGet": {"port": 1}}}]),
    },
)
VOLUMES = st.sampled_from(
    [{"name": "v"}, {"name": "v", "secret": {"secretName": "s"}}, {"name": "v", "projected": {"sources": [{}]}}]
)
PODS = st.fixed_dictionaries(
    {"containers": st.lists(CONTAINERS, max_size=2)},
    optional={
        "initContainers": st.lists(CONTAINERS, max_size=2),
        "volumes": st.lists(VOLUMES, max_size=2),
        "hostNetwork": st.booleans(),
        "restartPolicy": st.just("Never"),
        "serviceAccount": st.just("s"),
    },
)


def contains(larger: Any, smaller: Any) -> bool:
    """Whether nothing that was said got lost or changed."""
    if isinstance(smaller, dict):
        return all(key in larger and contains(larger[key], value) for key, value in smaller.items())
    if isinstance(smaller, list):
        return len(larger) == len(smaller) and all(map(contains, larger, smaller))
    return bool(larger == smaller)


@given(PODS)
def test_defaults_only_add_and_a_second_time_change_nothing(spec: dict[str, Any]) -> None:
    once = defaulted(POD, {"spec": spec})
    assert contains(once["spec"], spec)
    again = Draft(once)
    POD.default(again)
    assert not again.changed


def test_a_node_has_a_status_from_the_first() -> None:
    draft = Draft({"metadata": {"name": "n"}, "status": {"capacity": {"cpu": "4"}}})
    NODE.default(draft)
    status = draft.document["status"]
    assert status["daemonEndpoints"] == {"kubeletEndpoint": {"Port": 0}}
    assert status["nodeInfo"]["kubeletVersion"] == ""
    assert status["allocatable"] == {"cpu": "4"}
