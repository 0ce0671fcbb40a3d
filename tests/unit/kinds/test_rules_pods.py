"""Pods that ask as a whole, bring claims, run on Windows, or are only their node's; and what is left of networking."""

from __future__ import annotations

from typing import Any

import pytest
from kind_driver import Causes, Document, causes, complete

from navarch.kinds import INGRESS, INGRESSCLASS, IPADDRESS, POD, SERVICECIDR

MIRROR: Document = {"metadata": {"annotations": {"kubernetes.io/config.mirror": "x"}}}


def one(name: str = "c", **more: Any) -> Document:
    return {"name": name, "image": "i", "terminationMessagePolicy": "File", "imagePullPolicy": "Always", **more}


def pod(**spec: Any) -> Causes:
    return causes(POD, {"spec": {"containers": [one()], **spec}})


def asking(**requests: str) -> Document:
    return {"resources": {"requests": requests}}


def limited(**limits: str) -> Document:
    return {"resources": {"limits": limits}}


def test_a_pod_asks_for_no_less_than_its_containers() -> None:
    containers = [one("a", **asking(cpu="1")), one("b", **asking(cpu="500m"))]
    assert pod(containers=containers, **asking(cpu="2")) == []
    assert pod(containers=containers, **asking(cpu="1")) == [
        (
            "spec.resources.requests[cpu]",
            'Invalid value: "1": must be greater than or equal to aggregate container requests of 1500m',
        )
    ]
    large = [one("i", **asking(memory="6Gi"))]
    assert [field for field, _ in pod(initContainers=large, **asking(memory="576Mi"))] == [
        "spec.resources.requests[memory]"
    ]
    generous = [one(resources={"limits": {"cpu": "2"}, "requests": {"cpu": "1"}})]
    assert pod(containers=generous, **limited(cpu="1")) == [
        (
            "spec.resources.containers[0][cpu].limits",
            'Invalid value: "2": must be less than or equal to pod limits of 1',
        )
    ]


def test_what_a_pod_asks_for_as_a_whole_is_filled_in() -> None:
    def filled(**spec: Any) -> Any:
        return complete(POD, {"spec": {"containers": [one()], **spec}})["spec"]["resources"].get("requests")

    assert filled(**limited(cpu="2", memory="1Gi")) == {"cpu": "2", "memory": "1Gi"}
    assert filled(containers=[one(**asking(cpu="500m"))], **limited(cpu="2", memory="1Gi")) == {
        "cpu": "500m",
        "memory": "1Gi",
    }
    assert filled(resources={}) is None


CLAIM: Document = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}


@pytest.mark.parametrize(
    ("template", "field", "message"),
    [
        ({"spec": {**CLAIM, "accessModes": []}}, "spec.accessModes", "Required value: at least 1 access mode is requi"),
        ({"spec": {**CLAIM, "resources": {}}}, "spec.resources[storage]", "Required value"),
        ({"spec": {**CLAIM, "volumeMode": "No"}}, "spec.volumeMode", 'Unsupported value: "No"'),
        ({"spec": CLAIM, "metadata": {"labels": {"a": "-"}}}, "metadata.labels", 'Invalid value: "-": a valid label'),
    ],
)
def test_claims_that_a_pod_brings(template: Document, field: str, message: str) -> None:
    (found,) = pod(volumes=[{"name": "v", "ephemeral": {"volumeClaimTemplate": template}}])
    assert found[0] == f"spec.volumes[0].ephemeral.volumeClaimTemplate.{field}"
    assert found[1].startswith(message)


WINDOWS: Document = {"os": {"name": "windows"}}


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"hostPID": True}, "hostPID"),
        ({"hostUsers": True}, "hostUsers"),
        ({"shareProcessNamespace": False}, "shareProcessNamespace"),
        ({"securityContext": {"fsGroup": 1}}, "securityContext.fsGroup"),
        ({"securityContext": {"supplementalGroups": [1]}}, "securityContext.supplementalGroups"),
        ({"securityContext": {"seccompProfile": {"type": "RuntimeDefault"}}}, "securityContext.seccompProfile"),
        (
            {"containers": [one(securityContext={"privileged": False})]},
            "containers[0].securityContext.privileged",
        ),
        (
            {"initContainers": [one("i", securityContext={"runAsUser": 1})]},
            "initContainers[0].securityContext.runAsUser",
        ),
    ],
)
def test_windows(spec: Document, field: str) -> None:
    assert pod(**WINDOWS, **spec) == [(f"spec.{field}", "Forbidden: cannot be set for a windows pod")]
    assert pod(**spec) == []


def test_windows_options_are_fine_on_windows() -> None:
    assert pod(**WINDOWS, securityContext={"windowsOptions": {"runAsUserName": "u"}}, hostPID=False) == []


def test_pods_that_only_their_node_knows_stay_as_they_are() -> None:
    stored = {**MIRROR, "spec": {"containers": [one()], "nodeName": "n"}}
    assert causes(POD, stored, stored, "ephemeralcontainers") == [
        ("", "Forbidden: static pods do not support ephemeral containers")
    ]
    assert causes(POD, stored, stored, "resize") == [("", "Forbidden: static pods cannot be resized")]
    windows = {"spec": {"containers": [one()], **WINDOWS}}
    assert causes(POD, windows, windows, "resize") == [("", "Forbidden: windows pods cannot be resized")]


def ingress_status(**point: str) -> Causes:
    status = {"loadBalancer": {"ingress": [point]}}
    return causes(INGRESS, {"status": status}, {}, "status")


def test_where_an_ingress_is_reached() -> None:
    assert ingress_status(ip="10.0.0.1", hostname="a.example.com") == []
    ((field, message),) = ingress_status(ip="10.0.0.01")
    assert (field, message) == (
        "status.loadBalancer.ingress[0].ip",
        'Invalid value: "10.0.0.01": must not have leading 0s',
    )
    assert ingress_status(hostname="10.0.0.1") == [
        ("status.loadBalancer.ingress[0].hostname", 'Invalid value: "10.0.0.1": must be a DNS name, not an IP address')
    ]
    stored = {"status": {"loadBalancer": {"ingress": [{"ip": "10.0.0.01"}]}}}
    assert causes(INGRESS, stored, stored, "status") == [], "what was once taken may stay"


def test_ingresses() -> None:
    path = {"path": "/", "backend": {}}
    untyped = {"spec": {"rules": [{"http": {"paths": [path]}}]}}
    assert causes(INGRESS, untyped) == [
        ("spec.rules[0].http.paths[0].pathType", "Required value: pathType must be specified")
    ]
    hosts = [field for field, _ in causes(INGRESS, {"spec": {"rules": [{"host": "::1"}]}})]
    assert hosts == ["spec.rules[0].host"] * 2, "an address, and no name"


def test_classes_and_addresses() -> None:
    stored = {"spec": {"controller": "a.io/b"}}
    fields = [field for field, _ in causes(INGRESSCLASS, {"spec": {"controller": "a"}}, stored)]
    assert fields == ["spec.controller"] * 2
    parent = {"spec": {"parentRef": {"resource": "services", "name": "a"}}}
    assert [field for field, _ in causes(IPADDRESS, {"spec": {}}, parent)] == ["spec.parentRef"]
    networks = {"spec": {"cidrs": ["10.0.0.0/24"]}}
    assert causes(SERVICECIDR, {"spec": {"cidrs": ["10.0.0.0/24", "2001:db8::/112"]}}, networks) == []
    moved = {"spec": {"cidrs": ["10.0.1.0/24"]}}
    assert [field for field, _ in causes(SERVICECIDR, moved, networks)] == ["spec.cidrs[0]"]
    assert [field for field, _ in causes(SERVICECIDR, {"spec": {"cidrs": []}}, networks)] == ["spec.cidrs"]


def test_rules_for_restarts_name_an_action_and_codes() -> None:
    codes = {"operator": "In", "values": [42]}

    def judged(*rules: Document, **more: Any) -> Causes:
        return pod(containers=[one(restartPolicy="Never", restartPolicyRules=list(rules), **more)])

    at = "spec.containers[0].restartPolicyRules"
    assert (
        judged({"action": "Restart", "exitCodes": codes}, {"action": "RestartAllContainers", "exitCodes": codes}) == []
    )
    assert judged({"action": "Stop", "exitCodes": codes}) == [
        (f"{at}[0].action", 'Unsupported value: "Stop": supported values: "Restart", "RestartAllContainers"')
    ]
    assert judged({"action": "Restart", "exitCodes": {**codes, "operator": "Equals"}}) == [
        (f"{at}[0].exitCodes.operator", 'Unsupported value: "Equals": supported values: "In", "NotIn"')
    ]
    assert [field for field, _ in judged({"action": "Restart"})] == [f"{at}[0].exitCodes"]
    assert [field for field, _ in judged(*[{"action": "Restart", "exitCodes": codes}] * 21)] == [at]
    many = {"operator": "NotIn", "values": list(range(256))}
    assert [field for field, _ in judged({"action": "Restart", "exitCodes": many})] == [f"{at}[0].exitCodes.values"]
    bare = one(restartPolicyRules=[{"action": "Restart", "exitCodes": codes}])
    text = "Required value: must specify restartPolicy when restart rules are used"
    assert pod(containers=[bare]) == [("spec.containers[0].restartPolicy", text)]
    assert pod(initContainers=[{**bare, "name": "i"}]) == [("spec.initContainers[0].restartPolicy", text)]
