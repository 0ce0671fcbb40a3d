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


def absolute(value: str) -> str:
    return value if not value or value == "-" else str(Path(value).resolve())


KubeletConfigOption = Annotated[
    str,
    typer.Option(
        "--kubelet-config",
        metavar="FILE",
        help="How the node is run (kubelet.config.k8s.io/v1beta1): limits, reserves, policies.",
        callback=absolute,
    ),
]


ProviderConfigOption = Annotated[
    str,
    typer.Option(
        "--image-credential-provider-config",
        metavar="FILE",
        help="Which plugins know credentials for registries (kind CredentialProviderConfig).",
        callback=absolute,
    ),
]
ProviderFolderOption = Annotated[
    str,
    typer.Option(
        "--image-credential-provider-bin-dir",
        metavar="FOLDER",
        help="Where these plugins are [where the kubelet has them].",
        callback=absolute,
    ),
]
CniConfOption = Annotated[
    Path | None,
    typer.Option(
        "--cni-conf-dir",
        exists=True,
        file_okay=False,
        resolve_path=True,
        help="Leave the network of pods to other CNI plugins, whose configuration is here, or will be.",
    ),
]
CniBinOption = Annotated[
    Path | None,
    typer.Option(
        "--cni-bin-dir",
        exists=True,
        file_okay=False,
        resolve_path=True,
        help="Where CNI plugins are, if not in /opt/cni/bin or /usr/lib/cni.",
    ),
]
FormOption = Annotated[Form, typer.Option("-o", "--output", help="How facts are printed.")]


def cni(config: Path | None, programs: Path | None) -> dict[str, str]:
    """The settings that were said."""
    said = {"cni_conf_dir": config, "cni_bin_dir": programs}
    return {name: str(folder) for name, folder in said.items() if folder is not None}
