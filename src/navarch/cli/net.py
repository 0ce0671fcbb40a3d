"""`navarch net`: how packets go, and where they end.

`check` prints and exits as `netcheck` says. `trace` exits with 0 where the packet arrives, with 1 where it does not, or
not always, with 2 where that cannot be said.
"""

from __future__ import annotations

import asyncio
import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from navarch.cli.options import Form, FormOption

if TYPE_CHECKING:
    from navarch.app.nettrace.steps import Explanation
    from navarch.app.nettrace.world import World
    from navarch.client.target import Target

net_app = typer.Typer(help="How packets go through the cluster.", no_args_is_help=True)

CODES = {"arrives": 0, "partly": 1, "stopped": 1, "unknown": 2}
SHOWN = {"passes": "ok", "stops": "STOPS", "unsure": "?", "unused": "-"}
COLOURS = {"passes": "32", "stops": "31;1", "unsure": "33", "unused": "2"}

NamespaceOption = Annotated[
    str,
    typer.Option(
        "-n", "--namespace", help="Of names that are given without one [that of the context].", show_default=False
    ),
]
KubeconfigOption = Annotated[
    str, typer.Option(metavar="FILE", help="Who asks, and which cluster [as kubectl].", show_default=False)
]
ContextOption = Annotated[str, typer.Option(help="Of the kubeconfig [the current one].", show_default=False)]


class Protocol(StrEnum):
    tcp = "tcp"
    udp = "udp"
    sctp = "sctp"


class AddressFamily(StrEnum):
    ipv4 = "ipv4"
    ipv6 = "ipv6"


@net_app.command("trace")
def net_trace(
    source: Annotated[
        str, typer.Argument(metavar="FROM", help="pod/NAME, NAMESPACE/POD, node/NAME or world[:ADDRESS].")
    ],
    target: Annotated[
        str,
        typer.Argument(
            metavar="TO", help="pod/NAME, service/NAME, node/NAME, a DNS name or an address; :PORT may follow."
        ),
    ],
    port: Annotated[
        str, typer.Option("--port", help="A number, or the name of a port [the only one].", show_default=False)
    ] = "",
    protocol: Annotated[
        Protocol | None, typer.Option("--protocol", help="[that of the port, else tcp]", show_default=False)
    ] = None,
    family: Annotated[
        AddressFamily | None,
        typer.Option("--family", help="Of the packet [that of the addresses, else the first]", show_default=False),
    ] = None,
    namespace: NamespaceOption = "",
    kubeconfig: KubeconfigOption = "",
    context: ContextOption = "",
    output_form: FormOption = Form.text,
) -> None:
    """Tell a packet's way hop by hop. Name, service, endpoints, policies, routes; only reads, and sends no packet."""
    from navarch.app.nettrace import explain, question
    from navarch.app.nettrace.steps import BadQuestion
    from navarch.base.errors import ApiError, Retryable
    from navarch.cli import output
    from navarch.client.target import BadTarget

    try:
        server = _target(kubeconfig, context)
        asked = question.question(
            source,
            target,
            port=port,
            protocol=protocol or "",
            namespace=namespace or server.namespace,
            family=family or "",
        )
        found = explain.explain(asyncio.run(_world(server)), asked)
    except BadQuestion as error:
        output.error(str(error))
        raise typer.Exit(2) from None
    except (ApiError, Retryable, BadTarget, OSError) as error:
        output.error(f"the cluster cannot be read: {error}")
        raise typer.Exit(2) from None
    if output_form is Form.json:
        output.facts(found.document())
    else:
        show(found)
    raise typer.Exit(CODES[found.fate])


@net_app.command("check")
def net_check(
    node: Annotated[
        list[str] | None, typer.Option(help="Only this one and others so named [all].", show_default=False)
    ] = None,
    path: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FROM,TO", help="A path to try as well, as `net trace` names its ends.", show_default=False
        ),
    ] = None,
    outside: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WHERE",
            help="Try from every node: ADDRESS:PORT, or a name to ask for. Repeat it.",
            show_default=False,
        ),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Show every probe.")] = False,
    namespace: NamespaceOption = "",
    kubeconfig: KubeconfigOption = "",
    context: ContextOption = "",
    output_form: FormOption = Form.text,
) -> None:
    """Test every path of the network, and say what fails and why. With probes of its own; nothing outside is asked."""
    from navarch.app.netcheck.act import Wish
    from navarch.app.nettrace import question
    from navarch.app.nettrace.steps import BadQuestion
    from navarch.cli import netcheck, output
    from navarch.client.target import BadTarget

    try:
        target = _target(kubeconfig, context)
        here = namespace or target.namespace
        asked = {one: question.question(*_ends(one), namespace=here) for one in path or ()}
        places = [_outside(one) for one in outside or ()]
    except (BadQuestion, BadTarget, OSError) as error:
        output.error(str(error))
        raise typer.Exit(2) from None
    wish = Wish(tuple(node or ()), tuple(places), asked)
    raise typer.Exit(netcheck.run(target, wish, as_json=output_form is Form.json, every=every))


def _ends(text: str) -> tuple[str, str]:
    """Raises: BadQuestion."""
    from navarch.app.nettrace.steps import BadQuestion

    source, comma, target = text.partition(",")
    if not comma:
        raise BadQuestion(f"{text!r} names no path: say FROM,TO, such as shop/front,svc/shop/web:80")
    return source, target


def _outside(text: str) -> str:
    """Raises: BadQuestion."""
    from navarch.app.nettrace.steps import BadQuestion
    from navarch.proxy.addresses import ipv4

    address, colon, port = text.rpartition(":")
    if colon and not (ipv4(address) and port.isdecimal() and 0 < int(port) < 65536):
        raise BadQuestion(f"{text!r} is no place outside: say ADDRESS:PORT, or a name alone")
    return text


def show(found: Explanation) -> None:
    """An aligned list, and the verdict below it."""
    colours = sys.stdout.isatty()
    rows = [(step.hop, step.node or "-", SHOWN[step.outcome], step.text) for step in found.steps]
    heads = ("HOP", "NODE", "", "WHAT HAPPENS")
    widths = [max(len(row[at]) for row in (heads, *rows)) for at in range(3)]
    outcomes = ["", *(step.outcome for step in found.steps)]
    for row, outcome in zip((heads, *rows), outcomes, strict=True):
        first, node, mark = (cell.ljust(width) for cell, width in zip(row[:3], widths, strict=True))
        if colours and outcome:
            mark = f"\033[{COLOURS[outcome]}m{mark}\033[0m"
        print(f"{first}   {node}   {mark}   {row[3]}".rstrip())
    print()
    code = {"arrives": "32", "unknown": "33"}.get(found.fate, "31")
    print(f"\033[{code}m{found.verdict}\033[0m" if colours else found.verdict)
    if found.remedy:
        print(f"What to do: {found.remedy}")


def _target(kubeconfig: str, context: str) -> Target:
    """Raises: BadTarget, OSError."""
    from navarch.app.kubeconfig import default_path
    from navarch.client.target import read_kubeconfig

    path = Path(kubeconfig) if kubeconfig else default_path(dict(os.environ))
    return read_kubeconfig(path, context)


async def _world(target: Target) -> World:
    """Raises: ApiError, Retryable."""
    from navarch.app.nettrace.world import read
    from navarch.client.http import HttpClient

    async with HttpClient(target, "navarch-net") as client:
        return await read(client)
