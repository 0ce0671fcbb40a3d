"""The files of volumes that are made from objects: ConfigMaps, Secrets, the downward API, tokens, or several of them.

Pure: objects and tokens are handed in. Writing them is `agent.volumes.writer`'s part.

Source: https://kubernetes.io/docs/concepts/storage/projected-volumes/
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from navarch.agent.downward import Surroundings, Unanswerable, field_value, resource_value
from navarch.agent.environment import Lookup
from navarch.agent.volumes import bundles
from navarch.agent.volumes.maker import MountFailure, Tokens
from navarch.kinds.pod import Pod
from navarch.kinds.podspec.volumes import DownwardSource, KeyToPath, Projection, TrustBundleProjection, Volume


class _Unready(Exception):
    pass


@dataclass(frozen=True, slots=True)
class Content:
    """uid: the owner where it matters, None for root."""

    data: bytes
    mode: int
    uid: int | None = None


Payload = Mapping[str, Content]
"""Relative path -> file."""


def is_made_from_objects(volume: Volume) -> bool:
    return any((volume.config_map, volume.secret, volume.downward_api, volume.projected))


def references(volume: Volume) -> list[tuple[str, str]]:
    """What the volume is made from: (kind in the plural, name)."""
    found = []
    if volume.config_map is not None:
        found.append(("configmaps", volume.config_map.name))
    if volume.secret is not None:
        found.append(("secrets", volume.secret.secret_name))
    for source in volume.projected.sources if volume.projected else ():
        if source.config_map is not None:
            found.append(("configmaps", source.config_map.name))
        if source.secret is not None:
            found.append(("secrets", source.secret.name))
        if source.cluster_trust_bundle is not None:
            found.append((bundles.PLURAL, bundles.key_of(source.cluster_trust_bundle)))
    return found


def payload(pod: Pod, volume: Volume, lookup: Lookup, around: Surroundings, tokens: Tokens) -> Payload:
    """Raises: MountFailure, when an object or key that is not optional is missing."""
    try:
        if volume.config_map is not None:
            source = volume.config_map
            return _keys("configmaps", source.name, source.items, source.default_mode, source.optional, lookup, pod)
        if volume.secret is not None:
            secret = volume.secret
            return _keys("secrets", secret.secret_name, secret.items, secret.default_mode, secret.optional, lookup, pod)
        if volume.downward_api is not None:
            return _downward(pod, volume.downward_api, volume.downward_api.default_mode, around)
        if volume.projected is not None:
            files: dict[str, Content] = {}
            for part in volume.projected.sources:
                files.update(_part(pod, part, volume.projected.default_mode, lookup, around, tokens))
            return files
    except (_Unready, Unanswerable) as error:
        raise MountFailure(volume.name, str(error)) from error
    raise MountFailure(volume.name, "the volume's type is not supported on this node")


def _part(
    pod: Pod, part: Projection, mode: int, lookup: Lookup, around: Surroundings, tokens: Tokens
) -> dict[str, Content]:
    if part.config_map is not None:
        found = part.config_map
        return _keys("configmaps", found.name, found.items, mode, found.optional, lookup, pod)
    if part.secret is not None:
        found = part.secret
        return _keys("secrets", found.name, found.items, mode, found.optional, lookup, pod)
    if part.downward_api is not None:
        return _downward(pod, part.downward_api, mode, around)
    if part.service_account_token is not None:
        wanted = part.service_account_token
        return {wanted.path: _private(pod, tokens(wanted).encode(), mode)}
    if part.cluster_trust_bundle is not None:
        return _certificates(pod, part.cluster_trust_bundle, mode, lookup)
    raise _Unready("a source of the projected volume is of a type that this node does not support")


def _private(pod: Pod, data: bytes, mode: int) -> Content:
    """For the user that all containers run as alone, where there is one."""
    uid = common_user(pod)
    known = uid is not None or pod.spec.security_context.fs_group is not None
    return Content(data, 0o600 if known else mode, uid)


def _certificates(pod: Pod, wanted: TrustBundleProjection, mode: int, lookup: Lookup) -> dict[str, Content]:
    found = lookup(bundles.PLURAL, bundles.key_of(wanted))
    if found is None and not wanted.optional:
        if wanted.name:
            raise _Unready(f'clustertrustbundle "{wanted.name}" not found')
        raise _Unready("combination of signerName and labelSelector matched zero ClusterTrustBundles")
    return {wanted.path: _private(pod, bundles.anchors(found or {}), mode)}


def _keys(
    plural: str, name: str, items: Sequence[KeyToPath], mode: int, optional: bool, lookup: Lookup, pod: Pod
) -> dict[str, Content]:
    data = lookup(plural, name)
    if data is None:
        if optional:
            return {}
        raise _Unready(f'{plural.removesuffix("s")} "{name}" not found')
    if not items:
        return {key: Content(value, mode) for key, value in data.items()}
    found = {}
    for item in items:
        if item.key in data:
            found[item.path] = Content(data[item.key], mode if item.mode is None else item.mode)
        elif not optional:
            where = f"{pod.metadata.namespace}/{name}"
            raise _Unready(f"references non-existent {plural.removesuffix('s')} key: {item.key} (in {where})")
    return found


def _downward(pod: Pod, source: DownwardSource, mode: int, around: Surroundings) -> dict[str, Content]:
    found = {}
    for item in source.items:
        if item.field_ref is not None:
            text = field_value(pod, item.field_ref, around)
        elif item.resource_field_ref is not None:
            text = resource_value(pod, item.resource_field_ref, around)
        else:
            continue
        found[item.path] = Content(text.encode(), mode if item.mode is None else item.mode)
    return found


def common_user(pod: Pod) -> int | None:
    """The user that all containers run as, when the spec names the same one for each of them."""
    shared = pod.spec.security_context.run_as_user
    users = set()
    for container in (*pod.spec.containers, *pod.spec.init_containers):
        own = container.security_context.run_as_user
        users.add(own if own is not None else shared)
    return users.pop() if len(users) == 1 else None
