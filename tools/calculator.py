"""Arithmetic."""

from __future__ import annotations

import ast
import math
from typing import Any

from autoagent.errors import ToolError
from autoagent.tools.base import tool

_SIGNS = str.maketrans({"×": "*", "÷": "/", "−": "-", "^": "**"})
_FUNCTIONS = {"sqrt": math.sqrt, "abs": abs, "round": round, "min": min, "max": max, "floor": math.floor}
_MOST_DIGITS = 100_000  # of a power; more would take minutes


@tool(
    hints=(
        "compute work out how much plus minus times divided by over percent multiply divide "
        "subtract add sum up product evaluate make equal 12 * 7 + 3 half third quarter twice double triple "
        "square root squared average mean difference between larger bigger greater smaller lower less more "
        "increase decrease reduce take away left remain still gone lose each cost costs pay price change "
        "total together altogether combined share split get per day hour km speed far long old area many"
    )
)
def calculate(expression: str) -> str:
    """Calculate an expression."""
    import simpleeval

    try:
        evaluator = simpleeval.SimpleEval(
            operators={**simpleeval.DEFAULT_OPERATORS, ast.Pow: _power},
            functions=_FUNCTIONS,
            names={"pi": math.pi, "e": math.e},
        )
        text = expression.translate(_SIGNS).strip()
        return number_text(evaluator.eval(text, _parsed(text)))
    except ZeroDivisionError:
        raise ToolError("division by zero") from None
    except Exception as error:  # simpleeval raises many kinds, all of them about the expression
        raise ToolError(f"cannot calculate {expression}: {error}") from None


def _parsed(text: str) -> ast.expr:
    """The only expression in a text; of ``total = 2 + 3`` what stands on the right."""
    found = ast.parse(text).body
    if len(found) != 1 or not isinstance(found[0], (ast.Expr, ast.Assign)):
        raise ValueError("give one expression")
    return found[0].value


def _power(base: Any, exponent: Any) -> Any:
    if abs(exponent) * math.log10(max(abs(base), 1)) > _MOST_DIGITS:
        raise ValueError("the power is too large")
    return base**exponent


def number_text(value: Any) -> str:
    """A number as people write it: whole when it is whole, else up to 6 decimals.

    Raises:
        ToolError: it is no finite number.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ToolError(f"{value!r} is not a number")
    if isinstance(value, float) and not math.isfinite(value):
        raise ToolError("the result is not a finite number")
    if isinstance(value, int) or value.is_integer():
        return str(int(value))
    rounded = f"{value:.6f}".rstrip("0").rstrip(".")
    return rounded if rounded not in ("0", "-0") else f"{value:.6g}"


TOOLS = [calculate]
