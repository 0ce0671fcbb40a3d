"""What makes a new generation of an object besides its spec, and what does not."""

from __future__ import annotations

from api_driver import Api, a_pod, run

APPS = "/apis/apps/v1/namespaces/default"
SLICES = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
PRIORITIES = "/apis/scheduling.k8s.io/v1/priorityclasses"


def test_annotations_make_a_new_generation_of_a_deployment() -> None:
    async def test(api: Api) -> None:
        template = {"metadata": {"labels": {"a": "b"}}, "spec": a_pod()["spec"]}
        spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
        for plural, expected in (("deployments", 2), ("replicasets", 1)):
            await api.post(f"{APPS}/{plural}", {"metadata": {"name": "web"}, "spec": spec})
            noted = await api.merge(f"{APPS}/{plural}/web", {"metadata": {"annotations": {"x": "y"}}})
            assert noted["metadata"]["generation"] == expected
            told = await api.merge(f"{APPS}/{plural}/web/status", {"metadata": {"annotations": {"x": "z"}}})
            assert told["metadata"]["annotations"] == {"x": "z"}
            assert told["metadata"]["generation"] == expected
            sized = await api.merge(f"{APPS}/{plural}/web/scale", {"spec": {"replicas": 4}})
            assert sized["spec"] == {"replicas": 4}
            found = await api.get(f"{APPS}/{plural}/web")
            assert found["metadata"]["generation"] == expected + 1

    run(test)


def test_labels_make_a_new_generation_of_an_endpoint_slice() -> None:
    async def test(api: Api) -> None:
        await api.post(SLICES, {"metadata": {"name": "s"}, "addressType": "IPv4", "endpoints": []})
        noted = await api.merge(f"{SLICES}/s", {"metadata": {"annotations": {"x": "y"}}})
        assert noted["metadata"]["generation"] == 1
        labelled = await api.merge(f"{SLICES}/s", {"metadata": {"labels": {"x": "y"}}})
        assert labelled["metadata"]["generation"] == 2
        changed = await api.merge(f"{SLICES}/s", {"endpoints": [{"addresses": ["10.0.0.1"]}]})
        assert changed["metadata"]["generation"] == 3

    run(test)


def test_a_priority_class_is_of_one_generation() -> None:
    async def test(api: Api) -> None:
        made = await api.post(PRIORITIES, {"metadata": {"name": "p"}, "value": 1})
        assert made["metadata"]["generation"] == 1
        changed = await api.merge(f"{PRIORITIES}/p", {"description": "new"})
        assert (changed["description"], changed["metadata"]["generation"]) == ("new", 1)

    run(test)
