from __future__ import annotations

import pytest

from wye.kernel.errors import BadRequest
from wye.knowledge.calculator import calculate


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("2 + 3 * 4", 14),
        (" -(2 - 7) ", 5),
        ("+7 // 2 + 7 % 4", 6),
        ("2 ^ 10", 1024),
        ("2 ** -1", 0.5),
        ("1 / 4", 0.25),
        ("sqrt(16) + max(1, 2)", 6.0),
        ("round(pi, 2)", 3.14),
        ("1.5e3", 1500.0),
    ],
)
def test_arithmetic_is_calculated(expression: str, value: float) -> None:
    assert calculate(expression) == value


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "1 +",
        "1 / 0",
        "1 % 0",
        "9 ** 9 ** 9 ** 9",
        "2.0 ** 99999",
        "(-8) ** 0.5",
        "sqrt(-1)",
        "1e308 * 10",
        "__import__('os').system('true')",
        "open('/etc/passwd')",
        "().__class__",
        "x",
        "True",
        "'a' * 9",
        "[1]",
        "lambda: 1",
        "sqrt(x=1)",
        "sqrt(1, 2)",
        "not 1",
        "1 << 2",
        "1 if 1 else 2",
        "(" * 300 + "1" + ")" * 100,
        "1" * 501,
        "\0",
    ],
)
def test_what_is_no_arithmetic_is_refused(expression: str) -> None:
    with pytest.raises(BadRequest) as raised:
        calculate(expression)
    assert raised.value.message
    assert raised.value.param == "expression"
