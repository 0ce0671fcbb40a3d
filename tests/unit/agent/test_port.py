"""What the agent's port says of containers that have not written anything."""

from __future__ import annotations

from typing import Any

import pytest

from navarch.agent.port import waiting_reason
from navarch.kinds import POD
from navarch.kinds.object import Object


def waiting(reason: str, part: str = "containerStatuses") -> Object:
    status: dict[str, Any] = {part: [{"name": "main", "state": {"waiting": {"reason": reason}}}]}
    return Object.of(POD, {"metadata": {"name": "p", "namespace": "n", "uid": "u"}, "spec": {}, "status": status})


@pytest.mark.parametrize(
    ("pod", "said"),
    [
        (None, "ContainerCreating"),
        (waiting("ErrImagePull"), "image can't be pulled"),
        (waiting("ImagePullBackOff"), "trying and failing to pull image"),
        (waiting("CreateContainerConfigError", "initContainerStatuses"), "CreateContainerConfigError"),
        (waiting("PodInitializing", "ephemeralContainerStatuses"), "PodInitializing"),
    ],
)
def test_why_a_container_has_no_log_is_said_in_the_words_that_clients_know(pod: Object | None, said: str) -> None:
    assert waiting_reason(pod, "main") == said


def test_a_container_that_has_no_status_yet_is_being_made() -> None:
    assert waiting_reason(waiting("ErrImagePull"), "other") == "ContainerCreating"
