"""The child process: llama.cpp's HTTP server for one model on a unix socket.

Reads its settings as one line of JSON on standard input and lives until that input ends: when the parent is gone, even
by kill -9, so is the child.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec

from wye.processes.inside import end_with_input, limit_memory


class ChildSettings(msgspec.Struct, frozen=True):
    """What the parent decides."""

    socket_path: str
    model_path: str
    alias: str
    slots: int
    context_length: int
    """Tokens of one slot."""
    cores: int
    memory_bytes: int
    """What the process may take; more is refused to it."""
    chat_template: str | None = None
    """Instead of the file's own."""


def main() -> None:
    settings = msgspec.json.decode(sys.stdin.buffer.readline(), type=ChildSettings)
    end_with_input(sys.stdin.fileno())
    # The parent waits for one line; whatever else a library prints goes where the log goes.
    told = os.dup(1)
    os.dup2(2, 1)
    # A JSON schema with more `minItems` than `maxItems` becomes a grammar that grows by 200 MB a second, even after its
    # caller has left.
    limit_memory(settings.memory_bytes)
    xllamacpp = import_module("xllamacpp")  # the optional extra, loaded in this process only
    Path(settings.socket_path).unlink(missing_ok=True)
    server = xllamacpp.Server(params_of(xllamacpp, settings))
    os.write(told, f"{server.listening_address}\n".encode())
    sys.stdin.buffer.read()
    # Deleting the server while it may still be starting deadlocks: the process ends without it.
    os._exit(0)


def params_of(llama: Any, settings: ChildSettings) -> Any:
    """The settings as llama.cpp takes them. `docs/local-models.md` has the reasons."""
    params = llama.CommonParams()
    params.model.path = settings.model_path
    params.model_alias = {settings.alias}
    params.hostnames = [settings.socket_path]
    params.n_parallel = settings.slots
    params.n_ctx = settings.slots * settings.context_length
    params.n_batch = 512
    params.kv_unified = False
    params.fit_params = False
    params.cache_ram_mib = 64
    params.cpuparams.n_threads = max(1, settings.cores - 1)
    params.cpuparams_batch.n_threads = settings.cores
    params.use_jinja = True
    params.ui = False
    params.endpoint_slots = False
    if settings.chat_template is not None:
        params.chat_template = settings.chat_template
    return params
