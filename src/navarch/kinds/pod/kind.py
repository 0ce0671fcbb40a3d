"""The Pod kind."""

from __future__ import annotations

from navarch.kinds import warnings
from navarch.kinds.kind import Kind
from navarch.kinds.pod.columns import COLUMNS
from navarch.kinds.pod.glance import PodEnvelope
from navarch.kinds.pod.prepare import grace, prepare, prepare_ephemeral, prepare_resize
from navarch.kinds.pod.rules import ephemeral_rules, resize_rules, rules
from navarch.kinds.pod.view import Pod
from navarch.kinds.podspec.defaults import default_pod

POD = Kind(
    group="",
    version="v1",
    name="Pod",
    plural="pods",
    short=("po",),
    categories=("all",),
    view=Pod,
    envelope=PodEnvelope,
    default=default_pod,
    defaults_spec=True,
    rules=rules,
    warn=warnings.pod,
    prepare=prepare,
    subresource_rules={"ephemeralcontainers": ephemeral_rules, "resize": resize_rules},
    subresource_prepare={"ephemeralcontainers": prepare_ephemeral, "resize": prepare_resize},
    subresources=(
        "status",
        "attach",
        "binding",
        "ephemeralcontainers",
        "eviction",
        "exec",
        "log",
        "portforward",
        "proxy",
        "resize",
    ),
    columns=COLUMNS,
    fields={
        "spec.nodeName": ("spec", "nodeName"),
        "spec.restartPolicy": ("spec", "restartPolicy"),
        "spec.schedulerName": ("spec", "schedulerName"),
        "spec.serviceAccountName": ("spec", "serviceAccountName"),
        "spec.hostNetwork": ("spec", "hostNetwork"),
        "status.phase": ("status", "phase"),
        "status.podIP": ("status", "podIP"),
        "status.nominatedNodeName": ("status", "nominatedNodeName"),
    },
    field_zeros={"spec.hostNetwork": "false"},
    field_aliases={"spec.host": "spec.nodeName", "status.podIPs": ""},
    grace=grace,
)
