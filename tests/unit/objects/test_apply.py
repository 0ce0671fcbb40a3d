"""Field ownership on real shapes: what updates are recorded as, server-side apply, conflicts, pruning, the cap."""

from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.base.errors import BadRequest, Conflict
from navarch.objects import apply
from navarch.objects.shape import Shape, struct

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LATER = NOW + timedelta(minutes=1)

TEXT = Shape("string", "string")
NUMBER = Shape("integer", "int32")
TEXTS = Shape("map", "map[string]string", item=TEXT)
PORT = struct({"containerPort": NUMBER, "protocol": TEXT, "name": TEXT})
CONTAINER = struct(
    {
        "name": TEXT,
        "image": TEXT,
        "args": Shape("list", item=TEXT, atomic=True),
        "resources": struct({"limits": TEXTS}),
        "ports": Shape(
            "list",
            item=PORT,
            list_type="map",
            keys=("containerPort", "protocol"),
            key_defaults={"protocol": "TCP"},
        ),
    }
)
META = struct(
    {
        "name": TEXT,
        "uid": TEXT,
        "labels": TEXTS,
        "annotations": TEXTS,
        "finalizers": Shape("list", item=TEXT, list_type="set"),
        "managedFields": Shape("list", item=Shape("any"), atomic=True),
    }
)
SPEC = struct(
    {
        "replicas": NUMBER,
        "paused": Shape("boolean", "bool"),
        "selector": struct({"matchLabels": TEXTS}, atomic=True),
        "containers": Shape("list", item=CONTAINER, list_type="map", keys=("name",)),
        "strategy": struct({"type": TEXT, "rolling": TEXTS}),
    },
    required=("containers", "selector"),
)
SHAPE = struct(
    {"apiVersion": TEXT, "kind": TEXT, "metadata": META, "spec": SPEC, "status": struct({"replicas": NUMBER})}
)


def doc(spec: dict[str, Any] | None = None, **metadata: Any) -> dict[str, Any]:
    found = {"apiVersion": "apps/v1", "kind": "Thing", "metadata": {"name": "x", **metadata}}
    return found if spec is None else {**found, "spec": spec}


def update(
    old: dict[str, Any] | None, new: dict[str, Any], manager: str = "m", now: datetime = NOW, **more: Any
) -> dict[str, Any]:
    before = deepcopy((old, new))
    entries = apply.updated(old, new, SHAPE, manager, "Update", more.pop("subresource", ""), "apps/v1", now, **more)
    assert (old, new) == before
    return apply.with_entries(new, entries)


def applied(
    live: dict[str, Any] | None, config: dict[str, Any], manager: str = "a", force: bool = False, now: datetime = NOW
) -> dict[str, Any]:
    before = deepcopy((live, config))
    result = apply.merge(live, config, SHAPE, manager, force, now)
    assert (live, config) == before
    return result


def fields(document: dict[str, Any], manager: str) -> Any:
    """The fields of a manager's one entry, None if it has none."""
    entries = [entry for entry in document["metadata"].get("managedFields", []) if entry["manager"] == manager]
    assert len(entries) <= 1
    return entries[0]["fieldsV1"] if entries else None


def bare(document: dict[str, Any]) -> dict[str, Any]:
    return apply.with_entries(document, [])


NAME_A, NAME_B = 'k:{"name":"a"}', 'k:{"name":"b"}'


def test_a_create_owns_all_it_brings_in_the_form_that_kubernetes_gives_it() -> None:
    spec = {
        "replicas": 1,
        "selector": {"matchLabels": {"app": "x"}},
        "containers": [{"name": "a", "image": "i", "resources": {}, "ports": [{"containerPort": 80}]}],
        "strategy": {"rolling": {"max": "1"}, "type": "R"},
    }
    created = update(None, doc(spec, labels={"app": "x"}, uid="u"))
    assert created["metadata"]["managedFields"] == [
        {
            "manager": "m",
            "operation": "Update",
            "apiVersion": "apps/v1",
            "time": "2026-01-02T03:04:05Z",
            "fieldsType": "FieldsV1",
            "fieldsV1": {
                "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
                "f:spec": {
                    "f:containers": {
                        NAME_A: {
                            ".": {},
                            "f:image": {},
                            "f:name": {},
                            "f:ports": {
                                ".": {},
                                'k:{"containerPort":80,"protocol":"TCP"}': {".": {}, "f:containerPort": {}},
                            },
                            "f:resources": {},
                        }
                    },
                    "f:replicas": {},
                    "f:selector": {},
                    "f:strategy": {"f:rolling": {".": {}, "f:max": {}}, "f:type": {}},
                },
            },
        }
    ]


def test_an_apply_owns_what_it_says() -> None:
    config = doc({"replicas": 1, "containers": [{"name": "a", "image": "i"}], "strategy": {}}, labels={"app": "x"})
    found = applied(None, config)
    assert bare(found) == config
    entry = found["metadata"]["managedFields"][0]
    assert (entry["operation"], entry["time"]) == ("Apply", "2026-01-02T03:04:05Z")
    assert fields(found, "a") == {
        "f:metadata": {"f:labels": {"f:app": {}}},
        "f:spec": {
            "f:containers": {NAME_A: {".": {}, "f:image": {}, "f:name": {}}},
            "f:replicas": {},
            "f:strategy": {},
        },
    }


def test_a_change_moves_the_field_to_who_made_it() -> None:
    created = update(None, doc({"replicas": 1, "paused": True}))
    changed = update(created, doc({"replicas": 2, "paused": True}), "other", LATER)
    assert fields(changed, "m") == {"f:spec": {"f:paused": {}}}
    assert fields(changed, "other") == {"f:spec": {"f:replicas": {}}}
    times = {entry["manager"]: entry["time"] for entry in changed["metadata"]["managedFields"]}
    assert times == {"m": "2026-01-02T03:04:05Z", "other": "2026-01-02T03:05:05Z"}


def test_what_changes_nothing_leaves_the_entries_as_they_were() -> None:
    created = update(None, doc({"replicas": 1}))
    again = update(created, doc({"replicas": 1}), "other", LATER)
    assert again["metadata"]["managedFields"] is created["metadata"]["managedFields"]
    assert update(created, created, "other", LATER) == created
    assert applied(created, doc({"replicas": 1}), "a", now=LATER) != created


def test_a_field_that_is_removed_belongs_to_no_one() -> None:
    created = update(None, doc({"replicas": 1, "paused": True}))
    assert fields(update(created, doc({"paused": True}), "other", LATER), "m") == {"f:spec": {"f:paused": {}}}
    assert "managedFields" not in update(created, doc(), "other", LATER)["metadata"]


def test_subresources_and_ignored_fields() -> None:
    created = update(None, {**doc({"replicas": 1}), "status": {"replicas": 5}}, ignored=[("status",)])
    assert fields(created, "m") == {"f:spec": {"f:replicas": {}}}
    status = update(created, {**bare(created), "status": {"replicas": 6}}, "m", subresource="status")
    assert [(e["manager"], e.get("subresource")) for e in status["metadata"]["managedFields"]] == [
        ("m", None),
        ("m", "status"),
    ]


def test_a_client_may_give_up_tracking() -> None:
    created = update(None, doc({"replicas": 1}))
    forgotten = update(created, doc({"replicas": 2}, managedFields=[{}]))
    assert "managedFields" not in forgotten["metadata"]
    assert "managedFields" not in update(forgotten, doc({"replicas": 3}))["metadata"]
    taken_up = applied(forgotten, doc({"replicas": 2}))
    assert fields(taken_up, "a") == fields(taken_up, apply.BEFORE_FIRST_APPLY) == {"f:spec": {"f:replicas": {}}}


def test_a_client_may_edit_the_entries_but_not_break_them() -> None:
    created = update(None, doc({"replicas": 1}))
    entries = created["metadata"]["managedFields"]
    renamed = [{**entries[0], "manager": "renamed"}]
    assert fields(update(created, doc({"replicas": 1}, managedFields=renamed)), "renamed") is not None
    for broken in ([{**entries[0], "fieldsV1": {"x": 1}}], [{**entries[0], "operation": "?"}], ["x"]):
        kept = update(created, doc({"replicas": 1}, managedFields=broken))
        assert kept["metadata"]["managedFields"] == entries


def test_the_oldest_updaters_are_merged() -> None:
    document = update(None, doc({"replicas": 0}, labels={"l-0": "x"}), "m-00")
    for i in range(1, 15):
        labels = {**document["metadata"]["labels"], f"l-{i}": "x"}
        document = update(document, doc({"replicas": 0}, labels=labels), f"m-{i:02}", NOW + timedelta(seconds=i))
    entries = document["metadata"]["managedFields"]
    assert [entry["manager"] for entry in entries] == [apply.ANCIENT, *(f"m-{i:02}" for i in range(6, 15))]
    assert set(fields(document, apply.ANCIENT)["f:metadata"]["f:labels"]) == {".", *(f"f:l-{i}" for i in range(6))}


def test_applying_what_is_there_shares_the_ownership() -> None:
    live = applied(None, doc({"replicas": 1}), "a")
    both = applied(live, doc({"replicas": 1}), "b", now=LATER)
    assert fields(both, "a") == fields(both, "b") == {"f:spec": {"f:replicas": {}}}
    only_b = applied(both, doc(), "a", now=LATER)
    assert only_b["spec"] == {"replicas": 1}
    assert fields(only_b, "a") is None
    assert "spec" not in applied(only_b, doc(), "b", now=LATER)


def test_conflicts_name_every_field_and_owner() -> None:
    live = update(None, doc({"replicas": 1, "containers": [{"name": "a", "image": "i"}]}), "kubectl")
    with pytest.raises(Conflict) as refused:
        applied(live, doc({"replicas": 2}))
    assert (
        refused.value.message == 'Apply failed with 1 conflict: conflict with "kubectl" using apps/v1: .spec.replicas'
    )
    assert [cause.document() for cause in refused.value.causes] == [
        {
            "reason": "FieldManagerConflict",
            "message": 'conflict with "kubectl" using apps/v1',
            "field": ".spec.replicas",
        }
    ]
    live = applied(live, doc({"paused": True}), "other")
    with pytest.raises(Conflict) as refused:
        applied(live, doc({"replicas": 2, "paused": False, "containers": [{"name": "a", "image": "j"}]}))
    assert refused.value.message == (
        "Apply failed with 3 conflicts: "
        'conflicts with "kubectl" using apps/v1:\n- .spec.containers[name="a"].image\n- .spec.replicas\n'
        'conflicts with "other":\n- .spec.paused'
    )


def test_force_takes_the_fields_away() -> None:
    live = update(None, doc({"replicas": 1, "paused": True}), "kubectl")
    forced = applied(live, doc({"replicas": 2}), force=True)
    assert forced["spec"] == {"replicas": 2, "paused": True}
    assert fields(forced, "kubectl") == {"f:spec": {"f:paused": {}}}
    assert fields(forced, "a") == {"f:spec": {"f:replicas": {}}}


def test_what_is_no_longer_applied_is_removed_unless_others_own_it() -> None:
    first = doc(
        {"replicas": 1, "containers": [{"name": "a", "image": "i", "args": ["x"]}, {"name": "b", "image": "i"}]},
        labels={"one": "1", "two": "2"},
    )
    live = applied(None, first)
    live = update(live, {**bare(live), "spec": {**live["spec"], "paused": True}}, "other")
    second = doc({"containers": [{"name": "a", "image": "i"}]}, labels={"one": "1"})
    result = applied(live, second, now=LATER)
    assert bare(result) == doc({"containers": [{"name": "a", "image": "i"}], "paused": True}, labels={"one": "1"})
    assert fields(result, "other") == {"f:spec": {"f:paused": {}}}


def test_an_item_stays_while_another_owns_something_in_it() -> None:
    live = applied(None, doc({"containers": [{"name": "a", "image": "i"}, {"name": "b", "image": "i"}]}))
    live = applied(live, doc({"containers": [{"name": "b", "args": ["x"]}]}), "other")
    result = applied(live, doc({"containers": [{"name": "a", "image": "i"}]}), now=LATER)
    assert result["spec"]["containers"] == [{"name": "a", "image": "i"}, {"name": "b", "args": ["x"]}]


def test_fields_of_nobody_stay() -> None:
    live = applied(None, doc({"replicas": 1}))
    live = {**live, "spec": {**live["spec"], "strategy": {"type": "Default"}}, "status": {"replicas": 1}}
    live["metadata"] = {**live["metadata"], "uid": "u"}
    result = applied(live, doc({"paused": True}), now=LATER)
    assert bare(result) == {
        **doc({"paused": True, "strategy": {"type": "Default"}}, uid="u"),
        "status": {"replicas": 1},
    }


def test_lists_merge_by_their_type() -> None:
    live = applied(None, doc({"containers": [{"name": "a", "args": ["x"]}]}, finalizers=["p", "q"]), "a")
    config = doc({"containers": [{"name": "b"}, {"name": "a", "args": ["y", "z"]}]}, finalizers=["r"])
    result = applied(live, config, "b", force=True)
    assert result["spec"]["containers"] == [{"name": "b"}, {"name": "a", "args": ["y", "z"]}]
    assert result["metadata"]["finalizers"] == ["p", "q", "r"]
    assert fields(result, "b")["f:metadata"]["f:finalizers"] == {'v:"r"': {}}


def test_what_the_live_list_holds_twice_is_not_lost() -> None:
    live = doc({"containers": [{"name": "a", "image": "1"}, {"name": "a", "image": "2"}, {"name": "b"}]})
    config = doc({"containers": [{"name": "c"}, {"name": "b", "image": "3"}]})
    found = applied(update(None, live), config)["spec"]["containers"]
    assert found == [*live["spec"]["containers"][:2], {"name": "c"}, {"name": "b", "image": "3"}]


def test_items_without_keys_are_left_to_validation() -> None:
    created = update(None, doc({"containers": [{"name": "a"}]}))
    broken = doc({"containers": [{"image": "x"}]})
    assert update(None, broken) == broken
    assert update(created, broken)["metadata"]["managedFields"] == created["metadata"]["managedFields"]


def test_the_default_of_a_key_counts_as_said() -> None:
    live = update(None, doc({"containers": [{"name": "a", "ports": [{"containerPort": 80, "protocol": "TCP"}]}]}))
    config = doc({"containers": [{"name": "a", "ports": [{"containerPort": 80, "name": "http"}]}]})
    ports = applied(live, config)["spec"]["containers"][0]["ports"]
    assert ports == [{"containerPort": 80, "protocol": "TCP", "name": "http"}]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            doc({"containers": [{"name": "a"}, {"name": "a"}]}),
            r'^\.spec\.containers: duplicate entries for key \[name="a"\]',
        ),
        (doc({"containers": [{"image": "a"}]}), r"^\.spec\.containers: .* omits all key fields"),
        (doc(finalizers=["a", "a"]), r'^\.metadata\.finalizers: duplicate entries for key \[="a"\]'),
        (doc(managedFields=[]), r"metadata\.managedFields must be nil"),
    ],
)
def test_configurations_that_cannot_be_applied(config: dict[str, Any], message: str) -> None:
    with pytest.raises(BadRequest, match=message):
        applied(None, config)


def test_names_of_managers() -> None:
    assert apply.manager_of("me", "kubectl/v1") == "me"
    assert apply.manager_of("", "kubectl/v1.37 (linux)") == "kubectl"
    assert apply.manager_of("", "") == "unknown"
    assert len(apply.manager_of("", "x" * 500)) == 128
    with pytest.raises(BadRequest, match="Too long"):
        apply.manager_of("x" * 129, "")
    with pytest.raises(BadRequest, match="printable"):
        apply.manager_of("a\n", "")


texts = st.sampled_from(["1", "2"])
specs = st.fixed_dictionaries(
    {},
    optional={
        "replicas": st.integers(0, 2),
        "paused": st.booleans(),
        "selector": st.fixed_dictionaries({"matchLabels": st.dictionaries(texts, texts)}),
        "strategy": st.fixed_dictionaries({}, optional={"type": texts, "rolling": st.dictionaries(texts, texts)}),
        "containers": st.lists(
            st.fixed_dictionaries({"name": st.sampled_from("abc")}, optional={"image": texts, "args": st.lists(texts)}),
            unique_by=lambda container: container["name"],
            max_size=3,
        ),
    },
)
labels = st.dictionaries(st.sampled_from("abc"), texts, max_size=3)
configs = st.builds(lambda spec, found: doc(spec, labels=found), specs, labels)


@given(st.none() | configs, configs)
def test_applying_again_changes_nothing(live: dict[str, Any] | None, config: dict[str, Any]) -> None:
    start = update(None, live, "creator") if live else None
    once = applied(start, config, force=True)
    assert applied(once, config, now=LATER) == once


@given(configs, configs)
def test_an_object_of_one_applier_follows_its_last_configuration(first: dict[str, Any], second: dict[str, Any]) -> None:
    def known(value: Any) -> Any:
        """Empty objects and lists may stay or go; items are compared by name."""
        if isinstance(value, dict):
            return {key: below for key in value if (below := known(value[key])) not in ({}, [])}
        if isinstance(value, list) and value and isinstance(value[0], dict):
            return sorted(map(known, value), key=lambda item: item["name"])
        return value

    result = applied(applied(None, first), second, now=LATER)
    assert known(bare(result)) == known(second)


@given(configs, configs, configs)
def test_two_appliers_never_lose_each_others_fields(a: Any, b: Any, a_again: Any) -> None:
    live = applied(applied(None, a, "a"), b, "b", force=True)
    owned = fields(live, "b")
    try:
        result = applied(live, a_again, "a", now=LATER)
    except Conflict:
        return
    lost = apply.difference(owned or {}, fields(result, "b") or {})
    emptied = {".metadata.labels", ".spec", ".spec.strategy", ".spec.strategy.rolling"}
    assert set(apply.members(lost)) <= emptied


@given(configs, configs)
def test_every_field_that_an_update_changed_belongs_to_it(old: dict[str, Any], new: dict[str, Any]) -> None:
    created = update(None, old, "creator")
    if "managedFields" not in created["metadata"]:
        return
    result = update(created, new, "editor", LATER)
    creators, editors = fields(result, "creator") or {}, fields(result, "editor") or {}
    assert apply.intersection(creators, editors) == {}
