"""Meta Llama. https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-meta.html"""

from __future__ import annotations

import re
from typing import Final

from wye.canon.events import Finish
from wye.canon.extras import FORM, extras_of, own_extras
from wye.canon.loss import Losses, cannot_say
from wye.canon.parts import Base64, Image, Part, Text
from wye.canon.request import ChatRequest, Message
from wye.canon.response import ChatResponse
from wye.canon.usage import Usage
from wye.dialects.bedrock_invoke.answer import (
    answer_text,
    note_figures,
    note_tier,
    only_choice,
    own_members,
    text_choice,
)
from wye.dialects.bedrock_invoke.chunks import encode_stream_error
from wye.dialects.bedrock_invoke.family import bedrock_family
from wye.dialects.bedrock_invoke.prompts import (
    LLAMA_2,
    LLAMA_3,
    LLAMA_4,
    Template,
    encode_prompt,
    prompt_form,
    turns_in,
)
from wye.dialects.bedrock_invoke.reasons import Reasons
from wye.dialects.bedrock_invoke.settings import refuse_tools, report_unsaid, set_members
from wye.dialects.bedrock_invoke.text_stream import Piece, TextDecoder, TextEncoder
from wye.dialects.bedrock_invoke.turns import messages_of, note_unsaid
from wye.dialects.dialect import Quirks
from wye.kernel.errors import BadAnswer
from wye.kernel.fields import Fields, take
from wye.kernel.ids import new_id
from wye.kernel.json import JsonObject

NAME: Final = "bedrock_llama"
IMAGE: Final = "<|image|>"
"""Where an image stands in the text."""

_SETTINGS = {"max_tokens": "max_gen_len", "temperature": "temperature", "top_p": "top_p"}
_REASONS = Reasons("stop_reason", {"stop": "stop", "length": "length"}, {"stop": "stop", "length": "length"})
_SEES = re.compile(r"llama(?:3-2-(?:11|90)b|4|-4)")
_GENERATION = re.compile(r"llama-?([24])")


def decode_request(body: JsonObject) -> ChatRequest:
    fields = Fields(body)
    prompt, images = fields.required_str("prompt"), fields.strings("images")
    request = ChatRequest(
        model=fields.str("model") or "",
        messages=_read_prompt(prompt, images or []),
        stream=fields.bool("stream") or False,
        max_tokens=fields.int("max_gen_len"),
        temperature=fields.number("temperature"),
        top_p=fields.number("top_p"),
    )
    request.extras = extras_of(NAME, {**fields.rest(), **prompt_form(prompt)})
    return request


def _read_prompt(prompt: str, images: list[str]) -> list[Message]:
    """The conversation, each image where its mark is. Without a mark for each they stand before the user's last
    words."""
    turns = turns_in(prompt, (LLAMA_3, LLAMA_4, LLAMA_2))
    messages = messages_of(turns)
    left: list[Part] = [Image(Base64(image)) for image in images]
    if prompt.count(IMAGE) == len(images):
        for turn, message in zip(turns, messages, strict=True):
            first, *more = turn.text.split(IMAGE)
            if more:
                message.parts = [Text(first)] if first else []
            for text in more:
                message.parts += [left.pop(0), Text(text)] if text else [left.pop(0)]
    else:
        last = next((message for message in reversed(messages) if message.role == "user"), messages[-1])
        last.parts = [*left, *last.parts]
    return messages


def encode_request(request: ChatRequest, losses: Losses, quirks: Quirks) -> JsonObject:
    own = dict(own_extras(request.extras, NAME, losses, ""))
    kept = own.pop(FORM, {}).get("prompt")
    refuse_tools(request, NAME, losses)
    report_unsaid(request, _SETTINGS, NAME, losses)
    images: list[str] = []

    def mark(image: Image, path: str) -> str:
        if not isinstance(image.source, Base64):
            raise cannot_say(NAME, "an image that is not in place", path)
        if "llama" in request.model and not _SEES.search(request.model):
            raise cannot_say(NAME, f"an image, which {request.model} does not see,", path)
        note_unsaid(image, path, NAME, losses)
        images.append(image.source.data)
        return IMAGE

    def read(prompt: str) -> list[Message]:
        return _read_prompt(prompt, images)

    prompt = encode_prompt(request, kept, read, _template(request.model), NAME, losses, mark)
    body: JsonObject = {"prompt": prompt}
    set_members(body, request, _SETTINGS)
    if images:
        body["images"] = images
    return body | own


def _template(model: str) -> Template:
    found = _GENERATION.search(model)
    return LLAMA_3 if found is None else LLAMA_2 if found[1] == "2" else LLAMA_4


def decode_response(body: JsonObject) -> ChatResponse:
    left = dict(body)
    text = take(left, "generation", str)
    if text is None:
        raise BadAnswer("The upstream's answer holds no generation")
    reason, extras = _REASONS.decode(left, NAME)
    usage = _take_usage(left)
    choices = [text_choice(text, reason, extras)]
    return ChatResponse(id=new_id("bdrk_"), model="", choices=choices, usage=usage, extras=extras_of(NAME, left))


def _take_usage(members: JsonObject) -> Usage | None:
    asked, output = take(members, "prompt_token_count", int), take(members, "generation_token_count", int)
    return None if asked is None and output is None else Usage(asked, output)


def encode_response(response: ChatResponse, losses: Losses) -> JsonObject:
    choice = only_choice(response, NAME, losses)
    usage = response.usage or Usage()
    note_figures(usage, NAME, losses)
    note_tier(response.service_tier, losses)
    return {
        "generation": answer_text(choice, NAME, losses),
        "prompt_token_count": usage.input_tokens or 0,
        "generation_token_count": usage.output_tokens or 0,
        **_REASONS.say(choice.finish_reason, choice.extras, NAME, losses, "choices[0]"),
        **own_members(response.extras, NAME, losses),
    }


def _read_chunk(chunk: JsonObject) -> Piece:
    left = dict(chunk)
    text = take(left, "generation", str)
    if text is None:
        raise BadAnswer("The upstream sent a stream chunk without a generation")
    reason, extras = _REASONS.decode(left, NAME)
    return Piece(text, 0, reason, extras, _take_usage(left), left)


class _Chunks:
    name = NAME
    several = False

    def piece(self, choice: int) -> tuple[bytes, bytes]:
        return b'{"generation":', b',"prompt_token_count":null,"generation_token_count":null,"stop_reason":null}'

    def last(self, finish: Finish, usage: Usage | None, losses: Losses) -> JsonObject:
        return {
            "generation": "",
            "prompt_token_count": usage.input_tokens if usage else None,
            "generation_token_count": usage.output_tokens if usage else None,
            **_REASONS.say(finish.reason, finish.extras, NAME, losses, "choices[0]"),
        }


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
