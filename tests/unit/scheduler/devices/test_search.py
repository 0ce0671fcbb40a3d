"""The search for devices: what it finds keeps every rule, and it finds something whenever there is something."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from itertools import combinations, product
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from navarch.objects.quantity import nano
from navarch.scheduler.devices.constraints import attribute
from navarch.scheduler.devices.pools import Device, Inventory, Offer, Pool, sliced
from navarch.scheduler.devices.search import CANNOT, TOO_LONG, Asking, Found, Pick, search
from navarch.scheduler.devices.shapes import Asked, ClassShape, Request, Result, SliceShape, Wanted
from navarch.scheduler.devices.use import Use, consumed, counters_left
from navarch.scheduler.facts import NodeFacts
from navarch.scheduler.views import NodeSpec

DRIVER = "gpu.example.com"
HERE = NodeFacts("here", {"zone": "a"}, NodeSpec(), {}, {})
EXPRESSIONS = {
    "device.attributes['gpu.example.com'].fast": lambda shape: shape["attributes"]["fast"]["bool"],
    "device.attributes['gpu.example.com'].numa == 0": lambda shape: shape["attributes"]["numa"]["int"] == 0,
    "device.allowMultipleAllocations": lambda shape: shape.get("allowMultipleAllocations", False),
}


def device(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, **more}


def offers(devices: list[dict[str, Any]], counters: dict[str, int] | None = None, **spec: Any) -> list[Offer]:
    """Of one pool on one node."""
    pool = {"name": "here", "generation": 1, "resourceSliceCount": 2 if counters else 1}
    document = {"driver": DRIVER, "nodeName": "here", "pool": pool, **spec}
    inventory = Inventory()
    inventory.add(sliced("s", msgspec.convert({"spec": {**document, "devices": devices}}, SliceShape)))
    if counters:
        totals = {name: {"value": str(value)} for name, value in counters.items()}
        shared = [{"name": "set", "counters": totals}]
        inventory.add(sliced("c", msgspec.convert({"spec": {**document, "sharedCounters": shared}}, SliceShape)))
    return inventory.offers(HERE)


def request(name: str = "r", **asked: Any) -> dict[str, Any]:
    return {"name": name, "exactly": {"deviceClassName": "any", **asked}}


def selecting(*texts: str) -> list[dict[str, Any]]:
    return [{"cel": {"expression": text}} for text in texts]


def claim(*requests: dict[str, Any], **more: Any) -> Asking:
    return Asking("default/c", msgspec.convert({"requests": list(requests), **more}, Wanted))


ANY = {"any": ClassShape()}


def found(devices: list[dict[str, Any]], *claims: Asking, use: Use | None = None, **pool: Any) -> list[list[str]] | str:
    answer = search(offers(devices, **pool), claims, ANY, use or Use())
    return answer if isinstance(answer, str) else [[pick.device.id.name for pick in picks] for picks in answer]


def in_use(*results: dict[str, Any]) -> Use:
    use = Use()
    for number, one in enumerate(results):
        use.set(str(number), [msgspec.convert({"driver": DRIVER, "pool": "here", **one}, Result)])
    return use


def test_a_device_in_use_is_not_given_but_to_administrators() -> None:
    use = in_use({"device": "a"})
    assert found([device("a"), device("b")], claim(request()), use=use) == [["b"]]
    assert found([device("a")], claim(request()), use=use) == CANNOT
    assert found([device("a")], claim(request(adminAccess=True)), use=use) == [["a"]]
    watched = in_use({"device": "a", "adminAccess": True})
    assert found([device("a")], claim(request()), use=watched) == [["a"]], "whoever looks on takes nothing"


def test_the_second_request_takes_a_device_from_the_first() -> None:
    devices = [device("a", attributes={"fast": {"bool": True}}), device("b", attributes={"fast": {"bool": False}})]
    fast = request("second", selectors=selecting("device.attributes['gpu.example.com'].fast"))
    assert found(devices, claim(request("first"), fast)) == [["b", "a"]]


def test_alternatives_are_tried_in_order() -> None:
    ways = [{"name": "two", "deviceClassName": "any", "count": 2}, {"name": "one", "deviceClassName": "any"}]
    asked = claim({"name": "r", "firstAvailable": ways})
    assert found([device("a"), device("b")], asked) == [["a", "b"]]
    assert found([device("a")], asked) == [["a"]]
    answer = search(offers([device("a")]), [asked], ANY, Use())
    assert not isinstance(answer, str)
    assert [pick.request.label(pick.asked) for pick in answer[0]] == ["r/one"]


def test_a_later_claim_sends_an_earlier_one_to_its_alternative() -> None:
    ways = [{"name": "two", "deviceClassName": "any", "count": 2}, {"name": "one", "deviceClassName": "any"}]
    first, second = claim({"name": "r", "firstAvailable": ways}), claim(request())
    assert found([device("a"), device("b")], first, second) == [["a"], ["b"]]


def test_all_means_all_that_are_selected_and_at_least_one() -> None:
    everything = claim(request(allocationMode="All"))
    assert found([device("a"), device("b")], everything) == [["a", "b"]]
    assert found([device("a"), device("b")], everything, use=in_use({"device": "b"})) == CANNOT
    none = claim(request(allocationMode="All", selectors=selecting("false")))
    assert found([device("a")], none) == CANNOT
    half = found([device("a")], everything, pool={"name": "here", "generation": 1, "resourceSliceCount": 2})
    assert half == (
        "claim default/c, request r: asks for all devices, but resource pool gpu.example.com/here is currently being "
        "updated"
    )


def test_no_device_comes_from_a_pool_that_is_not_whole_or_not_sound() -> None:
    half = {"name": "here", "generation": 1, "resourceSliceCount": 2}
    assert found([device("a")], claim(request()), pool=half) == CANNOT
    assert found([device("a"), device("a")], claim(request())) == "invalid resource pools were encountered"


def test_a_claim_has_at_most_32_devices() -> None:
    devices = [device(f"d{number}") for number in range(40)]
    assert found(devices, claim(request(count=33))) == (
        "claim default/c: number of requested devices 33 exceeds the claim limit of 32"
    )
    many = [{"name": "many", "deviceClassName": "any", "count": 20}, {"name": "few", "deviceClassName": "any"}]
    answer = found(devices, claim({"name": "one", "firstAvailable": many}, {"name": "two", "firstAvailable": many}))
    assert [len(names) for names in answer] == [21]


def test_what_is_wrong_with_an_expression_is_told() -> None:
    missing = claim(request(selectors=selecting("device.attributes['gpu.example.com'].model == 'x'")))
    assert found([device("a")], missing) == (
        "claim default/c: selector #0 on device gpu.example.com/here/a: CEL runtime error: no such key: model. "
        "Consider using CEL optional chaining (?), has() macro, or orValue() for optional fields"
    )
    number = claim(request(selectors=selecting("true", "device.driver")))
    assert str(found([device("a")], number)).endswith(
        "selector #1 on device gpu.example.com/here/a: CEL runtime error: CEL result is not a bool"
    )
    broken = {"any": msgspec.convert({"spec": {"selectors": selecting("][")}}, ClassShape)}
    said = search(offers([device("a")]), [claim(request())], broken, Use())
    assert str(said).startswith("class any: selector #0: CEL compile error: ")
    endless = "[1,2,3,4,5,6,7,8,9,10].all(a, " * 7 + "device.driver != ''" + ")" * 7
    costly = claim(request(selectors=selecting(endless)))
    assert "actual cost limit exceeded" in str(found([device("a")], costly))


def test_domains_attributes_and_capacity_in_expressions() -> None:
    one = device(
        "a",
        attributes={"version": {"version": "1.10.0"}, "other.org/kind": {"string": "x"}, "index": {"int": 3}},
        capacity={"memory": {"value": "40Gi"}},
    )
    for text in (
        "device.driver == 'gpu.example.com'",
        "device.attributes['gpu.example.com'].version.compareTo(semver('1.9.0')) > 0",
        "device.attributes['other.org'].kind == 'x' && device.attributes['gpu.example.com'].index + 1 == 4",
        "device.capacity['gpu.example.com'].memory.isGreaterThan(quantity('39Gi'))",
        "!has(device.attributes['gpu.example.com'].model) && !has(device.attributes['nobody.org'].model)",
        "device.attributes['gpu.example.com'].?model.orValue('none') == 'none'",
        "cel.bind(a, device.attributes['gpu.example.com'], a.index == 3 && a.version.major() == 1)",
    ):
        assert found([one], claim(request(selectors=selecting(text)))) == [["a"]], text


def test_taints_keep_away_who_does_not_tolerate_them() -> None:
    tainted = device("a", taints=[{"key": "sick", "value": "yes", "effect": "NoSchedule"}])
    assert found([tainted], claim(request())) == CANNOT
    told = device("a", taints=[{"key": "sick", "effect": "None"}])
    assert found([told], claim(request())) == [["a"]]
    for toleration, tolerates in (
        ({"key": "sick", "operator": "Exists"}, True),
        ({"operator": "Exists"}, True),
        ({"key": "sick", "operator": "Equal", "value": "yes", "effect": "NoSchedule"}, True),
        ({"key": "sick", "operator": "Equal", "value": "no"}, False),
        ({"key": "sick", "operator": "Exists", "effect": "NoExecute"}, False),
    ):
        assert (found([tainted], claim(request(tolerations=[toleration]))) == [["a"]]) is tolerates, toleration


def test_devices_of_a_claim_match_or_differ() -> None:
    devices = [
        device("a", attributes={"numa": {"int": 0}}),
        device("b", attributes={"gpu.example.com/numa": {"int": 1}}),
        device("c", attributes={"numa": {"int": 1}}),
        device("d"),
    ]
    same = [{"matchAttribute": "gpu.example.com/numa"}]
    assert found(devices, claim(request(count=2), constraints=same)) == [["b", "c"]]
    differ = [{"distinctAttribute": "gpu.example.com/numa", "requests": ["x", "y"]}]
    three = claim(request("x"), request("y"), request("z"), constraints=differ)
    assert found(devices, three) == [["a", "b", "c"]]
    assert (
        found(devices, claim(request(count=3), constraints=[{"distinctAttribute": "gpu.example.com/numa"}])) == CANNOT
    )


def test_shared_devices_give_as_much_as_they_have() -> None:
    policy = {"default": "1Gi", "validRange": {"min": "1Gi", "max": "4Gi", "step": "1Gi"}}
    memory = {"memory": {"value": "8Gi", "requestPolicy": policy}}
    shared = device("a", allowMultipleAllocations=True, capacity=memory)
    some = request(capacity={"requests": {"memory": "2500Mi"}})
    answer = search(offers([shared]), [claim(some)], ANY, Use())
    assert not isinstance(answer, str)
    assert answer[0][0].amounts == {"memory": nano("3Gi")}, "rounded up by its step"
    mine = {"device": "a", "shareID": "1", "consumedCapacity": {"memory": "4Gi"}}
    other = {"device": "a", "shareID": "2", "consumedCapacity": {"memory": "2Gi"}}
    assert found([shared], claim(some), use=in_use(mine)) == [["a"]]
    assert found([shared], claim(some), use=in_use(mine, other)) == CANNOT
    assert found([shared], claim(request()), use=in_use(mine, other)) == [["a"]], "the default is 1Gi"
    assert found([shared], claim(request(capacity={"requests": {"memory": "5Gi"}}))) == CANNOT, "above the maximum"
    assert found([shared], claim(request(capacity={"requests": {"cores": "1"}}))) == CANNOT
    assert found([shared], claim(some), claim(some), claim(some)) == CANNOT
    assert found([shared], claim(some), claim(some)) == [["a"], ["a"]]


def test_devices_that_overlap_draw_from_the_same_counters() -> None:
    def part(name: str, amount: int) -> dict[str, Any]:
        drawn = {"counterSet": "set", "counters": {"slots": {"value": str(amount)}}}
        return device(name, consumesCounters=[drawn])

    whole, parts = part("whole", 4), [part("half", 2), part("quarter", 1)]
    counters = {"slots": 4}
    assert found([whole, *parts], claim(request()), claim(request()), counters=counters) == [["half"], ["quarter"]]
    used = in_use({"device": "quarter"})
    assert found([whole, *parts], claim(request()), use=used, counters=counters) == [["half"]]
    assert found([whole], claim(request()), use=in_use({"device": "gone"}), counters=counters) == [["whole"]]


def test_identical_devices_are_tried_once_and_the_search_ends() -> None:
    same = [{"matchAttribute": "gpu.example.com/numa"}]
    alike = [device(f"d{number}", attributes={"numa": {"int": number % 2}}) for number in range(32)]
    assert found(alike, claim(request(count=17), constraints=same)) == CANNOT, "2**32 ways, and few that differ"
    different = [device(f"d{number}", attributes={"id": {"int": number}}) for number in range(32)]
    impossible = claim(
        *(request(f"r{number}") for number in range(8)),
        request("last", selectors=selecting("false")),
    )
    assert found(different, impossible) == TOO_LONG


# -- against brute force

names = st.sampled_from(("a", "b", "c", "d"))


@st.composite
def devices(draw: st.DrawFn) -> list[dict[str, Any]]:
    made = []
    for name in draw(st.lists(names, min_size=1, max_size=4, unique=True)):
        numa = {"numa": {"int": draw(st.integers(0, 1))}, "fast": {"bool": draw(st.booleans())}}
        one = device(name, attributes=numa, capacity={"memory": {"value": "4"}})
        if draw(st.booleans()):
            one["taints"] = [{"key": "t", "effect": draw(st.sampled_from(("NoSchedule", "None")))}]
        if draw(st.integers(0, 2)) == 0:
            one["allowMultipleAllocations"] = True
        if draw(st.booleans()):
            drawn = {"slots": {"value": str(draw(st.integers(1, 2)))}}
            one["consumesCounters"] = [{"counterSet": "set", "counters": drawn}]
        made.append(one)
    return made


@st.composite
def asked(draw: st.DrawFn, admin: bool) -> dict[str, Any]:
    one: dict[str, Any] = {"deviceClassName": "any"}
    if draw(st.integers(0, 3)) == 0:
        one["allocationMode"] = "All"
    else:
        one["count"] = draw(st.integers(1, 2))
    if draw(st.booleans()):
        one["selectors"] = selecting(*draw(st.lists(st.sampled_from(sorted(EXPRESSIONS)), max_size=1)))
    if draw(st.booleans()):
        one["tolerations"] = [{"key": "t", "operator": "Exists"}]
    if draw(st.booleans()):
        one["capacity"] = {"requests": {"memory": str(draw(st.integers(1, 3)))}}
    if admin and draw(st.integers(0, 3)) == 0:
        one["adminAccess"] = True
    return one


@st.composite
def claims(draw: st.DrawFn) -> list[Asking]:
    made, left = [], 3
    for _ in range(draw(st.integers(1, 2))):
        requests: list[dict[str, Any]] = []
        for number in range(draw(st.integers(1, max(1, min(left, 2))))):
            left -= 1
            if draw(st.integers(0, 2)) == 0:
                ways = draw(st.lists(asked(admin=False), min_size=1, max_size=2))
                named = [{**one, "name": f"w{index}"} for index, one in enumerate(ways)]
                requests.append({"name": f"r{number}", "firstAvailable": named})
            else:
                requests.append({"name": f"r{number}", "exactly": draw(asked(admin=True))})
        kinds = st.sampled_from(("matchAttribute", "distinctAttribute"))
        constraints = [
            {kind: "gpu.example.com/numa", **({"requests": ["r0"]} if draw(st.booleans()) else {})}
            for kind in draw(st.lists(kinds, max_size=1))
        ]
        made.append(claim(*requests, constraints=constraints))
    return made


def raw(one: Device) -> dict[str, Any]:
    return dict(msgspec.to_builtins(one.shape))


def chosen_by(way: Asked, one: Device) -> bool:
    return all(EXPRESSIONS[selector.cel.expression](raw(one)) for selector in way.selectors)


def wanted_number(way: Asked, pool: Pool, use: Use) -> int:
    if way.allocation_mode != "All":
        return way.count
    return len([one for one in pool.devices if chosen_by(way, one) and fits(way, one, use)])


def fits(way: Asked, one: Device, use: Use) -> bool:
    amounts = consumed(way.capacity.requests, one.shape.capacity)
    _, gone = use.shared.get(one.id, (0, {}))
    return amounts is not None and all(
        amount + gone.get(name, 0) <= nano(one.shape.capacity[name].value) for name, amount in amounts.items()
    )


def wrong(asking: list[Asking], answer: Found, pool: Pool, use: Use) -> Iterator[str]:
    """All rules, read naively."""
    owners: dict[Any, list[int]] = {}
    drawn: dict[str, int] = {}
    shares: dict[Any, dict[str, int]] = {}
    for number, (one, picks) in enumerate(zip(asking, answer, strict=True)):
        for index, request_ in enumerate(one.wanted.requests):
            mine = [pick for pick in picks if pick.request is one.wanted.requests[index]]
            ways = {id(pick.asked) for pick in mine}
            if len(ways) != 1 or len(mine) != wanted_number(mine[0].asked, pool, use):
                yield f"request {request_.name}: {len(mine)} devices"
        within: list[Any] = []
        for pick in picks:
            shape, multi = pick.device.shape, pick.device.shape.allow_multiple_allocations
            if not chosen_by(pick.asked, pick.device):
                yield "not selected"
            if any(t.effect == "NoSchedule" for t in shape.taints) and not pick.asked.tolerations:
                yield "taint not tolerated"
            amounts = consumed(pick.asked.capacity.requests, shape.capacity)
            if amounts is None:
                yield "capacity unknown"
            elif multi:
                _, gone = use.shared.get(pick.device.id, (0, {}))
                share = shares.setdefault(pick.device.id, dict(gone))
                if not (set(gone) or len(share)) and not pick.asked.admin_access:
                    for _, name, amount in pick.device.consumes:
                        drawn[name] = drawn.get(name, 0) + amount
                for name, amount in amounts.items():
                    share[name] = share.get(name, 0) + amount
                    if share[name] > nano(shape.capacity[name].value):
                        yield "capacity exceeded"
            else:
                if pick.device.id in within:
                    yield "twice in one claim"
                within.append(pick.device.id)
                if not pick.asked.admin_access:
                    owners.setdefault(pick.device.id, []).append(number)
                    for _, name, amount in pick.device.consumes:
                        drawn[name] = drawn.get(name, 0) + amount
            if not pick.asked.admin_access and pick.device.id in use.held:
                yield "in use"
        yield from broken(one, picks)
    if any(len(held) > 1 for held in owners.values()):
        yield "given twice"
    left = counters_left(pool, use).get("set", {})
    if any(amount > left.get(name, 0) for name, amount in drawn.items()):
        yield "counters exceeded"


def broken(one: Asking, picks: tuple[Pick, ...]) -> Iterator[str]:
    for constraint in one.wanted.constraints:
        over = [p for p in picks if not constraint.requests or p.request.name in constraint.requests]
        values = [attribute(p.device, "gpu.example.com/numa") for p in over]
        if constraint.match_attribute and len(set(values)) > 1:
            yield "not the same"
        if constraint.distinct_attribute and len(set(values)) < len(values):
            yield "not distinct"


def every_way(request_: Request, pool: Pool, use: Use) -> Iterator[tuple[Pick, ...]]:
    for way in request_.ways:
        number = wanted_number(way, pool, use)
        for some in combinations(pool.devices, number) if number else ():
            yield tuple(Pick(request_, way, one, None) for one in some)


def exists(asking: list[Asking], pool: Pool, use: Use) -> bool:
    flat = [(number, request_) for number, one in enumerate(asking) for request_ in one.wanted.requests]
    for choice in product(*(list(every_way(request_, pool, use)) for _, request_ in flat)):
        answer: list[list[Pick]] = [[] for _ in asking]
        for (number, _), picks in zip(flat, choice, strict=True):
            answer[number] += picks
        if not any(wrong(asking, tuple(map(tuple, answer)), pool, use)):
            return True
    return False


@settings(max_examples=250, deadline=None)
@given(devices(), claims(), st.lists(names, max_size=2, unique=True))
def test_what_is_found_keeps_every_rule_and_is_found_if_there_is_any(
    made: list[dict[str, Any]], asking: list[Asking], used: list[str]
) -> None:
    multi = {one["name"] for one in made if one.get("allowMultipleAllocations")}
    share = {"shareID": "1", "consumedCapacity": {"memory": "2"}}
    use = in_use(*({"device": name, **(share if name in multi else {})} for name in used))
    offered = offers(made, counters={"slots": 3})
    answer = search(offered, asking, ANY, use)
    if isinstance(answer, str):
        assert answer == CANNOT
        assert not exists(asking, offered[0].pool, use)
    else:
        assert list(wrong(asking, answer, offered[0].pool, use)) == []


def test_the_language_is_loaded_with_the_first_expression() -> None:
    code = (
        "import sys, navarch.scheduler.scheduler; sys.exit(any(name.startswith('navarch.cel') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
