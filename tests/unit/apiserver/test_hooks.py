"""Which webhooks are asked, and in which order."""

from __future__ import annotations

from typing import Any

from fakes import FakeReads

from navarch.apiserver.admission.hooks import Hooks, configured
from navarch.apiserver.admission.review import Review
from navarch.apiserver.call import User
from navarch.apiserver.options import Intent
from navarch.kinds import CONFIGMAP, MUTATINGWEBHOOKCONFIGURATION, POD, VALIDATINGWEBHOOKCONFIGURATION
from navarch.kinds.kind import Kind
from navarch.kinds.registry import DEFAULT
from navarch.objects.value import Draft


class State(FakeReads):
    kinds = DEFAULT


def review(kind: Kind = CONFIGMAP, verb: str = "create", subresource: str = "") -> Review:
    intent = Intent(kind, User("amy"), verb, "space", "x", subresource, "", False, "Strict", [])
    return Review(intent, Draft({"metadata": {"name": "x"}}), None, State())  # type: ignore[arg-type]


def hook(name: str, resources: str = "configmaps", *operations: str, **more: Any) -> dict[str, Any]:
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "resources": [resources], "operations": operations or ["*"]}
    return {"name": name, "rules": [rule], **more}


def asked(hooks: Hooks, found: Review) -> list[str]:
    return [one.name for one in hooks.of(found)]


def put(reads: FakeReads, name: str, *hooks: dict[str, Any], kind: Kind = MUTATINGWEBHOOKCONFIGURATION) -> None:
    reads.put(kind, {"metadata": {"name": name}, "webhooks": list(hooks)})


def test_the_order_is_that_of_the_configurations_names_and_then_their_own() -> None:
    reads = FakeReads()
    put(reads, "b", hook("b1"), hook("b0"))
    put(reads, "a", hook("a0"))
    found = configured(reads.list(MUTATINGWEBHOOKCONFIGURATION))
    assert [(one.uid, one.name) for one in found] == [(("a", 0), "a0"), (("b", 0), "b1"), (("b", 1), "b0")]


def test_only_those_whose_rules_ask_for_the_write() -> None:
    reads = FakeReads()
    put(reads, "a", hook("one"), hook("two", "pods"), hook("three", "configmaps", "DELETE"), {"name": "no-rules"})
    put(reads, "b", hook("other"), kind=VALIDATINGWEBHOOKCONFIGURATION)
    hooks = Hooks(reads, MUTATINGWEBHOOKCONFIGURATION)
    assert asked(hooks, review()) == ["one"]
    assert asked(hooks, review(POD)) == ["two"]
    assert asked(hooks, review(POD, subresource="status")) == []


def test_changes_are_seen_when_told_of() -> None:
    reads = FakeReads()
    hooks = Hooks(reads, MUTATINGWEBHOOKCONFIGURATION)
    assert asked(hooks, review()) == []
    put(reads, "a", hook("one"))
    hooks.changed()
    assert asked(hooks, review()) == ["one"]


def test_what_admission_is_configured_with_concerns_nobody() -> None:
    reads = FakeReads()
    everything = {"apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"], "operations": ["*"]}
    put(reads, "a", {"name": "all", "rules": [everything]})
    hooks = Hooks(reads, MUTATINGWEBHOOKCONFIGURATION)
    assert asked(hooks, review(VALIDATINGWEBHOOKCONFIGURATION)) == []
    assert asked(hooks, review()) == ["all"]


def test_what_is_not_said_has_the_defaults_of_kubernetes() -> None:
    reads = FakeReads()
    put(reads, "a", hook("one"), hook("two", failurePolicy="Ignore", sideEffects="NoneOnDryRun", timeoutSeconds=3))
    one, two = configured(reads.list(MUTATINGWEBHOOKCONFIGURATION))
    assert (one.fails, one.dry, one.timeout_s, one.review, one.reinvoked) == (True, False, 10, "v1", False)
    assert (two.fails, two.dry, two.timeout_s) == (False, True, 3)
