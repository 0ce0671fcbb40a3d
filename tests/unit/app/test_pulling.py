"""How a node pulls images, as its settings say it."""

from __future__ import annotations

from pathlib import Path

import pytest

from navarch.agent.kubelet import KubeletConfig
from navarch.app.layout import BadSettings, Layout, Settings
from navarch.app.pulling import pull_settings

FILE = """
apiVersion: kubelet.config.k8s.io/v1
kind: CredentialProviderConfig
providers:
- name: keys
  apiVersion: credentialprovider.kubelet.k8s.io/v1
  matchImages: ["r.test"]
  defaultCacheDuration: 1m
"""


def settings(tmp_path: Path, text: str = FILE) -> Settings:
    file = tmp_path / "providers.yaml"
    file.write_text(text)
    return Settings(
        "n",
        "127.0.0.1",
        image_credential_provider_config=str(file),
        image_credential_provider_bin_dir=str(tmp_path / "bin"),
    )


def test_kubernetes_defaults_hold_where_nothing_is_said(tmp_path: Path) -> None:
    found = pull_settings(Layout(tmp_path), Settings("n", "127.0.0.1"), KubeletConfig())
    assert (found.limits.slots, found.limits.qps, found.limits.burst) == (1, 5.0, 10)
    assert found.verification.policy == "NeverVerifyPreloadedImages"
    assert found.records == tmp_path / "agent" / "image_manager"
    assert found.providers == ()


def test_what_the_node_is_configured_with_is_used() -> None:
    kubelet = KubeletConfig(serialize_image_pulls=False, max_parallel_image_pulls=7, registry_pull_qps=0)
    found = pull_settings(Layout(), Settings("n", "127.0.0.1"), kubelet)
    assert (found.limits.slots, found.limits.qps) == (7, 0.0)


def test_plugins_are_read_and_must_be_there(tmp_path: Path) -> None:
    given = settings(tmp_path)
    with pytest.raises(BadSettings, match="bin/keys is not there"):
        pull_settings(Layout(tmp_path), given, KubeletConfig())
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "keys").write_text("#!/bin/sh\n")
    (tmp_path / "bin" / "keys").chmod(0o755)
    found = pull_settings(Layout(tmp_path), given, KubeletConfig())
    assert [provider.name for provider in found.providers] == ["keys"]
    assert found.plugins == tmp_path / "bin"


@pytest.mark.parametrize(("text", "why"), [("kind: X", "no CredentialProviderConfig"), ("{", "no YAML")])
def test_a_file_that_means_nothing_is_refused(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(BadSettings, match=why):
        pull_settings(Layout(tmp_path), settings(tmp_path, text), KubeletConfig())
    missing = Settings("n", "127.0.0.1", image_credential_provider_config=str(tmp_path / "no"))
    with pytest.raises(BadSettings, match="cannot be read"):
        pull_settings(Layout(tmp_path), missing, KubeletConfig())
