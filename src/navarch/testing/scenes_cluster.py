"""What a user does with everything that is no workload, by chance: short scenes for all the other controllers."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from functools import partial

from navarch.base.errors import NotFound
from navarch.client.client import Propagation
from navarch.kinds import (
    CERTIFICATESIGNINGREQUEST,
    CLUSTERROLE,
    CONFIGMAP,
    DEPLOYMENT,
    DEVICECLASS,
    ENDPOINTS,
    NAMESPACE,
    NODE,
    PERSISTENTVOLUME,
    PERSISTENTVOLUMECLAIM,
    POD,
    RESOURCECLAIMTEMPLATE,
    RESOURCEQUOTA,
    RESOURCESLICE,
    SECRET,
    SERVICE,
    SERVICEACCOUNT,
    SERVICECIDR,
    VALIDATINGADMISSIONPOLICY,
)
from navarch.objects.value import Document, dig
from navarch.testing.ledger import Ledger
from navarch.testing.user import LIMITS, User

CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
REQUEST = """\
-----BEGIN CERTIFICATE REQUEST-----
MIHxMIGZAgEAMDcxFTATBgNVBAoMDHN5c3RlbTpub2RlczEeMBwGA1UEAwwVc3lz
dGVtOm5vZGU6c2ltdWxhdGVkMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAExDFs
wasvZzzg2EGqniwJLUgojHv8sHrZOBHg0huMHGLEPD+i5dYgsdtRoIrGpL/mboXX
z0CnEl3e/PshVGziTKAAMAoGCCqGSM49BAMCA0cAMEQCIHDRBo/JGWaKO1aQLdpl
evw65pvYy+E7EZENvGzh29AuAiBPo2f4D736nrbJ9+Se+ByAV/wba5QsRXuZ678x
oWUdpg==
-----END CERTIFICATE REQUEST-----
"""
"""Of a node, by a key that nobody has."""


def _pod(user: User, **spec: object) -> Document:
    container = {"name": "main", "image": "web:v1", "resources": LIMITS}
    return {"spec": {"containers": [container], "terminationGracePeriodSeconds": 2, **spec}}


async def service(user: User) -> None:
    """A Deployment behind a Service whose selector changes; another Service whose addresses are written by hand."""
    spec = {"replicas": user.number(1, 4), "selector": user.selector, "template": user.template("web:v1")}
    await user.make(DEPLOYMENT, user.name, {"spec": spec})
    ports = [{"port": 80}]
    await user.make(SERVICE, user.name, {"spec": {"selector": user.labels, "ports": ports}})
    by_hand = f"{user.name}-hand"
    await user.make(SERVICE, by_hand, {"spec": {"ports": ports}})
    subset = {"addresses": [{"ip": "192.0.2.7"}], "ports": [{"port": 80}]}
    await user.make(ENDPOINTS, by_hand, {"subsets": [subset]})
    for _ in range(5):
        await user.pause()
        match user.number(0, 4):
            case 0:
                selected = user.pick(user.labels, {"app": "nothing"})
                await user.change(SERVICE, user.name, {"spec": {"selector": selected}})
            case 1:
                await user.change(DEPLOYMENT, user.name, {"spec": {"replicas": user.number(0, 4)}})
            case 2:
                await user.change(DEPLOYMENT, user.name, user.image(user.pick("web:v2", "web:slow")), type="strategic")
            case 3:
                address = {"ip": f"192.0.2.{user.number(8, 99)}"}
                await user.change(ENDPOINTS, by_hand, {"subsets": [{**subset, "addresses": [address]}]})
            case _:
                await user.remove_a_pod()
    if user.chance(0.3):
        await user.remove(SERVICE, user.name)
    if user.chance(0.3):
        await user.remove(SERVICE, by_hand)
        # They go with it, unless the controller that saw it go dies then.
        del user.expected[ENDPOINTS.name, user.namespace, by_hand]


async def namespace(user: User) -> None:
    """A namespace with things in it, deleted at any time; some are held for a while."""
    name = user.name
    await user.make(NAMESPACE, name, {})
    inside = User(user.client, user.ids, user.clock, "inside", name)
    await user.clock.sleep(2.0)
    spec = {"replicas": user.number(1, 3), "selector": inside.selector, "template": inside.template("web:v1")}
    await inside.make(DEPLOYMENT, "inside", {"spec": spec})
    await inside.make(CONFIGMAP, "held", {}, finalizers=["example.com/held"] if user.chance(0.5) else [])
    await inside.make(PERSISTENTVOLUMECLAIM, "claim", {"spec": CLAIM})
    if user.chance(0.5):
        await inside.make(POD, "user-of-claim", _pod(inside, volumes=[_volume("claim")]))
    await user.pause(20.0)
    if user.chance(0.3):
        await inside.remove(CONFIGMAP, "kube-root-ca.crt")
        await inside.remove(SERVICEACCOUNT, "default")
        await user.pause(10.0)
        user.expected["ServiceAccount", name, "default"] = True
        user.expected["ConfigMap", name, "kube-root-ca.crt"] = True
    if user.chance(0.2):
        await inside.change(CONFIGMAP, "held", {"metadata": {"finalizers": None}})
        return
    await user.remove(NAMESPACE, name)
    for key in [key for key in user.expected if key[1] == name]:
        user.expected[key] = False
    await user.pause(20.0)
    await inside.change(CONFIGMAP, "held", {"metadata": {"finalizers": None}})


def _volume(claim: str) -> Document:
    return {"name": "data", "persistentVolumeClaim": {"claimName": claim}}


async def owners(user: User) -> None:
    """A tree of objects, whose root is deleted in one of three ways; one has an owner more, and one an owner that is
    not there."""
    root = await user.make(CONFIGMAP, user.name, {})
    other = await user.make(CONFIGMAP, f"{user.name}-other", {})
    leaves: list[str] = []
    middle: list[str] = []
    for number in range(user.number(1, 3)):
        name = f"{user.name}-{number}"
        parents = [_owner(root, block=user.chance(0.5))]
        if user.chance(0.3):
            parents.append(_owner(other))
        made = await user.make(CONFIGMAP, name, {}, ownerReferences=parents)
        (middle if len(parents) == 1 else leaves).append(name)
        if len(parents) == 1:
            await user.make(SECRET, f"{name}-leaf", {}, ownerReferences=[_owner(made, block=user.chance(0.5))])
    stranger = {**_owner(root), "uid": "00000000-0000-4000-8000-000000000000", "name": "never-was"}
    await user.make(CONFIGMAP, f"{user.name}-stray", {}, ownerReferences=[stranger])
    user.expected[CONFIGMAP.name, user.namespace, f"{user.name}-stray"] = False
    await user.pause(20.0)
    propagation: Propagation = user.pick("Background", "Foreground", "Orphan")
    await user.remove(CONFIGMAP, user.name, propagation)
    if propagation != "Orphan":
        for name in middle:
            user.expected[CONFIGMAP.name, user.namespace, name] = False
            user.expected[SECRET.name, user.namespace, f"{name}-leaf"] = False
    await user.pause(20.0)


def _owner(document: Document, *, block: bool = False) -> Document:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "name": document["metadata"]["name"],
        "uid": document["metadata"]["uid"],
        "blockOwnerDeletion": block,
    }


async def quota(user: User) -> None:
    """A Deployment that wants more pods than its namespace may have, until it may have them."""
    await user.make(NAMESPACE, user.name, {})
    await user.clock.sleep(2.0)
    inside = User(user.client, user.ids, user.clock, "app", user.name)
    await inside.make(RESOURCEQUOTA, "bound", {"spec": {"hard": {"pods": str(user.number(1, 3))}}})
    spec = {"replicas": 4, "selector": inside.selector, "template": inside.template("web:v1")}
    await inside.make(DEPLOYMENT, "app", {"spec": spec})
    for _ in range(4):
        await user.pause()
        match user.number(0, 2):
            case 0:
                await inside.remove_a_pod()
            case 1:
                await inside.change(RESOURCEQUOTA, "bound", {"spec": {"hard": {"pods": str(user.number(1, 4))}}})
            case _:
                await inside.change(DEPLOYMENT, "app", {"spec": {"replicas": user.number(0, 4)}})
    await inside.change(RESOURCEQUOTA, "bound", {"spec": {"hard": {"pods": "10"}}})
    user.expected |= inside.expected


async def volumes(user: User) -> None:
    """Claims of the cluster's own class and of volumes made by hand, used, deleted in use, and made to grow."""
    claim = f"{user.name}-local"
    await user.make(PERSISTENTVOLUMECLAIM, claim, {"spec": CLAIM})
    await user.make(POD, user.name, _pod(user, volumes=[_volume(claim)]))
    hand: Document = {
        "capacity": {"storage": "2Gi"},
        "accessModes": ["ReadWriteOnce"],
        "persistentVolumeReclaimPolicy": user.pick("Retain", "Retain", "Delete"),
        "storageClassName": user.name,
        "hostPath": {"path": "/data"},
    }
    await user.make(
        PERSISTENTVOLUME, f"{user.name}-hand", {"spec": {**hand, "persistentVolumeReclaimPolicy": "Retain"}}
    )
    for number in range(2):
        await user.make(
            PERSISTENTVOLUMECLAIM, f"{user.name}-{number}", {"spec": {**CLAIM, "storageClassName": user.name}}
        )
    for _ in range(4):
        await user.pause(12.0)
        match user.number(0, 3):
            case 0:
                grown = {"spec": {"resources": {"requests": {"storage": "2Gi"}}}}
                found = (
                    await user.client.get(PERSISTENTVOLUMECLAIM, user.namespace, claim)
                    if await _there(user, claim)
                    else None
                )
                if found is not None and dig(found.document(), "status", "phase") == "Bound":
                    await user.change(PERSISTENTVOLUMECLAIM, claim, grown)
            case 1:
                await user.remove(PERSISTENTVOLUMECLAIM, claim, None)
            case 2:
                await user.remove(POD, user.name, None)
            case _:
                await user.remove(PERSISTENTVOLUMECLAIM, f"{user.name}-{user.number(0, 1)}", None)
    await user.remove(POD, user.name, None)


async def _there(user: User, claim: str) -> bool:
    try:
        await user.client.get(PERSISTENTVOLUMECLAIM, user.namespace, claim)
    except NotFound:
        return False
    return True


async def ephemeral(user: User) -> None:
    """Pods with volumes and device claims of their own, which go with them. They take turns with the only device."""
    driver = f"{user.name}.example.com"
    only = {"driver": driver, "allNodes": True, "devices": [{"name": "only"}]}
    pool = {"name": user.name, "generation": 1, "resourceSliceCount": 1}
    await user.make(RESOURCESLICE, user.name, {"spec": {**only, "pool": pool}})
    selector = {"cel": {"expression": f'device.driver == "{driver}"'}}
    await user.make(DEVICECLASS, user.name, {"spec": {"selectors": [selector]}})
    template = {"spec": {"devices": {"requests": [{"name": "one", "exactly": {"deviceClassName": user.name}}]}}}
    await user.make(RESOURCECLAIMTEMPLATE, user.name, {"spec": template})
    kept = False
    for number in range(user.number(1, 3)):
        name = f"{user.name}-{number}"
        spec: Document = {"volumes": [{"name": "data", "ephemeral": {"volumeClaimTemplate": {"spec": CLAIM}}}]}
        claims = user.chance(0.5)
        if claims:
            spec["resourceClaims"] = [{"name": "one", "resourceClaimTemplateName": user.name}]
        await user.make(POD, name, _pod(user, **spec))
        user.expect(partial(_own_volume, name=name))
        await user.pause(15.0)
        if user.chance(0.6) or (claims and kept):
            await user.remove(POD, name, None)
        else:
            kept = kept or claims
            del user.expected["Pod", user.namespace, name]  # its node may be lost
    await user.pause(15.0)


def _own_volume(ledger: Ledger, name: str) -> Iterator[str]:
    pod = ledger.named("Pod", "default", name)
    claim = ledger.named("PersistentVolumeClaim", "default", f"{name}-data")
    if (pod is None) != (claim is None):
        yield f"pod {name} is {'gone' if pod is None else 'there'}, its claim is {'gone' if claim is None else 'there'}"


async def roles(user: User) -> None:
    """A ClusterRole made of others, which come and go; what else people write down for controllers to look at."""
    wanted = {"matchLabels": {"part-of": user.name}}
    await user.make(CLUSTERROLE, user.name, {"aggregationRule": {"clusterRoleSelectors": [wanted]}, "rules": []})
    policy = {
        "matchConstraints": {
            "resourceRules": [
                {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["secrets"], "operations": ["UPDATE"]}
            ]
        },
        "validations": [{"expression": user.pick("object.metadata.name != ''", "object.metadata.nam == 1")}],
    }
    await user.make(VALIDATINGADMISSIONPOLICY, f"{user.name}.example.com", {"spec": policy})
    await user.make(SERVICECIDR, user.name, {"spec": {"cidrs": ["10.97.0.0/24"]}})
    for number in range(4):
        await user.pause(8.0)
        name = f"{user.name}-{user.number(0, 2)}"
        rules = [{"apiGroups": [""], "resources": [user.pick("pods", "nodes", "secrets")], "verbs": ["get"]}]
        if user.expected.get(("ClusterRole", "", name)):
            if user.chance(0.5):
                await user.remove(CLUSTERROLE, name)
            else:
                await user.change(CLUSTERROLE, name, {"rules": rules})
        else:
            await user.make(CLUSTERROLE, name, {"rules": rules}, labels={"part-of": user.name})
        if number == 2 and user.chance(0.5):
            await user.remove(SERVICECIDR, user.name)
    user.expect(lambda ledger: _aggregated(ledger, user.name))


def _aggregated(ledger: Ledger, name: str) -> Iterator[str]:
    """The role has the rules of its parts, in the order of their names, each once."""
    found = ledger.named("ClusterRole", "", name)
    rules: list[object] = []
    parts = [one for one in ledger.of("ClusterRole") if dig(one, "metadata", "labels", "part-of") == name]
    for part in sorted(parts, key=lambda one: str(one["metadata"]["name"])):
        rules += [rule for rule in part.get("rules") or () if rule not in rules]
    if found is not None and (found.get("rules") or []) != rules:
        yield f"cluster role {name} has {found.get('rules')}, its parts have {rules}"


async def accounts(user: User) -> None:
    """Service accounts with tokens; requests for certificates, which are decided or forgotten."""
    name = user.name
    await user.make(SERVICEACCOUNT, name, {})
    note = {"kubernetes.io/service-account.name": name}
    token = {"type": "kubernetes.io/service-account-token"}
    await user.make(SECRET, f"{name}-token", token, annotations=note)
    spec = {
        "request": base64.b64encode(REQUEST.encode()).decode(),
        "signerName": "kubernetes.io/kube-apiserver-client-kubelet",
        "usages": ["client auth", "digital signature"],
    }
    await user.client.create(CERTIFICATESIGNINGREQUEST, new_request(name, spec))
    await user.pause()
    if user.chance(0.5):
        await user.remove(SERVICEACCOUNT, name)
        user.expected["Secret", user.namespace, f"{name}-token"] = False
    await user.pause()
    user.expect(lambda ledger: _signed(ledger, name))


def new_request(name: str, spec: Document) -> Document:
    kind = CERTIFICATESIGNINGREQUEST
    return {"apiVersion": kind.api_version, "kind": kind.name, "metadata": {"name": name}, "spec": spec}


def _signed(ledger: Ledger, name: str) -> Iterator[str]:
    found = ledger.named("CertificateSigningRequest", "", name)
    if found is not None and not dig(found, "status", "certificate"):
        yield f"request {name} was neither signed nor removed"


async def nodes(user: User) -> None:
    """Pods on nodes that are tainted, cordoned and cleared."""
    spec = {"replicas": user.number(2, 4), "selector": user.selector, "template": user.template("web:v1")}
    await user.make(DEPLOYMENT, user.name, {"spec": spec})
    names = sorted(node.name for node in (await user.client.list(NODE, labels="navarch.dev/simulated=true")).items)
    taint = {"key": "example.com/own", "value": user.name, "effect": user.pick("NoExecute", "NoSchedule")}
    for _ in range(4):
        await user.pause(12.0)
        node = user.pick(*names)
        match user.number(0, 2):
            case 0:
                found = await user.client.get(NODE, "", node)
                taints = dig(found.document(), "spec", "taints", default=[])
                if taint["key"] not in [one["key"] for one in taints]:
                    version = {"resourceVersion": str(found.revision)}
                    await user.change(NODE, node, {"metadata": version, "spec": {"taints": [*taints, taint]}})
            case 1:
                await user.change(NODE, node, {"spec": {"unschedulable": user.chance(0.5)}})
            case _:
                await user.remove_a_pod()
    for node in names:
        await user.change(NODE, node, {"spec": {"unschedulable": False}})
        while True:
            found = await user.client.get(NODE, "", node)
            taints = dig(found.document(), "spec", "taints", default=[])
            kept = [one for one in taints if one["key"] != taint["key"]]
            if len(kept) == len(taints):
                break
            version = {"resourceVersion": str(found.revision)}
            await user.change(NODE, node, {"metadata": version, "spec": {"taints": kept}})
