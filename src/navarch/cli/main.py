"""The commands: what each takes, what it prints, and with which code it exits.

0: done. 1: it could not be done, and standard error says why. 2: the words of the command line are off.
What a command does lies in `app`; heavy rooms are imported by the command that needs them.
"""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from navarch import __version__
from navarch.app.layout import DATA, RUN, Layout
from navarch.cli import output
from navarch.cli.addons import addon_app
from navarch.cli.certificates import certificates_app
from navarch.cli.imagecommands import image_app
from navarch.cli.net import net_app
from navarch.cli.options import (
    CniBinOption,
    CniConfOption,
    DataOption,
    Form,
    FormOption,
    KubeletConfigOption,
    PodCidrOption,
    ProviderConfigOption,
    ProviderFolderOption,
    RunOption,
    ServiceCidrOption,
    absolute,
    cni,
)
from navarch.cli.tokens import token_app

KUBERNETES_VERSION = "v1.36.0"

app = typer.Typer(
    name="navarch",
    help="A container orchestrator that speaks the Kubernetes API.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # which takes what stands in brackets for markup, and cuts long words off
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(image_app, name="image")
app.add_typer(certificates_app, name="certificates")
app.add_typer(token_app, name="token")
app.add_typer(addon_app, name="addon")
app.add_typer(net_app, name="net")


class ReportForm(StrEnum):
    table = "table"
    json = "json"
    yaml = "yaml"


def _port(value: int) -> int:
    if not 0 <= value <= 65535:
        raise typer.BadParameter(f"{value} is no port: it must be between 1 and 65535")
    return value


def _address(value: str) -> str:
    from navarch.app.ranges import own_addresses

    try:
        return ",".join(own_addresses(value)) if value else value
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _name(value: str) -> str:
    from navarch.objects import names

    if value and (problems := names.dns_subdomain(value)):
        raise typer.BadParameter(f"{value!r} cannot name a node: {problems[0]}")
    return value


def _registries(values: list[str]) -> list[str]:
    from navarch.app.registries import BadRegistry, parse

    try:
        parse(values)
    except BadRegistry as error:
        raise typer.BadParameter(str(error)) from None
    return values


def _duration(value: str) -> str:
    from navarch.app.machine import seconds

    try:
        seconds(value or "0")
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    return value


PortOption = Annotated[int, typer.Option(help="Port of the API server [6443].", callback=_port, show_default=False)]
AgentPortOption = Annotated[int, typer.Option(help="Port of the agent [10250].", callback=_port, show_default=False)]
AddressOption = Annotated[
    str, typer.Option(help="Address of this machine, or one of each family [found by itself].", callback=_address)
]
NameOption = Annotated[str, typer.Option(help="Name of this node [the host name].", callback=_name)]
NodesOption = Annotated[
    int,
    typer.Option(min=0, max=64, help="How many nodes this machine plays [1, or as before].", show_default=False),
]
ApiNameOption = Annotated[
    list[str],
    typer.Option(
        "--api-name",
        metavar="NAME",
        help="One more name or address of the API server; others join by the first. May be repeated.",
    ),
]
RegistryOption = Annotated[
    list[str],
    typer.Option(
        "--registry",
        metavar="NAME=URL",
        help="Pull images of registry NAME from URL, such as mirror.lan:5000=http://192.0.2.7:5000. May be repeated.",
        callback=_registries,
    ),
]
AuditPolicyOption = Annotated[
    str,
    typer.Option(
        "--audit-policy-file",
        metavar="FILE",
        help="Record requests as this policy says (audit.k8s.io/v1).",
        callback=absolute,
    ),
]
AuditLogOption = Annotated[
    str,
    typer.Option(
        "--audit-log-path",
        metavar="FILE",
        help="Where requests are recorded [audit.log beside the other logs]; - for standard output.",
        callback=absolute,
    ),
]
AuditSizeOption = Annotated[
    int,
    typer.Option(
        "--audit-log-maxsize", min=0, help="Megabytes of a file before the next one [100].", show_default=False
    ),
]
AuditBackupOption = Annotated[
    int, typer.Option("--audit-log-maxbackup", min=-1, help="How many older files stay [10]; 0 for all.")
]
AuditAgeOption = Annotated[
    int,
    typer.Option("--audit-log-maxage", min=0, help="Days that older files stay [as long as there are not too many]."),
]


def _providers(file: str, folder: str) -> dict[str, Any]:
    """The settings that were said. Raises: BadSettings."""
    if file:
        from navarch.app.pulling import read_provider_file

        read_provider_file(file, folder)
    return {"image_credential_provider_config": file, "image_credential_provider_bin_dir": folder}


def _kubelet(file: str) -> dict[str, Any]:
    """The setting that was said. Raises: BadKubeletFile."""
    if file:
        from navarch.agent import kubeletfile

        kubeletfile.read(Path(file))
    return {"kubelet_config_file": file}


def _audit(policy: str, log: str, size_mb: int, backups: int, age_days: int) -> dict[str, Any]:
    """The settings that were said. Raises: BadSettings."""
    if policy:
        from navarch.app import machine

        machine.check_audit_policy(policy)
    said: dict[str, Any] = {"audit_policy_file": policy, "audit_log_path": log, "audit_log_maxage": age_days}
    said |= {"audit_log_maxsize": size_mb}
    found = {name: value for name, value in said.items() if value}
    return found if backups < 0 else {**found, "audit_log_maxbackup": backups}


@app.command()
def up(
    data_dir: DataOption = DATA,
    run_dir: RunOption = RUN,
    api_port: PortOption = 0,
    agent_port: AgentPortOption = 0,
    node_ip: AddressOption = "",
    node_name: NameOption = "",
    api_name: ApiNameOption = [],  # noqa: B006 - typer makes a new one for each call
    registry: RegistryOption = [],  # noqa: B006 - typer makes a new one for each call
    audit_policy_file: AuditPolicyOption = "",
    audit_log_path: AuditLogOption = "",
    audit_log_maxsize: AuditSizeOption = 0,
    audit_log_maxbackup: AuditBackupOption = -1,
    audit_log_maxage: AuditAgeOption = 0,
    kubelet_config: KubeletConfigOption = "",
    image_credential_provider_config: ProviderConfigOption = "",
    image_credential_provider_bin_dir: ProviderFolderOption = "",
    cni_conf_dir: CniConfOption = None,
    cni_bin_dir: CniBinOption = None,
    nodes: NodesOption = 0,
    pod_cidr: PodCidrOption = "",
    service_cidr: ServiceCidrOption = "",
    output_form: FormOption = Form.text,
) -> None:
    """Set up and start a cluster on this machine. Harmless where it runs already."""
    from navarch.app.registries import parse
    from navarch.cli import lifecycle

    wanted: dict[str, Any] = {"api_port": api_port, "agent_port": agent_port, "node_ip": node_ip}
    audit = _audit(audit_policy_file, audit_log_path, audit_log_maxsize, audit_log_maxbackup, audit_log_maxage)
    wanted |= {"node_name": node_name, "api_names": tuple(api_name), **audit, **_kubelet(kubelet_config)}
    wanted |= _providers(image_credential_provider_config, image_credential_provider_bin_dir)
    wanted |= {"cluster_cidr": pod_cidr, "service_cidr": service_cidr}
    wanted |= cni(cni_conf_dir, cni_bin_dir)
    lifecycle.up(Layout(data_dir, run_dir), wanted, parse(registry), nodes=nodes, as_json=output_form is Form.json)


@app.command()
def down(data_dir: DataOption = DATA, run_dir: RunOption = RUN) -> None:
    """Stop the cluster and remove every trace of it. Containers, network, files and the kubeconfig context go."""
    from navarch.cli import lifecycle

    lifecycle.down(Layout(data_dir, run_dir))


@app.command()
def join(
    server: Annotated[str, typer.Argument(metavar="SERVER", help="Where the API server is: https://host:port.")],
    token: Annotated[str, typer.Option(help="Made by `navarch token create` on the server.")] = "",
    ca_hash: Annotated[
        str, typer.Option(metavar="sha256:...", help="The authority to expect [any that the token has signed for].")
    ] = "",
    data_dir: DataOption = DATA,
    run_dir: RunOption = RUN,
    agent_port: AgentPortOption = 0,
    node_ip: AddressOption = "",
    node_name: NameOption = "",
    registry: RegistryOption = [],  # noqa: B006 - typer makes a new one for each call
    kubelet_config: KubeletConfigOption = "",
    cni_conf_dir: CniConfOption = None,
    cni_bin_dir: CniBinOption = None,
    own: Annotated[
        str, typer.Option("--own", help="A name for what nodes of one machine must not share.", hidden=True)
    ] = "",
    output_form: FormOption = Form.text,
) -> None:
    """Make this machine a node of a cluster that is elsewhere. Harmless where it is one already."""
    from navarch.app.registries import parse
    from navarch.cli import membership

    try:
        asked = membership.invitation(server, token, ca_hash, node_name, node_ip)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    said: dict[str, Any] = {"agent_port": agent_port, "registries": parse(registry), **_kubelet(kubelet_config)}
    said |= cni(cni_conf_dir, cni_bin_dir)
    said |= {"cgroup": f"navarch-{own}", "network": f"{own}.navarch"} if own else {}
    wanted = {name: value for name, value in said.items() if value}
    membership.join(Layout(data_dir, run_dir), asked, wanted, as_json=output_form is Form.json)


@app.command()
def leave(
    now: Annotated[bool, typer.Option("--now", help="Do not move pods first, and do not need the cluster.")] = False,
    timeout: Annotated[str, typer.Option(help="How long pods may take to go.", callback=_duration)] = "5m",
    data_dir: DataOption = DATA,
    run_dir: RunOption = RUN,
) -> None:
    """Make this machine leave the cluster that it has joined. Its pods move elsewhere, nothing of it stays here."""
    from navarch.app.machine import seconds
    from navarch.cli import membership

    membership.leave(Layout(data_dir, run_dir), now=now, patience_s=seconds(timeout))


@app.command()
def status(data_dir: DataOption = DATA, run_dir: RunOption = RUN, output_form: FormOption = Form.text) -> None:
    """Say what is up: processes, nodes, addresses. Exits with 1 when something is not."""
    from navarch.cli import lifecycle

    raise typer.Exit(lifecycle.status(Layout(data_dir, run_dir), as_json=output_form is Form.json))


@app.command()
def kubeconfig(data_dir: DataOption = DATA, run_dir: RunOption = RUN) -> None:
    """Print a kubeconfig of the cluster's administrator."""
    path = Layout(data_dir, run_dir).admin_kubeconfig
    try:
        print(path.read_text(), end="")
    except FileNotFoundError:
        from navarch.app.provision import NotProvisioned

        raise NotProvisioned("there is no cluster on this machine; `navarch up` makes one") from None


@app.command()
def version(output_form: FormOption = Form.text) -> None:
    """Print the versions of Navarch and of its Kubernetes API."""
    if output_form is Form.json:
        output.facts({"navarch": __version__, "kubernetes": KUBERNETES_VERSION})
    else:
        print(f"navarch {__version__} (Kubernetes API {KUBERNETES_VERSION})")


@app.command()
def demo(data_dir: DataOption = DATA, run_dir: RunOption = RUN) -> None:
    """Show the first five minutes. The sample application runs, loses a pod, and is updated under load."""
    from navarch.cli import demo as tour

    tour.run(Layout(data_dir, run_dir))


@app.command()
def simulate(
    manifests: Annotated[
        list[str],
        typer.Argument(help="Manifests and traces: files, folders, - for standard input.", show_default=False),
    ],
    nodes: Annotated[int, typer.Option(min=-1, help="How many nodes [3, or those of files].", show_default=False)] = -1,
    machine: Annotated[
        str, typer.Option(metavar="cpu=8,memory=32Gi,...", help="What each of them has.", show_default=False)
    ] = "",
    zones: Annotated[str, typer.Option(metavar="ZONE,...", help="They are dealt out over these.")] = "",
    nodes_file: Annotated[
        str,
        typer.Option(metavar="FILE", help="Further nodes: Node objects, or a list of {count, cpu, memory, zone, ...}."),
    ] = "",
    behaviours: Annotated[str, typer.Option(metavar="FILE", help="How containers behave (YAML).")] = "",
    length: Annotated[
        str, typer.Option("--for", metavar="DURATION", help="How much time passes [until 10m after the last step].")
    ] = "",
    start: Annotated[str, typer.Option(metavar="MOMENT", help="When it begins [2030-01-01T00:00:00Z].")] = "",
    seed: Annotated[int, typer.Option(help="One seed is one history.")] = 0,
    fail: Annotated[
        list[str],
        typer.Option(metavar="NODE@FROM..UNTIL", help="A node loses power, such as node-3@10m..20m. May be repeated."),
    ] = [],  # noqa: B006 - typer makes a new one for each call
    output_form: Annotated[
        ReportForm, typer.Option("-o", "--output", help="How the report is printed.")
    ] = ReportForm.table,
    plot: Annotated[str, typer.Option(metavar="FILE.svg", help="Draw what happened over time.")] = "",
    check: Annotated[
        bool, typer.Option("--check", help="Exit with 1 when not all is placed and well in the end.")
    ] = False,
) -> None:
    """Run manifests on simulated nodes in virtual time. Tells who is placed where, who waits and why, what is used."""
    from navarch.cli import simulate as simulation

    asked = simulation.Asked(
        manifests=manifests,
        nodes=None if nodes < 0 else nodes,
        machine=machine,
        zones=[zone for zone in zones.split(",") if zone],
        nodes_file=nodes_file,
        behaviours=behaviours,
        length=length,
        seed=seed,
        start=start,
        fail=fail,
        form=output_form.value,
        plot=plot,
        check=check,
    )
    raise typer.Exit(simulation.run(asked))


def _endpoints(value: str) -> str:
    from navarch.app.machine import check_endpoints

    try:
        check_endpoints(value)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    return value


EtcdServersOption = Annotated[
    str,
    typer.Option(
        "--etcd-servers",
        metavar="URL,...",
        help="Keep the state in this etcd, which other servers may share, instead of a file.",
        callback=_endpoints,
    ),
]
EtcdFileOption = Annotated[str, typer.Option(metavar="FILE", help="PEM file for TLS with etcd.")]
EtcdPrefixOption = Annotated[str, typer.Option(help="What the keys in etcd start with [/registry].")]
EtcdCompactionOption = Annotated[
    str,
    typer.Option(
        "--etcd-compaction-interval",
        help="How often etcd is made to forget old revisions [5m]; 0 for never.",
        callback=_duration,
    ),
]


@app.command(hidden=True)
def server(
    data_dir: DataOption = DATA,
    run_dir: RunOption = RUN,
    api_port: PortOption = 0,
    node_ip: AddressOption = "",
    node_name: NameOption = "",
    etcd_servers: EtcdServersOption = "",
    etcd_cafile: EtcdFileOption = "",
    etcd_certfile: EtcdFileOption = "",
    etcd_keyfile: EtcdFileOption = "",
    etcd_prefix: EtcdPrefixOption = "",
    etcd_compaction_interval: EtcdCompactionOption = "",
    audit_policy_file: AuditPolicyOption = "",
    audit_log_path: AuditLogOption = "",
    audit_log_maxsize: AuditSizeOption = 0,
    audit_log_maxbackup: AuditBackupOption = -1,
    audit_log_maxage: AuditAgeOption = 0,
    pod_cidr: PodCidrOption = "",
    service_cidr: ServiceCidrOption = "",
) -> None:
    """Run the control plane in the foreground (the supervisor does this); what is given is kept for the next time."""
    from navarch.app import machine

    said: dict[str, Any] = {"api_port": api_port, "node_ip": node_ip, "node_name": node_name}
    said |= {"etcd_servers": tuple(url for url in etcd_servers.split(",") if url), "etcd_prefix": etcd_prefix}
    said |= {"cluster_cidr": pod_cidr, "service_cidr": service_cidr}
    said |= {"etcd_cafile": etcd_cafile, "etcd_certfile": etcd_certfile, "etcd_keyfile": etcd_keyfile}
    wanted = {name: value for name, value in said.items() if value}
    wanted |= _audit(audit_policy_file, audit_log_path, audit_log_maxsize, audit_log_maxbackup, audit_log_maxage)
    if etcd_compaction_interval:
        wanted["etcd_compaction_interval_s"] = machine.seconds(etcd_compaction_interval)
    machine.keep_server_settings(Layout(data_dir, run_dir), wanted)
    os.execv(*_own("navarch.app.server", data_dir, run_dir))


@app.command(hidden=True)
def agent(data_dir: DataOption = DATA, run_dir: RunOption = RUN) -> None:
    """Run the node agent in the foreground (the supervisor does this)."""
    os.execv(*_own("navarch.app.node", data_dir, run_dir))


def _own(module: str, data_dir: Path, run_dir: Path) -> tuple[str, list[str]]:
    import sys

    return sys.executable, [sys.executable, "-m", module, str(data_dir), str(run_dir)]


def _mendable() -> tuple[type[Exception], ...]:
    """What a person can do something about; imported only when something went wrong."""
    from navarch.app.debian import CannotFetch
    from navarch.app.kubeconfig import BadKubeconfig
    from navarch.app.layout import BadSettings
    from navarch.app.provision import NotProvisioned
    from navarch.base.errors import ApiError, Retryable

    return NotProvisioned, BadKubeconfig, BadSettings, CannotFetch, ApiError, Retryable


def run() -> None:
    """The console script: errors that a person can mend become a message and an exit code."""
    try:
        app(prog_name="navarch")
    except _mendable() as problem:
        output.error(str(problem))
        raise SystemExit(1) from None
    except PermissionError as problem:
        output.error(f"{problem.strerror}: {problem.filename}; try again with `sudo`")
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
