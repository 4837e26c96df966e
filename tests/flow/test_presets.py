"""Presets asked for by name on a machine that is too small, or whose models stand in for others."""

from __future__ import annotations

import json

import pytest

from tests import wire
from wye.catalog.presets import PRESETS
from wye.testing.fake_provider import FakeProvider
from wye.testing.server import WyeServer


def test_a_preset_that_does_not_fit_is_507_with_the_sum() -> None:
    with WyeServer({"local": {"preload": [], "memory_limit_gb": 12}}) as server:
        status, _, body = wire.call(server.url, "/v1/chat/completions", wire.ask(model="D3"))
    error = json.loads(body)["error"]
    assert status == 507
    assert "deepseek-r1-7b 4.5 + phi-4 8.5 = 13.0 GB at least, but local models may take 12.0 GB" in error["message"]
    assert error["limit_bytes"] == 12 * 1024**3


@pytest.mark.parametrize("name", ["S1", "D1", "D2", "D3", "T2", "P5"])
def test_a_preset_is_answered_by_the_models_that_are_configured_under_its_names(
    name: str, fake_provider: FakeProvider
) -> None:
    """Routes go before local models: those need no room here."""
    there = {"provider": "v", "model": "x"}
    with WyeServer(
        {
            "local": {"preload": [], "memory_limit_gb": 1},
            "providers": {"v": {"kind": "vllm", "base_url": f"{fake_provider.url}/v1"}},
            "routes": {model: {"deployments": [there]} for model in PRESETS[name].models},
        }
    ) as server:
        status, _, body = wire.call(server.url, "/v1/chat/completions", wire.ask(model=name))
    assert status == 200
    assert set(json.loads(body)["orchestration"]["models_used"]) <= set(PRESETS[name].models)
