"""Annotations of pods and templates that say something to the system, judged as Kubernetes 1.36 does."""

from __future__ import annotations

from typing import Any

import pytest
from kind_driver import Causes, causes

from navarch.kinds import POD, PODTEMPLATE

MIRROR = "kubernetes.io/config.mirror"
COST = "controller.kubernetes.io/pod-deletion-cost"
TOLERATIONS = "scheduler.alpha.kubernetes.io/tolerations"
SECCOMP = "seccomp.security.alpha.kubernetes.io/pod"
APPARMOR = "container.apparmor.security.beta.kubernetes.io/"


def pod(annotations: dict[str, str], **spec: Any) -> dict[str, Any]:
    containers = [{"name": "a", "image": "a:1"}]
    return {"metadata": {"annotations": annotations}, "spec": {"containers": containers, **spec}}


def template(annotations: dict[str, str]) -> dict[str, Any]:
    return {"template": pod(annotations)}


@pytest.mark.parametrize(
    ("annotations", "expected"),
    [
        (
            {MIRROR: "x"},
            [(f"[{MIRROR}]", 'Invalid value: "x": must set spec.nodeName if mirror pod annotation is set')],
        ),
        ({COST: "+1"}, [(f"[{COST}]", 'Invalid value: "+1": must be a 32bit integer')]),
        ({COST: "-2147483648", SECCOMP: "runtime/default", f"{APPARMOR}a": "localhost/x"}, []),
        ({SECCOMP: "other"}, [(f".{SECCOMP}", 'Invalid value: "other": must be a valid seccomp profile')]),
        (
            {f"container.{SECCOMP.removesuffix('pod')}a": "localhost//../x"},
            [
                (
                    f".container.{SECCOMP.removesuffix('pod')}a",
                    'Invalid value: "/../x": must be a relative path',
                ),
                (
                    f".container.{SECCOMP.removesuffix('pod')}a",
                    "Invalid value: \"/../x\": must not contain '..'",
                ),
            ],
        ),
        (
            {f"{APPARMOR}b": "other"},
            [
                (f"[{APPARMOR}b]", 'Invalid value: "b": container not found'),
                (f"[{APPARMOR}b]", 'Invalid value: "other": invalid AppArmor profile name: "other"'),
            ],
        ),
        (
            {TOLERATIONS: '[{"operator":"Exists","value":"x"}]'},
            [(f".{TOLERATIONS}[0].operator", None)],
        ),
    ],
)
def test_new_ones(annotations: dict[str, str], expected: list[tuple[str, str | None]]) -> None:
    for found, path in (
        (causes(POD, pod(annotations)), "metadata.annotations"),
        (causes(PODTEMPLATE, template(annotations)), "template.annotations"),
    ):
        assert [where for where, _ in found] == [path + where for where, _ in expected]
        assert all(wanted in (None, message) for (_, message), (_, wanted) in zip(found, expected, strict=True))


def test_tolerations_that_cannot_be_read() -> None:
    [(path, message)] = causes(PODTEMPLATE, template({TOLERATIONS: "{"}))
    assert (path, message.startswith(f'Invalid value: "{TOLERATIONS}": ')) == ("template.annotations", True)


def updated(new: dict[str, str], old: dict[str, str]) -> Causes:
    return causes(POD, pod(new, nodeName="n"), pod(old, nodeName="n"))


def test_what_stays_as_it_is() -> None:
    profile = f"{APPARMOR}a"
    assert updated({MIRROR: "x", profile: "", "a": "1"}, {MIRROR: "x", profile: "", "b": "1"}) == []
    assert updated({profile: "unconfined"}, {profile: "", MIRROR: "x"}) == [
        (f"metadata.annotations[{profile}]", "Forbidden: may not remove or update AppArmor annotations"),
        (f"metadata.annotations[{MIRROR}]", "Forbidden: may not remove or update mirror pod annotation"),
    ]
    assert updated({MIRROR: "x", profile: ""}, {}) == [
        (f"metadata.annotations[{MIRROR}]", "Forbidden: may not add mirror pod annotation"),
        (f"metadata.annotations[{profile}]", "Forbidden: may not add AppArmor annotations"),
    ]
    assert updated({COST: "x", "a": "1"}, {COST: "x"}) == [], "what was broken before may stay"
