from __future__ import annotations

from typing import Any

import pytest

from wye.canon.response import are_logprobs

TOKEN: dict[str, Any] = {"token": "a", "logprob": -0.1, "bytes": [97], "top_logprobs": []}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"content": [TOKEN], "refusal": None}, True),
        ({"content": [{**TOKEN, "top_logprobs": [{"token": "b"}]}, {"token": "c"}]}, True),
        ({}, True),
        (None, False),
        ([TOKEN], False),
        ({"content": TOKEN}, False),
        ({"content": ["a"]}, False),
        ({"content": [{**TOKEN, "top_logprobs": 1}]}, False),
        ({"content": [{**TOKEN, "top_logprobs": ["b"]}]}, False),
        ({"content": [TOKEN], "more": 1}, False),
    ],
)
def test_only_openais_shape_is_that_of_log_probabilities(value: Any, expected: bool) -> None:
    assert are_logprobs(value) is expected
