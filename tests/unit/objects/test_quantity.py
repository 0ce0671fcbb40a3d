"""Quantities: exactness, canonical text and its laws, refusals."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.objects import quantity

SUFFIXES = ["n", "u", "m", "", "k", "M", "G", "T", "Ki", "Mi", "Gi", "Ti", "e3", "e-3", "E2"]

texts = st.builds(
    lambda sign, number, places, suffix: f"{sign}{Fraction(number, 10**places).__float__():.{places}f}{suffix}",
    st.sampled_from(["", "-", "+"]),
    st.integers(0, 10**6),
    st.integers(0, 3),
    st.sampled_from(SUFFIXES),
)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("0", "0"),
        ("0m", "0"),
        ("1000m", "1"),
        ("0.5", "500m"),
        (".5", "500m"),
        ("5.", "5"),
        ("1.5", "1500m"),
        ("1024Mi", "1Gi"),
        ("1500Mi", "1500Mi"),
        ("0.5Gi", "512Mi"),
        ("512Ki", "512Ki"),
        ("0.5Ki", "512"),
        ("0.5Mi", "512Ki"),
        ("1.5Ki", "1536"),
        ("1000", "1k"),
        ("1000k", "1M"),
        ("2e3", "2e3"),
        ("2000e0", "2e3"),
        ("1E", "1E"),
        ("1E2", "100"),
        ("0.1n", "1n"),
        ("1e-10", "1e-9"),
        ("99999999999999999999", "9223372036854775807"),
        ("-1000m", "-1"),
        ("+3", "3"),
        ("1e1000000000", "9223372036854775807"),
        ("100Mi", "100Mi"),
    ],
)
def test_canonical_text(text: str, canonical: str) -> None:
    assert quantity.canonical(text) == canonical


@pytest.mark.parametrize("number", [(3, "3"), (0.5, "500m"), (2000, "2k")])
def test_numbers_of_the_document_are_quantities(number: tuple[float, str]) -> None:
    assert quantity.canonical(number[0]) == number[1]


@pytest.mark.parametrize("text", ["", "aoeu", "1.1.M", "1+1.0M", " ", ".", "m", "1 Gi", "１", "1" * 5000])
def test_a_wrong_format_is_refused(text: str) -> None:
    with pytest.raises(quantity.BadQuantity, match="quantities must match the regular expression"):
        quantity.parse(text)


@pytest.mark.parametrize("text", ["0.1mi", "1i", "-3.01e-", "1Kii", "1m3", "1EE2"])
def test_a_wrong_suffix_is_refused(text: str) -> None:
    with pytest.raises(quantity.BadQuantity, match="unable to parse quantity's suffix"):
        quantity.parse(text)


def test_milli_and_whole_round_up() -> None:
    assert quantity.milli("100u") == 1
    assert quantity.milli("1.5") == 1500
    assert quantity.whole("1500m") == 2
    assert quantity.whole("1Ki") == 1024
    assert quantity.whole("-1500m") == -1


def test_total_keeps_the_style_of_its_first_part() -> None:
    assert quantity.total(["0", "512Mi", "512Mi"]) == "1Gi"
    assert quantity.total(["500m", "1"]) == "1500m"
    assert quantity.total([]) == "0"


@given(texts)
def test_canonical_text_means_the_same_and_is_its_own_canonical_text(text: str) -> None:
    once = quantity.canonical(text)
    assert quantity.parse(once) == quantity.parse(text)
    assert quantity.canonical(once) == once


@given(texts, texts)
def test_comparison_is_that_of_the_numbers(left: str, right: str) -> None:
    a, b = quantity.parse(left), quantity.parse(right)
    assert quantity.compare(left, right) == (a > b) - (a < b)


@given(st.lists(texts, max_size=4))
def test_a_total_is_the_sum(values: list[str]) -> None:
    assert quantity.parse(quantity.total(values)) == sum(map(quantity.parse, values), Fraction(0))


@given(st.text(max_size=8))
def test_any_other_text_is_refused_with_bad_quantity_only(text: str) -> None:
    try:
        quantity.parse(text)
    except quantity.BadQuantity:
        return
    assert set(text.strip()) <= set("0123456789+-.eEinumkKMGTP")
