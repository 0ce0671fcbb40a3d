"""Claims of pods: made, told of, reserved, let go."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from navarch.base.errors import NotFound
from navarch.client.client import Client
from navarch.controllers.plan import Apply, Create, Delete, Event, Patch, Plan
from navarch.controllers.resourceclaim import (
    BASE_MAX,
    FINALIZER,
    FOR_CLAIM,
    OfClaim,
    OfPod,
    base_name,
    claim_names,
    confirm,
    plan,
)
from navarch.kinds import POD, RESOURCECLAIM, RESOURCECLAIMTEMPLATE
from navarch.kinds.object import Object
from tests.unit.controllers.conftest import NOW, Make, ago

GPU = {"devices": {"requests": [{"name": "gpu", "exactly": {"deviceClassName": "gpu.example.com"}}]}}


def pod(make: Make, made: dict[str, str] | None = None, **parts: Any) -> Object:
    claims = [{"name": "gpu", "resourceClaimTemplateName": "one-gpu"}, {"name": "shared", "resourceClaimName": "net"}]
    statuses = [{"name": name, "resourceClaimName": claim} for name, claim in (made or {}).items()]
    status = {"phase": parts.pop("phase", "Pending"), **({"resourceClaimStatuses": statuses} if statuses else {})}
    spec: dict[str, Any] = {"containers": [{"name": "c", "image": "i"}], "resourceClaims": claims}
    if node := parts.pop("node", ""):
        spec["nodeName"] = node
    return make.object(POD, "p", spec=spec, status=status, **parts)


def template(make: Make) -> Object:
    spec = {"metadata": {"labels": {"a": "b"}, "annotations": {"c": "d"}}, "spec": GPU}
    return make.object(RESOURCECLAIMTEMPLATE, "one-gpu", spec=spec)


def claim(
    make: Make,
    name: str,
    owner: Object | None = None,
    reserved: tuple[tuple[str, str], ...] = (),
    *,
    finalizer: bool = True,
    deleting: bool = False,
) -> Object:
    metadata: dict[str, Any] = {"finalizers": [FINALIZER]} if finalizer else {}
    if owner is not None:
        metadata |= {"ownerReferences": make.owner(owner), "annotations": {FOR_CLAIM: "gpu"}}
    if deleting:
        metadata["deletionTimestamp"] = ago(5)
    consumers = [{"resource": "pods", "name": one, "uid": uid} for one, uid in reserved]
    status: dict[str, Any] = {"allocation": {}} if finalizer else {}
    if consumers:
        status["reservedFor"] = consumers
    return make.object(RESOURCECLAIM, name, metadata=metadata, spec=GPU, status=status)


def test_a_claim_is_made_of_its_template(make: Make) -> None:
    mine, text = pod(make), template(make)
    (made,) = plan(OfPod(mine, {}, {"one-gpu": text}), NOW).actions
    assert isinstance(made, Create)
    metadata = made.document["metadata"]
    assert metadata["generateName"] == "p-gpu-"
    assert metadata["annotations"] == {"c": "d", FOR_CLAIM: "gpu"}
    assert metadata["labels"] == {"a": "b"}
    assert metadata["ownerReferences"][0]["uid"] == mine.uid
    assert made.document["spec"] == GPU


def test_the_pod_is_told_when_its_claim_is_there(make: Make) -> None:
    mine = pod(make)
    made = claim(make, "p-gpu-x7", mine)
    (told,) = plan(OfPod(mine, {made.name: made}, {"one-gpu": template(make)}), NOW).actions
    assert isinstance(told, Apply)
    assert told.subresource == "status"
    assert told.document["status"] == {"resourceClaimStatuses": [{"name": "gpu", "resourceClaimName": "p-gpu-x7"}]}
    knows = pod(make, {"gpu": "p-gpu-x7"})
    assert claim_names(knows) == ["p-gpu-x7", "net"]
    assert plan(OfPod(knows, {made.name: made}, {}), NOW) == Plan()


def test_what_was_lost_is_made_again(make: Make) -> None:
    knows = pod(make, {"gpu": "p-gpu-x7"})
    (made,) = plan(OfPod(knows, {}, {"one-gpu": template(make)}), NOW).actions
    assert isinstance(made, Create)
    stolen = claim(make, "p-gpu-x7", make.object(POD, "other"))
    (made,) = plan(OfPod(knows, {stolen.name: stolen}, {"one-gpu": template(make)}), NOW).actions
    assert isinstance(made, Create)


def test_a_missing_template_is_told_of(make: Make) -> None:
    (told,) = plan(OfPod(pod(make), {}, {}), NOW).actions
    assert isinstance(told, Event)
    assert (told.type, told.reason) == ("Warning", "FailedResourceClaimCreation")
    assert told.message == (
        'PodResourceClaim gpu: resource claim template "one-gpu": resourceclaimtemplates.resource.k8s.io "one-gpu" '
        "not found"
    )


def test_a_pod_on_a_node_has_its_claims_reserved(make: Make) -> None:
    mine = pod(make, {"gpu": "p-gpu-x7"}, node="n1")
    made, shared = claim(make, "p-gpu-x7", mine, (("p", "uid-p"),)), claim(make, "net", None, (("q", "uid-q"),))
    both = {made.name: made, shared.name: shared}
    (patch,) = plan(OfPod(mine, both, {}), NOW).actions
    assert isinstance(patch, Patch)
    assert patch.object is shared
    assert [one["name"] for one in patch.changes["status"]["reservedFor"]] == ["q", "p"]
    waiting = claim(make, "net", finalizer=False)
    assert plan(OfPod(mine, {made.name: made, "net": waiting}, {}), NOW) == Plan(), "it has no devices yet"
    full = claim(make, "net", None, tuple((f"q{number}", f"u{number}") for number in range(256)))
    assert plan(OfPod(mine, {made.name: made, "net": full}, {}), NOW) == Plan()


def test_a_claim_is_let_go_with_its_last_pod(make: Make) -> None:
    done = pod(make, phase="Succeeded", node="n1")
    shared = claim(make, "net", None, (("p", "uid-p"),))
    status, metadata = plan(OfClaim(shared, {"p": done}), NOW).actions
    assert isinstance(status, Patch)
    assert isinstance(metadata, Patch)
    assert (status.subresource, status.changes) == ("status", {"status": {"reservedFor": None, "allocation": None}})
    assert metadata.changes == {"metadata": {"finalizers": None}}
    running = pod(make, phase="Running", node="n1")
    assert plan(OfClaim(shared, {"p": running}), NOW) == Plan()
    two = claim(make, "net", None, (("p", "uid-p"), ("gone", "uid-gone")))
    (status,) = plan(OfClaim(two, {"p": running}), NOW).actions
    assert isinstance(status, Patch)
    assert [one["name"] for one in status.changes["status"]["reservedFor"]] == ["p"]
    replaced = claim(make, "net", None, (("p", "uid-of-another"),))
    assert len(plan(OfClaim(replaced, {"p": running}), NOW).actions) == 2
    unused = claim(make, "net")
    assert plan(OfClaim(unused, {}), NOW) == Plan(), "it stays allocated until somebody has used it"


def test_a_deleted_claim_waits_for_its_pods(make: Make) -> None:
    running = pod(make, phase="Running", node="n1")
    used = claim(make, "net", None, (("p", "uid-p"),), deleting=True)
    assert plan(OfClaim(used, {"p": running}), NOW) == Plan()
    unused = claim(make, "net", deleting=True)
    assert len(plan(OfClaim(unused, {}), NOW).actions) == 2


def test_a_generated_claim_goes_when_its_pod_is_done(make: Make) -> None:
    done = pod(make, {"gpu": "p-gpu-x7"}, phase="Failed", node="n1")
    made = claim(make, "p-gpu-x7", done, finalizer=False)
    assert plan(OfClaim(made, {"p": done}), NOW) == Plan((Delete(made),))
    assert plan(OfClaim(made, {}), NOW) == Plan(), "the garbage collector's business"
    never = pod(make, metadata={"deletionTimestamp": ago(1)})
    assert plan(OfClaim(made, {"p": never}), NOW) == Plan((Delete(made),))
    assert plan(OfClaim(made, {"p": pod(make, phase="Running", node="n1")}), NOW) == Plan()


class Api:
    def __init__(self, *pods: Object) -> None:
        self.pods = {pod.name: pod for pod in pods}
        self.asked: list[str] = []

    async def get(self, kind: Any, namespace: str, name: str) -> Object:
        self.asked.append(name)
        if name not in self.pods:
            raise NotFound(name)
        return self.pods[name]


def test_no_pod_is_written_off_unasked(make: Make) -> None:
    new = pod(make, phase="Pending", node="n1")
    shared = claim(make, "net", None, (("p", "uid-p"), ("gone", "uid-gone")))
    api = Api(new)
    seen = asyncio.run(confirm(cast(Client, api), OfClaim(shared, {})))
    assert api.asked == ["p", "gone"]
    assert seen == OfClaim(shared, {"p": new})
    of_pod = OfPod(new, {}, {})
    assert asyncio.run(confirm(cast(Client, Api()), of_pod)) == of_pod


@given(st.text("abc-", min_size=1, max_size=253), st.text("xyz", min_size=1, max_size=63))
def test_names_leave_room_and_keep_both_parts(pod_name: str, claim_name: str) -> None:
    made = base_name(pod_name, claim_name)
    assert len(made) <= BASE_MAX
    assert made[0] == pod_name[0] or len(pod_name) * BASE_MAX < len(pod_name) + len(claim_name) + 2
    if len(pod_name) + len(claim_name) + 2 <= BASE_MAX:
        assert made == f"{pod_name}-{claim_name}-"


def test_both_parts_of_a_long_name_are_shortened_alike() -> None:
    assert base_name("p" * 40, "c" * 40) == f"{'p' * 27}-{'c' * 27}"
