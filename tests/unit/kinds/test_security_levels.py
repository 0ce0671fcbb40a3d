"""The Pod Security Standards: published pods that pass and fail, and the words in which it is told."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from navarch.kinds.podspec.security_levels import BASELINE, LEVELS, NEWEST, RESTRICTED, Policy, policy, violations

PUBLISHED = Path(__file__).parents[4] / "shared" / "reference" / "pod-security-fixtures.tar.gz"


def published() -> list[tuple[str, int, bool, str, Any]]:
    """(level, minor version, whether it passes, its file, the pod)."""
    found = []
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    with tarfile.open(PUBLISHED) as archive:
        for member in archive:
            parts = member.name.strip("./").split("/")
            if len(parts) == 4 and parts[3].endswith(".yaml"):
                file = archive.extractfile(member)
                assert file is not None
                minor = int(parts[1].removeprefix("v1."))
                found.append((parts[0], minor, parts[2] == "pass", parts[3], yaml.load(file, loader)))
    return found


def test_published_pods_pass_and_fail_as_they_should() -> None:
    if not PUBLISHED.exists():
        pytest.skip(f"{PUBLISHED} is not there to compare with")
    pods = published()
    assert len(pods) > 3000
    wrong = [
        (level, minor, name, passes)
        for level, minor, passes, name, pod in pods
        if (not violations(Policy(level, minor), pod["metadata"], pod["spec"])) is not passes
    ]
    assert wrong == []


PLAIN: dict[str, Any] = {"containers": [{"name": "a"}, {"name": "b"}]}


def told(level: str, spec: dict[str, Any], version: int = NEWEST, **annotations: str) -> list[str]:
    return [str(one) for one in violations(Policy(level, version), {"annotations": annotations}, spec)]


def test_a_pod_that_says_nothing_is_told_all_that_it_must_say() -> None:
    assert told(BASELINE, PLAIN) == []
    assert told(RESTRICTED, PLAIN) == [
        'allowPrivilegeEscalation != false (containers "a", "b" must set '
        "securityContext.allowPrivilegeEscalation=false)",
        'unrestricted capabilities (containers "a", "b" must set securityContext.capabilities.drop=["ALL"])',
        'runAsNonRoot != true (pod or containers "a", "b" must set securityContext.runAsNonRoot=true)',
        'seccompProfile (pod or containers "a", "b" must set securityContext.seccompProfile.type to '
        '"RuntimeDefault" or "Localhost")',
    ]


def with_context(**context: Any) -> dict[str, Any]:
    return {"containers": [{"name": "a", "securityContext": context}]}


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        (with_context(privileged=True), 'privileged (container "a" must not set securityContext.privileged=true)'),
        (
            with_context(capabilities={"add": ["SYS_ADMIN", "NET_RAW", "CHOWN"]}),
            'non-default capabilities (container "a" must not include "NET_RAW", "SYS_ADMIN" in '
            "securityContext.capabilities.add)",
        ),
        ({**PLAIN, "hostNetwork": True, "hostPID": True}, "host namespaces (hostNetwork=true, hostPID=true)"),
        ({**PLAIN, "volumes": [{"name": "v", "hostPath": {"path": "/"}}]}, 'hostPath volumes (volume "v")'),
        (
            {"containers": [{"name": "a", "ports": [{"hostPort": 80}, {"hostPort": 81}]}]},
            'hostPort (container "a" uses hostPorts 80, 81)',
        ),
        (
            with_context(procMount="Unmasked"),
            'procMount (container "a" must not set securityContext.procMount to "Unmasked")',
        ),
        (
            {**PLAIN, "securityContext": {"seLinuxOptions": {"type": "spc_t", "user": "u"}}},
            'seLinuxOptions (pod set forbidden securityContext.seLinuxOptions: type "spc_t"; user may not be set)',
        ),
        (
            {**PLAIN, "securityContext": {"sysctls": [{"name": "kernel.msgmax"}, {"name": "net/ipv4/tcp_rmem"}]}},
            "forbidden sysctls (kernel.msgmax)",
        ),
        (
            with_context(seccompProfile={"type": "Unconfined"}),
            'seccompProfile (container "a" must not set securityContext.seccompProfile.type to "Unconfined")',
        ),
        (
            with_context(windowsOptions={"hostProcess": True}),
            'hostProcess (container "a" must not set securityContext.windowsOptions.hostProcess=true)',
        ),
    ],
)
def test_violations_say_who_and_what(spec: dict[str, Any], why: str) -> None:
    assert told(BASELINE, spec) == [why]
    assert told("privileged", spec) == []


def test_versions_ask_what_they_asked() -> None:
    probing = {"containers": [{"name": "a", "livenessProbe": {"httpGet": {"host": "h", "port": 1}}}]}
    assert told(BASELINE, probing, 33) == []
    assert told(BASELINE, probing, 34) == ['probe or lifecycle host (container "a" uses probe or lifecycle host "h")']
    unmasked = {**with_context(procMount="Unmasked"), "hostUsers": False}
    assert told(BASELINE, unmasked, 34)
    assert told(BASELINE, unmasked, 35) == []
    annotated = {"seccomp.security.alpha.kubernetes.io/pod": "unconfined"}
    assert told(BASELINE, PLAIN, 18, **annotated) == [
        'seccompProfile (forbidden annotation seccomp.security.alpha.kubernetes.io/pod="unconfined")'
    ]
    assert told(BASELINE, PLAIN, 19, **annotated) == []


def test_a_restricted_pod_passes() -> None:
    context = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}}
    pod = {"securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}}
    spec = {**pod, **with_context(**context)}
    assert told(RESTRICTED, spec) == []
    assert told(RESTRICTED, {**spec, "volumes": [{"name": "v", "nfs": {}}]}) == [
        'restricted volume types (volume "v" uses restricted volume type "nfs")'
    ]
    spec["securityContext"] = {**pod["securityContext"], "runAsUser": 0}
    assert told(RESTRICTED, spec) == ["runAsUser=0 (pod must not set runAsUser=0)"]


def test_labels_that_say_nothing_that_there_is_are_strict() -> None:
    assert policy("baseline", "v1.20") == (Policy("baseline", 20, "v1.20"), "")
    assert policy("baseline", "") == (Policy("baseline"), "")
    assert policy("baseline", "v1.99")[0].version == NEWEST
    found, wrong = policy("relaxed", "soon")
    assert found == Policy(RESTRICTED)
    assert wrong == '"soon": must be "latest" or "v1.x"; "relaxed": must be one of privileged, baseline, restricted'
    assert LEVELS[0] == policy("", "")[0].level
