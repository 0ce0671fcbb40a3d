"""What annotations say of a pod's bandwidth, and what the plugin that keeps it is told."""

from __future__ import annotations

import pytest

from navarch.agent.bandwidth import EGRESS, INGRESS, NO_LIMITS, Limits, asked_for, limits_of
from navarch.agent.process.cni import Endpoint, plugin_config
from navarch.agent.runtime import RuntimeFailure


@pytest.mark.parametrize(
    ("said", "bits_s"), [("1k", 1000), ("10M", 10**7), ("1.5Mi", 1572864), ("1P", 10**15), ("1e9", 10**9)]
)
def test_rates(said: str, bits_s: int) -> None:
    assert limits_of({INGRESS: said}) == Limits(bits_s, None)
    assert limits_of({EGRESS: said, INGRESS: "2k"}) == Limits(2000, bits_s)
    assert asked_for({EGRESS: said})


def test_who_asks_for_nothing_has_no_limits() -> None:
    assert limits_of({"kubernetes.io/other": "x"}) == NO_LIMITS
    assert not asked_for({"kubernetes.io/other": "x"})


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("999", "resource is unreasonably small (< 1kbit)"),
        ("-1M", "resource is unreasonably small (< 1kbit)"),
        ("1001T", "resource is unreasonably large (> 1Pbit)"),
        ("10 Mbit", "quantities must match the regular expression"),
        ("", "quantities must match the regular expression"),
    ],
)
def test_what_is_no_rate_is_refused_in_the_words_of_a_runtime(said: str, why: str) -> None:
    for name in (INGRESS, EGRESS):
        with pytest.raises(RuntimeFailure) as refused:
            limits_of({name: said})
        assert str(refused.value).startswith(f"reading pod bandwidth annotations: {why}")


def test_the_plugin_that_can_keep_it_is_told() -> None:
    plugins = [{"type": "bridge"}, {"type": "bandwidth", "capabilities": {"bandwidth": True}}]
    network = {"name": "n", "plugins": plugins}
    pod = Endpoint("a", "/netns", limits=Limits(None, 8000))
    assert "runtimeConfig" not in plugin_config(network, 0, pod, None)
    told = plugin_config(network, 1, pod, {"ips": []})
    assert told["runtimeConfig"] == {"bandwidth": {"egressRate": 8000, "egressBurst": 2**32 - 1}}
    assert "capabilities" not in told
    assert "runtimeConfig" not in plugin_config(network, 1, Endpoint("a", "/netns"), None)
