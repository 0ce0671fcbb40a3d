"""Policies in CEL that change what is written."""

from __future__ import annotations

from typing import Any

import pytest
from api_driver import CONFIGMAPS, PODS, Api, Refused, a_pod, config, run
from hypothesis import given
from hypothesis import strategies as st
from policy_driver import mutating

from navarch.apiserver.admission.policies_mutating import applied
from navarch.kinds import CONFIGMAP

PODS_RULE = {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE", "UPDATE"]}


def apply(expression: str) -> dict[str, Any]:
    return {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}


def patch(expression: str) -> dict[str, Any]:
    return {"patchType": "JSONPatch", "jsonPatch": {"expression": expression}}


def made(*mutations: dict[str, Any], **spec: Any) -> dict[str, Any]:
    """The ConfigMap as it is stored under one policy."""
    found: list[dict[str, Any]] = []

    async def test(api: Api) -> None:
        await mutating(api, mutations=list(mutations), **spec)
        found.append(await api.post(CONFIGMAPS, config("c", a="1")))

    run(test)
    return found[0]


def test_a_configuration_is_applied() -> None:
    found = made(
        apply("Object{metadata: Object.metadata{labels: {'team': object.metadata.name + 'x'}}, data: {'b': '2'}}")
    )
    assert found["metadata"]["labels"] == {"team": "cx"}
    assert found["data"] == {"a": "1", "b": "2"}


def test_a_sidecar_is_added_and_defaulted() -> None:
    async def test(api: Api) -> None:
        sidecar = (
            "Object{spec: Object.spec{initContainers: [Object.spec.initContainers"
            "{name: 'mesh', image: 'mesh:1', restartPolicy: 'Always'}]}}"
        )
        absent = "!object.spec.?initContainers.orValue([]).exists(c, c.name == 'mesh')"
        conditions = [{"name": "absent", "expression": absent}]
        await mutating(api, rule=PODS_RULE, matchConditions=conditions, mutations=[apply(sidecar)])
        spec = (await api.post(PODS, a_pod(initContainers=[{"name": "first", "image": "i:1"}])))["spec"]
        assert sorted(one["name"] for one in spec["initContainers"]) == ["first", "mesh"]
        mesh = next(one for one in spec["initContainers"] if one["name"] == "mesh")
        assert mesh["imagePullPolicy"] == "IfNotPresent"
        assert [one["name"] for one in spec["containers"]] == ["main"]

    run(test)


def test_an_update_is_changed_too_and_generations_count() -> None:
    async def test(api: Api) -> None:
        await api.post("/apis/apps/v1/namespaces/default/deployments", DEPLOYMENT)
        rule = {"apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["deployments"], "operations": ["UPDATE"]}
        await mutating(api, rule=rule, mutations=[apply("Object{spec: Object.spec{paused: true}}")])
        where = "/apis/apps/v1/namespaces/default/deployments/web"
        found = await api.merge(where, {"metadata": {"labels": {"x": "y"}}})
        assert (found["spec"]["paused"], found["metadata"]["generation"]) == (True, 2)
        found = await api.merge(where, {"metadata": {"labels": {"x": "z"}}})
        assert found["metadata"]["generation"] == 2

    run(test)


DEPLOYMENT = {
    "metadata": {"name": "web"},
    "spec": {
        "selector": {"matchLabels": {"app": "web"}},
        "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}},
    },
}


def test_a_json_patch_is_carried_out() -> None:
    found = made(
        patch(
            "[JSONPatch{op: 'add', path: '/metadata/labels', value: {'x': 'y'}},"
            " JSONPatch{op: 'add', path: '/data/' + 'b', value: 'two'},"
            " JSONPatch{op: 'copy', from: '/data/a', path: '/data/c'}]"
        )
    )
    assert found["metadata"]["labels"] == {"x": "y"}
    assert found["data"] == {"a": "1", "b": "two", "c": "1"}


def test_keys_are_escaped() -> None:
    add = "[JSONPatch{op: 'add', path: '/metadata/annotations', value: {'a': 'b'}},"
    key = " JSONPatch{op: 'add', path: '/metadata/annotations/' + jsonpatch.escapeKey('example.com/x'), value: 'y'}]"
    assert made(patch(add + key))["metadata"]["annotations"] == {"a": "b", "example.com/x": "y"}
    escaped = "[JSONPatch{op: 'add', path: '/data/b', value: jsonpatch.escapeKey('~/')}]"
    assert made(patch(escaped))["data"]["b"] == "~0~1"


def test_a_test_that_fails_leaves_the_object() -> None:
    tested = "[JSONPatch{op: 'test', path: '/data/a', value: '2'}, JSONPatch{op: 'remove', path: '/data/a'}]"
    assert made(patch(tested))["data"] == {"a": "1"}


def test_mutations_follow_one_another_and_see_what_went_before() -> None:
    first = apply("Object{data: {'b': '2'}}")
    second = apply("Object{data: {'c': object.data.b + variables.more}}")
    found = made(first, second, variables=[{"name": "more", "expression": "object.data.a"}])
    assert found["data"] == {"a": "1", "b": "2", "c": "21"}


def test_nobody_owns_what_a_policy_added() -> None:
    found = made(apply("Object{data: {'b': '2'}}"))
    assert "f:b" not in found["metadata"]["managedFields"][0]["fieldsV1"]["f:data"]


BOUND = "policy 'p' with binding 'p' denied request: "


@pytest.mark.parametrize(
    ("mutation", "says"),
    [
        (apply("Object{data: {'b': object.none}}"), "resulted in error: no such key: none"),
        (apply("Object{spec: Object.spec{a: 1}}"), "error applying patch: "),
        (apply("Object{metadata: Object.spec{}}"), 'unexpected type name "Object.spec", expected "Object.metadata"'),
        (apply("dyn({'data': 1})"), "must evaluate to Object but got map"),
        (apply("Object{metadata: Object.metadata{labels: {'not a label!': 'x y'}}}"), "metadata.labels"),
        (patch("[JSONPatch{op: 'remove', path: '/data/none'}]"), "JSONPath: "),
        (patch("[JSONPatch{op: 'add', path: '/spec', value: 1}]"), 'unknown field "spec"'),
        (patch("dyn([1])"), "should evaluate to array of JSONPatch"),
    ],
)
def test_what_cannot_be_done_refuses(mutation: dict[str, Any], says: str) -> None:
    async def test(api: Api) -> None:
        await mutating(api, mutations=[mutation])
        with pytest.raises(Refused) as error:
            await api.post(CONFIGMAPS, config("c"))
        assert says in error.value.message
        assert error.value.message.startswith((BOUND, "ConfigMap"))

    run(test)


def test_atomic_parts_are_not_applied() -> None:
    async def test(api: Api) -> None:
        atomic = apply("Object{spec: Object.spec{containers: [Object.spec.containers{name: 'main', command: ['x']}]}}")
        await mutating(api, rule=PODS_RULE, mutations=[atomic])
        with pytest.raises(Refused, match="may not mutate atomic arrays, maps or structs") as error:
            await api.post(PODS, a_pod())
        assert error.value.message.endswith(": .spec.containers[0].command")
        assert (error.value.code, error.value.reason) == (403, "Invalid")

    run(test)


def test_failures_may_be_ignored() -> None:
    found = made(apply("Object{data: {'b': object.none}}"), apply("Object{data: {'c': '3'}}"), failurePolicy="Ignore")
    assert found["data"] == {"a": "1", "c": "3"}


def test_parameters_say_what_to_add() -> None:
    async def test(api: Api) -> None:
        await api.post(CONFIGMAPS, config("defaults", team="red"))
        bound = {"paramRef": {"name": "defaults", "parameterNotFoundAction": "Deny"}}
        label = apply("Object{metadata: Object.metadata{labels: {'team': params.data.team}}}")
        kind = {"apiVersion": "v1", "kind": "ConfigMap"}
        await mutating(api, rule=PODS_RULE, paramKind=kind, bound=bound, mutations=[label])
        assert (await api.post(PODS, a_pod()))["metadata"]["labels"]["team"] == "red"
        await api.delete(f"{CONFIGMAPS}/defaults")
        with pytest.raises(Refused) as error:
            await api.post(PODS, a_pod("second"))
        assert error.value.message.startswith(
            "policy 'p' with binding 'p' denied request: failed to configure binding: "
        )

    run(test)


def test_a_policy_renames_nothing() -> None:
    found = made(apply("Object{metadata: Object.metadata{name: 'other', uid: 'u', labels: {'a': 'b'}}}"))
    assert found["metadata"]["name"] == "c"
    assert found["metadata"]["uid"] != "u"
    assert found["metadata"]["labels"] == {"a": "b"}


LIMITS = {
    "metadata": {"name": "l"},
    "spec": {"limits": [{"type": "Container", "default": {"memory": "64Mi"}, "defaultRequest": {"memory": "32Mi"}}]},
}


def test_what_is_built_in_sees_what_a_policy_added() -> None:
    async def test(api: Api) -> None:
        await api.post("/api/v1/namespaces/default/limitranges", LIMITS)
        more = apply("Object{spec: Object.spec{containers: [Object.spec.containers{name: 'more', image: 'i:1'}]}}")
        await mutating(api, rule=PODS_RULE, mutations=[more])
        containers = (await api.post(PODS, a_pod()))["spec"]["containers"]
        assert {one["name"]: one["resources"]["limits"]["memory"] for one in containers} == {
            "main": "64Mi",
            "more": "64Mi",
        }

    run(test)


@pytest.mark.parametrize(("reinvocation", "found"), [("Never", "1"), ("IfNeeded", "2")])
def test_a_policy_runs_again_when_a_later_one_changed_the_object(reinvocation: str, found: str) -> None:
    async def test(api: Api) -> None:
        count = apply("Object{data: {'count': has(object.data.late) ? '2' : '1'}}")
        await mutating(api, "a", mutations=[count], reinvocationPolicy=reinvocation)
        await mutating(api, "b", mutations=[apply("Object{data: {'late': 'yes'}}")])
        assert (await api.post(CONFIGMAPS, config("c", a="1")))["data"] == {"a": "1", "count": found, "late": "yes"}

    run(test)


def test_a_scale_may_be_changed() -> None:
    async def test(api: Api) -> None:
        where = "/apis/apps/v1/namespaces/default/deployments"
        await api.post(where, DEPLOYMENT)
        rule = {"apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["deployments/scale"], "operations": ["*"]}
        capped = apply("Object{spec: Object.spec{replicas: object.spec.replicas > 3 ? 3 : object.spec.replicas}}")
        await mutating(api, rule=rule, mutations=[capped])
        found = await api.merge(f"{where}/web/scale", {"spec": {"replicas": 9}})
        assert found["spec"]["replicas"] == 3
        assert (await api.get(f"{where}/web"))["spec"]["replicas"] == 3

    run(test)


WORDS = st.dictionaries(st.sampled_from(["a", "b", "c"]), st.sampled_from(["1", "2"]), min_size=1)


@given(WORDS, WORDS, WORDS)
def test_applying_keeps_the_rest_and_is_done_once(
    data: dict[str, str], more: dict[str, str], labels: dict[str, str]
) -> None:
    present = {**config("c", **data), "metadata": {"name": "c", "labels": {"z": "0"}}}
    wanted = {"data": more, "metadata": {"labels": labels}}
    found = applied(CONFIGMAP, present, wanted)
    assert found["data"] == {**data, **more}
    assert found["metadata"] == {"name": "c", "labels": {"z": "0", **labels}}
    assert applied(CONFIGMAP, found, wanted) == found
    assert present["data"] == data
