"""OpenAI's older API against the model in the box. Its answers are poor: shapes are asserted, not content."""

from __future__ import annotations

import openai
import pytest

from tests.e2e.conftest import MODEL, Served

pytestmark = [pytest.mark.requires_model, pytest.mark.xdist_group("e2e")]

PROMPT = "Count from 1 to 5."


@pytest.fixture(scope="module")
def gpt(served: Served) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{served.url}/v1", api_key="unused", max_retries=0, timeout=60)


def test_a_text_is_continued(gpt: openai.OpenAI) -> None:
    completion = gpt.completions.create(model=MODEL, prompt=PROMPT, logprobs=1)
    (choice,) = completion.choices
    assert choice.text
    assert choice.finish_reason in ("stop", "length")
    assert completion.usage is not None
    assert 1 <= completion.usage.completion_tokens <= 16
    assert choice.logprobs is not None
    assert "".join(choice.logprobs.tokens or ()).startswith(choice.text[:5])


def test_a_text_is_continued_piece_by_piece(gpt: openai.OpenAI) -> None:
    chunks = list(gpt.completions.create(model=MODEL, prompt=[PROMPT], max_tokens=20, echo=True, stream=True))
    assert len({chunk.id for chunk in chunks}) == 1
    assert "".join(chunk.choices[0].text for chunk in chunks).startswith(PROMPT)
    assert chunks[-1].choices[0].finish_reason in ("stop", "length")


def test_several_prompts_are_answered_each(gpt: openai.OpenAI) -> None:
    completion = gpt.completions.create(model=MODEL, prompt=["One:", "Two:", "Three:"], max_tokens=4, echo=True)
    assert [choice.text.partition(":")[0] for choice in completion.choices] == ["One", "Two", "Three"]
    assert completion.usage is not None
    assert completion.usage.completion_tokens <= 12
