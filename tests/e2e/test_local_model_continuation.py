"""An answer that breaks off upstream, and that the model in the box goes on with."""

from __future__ import annotations

import pytest

from tests import wire
from tests.flow.streams import hear, question
from wye.testing.fake import FakeUpstream, event_stream
from wye.testing.server import WyeServer

pytestmark = [pytest.mark.requires_model, pytest.mark.xdist_group("e2e")]

SAID = "1, 2, 3, 4, 5, 6, "


def test_the_model_in_the_box_goes_on_counting() -> None:
    cut = event_stream([wire.OPENAI_ROLE, wire.openai_chunk({"content": SAID})], end="cut")
    with FakeUpstream(lambda request: cut) as upstream:
        deployments = [
            {"provider": "up", "model": "x", "api": "chat"},
            {"provider": "local", "model": "smollm2-135m-instruct", "weight": 0},
        ]
        config = {
            "providers": {"up": {"kind": "openai", "base_url": f"{upstream.url}/v1", "api_key": "k"}},
            "routes": {"m": {"deployments": deployments, "retries": 0, "continue_after_cut": True}},
        }
        with WyeServer(config) as server:
            turns = [{"role": "user", "content": "Count from 1 to 12, with commas."}]
            path, body = question("messages", temperature=0, messages=turns, max_tokens=40)
            heard = hear("messages", wire.call(server.url, path, body)[2])
    assert heard.text.startswith(f"{SAID}7, 8, 9, 10, 11, 12")
    assert (heard.complete, heard.errors) == (True, [])
