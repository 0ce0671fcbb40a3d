"""Names and addresses inside a pod: its hostname, /etc/hosts and resolver settings. Pure, but for reading resolv.conf.

Source: https://kubernetes.io/docs/concepts/services-networking/dns-pod-service/
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from navarch.agent.config import AgentConfig
from navarch.agent.runtime import DnsSettings, PortMapping
from navarch.kinds.pod import Pod

MAX_SEARCHES = 32
MAX_SERVERS = 3
HOSTNAME_LIMIT = 63
HOSTS_HEADER = "# Kubernetes-managed hosts file.\n"
"""What programs (and Kubernetes' own tests) know a managed file by."""


def hostname(pod: Pod, node_name: str, cluster_domain: str) -> str:
    """What `hostname` prints in the pod's containers."""
    spec = pod.spec
    if spec.hostname_override:
        return spec.hostname_override
    if spec.host_network:
        return node_name
    short = (spec.hostname or pod.metadata.name)[:HOSTNAME_LIMIT].rstrip("-.")
    if spec.set_hostname_as_fqdn and (full := domain_name(pod, short, cluster_domain)):
        return full
    return short


def domain_name(pod: Pod, short: str, cluster_domain: str) -> str:
    """The pod's full name in its subdomain; "" when it has none."""
    if not pod.spec.subdomain:
        return ""
    return f"{short}.{pod.spec.subdomain}.{pod.metadata.namespace}.svc.{cluster_domain}"


def hosts_file(pod: Pod, ips: Sequence[str], short: str, full: str, node_hosts: str = "") -> str:
    """The text of /etc/hosts. node_hosts: the node's own file, which pods on the node's network start from."""
    if pod.spec.host_network:
        lines = [node_hosts.rstrip("\n")]
    else:
        lines = [
            HOSTS_HEADER.rstrip("\n"),
            "127.0.0.1\tlocalhost",
            "::1\tlocalhost ip6-localhost ip6-loopback",
            "fe00::0\tip6-localnet",
            "fe00::0\tip6-mcastprefix",
            "fe00::1\tip6-allnodes",
            "fe00::2\tip6-allrouters",
            *(f"{ip}\t{full}\t{short}" if full else f"{ip}\t{short}" for ip in ips),
        ]
    if pod.spec.host_aliases:
        lines += ["", "# Entries added by HostAliases."]
        lines += [f"{alias.ip}\t" + "\t".join(alias.hostnames) for alias in pod.spec.host_aliases]
    return "\n".join(lines) + "\n"


def read_resolv_conf(path: Path) -> DnsSettings:
    """The node's own resolver settings; empty ones when it has no such file."""
    try:
        text = path.read_text()
    except OSError:
        return DnsSettings()
    servers: list[str] = []
    searches: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    for line in text.splitlines():
        words = line.split("#")[0].split(";")[0].split()
        if len(words) > 1 and words[0] == "nameserver":
            servers.append(words[1])
        elif words and words[0] == "search":
            searches = tuple(word.rstrip(".") if word != "." else word for word in words[1:])
        elif words and words[0] == "options":
            options = tuple(words[1:])
    return DnsSettings(tuple(servers), searches, options)


def dns_settings(pod: Pod, config: AgentConfig, node: DnsSettings) -> DnsSettings:
    """What the pod's /etc/resolv.conf says."""
    policy = pod.spec.dns_policy
    if policy == "None":
        base = DnsSettings()
    elif (policy == "ClusterFirst" and not pod.spec.host_network) or policy == "ClusterFirstWithHostNet":
        base = _cluster_first(pod, config, node) if config.cluster_dns else node
    else:
        base = node
    extra = pod.spec.dns_config
    options = {option.partition(":")[0]: option for option in base.options}
    for option in extra.options:
        options[option.name] = option.name if option.value is None else f"{option.name}:{option.value}"
    return DnsSettings(
        tuple(dict.fromkeys((*base.servers, *extra.nameservers)))[:MAX_SERVERS],
        tuple(dict.fromkeys((*base.searches, *extra.searches)))[:MAX_SEARCHES],
        tuple(options.values()),
    )


def _cluster_first(pod: Pod, config: AgentConfig, node: DnsSettings) -> DnsSettings:
    domain = config.cluster_domain
    own = (f"{pod.metadata.namespace}.svc.{domain}", f"svc.{domain}", domain)
    return DnsSettings(config.cluster_dns, (*own, *node.searches), ("ndots:5",))


def port_mappings(pod: Pod) -> tuple[PortMapping, ...]:
    """What the network publishes on the host; containers on the node's own network need none."""
    if pod.spec.host_network:
        return ()
    sidecars = [container for container in pod.spec.init_containers if container.is_sidecar]
    return tuple(
        PortMapping(port.container_port, port.host_port, port.protocol, port.host_ip)
        for container in (*pod.spec.containers, *sidecars)
        for port in container.ports
    )
