"""API priority and fairness: which calls are worked on now, which wait for which others, which are turned away.

`matching` finds the FlowSchema of a call, `seats` shares the server's seats out among the priority levels, `queueset`
is one level's queues, `work` says how many seats a call takes: all pure. `gate` is where calls really wait.

Source: https://kubernetes.io/docs/concepts/cluster-administration/flow-control/
"""
