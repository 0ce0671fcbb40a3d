"""Requests for resources: from a `Call` to the verb, and from what the verb returns to a `Response`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

from navarch.apiserver import (
    bodies,
    decode,
    lines,
    metering,
    negotiate,
    options,
    refusals,
    render,
    reply,
    verb_delete,
    verb_read,
)
from navarch.apiserver.aside import LARGE_BYTES
from navarch.apiserver.call import Call
from navarch.apiserver.context import Context
from navarch.apiserver.discovery import RETURNED_WHEN_DELETED
from navarch.apiserver.negotiate import Form
from navarch.apiserver.options import Intent
from navarch.apiserver.selection import Selection
from navarch.apiserver.subresources import ACTS, Act, act_for
from navarch.apiserver.verb_create import create
from navarch.apiserver.verb_patch import apply, patch
from navarch.apiserver.verb_update import update
from navarch.base.errors import ApiError, BadRequest, Retryable
from navarch.kinds import BINDING, COMPONENTSTATUS, POD, TOKENREQUEST
from navarch.kinds.componentstatus import told
from navarch.kinds.kind import Kind
from navarch.kinds.metrics_published import GROUP as METRICS
from navarch.kinds.object import Object
from navarch.objects.value import Document, dig
from navarch.wire.message import Response

OF_ONE = ("get", "update", "patch", "delete")


async def handle(context: Context, call: Call) -> Response:
    """Never raises for what a client did wrong: that is a Response too."""
    try:
        if len(call.request.body) > LARGE_BYTES:
            return await _large(context, call)
        response = await _handled(context, call)
        if call.warnings and lines.is_yaml(call.request):
            lines.located_warnings(response, call.request)
        return response
    except (ApiError, Retryable) as error:
        if isinstance(error, ApiError):
            lines.located(error, call.request)
        return reply.failure(error, negotiate.form_of_error(call.request), call.warnings)


async def _large(context: Context, call: Call) -> Response:
    """The same, with what takes long beside the loop. Raises: Retryable; TooMany."""
    with context.state.aside.holding(len(call.request.body)) as aside:
        call.aside = aside
        try:
            await aside.run(bodies.read_ahead, call.request)
            response = await _handled(context, call)
        except ApiError as error:
            await aside.run(lines.located, error, call.request)
            return reply.failure(error, negotiate.form_of_error(call.request), call.warnings)
        if call.warnings and lines.is_yaml(call.request):
            await aside.run(lines.located_warnings, response, call.request)
        return response


async def _decoded(call: Call, kind: Kind, validation: options.Validation, warnings: list[str]) -> Document:
    """The body as a document of a kind. Raises: BadRequest, UnsupportedMediaType."""
    body = bodies.body(call.request, call.warnings)
    if call.aside is None:
        return decode.of_kind(kind, body, validation, warnings)
    return await call.aside.run(decode.of_kind, kind, body, validation, warnings)


async def _handled(context: Context, call: Call) -> Response:
    kind = context.state.kinds.resource(call.group, call.version, call.resource)
    if kind is None and context.state.store.shared:  # another server may have just been told of it
        await context.state.feed.fresh()
        kind = context.state.kinds.resource(call.group, call.version, call.resource)
    if kind is None:
        raise refusals.no_such_path()
    if kind.group == METRICS:
        _check_place(call, kind)
        return await metering.answer(context, call, kind, negotiate.form_of(call.request, packs=False))
    packs = not kind.custom or call.subresource == "scale"
    form = negotiate.form_of(call.request, packs=packs, watch=call.verb == "watch")
    if kind.deprecated:
        call.warnings.append(kind.deprecated)
        if kind is COMPONENTSTATUS:
            return _components(context, call, form)
    if not kind.namespaced and call.namespace:
        call = replace(call, namespace="")  # RBAC's way of naming a Namespace; also of reviews
    _check_place(call, kind)
    if call.request.method == "HEAD":  # as Kubernetes: resources are read with GET alone
        raise refusals.not_allowed(kind, "")
    if call.subresource:
        return await _subresource(context, call, kind, form)
    if kind is BINDING and call.verb == "create":
        return await _bound(context, call, form)
    if (kind.plural, "") in context.answers and not kind.custom:
        return await _posted(context, call, kind, form)
    if call.verb not in VERBS or call.verb not in kind.verbs:
        raise refusals.not_allowed(kind, call.verb)
    return await VERBS[call.verb](context, call, kind, form)


def _check_place(call: Call, kind: Kind) -> None:
    """Some verbs are of a collection, some of one object, and only lists and watches are of all namespaces.

    Raises: MethodNotAllowed, NotFound.
    """
    if call.verb in OF_ONE:
        if not call.name:
            raise refusals.not_allowed(kind, call.verb)
        if kind.namespaced and not call.namespace:
            raise refusals.no_such_path()
    elif kind.namespaced and not call.namespace and call.verb in ("create", "deletecollection"):
        raise refusals.not_allowed(kind, call.verb)


async def _subresource(context: Context, call: Call, kind: Kind, form: Form) -> Response:
    where = (kind.plural, call.subresource)
    if where in context.answers and not kind.custom:
        return await _posted(context, call, kind, form)
    act = act_for(kind, call.subresource)
    if act is not None:
        return await _act(context, call, kind, form, act)
    if call.subresource not in kind.subresources:
        raise refusals.no_such_path()
    verbs = {"get": _get, "update": _update, "patch": _patch}
    if call.verb not in verbs:
        raise refusals.not_allowed(kind, call.verb)
    return await verbs[call.verb](context, call, kind, form)


async def _act(context: Context, call: Call, kind: Kind, form: Form, act: Act) -> Response:
    """Subresources whose documents are not the object's (scale, binding, eviction)."""
    if call.verb not in act.verbs:
        raise refusals.not_allowed(kind, call.verb)
    intent = intent_of(call, kind)
    if call.verb == "get":
        found = Object.of(act.body, await act.get(context, intent))
        return render.one(context, call, act.body, found, form)
    if call.verb == "patch":
        type_, wanted = bodies.patch(call.request, call.warnings)
        options.check_patch_options(call.request, applies=type_ == bodies.APPLY_YAML)
        if type_ == bodies.APPLY_YAML:
            _check_applied(wanted, act.body)
            intent.verb = "apply"
        return reply.respond(await act.patch(context, intent, type_, wanted), form, 200, call.warnings)
    body = await _decoded(call, act.body, intent.validation, intent.warnings)
    return reply.respond(
        await act.put(context, intent, body), form, 201 if call.verb == "create" else 200, call.warnings
    )


def _components(context: Context, call: Call, form: Form) -> Response:
    """How the parts of the control plane are, each asked now. Raises: NotFound, MethodNotAllowed."""
    kind = COMPONENTSTATUS
    if call.verb not in kind.verbs:
        raise refusals.not_allowed(kind, call.verb)
    if call.subresource:
        raise refusals.no_such_path()
    found = [Object.of(kind, told(name, check())) for name, check in sorted(context.components.items())]
    if call.verb == "get":
        one = next((one for one in found if one.name == call.name), None)
        if one is None:
            raise refusals.not_found(kind, call.name)
        return render.one(context, call, kind, one, form)
    asked = options.list_options(call.request)
    chosen = Selection(kind, "", asked.labels, asked.fields)
    page = verb_read.Page([one for one in found if chosen.matches(one)], context.state.feed.revision)
    return render.many(context, call, kind, page, form)


async def _bound(context: Context, call: Call, form: Form) -> Response:
    """A Binding posted by itself: the old way to bind the pod that it is named after."""
    body = await _decoded(call, BINDING, options.validation(call.request), call.warnings)
    pod = replace(call, resource="pods", subresource="binding", name=dig(body, "metadata", "name") or "")
    found = await ACTS["pods", "binding"].put(context, intent_of(pod, POD), body)
    return reply.respond(found, form, 201, call.warnings)


async def _posted(context: Context, call: Call, kind: Kind, form: Form) -> Response:
    """What is answered and not stored: reviews, tokens."""
    if call.verb != "create":
        raise refusals.not_allowed(kind, call.verb)
    form = negotiate.form_of(call.request, shown_as=False)  # no tables, and no metadata of its own
    answer = context.answers[kind.plural, call.subresource]
    shape = TOKENREQUEST if call.subresource == "token" else kind
    document = await _decoded(call, shape, options.validation(call.request), call.warnings)
    found = await answer(call.user, call.namespace, call.name, document)
    return reply.respond(found, form, 201, call.warnings)


def intent_of(call: Call, kind: Kind) -> Intent:
    """Raises: Invalid."""
    request = call.request
    if not request.query:  # as controllers and most programs ask
        manager = options.manager(request)
        return Intent(
            kind,
            call.user,
            call.verb,
            call.namespace,
            call.name,
            call.subresource,
            manager,
            False,
            "Warn",
            call.warnings,
            aside=call.aside,
        )
    return Intent(
        kind,
        call.user,
        call.verb,
        call.namespace,
        call.name,
        call.subresource,
        options.manager(request, call.verb),
        options.dry_run(request.params("dryRun"), call.verb),
        options.validation(request, call.verb),
        call.warnings,
        options.flag(request, "force"),
        call.aside,
    )


async def _shown(context: Context, kind: Kind, found: Object) -> Object:
    """In the version that was asked for, where others have to make it. Raises: ConversionFailed."""
    return await context.state.conversions.one(kind, found) if kind.conversion else found


async def _get(context: Context, call: Call, kind: Kind, form: Form) -> Response:
    revision = options.revision_of(call.request.param("resourceVersion")) if call.request.query else None
    found = await verb_read.get(context.state, kind, call.namespace, call.name, revision)
    return render.one(context, call, kind, found, form)


async def _list(context: Context, call: Call, kind: Kind, form: Form) -> Response:
    page = await verb_read.page(context.state, kind, call.namespace, options.list_options(call.request))
    return render.many(context, call, kind, page, form)


async def _watch(context: Context, call: Call, kind: Kind, form: Form) -> Response:
    asked = options.watch_options(call.request)
    if call.name:
        only = f"metadata.name={call.name}"
        asked = replace(asked, fields=f"{asked.fields},{only}" if asked.fields else only)
    return await render.events(context, call, kind, asked, form)


async def _create(context: Context, call: Call, kind: Kind, form: Form) -> Response:
    if call.name:
        raise refusals.not_allowed(kind, "create")
    found = await create(context, intent_of(call, kind), bodies.body(call.request, call.warnings))
    return render.one(context, call, kind, await _shown(context, kind, found), form, 201)


async def _update(context: Context, call: Call, kind: Kind, form: Form) -> Response:
    found, made = await update(context, intent_of(call, kind), bodies.body(call.request, call.warnings))
    return render.one(context, call, kind, await _shown(context, kind, found), form, 201 if made else 200)


async def _patch(context: Context, call: Call, kind: Kind, form: Form) -> Response:
    type_, wanted = bodies.patch(call.request, call.warnings)
    intent = intent_of(call, kind)
    options.check_patch_options(call.request, applies=type_ == bodies.APPLY_YAML)
    if type_ != bodies.APPLY_YAML:
        found = await _shown(context, kind, await patch(context, intent, type_, wanted))
        return render.one(context, call, kind, found, form)
    _check_applied(wanted, kind)
    intent.verb = "apply"
    found, made = await apply(context, intent, wanted)
    return render.one(context, call, kind, await _shown(context, kind, found), form, 201 if made else 200)


def _check_applied(wanted: Document, kind: Kind) -> None:
    """What is applied says itself what it is. Raises: BadRequest."""
    said = wanted.get("apiVersion", "")
    if said != kind.api_version:
        raise BadRequest(
            f"incorrect version specified in apply patch. Specified patch version: {said}, expected: {kind.api_version}"
        )
    if not wanted.get("kind"):
        raise BadRequest(f"the kind in the apply patch is missing, expected: {kind.name}")


async def _delete(context: Context, call: Call, kind: Kind, form: Form) -> Response:
    asked = options.delete_options(call.request, bodies.optional_document(call.request))
    intent = intent_of(call, kind)
    intent.dry_run = intent.dry_run or asked.dry_run
    outcome = await verb_delete.delete(context, intent, asked)
    if outcome.gone and kind.resource not in RETURNED_WHEN_DELETED:
        last = outcome.object
        return reply.respond(reply.success(kind, last.name, last.uid), form, 200, call.warnings)
    return render.one(context, call, kind, await _shown(context, kind, outcome.object), form)


async def _delete_collection(context: Context, call: Call, kind: Kind, form: Form) -> Response:
    asked = options.delete_options(call.request, bodies.optional_document(call.request))
    chosen = options.list_options(call.request)
    intent = intent_of(call, kind)
    intent.dry_run = intent.dry_run or asked.dry_run
    intent.verb = "delete"
    items = await verb_delete.delete_collection(context, intent, chosen, asked)
    page = verb_read.Page(items, context.state.feed.revision)
    return render.many(context, call, kind, page, form)


Verb = Callable[[Context, Call, Kind, Form], Awaitable[Response]]
VERBS: Mapping[str, Verb] = {
    "get": _get,
    "list": _list,
    "watch": _watch,
    "create": _create,
    "update": _update,
    "patch": _patch,
    "delete": _delete,
    "deletecollection": _delete_collection,
}
