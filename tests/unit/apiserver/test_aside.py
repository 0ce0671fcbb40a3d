"""Large bodies are worked on beside the loop, which goes on; what is too large is refused, with a 4xx each."""

from __future__ import annotations

import asyncio
import threading

import orjson
import pytest
import yaml
from api_driver import CONFIGMAPS, PODS, Api, Refused, a_pod, config, run, whole

from navarch.apiserver.aside import HELD_BYTES, LARGE_BYTES, Aside
from navarch.apiserver.stored import MOST_BYTES
from navarch.base import beside
from navarch.base.errors import MOST_CAUSES, TooMany

LARGE = "x" * (LARGE_BYTES + 1)


def test_work_is_done_in_another_thread_and_the_loop_goes_on_meanwhile() -> None:
    """The work only ends once the loop has taken steps of its own."""

    async def scenario() -> None:
        aside = Aside()
        stepped = threading.Event()

        def work(word: str) -> tuple[str, bool, bool]:
            return word, stepped.wait(60), threading.current_thread() is threading.main_thread()

        running = asyncio.ensure_future(aside.run(work, "done"))
        for _ in range(10):
            await asyncio.sleep(0)
        stepped.set()
        assert await running == ("done", True, False)
        assert aside.done == 1

    asyncio.run(scenario())


def test_a_simulation_has_no_threads() -> None:
    async def scenario() -> None:
        aside = Aside(inline=True)
        assert await aside.run(threading.current_thread) is threading.main_thread()
        assert aside.done == 0

    asyncio.run(scenario())


def test_work_can_ask_whether_others_wait_for_it() -> None:
    async def scenario() -> None:
        assert await Aside().run(beside.here)
        assert not await Aside(inline=True).run(beside.here)
        assert not await asyncio.to_thread(beside.here)
        assert not beside.here()

    asyncio.run(scenario())


def test_what_the_work_raises_is_raised() -> None:
    async def scenario() -> None:
        with pytest.raises(ZeroDivisionError):
            await Aside().run(lambda: 1 / 0)

    asyncio.run(scenario())


def test_how_much_is_held_at_once_is_bounded() -> None:
    aside = Aside(held_bytes=100)
    with aside.holding(60):
        with pytest.raises(TooMany, match="too many large requests") as refused, aside.holding(41):
            pass
        assert refused.value.retry_after_s == 1
        with aside.holding(40):
            pass
    with aside.holding(1_000):  # alone, whatever is no larger than a body may be
        pass
    assert HELD_BYTES >= 4 * 3 * 1024 * 1024


def done(api: Api) -> int:
    """How many pieces of work were done beside the loop."""
    return api.core._state.aside.done


def test_large_bodies_of_all_sorts_become_objects_beside_the_loop() -> None:
    async def test(api: Api) -> None:
        await api.post(CONFIGMAPS, config("small"))
        assert done(api) == 0
        made = await api.post(CONFIGMAPS, config("json", x=LARGE))
        assert made["data"]["x"] == LARGE
        assert (at := done(api)) >= 3
        text = b"metadata: {name: yaml}\ndata: {x: " + LARGE.encode() + b"}\n"
        assert orjson.loads((await api.send("POST", CONFIGMAPS, text, "application/yaml")).body)["data"]["x"] == LARGE
        for name, write in (("merge", api.merge), ("strategic", api.strategic), ("applied", api.apply)):
            head = {"apiVersion": "v1", "kind": "ConfigMap"} if name == "applied" else {}
            patched = await write(f"{CONFIGMAPS}/small", {**head, "data": {name: LARGE}})
            assert patched["data"][name] == LARGE
        operation = {"op": "add", "path": "/data/json", "value": LARGE}
        patched = await api.json_patch(f"{CONFIGMAPS}/small", [operation])
        assert sorted(patched["data"]) == ["applied", "json", "merge", "strategic"]
        replaced = await api.put(f"{CONFIGMAPS}/small", {**patched, "data": {"y": LARGE}})
        assert replaced["data"] == {"y": LARGE}
        assert done(api) >= at + 6 * 3
        at = done(api)
        assert (await api.merge(f"{CONFIGMAPS}/small", {"data": {"z": "1"}}))["data"] == {"y": LARGE, "z": "1"}
        assert done(api) > at  # a small patch of a large object

    run(test)


def test_large_wrong_bodies_are_told_what_is_wrong_with_them() -> None:
    async def test(api: Api) -> None:
        with pytest.raises(Refused) as refused:
            await api.post(f"{CONFIGMAPS}?fieldValidation=Strict", {**config("one", x=LARGE), "more": 1})
        assert refused.value.code == 400
        assert 'unknown field "more"' in refused.value.message
        with pytest.raises(Refused) as refused:
            await api.post(CONFIGMAPS, config("one", **{"a/b": LARGE}))
        assert refused.value.code == 422
        assert done(api) > 0

    run(test)


def test_an_object_may_be_as_large_as_etcd_takes_it() -> None:
    async def test(api: Api) -> None:
        fitting = "x" * 1_000_000
        await api.post(CONFIGMAPS, config("there", x=fitting))
        text = '"\\\n' * (len(fitting) // 3)  # escapes make JSON twice as long as what it stands for
        await api.post(CONFIGMAPS, config("escaped", x=text))
        await api.post(PODS, a_pod("there"))
        large = [{"name": "main", "image": "nginx:1", "env": [{"name": "A", "value": "y" * MOST_BYTES}]}]
        state = {"conditions": [{"type": "x/y", "status": "True", "message": "y" * MOST_BYTES}]}
        for write in (
            lambda: api.post(PODS, a_pod("large", containers=large)),
            lambda: api.strategic(f"{PODS}/there/status", {"status": state}),
            lambda: api.merge(f"{PODS}/there/status", {"status": state}),
        ):
            with pytest.raises(Refused, match="etcdserver: request is too large") as refused:
                await write()
            assert (refused.value.code, refused.value.reason) == (413, "RequestEntityTooLarge")

    run(test)


def test_what_is_wrong_with_an_object_is_told_before_that_it_is_too_large() -> None:
    async def test(api: Api) -> None:
        await api.post(CONFIGMAPS, config("there", x="y"))
        for write in (
            lambda: api.post(PODS, {**a_pod(), "metadata": {"name": "large", "annotations": {"x": "y" * MOST_BYTES}}}),
            lambda: api.merge(f"{CONFIGMAPS}/there", {"metadata": {"labels": {"a": "b" * MOST_BYTES}}}),
        ):
            with pytest.raises(Refused, match=r"metadata\.(annotations|labels): ") as refused:
                await write()
            assert refused.value.code == 422

    run(test)


def test_of_very_many_faults_the_first_are_told() -> None:
    async def test(api: Api) -> None:
        many = {f"a/{number}": "x" for number in range(MOST_CAUSES + 10)}
        with pytest.raises(Refused) as refused:
            await api.post(CONFIGMAPS, config("one", **many))
        assert refused.value.code == 422
        assert len(refused.value.causes) == MOST_CAUSES
        assert refused.value.message.endswith(", and more]")
        with pytest.raises(Refused) as refused:
            await api.post(CONFIGMAPS, config("one", **dict(list(many.items())[:MOST_CAUSES])))
        assert len(refused.value.causes) == MOST_CAUSES
        assert "and more" not in refused.value.message

    run(test)


def test_large_answers_in_yaml_are_what_a_whole_document_would_be() -> None:
    """In slices made beside the loop, to the byte; and so are long lists with line breaks."""

    async def test(api: Api) -> None:
        for number in range(3):
            await api.post(CONFIGMAPS, config(f"one-{number}", x=f"- {number}: 'ä'\n" * 4_000, y="[]"))
        for number in range(300):
            await api.post(CONFIGMAPS, config(f"small-{number}", x="a\n[]"))
        at = done(api)
        for target in (f"{CONFIGMAPS}/one-1", CONFIGMAPS, f"{CONFIGMAPS}?limit=2", f"{CONFIGMAPS}?labelSelector=none"):
            document = await api.get(target, accept="application/json")
            text = await whole(await api.send("GET", target, accept="application/yaml"))
            assert text == yaml.dump(document, Dumper=yaml.CSafeDumper, encoding="utf-8", allow_unicode=True)
            pretty = await whole(await api.send("GET", f"{target}{'&' if '?' in target else '?'}pretty=true"))
            assert pretty == orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
        assert done(api) >= at + 4

    run(test)


def test_what_very_much_is_compared_for_is_of_one_moment() -> None:
    """Lists and watches say as of when they are, though others write while they are made."""

    async def test(api: Api) -> None:
        many = ",".join(f"no{number}!=x" for number in range(1_900))
        for number in range(600):
            await api.post(CONFIGMAPS, config(f"one-{number:03}"))
        made = await api.post(CONFIGMAPS, {**config("last"), "metadata": {"name": "last", "labels": {"no7": "x"}}})
        revision, at = made["metadata"]["resourceVersion"], done(api)
        listing = asyncio.ensure_future(api.get(f"{CONFIGMAPS}?labelSelector={many}"))
        watching = asyncio.ensure_future(api.watch(f"{CONFIGMAPS}?watch=1&labelSelector={many}"))
        for _ in range(20):  # both have chosen what to look at
            await asyncio.sleep(0)
        assert done(api) == at + 2
        await api.post(CONFIGMAPS, config("later"))
        listed = await listing
        assert listed["metadata"]["resourceVersion"] == revision
        assert [one["metadata"]["name"] for one in listed["items"]] == [f"one-{number:03}" for number in range(600)]
        watch = await watching
        events = [await watch.event() for _ in range(601)]
        assert [event["object"]["metadata"]["name"] for event in events] == [
            *(f"one-{number:03}" for number in range(600)),
            "later",
        ]
        await watch.close()
        with pytest.raises(Refused, match="may not have more than") as refused:
            await api.get(f"{CONFIGMAPS}?labelSelector={many},{many}")
        assert refused.value.code == 400

    run(test)
