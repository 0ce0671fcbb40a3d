"""Which schedules are taken, as what, and why others are not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.objects.cron import BOUNDS, BadSchedule, parse


def test_fields_become_sets() -> None:
    found = parse("*/15 0-3,22 1 jan-mar MON")
    assert found.minutes == {0, 15, 30, 45}
    assert found.hours == {0, 1, 2, 3, 22}
    assert (found.days, found.months, found.weekdays) == ({1}, {1, 2, 3}, {1})
    assert not found.any_day
    assert not found.any_weekday
    assert parse("5/20 * ? * *").minutes == {5, 25, 45}


def test_a_star_with_a_step_says_something() -> None:
    found = parse("0 0 */2 * *")
    assert (found.any_day, found.any_weekday) == (False, True)
    assert parse("0 0 1,* * */1").any_day
    assert parse("0 0 * * */1").any_weekday


def test_words_stand_for_schedules() -> None:
    assert parse("@daily") == parse("0 0 * * *")
    assert parse("@every 1h30m").every_s == 5400
    assert parse("@every 1ms").every_s == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty spec string"),
        ("foo", "expected exactly 5 fields, found 1: [foo]"),
        ("60 * * * *", "end of range (60) above maximum (59): 60"),
        ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
        ("* * * * 5-2", "beginning of range (5) beyond end of range (2): 5-2"),
        ("*/0 * * * *", "step of range should be a positive number: */0"),
        ("1/2/3 * * * *", "too many slashes: 1/2/3"),
        ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
        ("x * * * *", 'failed to parse int from x: strconv.Atoi: parsing "x": invalid syntax'),
        ("@often", "unrecognized descriptor: @often"),
        ("@every soon", "failed to parse duration @every soon"),
    ],
)
def test_what_is_no_schedule(text: str, message: str) -> None:
    with pytest.raises(BadSchedule) as found:
        parse(text)
    assert str(found.value) == message


@given(st.text(alphabet="0123456789*/-,? @ajnTZ٣", max_size=20))
def test_no_text_is_too_strange(text: str) -> None:
    try:
        found = parse(text)
    except BadSchedule:
        return
    for values, (low, high, _) in zip(
        (found.minutes, found.hours, found.days, found.months, found.weekdays), BOUNDS, strict=True
    ):
        assert all(low <= value <= high for value in values)
