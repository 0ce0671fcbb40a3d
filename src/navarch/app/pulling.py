"""From the settings of a node to how it pulls images: limits, who may use what is there, plugins for credentials."""

from __future__ import annotations

import os
from pathlib import Path

from navarch.agent.kubelet import KubeletConfig
from navarch.agent.pulling.providers import BadProviders, Provider, read_providers
from navarch.agent.pulling.queue import PullLimits
from navarch.agent.pulling.records import Verification
from navarch.agent.pulling.settings import PullSettings
from navarch.app.layout import BadSettings, Layout, Settings

RECORDS = "image_manager"
"""The folder of what images were pulled with, as the kubelet calls it."""


def pull_settings(layout: Layout, settings: Settings, kubelet: KubeletConfig) -> PullSettings:
    """Raises: BadSettings."""
    providers: tuple[Provider, ...] = ()
    folder = settings.image_credential_provider_bin_dir
    if settings.image_credential_provider_config:
        providers = read_provider_file(settings.image_credential_provider_config, folder)
    return PullSettings(
        limits=PullLimits(
            kubelet.serialize_image_pulls,
            kubelet.max_parallel_image_pulls,
            float(kubelet.registry_pull_qps),
            kubelet.registry_burst,
        ),
        verification=Verification(
            kubelet.image_pull_credentials_verification_policy, kubelet.preloaded_images_verification_allowlist
        ),
        records=layout.agent / RECORDS,
        providers=providers,
        **({"plugins": Path(folder)} if folder else {}),
    )


def read_provider_file(file: str, folder: str) -> tuple[Provider, ...]:
    """Raises: BadSettings, when the file means nothing or a plugin that it names is not there."""
    try:
        providers = read_providers(Path(file).read_text())
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise BadSettings(f"the credential provider configuration {file} cannot be read: {why}") from error
    except BadProviders as error:
        raise BadSettings(f"{file}: {error}") from error
    place = Path(folder) if folder else PullSettings().plugins
    for provider in providers:
        if not os.access(place / provider.name, os.X_OK):
            raise BadSettings(f"{file}: the plugin {place / provider.name} is not there, or cannot be executed")
    return providers
