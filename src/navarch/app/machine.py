"""The one-machine cluster as steps: what `navarch up` does in which order, and what `navarch down` undoes.

A step is a title and a function that gets a way to say what it is doing; the command line shows them. Steps can be
repeated: each looks first and does only what is missing.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from navarch.app import ask, bandwidth, cidr, containerd, identity, provision, ranges, supervisor, unwritten
from navarch.app.cni import PodNetwork
from navarch.app.containerd import ContainerdSettings
from navarch.app.layout import Layout, Settings, load_settings, save_settings, write_atomically
from navarch.app.originals import Originals
from navarch.app.provision import NotProvisioned
from navarch.base.clock import SystemClock
from navarch.base.errors import Retryable
from navarch.base.pki import client_context
from navarch.store.etcd.settings import endpoint

READY_S = 60.0
NO_NETWORK = "reason:NetworkPluginNotReady"
"""In what a node says that waits for the configuration of its pods' network."""
SUPERVISED_S = 20.0
GIVE_UP_RESTARTS = 3
LOG_LINES = 12

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Step:
    """title: what is true once it is done. doing: what is shown until then, the title unless given."""

    title: str
    act: Callable[[Say], None]
    doing: str = ""


def choose_settings(layout: Layout, wanted: Mapping[str, Any], registries: Mapping[str, str]) -> Settings:
    """The settings of the cluster that is there, or those of a new one.

    wanted: by the names of `Settings`; what is 0 or "" is left as it is, or to the default. registries: to be added.

    Raises:
        NotProvisioned: another port or address was asked for than the one the cluster was made with.
    """
    chosen = {name: value for name, value in wanted.items() if value}
    found = load_settings(layout)
    if found is None:
        if "node_name" not in chosen:
            chosen["node_name"] = provision.node_name()
        return Settings(**_placed(chosen, Settings("", "")), registries=dict(registries))
    differs = list(_differences(found, chosen))
    if differs:
        raise NotProvisioned(f"the cluster runs with other settings: {'; '.join(differs)}; `navarch down` removes it")
    return replace(found, registries={**found.registries, **registries})


def _differences(found: Settings, chosen: Mapping[str, Any]) -> Iterator[str]:
    for name, value in chosen.items():
        has = ",".join(found.node_ips) if name == "node_ip" else getattr(found, name)
        if not (ranges.same(value, has) if name in ranges.OPTIONS else value in (has, getattr(found, name))):
            yield f"{ranges.OPTIONS.get(name) or '--' + name.replace('_', '-')} is {has}, not {value}"


def keep_server_settings(layout: Layout, wanted: Mapping[str, Any]) -> None:
    """Put what a server was started with into the settings, which are made if there are none; nothing where nothing was
    said. Unlike `choose_settings` it changes what is there: there is no network yet that was made by it."""
    if not wanted:
        return
    found = load_settings(layout)
    before = found or Settings(wanted.get("node_name") or provision.node_name(), "")
    made = _placed(wanted, before) if found is None or {"node_ip", *ranges.OPTIONS} & wanted.keys() else wanted
    save_settings(layout, replace(before, **made))


def _placed(wanted: Mapping[str, Any], before: Settings) -> dict[str, Any]:
    """With the ranges that follow from those asked for, and this machine's addresses. Raises: NotProvisioned."""
    settled = ranges.settled(wanted, before)
    ranges.check_kernel(settled)
    services = settled.get("service_cidr", before.service_cidr)
    given = wanted.get("node_ip") or (",".join(before.node_ips) if before.node_ip else "")
    return {**wanted, **settled, **ranges.node_addresses(services, given, provision.node_address)}


def check_audit_policy(file: str) -> None:
    """Raises: BadSettings, when the server could not be started with it."""
    from navarch.app.server import audit_settings  # with half the server behind it

    audit_settings(Layout(), Settings("", "", audit_policy_file=file))


def check_endpoints(urls: str) -> None:
    """Of etcd, parted by commas. Raises: ValueError."""
    for url in filter(None, urls.split(",")):
        endpoint(url)


def seconds(duration: str) -> float:
    """Of a duration as Go writes it, such as `5m` or `1h30m`; a number alone is seconds. Raises: ValueError."""
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|h|m|s|$)", duration)
    if not parts or "".join(number + unit for number, unit in parts) != duration:
        raise ValueError(f"{duration!r} is no duration; one looks like 5m or 90s")
    return sum(float(number) * {"ms": 0.001, "s": 1, "": 1, "m": 60, "h": 3600}[unit] for number, unit in parts)


def containerd_settings(layout: Layout) -> ContainerdSettings:
    known = load_settings(layout)
    programs = Path(known.cni_bin_dir) if known and known.cni_bin_dir else provision.cni_folder()
    return ContainerdSettings(
        layout.containerd,
        cni_bin_dir=programs or provision.CNI_FOLDERS[-1],
        cni_conf_dir=Path(known.cni_conf_dir) if known and known.cni_conf_dir else layout.cni_config,
        registry_dir=layout.data / "registries",
        environment={"PATH": provision.SEARCH_PATH},
    )


def pod_network(layout: Layout, settings: Settings) -> PodNetwork:
    """This node's part of the cluster's pod addresses. Where others make the pods' network it has no bridge."""
    own = cidr.known(layout, settings)
    bridge = "" if settings.cni_conf_dir else settings.bridge
    names = {"bridge": bridge, "table": settings.table, "name": settings.network, "node_ip": settings.node_ip}
    limits = (containerd_settings(layout).cni_bin_dir / bandwidth.PLUGIN).exists()
    return PodNetwork(own, layout.cni_config, layout.cni_state, **names, limits=limits)


def prepare_processes(layout: Layout, settings: Settings) -> list[supervisor.Process]:
    """Write what the processes read at their start, and say what to run.

    Raises:
        base.errors.Retryable: the machine does not let us.
    """
    keep_private(layout)
    if not settings.server:
        identity.prepare(layout, settings, SystemClock())
    pod_network(layout, settings).ensure()
    unwritten.bound(Originals(layout.unwritten))
    runtime = containerd_settings(layout)
    containerd.prepare(runtime, settings.registries)
    return process_list(layout, runtime.command, server=not settings.server)


def keep_private(layout: Layout) -> None:
    """What holds Secrets in the clear, the store and the volumes of pods, is for root alone."""
    for folder in (layout.database.parent, layout.agent):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.chmod(0o700)


def dns_answers(settings: Settings, timeout_s: float = 1.0) -> str:
    """ "" when the cluster's DNS server knows the API server's name, else what is wrong."""
    from navarch.base.clock import SystemIds
    from navarch.dns import wire
    from navarch.dns.run import ask

    name = f"kubernetes.default.svc.{settings.cluster_domain}"
    try:
        kind = "AAAA" if ":" in settings.dns_ip else "A"
        message = asyncio.run(ask((settings.dns_ip, 53), name, kind, SystemIds(), timeout_s))
        answers, _ = wire.sections(message)
    except (Retryable, wire.Malformed) as error:
        return f"no answer from {settings.dns_ip}: {error}"
    return "" if answers else f"{name} has no address yet"


def process_list(layout: Layout, containerd_argv: Sequence[str], *, server: bool = True) -> list[supervisor.Process]:
    """What the supervisor runs, in the order of starting. server: on a machine that is not only a node."""

    def own(module: str) -> tuple[str, ...]:
        return (sys.executable, "-m", module, str(layout.data), str(layout.run))

    def log(name: str) -> str:
        return str(layout.logs / f"{name}.log")

    runtime = supervisor.Process("containerd", tuple(containerd_argv), log("containerd"))
    serving = [supervisor.Process("server", own("navarch.app.server"), log("server"))] if server else []
    needs = ("containerd", *(process.name for process in serving))
    return [runtime, *serving, supervisor.Process("agent", own("navarch.app.node"), log("agent"), needs=needs)]


def door(layout: Layout) -> ask.Door:
    """Where the API server is asked from here. Raises: Retryable: this machine has no identity yet."""
    settings = load_settings(layout)
    if settings is None or not settings.server:
        return layout.server_socket
    who = identity.load_node(layout)
    return ask.Remote(settings.server, client_context(who.ca, who.node))


def supervisor_is_up(layout: Layout) -> bool:
    entry = supervisor.read_state(layout.supervisor_state).get("supervisor", {})
    return supervisor.alive(entry.get("pid", 0), entry.get("birth", 0))


def start_processes(layout: Layout, processes: Sequence[supervisor.Process]) -> None:
    """Start the supervisor, unless it runs with this very list of processes; returns once it watches them.

    One that waits before it starts a process once more is replaced, and what runs is left running: whoever calls `up`
    may have mended what was wrong.

    Raises:
        NotProvisioned: it ended at once, or never said that it runs; the message ends with the last it wrote.
    """
    text = json.dumps([asdict(process) for process in processes], indent=2)
    listed = layout.data / "processes.json"
    same = listed.exists() and listed.read_text() == text
    if supervisor_is_up(layout):
        state = supervisor.read_state(layout.supervisor_state)
        if same and all(state.get(process.name, {}).get("pid") for process in processes):
            return
        stop_supervisor(layout, children=not same)
    write_atomically(listed, text)
    layout.logs.mkdir(parents=True, exist_ok=True)
    with open(layout.logs / "supervisor.log", "ab") as log:
        started = subprocess.Popen(
            [sys.executable, "-m", supervisor.MODULE, str(layout.data), str(layout.run)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd="/",
        )
    deadline = time.monotonic() + SUPERVISED_S
    while supervisor.read_state(layout.supervisor_state).get("supervisor", {}).get("pid") != started.pid:
        if started.poll() is not None:
            raise ended(layout, "supervisor", supervisor.exit_text(started.returncode))
        if time.monotonic() > deadline:
            started.kill()
            raise ended(layout, "supervisor", f"nothing written to {layout.supervisor_state} in {SUPERVISED_S:.0f} s")
        time.sleep(0.02)


def ended(layout: Layout, name: str, how: str) -> NotProvisioned:
    """That a process of the cluster does not stay up: how it ended, and the last that it wrote."""
    path = layout.logs / f"{name}.log"
    try:
        said = path.read_text(errors="replace").splitlines()[-LOG_LINES:]
    except FileNotFoundError:
        said = []
    end = f"the end of {path}:" if said else f"nothing was written to {path}"
    return NotProvisioned("\n".join([f"the {name} does not stay up ({how}); {end}", *said]))


def waiting_for(layout: Layout, missing: str, *names: str) -> str:
    """`missing`, as long as it can still come true: the processes `names` and their supervisor stay up.

    Raises:
        NotProvisioned: one of them has ended again and again; the message ends with the last it wrote.
    """
    if not missing:
        return ""
    if not supervisor_is_up(layout):
        raise ended(layout, "supervisor", "it is gone")
    state = supervisor.read_state(layout.supervisor_state)
    for name in names:
        entry = state.get(name, {})
        if entry.get("restarts", 0) >= GIVE_UP_RESTARTS and not entry["pid"]:
            raise ended(layout, name, entry["lastExit"])
    return missing


def server_state(layout: Layout) -> str:
    """ "" when the API server is ready, else what it waits for. Raises: as `waiting_for`."""
    return waiting_for(layout, ask.server_is_ready(layout.server_socket), "server")


def node_state(layout: Layout, settings: Settings) -> str:
    """ "" when the node is Ready, else what it waits for; that others make a network is not waited for. Raises: as
    `waiting_for`."""
    missing = ask.node_is_ready(door(layout), settings.node_name)
    if settings.cni_conf_dir and NO_NETWORK in missing:
        return ""
    return waiting_for(layout, missing, "containerd", "agent", "server")


def stop_supervisor(layout: Layout, *, children: bool = True) -> None:
    """End the supervisor and, unless `children` is False, what it watches."""
    state = supervisor.read_state(layout.supervisor_state)
    own = state.get("supervisor", {})
    if not children and supervisor.alive(own.get("pid", 0), own.get("birth", 0)):
        os.kill(own["pid"], 9)
    supervisor.stop(own.get("pid", 0), own.get("birth", 0), 40.0)


def stop_child(layout: Layout, name: str) -> None:
    """End one process that nobody watches any more."""
    entry = supervisor.read_state(layout.supervisor_state).get(name, {})
    supervisor.stop(entry.get("pid", 0), entry.get("birth", 0), supervisor.STOP_S)


def wait_until(what: str, ready: Callable[[], str], say: Say, patience_s: float = READY_S) -> None:
    """Poll `ready` until it says "" and tell what it waits for meanwhile.

    Raises:
        NotProvisioned: it never did; the message ends with what it said last.
    """
    deadline = time.monotonic() + patience_s
    while missing := ready():
        if time.monotonic() > deadline:
            raise NotProvisioned(f"{what} is not ready after {patience_s:.0f} s: {missing}")
        say(missing)
        time.sleep(0.05)


def check_machine(say: Say) -> None:
    """Install what is missing.

    Raises:
        NotProvisioned: the machine cannot run containers; every reason is named.
    """
    found = provision.plan(provision.observe())
    if found.refusals:
        raise NotProvisioned("\n".join(found.refusals))
    if found.packages:
        say(f"installing {', '.join(found.packages)}")
        provision.install(found.packages, say)


def claim_ports(layout: Layout, settings: Settings) -> None:
    """Raises: NotProvisioned when somebody else listens where our server or our agent wants to."""
    state = supervisor.read_state(layout.supervisor_state)
    serving = [] if settings.server else [("server", settings.api_port, "--api-port")]
    for name, port, option in (*serving, ("agent", settings.agent_port, "--agent-port")):
        own = state.get(name, {})
        ours = supervisor_is_up(layout) or supervisor.alive(own.get("pid", 0), own.get("birth", 0))
        if not ours and not provision.port_is_free(port):
            raise NotProvisioned(
                f"port {port} is in use by {provision.listener(port)}; stop it, or choose another port: "
                f"navarch {'join' if settings.server else 'up'} {option} {port + 1}"
            )


def check_alone(layout: Layout, command: str) -> None:
    """Clusters share the names of bridge, nftables table and control groups, so that a machine carries one.

    command: what is to be tried again. Raises: NotProvisioned: another cluster is up; it is named.
    """
    for other in supervisor.others(layout):
        options = f" --data-dir {other.data}" if other.data != layout.data else ""
        options += f" --run-dir {other.run}" if other.run != layout.run else ""
        raise NotProvisioned(
            f"another cluster is up on this machine, with its files in {other.data}; a machine carries one\n"
            f"`navarch down{options}` removes that one; then try `navarch {command}` again"
        )


def remove_all(paths: Sequence[Path]) -> None:
    """Files, and folders with all below them; those that are not there are fine."""
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def keep_settings(layout: Layout, settings: Settings) -> None:
    if load_settings(layout) != settings:
        save_settings(layout, settings)
