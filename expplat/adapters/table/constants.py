"""Constants of DuckDB expressions.

DuckDB's own way to make one from a value of Python imports pandas first, to ask whether it is one
of its values; that takes longer than adding up ten million rows. Here the text is made of digits
alone, so that nothing of a value can be taken for SQL.
"""

from __future__ import annotations

from duckdb import ConstantExpression, Expression, SQLExpression
from duckdb import FunctionExpression as Function

NOTHING = ConstantExpression(None)
"""No value."""


def number(value: float) -> Expression:
    """Return a finite number of double precision, exactly."""
    return SQLExpression(format(float(value), ".17e"))


def whole(value: int) -> Expression:
    """Return a whole number."""
    return SQLExpression(format(value, "d"))


def text(value: str) -> Expression:
    """Return a text, by the hexadecimal digits of its UTF-8."""
    digits = SQLExpression(repr(value.encode().hex()))
    return Function("decode", Function("from_hex", digits))
