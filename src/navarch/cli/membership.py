"""`join` and `leave`: a machine becomes a node of a cluster that is elsewhere, and stops being one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from navarch.app import joining, leaving, machine
from navarch.app.joining import Invitation
from navarch.app.layout import Layout, Settings, load_settings
from navarch.app.machine import Say, Step
from navarch.app.provision import NotProvisioned
from navarch.cli import lifecycle, output
from navarch.kinds import bootstraptoken


def join(layout: Layout, asked: Invitation, wanted: Mapping[str, Any], *, as_json: bool) -> None:
    """wanted: settings by name, those that the person gave."""
    chosen: list[Settings] = []

    def prepare(say: Say) -> None:
        machine.check_alone(layout, "join")
        machine.check_machine(say)
        found = joining.joined(layout, asked.server)
        if found is None and bootstraptoken.split(asked.token) is None:
            raise NotProvisioned(
                f"{asked.token!r} is no token: one looks like abcdef.0123456789abcdef"
                if asked.token
                else "a token is needed to join: `navarch token create` on the server makes one; give it with --token"
            )
        machine.claim_ports(layout, found or Settings("", "", server=asked.server, **wanted))
        if found is not None:
            chosen.append(found)

    def enter(say: Say) -> None:
        if not chosen:
            chosen.append(joining.enter(layout, asked, wanted, say))

    def start(say: Say) -> None:
        machine.start_processes(layout, machine.prepare_processes(layout, chosen[0]))

    def node(say: Say) -> None:
        machine.wait_until("the node", lambda: machine.node_state(layout, chosen[0]), say)

    def names(say: Say) -> None:
        machine.wait_until("DNS", lambda: machine.dns_answers(chosen[0]), say)

    steps = [
        Step("Machine has what it needs", prepare, "Looking at the machine"),
        Step("Cluster knows this node", enter, "Joining"),
        Step("Processes started", start, "Starting processes"),
        Step(lifecycle.node_title(layout, wanted), node, "Waiting for the node"),
        Step("DNS answers", names, "Waiting for DNS"),
    ]
    with output.silent(as_json):
        output.play(steps)
    if as_json:
        output.facts(lifecycle.facts(layout))
    else:
        own = output.program()
        print(f"\nThis machine is the node {chosen[0].node_name} of {asked.server}.\n")
        print(f"  {own} status   what is up\n  {own} leave    move its pods elsewhere, and leave nothing here")


def leave(layout: Layout, *, now: bool, patience_s: float) -> None:
    settings = load_settings(layout)
    if settings is None and not leaving.began(layout):
        print("This machine has joined no cluster.")
        return
    if settings is None:
        output.play(leaving.steps_of_none(layout))
        print("\nWhat was left of joining is gone.")
        return
    if not settings.server:
        raise NotProvisioned("the cluster's server is on this machine; `navarch down` removes it with all that is here")
    output.play(leaving.steps(layout, settings, now=now, patience_s=patience_s))
    print(f"\nThe machine has left {settings.server}: no process, mount, interface, rule or file of it is left.")


def invitation(server: str, token: str, ca_hash: str, name: str, address: str) -> Invitation:
    """Raises: ValueError."""
    hashes = tuple(one for one in ca_hash.split(",") if one)
    for one in hashes:
        if not one.startswith("sha256:") or len(one) != 71:
            raise ValueError(f"{one!r} is no hash of an authority: one is sha256: and 64 hexadecimal digits")
    return Invitation(joining.server_url(server), token, tuple(one.lower() for one in hashes), name, address)
