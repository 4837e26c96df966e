"""Mistral's models that continue a prompt.

https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-mistral-text-completion.html
"""

from __future__ import annotations

from typing import Final

from wye.canon.events import Finish
from wye.canon.extras import FORM, extras_of, own_extras
from wye.canon.loss import Losses
from wye.canon.request import ChatRequest, Message
from wye.canon.response import ChatResponse, Choice
from wye.canon.usage import Usage
from wye.dialects.bedrock_invoke.answer import answer_text, note_figures, note_tier, own_members, text_choice
from wye.dialects.bedrock_invoke.chunks import encode_stream_error
from wye.dialects.bedrock_invoke.family import bedrock_family
from wye.dialects.bedrock_invoke.prompts import MISTRAL, decode_prompt, encode_prompt, prompt_form
from wye.dialects.bedrock_invoke.reasons import Reasons
from wye.dialects.bedrock_invoke.settings import refuse_tools, report_unsaid, set_members
from wye.dialects.bedrock_invoke.text_stream import Piece, TextDecoder, TextEncoder
from wye.dialects.dialect import Quirks
from wye.kernel.errors import BadAnswer
from wye.kernel.fields import Fields, take
from wye.kernel.ids import new_id
from wye.kernel.json import JsonObject, as_list, as_object

NAME: Final = "bedrock_mistral_prompt"

_SETTINGS = {name: name for name in ("max_tokens", "temperature", "top_p", "top_k", "stop")}
_REASONS = Reasons("stop_reason", {"stop": "stop", "length": "length"}, {"stop": "stop", "length": "length"})


def _read_prompt(prompt: str) -> list[Message]:
    return decode_prompt(prompt, (MISTRAL,))


def decode_request(body: JsonObject) -> ChatRequest:
    fields = Fields(body)
    prompt = fields.required_str("prompt")
    request = ChatRequest(
        model=fields.str("model") or "",
        messages=_read_prompt(prompt),
        stream=fields.bool("stream") or False,
        max_tokens=fields.int("max_tokens"),
        temperature=fields.number("temperature"),
        top_p=fields.number("top_p"),
        top_k=fields.int("top_k"),
        stop=fields.strings("stop"),
    )
    request.extras = extras_of(NAME, {**fields.rest(), **prompt_form(prompt)})
    return request


def encode_request(request: ChatRequest, losses: Losses, quirks: Quirks) -> JsonObject:
    own = dict(own_extras(request.extras, NAME, losses, ""))
    kept = own.pop(FORM, {}).get("prompt")
    refuse_tools(request, NAME, losses)
    report_unsaid(request, _SETTINGS, NAME, losses)
    body: JsonObject = {"prompt": encode_prompt(request, kept, _read_prompt, MISTRAL, NAME, losses)}
    set_members(body, request, _SETTINGS)
    return body | own


def decode_response(body: JsonObject) -> ChatResponse:
    left = dict(body)
    outputs = as_list(left.pop("outputs", None))
    if not outputs:
        raise BadAnswer("The upstream's answer holds no outputs")
    choices: list[Choice] = []
    for index, value in enumerate(outputs):
        output = dict(as_object(value) or {})
        text = take(output, "text", str)
        reason, extras = _REASONS.take(output)
        choices.append(text_choice(text, reason, extras_of(NAME, {**extras, **output}), index))
    return ChatResponse(id=new_id("bdrk_"), model="", choices=choices, extras=extras_of(NAME, left))


def encode_response(response: ChatResponse, losses: Losses) -> JsonObject:
    """Its body has no figures: Bedrock tells them in headers."""
    note_figures(response.usage, NAME, losses)
    note_tier(response.service_tier, losses)
    outputs = [
        {
            "text": answer_text(choice, NAME, losses),
            **_REASONS.say(choice.finish_reason, choice.extras, NAME, losses, f"choices[{choice.index}]"),
        }
        for choice in response.choices
    ]
    return {"outputs": outputs, **own_members(response.extras, NAME, losses)}


def _read_chunk(chunk: JsonObject) -> Piece:
    left = dict(chunk)
    outputs = as_list(left.pop("outputs", None))
    output = dict(as_object(outputs[0]) or {}) if outputs else {}
    text = take(output, "text", str)
    if text is None:
        raise BadAnswer("The upstream sent a stream chunk without outputs")
    reason, extras = _REASONS.decode(output, NAME)
    return Piece(text, 0, reason, extras, rest={**left, **output})


class _Chunks:
    name = NAME
    several = False

    def piece(self, choice: int) -> tuple[bytes, bytes]:
        return b'{"outputs":[{"text":', b',"stop_reason":null}]}'

    def last(self, finish: Finish, usage: Usage | None, losses: Losses) -> JsonObject:
        return {"outputs": [{"text": "", **_REASONS.say(finish.reason, finish.extras, NAME, losses, "choices[0]")}]}


DIALECT = bedrock_family(
    name=NAME,
    decode_request=decode_request,
    encode_request=encode_request,
    decode_response=decode_response,
    encode_response=encode_response,
    chunk_reader=lambda: TextDecoder(NAME, _read_chunk),
    stream_encoder=lambda request, losses: TextEncoder(_Chunks(), losses),
    encode_stream_error=encode_stream_error,
)
