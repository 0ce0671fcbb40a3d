"""How much all rules of one object may cost: on the loop a tenth of what they may cost beside it."""

from __future__ import annotations

from navarch.base import beside
from navarch.kinds import custom_rules
from navarch.kinds.custom_schema import Structural

PAIRS = "self.all(a, self.all(b, a + b >= 0))"
"""Of 300 numbers it costs some hundred thousand."""


def causes(rules: int) -> list[str]:
    schema = {
        "type": "object",
        "properties": {
            "items": {
                "type": "array",
                "items": {"type": "integer"},
                "x-kubernetes-validations": [{"rule": PAIRS} for _ in range(rules)],
            }
        },
    }
    ruled = custom_rules.compiled(Structural(schema, root=True))
    assert ruled is not None
    return [cause.message for cause in custom_rules.causes(ruled, {"items": list(range(300))})]


def test_what_costs_too_much_for_the_loop_may_be_done_beside_it() -> None:
    spent = f"Forbidden: {custom_rules.SPENT}"
    assert causes(1) == []
    assert causes(4) == [spent]
    with beside.working():
        assert causes(4) == []
    assert causes(4) == [spent], "and on the loop again it may not"
