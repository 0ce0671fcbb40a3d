"""Options that several groups of commands share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Form(StrEnum):
    text = "text"
    json = "json"


DataOption = Annotated[
    Path, typer.Option("--data-dir", help="Where the cluster's files are.", envvar="NAVARCH_DATA", resolve_path=True)
]
RunOption = Annotated[
    Path, typer.Option("--run-dir", help="Sockets and process ids.", envvar="NAVARCH_RUN", resolve_path=True)
]
RANGES = "one of IPv4, one of IPv6, or one of each parted by a comma"
PodCidrOption = Annotated[
    str,
    typer.Option(
        "--pod-cidr", metavar="RANGES", help=f"Addresses of pods: {RANGES} [10.244.0.0/16].", show_default=False
    ),
]
ServiceCidrOption = Annotated[
    str,
    typer.Option(
        "--service-cidr", metavar="RANGES", help=f"Addresses of Services: {RANGES} [10.96.0.0/16].", show_default=False
    ),
]
FormOption = Annotated[Form, typer.Option("-o", "--output", help="How facts are printed.")]
