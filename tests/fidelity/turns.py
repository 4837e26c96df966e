"""Two turns: what an upstream's model thought and called is told to a client of another dialect, and comes back to it
when that client sends the conversation on: signatures and encrypted reasoning byte for byte."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.fidelity import translation
from tests.fidelity.corpus import MODEL, Kind, as_sse, events_of, understood
from tests.fidelity.facts import Fact, facts, unsaid
from tests.fidelity.translation import Outcome
from wye.canon.fold import fold
from wye.canon.loss import Losses
from wye.canon.parts import Thinking
from wye.canon.request import ChatRequest
from wye.canon.response import ChatResponse
from wye.canon.seal import PREFIX
from wye.dialects.dialect import Dialect, Quirks
from wye.kernel import json
from wye.kernel.errors import BadRequest

FEATURES = ("thinking", "tool_calls")
ASKED = "What now?"


def _as_message(body: dict[str, Any]) -> dict[str, Any]:
    said = {"role": "assistant", **{name: value for name, value in body["choices"][0]["message"].items() if value}}
    return {"messages": [{"role": "user", "content": ASKED}, said]}


def _as_content(body: dict[str, Any]) -> dict[str, Any]:
    said = {"role": "assistant", "content": body["content"]}
    return {"max_tokens": 9, "messages": [{"role": "user", "content": ASKED}, said]}


def _as_output(body: dict[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [{"text": ASKED}]}, body["output"]["message"]]}


def _as_items(body: dict[str, Any]) -> dict[str, Any]:
    return {"input": [{"role": "user", "content": ASKED}, *body["output"]]}


REPLAY: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "openai_chat": _as_message,
    "openai_responses": _as_items,
    "anthropic_messages": _as_content,
    "bedrock_converse": _as_output,
    "bedrock_claude": lambda body: {"anthropic_version": "bedrock-2023-05-31", **_as_content(body)},
    "bedrock_nova": _as_output,
    "bedrock_mistral": _as_message,
    "bedrock_ai21": _as_message,
    "bedrock_writer": _as_message,
    "bedrock_openai": _as_message,
}
"""How clients of a dialect that has thoughts put an answer into their next request."""


def come_back(upstream: Dialect, client: Dialect, kind: Kind, wire: Any) -> list[Outcome]:
    """What becomes of an answer's thoughts and calls on their way to the client and back."""
    told = understood(upstream, kind, wire)
    assert isinstance(told, ChatResponse)
    if told.choices[0].finish_reason == "error" or _is_sealed(told):
        return []  # nobody goes on from it
    if not any(fact.feature in FEATURES for fact in facts(told)):
        return []
    first = (translation.answer if kind == "responses" else translation.stream)(upstream, client, wire)
    first = [outcome for outcome in first if outcome.fact.feature in FEATURES]
    try:
        asked = client.decode_request({"model": MODEL, **REPLAY[client.name](_heard(upstream, client, kind, wire))})
        said = upstream.encode_request(asked, Losses(), Quirks(custom_tools=True))
        again = upstream.decode_request({"model": MODEL, **json.decode(json.encode(said))})
    except BadRequest as error:
        return [Outcome(outcome.fact, "refused", error.message) for outcome in first]
    missing = unsaid([outcome.fact for outcome in first], facts(again))
    second = {_known(outcome.fact): outcome for outcome in translation.asked_in(client, upstream, asked)}
    return [
        _on_both_ways(outcome, second) if outcome.fact in missing else Outcome(outcome.fact, "carried")
        for outcome in first
    ]


def _heard(upstream: Dialect, client: Dialect, kind: Kind, wire: Any) -> dict[str, Any]:
    """The whole answer, as a client has it in the end."""
    if kind == "responses":
        return json.decode(json.encode(client.encode_response(upstream.decode_response(wire), Losses())))
    asked = ChatRequest(model=MODEL, messages=[], stream=True, include_usage=True)
    encoder = as_sse(client).stream_encoder(asked, Losses())
    said = b"".join(encoder.encode(event) for event in events_of(upstream, wire))
    return json.decode(json.encode(client.encode_response(fold(events_of(client, said)), Losses())))


def _on_both_ways(first: Outcome, second: dict[Any, Outcome]) -> Outcome:
    """Lost on the way to the client, or on its way back."""
    back = second.get(_known(first.fact))
    return first if first.state != "carried" or back is None else back._replace(fact=first.fact)


def _known(fact: Fact) -> Any:
    return fact.of, fact.member, json.encode_text(fact.value)


def _is_sealed(answer: ChatResponse) -> bool:
    """Whether what an upstream is to have thought is what Wye made of another dialect's case."""
    thoughts = [part for choice in answer.choices for part in choice.parts if isinstance(part, Thinking)]
    return any((thought.signature or thought.redacted or "").startswith(PREFIX) for thought in thoughts)
