from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from fakes import binding, named, role, with_default_roles
from hypothesis import given
from hypothesis import strategies as st

from navarch.apiserver.authz import roles
from navarch.apiserver.authz.authorizer import Authorizers
from navarch.apiserver.authz.escalation import check
from navarch.apiserver.authz.messages import refused
from navarch.apiserver.authz.rules import atoms, uncovered
from navarch.apiserver.call import Attributes, User
from navarch.base.errors import Forbidden
from navarch.kinds import (
    CLUSTERROLE,
    CLUSTERROLEBINDING,
    NETWORKPOLICY,
    PERSISTENTVOLUME,
    PERSISTENTVOLUMECLAIM,
    POD,
    ROLE,
    ROLEBINDING,
)
from navarch.kinds.rbac import PolicyRule

REFERENCE = Path("/work/shared/reference/rbac-bootstrap.tar.gz")
JANE = User("jane", groups=("devs", "system:authenticated"))
NODE = User("system:node:n1", groups=("system:nodes", "system:authenticated"))


def ask(user: User, verb: str, resource: str, namespace: str = "", name: str = "", **more: str) -> Attributes:
    plural, _, group = resource.partition(".")
    plural, _, subresource = plural.partition("/")
    return Attributes(user, verb, group, "v1", plural, subresource, namespace, name, fields=more.get("fields", ""))


def test_nobody_may_do_anything_by_default() -> None:
    authorizer = Authorizers(with_default_roles())
    assert not authorizer.decide(ask(JANE, "list", "pods", "default")).allowed
    assert not authorizer.decide(ask(User("system:serviceaccount:a:b"), "get", "secrets", "a", "s")).allowed
    assert authorizer.decide(Attributes(JANE, "get", path="/apis/apps/v1", is_resource=False)).allowed
    assert not authorizer.decide(Attributes(JANE, "get", path="/metrics", is_resource=False)).allowed
    assert authorizer.decide(ask(User("x", groups=("system:masters",)), "delete", "nodes", "", "n")).allowed


def test_before_it_can_read_only_masters_pass() -> None:
    authorizer = Authorizers()
    assert not authorizer.decide(ask(JANE, "get", "pods", "a", "b")).allowed
    assert authorizer.decide(ask(User("x", groups=("system:masters",)), "get", "pods", "a", "b")).allowed


def test_bindings_in_a_namespace_and_everywhere() -> None:
    reads = with_default_roles()
    authorizer = Authorizers(reads)
    reads.put(ROLEBINDING, binding("b", "view", "Group devs", namespace="a"))
    assert authorizer.decide(ask(JANE, "list", "pods", "a")).allowed
    assert authorizer.decide(ask(JANE, "get", "pods/log", "a", "p")).allowed
    assert not authorizer.decide(ask(JANE, "list", "pods", "b")).allowed
    assert not authorizer.decide(ask(JANE, "list", "pods")).allowed
    assert not authorizer.decide(ask(JANE, "list", "secrets", "a")).allowed
    assert not authorizer.decide(ask(JANE, "create", "pods", "a")).allowed
    reads.put(CLUSTERROLEBINDING, binding("c", "edit", "User jane"))
    assert authorizer.decide(ask(JANE, "list", "pods")).allowed
    assert authorizer.decide(ask(JANE, "create", "deployments.apps", "zzz")).allowed
    reads.remove(CLUSTERROLEBINDING, "", "c")
    assert not authorizer.decide(ask(JANE, "list", "pods")).allowed


def test_service_accounts_are_users() -> None:
    reads = with_default_roles()
    reads.put(ROLEBINDING, binding("b", "r", "ServiceAccount a:robot", namespace="a", kind="Role"))
    reads.put(ROLE, role("r", "get | core | configmaps | only-this", namespace="a"))
    authorizer = Authorizers(reads)
    robot = User("system:serviceaccount:a:robot")
    assert authorizer.decide(ask(robot, "get", "configmaps", "a", "only-this")).allowed
    assert not authorizer.decide(ask(robot, "get", "configmaps", "a", "other")).allowed
    assert not authorizer.decide(ask(robot, "list", "configmaps", "a")).allowed


def test_a_node_reads_who_its_dns_server_is_to_ask_and_no_other_settings() -> None:
    authorizer = Authorizers(with_default_roles())
    node = User("system:node:n1", groups=("system:nodes",))
    for verb in ("get", "list", "watch"):
        assert authorizer.decide(ask(node, verb, "configmaps", "kube-system", "kube-dns")).allowed
        assert not authorizer.decide(ask(node, verb, "configmaps", "kube-system", "other")).allowed
        assert not authorizer.decide(ask(node, verb, "configmaps", "default", "kube-dns")).allowed
    assert not authorizer.decide(ask(node, "update", "configmaps", "kube-system", "kube-dns")).allowed


def test_aggregation_counts_at_once() -> None:
    reads = with_default_roles()
    reads.put(ROLEBINDING, binding("b", "view", "User jane", namespace="a"))
    authorizer = Authorizers(reads)
    assert not authorizer.decide(ask(JANE, "get", "widgets.example.com", "a", "w")).allowed
    extra = role("widgets", "read | example.com | widgets")
    extra["metadata"]["labels"] = {"rbac.authorization.k8s.io/aggregate-to-view": "true"}
    reads.put(CLUSTERROLE, extra)
    assert authorizer.decide(ask(JANE, "get", "widgets.example.com", "a", "w")).allowed


def test_a_missing_role_is_named() -> None:
    reads = with_default_roles()
    reads.put(ROLEBINDING, binding("b", "gone", "User jane", namespace="a"))
    asked = ask(JANE, "get", "pods", "a", "p")
    decision = Authorizers(reads).decide(asked)
    assert decision.reason == 'RBAC: clusterrole.rbac.authorization.k8s.io "gone" not found'
    assert refused(asked, decision.reason).message == (
        'pods "p" is forbidden: User "jane" cannot get resource "pods" in API group "" in the namespace "a": '
        'RBAC: clusterrole.rbac.authorization.k8s.io "gone" not found'
    )


def test_decisions_are_remembered() -> None:
    reads = with_default_roles()
    authorizer = Authorizers(reads)
    authorizer.decide(ask(JANE, "get", "pods", "a", "p"))
    before = reads.lists
    for n in range(10):
        authorizer.decide(ask(JANE, "get", "pods", "a", f"p{n}"))
    assert reads.lists == before


def pod(name: str, node: str, **spec: Any) -> dict[str, Any]:
    return named(name, "a", spec={"nodeName": node, "containers": [{"name": "c"}], **spec})


def test_nodes_touch_only_what_is_theirs() -> None:
    reads = with_default_roles()
    authorizer = Authorizers(reads)
    mine = pod(
        "mine",
        "n1",
        serviceAccountName="robot",
        imagePullSecrets=[{"name": "pull"}],
        volumes=[
            {"name": "v", "secret": {"secretName": "sec"}},
            {"name": "w", "projected": {"sources": [{"configMap": {"name": "proj"}}]}},
            {"name": "x", "persistentVolumeClaim": {"claimName": "claim"}},
            {"name": "y", "csi": {"driver": "d", "nodePublishSecretRef": {"name": "csi"}}},
        ],
        initContainers=[{"name": "i", "envFrom": [{"secretRef": {"name": "env"}}]}],
    )
    reads.put(POD, mine)
    reads.put(POD, pod("other", "n2", volumes=[{"name": "v", "secret": {"secretName": "theirs"}}]))
    reads.put(PERSISTENTVOLUMECLAIM, named("claim", "a", spec={"volumeName": "pv-1"}))
    secrets = {f"{call}SecretRef": {"namespace": "s", "name": call} for call in ("nodeStage", "controllerExpand")}
    reads.put(PERSISTENTVOLUME, named("pv-1", spec={"csi": {"driver": "d", "volumeHandle": "h", **secrets}}))

    def may(verb: str, resource: str, namespace: str = "", name: str = "", **more: str) -> bool:
        return authorizer.decide(ask(NODE, verb, resource, namespace, name, **more)).allowed

    for secret in ("sec", "pull", "csi", "env"):
        assert may("get", "secrets", "a", secret), secret
    assert may("watch", "configmaps", "a", "proj")
    assert may("get", "persistentvolumeclaims", "a", "claim")
    assert may("get", "persistentvolumes", "", "pv-1")
    assert may("get", "secrets", "s", "nodeStage")
    assert may("create", "serviceaccounts/token", "a", "robot")
    assert may("list", "pods", fields="spec.nodeName=n1")
    assert may("patch", "pods/status", "a", "mine")
    assert may("patch", "nodes/status", "", "n1")
    assert may("update", "leases.coordination.k8s.io", "kube-node-lease", "n1")
    assert may("list", "services")
    assert may("watch", "clustertrustbundles.certificates.k8s.io", name="example.com:ca:live")
    for refused_one in (
        ("get", "secrets", "a", "theirs"),
        ("get", "secrets", "b", "sec"),
        ("get", "secrets", "a", "nodeStage"),
        ("get", "secrets", "s", "controllerExpand"),
        ("list", "secrets", "a", ""),
        ("get", "persistentvolumes", "", "pv-2"),
        ("create", "serviceaccounts/token", "a", "admin"),
        ("create", "clustertrustbundles.certificates.k8s.io", "", "own"),
        ("list", "pods", "", ""),
        ("patch", "pods/status", "a", "other"),
        ("delete", "pods", "a", "other"),
        ("patch", "nodes/status", "", "n2"),
        ("update", "leases.coordination.k8s.io", "kube-node-lease", "n2"),
        ("update", "leases.coordination.k8s.io", "kube-system", "n1"),
        ("create", "deployments.apps", "a", ""),
    ):
        assert not may(*refused_one), refused_one
    assert not authorizer.decide(ask(NODE, "list", "pods", fields="spec.nodeName=n2")).allowed
    reads.put(NETWORKPOLICY, named("p", "a", spec={"podSelector": {}}))
    assert may("watch", "pods"), "network policies speak of pods elsewhere"
    assert not may("get", "pods", "a", "other")
    reads.remove(POD, "a", "mine")
    assert not may("get", "secrets", "a", "sec")


def test_nodes_read_claims_of_devices_of_their_pods_and_take_away_what_drivers_published_of_them() -> None:
    reads = with_default_roles()
    authorizer = Authorizers(reads)
    claims = [{"name": "a", "resourceClaimName": "given"}, {"name": "b", "resourceClaimTemplateName": "t"}]
    status = {
        "resourceClaimStatuses": [{"name": "b", "resourceClaimName": "made"}, {"name": "c"}],
        "extendedResourceClaimStatus": {"resourceClaimName": "extended", "requestMappings": []},
    }
    reads.put(POD, {**pod("mine", "n1", resourceClaims=claims), "status": status})
    reads.put(POD, pod("other", "n2", resourceClaims=[{"name": "a", "resourceClaimName": "theirs"}]))

    def may(verb: str, resource: str, namespace: str = "", name: str = "", fields: str = "") -> bool:
        return authorizer.decide(ask(NODE, verb, f"{resource}.resource.k8s.io", namespace, name, fields=fields)).allowed

    for claim in ("given", "made", "extended"):
        assert may("get", "resourceclaims", "a", claim), claim
        assert not may("get", "resourceclaims", "b", claim), claim
        assert not may("update", "resourceclaims", "a", claim), claim
    assert not may("get", "resourceclaims", "a", "theirs")
    assert not may("list", "resourceclaims", "a")
    assert may("deletecollection", "resourceslices", fields="spec.nodeName=n1")
    assert may("deletecollection", "resourceslices", fields="spec.nodeName=n1,spec.driver=a.org")
    assert not may("deletecollection", "resourceslices", fields="spec.nodeName=n2")
    assert not may("deletecollection", "resourceslices")


def test_nobody_grants_what_he_does_not_hold() -> None:
    reads = with_default_roles()
    reads.put(CLUSTERROLEBINDING, binding("b", "admin", "User jane"))
    authorizer = Authorizers(reads)
    check(authorizer, JANE, ROLE, role("r", "get | core | pods", namespace="a"), None)
    check(authorizer, JANE, POD, named("p", "a"), None)
    with pytest.raises(Forbidden, match="attempting to grant RBAC permissions not currently held") as error:
        check(authorizer, JANE, ROLE, role("r", "get,drop | core | nodes", namespace="a"), None)
    assert '{APIGroups:[""], Resources:["nodes"], Verbs:["drop"]}' in error.value.message
    allowed = binding("x", "view", "User bob", namespace="a")
    check(authorizer, JANE, ROLEBINDING, allowed, None)
    with pytest.raises(Forbidden):
        check(authorizer, JANE, ROLEBINDING, binding("x", "cluster-admin", "User bob", namespace="a"), None)
    with pytest.raises(Forbidden, match="not found"):
        check(authorizer, JANE, ROLEBINDING, binding("x", "none", "User bob", namespace="a"), None)
    with pytest.raises(Forbidden):
        check(authorizer, JANE, CLUSTERROLE, {**named("agg"), "aggregationRule": {"clusterRoleSelectors": []}}, None)
    same = role("r", "get,drop | core | nodes", namespace="a")
    check(authorizer, JANE, ROLE, {**same, "metadata": {**same["metadata"], "labels": {"a": "b"}}}, same)
    check(authorizer, User("root", groups=("system:masters",)), ROLE, same, None)
    reads.put(CLUSTERROLE, role("power", "bind,escalate | rbac.authorization.k8s.io | clusterroles roles"))
    reads.put(CLUSTERROLEBINDING, binding("c", "power", "User jane"))
    check(authorizer, JANE, ROLE, same, None)
    check(authorizer, JANE, ROLEBINDING, binding("x", "cluster-admin", "User bob", namespace="a"), None)


WORDS = st.lists(st.sampled_from(["a", "b", "*", "pods", "pods/log"]), min_size=1, max_size=3).map(tuple)
RULES = st.lists(
    st.builds(PolicyRule, verbs=WORDS, api_groups=WORDS, resources=WORDS, resource_names=st.just(())), max_size=4
)


@given(RULES, RULES)
def test_covering_is_a_partial_order(held: list[PolicyRule], wanted: list[PolicyRule]) -> None:
    assert uncovered(held, held) == []
    assert uncovered([*held, *wanted], wanted) == []
    assert uncovered([], wanted) == list(atoms(wanted))


def _reference(name: str) -> list[dict[str, Any]]:
    if not REFERENCE.exists():
        pytest.skip(f"{REFERENCE} is not here")
    with tarfile.open(REFERENCE) as archive:
        member = next(entry for entry in archive.getnames() if entry.endswith(f"{name}.yaml"))
        file = archive.extractfile(member)
        assert file is not None
        return [item for document in yaml.safe_load_all(file) for item in document.get("items") or [document]]


def _comparable(document: dict[str, Any]) -> dict[str, Any]:
    """Lists of words have no order; subjects without an API group have the core one."""

    def value(found: Any) -> Any:
        if isinstance(found, dict):
            return {key: value(inner) for key, inner in found.items() if inner is not None}
        if isinstance(found, list):
            return sorted((value(entry) for entry in found), key=lambda entry: json.dumps(entry, sort_keys=True))
        return found

    return {key: value(document.get(key) or []) for key in ("rules", "subjects", "roleRef")} | {
        "labels": document["metadata"]["labels"],
        "aggregationRule": document.get("aggregationRule"),
    }


@pytest.mark.parametrize(
    ("file", "made"),
    [
        ("cluster-roles", roles.cluster_roles),
        ("controller-roles", roles.cluster_roles),
        ("namespace-roles", roles.roles),
        ("cluster-role-bindings", roles.cluster_role_bindings),
        ("controller-role-bindings", roles.cluster_role_bindings),
        ("namespace-role-bindings", roles.role_bindings),
    ],
)
def test_default_roles_are_those_of_kubernetes(file: str, made: Any) -> None:
    ours = {(doc["metadata"].get("namespace"), doc["metadata"]["name"]): doc for doc in made()}
    # Retired parts, and the variant of a role behind a feature gate, which is there under the same name once more.
    left_out = {"system:heapster"}
    missing, different = [], []
    for theirs in _reference(file):
        key = (theirs["metadata"].get("namespace"), theirs["metadata"]["name"])
        if key[1] in left_out or ("/.well-known" in str(theirs.get("rules")) and key[1] == "system:public-info-viewer"):
            continue
        if key not in ours:
            missing.append(key)
            continue
        mine = _comparable(ours[key])
        wanted = _comparable(theirs)
        if theirs.get("aggregationRule"):  # upstream's controller fills in the rules
            mine["rules"] = wanted["rules"]
        if mine != wanted:
            different.append((key, mine, wanted))
    assert not missing
    assert not different


def test_the_tables_are_read_right() -> None:
    (entry,) = roles.entries("ns name < from > to\n  get,read | core,apps | a b | n m\n  get | url | /x\n      /y\n")
    assert (entry.namespace, entry.name, entry.aggregates, entry.aggregated_to) == ("ns", "name", "from", "to")
    assert entry.rules == [
        {
            "verbs": ["get", "get", "list", "watch"],
            "apiGroups": ["", "apps"],
            "resources": ["a", "b"],
            "resourceNames": ["n", "m"],
        },
        {"verbs": ["get"], "nonResourceURLs": ["/x", "/y"]},
    ]


def test_why_one_may_is_told() -> None:
    reads = with_default_roles()
    reads.put(ROLEBINDING, binding("look", "view", "ServiceAccount a:robot", namespace="a"))
    reads.put(CLUSTERROLEBINDING, binding("all", "edit", "User jane"))
    authorizer = Authorizers(reads)
    decision = authorizer.decide(ask(User("system:serviceaccount:a:robot"), "list", "pods", "a"))
    assert (decision.allowed, decision.reason) == (
        True,
        'RBAC: allowed by RoleBinding "look/a" of ClusterRole "view" to ServiceAccount "robot/a"',
    )
    decision = authorizer.decide(ask(JANE, "list", "pods", "a"))
    assert decision.reason == 'RBAC: allowed by ClusterRoleBinding "all" of ClusterRole "edit" to User "jane"'
