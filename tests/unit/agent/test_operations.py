"""What is counted of the calls to the runtime."""

from __future__ import annotations

from typing import Any

import pytest

from navarch.agent.exposition import counted
from navarch.agent.operations import Operations, operation
from navarch.base.clock import SystemClock


class Timed(SystemClock):
    """Each look at it is a second later."""

    def __init__(self) -> None:
        self._s = 0.0

    def monotonic(self) -> float:
        self._s += 1.0
        return self._s


def request(name: str) -> Any:
    return type(name, (), {})()


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ("VersionRequest", "version"),
        ("RunPodSandboxRequest", "run_podsandbox"),
        ("ListPodSandboxRequest", "list_podsandbox"),
        ("PodSandboxStatusRequest", "podsandbox_status"),
        ("CreateContainerRequest", "create_container"),
        ("ListContainersRequest", "list_containers"),
        ("UpdateContainerResourcesRequest", "update_container"),
        ("ExecSyncRequest", "exec_sync"),
        ("PortForwardRequest", "port_forward"),
        ("PullImageRequest", "pull_image"),
        ("ReopenContainerLogRequest", "reopen_container_log"),
    ],
)
def test_operations_have_a_kubelets_names(asked: str, name: str) -> None:
    assert operation(asked) == name


def test_calls_failures_and_durations_are_counted_by_operation() -> None:
    operations = Operations(Timed())
    with operations.counted(request("PullImageRequest")):
        pass
    with pytest.raises(OSError, match="no"), operations.counted(request("PullImageRequest")):
        raise OSError("no")
    text = counted(operations.all).decode()
    assert 'kubelet_runtime_operations_total{operation_type="pull_image"} 2\n' in text
    assert 'kubelet_runtime_operations_errors_total{operation_type="pull_image"} 1\n' in text
    assert 'kubelet_runtime_operations_duration_seconds_bucket{operation_type="pull_image",le="0.488281"} 0\n' in text
    assert 'kubelet_runtime_operations_duration_seconds_count{operation_type="pull_image"} 2\n' in text
    assert 'kubelet_runtime_operations_duration_seconds_sum{operation_type="pull_image"} 2\n' in text
