from __future__ import annotations

from typing import Any

import pytest

from wye.dialects.bedrock_invoke.families import FAMILIES, family_of, family_of_model
from wye.kernel.errors import BadRequest

MESSAGES = [{"role": "user", "content": "Hi"}]
BLOCKS = [{"role": "user", "content": [{"text": "Hi"}]}]
TYPED = [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]


@pytest.mark.parametrize(
    ("model", "body", "name"),
    [
        ("my-route", {"anthropic_version": "bedrock-2023-05-31", "messages": MESSAGES}, "bedrock_claude"),
        ("my-route", {"inputText": "Hi"}, "bedrock_titan"),
        ("my-route", {"schemaVersion": "messages-v1", "messages": BLOCKS}, "bedrock_nova"),
        ("my-route", {"inferenceConfig": {}, "messages": BLOCKS}, "bedrock_nova"),
        ("my-route", {"messages": BLOCKS}, "bedrock_nova"),
        ("my-route", {"prompt": "Hi", "max_gen_len": 5}, "bedrock_llama"),
        ("my-route", {"message": "Hi"}, "bedrock_cohere"),
        ("my-route", {"prompt": "Hi", "num_generations": 1}, "bedrock_cohere_prompt"),
        ("my-route", {"prompt": "Hi", "aspect_ratio": "1:1"}, "bedrock_stability"),
        ("my-route", {"prompt": "Hi", "maxTokens": 5}, "bedrock_ai21"),
        ("my-route", {"messages": MESSAGES}, "bedrock_openai"),
        ("my-route", {"messages": TYPED}, "bedrock_openai"),
        ("my-route", {"messages": "?"}, "bedrock_openai"),
        # The shape goes before the model.
        ("amazon.titan-text-express-v1", {"anthropic_version": "x"}, "bedrock_claude"),
        ("meta.llama3-8b-instruct-v1:0", {"messages": MESSAGES}, "bedrock_openai"),
        # Shapes that several share.
        ("anthropic.claude-haiku-4-5-v1:0", {"messages": TYPED, "max_tokens": 5}, "bedrock_claude"),
        ("us.anthropic.claude-haiku-4-5-v1:0", {"messages": MESSAGES}, "bedrock_claude"),
        ("arn:aws:bedrock:us-east-1:123456789012:inference-profile/eu.mistral.pixtral-large-2502-v1:0",
         {"messages": MESSAGES}, "bedrock_mistral"),
        ("mistral.mistral-7b-instruct-v0:2", {"prompt": "Hi"}, "bedrock_mistral_prompt"),
        ("mistral.mistral-large-2402-v1:0", {"prompt": "Hi"}, "bedrock_mistral_prompt"),
        ("my-route", {"prompt": "Hi", "max_tokens": 5}, "bedrock_mistral_prompt"),
        ("cohere.command-text-v14", {"prompt": "Hi"}, "bedrock_cohere_prompt"),
        ("meta.llama3-8b-instruct-v1:0", {"prompt": "Hi"}, "bedrock_llama"),
        ("stability.stable-image-ultra-v1:0", {"prompt": "Hi"}, "bedrock_stability"),
        ("ai21.jamba-1-5-mini-v1:0", {"messages": MESSAGES}, "bedrock_ai21"),
        ("us.writer.palmyra-x5-v1:0", {"messages": MESSAGES}, "bedrock_writer"),
        ("openai.gpt-oss-20b-1:0", {"messages": MESSAGES, "max_completion_tokens": 50}, "bedrock_openai"),
        ("qwen.qwen3-32b-v1:0", {"messages": MESSAGES}, "bedrock_openai"),
        ("deepseek.v3-v1:0", {"messages": MESSAGES}, "bedrock_openai"),
        ("global.amazon.nova-2-lite-v1:0", {"messages": MESSAGES}, "bedrock_nova"),
        # An empty body is that of the model's family.
        ("cohere.command-r-plus-v1:0", {}, "bedrock_cohere"),
        ("cohere.command-light-text-v14", {}, "bedrock_cohere_prompt"),
        ("mistral.mixtral-8x7b-instruct-v0:1", {}, "bedrock_mistral_prompt"),
        ("amazon.titan-text-lite-v1", {}, "bedrock_titan"),
    ],
)  # fmt: skip
def test_a_body_tells_its_family_or_its_model_does(model: str, body: dict[str, Any], name: str) -> None:
    assert family_of(model, body).name == name


@pytest.mark.parametrize("body", [{}, {"prompt": "Hi"}, {"new": 1}])
def test_a_body_that_tells_nothing_is_refused_with_what_was_expected(body: dict[str, Any]) -> None:
    with pytest.raises(BadRequest, match=r"inputText.*my-route"):
        family_of("my-route", body)
    assert family_of_model("my-route") is None


def test_every_family_has_a_name_of_its_own() -> None:
    names = [dialect.name for dialect in FAMILIES]
    assert len(set(names)) == len(names) == 12
    assert all(name.startswith("bedrock_") for name in names)
