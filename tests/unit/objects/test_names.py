"""Names: what is allowed, and the words in which the rest is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.objects import names


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        (names.dns_label, ["a", "my-name", "1a", "a" * 63], ["", "-a", "a-", "A", "a_b", "a.b", "a" * 64, "a\n"]),
        (names.dns_subdomain, ["a", "a.b-c.d", "a" * 253], ["", "a..b", ".a", "a.", "A", "a" * 254]),
        (names.dns_label_1035, ["a", "a-1"], ["", "1a", "a-", "a.b"]),
        (names.wildcard_dns_subdomain, ["*.a.b"], ["*", "a.b", "*.*.a"]),
        (names.label_key, ["a", "A_b.c", "x.io/a", "a" * 63], ["", "/a", "a/", "a/b/c", "-a", "X/a", "a" * 64]),
        (names.label_value, ["", "a", "A_b.c", "1"], ["-", "a-", "a/b", "a b", "a" * 64]),
        (names.port_name, ["http", "a-1", "1a"], ["", "1", "-a", "a-", "a--b", "A", "a" * 16]),
        (names.env_name, ["A", "a b", "1"], ["", "A=B", "é", "\t"]),
        (names.env_name_strict, ["A", "a.b-c_d"], ["", "1A", "..a", ".", "A B"]),
        (names.config_key, ["a", "A.b_c-1", "...a" * 0 + ".a"], ["", ".", "..", "..a", "a/b", "a" * 254]),
        (names.http_header, ["X-Name"], ["", "X Name"]),
        (names.percent, ["1%", "100%"], ["%", "1", "-1%"]),
        (names.c_identifier, ["_a1"], ["", "1a"]),
        (names.path_segment, ["system:node", "A b", ""], [".", "..", "a/b", "a%b"]),
    ],
)
def test_what_is_allowed(check: names.Validator, good: list[str], bad: list[str]) -> None:
    assert [name for name in good if check(name)] == []
    assert [name for name in bad if not check(name)] == []


def test_messages_are_those_of_kubernetes() -> None:
    assert names.dns_subdomain("Web") == (
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "
        "and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
        r"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
    )
    assert names.dns_label("a_b") == (
        "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end "
        "with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
        "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
    )
    assert names.dns_label("a.b") == ("must not contain dots",)
    assert names.label_value("a" * 64) == ("must be no more than 63 bytes",)
    assert names.label_key("/a") == ("prefix part must be non-empty",)
    assert names.label_key("a/")[0] == "name part must be non-empty"
    assert names.port(0) == ("must be between 1 and 65535, inclusive",)
    assert names.port(65535) == ()


def test_a_generated_name_may_end_with_a_dash() -> None:
    check = names.generated(names.dns_label)
    assert check("web-") == ()
    assert check("-") != ()
    assert check("Web-") != ()


@given(st.from_regex(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", fullmatch=True))
def test_a_label_is_a_subdomain_and_a_label_value(text: str) -> None:
    assert not names.dns_label(text)
    assert not names.dns_subdomain(text)
    assert not names.label_value(text)
