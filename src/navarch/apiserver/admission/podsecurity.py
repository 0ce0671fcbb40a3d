"""PodSecurity: how much a namespace lets its pods do, by its labels: refused, told to the client, or noted.

What a standard asks is in `kinds.podspec.security_levels`.

Source: https://kubernetes.io/docs/concepts/security/pod-security-admission/
"""

from __future__ import annotations

from collections.abc import Mapping

from navarch.apiserver import refusals
from navarch.apiserver.admission.review import Review
from navarch.apiserver.audit import notes
from navarch.base.errors import Cause
from navarch.kinds import (
    CRONJOB,
    DAEMONSET,
    DEPLOYMENT,
    JOB,
    NAMESPACE,
    POD,
    PODTEMPLATE,
    REPLICASET,
    REPLICATIONCONTROLLER,
    RUNTIMECLASS,
    STATEFULSET,
)
from navarch.kinds.kind import Kind
from navarch.kinds.podspec.security_checks import Violation
from navarch.kinds.podspec.security_levels import PRIVILEGED, Policy, policy, violations
from navarch.kinds.runtimeclass import HOST_PROCESS_HANDLER
from navarch.objects.value import Document, dig

LABEL = "pod-security.kubernetes.io/"
MODES = ("enforce", "audit", "warn")
TEMPLATES: Mapping[Kind, tuple[str, ...]] = {
    **dict.fromkeys((DEPLOYMENT, REPLICASET, STATEFULSET, DAEMONSET, JOB, REPLICATIONCONTROLLER), ("spec", "template")),
    CRONJOB: ("spec", "jobTemplate", "spec", "template"),
    PODTEMPLATE: ("template",),
}
"""Where the pods stand that a kind makes; those are told of, and refused only when they are made."""
KINDS = (POD, NAMESPACE, *TEMPLATES)
MOST_PODS = 3000
"""How many pods of a namespace are looked at when it becomes stricter."""


def validate(review: Review) -> None:
    """Raises: Forbidden, Invalid (labels of a namespace that say nothing that there is)."""
    kind = review.intent.kind
    if review.intent.verb == "delete":
        return
    if kind is NAMESPACE:
        _namespace(review)
    elif kind is POD:
        if review.is_on("pods", "", "ephemeralcontainers", "resize"):
            _pod(review)
    elif not review.intent.subresource:
        template = dig(review.draft.document, *TEMPLATES[kind])
        if template and template != dig(review.old or {}, *TEMPLATES[kind]):
            _tell(review, template, ("audit", "warn"))


def _policies(review: Review) -> dict[str, Policy]:
    found = review.state.get(NAMESPACE, "", review.namespace)
    return {} if found is None else policies(found.labels)


def policies(labels: Mapping[str, str]) -> dict[str, Policy]:
    """What a namespace's labels ask for, by mode; a warning is as strict as what is enforced where it says nothing."""
    found: dict[str, Policy] = {}
    for mode in MODES:
        level = labels.get(f"{LABEL}{mode}", "")
        if level:
            found[mode] = policy(level, labels.get(f"{LABEL}{mode}-version", ""))[0]
    return found


def _pod(review: Review) -> None:
    """Raises: Forbidden."""
    pod, old = review.draft.document, review.old
    if old is not None and old.get("spec") == pod.get("spec") and _annotations(old) == _annotations(pod):
        return
    asked = _policies(review)
    enforced = asked.get("enforce")
    if notes.wanted():
        notes.renote(f"{LABEL}enforce-policy", str(enforced) if enforced is not None else "privileged:latest")
    if not asked:
        return
    if enforced is not None:
        broken = broken_by(review, enforced, pod)
        if broken:
            why = f'violates PodSecurity "{enforced}": {", ".join(map(str, broken))}'
            raise refusals.forbidden(review.intent.kind, review.intent.name, why)
    _tell(review, pod, ("audit", "warn"))


def broken_by(review: Review, asked: Policy, pod: Document) -> list[Violation]:
    """What of a pod, or of a template of pods, breaks the policy. To be a process of the host is to have its files."""
    spec = pod.get("spec") or {}
    found = violations(asked, pod.get("metadata") or {}, spec)
    name = spec.get("runtimeClassName")
    if name and asked.level != PRIVILEGED:
        chosen = review.state.get(RUNTIMECLASS, "", name)
        if chosen is not None and chosen.document().get("handler") == HOST_PROCESS_HANDLER:
            found.append(
                Violation("host processes", f'pod must not use RuntimeClass "{name}", which shows it the host\'s files')
            )
    return found


def _annotations(pod: Document) -> Document:
    return dig(pod, "metadata", "annotations") or {}


def _tell(review: Review, pod: Document, modes: tuple[str, ...]) -> None:
    """To the client, and to the log of what was noted."""
    asked = _policies(review)
    for mode in modes:
        one = asked.get(mode)
        broken = broken_by(review, one, pod) if one is not None else ()
        if not broken:
            continue
        review.alone = True
        said = f'would violate PodSecurity "{one}": {", ".join(map(str, broken))}'
        if mode == "warn":
            review.intent.warnings.append(said)
        else:
            kind, where = review.intent.kind, f"{review.namespace}/{review.intent.name}"
            notes.note(f"{LABEL}audit-violations", said, resource=kind.resource, object=where)


def _namespace(review: Review) -> None:
    """Raises: Invalid."""
    labels = dig(review.draft.document, "metadata", "labels") or {}
    before = dig(review.old or {}, "metadata", "labels") or {}
    mine = {name: value for name, value in labels.items() if name.startswith(LABEL)}
    if review.intent.subresource or mine == {name: one for name, one in before.items() if name.startswith(LABEL)}:
        return
    causes = list(_wrong(mine))
    if causes:
        raise refusals.invalid(NAMESPACE, review.intent.name, causes)
    stricter = policies(labels).get("enforce")
    if review.old is None or stricter is None or stricter == policies(before).get("enforce"):
        return
    broken: dict[str, list[str]] = {}
    for pod in review.state.list(POD, review.intent.name)[:MOST_PODS]:
        document = pod.document()
        found = broken_by(review, stricter, document)
        if found:
            broken.setdefault(", ".join(one.reason for one in found), []).append(pod.name)
    if not broken:
        return
    review.intent.warnings.append(
        f'existing pods in namespace "{review.intent.name}" violate the new PodSecurity enforce level "{stricter}"'
    )
    for reasons, names in sorted(broken.items(), key=lambda one: min(one[1])):
        others = len(names) - 1
        more = f" (and {others} other pod{'s' if others > 1 else ''})" if others else ""
        review.intent.warnings.append(f"{min(names)}{more}: {reasons}")


def _wrong(labels: Mapping[str, str]) -> list[Cause]:
    found = []
    for mode in MODES:
        for name, level, version in ((f"{LABEL}{mode}", True, False), (f"{LABEL}{mode}-version", False, True)):
            value = labels.get(name)
            if value is None:
                continue
            wrong = policy(value if level else "", value if version else "")[1]
            if wrong:
                path, why = f"metadata.labels[{name}]", f"Invalid value: {wrong}"
                found.append(Cause("FieldValueInvalid", why, path))
    return found
