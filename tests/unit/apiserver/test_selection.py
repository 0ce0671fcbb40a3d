"""Which fields objects may be selected by, and what their values are, as Kubernetes 1.36 has them."""

from __future__ import annotations

from typing import Any

import pytest
from api_driver import run

from navarch.apiserver.selection import Selection
from navarch.base.errors import BadRequest
from navarch.kinds import ALL, EVENT, EVENTS_EVENT, NAMESPACE, POD, SECRET
from navarch.kinds.kind import Kind
from navarch.kinds.object import Object

ABOUT = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
FIELDS = {
    "CertificateSigningRequest": {"spec.signerName"},
    "ClusterTrustBundle": {"spec.signerName"},
    "Job": {"status.successful"},
    "Namespace": {"status.phase"},
    "Node": {"spec.unschedulable"},
    "Pod": {
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "spec.hostNetwork",
        "status.phase",
        "status.podIP",
        "status.nominatedNodeName",
    },
    "ReplicaSet": {"status.replicas"},
    "ReplicationController": {"status.replicas"},
    "ResourceSlice": {"spec.driver", "spec.nodeName"},
    "Secret": {"type"},
    "Service": {"spec.clusterIP", "spec.type"},
}


@pytest.mark.parametrize("kind", [kind for kind in ALL if kind.name != "Event"], ids=repr)
def test_selectable_fields(kind: Kind) -> None:
    assert set(kind.fields) == FIELDS.get(kind.name, set())


def test_selectable_fields_of_both_forms_of_events() -> None:
    both = {"reason", "type"}
    assert set(EVENT.fields) == {f"involvedObject.{one}" for one in ABOUT} | both | {"reportingComponent", "source"}
    assert set(EVENTS_EVENT.fields) == {f"regarding.{one}" for one in ABOUT} | both | {"reportingController"}


def matches(kind: Kind, fields: str, **document: Any) -> bool:
    whole = {"apiVersion": kind.api_version, "kind": kind.name, "metadata": {"name": "a", "namespace": "n"}, **document}
    return Selection(kind, "", "", fields).matches(Object.of(kind, whole))


@pytest.mark.parametrize(
    ("kind", "fields", "document", "wanted"),
    [
        (POD, "spec.nodeName=one", {"spec": {"nodeName": "one"}}, True),
        (POD, "spec.host=one", {"spec": {"nodeName": "one"}}, True),
        (POD, "spec.host!=one", {"spec": {"nodeName": "one"}}, False),
        (POD, "spec.host=", {"spec": {}}, True),
        (POD, "status.podIPs=10.0.0.1", {"status": {"podIPs": [{"ip": "10.0.0.1"}]}}, False),
        (POD, "status.podIPs!=10.0.0.1", {"status": {"podIPs": [{"ip": "10.0.0.1"}]}}, True),
        (POD, "metadata.namespace=n,metadata.name!=b", {}, True),
        (EVENT, "source=kubelet", {"source": {"component": "kubelet"}, "reportingComponent": "other"}, True),
        (EVENT, "source=kubelet", {"reportingComponent": "kubelet"}, True),
        (EVENT, "source=kubelet", {"source": {"component": "other"}, "reportingComponent": "kubelet"}, False),
        (EVENT, "reportingComponent=", {"source": {"component": "kubelet"}}, True),
    ],
)
def test_values(kind: Kind, fields: str, document: dict[str, Any], wanted: bool) -> None:
    assert matches(kind, fields, **document) is wanted


@pytest.mark.parametrize(
    ("kind", "field"), [(NAMESPACE, "name"), (SECRET, "data"), (POD, "spec.hosts"), (POD, "status.podIPs.ip")]
)
def test_fields_that_nothing_is_selected_by(kind: Kind, field: str) -> None:
    with pytest.raises(BadRequest, match=f"field label not supported: {field}"):
        matches(kind, f"{field}=a")


def test_tables_of_flow_schemas_are_sorted_by_precedence() -> None:
    async def scenario(api: Any) -> None:
        path = "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas"
        for name, precedence in (("a", 500), ("b", 100), ("c", 100)):
            spec = {"priorityLevelConfiguration": {"name": "x"}, "matchingPrecedence": precedence}
            await api.post(path, {"metadata": {"name": name}, "spec": spec})
        accept = "application/json;as=Table;v=v1;g=meta.k8s.io"
        rows = (await api.get(path, accept=accept))["rows"]
        assert [row["cells"][0] for row in rows] == ["b", "c", "a"]

    run(scenario)
