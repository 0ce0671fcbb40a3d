"""Expressions of policies and webhooks: compiled once, run within one budget for all that is asked about a write.

What they are about (`object`, `request`, …) comes as values by name from whoever asks.

Source: https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/#validation-expression
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from navarch.cel.kubernetes import program
from navarch.cel.program import BUDGET as OF_ONE
from navarch.cel.program import Program
from navarch.cel.syntax import SyntaxFault
from navarch.cel.values import Fault, OverBudget

BUDGET = 1_000_000
"""Of all expressions of a policy about one write: a tenth of Kubernetes', whose engine is quicker."""
SPENT = "validation failed due to running out of cost budget, no further validation rules will be run"


@dataclass(frozen=True, slots=True)
class Expression:
    """program: None where the text is no expression, which `why` says then."""

    name: str
    text: str
    program: Program | None
    why: str = ""

    @classmethod
    def of(cls, text: str, name: str = "") -> Expression:
        try:
            return cls(name, text, program(text))
        except (SyntaxFault, Fault) as fault:
            return cls(name, text, None, f"compilation error: {fault}")


class Spending:
    """A budget, and what has been taken of it."""

    __slots__ = ("left",)

    def __init__(self, budget: int = BUDGET) -> None:
        self.left = budget

    def run(self, expression: Expression, names: Mapping[str, Any]) -> Any:
        """Raises: Fault, with the words of Kubernetes; OverBudget, where nothing more may be run."""
        if expression.program is None:
            raise Fault(expression.why)
        try:
            found, cost = expression.program.run(names, min(self.left, OF_ONE))
        except OverBudget:
            self.left = 0
            raise OverBudget(SPENT) from None
        except Fault as fault:
            raise Fault(f"expression '{expression.text}' resulted in error: {fault}") from None
        self.left -= cost
        return found


class Variables(dict[str, Any]):
    """What expressions know as `variables`: each is evaluated when it is first read, and once."""

    __slots__ = ("_expressions", "_names", "_spending", "_wrong")

    def __init__(self, expressions: Mapping[str, Expression], names: Mapping[str, Any], spending: Spending) -> None:
        """names: what the variables may read, among it these variables."""
        super().__init__()
        self._expressions = expressions
        self._names = names
        self._spending = spending
        self._wrong: dict[str, str] = {}

    def __contains__(self, name: object) -> bool:
        return name in self._expressions

    def __missing__(self, name: str) -> Any:
        """Raises: KeyError; Fault; OverBudget."""
        expression = self._expressions[name]
        if name not in self._wrong:
            self._wrong[name] = "it needs itself"
            try:
                self[name] = found = self._spending.run(expression, self._names)
            except OverBudget:
                raise
            except Fault as fault:
                self._wrong[name] = str(fault)
            else:
                return found
        raise Fault(f'composited variable "{name}" fails to evaluate: {self._wrong[name]}')
