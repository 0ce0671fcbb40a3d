"""Who goes when the node is short of something, and what is said."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from navarch.agent.eviction.ranking import (
    CRITICAL_PRIORITY,
    Candidate,
    ContainerUse,
    Held,
    PodUse,
    choose,
    is_critical,
    rank,
    refusal,
)
from navarch.agent.eviction.thresholds import Observation, Threshold
from navarch.agent.kubelet import Threshold as Least
from navarch.kinds.pod import Pod
from tests.unit.agent import pods

MIB = 1 << 20
MEMORY = Threshold("memory.available", Least(100 * MIB))
SOFT = Threshold("memory.available", Least(100 * MIB), grace_s=30.0)
DISK = Threshold("nodefs.available", Least(part=0.1))
IMAGES = Threshold("imagefs.available", Least(part=0.15))
INODES = Threshold("nodefs.inodesFree", Least(part=0.05))
PIDS = Threshold("pid.available", Least(100))


def pod(uid: str, request: str = "", priority: int = 0, resource: str = "memory", **more: Any) -> Pod:
    resources = {"requests": {resource: request}} if request else {}
    container = {"name": "main", "image": "app:1", "resources": resources}
    return pods.pod(container, meta={"uid": uid, **more.pop("meta", {})}, priority=priority, **more)


def memory(uid: str, mib: int, request: str = "", priority: int = 0) -> Candidate:
    return Candidate(pod(uid, request, priority), PodUse({"main": ContainerUse(mib * MIB)}))


def uids(found: list[Candidate]) -> list[str]:
    return [one.pod.metadata.uid for one in found]


def test_those_above_their_request_go_first_then_by_priority_then_by_how_far() -> None:
    given = [
        memory("within", 900, "1Gi"),
        memory("important", 800, priority=10),
        memory("little-above", 150, "100Mi"),
        memory("far-above", 400, "100Mi"),
        memory("best-effort", 350),
    ]
    assert uids(rank(given, MEMORY, split=False)) == ["best-effort", "far-above", "little-above", "important", "within"]


def test_who_could_not_be_measured_goes_before_all() -> None:
    given = [memory("measured", 5000), Candidate(pod("unknown"))]
    assert uids(rank(given, MEMORY, split=False)) == ["unknown", "measured"]


def test_the_disk_counts_layers_logs_and_volumes_or_its_own_part_of_them() -> None:
    layers = Candidate(pod("layers"), PodUse({"main": ContainerUse(layer=Held(100, 1))}))
    logs = Candidate(pod("logs"), PodUse({"main": ContainerUse(logs=Held(60, 50))}))
    volumes = Candidate(pod("volumes"), PodUse(volumes={"data": Held(70, 2)}))
    given = [logs, volumes, layers]
    assert uids(rank(given, DISK, split=False)) == ["layers", "volumes", "logs"]
    assert uids(rank(given, DISK, split=True)) == ["volumes", "logs", "layers"]
    assert uids(rank(given, IMAGES, split=True))[0] == "layers"
    assert uids(rank(given, INODES, split=False))[0] == "logs"


def test_requests_of_storage_count() -> None:
    asked = pod("asked", "1Gi", resource="ephemeral-storage")
    given = [
        Candidate(asked, PodUse({"main": ContainerUse(layer=Held(500 * MIB))})),
        Candidate(pod("none"), PodUse({"main": ContainerUse(layer=Held(MIB))})),
    ]
    assert uids(rank(given, DISK, split=False)) == ["none", "asked"]


def test_process_ids_rank_by_priority_then_by_number() -> None:
    given = [
        Candidate(pod("few", priority=5), PodUse(processes=10)),
        Candidate(pod("many", priority=5), PodUse(processes=900)),
        Candidate(pod("low"), PodUse(processes=1)),
    ]
    assert uids(rank(given, PIDS, split=False)) == ["low", "many", "few"]


def test_what_an_evicted_pod_is_told() -> None:
    observed = {"memory.available": Observation(90 * MIB, 1 << 30)}
    chosen = choose([memory("a", 300, "100Mi")], (MEMORY,), observed, longest_s=0, split=False)
    assert chosen is not None
    assert chosen.message == (
        "The node was low on resource: memory. Threshold quantity: 100Mi, available: 90Mi. "
        "Container main was using 300Mi, request is 100Mi, has larger consumption of memory. "
    )
    assert (chosen.grace_s, chosen.disrupts, chosen.cause) == (1, True, "memory.available")
    assert chosen.notes == {
        "offending_containers": "main",
        "offending_containers_usage": "300Mi",
        "starved_resource": "memory",
    }


def test_a_container_without_a_request_asked_for_nothing() -> None:
    use = PodUse({"main": ContainerUse(layer=Held(3 * MIB), logs=Held(MIB))})
    observed = {"nodefs.available": Observation(50, 1000)}
    chosen = choose([Candidate(pod("a"), use)], (DISK,), observed, longest_s=0, split=False)
    assert chosen is not None
    assert chosen.message == (
        "The node was low on resource: ephemeral-storage. Threshold quantity: 100, available: 50. "
        "Container main was using 4Mi, request is 0, has larger consumption of ephemeral-storage. "
    )


def test_for_process_ids_no_container_is_named() -> None:
    chosen = choose([memory("a", 1)], (PIDS,), {}, longest_s=0, split=False)
    assert chosen is not None
    assert chosen.message == "The node was low on resource: pids. "
    assert chosen.notes == {}


def test_a_soft_threshold_leaves_a_pod_time_to_stop() -> None:
    def grace_s(longest_s: int, own_s: int) -> int:
        one = Candidate(pod("a", terminationGracePeriodSeconds=own_s))
        chosen = choose([one], (SOFT,), {}, longest_s=longest_s, split=False)
        assert chosen is not None
        return chosen.grace_s

    assert grace_s(60, 30) == 30
    assert grace_s(10, 30) == 10
    assert grace_s(0, 30) == 1
    assert grace_s(-1, 30) == 30


def test_critical_pods_stay_whatever_they_use() -> None:
    static = pod("static", meta={"annotations": {"kubernetes.io/config.source": "file"}})
    mirror = pod("mirror", meta={"annotations": {"kubernetes.io/config.mirror": "x"}})
    high = pod("high", priority=CRITICAL_PRIORITY)
    plain = pod("plain", priority=CRITICAL_PRIORITY - 1)
    assert [is_critical(one) for one in (static, mirror, high, plain)] == [True, True, True, False]
    given = [Candidate(one, PodUse({"main": ContainerUse(10**9)})) for one in (static, mirror, high)]
    assert choose(given, (MEMORY,), {}, longest_s=0, split=False) is None
    chosen = choose([*given, Candidate(plain, PodUse({}))], (MEMORY,), {}, longest_s=0, split=False)
    assert chosen is not None
    assert chosen.uid == "plain"


def test_under_memory_pressure_only_best_effort_pods_are_refused() -> None:
    pressure = frozenset({"MemoryPressure"})
    assert refusal(pod("a"), frozenset()) is None
    assert refusal(pod("a"), pressure) == ("Evicted", "The node had condition: [MemoryPressure]. ")
    assert refusal(pod("a", "100Mi"), pressure) is None
    toleration = {"key": "node.kubernetes.io/memory-pressure", "operator": "Exists", "effect": "NoSchedule"}
    assert refusal(pod("a", tolerations=[toleration]), pressure) is None


def test_under_any_other_pressure_all_are_refused_but_critical_ones() -> None:
    for pressure in ({"DiskPressure"}, {"PIDPressure"}, {"DiskPressure", "MemoryPressure"}):
        told = refusal(pod("a", "100Mi"), frozenset(pressure))
        assert told == ("Evicted", f"The node had condition: [{' '.join(sorted(pressure))}]. ")
        assert refusal(pod("a", priority=CRITICAL_PRIORITY), frozenset(pressure)) is None


def _candidate(uid: int, mib: int, request: int, priority: int, known: bool) -> Candidate:
    use = PodUse({"main": ContainerUse(mib * MIB)}) if known else None
    return Candidate(pod(f"u{uid}", f"{request}Mi" if request else "", priority), use)


PRIORITIES = st.sampled_from([-5, 0, 7, CRITICAL_PRIORITY, CRITICAL_PRIORITY + 1000])
CANDIDATES = st.lists(
    st.builds(_candidate, st.integers(0, 10**6), st.integers(0, 500), st.integers(0, 500), PRIORITIES, st.booleans()),
    max_size=8,
    unique_by=lambda one: one.pod.metadata.uid,
)


@given(CANDIDATES, st.sampled_from([MEMORY, SOFT, DISK, IMAGES, INODES, PIDS]), st.booleans())
def test_one_goes_at_most_and_never_a_critical_one(given: list[Candidate], threshold: Threshold, split: bool) -> None:
    chosen = choose(given, (threshold,), {}, longest_s=30, split=split)
    assert (chosen is None) == all(is_critical(one.pod) for one in given)
    assert sorted(map(id, rank(given, threshold, split=split))) == sorted(map(id, given))
    if chosen is not None:
        assert not is_critical(next(one.pod for one in given if one.pod.metadata.uid == chosen.uid))


@given(CANDIDATES)
def test_who_keeps_to_its_request_goes_only_when_nobody_exceeds_theirs(given: list[Candidate]) -> None:
    chosen = choose(given, (MEMORY,), {}, longest_s=30, split=False)

    def exceeds(one: Candidate) -> bool:
        asked = int(one.pod.spec.containers[0].resources.requests.get("memory", "0Mi")[:-2])
        return one.use is None or one.use.memory_bytes > asked * MIB

    if chosen is not None and not exceeds(next(one for one in given if one.pod.metadata.uid == chosen.uid)):
        assert not any(exceeds(one) for one in given if not is_critical(one.pod))
