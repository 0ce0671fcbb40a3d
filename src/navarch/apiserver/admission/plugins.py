"""The admission plugins, in the order in which they run."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from navarch.apiserver.admission import (
    accounts,
    certificates,
    classes,
    devices,
    limits,
    namespaces,
    nodes,
    pods,
    podsecurity,
    quota,
    runtimes,
    volumes,
)
from navarch.apiserver.admission.accounts import Issue
from navarch.apiserver.admission.policies_mutating import Mutating
from navarch.apiserver.admission.policies_validating import Validating
from navarch.apiserver.admission.review import Plugin, Review, Step
from navarch.apiserver.admission.services import Allocation
from navarch.apiserver.admission.webhooks import Webhooks
from navarch.apiserver.allocate import ADDRESSES
from navarch.apiserver.call import Authorizer, User
from navarch.apiserver.state import State
from navarch.kinds import (
    CERTIFICATESIGNINGREQUEST,
    DEVICETAINTRULE,
    INGRESS,
    INGRESSCLASS,
    LIMITRANGE,
    MUTATINGADMISSIONPOLICY,
    MUTATINGADMISSIONPOLICYBINDING,
    NAMESPACE,
    NODE,
    PERSISTENTVOLUME,
    PERSISTENTVOLUMECLAIM,
    POD,
    PRIORITYCLASS,
    RESOURCECLAIM,
    RESOURCECLAIMTEMPLATE,
    RESOURCEQUOTA,
    RESOURCESLICE,
    RUNTIMECLASS,
    SECRET,
    SERVICE,
    SERVICEACCOUNT,
    STORAGECLASS,
    VALIDATINGADMISSIONPOLICY,
    VALIDATINGADMISSIONPOLICYBINDING,
)
from navarch.kinds.certificates import GROUP as CERTIFICATES
from navarch.kinds.kind import Kind
from navarch.objects.value import Document

Grants = Callable[[User, Kind, Document, Document | None], None]
"""Refuses (by raising Forbidden) to let a user hand on more than it holds: (who, kind, new, old)."""


PODS_BY_THEIR_NAMESPACE = (
    Plugin(
        "LimitRanger",
        mutate=limits.mutate,
        validate=limits.validate,
        reads=(LIMITRANGE,),
        kinds=(POD, PERSISTENTVOLUMECLAIM),
    ),
    Plugin(
        "ServiceAccount",
        mutate=accounts.mutate,
        validate=accounts.validate,
        reads=(SERVICEACCOUNT,),
        kinds=(POD,),
        creations=True,
    ),
    Plugin("RuntimeClass", mutate=runtimes.mutate, reads=(RUNTIMECLASS,), kinds=(POD,), creations=True),
    Plugin("NodeRestriction", mutate=nodes.date_taints, validate=nodes.validate, reads=(), kinds=(POD, NODE)),
    Plugin("Priority", mutate=pods.prioritize, reads=(PRIORITYCLASS,), kinds=(POD,), creations=True),
)
STORAGE_AND_CLASSES = (
    Plugin(
        "StorageObjectInUseProtection",
        mutate=volumes.protect,
        reads=(),
        kinds=(PERSISTENTVOLUMECLAIM, PERSISTENTVOLUME),
        creations=True,
    ),
    Plugin(
        "DefaultStorageClass",
        mutate=classes.storage,
        reads=(STORAGECLASS,),
        kinds=(PERSISTENTVOLUMECLAIM,),
        creations=True,
    ),
    Plugin("DefaultIngressClass", mutate=classes.ingress, reads=(INGRESSCLASS,), kinds=(INGRESS,), creations=True),
    Plugin("DeviceTaintTimes", mutate=devices.date_taints, reads=(), kinds=(DEVICETAINTRULE, RESOURCESLICE)),
    Plugin(
        "DeviceAdminAccess",
        validate=devices.validate,
        reads=(NAMESPACE,),
        kinds=(RESOURCECLAIM, RESOURCECLAIMTEMPLATE),
    ),
    Plugin(
        "PersistentVolumeClaimResize", validate=volumes.resize, reads=(STORAGECLASS,), kinds=(PERSISTENTVOLUMECLAIM,)
    ),
)


def plugins(
    state: State,
    grants: Callable[[], Grants | None],
    issue: Callable[[], Issue | None],
    patience_s: int,
    authorizer: Callable[[], Authorizer | None],
    webhooks: Webhooks,
    extensions: Sequence[Plugin] = (),
    networks: str = ADDRESSES,
) -> tuple[Plugin, ...]:
    """All of them. grants, issue, authorizer: asked at each write, for they are made after the core. patience_s: how
    long pods that say nothing about it stay on a node that was lost. extensions: plugins that were installed.
    networks: out of which Services have addresses, one of a family, parted by commas."""

    return (
        Plugin("NamespaceLifecycle", mutate=namespaces.admit, validate=namespaces.keep, reads=(NAMESPACE,)),
        *PODS_BY_THEIR_NAMESPACE,
        Plugin("DefaultTolerationSeconds", mutate=pods.tolerate(patience_s), reads=(), kinds=(POD,), creations=True),
        *STORAGE_AND_CLASSES,
        *extensions,
        Plugin(
            "MutatingAdmissionPolicy",
            mutate=Mutating(state, authorizer).mutate,
            reads=(MUTATINGADMISSIONPOLICY, MUTATINGADMISSIONPOLICYBINDING),
        ),
        webhooks.mutating(),
        Plugin("ServiceAccountTokens", mutate=accounts.fill_token(issue), reads=(), settles=True, kinds=(SECRET,)),
        Plugin(
            "CertificateSubject", mutate=certificates.mutate, reads=(), settles=True, kinds=(CERTIFICATESIGNINGREQUEST,)
        ),
        Plugin(
            "ServiceAllocation", mutate=Allocation(state, networks).mutate, reads=(), settles=True, kinds=(SERVICE,)
        ),
        Plugin("PodSecurity", validate=podsecurity.validate, reads=(NAMESPACE, RUNTIMECLASS), kinds=podsecurity.KINDS),
        Plugin(
            "CertificateSubjectRestriction",
            validate=certificates.restrict,
            reads=(),
            kinds=(CERTIFICATESIGNINGREQUEST,),
            creations=True,
        ),
        Plugin("Escalation", validate=_escalation(grants), reads=()),
        Plugin(
            "ValidatingAdmissionPolicy",
            validate=Validating(state, authorizer).validate,
            reads=(VALIDATINGADMISSIONPOLICY, VALIDATINGADMISSIONPOLICYBINDING),
            bodies=True,
        ),
        webhooks.validating(),
        Plugin("ResourceQuota", validate=quota.Quotas(state).validate, reads=(RESOURCEQUOTA,)),
    )


def _escalation(grants: Callable[[], Grants | None]) -> Step:
    def validate(review: Review) -> None:
        check = grants()
        direct = not review.intent.subresource or review.intent.kind.group == CERTIFICATES
        if check is not None and review.intent.verb != "delete" and direct:
            check(review.intent.user, review.intent.kind, review.draft.document, review.old)

    return validate
