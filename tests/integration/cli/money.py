"""Servers whose callers have keys of their own, and whose calls cost money."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.integration.cli.conftest import Run
from wye.testing.fake_provider import FakeProvider


def configure(upstream: FakeProvider, **more: Any) -> None:
    deployment = {"provider": "up", "model": "x", "price": {"input_usd": 1.0, "output_usd": 1_000.0}}
    config = {
        "local": {"enabled": False},
        "providers": {"up": {"kind": "openai", "base_url": f"{upstream.url}/v1", "api_key": "sk-up"}},
        "routes": {name: {"deployments": [deployment]} for name in ("m", "n")},
        "keys": {"enabled": True},
        **more,
    }
    Path("wye.yaml").write_text(json.dumps(config))


def issue(here: Run, name: str = "ann", *options: str) -> dict[str, Any]:
    done = here("keys", "create", name, *options, "--format", "json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
