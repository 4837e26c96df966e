"""Amazon Titan Text. https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-titan-text.html"""

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
from wye.dialects.bedrock_invoke.family import bedrock_family
from wye.dialects.bedrock_invoke.prompts import TITAN, decode_prompt, encode_prompt, prompt_form
from wye.dialects.bedrock_invoke.reasons import Reasons
from wye.dialects.bedrock_invoke.settings import refuse_tools, report_unsaid, set_members
from wye.dialects.bedrock_invoke.text_stream import Piece, TextDecoder, TextEncoder
from wye.dialects.dialect import Quirks
from wye.kernel.errors import BadAnswer
from wye.kernel.fields import Fields, take
from wye.kernel.ids import new_id
from wye.kernel.json import JsonObject, as_list, as_object

NAME: Final = "bedrock_titan"

_SETTINGS = {"max_tokens": "maxTokenCount", "temperature": "temperature", "top_p": "topP", "stop": "stopSequences"}
_REASONS = Reasons(
    "completionReason",
    {
        "FINISH": "stop",
        "FINISHED": "stop",
        "STOP_CRITERIA_MET": "stop",
        "RAG_QUERY_WHEN_RAG_DISABLED": "stop",
        "LENGTH": "length",
        "CONTENT_FILTERED": "content_filter",
    },
    {"stop": "FINISH", "length": "LENGTH", "content_filter": "CONTENT_FILTERED"},
)


def _read_prompt(prompt: str) -> list[Message]:
    return decode_prompt(prompt, (TITAN,))


def decode_request(body: JsonObject) -> ChatRequest:
    fields = Fields(body)
    prompt = fields.required_str("inputText")
    config = fields.fields("textGenerationConfig") or Fields({})
    request = ChatRequest(
        model=fields.str("model") or "",
        messages=_read_prompt(prompt),
        stream=fields.bool("stream") or False,
        max_tokens=config.int("maxTokenCount"),
        temperature=config.number("temperature"),
        top_p=config.number("topP"),
        stop=config.strings("stopSequences"),
    )
    rest = {**fields.rest(), **prompt_form(prompt)}
    if config.rest():
        rest["textGenerationConfig"] = config.rest()
    request.extras = extras_of(NAME, rest)
    return request


def encode_request(request: ChatRequest, losses: Losses, quirks: Quirks) -> JsonObject:
    own = dict(own_extras(request.extras, NAME, losses, ""))
    kept = own.pop(FORM, {}).get("prompt")
    refuse_tools(request, NAME, losses)
    report_unsaid(request, _SETTINGS, NAME, losses)
    body: JsonObject = {"inputText": encode_prompt(request, kept, _read_prompt, TITAN, NAME, losses)}
    config: JsonObject = {}
    set_members(config, request, _SETTINGS)
    config |= own.pop("textGenerationConfig", {})
    if config:
        body["textGenerationConfig"] = config
    return body | own


def decode_response(body: JsonObject) -> ChatResponse:
    left = dict(body)
    results = as_list(left.pop("results", None))
    if not results:
        raise BadAnswer("The upstream's answer holds no results")
    counts: list[int | None] = []
    choices: list[Choice] = []
    for index, value in enumerate(results):
        result = dict(as_object(value) or {})
        counts.append(take(result, "tokenCount", int))
        text = take(result, "outputText", str)
        reason, extras = _REASONS.take(result)
        if len(results) > 1:
            extras[FORM] = {"tokenCount": counts[-1]}
        choices.append(text_choice(text, reason, extras_of(NAME, {**extras, **result}), index))
    asked = take(left, "inputTextTokenCount", int)
    output = None if counts == [None] else sum(count or 0 for count in counts)
    usage = None if asked is None and output is None else Usage(asked, output)
    return ChatResponse(id=new_id("bdrk_"), model="", choices=choices, usage=usage, extras=extras_of(NAME, left))


def encode_response(response: ChatResponse, losses: Losses) -> JsonObject:
    usage = response.usage or Usage()
    note_figures(usage, NAME, losses)
    note_tier(response.service_tier, losses)
    results: list[JsonObject] = []
    for i, choice in enumerate(response.choices):
        text = answer_text(choice, NAME, losses)
        form: Any = (choice.extras or {}).get(NAME, {}).get(FORM, {})
        count = form.get("tokenCount", 0 if i else usage.output_tokens or 0)
        said = _REASONS.say(choice.finish_reason, choice.extras, NAME, losses, f"choices[{choice.index}]")
        said.pop(FORM, None)
        results.append({"tokenCount": count, "outputText": text, **said})
    asked = usage.input_tokens or 0
    return {"inputTextTokenCount": asked, "results": results, **own_members(response.extras, NAME, losses)}


def _read_chunk(chunk: JsonObject) -> Piece:
    left = dict(chunk)
    text, choice = take(left, "outputText", str), take(left, "index", int)
    if text is None:
        raise BadAnswer("The upstream sent a stream chunk without outputText")
    asked, output = take(left, "inputTextTokenCount", int), take(left, "totalOutputTextTokenCount", int)
    reason, extras = _REASONS.decode(left, NAME)
    usage = None if asked is None and output is None else Usage(asked, output)
    return Piece(text, choice or 0, reason, extras, usage, left)


class _Chunks:
    name = NAME
    several = True

    def piece(self, choice: int) -> tuple[bytes, bytes]:
        after = b',"index":%d,"totalOutputTextTokenCount":null,"completionReason":null,"inputTextTokenCount":null}'
        return b'{"outputText":', after % choice

    def last(self, finish: Finish, usage: Usage | None, losses: Losses) -> JsonObject:
        return {
            "outputText": "",
            "index": finish.choice,
            "totalOutputTextTokenCount": usage.output_tokens if usage else None,
            **_REASONS.say(finish.reason, finish.extras, NAME, losses, f"choices[{finish.choice}]"),
            "inputTextTokenCount": usage.input_tokens if usage else None,
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
