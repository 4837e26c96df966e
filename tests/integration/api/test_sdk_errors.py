"""What the vendors' own clients raise: for refusals, for answers that break off, whichever upstream they come from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import anthropic
import openai
import pytest
from botocore.exceptions import ClientError, EventStreamError

from tests import vendors
from tests.integration.api.test_sdks import bedrock, claude, claude_on_bedrock, gpt
from tests.vendors import VENDORS
from wye.testing.fake import FakeAnswer, FakeUpstream, json_body
from wye.testing.server import WyeServer

REFUSALS: dict[str, Callable[[int], FakeAnswer]] = {
    "openai_chat": lambda status: json_body({"error": {"message": "No.", "type": "x", "code": None}}, status),
    "openai_responses": lambda status: json_body({"error": {"message": "No.", "type": "x", "code": None}}, status),
    "anthropic_messages": lambda status: json_body(
        {"type": "error", "error": {"type": "rate_limit_error" if status == 429 else "api_error", "message": "No."}},
        status,
    ),
    "bedrock_converse": lambda status: json_body(
        {"message": "No."},
        status,
        **{"x-amzn-errortype": {429: "ThrottlingException", 400: "ValidationException"}.get(status, "Other")},
    ),
}
ASK: list[Any] = [{"role": "user", "content": "Hi"}]
BLOCKS: list[Any] = [{"role": "user", "content": [{"text": "Hi"}]}]
CALLS: dict[str, Callable[[str, str], Any]] = {
    "chat": lambda url, model: gpt(url).chat.completions.create(model=model, messages=ASK),
    "responses": lambda url, model: gpt(url).responses.create(model=model, input="Hi"),
    "messages": lambda url, model: claude(url).messages.create(model=model, max_tokens=9, messages=ASK),
    "messages on bedrock": lambda url, model: claude_on_bedrock(url).messages.create(
        model=model, max_tokens=9, messages=ASK
    ),
    "converse": lambda url, model: bedrock(url).converse(modelId=model, messages=BLOCKS),
}
STREAMS: dict[str, Callable[[str, str], list[Any]]] = {
    "chat": lambda url, model: list(gpt(url).chat.completions.create(model=model, messages=ASK, stream=True)),
    "responses": lambda url, model: list(gpt(url).responses.create(model=model, input="Hi", stream=True)),
    "messages": lambda url, model: list(
        claude(url).messages.create(model=model, max_tokens=9, messages=ASK, stream=True)
    ),
    "converse": lambda url, model: list(bedrock(url).converse_stream(modelId=model, messages=BLOCKS)["stream"]),
}


@pytest.fixture(scope="module")
def fakes() -> Iterator[dict[str, FakeUpstream]]:
    with ExitStack() as stack:
        yield {name: stack.enter_context(FakeUpstream(vendors.script_of(v))) for name, v in VENDORS.items()}


@pytest.fixture(scope="module")
def url(fakes: dict[str, FakeUpstream]) -> Iterator[str]:
    with WyeServer(vendors.config({name: (VENDORS[name], fake.url) for name, fake in fakes.items()})) as server:
        yield server.url


def status_of(error: Exception) -> int:
    return error.response["ResponseMetadata"]["HTTPStatusCode"] if isinstance(error, ClientError) else error.status_code  # type: ignore[attr-defined]


@pytest.mark.parametrize("status", [400, 404, 429, 500, 503])
@pytest.mark.parametrize("model", VENDORS)
@pytest.mark.parametrize("client", CALLS)
def test_a_refusal_keeps_its_status_and_its_words(
    client: str, model: str, status: int, url: str, fakes: dict[str, FakeUpstream]
) -> None:
    fakes[model].queue.clear()
    fakes[model].queue.append(REFUSALS[model](status))
    with pytest.raises((openai.APIStatusError, anthropic.APIStatusError, ClientError)) as refused:
        CALLS[client](url, model)
    assert "No." in str(refused.value)
    assert status_of(refused.value) == status
    named = {400: "BadRequestError", 404: "NotFoundError", 429: "RateLimitError"}
    if not isinstance(refused.value, ClientError) and status in named:
        assert type(refused.value).__name__ == named[status]


@pytest.mark.parametrize("client", CALLS)
def test_a_model_that_nobody_serves_is_not_found(client: str, url: str) -> None:
    with pytest.raises((openai.NotFoundError, anthropic.NotFoundError, ClientError)) as refused:
        CALLS[client](url, "nobody")
    assert status_of(refused.value) == 404


@pytest.mark.parametrize("model", VENDORS)
@pytest.mark.parametrize("client", STREAMS)
def test_a_stream_that_breaks_off_raises(client: str, model: str, url: str, fakes: dict[str, FakeUpstream]) -> None:
    whole = VENDORS[model].answers(True)
    # The text has begun, and the last frames are missing.
    cut = FakeAnswer(whole.pieces[: len(whole.pieces) // 2 + 1], headers=whole.headers, end="cut")
    fakes[model].queue.clear()
    fakes[model].queue.append(cut)
    with pytest.raises((openai.APIError, anthropic.APIError, EventStreamError)) as broken:
        STREAMS[client](url, model)
    assert "before" in str(broken.value) or "cut" in str(broken.value) or "closed" in str(broken.value)
