"""What may never happen, of the cluster's own controllers: whatever they see, their plans keep to it.

Those with a rule of their own size have it beside their other tests: attaching, budgets, zones, binding, migrations,
endpoints, ranges of nodes, removal of certificate requests.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from navarch.client.lease import ALIVE
from navarch.controllers import (
    account,
    accounttokens,
    admissionpolicy,
    clusterrole,
    garbage,
    namespace,
    podgc,
    protection,
    resourcequota,
    servicecidr,
)
from navarch.controllers.certificates import approving, signing, trust
from navarch.controllers.endpoints import legacy, mirroring
from navarch.controllers.endpoints.targets import Behind
from navarch.controllers.node import eviction, lifecycle, taints
from navarch.controllers.options import Options, Setup
from navarch.controllers.plan import Create, Delete, Event, Patch, Plan, Status, Update
from navarch.controllers.resourceclaim import FINALIZER as RESERVED
from navarch.controllers.resourceclaim import OfClaim
from navarch.controllers.resourceclaim import plan as plan_claim
from navarch.controllers.volumes import ephemeral, provision
from navarch.kinds import (
    CERTIFICATESIGNINGREQUEST,
    CLUSTERROLE,
    CLUSTERTRUSTBUNDLE,
    CONFIGMAP,
    ENDPOINTS,
    NAMESPACE,
    NODE,
    PERSISTENTVOLUME,
    PERSISTENTVOLUMECLAIM,
    POD,
    REPLICASET,
    RESOURCECLAIM,
    RESOURCEQUOTA,
    SECRET,
    SERVICE,
    SERVICECIDR,
    STORAGECLASS,
    VALIDATINGADMISSIONPOLICY,
)
from navarch.kinds.namespace import FINALIZER
from navarch.kinds.node import Taint
from navarch.kinds.object import Object
from navarch.kinds.registry import DEFAULT
from navarch.kinds.storage import PVC_PROTECTION
from navarch.kinds.storage_local import PROVISIONER_NAME
from navarch.kinds.storage_match import PROVISIONED_BY, PROVISIONER, SELECTED_NODE
from navarch.kinds.view import OwnerReference
from navarch.objects import quantity
from navarch.objects.meta import FOREGROUND, ORPHAN
from tests.unit.controllers.conftest import NOW, Make, ago

flags = st.booleans()


def deletes(found: Plan) -> list[str]:
    return [action.object.name for action in found.actions if isinstance(action, Delete)]


# owners

PRESENCE = st.tuples(st.sampled_from([True, False]), flags)


@given(st.lists(PRESENCE, max_size=4), flags, st.sampled_from(["", FOREGROUND, ORPHAN]), flags)
def test_nothing_is_collected_that_still_has_an_owner(
    rows: list[tuple[bool, bool]], going: bool, finalizer: str, blocks: bool
) -> None:
    make = Make()
    owners, references = [], []
    for number, (present, waiting) in enumerate(rows):
        reference = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": f"o{number}", "uid": f"u{number}"}
        references.append(reference)
        seen = OwnerReference(api_version="apps/v1", kind="ReplicaSet", name=f"o{number}", uid=f"u{number}")
        owners.append(garbage.Owner(seen, REPLICASET, present, present and waiting))
    metadata: dict[str, Any] = {"ownerReferences": references}
    if finalizer:
        metadata["finalizers"] = [finalizer]
    if going:
        metadata["deletionTimestamp"] = ago(1)
    found = make.object(POD, "p", metadata=metadata)
    below = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": found.uid, "blockOwnerDeletion": blocks}
    dependents = [make.object(POD, "d", metadata={"ownerReferences": [below]})]
    plan = garbage.plan(garbage.Observed(found, owners, dependents), NOW)
    solid = any(present and not waiting for present, waiting in rows)
    if going or solid or not rows:
        assert deletes(plan) == []
    freed = [
        action for action in plan.actions if isinstance(action, Patch) and "finalizers" in action.changes["metadata"]
    ]
    if going and finalizer == FOREGROUND and blocks:
        assert freed == [], "its dependents are there still"
    if going and finalizer == ORPHAN:
        kinds = [type(action) for action in plan.actions]
        assert kinds == [Patch, Update], "let go before the owner goes"


# namespaces


@given(st.dictionaries(st.sampled_from([POD, CONFIGMAP, SECRET]), st.lists(flags, min_size=1, max_size=4)))
def test_a_namespace_goes_last_and_pods_go_first(content: dict[Any, list[bool]]) -> None:
    make = Make()
    spec = {"finalizers": [FINALIZER]}
    closing = make.object(NAMESPACE, "shop", metadata={"deletionTimestamp": ago(1)}, spec=spec)
    there = {
        kind: [
            make.object(kind, f"{kind.plural}-{n}", metadata={"deletionTimestamp": ago(1)} if gone else {})
            for n, gone in enumerate(rows)
        ]
        for kind, rows in content.items()
    }
    found = namespace.plan(namespace.Observed(closing, there), NOW)
    assert any(isinstance(action, Update) for action in found.actions) == (not content)
    kinds = {action.object.kind for action in found.actions if isinstance(action, Delete)}
    assert POD not in there or kinds <= {POD}
    assert not any(action.object.terminating for action in found.actions if isinstance(action, Delete))


@given(flags, flags, flags, st.dictionaries(st.sampled_from(["ca.crt", "other"]), st.sampled_from(["PEM", "old"])))
def test_what_every_namespace_has_is_made_once_and_put_right(
    exists: bool, known: bool, noted: bool, data: dict[str, str]
) -> None:
    make = Make()
    shop = make.object(NAMESPACE, "shop")
    metadata = {"annotations": {account.ROOT_CA_NOTE: account.ROOT_CA_TEXT}} if noted else {}
    present = make.object(CONFIGMAP, "kube-root-ca.crt", "shop", metadata=metadata, data=data) if exists else None
    made = account.root_ca(Setup(CLOCK, HEARTS, Options(root_ca="PEM" if known else ""))).plan
    found = made(account.Observed(shop, present), NOW)
    assert len([action for action in found.actions if isinstance(action, Create)]) == int(known and not exists)
    assert (found == Plan()) == (not known or (exists and noted and data == {"ca.crt": "PEM"}))
    tokens = account.service_account(Setup(CLOCK, HEARTS)).plan
    assert len(tokens(account.Observed(shop, present), NOW).actions) == int(not exists)


CLOCK: Any = None
HEARTS: Any = None


# pods that nobody else collects


@given(
    st.lists(st.tuples(flags, st.sampled_from(["Running", "Failed", "Succeeded"])), max_size=6),
    st.one_of(st.none(), st.integers(0, 30)),
    st.integers(0, 4),
)
def test_pods_of_a_node_that_is_there_stay(rows: list[tuple[bool, str]], gone_s: int | None, most: int) -> None:
    make = Make()
    pods = [make.pod(f"p{n}", deleting=going, phase=phase, created_s=n) for n, (going, phase) in enumerate(rows)]
    since = None if gone_s is None else NOW - timedelta(seconds=gone_s)
    found = podgc.plan(podgc.OfNode("n1", pods, since), NOW)
    if since is None:
        assert set(deletes(found)) == {pod.name for pod in pods if pod.terminating}, "out of service: who is to go"
    elif gone_s is not None and gone_s < podgc.QUARANTINE_S:
        assert deletes(found) == []
    else:
        assert len(deletes(found)) == len(pods)
    ended = [pod for pod in pods if pod.glance.terminal]
    left = podgc.plan(podgc.Ended(ended, most), NOW)
    assert len(deletes(left)) == max(0, len(ended) - most)


@given(st.sampled_from(["Pending", "Failed", "Succeeded"]), flags)
def test_what_was_deleted_before_it_had_a_node_has_failed(phase: str, started: bool) -> None:
    """A finalizer may hold it, and whoever holds it has to learn that it will never run."""
    make = Make()
    metadata: dict[str, Any] = {"deletionTimestamp": ago(1), "finalizers": ["example.com/counted"]}
    metadata["deletionGracePeriodSeconds"] = 30 if started else 0
    pod = make.object(POD, "p", metadata=metadata, spec={"containers": []}, status={"phase": phase})
    found = podgc.plan(podgc.Unplaced(pod), NOW)
    phases = [action.status["phase"] for action in found.actions if isinstance(action, Status)]
    assert phases == (["Failed"] if phase == "Pending" else [])
    assert deletes(found) == (["p"] if started else [])


# nodes


@given(
    st.sampled_from(["True", "False", "Unknown", ""]),
    st.sampled_from(["alive", "never", 0, 5, 11, 12, 60]),
    flags,
    st.sampled_from([0.0, 3.0, None]),
    st.lists(st.sampled_from([taints.NOT_READY, taints.UNREACHABLE, "mine"]), unique=True),
)
def test_nobody_is_evicted_from_a_node_that_lives_or_whose_turn_it_is_not(
    ready: str, heard: Any, others: bool, turn_s: float | None, present: list[str]
) -> None:
    make = Make()
    conditions = [{"type": "Ready", "status": ready}] if ready else []
    marks = [{"key": key, "effect": "NoExecute"} for key in present]
    node = make.object(NODE, "n1", spec={"taints": marks} if marks else {}, status={"conditions": conditions})
    seen = ALIVE if heard == "alive" else None if heard == "never" else NOW - timedelta(seconds=heard)
    pods = [make.pod("p")]
    found = lifecycle.plan(lifecycle.Observed(node, seen, others, 12.0, pods, turn_s), NOW)
    after = {(mark["key"], mark["effect"]) for mark in marks}
    for action in found.actions:
        if isinstance(action, Patch):
            after = {(mark["key"], mark["effect"]) for mark in action.changes["spec"]["taints"] or ()}
    evicting = {key for key, effect in after if effect == "NoExecute"} & {taints.NOT_READY, taints.UNREACHABLE}
    silent = heard not in ("alive", "never") and heard >= 12
    if not silent and ready == "True" and heard != "never":
        assert evicting == set()
    if not others or turn_s != 0:
        assert evicting == set() or ready == "True"
    assert ("mine" in present) == (("mine", "NoExecute") in after), "what others put there is theirs"
    assert not any(isinstance(action, Delete) for action in found.actions)


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 100)), max_size=2),
    st.lists(st.tuples(st.sampled_from("ab"), st.one_of(st.none(), st.integers(-5, 200))), max_size=3),
)
def test_no_pod_leaves_before_its_patience_ends(
    marks: list[tuple[str, int]], rows: list[tuple[str, int | None]]
) -> None:
    make = Make()
    found = [Taint(key=key, effect="NoExecute", time_added=NOW - timedelta(seconds=ago_s)) for key, ago_s in marks]
    document = make.pod("p").document()
    document["spec"]["tolerations"] = [
        {"key": key, "operator": "Exists", **({} if seconds is None else {"tolerationSeconds": seconds})}
        for key, seconds in rows
    ]
    plan = eviction.plan(eviction.Observed(Object.of(POD, document), found), NOW)
    patient = all(
        any(key == mark for key, _ in rows)
        and all(seconds is None or seconds > since_s for key, seconds in rows if key == mark)
        for mark, since_s in marks
    )
    several = len(marks) > 1  # the shortest of all patience counts from each taint
    if patient and not several:
        assert deletes(plan) == []
    if deletes(plan):
        assert marks


# quotas, claims, networks, roles, tokens


@given(st.dictionaries(st.sampled_from(["pods", "cpu", "requests.memory"]), st.integers(0, 99), max_size=3), flags)
def test_a_quota_says_of_all_that_it_bounds_and_of_nothing_else(hard: dict[str, int], going: bool) -> None:
    make = Make()
    metadata = {"deletionTimestamp": ago(1)} if going else {}
    quota = make.object(RESOURCEQUOTA, "q", metadata=metadata, spec={"hard": {k: str(v) for k, v in hard.items()}})
    used = dict.fromkeys(hard, 7 * quantity.NANO)
    found = resourcequota.plan(resourcequota.Observed(quota, used), NOW)
    assert found.actions == ()
    if going:
        assert found.status is None
    elif hard:
        assert found.status is not None
        assert found.status.status["hard"].keys() == found.status.status["used"].keys() == hard.keys()


@given(flags, flags, flags, flags)
def test_what_is_used_or_not_to_go_keeps_its_finalizer(used: bool, held: bool, going: bool, other: bool) -> None:
    make = Make()
    finalizers = ([PVC_PROTECTION] if held else []) + (["other"] if other else [])
    metadata: dict[str, Any] = {"finalizers": finalizers} | ({"deletionTimestamp": ago(1)} if going else {})
    claim = make.object(PERSISTENTVOLUMECLAIM, "data", metadata=metadata)
    found = protection.plan(protection.Observed(claim, PVC_PROTECTION, used), NOW)
    left = finalizers
    for action in found.actions:
        assert isinstance(action, Patch)
        left = action.changes["metadata"]["finalizers"] or []
    assert ("other" in left) == other
    assert (PVC_PROTECTION in left) == (not going or (held and used))


@given(flags, flags, flags)
def test_a_network_stays_while_an_address_is_held(held: bool, going: bool, finalizer: bool) -> None:
    make = Make()
    metadata: dict[str, Any] = {"finalizers": [servicecidr.FINALIZER] if finalizer else []}
    if going:
        metadata["deletionTimestamp"] = ago(1)
    network = make.object(SERVICECIDR, "n", metadata=metadata, spec={"cidrs": ["10.0.0.0/24"]}, status={})
    found = servicecidr.plan(servicecidr.Observed(network, held), NOW)
    freed = [
        action for action in found.actions if isinstance(action, Patch) and not action.changes["metadata"]["finalizers"]
    ]
    assert bool(freed) == (going and finalizer and not held)


@given(
    st.lists(st.lists(st.sampled_from("abc"), max_size=3), max_size=3), st.lists(st.sampled_from("abcx"), max_size=3)
)
def test_an_aggregated_role_has_what_its_parts_have_and_no_more(parts: list[list[str]], before: list[str]) -> None:
    make = Make()

    def role(name: str, verbs: list[str]) -> Object:
        return make.object(CLUSTERROLE, name, rules=[{"verbs": [verb]} for verb in verbs])

    whole = role("whole", before)
    found = clusterrole.plan(clusterrole.Observed(whole, [role(f"r{n}", verbs) for n, verbs in enumerate(parts)]), NOW)
    rules = whole.document()["rules"]
    for action in found.actions:
        assert isinstance(action, Patch)
        rules = action.changes["rules"]
    assert {rule["verbs"][0] for rule in rules} == {verb for verbs in parts for verb in verbs}


@given(flags, flags)
def test_a_token_goes_with_its_account_alone(orphaned: bool, going: bool) -> None:
    secret = Make().object(SECRET, "t", metadata={"deletionTimestamp": ago(1)} if going else {})
    found = accounttokens.plan(accounttokens.Observed(secret, orphaned), NOW)
    assert deletes(found) == (["t"] if orphaned and not going else [])


@given(st.integers(0, 3), st.integers(1, 3))
def test_a_policy_is_checked_once_a_generation(observed: int, generation: int) -> None:
    status = {"observedGeneration": observed} if observed else {}
    policy = Make().object(VALIDATINGADMISSIONPOLICY, "p", metadata={"generation": generation}, spec={}, status=status)
    found = admissionpolicy.plan(admissionpolicy.Observed(policy, DEFAULT), NOW)
    assert (found.status is None) == (observed == generation)
    assert found.actions == ()


# certificates


@given(
    st.sampled_from(["", "nodeclient", "selfnodeclient"]),
    st.sampled_from(["", "wrong"]),
    st.sampled_from([b"", b"PEM"]),
)
def test_nothing_is_approved_without_a_right_or_signed_with_a_fault(granted: str, fault: str, pem: bytes) -> None:
    request = Make().object(CERTIFICATESIGNINGREQUEST, "r", spec={}, status={})
    approved = approving.plan(approving.Observed(request, ("nodeclient", "selfnodeclient"), granted), NOW)
    assert bool(approved.actions) == bool(granted)
    signed = signing.plan(signing.Observed(request, fault, b"" if fault else pem), NOW)
    status = signed.status.status if signed.status is not None else {}
    assert ("certificate" in status) == (not fault and bool(pem))
    assert any(one["type"] == "Failed" for one in status.get("conditions", ())) == bool(fault)


@given(st.lists(st.sampled_from(["old", "older", "right", "wrong"]), unique=True, max_size=4))
def test_there_is_a_bundle_at_every_moment(present: list[str]) -> None:
    make = Make()
    wanted = trust.bundle("-----BEGIN CERTIFICATE-----")
    name = wanted["metadata"]["name"]
    there = [
        make.object(
            CLUSTERTRUSTBUNDLE,
            name if one in ("right", "wrong") else one,
            spec=wanted["spec"] if one == "right" else {"signerName": trust.SIGNER, "trustBundle": "x"},
        )
        for one in present
        if not (one == "wrong" and "right" in present)
    ]
    found = trust.plan(trust.Observed(wanted, tuple(there)), NOW)
    left = {one.name for one in there}
    for action in found.actions:
        if isinstance(action, Create):
            left.add(action.document["metadata"]["name"])
        elif isinstance(action, Delete):
            assert name in left, "the new one comes first"
            left.discard(action.object.name)
    assert left == {name}


# volumes and devices


@given(flags, flags)
def test_a_pods_own_claim_is_never_anothers(exists: bool, own: bool) -> None:
    make = Make()
    template = {"spec": {"accessModes": ["ReadWriteOnce"]}}
    volumes = [{"name": "v", "ephemeral": {"volumeClaimTemplate": template}}]
    pod = make.object(POD, "p", spec={"containers": [], "volumes": volumes})
    metadata = {"ownerReferences": make.owner(pod)} if own else {}
    claims = {"p-v": make.object(PERSISTENTVOLUMECLAIM, "p-v", metadata=metadata)} if exists else {}
    found = ephemeral.plan(ephemeral.Observed(pod, claims), NOW)
    assert [type(action) for action in found.actions] == ([Create] if not exists else [] if own else [Event])


@given(
    flags,
    flags,
    flags,
    st.sampled_from([None, "n1", "n2"]),
    st.sampled_from(["Filesystem", "Block"]),
    st.sampled_from(["ReadWriteOnce", "ReadWriteMany"]),
)
def test_a_folder_is_made_once_and_for_one_node(
    made: bool, chosen: bool, there: bool, allowed: str | None, mode: str, access: str
) -> None:
    make = Make()
    annotations = {PROVISIONER: PROVISIONER_NAME} | ({SELECTED_NODE: "n1"} if chosen else {})
    spec = {"accessModes": [access], "volumeMode": mode, "resources": {"requests": {"storage": "1Gi"}}}
    claim = make.object(PERSISTENTVOLUMECLAIM, "c", metadata={"annotations": annotations}, spec=spec)
    term = {"matchLabelExpressions": [{"key": "name", "values": [allowed]}]}
    of = make.object(
        STORAGECLASS, "local-path", provisioner=PROVISIONER_NAME, **({"allowedTopologies": [term]} if allowed else {})
    )
    node = make.object(NODE, "n1", metadata={"labels": {"name": "n1"}}) if there else None
    found = provision.plan(provision.Observed(claim, of, node, made, "/data"), NOW)
    creates = [action for action in found.actions if isinstance(action, Create)]
    possible = chosen and there and mode == "Filesystem" and access == "ReadWriteOnce" and allowed != "n2"
    assert len(creates) == int(possible and not made)
    for action in creates:
        assert action.document["spec"]["claimRef"]["uid"] == claim.uid
        assert "n1" in str(action.document["spec"]["nodeAffinity"])


@given(st.integers(1, 9), st.integers(1, 9), st.sampled_from([PROVISIONER_NAME, "disks.example.com", ""]))
def test_what_others_made_is_grown_by_others(has: int, wanted: int, maker: str) -> None:
    make = Make()
    spec = {"resources": {"requests": {"storage": f"{wanted}Gi"}}, "volumeName": "v"}
    claim = make.object(PERSISTENTVOLUMECLAIM, "c", spec=spec, status={"capacity": {"storage": f"{has}Gi"}})
    metadata = {"annotations": {PROVISIONED_BY: maker}} if maker else {}
    volume = make.object(PERSISTENTVOLUME, "v", metadata=metadata, spec={"capacity": {"storage": f"{has}Gi"}})
    found = provision.expand(provision.Growing(claim, volume), NOW)
    written = [action for action in (*found.actions, found.status) if isinstance(action, Patch | Status)]
    assert maker == PROVISIONER_NAME or written == []
    assert all(action.object in (claim, volume) for action in written)


@given(st.lists(st.tuples(flags, flags), max_size=4), flags)
def test_a_device_claim_is_not_let_go_while_somebody_has_it(consumers: list[tuple[bool, bool]], going: bool) -> None:
    make = Make()
    pods = [make.pod(f"p{n}", phase="Running" if alive else "Failed") for n, (alive, _) in enumerate(consumers)]
    reserved = [{"resource": "pods", "name": pod.name, "uid": pod.uid} for pod in pods]
    metadata: dict[str, Any] = {"finalizers": [RESERVED]} | ({"deletionTimestamp": ago(1)} if going else {})
    status = {"allocation": {}, **({"reservedFor": reserved} if reserved else {})}
    claim = make.object(RESOURCECLAIM, "c", metadata=metadata, spec={"devices": {}}, status=status)
    live = [pod for pod in pods if not pod.glance.terminal]
    found = plan_claim(OfClaim(claim, {pod.name: pod for pod in pods}), NOW)
    freed = [a for a in found.actions if isinstance(a, Patch) and "finalizers" in a.changes.get("metadata", {})]
    assert not live or freed == []


# endpoints


@given(st.lists(st.tuples(st.integers(1, 6), flags), max_size=12), flags)
def test_mirrors_and_endpoints_hold_each_address_once(rows: list[tuple[int, bool]], exists: bool) -> None:
    make = Make()
    ready = [{"ip": f"192.0.2.{n}"} for n, well in rows if well]
    sick = [{"ip": f"192.0.2.{n}"} for n, well in rows if not well]
    subsets = [{"addresses": ready, "notReadyAddresses": sick, "ports": [{"port": 80, "protocol": "TCP"}]}]
    source = make.object(ENDPOINTS, "web", subsets=subsets if rows else [])
    found = mirroring.plan(mirroring.Observed(source, []), NOW)
    mirrored = [one["addresses"][0] for a in found.actions if isinstance(a, Create) for one in a.document["endpoints"]]
    assert len(mirrored) == len(set(mirrored))
    assert set(mirrored) == {f"192.0.2.{n}" for n, _ in rows}
    pods = {n: make.pod(f"p{n}", ip=f"10.0.0.{n}", ready_s=5 if well else None) for n, well in rows}
    spec = {
        "selector": {"app": "web"},
        "clusterIP": "10.1.0.1",
        "ipFamilies": ["IPv4"],
        "ports": [{"port": 80, "targetPort": 80}],
    }
    behind = Behind(make.object(SERVICE, "web", spec=spec), list(pods.values()), {})
    present = make.object(ENDPOINTS, "web") if exists else None
    plan = legacy.plan(legacy.Observed(behind, present), NOW)
    written = next((a.document for a in plan.actions if isinstance(a, Create)), None)
    for action in plan.actions:
        if isinstance(action, Patch):
            written = action.changes
    told = [
        one["ip"]
        for s in (written or {}).get("subsets") or ()
        for k in ("addresses", "notReadyAddresses")
        for one in s.get(k, ())
    ]
    assert sorted(told) == sorted(f"10.0.0.{n}" for n in pods)
