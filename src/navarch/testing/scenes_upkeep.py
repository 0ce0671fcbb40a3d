"""What a user does with the things that a cluster keeps in order by itself: ranges of nodes, stored versions, tokens
that nobody uses, certificates, and pods that were to be disrupted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator

from navarch.base.clock import rfc3339
from navarch.base.errors import Conflict, NotFound
from navarch.controllers.certificates.trust import SIGNER
from navarch.controllers.loadbalancer.pool import ADDRESSES, NAME, NAMESPACE, pool_of
from navarch.controllers.staleness import BY_AGENT, TARGET
from navarch.kinds import (
    CLUSTERTRUSTBUNDLE,
    CONFIGMAP,
    CUSTOMRESOURCEDEFINITION,
    DEPLOYMENT,
    NODE,
    POD,
    SECRET,
    SERVICE,
    SERVICEACCOUNT,
    STORAGEVERSIONMIGRATION,
)
from navarch.kinds.kind import Kind
from navarch.kinds.secret import ACCOUNT_NAME, ACCOUNT_TOKEN, TOKEN_INVALID_SINCE, TOKEN_LAST_USED, TOKEN_TRACKING
from navarch.objects.value import Document, dig
from navarch.testing.ledger import Ledger
from navarch.testing.promises_upkeep import balanced_at
from navarch.testing.user import LIMITS, Check, User

LOOKS = 450
TICK_S = 2.0
MOST_RANGES = 4
"""So many the cluster's range has (`world.CLUSTER_CIDR`)."""
LATE = "2035-01-01"
"""After all that is played."""


def complaint(what: str) -> Check:
    """A check that finds this."""

    def check(ledger: Ledger) -> Iterator[str]:
        yield what

    return check


async def waited(user: User, done: Callable[[], Awaitable[bool]]) -> bool:
    """Whether it came to be. Looks are counted, not seconds: clocks leap."""
    for _ in range(LOOKS):
        if await done():
            return True
        await user.clock.sleep(TICK_S)
    return False


async def ranges(user: User) -> None:
    """Nodes that are only registered: they come and go, and at times there are more than ranges for them."""
    names = [f"{user.name}-{number}" for number in range(MOST_RANGES + 2)]
    alive: list[str] = []
    for _ in range(12):
        await user.pause(8.0)
        name = user.pick(*names)
        if name in alive:
            alive.remove(name)
            await user.remove(NODE, name)
        else:
            alive.append(name)
            taint = {"key": "example.com/bare", "effect": "NoSchedule"}
            await user.make(NODE, name, {"spec": {"taints": [taint]}}, labels={"topology.kubernetes.io/zone": "bare"})
    for name in alive[MOST_RANGES:]:
        await user.remove(NODE, name)

    async def done() -> bool:
        return not await _without(user)

    if not await waited(user, done):
        user.expect(complaint(f"these nodes never had a range: {await _without(user)}"))
    for name in alive[:MOST_RANGES]:
        await user.remove(NODE, name)


async def _without(user: User) -> list[str]:
    return sorted(node.name for node in (await user.client.list(NODE)).items if not node.view.spec.pod_cidr)


POOLS = ("192.0.2.1-192.0.2.3", "192.0.2.2-192.0.2.5", "192.0.2.1 192.0.2.4")


async def balanced(user: User) -> None:
    """Services that share a pool of few addresses, while it changes and they come, go, and are balanced no longer."""
    around = User(user.client, user.ids, user.clock, user.name, NAMESPACE)
    pool = user.pick(*POOLS)
    await around.make(CONFIGMAP, NAME, {"data": {ADDRESSES: pool}})
    for number in range(user.number(3, 6)):
        await user.make(SERVICE, f"{user.name}-{number}", {"spec": {"type": "LoadBalancer", "ports": [{"port": 80}]}})
        await user.pause(4.0)
    for _ in range(8):
        name = f"{user.name}-{user.number(0, 5)}"
        match user.number(0, 3):
            case 0:
                await user.change(SERVICE, name, {"spec": {"type": user.pick("ClusterIP", "LoadBalancer")}})
            case 1:
                pool = user.pick(*POOLS)
                await around.change(CONFIGMAP, NAME, {"data": {ADDRESSES: pool}})
            case 2:
                wanted = user.pick("", "192.0.2.2", "192.0.2.9")
                await user.change(SERVICE, name, {"spec": {"loadBalancerIP": wanted}})
            case _:
                await user.remove(SERVICE, name)
        await user.pause(6.0)
    user.expect(lambda ledger: _shared_out(ledger, user, pool))


def _shared_out(ledger: Ledger, user: User, words: str) -> Iterator[str]:
    pool, _ = pool_of({ADDRESSES: words})
    assert pool is not None
    mine = [each for each in ledger.of("Service", user.namespace) if each["metadata"]["name"].startswith(user.name)]
    given = {each["metadata"]["name"]: balanced_at(each) for each in mine}
    taken = {address for addresses in given.values() for address in addresses}
    for each in mine:
        name, spec = each["metadata"]["name"], each["spec"]
        wants, addresses = spec["type"] == "LoadBalancer", given[name]
        asked = spec.get("loadBalancerIP", "")
        free = pool.free("IPv4", taken) if not asked else asked * (pool.has(asked, "IPv4") and asked not in taken)
        if addresses and not (wants and all(pool.has(address, "IPv4") for address in addresses)):
            yield f"service {name} has {addresses}, and should not"
        if wants and not addresses and free:
            yield f"service {name} has no address, and {free} is free"


async def migration(user: User) -> None:
    """Custom resources whose stored version moves, while they come, change and go."""
    group = f"{user.name}.example.com"
    names = {"plural": "ships", "singular": "ship", "kind": "Ship"}
    definition = f"ships.{group}"
    spec = {"group": group, "scope": "Namespaced", "names": names, "versions": _versions("v1")}
    await user.make(CUSTOMRESOURCEDEFINITION, definition, {"spec": spec})
    kind = await _served(user, group)
    if kind is None:
        user.expect(complaint(f"{definition} was not served"))
        return
    for number in range(user.number(2, 5)):
        await user.make(kind, f"ship-{number}", {"spec": {"cargo": number}})
    version = "v1"
    for turn in range(user.number(1, 2)):
        version = "v1" if version == "v2" else "v2"
        await user.change(CUSTOMRESOURCEDEFINITION, definition, {"spec": {"versions": _versions(version)}})
        await user.pause(5.0)
        resource = {"resource": {"group": group, "resource": "ships"}}
        await user.make(STORAGEVERSIONMIGRATION, f"{user.name}-{turn}", {"spec": resource})
        for _ in range(4):
            await user.pause(4.0)
            await _sail(user, kind)
        await _over(user, f"{user.name}-{turn}")
    user.expect(lambda ledger: _moved(ledger, definition, version, user.name))


def _versions(stored: str) -> list[Document]:
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    return [{"name": one, "served": True, "storage": one == stored, "schema": schema} for one in ("v1", "v2")]


async def _served(user: User, group: str) -> Kind | None:
    async def done() -> bool:
        return user.kinds.resource(group, "v1", "ships") is not None

    await waited(user, done)
    return user.kinds.resource(group, "v1", "ships")


async def _sail(user: User, kind: Kind) -> None:
    name = f"ship-{user.number(0, 5)}"
    if not user.expected.get((kind.name, user.namespace, name)):
        await user.make(kind, name, {"spec": {"cargo": user.number(0, 9)}})
    elif user.chance(0.3):
        await user.remove(kind, name, None)
    else:
        await user.change(kind, name, {"spec": {"cargo": user.number(10, 99)}})


async def _over(user: User, name: str) -> None:
    async def done() -> bool:
        found = await user.client.get(STORAGEVERSIONMIGRATION, "", name)
        return any(one["status"] == "True" for one in _conditions(found.document()) if one["type"] != "Running")

    await waited(user, done)


def _conditions(document: Document) -> list[Document]:
    found: list[Document] = dig(document, "status", "conditions", default=[])
    return found


def _moved(ledger: Ledger, definition: str, version: str, name: str) -> Iterator[str]:
    for one in ledger.of("StorageVersionMigration"):
        said = {c["type"]: c["status"] for c in _conditions(one)}
        if said != {"Succeeded": "True"}:
            yield f"StorageVersionMigration {one['metadata']['name']} says {said}"
    found = ledger.named("CustomResourceDefinition", "", definition) or {}
    stored = dig(found, "status", "storedVersions")
    if stored != [version]:
        yield f"CustomResourceDefinition {definition} has stored versions {stored}, {version} is the last"
    for ship in ledger.of("Ship"):
        if not ship["apiVersion"].endswith(f"/{version}"):
            yield f"Ship {ship['metadata']['name']} is stored in {ship['apiVersion']}"


async def credentials(user: User) -> None:
    """Tokens of an account that is used, unused, mounted or marked long ago; bundles that people remove and add."""
    tokens = [f"{user.name}-{what}" for what in ("idle", "used", "mounted", "marked")]
    idle, used, mounted, marked = tokens
    await user.make(CONFIGMAP, TOKEN_TRACKING, {"data": {"since": "2029-01-01"}}, namespace="kube-system")
    await user.make(SERVICEACCOUNT, user.name, {"secrets": [{"name": name} for name in tokens]})
    labels = {used: {TOKEN_LAST_USED: LATE}, marked: {TOKEN_INVALID_SINCE: "2029-06-01"}}
    note = {ACCOUNT_NAME: user.name}
    for name in tokens:
        await user.make(SECRET, name, {"type": ACCOUNT_TOKEN}, annotations=note, labels=labels.get(name, {}))
    container = {"name": "main", "image": "web:v1", "resources": LIMITS}
    volume = {"name": "token", "secret": {"secretName": mounted}}
    await user.make(POD, user.name, {"spec": {"containers": [container], "volumes": [volume]}})
    del user.expected[POD.name, user.namespace, user.name]  # its node may be lost
    user.expected[SECRET.name, user.namespace, marked] = False
    lucky = user.chance(0.4)
    for turn in range(8):
        await user.pause(20.0)
        await _change_a_bundle(user)
        for name in tokens:
            await user.change(SECRET, name, {"metadata": {"annotations": {"example.com/turn": str(turn)}}})
        if turn == 2 and lucky:
            fresh = {TOKEN_LAST_USED: LATE, TOKEN_INVALID_SINCE: None}
            await user.change(SECRET, idle, {"metadata": {"labels": fresh}})
    await user.clock.sleep(90.0)
    for name in tokens:
        await user.change(SECRET, name, {"metadata": {"annotations": {"example.com/turn": "last"}}})
    user.expect(lambda ledger: _marked(ledger, user, {idle: not lucky, used: False}))
    user.expect(_one_bundle)


async def _change_a_bundle(user: User) -> None:
    found = [one.document() for one in (await user.client.list(CLUSTERTRUSTBUNDLE)).items]
    bundles = [one for one in found if one["spec"].get("signerName") == SIGNER]
    old = f"{SIGNER.replace('/', ':')}:old"
    if not bundles:
        return
    one = user.pick(*bundles)
    if user.chance(0.5):
        metadata = one["metadata"]
        try:
            await user.client.delete(CLUSTERTRUSTBUNDLE, "", metadata["name"], uid=metadata["uid"])
        except (NotFound, Conflict):
            return
    elif old not in [found["metadata"]["name"] for found in bundles]:
        await user.make(CLUSTERTRUSTBUNDLE, old, {"spec": one["spec"]})
        user.expected[CLUSTERTRUSTBUNDLE.name, "", old] = False


def _marked(ledger: Ledger, user: User, wanted: dict[str, bool]) -> Iterator[str]:
    for name, invalid in wanted.items():
        labels = dig(ledger.named("Secret", user.namespace, name) or {}, "metadata", "labels", default={})
        if (TOKEN_INVALID_SINCE in labels) != invalid:
            yield f"Secret {user.namespace}/{name} {'is not' if invalid else 'is'} marked: {labels}"


def _one_bundle(ledger: Ledger) -> Iterator[str]:
    names = [o["metadata"]["name"] for o in ledger.of("ClusterTrustBundle") if o["spec"].get("signerName") == SIGNER]
    if len(names) != 1:
        yield f"there are the bundles {sorted(names)}, one is to be there"


async def disrupted(user: User) -> None:
    """Pods of which somebody said that they are to be disrupted, and then did not come back to it."""
    spec = {"replicas": user.number(2, 4), "selector": user.selector, "template": user.template("web:v1")}
    await user.make(DEPLOYMENT, user.name, {"spec": spec})
    for _ in range(6):
        await user.pause()
        names = await user.pods()
        if not names:
            continue
        if user.chance(0.2):
            await user.remove_a_pod()
            continue
        reason = user.pick("PreemptionByScheduler", "EvictionByEvictionAPI", BY_AGENT)
        now = rfc3339(user.clock.now())
        target = {"type": TARGET, "status": "True", "reason": reason, "message": "soon", "lastTransitionTime": now}
        try:
            patch = {"status": {"conditions": [target]}}
            await user.client.patch(
                POD, user.namespace, user.pick(*names), patch, type="strategic", subresource="status"
            )
        except (NotFound, Conflict):
            continue
