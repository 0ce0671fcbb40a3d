"""What a pod's requests and limits mean for the kernel: quality of service, shares, quotas and scores.

Source: https://kubernetes.io/docs/concepts/workloads/pods/pod-qos/
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from navarch.agent import pages
from navarch.agent.runtime import Resources
from navarch.kinds.pod import Pod
from navarch.kinds.podspec.container import Container
from navarch.kinds.view import Quantity
from navarch.objects import quantity

MIN_SHARES = 2
MAX_SHARES = 262144
PERIOD_US = 100_000
MIN_QUOTA_US = 1000
_COUNTED = ("cpu", "memory")


def qos_class(pod: Pod) -> str:
    """`Guaranteed`, `Burstable` or `BestEffort`."""
    if pod.spec.resources.requests or pod.spec.resources.limits:
        return _qos([(pod.spec.resources.requests, pod.spec.resources.limits)])
    every = (*pod.spec.containers, *pod.spec.init_containers)
    return _qos([(one.resources.requests, one.resources.limits) for one in every])


def _qos(resources: Sequence[tuple[Mapping[str, Quantity], Mapping[str, Quantity]]]) -> str:
    named = False
    guaranteed = True
    for requests, limits in resources:
        for name in _COUNTED:
            asked, limit = quantity.milli(requests.get(name, 0)), quantity.milli(limits.get(name, 0))
            named = named or asked > 0 or limit > 0
            guaranteed = guaranteed and limit > 0 and asked in (0, limit)
    if not named:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"


def cpu_shares(milli: int) -> int:
    """The kernel's weight for a CPU request."""
    return min(MAX_SHARES, max(MIN_SHARES, milli * 1024 // 1000))


def cpu_quota_us(milli: int) -> int:
    """CPU time in each period; 0 for no limit."""
    return max(MIN_QUOTA_US, milli * PERIOD_US // 1000) if milli else 0


@dataclass(frozen=True, slots=True)
class Terms:
    """What the node adds to what a container asks for. cpus: those it is bound to (`0-3`); "" for all.

    quota: whether CPU limits hold. kills_together: whether running out of memory ends all processes of the container.
    pagesizes: of huge pages that are accounted for, in bytes.
    """

    memory_bytes: int = 0
    cpus: str = ""
    quota: bool = True
    kills_together: bool = False
    pagesizes: Sequence[int] = ()


NO_TERMS = Terms()


def of_container(pod: Pod, container: Container, terms: Terms) -> Resources:
    limits, requests = container.resources.limits, container.resources.requests
    cpu = quantity.milli(requests.get("cpu", limits.get("cpu", 0)))
    names = {size: pages.resource_name(size) for size in terms.pagesizes}
    return Resources(
        cpu_shares=cpu_shares(cpu),
        cpu_quota_us=cpu_quota_us(quantity.milli(limits.get("cpu", 0))) if terms.quota else 0,
        cpu_period_us=PERIOD_US,
        memory_limit_bytes=quantity.whole(limits.get("memory", 0)),
        oom_score_adj=oom_score(pod, container, terms.memory_bytes),
        cpuset_cpus=terms.cpus,
        kills_together=terms.kills_together,
        hugepages=tuple(
            (pages.control_name(size), quantity.whole(limits.get(name, 0))) for size, name in names.items()
        ),
    )


def oom_score(pod: Pod, container: Container, node_memory_bytes: int) -> int:
    """Who is killed first when the node is out of memory: best effort, then who uses more than it asked for."""
    kind = qos_class(pod)
    if kind == "Guaranteed":
        return -997
    if kind == "BestEffort":
        return 1000
    asked = quantity.whole(container.resources.requests.get("memory", 0)) + _shared_memory(pod)
    score = 1000 - 1000 * asked // max(1, node_memory_bytes)
    return min(999, max(3, score))


def _shared_memory(pod: Pod) -> int:
    """Each container's part of what the pod asks for beyond its containers."""
    if "memory" not in pod.spec.resources.requests:
        return 0
    sidecars = [one for one in pod.spec.init_containers if one.is_sidecar]
    every = (*pod.spec.containers, *sidecars)
    own = sum(quantity.whole(one.resources.requests.get("memory", 0)) for one in every)
    return max(0, quantity.whole(pod.spec.resources.requests["memory"]) - own) // max(1, len(every))


def pod_total(pod: Pod, name: str, *, limits: bool) -> int:
    """Requests (or limits) of the whole pod in thousandths; for limits 0 when a container has none.

    What the pod as a whole asks for stands above what its containers ask for.

    What init containers need one after the other counts only where it exceeds what runs later beside the sidecars.
    """

    def of(container: Container) -> int:
        listed = container.resources.limits if limits else container.resources.requests
        return quantity.milli(listed.get(name, 0))

    overhead = quantity.milli(pod.spec.overhead.get(name, 0))
    level = pod.spec.resources.limits if limits else pod.spec.resources.requests
    if name in level:
        return quantity.milli(level[name]) + overhead
    if limits and any(of(container) == 0 for container in pod.spec.containers):
        return 0
    return _peak(pod.spec.init_containers, sum(map(of, pod.spec.containers)), of) + overhead


def _peak(inits: Iterable[Container], mains: int, measure: Callable[[Container], int]) -> int:
    sidecars = peak = 0
    for container in inits:
        if container.is_sidecar:
            sidecars += measure(container)
            peak = max(peak, sidecars)
        else:
            peak = max(peak, sidecars + measure(container))
    return max(peak, sidecars + mains)
