from __future__ import annotations

import pytest

from wye.dialects.bedrock_models import base_model, family

CLAUDE = "anthropic.claude-sonnet-4-5-20250929-v1:0"


@pytest.mark.parametrize(
    "model_id",
    [
        CLAUDE,
        f"us.{CLAUDE}",
        f"global.{CLAUDE}",
        f"us-gov.{CLAUDE}",
        f"arn:aws:bedrock:us-east-1::foundation-model/{CLAUDE}",
        f"arn:aws:bedrock:eu-west-1:123456789012:inference-profile/eu.{CLAUDE}",
    ],
)
def test_profiles_and_arns_name_the_model_behind_them(model_id: str) -> None:
    assert base_model(model_id) == CLAUDE
    assert family(model_id) == "claude"


@pytest.mark.parametrize(
    ("model_id", "expected"),
    [
        ("amazon.nova-2-lite-v1:0", "nova"),
        ("amazon.titan-text-express-v1", "titan"),
        ("us.meta.llama3-3-70b-instruct-v1:0", "llama"),
        ("mistral.mistral-large-2407-v1:0", "mistral"),
        ("openai.gpt-oss-120b-1:0", "openai"),
        ("qwen.qwen3-32b-v1:0", "qwen"),
        ("arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123def456", None),
        ("mock-model", None),
        ("", None),
    ],
)
def test_the_family_is_told_by_the_vendor_before_the_name(model_id: str, expected: str | None) -> None:
    assert family(model_id) == expected
