"""Why a hop does not work: what the kernels have is held against what they should have. Pure.

What is seen to be wrong goes before what mostly is the reason, which is said as such.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_network

from navarch.app.netcheck import foreign, users
from navarch.app.netcheck.defaults import usual
from navarch.app.netcheck.kernel import Kernel, addresses, is_up
from navarch.app.netcheck.plan import Cast, Ways
from navarch.app.netcheck.probes import Clue, Hop, Leg, Probe, Result
from navarch.app.nettrace.ends import address_of
from navarch.app.nettrace.steps import listed
from navarch.app.nettrace.world import World
from navarch.net.plan import PORT, TUNNEL, beyond, hardware_of
from navarch.proxy.addresses import IPV4

Failures = Sequence[tuple[Probe, Result]]
NODES_OWN = ("agent", "host ports")
FORWARD, FORWARD_IPV6 = "net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"


class Clues:
    """kernels: by node; those that were not asked, or did not answer, say nothing."""

    def __init__(
        self, world: World, cast: Cast, kernels: Mapping[str, Kernel], asked: users.Asked | None = None
    ) -> None:
        self._world = world
        self._cast = cast
        self._kernels = kernels
        self._asked = asked or {}
        self._ways = Ways(world)

    def reason(self, hop: Hop, failures: Failures) -> tuple[Clue, bool]:
        """See `judge.Reason`."""
        found = next(self._seen(hop, failures), None)
        if found is not None:
            # Ports of the nodes themselves are often kept from others on purpose.
            return found._replace(doubt=hop.kind in NODES_OWN), True
        if hop.kind == "pod link" and self._answers(hop):
            text = f"pod {hop.what} on {hop.node} is there, and takes no echo requests"
            return Clue(hop.node, text, "see what rules the pod has in its own network", True), False
        if hop.kind == "asked":
            return users.why(self._world, self._asked[hop.what])
        return usual(hop, failures), False

    def _seen(self, hop: Hop, failures: Failures) -> Iterator[Clue]:
        kernel = self._kernel(hop.node)
        match hop.kind:
            case "pod link" if kernel.known:
                yield from self._pod_link(kernel, hop.node, hop.what)
            case "gateway" | "bridge" if kernel.known:
                yield from self._gateway(kernel, hop.node)
            case "forwarding" if kernel.known:
                yield from self._forwarding(kernel, hop.node)
            case "route":
                yield from self._route(hop.node, hop.what)
            case "service" | "service rules" | "node port":
                yield from self._service(kernel, hop, failures)
            case "policy":
                yield from self._policies(hop)
        yield from self._foreign(hop, failures)
        if hop.kind in ("service", "service rules"):
            yield from self._forwarding(kernel, hop.node)  # what comes back to the same bridge is forwarded, too

    def _answers(self, hop: Hop) -> bool:
        """Whether the pod is on its link: it says which hardware address it has."""
        kernel = self._kernel(hop.node)
        namespace, _, name = hop.what.partition("/")
        pod, inner = self._world.pods.get((namespace, name)), kernel.pod_link(hop.what)
        bridge = kernel.holder(self._ways.gateway(hop.node))
        if pod is None or inner is None or bridge is None or namespace == self._cast.namespace:
            return False
        entry = kernel.neighbour(address_of(self._world, pod.view), str(bridge["ifname"]))
        states = set(entry.get("state", ()))
        return entry.get("lladdr") == inner.get("address") and not states & {"FAILED", "INCOMPLETE", "PERMANENT"}

    def _kernel(self, node: str) -> Kernel:
        return self._kernels.get(node) or Kernel({})

    def _pod_link(self, kernel: Kernel, node: str, pod: str) -> Iterator[Clue]:
        namespace, _, name = pod.partition("/")
        anew = f"let its network be made anew: kubectl delete pod {name} -n {namespace}"
        inner = kernel.pod_link(pod)
        if inner is None:
            yield Clue(node, f"pod {pod} has no interface eth0 in its network, or no network at all", anew)
            return
        outer, bridge = kernel.link_at(inner.get("link_index", 0)), kernel.holder(self._ways.gateway(node))
        if outer is None:
            yield Clue(node, f"the end of pod {pod}'s link on the node is gone", anew)
            return
        device = outer["ifname"]
        if not is_up(outer):
            yield Clue(node, f"the link of pod {pod} is down: {device}", f"ip link set {device} up, or {anew}")
        if bridge is not None and outer.get("master") != bridge["ifname"]:
            held = outer.get("master") or "no bridge"
            text = f"the link of pod {pod}, {device}, is in {held} instead of {bridge['ifname']}"
            yield Clue(node, text, f"ip link set {device} master {bridge['ifname']}, or {anew}")
        if not is_up(inner):
            yield Clue(node, f"the link of pod {pod} is down inside the pod", anew)
        yield from self._pod_address(kernel, node, pod, inner, anew)
        if self._world.family is IPV4 and not any(route.get("dst") == "default" for route in kernel.pod_routes(pod)):
            yield Clue(node, f"pod {pod} has no default route", anew)

    def _pod_address(
        self, kernel: Kernel, node: str, pod: str, inner: Mapping[str, object], anew: str
    ) -> Iterator[Clue]:
        namespace, _, name = pod.partition("/")
        found = self._world.pods.get((namespace, name))
        own = address_of(self._world, found.view) if found else ""
        if own and own not in addresses(inner):
            text = f"pod {pod} should have {own}, and has {listed(addresses(inner)) or 'no address'}"
            yield Clue(node, text, anew)
        others = [
            "/".join(key)
            for key, each in self._world.pods.items()
            if key != (namespace, name) and own and address_of(self._world, each.view) == own and not each.view.terminal
        ]
        if others and not (found and found.view.spec.host_network):
            text = f"{own} is the address of two: pod {pod} and pod {listed(others)}"
            yield Clue(node, text, f"{anew}; both, if it comes again")
        bridge = kernel.holder(self._ways.gateway(node))
        entry = kernel.neighbour(own, str(bridge["ifname"])) if bridge else {}
        seen = entry.get("lladdr")
        if seen and seen != inner.get("address"):
            text = (
                f"node {node} takes {seen} for the hardware address of pod {pod} at {own}, which is {inner['address']}"
            )
            if "PERMANENT" in entry.get("state", ()):
                text += ": a neighbour entry that somebody fixed"
            else:
                text += ": another interface answers for that address too"
            device = bridge["ifname"] if bridge else ""
            yield Clue(
                node, text, f"ip neigh del {own} dev {device}, and find who has {seen}: bridge fdb | grep {seen}"
            )

    def _forwarding(self, kernel: Kernel, node: str) -> Iterator[Clue]:
        setting = FORWARD if self._world.family is IPV4 else FORWARD_IPV6
        if kernel.setting(setting) == "0":
            key = setting.replace("/", ".")
            text = f"node {node} forwards nothing: {key} is 0"
            yield Clue(node, text, f"sysctl -w {key}=1 there; see what in /etc/sysctl.d set it")
        ends = kernel.holder(self._ways.gateway(node)), kernel.holder(self._ways.address(node))
        for device in [str(link["ifname"]) for link in ends if link is not None]:
            if self._world.family is IPV4 and not kernel.forwards_from(device):
                key = f"net.ipv4.conf.{device}.forwarding"
                text = f"node {node} forwards nothing that comes in by {device}: {key} is 0"
                yield Clue(node, text, f"sysctl -w {key}=1 there; see what in /etc/sysctl.d set it")

    def _gateway(self, kernel: Kernel, node: str) -> Iterator[Clue]:
        gateway = self._ways.gateway(node)
        bridge = kernel.holder(gateway)
        anew = "start the agent anew: it makes bridge and address again"
        if bridge is None:
            yield Clue(node, f"no interface of node {node} has {gateway}, which its pods send everything to", anew)
        elif not is_up(bridge):
            yield Clue(node, f"the bridge of node {node}'s pods is down: {bridge['ifname']}", anew)

    def _route(self, here: str, there: str) -> Iterator[Clue]:
        kernel, target = self._kernel(here), self._cast.first.get(there)
        found = kernel.route(target.address) if target else None
        if found is None or not kernel.known:
            return
        outer = Ways(self._world.of(self._world.families[0]))
        address, network = self._ways.address(there), self._world.known_nodes[there].pod_cidr
        device, gateway = str(found.get("dev", "")), str(found.get("gateway", ""))
        if not device:
            kind = found.get("type") or "no"
            text = f"node {here} has {kind} route to {network}, the pods of {there}"
            yield Clue(here, text, f"see `ip route show {network}` there, and the agent's log")
        elif device != TUNNEL and gateway != address:
            way = f"over {gateway}" if gateway else "directly"
            text = (
                f"node {here} sends what is for {network}, the pods of {there}, {way} by {device} and not to {address}"
            )
            yield Clue(here, text, f"remove the route that is in the way: see `ip route show to match {network}` there")
        elif device == TUNNEL:
            yield from self._tunnel(kernel, here, there, outer.address(there), network)

    def _tunnel(self, kernel: Kernel, here: str, there: str, address: str, network: str) -> Iterator[Clue]:
        hardware = hardware_of(address)
        end = str(ip_network(network)[0]) if self._world.family is IPV4 else beyond(hardware)
        anew = f"ip link del {TUNNEL} there: the agent makes it again"
        if (link := kernel.link(TUNNEL)) is None or not is_up(link):
            yield Clue(here, f"the tunnel of node {here} is down: {TUNNEL}", anew)
            return
        seen = kernel.neighbour(end, TUNNEL).get("lladdr")
        if seen != hardware:
            text = f"node {here} takes {seen or 'nobody'} for the end of {there}'s tunnel, which is {hardware}"
            yield Clue(here, text, anew)
        if (to := kernel.forwards(TUNNEL).get(hardware)) != address:
            text = f"node {here} sends what is for {there} through its tunnel to {to or 'nobody'} instead of {address}"
            yield Clue(here, text, anew)

    def _service(self, kernel: Kernel, hop: Hop, failures: Failures) -> Iterator[Clue]:
        for probe, _ in failures:
            address, port = str(probe.ask.get("address")), int(probe.ask.get("port") or 0)
            if kernel.lacks(address, port):
                text = f"the kernel of node {hop.node} has no rule for {address}:{port}, which its agent should write"
                yield Clue(
                    hop.node, text, "see the agent's log for `nft refused`, and `nft list table ip navarch` there"
                )

    def _policies(self, hop: Hop) -> Iterator[Clue]:
        others = [
            "/".join(key) for key in self._world.policies if key[0] == self._cast.namespace and key[1] != "second"
        ]
        if others and hop.what == "allows":
            text = f"somebody puts policies into every namespace, and they let no probes through: {listed(others)}"
            yield Clue(
                hop.node, text, f"leave out namespaces that begin with {self._cast.namespace.rpartition('-')[0]}"
            )

    def _foreign(self, hop: Hop, failures: Failures) -> Iterator[Clue]:
        """A rule of others that bars these packets, or has them come from somebody else."""
        acts = foreign.RENAMES if hop.kind == "masquerade" else foreign.STOPS
        for probe, _ in failures:
            for leg in sorted(probe.legs, key=lambda each: each.node != hop.node):
                rule = foreign.accused(self._kernel(leg.node).tables, leg, acts)
                if rule is not None:
                    text = f"a rule on node {leg.node} that is not Navarch's {_does(leg, hop)}: {rule}"
                    where = f"nft -a list table {rule.table}"
                    yield Clue(leg.node, text, f"remove it, or let these packets pass before it: see `{where}` there")


def _does(leg: Leg, hop: Hop) -> str:
    if hop.kind == "masquerade":
        return "keeps pods from leaving under their node's address"
    if (leg.protocol, leg.port) == ("udp", PORT):
        return "bars the tunnel between the nodes"
    return "stops these packets"
