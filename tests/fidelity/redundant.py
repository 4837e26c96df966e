"""Members that may be taken off the wire without a fact getting lost, and why: the short list of what is said twice,
needs no words, or is no member at all but a caller's own data."""

from __future__ import annotations

import re

_POSITIONS = r"(item_id|output_index|content_index|summary_index|annotation_index)"
_ROWS = {
    # All that talk by JSON
    r"\w+ (responses|streams) (body|frame)\.object": "the same in every answer",
    r"\w+ (responses body|streams [\w.]+)(\.choices\.\*)?(\.\w+)*\.role|\w+ streams messageStart\.role": (
        "the same in every answer"
    ),
    r"\w+ requests body\..*\b(cache_control|cachePoint)\.type": "there is one",
    r"\w+ requests body\.(outputConfig\.textFormat|output_config\.format)\.type": "there is one",
    r"bedrock_\w+ requests body\.messages\.\*\.tool_calls\.\*\.type": "there is one",
    r"(anthropic_messages|bedrock_claude) (responses body|streams \w+(\.message)?)\.type": "the frame's name tells it",
    r"\w+ \w+ .*\.(is_error|toolResult\.status)": "false, or a success, needs no words",
    r"\w+ \w+ .*\.(total_tokens|totalTokens)": "the sum of its neighbours",
    r"\w+ responses .*\.choices\.\*\.index": "their order tells it",
    r"\w+ \w+ .*\.(reasoning_details|annotations)\.\*\.index": "their order tells it",
    r"\w+ (requests|streams) .*\.reasoning_details\.\*\.(summary|text)": "`reasoning_content` says the same",
    r"\w+ \w+ .*\.logprobs\.refusal\.\*\.top_logprobs\.\*\.bytes": "null in the only case",
    r"\w+ \w+ .*\.input\.(_raw|input)|\w+ \w+ .*\.parameters\.(_raw|input)": "calls that are no JSON, lost by name",
    r"\w+ requests body\.stream_options\.include_usage": "the gateway asks every upstream for it",
    r"openai_completions \w+ .*\.logprobs\.top_logprobs\.\*\..*": "a token, by its own name; others tell",
    # Anthropic's
    r"(anthropic_messages|bedrock_claude) \w+ .*\.(citations\.\*|citation)\.file_id": "null in the cases",
    r"(anthropic_messages|bedrock_claude) streams content_block_start\.content_block\.(input|signature|thinking)": (
        "empty at the start of a block"
    ),
    r"(anthropic_messages|bedrock_claude) streams message_start\.message\.(content|stop_\w+)": "empty at the start",
    r"(anthropic_messages|bedrock_claude) streams message_start\.message\.usage\.\w+_tokens": "the end repeats it",
    r"bedrock_claude requests body\.anthropic_version": "the same in every request",
    # Bedrock's
    r"bedrock_\w+ responses headers\.x-amzn-bedrock-invocation-latency": "how long it took is no part of the answer",
    r"bedrock_\w+ streams headers\.x-amzn-bedrock-content-type": "the same in every stream",
    r"bedrock_\w+ responses headers\.x-amzn-bedrock-[a-z-]+-count": "the body counts as well",
    r"bedrock_\w+ streams \w+\.amazon-bedrock-invocationMetrics(\.\w+TokenCount)?": "other frames count as well",
    r"bedrock_\w+ streams \w+\.amazon-bedrock-invocationMetrics\.\w+Latency": "no part of the answer",
    r"bedrock_(claude|nova|mistral|ai21|writer|openai) responses body\.usage\.(\w+_tokens(_details\.\w+)?|\w+Tokens)": (
        "the headers count as well"
    ),
    r"bedrock_\w+ streams frame\.usage\.prompt_tokens_details\.\w+": "the metrics count as well",
    r"bedrock_\w+ \w+ .*usage\.cacheWriteInputTokenCount": "the older name of a figure that is said by both",
    r"bedrock_nova requests body\.schemaVersion": "the same in every request",
    r"bedrock_nova streams frame\.(messageStart|contentBlockStop(\.contentBlockIndex)?)": "its neighbours tell it",
    r"bedrock_nova streams frame\.metadata(\.usage)?": "the metrics count as well",
    r"bedrock_titan responses body\.inputTextTokenCount": "the headers count as well",
    r"bedrock_llama responses body\.(prompt|generation)_token_count": "the headers count as well",
    r"bedrock_mistral \w+ .*\.choices\.\*\.(finish_reason|stop_reason)": "Mistral's models say it by two names",
    r"bedrock_openai requests body\.metadata": "said in a header as well",
    r"bedrock_cohere requests body\.(chat_history\.\*\.)?tool_results\.\*\.call\.parameters\.\w+": "repeats the call",
    r"bedrock_cohere requests body\.tools\.\*\.parameter_definitions\.(unit(\.\w+)?|\w+\.required)": (
        "of a schema that is reported as lost, since all of it cannot be said"
    ),
    r"bedrock_cohere responses body\.chat_history(\.\*\.\w+)?": "repeats the conversation",
    r"bedrock_cohere responses body\.meta(\.billed_units(\.input_tokens)?)?": "the headers count as well",
    r"bedrock_cohere(_prompt)? \w+ .*\b(generation_id|response_id)": "a header tells the id",
    r"bedrock_cohere streams frame\.response\.\w+(\..*)?": "the end repeats what the frames before it told",
    r"bedrock_cohere streams frame\.tool_calls(\.\*\.name)?": "the end repeats it",
    r"bedrock_cohere(_prompt)? streams frame\.(is_finished|finish_reason)": "said twice at the end",
    r"bedrock_cohere_prompt responses body\.(id|generations\.\*\.(id|index))": "a header and their order tell it",
    r"bedrock_cohere_prompt responses body\.prompt": "repeats the request",
    r"bedrock_cohere_prompt requests body\.stream": "the path tells it",
    # Of Responses
    r"openai_responses requests body\.input\.\*\.content\.\*\.logprobs": "empty: clients repeat it",
    r"openai_responses requests body\.input\.\*\.output\.\*\.detail": "`auto` needs no words",
    r"openai_responses requests body\.tools\.\*\.tools\.\*\.(strict|parameters\.properties)": "false, or empty",
    r"openai_responses responses body\.id": "a new one, by whose beginning clients know an answer",
    r"openai_responses responses body\.(error|conversation)(\.\w+)?": "the status tells it; the vendor's own",
    r"openai_responses streams response\.[\w.]+\.sequence_number": "their order tells it",
    rf"openai_responses streams response\.[\w.]+\.{_POSITIONS}": "events follow each other: none is of another item",
    r"openai_responses streams response\.\w+_call\.\w+\.\w+": "how far a tool of the provider's is",
    r"openai_responses streams response\.(output_item|content_part|reasoning_summary_part)\.added\..*": (
        "begins what is told whole at its end"
    ),
    r"openai_responses streams response\.\w+\.delta\.delta": "told whole at the end of the part",
    r"openai_responses streams response\.(output_text|refusal|reasoning_\w+|\w+_call\w*|content_part)\.done\..*": (
        "repeats the pieces"
    ),
    r"openai_responses streams response\.output_item\.done\.(type|item\.input|item\.content\.\*\.refusal)": (
        "repeats the pieces"
    ),
    r"openai_responses streams response\.output_item\.done\.item\.content\.\*\.(logprobs|annotations)\b.*": (
        "repeats the pieces"
    ),
    r"openai_responses streams response\.[\w.]+\.type": "the frame's name tells it",
    r"openai_responses streams response\.(queued\.|in_progress\.|created\.(?!response\.model$)).*": (
        "the end repeats it"
    ),
    r"openai_responses streams response\.(completed|incomplete|failed)\.response(\.(?!usage).*)?": (
        "the pieces and the beginning told it, or it repeats the request"
    ),
    r"openai_responses streams response\.\w+\.response\.usage\.(total_tokens|cost|\w+_details\.\w+)": (
        "the sum, or another end tells it"
    ),
    r"openai_responses streams response\.failed\.response\.usage(\.\w+)?": "of an answer that failed nothing is kept",
}
_ECHO = (
    *("background", "instructions", "max_output_tokens", "max_tool_calls", "metadata", "parallel_tool_calls"),
    *("previous_response_id", "prompt_cache_key", "prompt_cache_retention", "reasoning", "safety_identifier", "store"),
    *("temperature", "text", "tool_choice", "tools", "top_logprobs", "top_p", "truncation", "user"),
)
REDUNDANT = {**_ROWS, rf"openai_responses responses body\.({'|'.join(_ECHO)})(\..*)?": "repeats the request"}
"""By `dialect kind path`, as a pattern."""
_PATTERNS = [re.compile(row) for row in REDUNDANT]


def row_of(member: str) -> str | None:
    """The row that tells why a member may be missing."""
    return next((pattern.pattern for pattern in _PATTERNS if pattern.fullmatch(member)), None)
