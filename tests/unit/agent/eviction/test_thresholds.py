"""What a configuration says of shortages, as thresholds."""

from __future__ import annotations

from navarch.agent.eviction.thresholds import CONDITIONS, RESOURCES, thresholds
from navarch.agent.kubelet import KubeletConfig
from navarch.agent.kubelet import Threshold as Least


def test_a_node_of_which_nothing_is_said_has_kubernetes_defaults() -> None:
    found = {one.signal: one for one in thresholds(KubeletConfig())}
    assert found["memory.available"].least.of(1 << 34) == 100 << 20
    assert found["nodefs.available"].least.of(1000) == 100
    assert found["imagefs.available"].least.of(1000) == 150
    assert all(one.hard for one in found.values())


def test_a_soft_threshold_has_its_grace_and_both_what_is_wanted_on_top() -> None:
    config = KubeletConfig(
        eviction_hard={"memory.available": Least(100)},
        eviction_soft={"memory.available": Least(300)},
        eviction_soft_grace_period_s={"memory.available": 90.0},
        eviction_minimum_reclaim={"memory.available": Least(50)},
    )
    hard, soft = thresholds(config)
    assert (hard.grace_s, soft.grace_s) == (0.0, 90.0)
    assert (hard.hard, soft.hard) == (True, False)
    assert hard.reclaim == soft.reclaim == Least(50)
    assert soft.condition == "MemoryPressure"


def test_nothing_and_everything_switch_a_threshold_off() -> None:
    hard = {"nodefs.available": Least(part=0.0), "imagefs.available": Least(part=1.0), "pid.available": Least(0)}
    assert thresholds(KubeletConfig(eviction_hard=hard)) == ()


def test_every_signal_has_a_condition_and_a_name_for_what_is_short() -> None:
    assert set(CONDITIONS) == set(RESOURCES)
