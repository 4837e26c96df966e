"""Cohere's Command, which continues a prompt.

https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-cohere-command.html
"""

from __future__ import annotations

from typing import Any, Final

from wye.canon.events import Finish
from wye.canon.extras import FORM, extras_of, own_extras
from wye.canon.loss import Losses
from wye.canon.request import ChatRequest, Message
from wye.canon.response import ChatResponse, Choice
from wye.canon.usage import Usage
from wye.dialects.bedrock_invoke.answer import answer_text, note_figures, note_tier, own_members, text_choice
from wye.dialects.bedrock_invoke.chunks import encode_stream_error
from wye.dialects.bedrock_invoke.cohere.response import REASONS
from wye.dialects.bedrock_invoke.family import bedrock_family
from wye.dialects.bedrock_invoke.prompts import COMMAND, decode_prompt, encode_prompt, prompt_form
from wye.dialects.bedrock_invoke.reasons import Reasons
from wye.dialects.bedrock_invoke.settings import refuse_tools, report_unsaid, set_members
from wye.dialects.bedrock_invoke.text_stream import Piece, TextDecoder, TextEncoder
from wye.dialects.dialect import Quirks
from wye.kernel.errors import BadAnswer
from wye.kernel.fields import Fields, take
from wye.kernel.ids import new_id
from wye.kernel.json import JsonObject, as_list, as_object

NAME: Final = "bedrock_cohere_prompt"

_SETTINGS = {
    "max_tokens": "max_tokens",
    "temperature": "temperature",
    "top_p": "p",
    "top_k": "k",
    "stop": "stop_sequences",
    "n": "num_generations",
    "logit_bias": "logit_bias",
}
_REASONS = Reasons(
    REASONS.member, REASONS.meanings, {reason: word for reason, word in REASONS.words.items() if reason != "tool_calls"}
)


def _read_prompt(prompt: str) -> list[Message]:
    return decode_prompt(prompt, (COMMAND,))


def decode_request(body: JsonObject) -> ChatRequest:
    """`stream` is a member of the body here."""
    fields = Fields(body)
    prompt = fields.required_str("prompt")
    request = ChatRequest(
        model=fields.str("model") or "",
        messages=_read_prompt(prompt),
        stream=fields.bool("stream") or False,
        max_tokens=fields.int("max_tokens"),
        temperature=fields.number("temperature"),
        top_p=fields.number("p"),
        top_k=fields.int("k"),
        stop=fields.strings("stop_sequences"),
        n=fields.int("num_generations"),
        logit_bias=fields.dict("logit_bias"),
    )
    request.extras = extras_of(NAME, {**fields.rest(), **prompt_form(prompt)})
    return request


def encode_request(request: ChatRequest, losses: Losses, quirks: Quirks) -> JsonObject:
    own = dict(own_extras(request.extras, NAME, losses, ""))
    kept = own.pop(FORM, {}).get("prompt")
    refuse_tools(request, NAME, losses)
    report_unsaid(request, _SETTINGS, NAME, losses)
    body: JsonObject = {"prompt": encode_prompt(request, kept, _read_prompt, COMMAND, NAME, losses)}
    if request.stream:
        body["stream"] = True
    set_members(body, request, _SETTINGS)
    return body | own


def decode_response(body: JsonObject) -> ChatResponse:
    left = dict(body)
    generations = as_list(left.pop("generations", None))
    if not generations:
        raise BadAnswer("The upstream's answer holds no generations")
    choices: list[Choice] = []
    for index, value in enumerate(generations):
        generation = dict(as_object(value) or {})
        text = take(generation, "text", str)
        reason, extras = _REASONS.take(generation)
        form: JsonObject = {name: generation.pop(name) for name in ("id", "index") if name in generation}
        rest = {**generation, **extras, **({FORM: form} if form else {})}
        choices.append(text_choice(text, reason, extras_of(NAME, rest), index))
    identity, prompt = take(left, "id", str), left.pop("prompt", None)
    if prompt is not None:
        left[FORM] = {"prompt": prompt}
    return ChatResponse(id=identity or new_id("bdrk_"), model="", choices=choices, extras=extras_of(NAME, left))


def encode_response(response: ChatResponse, losses: Losses) -> JsonObject:
    """Its body has no figures: Bedrock tells them in headers."""
    note_figures(response.usage, NAME, losses)
    note_tier(response.service_tier, losses)
    generations: list[JsonObject] = []
    for choice in response.choices:
        said: JsonObject = {"id": response.id, "text": answer_text(choice, NAME, losses), "index": choice.index}
        said |= _REASONS.say(choice.finish_reason, choice.extras, NAME, losses, f"choices[{choice.index}]")
        generations.append(said | said.pop(FORM, {}))
    form: Any = (response.extras or {}).get(NAME, {}).get(FORM, {})
    own = own_members(response.extras, NAME, losses)
    return {"id": response.id, "generations": generations, "prompt": form.get("prompt", ""), **own}


def _read_chunk(chunk: JsonObject) -> Piece:
    left = dict(chunk)
    ended, text, index = left.pop("is_finished", None) is True, take(left, "text", str), take(left, "index", int)
    left.pop("response", None)  # the whole answer once more
    if text is None and not ended:
        raise BadAnswer("The upstream sent a stream chunk without a text")
    reason, extras = _REASONS.decode(left, NAME)
    if ended:
        return Piece(text or "", index, reason or "stop", extras, rest=left)
    return Piece(text or "", index or 0, reason, extras, rest=left)


class _Chunks:
    name = NAME
    several = True

    def piece(self, choice: int) -> tuple[bytes, bytes]:
        return b'{"text":', b',"is_finished":false,"index":%d}' % choice

    def last(self, finish: Finish, usage: Usage | None, losses: Losses) -> JsonObject:
        said = _REASONS.say(finish.reason, finish.extras, NAME, losses, f"choices[{finish.choice}]")
        said.pop(FORM, None)
        return {"text": "", "is_finished": True, "index": finish.choice, **said}


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
