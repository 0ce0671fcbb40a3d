"""Follows network policies and what they speak of, and says what they make of this node's pods now.

Pods of the whole cluster are looked at only while there is a policy: without any, a node needs to know its own pods
alone, and may do no more. What the objects come to is `Policies`' business.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from navarch.base.log import Log
from navarch.base.tasks import BugReport
from navarch.client.informer import Informer, Informers
from navarch.kinds import NAMESPACE, NETWORKPOLICY, POD
from navarch.kinds.object import Object
from navarch.proxy.addresses import Family, proper
from navarch.proxy.isolation import FREE, Isolation
from navarch.proxy.podfacts import PodFacts, facts
from navarch.proxy.policy import Key, Policies

log = Log("proxy")
bugs = BugReport(log)


class PolicyWatch:
    """families: those that pods have addresses of. changed: called when `isolation` may have another answer. It must
    not block."""

    def __init__(
        self, informers: Informers, node: str, families: Sequence[Family], changed: Callable[[], None]
    ) -> None:
        self._informers = informers
        self._following = informers.of(NETWORKPOLICY)
        self._namespaces: Informer | None = None
        self._pods: Informer | None = None
        self._policies = {family: Policies(node, family) for family in families}
        self._changed = changed
        self._early: dict[Key, tuple[str, ...]] = {}
        self._dirty = True
        self._made: Mapping[Family, Isolation] = dict.fromkeys(families, FREE)

    async def begin(self) -> None:
        """Returns once everything that was there is known: a node that starts again opens no gap."""
        self._following.subscribe(self._policy_changed)
        await self._following.synced.wait()
        for informer in self._peers():
            await informer.synced.wait()

    def isolation(self, family: Family) -> Isolation:
        """The same value as long as nothing changed, and as long as not all is known that it depends on."""
        if self._dirty and all(each.synced.is_set() for each in self._peers()):
            self._dirty = False
            try:
                made = {each: policies.isolation() for each, policies in self._policies.items()}
            except Exception as bug:  # noqa: BLE001 - reported; what was in force stays in force
                bugs.report("network policies", bug)
            else:
                held = self._made
                self._made = {each: held[each] if new == held[each] else new for each, new in made.items()}
        return self._made[family]

    def expect(self, found: Object, addresses: Sequence[str]) -> bool:
        """A pod of this node is about to start there, and the API does not say so yet: whether that matters."""
        if not self._any():
            return False
        known = facts(found)
        early = proper(addresses)
        if known.addresses or not early:
            return False
        self._early[found.key] = early
        self._put_pod(found, known._replace(addresses=early))
        return True

    def _any(self) -> bool:
        return any(self._policies.values())

    def _put_pod(self, found: Object, known: PodFacts | None) -> None:
        changed = [each.put_pod(found.namespace, found.name, known) for each in self._policies.values()]
        if any(changed):
            self._touch()

    def _peers(self) -> tuple[Informer, ...]:
        return tuple(each for each in (self._namespaces, self._pods) if each is not None)

    def _follow_peers(self) -> None:
        if self._namespaces is None:
            self._namespaces = self._informers.of(NAMESPACE)
            self._namespaces.subscribe(self._namespace_changed)
            self._namespaces.on_relist(self._touch)
        self._pods = self._informers.of(POD)
        self._pods.subscribe(self._pod_changed)
        self._pods.on_relist(self._touch)

    def _leave_pods(self, pods: Informer) -> None:
        self._informers.release(pods)
        self._pods = None
        for each in self._policies.values():
            each.forget_pods()
        self._early.clear()

    def _policy_changed(self, old: Object | None, new: Object | None) -> None:
        found = new or old
        if found is None:
            return
        for each in self._policies.values():
            each.put_policy(found.namespace, found.name, new.view if new else None)
        if self._any() and self._pods is None:
            self._follow_peers()
        elif not self._any() and self._pods is not None:
            self._leave_pods(self._pods)
        self._touch()

    def _namespace_changed(self, old: Object | None, new: Object | None) -> None:
        found = new or old
        if found is not None and (old is None or new is None or old.labels != new.labels):
            for each in self._policies.values():
                each.put_namespace(found.name, new.labels if new else None)
            self._touch()

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        found = new or old
        if found is None:
            return
        known = facts(new) if new else None
        if known is None or known.addresses or (old and new and old.uid != new.uid):
            self._early.pop(found.key, None)
        elif early := self._early.get(found.key):
            known = known._replace(addresses=early)
        self._put_pod(found, known)

    def _touch(self) -> None:
        self._dirty = True
        self._changed()
