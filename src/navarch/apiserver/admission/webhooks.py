"""MutatingAdmissionWebhook and ValidatingAdmissionWebhook: whoever was configured is asked about a write.

Those that may change it one after the other, and once more where what they saw was changed after them; those that only
say yes or no all at once. Nothing is held up for others meanwhile: a webhook may itself read and write.

Source: https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import orjson

from navarch.apiserver import refusals, trace
from navarch.apiserver.admission import conditions, hook_answers
from navarch.apiserver.admission.hook_answers import CallFailed, Denied, Verdict, internal
from navarch.apiserver.admission.hook_counts import HookCounts
from navarch.apiserver.admission.hooks import Hook, Hooks
from navarch.apiserver.admission.request import full_request, operation
from navarch.apiserver.admission.review import Plugin, Review
from navarch.apiserver.audit import notes
from navarch.apiserver.call import Authorizer
from navarch.apiserver.outgoing import Unreachable
from navarch.apiserver.prepare import revised
from navarch.apiserver.resolving import Reach, url_of
from navarch.apiserver.state import State
from navarch.base.errors import ApiError, BadRequest
from navarch.base.log import Log
from navarch.base.metrics import Registry
from navarch.kinds import MUTATINGWEBHOOKCONFIGURATION, VALIDATINGWEBHOOKCONFIGURATION
from navarch.kinds.kind import Kind
from navarch.objects import patch
from navarch.objects.value import Document
from navarch.store.store import Change

log = Log("apiserver.webhooks")
HEADERS = (("Content-Type", "application/json"), ("Accept", "application/json, */*"))
NOT_YET = ("uid", "creationTimestamp", "generation")
"""What the server gives a new object only after it was changed by webhooks."""
MUTATING, VALIDATING = "admit", "validating"
ANNOTATIONS = "webhook.admission.k8s.io"


@dataclass(slots=True)
class _Rounds:
    """What is remembered of one write between the rounds. earlier: asked, and to be asked again if something changes
    after them. again: those of whom that came true. last: what the object was when the last round ended."""

    earlier: set[tuple[str, int]] = field(default_factory=set)
    again: set[tuple[str, int]] = field(default_factory=set)
    last: Document | None = None

    def changed(self) -> None:
        self.again |= self.earlier
        self.earlier = set()


class Webhooks:
    """Both plugins. authorizer: asked for at each write, for it is made after this."""

    def __init__(
        self, state: State, reach: Reach, authorizer: Callable[[], Authorizer | None], metrics: Registry
    ) -> None:
        self._state = state
        self._reach = reach
        self._authorizer = authorizer
        self._counts = HookCounts(metrics, state.clock)
        self._mutating = Hooks(state, MUTATINGWEBHOOKCONFIGURATION)
        self._validating = Hooks(state, VALIDATINGWEBHOOKCONFIGURATION)
        state.listeners.append(self._heard)
        state.loaded.append(self._forget)
        state.kinds.follow(self._forget)

    def _heard(self, kind: Kind, change: Change) -> None:
        if kind is MUTATINGWEBHOOKCONFIGURATION:
            self._mutating.changed()
        elif kind is VALIDATINGWEBHOOKCONFIGURATION:
            self._validating.changed()

    def _forget(self) -> None:
        self._mutating.changed()
        self._validating.changed()

    def mutating(self) -> Plugin:
        return Plugin(
            "MutatingAdmissionWebhook",
            concerns=lambda review: bool(self._mutating.of(review)),
            ask_mutate=self._mutate,
            reads=(MUTATINGWEBHOOKCONFIGURATION,),
        )

    def validating(self) -> Plugin:
        return Plugin(
            "ValidatingAdmissionWebhook",
            concerns=lambda review: bool(self._validating.of(review)),
            ask_validate=self._validate,
            reads=(VALIDATINGWEBHOOKCONFIGURATION,),
        )

    async def _mutate(self, review: Review) -> None:
        """Raises: ApiError."""
        rounds = review.memory.setdefault("webhooks", _Rounds())
        if review.round and rounds.last != review.draft.document:
            rounds.changed()
        for hook in self._mutating.of(review):
            kind = self._matched(hook, review, MUTATING)
            if kind is None or (review.round and hook.uid not in rounds.again):
                continue
            changed = await self._asked(hook, review, kind, mutating=True)
            if notes.wanted():
                told = {"configuration": hook.uid[0], "webhook": hook.name, "mutated": changed}
                where = f"round_{review.round}_index_{self._mutating.place(hook)}"
                notes.note(f"mutation.{ANNOTATIONS}/{where}", orjson.dumps(told).decode())
            if changed:
                rounds.changed()
                review.again = True
            if hook.reinvoked:
                rounds.earlier.add(hook.uid)
        rounds.last = review.draft.document

    async def _validate(self, review: Review) -> None:
        """Raises: ApiError, the first in the order of the webhooks, once all have answered."""
        asked = [(hook, self._matched(hook, review, VALIDATING)) for hook in self._validating.of(review)]
        refused: list[ApiError | None] = [None] * len(asked)

        async def ask(index: int, hook: Hook, kind: Kind) -> None:
            try:
                await self._asked(hook, review, kind, mutating=False)
            except ApiError as error:
                refused[index] = error

        trace.share()
        async with asyncio.TaskGroup() as group:
            for index, (hook, kind) in enumerate(asked):
                if kind is not None:
                    group.create_task(ask(index, hook, kind))
        for error in refused:
            if error is not None:
                raise error

    def _matched(self, hook: Hook, review: Review, type_: str) -> Kind | None:
        """As what a webhook is asked about the write, None where it is not. Raises: NotFound, Forbidden."""
        kind = hook.constraints.match(review)
        if kind is None or not hook.conditions:
            return kind
        try:
            names = conditions.bound(review, kind, self._authorizer())
            if conditions.match(hook.conditions, names, hook.fails):
                return kind
        except conditions.Undecided as fault:
            raise refusals.forbidden(review.intent.shown, review.intent.name, str(fault)) from None
        self._counts.excluded(hook.name, type_, operation(review))
        return None

    async def _asked(self, hook: Hook, review: Review, kind: Kind, *, mutating: bool) -> bool:
        """Ask one webhook and do as it says; whether it changed the object.

        Raises: ApiError: it says no, it could not be asked and fails closed, or what it did makes no sense.
        """
        with self._counts.call(hook.name, MUTATING if mutating else VALIDATING, operation(review)) as counted:
            try:
                verdict = await self._call(hook, review, kind, mutating=mutating)
                review.intent.warnings.extend(verdict.warnings)
                for key, value in verdict.annotations:
                    notes.note(f"{hook.name}/{key}", value, resource=kind.resource)
                if not verdict.allowed:
                    raise hook_answers.denied(hook.name, verdict.status)
                return bool(verdict.patch) and await self._patch(hook, review, kind, verdict)
            except CallFailed as failure:
                told = failure.told(hook.name)
                if not hook.fails:
                    counted.failed_open(failure.code)
                    if notes.wanted():
                        what, hooks = ("mutating", self._mutating) if mutating else ("validating", self._validating)
                        where = f"round_{review.round}_index_{hooks.place(hook)}"
                        notes.note(f"failed-open.{what}.{ANNOTATIONS}/{where}", hook.name)
                    log.warning("a webhook was not asked, and its policy is to go on", webhook=hook.name, why=told)
                    return False
                counted.failed(failure.code)
                raise internal(told) from None
            except Denied as no:
                counted.denied(no.code)
                raise
            except ApiError:
                counted.broken()
                raise

    async def _call(self, hook: Hook, review: Review, kind: Kind, *, mutating: bool) -> Verdict:
        """Raises: CallFailed; BadRequest, for a dry run that the webhook is no good for."""
        if review.intent.dry_run and not hook.dry:
            raise BadRequest(f'admission webhook "{hook.name}" does not support dry run')
        uid = self._state.ids.uid()
        request = await self._request(review, kind, uid)
        if mutating and request["object"] is not None and review.body is None:
            request["object"] = _not_yet_prepared(review, request["object"])
            if review.generated:
                request["name"] = ""
        query = f"timeout={hook.timeout_s}s"
        try:
            target = self._reach.target(hook.client)
            body = hook_answers.review(hook.review, request)
            answered = await self._reach.outgoing.ask(
                target, "POST", query, headers=HEADERS, body=body, timeout_s=hook.timeout_s
            )
        except Unreachable as why:
            where = f"{url_of(hook.client)}?{query}"
            raise CallFailed(f'failed to call webhook: Post "{where}": {why}') from why
        return hook_answers.verdict(hook_answers.content(answered), hook.review, uid, mutating=mutating)

    async def _request(self, review: Review, kind: Kind, uid: str) -> Document:
        """The AdmissionRequest, its objects in the version of `kind`. Raises: ConversionFailed."""
        request = full_request(review, kind, uid)
        if kind.conversion is not None and review.intent.subresource != "scale":
            for field_ in ("object", "oldObject"):
                if request[field_] is not None:
                    request[field_] = await self._state.conversions.document(kind, request[field_])
        return request

    async def _patch(self, hook: Hook, review: Review, kind: Kind, verdict: Verdict) -> bool:
        """Raises: CallFailed; Internal, where the patch does not apply or what it makes is none of the kind."""
        request = await self._request(review, kind, "")
        if request["object"] is None:
            raise internal(
                f'admission webhook "{hook.name}" attempted to modify the object, which is not supported for this '
                "operation"
            )
        if verdict.patch_type != hook_answers.JSON_PATCH:
            raise CallFailed(f'unsupported patch type "{verdict.patch_type}"')
        before = request["object"] if review.body else _not_yet_prepared(review, request["object"])
        try:
            after = patch.json_patch(before, verdict.patch)
            if kind.conversion is not None and kind is not review.intent.shown:
                convert, kind = self._state.conversions.document, review.intent.shown
                before, after = await convert(kind, before), await convert(kind, after)
            return revised(review, kind, before, after)
        except ApiError as error:
            raise internal(error.message) from None


def _not_yet_prepared(review: Review, document: Document) -> Document:
    """The object as it is before the server fills in what it gives after mutation."""
    metadata = dict(document["metadata"])
    if review.old is None:
        for name in NOT_YET:
            metadata.pop(name, None)
        if review.generated:
            del metadata["name"]
    elif "generation" in review.old["metadata"]:
        metadata["generation"] = review.old["metadata"]["generation"]
    return {**document, "metadata": metadata}
