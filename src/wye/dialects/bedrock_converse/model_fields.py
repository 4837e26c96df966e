"""`additionalModelRequestFields`: what only some families of models can be asked for, in each family's own words.

https://docs.aws.amazon.com/bedrock/latest/userguide/claude-messages-extended-thinking.html
https://docs.aws.amazon.com/bedrock/latest/userguide/computer-use.html
https://docs.aws.amazon.com/nova/latest/nova2-userguide/extended-thinking.html
https://docs.aws.amazon.com/nova/latest/userguide/complete-request-schema.html
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

import msgspec

from wye.canon.loss import Losses
from wye.canon.request import ChatRequest, Reasoning
from wye.canon.tools import NativeTool
from wye.dialects.bedrock_converse.form import merged
from wye.dialects.bedrock_models import Family, base_model, family
from wye.kernel.json import JsonObject, as_object

CLAUDE = "anthropic_messages"
"""The dialect whose words these fields are for Claude."""
MEMBER = "additionalModelRequestFields"

_Mode = Literal["enabled", "adaptive", "disabled"]
_WORDS: dict[Family | None, frozenset[str]] = {
    "claude": frozenset(
        {"anthropic_beta", "output_config", "reasoning_config", "thinking", "tool_choice", "tools", "top_k"}
    ),
    "cohere": frozenset({"k"}),
    "mistral": frozenset({"top_k"}),
    "nova": frozenset({"inferenceConfig", "reasoningConfig"}),
    "openai": frozenset({"reasoning_effort"}),
    "qwen": frozenset({"reasoning_config"}),
}
_EFFORT: dict[Family | None, str] = {"openai": "reasoning_effort", "qwen": "reasoning_config"}
"""Families that are told an effort, and nothing else about reasoning."""
_TOP_K: dict[Family | None, str] = {None: "top_k", "claude": "top_k", "mistral": "top_k", "cohere": "k"}
_NEAREST = {"minimal": "low", "xhigh": "high", "max": "high"}
"""Efforts that families with three of them take for another."""
_CLAUDE_TOOL = r"^(bash|computer|text_editor)_\d{8}$"
_BETAS = ("computer-use-", "context-1m-", "interleaved-thinking-", "output-128k-", "token-efficient-tools-")
"""How the names of previews begin that Bedrock has for what can be said here: it refuses any other name.

https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-anthropic-claude-messages-request-response.html
"""


class Wishes(msgspec.Struct):
    """What a request asks of its model beyond the members that Converse has for all."""

    mode: _Mode | None = None
    budget_tokens: int | None = None
    display: str | None = None
    effort: str | None = None
    top_k: int | None = None
    schema: dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    betas: list[str] | None = None
    tools: list[JsonObject] | None = None
    """Those that Anthropic defines and the caller runs, in Anthropic's words."""

    def granted(self, said: Wishes) -> bool:
        """Whether `said` says nothing else than this."""
        return all(value in (None, getattr(self, name)) for name, value in msgspec.structs.asdict(said).items())

    def without(self, said: Wishes) -> Wishes:
        """Those that `said` leaves to be said."""
        members = msgspec.structs.asdict(said)
        return Wishes(**{name: value for name, value in msgspec.structs.asdict(self).items() if members[name] is None})

    def reasoning(self) -> Reasoning | None:
        wished = Reasoning(self.mode, self.effort, self.budget_tokens, self.display)
        return None if wished == Reasoning() else wished


class _Thinking(msgspec.Struct, forbid_unknown_fields=True):
    type: _Mode
    budget_tokens: int | None = None
    display: str | None = None


class _NovaReasoning(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    type: Literal["enabled", "disabled"]
    max_reasoning_effort: str | None = None


class _NovaSampling(msgspec.Struct, forbid_unknown_fields=True):
    topK: int  # noqa: N815 - as Nova has it


class _Format(msgspec.Struct, forbid_unknown_fields=True):
    type: Literal["json_schema"]
    schema: dict[str, Any]


class _OutputConfig(msgspec.Struct, forbid_unknown_fields=True):
    effort: str | None = None
    format: _Format | None = None


class _ClaudeTool(msgspec.Struct):
    type: Annotated[str, msgspec.Meta(pattern=_CLAUDE_TOOL)]


class _SingleCalls(msgspec.Struct, forbid_unknown_fields=True):
    type: Literal["auto"]
    disable_parallel_tool_use: bool


_SHAPES: dict[str, Any] = {
    "tools": Annotated[list[_ClaudeTool], msgspec.Meta(min_length=1)],
    "anthropic_beta": list[str],
    "thinking": _Thinking,
    "reasoning_config": _Thinking | str,
    "reasoning_effort": str,
    "reasoningConfig": _NovaReasoning,
    "inferenceConfig": _NovaSampling,
    "output_config": _OutputConfig,
    "tool_choice": _SingleCalls,
    "top_k": int,
    "k": int,
}


def understood(members: JsonObject) -> tuple[Wishes, JsonObject]:
    """What these fields ask for, and those that say it. Fields that are not wholly understood say nothing here."""
    wishes = Wishes()
    spelled: JsonObject = {}
    for name, value in members.items():
        shape = _SHAPES.get(name)
        if shape is None:
            continue
        try:
            found = msgspec.convert(value, shape)
        except msgspec.ValidationError:
            continue
        spelled[name] = value
        match found:
            case _Thinking():
                wishes.mode, wishes.budget_tokens, wishes.display = found.type, found.budget_tokens, found.display
            case _NovaReasoning():
                wishes.mode, wishes.effort = found.type, found.max_reasoning_effort
            case _NovaSampling():
                wishes.top_k = found.topK
            case _OutputConfig():
                wishes.effort = found.effort
                wishes.schema = found.format.schema if found.format else None
            case _SingleCalls():
                wishes.parallel_tool_calls = not found.disable_parallel_tool_use
            case [_ClaudeTool(), *_]:
                wishes.tools = value
            case list():
                wishes.betas = found
            case str():
                wishes.effort = found
            case _:
                wishes.top_k = found
    return wishes, spelled


def encode_fields(
    request: ChatRequest, spelled: JsonObject, own: JsonObject, config: JsonObject, losses: Losses
) -> JsonObject:
    """The fields for a request's model; an effort that Converse itself has a member for goes into `config`, the
    request's `outputConfig`.

    `spelled` are fields as they came, said again where they still are what is wished for, in words that the model's
    family knows; `own` are those that were not understood.
    """
    kind = family(request.model)
    wishes = _wishes_of(request, kind)
    said, _ = understood(spelled)
    fields: JsonObject = {}
    if wishes.granted(said) and spelled.keys() <= _WORDS.get(kind, spelled.keys()):
        fields = {**spelled}
        wishes = wishes.without(said)
    if wishes.tools:
        fields["tools"] = wishes.tools
    _encode_betas(wishes.betas or [], kind, fields, losses)
    _encode_top_k(wishes.top_k, kind, fields, losses)
    if wishes.parallel_tool_calls is False:
        forced = request.tool_choice is not None and request.tool_choice.mode != "auto"
        if kind == "claude" and request.tools and not forced:
            fields["tool_choice"] = {"type": "auto", "disable_parallel_tool_use": True}
        else:
            losses.add("parallel_tool_calls", "the model may make several calls at a time")
    match kind:
        case None | "claude":
            # A model whose id does not tell may well be Claude: only its users ask for a mode or a budget.
            _encode_thinking(wishes, fields, config, losses)
        case "nova" if base_model(request.model).startswith("amazon.nova-2"):
            _encode_nova(wishes, fields, losses)
        case "openai" | "qwen":
            _encode_effort(wishes, _EFFORT[kind], fields, losses)
        case _:
            _report(wishes, ("mode", "effort", "budget_tokens", "display"), f"models of {kind} do not think", losses)
    return merged(fields, own)


def is_field(tool: NativeTool, kind: Family | None) -> bool:
    """Whether a tool is said here: one that Anthropic defines and the caller runs."""
    return kind in (None, "claude") and tool.dialect == CLAUDE and re.match(_CLAUDE_TOOL, tool.type) is not None


def claude_tools(request: ChatRequest, kind: Family | None) -> list[JsonObject]:
    return [tool.value for tool in request.tools or () if isinstance(tool, NativeTool) and is_field(tool, kind)]


def says_schema(fields: JsonObject) -> bool:
    """Whether the form of the answer is said here, as Anthropic's API has it."""
    return "format" in (as_object(fields.get("output_config")) or {})


def _wishes_of(request: ChatRequest, kind: Family | None) -> Wishes:
    wishes = Wishes(top_k=request.top_k, parallel_tool_calls=request.parallel_tool_calls, betas=request.betas)
    if request.tool_choice is None or request.tool_choice.mode != "none":
        wishes.tools = claude_tools(request, kind) or None
    if request.output is not None:
        wishes.schema = request.output.schema
    reasoning = request.reasoning
    if reasoning is not None:
        wishes.mode, wishes.effort = reasoning.mode, reasoning.effort
        wishes.budget_tokens, wishes.display = reasoning.budget_tokens, reasoning.display
    return wishes


def _encode_betas(betas: list[str], kind: Family | None, fields: JsonObject, losses: Losses) -> None:
    known = [beta for beta in betas if kind in (None, "claude") and beta.startswith(_BETAS)]
    if known:
        fields["anthropic_beta"] = known
    if len(known) < len(betas):
        losses.add("anthropic_beta", "Bedrock's model refuses names that it does not know", "info")


def _encode_top_k(top_k: int | None, kind: Family | None, fields: JsonObject, losses: Losses) -> None:
    if top_k is None:
        return
    if kind in _TOP_K:
        fields[_TOP_K[kind]] = top_k
    elif kind == "nova":
        fields["inferenceConfig"] = {"topK": top_k}
    else:
        losses.add("top_k", f"models of {kind} have no such setting")


def _encode_thinking(wishes: Wishes, fields: JsonObject, config: JsonObject, losses: Losses) -> None:
    mode = wishes.mode or ("enabled" if wishes.budget_tokens is not None else None)
    if wishes.effort == "none":
        mode = "disabled"
    elif wishes.effort == "minimal":
        losses.add("reasoning.effort", "'low' is the least effort: it is sent instead of 'minimal'", "info")
        config["effort"] = "low"
    elif wishes.effort is not None:
        config["effort"] = wishes.effort
    thinking: JsonObject = {} if mode is None else {"type": mode}
    if wishes.budget_tokens is not None:
        thinking["budget_tokens"] = wishes.budget_tokens
    if wishes.display is not None:
        if mode in ("enabled", "adaptive"):
            # OpenAI's words for how a summary is written all ask for one.
            summary = wishes.display in ("auto", "concise", "detailed")
            thinking["display"] = "summarized" if summary else wishes.display
        else:
            losses.add("reasoning.display", "it is said together with how to think", "info")
    if thinking:
        fields["thinking"] = thinking


def _encode_nova(wishes: Wishes, fields: JsonObject, losses: Losses) -> None:
    _report(wishes, ("budget_tokens", "display"), "Nova is told an effort only", losses)
    off = wishes.mode == "disabled" or wishes.effort == "none"
    if off or wishes.effort or wishes.mode or wishes.budget_tokens:
        config: JsonObject = {"type": "disabled" if off else "enabled"}
        if wishes.effort and not off:
            config["maxReasoningEffort"] = _nearest(wishes.effort, losses)
        fields["reasoningConfig"] = config


def _encode_effort(wishes: Wishes, word: str, fields: JsonObject, losses: Losses) -> None:
    _report(wishes, ("mode", "budget_tokens", "display"), "the model is told an effort only", losses)
    if wishes.effort == "none":
        losses.add("reasoning.effort", "the model cannot be told not to think")
    elif wishes.effort:
        fields[word] = _nearest(wishes.effort, losses)


def _nearest(effort: str, losses: Losses) -> str:
    nearest = _NEAREST.get(effort, effort)
    if nearest != effort:
        losses.add("reasoning.effort", f"{nearest!r} is the nearest effort to {effort!r}", "info")
    return nearest


def _report(wishes: Wishes, names: tuple[str, ...], reason: str, losses: Losses) -> None:
    for name in names:
        if getattr(wishes, name) is not None:
            losses.add(f"reasoning.{name}", reason)
