"""Where a kubeconfig leads, and what is wrong with those that lead nowhere."""

from __future__ import annotations

import base64
import ssl
from pathlib import Path
from typing import Any

import pytest
import yaml

from navarch.client.target import BadTarget, Target, in_pod, read_kubeconfig, unix


def kubeconfig(directory: Path, user: dict[str, Any] | None = None, **cluster: Any) -> Path:
    found = {
        "current-context": "one",
        "contexts": [{"name": "one", "context": {"cluster": "c", "user": "u"}}, {"name": "none", "context": {}}],
        "clusters": [{"name": "c", "cluster": {"server": "https://host:6443/", **cluster}}],
        "users": [{"name": "u", "user": user or {}}],
    }
    path = directory / "config"
    path.write_text(yaml.safe_dump(found))
    return path


def test_inline_and_file_credentials(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_bytes(b"the authority")
    user = {"client-certificate-data": base64.b64encode(b"certificate").decode(), "token": "t"}
    found = read_kubeconfig(kubeconfig(tmp_path, user, **{"certificate-authority": "ca.pem"}))
    assert found == Target("https://host:6443", b"the authority", b"certificate", token="t")


def test_a_token_file_is_relative_to_the_kubeconfig(tmp_path: Path) -> None:
    found = read_kubeconfig(kubeconfig(tmp_path, {"tokenFile": "token"}))
    assert found.token_file == str(tmp_path / "token")


def test_names_are_of_the_namespace_that_the_context_says(tmp_path: Path) -> None:
    path = kubeconfig(tmp_path)
    assert read_kubeconfig(path).namespace == "default"
    found = yaml.safe_load(path.read_text())
    found["contexts"][0]["context"]["namespace"] = "shop"
    path.write_text(yaml.safe_dump(found))
    assert read_kubeconfig(path).namespace == "shop"


@pytest.mark.parametrize(
    ("user", "cluster", "context", "said"),
    [
        ({}, {}, "ghost", "no context 'ghost'"),
        ({}, {}, "none", "no cluster ''"),
        ({}, {"server": ""}, "", "names no server"),
        ({"exec": {"command": "x"}}, {}, "", "asks a plugin"),
        ({"client-key-data": "?"}, {}, "", "client-key-data is no base64"),
    ],
)
def test_what_cannot_be_used_is_named(
    tmp_path: Path, user: dict[str, Any], cluster: dict[str, Any], context: str, said: str
) -> None:
    with pytest.raises(BadTarget, match=said):
        read_kubeconfig(kubeconfig(tmp_path, user, **cluster), context)


@pytest.mark.parametrize("text", ["a: [", "just text", ""])
def test_files_that_are_no_kubeconfig(tmp_path: Path, text: str) -> None:
    (tmp_path / "config").write_text(text)
    with pytest.raises(BadTarget):
        read_kubeconfig(tmp_path / "config")


def test_a_pod_finds_its_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadTarget, match="not in a pod"):
        in_pod(tmp_path)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    (tmp_path / "token").write_text("t")
    (tmp_path / "ca.crt").write_bytes(b"ca")
    found = in_pod(tmp_path)
    assert (found.server, found.authority, found.token_file) == (
        "https://10.96.0.1:443",
        b"ca",
        str(tmp_path / "token"),
    )


def test_what_tls_is_spoken() -> None:
    assert unix("/run/x").context() is None
    assert Target("http://host").context() is None
    strict = Target("https://host").context()
    loose = Target("https://host", insecure=True).context()
    assert strict is not None
    assert strict.verify_mode == ssl.CERT_REQUIRED
    assert loose is not None
    assert loose.verify_mode == ssl.CERT_NONE
