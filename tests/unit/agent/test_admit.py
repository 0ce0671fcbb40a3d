"""What a node refuses for good."""

from __future__ import annotations

from typing import Any

import pytest

from navarch.agent.admit import refusal
from navarch.agent.plan import outcome, plan
from navarch.agent.status import status_of
from navarch.agent.steps import CleanUp
from tests.unit.agent.pods import facts, instance, pod


def asking(name: str, **spec: Any) -> Any:
    return pod(securityContext={"sysctls": [{"name": name, "value": "1"}]}, **spec)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (asking("kernel.shm_rmid_forced"), ""),
        (asking("net/ipv4/tcp_syncookies"), ""),
        (asking("kernel.msgmax"), 'forbidden sysctl: "kernel.msgmax" not allowlisted'),
        (
            asking("net.ipv4.tcp_syncookies", hostNetwork=True),
            'forbidden sysctl: "net.ipv4.tcp_syncookies" not allowed with host net enabled',
        ),
        (
            asking("kernel.shm_rmid_forced", hostIPC=True),
            'forbidden sysctl: "kernel.shm_rmid_forced" not allowed with host ipc enabled',
        ),
        (pod(), ""),
    ],
)
def test_only_settings_that_stay_in_the_pod_are_taken(asked: Any, message: str) -> None:
    assert refusal(asked) == (("SysctlForbidden", message) if message else None)


def test_a_refused_pod_fails_at_once_and_is_never_started() -> None:
    refused = facts(boxes=(), refused=("SysctlForbidden", "no"))
    assert outcome(pod(), refused) == ("Failed", "SysctlForbidden", "no")
    assert plan(pod(), refused).steps == (CleanUp(),)
    status = status_of(pod(), {}, refused)
    assert (status["phase"], status["reason"], status["message"]) == ("Failed", "SysctlForbidden", "no")


def test_a_pod_that_runs_already_is_not_refused_afterwards() -> None:
    assert outcome(pod(), facts(instance(), refused=("SysctlForbidden", "no"))) is None
