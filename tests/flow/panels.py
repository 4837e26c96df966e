"""Two vendors' models that answer together: `quick` speaks OpenAI's dialect, `deep` Anthropic's."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from wye.testing.fake_provider import FakeProvider
from wye.testing.replies import Rule
from wye.testing.server import WyeServer

INPUT, OUTPUT = 10, 4
"""Tokens of each call."""
RULES = [
    Rule(system="You review another model's answer", say="NO ISSUES FOUND", input_tokens=INPUT, output_tokens=OUTPUT),
    Rule(model="up-quick", say="Paris it is", input_tokens=INPUT, output_tokens=OUTPUT),
    Rule(model="up-deep", say="It is Paris", input_tokens=INPUT, output_tokens=OUTPUT),
]


def serve(stack: ExitStack, **config: Any) -> tuple[WyeServer, FakeProvider, FakeProvider]:
    """A server with the routes `quick` and `deep`, and those that `routes` adds."""
    gpt, claude = stack.enter_context(FakeProvider(RULES)), stack.enter_context(FakeProvider(RULES))
    routes = config.pop("routes", {})
    deployments = {
        name: {"deployments": [{"provider": provider, "model": f"up-{name}", **more}], "retries": 0}
        for name, provider, more in (("quick", "gpt", {"api": "chat"}), ("deep", "claude", {}))
    }
    server = WyeServer(
        {
            "local": {"enabled": False},
            "providers": {
                "gpt": {"kind": "openai", "base_url": f"{gpt.url}/v1", "api_key": "sk-upstream"},
                "claude": {"kind": "anthropic", "base_url": claude.url, "api_key": "sk-upstream"},
            },
            "routes": {**deployments, **routes},
            **config,
        }
    )
    return stack.enter_context(server), gpt, claude
