"""Who is asked about which name, and what is said of settings that cannot be read."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.dns.forwarding import Forwarding, forwarding_of

HOST = (("203.0.113.1", 53),)
LABELS = st.text("abc", min_size=1, max_size=2)
DOMAINS = st.lists(LABELS, min_size=1, max_size=4).map(".".join)


def test_the_longest_domain_decides_and_the_rest_goes_upstream() -> None:
    data = {
        "stubDomains": json.dumps(
            {"Corp.Example.": ["192.0.2.1"], "deep.corp.example": ["192.0.2.2:5353", "[2001:db8::1]:54"]}
        ),
        "upstreamNameservers": '["198.51.100.1", "2001:db8::53", "198.51.100.1"]',
    }
    found, faults = forwarding_of(data)
    assert not faults
    assert found.servers("corp.example", HOST) == (("192.0.2.1", 53),)
    assert found.servers("a.corp.example", HOST) == (("192.0.2.1", 53),)
    assert found.servers("x.deep.corp.example", HOST) == (("192.0.2.2", 5353), ("2001:db8::1", 54))
    assert found.servers("notcorp.example", HOST) == (("198.51.100.1", 53), ("2001:db8::53", 53))
    assert found.servers("", HOST) == found.upstreams


def test_without_settings_the_host_decides() -> None:
    found, faults = forwarding_of({"something": "else"})
    assert (found, faults) == (Forwarding(), [])
    assert found.servers("example.com", HOST) == HOST


@pytest.mark.parametrize(
    ("data", "word"),
    [
        ({"stubDomains": "{"}, "no JSON"),
        ({"stubDomains": "[]"}, "a mapping is wanted"),
        ({"stubDomains": '{"": ["192.0.2.1"]}'}, "is no domain"),
        ({"stubDomains": '{"a..b": ["192.0.2.1"]}'}, "is no domain"),
        ({"stubDomains": '{"a": []}'}, "a list of 1 to 15 servers"),
        ({"stubDomains": '{"a": "192.0.2.1"}'}, "a list of 1 to 15 servers"),
        ({"upstreamNameservers": '["dns.example"]'}, "is no server"),
        ({"upstreamNameservers": '["192.0.2.1:0"]'}, "is no server"),
        ({"upstreamNameservers": '["192.0.2.1:70000"]'}, "is no server"),
        ({"upstreamNameservers": '["[2001:db8::1]x"]'}, "is no server"),
        ({"upstreamNameservers": '["192.0.2.1:٥"]'}, "is no server"),
        ({"upstreamNameservers": "[7]"}, "is no server"),
        ({"upstreamNameservers": '["10.96.0.10"]'}, "this DNS server itself"),
    ],
)
def test_what_cannot_be_read_is_told_and_left_out(data: dict[str, str], word: str) -> None:
    found, faults = forwarding_of(data, own=frozenset({"10.96.0.10"}))
    assert found == Forwarding()
    assert len(faults) == 1
    assert word in faults[0]
    assert faults[0].startswith(next(iter(data)))


def test_one_bad_part_spoils_no_other() -> None:
    data = {"stubDomains": '{"good": ["192.0.2.1", "?"], "bad": 1}', "upstreamNameservers": "no"}
    found, faults = forwarding_of(data)
    assert found == Forwarding({"good": (("192.0.2.1", 53),)})
    assert len(faults) == 3


@given(st.dictionaries(DOMAINS, st.just(["192.0.2.1"]), max_size=6), DOMAINS)
def test_a_name_goes_to_the_longest_domain_that_it_lies_in(stubs: dict[str, list[str]], name: str) -> None:
    numbered = {domain: [f"192.0.2.{number}"] for number, domain in enumerate(stubs, 1)}
    found, faults = forwarding_of({"stubDomains": json.dumps(numbered)})
    assert not faults
    above = [domain for domain in numbered if name == domain or name.endswith(f".{domain}")]
    expected = ((numbered[max(above, key=len)][0], 53),) if above else HOST
    assert found.servers(name, HOST) == expected
