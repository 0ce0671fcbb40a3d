"""Reads a file of kind KubeletConfiguration, and refuses what it does not understand: all faults at once, each with the
field, what is wrong with it and what would be right.

A node that ignored a misspelled threshold would keep a promise that nobody made; fields of Kubernetes that this agent
does not know are refused too, for the same reason.

Source: https://kubernetes.io/docs/reference/config-api/kubelet-config.v1beta1/
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from navarch.agent.kubelet import EVICTION_HARD, KubeletConfig, Threshold
from navarch.agent.pulling import records
from navarch.agent.topology import cpusets
from navarch.base.errors import Retryable
from navarch.objects import quantity

API_VERSION = "kubelet.config.k8s.io/v1beta1"
KIND = "KubeletConfiguration"
SIGNALS = (*EVICTION_HARD, "containerfs.available", "containerfs.inodesFree", "pid.available")
RESERVABLE = ("cpu", "memory", "ephemeral-storage", "pid")
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)", re.ASCII)

Parser = Callable[[Any], Any]
"""From what stands in the file to the value. Raises: ValueError, saying what would be right."""


class BadKubeletFile(Retryable):
    """The file cannot be used; the message names it and every fault in it."""


def whole(least: int, most: int = 2**31 - 1) -> Parser:
    def parse(value: Any) -> int:
        if type(value) is not int or not least <= value <= most:
            upper = "" if most == 2**31 - 1 else f" and at most {most}"
            raise ValueError(f"must be a whole number of at least {least}{upper}")
        return value

    return parse


def boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def choice(*allowed: str) -> Parser:
    def parse(value: Any) -> str:
        if value not in allowed:
            raise ValueError(f"must be one of {', '.join(allowed)}")
        return str(value)

    return parse


def duration(value: Any) -> float:
    """As Go writes it, in seconds."""
    if value == 0 or value == "0":
        return 0.0
    parts = _DURATION_PART.findall(value) if isinstance(value, str) else []
    if not parts or "".join(number + unit for number, unit in parts) != value:
        raise ValueError("must be a duration such as 30s, 5m or 1h30m")
    return float(sum(float(number) * _UNITS[unit] for number, unit in parts))


def frequency(value: Any) -> float:
    """How often something is looked at, in seconds."""
    if (found := duration(value)) <= 0:
        raise ValueError("must be longer than 0s")
    return found


def web_address(value: Any) -> str:
    if not isinstance(value, str) or not value.startswith(("http://", "https://")):
        raise ValueError("must be a URL with http:// or https://")
    return value


def headers(value: Any) -> dict[str, tuple[str, ...]]:
    """Lists of values by name, as the file writes them."""
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
        raise ValueError("must be a mapping of names to lists of values")
    return {name: names(values) for name, values in value.items()}


def size(value: Any) -> int:
    found = _nano(value)
    if found <= 0:
        raise ValueError("must be more than nothing, such as 10Mi")
    return found // quantity.NANO


def folder(value: Any) -> str:
    if not isinstance(value, str) or not value.startswith("/"):
        raise ValueError("must be an absolute path")
    return value


def cpu_list(value: Any) -> frozenset[int]:
    if not isinstance(value, str):
        raise ValueError("must be a list of CPUs in quotes, such as '0-1'")
    return cpusets.parse(value)


def restart_period(value: Any) -> int:
    """The one field of `crashLoopBackOff`."""
    found = _mapping(value, ("maxContainerRestartPeriod",)).get("maxContainerRestartPeriod", "5m")
    if not 1 <= (seconds := duration(found)) <= 300:
        raise ValueError("maxContainerRestartPeriod: must be between 1s and 300s")
    return int(seconds)


def priority_periods(value: Any) -> tuple[tuple[int, float], ...]:
    """Pairs of a priority and seconds."""
    known = ("priority", "shutdownGracePeriodSeconds")
    if not isinstance(value, list):
        raise ValueError(f"must be a list, each item with {' and '.join(known)}")
    found: dict[int, float] = {}
    for item in value:
        given = _mapping(item, known)
        priority, seconds = (whole(least)(given.get(name, 0)) for name, least in zip(known, (-(2**31), 0), strict=True))
        if priority in found:
            raise ValueError(f"priority {priority} is there twice")
        found[priority] = float(seconds)
    return tuple(found.items())


def names(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
        raise ValueError("must be a list of names")
    return tuple(value)


def amounts(value: Any) -> dict[str, str]:
    for name, amount in _mapping(value, RESERVABLE).items():
        if _nano(amount) < 0:
            raise ValueError(f"{name}: must not be negative")
    return {name: str(amount) for name, amount in value.items()}


def thresholds(value: Any) -> dict[str, Threshold]:
    return {name: _threshold(name, text) for name, text in _mapping(value, SIGNALS).items()}


def _threshold(name: str, value: Any) -> Threshold:
    shown = str(value)
    if shown.endswith("%"):
        try:
            percent = float(shown[:-1])
        except ValueError:
            percent = -1.0
        if not 0 <= percent <= 100:
            raise ValueError(f"{name}: {shown!r} must lie between 0% and 100%")
        return Threshold(part=percent / 100)
    found = _nano(value)
    if found < 0:
        raise ValueError(f"{name}: must not be negative")
    return Threshold(found // quantity.NANO)


def durations(value: Any) -> dict[str, float]:
    return {name: duration(text) for name, text in _mapping(value, SIGNALS).items()}


def _mapping(value: Any, known: tuple[str, ...]) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"must be a mapping with any of {', '.join(known)}")
    if unknown := sorted(str(name) for name in value if name not in known):
        raise ValueError(f"{', '.join(unknown)}: not known; there are {', '.join(known)}")
    return value


def _nano(value: Any) -> int:
    try:
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            raise quantity.BadQuantity
        return quantity.nano(value)
    except quantity.BadQuantity:
        raise ValueError(f"{value!r} is no quantity; one looks like 500m, 2 or 1Gi") from None


@dataclass(frozen=True, slots=True)
class Field:
    """attribute: of `KubeletConfig`."""

    attribute: str
    parse: Parser


FIELDS: Mapping[str, Field] = {
    "maxPods": Field("max_pods", whole(0)),
    "podPidsLimit": Field("pod_pids_limit", whole(-1, 2**62)),
    "cpuCFSQuota": Field("cpu_cfs_quota", boolean),
    "singleProcessOOMKill": Field("single_process_oom_kill", boolean),
    "cpuManagerPolicy": Field("cpu_manager_policy", choice("none", "static")),
    "cpuManagerReconcilePeriod": Field("cpu_manager_reconcile_period_s", duration),
    "topologyManagerPolicy": Field(
        "topology_manager_policy", choice("none", "best-effort", "restricted", "single-numa-node")
    ),
    "topologyManagerScope": Field("topology_manager_scope", choice("container", "pod")),
    "reservedSystemCPUs": Field("reserved_system_cpus", cpu_list),
    "kubeReserved": Field("kube_reserved", amounts),
    "systemReserved": Field("system_reserved", amounts),
    "evictionHard": Field("eviction_hard", thresholds),
    "evictionSoft": Field("eviction_soft", thresholds),
    "evictionSoftGracePeriod": Field("eviction_soft_grace_period_s", durations),
    "evictionMinimumReclaim": Field("eviction_minimum_reclaim", thresholds),
    "evictionMaxPodGracePeriod": Field("eviction_max_pod_grace_period_s", whole(-1)),
    "evictionPressureTransitionPeriod": Field("eviction_pressure_transition_period_s", duration),
    "imageGCHighThresholdPercent": Field("image_gc_high_threshold_percent", whole(0, 100)),
    "imageGCLowThresholdPercent": Field("image_gc_low_threshold_percent", whole(0, 100)),
    "imageMinimumGCAge": Field("image_minimum_gc_age_s", duration),
    "imageMaximumGCAge": Field("image_maximum_gc_age_s", duration),
    "containerLogMaxSize": Field("container_log_max_bytes", size),
    "containerLogMaxFiles": Field("container_log_max_files", whole(2)),
    "volumeStatsAggPeriod": Field("volume_stats_agg_period_s", duration),
    "serializeImagePulls": Field("serialize_image_pulls", boolean),
    "maxParallelImagePulls": Field("max_parallel_image_pulls", whole(1)),
    "registryPullQPS": Field("registry_pull_qps", whole(0)),
    "registryBurst": Field("registry_burst", whole(0)),
    "imagePullCredentialsVerificationPolicy": Field(
        "image_pull_credentials_verification_policy", choice(*records.POLICIES)
    ),
    "preloadedImagesVerificationAllowlist": Field("preloaded_images_verification_allowlist", names),
    "staticPodPath": Field("static_pod_path", folder),
    "fileCheckFrequency": Field("file_check_frequency_s", frequency),
    "staticPodURL": Field("static_pod_url", web_address),
    "staticPodURLHeader": Field("static_pod_url_header", headers),
    "httpCheckFrequency": Field("http_check_frequency_s", frequency),
    "crashLoopBackOff": Field("max_container_restart_period_s", restart_period),
    "shutdownGracePeriod": Field("shutdown_grace_period_s", duration),
    "shutdownGracePeriodCriticalPods": Field("shutdown_grace_period_critical_pods_s", duration),
    "shutdownGracePeriodByPodPriority": Field("shutdown_grace_period_by_pod_priority", priority_periods),
    "allowedUnsafeSysctls": Field("allowed_unsafe_sysctls", names),
    "seccompDefault": Field("seccomp_default", boolean),
    "podLogsDir": Field("pod_logs_dir", folder),
    "enableSystemLogHandler": Field("enable_system_log_handler", boolean),
    "enableSystemLogQuery": Field("enable_system_log_query", boolean),
}
"""Every field there is, as Kubernetes calls it."""


def read(path: Path) -> KubeletConfig:
    """Raises: BadKubeletFile."""
    try:
        found = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise BadKubeletFile(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    except yaml.YAMLError as error:
        raise BadKubeletFile(f"{path}: is no YAML: {error}") from error
    config, faults = parse(found)
    if faults:
        raise BadKubeletFile(f"{path}: " + "; ".join(faults))
    return config


def parse(document: Any) -> tuple[KubeletConfig, list[str]]:
    """The configuration, and what is wrong with the document; with faults, the former is not to be used."""
    if not isinstance(document, dict):
        return KubeletConfig(), [f"must be one document with apiVersion: {API_VERSION} and kind: {KIND}"]
    faults = [
        f"{key}: must be {wanted}"
        for key, wanted in (("apiVersion", API_VERSION), ("kind", KIND))
        if document.get(key) != wanted
    ]
    values: dict[str, Any] = {}
    for name, value in document.items():
        if name in ("apiVersion", "kind", "mergeDefaultEvictionSettings") or value is None:
            continue
        known = FIELDS.get(name)
        if known is None:
            faults.append(_unknown(str(name)))
            continue
        try:
            values[known.attribute] = known.parse(value)
        except ValueError as error:
            faults.append(f"{name}: {error}")
    faults += _merge_defaults(document, values)
    config = KubeletConfig(**values)
    return config, faults + ([] if faults else _between_fields(config))


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name, FIELDS, 1)
    what = f"did you mean {near[0]}?" if near else "remove it"
    return f"{name}: this agent has no such field; {what}"


def _merge_defaults(document: Mapping[str, Any], values: dict[str, Any]) -> list[str]:
    """Thresholds that are given stand alone, unless the defaults are asked for besides."""
    merge = document.get("mergeDefaultEvictionSettings", False)
    if not isinstance(merge, bool):
        return ["mergeDefaultEvictionSettings: must be true or false"]
    if merge and "eviction_hard" in values:
        values["eviction_hard"] = {**EVICTION_HARD, **values["eviction_hard"]}
    return []


def _between_fields(config: KubeletConfig) -> list[str]:
    faults = []
    if config.image_gc_low_threshold_percent >= config.image_gc_high_threshold_percent:
        faults.append("imageGCLowThresholdPercent: must be below imageGCHighThresholdPercent")
    if 0 < config.image_maximum_gc_age_s <= config.image_minimum_gc_age_s:
        faults.append("imageMaximumGCAge: must be longer than imageMinimumGCAge, or 0s")
    if config.max_parallel_image_pulls > 1 and config.serialize_image_pulls:
        faults.append("maxParallelImagePulls: is for pulls side by side; set serializeImagePulls: false")
    listed = records.ALLOWED
    if config.preloaded_images_verification_allowlist and config.image_pull_credentials_verification_policy != listed:
        faults.append(
            f"preloadedImagesVerificationAllowlist: is for imagePullCredentialsVerificationPolicy: {listed} alone"
        )
    if config.shutdown_grace_period_critical_pods_s > config.shutdown_grace_period_s:
        faults.append("shutdownGracePeriodCriticalPods: is a part of shutdownGracePeriod, and cannot be longer")
    for name, period_s in (
        ("shutdownGracePeriod", config.shutdown_grace_period_s),
        ("shutdownGracePeriodCriticalPods", config.shutdown_grace_period_critical_pods_s),
    ):
        if 0 < period_s < 1:
            faults.append(f"{name}: must be 0s, or at least 1s")
    if config.shutdown_grace_period_by_pod_priority and config.shutdown_grace_period_s:
        faults.append("shutdownGracePeriodByPodPriority: stands in place of shutdownGracePeriod; set one of them")
    for signal in config.eviction_soft:
        if signal not in config.eviction_soft_grace_period_s:
            faults.append(f"evictionSoftGracePeriod: {signal} has a soft threshold; say how long it may last")
    if config.cpu_manager_policy == "static" and not _reserves_cpu(config):
        faults.append(
            "cpuManagerPolicy: static needs CPU time that is not given away; "
            "set reservedSystemCPUs, or cpu in systemReserved or kubeReserved"
        )
    return faults


def _reserves_cpu(config: KubeletConfig) -> bool:
    given = (config.kube_reserved, config.system_reserved)
    return bool(config.reserved_system_cpus) or any(quantity.nano(each.get("cpu", 0)) for each in given)
