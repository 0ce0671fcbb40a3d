"""Views of a pod's volumes, of the types that the agent mounts; other types leave a `Volume` without a source.

Source: https://kubernetes.io/docs/reference/kubernetes-api/config-and-storage-resources/volume/
"""

from __future__ import annotations

import msgspec

from navarch.kinds.podspec.container import FieldSelector, ResourceFieldSelector
from navarch.kinds.view import LabelSelector, Quantity, RawDocument, View


class KeyToPath(View, frozen=True):
    key: str
    path: str
    mode: int | None = None


class EmptyDirSource(View, frozen=True):
    medium: str = ""
    size_limit: Quantity | None = None


class HostPathSource(View, frozen=True):
    path: str
    type: str = ""


class ConfigMapSource(View, frozen=True):
    name: str = ""
    items: tuple[KeyToPath, ...] = ()
    default_mode: int = 0o644
    optional: bool = False


class SecretSource(View, frozen=True):
    secret_name: str = ""
    items: tuple[KeyToPath, ...] = ()
    default_mode: int = 0o644
    optional: bool = False


class DownwardFile(View, frozen=True):
    path: str
    field_ref: FieldSelector | None = None
    resource_field_ref: ResourceFieldSelector | None = None
    mode: int | None = None


class DownwardSource(View, frozen=True):
    items: tuple[DownwardFile, ...] = ()
    default_mode: int = 0o644


class TokenProjection(View, frozen=True):
    path: str
    audience: str = ""
    expiration_seconds: int = 3600


class KeysProjection(View, frozen=True):
    """Keys of a ConfigMap or Secret in a projected volume."""

    name: str = ""
    items: tuple[KeyToPath, ...] = ()
    optional: bool = False


class TrustBundleProjection(View, frozen=True):
    path: str
    name: str = ""
    signer_name: str = ""
    label_selector: LabelSelector | None = None
    optional: bool = False


class Projection(View, frozen=True):
    secret: KeysProjection | None = None
    config_map: KeysProjection | None = None
    downward_api: DownwardSource | None = msgspec.field(default=None, name="downwardAPI")
    service_account_token: TokenProjection | None = None
    cluster_trust_bundle: TrustBundleProjection | None = None


class ProjectedSource(View, frozen=True):
    sources: tuple[Projection, ...] = ()
    default_mode: int = 0o644


class ClaimSource(View, frozen=True):
    claim_name: str
    read_only: bool = False


class ImageSource(View, frozen=True):
    reference: str = ""
    pull_policy: str = ""


class NFSSource(View, frozen=True):
    server: str
    path: str
    read_only: bool = False


class LocalSecret(View, frozen=True):
    """A Secret of the pod's namespace."""

    name: str = ""


class CSISource(View, frozen=True):
    """An inline (ephemeral) CSI volume."""

    driver: str
    read_only: bool = False
    fs_type: str = ""
    volume_attributes: dict[str, str] = {}
    node_publish_secret_ref: LocalSecret | None = None


class Volume(View, frozen=True):
    name: str
    empty_dir: EmptyDirSource | None = None
    host_path: HostPathSource | None = None
    config_map: ConfigMapSource | None = None
    secret: SecretSource | None = None
    downward_api: DownwardSource | None = msgspec.field(default=None, name="downwardAPI")
    projected: ProjectedSource | None = None
    persistent_volume_claim: ClaimSource | None = None
    ephemeral: RawDocument | None = None
    nfs: NFSSource | None = None
    csi: CSISource | None = None
    image: ImageSource | None = None
