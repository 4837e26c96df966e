"""Which family a request to InvokeModel, or an answer of it, belongs to."""

from __future__ import annotations

import re

from wye.dialects import bedrock_models
from wye.dialects.bedrock_invoke.ai21 import DIALECT as AI21
from wye.dialects.bedrock_invoke.claude import DIALECT as CLAUDE
from wye.dialects.bedrock_invoke.cohere import DIALECT as COHERE
from wye.dialects.bedrock_invoke.cohere_prompt import DIALECT as COHERE_PROMPT
from wye.dialects.bedrock_invoke.llama import DIALECT as LLAMA
from wye.dialects.bedrock_invoke.mistral import DIALECT as MISTRAL
from wye.dialects.bedrock_invoke.mistral_prompt import DIALECT as MISTRAL_PROMPT
from wye.dialects.bedrock_invoke.nova import DIALECT as NOVA
from wye.dialects.bedrock_invoke.openai import DIALECT as OPENAI
from wye.dialects.bedrock_invoke.stability import DIALECT as STABILITY
from wye.dialects.bedrock_invoke.titan import DIALECT as TITAN
from wye.dialects.bedrock_invoke.writer import DIALECT as WRITER
from wye.dialects.dialect import Dialect
from wye.kernel.errors import BadRequest
from wye.kernel.json import JsonObject, as_list, as_object

FAMILIES: tuple[Dialect, ...] = (
    CLAUDE,
    TITAN,
    NOVA,
    LLAMA,
    MISTRAL,
    MISTRAL_PROMPT,
    COHERE,
    COHERE_PROMPT,
    AI21,
    WRITER,
    STABILITY,
    OPENAI,
)

_BY_MODEL: dict[bedrock_models.Family, Dialect] = {
    "ai21": AI21,
    "claude": CLAUDE,
    "cohere": COHERE,
    "deepseek": OPENAI,
    "llama": LLAMA,
    "mistral": MISTRAL,
    "nova": NOVA,
    "openai": OPENAI,
    "qwen": OPENAI,
    "stability": STABILITY,
    "titan": TITAN,
    "writer": WRITER,
}
_PROMPT_MODELS: dict[bedrock_models.Family, tuple[re.Pattern[str], Dialect]] = {
    "cohere": (re.compile(r"cohere\.command-(?:light-)?text"), COHERE_PROMPT),
    "mistral": (re.compile(r"mistral\.(?:mistral-7b|mixtral)"), MISTRAL_PROMPT),
}
"""Families that have two shapes: the models of the older, which continue a prompt."""
_PROMPT_SHAPES = {"cohere": COHERE_PROMPT, "mistral": MISTRAL_PROMPT}

_MISTRAL_SETTINGS = frozenset({"max_tokens", "stop", "top_k"})
"""Beside a prompt these are Mistral's words: the other families have their own for each."""

_MARKS: tuple[tuple[str, Dialect], ...] = (
    ("anthropic_version", CLAUDE),
    ("inputText", TITAN),
    ("schemaVersion", NOVA),
    ("inferenceConfig", NOVA),
    ("toolConfig", NOVA),
    ("max_gen_len", LLAMA),
    ("chat_history", COHERE),
    ("message", COHERE),
    ("num_generations", COHERE_PROMPT),
    ("aspect_ratio", STABILITY),
    ("negative_prompt", STABILITY),
    ("maxTokens", AI21),
    ("max_completion_tokens", OPENAI),
)
"""Members that only one family has."""


def family_of(model_id: str, body: JsonObject) -> Dialect:
    """The family whose shape the body has; where several share it, the one that the model's id names.

    Raises BadRequest when neither tells. An empty body is that of the model's family.
    """
    for member, dialect in _MARKS:
        if member in body:
            return dialect
    if "messages" in body and _has_nova_content(body):
        return NOVA
    family = bedrock_models.family(model_id)
    by_model = family_of_model(model_id)
    if "prompt" in body:
        found = _PROMPT_SHAPES.get(family or "", by_model)
        if found is None and not _MISTRAL_SETTINGS.isdisjoint(body):
            found = MISTRAL_PROMPT
    elif "messages" in body and by_model not in (CLAUDE, NOVA, MISTRAL, AI21, WRITER, OPENAI):
        found = OPENAI
    else:
        found = by_model
    if found is None:
        raise BadRequest(
            "The body is in no format that Wye recognises for InvokeModel: it needs a member that tells its family "
            "(`anthropic_version`, `inputText`, `inferenceConfig`, `max_gen_len`, `message`, `messages`), or a model "
            f"id that does, unlike {model_id[:100]!r}",
            param="body",
        )
    return found


def family_of_model(model_id: str) -> Dialect | None:
    """None for a model whose id does not tell."""
    family = bedrock_models.family(model_id)
    if family is None:
        return None
    older = _PROMPT_MODELS.get(family)
    if older is not None and older[0].match(bedrock_models.base_model(model_id)):
        return older[1]
    return _BY_MODEL[family]


def _has_nova_content(body: JsonObject) -> bool:
    """Whether the first message's content are blocks without a type, as only Nova's are."""
    for message in as_list(body.get("messages")) or ():
        for block in as_list((as_object(message) or {}).get("content")) or ():
            members = as_object(block)
            return members is not None and "type" not in members
    return False
