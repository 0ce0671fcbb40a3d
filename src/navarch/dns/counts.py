"""What a node's DNS server counts, under CoreDNS's names where it is the same thing, so that its dashboards read it.

Answers from memory are counted where they lie, by one addition, and summed up when somebody asks: they are most of what
is answered, in a few microseconds each, and are not timed.

Source: https://coredns.io/plugins/metrics/, https://coredns.io/plugins/cache/
"""

from __future__ import annotations

from collections import Counter as Sums
from collections.abc import Mapping

from navarch.base.metrics import Counter, Gauge, Histogram, Labels
from navarch.dns import wire
from navarch.dns.memory import About, Memory

UDP, TCP = "udp", "tcp"
OTHER = "other"
"""A type of records that has no name here: anybody may ask for any of 65,536."""
BOUNDS_S = (0.00025, 0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048, 4.096)
CODE_NAMES = {number: name for name, number in wire.CODES.items()}
FROM_CLUSTER, FROM_OTHERS = "cluster", "forward"


def kind_of(kind: str) -> str:
    return kind if kind in wire.TYPES else OTHER


class Counts:
    """requests, responses: what was not answered from memory; the metrics add what was."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self.requests: Sums[Labels] = Sums()
        self.responses: Sums[str] = Sums()
        self.misses = self.rejected = self.failed = 0
        self.took_s = Histogram(
            "navarch_dns_request_duration_seconds",
            "How long answers took that were not remembered, by where they came from.",
            ("source",),
            BOUNDS_S,
        )
        told = "Answers that were remembered, by whether there was anything to tell."
        self.all: tuple[Counter | Gauge | Histogram, ...] = (
            Counter("coredns_dns_requests_total", "Questions, by type.", ("proto", "type"), self._requests),
            Counter("coredns_dns_responses_total", "Answers, by code.", ("rcode",), self._responses),
            Counter("coredns_cache_hits_total", told, ("type",), self._hits),
            Counter("coredns_cache_misses_total", "Questions not answered from memory.", read=lambda: self.misses),
            Gauge("coredns_cache_entries", "Answers in memory.", read=lambda: len(memory)),
            Counter("coredns_forward_max_concurrent_rejects_total", "Too many waited.", read=lambda: self.rejected),
            Counter("navarch_dns_forward_failures_total", "Nobody else answered.", read=lambda: self.failed),
            self.took_s,
        )

    def asked(self, proto: str, kind: str) -> None:
        """A question that is not remembered."""
        self.requests[proto, kind_of(kind)] += 1
        self.misses += proto == UDP

    def answered(self, message: bytes, times: int = 1) -> None:
        self.responses[CODE_NAMES.get(wire.code_of(message), OTHER)] += times

    def _remembered(self) -> Mapping[About, int]:
        return self._memory.given()

    def _requests(self) -> Mapping[Labels, float]:
        found = Sums(self.requests)
        for (kind, _), number in self._remembered().items():
            found[UDP, kind_of(kind)] += number
        return dict(found)

    def _responses(self) -> Mapping[Labels, float]:
        found = Sums(self.responses)
        for (_, code), number in self._remembered().items():
            found[CODE_NAMES.get(code, OTHER)] += number
        return {(code,): number for code, number in found.items()}

    def _hits(self) -> Mapping[Labels, float]:
        found: Sums[Labels] = Sums()
        for (_, code), number in self._remembered().items():
            found["denial" if code else "success",] += number
        return dict(found)
