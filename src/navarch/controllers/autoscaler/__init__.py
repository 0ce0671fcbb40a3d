"""HorizontalPodAutoscaler: as many replicas as what is measured asks for.

`controller` collects (the scale of the target, the pods, what is measured), `metrics` and `replicas` say how many
replicas each metric asks for, `limits` what of that is done now, and `plan` what is written. What was recommended and
done in the last minutes is held in memory, as in Kubernetes: a new leader begins anew.

Source: https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/
"""

from navarch.controllers.autoscaler.controller import controller

__all__ = ["controller"]
