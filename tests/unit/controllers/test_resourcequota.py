"""ResourceQuota: which kinds are counted, and what its status says."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from types import SimpleNamespace

from navarch.controllers.plan import Plan
from navarch.controllers.resourcequota import Observed, counted, observer, plan
from navarch.kinds import RESOURCEQUOTA
from navarch.kinds.quota_usage import Shares
from navarch.kinds.registry import DEFAULT
from tests.unit.controllers.conftest import Make

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def names(*hard: str) -> list[str]:
    return sorted(kind.resource for kind in counted(DEFAULT, hard))


def test_only_kinds_that_are_named_are_counted() -> None:
    assert names("cpu") == names("limits.memory") == names("requests.example.com/gpu") == ["pods"]
    assert names("configmaps", "count/deployments.apps") == ["configmaps", "deployments.apps"]
    assert names("services.nodeports") == ["services"]
    assert names("gpu.deviceclass.resource.k8s.io/devices") == ["resourceclaims.resource.k8s.io"]
    assert names("requests.storage", "a.storageclass.storage.k8s.io/persistentvolumeclaims") == [
        "persistentvolumeclaims"
    ]
    assert names("count/events", "count/nodes", "count/nothing.example.com") == []
    assert names("example.com/gpu", "limits.example.com/gpu", "services.others") == [], "nothing takes any of these"


def test_of_what_nothing_can_take_no_use_is_told(make: Make) -> None:
    quota = make.object(RESOURCEQUOTA, "q", metadata={"namespace": "default"}, spec={"hard": {"pods": 3, "x.io/y": 1}})
    cache = defaultdict(lambda: SimpleNamespace(list=lambda namespace: []))
    cache[RESOURCEQUOTA] = SimpleNamespace(get=lambda *key: quota)  # type: ignore[assignment]
    found = observer(DEFAULT, Shares(), lambda: NOW)(cache, ("default", "q"))  # type: ignore[arg-type]
    assert found is not None
    assert found.used == {"pods": 0}
    status = plan(found, NOW).status
    assert status is not None
    assert status.status == {"hard": {"pods": "3", "x.io/y": "1"}, "used": {"pods": "0"}}


def test_the_status_says_what_is_used(make: Make) -> None:
    quota = make.object(RESOURCEQUOTA, "q", spec={"hard": {"cpu": "1", "memory": "1024Mi", "pods": 3}})
    found = plan(Observed(quota, {"cpu": 5 * 10**8, "memory": 2**28 * 10**9, "pods": 0}, 7.0), NOW)
    assert found.status is not None
    assert found.status.status == {
        "hard": {"cpu": "1", "memory": "1Gi", "pods": "3"},
        "used": {"cpu": "500m", "memory": "256Mi", "pods": "0"},
    }
    assert found.requeue_after_s == 7.0


def test_a_quota_that_goes_is_left_alone(make: Make) -> None:
    quota = make.object(
        RESOURCEQUOTA, "q", metadata={"deletionTimestamp": "2030-01-01T00:00:00Z"}, spec={"hard": {"pods": "1"}}
    )
    assert plan(Observed(quota, {"pods": 0}), NOW) == Plan()
