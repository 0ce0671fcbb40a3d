"""Attaching volumes of drivers to nodes: when, where, and never from under a pod that uses one."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.controllers.node.taints import OUT_OF_SERVICE
from navarch.controllers.plan import Create, Delete, Event, Plan, Status
from navarch.controllers.volumes import attach
from navarch.controllers.volumes.attach import Disk, Observed, name_of, plan, title_of
from navarch.controllers.volumes.attachdetach import Given
from navarch.kinds import CSIDRIVER, NODE, PERSISTENTVOLUME, PERSISTENTVOLUMECLAIM, POD, VOLUMEATTACHMENT
from navarch.kinds.object import Object
from tests.unit.controllers.conftest import NOW, Make
from tests.unit.controllers.test_cluster import Town, play

DRIVER = "disks.example.com"


def node(make: Make, *, ready: bool = True, in_use: tuple[Object, ...] = (), **more: Any) -> Object:
    conditions = [{"type": "Ready", "status": "True" if ready else "Unknown"}]
    status = {"conditions": conditions, **more.pop("status", {})}
    if in_use:
        status["volumesInUse"] = [title_of(volume) for volume in in_use]
    return make.object(NODE, "n1", spec=more.pop("spec", {}), status=status)


def volume(make: Make, name: str = "pv", *modes: str) -> Object:
    spec = {
        "capacity": {"storage": "1Gi"},
        "accessModes": list(modes or ("ReadWriteOnce",)),
        "csi": {"driver": DRIVER, "volumeHandle": f"handle-of-{name}"},
    }
    return make.object(PERSISTENTVOLUME, name, spec=spec)


def attachment(make: Make, of: Object, on: str = "n1", *, attached: bool = True, error: str = "") -> Object:
    spec = {"attacher": DRIVER, "nodeName": on, "source": {"persistentVolumeName": of.name}}
    status: dict[str, Any] = {"attached": attached}
    if error:
        status["attachError"] = {"message": error, "time": "2030-01-01T12:00:00Z"}
    name = name_of(of, on)
    return make.object(VOLUMEATTACHMENT, name, metadata={"uid": f"uid-{name[:12]}"}, spec=spec, status=status)


def reported(found: Plan) -> list[str] | None:
    """What the node's status is made to say; None where it is left alone."""
    for action in found.actions:
        if isinstance(action, Status):
            return [one["name"] for one in action.status.get("volumesAttached", [])]
    return None


def told(found: Plan) -> list[tuple[str, str]]:
    return [(action.reason, action.message) for action in found.actions if isinstance(action, Event)]


def doomed(found: Plan) -> list[str]:
    return [action.object.name for action in found.actions if isinstance(action, Delete)]


def test_names_are_those_that_attachers_know(make: Make) -> None:
    digest = sha256(b"handle-of-pv" + DRIVER.encode() + b"n1").hexdigest()
    assert name_of(volume(make), "n1") == f"csi-{digest}"
    assert title_of(volume(make)) == "kubernetes.io/csi/disks.example.com^handle-of-pv"


def test_a_pod_gets_its_volume_attached_and_hears_of_it(make: Make) -> None:
    pv, pod = volume(make), make.pod("a")
    first = plan(Observed("n1", node(make), [Disk(pv, [pod])]), NOW)
    (create,) = first.actions
    assert isinstance(create, Create)
    assert create.document["metadata"] == {"name": name_of(pv, "n1")}
    assert create.document["spec"] == {
        "attacher": DRIVER,
        "nodeName": "n1",
        "source": {"persistentVolumeName": "pv"},
    }
    here = [attachment(make, pv, attached=False)]
    assert plan(Observed("n1", node(make), [Disk(pv, [pod])], here, {"pv": pv}), NOW) == Plan()
    here = [attachment(make, pv)]
    done = plan(Observed("n1", node(make), [Disk(pv, [pod])], here, {"pv": pv}), NOW)
    assert reported(done) == [title_of(pv)]
    assert told(done) == [("SuccessfulAttachVolume", 'AttachVolume.Attach succeeded for volume "pv" ')]
    says = node(make, status={"volumesAttached": [{"name": title_of(pv), "devicePath": ""}]})
    assert plan(Observed("n1", says, [Disk(pv, [pod])], here, {"pv": pv}), NOW) == Plan()


def test_what_an_attacher_could_not_do_is_told_once(make: Make) -> None:
    pv, pod = volume(make), make.pod("a")
    here = [attachment(make, pv, attached=False, error="rpc error: no such disk")]
    seen = Observed("n1", node(make), [Disk(pv, [pod])], here, {"pv": pv})
    message = 'AttachVolume.Attach failed for volume "pv" : rpc error: no such disk'
    assert told(plan(seen, NOW)) == [("FailedAttachVolume", message)]
    again = Observed("n1", node(make), seen.wanted, here, {"pv": pv}, told=frozenset(attach.troubles(seen)))
    assert plan(again, NOW) == Plan()


def test_a_volume_of_one_node_waits_for_the_other(make: Make) -> None:
    pv, pod, other = volume(make), make.pod("a"), make.pod("b", node="n2")
    rival = attachment(make, pv, "n2")

    def said(*pods: Object, of: Object = pv, on: Object = rival) -> list[tuple[str, str]]:
        found = plan(Observed("n1", node(make), [Disk(of, [pod], [on], pods)]), NOW)
        assert [type(action) for action in found.actions] == [Event] * len(found.actions)
        return told(found)

    start = 'Multi-Attach error for volume "pv" Volume is already '
    exclusive = "exclusively attached to one node and can't be attached to another"
    assert said() == [("FailedAttachVolume", start + exclusive)]
    assert said(other) == [("FailedAttachVolume", start + "used by pod(s) b")]
    far = make.object(POD, "c", "elsewhere", spec={"nodeName": "n2", "containers": []})
    assert said(far) == [("FailedAttachVolume", start + "used by 1 pod(s) in different namespaces")]
    assert said(other, far)[0][1].endswith("used by pod(s) b and 1 pod(s) in different namespaces")
    assert said(other, on=attachment(make, pv, "n2", attached=False)) == [], "it is under way: nothing to complain of"


@pytest.mark.parametrize("modes", [("ReadWriteMany",), ("ReadWriteOnce", "ReadOnlyMany")])
def test_a_shared_volume_is_attached_to_both(make: Make, modes: tuple[str, ...]) -> None:
    pv = volume(make, "pv", *modes)
    rival = attachment(make, pv, "n2")
    found = plan(Observed("n1", node(make), [Disk(pv, [make.pod("a")], [rival], [make.pod("b")])]), NOW)
    assert [type(action) for action in found.actions] == [Create]


def leaving(make: Make, found: Object | None, *, since_s: float = 0, **more: Any) -> Plan:
    pv = volume(make)
    here = attachment(make, pv)
    since = {here.uid: NOW - timedelta(seconds=since_s)}
    return plan(Observed("n1", found, (), [here], {"pv": pv}, since, **more), NOW)


def test_the_promise_goes_before_the_volume(make: Make) -> None:
    title = title_of(volume(make))
    found = leaving(make, node(make, status={"volumesAttached": [{"name": title, "devicePath": ""}]}))
    assert [type(action) for action in found.actions] == [Status, Delete]
    assert reported(found) == []
    assert doomed(found) == [name_of(volume(make), "n1")]


def test_who_keeps_a_volume_that_nobody_wants(make: Make) -> None:
    used = (volume(make),)
    assert doomed(leaving(make, node(make, in_use=used), since_s=10_000)) == [], "a node that is well will let go"
    unwell = leaving(make, node(make, ready=False, in_use=used), since_s=100)
    assert (doomed(unwell), unwell.requeue_after_s) == ([], 260)
    assert doomed(leaving(make, node(make, ready=False, in_use=used), since_s=360)) != []
    out = node(make, ready=False, in_use=used, spec={"taints": [{"key": OUT_OF_SERVICE, "effect": "NoExecute"}]})
    assert doomed(leaving(make, out)) != []
    assert (doomed(leaving(make, None)), leaving(make, None).requeue_after_s) == ([], 360), "nobody can ask it"
    assert doomed(leaving(make, None, since_s=361)) != []
    assert doomed(leaving(make, node(make, ready=False, in_use=used), since_s=60, force_s=60.0)) != []


def test_nothing_is_decided_before_the_view_is_that_of_the_process_before(make: Make) -> None:
    pv = volume(make)
    seen = Observed("n1", node(make), [Disk(pv, [make.pod("a")])], begun=False)
    assert plan(seen, NOW) == Plan(requeue_after_s=0.1)


def test_what_is_being_attached_elsewhere_is_waited_for(make: Make) -> None:
    """Before any cache shows it."""
    pv, shared = volume(make), volume(make, "shared", "ReadWriteMany")
    disks = [Disk(pv, [make.pod("a")]), Disk(shared, [make.pod("b")])]
    given = Given()
    assert given.contended("n2", Observed("n2", node(make), disks)).given == frozenset()  # type: ignore[union-attr]
    seen = given.contended("n1", Observed("n1", node(make), disks))
    assert seen is not None
    found = plan(seen, NOW)
    assert [type(action) for action in found.actions] == [Create], "only what may be on both"
    assert found.requeue_after_s == 1
    given.contended("n2", None)  # it does not want them any more
    again = given.contended("n1", Observed("n1", node(make), disks))
    assert again is not None
    assert len(plan(again, NOW).actions) == 2


def test_nothing_is_taken_by_an_old_view_of_the_node(make: Make) -> None:
    found = leaving(make, node(make), newest=False)
    assert (doomed(found), found.requeue_after_s) == ([], 1)
    assert doomed(leaving(make, node(make), newest=True)) != []


@given(
    wants=st.booleans(),
    mounted=st.booleans(),
    ready=st.booleans(),
    fenced=st.booleans(),
    waited_s=st.integers(0, 1000),
    attached=st.booleans(),
    rival=st.booleans(),
    shared=st.booleans(),
    exists=st.booleans(),
)
def test_what_may_never_happen(
    wants: bool,
    mounted: bool,
    ready: bool,
    fenced: bool,
    waited_s: int,
    attached: bool,
    rival: bool,
    shared: bool,
    exists: bool,
) -> None:
    make = Make()
    pv = volume(make, "pv", "ReadWriteMany" if shared else "ReadWriteOnce")
    taints = [{"key": OUT_OF_SERVICE, "effect": "NoExecute"}] if fenced else []
    found = node(make, ready=ready, in_use=(pv,) if mounted else (), spec={"taints": taints})
    here = [attachment(make, pv, attached=attached)] if exists else []
    rivals = [attachment(make, pv, "n2")] if rival else []
    since = {one.uid: NOW - timedelta(seconds=waited_s) for one in here}
    disks = [Disk(pv, [make.pod("a")], rivals)] if wants else []
    made = plan(Observed("n1", found, disks, here, {"pv": pv} if exists else {}, since), NOW)
    if wants:
        assert doomed(made) == [], "what a pod uses is never taken away"
    if mounted and ready and not fenced:
        assert doomed(made) == [], "nor what a node in good health has mounted"
    if rival and not shared:
        assert not any(isinstance(action, Create) for action in made.actions), "one node at a time"
    if exists and not wants and not mounted:
        assert doomed(made) != [], "and nothing stays attached for nobody"
    if doomed(made):
        assert title_of(pv) not in (reported(made) or ()), "no node is promised what is being taken from it"


class Attacher:
    """As an external attacher does it: holds attachments by a finalizer, and says what came of them."""

    def __init__(self, town: Town) -> None:
        self._town = town
        self.history: list[tuple[str, str]] = []

    async def run(self) -> None:
        while True:
            for found in (await self._town.client.list(VOLUMEATTACHMENT, "")).items:
                view = found.view
                if found.terminating:
                    await self._town.client.patch(VOLUMEATTACHMENT, "", found.name, {"metadata": {"finalizers": None}})
                    self.history.append(("detached", view.spec.node_name))
                elif not view.status.attached:
                    held = {"metadata": {"finalizers": [f"external-attacher/{DRIVER}"]}}
                    await self._town.client.patch(VOLUMEATTACHMENT, "", found.name, held)
                    done = {"status": {"attached": True}}
                    await self._town.client.patch(VOLUMEATTACHMENT, "", found.name, done, subresource="status")
                    self.history.append(("attached", view.spec.node_name))
            await asyncio.sleep(0.5)


async def disk(town: Town, name: str = "data") -> None:
    spec = {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "disks",
        "csi": {"driver": DRIVER, "volumeHandle": f"handle-of-{name}"},
    }
    await town.create(CSIDRIVER, DRIVER, spec={"attachRequired": True})
    await town.create(PERSISTENTVOLUME, f"pv-{name}", spec=spec)
    wanted = {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "disks",
        "resources": {"requests": {"storage": "1Gi"}},
    }
    await town.create(PERSISTENTVOLUMECLAIM, name, spec=wanted)


async def user(town: Town, name: str, on: str) -> None:
    spec = {
        "nodeName": on,
        "terminationGracePeriodSeconds": 0,
        "containers": [{"name": "c", "image": "i"}],
        "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}],
    }
    await town.create(POD, name, spec=spec)


def test_a_volume_moves_from_node_to_node() -> None:
    async def script(town: Town) -> None:
        attacher = Attacher(town)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(attacher.run())
            await disk(town)
            await user(town, "first", "n0")

            async def on(name: str) -> bool:
                said = (await town.get(NODE, name))["status"].get("volumesAttached", [])
                return said == [{"name": f"kubernetes.io/csi/{DRIVER}^handle-of-data", "devicePath": ""}]

            await town.until(lambda: on("n0"), 30)
            title = {"status": {"volumesInUse": [f"kubernetes.io/csi/{DRIVER}^handle-of-data"]}}
            await town.client.patch(NODE, "", "n0", title, subresource="status")
            await user(town, "second", "n1")
            await asyncio.sleep(60)
            assert attacher.history == [("attached", "n0")], "it is in use there"
            await town.client.delete(POD, "default", "first", grace_s=0)
            await asyncio.sleep(60)
            assert await on("n0"), "the node has not let go of it"
            await town.client.patch(NODE, "", "n0", {"status": {"volumesInUse": None}}, subresource="status")
            await town.until(lambda: on("n1"), 30)
            assert not await on("n0")
            assert attacher.history == [("attached", "n0"), ("detached", "n0"), ("attached", "n1")]
            task.cancel()

    play(script)
