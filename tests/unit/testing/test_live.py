"""What live calls are counted as."""

from __future__ import annotations

import pytest

from wye.testing.live import PRICE_PER_TOKEN_USD, Budget, tokens_of


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b'{"usage":{"prompt_tokens":5,"completion_tokens":2,"total_tokens":7}}', 7),
        (b'{"usage": {"input_tokens": 5, "output_tokens": 2}}', 7),
        (b'{"usage":{"inputTokens":5,"outputTokens":2}}', 7),
        (b'data: {"usage":{"input_tokens":5,"output_tokens":1}}\n\ndata: {"usage":{"output_tokens":9}}\n\n', 14),
        (b"x" * 27, 10),
    ],
)
def test_tokens_are_as_told_or_estimated(answer: bytes, expected: int) -> None:
    assert tokens_of(b"abc", answer) == expected


def test_a_budget_is_spent_token_by_token() -> None:
    budget = Budget(2 * PRICE_PER_TOKEN_USD, 60)
    assert (budget.begin(), budget.is_spent) == (0, False)
    budget.count(2)
    assert budget.is_spent
    assert 0.9 < budget.begin() <= 1
    budget.count(98)
    assert budget.told() == "2 live calls, 100 tokens, at most $0.0075 of $0.00"
