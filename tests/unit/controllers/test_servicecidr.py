"""A network of Services is ready, and goes only when no address of it is held."""

from __future__ import annotations

from navarch.controllers.plan import Patch, Plan, Status
from navarch.controllers.servicecidr import FINALIZER, READY, TERMINATING, Observed, _only_here, plan
from navarch.kinds import SERVICECIDR
from navarch.kinds.object import Object
from tests.unit.controllers.conftest import NOW, Make


def network(make: Make, *, finalizers: tuple[str, ...] = (FINALIZER,), deleted: bool = False) -> Object:
    metadata = {"finalizers": list(finalizers)} if finalizers else {}
    if deleted:
        metadata["deletionTimestamp"] = "2030-01-01T11:00:00Z"  # type: ignore[assignment]
    return make.object(SERVICECIDR, "more", metadata=metadata, spec={"cidrs": ["10.9.0.0/24"]})


def test_a_new_one_is_held_and_then_ready(make: Make) -> None:
    new = network(make, finalizers=())
    assert plan(Observed(new, held=False), NOW) == Plan((Patch(new, {"metadata": {"finalizers": [FINALIZER]}}),))
    held = network(make)
    found = plan(Observed(held, held=False), NOW)
    assert isinstance(found.status, Status)
    [condition] = found.status.status["conditions"]
    assert condition == {**READY, "lastTransitionTime": "2030-01-01T12:00:00Z"}
    assert found.actions == ()


def test_one_that_goes_waits_for_its_addresses(make: Make) -> None:
    going = network(make, deleted=True)
    found = plan(Observed(going, held=True), NOW)
    assert isinstance(found.status, Status)
    assert found.status.status["conditions"] == [{**TERMINATING, "lastTransitionTime": "2030-01-01T12:00:00Z"}]
    assert found.actions == ()
    assert plan(Observed(going, held=False), NOW) == Plan((Patch(going, {"metadata": {"finalizers": None}}),))
    others = network(make, deleted=True, finalizers=("a/b", FINALIZER))
    assert plan(Observed(others, held=False), NOW) == Plan((Patch(others, {"metadata": {"finalizers": ["a/b"]}}),))
    gone = network(make, deleted=True, finalizers=("a/b",))
    assert plan(Observed(gone, held=False), NOW) == Plan()


def test_whose_an_address_is() -> None:
    assert _only_here("10.9.0.7", ["10.9.0.0/24"], [])
    assert not _only_here("10.9.0.7", ["10.9.0.0/24"], ["10.8.0.0/15"]), "another network has it too"
    assert not _only_here("10.8.0.7", ["10.9.0.0/24"], [])
    assert not _only_here("2001:db8::1", ["10.9.0.0/24"], [])
