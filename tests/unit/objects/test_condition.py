"""Conditions: when times move and when they do not."""

from datetime import UTC, datetime, timedelta

from navarch.objects import condition

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LATER = NOW + timedelta(minutes=1)
STAMP, LATER_STAMP = "2026-01-02T03:04:05Z", "2026-01-02T03:05:05Z"


def test_a_new_condition_gets_the_time() -> None:
    found = condition.set(None, {"type": "Ready", "status": "True"}, NOW)
    assert found == [{"type": "Ready", "status": "True", "lastTransitionTime": STAMP}]


def test_a_transition_moves_the_time_and_keeps_the_place() -> None:
    old = condition.set([{"type": "Other", "status": "False"}], {"type": "Ready", "status": "True"}, NOW)
    old = [*old, {"type": "Last", "status": "True"}]
    found = condition.set(old, {"type": "Ready", "status": "False", "reason": "Gone"}, LATER)
    assert [c["type"] for c in found] == ["Other", "Ready", "Last"]
    assert found[1] == {"type": "Ready", "status": "False", "reason": "Gone", "lastTransitionTime": LATER_STAMP}
    assert old[1]["status"] == "True"


def test_another_reason_is_no_transition() -> None:
    old = condition.set(None, {"type": "Ready", "status": "True", "reason": "A"}, NOW)
    found = condition.set(old, {"type": "Ready", "status": "True", "reason": "B"}, LATER)
    assert found == [{"type": "Ready", "status": "True", "reason": "B", "lastTransitionTime": STAMP}]


def test_saying_the_same_again_changes_nothing() -> None:
    new = {"type": "Progressing", "status": "True", "reason": "A"}
    old = condition.set(None, new, NOW, updated="lastUpdateTime")
    assert old[0]["lastUpdateTime"] == STAMP
    assert condition.set(old, new, LATER, updated="lastUpdateTime") == old
    changed = condition.set(old, {**new, "reason": "B"}, LATER, updated="lastUpdateTime")
    assert (changed[0]["lastUpdateTime"], changed[0]["lastTransitionTime"]) == (LATER_STAMP, STAMP)


def test_a_heartbeat_always_moves() -> None:
    new = {"type": "Ready", "status": "True"}
    old = condition.set(None, new, NOW, heartbeat="lastHeartbeatTime")
    found = condition.set(old, new, LATER, heartbeat="lastHeartbeatTime")
    assert (found[0]["lastHeartbeatTime"], found[0]["lastTransitionTime"]) == (LATER_STAMP, STAMP)


def test_reading() -> None:
    document = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    assert condition.is_true(document, "Ready")
    assert not condition.is_true(document, "Other")
    assert not condition.is_true({}, "Ready")
    assert condition.status(None, "Ready") == "Unknown"
    assert condition.remove(document["status"]["conditions"], "Ready") == []
