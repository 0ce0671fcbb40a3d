"""Families of addresses, and ports that are not for the outside: what a Service is refused for."""

from __future__ import annotations

from typing import Any

import pytest
from kind_driver import Causes, causes

from navarch.kinds import SERVICE


def service(**spec: Any) -> Causes:
    return causes(SERVICE, {"spec": {"ports": [{"port": 80}], **spec}})


@pytest.mark.parametrize(
    ("found", "field", "message"),
    [
        (service(ipFamilies=["IPv4", "IPv4"]), "ipFamilies[1]", 'Duplicate value: "IPv4"'),
        (
            service(clusterIP="fd00::1", clusterIPs=["fd00::1"], ipFamilies=["IPv4"]),
            "clusterIPs[0]",
            'Invalid value: "fd00::1": expected an IPv4 value as indicated by `ipFamilies[0]`',
        ),
        (
            service(clusterIP="10.0.0.1", clusterIPs=["10.0.0.1", "10.0.0.2"]),
            "clusterIPs",
            'Invalid value: ["10.0.0.1","10.0.0.2"]: may specify no more than one IP for each IP family',
        ),
        (
            service(clusterIP="10.0.0.300", clusterIPs=["10.0.0.300", "10.0.0.2"]),
            "clusterIPs[0]",
            'Invalid value: "10.0.0.300": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)',
        ),
    ],
)
def test_services(found: Causes, field: str, message: str) -> None:
    assert found == [(f"spec.{field}", message)]


def test_good_ones() -> None:
    both = {"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1", "fd00::1"], "ipFamilies": ["IPv4", "IPv6"]}
    assert service(**both, ipFamilyPolicy="RequireDualStack") == []
    assert service(clusterIP="None", clusterIPs=["None"], ipFamilies=["IPv6", "IPv4"]) == []
    assert service(type="LoadBalancer", ports=[{"port": 10250}]) == []
