"""What a node's agent may do: less than its role says, because it may touch only what belongs to its own pods.

It answers for users `system:node:<name>` in the group `system:nodes` and has no opinion on anybody else.

Source: https://kubernetes.io/docs/reference/access-authn-authz/node/ and the NodeRestriction admission plugin
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from navarch.apiserver.authz.rules import allows_path, allows_resource
from navarch.apiserver.call import Attributes, Decision, Reads
from navarch.kinds import NETWORKPOLICY, PERSISTENTVOLUME, PERSISTENTVOLUMECLAIM, POD
from navarch.kinds.object import Object
from navarch.kinds.rbac import PolicyRule
from navarch.objects.value import dig

GROUP = "system:nodes"
PREFIX = "system:node:"
LEASES = "kube-node-lease"
ALLOWED = Decision(True)
READ = ("get", "list", "watch")
MEMO = 256
MEMO_PODS = 4_096

DRIVER_SECRETS = ("nodeStageSecretRef", "nodePublishSecretRef", "nodeExpandSecretRef")
"""What a volume's driver is given on nodes; other secrets of a volume are its controller's."""

Reference = tuple[str, str]
"""Resource and name, in the pod's namespace."""


class NodeAuthorizer:
    """rules: of the role that nodes have at most."""

    def __init__(self, reads: Reads, rules: tuple[PolicyRule, ...]) -> None:
        self._reads = reads
        self._rules = rules
        self._used: dict[tuple[str, str], tuple[int, frozenset[Reference]]] = {}
        self._read: dict[tuple[str, int], frozenset[Reference]] = {}
        self._special: dict[tuple[str, str], Callable[[str, Attributes], str]] = {
            ("", "secrets"): self._used_by_pods,
            ("", "configmaps"): self._used_by_pods,
            ("", "persistentvolumeclaims"): self._used_by_pods,
            ("", "persistentvolumes"): self._volume,
            ("", "serviceaccounts"): self._account,
            ("", "nodes"): self._node,
            ("", "pods"): self._pod,
            ("coordination.k8s.io", "leases"): self._lease,
            ("storage.k8s.io", "csinodes"): self._named_like_it,
            ("resource.k8s.io", "resourceclaims"): self._used_by_pods,
            ("resource.k8s.io", "resourceslices"): self._slices,
        }

    def decide(self, asked: Attributes) -> Decision | None:
        user = asked.user
        if GROUP not in user.groups or not user.name.startswith(PREFIX):
            return None
        node = user.name.removeprefix(PREFIX)
        if (asked.verb, asked.group, asked.resource, asked.subresource, asked.name) == (
            "delete",
            "",
            "nodes",
            "",
            node,
        ):
            return ALLOWED  # beyond Kubernetes: a machine that leaves takes its Node with it
        if not self._in_role(asked):
            return None
        special = self._special.get((asked.group, asked.resource)) if asked.is_resource else None
        refusal = special(node, asked) if special is not None else ""
        return Decision(False, refusal) if refusal else ALLOWED

    def _in_role(self, asked: Attributes) -> bool:
        if not asked.is_resource:
            return any(allows_path(rule, asked.verb, asked.path) for rule in self._rules)
        resource = f"{asked.resource}/{asked.subresource}" if asked.subresource else asked.resource
        return any(allows_resource(rule, asked.verb, asked.group, resource) for rule in self._rules)

    # --- each says why not, or "" ---

    def _used_by_pods(self, node: str, asked: Attributes) -> str:
        if not asked.name:
            return "No Object name found"
        if (asked.resource, asked.name) in self._references(node, asked.namespace):
            return ""
        if asked.resource == "secrets" and self._is_for_drivers(node, asked.namespace, asked.name):
            return ""
        return f"no relationship found between node '{node}' and this object"

    def _account(self, node: str, asked: Attributes) -> str:
        return self._used_by_pods(node, asked)

    def _volume(self, node: str, asked: Attributes) -> str:
        if not asked.name:
            return "can only get individual resources of this type"
        if any(name == asked.name for name in self._volumes(node)):
            return ""
        return f"no relationship found between node '{node}' and this object"

    def _volumes(self, node: str) -> Iterator[str]:
        """The names of the volumes that the claims of its pods are bound to."""
        for namespace in {pod.namespace for pod in self._pods(node, "")}:
            for resource, name in self._references(node, namespace):
                if resource == "persistentvolumeclaims":
                    claim = self._reads.get(PERSISTENTVOLUMECLAIM, namespace, name)
                    if claim is not None and claim.view.spec.volume_name:
                        yield claim.view.spec.volume_name

    def _is_for_drivers(self, node: str, namespace: str, name: str) -> bool:
        """Whether it is a secret that the driver of a volume is to be given on the node."""
        for volume in self._volumes(node):
            found = self._reads.get(PERSISTENTVOLUME, "", volume)
            source = dig(found.document(), "spec", "csi", default={}) if found is not None else {}
            for key in DRIVER_SECRETS:
                reference = source.get(key) or {}
                if (reference.get("namespace"), reference.get("name")) == (namespace, name):
                    return True
        return False

    def _node(self, node: str, asked: Attributes) -> str:
        if asked.verb == "create" or asked.name == node:
            return ""
        return f"node '{node}' cannot {'read' if asked.verb in READ else 'modify'} other nodes"

    def _pod(self, node: str, asked: Attributes) -> str:
        if asked.verb == "create" and not asked.name:
            return ""
        if asked.verb in ("list", "watch") and not asked.name:
            if f"spec.nodeName={node}" in asked.fields.replace("==", "=").split(","):
                return ""
            if not asked.fields and next(iter(self._reads.where(NETWORKPOLICY)), None) is not None:
                return ""  # policies speak of pods by their labels, wherever those run
            return f"can only list/watch pods with spec.nodeName field selector '{node}'"
        pod = self._reads.get(POD, asked.namespace, asked.name)
        if pod is None or pod.view.spec.node_name == node:
            return ""  # of one that is not there (any more) the verb itself tells
        return f"node '{node}' can only touch pods that are bound to it"

    def _lease(self, node: str, asked: Attributes) -> str:
        if asked.namespace != LEASES:
            return f"can only access leases in the {LEASES!r} system namespace"
        if asked.verb == "create" or asked.name == node:
            return ""
        return "can only access node lease with the same name as the requesting node"

    def _named_like_it(self, node: str, asked: Attributes) -> str:
        if asked.verb == "create" or asked.name == node:
            return ""
        return "can only access CSINode with the same name as the requesting node"

    def _slices(self, node: str, asked: Attributes) -> str:
        """A node takes away what drivers published of it; they do the rest themselves."""
        if f"spec.nodeName={node}" in asked.fields.replace("==", "=").split(","):
            return ""
        return f"can only {asked.verb} resourceslices with spec.nodeName field selector '{node}'"

    # --- what its pods use ---

    def _pods(self, node: str, namespace: str) -> Iterator[Object]:
        found = self._reads.where(POD, fields=f"spec.nodeName={node}")
        return (pod for pod in found if not namespace or pod.namespace == namespace)

    def _references(self, node: str, namespace: str) -> frozenset[Reference]:
        version = self._reads.version(POD)
        known = self._used.get((node, namespace))
        if known is None or known[0] != version:
            found = {reference for pod in self._pods(node, namespace) for reference in self._references_of(pod)}
            if len(self._used) >= MEMO:
                self._used.clear()
            known = self._used[(node, namespace)] = (version, frozenset(found))
        return known[1]

    def _references_of(self, pod: Object) -> frozenset[Reference]:
        """Read once for each revision of a pod: most changes are of others."""
        key = (pod.uid, pod.revision)
        known = self._read.get(key)
        if known is None:
            if len(self._read) >= MEMO_PODS:
                self._read.clear()
            known = self._read[key] = frozenset(references(pod))
        return known


def references(pod: Object) -> Iterator[Reference]:
    """The secrets, config maps, claims of volumes and devices, and the service account that a pod uses."""
    document = pod.document()
    spec, status = document.get("spec") or {}, document.get("status") or {}
    extended = status.get("extendedResourceClaimStatus")
    named = (*(spec.get("resourceClaims") or ()), *(status.get("resourceClaimStatuses") or ()))
    for claim in (*named, extended) if extended else named:
        if name := claim.get("resourceClaimName"):
            yield "resourceclaims", name
    yield "serviceaccounts", spec.get("serviceAccountName") or "default"
    for entry in spec.get("imagePullSecrets") or ():
        yield "secrets", entry.get("name", "")
    for volume in spec.get("volumes") or ():
        yield from _of_volume(pod.name, volume)
    for key in ("containers", "initContainers", "ephemeralContainers"):
        for container in spec.get(key) or ():
            for source in container.get("envFrom") or ():
                yield from _named(source.get("configMapRef"), "configmaps")
                yield from _named(source.get("secretRef"), "secrets")
            for variable in container.get("env") or ():
                source = variable.get("valueFrom") or {}
                yield from _named(source.get("configMapKeyRef"), "configmaps")
                yield from _named(source.get("secretKeyRef"), "secrets")


def _of_volume(pod_name: str, volume: dict[str, object]) -> Iterator[Reference]:
    """A secret stands in many types of volume, always as `secretName`, `secretRef` or `secret`."""
    for key, found in volume.items():
        if not isinstance(found, dict):
            continue
        if key == "configMap":
            yield from _named(found, "configmaps")
        elif key == "persistentVolumeClaim":
            yield "persistentvolumeclaims", found.get("claimName", "")
        elif key == "ephemeral":
            yield "persistentvolumeclaims", f"{pod_name}-{volume.get('name', '')}"
        elif key == "projected":
            for source in found.get("sources") or ():
                yield from _named(source.get("configMap"), "configmaps")
                yield from _named(source.get("secret"), "secrets")
        else:
            if name := found.get("secretName"):
                yield "secrets", name
            for inner in ("secretRef", "nodePublishSecretRef"):
                yield from _named(found.get(inner), "secrets")


def _named(found: dict[str, str] | None, resource: str) -> Iterator[Reference]:
    if found and (name := found.get("name")):
        yield resource, name
