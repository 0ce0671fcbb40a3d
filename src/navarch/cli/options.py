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
FormOption = Annotated[Form, typer.Option("-o", "--output", help="How facts are printed.")]
