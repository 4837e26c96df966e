"""Stability's image models: no chat, but what can be said of them is a prompt and pictures.

https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-stability-diffusion.html
"""

from __future__ import annotations

from typing import Any, Final, NoReturn

from wye.canon.extras import extras_of, own_extras
from wye.canon.loss import Losses, cannot_say
from wye.canon.parts import Base64, Image, Part, Text
from wye.canon.request import ChatRequest, Message
from wye.canon.response import ChatResponse, Choice
from wye.dialects.bedrock_invoke.answer import note_figures, note_stop_sequence, note_tier, only_choice, own_members
from wye.dialects.bedrock_invoke.chunks import encode_stream_error
from wye.dialects.bedrock_invoke.family import bedrock_family
from wye.dialects.bedrock_invoke.settings import refuse_tools, report_unsaid
from wye.dialects.bedrock_invoke.turns import note_unsaid, say_text, text_of
from wye.dialects.dialect import Quirks
from wye.kernel.errors import BadAnswer, BadRequest
from wye.kernel.fields import Fields
from wye.kernel.ids import new_id
from wye.kernel.json import JsonObject, as_list

NAME: Final = "bedrock_stability"

_FILTERED = "Filter reason: output image"


def decode_request(body: JsonObject) -> ChatRequest:
    fields = Fields(body)
    prompt, image = fields.required_str("prompt"), fields.str("image")
    given: list[Part] = [] if image is None else [Image(Base64(image))]
    stream = fields.bool("stream") or False
    if stream:
        _refuse_stream()
    return ChatRequest(
        model=fields.str("model") or "",
        messages=[Message("user", [*given, Text(prompt)])],
        seed=fields.int("seed"),
        extras=extras_of(NAME, fields.rest()),
    )


def encode_request(request: ChatRequest, losses: Losses, quirks: Quirks) -> JsonObject:
    own = own_extras(request.extras, NAME, losses, "")
    if request.stream:
        _refuse_stream()
    refuse_tools(request, NAME, losses)
    report_unsaid(request, ("seed",), NAME, losses)
    images: list[str] = []

    def take(image: Image, path: str) -> str:
        if not isinstance(image.source, Base64):
            raise cannot_say(NAME, "an image that is not in place", path)
        if images:
            raise cannot_say(NAME, "more than one image", path)
        note_unsaid(image, path, NAME, losses)
        images.append(image.source.data)
        return ""

    lines: list[str] = []
    for i, message in enumerate(request.messages):
        path = f"messages[{i}]"
        own_extras(message.extras, NAME, losses, path)
        if message.role == "assistant":
            raise cannot_say(NAME, "a conversation", path)
        if message.name is not None:
            losses.add(f"{path}.name", f"participants have no names in {NAME}")
        lines.append(text_of(message.parts, f"{path}.content", NAME, losses, take))
    body: JsonObject = {"prompt": "\n".join(lines)}
    if images:
        body["image"] = images[0]
    if request.seed is not None:
        body["seed"] = request.seed
    return body | own


def decode_response(body: JsonObject) -> ChatResponse:
    left = dict(body)
    images = as_list(left.pop("images", None))
    if images is None:
        raise BadAnswer("The upstream's answer holds no images")
    parts: list[Part] = [Image(Base64(image)) for image in images if isinstance(image, str)]
    reasons: list[Any] = as_list(left.get("finish_reasons")) or []
    filtered = any(reason is not None for reason in reasons)
    if not filtered and len(reasons) == len(parts):
        left.pop("finish_reasons", None)
    choice = Choice(parts, "content_filter" if filtered else "stop")
    return ChatResponse(id=new_id("bdrk_"), model="", choices=[choice], extras=extras_of(NAME, left))


def encode_response(response: ChatResponse, losses: Losses) -> JsonObject:
    choice = only_choice(response, NAME, losses)
    note_figures(response.usage, NAME, losses)
    note_tier(response.service_tier, losses)
    images: list[str] = []
    for i, part in enumerate(choice.parts):
        path = f"content[{i}]"
        if isinstance(part, Image) and isinstance(part.source, Base64):
            own_extras(part.extras, NAME, losses, path, "info")
            images.append(part.source.data)
        elif (text := say_text(part, path, NAME, losses, answer=True)) is not None:
            losses.add(path, f"{NAME} answers with images only: {text[:20]!r} is left out")
    reason = _FILTERED if choice.finish_reason == "content_filter" else None
    if choice.finish_reason not in ("stop", "content_filter", None):
        losses.add("choices[0].finish_reason", f"{NAME} has no word for {choice.finish_reason!r}")
    if choice.logprobs is not None:
        losses.add("logprobs", f"{NAME} does not tell probabilities", "info")
    note_stop_sequence(choice.stop_sequence, 0, NAME, losses)
    own_extras(choice.extras, NAME, losses, "choices[0]", "info")
    said: JsonObject = {"seeds": [], "finish_reasons": [reason] * max(1, len(images)), "images": images}
    return said | own_members(response.extras, NAME, losses)


def _refuse_stream(*_: object) -> NoReturn:
    raise BadRequest(f"A model that speaks {NAME} cannot stream its answer", param="stream", code="unsupported_stream")


DIALECT = bedrock_family(
    name=NAME,
    decode_request=decode_request,
    encode_request=encode_request,
    decode_response=decode_response,
    encode_response=encode_response,
    chunk_reader=_refuse_stream,
    stream_encoder=_refuse_stream,
    encode_stream_error=encode_stream_error,
)
