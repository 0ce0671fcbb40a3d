"""What mostly is the reason when a hop fails and nothing is seen to be wrong there: said as such. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from navarch.app.netcheck.probes import Clue, Hop, Probe, Result

OVERHEAD_BYTES = 50
USUAL: dict[str, tuple[str, str]] = {
    "pod link": (
        "{what} on {node} gives no answer, though its link looks as it should",
        "see what the pod does to its own network: kubectl exec, and `ip addr; ip neigh` there",
    ),
    "bridge": (
        "pods of {node} do not reach each other over its bridge",
        "see `bridge link` and rules of others there: nft list ruleset",
    ),
    "gateway": (
        "pods of {node} and the node itself do not reach each other",
        "see the bridge's address and rules of others there: ip addr; nft list ruleset",
    ),
    "forwarding": (
        "node {node} passes no packets on between its pods and others",
        "see its FORWARD rules: nft list ruleset; iptables-legacy -S FORWARD",
    ),
    "node link": (
        "node {node} and the others do not reach each other",
        "see its link and the firewalls between the nodes; ping one from the other",
    ),
    "route": (
        "packets from {node} do not arrive at the pods of {what}, though the route is there",
        "see what is between the two: directly the network must pass packets of pods' addresses, in VXLAN UDP 8472",
    ),
    "service rules": (
        "node {node} does not translate addresses of services",
        "see its agent's log, and `nft list table ip navarch` there",
    ),
    "service": (
        "node {node} does not translate the address of service {what} as it should",
        "see its agent's log, and `nft list map ip navarch fronts` there",
    ),
    "node port": (
        "node ports of {node} are not reached from other nodes",
        "see firewalls there and between the nodes: node ports are 30000-32767, TCP and UDP",
    ),
    "masquerade": (
        "packets of pods leave node {node} under the pods' own addresses: nobody outside could answer them",
        "see `nft list chain ip navarch hook/nat-postrouting` there, and rules of others before it",
    ),
    "DNS": (
        "the DNS server of node {node} gives no answer",
        "see the agent's log there, and whether another program took its port: ss -lunp | grep 10053",
    ),
    "upstream DNS": (
        "nobody answers for {what}, whom the ConfigMap kube-dns names",
        "ask that server from a node, and mend it or the ConfigMap: kubectl edit configmap kube-dns -n kube-system",
    ),
    "API server": ("pods do not reach the API server", "see its log, and firewalls before its port"),
    "agent": ("pods do not reach the port of {node}'s agent", "see firewalls there"),
    "host ports": ("processes of node {node} itself are not reached from others", "see firewalls there"),
    "outside": ("{what} is not reached from pods of {node}", "try it from the node: then it is beyond the cluster"),
}  # fmt: skip
POLICY = {
    "allows": ("node {node} keeps out what a policy lets in", "see its agent's log, and `nft list ruleset` there"),
    "denies": (
        "node {node} lets in what a policy keeps out: policies are not in force there",
        "see its agent's log; on one node, policies between its pods need the kernel's br_netfilter",
    ),
}


def usual(hop: Hop, failures: Sequence[tuple[Probe, Result]]) -> Clue:
    match hop.kind:
        case "MTU" | "MTU of a node":
            return _size(hop, failures)
        case "endpoint":
            return _endpoint(hop, failures)
        case "policy":
            text, remedy = POLICY[hop.what]
        case _:
            text, remedy = USUAL[hop.kind]
    words = {"node": hop.node, "what": f"pod {hop.what}" if hop.kind == "pod link" else hop.what}
    return Clue(hop.node, text.format(**words), remedy, hop.kind in ("agent", "host ports"))


def _size(hop: Hop, failures: Sequence[tuple[Probe, Result]]) -> Clue:
    sizes = [(result.sent_bytes, result.most_bytes) for _, result in failures if result.most_bytes]
    if not sizes:
        return Clue(hop.node, "large packets are not answered", "see whether small ones are")
    sent, most = max(sizes)[0], min(each[1] for each in sizes)
    if hop.kind == "MTU" and hop.what == hop.node:
        where, remedy = f"between pods of {hop.node}", "give the bridge and all its ports one MTU: ip link show"
    else:
        where = f"between {hop.node} and {hop.what}" if hop.kind == "MTU" else f"between {hop.node} and the other nodes"
        remedy = (
            f"have the network between the nodes pass {sent + OVERHEAD_BYTES} bytes, or give the nodes' interfaces the"
            f" MTU that it has (about {most}, {most + OVERHEAD_BYTES} with a tunnel around it), and start the agents"
            " and then the pods anew"
        )
    text = f"packets of more than about {most} bytes are lost {where} without a word; pods send up to {sent}"
    return Clue(hop.node, text, remedy)


def _endpoint(hop: Hop, failures: Sequence[tuple[Probe, Result]]) -> Clue:
    service, _, where = hop.what.partition(" ")
    namespace, _, name = service.partition("/")
    refused = any(result.error == "refused" for _, result in failures)
    what = "nothing listens there" if refused else "nobody answers there"
    text = f"service {service} sends to {where}, which counts as ready, and {what}"
    remedy = f"give its pods a readinessProbe, or mend the targetPort: kubectl describe endpointslices -n {namespace}"
    remedy += f" -l kubernetes.io/service-name={name}"
    return Clue(hop.node, text, remedy)
