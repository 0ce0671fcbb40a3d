"""The autoscaler as a controller: collects what `plan` decides on, and remembers what it recommended.

Source: https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime

import orjson

from navarch.base.errors import ApiError, BadRequest, NotFound, Retryable
from navarch.client.client import Client
from navarch.controllers.autoscaler import measure
from navarch.controllers.autoscaler.limits import Memory
from navarch.controllers.autoscaler.measure import Problem
from navarch.controllers.autoscaler.plan import Observed, decide, measures
from navarch.controllers.controller import Cache, Controller, Watch, own_key
from navarch.controllers.options import Setup
from navarch.controllers.plan import Plan
from navarch.kinds import HORIZONTALPODAUTOSCALER, POD
from navarch.kinds.kind import Kind
from navarch.kinds.object import Object
from navarch.kinds.registry import Kinds
from navarch.objects import selector as selectors
from navarch.objects.value import Document, dig

Key = tuple[str, str]


def controller(setup: Setup) -> Controller[Observed]:
    made = Autoscaler(setup.kinds)
    return Controller(
        name="horizontalpodautoscaling",
        watches=(
            Watch(HORIZONTALPODAUTOSCALER, own_key, spec_changed),
            Watch(POD, no_keys, never),  # read at each sync, which comes by time
        ),
        observe=made.observe,
        confirm=made.confirm,
        plan=made.plan,
        component="horizontal-pod-autoscaler",
        account="horizontal-pod-autoscaler",
    )


def spec_changed(old: Object, new: Object) -> bool:
    return old.document().get("spec") != new.document().get("spec")


def no_keys(cache: Cache, found: Object) -> Iterable[Hashable]:
    return ()


def never(old: Object, new: Object) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class _Known:
    """Of one autoscaler. selector: of the pods that it last scaled, as text."""

    uid: str
    memory: Memory
    selector: str = ""


class Autoscaler:
    """The edges around `plan.decide`, and its memory between two looks."""

    def __init__(self, kinds: Kinds) -> None:
        self._kinds = kinds
        self._known: dict[Key, _Known] = {}
        self._cache: Cache | None = None

    def observe(self, cache: Cache, key: Key) -> Observed | None:
        self._cache = cache
        found = cache[HORIZONTALPODAUTOSCALER].get(*key)
        known = self._known.get(key)
        if found is None:
            self._known.pop(key, None)
            return None
        if known is None or known.uid != found.uid:
            known = self._known[key] = _Known(found.uid, Memory())
        return Observed(found, Problem(""), known.memory)

    def plan(self, observed: Observed, now: datetime) -> Plan:
        decision = decide(observed, now)
        key = observed.autoscaler.key
        if (known := self._known.get(key)) is not None:
            self._known[key] = replace(known, memory=decision.memory)
        return decision.plan

    async def confirm(self, client: Client, observed: Observed) -> Observed:
        """With the scale of the target, its pods, and what is measured."""
        autoscaler = observed.autoscaler
        spec: Document = autoscaler.document()["spec"]
        scale = await self._scale(client, autoscaler.namespace, spec["scaleTargetRef"])
        observed = replace(observed, scale=scale)
        if isinstance(scale, Problem):
            return observed
        document = scale.document()
        text = str(dig(document, "status", "selector", default=""))
        if not text or not measures(spec, int(dig(document, "spec", "replicas", default=0))):
            return observed
        try:
            chosen = selectors.parse(text)
        except BadRequest as error:
            return replace(observed, bad_selector=str(error))
        assert self._cache is not None
        pods = [pod for pod in self._cache[POD].list(autoscaler.namespace) if chosen.matches(pod.labels)]
        rivals = self._rivals(autoscaler, text, pods)
        if rivals:
            return replace(observed, rivals=rivals)
        readings = [
            await measure.read(client, self._kinds, autoscaler.namespace, metric, text)
            for metric in spec.get("metrics") or ()
        ]
        return replace(observed, pods=pods, readings=readings)

    def _rivals(self, autoscaler: Object, selector: str, pods: Iterable[Object]) -> list[Key]:
        """All autoscalers of these pods, where there are several."""
        own = self._known.get(autoscaler.key)
        if own is not None:
            self._known[autoscaler.key] = replace(own, selector=selector)
        labels = [pod.labels for pod in pods]
        found = [
            key
            for key, known in self._known.items()
            if key[0] == autoscaler.namespace
            and known.selector
            and (key == autoscaler.key or any(map(selectors.parse(known.selector).matches, labels)))
        ]
        return found if len(found) > 1 else []

    async def _scale(self, client: Client, namespace: str, reference: Document) -> Object | Problem:
        kind = self._target(reference)
        if isinstance(kind, Problem):
            return kind
        try:
            raw = await client.raw("GET", _scale_path(kind, namespace, reference["name"]))
        except NotFound as error:
            if kind.scale is None:
                return Problem(f"{error} (get {kind.resource})")
            return Problem(str(error))
        except (ApiError, Retryable) as error:
            return Problem(str(error))
        return Object.of(kind, orjson.loads(raw))

    def _target(self, reference: Document) -> Kind | Problem:
        """The kind that is scaled, in whatever version of its group is served."""
        said = reference.get("apiVersion") or ""
        if said.count("/") > 1:
            return Problem(f"unexpected GroupVersion string: {said}")
        group = said.rpartition("/")[0]
        named = self._kinds.named(said, reference["kind"]) if said else None
        if named is None:
            named = next((one for one in self._kinds if one.group == group and one.name == reference["kind"]), None)
        if named is None:
            where = f' in group "{group}"' if group else ""
            return Problem(f'no matches for kind "{reference["kind"]}"{where}')
        return named


def _scale_path(kind: Kind, namespace: str, name: str) -> str:
    root = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
    place = f"/namespaces/{namespace}" if kind.namespaced else ""
    return f"{root}{place}/{kind.plural}/{name}/scale"
