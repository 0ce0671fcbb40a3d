"""Pod: one or more containers that run together on a node.

Source: https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/
"""

from navarch.kinds.pod.kind import POD
from navarch.kinds.pod.view import ContainerState, ContainerStatus, Pod, PodStatus

__all__ = ["POD", "ContainerState", "ContainerStatus", "Pod", "PodStatus"]
