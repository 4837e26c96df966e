"""Arithmetic as people write it, and nothing else: the text is parsed, never run."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable
from typing import Any

from wye.kernel.errors import BadRequest

_MAX_CHARACTERS = 500
_MAX_DIGITS = 1000
"""Of an integer on the way: more is work for minutes."""
_BINARY: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: lambda a, b: a / b,
    ast.FloorDiv: lambda a, b: a // b,
    ast.Mod: operator.mod,
}
_UNARY: dict[type[ast.unaryop], Callable[[float], float]] = {ast.UAdd: operator.pos, ast.USub: operator.neg}
_NAMES: dict[str, float] = {"pi": math.pi, "e": math.e}
_FUNCTIONS: dict[str, Any] = {  # some of them take and give more than numbers; they are only given numbers
    "abs": abs,
    "round": round,
    "sqrt": math.sqrt,
    "sin": math.sin,
    "cos": math.cos,
    "tan": math.tan,
    "log": math.log,
    "log10": math.log10,
    "exp": math.exp,
    "min": min,
    "max": max,
}


def calculate(expression: str) -> float:
    """Raises BadRequest with the reason."""
    if len(expression) > _MAX_CHARACTERS:
        raise BadRequest(f"The expression is longer than {_MAX_CHARACTERS} characters", param="expression")
    try:
        value = _value(ast.parse(expression.strip().replace("^", "**"), mode="eval").body)
    except ZeroDivisionError:
        raise BadRequest("Division by zero", param="expression") from None
    except (SyntaxError, ValueError, TypeError, OverflowError, RecursionError, MemoryError) as error:
        raise BadRequest(f"It cannot be calculated: {_plain(error)}", param="expression") from None
    if isinstance(value, float) and not math.isfinite(value):
        raise BadRequest("It cannot be calculated: the result is too large", param="expression")
    return value


def _plain(error: Exception) -> str:
    return error.msg if isinstance(error, SyntaxError) else str(error)


def _value(node: ast.expr) -> float:
    match node:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            return value
        case ast.Name(id=name) if name in _NAMES:
            return _NAMES[name]
        case ast.UnaryOp(op=op, operand=operand) if type(op) in _UNARY:
            return _UNARY[type(op)](_value(operand))
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            return _power(_value(left), _value(right))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            return _BINARY[type(op)](_value(left), _value(right))
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in _FUNCTIONS:
            return _FUNCTIONS[name](*map(_value, args))
        case _:
            raise ValueError(f"{ast.unparse(node)[:50]!r} is no arithmetic")


def _power(base: float, exponent: float) -> float:
    whole = isinstance(base, int) and isinstance(exponent, int)
    if whole and abs(exponent) * math.log10(max(abs(base), 2)) > _MAX_DIGITS:
        raise OverflowError("the result is too large")
    result: Any = base**exponent
    if isinstance(result, complex):
        raise ValueError("the result is no real number")
    return result
