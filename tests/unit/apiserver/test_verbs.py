"""The verbs on whole objects, as a client sees them: through calls, on a memory store."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from api_driver import CONFIGMAPS, PODS, Api, Refused, a_pod, config, run, whole

from navarch.store.store import Stale


def test_what_is_created_can_be_read() -> None:
    async def test(api: Api) -> None:
        made = await api.post(CONFIGMAPS, config(x="1"))
        assert made["data"] == {"x": "1"}
        assert made["metadata"]["uid"]
        assert made["metadata"]["creationTimestamp"] == "2026-01-02T03:04:05Z"
        assert made["metadata"]["namespace"] == "default"
        assert made == await api.get(f"{CONFIGMAPS}/one")
        listed = await api.get(CONFIGMAPS)
        assert listed["kind"] == "ConfigMapList"
        assert listed["items"] == [made]

    run(test)


def test_what_only_the_server_may_say_is_not_taken_from_the_client() -> None:
    async def test(api: Api) -> None:
        lie = {"uid": "mine", "creationTimestamp": "1999-01-01T00:00:00Z", "generation": 7, "selfLink": "/x"}
        body = a_pod()
        body["metadata"] |= lie | {"deletionTimestamp": "1999-01-01T00:00:00Z"}
        body["status"] = {"phase": "Running"}
        made = await api.post(PODS, body)
        assert made["metadata"]["uid"] != "mine"
        assert made["metadata"]["generation"] == 1
        assert made["metadata"]["creationTimestamp"].startswith("2026")
        assert "selfLink" not in made["metadata"]
        assert "deletionTimestamp" not in made["metadata"]
        assert made["status"]["phase"] == "Pending"

    run(test)


def test_a_second_object_of_the_same_name_is_refused() -> None:
    async def test(api: Api) -> None:
        await api.post(CONFIGMAPS, config())
        with pytest.raises(Refused, match='configmaps "one" already exists') as refused:
            await api.post(CONFIGMAPS, config())
        assert (refused.value.code, refused.value.reason) == (409, "AlreadyExists")

    run(test)


def test_generated_names_differ_and_keep_their_prefix() -> None:
    async def test(api: Api) -> None:
        body = {"metadata": {"generateName": "web-"}}
        names = {(await api.post(CONFIGMAPS, body))["metadata"]["name"] for _ in range(5)}
        assert len(names) == 5
        assert all(name.startswith("web-") and len(name) == 9 for name in names)

    run(test)


def test_a_generated_name_that_is_taken_is_drawn_again() -> None:
    async def test(api: Api) -> None:
        ids = api.core._state.ids
        drawn = iter(["aaaaa", "aaaaa", "bbbbb"])
        ids.suffix = lambda length=5: next(drawn)  # type: ignore[method-assign]
        body = {"metadata": {"generateName": "web-"}}
        await api.post(CONFIGMAPS, body)
        assert (await api.post(CONFIGMAPS, body))["metadata"]["name"] == "web-bbbbb"

    run(test)


def test_a_name_that_only_the_store_finds_taken_is_drawn_again_for_what_was_written() -> None:
    async def test(api: Api) -> None:
        put, tries = api.store.put, []

        async def late(key: str, value: bytes, expect: int, guards: Any = ()) -> int:
            tries.append(key)
            if len(tries) == 1:
                raise Stale(key, expect, 7)
            return await put(key, value, expect, guards)

        api.store.put = late  # type: ignore[method-assign]
        body = {"metadata": {"generateName": "web-"}, "data": {"a": "b"}, "datum": 1}
        made = await api.post(CONFIGMAPS, body)
        assert len(tries) == 2
        assert api.warnings == ['unknown field "datum"']
        assert made["data"] == {"a": "b"}
        assert (await api.get(f"{CONFIGMAPS}/{made['metadata']['name']}"))["data"] == {"a": "b"}

    run(test)


def test_an_object_without_a_name_is_refused() -> None:
    async def test(api: Api) -> None:
        with pytest.raises(Refused, match="name or generateName is required") as refused:
            await api.post(CONFIGMAPS, {"data": {}})
        assert refused.value.code == 422

    run(test)


def test_a_namespace_that_is_not_there_is_named() -> None:
    async def test(api: Api) -> None:
        with pytest.raises(Refused, match='namespaces "nowhere" not found') as refused:
            await api.post("/api/v1/namespaces/nowhere/configmaps", config())
        assert refused.value.code == 404

    run(test)


def test_an_update_needs_the_newest_revision_or_none() -> None:
    async def test(api: Api) -> None:
        made = await api.post(CONFIGMAPS, config(x="1"))
        newer = await api.put(f"{CONFIGMAPS}/one", {**made, "data": {"x": "2"}})
        with pytest.raises(Refused, match="the object has been modified") as refused:
            await api.put(f"{CONFIGMAPS}/one", {**made, "data": {"x": "3"}})
        assert (refused.value.code, refused.value.reason) == (409, "Conflict")
        assert (await api.get(f"{CONFIGMAPS}/one")) == newer
        blind = await api.put(f"{CONFIGMAPS}/one", config(x="4"))
        assert blind["data"] == {"x": "4"}
        assert blind["metadata"]["uid"] == made["metadata"]["uid"]

    run(test)


def test_an_update_of_what_is_not_there_is_refused_but_for_kinds_that_allow_it() -> None:
    async def test(api: Api) -> None:
        with pytest.raises(Refused, match="not found"):
            await api.put(f"{CONFIGMAPS}/one", config())
        leases = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
        response = await api.send("PUT", f"{leases}/one", {"metadata": {"name": "one"}, "spec": {}})
        assert response.status == 201

    run(test)


def test_a_write_that_changes_nothing_is_no_write() -> None:
    async def test(api: Api) -> None:
        made = await api.post(CONFIGMAPS, config(x="1"))
        before = api.store.revision
        assert await api.put(f"{CONFIGMAPS}/one", made) == made
        assert await api.merge(f"{CONFIGMAPS}/one", {"data": {"x": "1"}}) == made
        assert api.store.revision == before

    run(test)


def test_identity_cannot_be_changed() -> None:
    async def test(api: Api) -> None:
        await api.post(CONFIGMAPS, config(x="1"))
        with pytest.raises(Refused, match="UID in precondition") as refused:
            await api.merge(f"{CONFIGMAPS}/one", {"metadata": {"uid": "other"}})
        assert refused.value.code == 409
        with pytest.raises(Refused, match="does not match the name on the URL"):
            await api.merge(f"{CONFIGMAPS}/one", {"metadata": {"name": "other"}})
        with pytest.raises(Refused, match="does not match the namespace"):
            await api.merge(f"{CONFIGMAPS}/one", {"metadata": {"namespace": "other"}})
        kept = await api.merge(f"{CONFIGMAPS}/one", {"metadata": {"creationTimestamp": "1999-01-01T00:00:00Z"}})
        assert kept["metadata"]["creationTimestamp"].startswith("2026")

    run(test)


def test_the_three_patches() -> None:
    async def test(api: Api) -> None:
        await api.post(PODS, a_pod())
        merged = await api.merge(f"{PODS}/web", {"metadata": {"labels": {"app": None, "tier": "db"}}})
        assert merged["metadata"]["labels"] == {"tier": "db"}
        patch = [{"op": "add", "path": "/metadata/labels/more", "value": "yes"}]
        assert (await api.json_patch(f"{PODS}/web", patch))["metadata"]["labels"] == {"tier": "db", "more": "yes"}
        image = {"spec": {"containers": [{"name": "main", "image": "nginx:2"}]}}
        containers = (await api.strategic(f"{PODS}/web", image))["spec"]["containers"]
        assert [c["image"] for c in containers] == ["nginx:2"]
        assert containers[0]["terminationMessagePolicy"] == "File"

    run(test)


def test_a_patch_with_a_stale_revision_is_refused() -> None:
    async def test(api: Api) -> None:
        made = await api.post(CONFIGMAPS, config(x="1"))
        stale = made["metadata"]["resourceVersion"]
        await api.merge(f"{CONFIGMAPS}/one", {"data": {"x": "2"}})
        with pytest.raises(Refused, match="the object has been modified"):
            await api.merge(f"{CONFIGMAPS}/one", {"metadata": {"resourceVersion": stale}, "data": {"x": "3"}})

    run(test)


def test_an_unknown_patch_type_names_those_that_are_known() -> None:
    async def test(api: Api) -> None:
        await api.post(CONFIGMAPS, config())
        with pytest.raises(Refused, match=r"application/merge-patch\+json") as refused:
            await api.ask("PATCH", f"{CONFIGMAPS}/one", {}, "application/json")
        assert refused.value.code == 415

    run(test)


def test_status_and_the_rest_are_kept_apart() -> None:
    async def test(api: Api) -> None:
        await api.post(PODS, a_pod())
        running = await api.merge(
            f"{PODS}/web/status",
            {"status": {"phase": "Running"}, "spec": {"hostname": "x"}, "metadata": {"labels": {}}},
        )
        assert running["status"]["phase"] == "Running"
        assert "hostname" not in running["spec"]
        assert running["metadata"]["generation"] == 1
        labelled = await api.merge(f"{PODS}/web", {"metadata": {"labels": {"a": "b"}}, "status": {"phase": "Failed"}})
        assert labelled["status"]["phase"] == "Running"
        assert labelled["metadata"]["labels"] == {"app": "web", "a": "b"}

    run(test)


def test_generation_counts_changes_of_the_spec() -> None:
    async def test(api: Api) -> None:
        deployments = "/apis/apps/v1/namespaces/default/deployments"
        template = {"metadata": {"labels": {"a": "b"}}, "spec": a_pod()["spec"]}
        spec = {"replicas": 1, "selector": {"matchLabels": {"a": "b"}}, "template": template}
        made = await api.post(deployments, {"metadata": {"name": "web"}, "spec": spec})
        assert made["metadata"]["generation"] == 1
        scaled = await api.merge(f"{deployments}/web", {"spec": {"replicas": 2}})
        assert scaled["metadata"]["generation"] == 2
        labelled = await api.merge(f"{deployments}/web", {"metadata": {"labels": {"x": "y"}}})
        assert labelled["metadata"]["generation"] == 2

    run(test)


def test_a_dry_run_changes_nothing() -> None:
    async def test(api: Api) -> None:
        made = await api.post(f"{CONFIGMAPS}?dryRun=All", config(x="1"))
        assert made["metadata"]["uid"]
        assert "resourceVersion" not in made["metadata"]
        with pytest.raises(Refused, match="not found"):
            await api.get(f"{CONFIGMAPS}/one")
        await api.post(CONFIGMAPS, config(x="1"))
        before = api.store.revision
        patched = await api.merge(f"{CONFIGMAPS}/one?dryRun=All", {"data": {"x": "2"}})
        assert patched["data"] == {"x": "2"}
        await api.delete(f"{CONFIGMAPS}/one?dryRun=All")
        assert api.store.revision == before
        with pytest.raises(Refused, match='supported values: "All"') as refused:
            await api.post(f"{CONFIGMAPS}?dryRun=some", config())
        assert refused.value.code == 422

    run(test)


def test_unknown_fields_are_refused_told_or_ignored_as_asked() -> None:
    async def test(api: Api) -> None:
        wrong = {**config(), "dta": {"x": "1"}}
        with pytest.raises(Refused, match='unknown field "dta"') as refused:
            await api.post(f"{CONFIGMAPS}?fieldValidation=Strict", wrong)
        assert refused.value.code == 400
        response = await api.send("POST", f"{CONFIGMAPS}?fieldValidation=Warn", wrong)
        assert response.status == 201
        assert [v for k, v in response.headers if k == "warning"] == [
            '299 - "unknown field \\"dta\\"; did you mean \\"data\\"?"'
        ]
        assert b"dta" not in await whole(response)
        ignored = await api.send("POST", f"{CONFIGMAPS}?fieldValidation=Ignore", {**wrong, "metadata": {"name": "b"}})
        assert [k for k, _ in ignored.headers if k == "warning"] == []

    run(test)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{", "json"),
        (b"[]", "array"),
        (b"", "no body"),
        (b'{"metadata": {"name": 5}}', "cannot unmarshal number"),
        (b'{"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "x"}}', "does not match the expected"),
        (b'{"apiVersion": "v2", "kind": "ConfigMap", "metadata": {"name": "x"}}', "does not match the expected"),
    ],
)
def test_bodies_that_are_no_objects_of_the_kind_are_refused(body: bytes, said: str) -> None:
    async def test(api: Api) -> None:
        before = api.store.revision
        with pytest.raises(Refused, match=said) as refused:
            await api.post(CONFIGMAPS, body)
        assert refused.value.code == 400
        assert api.store.revision == before

    run(test)


def test_yaml_bodies_are_read_and_their_errors_have_lines() -> None:
    async def test(api: Api) -> None:
        text = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\ndata:\n  date: '2020-01-01'\n  on: 'x'\n"
        made = await api.ask("POST", CONFIGMAPS, text, "application/yaml")
        assert made["data"]["date"] == "2020-01-01"
        with pytest.raises(Refused, match="line 2") as refused:
            await api.ask("POST", CONFIGMAPS, b"a: b\n c: [d\n", "application/yaml")
        assert refused.value.code == 400
        double = b"metadata: {name: two}\ndata: {a: '1', a: '2'}\n"
        with pytest.raises(Refused, match='line 2: key "a" already set'):
            await api.ask("POST", f"{CONFIGMAPS}?fieldValidation=Strict", double, "application/yaml")
        answer = await api.send("POST", CONFIGMAPS, double, "application/yaml")
        assert ("warning", '299 - "line 2: key \\"a\\" already set in map"') in answer.headers
        assert (await api.get(f"{CONFIGMAPS}/two"))["data"] == {"a": "2"}

    run(test)


def test_large_bodies_of_yaml_are_read_beside_the_loop_and_answered_alike() -> None:
    async def test(api: Api) -> None:
        many = b"".join(b"  k%05d: v\n" % number for number in range(10_000))
        text = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: large}\ndata:\n" + many
        turns = 0

        async def others() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        beside = asyncio.ensure_future(others())
        made = await api.ask("POST", CONFIGMAPS, text, "application/yaml")
        beside.cancel()
        assert turns > 20, "others had their turns meanwhile"
        assert len(made["data"]) == 10_000
        applied = f"{CONFIGMAPS}/large?fieldManager=m&force=true"
        done = await api.ask("PATCH", applied, text + b"  more: v\n", "application/apply-patch+yaml")
        assert len(done["data"]) == 10_001
        with pytest.raises(Refused, match='key "k00000" already set'):
            await api.ask("POST", f"{CONFIGMAPS}?fieldValidation=Strict", text + b"  k00000: v\n", "application/yaml")
        with pytest.raises(Refused, match="line 10006") as refused:
            await api.ask("POST", CONFIGMAPS, text + b"  [\n", "application/yaml")
        assert refused.value.code == 400

    run(test)


def test_protobuf_bodies_are_read_and_broken_ones_get_a_clear_answer() -> None:
    async def test(api: Api) -> None:
        protobuf = "application/vnd.kubernetes.protobuf"
        body = b"k8s\0\x0a\x0f\x0a\x02v1\x12\x09ConfigMap\x12\x07\x0a\x05\x0a\x03web"
        made = await api.ask("POST", CONFIGMAPS, body, protobuf)
        assert (made["kind"], made["metadata"]["name"]) == ("ConfigMap", "web")
        with pytest.raises(Refused, match="send it as JSON") as refused:
            await api.ask("POST", CONFIGMAPS, b"k8s\0", protobuf)
        assert refused.value.code == 400

    run(test)


def test_bad_metadata_is_refused_with_all_its_causes() -> None:
    async def test(api: Api) -> None:
        body = {"metadata": {"name": "UPPER", "labels": {"-bad": "v", "ok": "no spaces"}, "finalizers": ["?"]}}
        body["metadata"]["ownerReferences"] = [{"apiVersion": "v1", "kind": "Pod", "name": "x", "uid": ""}]
        with pytest.raises(Refused) as refused:
            await api.post(CONFIGMAPS, body)
        fields = {cause["field"] for cause in refused.value.causes}
        assert fields == {
            "metadata.name",
            "metadata.labels",
            "metadata.finalizers",
            "metadata.finalizers[0]",
            "metadata.ownerReferences[0].uid",
        }
        assert refused.value.code == 422

    run(test)


def test_an_unknown_resource_is_not_found() -> None:
    async def test(api: Api) -> None:
        with pytest.raises(Refused, match="the server could not find the requested resource") as refused:
            await api.get("/api/v1/namespaces/default/widgets")
        assert refused.value.code == 404
        with pytest.raises(Refused):
            await api.get(f"{PODS}/web/nonsense")

    run(test)
