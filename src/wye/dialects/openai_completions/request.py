"""Requests of OpenAI's older API, which continues a text. https://platform.openai.com/docs/api-reference/completions"""

from __future__ import annotations

from typing import Any

from wye.canon.extras import FORM, extras_of, own_extras
from wye.canon.loss import Losses, cannot_say
from wye.canon.parts import Opaque, Part, Text
from wye.canon.request import ChatRequest, Message
from wye.dialects.dialect import Quirks
from wye.dialects.openai_completions.name import NAME
from wye.kernel.errors import BadRequest, Unprocessable
from wye.kernel.fields import Fields
from wye.kernel.json import JsonObject, as_list, type_name

DEFAULT_MAX_TOKENS = 16
MAX_PROMPTS = 128
"""Texts of one request for models that continue one at a time."""

_PLAIN = ("temperature", "top_p", "frequency_penalty", "presence_penalty", "logit_bias", "seed", "n", "user")
"""Members that have one name here and in the canonical form."""
_UNSAID = ("top_k", "verbosity", "reasoning", "tool_choice", "parallel_tool_calls")
_BOOKKEEPING = ("metadata", "service_tier", "store", "prompt_cache_key")


def split(body: JsonObject) -> list[JsonObject]:
    """A request for each of several texts, which a stream would mix. Raises BadRequest for too many of them."""
    prompts = as_list(body.get("prompt")) or []
    if len(prompts) < 2 or body.get("stream") or not all(isinstance(text, str) for text in prompts):
        return [body]
    if len(prompts) > MAX_PROMPTS:
        raise BadRequest(f"prompt holds {len(prompts)} texts, and one request at most {MAX_PROMPTS}", param="prompt")
    return [{**body, "prompt": text} for text in prompts]


def decode_request(body: JsonObject) -> ChatRequest:
    """A prompt is one message of the user. Raises BadRequest for prompts that no conversation can be: token ids,
    several at once. Where an upstream of this dialect answers, such a body goes through as it is."""
    fields = Fields(body)
    options = fields.fields("stream_options")
    limit = _at_least_zero(fields, "max_tokens")
    alternatives = _at_least_zero(fields, "logprobs")
    request = ChatRequest(
        model=fields.required_str("model"),
        messages=[Message("user", [Text(_decode_prompt(fields))])],
        stream=fields.bool("stream") or False,
        include_usage=options.bool("include_usage") if options else None,
        max_tokens=DEFAULT_MAX_TOKENS if limit is None else limit,
        temperature=fields.number("temperature"),
        top_p=fields.number("top_p"),
        frequency_penalty=fields.number("frequency_penalty"),
        presence_penalty=fields.number("presence_penalty"),
        logit_bias=fields.dict("logit_bias"),
        seed=fields.int("seed"),
        stop=fields.strings("stop"),
        n=fields.int("n"),
        logprobs=None if alternatives is None else True,
        top_logprobs=alternatives,
        user=fields.str("user"),
    )
    own, form = _decode_own(fields, request)
    rest = {**fields.rest(), **own}
    if form:
        rest[FORM] = form
    if options is not None and options.rest():
        rest["stream_options"] = options.rest()
    request.extras = extras_of(NAME, rest)
    return request


def _decode_prompt(fields: Fields) -> str:
    path = fields.at("prompt")
    prompt = fields.any("prompt")
    several = as_list(prompt)
    if several is not None and len(several) == 1 and isinstance(several[0], str):
        prompt = several[0]
    if isinstance(prompt, str):
        return prompt
    if prompt is None or several == []:
        raise Unprocessable(f"{path} is required: the text to continue", param=path)
    if several is None:
        raise BadRequest(f"{path} must be a string, not {type_name(prompt)}", param=path)
    if all(isinstance(text, str) for text in several):
        raise BadRequest(
            f"{path} holds {len(several)} texts, and this model streams one answer a request: send a request for each",
            param=path,
            code="unsupported_content",
        )
    if all(_is_tokens(item) for item in several) or _is_tokens(several):
        raise BadRequest(
            f"{path} holds token ids, which this model would read otherwise: send the text itself",
            param=path,
            code="unsupported_content",
        )
    raise BadRequest(f"{path} must be a string, an array of strings or one of token ids", param=path)


def _is_tokens(value: Any) -> bool:
    tokens = as_list(value)
    return tokens is not None and all(isinstance(token, int) and not isinstance(token, bool) for token in tokens)


def _at_least_zero(fields: Fields, name: str) -> int | None:
    value = fields.int(name)
    if value is not None and value < 0:
        raise BadRequest(f"{fields.at(name)} must be at least 0, not {value}", param=fields.at(name))
    return value


def _decode_own(fields: Fields, request: ChatRequest) -> tuple[JsonObject, JsonObject]:
    """The settings of this dialect alone: those that an upstream must know, and those that ask nothing of it.

    To repeat the prompt needs no upstream, unless the probabilities of its tokens are wanted too.
    """
    own: JsonObject = {}
    form: JsonObject = {}
    suffix, repeat, best_of = fields.str("suffix"), fields.bool("echo"), fields.int("best_of")
    for name, value, asks in (
        ("suffix", suffix, bool(suffix)),
        ("echo", repeat, bool(repeat and request.logprobs)),
        ("best_of", best_of, (best_of or 0) > (request.n or 1)),
    ):
        if value is not None:
            (own if asks else form)[name] = value
    return own, form


def encode_request(request: ChatRequest, losses: Losses, quirks: Quirks) -> JsonObject:
    """Raises BadRequest for anything but one text of the user: what a conversation becomes as one text, only the
    model's own template knows."""
    own = dict(own_extras(request.extras, NAME, losses, ""))
    body: JsonObject = {"model": request.model, "prompt": _encode_prompt(request.messages, losses)}
    if request.stream:
        body["stream"] = True
    _encode_stream_options(request, body, own, losses, quirks)
    # Without a limit the answer would end after 16 tokens, which callers of no other dialect mean.
    body["max_tokens"] = quirks.default_max_tokens if request.max_tokens is None else request.max_tokens
    for name in _PLAIN:
        value = getattr(request, name)
        if value is not None:
            body[name] = value
    if request.stop:
        body["stop"] = request.stop
    if request.logprobs:
        body["logprobs"] = request.top_logprobs or 0
    _report_unsaid(request, losses)
    # A prompt that the gateway itself puts before the answer must not come from the upstream too.
    form = {name: value for name, value in own.pop(FORM, {}).items() if name != "echo" or not value}
    return {**body, **form, **own}


def _encode_stream_options(
    request: ChatRequest, body: JsonObject, own: JsonObject, losses: Losses, quirks: Quirks
) -> None:
    options: JsonObject = {}
    if request.include_usage is not None and quirks.stream_usage:
        options["include_usage"] = request.include_usage
    elif request.include_usage:
        losses.add("stream_options.include_usage", "this upstream cannot be asked for it", "info")
    options.update(own.pop("stream_options", {}))
    if options:
        body["stream_options"] = options


def _report_unsaid(request: ChatRequest, losses: Losses) -> None:
    if request.tools:
        raise cannot_say(NAME, "a tool", "tools")
    if request.output is not None:
        if request.output.type != "text":
            raise cannot_say(NAME, f"an output format of type {request.output.type!r}", "response_format")
        own_extras(request.output.extras, NAME, losses, "response_format")
    for name in _UNSAID:
        if getattr(request, name) is not None:
            losses.add(name, f"{NAME} has no such setting", "info" if "tool" in name else "warning")
    if request.cache is not None:
        losses.add("cache_control", f"{NAME} has no cache marks", "info")
    if request.betas:
        losses.add("anthropic_beta", f"{NAME} has no previews of Anthropic's API", "info")
    for name in _BOOKKEEPING:
        if getattr(request, name) is not None:
            losses.add(name, f"{NAME} has no such member", "info")


def _encode_prompt(messages: list[Message], losses: Losses) -> str:
    for i, message in enumerate(messages):
        path = f"messages[{i}]"
        if message.role != "user":
            raise cannot_say(NAME, f"a message of the {message.role}", path)
        if i > 0:
            raise cannot_say(NAME, "more than one message", path)
    said: list[str] = []
    for message in messages:
        own_extras(message.extras, NAME, losses, "messages[0]")
        if message.name is not None:
            losses.add("messages[0].name", f"{NAME} has no names of users", "info")
        said += [text for i, part in enumerate(message.parts) if (text := _say(part, losses, i)) is not None]
    if len(said) != 1:
        raise cannot_say(NAME, "a conversation that is not one text", "messages")
    return said[0]


def _say(part: Part, losses: Losses, index: int) -> str | None:
    """None for a part that is reported as lost."""
    path = f"messages[0].content[{index}]"
    match part:
        case Text():
            own_extras(part.extras, NAME, losses, path)
            if part.cache is not None:
                losses.add(f"{path}.cache_control", f"{NAME} has no cache marks", "info")
            for i, _ in enumerate(part.citations):
                losses.add(f"{path}.citations[{i}]", f"{NAME} takes no citations", "info")
            return part.text
        case Opaque():
            losses.add(path, f"only {part.dialect} understands {part.type or 'it'}")
            return None
        case _:
            raise cannot_say(NAME, f"{type(part).__name__.lower()} beside text", path)
