"""Everything about each kind that the published schema cannot say, one file or package a kind.

`ALL` names every resource that is served, in the order in which groups are shown; `BODIES` the kinds that are no
resource of their own, but what a subresource takes.
"""

from navarch.kinds.autoscaler import HORIZONTALPODAUTOSCALER, HORIZONTALPODAUTOSCALER_V1
from navarch.kinds.configmap import CONFIGMAP
from navarch.kinds.controllerrevision import CONTROLLERREVISION
from navarch.kinds.customresourcedefinition import CUSTOMRESOURCEDEFINITION
from navarch.kinds.daemonset import DAEMONSET
from navarch.kinds.deployment import DEPLOYMENT
from navarch.kinds.disruption import EVICTION, PODDISRUPTIONBUDGET
from navarch.kinds.endpoints import ENDPOINTS
from navarch.kinds.endpointslice import ENDPOINTSLICE
from navarch.kinds.event import EVENT, EVENTS_EVENT
from navarch.kinds.job import CRONJOB, JOB
from navarch.kinds.kind import Kind
from navarch.kinds.lease import LEASE
from navarch.kinds.namespace import NAMESPACE
from navarch.kinds.node import NODE
from navarch.kinds.pod import POD
from navarch.kinds.podtemplate import PODTEMPLATE
from navarch.kinds.priorityclass import PRIORITYCLASS
from navarch.kinds.quota import LIMITRANGE, RESOURCEQUOTA
from navarch.kinds.rbac import CLUSTERROLE, CLUSTERROLEBINDING, ROLE, ROLEBINDING
from navarch.kinds.replicaset import REPLICASET
from navarch.kinds.replicationcontroller import REPLICATIONCONTROLLER
from navarch.kinds.review import (
    BINDING,
    LOCALSUBJECTACCESSREVIEW,
    SCALE,
    SELFSUBJECTACCESSREVIEW,
    SELFSUBJECTREVIEW,
    SELFSUBJECTRULESREVIEW,
    SUBJECTACCESSREVIEW,
    TOKENREQUEST,
    TOKENREVIEW,
)
from navarch.kinds.secret import SECRET
from navarch.kinds.service import SERVICE
from navarch.kinds.serviceaccount import SERVICEACCOUNT
from navarch.kinds.statefulset import STATEFULSET
from navarch.kinds.storage import PERSISTENTVOLUME, PERSISTENTVOLUMECLAIM, STORAGECLASS

ALL: tuple[Kind, ...] = (
    BINDING,
    CONFIGMAP,
    ENDPOINTS,
    EVENT,
    LIMITRANGE,
    NAMESPACE,
    NODE,
    PERSISTENTVOLUMECLAIM,
    PERSISTENTVOLUME,
    POD,
    PODTEMPLATE,
    REPLICATIONCONTROLLER,
    RESOURCEQUOTA,
    SECRET,
    SERVICEACCOUNT,
    SERVICE,
    CONTROLLERREVISION,
    DAEMONSET,
    DEPLOYMENT,
    REPLICASET,
    STATEFULSET,
    EVENTS_EVENT,
    SELFSUBJECTREVIEW,
    TOKENREVIEW,
    LOCALSUBJECTACCESSREVIEW,
    SELFSUBJECTACCESSREVIEW,
    SELFSUBJECTRULESREVIEW,
    SUBJECTACCESSREVIEW,
    HORIZONTALPODAUTOSCALER,
    HORIZONTALPODAUTOSCALER_V1,
    CRONJOB,
    JOB,
    PODDISRUPTIONBUDGET,
    CLUSTERROLEBINDING,
    CLUSTERROLE,
    ROLEBINDING,
    ROLE,
    STORAGECLASS,
    PRIORITYCLASS,
    LEASE,
    ENDPOINTSLICE,
    CUSTOMRESOURCEDEFINITION,
)

BODIES: tuple[Kind, ...] = (
    EVICTION,
    SCALE,
    TOKENREQUEST,
)

__all__ = [
    "ALL",
    "BINDING",
    "BODIES",
    "CLUSTERROLE",
    "CLUSTERROLEBINDING",
    "CONFIGMAP",
    "CONTROLLERREVISION",
    "CRONJOB",
    "CUSTOMRESOURCEDEFINITION",
    "DAEMONSET",
    "DEPLOYMENT",
    "ENDPOINTS",
    "ENDPOINTSLICE",
    "EVENT",
    "EVENTS_EVENT",
    "EVICTION",
    "HORIZONTALPODAUTOSCALER",
    "HORIZONTALPODAUTOSCALER_V1",
    "JOB",
    "LEASE",
    "LIMITRANGE",
    "LOCALSUBJECTACCESSREVIEW",
    "NAMESPACE",
    "NODE",
    "PERSISTENTVOLUME",
    "PERSISTENTVOLUMECLAIM",
    "POD",
    "PODDISRUPTIONBUDGET",
    "PODTEMPLATE",
    "PRIORITYCLASS",
    "REPLICASET",
    "REPLICATIONCONTROLLER",
    "RESOURCEQUOTA",
    "ROLE",
    "ROLEBINDING",
    "SCALE",
    "SECRET",
    "SELFSUBJECTACCESSREVIEW",
    "SELFSUBJECTREVIEW",
    "SELFSUBJECTRULESREVIEW",
    "SERVICE",
    "SERVICEACCOUNT",
    "STATEFULSET",
    "STORAGECLASS",
    "SUBJECTACCESSREVIEW",
    "TOKENREQUEST",
    "TOKENREVIEW",
    "Kind",
]
