"""What only some families of models can be asked for, said in each family's own words."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from wye.canon.loss import Losses
from wye.canon.parts import Text, ToolCall, ToolResult
from wye.canon.request import ChatRequest, Message, OutputFormat, Reasoning
from wye.canon.tools import FunctionTool, NativeTool, ToolChoice
from wye.dialects.bedrock_converse import DIALECT
from wye.dialects.dialect import Quirks

CLAUDE = "eu.anthropic.claude-sonnet-5"
NOVA_2 = "us.amazon.nova-2-lite-v1:0"
NOVA = "amazon.nova-pro-v1:0"
GPT = "openai.gpt-oss-120b-1:0"
QWEN = "qwen.qwen3-32b-v1:0"
MISTRAL = "mistral.mistral-large-2407-v1:0"
LLAMA = "meta.llama3-3-70b-instruct-v1:0"
PROFILE = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123"
TOOL = FunctionTool("f", schema={})
BASH = NativeTool("anthropic_messages", {"type": "bash_20250124", "name": "bash"})
WEB = NativeTool("anthropic_messages", {"type": "web_search_20250305", "name": "web_search"})


def encode(value: ChatRequest) -> tuple[dict[str, Any], dict[str, str]]:
    losses = Losses()
    said = DIALECT.encode_request(value, losses, Quirks())
    return said, {loss.field: loss.severity for loss in losses}


def asked(model: str, **members: Any) -> ChatRequest:
    return ChatRequest(model=model, messages=[Message("user", [Text("Hi")])], **members)


def decoded(model: str, fields: dict[str, Any], **members: Any) -> ChatRequest:
    wire = {"messages": [{"role": "user", "content": [{"text": "Hi"}]}], **members}
    request = DIALECT.decode_request({**wire, "additionalModelRequestFields": fields})
    request.model = model
    return request


@pytest.mark.parametrize(
    ("model", "members", "fields", "effort", "losses"),
    [
        (CLAUDE, {"reasoning": Reasoning(budget_tokens=1024)},
         {"thinking": {"type": "enabled", "budget_tokens": 1024}}, None, {}),
        (CLAUDE, {"reasoning": Reasoning("adaptive", "max", display="omitted")},
         {"thinking": {"type": "adaptive", "display": "omitted"}}, "max", {}),
        (CLAUDE, {"reasoning": Reasoning("enabled", display="concise")},
         {"thinking": {"type": "enabled", "display": "summarized"}}, None, {}),
        (CLAUDE, {"reasoning": Reasoning(effort="none")}, {"thinking": {"type": "disabled"}}, None, {}),
        (CLAUDE, {"reasoning": Reasoning(effort="minimal", display="auto")}, None, "low",
         {"reasoning.effort": "info", "reasoning.display": "info"}),
        (CLAUDE, {"top_k": 5, "tools": [TOOL], "parallel_tool_calls": False},
         {"top_k": 5, "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}}, None, {}),
        (CLAUDE, {"tools": [TOOL], "parallel_tool_calls": False, "tool_choice": ToolChoice("auto")},
         {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}}, None, {}),
        (CLAUDE, {"tools": [TOOL], "parallel_tool_calls": False, "tool_choice": ToolChoice("required")}, None, None,
         {"parallel_tool_calls": "warning"}),
        (CLAUDE, {"parallel_tool_calls": True}, None, None, {}),
        (CLAUDE, {"betas": ["interleaved-thinking-2025-05-14", "coding-2025"]},
         {"anthropic_beta": ["interleaved-thinking-2025-05-14"]}, None, {"anthropic_beta": "info"}),
        (CLAUDE, {"tools": [BASH, WEB], "betas": ["computer-use-2025-01-24"]},
         {"tools": [BASH.value], "anthropic_beta": ["computer-use-2025-01-24"]}, None, {"tools[1]": "warning"}),
        (CLAUDE, {"tools": [BASH], "tool_choice": ToolChoice("none")}, None, None, {"tool_choice": "info"}),
        (NOVA, {"tools": [BASH]}, None, None, {"tools[0]": "warning"}),
        (PROFILE, {"betas": ["context-1m-2025-08-07"]}, {"anthropic_beta": ["context-1m-2025-08-07"]}, None, {}),
        (NOVA, {"betas": ["context-1m-2025-08-07"]}, None, None, {"anthropic_beta": "info"}),
        (PROFILE, {"top_k": 5, "reasoning": Reasoning("enabled", "high", 2000), "parallel_tool_calls": False},
         {"top_k": 5, "thinking": {"type": "enabled", "budget_tokens": 2000}}, "high",
         {"parallel_tool_calls": "warning"}),
        (NOVA_2, {"top_k": 5, "reasoning": Reasoning(effort="xhigh")},
         {"inferenceConfig": {"topK": 5}, "reasoningConfig": {"type": "enabled", "maxReasoningEffort": "high"}}, None,
         {"reasoning.effort": "info"}),
        (NOVA_2, {"reasoning": Reasoning("enabled", budget_tokens=9, display="auto")},
         {"reasoningConfig": {"type": "enabled"}}, None,
         {"reasoning.budget_tokens": "warning", "reasoning.display": "warning"}),
        (NOVA_2, {"reasoning": Reasoning(effort="none")}, {"reasoningConfig": {"type": "disabled"}}, None, {}),
        (NOVA_2, {}, None, None, {}),
        (NOVA, {"reasoning": Reasoning(effort="low")}, None, None, {"reasoning.effort": "warning"}),
        (GPT, {"reasoning": Reasoning("enabled", "minimal", 9)}, {"reasoning_effort": "low"}, None,
         {"reasoning.mode": "warning", "reasoning.budget_tokens": "warning", "reasoning.effort": "info"}),
        (GPT, {"reasoning": Reasoning(effort="none"), "top_k": 5}, None, None,
         {"reasoning.effort": "warning", "top_k": "warning"}),
        (GPT, {}, None, None, {}),
        (QWEN, {"reasoning": Reasoning(effort="high")}, {"reasoning_config": "high"}, None, {}),
        (MISTRAL, {"top_k": 5}, {"top_k": 5}, None, {}),
        ("cohere.command-r-v1:0", {"top_k": 5}, {"k": 5}, None, {}),
        (LLAMA, {"top_k": 5, "reasoning": Reasoning("enabled", "low", 9, "auto", {"openai_responses": {"x": 1}})},
         None, None,
         {"top_k": "warning", "reasoning.mode": "warning", "reasoning.effort": "warning",
          "reasoning.budget_tokens": "warning", "reasoning.display": "warning", "reasoning.x": "warning"}),
    ],
)  # fmt: skip
def test_each_family_is_asked_in_its_own_words(
    model: str, members: dict[str, Any], fields: Any, effort: Any, losses: dict[str, str]
) -> None:
    said, lost = encode(asked(model, **members))
    assert said.get("additionalModelRequestFields") == fields
    assert said.get("outputConfig", {}).get("effort") == effort
    assert lost == losses
    assert "toolChoice" not in said.get("toolConfig", {}) or "tool_choice" not in (fields or {})


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"thinking": {"type": "enabled", "budget_tokens": 9}}, {"reasoning": Reasoning("enabled", budget_tokens=9)}),
        ({"reasoning_config": {"type": "disabled"}}, {"reasoning": Reasoning("disabled")}),
        ({"reasoning_config": "high"}, {"reasoning": Reasoning(effort="high")}),
        ({"reasoning_effort": "low"}, {"reasoning": Reasoning(effort="low")}),
        ({"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "low"}},
         {"reasoning": Reasoning("enabled", "low")}),
        ({"output_config": {"effort": "max"}}, {"reasoning": Reasoning(effort="max")}),
        ({"output_config": {"format": {"type": "json_schema", "schema": {"a": 1}}}},
         {"output": OutputFormat("json_schema", {"a": 1})}),
        ({"top_k": 5}, {"top_k": 5}),
        ({"k": 5}, {"top_k": 5}),
        ({"tools": [BASH.value]}, {"tools": [BASH]}),
        ({"tools": []}, {}),
        ({"tools": [BASH.value, WEB.value]}, {}),
        ({"anthropic_beta": ["made-of-cheese-2026"]}, {"betas": ["made-of-cheese-2026"]}),
        ({"inferenceConfig": {"topK": 5}}, {"top_k": 5}),
        ({"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}}, {"parallel_tool_calls": False}),
        ({"tool_choice": {"type": "auto", "disable_parallel_tool_use": False}}, {"parallel_tool_calls": True}),
        ({"thinking": {"type": "new"}, "top_k": "5", "zeal": 1}, {}),
    ],
)  # fmt: skip
def test_every_spelling_is_understood_and_comes_back_as_it_was(
    fields: dict[str, Any], expected: dict[str, Any]
) -> None:
    request = decoded("", fields)
    found = {
        name: getattr(request, name)
        for name in ("reasoning", "output", "top_k", "parallel_tool_calls", "betas", "tools")
    }
    assert {name: value for name, value in found.items() if value is not None} == expected
    said, losses = encode(request)
    assert (said["additionalModelRequestFields"], losses) == (fields, {})


def test_fields_in_the_words_of_another_family_are_translated() -> None:
    thinking = {"thinking": {"type": "enabled", "budget_tokens": 9}, "top_k": 5}
    said, losses = encode(decoded(NOVA_2, thinking))
    assert said["additionalModelRequestFields"] == {
        "inferenceConfig": {"topK": 5},
        "reasoningConfig": {"type": "enabled"},
    }
    assert losses == {"reasoning.budget_tokens": "warning"}
    assert encode(decoded(CLAUDE, thinking))[0]["additionalModelRequestFields"] == thinking


def test_fields_that_are_no_longer_wished_for_are_said_anew() -> None:
    request = decoded(CLAUDE, {"thinking": {"type": "enabled", "budget_tokens": 9}, "zeal": 1})
    request.reasoning = Reasoning("enabled", budget_tokens=10)
    assert encode(request)[0]["additionalModelRequestFields"] == {
        "thinking": {"type": "enabled", "budget_tokens": 10},
        "zeal": 1,
    }
    request.reasoning = None
    assert encode(request)[0]["additionalModelRequestFields"] == {"zeal": 1}


def test_what_was_added_is_said_beside_the_fields_as_they_came() -> None:
    request = decoded(CLAUDE, {"reasoning_config": {"type": "enabled", "budget_tokens": 9}})
    request.top_k = 5
    assert encode(request)[0]["additionalModelRequestFields"] == {
        "reasoning_config": {"type": "enabled", "budget_tokens": 9},
        "top_k": 5,
    }


def test_an_effort_said_twice_is_that_of_the_fields_and_neither_is_forgotten() -> None:
    request = decoded("", {"output_config": {"effort": "low"}}, outputConfig={"effort": "high"})
    assert request.reasoning == Reasoning(effort="low")
    said, _ = encode(request)
    assert said["outputConfig"] == {"effort": "high"}
    assert said["additionalModelRequestFields"] == {"output_config": {"effort": "low"}}


def test_a_schema_is_said_once() -> None:
    schema = {"output_config": {"format": {"type": "json_schema", "schema": {"a": 1}}}}
    said, _ = encode(decoded(CLAUDE, schema))
    assert said["additionalModelRequestFields"] == schema
    assert "outputConfig" not in said
    said, _ = encode(decoded(GPT, schema))
    assert "additionalModelRequestFields" not in said
    assert said["outputConfig"]["textFormat"]["structure"]["jsonSchema"] == {"schema": '{"a":1}'}


def test_a_tool_that_anthropic_defines_stands_beside_those_of_the_caller() -> None:
    computer = {"type": "computer_20250124", "name": "computer", "display_width_px": 800, "display_height_px": 600}
    tools = [TOOL, NativeTool("anthropic_messages", computer)]
    called = Message("assistant", [ToolCall("t1", "computer", '{"action":"screenshot"}')])
    request = asked(CLAUDE, tools=tools)
    request.messages += [called, Message("user", [ToolResult("t1", [Text("done")])])]
    said, losses = encode(request)
    assert [tool["toolSpec"]["name"] for tool in said["toolConfig"]["tools"]] == ["f"]
    assert said["additionalModelRequestFields"] == {"tools": [computer]}
    assert losses == {}
    assert DIALECT.decode_request(said).tools == tools
    # Where a model has no such tool, one that was called is named to it.
    said, losses = encode(msgspec.structs.replace(request, model=NOVA, tools=tools[1:]))
    assert [tool["toolSpec"]["name"] for tool in said["toolConfig"]["tools"]] == ["computer"]
    assert losses == {"tools[0]": "warning", "tools": "warning"}
