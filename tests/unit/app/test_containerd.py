"""The configuration of our containerd: valid TOML that keeps to its own directory."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from navarch.app.containerd import ContainerdSettings, configuration, hosts_file, prepare, warnings
from navarch.base.errors import Retryable

CRI = "io.containerd.grpc.v1.cri"


def test_everything_lies_below_the_directory() -> None:
    settings = ContainerdSettings(Path('/var/lib/na"v'), oci_runtime="/usr/bin/crun")
    found = tomllib.loads(configuration(settings))
    assert found["version"] == 2
    for path in (found["root"], found["state"], found["grpc"]["address"], found["ttrpc"]["address"]):
        assert path.startswith('/var/lib/na"v/')
    cri = found["plugins"][CRI]
    assert cri["restrict_oom_score_adj"] is True
    assert cri["containerd"]["runtimes"]["runc"]["options"] == {"BinaryName": "/usr/bin/crun", "SystemdCgroup": False}
    assert "io.containerd.internal.v1.restart" in found["disabled_plugins"]


def test_preparing_writes_the_registries(tmp_path: Path) -> None:
    settings = ContainerdSettings(tmp_path / "c", oci_runtime="/usr/bin/crun")
    prepare(settings, {"localhost:5000": "http://127.0.0.1:5000"})
    prepare(settings, {"localhost:5000": "http://127.0.0.1:5000"})
    found = tomllib.loads((settings.registries / "localhost:5000" / "hosts.toml").read_text())
    assert found["server"] == "http://127.0.0.1:5000"
    assert found["host"]["http://127.0.0.1:5000"]["skip_verify"] is True
    assert "skip_verify" not in tomllib.loads(hosts_file("https://r.test", insecure=False))["host"]["https://r.test"]


def test_a_directory_too_long_for_a_socket_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Retryable, match="choose a shorter one"):
        prepare(ContainerdSettings(tmp_path / ("x" * 100), oci_runtime="/usr/bin/crun"))


def test_a_runtime_that_lets_containers_out_is_warned_of(tmp_path: Path) -> None:
    for name, said in (
        ("containerd", "containerd github.com/containerd/containerd 2.2.0 abc"),
        ("runc", "runc version 1.2.7"),
    ):
        (tmp_path / name).write_text(f"#!/bin/sh\necho '{said}'\n")
        (tmp_path / name).chmod(0o755)
    settings = ContainerdSettings(
        tmp_path / "c", binary=str(tmp_path / "containerd"), oci_runtime=str(tmp_path / "runc")
    )
    [told] = warnings(settings)
    assert told.startswith(
        "runc 1.2.7 lets containers out: CVE-2025-31133, CVE-2025-52565, CVE-2025-52881; mended in 1.2.8"
    )
    assert told.endswith("unless whoever built it has mended it")
    (tmp_path / "runc").write_text("#!/bin/sh\necho 'runc version 1.3.3'\n")
    assert warnings(settings) == []
