"""Which family a model of Bedrock belongs to: what its id does not hide.

https://docs.aws.amazon.com/bedrock/latest/userguide/models-supported.html
https://docs.aws.amazon.com/bedrock/latest/userguide/inference-profiles-support.html
"""

from __future__ import annotations

import re
from typing import Literal

Family = Literal[
    "ai21",
    "claude",
    "cohere",
    "deepseek",
    "llama",
    "mistral",
    "nova",
    "openai",
    "qwen",
    "stability",
    "titan",
    "writer",
]

_PREFIXES: dict[str, Family] = {
    "ai21.": "ai21",
    "amazon.nova": "nova",
    "amazon.titan": "titan",
    "anthropic.": "claude",
    "cohere.": "cohere",
    "deepseek.": "deepseek",
    "meta.": "llama",
    "mistral.": "mistral",
    "openai.": "openai",
    "qwen.": "qwen",
    "stability.": "stability",
    "writer.": "writer",
}
_PROFILE = re.compile(r"(?:apac|au|ca|eu|global|jp|us|us-gov)\.")
"""What an inference profile puts before the id of its model: where it may run."""


def base_model(model_id: str) -> str:
    """The id of the foundation model, without ARN and inference profile: `anthropic.claude-sonnet-4-5-20250929-v1:0`.

    An ARN that names no model (a provisioned or imported one, a profile of one's own) gives the id in it.
    """
    name = model_id.rpartition("/")[2] if model_id.startswith("arn:") else model_id
    profile = _PROFILE.match(name)
    return name[profile.end() :] if profile else name


def family(model_id: str) -> Family | None:
    """None for a model whose id does not tell."""
    name = base_model(model_id)
    return next((found for prefix, found in _PREFIXES.items() if name.startswith(prefix)), None)
