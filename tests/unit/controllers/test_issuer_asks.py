"""What Ingresses and Gateways ask the issuer for, and what is refused."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from navarch.controllers.issuer.asks import (
    ALT_NAMES,
    DURATION,
    LIFE,
    Ask,
    asks_of,
    life_of,
    namespace_of,
)
from navarch.controllers.issuer.declared import GATEWAY_GROUP, ISSUER, secret_index
from navarch.kinds import INGRESS
from navarch.kinds.kind import Kind
from navarch.kinds.object import Object
from tests.unit.controllers.conftest import Make

GATEWAY = Kind(group=GATEWAY_GROUP, version="v1", name="Gateway", plural="gateways")
DOMAIN = "cluster.local"


def ingress(make: Make, *tls: dict[str, Any], name: str = "web", **annotations: str) -> Object:
    notes = {ISSUER: "cluster", **{f"navarch.dev/{key.replace('_', '-')}": text for key, text in annotations.items()}}
    return make.object(INGRESS, name, metadata={"annotations": notes}, spec={"tls": list(tls)})


def entry(*hosts: str, secret: str = "tls") -> dict[str, Any]:
    return {"hosts": list(hosts), "secretName": secret}


def one(found: Object) -> Ask:
    [ask] = asks_of(found, DOMAIN)
    return ask


def test_hosts_wildcards_and_addresses(make: Make) -> None:
    found = ingress(make, entry("a.example", "*.a.example", "192.0.2.1"), alt_names="b.example 2001:DB8::0:1,a.example")
    wanted = ("a.example", "*.a.example", "192.0.2.1", "b.example", "2001:db8::1")
    assert one(found) == Ask(found, "tls", wanted, LIFE)


def test_who_does_not_ask(make: Make) -> None:
    assert not asks_of(make.object(INGRESS, "web", spec={"tls": [entry("a.example")]}), DOMAIN)
    going = {"annotations": {ISSUER: "cluster"}, "deletionTimestamp": "2030-01-01T00:00:00Z"}
    assert not asks_of(make.object(INGRESS, "web", metadata=going, spec={"tls": [entry("a.example")]}), DOMAIN)
    mentioned = {"annotations": {"note": f"{ISSUER} is a thing"}}
    assert not asks_of(make.object(INGRESS, "web", metadata=mentioned, spec={"tls": [entry("a.example")]}), DOMAIN)
    assert not asks_of(ingress(make), DOMAIN)


@pytest.mark.parametrize(
    ("tls", "notes", "says"),
    [
        (entry("a.example"), {"issuer": "lets-encrypt"}, "there is no issuer 'lets-encrypt', there is 'cluster'"),
        ({"hosts": ["a.example"]}, {}, "spec.tls[0] names no Secret to put it into"),
        (entry(), {}, "Secret tls is asked for without a host"),
        (entry("a.example"), {"alt_names": "not_a_name"}, "'not_a_name' is neither a DNS name nor an address"),
        (entry("a.example"), {"alt_names": "a.*.example"}, "'a.*.example' is neither a DNS name nor an address"),
        (entry("a.example"), {"duration": "90d"}, "navarch.dev/duration '90d' is no duration, as 2160h is one"),
        (entry("a.example"), {"duration": "9m59s"}, "navarch.dev/duration 9m59s is not between 10m and 8760h"),
        (entry("a.example"), {"duration": "8761h"}, "navarch.dev/duration 8761h is not between 10m and 8760h"),
        (
            entry(*(f"a{n}.example" for n in range(101))), {},
            "101 names are too many for one certificate, 100 are possible",
        ),
        (entry("db.other.svc"), {}, "db.other.svc is a name inside the cluster, and none of namespace default"),
        (entry("*.cluster.local"), {}, "*.cluster.local is a name inside the cluster, and none of namespace default"),
        (entry("db.default.svc.cluster.local"), {}, ""),
    ],
)  # fmt: skip
def test_what_is_refused(make: Make, tls: dict[str, Any], notes: dict[str, str], says: str) -> None:
    assert one(ingress(make, tls, **notes)).fault == says


@pytest.mark.parametrize(
    ("host", "whose"),
    [
        ("web.shop.svc", "shop"),
        ("web.shop.svc.cluster.local", "shop"),
        ("db-0.db.shop.svc.cluster.local", "shop"),
        ("*.shop.svc.cluster.local", "shop"),
        ("*.svc.cluster.local", "*"),
        ("10-0-0-1.shop.pod.cluster.local", "shop"),
        ("svc.cluster.local", ""),
        ("cluster.local", ""),
        ("else.cluster.local", ""),
        ("web.shop.svc.example", None),
        ("web.shop.pod", None),
        ("mycluster.local", None),
        ("example.com", None),
    ],
)
def test_whose_a_name_inside_the_cluster_is(host: str, whose: str | None) -> None:
    assert namespace_of(host, DOMAIN) == whose


def test_durations() -> None:
    assert life_of("") == LIFE
    assert life_of("1h30m") == timedelta(minutes=90)
    assert life_of("0.5h") == timedelta(minutes=30)


def gateway(make: Make, *listeners: dict[str, Any]) -> Object:
    notes = {ISSUER: "cluster", ALT_NAMES: "", DURATION: "24h"}
    return make.object(GATEWAY, "way", metadata={"annotations": notes}, spec={"listeners": list(listeners)})


def listener(hostname: str, *references: dict[str, Any], **tls: Any) -> dict[str, Any]:
    return {"name": "https", "hostname": hostname, "tls": {"certificateRefs": list(references), **tls}}


def test_listeners_of_gateways(make: Make) -> None:
    found = gateway(
        make,
        {"name": "http", "protocol": "HTTP"},
        listener("a.example", {"name": "a"}),
        listener("b.example", {"name": "a", "kind": "Secret", "group": "", "namespace": "default"}),
        listener("c.example", {"name": "c"}, mode="Passthrough"),
        listener("d.example", {"name": "d", "kind": "ConfigMap"}),
        listener("e.example", {"name": "e", "namespace": "other"}),
        listener("", {"name": "f"}),
    )
    day = timedelta(hours=24)
    assert list(asks_of(found, DOMAIN)) == [
        Ask(found, "a", ("a.example",), day),
        Ask(found, "a", ("b.example",), day),
        Ask(found, "", ("e.example",), fault="listener https names a Secret of another namespace"),
        Ask(found, "f", fault="Secret f is asked for without a host"),
    ]
    assert list(secret_index(found)) == ["default/a", "default/", "default/f"]
