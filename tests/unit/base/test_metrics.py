from __future__ import annotations

import pytest

from navarch.base.metrics import Registry


def test_rendered_as_prometheus_text() -> None:
    registry = Registry()
    requests = registry.counter("requests", "How many.", ("verb",))
    requests.add("get")
    requests.add("get", amount=2)
    registry.gauge("up", "Whether.").set(1)
    registry.gauge("read", "Asked.", read=lambda: 7.0)
    latency = registry.histogram("latency_seconds", "How long.", ("verb",), bounds=(0.1, 1.0))
    for amount in (0.05, 0.1, 0.5, 3.0):
        latency.observe(amount, "get")
    text = registry.render().decode()
    assert 'requests_total{verb="get"} 3.0' in text
    assert "up 1.0" in text
    assert "read 7.0" in text
    assert 'latency_seconds_bucket{le="0.1",verb="get"} 2.0' in text
    assert 'latency_seconds_bucket{le="1.0",verb="get"} 3.0' in text
    assert 'latency_seconds_bucket{le="+Inf",verb="get"} 4.0' in text
    assert 'latency_seconds_count{verb="get"} 4.0' in text
    assert 'latency_seconds_sum{verb="get"} 3.65' in text
    assert latency.count("get") == 4


def test_the_same_name_is_the_same_metric() -> None:
    registry = Registry()
    assert registry.counter("a", "x") is registry.counter("a", "x")
    with pytest.raises(ValueError, match="a is already known"):
        registry.gauge("a", "x")
